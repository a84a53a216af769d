"""One verdict on a large image, from the verdicts on its tiles."""

import tensorflow as tf

from proganomaly.components.images.decode import checked_formats, decode_native
from proganomaly.components.images.geometry import fit_image
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.images.tiling import cut, mirrored_to, stitch, tile_corners
from proganomaly.components.model.calibration import Calibration
from proganomaly.components.model.networks import to_network_range
from proganomaly.components.model.scorer import AnomalyScorer

# What goes through the networks at a time, and bounds their memory whatever the image's size. More tiles at a
# time are no faster on a CPU.
_CHUNK_TILES = 16
_CHUNK_PIXELS = 1 << 20


def score_tiles(scorer: AnomalyScorer, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores a large image by tiles of `ImageSpec.tile_side`, at the size that the image has.

    The image's score is that of its most anomalous tile, so that a defect weighs as much in a large image as
    in a tile by itself. A normal image of many tiles has more chances of a high score than one tile has: its
    p-value is corrected for the number T of looks, 1 - (1 - p)^T (Sidak 1967), and compared with the stated
    false-positive rate. Tiles that overlap or look alike go up and down together, which makes the corrected
    p-value too large rather than too small: at most the stated share of normal images is called anomalous.

    Args:
        scorer: A calibrated scorer.
        images: One image: encoded, string [1], or its pixels, uint8 [1, H, W, C].

    Returns:
        Of the image, each [1]: `score`, `normalized_score`, `p_value` (corrected), `is_anomaly`, `threshold`
        (the score that at most the stated share of normal images of so many tiles exceeds), `pixel_threshold`
        and `tile_count` (int32); `anomaly_map`, float [1, H, W]. Of its tiles, row by row: `tile_scores`,
        float [1, T], and `tile_boxes`, int32 [1, T, 4]: top, left, bottom, right in pixels, the last two
        exclusive. The 1 in front is the batch that servers expect.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no image that can be decoded.
    """
    image = _pixels(scorer, images)
    side, overlap = scorer.spec.tile_side, scorer.spec.tile_overlap
    height, width = tf.unstack(tf.shape(image)[:2])
    corners = tile_corners(height, width, side, overlap)
    scores, maps = _explain_in_chunks(scorer, mirrored_to(image, side), corners)
    boxes = tf.concat([corners, tf.minimum(corners + side, [height, width])], axis=1)
    score, count = tf.reduce_max(scores, keepdims=True), tf.shape(scores)
    assert scorer.calibration is not None, "calibrate first"
    return {
        "score": score,
        **verdict_of_looks(scorer.calibration, scorer.settings.false_positive_rate, score, count),
        "pixel_threshold": tf.constant([scorer.pixel_threshold], tf.float32),
        "tile_count": count,
        "anomaly_map": stitch(maps, height, width, overlap)[None],
        "tile_scores": scores[None],
        "tile_boxes": boxes[None],
    }


def sidak(p_value: tf.Tensor, looks: tf.Tensor) -> tf.Tensor:
    """Returns the probability of a p-value as small as this in any of so many independent looks.

    1 - (1 - p)^T (Sidak 1967, Journal of the American Statistical Association 62, 626-633, theorem 1), as
    -expm1(T log1p(-p)): written plainly, 1 - p is 1 in float32 for every p below 6e-8.

    Args:
        p_value: float in [0, 1]: that of the smallest look.
        looks: Number of looks, 1 and above; or, to turn a corrected p-value back, one over it.
    """
    return -tf.math.expm1(tf.cast(looks, p_value.dtype) * tf.math.log1p(-p_value))


def verdict_of_looks(
    calibration: Calibration, false_positive_rate: float, score: tf.Tensor, looks: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Returns normalized_score, p_value, is_anomaly and threshold of images by their highest scores.

    Args:
        calibration: That of a single score.
        false_positive_rate: Share of normal images that may be called anomalous, in (0, 1).
        score: The highest score of each image, float [N].
        looks: How many scores each image has, int32 [N].
    """
    p_value = sidak(calibration.p_value(score), looks)
    rate_of_a_look = sidak(tf.constant(false_positive_rate, tf.float32), 1 / looks)
    return {
        "normalized_score": calibration.normalized(score),
        "p_value": p_value,
        "is_anomaly": p_value < false_positive_rate,
        "threshold": calibration.thresholds(rate_of_a_look),
    }


def _pixels(scorer: AnomalyScorer, images: tf.Tensor) -> tf.Tensor:
    """Returns the one image's pixels, uint8 [H, W, C]."""
    if images.dtype == tf.string:
        return decode_native(checked_formats(images)[0], scorer.spec.channels, scorer.spec.white_level)
    return images[0]


def _explain_in_chunks(
    scorer: AnomalyScorer, image: tf.Tensor, corners: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the scores, float [T], and maps, float [T, side, side], of the tiles at `corners`."""
    side = scorer.spec.tile_side
    chunk = max(1, min(_CHUNK_TILES, _CHUNK_PIXELS // max(side, scorer.spec.resolution) ** 2))
    scores = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None])
    maps = tf.TensorArray(
        tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None, side, side]
    )
    for number in tf.range((tf.shape(corners)[0] + chunk - 1) // chunk):
        tiles = cut(image, corners[number * chunk : (number + 1) * chunk], side)
        tile_scores, tile_maps = scorer.score_and_map(to_network_range(_resized(tiles, scorer.spec)))
        scores, maps = scores.write(number, tile_scores), maps.write(number, _scaled(tile_maps, side))
    return scores.concat(), maps.concat()


def _resized(tiles: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Takes tiles, uint8 [n, side, side, C], to the networks' resolution, as ingested ones are."""
    if spec.tile_side == spec.resolution:
        return tiles
    shape = [spec.resolution, spec.resolution, spec.channels]
    return tf.map_fn(
        lambda tile: fit_image(tile, spec), tiles, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
    )


def _scaled(maps: tf.Tensor, side: int) -> tf.Tensor:
    """Takes maps, float [n, R, R], to the size of the tiles, [n, side, side]."""
    if maps.shape[1] == side:
        return maps
    return tf.image.resize(maps[..., None], [side, side], method="bilinear", antialias=True)[..., 0]
