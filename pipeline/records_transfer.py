"""Images into the original's pyramids of TFRecords, and out of TFRecords into folders of images."""

import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.files import require_folder, write_atomic, writing
from proganomaly.components.image_example_gen import inspection
from proganomaly.components.image_example_gen.layouts import list_images
from proganomaly.components.image_example_gen.listing import FileContent, ImageFile, ImageListing
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.image_example_gen.sources import open_file
from proganomaly.components.image_example_gen.tiles import cut_record
from proganomaly.components.images.decode import decode_image
from proganomaly.components.images.rejection import Rejected
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.images.transcode import file_format
from proganomaly.components.pyramid.level_writer import write_single_files
from proganomaly.components.records.image_example import GOOD, NORMAL, ImageRecord
from proganomaly.components.records.pyramid_labels import write_labels
from proganomaly.components.records.pyramid_record import level_name

_MANIFEST, _IMAGES = "manifest.csv", "images"
_COLUMNS = ("path", "label", "defect_type", "mask", "split")
# No class of anybody's: with it as the normal one, a source tells the class of every image.
_NO_CLASS = "\0"
_CLASS = "class-"
_EXTENSIONS = {"jpeg": "jpg", "tiff": "tif", None: "bin"}


@dataclasses.dataclass
class Transferred:
    """What became of the images that were found.

    Attributes:
        written: Number of images in the output; of tiles where they were cut.
        left_out: Number of images that are not known to be normal, where only those were asked for.
        unusable: Name and reason of the others.
        classes: Names of the classes in the order of the labels, () without.
    """

    written: int = 0
    left_out: int = 0
    unusable: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    classes: tuple[str, ...] = ()


def export_records(
    images: str,
    output: str,
    spec: ImageSpec,
    settings: ImageExampleGenSettings,
    prefix: str,
    with_all: bool,
    with_labels: bool,
) -> Transferred:
    """Writes images as `<output>/<prefix>rNN.tfrecords`, in the order of their paths.

    Args:
        images: Any source that `list_images` knows.
        output: Folder; it may hold other pyramids.
        spec: What every image becomes.
        settings: How the source is read.
        prefix: What the files' names begin with.
        with_all: Write anomalous images and those of unknown label too, and not the normal ones alone.
        with_labels: Write everything, and `<prefix>rxx.labels` with the class of each image.

    Raises:
        UserError: the source cannot be read, no image of it can be used, one has no class where labels are
            asked for, or the pyramid is there already.
    """
    done, kinds = Transferred(), []
    listing = list_images(images, settings)
    largest = f"{output}/{prefix}{level_name(spec.resolution)}.tfrecords"
    if tf.io.gfile.exists(largest):
        raise UserError(f"{largest} is there already; choose another folder or prefix")
    require_folder("output", output)

    def squares() -> Iterator[tuple[np.ndarray, None]]:
        for record, pixels in _usable(listing, settings, spec, done):
            if record.label != NORMAL and not (with_all or with_labels):
                done.left_out += 1
                continue
            for tile, _ in cut_record(record, pixels, spec.reading):
                if with_labels and not tile.defect_type:
                    raise UserError(f"{tile.filename} is of no known class; leave out --labels")
                kinds.append(tile.defect_type)
                yield decode_image(tf.constant(tile.image), spec).numpy(), None

    with writing(f"the folder {output}"):
        remaining = squares()
        first = next(remaining, None)
        if first is None:
            raise UserError(f"no image of {images} can be exported{_first_reason(done)}")
        write_single_files(f"{output}/{prefix}", itertools.chain([first], remaining))
        if with_labels:
            done.classes = tuple(sorted(set(kinds), key=lambda kind: (kind != GOOD, kind)))
            rows = np.array([done.classes.index(kind) for kind in kinds])
            write_labels(f"{output}/{prefix}", np.eye(len(done.classes), dtype=np.float32)[rows])
    done.written = len(kinds)
    return done


def _usable(
    listing: ImageListing, settings: ImageExampleGenSettings, spec: ImageSpec, done: Transferred
) -> Iterator[tuple[ImageRecord, np.ndarray]]:
    """Yields every image with its pixels, and notes the reason against the others."""
    for file in listing.files:
        for content in open_file(listing, file):
            try:
                yield inspection.inspect(listing.root, content, settings.max_pixels, spec.white_level)
            except Rejected as rejected:
                done.unusable.append((content.file.path, f"{rejected.stage}: {rejected.reason}"))


def import_records(records: str, output: str, normal_class: str) -> Transferred:
    """Writes the images of a pyramid's largest level, or of TFRecords, as files that `run --data` takes.

    The pixels stay what they are: a pyramid's become PNG files, encoded images are copied byte for byte.
    Where there are classes, each has its folder; otherwise a manifest says what is known of each image.

    Args:
        records: Folder of a pyramid, or folder or file of TFRecords of encoded images.
        output: Folder; it must be empty or missing.
        normal_class: Name or number of the class that is normal; "" keeps the classes apart.

    Raises:
        UserError: that is no such source, none of it can be used, or the folder is not empty.
    """
    listing = list_images(records, ImageExampleGenSettings(normal_class=normal_class))
    if listing.layout not in ("pyramid", "tfrecords"):
        raise UserError(f"{records} is a folder of images ({listing.layout}), not of TFRecords")
    if tf.io.gfile.exists(output) and (not tf.io.gfile.isdir(output) or tf.io.gfile.listdir(output)):
        raise UserError(f"{output} is there already and not an empty folder")
    if not normal_class and _has_classes(listing):
        listing = dataclasses.replace(listing, normal_class=_NO_CLASS)
    require_folder("output", output)
    done, rows, number = Transferred(), [], 0
    with writing(f"the folder {output}"):
        for file in listing.files:
            for content in open_file(listing, file):
                if content.file.problem or content.image is None:
                    done.unusable.append((content.file.path, content.file.problem))
                else:
                    folder = _class_folder(content.file) if listing.normal_class == _NO_CLASS else _IMAGES
                    rows.append(_write_image(output, folder, content, number))
                number += 1
        if not rows:
            raise UserError(f"no image of {records} can be imported{_first_reason(done)}")
        if listing.normal_class == _NO_CLASS:
            done.classes = tuple(sorted({row["path"].partition("/")[0] for row in rows}))
        else:
            _write_manifest(output, rows)
    done.written = len(rows)
    return done


def _has_classes(listing: ImageListing) -> bool:
    """Whether the images have classes, by the first; images of this project are normal or not instead."""
    told = dataclasses.replace(listing, normal_class=_NO_CLASS)
    for file in listing.files:
        for plain, classed in zip(open_file(listing, file), open_file(told, file), strict=True):
            if not plain.file.problem:
                return plain.file.label != classed.file.label
    return False


def _class_folder(file: ImageFile) -> str:
    """Returns an image's class as the name of a visible folder."""
    name = re.sub(r"[/\\\0]", "_", file.defect_type.removeprefix(_CLASS)) or "unknown"
    return f"_{name}" if name.startswith(".") else name


def _write_image(output: str, folder: str, content: FileContent, number: int) -> dict[str, str]:
    """Writes an image, and its mask; returns its row of the manifest."""
    file = content.file
    assert content.image is not None
    path = f"{folder}/{number:07d}.{_extension(content.image)}"
    write_atomic(f"{output}/{path}", content.image)
    mask = ""
    if content.mask is not None:
        mask = f"masks/{number:07d}.{_extension(content.mask)}"
        write_atomic(f"{output}/{mask}", content.mask)
    return {**_row(file), "path": path, "mask": mask}


def _row(file: ImageFile) -> dict[str, str]:
    label = "" if file.label is None else str(file.label)
    return {"label": label, "defect_type": file.defect_type, "split": file.split}


def _write_manifest(output: str, rows: Sequence[dict[str, str]]) -> None:
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(f"{output}/{_MANIFEST}", file.getvalue())


def _extension(image: bytes) -> str:
    name = file_format(image)
    return _EXTENSIONS.get(name) or str(name)


def _first_reason(done: Transferred) -> str:
    if not done.unusable:
        return f": {done.left_out} are not known to be normal (see --all)" if done.left_out else ""
    name, reason = done.unusable[0]
    return f"; {name}: {reason}"
