"""The versioned serving directory: the truth about which model is in production."""

import dataclasses
import hashlib
import json
import os

import tensorflow as tf

from proganomaly.components.image_example_gen.spans import resolve_window, window_fingerprint
from proganomaly.components.settings import to_json
from proganomaly.pipeline.code_version import code_version
from proganomaly.pipeline.config import Config

_PROVENANCE = os.path.join("assets.extra", "provenance.json")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a model comes from; recorded with it.

    Attributes:
        fingerprint: Of the images, the settings and the code that made it.
        baseline_model: Path of the version that was in production when the run was planned; "" for none.
    """

    fingerprint: str
    baseline_model: str


def newest_version(directory: str) -> str | None:
    """Returns the path of the newest complete version, None if there is none.

    Pusher copies `saved_model.pb` last, so a folder without it is a push that did not end.
    """
    if not tf.io.gfile.isdir(directory):
        return None
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(directory)]
    for name in sorted((name for name in names if name.isdigit()), key=int, reverse=True):
        version = os.path.join(directory, name)
        if _is_complete(version):
            return version
    return None


def plan_provenance(config: Config) -> Provenance:
    """Decides what a run is called and which model it has to beat.

    When the newest served model comes from an identical run, its recorded baseline is used again: the second
    of two identical runs then asks for exactly what the first did, and is served from the cache.

    Raises:
        UserError: the image folder is missing or without images.
    """
    own = _run_fingerprint(config)
    newest = newest_version(config.serving_directory)
    if newest is None:
        return Provenance(own, "")
    recorded = _recorded(newest)
    if recorded is None or recorded.fingerprint != own:
        return Provenance(own, newest)
    # Old versions are cleared away in time; what is gone cannot be compared with.
    return recorded if _is_complete(recorded.baseline_model) else Provenance(own, "")


def _run_fingerprint(config: Config) -> str:
    """Hashes what makes the model; how it is measured may change without making it another one."""
    parts = [
        window_fingerprint(resolve_window(config.data, config.ingest.window), config.ingest),
        *(to_json(part) for part in (config.image, config.ingest, config.pyramid, config.trainer)),
        *(code_version(name) for name in ("image_example_gen", "pyramid", "trainer")),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_complete(version: str) -> bool:
    return tf.io.gfile.exists(os.path.join(version, "saved_model.pb"))


def _recorded(version: str) -> Provenance | None:
    path = os.path.join(version, _PROVENANCE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return Provenance(**json.loads(file.read()))
