"""What a run came to: one dictionary, written as `summary.json` and printed as a table."""

import json
import os
from typing import Any

import tensorflow as tf
from rich.console import Console
from rich.table import Table

from proganomaly.components.evaluator.gate import SIMPLER_NAMES
from proganomaly.components.files import write_atomic
from proganomaly.components.records.quarantine import QUARANTINE_FILE, count_stages, read_quarantine
from proganomaly.pipeline.config import Config
from proganomaly.pipeline.local_runner import ComponentRun

_MEASURES = ("image_auroc", "pixel_auroc", "aupro")


def summarize(config: Config, runs: list[ComponentRun]) -> dict[str, Any]:
    """Collects the summary of a finished run.

    Returns:
        A dictionary with at least `anomalies` ("labelled", "synthetic" or "none"), `image_auroc`,
        `pixel_auroc`, `aupro`, `baselines`, `control` (None without one), `blessed`, `reasons`,
        `pushed_model` (None if refused), `report`, `tensorboard`, `ingested`, `quarantined`,
        `quarantined_by_stage`, `drift` (status, span, alarms, acknowledged), `components`.
    """
    outputs = {key: artifact for run in runs for key, artifact in run.outputs.items()}
    examples, evaluation = outputs["examples"], outputs["evaluation"].uri
    with tf.io.gfile.GFile(os.path.join(outputs["drift"].uri, "drift.json")) as file:
        drift = json.load(file)
    with tf.io.gfile.GFile(os.path.join(evaluation, "metrics.json")) as file:
        metrics = json.load(file)
    pushed = outputs.get("pushed_model")
    return {
        **{name: metrics[name] for name in ("anomalies", *_MEASURES, "baselines", "control")},
        "blessed": metrics["blessed"],
        "reasons": metrics["reasons"],
        "pushed_model": pushed.get_string_custom_property("pushed_destination") or None if pushed else None,
        "report": os.path.join(evaluation, "report", "index.html"),
        "metrics": os.path.join(evaluation, "metrics.json"),
        "tensorboard": os.path.join(outputs["model_run"].uri, "tensorboard"),
        "found": examples.get_int_custom_property("images_found"),
        "ingested": examples.get_int_custom_property("images_ingested"),
        "quarantined": examples.get_int_custom_property("images_quarantined"),
        "quarantine": os.path.join(examples.uri, QUARANTINE_FILE),
        "quarantined_by_stage": count_stages(read_quarantine(examples.uri)),
        "drift": {name: drift[name] for name in ("status", "span", "alarms", "acknowledged")},
        "components": [
            {"name": run.name, "seconds": round(run.seconds, 2), "cached": run.cached} for run in runs
        ],
    }


def write_summary(config: Config, summary: dict[str, Any]) -> str:
    """Writes `summary.json` into the run folder and returns its path."""
    path = os.path.join(config.output, "summary.json")
    write_atomic(path, json.dumps(summary, indent=2) + "\n")
    return path


def print_summary(summary: dict[str, Any], path: str) -> None:
    """Prints the summary for a person."""
    console = Console(highlight=False, soft_wrap=True)
    components = Table("component", "time", title="Components", title_justify="left")
    for component in summary["components"]:
        how = "from the cache" if component["cached"] else f"{component['seconds']:.1f} s"
        components.add_row(component["name"], how)
    title = "Detection of synthetic defects" if summary["anomalies"] == "synthetic" else "Detection"
    measures = Table("", "image AUROC", "pixel AUROC", "AUPRO", title=title, title_justify="left")
    measures.add_row("this model", *_figures(summary))
    for name, simpler in {"control": summary["control"], **summary["baselines"]}.items():
        if simpler:
            measures.add_row(SIMPLER_NAMES.get(name, name), *_figures(simpler))
    console.print()
    console.print(components)
    console.print(measures)
    stages = ", ".join(f"{stage} {number}" for stage, number in summary["quarantined_by_stage"].items())
    console.print(
        f"images       {summary['ingested']} ingested, {summary['quarantined']} quarantined"
        f"{stages and f' ({stages})'}"
    )
    drift = summary["drift"]
    state = "acknowledged" if drift["acknowledged"] else "drift"
    for alarm in drift["alarms"]:
        console.print(f"{state:<12} span {drift['span']}: {alarm}")
    console.print(f"verdict      {'blessed' if summary['blessed'] else 'refused'}")
    for reason in summary["reasons"]:
        console.print(f"             - {reason}")
    console.print(f"model        {summary['pushed_model'] or 'not pushed'}")
    console.print(f"report       {summary['report']}")
    console.print(f"TensorBoard  tensorboard --logdir {summary['tensorboard']}")
    console.print(f"summary      {path}")


def _figures(measures: dict[str, Any]) -> list[str]:
    return ["-" if measures[name] is None else f"{measures[name]:.3f}" for name in _MEASURES]
