"""The random-weights control of a served model, measured on the same images: what its training is worth."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydantic
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.evaluator.scratch import scratch_array
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.metrics.baselines import ScoresAndMaps
from proganomaly.components.model.control import untrained_scorer
from proganomaly.components.model.networks import to_network_range
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.components.settings import from_json


class NoControl(Exception):
    """Why there is no control, in one line."""


def score_untrained(
    description: dict[str, Any] | None,
    spec: ImageSpec,
    train: NDArray[np.uint8],
    calibration: NDArray[np.uint8],
    images: NDArray[np.uint8],
    batch_size: int,
) -> ScoresAndMaps:
    """Scores images with the model's networks as they were before training, by the model's scoring.

    Args:
        description: What the exported model says of itself.
        spec: What the networks see.
        train: Normal images of the reference, uint8 [N, R, R, C].
        calibration: Held-out normal images, alike.
        images: The images to score, uint8 [M, R, R, C].
        batch_size: Images at a time.

    Returns:
        Scores float32 [M] and maps float32 [M, R, R], the maps in a temporary file.

    Raises:
        NoControl: the model does not say what it is made of, or there are too few images.
    """
    if description is None:
        raise NoControl("the model does not say what networks it has (it is of an older version)")
    if not len(train) or len(calibration) < 2:
        raise NoControl(
            f"it needs training images and two or more calibration images; there are {len(train)} and "
            f"{len(calibration)}"
        )
    try:
        networks = from_json(NetworkSettings, json.dumps(description["networks"]))
        scoring = from_json(ScoringSettings, json.dumps(description["scoring"]))
        # What is no member does not move the score.
        scoring = dataclasses.replace(scoring, components=scoring.members)
        seed = int(description["seed"])
    except (KeyError, pydantic.ValidationError) as error:
        raise NoControl("the model's networks or scoring are those of another version") from error

    def batches(of: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        return (of[start : start + batch_size] for start in range(0, len(of), batch_size))

    scorer = untrained_scorer(
        networks, scoring, spec, seed, lambda: batches(train), lambda: batches(calibration)
    )

    @tf.function(reduce_retracing=True)
    def score(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        explanation = scorer.explain(to_network_range(batch))
        return scorer.verdict(explanation.components)["score"], explanation.anomaly_map

    scores = np.empty(len(images), np.float32)
    maps = scratch_array((len(images), spec.resolution, spec.resolution), np.float32)
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        scores[rows], maps[rows] = score(tf.constant(images[rows]))
    return scores, maps
