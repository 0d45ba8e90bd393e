"""What quadratic facts prove of a preactivation, from the format page, with NumPy and nothing of the package.

A network is a chain of layers `(weights, bias)` with one activation between them. A piece is the set of inputs of a
region whose preactivations lie in given intervals and satisfy given decisions, so that it can be sampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.check import covers
from tests.check.covers import Document

Array = np.ndarray


@dataclass(frozen=True)
class Kind:
    """An activation: what it is in a file, its values, and for piecewise-linear ones the pieces from the left."""

    document: Callable[[int], Document]
    slopes: tuple[float, float]
    value: Callable[[Array], Array]
    pieces: tuple[tuple[float, float, float], ...] = ()  # start, slope, value at zero


def linear_pieces(*pieces: tuple[float, float, float]) -> Kind:
    """A piecewise-linear activation."""
    starts, slopes, at_zero = ([p[k] for p in pieces] for k in range(3))

    def document(size: int) -> Document:
        return covers.piecewise_linear(size, starts[1:], slopes, at_zero)

    def value(v: Array) -> Array:
        k = np.searchsorted(starts[1:], v)
        return np.asarray(slopes)[k] * v + np.asarray(at_zero)[k]

    return Kind(document, (min(slopes), max(slopes)), value, pieces)


RELU = linear_pieces((-np.inf, 0.0, 0.0), (0.0, 1.0, 0.0))
LEAKY = linear_pieces((-np.inf, 0.125, 0.0), (0.0, 1.0, 0.0))
ABSOLUTE = linear_pieces((-np.inf, -1.0, 0.0), (0.0, 1.0, 0.0))
CONCAVE = linear_pieces((-np.inf, 1.0, 0.0), (0.25, 0.5, 0.125))
HARD_TANH = linear_pieces((-np.inf, 0.0, -1.0), (-1.0, 1.0, 0.0), (1.0, 0.0, 1.0))
TANH = Kind(lambda size: covers.smooth("tanh"), (0.0, 1.0), np.tanh)
KINDS = (RELU, LEAKY, ABSOLUTE, CONCAVE, HARD_TANH, TANH)


@dataclass
class Piece:
    """A network on a piece: intervals of the groups before the last layer, and slopes of the lines of each neuron."""

    layers: list[tuple[Array, Array]]
    kind: Kind
    box: tuple[Array, Array]
    ball: tuple[Array, float] | None
    low: list[Array]
    high: list[Array]
    lower: list[Array]
    upper: list[Array]
    decisions: list[tuple[int, int, int, float]] = field(default_factory=list)

    def run(self, x: Array) -> list[Array]:
        """Preactivations of every layer at inputs, one a row."""
        found = []
        for k, (weights, bias) in enumerate(self.layers):
            found.append((self.kind.value(found[-1]) if k else x) @ weights.T + bias)
        return found

    def sample(self, rng: np.random.Generator, count: int) -> list[Array]:
        """Preactivations at points of the piece."""
        low, high = self.box
        x = rng.uniform(low, high, (count, len(low)))
        if self.ball is not None:
            x = x[np.linalg.norm(x - self.ball[0], axis=1) <= self.ball[1]]
        found = self.run(x)
        inside = np.ones(len(x), dtype=bool)
        for v, below, above in zip(found[:-1], self.low, self.high, strict=True):
            inside &= np.all((v >= below) & (v <= above), axis=1)
        for group, neuron, sign, at in self.decisions:
            inside &= sign * (found[group - 1][:, neuron] - at) >= 0
        return [v[inside] for v in found]

    # ---------------------------------------------------------------- facts

    def own_pieces(self, group: int, i: int) -> list[tuple[float, float, float]]:
        """The linear pieces that meet the interval of a neuron in more than a point."""
        starts = [p[0] for p in self.kind.pieces[1:]] + [np.inf]
        low, high = self.low[group - 1][i], self.high[group - 1][i]
        return [p for p, end in zip(self.kind.pieces, starts, strict=True) if max(p[0], low) < min(end, high)]

    def undecided(self, group: int) -> list[int]:
        """The neurons of a group that are not linear on their intervals."""
        size = len(self.low[group - 1])
        return [i for i in range(size) if not self.kind.pieces or self._bends(group, i)]

    def _bends(self, group: int, i: int) -> bool:
        return len({slope for _, slope, _ in self.own_pieces(group, i)}) > 1

    def line(self, group: int, i: int, below: bool) -> tuple[float, float]:
        """Slope and offset of the line below or above."""
        low, high = self.low[group - 1][i], self.high[group - 1][i]
        slope = (self.lower if below else self.upper)[group - 1][i]
        if self.kind.pieces:
            points = np.array([low, high, *(p[0] for p in self.kind.pieces[1:] if low < p[0] < high)])
            values = self.kind.value(points) - slope * points
            return slope, float(values.min() if below else values.max())
        # phi >= max(phi(l) + a (v - l), phi(u) - b (u - v)) with slopes (a, b) = (0, 1), and turned over from above;
        # what a line is compared with is least or greatest at an end or where the two meet.
        at_low, at_high = self.kind.value(np.array([low, high]))
        meets = high - (at_high - at_low) if below else low + (at_high - at_low)
        points = np.array([low, meets, high])
        curve = np.maximum(at_low, at_high - high + points) if below else np.minimum(at_low + points - low, at_high)
        values = curve - slope * points
        return slope, float(values.min() if below else values.max())

    def facts(self, group: int, i: int) -> list[Array]:
        """The facts of a neuron as symmetric matrices over (1, v, z)."""

        def product(a: tuple[float, ...], b: tuple[float, ...]) -> Array:
            return (np.outer(a, b) + np.outer(b, a)) / 2

        one = (1.0, 0.0, 0.0)
        low, high = self.low[group - 1][i], self.high[group - 1][i]
        (below, under), (above, over) = (self.line(group, i, side) for side in (True, False))
        down, up = (-under, -below, 1.0), (over, above, -1.0)
        kinks = [p[0] for p in self.kind.pieces[1:] if low < p[0] < high]
        if len(kinks) != 1:
            return [product(up, down), product(down, one), product(up, one)]
        (_, a, b), (_, c, d) = self.own_pieces(group, i)
        k = 1.0 if c > a else -1.0
        p, q, line = (-b, -a, 1.0), (-d, -c, 1.0), up if k > 0 else down
        return [
            -product(p, q), k * product(p, one), k * product(q, one), product(line, one),
            k * product(q, (-low, 1.0, 0.0)), k * product(p, (high, -1.0, 0.0)),
        ]  # fmt: skip

    # ---------------------------------------------------------------- what weights prove

    def best(
        self, group: int, neuron: int, sign: int, scales: Array | None, ball: float, weights: list[list[Array]],
        decisions: Array,
    ) -> float:  # fmt: skip
        """The largest t for which the weights prove `sign v >= t`; -inf if there is none."""
        low, high = self.box
        if scales is None:
            assert self.ball is not None
            center, square, scale = self.ball[0], self.ball[1] ** 2, np.ones(len(low))
        else:
            center, scale = (low + high) / 2, scales
            square = float(np.sum(((high - center) / scale) ** 2))
        open_neurons = [(g, i) for g in range(1, group) for i in self.undecided(g)]
        inputs, size = len(low), 1 + len(low) + len(open_neurons)
        place = {key: 1 + inputs + k for k, key in enumerate(open_neurons)}
        unit = np.eye(size)
        z = np.vstack([center[j] * unit[0] + scale[j] * unit[1 + j] for j in range(inputs)])
        v: dict[int, Array] = {}
        for g in range(1, group + 1):
            weight, bias = self.layers[g - 1]
            v[g] = weight @ z + np.outer(bias, unit[0])
            if g < group:
                rows = []
                for i in range(len(bias)):
                    if (g, i) in place:
                        rows.append(unit[place[g, i]])
                    else:
                        (_, slope, at_zero), *_ = self.own_pieces(g, i)
                        rows.append(slope * v[g][i] + at_zero * unit[0])
                z = np.vstack(rows)
        total = np.zeros((size, size))

        def add(form: Array, row: Array, own: Array) -> None:
            base = np.vstack([unit[0], row, own])
            nonlocal total
            total = total + base.T @ form @ base

        linear = np.zeros((3, 3))
        linear[0, 1] = linear[1, 0] = 0.5
        add(sign * linear, v[group][neuron], unit[0])
        for g in range(1, group):
            for i, own in zip(self.undecided(g), weights[g - 1], strict=True):
                form = sum(w * fact for w, fact in zip(own, self.facts(g, i), strict=True))
                add(-np.asarray(form), v[g][i], unit[place[g, i]])
        for (g, i, way, at), weight in zip(self.decisions, decisions, strict=True):
            add(-weight * way * linear, v[g][i], unit[0]) if weight else None
            total[0, 0] += weight * way * at
        total[0, 0] -= ball * square
        total[1 : 1 + inputs, 1 : 1 + inputs] += ball * np.eye(inputs)
        rest = total[1:, 1:]
        if np.linalg.eigvalsh(rest)[0] <= 1e-3:  # not solved well enough to be compared with
            return -np.inf
        return float(total[0, 0] - total[0, 1:] @ np.linalg.solve(rest, total[0, 1:]))
