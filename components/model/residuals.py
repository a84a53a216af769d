"""What the generator could not reproduce of an image: x against G(E(x)), in pixels and in features.

Every function looks at each image by itself.
"""

import tensorflow as tf

# Of the scales of MS-SSIM, the finest first (Wang et al. 2003, section 3.2).
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_COARSEST_SIDE = 8
_WINDOW = 11
# Values of a reduced residual: its covariance has the square of that, 4 MB.
REDUCED_VALUES = 1_024
_REDUCED_SIDE = 16


def pixel_residual(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Returns mean |x - G(E(x))| over pixels and channels (Berg et al. 2019, section 3): float [N]."""
    return tf.reduce_mean(tf.abs(images - reconstructions), axis=[1, 2, 3])


def structural_residual(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Returns 1 - MS-SSIM of images in [-1, 1], float [N] from 0 to 1.

    Source: Wang et al. 2003, "Multiscale structural similarity for image quality assessment"; as an anomaly
    score, Bergmann et al. 2019. The published five scales with windows of 11 pixels need 176 pixels: smaller
    images have as many scales as the coarsest has 8 pixels, with the first weights scaled to a sum of 1.
    """
    side = images.shape[1]
    scales = 1
    while scales < len(_SCALE_WEIGHTS) and side >> scales >= _COARSEST_SIDE:
        scales += 1
    coarsest = side >> (scales - 1)
    weights = _SCALE_WEIGHTS[:scales]
    similarity = tf.image.ssim_multiscale(
        (images + 1.0) / 2.0,
        (reconstructions + 1.0) / 2.0,
        max_val=1.0,
        power_factors=[weight / sum(weights) for weight in weights],
        filter_size=min(_WINDOW, coarsest - 1),
    )
    return 1.0 - similarity


def feature_residual(features: tf.Tensor, reconstructed: tf.Tensor) -> tf.Tensor:
    """Returns mean |f(x) - f(G(E(x)))| of the discriminator's features f, float [N, ...]: float [N].

    Sources: Zenati et al. 2018, "Adversarially learned anomaly detection", section 3.3; its square is a part
    of the score of Schlegl et al. 2019, f-AnoGAN.
    """
    return tf.reduce_mean(tf.abs(features - reconstructed), axis=list(range(1, len(features.shape))))


def reduced_residual(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Returns x - G(E(x)), signed and averaged down to at most 16x16 pixels and 1024 values: float [N, F].

    The Mahalanobis distance of these is the score of P-CEAD (Mayo Clinic and Google 2020), which streams mean
    and covariance of residuals of normal images; here the places of the image keep covariances of their own.
    """
    side, channels = images.shape[1], images.shape[3]
    reduced = min(side, _REDUCED_SIDE)
    while reduced > 1 and reduced * reduced * channels > REDUCED_VALUES:
        reduced //= 2
    factor = side // reduced
    residuals = tf.nn.avg_pool2d(images - reconstructions, factor, factor, "VALID")
    return tf.reshape(residuals, [-1, reduced * reduced * channels])
