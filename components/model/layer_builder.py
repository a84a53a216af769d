"""How the settings of the networks become layers: the one place that passes them on."""

from collections.abc import Callable

import tensorflow as tf

from proganomaly.components.model.layers import (
    HE_GAIN,
    EqualizedConv2D,
    EqualizedDense,
    channel_axis,
    pixel_norm,
)
from proganomaly.components.model.settings import NetworkSettings

Activation = Callable[[tf.Tensor], tf.Tensor]


class LayerBuilder:
    """Makes the layers and activations of the networks the way the settings say.

    Args:
        settings: Widths and shape, with every None filled in.
        data_format: Of the feature maps.
        jit_chains: Compile the activations with XLA, LeakyReLU and pixel norm as one.
    """

    def __init__(self, settings: NetworkSettings, data_format: str, jit_chains: bool) -> None:
        self.settings, self.data_format, self._jit_chains = settings, data_format, jit_chains
        self.maps = settings.feature_maps

    def leaky_relu(self) -> Activation:
        """Returns what stands behind the layers of discriminator and encoder."""
        return self._chain(lambda x: tf.nn.leaky_relu(x, self.settings.leaky_slope))

    def leaky_relu_and_pixel_norm(self) -> Activation:
        """Returns what stands behind the layers of the generator."""
        slope, epsilon, axis = (
            self.settings.leaky_slope,
            self.settings.epsilon,
            channel_axis(self.data_format),
        )
        return self._chain(lambda x: pixel_norm(tf.nn.leaky_relu(x, slope), epsilon, axis))

    def conv(
        self,
        inputs: int,
        filters: int,
        name: str,
        kernel_size: int = 3,
        gain: float = HE_GAIN,
        scaling: str | None = None,
    ) -> EqualizedConv2D:
        """Returns a convolution; see there."""
        return EqualizedConv2D(
            inputs,
            filters,
            kernel_size,
            gain,
            scaling,
            fused_scaling=self.settings.fused_scaling,
            use_bias=self.settings.use_bias,
            weight_scaling=self.settings.weight_scaling,
            data_format=self.data_format,
            name=name,
        )

    def dense(
        self, inputs: int, units: int, name: str, gain: float = HE_GAIN, use_bias: bool = True
    ) -> EqualizedDense:
        """Returns a fully connected layer; see there."""
        return EqualizedDense(
            inputs,
            units,
            gain,
            use_bias=use_bias and self.settings.use_bias,
            weight_scaling=self.settings.weight_scaling,
            name=name,
        )

    def _chain(self, operations: Activation) -> Activation:
        return tf.function(operations, jit_compile=True, autograph=False) if self._jit_chains else operations
