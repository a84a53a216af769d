"""What the report says about the images themselves: those that could not be used, and drift."""

import dataclasses
import json
from typing import Any

import tensorflow as tf

from proganomaly.components.evaluator import figures
from proganomaly.components.records.quarantine import (
    QUARANTINE_FILE,
    Quarantined,
    count_stages,
    read_quarantine,
)

_DRIFT_FILE = "drift.json"


@dataclasses.dataclass(frozen=True)
class DataNotes:
    """What is told of the data.

    Attributes:
        quarantined: Number of images that could not be used, by the stage that found it.
        first: The first of them: path, stage, reason.
        drift: What the drift detector wrote down; None without one.
        pictures: Images beside an alarm, those of the newest span ("new") and of the reference: the
            detector's notes, with the PNG.
        histograms: PNGs by title of a feature that alarms.
    """

    quarantined: dict[str, int]
    first: list[Quarantined]
    drift: dict[str, Any] | None
    pictures: dict[str, list[dict[str, Any]]]
    histograms: dict[str, bytes]

    @property
    def alarms(self) -> list[str]:
        """The alarms that nobody has acknowledged."""
        return self.drift["alarms"] if self.drift and not self.drift["acknowledged"] else []


def read_data_notes(examples_uri: str, drift_uri: str, number: int) -> DataNotes:
    """Reads what ingestion and the drift detector left.

    Args:
        examples_uri: Of the images.
        drift_uri: Of the detector's artifact; "" without one.
        number: Quarantined images that are listed.
    """
    rows: list[Quarantined] = []
    if tf.io.gfile.exists(f"{examples_uri}/{QUARANTINE_FILE}"):
        rows = read_quarantine(examples_uri)
    stages = count_stages(rows)
    if not drift_uri:
        return DataNotes(stages, rows[:number], None, {}, {})
    drift = json.loads(_read(f"{drift_uri}/{_DRIFT_FILE}"))
    pictures = {
        side: [{**one, "png": _read(f"{drift_uri}/{one['file']}")} for one in shown]
        for side, shown in drift["pictures"].items()
    }
    histograms = {
        feature["title"]: figures.two_histograms(feature["title"], feature["histogram"])
        for feature in drift["features"].values()
        if feature["alarm"] and "histogram" in feature
    }
    return DataNotes(stages, rows[:number], drift, pictures, histograms)


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    return content
