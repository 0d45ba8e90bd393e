"""A proved lower bound of the difference quotient of two given inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.attained import exact_ratio, graph_ratio, stacked_ratio
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm

Array = np.ndarray
#: A loss by bounds of errors, relative, for which integers are not worth their while.
NEGLIGIBLE = 1e-7
#: How many times errors count where others are to find at least as much: three would do, as their floats differ from
#: ours by our error and theirs, and theirs is taken off.
ROOM = 4.0


def evaluate_ratio(
    network: Network | StackedForm,
    x: Array,
    x_prime: Array,
    output_rows: Sequence[int] | None = None,
    repeatable: bool = False,
) -> float:
    """A float that is at most |f(x) - f(x')| / |x - x'| for the real function of the stored weights; 0 where nothing
    is sure.

    In a `Network`, every layer's `coefficient_error` is added to the error bound, so the ratio also holds for the
    weights that were rounded; offsets are meant as stored. `output_rows` are the outputs that count (row major, counted
    from 0). `repeatable` leaves room for who evaluates the pair again, with sums in another order or the functions of
    another library: `attains` finds at least as much there.
    """
    given = _Given.of(network, x, x_prime, output_rows)
    if given is None:
        return 0.0
    with np.errstate(all="ignore"):
        sure = given.sure(ROOM if repeatable else 1.0)
        exact = given.exactly() if given.loses(sure) else None
    return given.ratio(sure) if exact is None else exact


def attains(
    network: Network | StackedForm,
    x: Array,
    x_prime: Array,
    lower: float,
    output_rows: Sequence[int] | None = None,
) -> bool:
    """Whether the two inputs surely have a quotient of `lower` or more: in floats or, where those lose it, exactly."""
    given = _Given.of(network, x, x_prime, output_rows)
    if given is None:
        return lower <= 0
    with np.errstate(all="ignore"):
        if given.ratio(given.sure(1.0)) >= lower:
            return True
        exact = given.exactly()
    return exact is not None and exact >= lower


@dataclass(frozen=True, eq=False)
class _Given:
    """Two different finite inputs of a graph, with the rows that count, or of a form that has no others."""

    network: Network | StackedForm
    x: Array
    x_prime: Array
    rows: list[int] | None

    @staticmethod
    def of(
        network: Network | StackedForm, x: Array, x_prime: Array, output_rows: Sequence[int] | None
    ) -> _Given | None:
        """None for inputs that are equal or not finite; ValueError for others than the network reads."""
        x, x_prime = np.array(x, dtype=float).ravel(), np.array(x_prime, dtype=float).ravel()
        inputs = int(np.prod(network.input_shape)) if isinstance(network, Network) else network.inputs
        if not len(x) == len(x_prime) == inputs:
            raise ValueError(f"the network reads {inputs} numbers, not {len(x)} and {len(x_prime)}")
        if not (np.all(np.isfinite(x)) and np.all(np.isfinite(x_prime))) or np.array_equal(x, x_prime):
            return None
        if isinstance(network, Network):
            return _Given(network, x, x_prime, chosen_rows(output_rows, int(np.prod(network.output_shape))))
        return _Given(network if output_rows is None else network.output_rows(output_rows), x, x_prime, None)

    def sure(self, room: float) -> Array:
        """A vector whose norm is at most that of the difference, every error counted `room` times."""
        if isinstance(self.network, Network):
            return graph_ratio.sure_difference(self.network, self.x[None], self.x_prime[None], self.rows, room)[0]
        return stacked_ratio.sure_difference(self.network, self.x, self.x_prime, room)

    def ratio(self, sure: Array) -> float:
        """The quotient of a sure difference, rounded down."""
        if not np.all(np.isfinite(sure)) or not np.any(sure):
            return 0.0
        return stacked_ratio.quotient_down(sure, self.x, self.x_prime)

    def loses(self, sure: Array) -> bool:
        """Whether the bound of the errors takes away a part of the difference that float64 sees, and integers would
        not.
        """
        if isinstance(self.network, Network) or not exact_ratio.is_possible(self.network):
            return False
        seen = self.network.evaluate(self.x[None])[0] - self.network.evaluate(self.x_prime[None])[0]
        return bool(np.linalg.norm(sure) < (1 - NEGLIGIBLE) * np.linalg.norm(seen))

    def exactly(self) -> float | None:
        """The quotient in integers, rounded down; None where there is none."""
        if isinstance(self.network, Network) or not exact_ratio.is_possible(self.network):
            return None
        square = exact_ratio.squared_quotient(self.network, self.x, self.x_prime)
        return None if square is None else stacked_ratio.root_down(square)


def chosen_rows(rows: Sequence[int] | None, outputs: int) -> list[int] | None:
    """The chosen outputs as integers; raises ValueError if there are none, or one does not exist."""
    if rows is None:
        return None
    chosen = [int(r) for r in rows]
    if not chosen:
        raise ValueError("no output row was chosen")
    for row in chosen:
        if not 0 <= row < outputs:
            raise ValueError(f"output row {row} does not exist; the network has rows 0 to {outputs - 1}")
    return chosen
