"""What is asked of `radii`: every argument, checked."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np

from sdpcert.certify.choice import as_network
from sdpcert.network.differences import with_differences
from sdpcert.network.graph import Network
from sdpcert.regions.region import Box
from sdpcert.robustness.attack import Settings
from sdpcert.robustness.needed import Errors
from sdpcert.robustness.normalisation import Normalisation
from sdpcert.robustness.regions_of_radii import Norm
from sdpcert.robustness.statement import Statement
from sdpcert.running import arguments, executors
from sdpcert.running.choices import ON_INTERRUPT, Level
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
NORMS: tuple[Norm, ...] = get_args(Norm)
LEVELS: tuple[Level, ...] = get_args(Level)
#: Radii of the rows unless others are asked for, by norm.
RADII = {"l2": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0), "linf": (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255)}
#: Most classes: the differences of all pairs are neurons.
MOST_CLASSES = 1000


@dataclass(frozen=True, eq=False)
class Request(ShortRepr):
    """The arguments of `radii`, as its docstring has them; those of a `Request` that exists are good.

    `network` is the model preceded by the `normalisation`; `inputs` are float64 (n, inputs), `labels` int64 (n,).
    `radii` are those of the table; they are also those that are `tried`, unless nobody asked for any.
    """

    model: Network
    network: Network
    inputs: Array
    labels: Array
    norm: Norm
    within: Box | None
    radii: tuple[float, ...]
    tried: tuple[float, ...] | None
    normalisation: Normalisation | None
    level: Level
    time_limit: float
    nodes: int | None
    attack: Settings | None
    constants: bool | None
    executor: Executor
    seed: int
    progress: bool
    returns: bool

    @cached_property
    def statement(self) -> Statement:
        """What the file is about.

        Raises ValueError, naming the layer, where float32 evaluation has no bound.
        """
        errors = None
        if self.level == "F":
            errors = Errors.of(self.model, self.network, self.inputs).stated
        return Statement(with_differences(self.network), self.norm, self.within, errors, self.normalisation)

    @property
    def classes(self) -> int:
        """How many outputs there are."""
        return math.prod(self.network.output_shape)

    @staticmethod
    def of(
        net: object,
        inputs: object,
        labels: object,
        norm: object = "l2",
        within: object = None,
        radii: object = None,
        normalisation: object = None,
        level: object = "R",
        time_limit: object = 60.0,
        nodes: object = None,
        attack: object = True,
        constants: object = "auto",
        executor: object = None,
        seed: object = 0,
        progress: object = False,
        on_interrupt: object = "raise",
    ) -> Request:
        """The request with these arguments, of whatever type a caller gave them.

        Raises ValueError or TypeError, with one sentence that names the argument, for bad ones.
        """
        model = as_network(net, _shape_of_one(inputs))
        if not isinstance(model, Network):
            raise TypeError("radii are those of a Network or a torch module, not of a StackedForm")
        classes, size = math.prod(model.output_shape), math.prod(model.input_shape)
        if not 2 <= classes <= MOST_CLASSES:
            raise ValueError(f"a classifier has 2 to {MOST_CLASSES} outputs, and {model.source} has {classes}")
        chosen_norm = arguments.choice(norm, "norm", NORMS)
        chosen_level = arguments.choice(level, "level", LEVELS)
        points = _inputs(inputs, model.input_shape)
        known = _labels(labels, len(points), classes)
        box = _within(within, size)
        if box is not None:
            _check_within(points, box)
        if chosen_level == "F":
            _check_float32(points)
        before = Normalisation.of(normalisation, model.input_shape)
        table = _radii(radii, chosen_norm)
        chosen_seed = arguments.integer(seed, "seed", 0, arguments.LARGEST_SEED)
        return Request(
            model,
            model if before is None else before.before(model),
            points,
            known,
            chosen_norm,
            box,
            table,
            None if radii is None else table,
            before,
            chosen_level,
            arguments.limit(time_limit, "time_limit"),
            None if nodes is None else arguments.integer(nodes, "nodes", 1),
            Settings.of(attack, chosen_seed),
            _constants(constants),
            executors.chosen(executor),
            chosen_seed,
            arguments.flag(progress, "progress"),
            arguments.choice(on_interrupt, "on_interrupt", ON_INTERRUPT) == "prove",
        )


def _shape_of_one(inputs: Any) -> tuple[int, ...] | None:
    """The shape of one input, where `inputs` have one that a torch module may be read with."""
    shape = tuple(getattr(inputs, "shape", ()))
    return shape[1:] if len(shape) > 2 and all(shape) else None


def _inputs(value: Any, shape: tuple[int, ...]) -> Array:
    """One input in a row, in float64."""
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(value, dtype=object)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"inputs are an array of real numbers, not of {array.dtype}")
    size = math.prod(shape)
    if array.shape == shape or array.ndim < 2:
        raise ValueError(
            f"inputs have the shape {array.shape}; give one input a row, (n, {_listed(shape)}) or (n, {size})"
        )
    if array.shape[1:] not in (shape, (size,)):
        flat = "" if len(shape) == 1 else f" or (n, {size})"
        raise ValueError(f"inputs have the shape {array.shape}; the network reads (n, {_listed(shape)}){flat}")
    if not len(array):
        raise ValueError("inputs are empty; give one input or more")
    points = np.ascontiguousarray(array.reshape(len(array), size), dtype=float)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ValueError(f"input {bad[0]} has an entry that is not finite; every entry has to be a finite number")
    return points + 0.0  # a copy, and no negative zeros


def _labels(value: Any, count: int, classes: int) -> Array:
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels are integers that count the outputs from 0, not {array.dtype}")
    if array.shape != (count,):
        raise ValueError(f"labels have the shape {array.shape}; give one for each of the {count} inputs, ({count},)")
    bad = np.flatnonzero((array < 0) | (array >= classes))
    if len(bad):
        raise ValueError(f"label {bad[0]} is {array[bad[0]]}; the network has the classes 0 to {classes - 1}")
    return array.astype(np.int64)


def _within(value: Any, size: int) -> Box | None:
    if value is None:
        return None
    if not isinstance(value, Box):
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"within is a sdpcert.Box, a pair of numbers (low, high), or None, not {value!r:.40}")
        value = Box(*(arguments.number(end, f"within: the {name} end") for end, name in zip(value, ("lower", "upper"))))
    try:
        return value.fitted(size)
    except ValueError:
        raise ValueError(f"within: the box has {len(value.low)} entries; the network reads {size}") from None


def _check_within(points: Array, box: Box) -> None:
    outside = (points < box.low) | (points > box.high)
    if np.any(outside):
        row, entry = (int(k) for k in np.argwhere(outside)[0])
        raise ValueError(
            f"input {row} lies outside of within: its entry {entry} is {float(points[row, entry])!r}, and the box is "
            f"[{float(box.low[entry])!r}, {float(box.high[entry])!r}] there"
        )


def _check_float32(points: Array) -> None:
    with np.errstate(over="ignore"):
        single = points.astype(np.float32).astype(float) != points
    if np.any(single):
        row, entry = (int(k) for k in np.argwhere(single)[0])
        raise ValueError(
            f"level 'F' is about float32 programs: entry {entry} of input {row} is no float32 number; "
            "give inputs.astype(numpy.float32)"
        )


def _radii(value: Any, norm: Norm) -> tuple[float, ...]:
    if value is None:
        return RADII[norm]
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):
        raise TypeError(f"radii is a list of numbers, one or more, or None, not {value!r:.40}")
    found = {arguments.number(radius, "an entry of radii") for radius in value}
    bad = [radius for radius in found if not 0 <= radius < math.inf]
    if bad:
        raise ValueError(f"every entry of radii must be a finite number that is not negative, not {bad[0]!r}")
    return tuple(sorted(found))


def _constants(value: Any) -> bool | None:
    """Whether constants of pairs are proved; None for where that is little work."""
    return None if isinstance(value, str) and value == "auto" else arguments.flag(value, "constants, if not 'auto',")


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
