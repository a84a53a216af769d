"""What the three updates of a step compute (Karras et al. 2018, section 3; Berg et al. 2019, section 3).

The passes return gradients and statistics and change nothing; `Updates.run` puts them together and applies
the gradients. In the order of the papers D is updated first and G and E against the updated D; with
`losses.shared_fakes` all gradients are taken before any update.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import keras
import tensorflow as tf

from proganomaly.components.model.layers import downscale2d, lerp, upscale2d
from proganomaly.components.model.networks import Networks, make_codes, to_network_range
from proganomaly.components.trainer import losses
from proganomaly.components.trainer.forward import Forward
from proganomaly.components.trainer.recognition import Recognition, unsuspicious
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from proganomaly.components.trainer.step import ReplicaRandom

Statistics = dict[str, tf.Tensor]
Gradients = list[tf.Tensor | None]
# Streams of random numbers; see `ReplicaRandom`.
_CRITIC_LATENTS, _GENERATOR_LATENTS, _MIXING, _TRANSFORMS = 0, 1, 2, 3


class Chance(NamedTuple):
    """What is random in the discriminator's update beside the latents.

    Attributes:
        mixing: Where between fake and real the gradient penalty looks, float [N, 1, 1, 1] in [0, 1).
        choices: How the transformation head's images are transformed, int32 [N, kinds].
    """

    mixing: tf.Tensor
    choices: tf.Tensor


def faded(images: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
    """Cross-fades real images with their halved selves, as the generator's output is (section 2)."""
    if alpha is None:
        return images
    return lerp(upscale2d(downscale2d(images)), images, alpha)


class Updates:
    """The updates of one stage, on one replica.

    Args:
        networks: The networks that the gradients change.
        optimizers: By name of the network.
        settings: Losses, precision and mode.
        stage: Resolution and phase.
        replicas: Replicas that share a batch.
    """

    def __init__(
        self,
        networks: Networks,
        optimizers: dict[str, keras.optimizers.Optimizer],
        settings: TrainerSettings,
        stage: Stage,
        replicas: int,
    ) -> None:
        self._networks, self._optimizers, self._replicas = networks, optimizers, replicas
        self._losses, self._precision = settings.losses, tf.as_dtype(settings.execution.precision)
        self._forward = Forward(networks, stage.resolution, self._precision)
        self._recognition = Recognition(self._forward, settings.networks.transforms)
        jit = settings.execution.mode == "xla" and replicas > 1
        compile_pass: Callable = (
            functools.partial(tf.function, jit_compile=True, autograph=False) if jit else _as_it_is
        )
        self._discriminator = compile_pass(self._discriminator_pass)
        self._generator = compile_pass(self._generator_pass)
        self._encoder = compile_pass(self._encoder_pass)
        self._recognizer = compile_pass(self._recognition_pass)

    def run(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draw: "ReplicaRandom",
        alpha: tf.Tensor | None,
        penalties: bool,
        generator: bool,
    ) -> Statistics:
        """Updates the networks once and returns losses and statistics by name.

        Args:
            images: Real images, uint8 [N, R, R, C].
            labels: Their classes, int32 [N]; the fakes take the same.
            draw: The step's random numbers.
            alpha: Weight of the newest layers, or None.
            penalties: Whether the gradient penalties are evaluated.
            generator: Whether generator and encoder are updated.
        """
        reals = faded(to_network_range(images), alpha)
        chance = self._chance(draw)
        if self._losses.adversarial == "none":
            gradients, statistics = self._recognizer(reals, chance.choices, alpha)
            self._apply("discriminator", gradients, statistics)
            return statistics
        codes = self._codes(draw, _CRITIC_LATENTS, labels)
        if self._losses.shared_fakes and generator:
            return self._run_simultaneously(reals, labels, codes, chance, alpha, penalties)
        fakes = self._forward.generate(codes, alpha)
        gradients, statistics, _ = self._discriminator(reals, fakes, labels, chance, alpha, penalties)
        self._apply("discriminator", gradients, statistics)
        if generator:
            codes = self._codes(draw, _GENERATOR_LATENTS, labels)
            gradients, fakes, found = self._generator(codes, labels, alpha)
            # The encoder learns on the same fakes, through the generator that made them.
            encoder_gradients, encoder_found = self._encoder(reals, fakes, codes, alpha)
            self._apply("generator", gradients, found)
            self._apply("encoder", encoder_gradients, encoder_found)
            statistics |= found | encoder_found
        return statistics

    def _run_simultaneously(
        self,
        reals: tf.Tensor,
        labels: tf.Tensor,
        codes: tf.Tensor,
        chance: Chance,
        alpha: tf.Tensor | None,
        penalties: bool,
    ) -> Statistics:
        """Takes the gradients of all three networks on the same fakes, then updates them."""
        variables = _values(self._networks.generator)
        with tf.GradientTape() as tape:
            fakes = self._forward.generate(codes, alpha)
        gradients, statistics, ascent = self._discriminator(
            reals, tf.stop_gradient(fakes), labels, chance, alpha, penalties
        )
        # The direction in which D's loss falls by its fakes is the one in which a Wasserstein G's rises: one
        # pass of D serves both.
        descent, found = self._descent(fakes, labels, alpha, ascent, statistics)
        generator_gradients = tape.gradient(fakes, variables, output_gradients=descent)
        encoder_gradients, encoder_found = self._encoder(reals, tf.stop_gradient(fakes), codes, alpha)
        self._apply("discriminator", gradients, statistics)
        self._apply("generator", generator_gradients, found)
        self._apply("encoder", encoder_gradients, encoder_found)
        return statistics | found | encoder_found

    def _descent(
        self,
        fakes: tf.Tensor,
        labels: tf.Tensor,
        alpha: tf.Tensor | None,
        ascent: tf.Tensor | None,
        statistics: Statistics,
    ) -> tuple[tf.Tensor, Statistics]:
        """Returns the gradient of G's scaled loss by its images, and the loss."""
        if ascent is not None:
            return -ascent, {"loss/generator": -statistics["discriminator/fake_score"]}
        fakes = tf.stop_gradient(fakes)
        with tf.GradientTape() as tape:
            tape.watch(fakes)
            loss, found = self._generator_loss(fakes, labels, alpha)
            scaled = self._scaled("generator", loss)
        return tape.gradient(scaled, fakes), found

    def _discriminator_pass(
        self,
        reals: tf.Tensor,
        fakes: tf.Tensor,
        labels: tf.Tensor,
        chance: Chance,
        alpha: tf.Tensor | None,
        penalties: bool,
    ) -> tuple[Gradients, Statistics, tf.Tensor | None]:
        """Returns D's gradients, the statistics, and the gradient of the fakes where G can use it."""
        settings = self._losses
        found: Statistics = {}
        serves_generator = (
            settings.shared_fakes
            and settings.adversarial == "wasserstein"
            and not self._networks.generator.label_count
            and self._precision != tf.float16
        )

        def critic(batch: tf.Tensor) -> tf.Tensor:
            return self._forward.score(batch, alpha)[0]

        with tf.GradientTape() as tape:
            if serves_generator:
                tape.watch(fakes)
            (real_scores, real_logits), (fake_scores, fake_logits) = self._forward.score_both(
                reals, fakes, alpha, settings.concatenated
            )
            recognition, weights = self._recognize(reals, chance.choices, alpha, found)
            loss = recognition + losses.discriminator_loss(
                real_scores, fake_scores, settings.adversarial, weights
            )
            if settings.drift:
                found["discriminator/drift"] = losses.drift(real_scores)
                loss += settings.drift * found["discriminator/drift"]
            if settings.gradient_penalty and penalties:
                between = tf.stop_gradient(reals + (fakes - reals) * chance.mixing)
                penalty = losses.gradient_penalty(critic, between, settings.gradient_target)
                found["discriminator/gradient_penalty"] = penalty
                loss += settings.penalty_interval * settings.gradient_penalty * penalty
            if settings.r1 and penalties:
                found["discriminator/r1"] = losses.r1_penalty(critic, reals)
                loss += settings.penalty_interval * settings.r1 * found["discriminator/r1"]
            if self._networks.generator.label_count:
                label = losses.label_loss(labels, real_logits) + losses.label_loss(labels, fake_logits)
                found["discriminator/label"] = label
                loss += settings.label * label
            scaled = self._scaled("discriminator", loss)
        found |= {
            "loss/discriminator": loss,
            "discriminator/real_score": tf.reduce_mean(real_scores),
            "discriminator/fake_score": tf.reduce_mean(fake_scores),
        }
        variables = _values(self._networks.discriminator)
        if serves_generator:
            gradients, ascent = tape.gradient(scaled, (variables, fakes))
            return gradients, found, ascent
        return tape.gradient(scaled, variables), found, None

    def _generator_pass(
        self, codes: tf.Tensor, labels: tf.Tensor, alpha: tf.Tensor | None
    ) -> tuple[Gradients, tf.Tensor, Statistics]:
        """Returns G's gradients, the images it made and the statistics."""
        with tf.GradientTape() as tape:
            fakes = self._forward.generate(codes, alpha)
            loss, found = self._generator_loss(fakes, labels, alpha)
            scaled = self._scaled("generator", loss)
        gradients = tape.gradient(scaled, _values(self._networks.generator))
        return gradients, tf.stop_gradient(fakes), found

    def _generator_loss(
        self, fakes: tf.Tensor, labels: tf.Tensor, alpha: tf.Tensor | None
    ) -> tuple[tf.Tensor, Statistics]:
        scores, logits = self._forward.score(fakes, alpha)
        loss, found = losses.generator_loss(scores, self._losses.adversarial), {}
        if self._networks.generator.label_count:
            found["generator/label"] = losses.label_loss(labels, logits)
            loss += self._losses.label * found["generator/label"]
        return loss, found | {"loss/generator": loss}

    def _encoder_pass(
        self, reals: tf.Tensor, fakes: tf.Tensor, codes: tf.Tensor, alpha: tf.Tensor | None
    ) -> tuple[Gradients, Statistics]:
        """Returns E's gradients and the statistics; G and D only pass gradients on."""
        weights, found = self._losses.encoder, {}
        with tf.GradientTape() as tape:
            if weights.latent_cycle or weights.image_cycle:
                recovered = self._forward.encode(fakes, alpha)
            if weights.latent_cycle:
                found["encoder/latent_cycle"] = losses.latent_cycle(codes, recovered)
            if weights.image_cycle:
                found["encoder/image_cycle"] = losses.image_cycle(
                    fakes, self._forward.generate(recovered, alpha)
                )
            if weights.real_pixels or weights.real_features:
                reconstructed = self._forward.generate(self._forward.encode(reals, alpha), alpha)
            if weights.real_pixels:
                found["encoder/real_pixels"] = losses.real_residual(reals, reconstructed)
            if weights.real_features:
                features = [self._forward.features(batch, alpha) for batch in (reals, reconstructed)]
                found["encoder/real_features"] = losses.real_residual(*features)
            loss = tf.add_n(
                [getattr(weights, name.partition("/")[2]) * value for name, value in found.items()]
            )
            scaled = self._scaled("encoder", loss)
        gradients = tape.gradient(scaled, _values(self._networks.encoder))
        return gradients, found | {"loss/encoder": loss}

    def _recognition_pass(
        self, reals: tf.Tensor, choices: tf.Tensor, alpha: tf.Tensor | None
    ) -> tuple[Gradients, Statistics]:
        """Returns D's gradients where it learns to recognize transformations and nothing else."""
        found: Statistics = {}
        with tf.GradientTape() as tape:
            loss, _ = self._recognize(reals, choices, alpha, found)
            scaled = self._scaled("discriminator", loss)
        gradients = tape.gradient(scaled, _values(self._networks.discriminator))
        return gradients, found | {"loss/discriminator": loss}

    def _recognize(
        self, reals: tf.Tensor, choices: tf.Tensor, alpha: tf.Tensor | None, found: Statistics
    ) -> tuple[tf.Tensor | float, tf.Tensor | float]:
        """Returns the weighted loss of the transformation head and the weight of each real image, [N]."""
        if not self._recognition.kinds or not self._losses.transform:
            return 0.0, 1.0
        image_losses = self._recognition.image_losses(reals, choices, alpha)
        weights = unsuspicious(image_losses, self._losses.suspects)
        found["discriminator/transform"] = tf.reduce_mean(weights * image_losses)
        return self._losses.transform * found["discriminator/transform"], weights

    def _chance(self, draw: "ReplicaRandom") -> Chance:
        choices = self._recognition.choices(draw.uniform(_TRANSFORMS, [self._recognition.kinds]))
        return Chance(draw.uniform(_MIXING, [1, 1, 1]), choices)

    def _codes(self, draw: "ReplicaRandom", stream: int, labels: tf.Tensor) -> tf.Tensor:
        generator = self._networks.generator
        return make_codes(draw.normal(stream, [generator.latent_size]), labels, generator.label_count)

    def _scaled(self, name: str, loss: tf.Tensor) -> tf.Tensor:
        """Returns this replica's share of the loss, times float16's loss scale."""
        return self._optimizers[name].scale_loss(loss / self._replicas)

    def _apply(self, name: str, gradients: Gradients, statistics: Statistics) -> None:
        """Updates one network; layers of other resolutions have no gradient and stay untouched.

        Adds the norm of this replica's gradient to the statistics.
        """
        optimizer = self._optimizers[name]
        variables = getattr(self._networks, name).trainable_variables
        pairs = [pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None]
        norm = tf.linalg.global_norm([gradient for gradient, _ in pairs])
        scale = optimizer.scale_loss(tf.constant(1.0)) / self._replicas
        statistics[f"gradient_norm/{name}"] = norm / scale
        optimizer.apply_gradients(pairs)


def _as_it_is(function: Callable) -> Callable:
    return function


def _values(network: keras.Model) -> list[tf.Variable]:
    return [variable.value for variable in network.trainable_variables]
