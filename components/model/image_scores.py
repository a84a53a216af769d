"""The score components that look at an image as a whole, by name."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from proganomaly.components.model.networks import Networks
from proganomaly.components.model.observation import FEATURES, Observation
from proganomaly.components.model.references import References
from proganomaly.components.model.residuals import (
    feature_residual,
    pixel_residual,
    reduced_residual,
    structural_residual,
)
from proganomaly.components.model.scoring import latent_norm, transform_prediction


def image_scores(
    seen: Observation, references: References, networks: Networks, names: Sequence[str]
) -> dict[str, tf.Tensor]:
    """Returns the components among `names` that need no anomaly map, float [N] each, and computes no others.

    Args:
        seen: The images, and what the networks make of them.
        references: What they are compared with, fitted.
        networks: The trained networks.
        names: Names of components; see `SCORE_COMPONENTS`.
    """

    def density(name: str) -> Callable[[], tf.Tensor]:
        return lambda: references.densities[name].distances(seen.features(name))

    def residual_mahalanobis() -> tf.Tensor:
        return references.residual.distances(reduced_residual(seen.images, seen.reconstructions))

    def predicted_transforms() -> tf.Tensor:
        head = networks.discriminator
        return transform_prediction(seen.images, head.settings.transforms, head.transform_logits)

    components: dict[str, Callable[[], tf.Tensor]] = {
        **{name: density(name) for name in FEATURES},
        "pixel_residual": lambda: pixel_residual(seen.images, seen.reconstructions),
        "structural_residual": lambda: structural_residual(seen.images, seen.reconstructions),
        "feature_residual": lambda: feature_residual(
            seen.discriminator_features, seen.reconstructed_features
        ),
        "residual_mahalanobis": residual_mahalanobis,
        "latent_norm": lambda: latent_norm(seen.latents, references.usual_norm, references.norm_spread),
        "critic": lambda: -seen.criticism(references.minibatch_statistic),
        "transform_prediction": predicted_transforms,
    }
    return {name: components[name]() for name in names if name in components}
