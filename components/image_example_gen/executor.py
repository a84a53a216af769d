"""Turns an image folder into splits of tf.Examples, and says of every file what became of it."""

import collections
import json
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from absl import logging
from tfx.components.example_gen import utils, write_split
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact, artifact_utils

from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic
from proganomaly.components.image_example_gen import driver, inspection
from proganomaly.components.image_example_gen.layouts import (
    CALIBRATION,
    TEST,
    TRAIN,
    ImageFile,
    ImageListing,
    list_images,
)
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.image_example_gen.spans import resolve_span
from proganomaly.components.records.image_example import encode_image_example
from proganomaly.components.settings import from_json

QUARANTINE_FILE = "quarantine.jsonl"
IMAGES_FOUND = "images_found"
IMAGES_INGESTED = "images_ingested"
IMAGES_QUARANTINED = "images_quarantined"
_SPLITS = (TRAIN, CALIBRATION, TEST)
_QUARANTINED = "quarantined"
_COUNTS_FILE = "counts.json"
_EXAMPLES_IN_MESSAGE = 3


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of ImageExampleGen."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Inspects every file of the folder and writes what can be used.

        Args:
            input_dict: Empty.
            output_dict: `examples`; see the component.
            exec_properties: `input_base`, `settings` as JSON; what the driver has resolved, where one ran.

        Raises:
            UserError: the folder is not as it must be, too many files cannot be used, or the train or
                calibration split is empty.
        """
        settings = from_json(ImageExampleGenSettings, exec_properties["settings"])
        root, span = _resolved_root(exec_properties)
        listing = list_images(root)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        with self._make_beam_pipeline() as pipeline:
            _build(pipeline, listing, settings, examples.uri)
        counts = _read_counts(f"{examples.uri}/{_COUNTS_FILE}")
        _check(listing, counts, settings, f"{examples.uri}/{QUARANTINE_FILE}")
        _describe(examples, counts, span)


def _resolved_root(exec_properties: dict[str, Any]) -> tuple[str, int]:
    """Returns the folder and its span as the driver found them, or finds them where no driver runs.

    Kubeflow Pipelines runs none. Where one ran its word counts: a span that arrived since is not the one
    that the cache was asked for.
    """
    root = exec_properties.get(driver.RESOLVED_ROOT)
    if root is None:
        return resolve_span(exec_properties["input_base"])
    return root, exec_properties[utils.SPAN_PROPERTY_NAME]


def _build(
    pipeline: beam.Pipeline, listing: ImageListing, settings: ImageExampleGenSettings, uri: str
) -> None:
    """Builds the whole Beam pipeline: splits, quarantine and counts."""
    inspected = (
        pipeline
        | "Files" >> beam.Create(listing.images)
        | "Spread" >> beam.Reshuffle()
        | "Inspect"
        >> beam.ParDo(InspectImage(listing.root, listing.has_calibration, settings)).with_outputs(
            *_SPLITS, _QUARANTINED
        )
    )
    splits = _SPLITS if listing.count(TEST) else (TRAIN, CALIBRATION)
    for split in splits:
        folder = f"{uri}/Split-{split}"
        _ = inspected[split] | f"Write[{split}]" >> write_split.WriteSplit(folder, None)
    _ = (
        inspected[_QUARANTINED]
        | "QuarantineList" >> beam.combiners.ToList()
        | "WriteQuarantine" >> beam.Map(_write_quarantine, f"{uri}/{QUARANTINE_FILE}")
    )
    _ = (
        [inspected[name] | f"Name[{name}]" >> beam.Map(_constant, name) for name in (*splits, _QUARANTINED)]
        | beam.Flatten()
        | beam.combiners.Count.PerElement()
        | beam.combiners.ToDict()
        | "WriteCounts" >> beam.Map(_write_counts, f"{uri}/{_COUNTS_FILE}")
    )


class InspectImage(beam.DoFn):
    """Sends a file's Example to its split, or the reason against it to the quarantine."""

    def __init__(self, root: str, has_calibration: bool, settings: ImageExampleGenSettings):
        self._root = root
        self._calibration_share = 0.0 if has_calibration else settings.calibration_share
        self._max_pixels = settings.max_pixels

    def process(self, file: ImageFile) -> Iterator[beam.pvalue.TaggedOutput]:
        """Inspects one file."""
        try:
            record, pixels = inspection.inspect(self._root, file, self._max_pixels)
        except inspection.Rejected as rejected:
            entry = {"path": file.path, "stage": rejected.stage, "reason": rejected.reason}
            yield beam.pvalue.TaggedOutput(_QUARANTINED, entry)
            return
        split = inspection.choose_split(file, pixels, self._calibration_share)
        yield beam.pvalue.TaggedOutput(split, encode_image_example(record))


def _constant(_: Any, name: str) -> str:
    return name


def _write_quarantine(entries: list[dict[str, str]], path: str) -> None:
    lines = [json.dumps(entry, ensure_ascii=False) for entry in sorted(entries, key=lambda e: e["path"])]
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def _write_counts(counts: dict[str, int], path: str) -> None:
    write_atomic(path, json.dumps(counts))


def _read_counts(path: str) -> collections.Counter[str]:
    """Reads how many files went where, and removes the note."""
    with tf.io.gfile.GFile(path) as file:
        counts = collections.Counter(json.loads(file.read()))
    tf.io.gfile.remove(path)
    return counts


def _check(
    listing: ImageListing, counts: collections.Counter[str], settings: ImageExampleGenSettings, path: str
) -> None:
    """Makes sure that no file got lost and that what is left can be trained on."""
    found, quarantined = len(listing.images), counts[_QUARANTINED]
    if found != counts.total():
        raise RuntimeError(f"{found} files found but {counts.total()} accounted for: {dict(counts)}")
    for mask in listing.unused_masks:
        logging.warning("%s/%s is the mask of no image", listing.root, mask)
    if quarantined > settings.max_quarantined_fraction * found:
        raise UserError(
            f"{quarantined} of {found} images in {listing.root} cannot be used, more than "
            f"max_quarantined_fraction ({settings.max_quarantined_fraction}): {_first_reasons(path)}"
        )
    if not counts[TRAIN]:
        raise UserError(f"no image of {listing.root} is left to train on: {dict(counts)}")
    if not counts[CALIBRATION] and listing.has_calibration:
        raise UserError(f"no image of {listing.root}/{CALIBRATION} can be used")
    if not counts[CALIBRATION]:
        raise UserError(
            f"none of the {counts[TRAIN]} normal images of {listing.root} fell into the calibration split: "
            f"add images or a folder {CALIBRATION}/good, or raise calibration_share "
            f"({settings.calibration_share})"
        )


def _first_reasons(path: str) -> str:
    with tf.io.gfile.GFile(path) as file:
        entries = [json.loads(line) for line in file.read().splitlines()]
    reasons = [f"{entry['path']} ({entry['reason']})" for entry in entries[:_EXAMPLES_IN_MESSAGE]]
    return ", ".join(reasons) + (", ..." if len(entries) > _EXAMPLES_IN_MESSAGE else "")


def _describe(examples: artifact.Artifact, counts: collections.Counter[str], span: int) -> None:
    """Writes down in the artifact what it holds."""
    examples.split_names = artifact_utils.encode_split_names([split for split in _SPLITS if counts[split]])
    examples.set_string_custom_property(utils.PAYLOAD_FORMAT_PROPERTY_NAME, "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property(utils.FILE_FORMAT_PROPERTY_NAME, "tfrecords_gzip")
    examples.set_int_custom_property(utils.SPAN_PROPERTY_NAME, span)
    examples.set_int_custom_property(IMAGES_FOUND, counts.total())
    examples.set_int_custom_property(IMAGES_QUARANTINED, counts[_QUARANTINED])
    examples.set_int_custom_property(IMAGES_INGESTED, counts.total() - counts[_QUARANTINED])
