"""Features of images by any network that a path names.

Rules, for what a file cannot tell:
- Size: images are resized to the height and width of the network's input; where it leaves them open, the
  images keep their own.
- Channels: grey images are repeated for a network of three channels.
- Range: integer inputs, and Keras models with a layer `Rescaling` or `Normalization`, take [0, 255]; all
  others take [-1, 1], as Inception does.
- Features: the only output; maps [N, H, W, D] are averaged over their places.
"""

import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_INCEPTION_FEATURES = 2048
_BATCH = 32


class FeatureExtractor:
    """A network and what it is to be called.

    Args:
        name: Labels the measures that are taken on its features.
        network: Float or integer images [N, H, W, C] to features [N, D] or [N, H, W, D].
        input_shape: (height, width, channels); None where the network takes any.
        input_dtype: What the network takes.
        raw_range: Whether it takes [0, 255] rather than [-1, 1].
    """

    def __init__(
        self,
        name: str,
        network: Callable[[tf.Tensor], tf.Tensor],
        input_shape: tuple[int | None, int | None, int | None] = (None, None, None),
        input_dtype: tf.DType = tf.float32,
        raw_range: bool = False,
    ) -> None:
        self.name = name
        self._network, self._shape, self._dtype = network, input_shape, input_dtype
        self._raw_range = raw_range or input_dtype.is_integer

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns features float32 [N, D] of uint8 [N, H, W, C].

        Raises:
            UserError: the network cannot take such images, or does not give one vector or map for each.
        """
        parts = [self._features(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        return np.concatenate(parts)

    def _features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            features = self._network(self._prepared(images))
        except (ValueError, TypeError, tf.errors.OpError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"the feature extractor {self.name} cannot take images of shape {images.shape[1:]}: {reason}"
            ) from error
        shape = getattr(features, "shape", None)
        if shape is None or len(shape) not in (2, 4) or shape[0] != len(images) or 0 in shape:
            raise UserError(
                f"the feature extractor {self.name} must give features [N, D] or [N, H, W, D]; "
                f"received {'several outputs' if shape is None else tuple(shape)} for {len(images)} images "
                f"of shape {images.shape[1:]}"
            )
        values = np.asarray(features, np.float32)
        return values.mean(axis=(1, 2)) if values.ndim == 4 else values

    def _prepared(self, images: NDArray[np.uint8]) -> tf.Tensor:
        height, width, channels = self._shape
        if channels not in (None, images.shape[-1]) and (images.shape[-1], channels) != (1, 3):
            raise UserError(
                f"the feature extractor {self.name} takes images of {channels} channels; "
                f"received {images.shape[-1]}"
            )
        values = tf.cast(images, tf.float32)
        size = [height or images.shape[1], width or images.shape[2]]
        if size != list(images.shape[1:3]):
            values = tf.image.resize(values, size, antialias=True)
        if channels is not None and channels != images.shape[-1]:
            values = tf.repeat(values, channels, axis=-1)
        if self._dtype.is_integer:
            values = tf.round(values)
        if not self._raw_range:
            values = values / 127.5 - 1.0
        return tf.cast(values, self._dtype)


def frechet_name(extractor_name: str, width: int) -> str:
    """Returns what the Frechet distance is called: "fid" for Inception alone, else "frechet[<name>]".

    A network is Inception when its name says so and its features have Inception's width.

    Args:
        extractor_name: Name of the feature extractor.
        width: Length of its features.
    """
    is_inception = "inception" in extractor_name.lower() and width == _INCEPTION_FEATURES
    return "fid" if is_inception else f"frechet[{extractor_name}]"


def load_extractor(path: str) -> FeatureExtractor:
    """Loads a Keras file (.keras, .h5, .hdf5) or the folder of a SavedModel, by whose name it is called.

    Raises:
        UserError: there is no such file or folder, or it holds no network from one batch of images to one
            batch of features.
    """
    name, suffix = os.path.splitext(os.path.basename(path.rstrip("/")))
    if not tf.io.gfile.exists(path):
        raise UserError(f"the feature extractor {path} does not exist")
    if tf.io.gfile.isdir(path):
        return _from_saved_model(name + suffix, path)
    if suffix not in KERAS_SUFFIXES:
        raise UserError(
            "the feature extractor must be the folder of a SavedModel or a file of "
            f"{', '.join(KERAS_SUFFIXES)}; received {path}"
        )
    return _from_keras(name, path)


def _from_keras(name: str, path: str) -> FeatureExtractor:
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise _unloadable(path, error) from error
    # Models that were never called have none.
    inputs = getattr(model, "inputs", None) or []
    shape = _image_shape(path, [tensor.shape for tensor in inputs])
    own_range = (keras.layers.Rescaling, keras.layers.Normalization)
    return FeatureExtractor(
        name,
        lambda images: model(images, training=False),
        shape,
        tf.as_dtype(inputs[0].dtype),
        raw_range=any(isinstance(layer, own_range) for layer in model._flatten_layers()),
    )


def _from_saved_model(name: str, path: str) -> FeatureExtractor:
    try:
        # The functions of a SavedModel live as long as what was loaded: the closure below keeps it.
        model = tf.saved_model.load(path)
    except (ValueError, OSError, tf.errors.OpError, AttributeError) as error:
        raise _unloadable(path, error) from error
    signature = model.signatures.get("serving_default")
    if signature is None:
        raise UserError(f"the feature extractor {path} has no signature serving_default")
    _, inputs = signature.structured_input_signature
    specs = list(inputs.items())
    shape = _image_shape(path, [spec.shape for _, spec in specs if spec.dtype != tf.string])

    def network(images: tf.Tensor, model: object = model) -> tf.Tensor:
        outputs = signature(**{specs[0][0]: images})
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    return FeatureExtractor(name, network, shape, specs[0][1].dtype)


def _image_shape(path: str, shapes: list) -> tuple[int | None, int | None, int | None]:
    """Returns height, width and channels of the only input."""
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise UserError(
            f"the feature extractor {path} must have one input of images [N, H, W, C]; "
            f"received {[tuple(shape) for shape in shapes]}"
        )
    return tuple(shapes[0])[1:]


def _unloadable(path: str, error: Exception) -> UserError:
    reason = str(error).strip().partition("\n")[0]
    return UserError(f"the feature extractor {path} cannot be loaded: {reason}")
