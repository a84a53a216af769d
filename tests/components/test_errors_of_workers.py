"""What a user can mend is told in one line, whichever process found it."""

import apache_beam as beam
import pytest

from proganomaly.components.errors import SettingsError, UserError, errors_of_workers
from proganomaly.components.records.tfrecord_file import DamagedRecords


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error", [UserError("a: b [c]"), SettingsError("x must be 1"), DamagedRecords("path", 3, "why (how)")]
)
def test_a_users_mistake_leaves_a_worker_as_one_line(error):
    with pytest.raises(UserError) as raised, errors_of_workers(), beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create([error]) | "Step [a]" >> beam.Map(_raise)
    assert str(raised.value) == str(error)


@pytest.mark.parametrize("error", [ValueError("no UserError: of ours"), RuntimeError("x")])
def test_our_mistakes_keep_their_traceback(error):
    with (
        pytest.raises(Exception, match=str(error)) as raised,
        errors_of_workers(),
        beam.Pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create([error]) | beam.Map(_raise)
    assert not isinstance(raised.value, UserError)


def test_a_users_mistake_arrives_from_another_process_as_the_text_of_a_traceback():
    lines = "Traceback (most recent call last):", "  File x", f"{__name__}.Not: a"
    told = (
        "proganomaly.components.records.tfrecord_file.DamagedRecords: why [here] [while running 'A [b]-12']"
    )
    with pytest.raises(UserError) as raised, errors_of_workers():
        raise RuntimeError("\n".join((*lines, told, "", "more")))
    assert str(raised.value) == "why [here]"


def test_an_error_that_is_one_already_stays_itself():
    error = DamagedRecords("path", 3, "why")
    with pytest.raises(DamagedRecords) as raised, errors_of_workers():
        raise error
    assert raised.value is error
