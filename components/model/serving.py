"""The exported model: encoded images in, scores and maps out, with nothing of Python left."""

import tensorflow as tf

from proganomaly.components.images.decode import decode_images
from proganomaly.components.model.networks import to_network_range, to_uint8
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.records.image_example import FEATURE_SPEC

_IMAGE_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")


class ServingModel(tf.Module):
    """The signatures of a SavedModel around a calibrated scorer.

    Images may be PNG, JPEG, BMP or GIF, of any size, mixed in one batch. One that is none of these fails the
    request with an error that names its place in the batch.
    """

    def __init__(self, scorer: AnomalyScorer) -> None:
        super().__init__(name="serving_model")
        self.scorer = scorer

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """Returns the functions to save, by signature name."""
        return {
            "serving_default": self.score,
            "explain": self.explain,
            "examples": self.score_examples,
            "encode": self.encode,
            "generate": tf.function(
                self.generate,
                input_signature=[
                    tf.TensorSpec([None, self.scorer.generator.code_size], tf.float32, name="latents")
                ],
            ),
        }

    @tf.function(input_signature=[_IMAGE_BYTES])
    def score(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns score, normalized_score, p_value, is_anomaly and threshold, each [N]."""
        return self.scorer.verdict(self.scorer.explain(self._decode(image_bytes)).components)

    @tf.function(input_signature=[_IMAGE_BYTES])
    def explain(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what `score` does, each component by name, and pictures.

        The pictures are `image` (what the networks saw, uint8 [N, H, W, C]), `reconstruction` (alike) and
        `anomaly_map` (float [N, H, W]); `pixel_threshold` [N] is what the stated share of normal pixels
        exceeds in the map.
        """
        images = self._decode(image_bytes)
        explanation = self.scorer.explain(images)
        verdict = self.scorer.verdict(explanation.components)
        return {
            **verdict,
            **explanation.components,
            "image": to_uint8(images),
            "anomaly_map": explanation.anomaly_map,
            "pixel_threshold": tf.fill(tf.shape(verdict["score"]), self.scorer.pixel_threshold),
            "reconstruction": explanation.reconstruction,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores serialized tf.Examples by their feature `image`."""
        return self.score(tf.io.parse_example(examples, {"image": FEATURE_SPEC["image"]})["image"])

    @tf.function(input_signature=[_IMAGE_BYTES])
    def encode(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns latents, float [N, latent_size]."""
        return {"latents": self.scorer.encoder(self._decode(image_bytes))}

    def generate(self, latents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns images, uint8 [N, H, W, C]."""
        return {"images": to_uint8(self.scorer.generator(latents))}

    def _decode(self, image_bytes: tf.Tensor) -> tf.Tensor:
        return to_network_range(decode_images(image_bytes, self.scorer.spec))
