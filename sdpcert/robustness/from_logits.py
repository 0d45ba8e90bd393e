"""Certified radii from logits and proved constants, with every rounding in the direction that keeps them true.

The class y of an input x is kept as long as `f_y - f_j > 0` for all other classes j, and `f_y - f_j` falls by at most
`L_yj |x' - x|`. With logits that are known up to a vector of norm e the difference of two of them is known up to
`sqrt(2) e`, so that the radius is the least of `(f_y - f_j - sqrt(2) e) / L_yj` over ALL other classes.

At level F the float32 program may be wrong by `e(t) <= a + b t` at the distance t from a fixed centre. Within the
radius r of x it is wrong by at most `a + b (t_x + r)`, so r solves `f_y - f_j - sqrt(2) (a + b t_x) = (L_yj + sqrt(2)
b) r`: the same quotient with another numerator and denominator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.error_bound import bounds, largest
from sdpcert.arithmetic.norms import difference_norms_up, matrix_norm_up

Array = np.ndarray
#: Relative room for the few roundings of one quotient, each of 2^-53.
ROOM = 2.0**-49
#: An upper bound of the square root of two.
ROOT_TWO = math.nextafter(math.sqrt(2.0), 2.0)
#: Largest radius that level F states: norms far below it cannot overflow a float32 number.
LARGEST_FLOAT32_RADIUS = 1e6


@dataclass(frozen=True)
class ErrorBound:
    """What evaluating a network loses: a vector of norm at most `offset + slope t`, t the distance from the centre."""

    offset: float
    slope: float

    def at(self, distances: Array) -> Array:
        """Upper bounds at inputs of these distances (samples,) from the centre."""
        return np.nextafter((self.offset + self.slope * distances) * (1 + 2.0**-50), np.inf)

    def table(self) -> dict[str, str]:
        """The numbers for a document, exactly."""
        return {"offset": float(self.offset).hex(), "slope": float(self.slope).hex()}

    @staticmethod
    def of(table: Mapping[str, str]) -> ErrorBound:
        """What `table` gave."""
        return ErrorBound(float.fromhex(table["offset"]), float.fromhex(table["slope"]))


def pair_constants(upper: float, rows: Array | None, classes: int) -> Array:
    """Constants (classes, classes) of the differences of logits, rounded up; the diagonal is 0.

    `upper` bounds the constant of what is before the head, whose rows (classes, features) are exact: `upper |w_y -
    w_j|`. Without `rows` it is the constant of the whole network, and every difference has `sqrt(2) upper`.
    """
    if rows is None:
        constants = np.full((classes, classes), ROOT_TWO)
    else:
        constants = np.stack([difference_norms_up(rows - row) for row in rows])
    constants, upper = bounds(constants), largest(upper)  # what is not a number is no constant of 0
    constants = np.where(constants > 0, np.nextafter(constants * (1 + 2.0**-50) * upper, np.inf), 0.0)
    np.fill_diagonal(constants, 0.0)
    return constants


def linear_radii(
    logits: Array,
    labels: Array,
    constants: Array,
    missed: Array,
    spread: float = 0.0,
) -> Array:
    """Radii (samples,), rounded down; 0 for ties, wrong classes and logits that are not finite.

    `logits` (samples, classes) are known up to a vector of norm `missed` (samples,); `spread` is the slope of that
    norm in the distance (0 at level R, which is about the real function). A class that can never overtake is no limit.
    """
    radii = np.zeros(len(logits))
    for y in np.unique(labels):
        samples = np.flatnonzero(labels == y)
        others = np.arange(logits.shape[1]) != y
        reach = bounds(constants[y, others] + ROOT_TWO * spread)
        below = np.where(reach > 0, reach, 0.0)
        below = np.where(below > 0, np.nextafter(below * (1 + 2.0**-50), np.inf), 0.0)
        margins = margins_down(logits[samples], int(y), missed[samples])[:, others]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            quotients = np.nextafter(margins / below * (1 - ROOM), -np.inf)
        quotients = np.where(margins > 0, np.where(below > 0, quotients, np.inf), 0.0)
        least = quotients.min(1, initial=np.inf)
        radii[samples] = np.where(least > 0, least, 0.0)
    radii = np.minimum(radii, LARGEST_FLOAT32_RADIUS) if spread > 0 else radii
    return np.where(np.isfinite(logits).all(1), radii, 0.0)


def margins_down(logits: Array, y: int, missed: Array) -> Array:
    """Lower bounds of `f_y - f_j` (samples, classes); a difference of two floats is 0 only if they are equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        margins = np.nextafter(logits[:, y, None] - logits, -np.inf)
        lost = np.nextafter(ROOT_TWO * missed * (1 + 2.0**-50), np.inf)[:, None]
        return np.nextafter(margins - lost, -np.inf)


def surely_wrong(logits: Array, labels: Array, missed: Array) -> Array:
    """Whether (samples,) another class is above the label's for certain, the logits being known up to `missed`."""
    own = np.take_along_axis(logits, labels[:, None].astype(int), 1)
    with np.errstate(invalid="ignore", over="ignore"):
        above = np.nextafter(logits - own, -np.inf) - np.nextafter(ROOT_TWO * missed * (1 + 2.0**-50), np.inf)[:, None]
    return np.asarray((above > 0).any(1) & np.isfinite(logits).all(1))


def curved_radii(
    margins: Array, steepest: Array, curvatures: Array, labels: Array, missed: Array, upper: float
) -> Array:
    """Radii (samples,) of a curved head after a part with the constant `upper`, rounded down.

    At the computed features, `margins` (samples, classes) are lower bounds of `f_y - f_j`, `steepest` upper bounds of
    the norms of its gradients, and its Hessian is at least `-curvatures[y, j]` everywhere: within the positive root R
    of `margin - steepest R - curvature / 2 R^2` class j cannot overtake. `missed` bounds how far the computed features
    lie from the real ones; what is left is divided by `upper`.
    """
    radii = np.zeros(len(margins))
    curvatures, missed, upper = bounds(curvatures), bounds(missed), largest(upper)
    for y in np.unique(labels):
        samples = np.flatnonzero(labels == y)
        others = np.arange(margins.shape[1]) != y
        low, slope = margins[samples][:, others], steepest[samples][:, others]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # 2 low / (g + sqrt(g^2 + 2 m low)): no cancellation, and monotone in all three.
            root = np.sqrt(2 * curvatures[y, others] * np.maximum(low, 0.0))
            found = 2 * low / (slope + np.hypot(slope, root)) * (1 - 2.0**-47)
        found = np.where(low > 0, found, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.nextafter(found.min(1, initial=np.inf) - missed[samples], -np.inf)
            left = np.nextafter(left / upper * (1 - ROOM), -np.inf) if upper > 0 else np.where(left > 0, np.inf, 0.0)
        radii[samples] = np.where(left > 0, left, 0.0)
    finite = np.isfinite(margins).all(1) & np.isfinite(steepest).all(1)
    return np.where(finite, radii, 0.0)


def curvature_bounds(inward: Array, outward: Array, beta: float) -> Array:
    """Numbers m (classes, classes) with `Hessian of f_y - f_j >= -m I` for `f = W2 softplus_beta(W1 h + b1) + b2`.

    The Hessian is `beta W1' diag((w_y - w_j) s (1 - s)) W1` with s in [0, 1], so `m = beta / 4 |W1|^2 max (w_j -
    w_y)_+` does; the norm is bounded from above by powers of the Gram matrix. `inward` is (hidden, features), `outward`
    (classes, hidden), both exact.
    """
    squared = matrix_norm_up(inward, most=math.inf) ** 2 * (1 + 2.0**-48)
    most = np.stack([np.maximum(outward - row, 0.0).max(1, initial=0.0) for row in outward])
    return most * (beta / 4 * squared) * (1 + 2.0**-48)
