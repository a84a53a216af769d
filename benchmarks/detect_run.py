"""One task of the detection benchmark in a process of its own, with one thread.

`python benchmarks/detect_run.py REQUEST` reads a JSON file of a `Request` and writes the rows that it asks for.
"""

import dataclasses
import json
import pathlib
import sys

from detect_settings import Task

from proganomaly.components.settings import from_json
from proganomaly.pipeline.quiet import silence_libraries

# What can be measured of a task.
MODEL, BASELINES, CONTROL = "model", "baselines", "control"


@dataclasses.dataclass(frozen=True)
class Request:
    """What a process is asked for.

    Attributes:
        task: The task.
        parts: What to measure of it.
        cache: Folder of trained networks and scores.
        fashion_folder: Where Fashion-MNIST is.
        rows: File that the rows go to, a JSON list of dictionaries.
    """

    task: Task
    parts: tuple[str, ...]
    cache: str
    fashion_folder: str
    rows: str


def main() -> None:
    """Measures what the request in the first argument asks for."""
    silence_libraries()
    request = from_json(Request, pathlib.Path(sys.argv[1]).read_text())
    # Imported late: who asks needs `Request` and no TensorFlow.
    import detect_data
    import detect_scores
    from measure import use_one_thread

    from proganomaly.components.files import write_atomic

    use_one_thread()
    task = request.task
    data = detect_data.load(task, request.fashion_folder)
    rows = []
    if MODEL in request.parts:
        rows += detect_scores.measure_model(task, data, pathlib.Path(request.cache, task.data_name))
    if CONTROL in request.parts:
        rows += detect_scores.measure_control(task, data)
    if BASELINES in request.parts:
        rows += detect_scores.measure_baselines(data)
    write_atomic(request.rows, json.dumps(rows))


if __name__ == "__main__":
    main()
