"""Looks for drift, writes down what it saw, and warns or stops."""

import collections
import itertools
import json
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tfx.components.example_gen.utils import SPAN_PROPERTY_NAME
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME as ANOMALIES_FILE
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME as STATISTICS_FILE
from tfx.dsl.components.base import base_executor
from tfx.types import artifact, artifact_utils

from proganomaly.components.data_validation import pictures
from proganomaly.components.data_validation.drift import Drift, detect
from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.data_validation.statistics import compute_statistics
from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic
from proganomaly.components.records.image_example import ImageRecord, read_image_examples
from proganomaly.components.records.image_index import PREVIOUS_INDEX_FILE, IndexEntry, read_index
from proganomaly.components.records.quarantine import DUPLICATE, read_quarantine
from proganomaly.components.settings import from_json

DRIFT_FILE = "drift.json"
ALARMS = "alarms"


class Executor(base_executor.BaseExecutor):
    """Executor of DriftDetector."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Compares the newest span with the others.

        Args:
            input_dict: `examples`, with `index.jsonl` and, where spans have left the window,
                `previous_index.jsonl`.
            output_dict: `drift`; see the component.
            exec_properties: `settings` as JSON.

        Raises:
            UserError: there is an alarm that nobody acknowledged, and `on_drift` is "stop".
        """
        settings = from_json(DriftSettings, exec_properties["settings"])
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        output = artifact_utils.get_single_instance(output_dict["drift"])
        newest = examples.get_int_custom_property(SPAN_PROPERTY_NAME)
        copies = _count_copies(examples.uri)
        drift = detect(read_index(examples.uri), _read_previous(examples.uri), copies, newest, settings)
        _write(output.uri, drift, examples, settings.report_images)
        output.span = drift.summary["span"]
        output.set_int_custom_property(ALARMS, len(drift.alarming))
        _tell(drift.summary, settings.on_drift)


def _read_previous(uri: str) -> Iterator[IndexEntry]:
    if tf.io.gfile.exists(f"{uri}/{PREVIOUS_INDEX_FILE}"):
        yield from read_index(uri, PREVIOUS_INDEX_FILE)


def _count_copies(uri: str) -> collections.Counter[int]:
    """Returns how many images of each span were quarantined because their pixels were there already."""
    copies = (entry for entry in read_quarantine(uri) if entry["stage"] == DUPLICATE)
    return collections.Counter(int(entry["span"]) for entry in copies)


def _write(folder: str, drift: Drift, examples: artifact.Artifact, number: int) -> None:
    """Writes statistics, TFDV's verdict, pictures, and last `drift.json`."""
    summary = drift.summary
    shown: dict[str, list[dict[str, Any]]] = {}
    if drift.sides and drift.anomalies:
        for name, entries in (("reference", drift.sides.reference), ("new", drift.sides.new)):
            statistics = compute_statistics(entries, name).SerializeToString()
            write_atomic(f"{folder}/Split-{name}/{STATISTICS_FILE}", statistics)
        write_atomic(f"{folder}/{ANOMALIES_FILE}", drift.anomalies.SerializeToString())
    if drift.alarming:
        shown = _draw(folder, drift, examples, number)
    write_atomic(f"{folder}/{DRIFT_FILE}", json.dumps({**summary, "pictures": shown}, indent=2) + "\n")


def _draw(
    folder: str, drift: Drift, examples: artifact.Artifact, number: int
) -> dict[str, list[dict[str, Any]]]:
    """Writes the pictures; returns file, path and span of each."""
    new, reference = pictures.choose(drift, number)
    drawn = pictures.draw([*new, *reference], _records(examples))
    shown: dict[str, list[dict[str, Any]]] = {"new": [], "reference": []}
    for place, (entry, png) in enumerate(zip([*new, *reference], drawn, strict=True)):
        side = "new" if place < len(new) else "reference"
        file = f"pictures/{side}_{len(shown[side])}.png"
        write_atomic(f"{folder}/{file}", png)
        shown[side].append({"file": file, "path": entry.path, "span": entry.span})
    return shown


def _records(examples: artifact.Artifact) -> Iterator[ImageRecord]:
    splits = artifact_utils.decode_split_names(examples.split_names)
    uris = [uri for split in splits for uri in artifact_utils.get_split_uris([examples], split)]
    return itertools.chain.from_iterable(read_image_examples(uri) for uri in uris)


def _tell(summary: dict[str, Any], on_drift: str) -> None:
    """Warns of alarms, or stops at them."""
    alarms, span = summary["alarms"], summary["span"]
    if not alarms or on_drift == "ignore":
        return
    if summary["acknowledged"]:
        for line in alarms:
            print(f"drift of span {span}, acknowledged: {line}", flush=True)
        return
    if on_drift == "stop":
        raise UserError(
            f"span {span} differs from the spans before it: {'; '.join(alarms)}; its images are kept, and "
            f"--drift.acknowledged=[{span}] goes on with them"
        )
    for line in alarms:
        print(f"warning: drift of span {span}: {line}", flush=True)
