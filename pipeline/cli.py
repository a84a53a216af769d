"""`proganomaly`: a table of commands, each imported only when it is called.

Exit codes: 0 done, 1 what was compared differs, 2 something that the user can mend (one line on stderr says
what), 130 interrupted, 141 the reader of our output went away, 143 asked to end by SIGTERM. Anything else is
a mistake of ours and keeps its traceback.
"""

import importlib
import os
import sys

from proganomaly.components.errors import Terminated, UserError
from proganomaly.pipeline.quiet import silence_libraries
from proganomaly.pipeline.suggestion import did_you_mean

COMMANDS = {
    "run": (
        "proganomaly.pipeline.commands.run",
        "Run the whole pipeline: images in, evaluated and pushed model out.",
    ),
    "train": ("proganomaly.pipeline.commands.train", "Train on a folder of TFRecord pyramids, without TFX."),
    "score": (
        "proganomaly.pipeline.commands.score",
        "Score an image or a folder of images with a trained model.",
    ),
    "generate": (
        "proganomaly.pipeline.commands.generate",
        "Generate images with a trained model: a grid, single images, a film.",
    ),
    "dataset": (
        "proganomaly.pipeline.commands.dataset",
        "Make a data set: textures with defects, one class, or one of TensorFlow Datasets.",
    ),
    "records": (
        "proganomaly.pipeline.commands.records",
        "Bring TFRecords in and out, look into them, compare them.",
    ),
    "config": ("proganomaly.pipeline.commands.config", "Print the resolved settings."),
}

USAGE = "usage: proganomaly COMMAND [options]"


def main(argv: list[str] | None = None) -> int:
    """Runs the command that `argv` names.

    Args:
        argv: The words after `proganomaly`; the process' own when None.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if argv is None else argv
    name = f"proganomaly {words[0]}" if words and words[0] in COMMANDS else "proganomaly"
    try:
        exit_code = _dispatch(words)
        sys.stdout.flush()
        return exit_code
    except UserError as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        terminated = isinstance(interruption, Terminated)
        print(f"{name}: {'terminated' if terminated else 'interrupted'}", file=sys.stderr)
        return 143 if terminated else 130
    except BrokenPipeError:
        # The interpreter flushes stdout once more on its way out; give it a place that takes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    command, *arguments = words
    if command == "--version":
        # Costs a tenth of the time of --help, and only this option needs it.
        from importlib.metadata import version

        print(f"proganomaly {version('proganomaly')}")
        return 0
    if command not in COMMANDS:
        kind = "option" if command.startswith("-") else "command"
        choices = ["--help", "--version"] if kind == "option" else list(COMMANDS)
        hint = did_you_mean(command, choices) or f"; choose from {', '.join(choices)}"
        raise UserError(f"unknown {kind} {command}{hint}")
    silence_libraries()
    module_name, _ = COMMANDS[command]
    try:
        return importlib.import_module(module_name).main(arguments)
    except SystemExit as end:
        # argparse leaves this way after --help.
        return end.code if isinstance(end.code, int) else 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            USAGE,
            "",
            "Finds what is wrong in images when you only have pictures of what is right.",
            "",
            "commands:",
            *rows,
            "",
            "options:",
            "  --help     this text; after a command, its options",
            "  --version  the installed version",
        ]
    )
