"""Settings of the three networks and of the score."""

import dataclasses

from proganomaly.components.errors import SettingsError, check_choice, check_range
from proganomaly.components.images.spec import RESOLUTIONS

TRANSFORMS = ("rotation", "shift", "flip", "jigsaw")
SCORE_COMPONENTS = ("map_top", "map_max", "map_mean", "encoder_knn", "pixel_residual")


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Widths and shape of generator, discriminator and encoder.

    A block at resolution 2^r has `min(fmap_base / 2^(r-1), fmap_max)` feature maps (Karras et al. 2018,
    appendix A). The published networks have fmap_base 8192, fmap_max 512 and latent_size 512. Left at
    None, the three follow the final resolution so that a CPU can train them: fmap_base is 16 times the
    resolution (at least 512), fmap_max is 64, and latent_size equals fmap_max.

    Attributes:
        fmap_base: Feature maps of the whole pyramid; doubling it doubles every width below fmap_max.
        fmap_max: The largest number of feature maps of a layer.
        feature_maps_at: Width of the block by resolution, where it differs from the formula.
        latent_size: Length of the latent vector.
        leaky_slope: Slope of LeakyReLU for negative inputs, in [0, 1).
        epsilon: Small constant of pixel norm and minibatch standard deviation.
        use_bias: Give every layer a learned offset.
        weight_scaling: Equalized learning rate: scale weights at run time rather than at the start.
        normalize_latents: Pixel-norm the latents before the generator's first layer.
        fused_scaling: Scale and convolve in one strided operation; the same function, cheaper.
        minibatch_stddev_group: Images per group of the discriminator's minibatch standard deviation.
        label_count: Classes of a conditional GAN; 0 for none. The generator takes a one-hot label behind each
            latent, the discriminator names the class, the encoder's code holds both.
        transforms: Kinds of transformations that a head of the discriminator learns to recognize: "rotation",
            "shift", "flip", "jigsaw"; empty for no such head. See `transforms`.
    """

    fmap_base: int | None = None
    fmap_max: int | None = None
    feature_maps_at: dict[int, int] = dataclasses.field(default_factory=dict)
    latent_size: int | None = None
    leaky_slope: float = 0.2
    epsilon: float = 1e-8
    use_bias: bool = True
    weight_scaling: bool = True
    normalize_latents: bool = True
    fused_scaling: bool = True
    minibatch_stddev_group: int = 4
    label_count: int = 0
    transforms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("fmap_base", "fmap_max", "latent_size"):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), minimum=1)
        for resolution, width in self.feature_maps_at.items():
            check_choice("a resolution in feature_maps_at", resolution, RESOLUTIONS)
            check_range(f"feature_maps_at[{resolution}]", width, minimum=1)
        if self.leaky_slope != 0:
            check_range("leaky_slope", self.leaky_slope, 0, 1, exclusive=True)
        check_range("epsilon", self.epsilon, minimum=0, exclusive=True)
        check_range("minibatch_stddev_group", self.minibatch_stddev_group, minimum=1)
        check_range("label_count", self.label_count, minimum=0)
        for kind in self.transforms:
            check_choice("transforms", kind, TRANSFORMS)
        if len(set(self.transforms)) < len(self.transforms):
            raise SettingsError(f"transforms must name each kind once; received {', '.join(self.transforms)}")

    def for_resolution(self, resolution: int) -> "NetworkSettings":
        """Returns the settings with every None filled in for networks of this final resolution."""
        fmap_max = self.fmap_max or 64
        return dataclasses.replace(
            self,
            fmap_base=self.fmap_base or max(512, 16 * resolution),
            fmap_max=fmap_max,
            latent_size=self.latent_size or fmap_max,
        )

    def feature_maps(self, resolution: int) -> int:
        """Returns the width of the block at `resolution`; the settings must be filled in."""
        assert self.fmap_base is not None and self.fmap_max is not None, "call for_resolution first"
        if resolution in self.feature_maps_at:
            return self.feature_maps_at[resolution]
        return max(1, min(self.fmap_base * 2 // resolution, self.fmap_max))


@dataclasses.dataclass(frozen=True)
class ScoringSettings:
    """How trained networks score an image; see `scorer`.

    Attributes:
        map_resolutions: Resolutions of the discriminator's feature maps that make the anomaly map; empty for
            the three finest from 8 pixels up.
        map_side: Locations along a side of a feature map, at most: finer maps are averaged down to it.
        reservoir_size: Feature vectors of normal images kept per map before the coreset is chosen.
        coreset_size: Feature vectors in the coreset of each map.
        neighbours: Nearest neighbours averaged in the encoder's feature space.
        reference_images: Normal images whose encoder features are kept, at most.
        smoothing: Standard deviation of the Gaussian that smooths the map, as a share of the image's side.
        members: The score components that are fused into the score.
        false_positive_rate: Share of normal images that the threshold may call anomalous, in (0, 1).
    """

    map_resolutions: tuple[int, ...] = ()
    map_side: int = 64
    reservoir_size: int = 40_000
    coreset_size: int = 4_096
    neighbours: int = 5
    reference_images: int = 4_096
    smoothing: float = 0.02
    members: tuple[str, ...] = ("map_top", "encoder_knn")
    false_positive_rate: float = 0.01

    def __post_init__(self) -> None:
        for resolution in self.map_resolutions:
            check_choice("map_resolutions", resolution, RESOLUTIONS)
        for name in ("map_side", "reservoir_size", "coreset_size", "neighbours", "reference_images"):
            check_range(name, getattr(self, name), minimum=1)
        check_range("smoothing", self.smoothing, minimum=0, maximum=0.5)
        for member in self.members:
            check_choice("members", member, SCORE_COMPONENTS)
        if not self.members:
            raise SettingsError(
                f"members must name at least one of {', '.join(SCORE_COMPONENTS)}; received none"
            )
        check_range("false_positive_rate", self.false_positive_rate, 0, 1, exclusive=True)

    def check_resolution(self, resolution: int) -> None:
        """Raises SettingsError where networks of this final resolution have no such feature map."""
        for level in self.map_resolutions:
            if level > resolution:
                raise SettingsError(
                    f"map_resolutions must be at most the final resolution {resolution}; received {level}"
                )
