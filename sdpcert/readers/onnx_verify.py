"""Whether the network that was read computes what the file computes, by running the file.

The file runs in float32, the network in float64, so they differ by rounding, and by how much depends on the network.
The tolerance is measured: the network is evaluated again with random errors of the size that float32 makes in each
layer, and the file may be off by a multiple of what that changes. So a deep chain whose outputs hardly move is still
compared sharply, and one that amplifies rounding is not refused for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Concat, Rearrange
from sdpcert.network.graph import Network
from sdpcert.readers.errors import first_line

Array = np.ndarray
#: Standard deviations of each random input; normal, both signs, up to where activations saturate.
SCALES = (0.01, 0.1, 1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 100.0, 1000.0)
#: How many times the measured effect of rounding is allowed.
ALLOWED = 40.0
#: Samples whose tolerance is a larger part of the output show nothing.
INFORMATIVE = 0.05
_PIECEWISE = ("relu", "leaky_relu", "abs", "clip")


def verify(network: Network, model: Any, shape: tuple[int, ...], double: bool) -> str:
    """Compare with the file on seeded random inputs and say how in one line; ValueError where they differ.

    `model` holds the nodes that were read, `shape` is the input's shape in the file, `double` says that it is float64.
    """
    name, run = _runtime(model)
    generator = np.random.default_rng(20240531)
    dtype = np.float64 if double else np.float32
    inputs = np.stack([(generator.standard_normal(shape) * s).astype(dtype) for s in SCALES])
    with np.errstate(all="ignore"):
        try:
            theirs = np.stack([np.asarray(run(x), dtype=float).ravel() for x in inputs])
        except Exception as error:
            raise ValueError(f"{name} cannot run the file: {first_line(error)}") from None
        batch = inputs.astype(float).reshape(len(inputs), *network.input_shape)
        ours = _in_parts(network, batch, network)
        if ours.shape != theirs.shape:
            raise ValueError(f"{name} gives {theirs.shape[1]} outputs, the network that was read {ours.shape[1]}")
        finite = np.isfinite(theirs).all(axis=1) & np.isfinite(ours).all(axis=1)
        if finite.sum() < 4:
            raise ValueError(f"{name} overflows on random inputs, so what was read cannot be checked")
        batch, ours, theirs = batch[finite], ours[finite], theirs[finite]
        unit = 2.0**-53 if double else 2.0**-24

        def with_errors(part: Array) -> Array:
            return perturbed(network, part, unit, generator)

        spread = [_in_parts(network, batch, with_errors) - ours for _ in range(4)]
    size = np.max(np.abs(ours), axis=1, initial=0.0)
    noise = np.sqrt(np.mean(np.square(spread), axis=(0, 2)))
    tolerance = ALLOWED * noise + 8 * unit * size + np.finfo(dtype).tiny
    deviation = np.max(np.abs(ours - theirs), axis=1, initial=0.0)
    worst = int(np.argmax(deviation / tolerance))
    if not deviation[worst] <= tolerance[worst]:
        raise ValueError(
            f"the network that was read does not compute what the file computes: {name} differs by "
            f"{deviation[worst]:.2g} on an output of size {size[worst]:.2g}, "
            f"where rounding explains {tolerance[worst]:.2g}"
        )
    informative = (tolerance <= INFORMATIVE * size + np.finfo(dtype).tiny) | (deviation == 0)
    if not informative.any():
        raise ValueError(f"the outputs of {name} are rounding errors only, so what was read cannot be checked")
    largest = float(np.max(deviation[informative] / np.maximum(size[informative], np.finfo(float).tiny), initial=0.0))
    return f"{name}, {int(informative.sum())} random inputs, largest deviation {largest:.2g} of the output"


def _in_parts(network: Network, inputs: Array, function: Callable[[Array], Array]) -> Array:
    """Evaluate on a batch in parts whose intermediate values take at most some 200 MB where one sample allows it."""
    entries = sum(math.prod(node.shape) for node in network.nodes) or 1
    step = max(1, 25_000_000 // entries)
    parts = [function(inputs[k : k + step]) for k in range(0, len(inputs), step)]
    return np.concatenate(parts).reshape(len(inputs), -1)


def perturbed(network: Network, inputs: Array, unit: float, generator: np.random.Generator) -> Array:
    """The output with errors of the given unit roundoff made in every layer, at random and independent."""
    values = [inputs]
    for node in network.nodes:
        given = [values[k] for k in node.inputs]
        value = node.layer(*given)
        if isinstance(node.layer, Activation):
            size = np.abs(value)
            if node.layer.name not in _PIECEWISE:  # runtimes approximate these to some units, relative to 1 near 0
                size = 8 * (size + np.minimum(np.abs(given[0]), 1.0))
        elif isinstance(node.layer, Rearrange | Concat):
            values.append(value)
            continue
        else:
            size = _size(node.layer, given)
        values.append(value + unit * size * generator.standard_normal(value.shape))
    return values[network.output]


def _size(layer: AffineLayer, given: list[Array]) -> Array:
    total = layer.magnitude(*map(np.abs, given)) + np.abs(layer.offset())
    return np.sqrt(layer.terms + 2) * total


def _runtime(model: Any) -> tuple[str, Callable[[Array], Array]]:
    """A name and a function of the input: ONNX Runtime, or ONNX's reference where that is absent or refuses it."""
    name, output = model.graph.input[0].name, model.graph.output[0].name
    reason = "onnxruntime is not installed"
    try:
        import onnxruntime
    except ImportError:
        pass
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception:  # the runtime raises classes of its own
            reason = "onnxruntime refuses the file"
        else:
            return (
                f"onnxruntime {onnxruntime.__version__}",
                lambda x: np.asarray(session.run([output], {name: x})[0]),
            )
    from onnx import __version__
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(model)
    except Exception as error:
        raise ValueError(
            f"neither runtime takes the file, so what was read cannot be checked: {first_line(error)}"
        ) from None

    def run(x: Array) -> Array:
        return np.asarray(evaluator.run([output], {name: x})[0])  # type: ignore[index]

    return f"onnx.reference {__version__} ({reason})", run
