"""The step compiled by XLA, with static shapes, against the graph; and how often a stage traces it."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import resolutions_up_to
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.step import ReplicaRandom, create_state, make_step
from proganomaly.components.trainer.updates import Updates

BATCH = 4


@pytest.fixture
def same_numbers(monkeypatch) -> None:
    """XLA draws other numbers than the graph from the same seed: here both get these, in every step."""

    def draw(distribution: str):
        def numbers(self, stream: int, shape: list[int]) -> tf.Tensor:
            random = np.random.default_rng(stream)
            return tf.constant(getattr(random, distribution)(size=[BATCH, *shape]), tf.float32)

        return numbers

    monkeypatch.setattr(ReplicaRandom, "normal", draw("normal"))
    monkeypatch.setattr(ReplicaRandom, "uniform", draw("uniform"))


def stage_of(resolution: int, fading: bool) -> Stage:
    return Stage(resolution, fading, start=0, end=64, batch_size=BATCH)


@pytest.fixture
def traced(monkeypatch) -> list[tuple]:
    """Grows by one whenever a step is traced."""
    traces: list[tuple] = []
    run = Updates.run
    monkeypatch.setattr(Updates, "run", lambda *args: traces.append(args) or run(*args))
    return traces


def run_steps(tiny, mode: str, stage: Stage, final: int, count: int, **changes) -> list[dict[str, float]]:
    """The statistics of steps in a row: from the second one on they show what the updates did."""
    settings = tiny.settings(execution={"mode": mode}, **changes)
    state = create_state(settings, ImageSpec(final, 1))
    step = make_step(state, settings, stage, tf.distribute.get_strategy())
    batch = (tf.constant(tiny.make_images(BATCH, stage.resolution)), tf.zeros([BATCH], tf.int32))
    results = [step(batch, images_seen) for images_seen in range(16, 16 + BATCH * count, BATCH)]
    return [{name: float(value) for name, value in result.items()} for result in results]


def check_xla_follows_the_graph(tiny, resolution: int, fading: bool, final: int, **losses) -> None:
    """What differs is the order of sums: float32 noise, of which Adam's first update makes whole steps.

    That update is the sign of a gradient, where it is nearly zero the sign of noise: the second step shows
    the updates, less exactly and without the norms of gradients (5 % apart at 512 pixels). Two things would
    make more of noise, and are left out: the encoder's default term, an absolute difference, by its gradient
    around 0 (1 % at 64 pixels), and blocks of 1 or 2 feature maps, which pixel norm turns into little more
    than signs.
    """
    stage = stage_of(resolution, fading)
    changes = {
        "networks": {"fmap_base": 4 * final},  # 8 maps at every resolution
        "losses": {"encoder": {"image_cycle": 0.0, "latent_cycle": 1.0}, **losses},
    }
    graph, compiled = (run_steps(tiny, mode, stage, final, 2, **changes) for mode in ("graph", "xla"))
    assert all(np.isfinite(value) for statistics in graph for value in statistics.values())
    assert compiled[0] == pytest.approx(graph[0], rel=1e-3, abs=1e-5)
    seconds = [
        {name: value for name, value in statistics[1].items() if not name.startswith("gradient_norm/")}
        for statistics in (compiled, graph)
    ]
    assert seconds[0] == pytest.approx(seconds[1], rel=1e-2, abs=1e-3)


@pytest.mark.option("execution.mode")
@pytest.mark.usefixtures("same_numbers")
@pytest.mark.parametrize("resolution, fading", [(4, False), (8, True)])
def test_the_compiled_step_gives_the_losses_of_the_graph(tiny, traced, resolution, fading):
    check_xla_follows_the_graph(tiny, resolution, fading, final=8)
    # Once in each mode, for two values of alpha.
    assert len(traced) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("same_numbers")
@pytest.mark.parametrize(
    "resolution, fading",
    [
        (size, fading)
        for size in resolutions_up_to(1024)
        for fading in (True, False)
        if size > 4 or not fading
    ],
)
def test_every_resolution_and_phase_compiles_and_follows_the_graph(tiny, resolution, fading):
    check_xla_follows_the_graph(tiny, resolution, fading, final=resolution)


@pytest.mark.slow
@pytest.mark.usefixtures("same_numbers")
@pytest.mark.parametrize(
    "losses",
    [
        {"adversarial": "logistic", "gradient_penalty": 0.0, "r1": 10.0, "penalty_interval": 2},
        {"shared_fakes": True, "concatenated": True},
        {"encoder": {"image_cycle": 0.0, "real_pixels": 1.0, "real_features": 1.0}},
    ],
    ids=["logistic, lazy R1", "shared fakes in one pass", "reconstructions of reals"],
)
def test_the_other_losses_compile_and_follow_the_graph(tiny, losses):
    check_xla_follows_the_graph(tiny, 8, True, final=8, **losses)


def test_a_stage_traces_its_step_once_for_each_variant(tiny, traced):
    """Alpha, decay and images seen go in as tensors; a Python number would trace anew at every step."""
    changes = {"losses": {"critic_steps": 2, "penalty_interval": 2}}
    results = run_steps(tiny, "graph", stage_of(4, False), 4, 6, **changes)
    assert len({result["loss/discriminator"] for result in results}) == 6
    assert len(traced) == 2
