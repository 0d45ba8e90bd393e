"""A small writer of covers of rectifier networks: splits, bounds by lines, conditions with plain multipliers.

It works in float64 with room for rounding, and knows nothing of the package: what it writes is what the format page
says, not what the package would.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.check import covers
from tests.check.covers import Document

Array = np.ndarray
ROOM = 1e-9


@dataclass
class Set:
    """A region as numbers: a box, and a ball if there is a center."""

    low: Array
    high: Array
    center: Array | None = None
    radius: float = np.inf
    within: bool = False

    def document(self) -> Document:
        if self.center is None:
            return covers.box(self.low, self.high)
        ends = (self.low, self.high) if self.within else (None, None)
        return covers.ball(self.center, self.radius, *ends)

    def least(self, coefficients: Array) -> Array:
        """Least values of linear functions, one a row."""
        low, high = self.low, self.high
        if self.center is not None:
            low, high = np.maximum(low, self.center - self.radius), np.minimum(high, self.center + self.radius)
        on_box = np.minimum(coefficients * low, coefficients * high).sum(axis=1)
        if self.center is None:
            return on_box
        return np.maximum(on_box, coefficients @ self.center - self.radius * np.linalg.norm(coefficients, axis=1))

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """Points of the set."""
        if self.center is None:
            return rng.uniform(self.low, self.high, (count, len(self.low)))
        steps = rng.normal(size=(count, len(self.center)))
        steps *= (rng.random(count) ** (1 / len(self.center)) * self.radius / np.linalg.norm(steps, axis=1))[:, None]
        points = self.center + steps
        if self.within:  # a point moved into the box comes nearer to its center, if that lies in the box
            points = np.clip(points, self.low, self.high)
        return points[np.linalg.norm(points - self.center, axis=1) <= self.radius * (1 - 1e-12)]


@dataclass
class Writer:
    """Writes the cover of a network of rectifiers (`layers` of weights and biases) on a set."""

    layers: list[tuple[Array, Array]]
    region: Set
    depth: int
    pieces: list[Document] = field(default_factory=list)
    bound: float = 0.0

    def document(self, attained: Any = None) -> Document:
        """The certificate."""
        sizes = [len(bias) for _, bias in self.layers[:-1]]
        state = State([np.full(n, -np.inf) for n in sizes], [np.full(n, np.inf) for n in sizes], self.region)
        self._write(state, None, None, self.depth)
        net = covers.chain(self.layers)
        return covers.file(net, self.region.document(), self.pieces, self.bound, attained)

    def _write(self, state: State, parent: int | None, side: str | None, depth: int) -> None:
        number = len(self.pieces)
        written = covers.piece(covers.EMPTY, parent=parent, side=side)
        self.pieces.append(written)
        for group in range(1, len(self.layers)):
            if state.is_empty:
                return
            written["steps"] += state.tighten(self.layers, group)
        if state.is_empty:
            return
        undecided = [(g, i) for g, mask in enumerate(state.undecided, 1) for i in np.flatnonzero(mask)]
        if depth and undecided:
            group, neuron = undecided[0]
            written["end"] = covers.split(group, int(neuron))
            for way in ("below", "above"):
                self._write(state.on_side(group, int(neuron), way), number, way, depth - 1)
            return
        rho, multipliers = condition(self.layers, state.slopes)
        self.bound = max(self.bound, np.nextafter(np.sqrt(rho) * (1 + 1e-15), np.inf))
        written["end"] = covers.condition(rho, *(m[mask] for m, mask in zip(multipliers, state.undecided, strict=True)))


@dataclass
class State:
    """Intervals of preactivations, the set, and decisions (group, neuron, sign)."""

    low: list[Array]
    high: list[Array]
    region: Set
    decisions: tuple[tuple[int, int, float], ...] = ()

    @property
    def is_empty(self) -> bool:
        return any(np.any(low > high) for low, high in zip(self.low, self.high, strict=True))

    @property
    def slopes(self) -> list[tuple[Array, Array]]:
        # A neuron whose interval is zero alone meets both pieces.
        return [
            (np.where((low >= 0) & (high > 0), 1.0, 0.0), np.where((high > 0) | ((low == 0) & (high == 0)), 1.0, 0.0))
            for low, high in zip(self.low, self.high, strict=True)
        ]

    @property
    def undecided(self) -> list[Array]:
        return [alpha != beta for alpha, beta in self.slopes]

    def on_side(self, group: int, neuron: int, side: str) -> State:
        low, high = [a.copy() for a in self.low], [a.copy() for a in self.high]
        if side == "below":
            high[group - 1][neuron] = min(high[group - 1][neuron], 0.0)
        else:
            low[group - 1][neuron] = max(low[group - 1][neuron], 0.0)
        decision = (group, neuron, 1.0 if side == "above" else -1.0)
        return replace(self, low=low, high=high, decisions=(*self.decisions, decision))

    def lines(self, group: int) -> tuple[Array, Array]:
        """Slopes of the lines below and above a group's activations."""
        low, high = self.low[group - 1], self.high[group - 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            upper = np.where((low < 0) & (high > 0), high / (high - low), (low >= 0).astype(float))
        return (high > -low).astype(float), upper

    def tighten(self, layers: list[tuple[Array, Array]], group: int) -> list[Document]:
        """Bound a group from both sides; the steps as the file has them."""
        steps, size = [], len(layers[group - 1][1])
        for below in range(1, group):
            lower, upper = self.lines(below)
            steps.append(covers.lines_step(below, range(len(lower)), lower, upper))
        multipliers = np.zeros((size, len(self.decisions)))
        if self.decisions and self.decisions[-1][0] <= group:
            multipliers[:, -1] = 0.05 * np.abs(layers[group - 1][0]).max()
        for sign, side in ((1.0, "low"), (-1.0, "high")):
            found = self.least(layers, group, sign * np.eye(size), multipliers)
            values = sign * (found - ROOM * (1 + np.abs(found)))
            steps.append(covers.bounds(side, group, values, multipliers=multipliers))
            if sign > 0:
                self.low[group - 1] = np.maximum(self.low[group - 1], values)
            else:
                self.high[group - 1] = np.minimum(self.high[group - 1], values)
            if self.is_empty:
                break
        return steps

    def least(self, layers: list[tuple[Array, Array]], group: int, rows: Array, multipliers: Array) -> Array:
        """Least values of rows of preactivations of a group, with decisions weighed for each row."""
        constants, neurons = np.zeros(len(rows)), rows
        for g in range(group, 0, -1):
            if g < group:
                low, high = self.low[g - 1], self.high[g - 1]
                lower, upper = self.lines(g)
                both = (low < 0) & (high > 0)
                lower = np.where(both, lower, (low >= 0).astype(float))
                offsets = np.where(both, -upper * low, 0.0)
                constants = constants + np.minimum(neurons, 0.0) @ offsets
                neurons = np.where(neurons > 0, neurons * lower, neurons * upper)
            for d, (decided, neuron, sign) in enumerate(self.decisions):
                if decided == g:
                    neurons = neurons.copy()
                    neurons[:, neuron] -= multipliers[:, d] * sign
            weights, bias = layers[g - 1]
            constants, neurons = constants + neurons @ bias, neurons @ weights
        return constants + self.region.least(neurons)


def condition(layers: list[tuple[Array, Array]], slopes: list[tuple[Array, Array]]) -> tuple[float, list[Array]]:
    """rho and multipliers that satisfy the condition with some slopes, decided neurons substituted."""
    sizes = [layers[0][0].shape[1], *(len(bias) for _, bias in layers[:-1])]
    offsets = np.cumsum([0, *sizes])
    total = int(offsets[-1])
    # v and z of every group as rows over all coordinates (x, z), decided neurons as their substitutes.
    z = np.eye(total)[: sizes[0]]
    terms, multipliers, scale, kept = [], [], 1.0, list(range(sizes[0]))
    for g, (weights, _) in enumerate(layers[:-1], 1):
        v = weights @ z
        alpha, beta = slopes[g - 1]
        own = np.eye(total)[offsets[g] : offsets[g + 1]]
        undecided = alpha != beta
        z = np.where(undecided[:, None], own, alpha[:, None] * v)
        terms.append((v, own, alpha, beta, undecided))
        kept += list(offsets[g] + np.flatnonzero(undecided))
    f = layers[-1][0] @ z
    best: tuple[float, list[Array]] | None = None
    for factor in (1.0, 2.0, 4.0, 16.0, 64.0, 1e3, 1e4, 1e6, 1e9):
        scale = 1.01 * max(np.linalg.norm(f, 2) ** 2, 1e-6)
        matrix = -f.T @ f
        multipliers = []
        for v, own, alpha, beta, undecided in reversed(terms):
            weight = np.where(undecided, scale, 0.0)
            multipliers.insert(0, weight)
            a, b = own - alpha[:, None] * v, own - beta[:, None] * v
            matrix += a.T @ (weight[:, None] * b) + b.T @ (weight[:, None] * a)
            scale *= factor * max(np.linalg.norm(v, 2) ** 2, 1.0)
        n = sizes[0]
        core, cross, inner = matrix[kept[n:]][:, kept[n:]], matrix[:n][:, kept[n:]], matrix[:n, :n]
        if len(core) and np.linalg.eigvalsh(core)[0] <= 1e-7 * np.abs(core).max():
            continue
        rest = cross @ np.linalg.solve(core, cross.T) - inner if len(core) else -inner
        rho = max(float(np.linalg.eigvalsh(rest)[-1]), 0.0) * (1 + ROOM) + 1e-9
        if best is None or rho < best[0]:
            best = rho, multipliers
    assert best is not None
    return best
