"""The formula for a step's operations against the nodes of the step's own graph."""

import math
import pathlib

import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import ExecutionSettings, LossSettings, TrainerSettings

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
WIDE = NetworkSettings(fmap_base=1024, fmap_max=64, latent_size=64)


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_train

    return bench_train


@pytest.fixture
def flops(bench):
    import flops

    return flops


def count(graph: tf.Graph) -> float:
    """Returns the operations of all convolutions and matrix products of a graph with static shapes.

    Gradients that nobody asks for are in the graph, but never run.
    """
    needed, waiting = set(), [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += [tensor.op for tensor in node.inputs] + list(node.control_inputs)
    total = 0.0
    for node in needed:
        shapes = [tensor.shape for tensor in node.inputs]
        if node.type == "Conv2D":
            grid, kernel = node.outputs[0].shape, shapes[1]
        elif node.type == "Conv2DBackpropInput":
            grid, kernel = shapes[2], shapes[1]
        elif node.type == "Conv2DBackpropFilter":
            grid, kernel = shapes[2], node.outputs[0].shape
        elif node.type == "MatMul":
            rows = math.prod(shapes[0]) * shapes[1][0 if node.get_attr("transpose_b") else 1]
            total += 2 * rows
            continue
        else:
            continue
        total += 2 * math.prod(kernel) * math.prod(grid[:3])
    return total


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("resolution", "alpha"), [(4, None), (16, None), (16, 0.5)])
def test_forward_passes(flops, resolution, alpha, fused):
    settings = NetworkSettings(fmap_base=64, fmap_max=16, latent_size=8, fused_scaling=fused)
    settings = settings.for_resolution(16)
    networks = build_networks(settings, ImageSpec(16, 3))
    images, latents = tf.TensorSpec([4, resolution, resolution, 3]), tf.TensorSpec([4, 8])

    def graph_of(network, argument, **kwargs):
        return tf.function(lambda x: network(x, alpha=alpha, **kwargs)).get_concrete_function(argument).graph

    arguments = settings, resolution, 3, alpha is not None
    for formula, graph in (
        (flops.generator_flops, graph_of(networks.generator, latents, resolution=resolution)),
        (flops.discriminator_flops, graph_of(networks.discriminator, images)),
        (flops.encoder_flops, graph_of(networks.encoder, images)),
    ):
        kernels = sum(
            2 * math.prod(node.inputs[0].shape) * node.inputs[1].shape[1]
            for node in graph.get_operations()
            # Products that filter kernels for fused scaling, whatever the batch.
            if node.type == "MatMul" and tuple(node.inputs[0].shape) == (16, 9)
        )
        assert count(graph) - kernels == 4 * formula(*arguments)


@pytest.mark.parametrize(
    ("losses", "with_encoder"),
    [
        ({}, False),
        ({"gradient_penalty": 0, "adversarial": "logistic", "r1": 10}, True),
        ({"shared_fakes": True, "concatenated": True}, True),
        ({"shared_fakes": True, "gradient_penalty": 0, "adversarial": "logistic"}, False),
    ],
)
def test_steps(bench, flops, losses, with_encoder):
    """Within 4 %: the first layer of a network needs no input gradient, kernels are filtered for scaling."""
    settings = TrainerSettings(
        networks=WIDE, execution=ExecutionSettings(mode="eager"), losses=LossSettings(**losses)
    )
    step = bench.build_step(
        bench.Case("", settings, with_encoder), ImageSpec(16, 3), Stage(16, True, 0, 1600, 16, 0.0)
    )
    batch = tf.TensorSpec([16, 16, 16, 3], tf.uint8), tf.TensorSpec([16], tf.int32)
    graph = tf.function(lambda *batch: step(batch, 0)).get_concrete_function(*batch).graph
    expected = 16 * flops.step_flops(WIDE, settings.losses, 16, 3, True, with_encoder)
    assert count(graph) == pytest.approx(expected, rel=0.04)


def test_a_karras_step_is_4_generators_and_14_discriminators(flops):
    assert flops.passes(LossSettings(), with_encoder=False) == flops.Passes(4, 14, 0)


def test_the_published_networks_cost_what_is_known(flops):
    """41 GFLOP per image at 16 pixels with 8192/512 maps, by a count made without this code."""
    published = NetworkSettings(fmap_base=8192, fmap_max=512, latent_size=512)
    assert flops.step_flops(published, LossSettings(), 16, 3, True, False) / 1e9 == pytest.approx(41, abs=0.5)
