"""Scores images through an exported SavedModel, as a server would."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator.scratch import scratch_array
from proganomaly.components.records.image_example import ImageRecord

Outputs = dict[str, NDArray]
MAP, RECONSTRUCTION, IMAGE = "anomaly_map", "reconstruction", "image"
PICTURES = (MAP, RECONSTRUCTION, IMAGE)
# What `explain` says beside the pictures and the score's components.
_VERDICT = ("score", "normalized_score", "p_value", "is_anomaly", "threshold", "threshold_interval")
_PIXELS = ("pixel_threshold", "pixel_threshold_interval")
# What an exported model says of itself; older ones have nothing to say.
_DESCRIPTION = "assets.extra/model.json"


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
    _signature(model, path, signature)
    return model


def _signature(model: Any, path: str, name: str) -> Callable[..., dict[str, tf.Tensor]]:
    if name not in model.signatures:
        known = ", ".join(sorted(model.signatures))
        raise UserError(f"the model {path} needs the signature {name}; it has {known or 'none'}")
    return model.signatures[name]


class ServedModel:
    """An exported model with its signatures.

    Attributes:
        path: Folder of the SavedModel.
        description: What the exporter wrote of networks, scoring and calibration; None in older models.
    """

    def __init__(self, path: str) -> None:
        """Loads the SavedModel.

        Raises:
            UserError: there is none, or it has no signature `explain`.
        """
        self.path = path
        # Signatures of a deleted model no longer work.
        self._model = load_served(path, "explain")
        if "image_bytes" not in self._model.signatures["explain"].structured_input_signature[1]:
            raise UserError(f"the model {path} takes pixels, not encoded images: serve it by hand")
        self._explain: Callable[..., dict[str, tf.Tensor]] = self._model.signatures["explain"]
        self.description = _read_description(path)

    @property
    def fit(self) -> str:
        """How the model makes a square of an image, see `ImageSpec`; "" of a model that does not say."""
        return str((self.description or {}).get("image", {}).get("fit", ""))

    def batches(
        self, images: Sequence[bytes], batch_size: int, without: Collection[str] = ()
    ) -> Iterator[tuple[slice, Outputs]]:
        """Scores encoded images batch by batch.

        Args:
            images: Encoded images.
            batch_size: Images at a time.
            without: Outputs that are left out.

        Yields:
            The rows of a batch, and output name -> array [n, ...]; see the signature `explain`.
        """
        for start in range(0, len(images), batch_size):
            rows = slice(start, min(start + batch_size, len(images)))
            outputs = self._explain(image_bytes=tf.constant(list(images[rows])))
            yield rows, {name: value.numpy() for name, value in outputs.items() if name not in without}

    def explain(
        self, images: Sequence[bytes], batch_size: int, without: Collection[str] = (IMAGE, RECONSTRUCTION)
    ) -> Outputs:
        """Scores encoded images, at least one, and keeps everything in memory; otherwise as `batches`.

        Returns:
            Output name -> array [N, ...].
        """
        parts = [outputs for _, outputs in self.batches(images, batch_size, without)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def tiles(self, image: bytes) -> Outputs:
        """Scores one encoded image of any size by tiles.

        Returns:
            Output name -> array [1, ...]; see the signature `tiles`.

        Raises:
            UserError: the model has no such signature.
        """
        outputs = _signature(self._model, self.path, "tiles")(image_bytes=tf.constant([image]))
        return {name: value.numpy() for name, value in outputs.items()}


def _read_description(path: str) -> dict[str, Any] | None:
    if not tf.io.gfile.exists(f"{path}/{_DESCRIPTION}"):
        return None
    with tf.io.gfile.GFile(f"{path}/{_DESCRIPTION}") as file:
        return json.load(file)


@dataclasses.dataclass(frozen=True)
class Scored:
    """Images with what a list or a gallery shows of them; see `Predictions`."""

    records: Sequence[ImageRecord]
    score: NDArray
    p_value: NDArray
    is_anomaly: NDArray[np.bool_]
    anomaly_map: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> "Scored":
        """Returns a few of the images, in the order of `rows`."""
        columns = (self.score[rows], self.p_value[rows], self.is_anomaly[rows], self.anomaly_map[rows])
        return Scored([self.records[row] for row in rows], *columns)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model said of N images.

    Attributes:
        records: The images.
        labels: int [N], 0 normal, 1 anomalous, -1 unknown.
        score: float [N], raw, higher = more anomalous.
        normalized_score: float [N] in (0, 1).
        p_value: float [N].
        is_anomaly: bool [N].
        threshold: Raw score above which an image is an anomaly.
        anomaly_map: float32 [N, R, R], in a temporary file: see `scratch`.
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

    def take(self, rows: NDArray[np.int64]) -> Scored:
        """Returns a few of the images, in the order of `rows`."""
        return Scored(self.records, self.score, self.p_value, self.is_anomaly, self.anomaly_map).take(rows)


def predict(
    model: ServedModel, records: Sequence[ImageRecord], labels: NDArray[np.int64], batch_size: int
) -> Predictions:
    """Scores images, at least one; see `Predictions`."""
    parts, maps = [], None
    encoded = [record.image for record in records]
    for rows, outputs in model.batches(encoded, batch_size, without=(IMAGE, RECONSTRUCTION)):
        batch_maps = outputs.pop(MAP)
        if maps is None:
            maps = scratch_array((len(records), *batch_maps.shape[1:]), np.float32)
        maps[rows] = batch_maps
        parts.append(outputs)
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    assert maps is not None, "there is at least one image"
    return Predictions(
        records=records,
        labels=labels,
        score=outputs["score"],
        normalized_score=outputs["normalized_score"],
        p_value=outputs["p_value"],
        is_anomaly=outputs["is_anomaly"],
        threshold=float(outputs["threshold"][0]),
        anomaly_map=maps,
        components={name: outputs[name] for name in sorted(outputs) if is_component(name, outputs[name])},
    )


def is_component(name: str, values: NDArray) -> bool:
    """Whether an output of `explain` is one of the score's components: one number for each image."""
    return values.ndim == 1 and name not in (*_VERDICT, *_PIXELS)


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
