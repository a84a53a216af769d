"""The way to a TPU, over fakes that note who was called with what; no TPU has been part of any test."""

import socket

import pytest
import tensorflow as tf

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.trainer import distribution
from proganomaly.components.trainer.distribution import create_strategy
from proganomaly.components.trainer.settings import ExecutionSettings


@pytest.fixture(autouse=True)
def forget_strategies():
    distribution._tpu_strategy.cache_clear()
    yield
    distribution._tpu_strategy.cache_clear()


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """What is called on the way to a TPU, in order."""
    noted = []

    def resolver(**arguments):
        noted.append(("resolver", arguments))
        return "the resolver"

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", resolver)
    monkeypatch.setattr(
        tf.config, "experimental_connect_to_cluster", lambda to: noted.append(("connect", to))
    )
    monkeypatch.setattr(
        tf.tpu.experimental, "initialize_tpu_system", lambda of: noted.append(("initialize", of))
    )
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda on: noted.append(("strategy", on)) or object())
    return noted


@pytest.mark.option("execution.tpu_address", "execution.tpu_zone", "execution.tpu_project")
@pytest.mark.parametrize(
    "settings, arguments",
    [
        ({}, {"tpu": "local", "zone": None, "project": None}),
        (
            {"tpu_address": "tpu-7", "tpu_zone": "us-central1-b", "tpu_project": "textures"},
            {"tpu": "tpu-7", "zone": "us-central1-b", "project": "textures"},
        ),
    ],
)
def test_a_tpu_is_resolved_connected_to_and_initialized_once(calls, settings, arguments):
    execution = ExecutionSettings(strategy="tpu", **settings)
    strategy = create_strategy(execution)
    expected = [
        ("resolver", arguments),
        ("connect", "the resolver"),
        ("initialize", "the resolver"),
        ("strategy", "the resolver"),
    ]
    assert calls == expected
    # To initialize a TPU again would empty its memory.
    assert create_strategy(execution) is strategy
    assert calls == expected


def test_an_address_that_listens_goes_to_the_resolver(calls):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"grpc://127.0.0.1:{server.getsockname()[1]}"
        create_strategy(ExecutionSettings(strategy="tpu", tpu_address=address))
    assert calls[0] == ("resolver", {"tpu": address, "zone": None, "project": None})


@pytest.mark.option("execution.strategy")
def test_a_machine_without_a_tpu_is_told_so_in_one_line():
    with pytest.raises(UserError, match=r"^strategy tpu finds no TPU in this machine: \S") as caught:
        create_strategy(ExecutionSettings(strategy="tpu"))
    assert "\n" not in str(caught.value)


def test_a_dead_address_is_told_in_one_line_rather_than_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    place = f"grpc://127.0.0.1:{port}"
    with pytest.raises(UserError, match=f"^strategy tpu finds no TPU at {place}: .*refused$"):
        create_strategy(ExecutionSettings(strategy="tpu", tpu_address=place))
    with pytest.raises(UserError, match=r"an address is grpc://HOST:PORT$"):
        create_strategy(ExecutionSettings(strategy="tpu", tpu_address="grpc://tpu"))


def test_a_tpu_computes_no_step_eagerly():
    with pytest.raises(
        SettingsError, match=r"^mode must be graph or xla with strategy tpu; received 'eager'$"
    ):
        ExecutionSettings(strategy="tpu", mode="eager")
