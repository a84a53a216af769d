"""What a user can set of the drift detector."""

import dataclasses

from proganomaly.components.errors import check_choice, check_range

ON_DRIFT = ("warn", "stop", "ignore")


@dataclasses.dataclass(frozen=True)
class DriftThresholds:
    """Least Jensen-Shannon divergence of an alarm, from 0 (equal) to 1 (nothing in common).

    Chance can demand more of a small batch, never less.

    Attributes:
        brightness: Of the mean.
        contrast: Of the standard deviation.
        sharpness: Of the strength of edges.
        height: Of the height in pixels.
        width: Of the width in pixels.
        channels: Of the number of channels.
        format: Of the file format.
        near_identical: Of the share of images that have a near-identical one.
    """

    brightness: float = 0.05
    contrast: float = 0.05
    sharpness: float = 0.05
    height: float = 0.05
    width: float = 0.05
    channels: float = 0.05
    format: float = 0.05
    near_identical: float = 0.05

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            check_range(f"drift.thresholds.{name}", value, 0, 1)


@dataclasses.dataclass(frozen=True)
class DriftSettings:
    """When a new span differs too much from those before it, and what happens then.

    Attributes:
        on_drift: "warn" prints one line per alarm, "stop" ends the run before the pyramid is written,
            "ignore" leaves alarms to the report.
        false_alarm_rate: Share of spans, drawn from the same images as the reference, that raise any alarm,
            at most.
        thresholds: How large a difference must be to matter.
        near_identical: Root mean square difference of two images' thumbnails, in grey levels of 255, up to
            which they are near-identical.
        acknowledged: Spans whose alarms are known and accepted: told, but not counted.
        report_images: New images, and as many of the reference, that the report shows beside an alarm.
    """

    on_drift: str = "warn"
    false_alarm_rate: float = 0.01
    thresholds: DriftThresholds = dataclasses.field(default_factory=DriftThresholds)
    near_identical: float = 2.0
    acknowledged: tuple[int, ...] = ()
    report_images: int = 6

    def __post_init__(self) -> None:
        check_choice("on_drift", self.on_drift, ON_DRIFT)
        check_range("false_alarm_rate", self.false_alarm_rate, 0.001, 0.5)
        check_range("near_identical", self.near_identical, 0, 255)
        check_range("report_images", self.report_images, 0, 100)
