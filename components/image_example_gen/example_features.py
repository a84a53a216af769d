"""Finds the image in a tf.Example that was written elsewhere, or by this project.

Names of features are those that TensorFlow's model garden and object detection API, TensorFlow Datasets and
tutorials write.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from proganomaly.components.image_example_gen.layouts.words import LABELS
from proganomaly.components.records import image_example
from proganomaly.components.records.example import parse_features
from proganomaly.components.records.image_example import ANOMALOUS, GOOD, NORMAL

_IMAGES = ("image/encoded", "image", "image_raw", "encoded", "image_bytes", "image/image", "jpeg", "png")
_CLASS_TEXTS = ("image/class/text", "class_name", "label_name", "class/text")
_CLASSES = ("image/class/label", "label", "image/label", "class", "class/label")
_FILENAMES = ("image/filename", "filename", "file_name", "image/source_id")
_MASKS = ("mask", "image/mask", "mask/encoded", "image/segmentation/class/encoded")
# What every Example of this project has: its label says whether the image is normal, not of which class.
_OWN = (
    image_example.IMAGE,
    image_example.FILENAME,
    image_example.FORMAT,
    image_example.HEIGHT,
    image_example.CHANNELS,
)
_TOLD_FEATURES = 10


@dataclasses.dataclass(frozen=True)
class FoundImage:
    """What a tf.Example says of its image.

    Attributes:
        image: The encoded image.
        mask: The encoded mask, None without.
        filename: "" if it has none.
        label: 0 normal, 1 anomalous, None unknown.
        defect_type: "good" or the kind of defect; "" unknown.
    """

    image: bytes
    mask: bytes | None
    filename: str
    label: int | None
    defect_type: str


def find_image(serialized: bytes, normal_class: str) -> FoundImage:
    """Reads a tf.Example.

    Args:
        serialized: The tf.Example.
        normal_class: Number or name of the class that is normal, "" for all; Examples of this project say
            themselves what is normal.

    Raises:
        ValueError: it is no tf.Example, or has no image; the message is one line for the user.
    """
    features = parse_features(serialized)
    values = {name: value for name in sorted(features) if (value := _first(features[name])) is not None}
    image = next((values[name] for name in _IMAGES if isinstance(values.get(name), bytes)), None)
    if image is None:
        told = ", ".join(ascii(name)[1:-1] for name in sorted(features)[:_TOLD_FEATURES]) or "none"
        raise ValueError(
            f"the tf.Example has no encoded image in {', '.join(_IMAGES)}; its features are {told}"
        )
    if all(name in values for name in _OWN):
        label, defect_type = _own_label(values)
    else:
        label, defect_type = _class_label(values, normal_class)
    mask = next((values[name] for name in _MASKS if isinstance(values.get(name), bytes)), b"")
    return FoundImage(image, mask or None, _text(values, _FILENAMES), label, defect_type)


def _first(feature: Any) -> Any:
    """Returns the first value of a feature, None where it has none."""
    kind = feature.WhichOneof("kind")
    values: Sequence[Any] = getattr(feature, kind).value if kind else ()
    return values[0] if len(values) else None


def _text(values: dict[str, Any], names: tuple[str, ...]) -> str:
    """Returns the first of the features with such names as text, "" without any."""
    found = next((values[name] for name in names if name in values), "")
    return found.decode("utf-8", "backslashreplace") if isinstance(found, bytes) else str(found)


def _own_label(values: dict[str, Any]) -> tuple[int | None, str]:
    label = LABELS.get(_text(values, (image_example.LABEL,)))
    return label, _text(values, (image_example.DEFECT_TYPE,)) or (GOOD if label == NORMAL else "")


def _class_label(values: dict[str, Any], normal_class: str) -> tuple[int | None, str]:
    """Returns label and kind of defect by the class that an Example names, in words or as a number."""
    if not normal_class:
        return NORMAL, GOOD
    text, number = _text(values, _CLASS_TEXTS), _text(values, _CLASSES)
    if not text and not number:
        return None, ""
    if normal_class in (text, number):
        return NORMAL, GOOD
    return ANOMALOUS, f"class-{text or number}"
