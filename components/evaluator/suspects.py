"""Training images that look anomalous: a model takes for normal what it is shown, so a person should look."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from proganomaly.components.evaluator.predict import Predictions, ServedModel, predict
from proganomaly.components.records.image_example import NORMAL, ImageRecord

# So many are listed: the scores tell where the list becomes ordinary, and nobody looks at more.
LISTED = 100


def find_suspects(model: ServedModel, records: Sequence[ImageRecord], batch_size: int) -> Predictions | None:
    """Scores training images.

    A model that keeps an image among its references finds it near to itself: what it scores high all the same
    is worth a look, what it scores low is not cleared.

    Returns:
        The highest scores, highest first; None where there is nothing to score, or a score is not finite.
    """
    if not records:
        return None
    found = predict(model, records, np.full(len(records), NORMAL), batch_size)
    if not np.isfinite(found.score).all():
        return None
    return found.take(np.argsort(-found.score, kind="stable")[:LISTED])


def to_csv(suspects: Predictions) -> str:
    """Returns the suspects as CSV, one line per image."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["filename", "score", "p_value", "is_anomaly"])
    for row, record in enumerate(suspects.records):
        numbers = (f"{values[row]:.9g}" for values in (suspects.score, suspects.p_value))
        writer.writerow([record.filename, *numbers, int(suspects.is_anomaly[row])])
    return file.getvalue()
