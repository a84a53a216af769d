"""Keeps the libraries' start-up noise off the terminal; to be called before TensorFlow's first import.

Imports nothing but the standard library, so that `proganomaly --help` stays instant. Whatever the user's
environment already says is kept, except for Keras' backend: the networks are written for TensorFlow's.
"""

import os
import warnings

SILENCED = (FutureWarning, DeprecationWarning, UserWarning)

DEFAULTS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "NONE",
    # Inherited by the processes that TFX starts to package modules and Beam to work in parallel.
    "PYTHONWARNINGS": ",".join(f"ignore::{category.__name__}" for category in SILENCED),
}


def silence_libraries() -> None:
    """Sets the environment variables and warning filters of this process and of its children."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for category in SILENCED:
        warnings.filterwarnings("ignore", category=category)
