"""What shared operators read and write: constants with their rounding, and tensors that depend on the input."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Rearrange
from sdpcert.network.graph import Graph
from sdpcert.readers.errors import UnsupportedModel, check_size, quoted
from sdpcert.readers.operators.error_bounds import check_bound, is_exact, uncertain

Array = np.ndarray
Shape = tuple[int, ...]

#: A folded weight whose relative uncertainty is larger than this is refused.
MAX_RELATIVE_ERROR = 1e-6


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that does not depend on the input.

    Floats are held in float64; `error` bounds entrywise how far they can be from the exact value of what the file
    states (0 for what is stored in the file); a bound that is not finite is refused. Integers and truth values are
    exact.
    """

    value: Array
    name: str = ""
    error: Array | float = 0.0

    def __post_init__(self) -> None:
        check_bound(self.error)

    @property
    def shape(self) -> Shape:
        return self.value.shape

    @property
    def exact(self) -> bool:
        """Whether no rounding was done."""
        return is_exact(self.error)

    def weight(self) -> Array:
        """The value as a weight: float, not empty, finite."""
        name = f"constant {quoted(self.name)}"
        if self.value.dtype.kind != "f":
            raise UnsupportedModel(f"{name} is a weight of type {self.value.dtype}; export the model in float32")
        if self.value.size == 0:
            raise ValueError(f"{name} is a weight of shape {self.shape} without entries")
        if not np.all(np.isfinite(self.value)):
            raise ValueError(f"{name} is a weight with entries that are not finite")
        return self.value

    def relative_error(self) -> float:
        """A relative bound that holds for every entry."""
        if self.exact:
            return 0.0
        error, size = np.broadcast_arrays(self.error, np.abs(self.value))
        moving = uncertain(error)
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            relative = float(np.max(error[moving] / size[moving])) * (1 + 1e-9)
        if not relative <= MAX_RELATIVE_ERROR:
            raise UnsupportedModel(
                f"constant {quoted(self.name)} is computed in the file with too much cancellation or underflow; "
                "store its value"
            )
        return max(relative, np.finfo(float).tiny)

    def shift(self) -> Array:
        """The value as something that is added: its error is small beside its largest entry."""
        value = self.weight()
        if not self.exact and not np.max(self.error) <= MAX_RELATIVE_ERROR * np.max(np.abs(value)):
            raise UnsupportedModel(
                f"constant {quoted(self.name)} is computed in the file with too much cancellation or underflow; "
                "store its value"
            )
        return value


@dataclass(frozen=True)
class Dynamic:
    """A tensor that depends on the input: the number of a graph value, and its shape in the file or module.

    The graph holds it in the shape `inner(shape)`: without the first axis if that is a batch of one.
    """

    number: int
    shape: Shape


@dataclass(frozen=True, eq=False)
class Choice:
    """A tensor of the given shape: `above` where `source` is positive, `below` where it is negative.

    All three broadcast to the shape. Where the source is zero a continuous choice has one value, others have no form.
    """

    source: Dynamic
    above: Dynamic | Constant
    below: Dynamic | Constant
    shape: Shape


#: What operators take that know nothing of choices.
Operand = Constant | Dynamic
Value = Operand | Choice


class NotSamplewise(UnsupportedModel):
    """The first axis of a tensor is no batch axis: samples are mixed, or go through different functions."""


def inner(shape: Shape) -> Shape:
    """A shape without its first axis if that has length one and is not the only one; (1,) for a scalar."""
    return shape[1:] if len(shape) >= 2 and shape[0] == 1 else shape or (1,)


class Builder:
    """A `Graph` whose tensors are known by their shapes in the file or module ("outer" shapes).

    With a `batch` above one, every tensor holds the samples one after the other, along its first axis of that length or
    a multiple of it, and the graph holds one sample. Each layer is then applied to every sample alike. Moves could mix
    samples, and constants could differ between them: they are checked entry by entry, and `NotSamplewise` is raised if
    they do. `casts` are the float types that hold the input's numbers, `unit` is the roundoff of the type that is
    computed in.
    """

    def __init__(
        self, input_shape: Shape, batch: int = 1, casts: tuple[int | str, ...] = (1, 11), unit: float = 2.0**-24
    ) -> None:
        check_size(input_shape, "the input")
        self.batch, self.casts, self.unit = batch, casts, unit
        self.graph = Graph(self.inner(input_shape))
        self.input = Dynamic(0, input_shape)
        #: Differences that comparisons look at, by what is compared.
        self.compared: dict[Hashable, Dynamic] = {}
        #: Choices that were made tensors.
        self.resolved: dict[Choice, Dynamic] = {}

    def sample(self, shape: Shape) -> Shape:
        """The shape of one sample, with a first axis of length one if that is the batch axis."""
        if self.batch == 1:
            return shape
        if not shape or shape[0] % self.batch:
            raise NotSamplewise(f"a tensor of shape {shape} has no batch axis of length {self.batch}")
        return (shape[0] // self.batch, *shape[1:])

    def inner(self, shape: Shape) -> Shape:
        """The shape in the graph of a tensor of the given outer shape."""
        return inner(self.sample(shape))

    def layer(self, layer: AffineLayer | Activation, shape: Shape, *arguments: Dynamic) -> Dynamic:
        """Append a layer whose output has the given outer shape."""
        if check_size(self.sample(shape), "an intermediate tensor") == 0:
            raise ValueError(f"its output of shape {shape} is empty")
        return self.checked(self.graph.add(layer, *(a.number for a in arguments)), shape)

    def checked(self, number: int, shape: Shape) -> Dynamic:
        """A value of the graph as a tensor of the given outer shape; raises ValueError if it has another one."""
        if self.graph.shape(number) != self.inner(shape):
            raise ValueError(f"its output of shape {self.graph.shape(number)} is not {self.inner(shape)}")
        return Dynamic(number, shape)

    def move(self, argument: Dynamic, indices: Array) -> Dynamic:
        """The tensor of the entries `indices` (row major, -1 for zero) of a tensor, in the shape of `indices`."""
        shape = indices.shape
        if check_size(shape, "an intermediate tensor") == 0:
            raise ValueError(f"its output of shape {shape} is empty")
        target = self.inner(shape)
        if self.batch > 1:
            indices = self._of_one_sample(argument, indices)
        size = int(np.prod(self.graph.shape(argument.number)))
        if target == self.graph.shape(argument.number) and np.array_equal(indices.ravel(), np.arange(size)):
            return Dynamic(argument.number, shape)
        return self.layer(Rearrange(np.ascontiguousarray(indices.reshape(target))), shape, argument)

    def _of_one_sample(self, argument: Dynamic, indices: Array) -> Array:
        """The entries that the first sample takes; all others take the same ones of their own."""
        rows, size = indices.reshape(self.batch, -1), int(np.prod(argument.shape)) // self.batch
        first = rows[0]
        everywhere = np.where(first < 0, -1, first + size * np.arange(self.batch)[:, None])
        if np.any(first >= size) or not np.array_equal(rows, everywhere):
            raise NotSamplewise("it moves entries from one sample of the batch to another")
        return first

    def sample_of(self, constant: Array, length: int) -> Array:
        """The part of one sample of a constant beside a first axis of the given length; it is the same in all."""
        if self.batch == 1 or len(constant) == 1:
            return constant
        parts = constant.reshape(self.batch, length // self.batch, *constant.shape[1:])
        if not np.array_equal(parts, np.broadcast_to(parts[:1], parts.shape)):
            raise NotSamplewise("a constant differs between the samples of the batch")
        return parts[0]

    def of_one_sample(self) -> Builder:
        """The same graph, for tensors whose batch axis has length one."""
        if self.batch == 1:
            return self
        single = Builder((1,), casts=self.casts, unit=self.unit)
        single.graph = self.graph
        return single

    def one_sample(self, value: Operand) -> Operand:
        """A tensor or constant with a batch axis as one of those."""
        if isinstance(value, Dynamic):
            return Dynamic(value.number, self.sample(value.shape))
        if not value.exact or not value.shape or value.shape[0] % self.batch:
            raise NotSamplewise("a constant beside the batch is computed, or has another first axis")
        return Constant(self.sample_of(value.value, value.shape[0]), value.name)

    def rearrange(self, argument: Dynamic, function: Callable[[Array], Array]) -> Dynamic:
        """The tensor that `function` of an array would make of it by moving entries."""
        return self.move(argument, function(entries(argument.shape)))

    def broadcast(self, argument: Dynamic, shape: Shape) -> Dynamic:
        """The tensor repeated to a larger shape."""
        if argument.shape == shape:
            return argument
        check_size(shape, "an intermediate tensor")
        return self.rearrange(argument, lambda a: np.broadcast_to(a, shape))

    def meet(self, argument: Dynamic, constant: Constant | Array) -> tuple[Dynamic, Array]:
        """A tensor and a constant for an elementwise layer: the tensor broadcast, the constant without batch axis."""
        value = constant.weight() if isinstance(constant, Constant) else constant
        shape = np.broadcast_shapes(argument.shape, value.shape)
        argument = self.broadcast(argument, shape)
        if value.size == 1:
            return argument, value.reshape(())
        if value.ndim == len(shape):
            value = self.sample_of(value, shape[0]) if shape else value
            value = value[0] if len(self.inner(shape)) < len(shape) else value
        return argument, value


def entries(shape: Shape) -> Array:
    """The numbers of a tensor's entries, row major, in its shape."""
    return np.arange(check_size(shape, "an intermediate tensor")).reshape(shape)


@dataclass
class Call:
    """One application of a shared operator, with its inputs resolved."""

    operator: str
    inputs: list[Value | None]
    attributes: dict[str, Any]
    opset: int
    outputs: int
    builder: Builder

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, text as str."""
        value = self.attributes.get(name, default)
        return value.decode("ascii", "replace") if isinstance(value, bytes) else value

    def value(self, position: int) -> Operand | None:
        """An input that is no choice; None if it is left out."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(value, Choice):
            raise UnsupportedModel(f"input {position} is a choice that depends on the network's input")
        return value

    @property
    def operands(self) -> list[Operand]:
        """The inputs that are there, none of which is a choice."""
        values = [self.value(k) for k in range(len(self.inputs))]
        return [v for v in values if v is not None]

    def dynamic(self, position: int = 0) -> Dynamic:
        """An input that must depend on the network's input."""
        value = self.value(position)
        if not isinstance(value, Dynamic):
            raise UnsupportedModel(f"input {position} is {'a constant' if value else 'missing'}")
        return value

    def weight(self, position: int) -> Constant | None:
        """An optional input that must be constant."""
        value = self.value(position)
        if isinstance(value, Dynamic):
            raise UnsupportedModel(f"input {position} is computed from the network's input; only constants fit there")
        return value

    def required(self, position: int) -> Constant:
        """An input that must be constant and there."""
        value = self.weight(position)
        if value is None:
            raise ValueError(f"input {position} is missing")
        return value

    def stored(self, position: int, attribute: str | None = None) -> Array | None:
        """A parameter that is an input in new operator sets and an attribute in old ones; None if it is absent."""
        constant = self.weight(position)
        if constant is not None:
            if not constant.exact:
                raise UnsupportedModel(f"input {position} is computed with rounding; store its value")
            return constant.value
        value = None if attribute is None else self.attributes.get(attribute)
        return None if value is None else np.asarray(value)

    def integers(self, position: int, attribute: str | None = None) -> tuple[int, ...] | None:
        """A parameter as integers, as `stored`."""
        value = self.stored(position, attribute)
        if value is None:
            return None
        if value.size and value.dtype.kind not in "iu":
            raise ValueError(f"input {position} must hold integers")
        return tuple(int(k) for k in value.ravel())

    def scalar(self, position: int, attribute: str | None = None, default: float | None = None) -> float | None:
        """A parameter as one float, as `stored`."""
        value = self.stored(position, attribute)
        if value is None or value.size == 0:
            return default
        if value.size != 1:
            raise ValueError(f"input {position} must hold one number, not {value.size}")
        return float(value.ravel()[0])


#: What makes the result of an operator, or its results, of a call.
Handler = Callable[[Call], Value | list[Dynamic]]


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front; raises ValueError if there is no such axis."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Distinct axes counted from the front, in order."""
    result = tuple(sorted({axis_of(a, rank) for a in axes}))
    if len(result) != len(axes):
        raise ValueError(f"axes {tuple(axes)} repeat one")
    return result


def floating(*operands: Constant) -> bool:
    """Whether the operands are floats; they are all floats or all integers."""
    kinds = {a.value.dtype.kind == "f" for a in operands}
    if len(kinds) > 1:
        raise UnsupportedModel("it mixes floats and integers; cast its constants to one type")
    return kinds.pop()
