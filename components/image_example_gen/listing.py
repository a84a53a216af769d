"""What a folder of images is said to hold, before a single one is opened."""

import dataclasses
import hashlib
import os
import re

import tensorflow as tf

from proganomaly.components.records.image_example import GOOD, NORMAL

TRAIN, CALIBRATION, TEST = "train", "calibration", "test"
SPLITS = (TRAIN, CALIBRATION, TEST)
BY_HASH = ""


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """One file that should be an image, or hold images; paths are relative to the folder's root.

    Attributes:
        path: Where it is; for an image inside of another file, that file's path, "#" and a number.
        split: "train", "calibration", "test", or "" where a stable hash decides; see `assignment`.
        label: 0 normal, 1 anomalous, None unknown.
        defect_type: "good" or the kind of defect; "" unknown.
        mask: Where its mask is, None without.
        group: Images of one group share a split; "" where an image is its own group.
        problem: Why it cannot be used, as far as that shows without opening it; "" if nothing is known
            against it.
    """

    path: str
    split: str = BY_HASH
    label: int | None = NORMAL
    defect_type: str = GOOD
    mask: str | None = None
    group: str = ""
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class FileContent:
    """A file of a listing, with its bytes where they are at hand already.

    Attributes:
        file: What is known of it.
        image: The encoded image; None where it is to be read from `file.path`.
        mask: The encoded mask; None where it is to be read from `file.mask`, or where there is none.
    """

    file: ImageFile
    image: bytes | None = None
    mask: bytes | None = None


@dataclasses.dataclass(frozen=True)
class ImageListing:
    """All files of an image folder that should be images or hold some.

    Attributes:
        root: The folder.
        layout: Name of its layout, one of `settings.LAYOUTS` but "auto".
        files: In the order of their paths.
        passed_over: Number of files that are not meant as images, such as texts and hidden files.
        side_files: Files that say something of the images inside of others, such as a pyramid's classes.
        normal_class: The class that is normal among those of images inside of files; "" for all.
        group_pattern: What names the group of such an image; see `settings`.
    """

    root: str
    layout: str
    files: tuple[ImageFile, ...]
    passed_over: int = 0
    side_files: tuple[str, ...] = ()
    normal_class: str = ""
    group_pattern: str = ""

    def count(self, split: str) -> int:
        """Returns the number of files listed for a split against which nothing is known."""
        return sum(file.split == split and not file.problem for file in self.files)


def group_of(pattern: str, name: str) -> str:
    """Returns the group that a pattern finds in the name of an image, "" if it finds none."""
    match = re.search(pattern, name) if pattern else None
    return (match[1] or "") if match else ""


def fingerprint(listing: ImageListing) -> str:
    """Returns a digest that changes when a file is added, removed, moved, written anew or said to be another.

    It covers names, sizes, times of change and what the layout says of a file (label, split, mask, group),
    not contents, so that large folders cost one look per file.
    """
    digest = hashlib.sha256(listing.layout.encode())
    for file in listing.files:
        digest.update(f"{file}\n".encode())
        _add_state(digest, listing.root, file.path)
        if file.mask is not None:
            _add_state(digest, listing.root, file.mask)
    for path in listing.side_files:
        _add_state(digest, listing.root, path)
    return digest.hexdigest()


def _add_state(digest: "hashlib._Hash", root: str, path: str) -> None:
    """Adds a file's size and time of change to a digest."""
    full = f"{root}/{path}"
    try:
        if is_local(root):
            # TensorFlow's own look at local files knows the time in whole seconds.
            local = os.stat(full)
            size, changed = local.st_size, local.st_mtime_ns
        else:
            about = tf.io.gfile.stat(full)
            size, changed = about.length, about.mtime_nsec
    except (OSError, tf.errors.OpError):
        return  # gone since, or a link to nowhere: that is told when it is read
    digest.update(f"{path}\0{size}\0{changed}\n".encode())


def is_local(root: str) -> bool:
    """Whether a path is one of this machine, and no URL of a bucket or cluster volume."""
    return "://" not in root
