"""docs/seed-options.md: complete, true, and every setting in it proven by a test that says so.

A test that proves what a setting does carries `@pytest.mark.option("group.name")`. The markers are read from
the sources, so that this file alone finds a setting without proof.
"""

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.pipeline import cli

ROOT = Path(__file__).resolve().parent.parent
WORDS = ["records", "--output", "--prefix", "--suffix", "--resolution"]
COMMAND_LINE = """
-d --data_input_dir -B --batch_size_dict -E --epoch_size_dict -L --latent_size_dict -s --min_image_size
-S --max_image_size -p --tf_record_prefix -x --tf_record_suffix -e --encoder_dim -l --learning_rate
-c --channels -i --image_num -f --fade_num -C --checkpoint_name -V --verbose
"""
CONFIGURATION = """
save evaluate logging out_dir log_dir data_dir train_eagerly XLA strategy checkpoint_freq eval_freq log_freq
leaky_alpha generator_ema resolution noise_dim epsilon use_bias use_stages use_fused_scaling
use_weight_scaling use_alpha_smoothing use_noise_normalization epochs epochs_per_stage alpha_init
use_epsilon_penalty drift_epsilon use_gradient_penalty wgan_lambda wgan_target beta1 beta2
"""
PROMISES = [
    *("restart", "distributed training", "images in TensorBoard", "NCHW", "MS-SSIM", "FID", "R&R"),
    *("global seed", "fixed image seed", "batch sizes per stage", "learning rates per stage", "buffer sizes"),
    *("caching", "model plots per stage", "grids of fixed and fresh latents"),
]


def _rows(part: str) -> list[list[str]]:
    """The cells of every row of the tables in the part of that heading."""
    text = (ROOT / "docs" / "seed-options.md").read_text().split(f"\n## {part}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in rows if row[0] not in ("setting", "option")]


FORERUNNERS = [*_rows("PROGANomaly's command line"), *_rows("Progressive GAN in TensorFlow 2")]
SETTINGS = {row[0].strip("`"): row[1:] for row in _rows("All settings")}


def _leaves(settings: object, prefix: str = "") -> dict[str, tuple[object, str]]:
    """Dotted name -> default and meaning of every setting, from the dataclasses and their docstrings."""
    found: dict[str, tuple[object, str]] = {}
    attributes = inspect.getdoc(type(settings)).partition("Attributes:")[2]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found |= _leaves(value, f"{prefix}{field.name}.")
            continue
        meaning = re.search(rf"^    {field.name}: (.*(?:\n     .*)*)", attributes, re.MULTILINE)[1]
        found[prefix + field.name] = (value, " ".join(meaning.split()))
    return found


LEAVES = _leaves(TrainerSettings())


def _is_option(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.option"


def _proofs() -> dict[str, list[str]]:
    """Setting -> the tests that prove it, of those that `make test` runs."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                if any("mark.slow" in ast.unparse(decorator) for decorator in node.decorator_list):
                    continue
                for decorator in filter(_is_option, node.decorator_list):
                    for name in decorator.args:
                        found.setdefault(ast.literal_eval(name), []).append(node.name)
    return found


PROOFS = _proofs()


def test_the_table_has_every_setting_and_no_other():
    assert [name for name in SETTINGS if name in WORDS] == WORDS
    assert sorted(set(SETTINGS) - set(WORDS)) == sorted(LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_default_and_meaning_are_those_of_the_code(name):
    value, meaning = LEAVES[name]
    row = f"docs/seed-options.md must say: | `{name}` | `{json.dumps(value)}` | {meaning} |"
    default, told = (cell.replace("\\|", "|") for cell in SETTINGS[name])
    assert json.loads(default.strip("`")) == json.loads(json.dumps(value)), row
    # The table may say more.
    assert told.startswith(meaning), row


def test_words_of_the_command_line_have_the_defaults_of_its_help(capsys):
    assert cli.main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.partition("positional arguments:")[2].split())
    for word in WORDS:
        default = SETTINGS[word][0].strip("`")
        description = re.search(rf" {word} .*?\((.*?)\)", f" {text}")
        assert description, word
        assert ("required" if default == "required" else f"default: {default}") in description[1]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_proven_by_a_test(name):
    assert PROOFS.get(name), f'no test carries @pytest.mark.option("{name}")'


def test_no_test_proves_a_setting_that_is_not_there():
    assert set(PROOFS) <= set(SETTINGS)


@pytest.mark.parametrize("option", [*COMMAND_LINE.split(), *CONFIGURATION.split(), *PROMISES])
def test_every_option_of_the_forerunners_is_there(option):
    places = [row[1] for row in FORERUNNERS if f"`{option}`" in row[0] or row[0].endswith(f": {option}")]
    assert places


@pytest.mark.parametrize("row", FORERUNNERS, ids=lambda row: row[0])
def test_an_option_of_the_forerunners_leads_to_settings_that_are_there(row):
    names = re.findall(r"`(.+?)`", row[1])
    assert names and set(names) <= set(SETTINGS)
