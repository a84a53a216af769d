"""CPU time of functions on a shared machine, and what the machine can do at best."""

import os
import resource
import time
from collections.abc import Callable

import tensorflow as tf

Action = Callable[[], object]


def use_one_thread() -> None:
    """Makes TensorFlow compute with one thread; call it before the first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def cpu_seconds(action: Action) -> float:
    """Returns the CPU seconds of all threads of this process during one call."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def interleaved(actions: dict[str, Action], rounds: int, seconds: float) -> dict[str, float]:
    """Returns the least CPU seconds of one call of each action, by name.

    The actions take turns, so that a busy machine slows all of them alike.

    Args:
        actions: What to call.
        rounds: Turns of each action.
        seconds: CPU seconds of a turn, at least one call.
    """
    for action in actions.values():
        action()
    calls = {name: max(1, int(seconds / cpu_seconds(action))) for name, action in actions.items()}
    least = dict.fromkeys(actions, float("inf"))
    for _ in range(rounds):
        for name, action in actions.items():
            begin = time.process_time()
            for _ in range(calls[name]):
                action()
            least[name] = min(least[name], (time.process_time() - begin) / calls[name])
    return least


def ceilings(batch: int, channels: int, resolution: int, gemm_side: int) -> dict[str, tuple[Action, float]]:
    """Returns (action, its floating-point operations) by name: what the hardware is measured with.

    Products of two square matrices in both precisions, and a 3x3 convolution of `channels` to `channels` maps
    in float32 with its two gradients.
    """
    shape, kernel_shape = [batch, resolution, resolution, channels], [3, 3, channels, channels]
    maps, kernel = tf.random.normal(shape), tf.random.normal(kernel_shape)
    matrix = tf.random.normal([gemm_side, gemm_side])
    rounded = tf.cast(matrix, tf.bfloat16)
    gradients = tf.raw_ops.Conv2DBackpropInput, tf.raw_ops.Conv2DBackpropFilter
    same = {"strides": [1, 1, 1, 1], "padding": "SAME"}
    gemm_flops = 2.0 * gemm_side**3
    conv_flops = 2.0 * 9 * channels**2 * batch * resolution**2
    return {
        "gemm_float32": (_compiled(tf.matmul, matrix, matrix), gemm_flops),
        "gemm_bfloat16": (_compiled(tf.matmul, rounded, rounded), gemm_flops),
        "conv_forward": (_compiled(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), maps, kernel), conv_flops),
        "conv_input_gradient": (
            _compiled(
                lambda y, w: gradients[0](input_sizes=shape, filter=w, out_backprop=y, **same), maps, kernel
            ),
            conv_flops,
        ),
        "conv_filter_gradient": (
            _compiled(
                lambda x, y: gradients[1](input=x, filter_sizes=kernel_shape, out_backprop=y, **same),
                maps,
                maps,
            ),
            conv_flops,
        ),
    }


def resident_megabytes() -> float:
    """Returns the memory that this process holds now; its peak where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def processor_name() -> str:
    """Returns the processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown"


def _compiled(function: Callable[..., tf.Tensor], *arguments: tf.Tensor) -> Action:
    concrete = tf.function(function, autograph=False).get_concrete_function(*arguments)
    return lambda: concrete(*arguments)
