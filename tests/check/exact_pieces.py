"""Bounds and matrices of pieces in rational arithmetic, written plainly: what the checkers are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf, isqrt
from typing import Any

from sdpcert.check.network import Network
from sdpcert.check.pieces import BoundsStep, Lines
from sdpcert.check.region import Region

#: A number, or an infinity.
Number = Fraction | float


def exact(number: Number) -> Number:
    return number if number in (inf, -inf) else Fraction(number)


def root(number: Fraction, bits: int = 300) -> Fraction:
    """The square root, rounded up by less than 2^-bits of it or of one."""
    return Fraction(isqrt((number.numerator << 2 * bits) // number.denominator) + 1, 1 << bits)


@dataclass
class ExactState:
    """Intervals, slopes of lines and decisions (group, neuron, sign, at) of a piece of a piecewise-linear network."""

    network: Network
    region: Region
    low: list[list[Number]]
    high: list[list[Number]]
    lower: list[list[Fraction]]
    upper: list[list[Fraction]]
    decisions: list[tuple[int, int, int, Fraction]]

    @staticmethod
    def of(network: Network, region: Region) -> ExactState:
        sizes = [group.size for group in network.groups]
        low, high, lower, upper = ([[n] * size for size in sizes] for n in (-inf, inf, Fraction(0), Fraction(0)))
        return ExactState(network, region, low, high, lower, upper, [])  # type: ignore[arg-type]

    def weights(self, target: int) -> list[tuple[int, list[list[Fraction]]]]:
        result = []
        for block in self.network.blocks:
            if block.target == target:
                flat = [Fraction(w) for w in block.weights]
                if block.low is not None:
                    flat = [w + Fraction(x) for w, x in zip(flat, block.low, strict=True)]
                rows = [flat[i * block.columns : (i + 1) * block.columns] for i in range(block.rows)]
                result.append((block.source, rows))
        return result

    def piece(self, g: int, i: int, k: int) -> tuple[Number, Number, Fraction, Fraction]:
        """Start, end, slope and value of one piece of the activation of a neuron."""
        activation: Any = self.network.groups[g - 1].activation
        start = Fraction(activation.starts[k - 1][i]) if k else -inf
        end = Fraction(activation.starts[k][i]) if k < len(activation.starts) else inf
        return start, end, Fraction(activation.slopes[k][i]), Fraction(activation.values[k][i])

    def pieces(self, g: int, i: int) -> list[tuple[Number, Number, Fraction, Fraction]]:
        activation: Any = self.network.groups[g - 1].activation
        return [self.piece(g, i, k) for k in range(len(activation.slopes))]

    def line(self, g: int, i: int, slope: Fraction, sign: int) -> tuple[Fraction, Number]:
        """Slope and constant of the line below (sign 1) or above (-1)."""
        low, high = self.low[g - 1][i], self.high[g - 1][i]
        for start, end, a, c in self.pieces(g, i):
            if start <= low and high <= end:
                return a, c
        values: list[Number] = []
        for start, end, a, c in self.pieces(g, i):
            left, right = max(start, low), min(end, high)
            if left > right:
                continue
            for v, outward in ((left, -1), (right, 1)):
                if v not in (inf, -inf):
                    values.append(sign * ((a - slope) * v + c))
                elif sign * (a - slope) * outward < 0:
                    values.append(-inf)
        return slope, sign * min(values)

    def least(self, group: int, i: int, sign: int, own: dict[tuple[int, int], Any], multipliers: Any = ()) -> Number:
        """The bound from below of `sign` times a preactivation; `own` has slopes of lines by group and neuron."""
        groups = self.network.groups
        sizes = [self.network.inputs, *(g.size for g in groups)]
        v = [[Fraction(0)] * size for size in sizes]
        z = [[Fraction(0)] * size for size in sizes]
        constant: Number = Fraction(0)
        v[group][i] += sign
        for (g, neuron, s, at), m in zip(self.decisions, multipliers, strict=False):
            v[g][neuron] -= m * s
            constant += m * s * at
        for h in range(len(groups), 0, -1):
            for j in range(sizes[h]):
                if z[h][j]:
                    below, above = own.get((h, j), (self.lower[h - 1][j], self.upper[h - 1][j]))
                    positive = z[h][j] > 0
                    slope, value = self.line(h, j, below if positive else above, 1 if positive else -1)
                    if value in (inf, -inf):
                        return -inf
                    v[h][j] += z[h][j] * slope
                    constant += z[h][j] * value
                constant += v[h][j] * Fraction(groups[h - 1].bias[j])
            for source, rows in self.weights(h):
                for j, row in enumerate(rows):
                    if v[h][j]:
                        z[source] = [a + v[h][j] * w for a, w in zip(z[source], row, strict=True)]
        return self.over_region(z[0]) + constant

    def over_region(self, a: list[Fraction]) -> Number:
        if not self.region.bounded:
            return -inf if any(a) else Fraction(0)
        low, high = self.region.ends()
        result = sum((min(x * lo, x * up) for x, lo, up in zip(a, low, high, strict=True)), Fraction(0))
        if self.region.center is not None:
            inner = sum((x * Fraction(c) for x, c in zip(a, self.region.center, strict=True)), Fraction(0))
            result = max(result, inner - Fraction(self.region.radius) * root(sum((x * x for x in a), Fraction(0))))
        return result

    def bounds(self, step: BoundsStep) -> list[Number]:
        """What a step could have as its values."""
        sign = 1 if step.side == "low" else -1
        count = len(self.decisions)
        result = []
        for r, i in enumerate(step.neurons):
            weights = [] if step.multipliers is None else step.multipliers[r * count : (r + 1) * count]
            own = {}
            for lines in step.lines:
                own |= self.own(lines, r)
            result.append(sign * self.least(step.group, i, sign, own, [Fraction(m) for m in weights]))
        return result

    def own(self, lines: Lines, r: int) -> dict[tuple[int, int], tuple[Fraction, Fraction]]:
        k = len(lines.neurons)
        return {
            (lines.group, i): (Fraction(lines.lower[r * k + j]), Fraction(lines.upper[r * k + j]))
            for j, i in enumerate(lines.neurons)
        }

    def slopes(self, g: int, i: int) -> tuple[Fraction, Fraction]:
        low, high = self.low[g - 1][i], self.high[g - 1][i]
        if low == high:
            return next((a, a) for start, end, a, _ in self.pieces(g, i) if start <= low <= end)
        met = [a for start, end, a, _ in self.pieces(g, i) if max(start, low) < min(end, high)]
        return min(met), max(met)

    def matrix(self, rho: Fraction, exponent: int, multipliers: list[list[Fraction]]) -> list[list[Fraction]]:
        """M of the piece, coordinates: the inputs that move, then the neurons that are not decided, in their order."""
        sizes = [self.network.inputs, *(g.size for g in self.network.groups)]
        fixed = self.region.fixed(sizes[0])
        places = {(0, j): p for p, j in enumerate(j for j in range(sizes[0]) if not fixed[j])}
        slopes = {(g, i): self.slopes(g, i) for g in range(1, len(sizes)) for i in range(sizes[g])}
        for at, (alpha, beta) in slopes.items():
            if alpha != beta:
                places[at] = len(places)
        n = len(places)
        values: dict[tuple[int, int], list[Fraction]] = {}

        def unit(place: int | None) -> list[Fraction]:
            return [Fraction(int(place == q)) for q in range(n)]

        for j in range(sizes[0]):
            values[0, j] = unit(places.get((0, j)))
        result = [[Fraction(0)] * n for _ in range(n)]

        def add(left: list[Fraction], right: list[Fraction], factor: Fraction) -> None:
            for p in range(n):
                for q in range(n):
                    result[p][q] += factor * left[p] * right[q]

        weights = iter([m for group in multipliers for m in group])
        for g in range(1, len(sizes) + 1):
            count = self.network.outputs if g == len(sizes) else sizes[g]
            for i in range(count):
                k = [Fraction(0)] * n
                for source, rows in self.weights(g):
                    for j, w in enumerate(rows[i]):
                        k = [a + w * b for a, b in zip(k, values[source, j], strict=True)]
                if g == len(sizes):
                    add(k, k, -(Fraction(4) ** -exponent))
                    continue
                alpha, beta = slopes[g, i]
                if alpha == beta:
                    values[g, i] = [alpha * a for a in k]
                    continue
                e = values[g, i] = unit(places[g, i])
                m = next(weights)
                add(e, e, 2 * m)
                add(e, k, -m * (alpha + beta))
                add(k, e, -m * (alpha + beta))
                add(k, k, 2 * m * alpha * beta)
        for (g, _), p in places.items():
            result[p][p] += rho if g == 0 else 0
        return result
