"""What an elementwise activation is, and all that the rest of the toolkit asks of a kind.

Its function and derivative; the interval of its slopes, everywhere and between two points; where it is linear; how it
is rounded; and how torch and ONNX call it. What a class does not state has a default that is right, if not as sharp.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sdpcert.running.short_repr import ShortRepr

if TYPE_CHECKING:
    from torch import Tensor, nn

Array = np.ndarray
FLOAT64 = 2.0**-53
#: Relative error that is assumed of exp, tanh, erf and the like in float64 (a few units in the last place).
FUNCTION_ERROR = 2.0**-48
#: Error of a derivative, relative to the steepest slope: eight bits more than its functions for what cancels in it.
DERIVATIVE_ERROR = 2.0**8 * FUNCTION_ERROR
#: How far the places in `turns` may be off, relative.
TURN_ERROR = 1e-12


@dataclass(frozen=True, eq=False)
class Activation(ShortRepr, ABC):
    """An elementwise function whose slopes `(phi(a) - phi(b)) / (a - b)` all lie in `[alpha, beta]`.

    A kind of activation is a subclass; its parameters are the fields of the dataclass, floats or arrays that broadcast
    against the tensor (one value per channel).
    """

    #: The name in certificates.
    name: ClassVar[str]
    #: The coefficients (a, b, c) of `phi(-v) = a phi(v) + b v + c` where the function has this symmetry; a is 1 or -1.
    reflection: ClassVar[tuple[float, float, float] | None] = None
    #: Whether no value of the function is negative.
    nonnegative: ClassVar[bool] = False
    #: Between which places the derivative is monotone, in ascending order; None if that is not known.
    turns: ClassVar[tuple[float, ...] | None] = None
    #: How often a result is rounded if every operation is one of IEEE 754; None if it takes others, such as exp.
    roundings: ClassVar[int | None] = None
    #: Whether evaluating it cancels, so that its error is relative to the argument as well as to the result.
    cancels: ClassVar[bool] = False
    #: Names of the torch functions that compute it; their arguments after the tensor are those of `from_torch`.
    torch_functions: ClassVar[tuple[str, ...]] = ()
    #: The ONNX operator that computes it, with the attributes that `from_onnx` reads.
    onnx: ClassVar[str | None] = None

    @abstractmethod
    def slopes(self) -> tuple[float | Array, float | Array]:
        """The ends of the slope interval, rounded outward where they are no float64."""

    @abstractmethod
    def __call__(self, values: Array) -> Array:
        """Evaluate the activation elementwise."""

    @abstractmethod
    def derivative(self, values: Array) -> Array:
        """The derivative, at a kink any slope of the interval: for the search of attained slopes, never for a proof."""

    def slopes_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        """The ends of an interval of all slopes between two points of [low, high], elementwise and rounded outward.

        It lies within `slopes()`, and is that interval where the ends, or the derivative there, are not finite. Raises
        ValueError if an end is above the other.
        """
        low, high, alpha, beta = self.on_interval(low, high)
        if self.turns is None:
            return alpha, beta
        with np.errstate(all="ignore"):
            ends = [self.derivative(low), self.derivative(high)]
            least, most = np.minimum(*ends), np.maximum(*ends)
            for place in self.turns:
                reach = TURN_ERROR * abs(place)
                near = (low <= place + reach) & (high >= place - reach)
                for beside in (np.nextafter(place, -np.inf), place, np.nextafter(place, np.inf)):
                    found = self.derivative(np.asarray(beside))
                    least = np.where(near, np.minimum(least, found), least)
                    most = np.where(near, np.maximum(most, found), most)
            error = DERIVATIVE_ERROR * np.maximum(np.abs(alpha), np.abs(beta))
            least, most = np.maximum(least - error, alpha), np.minimum(most + error, beta)
        finite = np.isfinite(low) & np.isfinite(high) & np.isfinite(least) & np.isfinite(most)
        sure, slope = self.linear_on(low, high)
        least, most = np.where(finite, least, alpha), np.where(finite, most, beta)
        return np.where(sure, slope, least), np.where(sure, slope, most)

    def linear_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        """Where the function is surely linear between `low` and `high`, elementwise, and its slope there."""
        low, high, alpha, _ = self.on_interval(low, high)
        return np.full(low.shape, self.is_linear), alpha

    def segment(self, values: Array) -> tuple[Array, Array] | None:
        """The slope and the value at zero, both exact, of the linear piece that each value lies on.

        None for functions that are not linear between numbers that float64 holds.
        """
        return None

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if a tensor of this shape, without batch axis, cannot be activated."""
        np.broadcast_to(self.alpha, shape)  # one slope per channel must fit the tensor

    @property
    def coupled(self) -> int:
        """How many neighbouring entries (row major) are one argument: 1 for a function of every entry by itself.

        The sum of their sector terms is what the condition may use, so that they share a multiplier and a fate.
        """
        return 1

    def gathered(self, sizes: Array) -> Array:
        """How far each result's argument moves, in norm and rounded up, where its entries move by `sizes` >= 0."""
        return sizes

    def summed(self, values: Array) -> Array:
        """The sums over the entries of an argument, each in the place of its result, zero in the others.

        `derivative` times a tangent gives the tangent of the results after this.
        """
        return values

    def unsummed(self, values: Array) -> Array:
        """The adjoint of `summed`."""
        return values

    def on_interval(self, low: Array | float, high: Array | float) -> tuple[Array, Array, Array, Array]:
        """Both ends, and those of the interval of all slopes, as arrays of one shape.

        Raises ValueError if a lower end is above its upper end.
        """
        low, high, alpha, beta = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (low, high, *self.slopes())))
        if np.any(low > high):
            raise ValueError(f"{self.name}: the lower end of an interval is above its upper end")
        return low, high, alpha, beta

    def evaluation_error(self, roundoff: float) -> tuple[float, float] | None:
        """(a, b) with `|computed - phi(v)| <= a |phi(v)| + b s |v|`, s the steepest slope, at this unit roundoff.

        What IEEE 754 rounds is bounded in every precision. The functions of a library are assumed to be right to
        `FUNCTION_ERROR` in float64; in float32 nothing is known of them, and the result is None.
        """
        if self.roundings is not None:
            return self.roundings * roundoff, 0.0
        return (FUNCTION_ERROR, FUNCTION_ERROR) if roundoff <= FLOAT64 else None

    @classmethod
    def usual(cls) -> dict[str, Callable[[], Activation]]:
        """The names by which users ask for it, each with what makes it with its usual parameters."""
        return {cls.name: cls}

    @classmethod
    def from_torch(cls) -> Activation:
        """The activation that a call of `torch_functions` is.

        Subclasses with parameters take the function's own, by torch's names and with torch's defaults. Raises
        ValueError for arguments that have no form here.
        """
        return cls()

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> Activation:
        """The activation that a node of the operator `onnx` is; raises ValueError for attributes without a form here.

        `attributes` are those that the node states, `opset` is the version of the operator set.
        """
        return cls()

    def on_torch(self, values: Tensor) -> Tensor:
        """Evaluate elementwise on a torch tensor, differentiable and as exactly as in NumPy."""
        from sdpcert.network.torch_forms import through_numpy

        return through_numpy(self, self.derivative, values)

    def module(self) -> nn.Module:
        """A torch module that applies `on_torch`."""
        from sdpcert.network.torch_forms import Pointwise

        return Pointwise(self.name, self.on_torch)

    @property
    def alpha(self) -> float | Array:
        """The lower end of the slope interval."""
        return self.slopes()[0]

    @property
    def beta(self) -> float | Array:
        """The upper end of the slope interval."""
        return self.slopes()[1]

    @property
    def pieces(self) -> tuple[float | Array, float | Array] | None:
        """The slopes below and above zero of a function that is linear on both sides and zero at zero, else None."""
        return None

    @property
    def kinks(self) -> tuple[float | Array, ...]:
        """The places between the pieces of a function that is linear on pieces, in ascending order."""
        return ()

    @property
    def steepest(self) -> float:
        """The largest magnitude of a slope."""
        return float(np.max(np.maximum(np.abs(self.alpha), np.abs(self.beta))))

    @property
    def constant(self) -> float | Array | None:
        """The value of a function that has only one, else None."""
        return None

    @property
    def is_linear(self) -> bool:
        """Whether the function is a multiplication by `alpha`."""
        return bool(np.all(np.asarray(self.alpha) == np.asarray(self.beta)))

    @property
    def identity(self) -> object:
        """What is the same for two functions that differ in their parameters alone.

        A kind that does not state its fields as a dataclass is only identical to itself.
        """
        return type(self) if "__dataclass_fields__" in vars(type(self)) else self

    @property
    def parameters(self) -> tuple[float | Array, ...]:
        """What distinguishes two functions of one kind, in the order of the fields."""
        return tuple(getattr(self, f.name) for f in fields(self))
