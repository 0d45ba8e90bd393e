"""Quadratic bounds in rational arithmetic, written plainly: what the checkers are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from sdpcert.check.network import Network
from sdpcert.check.pieces import QuadraticStep
from sdpcert.check.region import Region
from sdpcert.check.state_floating import State

#: A row of coefficients, or a matrix of them.
Row = list[Fraction]
Matrix = list[Row]


def dot(left: Sequence[Fraction], right: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


class ExactQuadratic:
    """The quadratic form of a step over (1, y, z), with the value zero in place of the step's own.

    Intervals, lines and the box are those of a state in floating point, taken as exact; weights are nominal.
    """

    def __init__(self, network: Network, region: Region, state: State, step: QuadraticStep) -> None:
        self.network, self.state, self.step = network, state, step
        self.inputs = network.inputs
        self.undecided: list[tuple[int, int]] = []
        for g in range(1, step.group):
            alpha, beta = state.neurons[g - 1].slopes
            self.undecided += [(g, i) for i in range(len(alpha)) if alpha[i] != beta[i]]
        self.order = 1 + self.inputs + len(self.undecided)
        self.center, self.scales, self.square = self.ellipsoid(region)
        self.preactivations, self.activations = self.rows()
        self.matrix = self.form()

    def ellipsoid(self, region: Region) -> tuple[Row, Row, Fraction]:
        if self.step.scales is None:
            assert region.center is not None
            return [Fraction(c) for c in region.center], [Fraction(1)] * self.inputs, Fraction(region.radius) ** 2
        low, high = ([Fraction(float(x)) for x in ends] for ends in (self.state.low, self.state.high))
        center = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        scales = [Fraction(s) for s in self.step.scales]
        ratios = [(b - c) / s for b, c, s in zip(high, center, scales, strict=True)]
        return center, scales, dot(ratios, ratios)

    def unit(self, place: int) -> Row:
        return [Fraction(int(k == place)) for k in range(self.order)]

    def rows(self) -> tuple[dict[tuple[int, int], Row], dict[tuple[int, int], Row]]:
        """Preactivations and activations (those of group 0 are the inputs) as rows over (1, y, z)."""
        before, after = {}, {}
        for j in range(self.inputs):
            row = [self.scales[j] * x for x in self.unit(1 + j)]
            after[0, j] = [row[0] + self.center[j], *row[1:]]
        for g in range(1, self.step.group + 1):
            some = self.network.groups[g - 1]
            for i in range(some.size):
                row = [Fraction(some.bias[i]) * x for x in self.unit(0)]
                for block in self.network.blocks:
                    if block.target == g:
                        for j in range(block.columns):
                            k = i * block.columns + j
                            w = Fraction(block.weights[k]) + (0 if block.low is None else Fraction(block.low[k]))
                            row = [a + w * b for a, b in zip(row, after[block.source, j], strict=True)]
                before[g, i] = row
                if g == self.step.group:
                    continue
                if (g, i) in self.undecided:
                    after[g, i] = self.unit(1 + self.inputs + self.undecided.index((g, i)))
                else:
                    slope, value = self.decided(g, i)
                    after[g, i] = [slope * a + value * b for a, b in zip(row, self.unit(0), strict=True)]
        return before, after

    def ends(self, g: int, i: int) -> tuple[float, float]:
        known = self.state.neurons[g - 1].known
        return float(known.low[i]), float(known.high[i])

    def decided(self, g: int, i: int) -> tuple[Fraction, Fraction]:
        low, high = self.ends(g, i)
        activation: Any = self.network.groups[g - 1].activation
        bounds = [-np.inf, *(start[i] for start in activation.starts), np.inf]
        for k, (slope, value) in enumerate(zip(activation.slopes, activation.values, strict=True)):
            if bounds[k] <= low and high <= bounds[k + 1]:
                return Fraction(slope[i]), Fraction(value[i])
        raise AssertionError("no piece has the whole interval")

    def facts(self, g: int, i: int, one: Row, v: Row, z: Row) -> list[tuple[Row, Row] | None]:
        """Each as a product of two affine functions of the rows 1, v and z; None where an end or a line is missing."""
        low, high = self.ends(g, i)
        lines = self.state.neurons[g - 1].lines

        def line(slope: float, value: float) -> Row | None:
            if not isfinite(value):
                return None
            return [Fraction(float(slope)) * a + Fraction(float(value)) * b for a, b in zip(v, one, strict=True)]

        def minus(left: Row | None, right: Row | None, factor: int = 1) -> Row | None:
            if left is None or right is None:
                return None
            return [factor * (a - b) for a, b in zip(left, right, strict=True)]

        def times(left: Row | None, right: Row | None) -> tuple[Row, Row] | None:
            return None if left is None or right is None else (left, right)

        below, above = (line(lines.slopes[k][i], lines.values[k][i]) for k in (0, 1))
        activation: Any = self.network.groups[g - 1].activation
        kinks = []
        for k, start in enumerate(getattr(activation, "starts", ())):
            if low < start[i] < high and activation.slopes[k][i] != activation.slopes[k + 1][i]:
                kinks.append(k)
        if len(kinks) != 1:
            return [
                times(minus(above, z), minus(z, below)),
                times(minus(z, below), one),
                times(minus(above, z), one),
            ]
        (k,) = kinks
        p, q = (line(activation.slopes[n][i], activation.values[n][i]) for n in (k, k + 1))
        kappa = 1 if activation.slopes[k + 1][i] > activation.slopes[k][i] else -1
        first, last = (None if not isfinite(end) else [Fraction(end) * x for x in one] for end in (low, high))
        return [
            times(minus(p, z), minus(z, q)),
            times(minus(z, p, kappa), one),
            times(minus(z, q, kappa), one),
            times(minus(above if kappa > 0 else below, z, kappa), one),
            times(minus(z, q, kappa), minus(v, first)),
            times(minus(z, p, kappa), minus(last, v)),
        ]

    def weighed(self) -> list[tuple[int, int, Row]]:
        """The undecided neurons with the weights of their facts."""
        numbers, found = iter([w for some in self.step.multipliers for w in some]), []
        unit = [Fraction(1)] * 3
        for g, i in self.undecided:
            found.append((g, i, [Fraction(next(numbers)) for _ in self.facts(g, i, unit, unit, unit)]))
        return found

    def charge(self, errors: dict[tuple[int, int], Fraction]) -> Fraction:
        """What errors of preactivations cost, those of the bounded neuron included; there are no decisions."""
        one, v, z = ([Fraction(int(k == place)) for k in range(3)] for place in range(3))
        result = errors[self.step.group, self.step.neuron]
        for g, i, weights in self.weighed():
            single = square = mixed = Fraction(0)
            for weight, fact in zip(weights, self.facts(g, i, one, v, z)):
                if weight:
                    assert fact is not None
                    left, right = fact
                    single += weight * (left[0] * right[1] + left[1] * right[0])
                    square += weight * left[1] * right[1]
                    mixed += weight * (left[1] * right[2] + left[2] * right[1])
            error, known = errors[g, i], self.state.neurons[g - 1]
            most = [Fraction(float(x)) for x in (known.known.largest[i], known.sizes.sizes[i])]
            result += error * (abs(single) + abs(mixed) * most[1] + abs(square) * (2 * most[0] + error))
        return result

    def form(self) -> Matrix:
        step, one = self.step, self.unit(0)
        result = [[Fraction(0)] * self.order for _ in range(self.order)]

        def add(left: Row, right: Row, factor: Fraction) -> None:
            for a in range(self.order):
                for b in range(self.order):
                    result[a][b] += factor * (left[a] * right[b] + left[b] * right[a]) / 2

        add(one, self.preactivations[step.group, step.neuron], Fraction(1 if step.side == "low" else -1))
        for decision, weight in zip(self.state.decisions, step.decisions or [], strict=False):
            if weight:
                sign, row = int(decision.sign), self.preactivations[decision.group, decision.neuron]
                add(one, row, -Fraction(weight) * sign)
                add(one, one, Fraction(weight) * sign * Fraction(decision.at))
        for g, i, weights in self.weighed():
            for weight, fact in zip(weights, self.facts(g, i, one, self.preactivations[g, i], self.activations[g, i])):
                if weight:
                    assert fact is not None
                    add(*fact, -weight)
        ball = Fraction(step.ball)
        add(one, one, -ball * self.square)
        for j in range(self.inputs):
            add(self.unit(1 + j), self.unit(1 + j), ball)
        return result

    def largest(self) -> Fraction | None:
        """The largest `s value` for which the form is semidefinite; None if that of y and z is not definite."""
        rows = [row[:] for row in self.matrix[::-1]]  # the constant comes last
        rows = [row[::-1] for row in rows]
        n = len(rows)
        for k in range(n - 1):
            if rows[k][k] <= 0:
                return None
            for i in range(k + 1, n):
                factor = rows[i][k] / rows[k][k]
                if factor:
                    rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
        return rows[n - 1][n - 1]

    def at(self, inputs: Sequence[Fraction], activations: Sequence[Fraction]) -> Fraction:
        """The form at inputs and activations of the undecided neurons."""
        y = [(x - c) / s for x, c, s in zip(inputs, self.center, self.scales, strict=True)]
        w = [Fraction(1), *y, *activations]
        return dot(w, [dot(row, w) for row in self.matrix])
