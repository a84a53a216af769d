"""The training schedule: every quantity a pure function of the images seen (Karras et al. 2018, appendix A).

A run is a list of stages. The first resolution has a stable stage only; each further one fades in and is
then trained at full weight. Restarting at any number of images continues the same run.
"""

import dataclasses

from proganomaly.components.errors import SettingsError
from proganomaly.components.model.networks import resolutions_up_to
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.trainer.settings import ScheduleSettings, TrainerSettings

# What a step costs beside its convolutions, per image and in their units: measured on two CPU cores.
_STEP_OVERHEAD = 200_000


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stretch of training with one resolution, one phase and one batch size.

    Attributes:
        resolution: Side of the images in pixels.
        fading: Whether the resolution is fading in.
        start: Images seen when the stage begins.
        end: Images seen when it ends; `end - start` is a multiple of `batch_size`.
        batch_size: Images per step over all replicas.
        initial_alpha: Weight of the new layers at the start of a fade-in.
    """

    resolution: int
    fading: bool
    start: int
    end: int
    batch_size: int
    initial_alpha: float = 0.0

    def alpha(self, images_seen: int) -> float:
        """Returns the weight of the new layers in [0, 1]; 1 in a stable stage."""
        if not self.fading:
            return 1.0
        progress = min(max((images_seen - self.start) / (self.end - self.start), 0.0), 1.0)
        return self.initial_alpha + (1.0 - self.initial_alpha) * progress


def stages(settings: ScheduleSettings, final_resolution: int, images_per_epoch: int) -> list[Stage]:
    """Returns the stages of a run in order; stages without images are left out.

    Args:
        settings: Lengths and batch sizes.
        final_resolution: Where growing ends.
        images_per_epoch: Training images: what a length in epochs is multiplied by.

    Raises:
        SettingsError: the initial resolution is above the final one, or that one would see no image.
    """
    if settings.initial_resolution > final_resolution:
        raise SettingsError(
            f"initial_resolution must be at most the final resolution {final_resolution}; "
            f"received {settings.initial_resolution}"
        )
    result: list[Stage] = []
    start = 0
    unit = images_per_epoch if settings.unit == "epochs" else 1
    for resolution in resolutions_up_to(final_resolution):
        if resolution < settings.initial_resolution:
            continue
        batch_size = settings.batch_sizes.get(resolution, settings.batch_size)
        stable = settings.final_images if resolution == final_resolution else settings.stable_images
        stable = settings.stable_images_at.get(resolution, stable)
        fading = settings.fading_images_at.get(resolution, settings.fading_images)
        if resolution == settings.initial_resolution:
            fading = 0
        for is_fading, images in ((True, fading), (False, stable)):
            if images:
                steps = -(-images * unit // batch_size)
                fades = is_fading and settings.alpha_smoothing
                end = start + steps * batch_size
                result.append(Stage(resolution, fades, start, end, batch_size, settings.initial_alpha))
                start = result[-1].end
    if not result or result[-1].resolution != final_resolution:
        raise SettingsError(
            f"the final resolution {final_resolution} must see at least 1 image, fading in or after it; "
            "received 0"
        )
    return result


def relative_cost(networks: NetworkSettings, resolution: int) -> float:
    """Returns the time per image at `resolution`, in arbitrary units: for estimates of the time left."""
    convolutions = sum((level * networks.feature_maps(level)) ** 2 for level in resolutions_up_to(resolution))
    return float(_STEP_OVERHEAD + convolutions)


def ema_decay(settings: TrainerSettings, batch_size: int, images_seen: int) -> float:
    """Returns the decay of the moving averages for one step, as given or from the half-life.

    The half-life grows with the images seen up to `half_life`, so that a short run is not held back by its
    first images (Karras et al. 2020, "Training GANs with limited data", appendix C: EMA ramp-up).
    """
    if settings.ema_decay is not None:
        return settings.ema_decay
    effective = float(settings.ema_half_life)
    # What a warm start begins with is worth keeping.
    if not settings.warm_start:
        effective = min(effective, 0.05 * images_seen)
    return float(0.5 ** (batch_size / effective)) if effective > 0 else 0.0
