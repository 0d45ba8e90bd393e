"""The direction of one iteration: Newton's equations by their Schur complement, as a predictor and a corrector.

It is the direction of Helmberg, Rendl, Vanderbei and Wolkowicz, Kojima et al. and Monteiro, with Mehrotra's predictor
and corrector. What it decides on the host takes one transfer for the predictor and one for the corrector, of a few
numbers for each matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sdpcert.arithmetic.arrays import Arrays
from sdpcert.arithmetic.unseen import Unseen
from sdpcert.solvers.pair import Pair
from sdpcert.solvers.step_length import unseen_length_in_orthant

Matrix = Any
#: Fraction of the way to the boundary that a step goes.
STEP = 0.95


@dataclass(eq=False)
class Iterate:
    """A point y, the slack of its multipliers with a sign of their own (numbered in `signed`), and the pairs."""

    y: Matrix
    slack: Matrix
    signed: Matrix
    pairs: list[Pair]


@dataclass(eq=False)
class Step:
    """Directions of y and of the slack, and how far the primal and the dual can go along theirs."""

    y: Matrix
    slack: Matrix
    primal: float
    dual: float


class Mapping(Protocol):
    """`map` to a list, in several threads if that pays."""

    def __call__(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
        """The function's value for each of the arguments."""
        ...


def search_direction(iterate: Iterate, schur: Matrix, mu: float, order: int, each: Mapping) -> Step | None:
    """The step from an iterate with the complementarity `mu`; None if the Schur complement is not positive definite.

    `order` is the sum of the orders of all matrices; the upper part of `schur` is given, and lost.
    """
    y, slack, signed, pairs = iterate.y, iterate.slack, iterate.signed, iterate.pairs
    arrays = pairs[0].inequality.arrays
    ratio = slack / y[signed]
    attempt = _newton(arrays, schur, signed, ratio)
    if attempt is None:
        return None
    newton, holds = attempt
    objective = arrays.zeros(len(y))
    objective[0] = 1.0

    # Predictor: straight at the optimum.
    affine_y = newton(-objective)
    found = each(lambda pair: pair.predict(affine_y), pairs)
    step = _step(iterate, affine_y, -slack - ratio * affine_y[signed], found)
    products = Unseen.all_of([pair.complementarity_after() for pair in pairs])
    definite, affine, after = Unseen.all_of([holds, step, products]).seen(arrays)
    if not definite:
        return None
    moved = sum(product(affine.primal, affine.dual) for product in after)
    if len(signed):
        moved += float(((slack + affine.dual * affine.slack) * (y[signed] + affine.primal * affine_y[signed])).sum())
    ahead = max(moved / (order + len(signed)) / mu, 0.0)
    centring = min(1.0, ahead ** (3 if min(affine.primal, affine.dual) > 0.3 else 1)) * mu

    # Corrector: towards the central path, with the second-order term of the predictor.
    right = total(each(lambda pair: pair.second_order(affine_y, centring), pairs)) - objective
    second_slack = (centring - affine.slack * affine_y[signed]) / y[signed]
    right[signed] += second_slack
    step_y = newton(right)
    step_slack = second_slack - slack - ratio * step_y[signed]
    found = each(lambda pair: pair.correct(step_y, centring), pairs)
    return _step(iterate, step_y, step_slack, found).seen(arrays)


def _newton(
    arrays: Arrays, schur: Matrix, signed: Matrix, ratio: Matrix
) -> tuple[Callable[[Matrix], Matrix], Unseen[bool]] | None:
    """The inverse of the Schur complement, whose upper part is given, factored in place with a unit diagonal, and
    whether it has one.
    """
    if len(signed):
        schur.reshape(-1)[signed * (len(schur) + 1)] += ratio
    with np.errstate(invalid="ignore"):  # where rounding leaves nothing positive there is no factor
        scale = schur.diagonal() ** -0.5

    def fill(rows: slice) -> None:
        upper = schur[rows, rows.start :]
        upper *= scale[rows.start :]
        upper *= scale[rows][:, None]

    arrays.each(fill, arrays.panels(len(schur)))
    attempt = arrays.factor_upper(schur)
    if attempt is None:
        return None
    factor, holds = attempt
    return (lambda right: scale * arrays.solve(factor, scale * right)), holds


def _step(iterate: Iterate, step_y: Matrix, step_slack: Matrix, found: Sequence[Unseen[list[float]]]) -> Unseen[Step]:
    """A step with the lengths that every pair and the slack allow."""
    lengths = list(found)
    if len(iterate.signed):
        of_y = unseen_length_in_orthant(iterate.y[iterate.signed], step_y[iterate.signed])
        lengths.append(Unseen.all_of([of_y, unseen_length_in_orthant(iterate.slack, step_slack)]))

    def shortest(seen: list[list[float]]) -> Step:
        primal, dual = (min(pair[k] for pair in seen) for k in (0, 1))
        return Step(step_y, step_slack, min(1.0, STEP * primal), min(1.0, STEP * dual))

    return Unseen.all_of(lengths).then(shortest)


def total(terms: Iterable[Matrix]) -> Matrix:
    """The sum of matrices, from the first to the last."""
    found = None
    for term in terms:
        found = term if found is None else found + term
    return found
