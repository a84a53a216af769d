"""The compatibility form of `proganomaly train`: short options and dictionaries by image size.

`train -d FOLDER -B "{'4': '128', '8': '64'}" -E "{'4': 10}" -f 5000` means what it meant to a forerunner of
this project. Words are translated into our dotted options before they are parsed; what only the images can
tell (how many are in an epoch, which sizes are there, how many channels they have) is settled once their
folder has been read.
"""

import argparse
import ast
import dataclasses
from collections.abc import Iterable
from typing import Any, NoReturn

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.images.spec import RESOLUTIONS
from proganomaly.components.trainer.settings import TrainerSettings

DEFAULT_OUTPUT = "runs/train"
HELP = (
    "A compatibility form is understood too, alone or mixed with the options below: -d/--data_input_dir "
    f"FOLDER in place of the folder (--output is then {DEFAULT_OUTPUT} unless given), "
    "-p/--tf_record_prefix and -x/--tf_record_suffix (what stands before and behind a file name's two "
    "digits), -s/--min_image_size and -S/--max_image_size (sizes above it are left out), "
    "-B/--batch_size_dict, -E/--epoch_size_dict and -L/--latent_size_dict (batch size, passes over the "
    "images and feature maps by image size, as in \"{'4': '128', '8': '64'}\"), -f/--fade_num (images that "
    "fade in at each size, part of its epochs), -e/--encoder_dim (latent size), -l/--learning_rate, "
    "-c/--channels (checked against the images), -i/--image_num (images in a row of samples), "
    "-C/--checkpoint_name (prefix) and -V/--verbose."
)

_EXAMPLE = "\"{'4': '128', '8': '64'}\""
# Long name -> (short name, our option); without one it is not ours to set by a word.
_OPTIONS = {
    "data_input_dir": ("d", ""),
    "batch_size_dict": ("B", "--trainer.schedule.batch_sizes"),
    "epoch_size_dict": ("E", ""),
    "latent_size_dict": ("L", "--trainer.networks.feature_maps_at"),
    "min_image_size": ("s", "--trainer.schedule.initial_resolution"),
    "max_image_size": ("S", ""),
    "tf_record_prefix": ("p", "--prefix"),
    "tf_record_suffix": ("x", "--suffix"),
    "encoder_dim": ("e", "--trainer.networks.latent_size"),
    "learning_rate": ("l", "--trainer.optimizer.learning_rate"),
    "channels": ("c", ""),
    "image_num": ("i", "--trainer.logging.samples"),
    "fade_num": ("f", ""),
    "checkpoint_name": ("C", "--trainer.checkpoints.prefix"),
    "verbose": ("V", "--trainer.logging.verbosity"),
}
_DICTIONARIES = ("batch_size_dict", "epoch_size_dict", "latent_size_dict")
_NUMBERS = ("fade_num", "max_image_size", "channels")


@dataclasses.dataclass(frozen=True)
class SeedForm:
    """What the compatibility form asks for that only the images can settle.

    Attributes:
        epochs: Passes over the images by resolution; the fade-in is part of them.
        fading: Images that fade in at each resolution, or None for what the settings say.
        largest: Resolutions above it are left out, or None.
        channels: What the images must have, or None.
    """

    epochs: dict[int, int] = dataclasses.field(default_factory=dict)
    fading: int | None = None
    largest: int | None = None
    channels: int | None = None

    def final_resolution(self, resolutions: Iterable[int]) -> int:
        """Returns the largest of the resolutions that are there and not above the limit.

        Raises:
            UserError: all are above it.
        """
        resolutions = list(resolutions)
        kept = [resolution for resolution in resolutions if resolution <= (self.largest or resolution)]
        if not kept:
            raise UserError(
                f"--max_image_size must be at least {min(resolutions)}, the smallest size that is there; "
                f"received {self.largest}"
            )
        return max(kept)

    def settings(self, settings: TrainerSettings, images: int, channels: int) -> TrainerSettings:
        """Returns the settings with the lengths of all phases as numbers of images.

        A resolution of `epochs * images` images begins with its fade-in, or is all fade-in where that is
        longer; the rest is trained at full weight. The first resolution has nothing to fade.

        Args:
            settings: As parsed.
            images: Training images.
            channels: Channels that the images have.

        Raises:
            UserError: the images have other channels than were asked for.
        """
        if self.channels not in (None, channels):
            raise UserError(f"--channels must be {channels}, as the images have; received {self.channels}")
        if self.fading is None and not self.epochs:
            return settings
        schedule = settings.schedule
        unit = images if schedule.unit == "epochs" else 1
        default = schedule.fading_images * unit if self.fading is None else self.fading
        fading = {size: length * unit for size, length in schedule.fading_images_at.items()}
        stable = {size: length * unit for size, length in schedule.stable_images_at.items()}
        for size, epochs in self.epochs.items():
            length = epochs * images
            first = size == schedule.initial_resolution
            fading[size] = 0 if first else min(fading.get(size, default), length)
            stable[size] = length - fading[size]
        in_images = dataclasses.replace(
            schedule,
            unit="images",
            fading_images=default,
            stable_images=schedule.stable_images * unit,
            final_images=schedule.final_images * unit,
            fading_images_at=fading,
            stable_images_at=stable,
        )
        return dataclasses.replace(settings, schedule=in_images)


def translated(words: list[str]) -> tuple[list[str], SeedForm]:
    """Returns the words with our options in place of the compatibility form's, and what is left of that.

    Args:
        words: What follows `proganomaly train`, in either form or both.

    Raises:
        UserError: a dictionary or a number is none.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name, (letter, _) in _OPTIONS.items():
        parser.add_argument(f"-{letter}", f"--{name}")
    options, rest = parser.parse_known_args(words)
    given: dict[str, Any] = {name: text for name, text in vars(options).items() if text is not None}
    for name in _DICTIONARIES:
        if name in given:
            given[name] = _by_resolution(name, given[name])
    for name in _NUMBERS:
        if name in given:
            given[name] = _whole_number(f"--{name}", given[name])
    if "tf_record_prefix" in given:
        given["tf_record_prefix"] = _before_the_r(given["tf_record_prefix"])
    for name, (_, ours) in _OPTIONS.items():
        if ours and name in given:
            rest.append(f"{ours}={given[name]}")
    if "data_input_dir" in given:
        # The default stands first, so that a file of options or a later word wins.
        rest = [given["data_input_dir"], f"--output={DEFAULT_OUTPUT}", *rest]
    epochs, numbers = given.get("epoch_size_dict", {}), (given.get(name) for name in _NUMBERS)
    return rest, SeedForm(epochs, *numbers)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def _by_resolution(name: str, text: str) -> dict[int, int]:
    """Parses a dictionary written in Python or JSON, its keys and values numbers or texts of numbers."""
    try:
        values = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise SettingsError(f"--{name} must be a dictionary such as {_EXAMPLE}; received {text}")
    found = {}
    for key, value in values.items():
        size = _whole_number(f"an image size in --{name}", key)
        if size not in RESOLUTIONS:
            sizes = f"{RESOLUTIONS[0]} to {RESOLUTIONS[-1]}"
            raise SettingsError(
                f"an image size in --{name} must be a power of two from {sizes}; received {key}"
            )
        found[size] = _whole_number(f"--{name}[{size}]", value)
    return found


def _whole_number(name: str, value: object) -> int:
    if isinstance(value, int | str) and str(value).strip().isdecimal():
        return int(value)
    raise SettingsError(f"{name} must be a whole number; received {value!r}")


def _before_the_r(prefix: str) -> str:
    """Returns what stands before `rNN`, given what stands before the digits."""
    if not prefix.endswith("r"):
        raise SettingsError(f"--tf_record_prefix must end with r, as in train_data-r; received {prefix}")
    return prefix[:-1]
