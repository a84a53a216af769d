"""Speed of the data path in CPU milliseconds per image, beside the original's algorithm; or its memory.

Run it from the repository's root: `python benchmarks/bench_data.py`; see benchmarks/README.md.
"""

import argparse
import datetime
import io
import os
import pathlib
import statistics
import tempfile
from collections.abc import Callable

import data_components
import data_images
import karras_reference
import numpy as np
import tensorflow as tf
from bench_train import append, commit
from measure import Action, cpu_seconds, interleaved, processor_name, use_one_thread
from PIL import Image
from rich.console import Console
from rich.table import Table

from proganomaly.components.images.decode import decode_image, decode_pixels
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid.box_mean import box_mean_pyramid
from proganomaly.components.pyramid.level_writer import level_writer
from proganomaly.components.records.pyramid_record import encode_planes

RESULTS = pathlib.Path(__file__).parent / "results" / "data.csv"
MEMORY_RESULTS = RESULTS.with_name("data_memory.csv")  # other columns
IMAGES = pathlib.Path(__file__).parents[1] / "data" / "bench-data"
CHANNELS = 3
# Images of one call, by resolution: enough that opening files does not count, not so many that memory does.
BATCHES = {16: 4, 256: 64, 1024: 8}
CONTENTS = 500
REFERENCE, KERNEL, DECODE = "Karras' algorithm", "its kernel", "their decode"


def decoder(spec: ImageSpec) -> Callable[[bytes], np.ndarray]:
    """Returns the product's decoder, compiled, from a file's bytes to uint8 [R, R, C]."""
    function = tf.function(
        lambda content: decode_image(content, spec), input_signature=[tf.TensorSpec([], tf.string)]
    )
    return lambda content: function(tf.constant(content)).numpy()


def pillow_decode(content: bytes) -> np.ndarray:
    """Decodes as the original does."""
    return np.asarray(Image.open(io.BytesIO(content)))


def kernel_write(decode: Callable[[bytes], np.ndarray], files: list[bytes], folder: str) -> None:
    """Does to image files, one after the other, what the pyramid component is there for."""
    with level_writer(lambda level: f"{folder}/kernel-{level}") as write:
        for content in files:
            write(decode(content))


def steps(resolution: int, folder: str) -> dict[str, tuple[Action, Action]]:
    """Returns (ours, the reference's) by the name of a step, over a batch of images in memory."""
    files = list(data_images.image_files(BATCHES[resolution], resolution, CHANNELS, 8))
    decode = decoder(ImageSpec(resolution, CHANNELS))
    images = [pillow_decode(content) for content in files]
    planes = [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in images]
    our_levels = [list(box_mean_pyramid(image).values()) for image in planes]
    their_levels = [list(karras_reference.box_levels(image.transpose(2, 0, 1))) for image in images]

    def our_pyramids() -> None:
        for image in images:
            box_mean_pyramid(np.ascontiguousarray(image.transpose(2, 0, 1)))

    def their_pyramids() -> None:
        for image in images:
            list(karras_reference.box_levels(image.transpose(2, 0, 1)))

    def write_our_levels() -> None:
        writers = [tf.io.TFRecordWriter(f"{folder}/ours-{number}") for number in range(len(our_levels[0]))]
        for levels in our_levels:
            for writer, level in zip(writers, levels, strict=True):
                writer.write(encode_planes(level))
        for writer in writers:
            writer.close()

    def write_our_images() -> None:
        with level_writer(lambda level: f"{folder}/ours-{level}") as write:
            for image in images:
                write(image)

    def write_their_images() -> None:
        karras_reference.write_images(images, f"{folder}/theirs-")

    write_our_images(), write_their_images()
    _check_bits(folder, len(our_levels[0]))
    return {
        "decode": (
            lambda: [decode(content) for content in files],
            lambda: [pillow_decode(content) for content in files],
        ),
        "pyramid": (our_pyramids, their_pyramids),
        "serialise + write": (
            write_our_levels,
            lambda: karras_reference.write_levels(their_levels, f"{folder}/theirs-"),
        ),
        "pyramid + serialise + write": (write_our_images, write_their_images),
        "decode + pyramid + serialise + write": (
            lambda: kernel_write(decode, files, folder),
            lambda: karras_reference.write_images(
                [pillow_decode(content) for content in files], f"{folder}/theirs-"
            ),
        ),
    }


def _check_bits(folder: str, num_levels: int) -> None:
    """Makes sure that both write the same records."""
    for number in range(num_levels):
        ours, theirs = (
            [
                tf.train.Example.FromString(record)
                for record in tf.data.TFRecordDataset(f"{folder}/{name}").as_numpy_iterator()
            ]
            for name in (f"ours-r{num_levels + 1 - number:02d}", f"theirs-{number}")
        )
        if ours != theirs or not ours:
            raise RuntimeError(f"level {number} differs from the reference's")


def measure_steps(resolution: int, rounds: int, turn_seconds: float) -> list[dict]:
    """Measures every step beside the reference's; returns rows."""
    with tempfile.TemporaryDirectory() as folder:
        both = steps(resolution, folder)
        actions = {
            f"{step}/{side}": action
            for step, pair in both.items()
            for side, action in zip(("ours", "reference"), pair, strict=True)
        }
        seconds = interleaved(actions, rounds, turn_seconds)
    images = BATCHES[resolution]
    return [
        _row(
            step,
            resolution,
            images,
            seconds[f"{step}/ours"] / images,
            REFERENCE,
            seconds[f"{step}/reference"] / images,
        )
        for step in both
    ]


def measure_components(resolution: int, images: int, rounds: int, cache: pathlib.Path) -> list[dict]:
    """Runs both components over a folder of PNGs, beside what they cannot do without; returns rows.

    What they are compared with is measured before and after each run, on a tenth of the images. The median of
    the rounds' ratios counts.
    """
    folder = data_images.image_folder(cache, images, resolution, CHANNELS, CONTENTS)
    spec = ImageSpec(resolution, CHANNELS)
    files = [path.read_bytes() for path in sorted(folder.glob("*.png"))[:: max(1, min(10, images // 10))]]
    decode = decoder(spec)
    only_decode = tf.function(decode_pixels, input_signature=[tf.TensorSpec([], tf.string)])
    ratios: dict[str, list[tuple[float, float]]] = {"ingest": [], "pyramid component": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=cache) as work:
            beside: Action = lambda: [only_decode(tf.constant(content)) for content in files]  # noqa: E731
            run: Action = lambda work=work: data_components.ingest(str(folder), f"{work}/examples")  # noqa: E731
            ratios["ingest"].append(_between(run, images, beside, len(files)))
            beside = lambda work=work: kernel_write(decode, files, work)  # noqa: E731
            run = lambda work=work: data_components.pyramid(f"{work}/examples", work, spec)  # noqa: E731
            ratios["pyramid component"].append(_between(run, images, beside, len(files)))
    rows = []
    for part, compared_with in (("ingest", DECODE), ("pyramid component", KERNEL)):
        middle = statistics.median_low(ours / other for ours, other in ratios[part])
        ours, other = next(pair for pair in ratios[part] if pair[0] / pair[1] == middle)
        rows.append(_row(part, resolution, images, ours, compared_with, other))
    return rows


def _between(run: Action, images: int, beside: Action, beside_images: int) -> tuple[float, float]:
    """Returns CPU seconds per image of a long run, and of what is measured before and after it."""
    beside()
    before = cpu_seconds(beside)
    seconds = cpu_seconds(run) / images
    return seconds, (before + cpu_seconds(beside)) / 2 / beside_images


def _row(part: str, resolution: int, images: int, seconds: float, compared_with: str, other: float) -> dict:
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
        "commit": commit(),
        "processor": processor_name(),
        "load_average": f"{os.getloadavg()[0]:.1f}",
        "part": part,
        "resolution": resolution,
        "images": images,
        "cpu_ms": f"{1e3 * seconds:.4g}",
        "compared_with": compared_with,
        "compared_cpu_ms": f"{1e3 * other:.4g}",
        "share": f"{seconds / other:.4g}",
    }


def show(rows: list[dict], console: Console) -> None:
    """Prints rows: of the reference how many times as fast, of a floor how many times the cost."""
    table = Table(title="CPU ms per image, one thread", title_justify="left")
    for name in ("part", "resolution", "images", "ours", "compared with", "its", ""):
        table.add_column(name)
    for row in rows:
        share = float(row["share"])
        verdict = f"{1 / share:.1f} x as fast" if row["compared_with"] == REFERENCE else f"{share:.2f} x"
        cells = ("part", "resolution", "images", "cpu_ms", "compared_with", "compared_cpu_ms")
        table.add_row(*(str(row[name]) for name in cells), verdict)
    console.print(table)


def main() -> None:
    """Measures, prints, and appends to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--images", type=int, default=10_000, help="images for the components (10000)")
    parser.add_argument("--quick", action="store_true", help="few images of 16 pixels: does it run?")
    parser.add_argument("--memory", action="store_true", help="peak memory of the components, no speed")
    parser.add_argument(
        "--results", type=pathlib.Path, help=f"CSV to append to ({RESULTS.name}, {MEMORY_RESULTS.name})"
    )
    parser.add_argument("--cache", type=pathlib.Path, default=IMAGES, help="where images are made and kept")
    options = parser.parse_args()
    console = Console(width=140)
    if options.memory:
        results = options.results or MEMORY_RESULTS
        data_components.report_memory(options.cache, results, options.quick, console)
        return
    use_one_thread()
    if options.quick:
        rows = measure_steps(16, 1, 0.01) + measure_components(16, 20, 1, options.cache)
    else:
        rows = measure_steps(256, 5, 1.0) + measure_steps(1024, 5, 1.0)
        rows += measure_components(256, options.images, 3, options.cache)
    append(rows, options.results or RESULTS)
    show(rows, console)


if __name__ == "__main__":
    main()
