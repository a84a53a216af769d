"""Where inspected spans are kept from run to run: a span is read once, as long as nothing in it changes."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence

import tensorflow as tf

from proganomaly.components.image_example_gen.inspected import InspectedSpan
from proganomaly.components.image_example_gen.listing import ImageListing, fingerprint
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.image_example_gen.spans import Span
from proganomaly.components.images.spec import Reading
from proganomaly.components.records.image_index import INDEX_FILE, IndexEntry, read_index
from proganomaly.components.settings import to_json

# As many spans before the window are remembered, without their images, to compare new ones with.
_REMEMBERED = 8
_FOLDER = re.compile(r"span-(?P<number>\d+)-[0-9a-f]{16}")


class Store:
    """The folders `span-<number>-<key>` below one folder."""

    def __init__(self, folder: str):
        self._folder = folder

    def place_of(
        self,
        span: Span,
        listing: ImageListing,
        settings: ImageExampleGenSettings,
        reading: Reading,
        code_version: str,
    ) -> InspectedSpan:
        """Returns where a span is kept: another place when its files, the settings or the code have changed.

        Settings that are about splits alone do not count.
        """
        inspects = dataclasses.replace(
            ImageExampleGenSettings(),
            layout=settings.layout,
            normal_class=settings.normal_class,
            group_pattern=settings.group_pattern,
            max_pixels=settings.max_pixels,
            follow_links=settings.follow_links,
        )
        known = [span.name, fingerprint(listing), to_json(inspects), to_json(reading), code_version]
        key = hashlib.sha256("\0".join(known).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return InspectedSpan(span, f"{self._folder}/span-{span.number}-{key}")

    def begin(self, target: InspectedSpan) -> None:
        """Makes the place of a span empty: what a killed run has left there is no part of it."""
        if tf.io.gfile.exists(target.folder):
            tf.io.gfile.rmtree(target.folder)
        tf.io.gfile.makedirs(target.folder)

    def previous_entries(self, window: Sequence[Span]) -> list[IndexEntry]:
        """Returns what is known of the images of earlier spans, those just before the window."""
        earlier = sorted(
            (number, folder) for number, folder in self._spans().items() if number < window[0].number
        )
        return [entry for _, folder in earlier[-_REMEMBERED:] for entry in read_index(folder)]

    def prune(self, window: Sequence[Span], done: Sequence[InspectedSpan], keep_images: bool) -> None:
        """Removes what no later run will ask for.

        Args:
            window: The spans of this run.
            done: The same in the store.
            keep_images: Whether their images are kept; what is known of them always is.
        """
        used = {target.folder for target in done}
        newest = self._spans()
        remembered = sorted(number for number in newest if number < window[0].number)[-_REMEMBERED:]
        for number, folder in self._all():
            if folder in used:
                if not keep_images:
                    _forget_images(folder)
            elif number in remembered and newest[number] == folder:
                _forget_images(folder)
            elif number <= window[-1].number:
                tf.io.gfile.rmtree(folder)

    def _all(self) -> list[tuple[int, str]]:
        """Returns (number, folder) of everything in the store."""
        if not tf.io.gfile.isdir(self._folder):
            return []
        names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(self._folder))
        return [(int(m["number"]), f"{self._folder}/{m[0]}") for m in map(_FOLDER.fullmatch, names) if m]

    def _spans(self) -> dict[int, str]:
        """Returns the folder of each span that has an index; the newest where it was read several times."""
        spans: dict[int, tuple[int, str]] = {}
        for number, folder in self._all():
            index = f"{folder}/{INDEX_FILE}"
            if tf.io.gfile.exists(index):
                written = tf.io.gfile.stat(index).mtime_nsec
                spans[number] = max(spans.get(number, (0, "")), (written, folder))
        return {number: folder for number, (_, folder) in spans.items()}


def _forget_images(folder: str) -> None:
    """Removes a span's images, and with them the word that it is complete."""
    for name in tf.io.gfile.listdir(folder):
        if name != INDEX_FILE:
            tf.io.gfile.remove(f"{folder}/{name}")
