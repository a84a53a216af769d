"""Settings of the score: what follows from the resolution, and what is refused."""

import pytest

from proganomaly.components.errors import SettingsError
from proganomaly.components.model.memory import default_map_resolutions
from proganomaly.components.model.settings import SCORE_COMPONENTS, ScoringSettings


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
        ("members", ("transform_prediction",)),
        ("components", ("encoder_knn",)),
        ("density", "parzen"),
        ("preprocessing", "scaled"),
        ("projection", 0),
        ("trim", 0.5),
        ("trim", -0.1),
        ("map_networks", ()),
        ("map_networks", ("generator",)),
        ("map_position", -1.0),
        ("false_positive_rate", 1.0),
    ],
)
def test_impossible_scoring_settings_are_named(name, value):
    with pytest.raises(SettingsError, match=rf"^{name} must .*; received "):
        ScoringSettings(**{name: value})


def test_what_networks_lack_is_named():
    settings = ScoringSettings(map_resolutions=(4, 8))
    settings.check_networks(8, has_transforms=False)
    with pytest.raises(SettingsError, match=r"^map_resolutions must be at most the .* 4; received 8$"):
        settings.check_networks(4, has_transforms=False)
    settings = ScoringSettings(members=("transform_density",))
    settings.check_networks(8, has_transforms=True)
    with pytest.raises(SettingsError, match=r"^members must not need the transform head .*'transform_dens"):
        settings.check_networks(8, has_transforms=False)


def test_the_default_components_are_all_that_are_cheap():
    assert set(SCORE_COMPONENTS) - set(ScoringSettings().components) == {"transform_prediction"}
