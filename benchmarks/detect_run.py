"""One task of the detection benchmark in a process of its own, with one thread.

`python benchmarks/detect_run.py REQUEST` reads a JSON file of a `Request` and writes the rows it asks for.
"""

import dataclasses
import json
import pathlib
import sys

from detect_settings import CONTROL, FUSED, KNN, Task

from proganomaly.components.settings import from_json
from proganomaly.pipeline.quiet import silence_libraries

# What can be measured of a task, and a method that is measured with it.
MODEL_PART, CONTROL_PART, BASELINES_PART = "model", "control", "baselines"
METHOD_OF = {MODEL_PART: FUSED, CONTROL_PART: CONTROL, BASELINES_PART: KNN}


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


def settings_of(task: Task, part: str) -> str:
    """Returns what the results call the settings of a part: the baselines have none but the resolution."""
    return f"{task.spec.resolution}px" if part == BASELINES_PART else task.label


def main() -> None:
    """Measures what the request in the first argument asks for."""
    silence_libraries()
    request = from_json(Request, pathlib.Path(sys.argv[1]).read_text())
    # Imported late: who asks needs no TensorFlow.
    import detect_data
    import detect_scores
    from measure import use_one_thread

    from proganomaly.components.files import write_atomic

    use_one_thread()
    task = request.task
    data = detect_data.load(task, request.fashion_folder)
    folder = pathlib.Path(request.cache, task.data_name)
    measures = {
        MODEL_PART: lambda: detect_scores.measure_model(task, data, folder),
        CONTROL_PART: lambda: detect_scores.measure_control(task, data),
        BASELINES_PART: lambda: detect_scores.measure_baselines(task, data),
    }
    rows = [
        {**row, "settings": settings_of(task, part)} for part in request.parts for row in measures[part]()
    ]
    write_atomic(request.rows, json.dumps(rows))


if __name__ == "__main__":
    main()
