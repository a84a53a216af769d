"""Settings of the three networks and of the score."""

import dataclasses

from proganomaly.components.errors import SettingsError, check_choice, check_range
from proganomaly.components.images.spec import RESOLUTIONS

TRANSFORMS = ("rotation", "shift", "flip", "jigsaw")
MAP_COMPONENTS = ("map_top", "map_max", "map_mean")
# Of a head that not all networks have.
TRANSFORM_COMPONENTS = ("transform_density", "transform_prediction")
SCORE_COMPONENTS = (
    *MAP_COMPONENTS,
    "encoder_density",
    "discriminator_density",
    "transform_density",
    "untrained_density",
    "pixel_residual",
    "structural_residual",
    "feature_residual",
    "residual_mahalanobis",
    "latent_norm",
    "critic",
    "transform_prediction",
)
DENSITY_COMPONENTS = tuple(name for name in SCORE_COMPONENTS if name.endswith("_density"))
DENSITIES = ("neighbours", "mahalanobis")
PREPROCESSINGS = ("plain", "standardized", "whitened")
MAP_NETWORKS = ("discriminator", "encoder")


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
        members: The score components that are fused into the score.
        components: The score components that are computed when a score is explained, the members among them;
            those of the transform head only where the networks have one.
        density: How far an image's features are from normal ones: "neighbours" is the mean distance to the
            nearest, "mahalanobis" the distance from a Gaussian, which needs less memory.
        densities: The same by score component, where it differs from `density`.
        neighbours: Nearest neighbours averaged in a feature space of whole images.
        preprocessing: What features of whole images become first: "plain" leaves them as they are,
            "standardized" gives each unit variance, "whitened" each principal component.
        projection: Dimensions of a reference vector, at most: wider ones are projected.
        reference_images: Normal images whose features are kept, at most.
        trim: Share of the reference images that is left out, the most suspicious first, in [0, 0.5); above 0
            where anomalies may be among the normal images.
        map_networks: Networks whose feature maps make the anomaly map: "discriminator", "encoder".
        map_resolutions: Resolutions of the feature maps that make the anomaly map; empty for the three finest
            from 8 pixels up.
        map_side: Locations along a side of a feature map, at most: finer maps are averaged down to it.
        map_position: How much a place in the image counts beside its features, in deviations of a feature per
            half of the side; 0 for things that may be anywhere.
        reservoir_size: Feature vectors of normal images kept per map before the coreset is chosen.
        coreset_size: Feature vectors in the coreset of each map.
        smoothing: Standard deviation of the Gaussian that smooths the map, as a share of the image's side.
        flips: Average the scores and maps of each image and its mirror image; takes twice as long.
        false_positive_rate: Share of normal images that the threshold may call anomalous, in (0, 1).
    """

    members: tuple[str, ...] = ("map_top", "encoder_density")
    components: tuple[str, ...] = tuple(name for name in SCORE_COMPONENTS if name != "transform_prediction")
    density: str = "neighbours"
    densities: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"discriminator_density": "mahalanobis"}
    )
    neighbours: int = 5
    preprocessing: str = "plain"
    projection: int = 128
    reference_images: int = 4_096
    trim: float = 0.0
    map_networks: tuple[str, ...] = ("discriminator",)
    map_resolutions: tuple[int, ...] = ()
    map_side: int = 64
    map_position: float = 0.0
    reservoir_size: int = 100_000
    coreset_size: int = 4_096
    smoothing: float = 0.02
    flips: bool = False
    false_positive_rate: float = 0.01

    def __post_init__(self) -> None:
        for name, choices in (
            ("members", SCORE_COMPONENTS),
            ("components", SCORE_COMPONENTS),
            ("map_networks", MAP_NETWORKS),
        ):
            for value in getattr(self, name):
                check_choice(name, value, choices)
        for name, choices in (("members", SCORE_COMPONENTS), ("map_networks", MAP_NETWORKS)):
            if not getattr(self, name):
                raise SettingsError(f"{name} must name at least one of {', '.join(choices)}; received none")
        for member in self.members:
            if member not in self.components:
                raise SettingsError(
                    f"members must be among components, which are {', '.join(self.components) or 'none'}; "
                    f"received {member!r}"
                )
        check_choice("density", self.density, DENSITIES)
        for name, density in self.densities.items():
            check_choice("a component in densities", name, DENSITY_COMPONENTS)
            check_choice(f"densities[{name}]", density, DENSITIES)
        check_choice("preprocessing", self.preprocessing, PREPROCESSINGS)
        for resolution in self.map_resolutions:
            check_choice("map_resolutions", resolution, RESOLUTIONS)
        for name in (
            *("neighbours", "projection", "reference_images"),
            *("map_side", "reservoir_size", "coreset_size"),
        ):
            check_range(name, getattr(self, name), minimum=1)
        if self.trim != 0:
            check_range("trim", self.trim, 0, 0.5, exclusive=True)
        check_range("map_position", self.map_position, minimum=0)
        check_range("smoothing", self.smoothing, minimum=0, maximum=0.5)
        check_range("false_positive_rate", self.false_positive_rate, 0, 1, exclusive=True)

    def check_networks(self, resolution: int, has_transforms: bool) -> None:
        """Raises SettingsError where networks of this final resolution lack what the settings ask for.

        Args:
            resolution: Final resolution of the networks.
            has_transforms: Whether they have the head that recognizes transformations.
        """
        for level in self.map_resolutions:
            if level > resolution:
                raise SettingsError(
                    f"map_resolutions must be at most the final resolution {resolution}; received {level}"
                )
        if not has_transforms and (lacking := set(self.members) & set(TRANSFORM_COMPONENTS)):
            raise SettingsError(
                "members must not need the transform head where networks.transforms is empty; received "
                f"{min(lacking)!r}"
            )
