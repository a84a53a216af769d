"""Signals are remembered while a run is entered, and only then."""

import os
import signal
import threading

import pytest

from proganomaly.components.errors import Terminated
from proganomaly.components.trainer.interruption import Interruption, terminable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_remembered_a_second_one_interrupts(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.number == 0
        os.kill(os.getpid(), number)
        assert interruption.number == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_leaves_nothing_half_done_is_interrupted_at_once(number):
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt), interruption.at_once():
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert interruption.number == number
        with pytest.raises(KeyboardInterrupt), interruption.at_once():
            pytest.fail("the run was asked to stop before")


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_run_ends_as_it_was_asked_to(number, ending):
    Interruption.end(0)
    with pytest.raises(KeyboardInterrupt) as raised:
        Interruption.end(number)
    assert raised.type is ending


def test_sigterm_tidies_up():
    before = signal.getsignal(signal.SIGTERM)
    tidied = []
    with pytest.raises(Terminated), terminable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            tidied.append(True)
    assert tidied and signal.getsignal(signal.SIGTERM) is before


def test_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), Interruption():
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_of_the_main_thread_it_does_nothing():
    numbers = []

    def work():
        with Interruption() as interruption:
            numbers.append(interruption.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert numbers == [0]
