"""Training images that look anomalous: a model takes for normal what it is shown, so a person should look."""

import csv
import dataclasses
import functools
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from proganomaly.components.evaluator.held_out import decode_records
from proganomaly.components.evaluator.predict import Outputs, Scored
from proganomaly.components.evaluator.rebuilt import (
    Recipe,
    apply,
    batches,
    check_enough,
    many_scorers,
    restored_networks,
)
from proganomaly.components.evaluator.scratch import scratch_array
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.records.image_example import ImageRecord

# So many are listed: the scores tell where the list becomes ordinary, and nobody looks at more.
LISTED = 100
# A ranking needs no references as fine as those of the served score, and this is done twice.
_RESERVOIR, _CORESET = 20_000, 1_024


@many_scorers()
def find_suspects(
    recipe: Recipe,
    spec: ImageSpec,
    records: Sequence[ImageRecord],
    calibration: NDArray[np.uint8],
    batch_size: int,
) -> Scored:
    """Scores each half of the training images with the other half as references.

    The model itself has the images among its references and finds each of them near to itself. Measured on
    60 images of brick with one defect of each of five kinds among them: the model ranks them at 7, 21, 23, 30
    and 33 of 65, the halves at 1, 2, 4, 20 and 48.

    Args:
        recipe: What the model is made of.
        spec: What the networks see.
        records: Training images in an order without meaning.
        calibration: Held-out normal images, uint8 [N, R, R, C].
        batch_size: Images at a time.

    Returns:
        The highest scores, highest first, at most `LISTED`.

    Raises:
        NotRebuilt: there are too few images, or the model does not carry its weights.
    """
    images = decode_records(records, spec)
    halves = (slice(0, None, 2), slice(1, None, 2))
    for half in halves:
        check_enough(images[half], calibration)
    networks = restored_networks(recipe, spec)
    scoring = dataclasses.replace(
        recipe.scoring,
        reservoir_size=min(recipe.scoring.reservoir_size, _RESERVOIR),
        coreset_size=min(recipe.scoring.coreset_size, _CORESET),
    )
    verdicts: Outputs = {}
    maps = scratch_array(images.shape[:3], np.float32)
    for half, others in (halves, halves[::-1]):
        scorer = AnomalyScorer(networks, spec, scoring)
        scorer.fit(functools.partial(batches, images[others], batch_size), recipe.seed)
        scorer.calibrate(functools.partial(batches, calibration, batch_size))
        verdict, maps[half] = apply(scorer, images[half], batch_size)
        for name in ("score", "p_value", "is_anomaly"):
            verdicts.setdefault(name, np.zeros(len(records), verdict[name].dtype))[half] = verdict[name]
    scored = Scored(list(records), **verdicts, anomaly_map=maps)
    return scored.take(np.argsort(-scored.score, kind="stable")[:LISTED])


def to_csv(suspects: Scored) -> str:
    """Returns the suspects as CSV, one line per image."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["filename", "score", "p_value", "is_anomaly"])
    for row, record in enumerate(suspects.records):
        numbers = (f"{values[row]:.9g}" for values in (suspects.score, suspects.p_value))
        writer.writerow([record.filename, *numbers, int(suspects.is_anomaly[row])])
    return file.getvalue()
