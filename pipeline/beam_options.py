"""Checks the options of Beam's runner before a run, so that a mistake costs seconds and one line."""

import contextlib
import io
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import create_runner

from proganomaly.components.errors import SettingsError

_NAME = "beam_pipeline_args"
# Any of these keeps TFX from packing its own sources for every component.
_BRING_CODE = ("extra_packages", "setup_file", "requirements_file", "sdk_container_image")
_DATAFLOW = "DataflowRunner"


def check_beam_options(arguments: Sequence[str]) -> list[str]:
    """Returns the options as Beam receives them.

    Args:
        arguments: `--name=value` each, as Beam documents them; none runs on this machine.

    Raises:
        SettingsError: an option is not as Beam's runner wants it, or workers on other machines would lack
            this package.
    """
    printed = io.StringIO()
    try:
        # argparse prints what is wrong and ends the process.
        with contextlib.redirect_stderr(printed):
            options = PipelineOptions(list(arguments))
            known = options.get_all_options()
            runner = create_runner(known["runner"] or "DirectRunner")
    except SystemExit:
        reason = printed.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise SettingsError(f"{_NAME}: {reason}; received {' '.join(arguments)}") from None
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"{_NAME}: {str(error).splitlines()[0]}") from error
    errors = PipelineOptionsValidator(options, runner).validate()
    if errors:
        reason = " ".join(" ".join(errors).split())
        raise SettingsError(f"{_NAME}: {reason} Received {' '.join(arguments)}")
    if type(runner).__name__ == _DATAFLOW and not any(known[name] for name in _BRING_CODE):
        raise SettingsError(
            f"{_NAME}: Dataflow's workers need this package: add --sdk_container_image (see "
            f"docs/beam-runners.md); received {' '.join(arguments)}"
        )
    return list(arguments)
