"""Whether a piece has interior points: one of them, or a proof that it has none.

A linear program finds the largest ball within the half-spaces of the splits and the region. Where there is none, its
multipliers are turned into integers whose combination of the half-spaces is exact (Gordan's and Motzkin's theorems).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from sdpcert.regions.halfspaces import Combination, HalfSpace, combination, half_spaces
from sdpcert.regions.integer_kernel import kernel_vector
from sdpcert.regions.pieces import Flat
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: A ball with a radius of at least this counts as found, one below as none: relative to the largest one looked for.
SMALLEST_RADIUS = 1e-9
#: Multipliers of a linear program that are this small beside the largest one count as zero.
SUPPORT = 1e-9
#: Bits of rounded multipliers.
BITS = 40
#: Cuts of a ball by half-spaces that touch it.
MOST_CUTS = 30


@dataclass(frozen=True, eq=False)
class Interior(ShortRepr):
    """A point and the radius of a ball around it that is within the piece, in floating point; or a proof of none.

    Both are None where neither was found. The point is within the half-spaces of all splits at affine preactivations.
    """

    point: Array | None = None
    radius: float = 0.0
    flat: Flat | None = None


def interior(state: State) -> Interior:
    """An interior point of a piece, or the proof that it has none."""
    spaces = half_spaces(state)
    for space in spaces:
        if space.is_constant and space.offset < 0:
            return Interior(flat=_stated(state, [space], [1]))
    moving = [space for space in spaces if not space.is_constant]
    program = _Program(state, moving)
    if program.point is not None:
        return Interior(program.point, program.radius)
    if not moving or program.weights is None:
        return Interior()
    return Interior(flat=_proof(state, moving, program.weights))


def is_flat(state: State, flat: Flat) -> bool:
    """Whether the weights prove that the piece has no interior, in exact arithmetic."""
    spaces = half_spaces(state)
    known = {space.decision: space for space in spaces}
    used = [d for d, weight in enumerate(flat.weights) if weight]
    if not used or any(weight < 0 for weight in flat.weights) or any(d not in known for d in used):
        return False
    chosen = [known[d] for d in used]
    return _holds(state, chosen, combination(chosen, [flat.weights[d] for d in used]))


def _holds(state: State, chosen: Sequence[HalfSpace], total: Combination) -> bool:
    """What the format asks of the combination of some half-spaces with positive weights."""
    moving = state.moving
    normal = [c for c, moves in zip(total.normal, moving) if moves]
    if any(c and not np.isfinite(end) for c, end in zip(total.normal, _best_corner(state, total))):
        return False
    largest = total.offset + sum(
        (Fraction(end) * c for c, end in zip(total.normal, _best_corner(state, total)) if c), Fraction(0)
    )
    if largest < 0 or (largest == 0 and any(normal)):
        return True
    if largest == 0:
        return any(c for space in chosen for c, moves in zip(space.normal, moving) if moves)
    region = state.region
    if not isinstance(region, Ball):
        return False
    # On a ball: h(center) + radius |normal|.
    at_center = total.offset + sum((Fraction(float(x)) * c for x, c in zip(region.center, total.normal)), Fraction(0))
    reach = Fraction(region.radius) ** 2 * sum(c * c for c in total.normal)
    return at_center < 0 and (at_center**2 > reach or (at_center**2 == reach and any(normal)))


def _best_corner(state: State, total: Combination) -> list[float]:
    """The corner of the box where the combination is largest."""
    return [float(high if c > 0 else low) for c, low, high in zip(total.normal, state.box_low, state.box_high)]


def _stated(state: State, spaces: Sequence[HalfSpace], weights: Sequence[int]) -> Flat | None:
    """The proof with these weights, if it is one."""
    every = [0] * len(state.decisions)
    for space, weight in zip(spaces, weights, strict=True):
        every[space.decision] = weight
    chosen = [(s, w) for s, w in zip(spaces, weights, strict=True) if w]
    if any(w < 0 for _, w in chosen) or not chosen:
        return None
    holds = _holds(state, [s for s, _ in chosen], combination([s for s, _ in chosen], [w for _, w in chosen]))
    return Flat(tuple(every)) if holds else None


def _proof(state: State, spaces: Sequence[HalfSpace], weights: Array) -> Flat | None:
    """Integers near the multipliers of the program that prove that the piece has no interior."""
    used = weights > SUPPORT * np.max(weights, initial=0.0)
    chosen = [space for space, keep in zip(spaces, used) if keep]
    if not chosen:
        return None
    rounded = [round(float(w) / float(np.max(weights)) * 2**BITS) for w in weights[used]]
    # The program's multipliers are those of normals of length one.
    scaled = [Fraction(r) / Fraction(_length(s)) for r, s in zip(rounded, chosen)]
    common = max(f.denominator for f in scaled)
    found = _stated(state, chosen, [round(f * common) for f in scaled])
    if found is not None:
        return found
    exact = kernel_vector([_short(space.normal) for space in chosen])
    if exact is None:
        return None
    # The columns were divided by powers of two.
    factors = [_power(space.normal) for space in chosen]
    top = max(f - s.exponent for f, s in zip(factors, chosen))
    exact = [w << (top - f + s.exponent) for w, f, s in zip(exact, factors, chosen)]
    if any(w < 0 for w in exact):
        exact = [-w for w in exact]
    return _stated(state, chosen, exact)


def _length(space: HalfSpace) -> float:
    normal = np.array([float(Fraction(c, 1 << space.exponent)) for c in space.normal])
    return float(np.linalg.norm(normal))


def _power(normal: Sequence[int]) -> int:
    """How often two divides all entries."""
    return min((c & -c).bit_length() - 1 for c in normal if c)


def _short(normal: Sequence[int]) -> list[int]:
    power = _power(normal)
    return [c >> power for c in normal]


class _Program:
    """The largest ball within half-spaces and the region, of radius at most `reach`; `weights` are the multipliers of
    the half-spaces (their normals of length one).
    """

    def __init__(self, state: State, spaces: Sequence[HalfSpace]) -> None:
        moving = state.moving
        self.point: Array | None = None
        self.radius = 0.0
        self.weights: Array | None = None
        low, high = state.box_low, state.box_high
        fixed = np.where(moving, 0.0, low)
        normals = np.array([[float(Fraction(c, 1 << s.exponent)) for c in s.normal] for s in spaces])
        normals = normals.reshape(len(spaces), len(moving))
        offsets = np.array([float(Fraction(s.offset, 1 << s.exponent)) for s in spaces]) + normals @ np.where(
            np.isfinite(fixed), fixed, 0.0
        )
        normals = normals[:, moving]
        lengths = np.linalg.norm(normals, axis=1)
        if np.any(lengths == 0):
            return
        normals, offsets = normals / lengths[:, None], offsets / lengths
        widths = (high - low)[moving]
        reach = min(1.0, float(np.min(widths, initial=np.inf)) / 2)
        rows, right = [np.column_stack([-normals, np.ones(len(spaces))])], [offsets]
        for sign, ends in ((1.0, high[moving]), (-1.0, low[moving])):
            finite = np.isfinite(ends)
            identity = np.eye(len(ends))[finite]
            rows.append(np.column_stack([sign * identity, np.ones(len(identity))]))
            right.append(sign * ends[finite])
        self.rows, self.right, self.reach = np.concatenate(rows), np.concatenate(right), reach
        count = len(spaces)
        for _ in range(MOST_CUTS):
            cost = np.zeros(self.rows.shape[1])
            cost[-1] = -1.0
            bounds = [(None, None)] * int(moving.sum()) + [(None, reach)]
            result = linprog(cost, A_ub=self.rows, b_ub=self.right, bounds=bounds, method="highs-ds")
            if result.status != 0:
                return
            point, radius = result.x[:-1], float(result.x[-1])
            self.weights = -np.asarray(result.ineqlin.marginals)[:count]
            if radius <= SMALLEST_RADIUS * reach or not self._cut(state, moving, point, radius):
                break
        else:
            return
        if radius > SMALLEST_RADIUS * reach:
            full = np.where(np.isfinite(fixed), fixed, 0.0)
            full[moving] = point
            self.point, self.radius = full, radius

    def _cut(self, state: State, moving: Array, point: Array, radius: float) -> bool:
        """Cut off a point that is outside of the region's ball; whether there was something to cut."""
        region = state.region
        if not isinstance(region, Ball):
            return False
        apart = point - region.center[moving]
        rest = float(np.sum(np.square((region.center - state.box_low)[~moving])))
        allowed = np.sqrt(max(region.radius**2 - rest, 0.0))
        distance = float(np.linalg.norm(apart))
        if distance + radius <= allowed * (1 + 1e-6) or distance == 0:
            return False
        direction = apart / distance
        self.rows = np.concatenate([self.rows, np.append(direction, 1.0)[None]])
        self.right = np.append(self.right, direction @ region.center[moving] + allowed)
        return True
