"""Speed of the training step in CPU seconds of one thread, beside what the machine can do at best.

Run it from the repository's root: `python benchmarks/bench_train.py`; see benchmarks/README.md.
"""

import argparse
import csv
import dataclasses
import datetime
import functools
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator
from unittest import mock

import numpy as np
import tensorflow as tf
from flops import step_flops
from measure import (
    Action,
    ceilings,
    cpu_seconds,
    interleaved,
    processor_name,
    resident_megabytes,
    use_one_thread,
)
from rich.console import Console
from rich.table import Table

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.records.pyramid_record import encode_pyramid_record, level_name
from proganomaly.components.trainer import step as step_module
from proganomaly.components.trainer.dataset import PyramidSource, training_batches
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import ExecutionSettings, LossSettings, TrainerSettings
from proganomaly.components.trainer.step import StepFunction, create_state, make_step
from proganomaly.components.trainer.updates import Updates

RESULTS = pathlib.Path(__file__).parent / "results" / "train.csv"
CHANNELS, RECORDS = 3, 512
# The fast settings have two graphs, the most to leak from.
MEMORY_CASE = "fast + encoder"


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large the networks are and how long is measured.

    Attributes:
        networks: Widths of the networks.
        resolutions: Sides of the images; the largest one is the networks' final resolution.
        batch_size: Images per step.
        rounds: Turns of each measured thing.
        turn_seconds: CPU seconds of a turn.
        gemm_side: Side of the matrices whose product is the ceiling.
        cases: Names of the cases; empty for all.
        memory_steps: Steps over which the growth of memory is taken, after as many to warm up.
    """

    networks: NetworkSettings
    resolutions: tuple[int, ...]
    batch_size: int
    rounds: int
    turn_seconds: float
    gemm_side: int
    memory_steps: int
    cases: tuple[str, ...] = ()


FULL = Scale(
    NetworkSettings(fmap_base=2048, fmap_max=128, latent_size=128),
    resolutions=(8, 16, 32, 64),
    batch_size=16,
    rounds=3,
    turn_seconds=0.3,
    gemm_side=2048,
    memory_steps=200,
)
QUICK = Scale(
    NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8),
    resolutions=(8,),
    batch_size=4,
    rounds=1,
    turn_seconds=0.01,
    gemm_side=128,
    memory_steps=5,
    cases=("faithful", "fast + encoder"),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        name: What it is called.
        settings: How it trains.
        with_encoder: Whether the encoder is trained as well; Karras' step has none.
    """

    name: str
    settings: TrainerSettings
    with_encoder: bool


def cases(scale: Scale) -> list[Case]:
    """Returns the cases in the order of the table."""
    networks = scale.networks
    karras = TrainerSettings(networks=networks)
    execution = ExecutionSettings(precision="bfloat16", jit_chains=True)
    fast = TrainerSettings(
        networks=networks, execution=execution, losses=LossSettings(shared_fakes=True, penalty_interval=4)
    )
    lazy_r1 = LossSettings(
        shared_fakes=True, adversarial="logistic", gradient_penalty=0, r1=10, drift=0, penalty_interval=16
    )
    all_cases = [
        Case("faithful", karras, False),
        Case("fast", fast, False),
        Case("faithful + encoder", karras, True),
        Case("fast + encoder", fast, True),
        Case("fast R1 + encoder", dataclasses.replace(fast, losses=lazy_r1), True),
    ]
    return [case for case in all_cases if not scale.cases or case.name in scale.cases]


class WithoutEncoder(Updates):
    """Karras' updates: of D and G alone."""

    def _encoder_pass(self, *_: object) -> tuple[list, dict]:
        return [], {}

    def _apply(self, name: str, gradients: list, statistics: dict) -> None:
        if name != "encoder":
            super()._apply(name, gradients, statistics)


def build_step(case: Case, spec: ImageSpec, stage: Stage) -> StepFunction:
    """Returns the trainer's own step for a case, with new networks."""
    state = create_state(case.settings, spec)
    updates = Updates if case.with_encoder else WithoutEncoder
    with mock.patch.object(step_module, "Updates", updates):
        return make_step(state, case.settings, stage, tf.distribute.get_strategy())


def batches(folder: str, resolution: int, scale: Scale) -> Iterator:
    """Returns the trainer's input pipeline over random records, without end."""
    path = pathlib.Path(folder, level_name(resolution), "data")
    path.parent.mkdir()
    random = np.random.default_rng(1)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(RECORDS):
            image = random.integers(0, 256, (resolution, resolution, CHANNELS), np.uint8)
            writer.write(encode_pyramid_record(image))
    data = TrainerSettings().data
    return iter(training_batches(PyramidSource(folder), resolution, scale.batch_size, 0, 1, data))


def measure(resolution: int, scale: Scale) -> list[dict]:
    """Measures all cases and the ceilings at one resolution; returns the rows of the table."""
    stage = Stage(resolution, True, 0, scale.batch_size * 10_000, scale.batch_size, 0.0)
    spec = ImageSpec(max(scale.resolutions), CHANNELS)
    best = ceilings(scale.batch_size, scale.networks.feature_maps(resolution), resolution, scale.gemm_side)
    actions = {name: action for name, (action, _) in best.items()}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        stream = batches(folder, resolution, scale)
        batch = next(stream)
        actions["input"] = lambda: next(stream)
        for case in cases(scale):
            step = build_step(case, spec, stage)
            row = {"resolution": resolution, "settings": case.name, "first_step_cpu_s": 0.0}
            variants = {"due": 0}
            if case.settings.losses.penalty_interval > 1:
                variants["between"] = scale.batch_size
            for variant, images_seen in variants.items():
                action = _step_action(step, batch, images_seen)
                row["first_step_cpu_s"] = max(row["first_step_cpu_s"], cpu_seconds(action))
                actions[f"{case.name}/{variant}"] = action
            rows.append(row)
            if case.name == MEMORY_CASE and resolution == min(scale.resolutions):
                row["memory_growth_mb"] = _memory_growth(step, stream, scale)
        seconds = interleaved(actions, scale.rounds, scale.turn_seconds)
    machine = {f"{name}_gflop_s": flops / seconds[name] / 1e9 for name, (_, flops) in best.items()}
    for row, case in zip(rows, cases(scale), strict=True):
        row.update(_figures(case, resolution, scale, seconds), **machine)
        row["share_of_gemm"] = row["gflop_s"] / machine["gemm_float32_gflop_s"]
    return rows


def _step_action(step: StepFunction, batch: tuple, images_seen: int) -> Action:
    return lambda: step(batch, images_seen)


def _figures(case: Case, resolution: int, scale: Scale, seconds: dict[str, float]) -> dict:
    due = seconds[f"{case.name}/due"]
    between, interval = seconds.get(f"{case.name}/between", due), case.settings.losses.penalty_interval
    step_seconds = between + (due - between) / interval
    flops = step_flops(
        scale.networks,
        case.settings.losses,
        resolution,
        CHANNELS,
        fading=True,
        with_encoder=case.with_encoder,
    )
    images_per_second = scale.batch_size / step_seconds
    return {
        "precision": case.settings.execution.precision,
        "images_per_cpu_s": images_per_second,
        "gflop_per_image": flops / 1e9,
        "gflop_s": images_per_second * flops / 1e9,
        "input_share": seconds["input"] / step_seconds,
    }


def _memory_growth(step: StepFunction, stream: Iterator, scale: Scale) -> float:
    held = []
    # The first half warms up: buffers fill and allocators settle.
    for half in range(2):
        for number in range(scale.memory_steps):
            step(next(stream), (half * scale.memory_steps + number) * scale.batch_size)
        held.append(resident_megabytes())
    return held[1] - held[0]


@functools.cache
def commit() -> str:
    """Returns the commit as it was at the first call, before this run's own results changed the tree."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=RESULTS.parents[1],
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _common_columns(scale: Scale) -> dict:
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
        "commit": commit(),
        "processor": processor_name(),
        "load_average": f"{os.getloadavg()[0]:.1f}",
        "batch_size": scale.batch_size,
        "fmap_base": scale.networks.fmap_base,
        "fmap_max": scale.networks.fmap_max,
        "latent_size": scale.networks.latent_size,
    }


def append(rows: list[dict], path: pathlib.Path) -> None:
    """Adds rows to a CSV file; the first ones say what its columns are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if not file.tell():
            writer.writeheader()
        writer.writerows(rows)


def show(rows: list[dict], console: Console) -> None:
    """Prints the rows of one resolution."""
    first = rows[0]
    best = ", ".join(
        f"{n[:-8].replace('_', ' ')} {v:.0f}" for n, v in first.items() if n.startswith(("gemm", "conv"))
    )
    table = Table(title=f"{first['resolution']} px; GFLOP/s of {best}", title_justify="left")
    columns = {
        "settings": "{}",
        "images_per_cpu_s": "{:.1f}",
        "gflop_per_image": "{:.2f}",
        "gflop_s": "{:.0f}",
        "share_of_gemm": "{:.0%}",
        "first_step_cpu_s": "{:.1f}",
        "input_share": "{:.2%}",
        "memory_growth_mb": "{:+.1f}",
    }
    for name in columns:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*("" if row[name] == "" else form.format(row[name]) for name, form in columns.items()))
    console.print(table)


def main() -> None:
    """Measures, prints, and appends to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--resolutions", type=int, nargs="+", help="measure these alone; 8 16 32 64 if left out"
    )
    parser.add_argument("--quick", action="store_true", help="tiny networks at 8 px: does it run?")
    parser.add_argument(
        "--results", type=pathlib.Path, default=RESULTS, help=f"CSV to append to ({RESULTS.name})"
    )
    options = parser.parse_args()
    use_one_thread()
    scale, console = QUICK if options.quick else FULL, Console(width=140)
    for resolution in options.resolutions or scale.resolutions:
        rows = measure(resolution, scale)
        common = _common_columns(scale)
        rows = [{**common, **row, "memory_growth_mb": row.get("memory_growth_mb", "")} for row in rows]
        append([{name: _rounded(value) for name, value in row.items()} for row in rows], options.results)
        show(rows, console)


def _rounded(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
