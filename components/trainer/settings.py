"""Settings of the trainer: schedule, losses, optimizer, strategy, logging."""

import dataclasses

from proganomaly.components.errors import check_choice, check_range
from proganomaly.components.images.spec import RESOLUTIONS
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings

STRATEGIES = ("default", "one_device", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class ScheduleSettings:
    """How many images each phase of growing sees; see `schedule.stages`.

    Attributes:
        initial_resolution: Where growing begins; the final resolution means no growing at all.
        fading_images: Images during which a new resolution fades in.
        stable_images: Images at each resolution after its fade-in.
        final_images: Images at the final resolution after its fade-in.
        fading_images_at: Images of the fade-in by resolution, where it differs from `fading_images`.
        stable_images_at: Images after the fade-in by resolution, where it differs from the two above.
        batch_size: Images per step over all replicas.
        batch_sizes: Batch size by resolution where it differs from `batch_size`.
    """

    initial_resolution: int = 4
    fading_images: int = 10_000
    stable_images: int = 10_000
    final_images: int = 40_000
    fading_images_at: dict[int, int] = dataclasses.field(default_factory=dict)
    stable_images_at: dict[int, int] = dataclasses.field(default_factory=dict)
    batch_size: int = 16
    batch_sizes: dict[int, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("initial_resolution", self.initial_resolution, RESOLUTIONS)
        for name in ("fading_images", "stable_images", "final_images"):
            check_range(name, getattr(self, name), minimum=0)
        check_range("batch_size", self.batch_size, minimum=1)
        for name, minimum in (("fading_images_at", 0), ("stable_images_at", 0), ("batch_sizes", 1)):
            for resolution, value in getattr(self, name).items():
                check_choice(f"a resolution in {name}", resolution, RESOLUTIONS)
                check_range(f"{name}[{resolution}]", value, minimum=minimum)


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """Weights of the losses; see `losses`.

    Attributes:
        gradient_penalty: Weight (lambda) of the WGAN-GP penalty.
        gradient_target: The gradient norm that the penalty pulls towards.
        drift: Weight of D(real)^2, which keeps the critic's output near zero.
    """

    gradient_penalty: float = 10.0
    gradient_target: float = 1.0
    drift: float = 0.001

    def __post_init__(self) -> None:
        check_range("gradient_penalty", self.gradient_penalty, minimum=0)
        check_range("gradient_target", self.gradient_target, minimum=0, exclusive=True)
        check_range("drift", self.drift, minimum=0)


@dataclasses.dataclass(frozen=True)
class TrainerSettings:
    """Everything that decides how a model is trained.

    Attributes:
        networks: Widths of generator, discriminator and encoder.
        schedule: Images per phase and batch sizes.
        losses: Weights of the losses.
        scoring: How the trained networks score an image.
        learning_rate: Adam's rate, for the three networks.
        adam_beta1: Adam's decay of the first moment, in [0, 1).
        adam_beta2: Adam's decay of the second moment, in [0, 1).
        adam_epsilon: Adam's small constant.
        ema_half_life: Half-life in images of the networks' moving averages, which are exported; 0 for none.
        mirror_augment: Flip training images left to right at random.
        seed: Seed of initial weights, latents and the order of the data.
        shuffle_buffer: Records in the shuffle buffer.
        strategy: "default", "one_device", "mirrored" (all GPUs of a machine) or "multi_worker" (TF_CONFIG).
        images_per_tick: Images between two status lines and entries of TensorBoard.
        images_per_snapshot: Images between two sample grids.
        checkpoint_seconds: Seconds between two checkpoints; the end of a stage makes one in any case.
    """

    networks: NetworkSettings = dataclasses.field(default_factory=NetworkSettings)
    schedule: ScheduleSettings = dataclasses.field(default_factory=ScheduleSettings)
    losses: LossSettings = dataclasses.field(default_factory=LossSettings)
    scoring: ScoringSettings = dataclasses.field(default_factory=ScoringSettings)
    learning_rate: float = 0.001
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    adam_epsilon: float = 1e-8
    ema_half_life: int = 2_000
    mirror_augment: bool = False
    seed: int = 1
    shuffle_buffer: int = 4_096
    strategy: str = "default"
    images_per_tick: int = 1_000
    images_per_snapshot: int = 10_000
    checkpoint_seconds: float = 20.0

    def __post_init__(self) -> None:
        check_range("learning_rate", self.learning_rate, minimum=0, exclusive=True)
        for name in ("adam_beta1", "adam_beta2"):
            if getattr(self, name) != 0:
                check_range(name, getattr(self, name), 0, 1, exclusive=True)
        check_range("adam_epsilon", self.adam_epsilon, minimum=0, exclusive=True)
        for name in ("ema_half_life", "checkpoint_seconds"):
            check_range(name, getattr(self, name), minimum=0)
        check_range("seed", self.seed, minimum=0, maximum=2**32 - 1)
        for name in ("shuffle_buffer", "images_per_tick", "images_per_snapshot"):
            check_range(name, getattr(self, name), minimum=1)
        check_choice("strategy", self.strategy, STRATEGIES)
