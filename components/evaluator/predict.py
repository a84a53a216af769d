"""Scores images through an exported SavedModel, as a server would."""

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.records.image_example import ImageRecord

Outputs = dict[str, NDArray]
SCORED = ("score", "normalized_score", "p_value", "is_anomaly", "threshold", "pixel_threshold")
MAP, RECONSTRUCTION, IMAGE = "anomaly_map", "reconstruction", "image"


def load_served(path: str, signature: str) -> Any:
    """Loads a SavedModel that has a signature; its signatures work as long as it is kept.

    Raises:
        UserError: there is none, or it has not that signature.
    """
    if not tf.io.gfile.exists(f"{path}/saved_model.pb"):
        # The folder above is what `train` calls its output.
        meant = f"; did you mean {path}/model?" if tf.io.gfile.exists(f"{path}/model/saved_model.pb") else ""
        raise UserError(f"{path} holds no SavedModel{meant}")
    try:
        model = tf.saved_model.load(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"the SavedModel in {path} cannot be loaded: {str(error)[:200]}") from error
    if signature not in model.signatures:
        known = ", ".join(sorted(model.signatures))
        raise UserError(f"the model {path} needs the signature {signature}; it has {known or 'none'}")
    return model


class ServedModel:
    """An exported model with its signatures.

    Attributes:
        path: Folder of the SavedModel.
    """

    def __init__(self, path: str) -> None:
        """Loads the SavedModel.

        Raises:
            UserError: there is none, or it has not the signature `explain`.
        """
        self.path = path
        self._model = load_served(path, "explain")  # the signatures need it alive
        if "image_bytes" not in self._model.signatures["explain"].structured_input_signature[1]:
            raise UserError(f"the model {path} takes pixels, not encoded images: serve it by hand")
        self._explain: Callable[..., dict[str, tf.Tensor]] = self._model.signatures["explain"]

    def explain(
        self, images: Sequence[bytes], batch_size: int, without: Sequence[str] = (IMAGE, RECONSTRUCTION)
    ) -> Outputs:
        """Scores encoded images in batches.

        Args:
            images: Encoded images, at least one.
            batch_size: Images at a time.
            without: Outputs that are not kept; reconstructions of a whole split are many bytes.

        Returns:
            Output name -> array [N, ...]; see the signature `explain`.
        """
        batches = []
        for start in range(0, len(images), batch_size):
            outputs = self._explain(image_bytes=tf.constant(list(images[start : start + batch_size])))
            batches.append({name: value.numpy() for name, value in outputs.items() if name not in without})
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model said of a split's N images.

    Attributes:
        records: The images.
        labels: int [N], 0 normal, 1 anomalous, -1 unknown.
        score: float [N], raw, higher = more anomalous.
        normalized_score: float [N] in (0, 1).
        p_value: float [N].
        is_anomaly: bool [N].
        threshold: Raw score above which an image is an anomaly.
        anomaly_map: float32 [N, R, R].
        components: The score's components by name, float [N] each.
    """

    records: Sequence[ImageRecord]
    labels: NDArray[np.int64]
    score: NDArray
    normalized_score: NDArray
    p_value: NDArray
    is_anomaly: NDArray[np.bool_]
    threshold: float
    anomaly_map: NDArray[np.float32]
    components: Outputs


def predict(
    model: ServedModel, records: Sequence[ImageRecord], labels: NDArray[np.int64], batch_size: int
) -> Predictions:
    """Scores a split; see `Predictions`."""
    outputs = model.explain([record.image for record in records], batch_size)
    return Predictions(
        records=records,
        labels=labels,
        score=outputs["score"],
        normalized_score=outputs["normalized_score"],
        p_value=outputs["p_value"],
        is_anomaly=outputs["is_anomaly"],
        threshold=float(outputs["threshold"][0]),
        anomaly_map=outputs[MAP],
        components={name: outputs[name] for name in sorted(outputs) if name not in (*SCORED, MAP)},
    )


def to_csv(predictions: Predictions) -> str:
    """Returns the predictions as CSV, one line per image; an unknown label is empty."""
    columns = ("filename", "label", "defect_type", "score", "normalized_score", "p_value", "is_anomaly")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, *predictions.components])
    for row, record in enumerate(predictions.records):
        label = predictions.labels[row]
        numbers = (predictions.score, predictions.normalized_score, predictions.p_value)
        writer.writerow(
            [
                record.filename,
                "" if label < 0 else int(label),
                record.defect_type,
                *(f"{values[row]:.9g}" for values in numbers),
                int(predictions.is_anomaly[row]),
                *(f"{values[row]:.9g}" for values in predictions.components.values()),
            ]
        )
    return file.getvalue()
