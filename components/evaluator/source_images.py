"""Images that were cut into tiles, measured as the signature `tiles` judges them: one verdict for each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from proganomaly.components.evaluator.predict import Predictions
from proganomaly.components.images.tiling import source_name
from proganomaly.components.metrics.detection import image_auroc
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL


def measure_sources(
    predictions: Predictions, labels: NDArray[np.int64], stated_rate: float | None
) -> dict[str, Any]:
    """Measures the images that tiles were cut from.

    An image is as anomalous as its most anomalous tile, by the p-value that is corrected for the number of
    tiles (see `tiled_serving`). It is an anomaly if one of its tiles is labelled as one, and normal if all of
    them are. Any other image, such as an anomaly without a mask, is left out.

    Args:
        predictions: Of the tiles.
        labels: Of the tiles, int [N]: 0 normal, 1 anomalous, -1 unknown.
        stated_rate: The false-positive rate that the verdicts are to have; None if it is unknown.

    Returns:
        `images` and `anomalies`, how many there are; `image_auroc`; and `recall` and `false_positive_rate`,
        the shares of anomalies and of normal images that are flagged. What is undefined is None.
    """
    tiles: dict[str, list[int]] = {}
    for row, record in enumerate(predictions.records):
        tiles.setdefault(source_name(record.filename), []).append(row)
    truths, p_values = [], []
    for rows in tiles.values():
        own = labels[rows]
        if ANOMALOUS in own or (own == NORMAL).all():
            truths.append(int(own.max()))
            least = min(float(predictions.p_value[rows].min()), np.nextafter(1, 0))
            p_values.append(-np.expm1(len(rows) * np.log1p(-least)))
    truth, p_value = np.array(truths, np.int64), np.array(p_values)
    return {
        "images": len(truth),
        "anomalies": int((truth == ANOMALOUS).sum()),
        "image_auroc": image_auroc(truth, -p_value),
        "recall": _share(p_value[truth == ANOMALOUS], stated_rate),
        "false_positive_rate": _share(p_value[truth == NORMAL], stated_rate),
    }


def _share(p_values: NDArray[np.float64], rate: float | None) -> float | None:
    return float((p_values < rate).mean()) if len(p_values) and rate is not None else None
