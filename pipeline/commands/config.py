"""`proganomaly config`: the resolved settings."""

import yaml

from proganomaly.pipeline.commands.settings_parser import make_settings_parser, parse_settings
from proganomaly.pipeline.config import as_dict


def main(argv: list[str]) -> int:
    """Prints the resolved settings as YAML, ready for `--config`."""
    parser = make_settings_parser("config", "Print the resolved settings as YAML, ready for --config.")
    config, _ = parse_settings(parser, argv)
    print(yaml.safe_dump(as_dict(config), sort_keys=False), end="")
    return 0
