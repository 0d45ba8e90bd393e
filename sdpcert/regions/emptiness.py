"""Whether a piece has interior points: one of them, or a proof that it has none.

A linear program finds the largest ball within the half-spaces of the splits and the region. Where there is none, its
multipliers are turned into integers whose combination of the half-spaces is exact (Gordan's and Motzkin's theorems).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.regions.halfspaces import Combination, HalfSpace, combination, half_spaces, half_spaces_in_floats
from sdpcert.regions.integer_kernel import kernel_vector
from sdpcert.regions.largest_ball import largest_ball
from sdpcert.regions.pieces import Flat
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Multipliers of a linear program that are this small beside the largest one count as zero.
SUPPORT = 1e-9
#: Bits of rounded multipliers.
BITS = 40
#: Half-spaces of which one is left out in turn, where rounding made one too many count.
FEW = 16
#: A point that is known is kept if the ball around it keeps this share of its radius.
KEPT = 0.01


@dataclass(frozen=True, eq=False)
class Interior(ShortRepr):
    """A point and the radius of a ball around it that is within the piece, in floating point; or a proof of none.

    Both are None where neither was found. The point is within the half-spaces of all splits at affine preactivations;
    `is_complete` says whether these are all splits.
    """

    point: Array | None = None
    radius: float = 0.0
    flat: Flat | None = None
    is_complete: bool = True


def interior(state: State, known: Interior | None = None) -> Interior:
    """An interior point of a piece, or the proof that it has none; `known` is what is known of a larger piece."""
    spaces = _Spaces.of(state)
    if spaces.impossible is not None:
        return Interior(flat=_stated(state, {spaces.impossible: 1}))
    complete = spaces.is_complete
    if known is not None and known.point is not None:
        radius = min(known.radius, float(np.min(spaces.normals @ known.point + spaces.offsets, initial=np.inf)))
        if radius > KEPT * known.radius:
            return Interior(known.point, radius, is_complete=complete)
    found = largest_ball(state, spaces.normals, spaces.offsets)
    if not len(spaces.numbers):
        return Interior(found.point, found.radius, is_complete=complete)
    proofs = (_proof(state, spaces.numbers, m.weights / spaces.lengths, m.faces) for m in found.multipliers)
    flat = next((proof for proof in proofs if proof is not None), None)
    return Interior(found.point, found.radius, flat, complete)


def inner_point(state: State) -> Array | None:
    """An interior point of a piece, if floating point finds one."""
    spaces = _Spaces.of(state)
    return None if spaces.impossible is not None else largest_ball(state, spaces.normals, spaces.offsets).point


@dataclass(frozen=True, eq=False)
class _Spaces:
    """The half-spaces in float64, their normals divided by their lengths.

    `impossible` is a decision that no input has; `is_complete` says whether all decisions have half-spaces.
    """

    numbers: Array
    normals: Array
    offsets: Array
    lengths: Array
    impossible: int | None
    is_complete: bool

    @staticmethod
    def of(state: State) -> _Spaces:
        numbers, normals, offsets = half_spaces_in_floats(state)
        complete = len(numbers) == len(state.decisions)
        lengths = np.linalg.norm(normals[:, state.moving], axis=1)
        constant = lengths == 0
        against = numbers[constant & (offsets < 0)]
        numbers, normals, offsets, lengths = (part[~constant] for part in (numbers, normals, offsets, lengths))
        impossible = int(against[0]) if len(against) else None
        return _Spaces(numbers, normals / lengths[:, None], offsets / lengths, lengths, impossible, complete)


def is_flat(state: State, flat: Flat) -> bool:
    """Whether the weights prove that the piece has no interior, in exact arithmetic."""
    used = [d for d, weight in enumerate(flat.weights) if weight]
    if not used or any(weight < 0 for weight in flat.weights):
        return False
    known = {space.decision: space for space in half_spaces(state, used)}
    if any(d not in known for d in used):
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


def _stated(state: State, weights: dict[int, int]) -> Flat | None:
    """The proof with these weights of decisions, if it is one."""
    flat = Flat(tuple(weights.get(number, 0) for number in range(len(state.decisions))))
    return flat if is_flat(state, flat) else None


def _proof(state: State, numbers: Array, weights: Array, faces: Array) -> Flat | None:
    """Integers near the weights of some decisions that prove that the piece has no interior.

    Inputs that are `faces` are at an end of the box where the combination is largest, which need not be independent of
    them.
    """
    used = weights > SUPPORT * np.max(weights, initial=0.0)
    if not np.any(used):
        return None
    unit = np.max(weights) * 2.0**-BITS
    flat = _stated(state, {int(n): round(float(w / unit)) for n, w in zip(numbers[used], weights[used])})
    if flat is not None:
        return flat
    known = {space.decision: space for space in half_spaces(state, [int(n) for n in numbers[used]])}
    chosen = [known[int(n)] for n in numbers[used] if int(n) in known]
    free = np.flatnonzero(state.moving & ~faces)
    for places, exact in _combinations([[space.normal[j] for j in free] for space in chosen]):
        sign = -1 if any(w < 0 for w in exact) else 1
        # The normals are integers over powers of two of their own.
        flat = _stated(state, {chosen[k].decision: sign * w << chosen[k].exponent for k, w in zip(places, exact)})
        if flat is not None:
            return flat
    return None


def _combinations(columns: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], list[int]]]:
    """Combinations of columns that vanish: the only one of all, or those of all but one; places and integers."""
    every = list(range(len(columns)))
    exact = kernel_vector(columns)
    if exact is not None:
        yield every, exact
        return
    for left_out in every if len(every) <= FEW else ():
        places = [k for k in every if k != left_out]
        exact = kernel_vector([columns[k] for k in places])
        if exact is not None:
            yield places, exact
