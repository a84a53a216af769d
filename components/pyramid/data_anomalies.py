"""Reads ExampleValidator's verdict, which no standard TFX component acts upon, and acts upon it."""

from collections.abc import Iterable

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact, artifact_utils

from proganomaly.components.errors import UserError

_FILE_NAME = "SchemaDiff.pb"


def check_data_anomalies(anomalies: Iterable[artifact.Artifact], on_data_anomalies: str) -> None:
    """Prints one line per anomaly, or refuses the data.

    Args:
        anomalies: ExampleAnomalies artifacts.
        on_data_anomalies: "warn" or "stop"; see PyramidSettings.

    Raises:
        UserError: there are anomalies and `on_data_anomalies` is "stop".
    """
    found = [line for one in anomalies for line in _describe_artifact(one)]
    if found and on_data_anomalies == "stop":
        raise UserError(f"data validation found {len(found)} anomalies: {'; '.join(found)}")
    for line in found:
        print(f"warning: data validation: {line}", flush=True)


def _describe_artifact(one: artifact.Artifact) -> list[str]:
    """Returns one line per anomaly: split, feature and reason."""
    lines = []
    for split in artifact_utils.decode_split_names(one.split_names):
        path = f"{artifact_utils.get_split_uri([one], split)}/{_FILE_NAME}"
        with tf.io.gfile.GFile(path, "rb") as file:
            diff = anomalies_pb2.Anomalies.FromString(file.read())
        for name, info in sorted(diff.anomaly_info.items()):
            reasons = " ".join((info.description or info.short_description).split())
            lines.append(f"split {split}, feature {name}: {reasons}")
        if diff.HasField("dataset_anomaly_info"):
            lines.append(f"split {split}: {' '.join(diff.dataset_anomaly_info.description.split())}")
    return lines
