"""What a damaged image goes through: ingestion, then the decoder as a served model holds it."""

import tensorflow as tf

from proganomaly.components.image_example_gen.inspection import inspect
from proganomaly.components.image_example_gen.listing import FileContent, ImageFile
from proganomaly.components.images.decode import decode_pixels
from proganomaly.components.images.rejection import Rejected

_served = tf.function(decode_pixels, input_signature=[tf.TensorSpec([], tf.string)])


def run_file(content: bytes, max_pixels: int) -> str:
    """Returns "ingested" or the stage of the rejection.

    Raises:
        AssertionError: a record or a reason is not as it should be.
        Exception: whatever ingestion or the decoder raise against the agreement.
    """
    try:
        record, pixels = inspect("", FileContent(ImageFile("a"), content), max_pixels)
    except Rejected as rejected:
        assert rejected.reason and rejected.reason.isprintable() and len(rejected.reason) < 400, rejected
        # Nothing limits the size of what a server is sent; here the header's is known to be small.
        if rejected.stage == "decode":
            _serve_broken(content)
        return rejected.stage
    assert pixels.size == record.height * record.width * record.channels <= 4 * max_pixels
    assert (_served(tf.constant(record.image)).numpy() == pixels).all()
    assert 0 <= record.brightness <= 1 and 0 <= record.contrast <= 1 and record.sharpness >= 0
    return "ingested"


def _serve_broken(content: bytes) -> None:
    """Serves what ingestion rejected: an error of TensorFlow's, or pixels where ingestion is stricter."""
    try:
        _served(tf.constant(content))
    except tf.errors.OpError:
        return
