"""Settings of the score: what follows from the resolution, and what is refused."""

import pytest

from proganomaly.components.errors import SettingsError
from proganomaly.components.model.memory import default_map_resolutions
from proganomaly.components.model.settings import ScoringSettings


def test_map_resolutions_follow_the_final_one():
    assert [default_map_resolutions(size) for size in (4, 8, 16, 64)] == [(4,), (8,), (8, 16), (16, 32, 64)]


@pytest.mark.parametrize(
    "name, value",
    [
        ("map_resolutions", (12,)),
        ("coreset_size", 0),
        ("smoothing", 0.6),
        ("members", ()),
        ("members", ("map_median",)),
        ("false_positive_rate", 1.0),
    ],
)
def test_impossible_scoring_settings_are_named(name, value):
    with pytest.raises(SettingsError, match=rf"^{name} must .*; received "):
        ScoringSettings(**{name: value})
