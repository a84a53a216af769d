"""Settings of PyramidTransform."""

import dataclasses

from proganomaly.components.errors import check_choice, check_range

ON_DATA_ANOMALIES = ("warn", "stop")


@dataclasses.dataclass(frozen=True)
class PyramidSettings:
    """How the pyramid is written.

    Attributes:
        on_data_anomalies: What happens when ExampleValidator found anomalies in the data's statistics: "warn"
            prints one line for each, "stop" ends the run.
        shard_mebibytes: Size of a file of the largest level, roughly. A shard is what one worker writes at a
            time, so there should be more of them than workers; memory does not hang on it.
    """

    on_data_anomalies: str = "warn"
    shard_mebibytes: int = 64

    def __post_init__(self) -> None:
        check_choice("on_data_anomalies", self.on_data_anomalies, ON_DATA_ANOMALIES)
        check_range("shard_mebibytes", self.shard_mebibytes, 1, 1024)
