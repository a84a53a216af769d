"""The layers of a progressive GAN (Karras et al. 2018): equalized learning rate, box-filtered scaling.

Feature maps are NHWC ("channels_last") or NCHW ("channels_first"); weights have the same shape in both.
Every layer computes in the data type of its input and keeps its weights in float32. Weights are drawn from
N(0, 1) and multiplied at run time by gain / sqrt(fan_in) (section 4.1), so that Adam moves every weight at
the same speed.
"""

import math

import keras
import numpy as np
import tensorflow as tf

HE_GAIN = math.sqrt(2.0)
CHANNELS_LAST, CHANNELS_FIRST = "channels_last", "channels_first"
_TF_FORMATS = {CHANNELS_LAST: "NHWC", CHANNELS_FIRST: "NCHW"}


def channel_axis(data_format: str) -> int:
    """Returns the axis of the channels in feature maps of that format."""
    return 1 if data_format == CHANNELS_FIRST else -1


def pixel_norm(x: tf.Tensor, epsilon: float = 1e-8, axis: int = -1) -> tf.Tensor:
    """Normalizes each feature vector (along `axis`) to unit mean square (section 4.2)."""
    wide = tf.cast(x, tf.float32)
    return x * tf.cast(
        tf.math.rsqrt(tf.reduce_mean(tf.square(wide), axis=axis, keepdims=True) + epsilon), x.dtype
    )


def upscale2d(x: tf.Tensor, data_format: str = CHANNELS_LAST) -> tf.Tensor:
    """Doubles height and width by nearest neighbour: [N, H, W, C] -> [N, 2H, 2W, C]."""
    batch = x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
    if data_format == CHANNELS_FIRST:
        channels, height, width = x.shape[1:]
        x = tf.tile(tf.reshape(x, [batch, channels, height, 1, width, 1]), [1, 1, 1, 2, 1, 2])
        return tf.reshape(x, [batch, channels, height * 2, width * 2])
    height, width, channels = x.shape[1:]
    x = tf.tile(tf.reshape(x, [batch, height, 1, width, 1, channels]), [1, 1, 2, 1, 2, 1])
    return tf.reshape(x, [batch, height * 2, width * 2, channels])


def downscale2d(x: tf.Tensor, data_format: str = CHANNELS_LAST) -> tf.Tensor:
    """Halves height and width by the mean of 2x2 boxes: [N, H, W, C] -> [N, H/2, W/2, C]."""
    if data_format == CHANNELS_FIRST:
        # TensorFlow has no pooling of this format for CPUs.
        batch = x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
        channels, height, width = x.shape[1:]
        return tf.reduce_mean(tf.reshape(x, [batch, channels, height // 2, 2, width // 2, 2]), axis=[3, 5])
    return tf.nn.avg_pool2d(x, ksize=2, strides=2, padding="VALID")


def lerp(a: tf.Tensor, b: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Linear interpolation: a at weight 0, b at weight 1."""
    return a + (b - a) * tf.cast(weight, a.dtype)


def stddev_group(batch: int, group_size: int) -> int:
    """Returns how many images share a statistic: the largest divisor of the batch up to `group_size`."""
    return max(size for size in range(1, group_size + 1) if batch % size == 0)


def minibatch_stddev(
    x: tf.Tensor, group_size: int, parts: int = 1, epsilon: float = 1e-8, data_format: str = CHANNELS_LAST
) -> tf.Tensor:
    """Appends one feature map: the standard deviation over a group of images (section 3).

    Groups are strided as in the original: image i belongs to group i mod (N / group). A batch that the
    group size does not divide uses the largest smaller group that does.

    Args:
        x: Feature maps, float [N, H, W, C], N static.
        group_size: Images per group.
        parts: Equal parts of the batch that share no group: reals and fakes of one pass, say.
        epsilon: Small constant below the root.
        data_format: Of the feature maps.

    Returns:
        float [N, H, W, C + 1].
    """
    batch, channel = x.shape[0], channel_axis(data_format)
    part = batch // parts
    group = stddev_group(part, group_size)
    y = tf.cast(tf.reshape(x, [parts, group, part // group, *x.shape[1:]]), tf.float32)
    y -= tf.reduce_mean(y, axis=1, keepdims=True)
    y = tf.sqrt(tf.reduce_mean(tf.square(y), axis=1) + epsilon)
    y = tf.reduce_mean(y, axis=[2, 3, 4])
    y = tf.tile(y[:, None], [1, group, 1])
    shape = [1 if axis == channel % 4 else size for axis, size in enumerate(x.shape)]
    y = tf.broadcast_to(tf.reshape(tf.cast(y, x.dtype), [batch, 1, 1, 1]), shape)
    return tf.concat([x, y], axis=channel)


class ChannelBias(keras.layers.Layer):
    """One learned offset for each feature map."""

    def __init__(self, channels: int, data_format: str = CHANNELS_LAST, **kwargs: object) -> None:
        super().__init__(autocast=False, **kwargs)
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")
        self._format = _TF_FORMATS[data_format]
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns x + bias."""
        if len(x.shape) == 2:
            return x + tf.cast(self.bias, x.dtype)
        return tf.nn.bias_add(x, tf.cast(self.bias, x.dtype), self._format)


class EqualizedDense(keras.layers.Layer):
    """Fully connected layer: [N, inputs] -> [N, units].

    Args:
        inputs: Input width.
        units: Output width.
        gain: Gain of the initialization, sqrt(2) before a LeakyReLU, 1 before a linear output.
        use_bias: Add a learned offset.
        weight_scaling: Scale the weights at run time (equalized learning rate), or at the start.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        gain: float = HE_GAIN,
        use_bias: bool = True,
        weight_scaling: bool = True,
        **kwargs: object,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        stddev, self.scale = _initial_and_run_time_scale(gain / math.sqrt(inputs), weight_scaling)
        self.kernel = self.add_weight(name="kernel", shape=(inputs, units), initializer=_normal(stddev))
        self.bias = ChannelBias(units) if use_bias else None
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns float [N, units]."""
        x = tf.matmul(x, tf.cast(self.kernel * self.scale, x.dtype))
        return self.bias(x) if self.bias else x


class EqualizedConv2D(keras.layers.Layer):
    """Square convolution with equalized learning rate, optionally with 2x scaling.

    Args:
        inputs: Input channels.
        filters: Output channels.
        kernel_size: Side of the kernel.
        gain: Gain of the initialization, sqrt(2) before a LeakyReLU, 1 before a linear output.
        scaling: "up" (nearest upsampling before the convolution), "down" (2x2 mean after it) or None.
        fused_scaling: Scale and convolve in one strided operation with the box-filtered kernel.
        use_bias: Add a learned offset to each output channel.
        weight_scaling: Scale the weights at run time (equalized learning rate), or at the start.
        data_format: Of the feature maps.
    """

    def __init__(
        self,
        inputs: int,
        filters: int,
        kernel_size: int = 3,
        gain: float = HE_GAIN,
        scaling: str | None = None,
        fused_scaling: bool = True,
        use_bias: bool = True,
        weight_scaling: bool = True,
        data_format: str = CHANNELS_LAST,
        **kwargs: object,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters, self.scaling, self.fused_scaling = filters, scaling, fused_scaling
        self.data_format, self._format = data_format, _TF_FORMATS[data_format]
        stddev, self.scale = _initial_and_run_time_scale(
            gain / math.sqrt(kernel_size * kernel_size * inputs), weight_scaling
        )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(kernel_size, kernel_size, inputs, filters),
            initializer=_normal(stddev),
        )
        self.bias = ChannelBias(filters, data_format) if use_bias else None
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns float [N, H', W', filters]; H' and W' follow the scaling."""
        x = self._convolve(x, self.kernel * self.scale)
        return self.bias(x) if self.bias else x

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self.scaling == "up":
            if self.fused_scaling:
                return self._fused_up(x, kernel)
            return self._conv2d(upscale2d(x, self.data_format), kernel)
        if self.scaling == "down":
            if self.fused_scaling:
                return self._conv2d(x, _box_filtered(kernel) * 0.25, strides=2)
            return downscale2d(self._conv2d(x, kernel), self.data_format)
        return self._conv2d(x, kernel)

    def _conv2d(self, x: tf.Tensor, kernel: tf.Tensor, strides: int = 1) -> tf.Tensor:
        kernel = tf.cast(kernel, x.dtype)
        return tf.nn.conv2d(x, kernel, strides=strides, padding="SAME", data_format=self._format)

    def _fused_up(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        # A transposed convolution spreads its kernel, a convolution gathers: hence the flip, which makes
        # this the very function of upscale2d followed by conv2d.
        kernel = tf.cast(tf.transpose(_box_filtered(kernel, flip=True), [0, 1, 3, 2]), x.dtype)
        batch = x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
        if self.data_format == CHANNELS_FIRST:
            shape = [batch, self.filters, x.shape[2] * 2, x.shape[3] * 2]
        else:
            shape = [batch, x.shape[1] * 2, x.shape[2] * 2, self.filters]
        return tf.nn.conv2d_transpose(x, kernel, shape, strides=2, padding="SAME", data_format=self._format)


def _box_filtered(kernel: tf.Tensor, flip: bool = False) -> tf.Tensor:
    """Sums the kernel, turned by 180 degrees if `flip`, over its four one-pixel shifts.

    Returns:
        float [k + 1, k + 1, in, out] for a kernel [k, k, in, out].
    """
    side, _, inputs, filters = kernel.shape
    shifts = np.eye(side + 1, side) + np.eye(side + 1, side, k=-1)
    matrix = np.kron(shifts, shifts)[:, :: -1 if flip else 1]
    # A product with a constant: sums of slices would be a third of a step, by the slices' slow gradients.
    product = tf.constant(matrix, kernel.dtype) @ tf.reshape(kernel, [side * side, inputs * filters])
    return tf.reshape(product, [side + 1, side + 1, inputs, filters])


def _initial_and_run_time_scale(scale: float, weight_scaling: bool) -> tuple[float, float]:
    return (1.0, scale) if weight_scaling else (scale, 1.0)


def _normal(stddev: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=stddev)
