"""Scores files with an exported model: a table, and a picture of each image with its heatmap."""

import csv
import dataclasses
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator.figures import heatmap, strip
from proganomaly.components.evaluator.predict import Outputs, ServedModel
from proganomaly.components.files import write_atomic
from proganomaly.components.image_example_gen.layouts.tree import printable, walk
from proganomaly.components.images.decode import decode_native
from proganomaly.components.images.rejection import Rejected
from proganomaly.components.images.spec import LARGEST_16_BIT, TILES
from proganomaly.components.images.transcode import servable
from proganomaly.pipeline.serving_directory import newest_version

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# Far above what ingestion takes unless it is told otherwise, and below what the decoder can hold.
_MAX_PIXELS = 500_000_000
Explain = Callable[[Sequence[bytes]], Outputs]
# Colours begin at the normal median (0 by construction) and are full at this many pixel thresholds.
_HOT = 3.0


@dataclasses.dataclass(frozen=True)
class ScoredImages:
    """What `score_images` did.

    Attributes:
        scored: Number of images.
        anomalous: How many of them are anomalies.
        threshold: The score above which an image is one; the lowest of them where it depends on the number
            of tiles.
        unreadable: Name and reason of files that are no images.
        table: Path of the CSV file.
        by_tiles: Whether the images were scored by tiles.
    """

    scored: int
    anomalous: int
    threshold: float
    unreadable: list[tuple[str, str]]
    table: str
    by_tiles: bool


def score_images(
    images: str, model: str, output: str, batch_size: int, by_tiles: bool = False
) -> ScoredImages:
    """Scores an image or all images below a folder.

    Writes `scores.csv` and, for each image, `heatmaps/<name>.png`: original, reconstruction, heatmap; by
    tiles the heatmap alone, as large as the image.

    Args:
        images: The image or folder.
        model: Folder of a SavedModel, or of its versions.
        output: Folder to write to.
        batch_size: Images scored at a time; by tiles it is always one.
        by_tiles: Score each image by tiles at its own size, rather than as the one square that it is made; a
            model of tiles does so anyway.

    Raises:
        UserError: there are no such images, none of them can be read, or there is no model, or none that
            scores by tiles.
    """
    paths, unreadable = _find_images(images)
    served = ServedModel(newest_version(model) or model)
    by_tiles = by_tiles or served.fit == TILES
    explain, size = (_tiled(served), 1) if by_tiles else (_whole(served), batch_size)
    rows: list[dict[str, object]] = []
    for start in range(0, len(paths), size):
        for name, outputs in _score(explain, paths[start : start + size], unreadable):
            # What is no number is a picture, or belongs to tiles.
            numbers = {key: value.item() for key, value in outputs.items() if value.ndim == 0}
            rows.append({"file": name, **numbers})
            write_atomic(os.path.join(output, "heatmaps", f"{name}.png"), _picture(outputs))
    if not rows:
        name, reason = unreadable[0]
        raise UserError(f"none of the {len(paths)} images in {images} can be read; {name}: {reason}")
    table = os.path.join(output, "scores.csv")
    write_atomic(table, _to_csv(rows))
    anomalous = sum(bool(row["is_anomaly"]) for row in rows)
    threshold = min(float(str(row["threshold"])) for row in rows)
    return ScoredImages(len(rows), anomalous, threshold, unreadable, table, by_tiles)


def _whole(served: ServedModel) -> Explain:
    """Returns what explains a batch of images as the networks take them."""
    return lambda contents: served.explain(contents, len(contents), without=())


def _tiled(served: ServedModel) -> Explain:
    """Returns what explains a batch of one large image."""
    white_level = int((served.description or {}).get("image", {}).get("white_level", LARGEST_16_BIT))

    def explain(contents: Sequence[bytes]) -> Outputs:
        (content,) = contents
        outputs = served.tiles(content)
        # A server does not send a large image back.
        return {**outputs, "image": decode_native(tf.constant(content), 3, white_level).numpy()[None]}

    return explain


def _find_images(images: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns (name, path) of an image or of all images below a folder, and (name, reason) of what is none.

    Hidden files and the masks of an MVTec AD layout are left aside.
    """
    if not tf.io.gfile.exists(images):
        raise UserError(f"{images} does not exist")
    if not tf.io.gfile.isdir(images):
        return [(os.path.basename(images), images)], []
    tree = walk(images, follow_links=True)
    names = [name for name in tree.files if name.lower().endswith(SUFFIXES) and not _is_mask(name)]
    problems = [(printable(name), why) for name, why in sorted(tree.problems.items()) if not _is_mask(name)]
    if not names:
        raise UserError(f"{images} holds no images ({', '.join(SUFFIXES)}){tree.first_problem()}")
    return [(name, f"{images.rstrip('/')}/{name}") for name in names], problems


def _is_mask(name: str) -> bool:
    return name.startswith("ground_truth/")


def _score(
    explain: Explain, paths: list[tuple[str, str]], unreadable: list[tuple[str, str]]
) -> Iterator[tuple[str, Outputs]]:
    """Scores the files that can be read, as ingestion would store them."""
    images: list[tuple[str, bytes]] = []
    for name, path in paths:
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                images.append((name, servable(file.read(), _MAX_PIXELS)[0]))
        except Rejected as rejected:
            unreadable.append((name, rejected.reason))
        except tf.errors.OpError as error:
            unreadable.append((name, _reason(error)))
    if images:
        yield from _explain(explain, images, unreadable)


def _explain(
    explain: Explain, images: list[tuple[str, bytes]], unreadable: list[tuple[str, str]]
) -> Iterator[tuple[str, Outputs]]:
    """Scores a batch; where one image breaks it, each image by itself."""
    try:
        outputs = explain([content for _, content in images])
    except tf.errors.OpError as error:
        if len(images) > 1:
            for image in images:
                yield from _explain(explain, [image], unreadable)
        else:
            unreadable.append((images[0][0], _reason(error)))
        return
    for index, (name, _) in enumerate(images):
        yield name, {key: value[index] for key, value in outputs.items()}


def _reason(error: tf.errors.OpError) -> str:
    """Returns the sentence of TensorFlow's message that is about the image."""
    lines = [line.strip() for line in error.message.splitlines() if line.strip()] or [type(error).__name__]
    told = [line for line in lines if "Detected at node" not in line and "{{node" not in line[:12]]
    sentence = next((line for line in told if "image" in line.lower()), (told or lines)[-1])
    sentence = sentence.partition(" [[")[0].partition("; ")[0]
    return re.sub(r"^assertion failed: \[(.*)\]$", r"\1", sentence)[:200]


def _picture(outputs: Outputs) -> bytes:
    hot = max(_HOT * float(outputs["pixel_threshold"]), 1e-6)
    if "reconstruction" in outputs:
        return strip(outputs["image"], outputs["reconstruction"], outputs["anomaly_map"], None, (0.0, hot))
    return heatmap(outputs["image"], outputs["anomaly_map"], (0.0, hot))


def _to_csv(rows: list[dict[str, object]]) -> str:
    file = io.StringIO()
    leading = ["file", "is_anomaly", "score", "normalized_score", "p_value", "threshold"]
    columns = leading + sorted(set(rows[0]) - set(leading))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
