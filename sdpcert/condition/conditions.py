"""What a solver needs of a condition: matrix inequalities that share variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sdpcert.arithmetic.arrays import Arrays
from sdpcert.condition.inequality import Inequality


class Conditions(Protocol):
    """Minimise rho = y[0] subject to M(y) >= 0 for every one of `inequalities`.

    Inequalities with the same `first` belong to one stage: they share all multipliers (frequencies of one network).
    Stages are in order from input to output; the metric that a stage's output is measured in is that of the next
    stage's input.
    """

    @property
    def arrays(self) -> Arrays:
        """Where the matrices live."""
        ...

    @property
    def inequalities(self) -> Sequence[Inequality]:
        """The matrix inequalities."""
        ...

    @property
    def variables(self) -> int:
        """Number of variables y."""
        ...

    @property
    def nonnegative_binds(self) -> bool:
        """Whether the multipliers' signs do not follow from the inequalities."""
        ...

    @property
    def exponent(self) -> int:
        """The bound is `2**exponent * sqrt(rho)`."""
        ...

    def rescale_output(self, shift: int) -> None:
        """Divide the output by `2**shift`, which enters the exponent."""
        ...


def stages(condition: Conditions) -> list[list[Inequality]]:
    """The inequalities by stage."""
    result: dict[int, list[Inequality]] = {}
    for part in condition.inequalities:
        result.setdefault(part.first, []).append(part)
    return [result[first] for first in sorted(result)]
