"""The words that data sets use for splits and labels."""

import re

from proganomaly.components.image_example_gen.listing import CALIBRATION, TEST, TRAIN
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL

CALIBRATION_FOLDERS = ("calibration", "validation", "valid", "val")
SPLITS = {
    "train": TRAIN,
    "training": TRAIN,
    **dict.fromkeys(CALIBRATION_FOLDERS, CALIBRATION),
    "test": TEST,
    "testing": TEST,
    "eval": TEST,
}
LABELS = {
    **dict.fromkeys(("0", "normal", "good", "ok"), NORMAL),
    **dict.fromkeys(("1", "anomalous", "anomaly", "defect", "defective", "bad", "ng", "ko"), ANOMALOUS),
    **dict.fromkeys(("", "-1", "unknown"), None),
}
_SPLIT_FOLDER = re.compile(r"(split-)?(?P<split>[a-z]+)", re.IGNORECASE)


def split_of_folder(name: str) -> str | None:
    """Returns the split that a folder's name means, such as `Split-train` or `val`; None for no split."""
    match = _SPLIT_FOLDER.fullmatch(name)
    return SPLITS.get(match["split"].lower()) if match else None


def split_of_file(name: str) -> str | None:
    """Returns the split that a shard's name holds, as in `mnist-train.tfrecord-00000-of-00001`."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)
