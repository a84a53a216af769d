"""What the detection benchmark measures of one task: the rows of its results, without what names the task."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import tensorflow as tf
from detect_data import OneClassData, batches
from detect_settings import Task
from detect_train import generator_quality, trained
from numpy.typing import NDArray

from proganomaly.components.metrics import baselines, detection, pixels
from proganomaly.components.model.calibration import calibrate
from proganomaly.components.model.control import untrained_scorer
from proganomaly.components.model.networks import to_network_range
from proganomaly.components.model.scorer import AnomalyScorer

_BATCH = 256
_TIMED_IMAGES = 1_024
FUSED, CONTROL = "fused", "random weights"
BASELINES: dict[str, Callable] = {
    "kNN-5": baselines.knn_baseline,
    "PCA-64": baselines.pca_baseline,
}

Rows = list[dict[str, Any]]
Scores = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a scorer says of some images.

    Attributes:
        components: Each score component by name, float32 [N].
        score: Fused score, float32 [N].
        is_anomaly: Whether it is above the threshold, bool [N].
        maps: Anomaly maps, float32 [N, R, R].
    """

    components: dict[str, Scores]
    score: Scores
    is_anomaly: NDArray[np.bool_]
    maps: NDArray[np.float32]


def measure_model(task: Task, data: OneClassData, folder: pathlib.Path) -> Rows:
    """Trains and measures: the fused score, each component alone, the fusion with and without each.

    Args:
        task: What to measure.
        data: Its images.
        folder: Where trained networks and scores are kept.
    """
    networks, train_cpu_s = trained(task, data, folder / f"networks-{task.networks_name}")
    scorer = AnomalyScorer(networks, task.spec, task.trainer.scoring)
    scorer.fit(lambda: batches(data.train), task.seed)
    scorer.calibrate(lambda: batches(data.calibration))
    tested, held_out = scored(scorer, data.test), scored(scorer, data.calibration)
    _keep(folder / f"scores-{task.label}.npz", data, tested, held_out)
    measures = measured(data, tested)
    if task.quality:
        measures |= generator_quality(task, data, networks)
    common = {"train_cpu_s": train_cpu_s}
    score_ms = milliseconds_per_image(scorer, data.test)
    rows = _rows(FUSED, task.role, measures, **common, score_ms=score_ms)
    for name, scores in tested.components.items():
        auroc = {"image_auroc": detection.image_auroc(data.labels, scores)}
        rows += _rows(name, "ablation", auroc, **common)
    for name, scores in fusions(scorer, tested, held_out).items():
        rows += _rows(name, "ablation", {"image_auroc": detection.image_auroc(data.labels, scores)}, **common)
    return rows


def measure_control(task: Task, data: OneClassData) -> Rows:
    """Measures the same networks with random weights, under the same scoring."""
    scorer = untrained_scorer(
        task.trainer.networks,
        task.trainer.scoring,
        task.spec,
        task.seed,
        lambda: batches(data.train),
        lambda: batches(data.calibration),
    )
    score_ms = milliseconds_per_image(scorer, data.test)
    return _rows(
        CONTROL, "control", measured(data, scored(scorer, data.test)), train_cpu_s=0, score_ms=score_ms
    )


def measure_baselines(data: OneClassData) -> Rows:
    """Measures the baselines, fitted on the training images; their time per image has fitting in it."""
    rows = []
    for name, baseline in BASELINES.items():
        began = time.process_time()
        scores, maps = baseline(data.train, data.test)
        score_ms = 1000 * (time.process_time() - began) / len(data.test)
        measures = detection.image_measures(data.labels, scores) | pixel_measures(data, maps)
        rows += _rows(name, "baseline", measures, train_cpu_s=0, score_ms=score_ms)
    return rows


def scored(scorer: AnomalyScorer, images: NDArray[np.uint8]) -> Scored:
    """Scores images, uint8 [N, R, R, C], with a scorer that is calibrated."""

    @functools.partial(tf.function, reduce_retracing=True)
    def explain(batch: tf.Tensor) -> tuple:
        explanation = scorer.explain(to_network_range(batch))
        verdict = scorer.verdict(explanation.components)
        return explanation.components, verdict["score"], verdict["is_anomaly"], explanation.anomaly_map

    parts = [explain(batch) for batch in batches(images, _BATCH)]
    components = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    return Scored(components, *(np.concatenate([part[index] for part in parts]) for index in (1, 2, 3)))


def measured(data: OneClassData, tested: Scored) -> dict[str, float | None]:
    """Returns all measures of a score and its maps by name."""
    return {
        **detection.image_measures(data.labels, tested.score),
        "recall": float(tested.is_anomaly[data.labels == 1].mean()),
        "false_positive_rate": float(tested.is_anomaly[data.labels == 0].mean()),
        **pixel_measures(data, tested.maps),
    }


def pixel_measures(data: OneClassData, maps: NDArray[np.float32] | None) -> dict[str, float | None]:
    """Returns the measures of anomaly maps [N, R, R]; none where there are no masks or maps."""
    if data.masks is None or maps is None:
        return {}
    batch = data.masks, maps, [""] * len(maps)
    return pixels.count_pixels(lambda: [batch])[""].measures()


def fusions(scorer: AnomalyScorer, tested: Scored, held_out: Scored) -> dict[str, Scores]:
    """Fuses anew without each member, and with each component that is none.

    Args:
        scorer: Says which are the members; its own fusion is used.
        tested: What is fused.
        held_out: What it is calibrated on.
    """
    members, result = scorer.settings.members, {}
    for name in tested.components:
        others = tuple(member for member in members if member != name)
        if name not in members:
            result[f"{FUSED} with {name}"] = _fused(scorer, (*members, name), tested, held_out)
        elif others:
            result[f"{FUSED} without {name}"] = _fused(scorer, others, tested, held_out)
    return result


def _fused(scorer: AnomalyScorer, members: Collection[str], tested: Scored, held_out: Scored) -> Scores:
    z = [calibrate(held_out.components[name]).robust_z(tested.components[name]) for name in members]
    return np.mean(z, axis=0)


def milliseconds_per_image(scorer: AnomalyScorer, images: NDArray[np.uint8]) -> float:
    """Returns the CPU milliseconds of explaining an image by the members alone, in batches of 256."""
    explain = tf.function(lambda batch: scorer.explain(batch).anomaly_map)
    timed = [to_network_range(batch) for batch in batches(images[:_TIMED_IMAGES], _BATCH)]
    timed = [batch for batch in timed if len(batch) == len(timed[0])]
    explain(timed[0])
    began = time.process_time()
    for batch in timed:
        explain(batch)
    return 1000 * (time.process_time() - began) / (len(timed) * len(timed[0]))


def _rows(
    method: str,
    role: str,
    measures: dict[str, float | None],
    train_cpu_s: float,
    score_ms: float | None = None,
) -> Rows:
    return [
        {
            "method": method,
            "role": role,
            "metric": metric,
            "value": value,
            "train_cpu_s": train_cpu_s,
            "score_ms": score_ms,
        }
        for metric, value in measures.items()
        if value is not None
    ]


def _keep(path: pathlib.Path, data: OneClassData, tested: Scored, held_out: Scored) -> None:
    """Keeps the components, so that another fusion needs no scoring."""
    arrays = {f"test/{name}": values for name, values in tested.components.items()}
    arrays |= {f"calibration/{name}": values for name, values in held_out.components.items()}
    np.savez(path, labels=data.labels, score=tested.score, **arrays)
