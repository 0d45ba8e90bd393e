"""Small networks whose exact constants are found by listing all patterns, for the tests of branch and bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from scipy.optimize import linprog

from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Bounded, Flat, Piece, Split
from sdpcert.regions.region import AllInputs, Ball, Region
from sdpcert.regions.state import State

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Mlp:
    """A chain of dense ReLU layers."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    @staticmethod
    def random(seed: int, biases: bool, most: int = 12) -> Mlp:
        """At most `most` neurons in one to three layers."""
        rng = np.random.default_rng(seed)
        hidden = [int(k) for k in rng.integers(1, 5, int(rng.integers(1, 4)))]
        while sum(hidden) > most:
            hidden.pop()
        sizes = [int(rng.integers(1, 4)), *hidden, int(rng.integers(1, 3))]
        weights = tuple(rng.standard_normal((b, a)) for a, b in pairwise(sizes))
        shift = tuple(rng.standard_normal(b) if biases else np.zeros(b) for b in sizes[1:])
        return Mlp(weights, shift)

    @property
    def network(self) -> Network:
        return Network.mlp(list(self.weights), list(self.biases))

    @property
    def form(self) -> StackedForm:
        """A neuron for every entry: weights as they are stored."""
        return self.network.unshared

    def jacobians(self, low: Array | None = None, high: Array | None = None) -> Iterator[Array]:
        """The Jacobians of all patterns with interior points in a box, or everywhere."""
        inputs = self.weights[0].shape[1]
        yield from self._patterns(0, np.eye(inputs), np.zeros(inputs), np.zeros((0, inputs)), np.zeros(0), low, high)

    def _patterns(
        self, layer: int, matrix: Array, offset: Array, rows: Array, right: Array, low: Array | None, high: Array | None
    ) -> Iterator[Array]:
        matrix = self.weights[layer] @ matrix
        offset = self.weights[layer] @ offset + self.biases[layer]
        if layer == len(self.weights) - 1:
            yield matrix
            return
        cells = [(rows, right, np.zeros(0))]
        for row, constant in zip(matrix, offset, strict=True):
            divided = []
            for own, ends, slopes in cells:
                if not np.any(np.abs(row) > 1e-13):
                    divided.append((own, ends, np.append(slopes, float(constant > 0))))
                    continue
                for sign, slope in ((1.0, 1.0), (-1.0, 0.0)):
                    more, limits = np.vstack([own, -sign * row]), np.append(ends, sign * constant)
                    if has_interior(more, limits, low, high):
                        divided.append((more, limits, np.append(slopes, slope)))
            cells = divided
        for own, ends, slopes in cells:
            yield from self._patterns(layer + 1, slopes[:, None] * matrix, slopes * offset, own, ends, low, high)

    def constant(self, low: Array | None = None, high: Array | None = None) -> float:
        """The exact Lipschitz constant, to rounding."""
        return max(float(np.linalg.norm(j, 2)) for j in self.jacobians(low, high))


def has_interior(rows: Array, right: Array, low: Array | None, high: Array | None) -> bool:
    """Whether `rows x <= right` has interior points in a box, or everywhere."""
    if low is not None and high is not None:
        rows = np.vstack([rows, np.eye(len(low)), -np.eye(len(low))])
        right = np.concatenate([right, high, -low])
    lengths = np.linalg.norm(rows, axis=1)
    bounds = [(None, None)] * rows.shape[1] + [(None, 1.0)]
    cost = np.append(np.zeros(rows.shape[1]), -1.0)
    found = linprog(cost, A_ub=np.column_stack([rows, lengths]), b_ub=right, bounds=bounds)
    return found.status == 0 and found.x[-1] > 1e-9


def states(form: StackedForm, region: Region, pieces: Sequence[Piece]) -> list[State]:
    """The state of every piece after its steps, from the file's data alone."""
    found: list[State] = []
    for piece in pieces:
        if piece.parent is None:
            state = State.of(form, region)
        else:
            end = pieces[piece.parent].end
            assert isinstance(end, Split)
            assert piece.side is not None
            state = found[piece.parent].on_side(end, piece.side)
        for step in piece.steps:
            state = state.after(step)
        found.append(state)
    return found


def is_tree(pieces: Sequence[Piece]) -> bool:
    """Whether every piece that is split has one child on each side, after it, and no other has any."""
    children: dict[int, list[str | None]] = {k: [] for k in range(len(pieces))}
    for k, piece in enumerate(pieces[1:], start=1):
        if piece.parent is None or piece.parent >= k:
            return False
        children[piece.parent].append(piece.side)
    wanted = [["above", "below"] if isinstance(p.end, Split) else [] for p in pieces]
    return pieces[0].parent is None and all(sorted(map(str, children[k])) == wanted[k] for k in children)


def is_proved(state: State, end: Bounded) -> bool:
    """Whether the condition of a piece holds at its point, in rational arithmetic from the network's own weights."""
    form, moving = state.form, np.flatnonzero(state.moving)
    undecided = state.undecided
    order = [(0, int(j)) for j in moving] + [
        (g, int(i)) for g in range(1, form.output_row) for i in np.flatnonzero(undecided[g - 1])
    ]
    place = {key: k for k, key in enumerate(order)}

    def unit(key: tuple[int, int]) -> list[Fraction]:
        return [Fraction(int(k == place.get(key))) for k in range(len(order))]

    values: list[list[list[Fraction]]] = [[unit((0, j)) for j in range(form.inputs)]]
    reads: dict[tuple[int, int], list[Fraction]] = {}

    def rows(to: int) -> list[list[Fraction]]:
        total = [[Fraction(0)] * len(order) for _ in range(form.sizes[to])]
        for source, block in form.row(to).items():
            assert block.radius == 0
            for i in range(block.weights.shape[0]):
                for j in range(block.weights.shape[1]):
                    weight = Fraction(float(block.weights[i, j]))
                    weight += Fraction(0) if block.low is None else Fraction(float(block.low[i, j]))
                    if weight:
                        total[i] = [a + weight * b for a, b in zip(total[i], values[source][j])]
        return total

    slopes = {}
    for g in range(1, form.output_row):
        alpha, beta = state.slopes(g)
        own = []
        for i, row in enumerate(rows(g)):
            reads[g, i] = row
            slopes[g, i] = Fraction(float(alpha[i])), Fraction(float(beta[i]))
            own.append(unit((g, i)) if undecided[g - 1][i] else [slopes[g, i][0] * c for c in row])
        values.append(own)
    size = len(order)
    matrix = [[Fraction(0)] * size for _ in range(size)]
    for k in range(len(moving)):
        matrix[k][k] += Fraction(end.rho)
    scale = Fraction(1, 4) ** end.exponent if end.exponent >= 0 else Fraction(4) ** -end.exponent
    for row in rows(form.output_row):
        add(matrix, row, row, -scale)
    for g in range(1, form.output_row):
        for weight, i in zip(end.multipliers[g - 1], np.flatnonzero(undecided[g - 1]), strict=True):
            if weight < 0:
                return False
            z, v, (a, b) = unit((g, int(i))), reads[g, int(i)], slopes[g, int(i)]
            p, q = [s - a * t for s, t in zip(z, v)], [s - b * t for s, t in zip(z, v)]
            add(matrix, p, q, Fraction(float(weight)))
            add(matrix, q, p, Fraction(float(weight)))
    return is_semidefinite(matrix)


def add(matrix: list[list[Fraction]], left: list[Fraction], right: list[Fraction], weight: Fraction) -> None:
    for k, a in enumerate(left):
        if a:
            matrix[k] = [m + weight * a * b for m, b in zip(matrix[k], right)]


def is_semidefinite(matrix: list[list[Fraction]]) -> bool:
    """By elimination: a pivot of zero needs a row of zeros."""
    rows = [list(row) for row in matrix]
    for k in range(len(rows)):
        pivot = rows[k][k]
        if pivot < 0 or (pivot == 0 and any(rows[k][k:])):
            return False
        for r in range(k + 1, len(rows)):
            if pivot and rows[r][k]:
                factor = rows[r][k] / pivot
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[k])]
    return True


def proves_flat(state: State, end: Flat) -> bool:
    """What the format asks of a flat piece of a chain of ReLU layers, in rational arithmetic."""
    form = state.form
    inputs = form.inputs
    values = [[Fraction(int(i == j)) for j in range(inputs)] + [Fraction(0)] for i in range(inputs)]
    total, moving = [Fraction(0)] * (inputs + 1), False
    needed = max(d.group for d, w in zip(state.decisions, end.weights, strict=True) if w)
    for g in range(1, needed + 1):
        group, block = form.groups[g - 1], form.blocks[g, g - 1]
        assert block.radius == 0
        assert block.low is None
        reads = []
        for i in range(group.size):
            row = [Fraction(0)] * inputs + [Fraction(float(group.bias[i]))]
            for weight, value in zip(block.weights[i], values):
                row = [a + Fraction(float(weight)) * b for a, b in zip(row, value)]
            reads.append(row)
        for d, w in zip(state.decisions, end.weights, strict=True):
            if d.group == g and w:
                assert w > 0
                row = list(reads[d.neuron])
                moving |= any(row[:-1])
                row[-1] -= Fraction(d.at)
                total = [a + w * (1 if d.side == "above" else -1) * b for a, b in zip(total, row)]
        if g < needed:
            ends = zip(state.low[g - 1], state.high[g - 1], strict=True)
            slopes = [1 if l >= 0 else 0 if u <= 0 else None for l, u in ends]
            assert None not in slopes
            values = [[(s or 0) * c for c in row] for s, row in zip(slopes, reads, strict=True)]
    if isinstance(state.region, AllInputs):
        return not any(total[:-1]) and (total[-1] < 0 or (total[-1] == 0 and moving))
    if isinstance(state.region, Ball):
        center = total[-1] + sum((c * Fraction(float(x)) for c, x in zip(total, state.region.center)), Fraction(0))
        square = Fraction(state.region.radius) ** 2 * sum((c * c for c in total[:-1]), Fraction(0))
        if center < 0 and center**2 > square:
            return True
    corner = [Fraction(float(h if c > 0 else l)) for c, l, h in zip(total, state.box_low, state.box_high)]
    largest = total[-1] + sum((c * x for c, x in zip(total, corner)), Fraction(0))
    return largest < 0 or (largest == 0 and (any(total[:-1]) or moving))
