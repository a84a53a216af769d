"""Runs ImageExampleGen and PyramidTransform on a folder, without a metadata store; measures their memory."""

import datetime
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import tempfile
from collections.abc import Callable

import data_images
from rich.console import Console

from proganomaly.components.image_example_gen import executor as ingest_executor
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.images.spec import ImageSpec, Reading
from proganomaly.components.pyramid import executor as pyramid_executor
from proganomaly.components.pyramid.settings import PyramidSettings
from proganomaly.components.settings import to_json

# (images, side in pixels, channels, different contents, resolution of the pyramid).
LARGE, SMALL, QUICK = (1_000, 2048, 3, 8, 1024), (100_000, 32, 1, 500, 32), (30, 16, 3, 5, 16)


def ingest(root: str, uri: str) -> None:
    """Writes the Examples of a folder of normal images to `uri`."""
    from tfx.types import standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = uri
    properties = {
        "input_base": root,
        # Files that differ in their last row alone are near-identical: all of them are wanted here.
        "settings": to_json(ImageExampleGenSettings(near_identical=0)),
        "reading": to_json(Reading()),
        "store": "",
        "code_version": "",
    }
    ingest_executor.Executor().Do({}, {"examples": [examples]}, properties)


def pyramid(examples_uri: str, folder: str, spec: ImageSpec) -> None:
    """Writes the pyramid of the Examples at `examples_uri`, and its transform graph, into `folder`."""
    from tfx.types import artifact_utils, standard_artifacts

    examples, graph, levels = (
        standard_artifacts.Examples(),
        standard_artifacts.TransformGraph(),
        standard_artifacts.Examples(),
    )
    examples.uri, graph.uri, levels.uri = examples_uri, f"{folder}/graph", f"{folder}/pyramid"
    names = sorted(path.name.partition("-")[2] for path in pathlib.Path(examples_uri).glob("Split-*"))
    examples.split_names = artifact_utils.encode_split_names(names)
    properties = {"settings": to_json(PyramidSettings()), "image_spec": to_json(spec)}
    pyramid_executor.Executor().Do(
        {"examples": [examples]}, {"transform_graph": [graph], "pyramid": [levels]}, properties
    )


def report_memory(cache: pathlib.Path, results: pathlib.Path, quick: bool, console: Console) -> None:
    """Prints and appends the peak memory of both components, each in a process of its own."""
    # Imported late: it imports this module.
    from bench_train import append, commit
    from measure import processor_name

    rows = []
    for images, side, channels, contents, resolution in (QUICK,) if quick else (SMALL, LARGE):
        source = data_images.image_folder(cache, images, side, channels, contents)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            spec = ImageSpec(resolution, channels)
            parts: dict[str, tuple[Callable[..., None], tuple]] = {
                "ingest": (ingest, (str(source), f"{work}/examples")),
                "pyramid component": (pyramid, (f"{work}/examples", work, spec)),
            }
            for part, (function, arguments) in parts.items():
                peak, seconds = _in_process(function, arguments)
                console.print(
                    f"{part}: {images:,} images of {side} x {side} x {channels}: peak {peak / 2**20:.2f} "
                    f"GiB, {seconds:.0f} CPU s"
                )
                rows.append(
                    {
                        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
                        "commit": commit(),
                        "processor": processor_name(),
                        "load_average": f"{os.getloadavg()[0]:.1f}",
                        "part": part,
                        "side": side,
                        "images": images,
                        "peak_gib": f"{peak / 2**20:.2f}",
                        "cpu_s": f"{seconds:.0f}",
                    }
                )
    append(rows, results)


def _in_process(function: Callable[..., None], arguments: tuple) -> tuple[int, float]:
    """Calls a function in a new process; returns its peak resident memory in KiB and its CPU seconds."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(function, arguments, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} ended with exit code {process.exitcode}") from None
    finally:
        process.join()


def _measured(
    function: Callable[..., None], arguments: tuple, sender: multiprocessing.connection.Connection
) -> None:
    function(*arguments)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sender.send((usage.ru_maxrss, usage.ru_utime + usage.ru_stime))
    sender.close()
