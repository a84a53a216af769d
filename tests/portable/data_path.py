"""Ingest and pyramid with any of Beam's options, in a process of its own that a test may kill.

    python tests/portable/data_path.py ingest|pyramid FOLDER [beam options]

FOLDER holds `images`; `examples`, `graph` and `pyramid` are made beside it.
"""

import os
import pathlib
import resource
import sys
import time
from collections import Counter

from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from proganomaly.components.image_example_gen import executor as ingest_executor
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.images.spec import ImageSpec, Reading
from proganomaly.components.pyramid import executor as pyramid_executor
from proganomaly.components.pyramid.settings import PyramidSettings
from proganomaly.components.records.tfrecord_file import read_tfrecords
from proganomaly.components.settings import to_json


def ingest(folder: str, beam_args: list[str]) -> None:
    """Writes the Examples of `images`."""
    examples = standard_artifacts.Examples()
    examples.uri = f"{folder}/examples"
    properties = {
        "input_base": f"{folder}/images",
        "settings": to_json(ImageExampleGenSettings(near_identical=0, max_quarantined_fraction=0.5)),
        "reading": to_json(Reading()),
        "store": f"{folder}/store",
        "code_version": "",
    }
    _with_options(ingest_executor.Executor, beam_args).Do({}, {"examples": [examples]}, properties)


def pyramid(folder: str, beam_args: list[str], resolution: int = 32) -> None:
    """Writes the pyramid of the Examples."""
    examples, graph, levels = (
        standard_artifacts.Examples(),
        standard_artifacts.TransformGraph(),
        standard_artifacts.Examples(),
    )
    examples.uri, graph.uri, levels.uri = (f"{folder}/{name}" for name in ("examples", "graph", "pyramid"))
    names = sorted(path.name.partition("-")[2] for path in pathlib.Path(examples.uri).glob("Split-*"))
    examples.split_names = artifact_utils.encode_split_names(names)
    properties = {
        "settings": to_json(PyramidSettings(shard_mebibytes=1)),
        "image_spec": to_json(ImageSpec(resolution, 3)),
    }
    _with_options(pyramid_executor.Executor, beam_args).Do(
        {"examples": [examples]}, {"transform_graph": [graph], "pyramid": [levels]}, properties
    )


def outputs(folder: pathlib.Path) -> dict[str, Counter]:
    """Returns the multisets of what both components wrote, whatever files it is in.

    Raises:
        AssertionError: a file is there that is no whole output, such as one that a killed worker left.
    """
    found: dict[str, Counter] = {}
    for part in ("examples", "pyramid"):
        for path in sorted((folder / part).rglob("*")):
            if path.is_dir():
                continue
            assert not path.name.startswith(".") and "/.temp" not in str(path), path
            if path.suffix == ".tfrecord":
                records = Counter(read_tfrecords(str(path)))
                name = str(path.parent.relative_to(folder))
                found[name] = found.get(name, Counter()) + records
            else:
                found[str(path.relative_to(folder))] = Counter(path.read_text().splitlines())
    return found


def _with_options(executor: type, beam_args: list[str]) -> base_beam_executor.BaseBeamExecutor:
    return executor(base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=beam_args))


def main() -> None:
    """Runs one component; prints its seconds by the clock and of all its processes, and their peak memory."""
    component, folder, *beam_args = sys.argv[1:]
    begin = time.monotonic()
    (ingest if component == "ingest" else pyramid)(folder, beam_args)
    wall = time.monotonic() - begin
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in (own, children))
    peak = own.ru_maxrss / 2**20
    load = os.getloadavg()[0]
    print(
        f"DONE {component}: wall {wall:.1f} s, CPU {cpu:.1f} s, peak {peak:.2f} GiB, load {load:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
