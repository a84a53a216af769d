"""The schema that data is validated against: what ships, narrowed to what the first run's images show."""

import hashlib
from collections.abc import Iterable

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic
from proganomaly.components.records.image_example import HEIGHT, WIDTH

_SIZES = (HEIGHT, WIDTH)
# Images of half and of twice the size are no anomaly: cameras are changed, crops differ.
_SIZE_SLACK = 2
# Statistics of light may leave what was seen by as much as that is wide, and by a quarter of their value.
_LIGHT_SLACK = 0.25
_HEADER = """\
# Derived from the images of the first run, within the schema that ships with the pipeline.
# Later runs are validated against this file. Edit it as you need; without it, the next run derives it anew.
"""
_DIGEST = "# digest of what follows, while it is unedited: "


def derive(
    curated: schema_pb2.Schema,
    statistics: Iterable[statistics_pb2.DatasetFeatureStatistics],
) -> schema_pb2.Schema:
    """Narrows the domains of a schema to what was seen, with slack.

    Brightness, contrast and sharpness may leave the range that was seen by the width of that range and by a
    quarter of its ends; height and width by a factor of two; channels and formats not at all.

    Args:
        curated: What the result never allows more than.
        statistics: Of every split.
    """
    derived = schema_pb2.Schema.FromString(curated.SerializeToString())
    by_name: dict[str, list[statistics_pb2.FeatureNameStatistics]] = {}
    for dataset in statistics:
        for one in dataset.features:
            by_name.setdefault(one.path.step[0], []).append(one)
    for feature in derived.feature:
        seen = by_name.get(feature.name)
        if not seen:
            continue
        if feature.type == schema_pb2.BYTES:
            values = {bucket.label for one in seen for bucket in one.string_stats.rank_histogram.buckets}
            allowed = [value for value in feature.string_domain.value if value in values]
            feature.string_domain.ClearField("value")
            feature.string_domain.value.extend(allowed)
        else:
            low = min(one.num_stats.min for one in seen)
            high = max(one.num_stats.max for one in seen)
            _narrow(feature, low, high)
    return derived


def _narrow(feature: schema_pb2.Feature, low: float, high: float) -> None:
    """Intersects the domain of a number with what was seen and its slack."""
    is_whole = feature.type == schema_pb2.INT
    if feature.name in _SIZES:
        low, high = low // _SIZE_SLACK, high * _SIZE_SLACK
    elif not is_whole:
        width = high - low
        low, high = low - max(width, _LIGHT_SLACK * low), high + max(width, _LIGHT_SLACK * high)
    domain = feature.int_domain if is_whole else feature.float_domain
    convert = int if is_whole else _three_digits
    domain.min = max(convert(low), domain.min) if domain.HasField("min") else convert(low)
    domain.max = min(convert(high), domain.max) if domain.HasField("max") else convert(high)


def _three_digits(value: float) -> float:
    """Rounds for a person who reads the file."""
    return float(f"{value:.3g}")


def write_kept(path: str, schema: schema_pb2.Schema) -> None:
    """Writes a derived schema, for later runs and for a person."""
    body = text_format.MessageToString(schema)
    write_atomic(path, f"{_HEADER}{_DIGEST}{_digest(body)}\n{body}")


def read_kept(path: str) -> schema_pb2.Schema | None:
    """Reads the schema that a run folder keeps; None where there is none yet.

    Raises:
        UserError: it is no schema.
    """
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return parse(file.read(), path)


def parse(text: str, path: str) -> schema_pb2.Schema:
    """Parses a schema in protobuf's text format; `path` is for the message.

    Raises:
        UserError: it is no schema.
    """
    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise UserError(f"the schema {path} cannot be read: {error}") from error


def edited_fingerprint(path: str) -> str:
    """Returns a fingerprint of a kept schema that a person has edited or written, for the cache's key.

    It is "" for a file that is as a run wrote it, and where there is none: the first run derives what the
    second reads, and the second is to be served from the cache.
    """
    if not tf.io.gfile.exists(path):
        return ""
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    return "" if _is_as_written(text) else _digest(text)


def _is_as_written(text: str) -> bool:
    head, found, rest = text.partition(_DIGEST)
    digest, _, body = rest.partition("\n")
    return bool(found) and head == _HEADER and digest == _digest(body)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
