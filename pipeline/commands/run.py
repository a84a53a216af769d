"""`proganomaly run`: the whole pipeline on this machine."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import yaml
from filelock import FileLock, Timeout

from proganomaly.components.errors import UserError
from proganomaly.pipeline.commands.settings_parser import (
    make_settings_parser,
    parse_settings,
    require_data,
)
from proganomaly.pipeline.config import Config, as_dict

if TYPE_CHECKING:
    from proganomaly.pipeline.serving_directory import Provenance


def main(argv: list[str]) -> int:
    """Runs the pipeline and prints its summary; `--dry-run` prints the settings and what would be done."""
    parser = make_settings_parser("run", "Run the whole pipeline: images in, evaluated and pushed model out.")
    parser.add_argument("--dry-run", action="store_true", help="check everything, print it and stop")
    config, options = parse_settings(parser, argv)
    require_data(config)
    # Imported late: TensorFlow takes seconds, and a mistyped option should not wait for it.
    from proganomaly.components.trainer.schedule import stages
    from proganomaly.pipeline.serving_directory import plan_provenance

    plan = stages(config.trainer.schedule, config.image.resolution, images_per_epoch=1)
    provenance = plan_provenance(config)
    if options.dry_run:
        print(yaml.safe_dump(as_dict(config), sort_keys=False), end="")
        print(f"# {plan[-1].end:,} images in {len(plan)} stages; nothing was run")
        return 0
    return _run(config, provenance)


def _run(config: Config, provenance: "Provenance") -> int:
    from proganomaly.components.files import require_folder
    from proganomaly.components.trainer.determinism import make_deterministic

    if config.trainer.execution.deterministic:
        # Here already: the trainer's predecessors begin to work in the same process.
        make_deterministic()
    require_folder("output", config.output)
    require_folder("serving", config.serving_directory)
    with _alone(config.output):
        return _run_alone(config, provenance)


def _run_alone(config: Config, provenance: "Provenance") -> int:
    from proganomaly.components.data_validation.schema import edited_fingerprint
    from proganomaly.components.files import write_atomic
    from proganomaly.pipeline.local_runner import run_locally
    from proganomaly.pipeline.pipeline import create_pipeline
    from proganomaly.pipeline.summary import print_summary, summarize, write_summary

    print(f"proganomaly: {config.data} -> {config.output}", flush=True)
    write_atomic(os.path.join(config.output, "config.yaml"), yaml.safe_dump(as_dict(config), sort_keys=False))
    try:
        edited_schema = edited_fingerprint(config.schema_path)
        runs = run_locally(create_pipeline(config, provenance, edited_schema))
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", flush=True)
        raise
    summary = summarize(config, runs)
    print_summary(summary, write_summary(config, summary))
    return 0


@contextlib.contextmanager
def _alone(output: str) -> Iterator[None]:
    """Keeps a second run out of a local run folder: the two would write the same checkpoints."""
    if "://" in output:
        yield
        return
    try:
        with FileLock(os.path.join(output, ".lock"), timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"another run is at work in {output}; wait for it, or choose another --output"
        ) from None
