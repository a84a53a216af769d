"""Parses a tf.Example that may be broken, as strictly as TensorFlow's graphs do."""

import warnings
from collections.abc import Mapping

import tensorflow as tf

# Protobuf warns where it stops in the middle, and returns what it has: here that is an error.
warnings.filterwarnings("ignore", "Unexpected end-group tag", RuntimeWarning)


def parse_features(serialized: bytes) -> Mapping[str, tf.train.Feature]:
    """Returns the features of a serialised tf.Example by name.

    Raises:
        ValueError: it is none.
    """
    example = tf.train.Example()
    try:
        parsed = example.ParseFromString(serialized)
    except Exception as error:  # protobuf's DecodeError has no public home that all versions share
        raise ValueError("it is no tf.Example") from error
    if parsed != len(serialized):
        raise ValueError("it is no tf.Example from its beginning to its end")
    return example.features.feature
