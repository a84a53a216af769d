import dataclasses
import os
import subprocess
import sys
import time
import types
from importlib.util import find_spec
from pathlib import Path

import pytest

from proganomaly.components.errors import SettingsError, Terminated, UserError
from proganomaly.pipeline import cli
from proganomaly.pipeline.commands.parser import make_parser

PROGRAM = str(Path(sys.executable).with_name("proganomaly"))


@dataclasses.dataclass(frozen=True)
class Trainer:
    batch_size: int = 16
    learning_rate: float | None = None

    def __post_init__(self):
        if self.batch_size < 1:
            raise SettingsError(f"batch_size must be at least 1; received {self.batch_size}")


@dataclasses.dataclass(frozen=True)
class Settings:
    trainer: Trainer = Trainer()
    name: str = "demo"


@pytest.fixture
def command(monkeypatch):
    """Puts a command `probe` into the table whose main is the function given."""

    def install(main):
        module = types.ModuleType("probe_command")
        module.main = main
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(cli.COMMANDS, "probe", ("probe_command", "For tests."))

    return install


def parse(words):
    parser = make_parser("probe", "For tests.")
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Settings, as_group=False)
    parser.add_argument("--dry-run", action="store_true")
    return parser.instantiate_classes(parser.parse_args(words))


def error_line(capsys):
    """The one line that stands on stderr; nothing may stand on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("\n")
    assert captured.err.count("\n") == 1
    return captured.err.strip()


def test_every_command_has_its_module():
    for name, (module, text) in cli.COMMANDS.items():
        assert module == f"proganomaly.pipeline.commands.{name}"
        assert find_spec(module), f"{module} is missing"
        assert text.endswith(".")


def test_help_is_instant_and_imports_no_tensorflow(tmp_path):
    durations = []
    for _ in range(3):
        start = time.monotonic()
        result = subprocess.run([PROGRAM, "--help"], cwd=tmp_path, capture_output=True, text=True)
        durations.append(time.monotonic() - start)
    assert result.returncode == 0
    assert result.stderr == ""
    for name in cli.COMMANDS:
        assert f"  {name} " in result.stdout
    # The fastest of three: the machine may be busy with something else.
    assert min(durations) < 0.5
    code = "import sys, proganomaly.pipeline.cli as cli; cli.main([]); print('tensorflow' in sys.modules)"
    listed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert listed.stdout.splitlines()[-1] == "False"


def test_without_words_the_help_is_shown(capsys):
    assert cli.main([]) == 0
    assert capsys.readouterr().out.startswith("usage: proganomaly COMMAND")


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "proganomaly 0.1.0\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rnu", "unknown command rnu; did you mean run?"),
        ("datasets", "unknown command datasets; did you mean dataset?"),
        ("xyzzy", "unknown command xyzzy; choose from run, train, score, generate, dataset, records, config"),
        ("--hepl", "unknown option --hepl; did you mean --help?"),
    ],
)
def test_unknown_command(word, message, capsys):
    assert cli.main([word]) == 2
    assert error_line(capsys) == f"proganomaly: error: {message}"


def test_command_receives_its_words_and_gives_its_exit_code(command):
    received = []
    command(lambda words: received.extend(words) or 3)
    assert cli.main(["probe", "--flag", "x"]) == 3
    assert received == ["--flag", "x"]


def test_user_error_is_one_line_and_two(command, capsys):
    def fail(words):
        raise UserError("resolution must be a power of two;\n  received 63")

    command(fail)
    assert cli.main(["probe"]) == 2
    assert error_line(capsys) == "proganomaly probe: error: resolution must be a power of two; received 63"


def test_own_mistakes_keep_their_traceback(command):
    def fail(words):
        raise KeyError("ours")

    command(fail)
    with pytest.raises(KeyError):
        cli.main(["probe"])


@pytest.mark.parametrize(
    ("ending", "exit_code", "word"),
    [(KeyboardInterrupt, 130, "interrupted"), (Terminated, 143, "terminated")],
)
def test_interruption(command, capsys, ending, exit_code, word):
    def interrupted(words):
        raise ending

    command(interrupted)
    assert cli.main(["probe"]) == exit_code
    assert error_line(capsys) == f"proganomaly probe: {word}"


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [PROGRAM, "--help"], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert result.returncode == 141
    assert result.stderr == ""


def test_help_of_a_command_returns_zero(command, capsys):
    command(lambda words: parse(words))
    assert cli.main(["probe", "--help"]) == 0
    assert "usage: proganomaly probe" in capsys.readouterr().out


def test_valid_options_reach_the_settings():
    settings = parse(["--trainer.batch_size=8", "--name", "mine"])
    assert settings.trainer == Trainer(batch_size=8)
    assert settings.name == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dryrun"], "unknown option --dryrun; did you mean --dry-run?"),
        (["--dry"], "unknown option --dry; did you mean --dry-run?"),
        (
            ["--trainer.bach_size", "4"],
            "unknown option --trainer.bach_size; did you mean --trainer.batch_size?",
        ),
        (["--batch-size=4"], "unknown option --batch-size; did you mean --trainer.batch_size?"),
        (["--xyzzy=4"], "unknown option --xyzzy"),
        (["extra"], "unexpected argument 'extra'"),
        (["--trainer.batch_size", "many"], "trainer.batch_size must be int; received 'many'"),
        (["--trainer.learning_rate=x"], "trainer.learning_rate must be float or null; received 'x'"),
        (["--trainer.batch_size=0"], "batch_size must be at least 1; received 0"),
        (["--name"], "argument --name: expected one argument"),
        (["--config", "/no/such.yaml"], "config: File does not exist: '/no/such.yaml'"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(words, message, command, capsys):
    command(lambda words: parse(words) and 0)
    assert cli.main(["probe", *words]) == 2
    assert error_line(capsys) == f"proganomaly probe: error: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer:\n  bach_size: 3\n", "unknown setting trainer.bach_size; did you mean trainer.batch_size?"),
        ("nmae: x\n", "unknown setting nmae; did you mean name?"),
        ("trainer:\n  batch_size: three\n", "trainer.batch_size must be int; received 'three'"),
        ("", "a configuration must be a mapping of settings; received ''"),
        ("trainer: [\n", "Problems parsing config: "),
    ],
)
def test_a_mistake_in_the_file_is_one_line(text, message, command, capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    command(lambda words: parse(words) and 0)
    assert cli.main(["probe", "--config", str(tmp_path / "mine.yaml")]) == 2
    assert error_line(capsys).startswith(f"proganomaly probe: error: {message}")


def test_options_of_subcommands_are_suggested():
    texture = make_parser("probe texture", "For tests.")
    texture.add_argument("--size", type=int, default=128)
    parser = make_parser("probe", "For tests.")
    parser.add_subcommands(required=True).add_subcommand("texture", texture)
    with pytest.raises(UserError, match="unknown option --sze; did you mean --size"):
        parser.parse_args(["texture", "--sze", "3"])
