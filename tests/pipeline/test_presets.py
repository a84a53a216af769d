"""Presets: each resolves, names only what differs from the defaults, and gives way to what is given."""

from pathlib import Path

import pytest
import yaml

from proganomaly.pipeline.commands.settings_parser import make_settings_parser, parse_settings
from proganomaly.pipeline.config import Config, as_dict

PRESETS = sorted((Path(__file__).parents[2] / "pipeline" / "presets").glob("*.yaml"))


def _resolved(*words: str) -> dict:
    config, _ = parse_settings(make_settings_parser("config", "For tests."), list(words))
    return as_dict(config)


def _leaves(tree: dict, place: tuple[str, ...] = ()):
    for name, value in tree.items():
        if isinstance(value, dict) and not any(isinstance(key, int) for key in value):
            yield from _leaves(value, (*place, name))
        else:
            yield (*place, name), value


def _at(tree: dict, place: tuple[str, ...]):
    for name in place:
        tree = tree[name]
    return tree


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_changes_what_it_names_and_nothing_else(path):
    named = dict(_leaves(yaml.safe_load(path.read_text())))
    resolved, defaults = _resolved("--preset", path.stem), as_dict(Config())
    for place, value in named.items():
        assert _at(resolved, place) == value, place
        assert _at(defaults, place) != value, f"{place} is the default already"
    changed = {place for place, value in _leaves(resolved) if value != _at(defaults, place)}
    assert changed == set(named)


def test_what_is_given_wins_over_a_preset():
    resolved = _resolved("--trainer.execution.precision=float32", "--preset=fast")
    assert resolved["trainer"]["execution"]["precision"] == "float32"
    assert resolved["trainer"]["execution"]["jit_chains"] is True
