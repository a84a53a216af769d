"""The exported model: encoded images in, scores and maps out, with nothing of Python left."""

from collections.abc import Callable

import tensorflow as tf

from proganomaly.components.images.decode import decode_images
from proganomaly.components.images.spec import DECODABLE_CHANNELS
from proganomaly.components.model.networks import to_network_range, to_uint8
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.tiled_serving import score_tiles
from proganomaly.components.records.image_example import FEATURE_SPEC

Signatures = dict[str, tf.types.experimental.GenericFunction]


class ServingModel(tf.Module):
    """The signatures of a SavedModel around a calibrated scorer.

    Images are given encoded, as `image_bytes`: PNG, JPEG, BMP or GIF, of any size, mixed in one batch. One
    that is none of these fails the request with an error that names its place in the batch. Where the
    networks have a number of channels that no image file has, pixels take their place, as `images`: uint8
    [N, R, R, C].
    """

    def __init__(self, scorer: AnomalyScorer) -> None:
        super().__init__(name="serving_model")
        self.scorer = scorer
        side, channels = scorer.spec.resolution, scorer.spec.channels
        # One graph for all signatures that score: tracing and saving it takes a second or two each time.
        self._verdict = tf.function(
            lambda images: scorer.verdict(scorer.members(images)),
            input_signature=[tf.TensorSpec([None, side, side, channels])],
        )

    def signatures(self) -> Signatures:
        """Returns the functions to save, by signature name."""
        spec = self.scorer.spec
        pixels = tf.TensorSpec([None, spec.resolution, spec.resolution, spec.channels], tf.uint8, "images")
        encoded = tf.TensorSpec([None], tf.string, "image_bytes")
        latents = tf.TensorSpec([None, self.scorer.generator.code_size], tf.float32, "latents")
        examples = tf.TensorSpec([None], tf.string, "examples")
        is_decodable = spec.channels in DECODABLE_CHANNELS
        images = encoded if is_decodable else pixels
        large = tf.TensorSpec([1], tf.string, "image_bytes")
        large_pixels = tf.TensorSpec([1, None, None, spec.channels], tf.uint8, "images")
        signatures = {
            "serving_default": _signature(self.score, images),
            "explain": _signature(self.explain, images),
            "tiles": _signature(self.score_tiles, large if is_decodable else large_pixels),
            "encode": _signature(self.encode, images),
            "pixels": _signature(self.score, pixels),
            "generate": _signature(self.generate, latents),
        }
        if is_decodable:
            signatures["examples"] = _signature(self.score_examples, examples)
        return signatures

    def score(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns score, normalized_score, p_value, is_anomaly and threshold, each [N].

        Args:
            images: Encoded images, string [N], or pixels, uint8 [N, R, R, C]; here and below.
        """
        return self._verdict(self._in_network_range(images))

    def explain(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what `score` does, each component by name, and pictures.

        The pictures are `image` (what the networks saw, uint8 [N, H, W, C]), `reconstruction` (alike) and
        `anomaly_map` (float [N, H, W]); `pixel_threshold` [N] is what the stated share of normal pixels
        exceeds in the map. `threshold_interval` and `pixel_threshold_interval`, float [N, 2], are where the
        thresholds would lie if all normal images were known, with 95 % confidence.
        """
        images = self._in_network_range(images)
        explanation = self.scorer.explain(images)
        verdict = self.scorer.verdict(explanation.components)
        calibration, pixels = self.scorer.calibration, self.scorer.pixel_calibration
        assert calibration is not None and pixels is not None, "calibrate first"
        interval = calibration.threshold_interval(self.scorer.settings.false_positive_rate)
        count = tf.shape(verdict["score"])[0]
        return {
            **verdict,
            **explanation.components,
            "threshold_interval": tf.tile(tf.constant([interval]), [count, 1]),
            "image": to_uint8(images),
            "anomaly_map": explanation.anomaly_map,
            "pixel_threshold": tf.fill([count], pixels.value),
            "pixel_threshold_interval": tf.tile(tf.constant([[pixels.low, pixels.high]]), [count, 1]),
            "reconstruction": explanation.reconstruction,
        }

    def score_tiles(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores one large image by tiles; see `tiled_serving`."""
        return score_tiles(self.scorer, images)

    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores serialized tf.Examples by their feature `image`."""
        return self.score(tf.io.parse_example(examples, {"image": FEATURE_SPEC["image"]})["image"])

    def encode(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns latents, float [N, latent_size]."""
        return {"latents": self.scorer.encoder(self._in_network_range(images))}

    def generate(self, latents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns images, uint8 [N, H, W, C]."""
        return {"images": to_uint8(self.scorer.generator(latents))}

    def _in_network_range(self, images: tf.Tensor) -> tf.Tensor:
        return to_network_range(
            decode_images(images, self.scorer.spec) if images.dtype == tf.string else images
        )


def _signature(
    method: Callable[[tf.Tensor], dict[str, tf.Tensor]], argument: tf.TensorSpec
) -> tf.types.experimental.GenericFunction:
    """Returns a function to save; the argument's name is that of its specification."""
    return tf.function(method, input_signature=[argument])
