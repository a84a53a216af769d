"""Settings of the trainer: schedule, losses, optimizer, data, execution, checkpoints, logging."""

import dataclasses

from proganomaly.components.errors import SettingsError, check_choice, check_range
from proganomaly.components.images.spec import RESOLUTIONS
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.components.trainer.loss_settings import LossSettings

SCHEDULE_UNITS = ("images", "epochs")
STRATEGIES = ("default", "one_device", "mirrored", "multi_worker", "tpu")
MODES = ("graph", "eager", "xla")
PRECISIONS = ("float32", "bfloat16", "float16")
DATA_FORMATS = ("channels_last", "channels_first")
VERBOSITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
GENERATION_METRICS = ("swd", "ms_ssim", "frechet", "kid", "precision_recall")


def _check_by_resolution(
    name: str, values: dict[int, float], minimum: float, exclusive: bool = False
) -> None:
    for resolution, value in values.items():
        check_choice(f"a resolution in {name}", resolution, RESOLUTIONS)
        check_range(f"{name}[{resolution}]", value, minimum=minimum, exclusive=exclusive)


@dataclasses.dataclass(frozen=True)
class ScheduleSettings:
    """How long each phase of growing is; see `schedule.stages`.

    Attributes:
        initial_resolution: Where growing begins; the final resolution means no growing at all.
        fading_images: Length of the phase in which a new resolution fades in.
        stable_images: Length of the phase at each resolution after its fade-in.
        final_images: Length of the phase at the final resolution after its fade-in.
        fading_images_at: Length of the fade-in by resolution, where it differs from `fading_images`.
        stable_images_at: Length after the fade-in by resolution, where it differs from the two above.
        batch_size: Images per step over all replicas.
        batch_sizes: Batch size by resolution where it differs from `batch_size`.
        unit: What the lengths above count: "images", or "epochs" (passes over the training images).
        alpha_smoothing: Fade new layers in; without, they count fully from the first image on.
        initial_alpha: Weight of new layers when their fade-in begins, in [0, 1].
    """

    initial_resolution: int = 4
    fading_images: int = 10_000
    stable_images: int = 10_000
    final_images: int = 40_000
    fading_images_at: dict[int, int] = dataclasses.field(default_factory=dict)
    stable_images_at: dict[int, int] = dataclasses.field(default_factory=dict)
    batch_size: int = 16
    batch_sizes: dict[int, int] = dataclasses.field(default_factory=dict)
    unit: str = "images"
    alpha_smoothing: bool = True
    initial_alpha: float = 0.0

    def __post_init__(self) -> None:
        check_choice("initial_resolution", self.initial_resolution, RESOLUTIONS)
        check_choice("unit", self.unit, SCHEDULE_UNITS)
        for name in ("fading_images", "stable_images", "final_images"):
            check_range(name, getattr(self, name), minimum=0)
        check_range("initial_alpha", self.initial_alpha, 0, 1)
        check_range("batch_size", self.batch_size, minimum=1)
        for name, minimum in (("fading_images_at", 0), ("stable_images_at", 0), ("batch_sizes", 1)):
            _check_by_resolution(name, getattr(self, name), minimum)


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """Adam, one for each network.

    Attributes:
        learning_rate: The rate, for the three networks.
        learning_rates: The rate by resolution, where it differs from `learning_rate`.
        beta1: Decay of the first moment, in [0, 1).
        beta2: Decay of the second moment, in [0, 1).
        epsilon: Small constant beside the root of the second moment.
        reset_at_growth: Forget moments and step count at each change of resolution.
    """

    learning_rate: float = 0.001
    learning_rates: dict[int, float] = dataclasses.field(default_factory=dict)
    beta1: float = 0.0
    beta2: float = 0.99
    epsilon: float = 1e-8
    reset_at_growth: bool = True

    def __post_init__(self) -> None:
        check_range("learning_rate", self.learning_rate, minimum=0, exclusive=True)
        _check_by_resolution("learning_rates", self.learning_rates, 0, exclusive=True)
        for name in ("beta1", "beta2"):
            if getattr(self, name) != 0:
                check_range(name, getattr(self, name), 0, 1, exclusive=True)
        check_range("epsilon", self.epsilon, minimum=0, exclusive=True)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """How training images are read.

    Attributes:
        mirror_augment: Flip images left to right at random.
        cache: Keep the records of the present resolution in memory; the order of the images is the same.
        shuffle_buffer: Records in the shuffle buffer.
        prefetch_batches: Batches made ready ahead of the step.
        read_buffer_bytes: Bytes read from a file at once.
    """

    mirror_augment: bool = False
    cache: bool = False
    shuffle_buffer: int = 4_096
    prefetch_batches: int = 2
    read_buffer_bytes: int = 262_144

    def __post_init__(self) -> None:
        for name in ("shuffle_buffer", "prefetch_batches", "read_buffer_bytes"):
            check_range(name, getattr(self, name), minimum=1)


@dataclasses.dataclass(frozen=True)
class ExecutionSettings:
    """Where and how the steps are computed.

    Attributes:
        strategy: "default", "one_device", "mirrored" (all GPUs of a machine), "multi_worker" (TF_CONFIG) or
            "tpu".
        mode: "graph" (tf.function), "eager" (for debugging) or "xla" (compiled; for GPU and TPU).
        precision: What convolutions compute in: "float32", "bfloat16" or "float16" (with loss scaling).
            Weights, losses and optimizers are float32 in any case.
        data_format: "channels_last", or "channels_first" for GPUs that prefer it.
        jit_chains: Compile the activations between convolutions with XLA; made for bfloat16 on CPUs, whose
            own operations are slow there.
        deterministic: Equal runs end in equal bits: deterministic operations and one thread each.
        tpu_address: Name or grpc:// address of the TPU; "" for the one of this machine.
        tpu_zone: Zone of a TPU given by name.
        tpu_project: Project of a TPU given by name.
    """

    strategy: str = "default"
    mode: str = "graph"
    precision: str = "float32"
    data_format: str = "channels_last"
    jit_chains: bool = False
    deterministic: bool = False
    tpu_address: str = ""
    tpu_zone: str = ""
    tpu_project: str = ""

    def __post_init__(self) -> None:
        check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("mode", self.mode, MODES)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("data_format", self.data_format, DATA_FORMATS)
        if self.strategy == "tpu" and self.mode == "eager":
            raise SettingsError("mode must be graph or xla with strategy tpu; received 'eager'")


@dataclasses.dataclass(frozen=True)
class CheckpointSettings:
    """What is kept of a run so that it can go on, and what happens when training diverges.

    Attributes:
        save: Write checkpoints at all.
        seconds: Seconds between two checkpoints; 0 writes one after every step. The end of a stage and a
            request to stop write one in any case.
        images: Images between two checkpoints, beside the clock; 0 leaves it to the clock.
        keep: The newest checkpoints that are kept, beside the last one of each resolution.
        prefix: What their file names begin with.
        rollbacks: How often a run whose loss or weights are not finite goes back to its last checkpoint.
        rollback_factor: What the learning rate is multiplied by each time, in (0, 1].
    """

    save: bool = True
    seconds: float = 20.0
    images: int = 0
    keep: int = 2
    prefix: str = "ckpt"
    rollbacks: int = 3
    rollback_factor: float = 0.5

    def __post_init__(self) -> None:
        for name in ("seconds", "images", "rollbacks"):
            check_range(name, getattr(self, name), minimum=0)
        check_range("keep", self.keep, minimum=1)
        if not self.prefix or not self.prefix.replace("-", "_").isidentifier():
            raise SettingsError(
                "checkpoints.prefix must be letters, digits, - and _, first a letter; "
                f"received {self.prefix!r}"
            )
        check_range("rollback_factor", self.rollback_factor, maximum=1)
        check_range("rollback_factor", self.rollback_factor, minimum=0, exclusive=True)


@dataclasses.dataclass(frozen=True)
class LoggingSettings:
    """What a run shows of itself.

    Attributes:
        tensorboard: Write events for TensorBoard.
        images_per_tick: Images between two status lines, each with scalars and a line of `stats.jsonl`; 0 for
            none.
        images_per_snapshot: Images between two sets of pictures, beside those where a stage ends; 0 for no
            pictures at all.
        samples: Images in a row of a picture.
        image_seed: Seed of the row of latents that never changes.
        metrics: Measures of the generator taken at the end of each resolution.
        metric_images: Images that each of them is taken on, at most.
        feature_extractor: SavedModel or Keras file whose features "frechet", "kid" and "precision_recall"
            compare; "" for the discriminator's own.
        verbosity: Least severe kind of line that is printed; the status lines are INFO.
    """

    tensorboard: bool = True
    images_per_tick: int = 1_000
    images_per_snapshot: int = 10_000
    samples: int = 8
    image_seed: int = 42
    metrics: tuple[str, ...] = ()
    metric_images: int = 1_024
    feature_extractor: str = ""
    verbosity: str = "INFO"

    def __post_init__(self) -> None:
        for name in ("images_per_tick", "images_per_snapshot"):
            check_range(name, getattr(self, name), minimum=0)
        check_range("samples", self.samples, minimum=1)
        check_range("image_seed", self.image_seed, minimum=0, maximum=2**31 - 1)
        for metric in self.metrics:
            check_choice("metrics", metric, GENERATION_METRICS)
        check_range("metric_images", self.metric_images, minimum=2)
        check_choice("verbosity", self.verbosity, VERBOSITIES)


@dataclasses.dataclass(frozen=True)
class TrainerSettings:
    """Everything that decides how a model is trained.

    Attributes:
        networks: Widths and shape of generator, discriminator and encoder.
        schedule: Length of the phases and batch sizes.
        losses: The losses and their weights.
        optimizer: Adam and its rates.
        data: How training images are read.
        execution: Where and how the steps are computed.
        checkpoints: What is kept of a run.
        logging: What a run shows of itself.
        scoring: How the trained networks score an image.
        ema_half_life: Half-life in images of the networks' moving averages, which are exported; 0 for none.
        ema_decay: Decay of the averages per step, in [0, 1), instead of a half-life.
        warm_start: A checkpoint, a run's folder or an exported model whose weights training begins with.
        seed: Seed of initial weights, latents and the order of the data.
    """

    networks: NetworkSettings = dataclasses.field(default_factory=NetworkSettings)
    schedule: ScheduleSettings = dataclasses.field(default_factory=ScheduleSettings)
    losses: LossSettings = dataclasses.field(default_factory=LossSettings)
    optimizer: OptimizerSettings = dataclasses.field(default_factory=OptimizerSettings)
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    execution: ExecutionSettings = dataclasses.field(default_factory=ExecutionSettings)
    checkpoints: CheckpointSettings = dataclasses.field(default_factory=CheckpointSettings)
    logging: LoggingSettings = dataclasses.field(default_factory=LoggingSettings)
    scoring: ScoringSettings = dataclasses.field(default_factory=ScoringSettings)
    ema_half_life: int = 2_000
    ema_decay: float | None = None
    warm_start: str = ""
    seed: int = 1

    def __post_init__(self) -> None:
        check_range("ema_half_life", self.ema_half_life, minimum=0)
        if self.ema_decay:
            check_range("ema_decay", self.ema_decay, 0, 1, exclusive=True)
        elif self.ema_decay is not None:
            check_range("ema_decay", self.ema_decay, minimum=0)
        recognizes = self.networks.transforms and self.losses.transform
        if self.losses.adversarial == "none" and not recognizes:
            raise SettingsError(
                "losses.adversarial none needs networks.transforms, and losses.transform above 0: nothing "
                "else is learned; received none of them"
            )
        if self.losses.suspects and not recognizes:
            raise SettingsError(
                "losses.suspects needs networks.transforms, and losses.transform above 0; "
                f"received {self.losses.suspects} without them"
            )
        check_range("seed", self.seed, minimum=0, maximum=2**32 - 1)
