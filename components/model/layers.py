"""The layers of a progressive GAN (Karras et al. 2018): equalized learning rate, box-filtered scaling.

All tensors are NHWC. Weights are drawn from N(0, 1) and multiplied at run time by
gain / sqrt(fan_in) (section 4.1), so that Adam moves every weight at the same speed.
"""

import math

import keras
import tensorflow as tf

HE_GAIN = math.sqrt(2.0)
PIXEL_NORM_EPSILON = 1e-8


def pixel_norm(x: tf.Tensor) -> tf.Tensor:
    """Normalizes each feature vector (the last axis) to unit mean square (section 4.2)."""
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + PIXEL_NORM_EPSILON)


def upscale2d(x: tf.Tensor) -> tf.Tensor:
    """Doubles height and width by nearest neighbour: [N, H, W, C] -> [N, 2H, 2W, C]."""
    batch, height, width, channels = tf.shape(x)[0], x.shape[1], x.shape[2], x.shape[3]
    x = tf.reshape(x, [batch, height, 1, width, 1, channels])
    x = tf.tile(x, [1, 1, 2, 1, 2, 1])
    return tf.reshape(x, [batch, height * 2, width * 2, channels])


def downscale2d(x: tf.Tensor) -> tf.Tensor:
    """Halves height and width by the mean of 2x2 boxes: [N, H, W, C] -> [N, H/2, W/2, C]."""
    return tf.nn.avg_pool2d(x, ksize=2, strides=2, padding="VALID")


def lerp(a: tf.Tensor, b: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Linear interpolation: a at weight 0, b at weight 1."""
    return a + (b - a) * tf.cast(weight, a.dtype)


def minibatch_stddev(x: tf.Tensor, group_size: int) -> tf.Tensor:
    """Appends one feature map: the standard deviation over a group of images (section 3).

    Groups are strided as in the original: image i belongs to group i mod (N / group). A batch that the
    group size does not divide uses the largest smaller group that does.

    Args:
        x: Feature maps, float [N, H, W, C], N static.
        group_size: Images per group.

    Returns:
        float [N, H, W, C + 1].
    """
    batch, height, width, channels = x.shape
    group = max(size for size in range(1, group_size + 1) if batch % size == 0)
    y = tf.reshape(x, [group, batch // group, height, width, channels])
    y = tf.cast(y, tf.float32)
    y -= tf.reduce_mean(y, axis=0, keepdims=True)
    y = tf.sqrt(tf.reduce_mean(tf.square(y), axis=0) + 1e-8)
    y = tf.reduce_mean(y, axis=[1, 2, 3], keepdims=True)
    y = tf.tile(tf.cast(y, x.dtype), [group, height, width, 1])
    return tf.concat([x, y], axis=-1)


class ChannelBias(keras.layers.Layer):
    """One learned offset for each feature map, the last axis."""

    def __init__(self, channels: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns x + bias."""
        return x + self.bias


class EqualizedDense(keras.layers.Layer):
    """Fully connected layer with equalized learning rate: [N, inputs] -> [N, units]."""

    def __init__(
        self, inputs: int, units: int, gain: float = HE_GAIN, use_bias: bool = True, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.kernel = self.add_weight(name="kernel", shape=(inputs, units), initializer=_standard_normal())
        self.scale = gain / math.sqrt(inputs)
        self.bias = ChannelBias(units) if use_bias else None
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns float [N, units]."""
        x = tf.matmul(x, self.kernel * tf.cast(self.scale, x.dtype))
        return self.bias(x) if self.bias else x


class EqualizedConv2D(keras.layers.Layer):
    """Square convolution with bias and equalized learning rate, optionally with 2x scaling.

    Args:
        inputs: Input channels.
        filters: Output channels.
        kernel_size: Side of the kernel.
        gain: Gain of the initialization, sqrt(2) before a LeakyReLU, 1 before a linear output.
        scaling: "up" (nearest upsampling before the convolution), "down" (2x2 mean after it) or None.
        fused_scaling: Scale and convolve in one strided operation with the box-filtered kernel.
    """

    def __init__(
        self,
        inputs: int,
        filters: int,
        kernel_size: int = 3,
        gain: float = HE_GAIN,
        scaling: str | None = None,
        fused_scaling: bool = True,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.scaling, self.fused_scaling = filters, scaling, fused_scaling
        self.kernel = self.add_weight(
            name="kernel",
            shape=(kernel_size, kernel_size, inputs, filters),
            initializer=_standard_normal(),
        )
        self.scale = gain / math.sqrt(kernel_size * kernel_size * inputs)
        self.bias = ChannelBias(filters)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns float [N, H', W', filters]; H' and W' follow the scaling."""
        return self.bias(self._convolve(x, self.kernel * tf.cast(self.scale, x.dtype)))

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self.scaling is None:
            return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
        if self.scaling == "up":
            if self.fused_scaling:
                return self._fused_up(x, kernel)
            return tf.nn.conv2d(upscale2d(x), kernel, strides=1, padding="SAME")
        if self.fused_scaling:
            return tf.nn.conv2d(x, _box_filtered(kernel) * 0.25, strides=2, padding="SAME")
        return downscale2d(tf.nn.conv2d(x, kernel, strides=1, padding="SAME"))

    def _fused_up(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        # A transposed convolution spreads its kernel, a convolution gathers: hence the flip, which makes
        # this the very function of upscale2d followed by conv2d.
        kernel = tf.transpose(_box_filtered(kernel[::-1, ::-1]), [0, 1, 3, 2])
        shape = [tf.shape(x)[0], x.shape[1] * 2, x.shape[2] * 2, self.filters]
        return tf.nn.conv2d_transpose(x, kernel, shape, strides=2, padding="SAME")


def _box_filtered(kernel: tf.Tensor) -> tf.Tensor:
    """Sums the kernel over its four one-pixel shifts: [k, k, in, out] -> [k+1, k+1, in, out]."""
    padded = tf.pad(kernel, [[1, 1], [1, 1], [0, 0], [0, 0]])
    return padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]


def _standard_normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=1.0)
