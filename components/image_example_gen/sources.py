"""Opens the files of a listing: an image is itself, a file that holds many gives one after the other.

Whatever a file holds comes out: its images, a problem for each record that is none, and one for the place
from which on the file cannot be read.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen import example_features
from proganomaly.components.image_example_gen.example_features import FoundImage
from proganomaly.components.image_example_gen.listing import (
    TEST,
    FileContent,
    ImageFile,
    ImageListing,
    group_of,
)
from proganomaly.components.images.transcode import encode_png
from proganomaly.components.records.image_example import ANOMALOUS, GOOD, NORMAL
from proganomaly.components.records.pyramid_labels import LABELS_SUFFIX, read_labels
from proganomaly.components.records.pyramid_record import read_pixels
from proganomaly.components.records.tfrecord_file import DamagedRecords, read_tfrecords

_ENCODABLE_CHANNELS = (1, 3, 4)


def open_file(listing: ImageListing, file: ImageFile) -> Iterator[FileContent]:
    """Yields the images of a file, which is one itself or holds many.

    Args:
        listing: Where the file is from; its `files` are not looked at, so they may be left out.
        file: One of its files.

    Yields:
        Images of a file that holds many with their encoded bytes, as `<path>#<number from 0>`; any other
        file, or one with a problem, as it is.
    """
    if file.problem:
        yield FileContent(file)
    elif listing.layout == "tfrecords":
        yield from _numbered(file, _open_tfrecords(listing, file))
    elif listing.layout == "pyramid":
        yield from _numbered(file, _open_pyramid(listing, file))
    elif listing.layout == "tfds":
        yield from _open_tfds(listing, file)
    else:
        yield FileContent(file)


def _numbered(file: ImageFile, contents: Iterator[FileContent]) -> Iterator[FileContent]:
    """Yields what is read from a file of records, and then what is wrong with the file, if anything is."""
    number = -1
    try:
        for number, content in enumerate(contents):
            path = f"{file.path}#{number}"
            yield dataclasses.replace(content, file=dataclasses.replace(content.file, path=path))
    except DamagedRecords as damaged:
        yield FileContent(_broken(file, f"record {damaged.readable}: {damaged.reason}"))
    else:
        if number < 0:
            yield FileContent(_broken(file, "holds no records"))


def _broken(file: ImageFile, problem: str) -> ImageFile:
    return dataclasses.replace(file, problem=problem)


def _labelled(file: ImageFile, name: str, label: int | None, defect_type: str, group: str) -> ImageFile:
    """Returns an image inside of a file.

    An anomalous one is tested on, and one of unknown label is unless its file is of a split.
    """
    split = file.split
    if label == ANOMALOUS or (label is None and not split):
        split = TEST
    return dataclasses.replace(
        file, path=name, split=split, label=label, defect_type=defect_type, group=group or file.group
    )


def _open_tfrecords(listing: ImageListing, file: ImageFile) -> Iterator[FileContent]:
    for serialized in read_tfrecords(f"{listing.root}/{file.path}"):
        try:
            found = example_features.find_image(serialized, listing.normal_class)
        except ValueError as error:
            yield FileContent(_broken(file, str(error)))
            continue
        group = group_of(listing.group_pattern, found.filename)
        yield FileContent(_of(file, found, group), found.image, found.mask)


def _of(file: ImageFile, found: FoundImage, group: str) -> ImageFile:
    return _labelled(file, file.path, found.label, found.defect_type, group)


def _open_pyramid(listing: ImageListing, file: ImageFile) -> Iterator[FileContent]:
    classes = _read_classes(listing)
    for number, serialized in enumerate(read_tfrecords(f"{listing.root}/{file.path}", allow_gzip=False)):
        try:
            image = _png_of(serialized)
        except UserError as error:
            yield FileContent(_broken(file, str(error)))
            continue
        label: int | None = NORMAL
        defect_type = GOOD
        if file.split == TEST:
            label, defect_type = None, ""  # a pyramid with splits holds no labels
        elif classes is not None and listing.normal_class:
            row = classes[number] if number < len(classes) else np.zeros(1, np.float32)
            label, defect_type = _class_label(row, listing.normal_class)
        yield FileContent(_labelled(file, file.path, label, defect_type, ""), image)


def _read_classes(listing: ImageListing) -> np.ndarray | None:
    """Returns the classes of a pyramid's images, float32 [N, classes]; None without."""
    if not listing.side_files:
        return None
    return read_labels(f"{listing.root}/{listing.side_files[0]}".removesuffix(LABELS_SUFFIX))


def _class_label(row: np.ndarray, normal_class: str) -> tuple[int | None, str]:
    """Returns label and kind of defect of an image by its one-hot row; zeros are of no known class."""
    if not row.any():
        return None, ""
    number = int(row.argmax())
    return (NORMAL, GOOD) if str(number) == normal_class else (ANOMALOUS, f"class-{number}")


def _png_of(serialized: bytes) -> bytes:
    """Returns a pyramid's record as a PNG with the same pixels.

    Raises:
        UserError: it is no such record, or its channels are none that a PNG of ours has.
    """
    planes = read_pixels(serialized)
    channels, height, width = planes.shape
    if channels not in _ENCODABLE_CHANNELS or height != width:
        raise UserError(
            f"a pyramid record must be square, with 1, 3 or 4 channels; received {height} x {width} with "
            f"{channels} channels"
        )
    return encode_png(planes.transpose(1, 2, 0))


def _open_tfds(listing: ImageListing, file: ImageFile) -> Iterator[FileContent]:
    """Yields the images of one split; anomalies of `train` are left out where `test` has some as well."""
    # Its import takes seconds, and few need it.
    from proganomaly.components.images.tfds_set import TfdsImages
    from proganomaly.components.images.tfds_settings import TfdsSettings

    normal = listing.normal_class
    images = TfdsImages(TfdsSettings(listing.root.partition(":")[2], normal=normal or None))
    split = file.path.rpartition("/")[2]
    for number, (pixels, name) in enumerate(images.named(split)):
        if normal and name != normal and split == "train" and "test" in images.splits:
            continue
        is_normal = not normal or name == normal
        label, kind = (NORMAL, GOOD) if is_normal else (ANOMALOUS, f"class-{name}")
        path = f"{file.path}#{number}"
        group = group_of(listing.group_pattern, path)
        yield FileContent(_labelled(file, path, label, kind, group), encode_png(pixels))
