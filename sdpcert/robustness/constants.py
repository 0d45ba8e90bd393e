"""Constants of differences of outputs on all inputs: what a margin can fall by for every unit of distance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.arithmetic.exact import square_root_up
from sdpcert.arithmetic.pace import ASSUMED
from sdpcert.certify.branching.bounding import Goals, bound_piece
from sdpcert.errors import ProcessEnded, SolverError
from sdpcert.network.differences import pairs_of_classes
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.regions.pieces import Bounded
from sdpcert.regions.region import AllInputs
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort
from sdpcert.running.short_repr import ShortRepr
from sdpcert.running.tasks import Task, outcomes
from sdpcert.solvers.effort import estimate

Array = np.ndarray
Pair = tuple[int, int]
#: Relative accuracy of a constant.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class PairConstant(ShortRepr):
    """On all inputs the outputs' difference of two classes changes by at most `upper` times the distance.

    `end` is the point of the condition that proves it.
    """

    classes: Pair
    end: Bounded

    @property
    def upper(self) -> float:
        """`2**exponent * sqrt(rho)`, rounded up."""
        return square_root_up(self.end.rho, self.end.exponent)

    def document(self) -> dict[str, Any]:
        """As a file of radii states it."""
        point = self.end.document()
        del point["kind"]
        return {"classes": list(self.classes), **point}


def pairs_with(labels: Iterable[int], classes: int) -> list[Pair]:
    """The pairs of classes of which one is a label that occurs."""
    occur = {int(label) for label in labels}
    return [pair for pair in pairs_of_classes(classes) if occur & set(pair)]


def seconds_of(form: StackedForm, pairs: int) -> float:
    """About how long the constants of so many pairs take; an estimate of operations, which looks at no clock."""
    return estimate(form, "neuron", ASSUMED).total * pairs


def constant_of(form: StackedForm, pair: Pair) -> PairConstant | None:
    """The constant of a pair for a form that `with_differences` made; None if no point of the condition was found."""
    goals = Goals(0, TOLERANCE, effort=Effort(0))
    with one_blas_thread():
        try:
            node = bound_piece(State.of(_difference(form, pair), AllInputs()), goals)
        except SolverError:
            return None
    if not isinstance(node.end, Bounded) or not np.isfinite(node.bound):
        return None
    end = node.rescaled(int(np.frexp(node.bound)[1])).end
    assert isinstance(end, Bounded)
    return PairConstant(pair, end)


def _difference(form: StackedForm, pair: Pair) -> StackedForm:
    """The form without the group of differences, whose only output is that of a pair."""
    groups = form.groups[:-1]
    outputs, row = len(groups), np.zeros((1, groups[-1].size))
    row[0, pair[0]], row[0, pair[1]] = 1.0, -1.0
    blocks = {key: block for key, block in form.blocks.items() if key[0] <= outputs}
    blocks[outputs + 1, outputs] = Block(row)
    return replace(form, outputs=1, groups=groups, blocks=blocks, offset=np.zeros(1))


def constants_of(
    form: StackedForm, pairs: Sequence[Pair], executor: Executor
) -> Iterator[tuple[Pair, PairConstant | None]]:
    """The constants of pairs as they come; None also where the process that worked on it died."""
    with closing(outcomes(executor, constant_of, (Task(pair, (form, pair)) for pair in pairs))) as found:
        for outcome in found:
            yield outcome.key, None if isinstance(outcome.error, ProcessEnded) else outcome.result


def rates_of(constants: Mapping[Pair, PairConstant], label: int, classes: int) -> Array:
    """For each class how fast the label's margin over it can fall, rounded up; infinite where nothing is proved, and 0
    for the label.
    """
    rates = np.full(classes, np.inf)
    rates[label] = 0.0
    for (y, j), constant in constants.items():
        if label in (y, j):
            rates[j if y == label else y] = constant.upper
    return rates
