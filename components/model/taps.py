"""Which layers the score components look at, by name."""

from collections.abc import Sequence

from proganomaly.components.model.memory import default_map_resolutions
from proganomaly.components.model.networks import BASE_RESOLUTION
from proganomaly.components.model.settings import MAP_COMPONENTS, ScoringSettings

ANOMALY_MAP = "anomaly_map"


def tapped_layers(
    settings: ScoringSettings, resolution: int, components: Sequence[str]
) -> dict[str, list[str]]:
    """Returns the layers whose activations the anomaly map and each component are made of.

    Those of the discriminator are before its minibatch standard deviation, but for the critic's score.

    Args:
        settings: How to score.
        resolution: Final resolution of the networks.
        components: Names of the components.

    Returns:
        Component -> "network/…/layer"; the components of the map look at `anomaly_map`.
    """
    side = resolution
    trunk = "8x8_conv_down" if side > BASE_RESOLUTION else "4x4_from_rgb"
    generated, discriminated = [f"generator/{side}x{side}_to_rgb"], [f"discriminator/trunk/{trunk}"]
    maps = [
        f"{network}/trunk/" + (f"{level}x{level}_conv" if level > BASE_RESOLUTION else trunk)
        for network in settings.map_networks
        for level in settings.map_resolutions or default_map_resolutions(side)
    ]
    layers = {
        **{name: [ANOMALY_MAP] for name in MAP_COMPONENTS},
        "encoder_density": ["encoder/4x4_dense"],
        "discriminator_density": discriminated,
        "untrained_density": ["untrained/4x4_dense"],
        "transform_density": ["discriminator/4x4_transform_dense"],
        "pixel_residual": generated,
        "structural_residual": generated,
        "feature_residual": [*discriminated, *generated],
        "residual_mahalanobis": generated,
        "latent_norm": ["encoder/latent"],
        "critic": ["discriminator/score"],
        "transform_prediction": ["discriminator/transform"],
    }
    return {ANOMALY_MAP: maps, **{name: layers[name] for name in components}}
