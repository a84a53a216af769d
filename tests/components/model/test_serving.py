"""The exported model in a fresh process that has TensorFlow alone, against the scorer in this one."""

import io
import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.images.decode import decode_images
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks, to_network_range, to_uint8
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.settings import SCORE_COMPONENTS, NetworkSettings, ScoringSettings
from proganomaly.components.settings import from_json
from proganomaly.components.trainer.export import export_model
from proganomaly.components.trainer.loop import TrainedRun
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.step import TrainingState
from proganomaly.components.trainer.workers import Workers

SPEC = ImageSpec(16, 3)
SETTINGS = TrainerSettings(
    networks=NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8, transforms=("flip",)),
    scoring=ScoringSettings(
        components=SCORE_COMPONENTS,
        coreset_size=64,
        reservoir_size=500,
        reference_images=30,
        false_positive_rate=0.1,
    ),
)
VERDICT = {
    "score": np.float32,
    "normalized_score": np.float32,
    "p_value": np.float32,
    "is_anomaly": np.bool_,
    "threshold": np.float32,
}
PICTURES = {
    "anomaly_map": (np.float32, (16, 16)),
    "reconstruction": (np.uint8, (16, 16, 3)),
    "image": (np.uint8, (16, 16, 3)),
}
NUMBERS = {
    **{name: () for name in (*SCORE_COMPONENTS, "pixel_threshold")},
    "threshold_interval": (2,),
    "pixel_threshold_interval": (2,),
}

# Answers every request with everything that the signatures return, or with the error's text.
CHILD = """
    import json, sys

    class Nothing:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("proganomaly", "components"):
                raise ImportError(name)

    sys.meta_path.insert(0, Nothing())
    try:
        import proganomaly
    except ImportError:
        pass
    else:
        raise SystemExit("the project is here")

    import tensorflow as tf

    model_folder, folder = sys.argv[1:]
    model = tf.saved_model.load(model_folder)
    requests = json.load(open(f"{folder}/requests.json"))
    answers = {"signatures": {name: {} for name in model.signatures}}
    for name, (signature, argument, items) in requests.items():
        if argument in ("latents", "images"):
            value = tf.constant(items, tf.float32 if argument == "latents" else tf.uint8)
        else:
            value = tf.stack([tf.io.read_file(f"{folder}/{item}") for item in items])
        try:
            outputs = model.signatures[signature](**{argument: value})
        except Exception as error:
            answers[name] = {"error": type(error).__name__, "message": str(error)}
            continue
        answers[name] = {
            key: {"dtype": output.dtype.name, "value": output.numpy().tolist()}
            for key, output in outputs.items()
        }
    assert not [name for name in sys.modules if name.startswith("proganomaly")]
    print(json.dumps(answers))
"""


class Images:
    """Stands for a pyramid: batches of soft stripes."""

    def __init__(self, count: int, seed: int) -> None:
        self.images = np.stack([_stripes(16, seed * 1000 + number) for number in range(count)])

    def batches(self, resolution: int):
        assert resolution == 16
        yield from np.split(self.images, range(20, len(self.images), 20))


def _stripes(side: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    ramp = np.linspace(0, 6, side)
    stripes = 120 + 80 * np.sin(ramp[None, :, None] + random.uniform(0, 6) + np.zeros((side, 1, 3)))
    return (stripes + random.normal(0, 12, stripes.shape)).clip(0, 255).astype(np.uint8)


def _encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def _defective(seed: int) -> np.ndarray:
    image = _stripes(16, seed)
    image[4:12, 5:11] = [255, 0, 255]
    return image


def _example(image_bytes: bytes) -> bytes:
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(image_bytes)
    example.features.feature["filename"].bytes_list.value.append(b"some.png")
    return example.SerializeToString()


FILES = {
    "one.png": _encoded(_stripes(16, 901)),
    "two.jpg": _encoded(_stripes(40, 902), "JPEG"),
    "three.png": _encoded(_stripes(23, 903)[:, :, 0]),
    "four.bmp": _encoded(_stripes(16, 904), "BMP"),
    "five.png": _encoded(_defective(905)),
    "text.png": b"this is no image",
    "half.png": _encoded(_stripes(64, 906))[:500],
}
MIXED = ["one.png", "two.jpg"]
FIVE = ["one.png", "two.jpg", "three.png", "four.bmp", "five.png"]
LATENTS = np.random.default_rng(4).normal(size=(3, 8)).tolist()
REQUESTS = {
    "mixed": ("serving_default", "image_bytes", MIXED),
    "five": ("serving_default", "image_bytes", FIVE),
    **{f"alone {name}": ("serving_default", "image_bytes", [name]) for name in FIVE},
    "explain": ("explain", "image_bytes", FIVE),
    **{f"explain {name}": ("explain", "image_bytes", [name]) for name in FIVE},
    "reversed": ("explain", "image_bytes", FIVE[::-1]),
    "examples": ("examples", "examples", [f"{name}.example" for name in FIVE]),
    "encode": ("encode", "image_bytes", FIVE),
    "generate": ("generate", "latents", LATENTS),
    "pixels": ("pixels", "images", [_stripes(16, 901).tolist(), _defective(905).tolist()]),
    "broken": ("serving_default", "image_bytes", [*FIVE[:3], "text.png", "five.png"]),
    "truncated": ("explain", "image_bytes", ["one.png", "half.png"]),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[AnomalyScorer, str]:
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("export") / "Format-Serving"
    folder.mkdir()
    (folder / "old").touch()
    networks = build_networks(SETTINGS.networks, SPEC)
    scorer = export_model(
        TrainedRun(TrainingState(networks, networks, {}), 0, 0.0, Workers(tf.distribute.get_strategy())),
        Images(60, 1),
        Images(40, 2),
        SPEC,
        SETTINGS,
        str(folder),
        {"fingerprint": "abc"},
    )
    return scorer, str(folder)


@pytest.fixture(scope="module")
def answers(exported, tmp_path_factory) -> dict[str, dict]:
    """What the fresh process answered: request -> output -> array."""
    folder = tmp_path_factory.mktemp("requests")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
        (folder / f"{name}.example").write_bytes(_example(content))
    (folder / "requests.json").write_text(json.dumps(REQUESTS))
    result = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(CHILD), exported[1], str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    answers = json.loads(result.stdout.splitlines()[-1])
    return {
        request: {
            key: np.array(output["value"], output["dtype"]) if isinstance(output, dict) and output else output
            for key, output in outputs.items()
        }
        for request, outputs in answers.items()
    }


@pytest.fixture(scope="module")
def in_process(exported) -> dict[str, np.ndarray]:
    """The same five images, scored here without any SavedModel."""
    scorer = exported[0]
    images = decode_images(tf.constant([FILES[name] for name in FIVE]), SPEC)
    explanation = scorer.explain(to_network_range(images))
    outputs = {**scorer.verdict(explanation.components), **explanation.components}
    outputs |= {"anomaly_map": explanation.anomaly_map, "reconstruction": explanation.reconstruction}
    outputs |= {"image": images, "latents": scorer.encoder(to_network_range(images))}
    return {name: np.array(value) for name, value in outputs.items()}


def test_the_signatures_are_the_documented_ones(answers):
    names = {"serving_default", "explain", "examples", "encode", "generate", "pixels", "tiles"}
    assert set(answers["signatures"]) == names


@pytest.mark.parametrize("request_name", ["mixed", "five", "examples", "explain"])
def test_a_verdict_has_the_documented_form(answers, request_name):
    outputs = answers[request_name]
    if request_name != "explain":
        assert set(outputs) == set(VERDICT)
    count = 2 if request_name == "mixed" else 5
    for name, dtype in VERDICT.items():
        assert (outputs[name].dtype, outputs[name].shape) == (dtype, (count,))
        assert np.isfinite(outputs[name]).all()
    assert np.all((outputs["p_value"] > 0) & (outputs["p_value"] < 1))
    assert np.all((outputs["normalized_score"] > 0) & (outputs["normalized_score"] < 1))
    np.testing.assert_array_equal(outputs["is_anomaly"], outputs["score"] > outputs["threshold"])
    assert len(set(outputs["threshold"])) == 1


def test_an_explanation_has_the_documented_form(answers):
    outputs = answers["explain"]
    assert set(outputs) == {*VERDICT, *NUMBERS, *PICTURES}
    for name, shape in NUMBERS.items():
        assert (outputs[name].dtype, outputs[name].shape) == (np.float32, (5, *shape))
        assert np.isfinite(outputs[name]).all()
    for name, (dtype, shape) in PICTURES.items():
        assert (outputs[name].dtype, outputs[name].shape) == (dtype, (5, *shape))


@pytest.mark.parametrize("request_name", ["five", "explain", "examples", "encode"])
def test_what_is_served_is_what_is_measured_here(answers, in_process, request_name):
    for name, output in answers[request_name].items():
        if name not in in_process:
            assert name in ("pixel_threshold", "threshold_interval", "pixel_threshold_interval")
            continue
        # A reconstruction may round the other way.
        tolerance = 1 if output.dtype == np.uint8 else 1e-5
        np.testing.assert_allclose(
            output.astype(np.float64),
            in_process[name].astype(np.float64),
            atol=tolerance,
            rtol=1e-5,
            err_msg=name,
        )


def test_pixels_are_scored_as_the_image_files_that_hold_them(answers):
    assert set(answers["pixels"]) == set(VERDICT)
    for name, output in answers["pixels"].items():
        np.testing.assert_allclose(output, answers["five"][name][[0, 4]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("position, name", enumerate(FIVE))
def test_a_score_does_not_depend_on_its_batch_mates(answers, position, name):
    alone, together = answers[f"alone {name}"], answers["five"]
    for output in VERDICT:
        np.testing.assert_allclose(alone[output][0], together[output][position], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("position, name", enumerate(FIVE))
def test_no_component_depends_on_batch_mates_or_order(answers, position, name):
    for output, expected in answers["explain"].items():
        for found in (answers[f"explain {name}"][output][0], answers["reversed"][output][4 - position]):
            tolerance = 1 if expected.dtype == np.uint8 else 1e-5
            np.testing.assert_allclose(
                found.astype(np.float64),
                expected[position].astype(np.float64),
                rtol=1e-5,
                atol=tolerance,
                err_msg=output,
            )


def test_a_defect_is_found_and_located(answers):
    outputs = answers["explain"]
    assert outputs["score"].argmax() == FIVE.index("five.png")
    assert outputs["is_anomaly"][4]
    assert outputs["p_value"][4] < 0.05
    row, column = np.unravel_index(outputs["anomaly_map"][4].argmax(), (16, 16))
    assert 3 <= row <= 12 and 4 <= column <= 11
    assert outputs["anomaly_map"][4].max() > outputs["pixel_threshold"][4]


def test_images_and_latents(answers, exported):
    np.testing.assert_array_equal(answers["explain"]["image"][0], _stripes(16, 901))
    latents, images = answers["encode"]["latents"], answers["generate"]["images"]
    assert (latents.dtype, latents.shape) == (np.float32, (5, 8))
    assert (images.dtype, images.shape) == (np.uint8, (3, 16, 16, 3))
    expected = to_uint8(exported[0].generator(tf.constant(LATENTS, tf.float32))).numpy()
    np.testing.assert_allclose(images.astype(int), expected.astype(int), atol=1)


def test_one_broken_image_fails_the_request_and_is_named(answers):
    assert "InvalidArgument" in answers["broken"]["error"]
    assert "image_bytes[3] is not a PNG, JPEG, BMP or GIF image" in answers["broken"]["message"]
    assert "InvalidArgument" in answers["truncated"]["error"]


def test_an_export_replaces_what_was_there_and_records_where_it_comes_from(exported):
    assert not tf.io.gfile.exists(f"{exported[1]}/old")
    with open(f"{exported[1]}/assets.extra/provenance.json") as file:
        assert json.load(file) == {"fingerprint": "abc"}
    assert len(tf.io.gfile.listdir(exported[1].rpartition("/")[0])) == 1


def test_the_threshold_has_the_stated_rate_on_the_calibration_images(exported):
    scorer = exported[0]
    scores = [
        scorer.verdict(scorer.explain(to_network_range(batch)).components)
        for batch in Images(40, 2).batches(16)
    ]
    flagged = np.concatenate([verdict["is_anomaly"] for verdict in scores])
    assert abs(flagged.mean() - 0.1) <= 0.05
    maps = np.concatenate(
        [scorer.explain(to_network_range(batch)).anomaly_map for batch in Images(40, 2).batches(16)]
    )
    assert np.mean(maps > scorer.pixel_threshold) == pytest.approx(0.1, abs=0.01)


def test_the_model_says_what_it_is_made_of(answers, exported):
    scorer, folder = exported
    with open(f"{folder}/assets.extra/model.json") as file:
        description = json.load(file)
    assert from_json(NetworkSettings, json.dumps(description["networks"])) == SETTINGS.networks
    assert from_json(ScoringSettings, json.dumps(description["scoring"])) == SETTINGS.scoring
    assert from_json(ImageSpec, json.dumps(description["image"])) == SPEC
    assert description["seed"] == SETTINGS.seed
    assert (description["reference_images"], description["calibration_images"]) == (60, 40)
    served = answers["explain"]
    for name in ("threshold", "pixel_threshold", "threshold_interval", "pixel_threshold_interval"):
        np.testing.assert_allclose(description[name], served[name][0], rtol=1e-6)
    for name in ("threshold", "pixel_threshold"):
        low, high = description[f"{name}_interval"]
        assert low < description[name] < high
    variables = sum(np.prod(variable.shape) for variable in scorer.references.variables)
    assert description["reference_bytes"] == 4 * variables
    assert description["notes"] == []


def test_every_tap_is_a_layer(exported):
    taps = exported[0].taps
    assert set(taps) == {"anomaly_map", *SCORE_COMPONENTS}
    generator, discriminator, encoder = exported[0].generator, exported[0].discriminator, exported[0].encoder
    trunks = {f"{network.name}/trunk": network.trunk for network in (discriminator, encoder)}
    networks = {network.name: network for network in (generator, discriminator, encoder)}
    networks["untrained"] = exported[0].untrained
    layers = {
        f"{place}/{variable.path.partition('/')[0]}"
        for place, network in (trunks | networks).items()
        for variable in network.variables
    }
    named = {layer for tapped in taps.values() for layer in tapped} - {"anomaly_map"}
    assert named <= layers
    assert taps["anomaly_map"] == ["discriminator/trunk/8x8_conv", "discriminator/trunk/16x16_conv"]
    assert taps["discriminator_density"] == ["discriminator/trunk/8x8_conv_down"]


def test_a_score_computes_only_what_its_members_need(exported):
    """No pass of the generator, whose weights only a reconstruction needs."""
    scorer = exported[0]
    concrete = tf.function(scorer.members).get_concrete_function(tf.TensorSpec([None, 16, 16, 3]))
    read = {id(variable) for variable in concrete.variables}
    assert not read & {id(weight.value) for weight in scorer.generator.variables}
    assert read & {id(weight.value) for weight in scorer.encoder.variables}
    assert set(concrete.structured_outputs) >= set(SETTINGS.scoring.members)


def test_the_score_is_the_mean_robust_z_of_its_members(exported, in_process):
    calibrations = exported[0].component_calibrations
    assert set(calibrations) == set(SETTINGS.scoring.members)
    z = [(in_process[name] - each.median) / each.scale for name, each in calibrations.items()]
    np.testing.assert_allclose(in_process["score"], np.mean(z, axis=0), rtol=1e-4)
