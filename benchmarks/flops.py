"""Floating-point operations of a training step, counted from its settings.

A convolution costs 2 k^2 C_in C_out operations per position of its grid, a dense layer 2 C_in C_out. One
fused with scaling has a (k+1) x (k+1) kernel on the smaller grid. The input gradient and the filter gradient
cost as much as the forward pass, so a step costs a number of forward passes of each network:

| part of a step | passes |
|---|---|
| D: fakes | 1 G |
| D: scores of reals and fakes, two gradients each | 2 D + 4 D |
| D: a penalty: forward, gradient, and two gradients of each of these | 6 D |
| G: fakes and two gradients, scored and passed back through D | 3 G + 2 D |
| E: codes of fakes and two gradients, decoded and passed back through G | 3 E + 2 G |

A Karras step (WGAN-GP in each, without an encoder) is therefore 4 G + 14 D. Shared fakes save 1 G, and with
the Wasserstein loss 2 D too: G's gradient passes through D in the pass that D learns from. A lazy penalty
costs its share. Pointwise operations, Adam and the averages are left out.
"""

import dataclasses

from proganomaly.components.model.networks import resolutions_up_to
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.trainer.settings import LossSettings


@dataclasses.dataclass(frozen=True)
class Passes:
    """Forward passes of each network that cost as much as a step.

    Attributes:
        generator: Passes of G over a batch.
        discriminator: Passes of D.
        encoder: Passes of E.
    """

    generator: float
    discriminator: float
    encoder: float


def passes(losses: LossSettings, with_encoder: bool) -> Passes:
    """Returns the passes of a step, the mean over lazy ones; E's loss must be Berg's image cycle alone."""
    penalties = (losses.gradient_penalty > 0) + (losses.r1 > 0)
    generator, discriminator, encoder = 4.0, 8.0 + 6.0 * penalties / losses.penalty_interval, 0.0
    if losses.shared_fakes:
        generator -= 1
        if losses.adversarial == "wasserstein":
            discriminator -= 2
    if with_encoder:
        generator += 2
        encoder += 3
    return Passes(generator, discriminator, encoder)


def generator_flops(settings: NetworkSettings, resolution: int, channels: int, fading: bool) -> int:
    """Returns the operations of one image's forward pass; `settings` must be filled in."""
    maps = settings.feature_maps
    total = _dense(settings.latent_size + settings.label_count, maps(4) * 16) + _conv(3, maps(4), maps(4), 4)
    for level in resolutions_up_to(resolution)[1:]:
        total += _scaling_conv(settings, maps(level // 2), maps(level), level)
        total += _conv(3, maps(level), maps(level), level)
    return total + sum(_conv(1, maps(level), channels, level) for level in _rgb_levels(resolution, fading))


def discriminator_flops(settings: NetworkSettings, resolution: int, channels: int, fading: bool) -> int:
    """Returns the operations of one image's forward pass; `settings` must be filled in."""
    maps = settings.feature_maps
    head = _conv(3, maps(4) + 1, maps(4), 4) + _dense(maps(4) * 16, maps(2))
    return _trunk_flops(settings, resolution, channels, fading) + head + _dense(maps(2), 1)


def encoder_flops(settings: NetworkSettings, resolution: int, channels: int, fading: bool) -> int:
    """Returns the operations of one image's forward pass; `settings` must be filled in."""
    maps = settings.feature_maps
    head = _conv(3, maps(4), maps(4), 4) + _dense(maps(4) * 16, maps(2))
    return _trunk_flops(settings, resolution, channels, fading) + head + _dense(maps(2), settings.latent_size)


def step_flops(
    settings: NetworkSettings,
    losses: LossSettings,
    resolution: int,
    channels: int,
    fading: bool,
    with_encoder: bool,
) -> float:
    """Returns the operations of a training step per image."""
    counted, network = passes(losses, with_encoder), (settings, resolution, channels, fading)
    return (
        counted.generator * generator_flops(*network)
        + counted.discriminator * discriminator_flops(*network)
        + counted.encoder * encoder_flops(*network)
    )


def _trunk_flops(settings: NetworkSettings, resolution: int, channels: int, fading: bool) -> int:
    maps = settings.feature_maps
    total = sum(_conv(1, channels, maps(level), level) for level in _rgb_levels(resolution, fading))
    for level in resolutions_up_to(resolution)[1:]:
        total += _conv(3, maps(level), maps(level), level)
        total += _scaling_conv(settings, maps(level), maps(level // 2), level)
    return total


def _rgb_levels(resolution: int, fading: bool) -> list[int]:
    return [resolution, resolution // 2] if fading and resolution > 4 else [resolution]


def _scaling_conv(settings: NetworkSettings, inputs: int, filters: int, larger: int) -> int:
    if settings.fused_scaling:
        return _conv(4, inputs, filters, larger // 2)
    return _conv(3, inputs, filters, larger)


def _conv(kernel: int, inputs: int, filters: int, side: int) -> int:
    return 2 * kernel**2 * inputs * filters * side**2


def _dense(inputs: int, units: int) -> int:
    return 2 * inputs * units
