"""The parser of the commands that take the whole tree of settings."""

from jsonargparse import Namespace

from proganomaly.components.errors import UserError
from proganomaly.pipeline.commands.parser import CommandParser, check_yaml_files, make_parser
from proganomaly.pipeline.config import Config, preset_path


def make_settings_parser(command: str, description: str) -> CommandParser:
    """Returns a parser with every setting as a dotted option, `--config` and `--preset`."""
    parser = make_parser(
        command, description + " Settings may stand in a YAML file and be overridden by dotted options."
    )
    parser.add_argument("--config", action="config", help="YAML file of settings")
    parser.add_argument("--preset", help="a named starting point, such as demo; whatever else is given wins")
    parser.add_class_arguments(Config, None)
    return parser


def parse_settings(parser: CommandParser, argv: list[str]) -> tuple[Config, Namespace]:
    """Parses the words of a command.

    Returns:
        The resolved settings, and the command's own options.

    Raises:
        UserError: an option is unknown or a setting impossible.
    """
    words = _with_preset(argv)
    check_yaml_files(words)
    namespace = parser.parse_args(words)
    config = Config(**{name: parser.instantiate(namespace)[name] for name in Config.__dataclass_fields__})
    return config, namespace


def require_data(config: Config) -> None:
    """Raises UserError unless the settings name an image folder."""
    if not config.data:
        raise UserError("data is missing: name the folder of images with --data FOLDER or in --config FILE")


def _with_preset(argv: list[str]) -> list[str]:
    """Turns `--preset NAME`, wherever it stands, into a configuration file before everything else."""
    words: list[str] = []
    preset: list[str] = []
    arguments = iter(argv)
    for word in arguments:
        name, equals, value = word.partition("=")
        if name != "--preset":
            words.append(word)
            continue
        value = value if equals else next(arguments, "")
        preset = ["--config", preset_path(value)]
    return preset + words
