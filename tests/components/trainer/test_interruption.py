"""Signals are remembered while a run is entered, and only then."""

import os
import signal
import threading

import pytest

from proganomaly.components.trainer.interruption import Interruption


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
