"""Turns image folders into splits of tf.Examples, and says of every file what became of it."""

import collections
import json
import uuid
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact, artifact_utils

from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic
from proganomaly.components.image_example_gen import driver, inspected, routing, store
from proganomaly.components.image_example_gen.assignment import Assignment, assign
from proganomaly.components.image_example_gen.inspected import InspectedSpan
from proganomaly.components.image_example_gen.layouts import list_images
from proganomaly.components.image_example_gen.listing import CALIBRATION, SPLITS, TRAIN
from proganomaly.components.image_example_gen.settings import CONTAINERS, ImageExampleGenSettings
from proganomaly.components.image_example_gen.spans import resolve_window
from proganomaly.components.images.spec import Reading
from proganomaly.components.records.image_index import PREVIOUS_INDEX_FILE, IndexEntry, write_index
from proganomaly.components.records.quarantine import (
    DUPLICATE,
    QUARANTINE_FILE,
    Quarantined,
    write_quarantine,
)
from proganomaly.components.settings import from_json

IMAGES_FOUND = "images_found"
IMAGES_INGESTED = "images_ingested"
IMAGES_QUARANTINED = "images_quarantined"
FILES_PASSED_OVER = "files_passed_over"
_EXAMPLES_IN_MESSAGE = 3


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of ImageExampleGen."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Inspects every file that is new, and writes what can be used into splits.

        Args:
            input_dict: Empty.
            output_dict: `examples`; see the component.
            exec_properties: `input_base`, `store`, `code_version`, `settings` and `reading` as JSON; what the
                driver has resolved, where one ran.

        Raises:
            UserError: a folder is not as it must be, too many files cannot be used, or the train or
                calibration split is empty.
        """
        settings = from_json(ImageExampleGenSettings, exec_properties["settings"])
        reading = from_json(Reading, exec_properties["reading"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        # Kubeflow Pipelines runs no driver. Where one ran its word counts: a span that arrived since is not
        # the one that the cache was asked for.
        found = exec_properties.get(driver.RESOLVED_WINDOW)
        window = (
            driver.window_from_text(found)
            if found is not None
            else resolve_window(exec_properties["input_base"], settings.window)
        )
        passing = f"{examples.uri}/.inspected"
        spans = store.Store(exec_properties["store"] or passing)
        passed_over = 0
        done: list[InspectedSpan] = []
        entries: list[IndexEntry] = []
        quarantined: list[Quarantined] = []
        for span in window:
            listing = list_images(span.root, settings)
            passed_over += listing.passed_over
            target = spans.place_of(span, listing, settings, reading, exec_properties["code_version"])
            if not target.is_done:
                spans.begin(target)
                with self._make_beam_pipeline() as pipeline:
                    inspected.inspect_span(pipeline, target, listing, settings, reading)
                inspected.finish_span(target)
            used, rejected = list(target.index()), target.quarantine()
            if listing.layout not in CONTAINERS:
                _check_span(span.root, len(listing.files), len(used), len(rejected))
            done.append(target)
            entries += used
            quarantined += rejected

        write_quarantine(examples.uri, quarantined)
        assignment = assign(entries, settings)
        path = f"{examples.uri}/{QUARANTINE_FILE}"
        _check(exec_properties["input_base"], assignment, quarantined, settings, path)
        write_quarantine(examples.uri, quarantined + _duplicates(assignment))
        for note in assignment.notes:
            print(f"warning: ingest: {note}", flush=True)
        write_index(examples.uri, assignment.entries)
        previous = spans.previous_entries(window)
        if previous:
            write_index(examples.uri, previous, PREVIOUS_INDEX_FILE)
        counts = self._route(done, examples.uri, reading)
        if counts.total() != len(assignment.entries):
            raise RuntimeError(f"{len(assignment.entries)} images were to be written; {dict(counts)} were")
        if exec_properties["store"]:
            spans.prune(window, done, keep_images=settings.window > 1)
        else:
            tf.io.gfile.rmtree(passing)
        _describe(examples, counts, len(quarantined), len(assignment.duplicates), passed_over)
        examples.set_int_custom_property(utils.SPAN_PROPERTY_NAME, window[-1].number)

    def _route(self, done: Sequence[InspectedSpan], uri: str, reading: Reading) -> collections.Counter[str]:
        """Writes the images of the spans into their splits; returns the number of images by split."""
        counts_file = f"{uri}/counts-{uuid.uuid4().hex}.json"
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create([shard for target in done for shard in target.shards()])
                | "SpreadShards" >> beam.Reshuffle()
                | "Route" >> beam.ParDo(routing.RouteShard(uri, bool(reading.tile_size)))
                | "Count" >> beam.CombinePerKey(sum)  # type: ignore[arg-type]
                | "Counts" >> beam.combiners.ToDict()
                | "WriteCounts" >> beam.Map(_write_json, counts_file)
            )
        with tf.io.gfile.GFile(counts_file) as file:
            counts = collections.Counter(json.load(file))
        tf.io.gfile.remove(counts_file)
        return counts


def _write_json(content: Any, path: str) -> None:
    write_atomic(path, json.dumps(content))


def _check_span(root: str, files: int, used: int, rejected: int) -> None:
    """Makes sure that no file of a span got lost: found = ingested + quarantined."""
    if files != used + rejected:
        raise RuntimeError(f"{files} files found in {root}, but {used} ingested and {rejected} quarantined")


def _check(
    root: str,
    assignment: Assignment,
    quarantined: Sequence[Quarantined],
    settings: ImageExampleGenSettings,
    path: str,
) -> None:
    """Makes sure that what is left can be trained on."""
    found = len(assignment.entries) + len(assignment.duplicates) + len(quarantined)
    if len(quarantined) > settings.max_quarantined_fraction * found:
        first = [f"{entry['path']} ({entry['reason']})" for entry in quarantined[:_EXAMPLES_IN_MESSAGE]]
        more = ", ..." if len(quarantined) > _EXAMPLES_IN_MESSAGE else ""
        raise UserError(
            f"{len(quarantined)} of {found} images in {root} cannot be used, more than "
            f"ingest.max_quarantined_fraction ({settings.max_quarantined_fraction}): "
            f"{', '.join(first)}{more}; all of them are in {path}"
        )
    counts = collections.Counter(entry.split for entry in assignment.entries)
    if not counts[TRAIN]:
        raise UserError(
            f"no image of {root} is left to train on: {dict(counts)}, {len(quarantined)} quarantined"
        )
    if not counts[CALIBRATION]:
        raise UserError(
            f"no image of {root} is left for the calibration split: the {counts[TRAIN]} training images are "
            "one group, or the calibration images cannot be used; add images, or a folder calibration/good"
        )


def _duplicates(assignment: Assignment) -> list[Quarantined]:
    return [
        {
            "path": entry.path,
            "stage": DUPLICATE,
            "reason": f"the same pixels as {kept}",
            "span": str(entry.span),
        }
        for entry, kept in assignment.duplicates
    ]


def _describe(
    examples: artifact.Artifact,
    counts: collections.Counter[str],
    quarantined: int,
    duplicates: int,
    passed_over: int,
) -> None:
    """Writes down in the artifact what it holds."""
    examples.split_names = artifact_utils.encode_split_names([split for split in SPLITS if counts[split]])
    examples.set_string_custom_property(utils.PAYLOAD_FORMAT_PROPERTY_NAME, "FORMAT_TF_EXAMPLE")
    examples.set_int_custom_property(IMAGES_FOUND, counts.total() + quarantined + duplicates)
    examples.set_int_custom_property(IMAGES_QUARANTINED, quarantined + duplicates)
    examples.set_int_custom_property(IMAGES_INGESTED, counts.total())
    examples.set_int_custom_property(FILES_PASSED_OVER, passed_over)
