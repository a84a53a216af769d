"""The one tree of settings: what `--config` files, dotted options and `proganomaly config` speak of."""

import dataclasses
import os
from importlib import resources
from typing import Any

from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.errors import SettingsError, UserError, check_choice
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.images.spec import DECODABLE_CHANNELS, ImageSpec
from proganomaly.components.pyramid.settings import PyramidSettings
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.pipeline.suggestion import did_you_mean


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides a run.

    Attributes:
        data: Folder of images: laid out like MVTec AD, or normal images only. `{SPAN}`, or `{YYYY}`, `{MM}`
            and `{DD}`, stand for the newest batch.
        output: The run folder: artifacts, checkpoints, logs, `summary.json`.
        serving: The versioned directory that models are pushed to; `<output>/serving` when empty.
        schema: File of the schema that data is validated against, derived by the first run if it is missing;
            `<output>/schema/schema.pbtxt` when empty.
        name: Name of the pipeline.
        image: What every image becomes before a network sees it.
        ingest: How the folder becomes Examples.
        drift: When a new span differs too much from those before it, and what happens then.
        pyramid: How the multi-resolution records are written.
        trainer: How the networks are trained, and how they score.
        evaluator: How a model is measured, and when it is blessed.
        beam_pipeline_args: Options for Beam's runner, passed through.
    """

    data: str = ""
    output: str = "runs/proganomaly"
    serving: str = ""
    schema: str = ""
    name: str = "proganomaly"
    image: ImageSpec = dataclasses.field(default_factory=ImageSpec)
    ingest: ImageExampleGenSettings = dataclasses.field(default_factory=ImageExampleGenSettings)
    drift: DriftSettings = dataclasses.field(default_factory=DriftSettings)
    pyramid: PyramidSettings = dataclasses.field(default_factory=PyramidSettings)
    trainer: TrainerSettings = dataclasses.field(default_factory=TrainerSettings)
    evaluator: EvaluatorSettings = dataclasses.field(default_factory=EvaluatorSettings)
    beam_pipeline_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("output", "name"):
            if not getattr(self, name).strip():
                raise SettingsError(f"{name} must not be empty; received {getattr(self, name)!r}")
        check_choice("image.channels of a pipeline", self.image.channels, DECODABLE_CHANNELS)
        self.trainer.scoring.check_networks(self.image.resolution, bool(self.trainer.networks.transforms))

    @property
    def serving_directory(self) -> str:
        """Where models are pushed to."""
        return self.serving or os.path.join(self.output, "serving")

    @property
    def schema_path(self) -> str:
        """Where the schema of the data is kept."""
        return self.schema or os.path.join(self.output, "schema", "schema.pbtxt")


def preset_path(name: str) -> str:
    """Returns the file of a named starting point.

    Raises:
        UserError: there is none of that name.
    """
    folder = resources.files("proganomaly.pipeline") / "presets"
    names = sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )
    if name not in names:
        hint = did_you_mean(name, names) or f"; choose from {', '.join(names)}"
        raise UserError(f"unknown preset {name}{hint}")
    return str(folder / f"{name}.yaml")


def as_dict(settings: Any) -> dict[str, Any]:
    """Returns settings as plain dictionaries and lists, for YAML."""
    plain = dataclasses.asdict(settings)
    return {key: _plain(value) for key, value in plain.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
