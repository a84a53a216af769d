"""What the detection benchmark runs: read from `detection_settings.yaml`, without TensorFlow."""

import dataclasses
import functools
import hashlib
import itertools
import json
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
# Names of methods in the results; components of the score stand beside them by their own names.
FUSED, CONTROL = "fused", "random weights"
KNN, PCA, FOREST = "kNN-5", "PCA-64", "Isolation Forest"


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
        training = json.loads(to_json(self._without_reports()))
        del training["scoring"]
        return _digest(self.spec, json.dumps(training), self.limit)

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
        quick: Make everything tiny, and take one class and seed of each kind.
        path: The file of settings.

    Raises:
        UserError: a suite, a class or a setting is unknown, or nothing is left.
    """
    content = yaml.safe_load(path.read_text())
    for suite in suites:
        check_choice("suite", suite, list(content["suites"]))
    tasks: dict[tuple[str, str], Task] = {}
    for entry in itertools.chain.from_iterable(
        content["suites"][suite] for suite in suites or content["suites"]
    ):
        own_classes = [name for name in map(str, entry["classes"]) if not classes or name in classes]
        own_seeds = [seed for seed in entry["seeds"] if not seeds or seed in seeds]
        if quick:
            own_classes, own_seeds = own_classes[:1], own_seeds[:1]
        for task in _entry_tasks(entry, own_classes, own_seeds, content, quick):
            key = task.data_name, task.label
            same = tasks.get(key, task)
            tasks[key] = dataclasses.replace(
                same, compare=same.compare or task.compare, quality=same.quality or task.quality
            )
    if not tasks:
        raise UserError(
            f"no suite among {', '.join(suites or content['suites'])} has the classes "
            f"{', '.join(classes) or 'asked for'} and the seeds {', '.join(map(str, seeds)) or 'asked for'}"
        )
    return list(tasks.values())


def _entry_tasks(
    entry: dict[str, Any], classes: list[str], seeds: list[int], content: dict[str, Any], quick: bool
) -> Iterator[Task]:
    known = ("dataset", "settings", "classes", "seeds", "contamination", "compare", "quality")
    for key in entry:
        check_choice("a key of a suite", key, known)
    check_choice("dataset", entry["dataset"], (FASHION, TEXTURE))
    for name in entry["settings"]:
        differences = _differences(name, content)
        if quick:
            differences = _merged(differences, content["quick"])
        trainer = _trainer_settings(yaml.safe_dump(differences["trainer"]))
        for normal_class, seed in itertools.product(classes, seeds):
            yield Task(
                dataset=entry["dataset"],
                normal_class=normal_class,
                seed=seed,
                contamination=float(entry.get("contamination", 0)),
                name=name,
                spec=ImageSpec(differences["resolution"], channels=1),
                trainer=dataclasses.replace(trainer, seed=seed),
                role="ours" if name in content["settings"] else "ablation",
                compare=entry.get("compare", False),
                quality=entry.get("quality", False),
                limit=40 if quick else 0,
            )


def _differences(name: str, content: dict[str, Any]) -> dict[str, Any]:
    """Returns the resolution and how the trainer's settings of a name differ from the defaults."""
    all_settings = content["settings"] | content["variants"]
    check_choice("settings", name, list(all_settings))
    own = dict(all_settings[name])
    for key in own:
        check_choice(f"a key of the settings {name}", key, ("like", "preset", "resolution", "trainer"))
    result: dict[str, Any] = {"trainer": {}}
    if like := own.pop("like", None):
        result = _differences(like, content)
    if preset := own.pop("preset", None):
        result = _merged(result, yaml.safe_load(pathlib.Path(preset_path(preset)).read_text()))
    return _merged(result, own)


@functools.cache
def _trainer_settings(differences: str) -> TrainerSettings:
    """Parses as `proganomaly` does: a name or a value that is wrong is an error."""
    parser = make_parser("settings", "")
    parser.add_class_arguments(TrainerSettings, "trainer")
    return parser.instantiate(parser.parse_object({"trainer": yaml.safe_load(differences)})).trainer


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
