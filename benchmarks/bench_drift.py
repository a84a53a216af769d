"""How often the drift detector sees a lamp that changed, and how often it alarms where nothing did.

Run it from the repository's root: `python benchmarks/bench_drift.py`; see docs/data-validation.md.
"""

import argparse

import numpy as np
import skimage.data
from rich.console import Console
from rich.table import Table

from proganomaly.components.data_validation.drift import detect
from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.images.features import measure
from proganomaly.components.images.near_identical import thumbnail, to_text
from proganomaly.components.records.image_index import IndexEntry

SIDE, REFERENCE, OLD, NEW = 64, 300, 1, 2
SIZES, LAMPS = (20, 60, 300), (0.8, 0.9, 1.1, 1.2)
# Each image has a light of its own, as under a window; its logarithm's standard deviation.
LIGHT_SD = 0.05


def entries(
    count: int, span: int, random: np.random.Generator, lamp: float = 1.0, light_sd: float = LIGHT_SD
) -> list[IndexEntry]:
    """Returns what ingestion notes of random crops of scikit-image's brick, their light times `lamp`."""
    photograph, found = skimage.data.brick(), []
    for number in range(count):
        top, left = random.integers(0, len(photograph) - SIDE, 2)
        lit = photograph[top : top + SIDE, left : left + SIDE] * lamp * np.exp(random.normal(0, light_sd))
        pixels = np.clip(np.rint(lit), 0, 255).astype(np.uint8)[:, :, None]
        features = measure(pixels)
        found.append(
            IndexEntry(
                path=f"{span}/{number}.png",
                span=span,
                split="train",
                label=0,
                defect_type="good",
                group="",
                format="png",
                height=SIDE,
                width=SIDE,
                channels=1,
                brightness=features.brightness,
                contrast=features.contrast,
                sharpness=features.sharpness,
                digest=f"{span} {number}",
                thumbnail=to_text(thumbnail(pixels)),
            )
        )
    return found


def main() -> None:
    """Draws spans, compares each with a reference of its own, and prints how many alarmed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--draws", type=int, default=200, help="spans for each row (200)")
    parser.add_argument("--light-sd", type=float, default=LIGHT_SD, help=f"spread of the light ({LIGHT_SD})")
    options = parser.parse_args()
    settings = DriftSettings()
    table = Table(
        title=f"Spans with an alarm, of {options.draws}, at a stated {settings.false_alarm_rate:.0%}"
    )
    for name in ("new images", "unchanged", *(f"light x {lamp}" for lamp in LAMPS)):
        table.add_column(name)
    for size in SIZES:
        alarms = dict.fromkeys((1.0, *LAMPS), 0)
        for draw in range(options.draws):
            random = np.random.default_rng([size, draw])
            reference = entries(REFERENCE, OLD, random, light_sd=options.light_sd)
            for lamp in alarms:
                new = entries(size, NEW, random, lamp, options.light_sd)
                alarms[lamp] += bool(detect(reference + new, [], {}, NEW, settings).alarming)
        table.add_row(str(size), *(str(number) for number in alarms.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
