"""Whether the network that was read computes what the file computes, by running the file.

The file may differ from the network by a multiple of what rounding changes (`sdpcert.readers.comparison`).

A file in half precision is compared twice: its weights in float32 as sharply as any other file, and as it stands with
the rounding of its own type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.network.graph import Network
from sdpcert.readers.comparison import effect_of_rounding, outputs_of
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.onnx.runtime import Runtime, widened

Array = np.ndarray
#: Standard deviations of each random input; normally distributed, large enough that activations saturate.
SCALES = (0.01, 0.1, 1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 100.0, 1000.0)
#: The same for batches of more than `FEW` samples; rounding is measured on so many of each.
SCALES_OF_BATCHES = (0.1, 1.0, 10.0, 100.0)
FEW = 4
#: How many times the measured effect of rounding is allowed.
ALLOWED = 40.0
#: Samples whose tolerance is a larger part of the output show nothing.
INFORMATIVE = 0.05


@dataclass(frozen=True)
class Precision:
    """A float type that files compute in: its number in TensorProto.DataType, its name and its unit roundoff."""

    number: int
    name: str
    unit: float
    tiny: float

    @property
    def is_half(self) -> bool:
        """Whether it has 16 bits."""
        return self.number in (10, 16)

    def dtype(self) -> Any:
        """NumPy's type; raises ImportError if it is bfloat16 and the package ml_dtypes is missing."""
        if self.name != "bfloat16":
            return np.dtype(self.name)
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)


PRECISIONS = {
    1: Precision(1, "float32", 2.0**-24, 2.0**-126),
    10: Precision(10, "float16", 2.0**-11, 2.0**-14),
    11: Precision(11, "float64", 2.0**-53, 2.0**-1022),
    16: Precision(16, "bfloat16", 2.0**-8, 2.0**-126),
}


def verify(network: Network, model: Any, shape: tuple[int, ...], precision: Precision, batch: int = 1) -> str:
    """Compare with the file on seeded random inputs and say how in one line; raises ValueError if they differ.

    `model` holds the nodes that were read, `shape` is the input's shape in the file, `precision` its type; `batch`
    samples of that shape go through the network one by one.
    """
    if not precision.is_half:
        return _compare(network, Runtime(model), shape, precision, batch, sharp=True)
    line = _compare(network, Runtime(widened(model)), shape, PRECISIONS[1], batch, sharp=True)
    try:
        return f"in float32: {line}; in {precision.name}: " + _compare(
            network, Runtime(model), shape, precision, batch, sharp=False
        )
    except ImportError:
        raise UnsupportedModel(
            "running a file in bfloat16 needs the package ml_dtypes: pip install ml_dtypes"
        ) from None


def _compare(
    network: Network, run: Runtime, shape: tuple[int, ...], precision: Precision, batch: int, sharp: bool
) -> str:
    generator = np.random.default_rng(20240531)
    scales = SCALES if batch <= FEW else SCALES_OF_BATCHES
    dtype, unit = precision.dtype(), precision.unit
    with np.errstate(all="ignore"):
        inputs = np.stack([(generator.standard_normal(shape) * s).astype(dtype) for s in scales])
        theirs = np.stack([run(x).ravel() for x in inputs])
        samples = inputs.astype(float).reshape(len(inputs) * batch, *network.input_shape)
        ours = outputs_of(network, samples).reshape(len(inputs), -1)
        if ours.shape != theirs.shape:
            raise ValueError(f"{run.name} gives {theirs.shape[1]} outputs, the network that was read {ours.shape[1]}")
        finite = np.isfinite(theirs).all(axis=1) & np.isfinite(ours).all(axis=1)
        if finite.sum() < (4 if sharp else 1):
            raise ValueError(f"{run.name} overflows on random inputs, so what was read cannot be checked")
        ours, theirs = ours[finite], theirs[finite]
        few = min(batch, FEW)
        samples = samples.reshape(len(inputs), batch, *network.input_shape)[finite, :few]
        samples = samples.reshape(-1, *network.input_shape)
        unmoved = ours.reshape(len(ours), batch, -1)[:, :few].reshape(len(ours), -1)
        noise = effect_of_rounding(network, samples, unmoved, unit, generator)
    size = np.max(np.abs(ours), axis=1, initial=0.0)
    tolerance = ALLOWED * noise + 8 * unit * size + precision.tiny
    deviation = np.max(np.abs(ours - theirs), axis=1, initial=0.0)
    worst = int(np.argmax(deviation / tolerance))
    if not deviation[worst] <= tolerance[worst]:
        raise ValueError(
            f"the network that was read does not compute what the file computes: {run.name} differs by "
            f"{deviation[worst]:.2g} on an output of size {size[worst]:.2g}, "
            f"where rounding explains {tolerance[worst]:.2g}"
        )
    informative = (tolerance <= INFORMATIVE * size + precision.tiny) | (deviation == 0)
    if not informative.any():
        if sharp:
            raise ValueError(f"the outputs of {run.name} are rounding errors only, so what was read cannot be checked")
        informative[:] = True
    largest = float(np.max(deviation[informative] / np.maximum(size[informative], np.finfo(float).tiny), initial=0.0))
    return f"{run.name}, {int(informative.sum())} random inputs, largest deviation {largest:.2g} of the output"
