"""Settings of the losses."""

import dataclasses

from proganomaly.components.errors import SettingsError, check_choice, check_range

ADVERSARIAL_LOSSES = ("wasserstein", "logistic", "none")


@dataclasses.dataclass(frozen=True)
class EncoderLossSettings:
    """Weights of the encoder's terms; see `losses`. At least one must be above 0.

    Attributes:
        latent_cycle: Weight of mean (z - E(G(z)))^2.
        image_cycle: Weight of mean |G(z) - G(E(G(z)))| (Berg et al. 2019).
        real_pixels: Weight of mean (x - G(E(x)))^2 over real images (f-AnoGAN's izi).
        real_features: Weight of mean (f(x) - f(G(E(x))))^2, f the discriminator's 4x4 features before its
            minibatch standard deviation (f-AnoGAN's izi_f with kappa).
    """

    latent_cycle: float = 0.0
    image_cycle: float = 1.0
    real_pixels: float = 0.0
    real_features: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_range(field.name, getattr(self, field.name), minimum=0)
        if not any(dataclasses.astuple(self)):
            raise SettingsError("one of the encoder's terms must be above 0; received 0 for all")


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """The losses and how often each network is updated; see `losses` and `step`.

    Attributes:
        adversarial: "wasserstein" (Gulrajani et al. 2017), "logistic" (softplus, non-saturating), or "none":
            the discriminator learns from `networks.transforms` alone, generator and encoder learn nothing.
        gradient_penalty: Weight (lambda) of the WGAN-GP penalty; 0 for none.
        gradient_target: The gradient norm that the penalty pulls towards.
        drift: Weight of D(real)^2, which keeps the critic's output near zero; 0 for none.
        r1: Weight (gamma) of the R1 penalty gamma / 2 * |grad D(real)|^2 (Mescheder et al. 2018); 0 for none.
        penalty_interval: Steps between two evaluations of the penalties; above 1 they are lazy and weigh
            as many times more (Karras et al. 2020, StyleGAN2, appendix B).
        critic_steps: Updates of the discriminator, each on a batch of its own, per update of the others.
        shared_fakes: Let the generator's update use the discriminator's fakes: one pass of G saved.
        concatenated: Send reals and fakes through D in one pass, their minibatch statistics kept apart.
        label: Weight of the conditional label term (AC-GAN); of use with `networks.label_count` above 0.
        transform: Weight of recognizing how a real image was transformed; of use with `networks.transforms`.
        suspects: Share of each batch, in [0, 1), that counts nothing for the discriminator: the real images
            whose transformation is recognized worst, where anomalies may be among the normal images.
        encoder: Weights of the encoder's terms.
    """

    adversarial: str = "wasserstein"
    gradient_penalty: float = 10.0
    gradient_target: float = 1.0
    drift: float = 0.001
    r1: float = 0.0
    penalty_interval: int = 1
    critic_steps: int = 1
    shared_fakes: bool = False
    concatenated: bool = False
    label: float = 1.0
    transform: float = 1.0
    suspects: float = 0.0
    encoder: EncoderLossSettings = dataclasses.field(default_factory=EncoderLossSettings)

    def __post_init__(self) -> None:
        check_choice("adversarial", self.adversarial, ADVERSARIAL_LOSSES)
        for name in ("gradient_penalty", "drift", "r1", "label", "transform"):
            check_range(name, getattr(self, name), minimum=0)
        if self.suspects != 0:
            check_range("suspects", self.suspects, 0, 1, exclusive=True)
        check_range("gradient_target", self.gradient_target, minimum=0, exclusive=True)
        for name in ("penalty_interval", "critic_steps"):
            check_range(name, getattr(self, name), minimum=1)
