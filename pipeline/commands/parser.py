"""The argument parser that every command uses: jsonargparse, with its complaints put into one line."""

import argparse
import re
from typing import NoReturn

import yaml
from jsonargparse import ArgumentParser

from proganomaly.components.errors import UserError
from proganomaly.pipeline.suggestion import did_you_mean

_DICTIONARY = "a dictionary such as '{4: 128, 8: 64}', with a blank behind each colon"


class CommandParser(ArgumentParser):
    """A jsonargparse parser that raises `UserError` instead of printing its usage and exiting."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises `message`, in one line and with the closest valid name, as a `UserError`."""
        raise UserError(_in_one_line(message, _option_names(self))) from ex


def make_parser(command: str, description: str) -> CommandParser:
    """Returns the parser of `proganomaly <command>`.

    Options cannot be abbreviated: a mistyped flag would otherwise pass for the flag it begins like.

    Args:
        command: Name of the command, with its subcommand if any: "run", "dataset texture".
        description: First paragraph of its `--help`.
    """
    return CommandParser(prog=f"proganomaly {command}", description=description, allow_abbrev=False)


def check_yaml_files(words: list[str]) -> None:
    """Raises UserError, naming the file, where a `--config FILE` is missing or no mapping in YAML.

    Args:
        words: The command's arguments.
    """
    for index, word in enumerate(words):
        if word == "--config" and index + 1 < len(words):
            _check_yaml_file(words[index + 1])
        elif word.startswith("--config="):
            _check_yaml_file(word.partition("=")[2])


def _check_yaml_file(path: str) -> None:
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UserError(f"the configuration {path} cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise UserError(f"the configuration {path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"the configuration {path} must be a mapping of settings; it holds {type(content).__name__}"
        )


def _option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Returns all `--options` of the parser and of its subcommands."""
    names = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                names.extend(_option_names(subparser))
    return names


def _in_one_line(message: str, options: list[str]) -> str:
    text = " ".join(message.split())
    # A group of settings wraps the complaint about one of them in its own: the innermost says it.
    text = text[max(text.rfind('Parser key "'), 0) :] if "Unable to load config '" in text else text
    if match := re.match(r"Parser key \"(.+?)\": Unable to load config ['\"](.*?)['\"]", text):
        return f"{match[1]} must be a mapping of settings; received {match[2]!r}"
    if match := re.match(r"unrecognized arguments: (\S+)", text):
        word = match[1].partition("=")[0]
        if not word.startswith("-"):
            return f"unexpected argument {word!r}"
        return f"unknown option {word}{did_you_mean(word, options)}"
    if match := re.match(r"(?:Group '(?P<group>.+?)' does not accept option|Option) '(?P<key>.+?)'", text):
        key = ".".join(part for part in (match["group"], match["key"]) if part)
        return f"unknown setting {key}{did_you_mean(key, [option.lstrip('-') for option in options])}"
    # YAML 1.1 takes 8:1 for a number of base 60, which is no key of a dictionary.
    if match := re.match(r'Parser key "(.+?)": unsupported operand type', text):
        return f"{match[1]} must be {_DICTIONARY}"
    if match := re.match(r'Parser key "(.+?)": Expected an? (.+)\. Got value: (.*)', text):
        return f"{match[1]} must be {_type_name(match[2])}; received {match[3]!r}"
    if match := re.match(r'Parser key "(.+?)": .*? Subtypes: \[(.*?)\] Errors: .* Given value: (.*)', text):
        kinds = " or ".join(_type_name(kind) for kind in match[2].split(", "))
        return f"{match[1]} must be {kinds}; received {match[3]!r}"
    if match := re.match(r"Unexpected config: ?(.*)", text):
        return f"a configuration must be a mapping of settings; received {match[1]!r}"
    return re.sub(r'Parser key "(.+?)":', r"\1:", text)


def _type_name(text: str) -> str:
    """Returns "int" for "<class 'int'>" and "one of 'a', 'b'" for "typing.Literal['a', 'b']"."""
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("NoneType", "null")
    text = _DICTIONARY if text == "dict" else text
    return re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", text)
