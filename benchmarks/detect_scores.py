"""What the detection benchmark measures of one task: the rows of its results, without what names the task."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from detect_data import Images, OneClassData, batches
from detect_settings import CONTROL, FOREST, FUSED, KNN, PCA, Task
from detect_train import generator_quality, trained
from numpy.typing import NDArray

from proganomaly.components.metrics import baselines, detection, pixels
from proganomaly.components.model.calibration import calibrate
from proganomaly.components.model.control import untrained_scorer
from proganomaly.components.model.networks import to_network_range
from proganomaly.components.model.scorer import AnomalyScorer, fuse

_BATCH = 256
_TIMED_IMAGES = 1_024
Rows = list[dict[str, Any]]
Scores = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a scorer says of some images.

    Attributes:
        components: Each score component by name, float32 [N].
        score: Fused score, float32 [N].
        is_anomaly: Whether it is above the threshold, bool [N].
        maps: Anomaly maps, float32 [N, R, R], or None.
    """

    components: dict[str, Scores]
    score: Scores
    is_anomaly: NDArray[np.bool_]
    maps: NDArray[np.float32] | None = None


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
    measures = {**measured(data, tested), "reference_mib": scorer.references.bytes / 2**20}
    if task.quality:
        measures |= generator_quality(task, data, networks)
    rows = _rows(FUSED, task.role, measures, train_cpu_s, milliseconds_per_image(scorer, data.test))
    for name, scores in (tested.components | fusions(scorer.settings.members, tested, held_out)).items():
        auroc = {"image_auroc": detection.image_auroc(data.labels, scores)}
        rows += _rows(name, "ablation", auroc, train_cpu_s)
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
    tested = scored(scorer, data.test, members_alone=data.masks is None)
    return _rows(CONTROL, "control", measured(data, tested), 0, milliseconds_per_image(scorer, data.test))


def measure_baselines(task: Task, data: OneClassData) -> Rows:
    """Measures the baselines, fitted on the training images; their time per image has fitting in it."""
    rows = []
    for name, baseline in (
        (KNN, baselines.knn_baseline),
        (PCA, baselines.pca_baseline),
        (FOREST, functools.partial(_isolation_forest, seed=task.seed)),
    ):
        began = time.process_time()
        scores, maps = baseline(data.train, data.test)
        score_ms = 1000 * (time.process_time() - began) / len(data.test)
        measures = detection.image_measures(data.labels, scores) | pixel_measures(data, maps)
        rows += _rows(name, "baseline", measures, 0, score_ms)
    return rows


def _isolation_forest(normal: Images, images: Images, seed: int) -> tuple[Scores, None]:
    return baselines.isolation_forest_baseline(normal, images, seed=seed), None


def scored(scorer: AnomalyScorer, images: Images, members_alone: bool = False) -> Scored:
    """Scores images, uint8 [N, R, R, C], with a scorer that is calibrated.

    Args:
        scorer: The scorer.
        images: The images.
        members_alone: Leave out what the score is not made of, maps too: on many images much time is theirs.
    """

    @functools.partial(tf.function, reduce_retracing=True)
    def judge(batch: tf.Tensor) -> dict[str, Any]:
        if members_alone:
            told = {"components": scorer.members(to_network_range(batch))}
        else:
            explanation = scorer.explain(to_network_range(batch))
            told = {"components": explanation.components, "maps": explanation.anomaly_map}
        verdict = scorer.verdict(told["components"])
        return told | {name: verdict[name] for name in ("score", "is_anomaly")}

    parts = [judge(batch) for batch in batches(images, _BATCH)]
    return Scored(**tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts))


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
    counter = pixels.PixelCounter()
    counter.add(data.masks, maps)
    return counter.counts().measures()


def fusions(members: Sequence[str], tested: Scored, held_out: Scored) -> dict[str, Scores]:
    """Fuses anew without each member, and with each component that is none.

    Args:
        members: The components that are fused by default.
        tested: What is fused.
        held_out: What it is calibrated on.
    """
    calibrations = {name: calibrate(scores) for name, scores in held_out.components.items()}

    def fused(names: Sequence[str]) -> Scores:
        return fuse({name: calibrations[name] for name in names}, tested.components).numpy()

    result = {}
    for name in tested.components:
        others = tuple(member for member in members if member != name)
        if name not in members:
            result[f"{FUSED} with {name}"] = fused((*members, name))
        elif others:
            result[f"{FUSED} without {name}"] = fused(others)
    return result


def milliseconds_per_image(scorer: AnomalyScorer, images: Images) -> float:
    """Returns the CPU milliseconds that the members of the score take of an image, in batches of 256."""
    members = tf.function(scorer.members)
    timed = [to_network_range(batch) for batch in batches(images[:_TIMED_IMAGES], _BATCH)]
    timed = [batch for batch in timed if len(batch) == len(timed[0])]
    members(timed[0])
    began = time.process_time()
    for batch in timed:
        members(batch)
    return 1000 * (time.process_time() - began) / (len(timed) * len(timed[0]))


def _rows(
    method: str,
    role: str,
    measures: dict[str, float | None],
    train_cpu_s: float,
    score_ms: float | None = None,
) -> Rows:
    common = {"train_cpu_s": train_cpu_s, "score_ms": score_ms}
    return [
        {"method": method, "role": role, "metric": metric, "value": value, **common}
        for metric, value in measures.items()
        if value is not None
    ]


def _keep(path: pathlib.Path, data: OneClassData, tested: Scored, held_out: Scored) -> None:
    """Keeps the components, so that another fusion needs no scoring."""
    arrays = {f"test/{name}": values for name, values in tested.components.items()}
    arrays |= {f"calibration/{name}": values for name, values in held_out.components.items()}
    np.savez(path, labels=data.labels, score=tested.score, **arrays)
