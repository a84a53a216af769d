"""Scorers built anew from what an exported model says of itself: untrained, or with other references."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator

import numpy as np
import pydantic
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.evaluator.predict import Outputs, ServedModel
from proganomaly.components.evaluator.scratch import scratch_array
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.metrics.baselines import ScoresAndMaps
from proganomaly.components.model.control import untrained_scorer
from proganomaly.components.model.networks import Networks, build_networks, to_network_range
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.components.settings import from_json

# Where an exported model keeps the weights that it scores with, in the order of `Networks.variables`.
_WEIGHTS, _AVERAGES = "assets.extra/training/weights", "averages"


class NotRebuilt(Exception):
    """Why a scorer cannot be built anew, as half a sentence."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a model is made of.

    Attributes:
        path: Folder of the SavedModel.
        networks: Widths and shape of the networks.
        scoring: How they score, with no components but those of the score.
        seed: Seed of the run.
    """

    path: str
    networks: NetworkSettings
    scoring: ScoringSettings
    seed: int


def read_recipe(model: ServedModel) -> Recipe:
    """Reads what a model is made of.

    Raises:
        NotRebuilt: it does not say so, or in words of another version.
    """
    if model.description is None:
        raise NotRebuilt("the model does not say what networks it has (it is of an older version)")
    try:
        networks = from_json(NetworkSettings, json.dumps(model.description["networks"]))
        scoring = from_json(ScoringSettings, json.dumps(model.description["scoring"]))
        seed = int(model.description["seed"])
    except (KeyError, pydantic.ValidationError) as error:
        raise NotRebuilt("the model's networks or scoring are those of another version") from error
    return Recipe(model.path, networks, dataclasses.replace(scoring, components=scoring.members), seed)


def restored_networks(recipe: Recipe, spec: ImageSpec) -> Networks:
    """Builds the networks with the weights that the model scores with.

    Raises:
        NotRebuilt: the model does not carry them.
    """
    networks = build_networks(recipe.networks, spec)
    values = [variable.value for variable in networks.variables()]
    try:
        status = tf.train.Checkpoint(**{_AVERAGES: values}).read(f"{recipe.path}/{_WEIGHTS}")
        status.assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, ValueError, AssertionError) as error:
        raise NotRebuilt("the model does not carry the weights of its networks") from error
    return networks


@contextlib.contextmanager
def many_scorers() -> Iterator[None]:
    """Every scorer traces graphs of its own; TensorFlow takes several of them for a mistake and warns."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


@many_scorers()
def score_untrained(
    recipe: Recipe,
    spec: ImageSpec,
    train: NDArray[np.uint8],
    calibration: NDArray[np.uint8],
    images: NDArray[np.uint8],
    batch_size: int,
) -> ScoresAndMaps:
    """Scores images with the networks as they were before training, by the model's scoring.

    Args:
        recipe: What the model is made of.
        spec: What the networks see.
        train: Normal images of the reference, uint8 [N, R, R, C].
        calibration: Held-out normal images, alike.
        images: The images to score, uint8 [M, R, R, C].
        batch_size: Images at a time.

    Returns:
        Scores float32 [M] and maps float32 [M, R, R], the maps in a temporary file.

    Raises:
        NotRebuilt: there are too few images.
    """
    check_enough(train, calibration)
    scorer = untrained_scorer(
        recipe.networks,
        recipe.scoring,
        spec,
        recipe.seed,
        functools.partial(batches, train, batch_size),
        functools.partial(batches, calibration, batch_size),
    )
    verdict, maps = apply(scorer, images, batch_size)
    return verdict["score"], maps


def check_enough(train: NDArray[np.uint8], calibration: NDArray[np.uint8]) -> None:
    """Raises NotRebuilt where there are too few images to fit and calibrate a scorer."""
    if len(train) < 2 or len(calibration) < 2:
        raise NotRebuilt(
            f"it needs two or more training and calibration images; there are {len(train)} and "
            f"{len(calibration)}"
        )


def batches(images: NDArray[np.uint8], batch_size: int) -> Iterator[NDArray[np.uint8]]:
    """Yields images [N, ...] in batches."""
    return (images[start : start + batch_size] for start in range(0, len(images), batch_size))


def apply(
    scorer: AnomalyScorer, images: NDArray[np.uint8], batch_size: int
) -> tuple[Outputs, NDArray[np.float32]]:
    """Scores uint8 [N, R, R, C]; returns the scorer's verdict [N] by name and the maps float32 [N, R, R]."""

    @tf.function(reduce_retracing=True)
    def explain(batch: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        explanation = scorer.explain(to_network_range(batch))
        return scorer.verdict(explanation.components), explanation.anomaly_map

    parts = []
    maps = scratch_array(images.shape[:3], np.float32)
    for start, batch in zip(range(0, len(images), batch_size), batches(images, batch_size), strict=True):
        verdict, maps[start : start + len(batch)] = explain(tf.constant(batch))
        parts.append(verdict)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, maps
