"""Cuts ingested images into the tiles that a model of tiles learns from and is measured on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from proganomaly.components.images.decode import decode_pixels
from proganomaly.components.images.features import measure
from proganomaly.components.images.spec import Reading
from proganomaly.components.images.tiling import mirrored_to, tile_corners, tile_name
from proganomaly.components.images.transcode import encode_png
from proganomaly.components.records.image_example import ANOMALOUS, GOOD, NORMAL, ImageRecord


def cut_record(
    record: ImageRecord, pixels: np.ndarray, reading: Reading
) -> Iterator[tuple[ImageRecord, np.ndarray]]:
    """Yields an image as it is, or, where images are read by tiles, a record of each tile.

    The grid is that of the signature `tiles`; an image smaller than a tile is mirrored to its size. A tile is
    a PNG without loss, of 8 bits: 16 bits are scaled by `white_level` before, as the image would be.

    A tile of a normal image is normal. Of an anomalous one, its mask decides: a tile with a defective pixel
    is anomalous and keeps its part of the mask, one without is normal. Without a mask nobody knows which
    tiles the defect is in: they are neither.

    Args:
        record: The image.
        pixels: Its pixels, uint8 [height, width, channels].
        reading: Size and overlap of the tiles.

    Yields:
        A record, named by `tile_name`, and its pixels, uint8 [side, side, channels].
    """
    side = reading.tile_size
    if not side:
        yield record, pixels
        return
    height, width = pixels.shape[:2]
    corners = tile_corners(tf.constant(height), tf.constant(width), side, reading.tile_overlap).numpy()
    image = mirrored_to(tf.constant(pixels), side).numpy()
    mask = None
    if record.mask is not None:
        # So low a white keeps every value of a 16-bit mask that is not 0 from becoming 0.
        mask = mirrored_to(decode_pixels(tf.constant(record.mask), white_level=255), side).numpy()
    for top, left in corners.tolist():
        place = np.s_[top : top + side, left : left + side]
        tile = np.ascontiguousarray(image[place])
        yield (
            dataclasses.replace(
                record,
                **dataclasses.asdict(measure(tile)),
                **_truth(record, None if mask is None else mask[place]),
                image=encode_png(tile),
                filename=tile_name(record.filename, top, left),
                height=side,
                width=side,
                channels=tile.shape[2],
            ),
            tile,
        )


def _truth(record: ImageRecord, mask: np.ndarray | None) -> dict[str, Any]:
    """Returns label, defect_type and mask of a tile, by its part of the mask."""
    if record.label != ANOMALOUS:
        return {"mask": None if mask is None else encode_png(mask)}
    if mask is None:
        return {"label": None, "defect_type": ""}
    colours = mask[:, :, : mask.shape[2] - (mask.shape[2] in (2, 4))]
    if colours.any():
        return {"mask": encode_png(mask)}
    return {"label": NORMAL, "defect_type": GOOD, "mask": None}
