"""The argument parser that every command uses: jsonargparse, with its complaints put into one line."""

import argparse
import re
from typing import NoReturn

from jsonargparse import ArgumentParser

from proganomaly.components.errors import UserError
from proganomaly.pipeline.suggestion import did_you_mean


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
    if match := re.match(r"unrecognized arguments: (\S+)", text):
        word = match[1].partition("=")[0]
        if not word.startswith("-"):
            return f"unexpected argument {word!r}"
        return f"unknown option {word}{did_you_mean(word, options)}"
    if match := re.match(r"(?:Group '(?P<group>.+?)' does not accept option|Option) '(?P<key>.+?)'", text):
        key = ".".join(part for part in (match["group"], match["key"]) if part)
        return f"unknown setting {key}{did_you_mean(key, [option.lstrip('-') for option in options])}"
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
    return re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", text)
