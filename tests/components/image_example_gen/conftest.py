"""Small folders of images, and the executor as Kubeflow runs it."""

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.image_example_gen import executor
from proganomaly.components.image_example_gen.component import ImageExampleGen
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.images.spec import Reading
from proganomaly.components.settings import to_json

_AS_THEY_ARE = Reading()


@pytest.fixture(scope="session")
def save():
    """Saves an image of random pixels; equal seeds are equal pixels."""

    def save_image(path, seed=0, size=(16, 16)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    return save_image


@pytest.fixture(scope="session")
def execute():
    """Runs the executor without a driver before it, and returns the artifact."""

    def run(root, uri, store="", reading=_AS_THEY_ARE, code_version="1", **settings):
        made = ImageExampleGenSettings(**settings)
        component = ImageExampleGen(str(root), made)
        examples = component.outputs["examples"].type()
        examples.uri = str(uri)
        properties = {
            "input_base": str(root),
            "settings": to_json(made),
            "reading": to_json(reading),
            "store": str(store),
            "code_version": code_version,
        }
        executor.Executor().Do({}, {"examples": [examples]}, properties)
        return examples

    return run
