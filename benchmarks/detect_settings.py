"""What the detection benchmark runs: read from `detection_settings.yaml`, without TensorFlow."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from proganomaly.components.errors import UserError, check_choice
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import to_json
from proganomaly.components.trainer.settings import CheckpointSettings, LoggingSettings, TrainerSettings
from proganomaly.pipeline.commands.parser import make_parser
from proganomaly.pipeline.config import preset_path

SETTINGS_FILE = pathlib.Path(__file__).parent / "detection_settings.yaml"
FASHION, TEXTURE = "fashion-mnist", "texture"
# The classes on which the defaults were chosen, test labels in view.
CHOSEN_ON = ("0", "5", "8")
ROLES = ("ours", "baseline", "control", "ablation")


@dataclasses.dataclass(frozen=True)
class Task:
    """One training and what is measured of it.

    Attributes:
        dataset: `FASHION` or `TEXTURE`.
        normal_class: Number of the normal class, or name of the texture.
        seed: Of training, and of the data where they are drawn.
        contamination: Share of anomalies among the normal images, in [0, 0.5).
        name: Name of the settings.
        spec: Resolution and channels.
        trainer: The settings, `seed` among them.
        role: "ours" or "ablation".
        compare: Whether the baselines and the control are measured too.
        quality: Whether the generated images are measured.
        limit: At most so many training images, and twice as many test images; 0 for all.
    """

    dataset: str
    normal_class: str
    seed: int
    contamination: float
    name: str
    spec: ImageSpec
    trainer: TrainerSettings
    role: str = "ours"
    compare: bool = False
    quality: bool = False
    limit: int = 0

    @property
    def label(self) -> str:
        """The settings' name and a hash of all that they say beside the seed."""
        return f"{self.name}-{_digest(self.spec, dataclasses.replace(self._without_reports(), seed=0))}"

    @property
    def data_name(self) -> str:
        """Names the images that it takes."""
        return f"{self.dataset}-{self.normal_class}-seed{self.seed}-contamination{self.contamination:g}"

    @property
    def networks_name(self) -> str:
        """Names the trained networks: those of equal names are equal."""
        scoring = type(self.trainer.scoring)()
        return _digest(self.spec, dataclasses.replace(self._without_reports(), scoring=scoring), self.limit)

    def _without_reports(self) -> TrainerSettings:
        return dataclasses.replace(self.trainer, logging=LoggingSettings(), checkpoints=CheckpointSettings())


def read_tasks(
    suites: Collection[str] = (),
    classes: Collection[str] = (),
    seeds: Collection[int] = (),
    quick: bool = False,
    path: pathlib.Path = SETTINGS_FILE,
) -> list[Task]:
    """Returns what the suites consist of, in order, each task once.

    Args:
        suites: Names of suites; empty for all.
        classes: Those normal classes alone; empty for all.
        seeds: Those seeds alone; empty for all.
        quick: Make everything tiny.
        path: The file of settings.

    Raises:
        UserError: a suite, a class or a setting is unknown, or nothing is left.
    """
    content = yaml.safe_load(path.read_text())
    for suite in suites:
        check_choice("suite", suite, list(content["suites"]))
    tasks = [
        task
        for suite, entries in content["suites"].items()
        if not suites or suite in suites
        for entry in entries
        for task in _entry_tasks(entry, content, quick)
        if (not classes or task.normal_class in classes) and (not seeds or task.seed in seeds)
    ]
    if not tasks:
        raise UserError(
            f"no suite among {', '.join(suites or content['suites'])} has the classes "
            f"{', '.join(classes) or 'asked for'} and the seeds {', '.join(map(str, seeds)) or 'asked for'}"
        )
    return tasks


def _entry_tasks(entry: dict[str, Any], content: dict[str, Any], quick: bool) -> Iterator[Task]:
    known = {"dataset", "settings", "classes", "seeds", "contamination", "role", "compare", "quality"}
    for key in entry:
        check_choice("a key of a suite", key, known)
    check_choice("dataset", entry["dataset"], (FASHION, TEXTURE))
    role = entry.get("role", "ours")
    check_choice("role", role, ("ours", "ablation"))
    for name in entry["settings"]:
        resolution, trainer = _resolved(name, content, quick)
        for seed in entry["seeds"]:
            for normal_class in entry["classes"]:
                yield Task(
                    dataset=entry["dataset"],
                    normal_class=str(normal_class),
                    seed=seed,
                    contamination=float(entry.get("contamination", 0)),
                    name=name,
                    spec=ImageSpec(resolution, channels=1),
                    trainer=dataclasses.replace(trainer, seed=seed),
                    role=role,
                    compare=entry.get("compare", False),
                    quality=entry.get("quality", False),
                    limit=40 if quick else 0,
                )


def _resolved(name: str, content: dict[str, Any], quick: bool) -> tuple[int, TrainerSettings]:
    """Returns the final resolution and the settings of a name."""
    differences = _differences(name, content["settings"])
    if quick:
        differences = _merged(differences, content["quick"])
    parser = make_parser("settings", "")
    parser.add_class_arguments(TrainerSettings, "trainer")
    parsed = parser.parse_object({"trainer": differences.get("trainer", {})})
    return differences["resolution"], parser.instantiate(parsed).trainer


def _differences(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    check_choice("settings", name, list(settings))
    own = dict(settings[name])
    result: dict[str, Any] = {}
    if like := own.pop("like", None):
        result = _differences(like, settings)
    if preset := own.pop("preset", None):
        result = _merged(result, yaml.safe_load(pathlib.Path(preset_path(preset)).read_text()))
    for key in own:
        check_choice(f"a key of the settings {name}", key, ("like", "preset", "resolution", "trainer"))
    return _merged(result, own)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lays settings over others; dictionaries by resolution are replaced as a whole."""
    result = dict(below)
    for key, value in above.items():
        is_group = isinstance(value, dict) and value and all(isinstance(name, str) for name in value)
        result[key] = _merged(result.get(key, {}), value) if is_group else value
    return result


def _digest(*parts: Any) -> str:
    text = "\n".join(to_json(part) if dataclasses.is_dataclass(part) else repr(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
