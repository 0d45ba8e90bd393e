"""Attacks on any network: points of another class as near as they can be found, the upper side of radii.

First the decoupled direction and norm attack (Rony et al., CVPR 2019) looks for the nearest point of another class;
then, for every radius at which an input still stands, projected gradient descent with restarts inside of the ball.
Steps follow the gradient of a loss: `f_y - max f_j` (Carlini, Wagner 2017); `f_y - f_t`, t the class that is nearest
where the network is linear, among all classes whatever their rank; and the first divided by the spread of the outputs
(DLR; Croce, Hein 2020). Last comes bisection on the way to the input. What a search finds only counts where an
enclosure of the outputs says that another class's is at least that of the label, at the point as it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product

import numpy as np

from sdpcert.attained.graph_map import GraphMap
from sdpcert.network.graph import Network
from sdpcert.regions.region import Box
from sdpcert.robustness.distances import DISTANCES
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Inputs that are attacked at once.
BATCH = 500
#: Share by which the norm of the decoupled attack shrinks and grows.
SHRINK = 0.05
#: Where the decoupled attack begins: parts of the distance at which the tangent has another class.
STARTS = (0.3, 0.7)
#: How long its steps are where it begins at a point of another class, relative to the point's distance.
NEAR = 0.2
#: How many times a radius the nearest point has to be away so that none is sought within the radius.
HOPELESS = 3.0
LOSSES = ("margin", "nearest", "dlr")
#: Halvings between an input and a point of another class.
HALVINGS = 8
NAME = "decoupled direction and norm, then projected gradient descent"


@dataclass(frozen=True)
class Settings:
    """How hard to look: `steps` of each search, `restarts` of projected gradient descent for every radius."""

    steps: int = 40
    restarts: int = 3
    seed: int = 0

    @staticmethod
    def of(attack: object, seed: int) -> Settings | None:
        """True: the usual ones, False: no attack, "strong": three times the steps and restarts; else a TypeError."""
        if isinstance(attack, bool | np.bool_):
            return Settings(seed=seed) if attack else None
        if attack != "strong":
            raise TypeError(f'attack is True, False or "strong", not {attack!r:.40}')
        return Settings(steps=120, restarts=9, seed=seed)

    @property
    def stages(self) -> tuple[Settings, ...]:
        """What is searched with in turn: where this is harder the usual search first, so that no less is found."""
        usual = Settings(seed=self.seed)
        return (usual, self) if self.steps > usual.steps else (self,)

    def table(self) -> dict[str, int | str]:
        """As plain values, with what they are settings of."""
        return {"name": NAME, **asdict(self)}


@dataclass(frozen=True, eq=False)
class Found(ShortRepr):
    """Distances (n,), rounded up, of the nearest points (n, inputs) found; infinite where there is none."""

    distances: Array
    points: Array

    @staticmethod
    def nothing(inputs: Array) -> Found:
        """The state before an attack."""
        return Found(np.full(len(inputs), np.inf), inputs.copy())


@dataclass(frozen=True, eq=False)
class Attacker(ShortRepr):
    """What is attacked: a network, whose inputs may move in a norm, within a box if there is one.

    `lost(points, labels)` says for which points another class is certain. `single` keeps points float32 numbers.
    """

    network: Network
    norm: str
    lost: Callable[[Array, Array], Array]
    within: Box | None = None
    single: bool = False
    settings: Settings = field(default_factory=Settings)

    def attack(
        self,
        inputs: Array,
        labels: Array,
        radii: Sequence[float],
        into: Found,
        report: Callable[[float], None] = lambda share: None,
        proved: Array | None = None,
    ) -> None:
        """Attack inputs (n, inputs) that are right, and keep what is found in `into` as it comes.

        Beside the nearest point one is sought for each of the radii, except within the radii (n,) that are `proved`;
        `report` is told the share that is done.
        """
        wanted = sorted({float(radius) for radius in radii if radius > 0})
        known = np.zeros(len(inputs)) if proved is None else proved
        for start in range(0, len(inputs), BATCH):
            part = slice(start, start + BATCH)
            found = Found(into.distances[part], into.points[part])  # views: what is kept is kept there
            generator = np.random.default_rng([self.settings.seed, start])
            with np.errstate(all="ignore"):
                search = _Search(self, inputs[part], labels[part], found, known[part])
                for loss, start in product(LOSSES[:2], STARTS):
                    search.decoupled(loss, start)
                for loss in LOSSES[:2]:
                    search.refined(loss)
                for radius in wanted:
                    for restart in range(self.settings.restarts):
                        search.projected(radius, restart, generator)
                search.bisect()
            report(min(1.0, (start + BATCH) / len(inputs)))

    def keep(self, inputs: Array, labels: Array, points: Array, into: Found) -> Array:
        """Keep points (one for each input) that surely have another class and are nearer than those in `into`.

        Returns which were kept.
        """
        points = self.rounded(points)
        distances = DISTANCES[self.norm].sizes_up(points, inputs)
        nearer = np.flatnonzero(distances < into.distances)
        kept = np.zeros(len(points), dtype=bool)
        if len(nearer):
            kept[nearer] = self.lost(points[nearer], labels[nearer])
            into.distances[kept], into.points[kept] = distances[kept], points[kept]
        return kept

    def rounded(self, points: Array) -> Array:
        """Points as they are stored, within the box."""
        low, high = (-np.inf, np.inf) if self.within is None else (self.within.low, self.within.high)
        points = np.clip(points, low, high)
        if not self.single:
            return points
        single = points.astype(np.float32)
        single = np.where(single < low, np.nextafter(single, np.float32(np.inf)), single)
        single = np.where(single > high, np.nextafter(single, np.float32(-np.inf)), single)
        return np.asarray(single, dtype=float)


class _Search:
    """One batch of inputs."""

    def __init__(self, attacker: Attacker, inputs: Array, labels: Array, found: Found, proved: Array) -> None:
        self.attacker, self.inputs, self.labels, self.found, self.proved = attacker, inputs, labels, found, proved
        self.map, self.steps = GraphMap(attacker.network), attacker.settings.steps
        self.distance = DISTANCES[attacker.norm]
        box = attacker.within
        self.low, self.high = (-np.inf, np.inf) if box is None else (box.low, box.high)
        self.nearest = self._nearest_classes()

    def standing(self, radius: float) -> Array:
        """The inputs without a point of another class up to the radius, where there may be one."""
        return np.flatnonzero((self.found.distances > radius) & ((self.proved < radius) | (radius == 0)))

    def keep(self, points: Array, at: Array) -> Array:
        """Keep points (for the inputs `at`) that surely have another class and are nearer than those before.

        Returns which were kept.
        """
        own = Found(self.found.distances[at], self.found.points[at])
        kept = self.attacker.keep(self.inputs[at], self.labels[at], points, own)
        self.found.distances[at[kept]], self.found.points[at[kept]] = own.distances[kept], own.points[kept]
        return kept

    # ------------------------------------------------------------ gradients

    def _outputs(self, points: Array) -> tuple[Array, list[Array]]:
        """The outputs, and the slopes of all activations."""
        slopes: list[Array] = []

        def at_neurons(group: int, rows: Array) -> Array:
            neurons = self.map.groups[group]
            slopes.append(neurons.derivative(rows))
            return neurons(rows)

        return self.map.sweep(points, len(points), at_neurons), slopes

    def _gradients(self, weights: Array, slopes: list[Array]) -> Array:
        """Gradients of the outputs weighed row by row."""
        return self.map.back(weights, lambda group, rows: rows * slopes[group])

    def _nearest_classes(self) -> Array:
        """For every input the class that is the nearest one if the network is replaced by its tangent."""
        outputs, slopes = self._outputs(self.inputs)
        rows, classes = np.arange(len(outputs)), outputs.shape[1]
        least, nearest = np.full(len(outputs), np.inf), np.zeros(len(outputs), dtype=np.int64)
        for other in range(classes):
            weights = np.zeros_like(outputs)
            weights[rows, self.labels] += 1.0
            weights[:, other] -= 1.0
            steep = self.distance.dual(self._gradients(weights, slopes))
            away = (outputs[rows, self.labels] - outputs[:, other]) / np.maximum(steep, 1e-30)
            away = np.where((self.labels == other) | ~np.isfinite(away), np.inf, away)
            nearest, least = np.where(away < least, other, nearest), np.minimum(away, least)
        return np.where(nearest == self.labels, (self.labels + 1) % classes, nearest)

    def direction(self, points: Array, at: Array, loss: str) -> tuple[Array, Array]:
        """The direction (of size one) in which the loss falls, and which points have another class already."""
        outputs, slopes = self._outputs(points)
        rows, labels = np.arange(len(at)), self.labels[at]
        others = outputs.copy()
        others[rows, labels] = -np.inf
        rival = others.argmax(axis=1)
        margin = outputs[rows, labels] - others[rows, rival]
        against = self.nearest[at] if loss == "nearest" else rival
        weights = np.zeros_like(outputs)
        weights[rows, labels], weights[rows, against] = 1.0, -1.0
        if loss == "dlr" and outputs.shape[1] > 2:
            ranked = np.argsort(outputs, axis=1)
            first, third = ranked[:, -1], ranked[:, -3]
            spread = outputs[rows, first] - outputs[rows, third] + 1e-12
            weights /= spread[:, None]
            share = margin / spread**2
            weights[rows, first] -= share
            weights[rows, third] += share
        return self.distance.directions(self._gradients(weights, slopes)), margin < 0

    # ------------------------------------------------------------ searches

    def decoupled(self, loss: str, start: float) -> None:
        """Look for the nearest point from the inputs on, at first at a part of where the tangent has another class."""
        at = self.standing(0.0)
        if len(at) and self.steps:
            sizes = start * self._first_sizes(at)
            self._decoupled(loss, at, np.zeros_like(self.inputs[at]), sizes, sizes)

    def refined(self, loss: str) -> None:
        """The same from the points that were found on, in short steps."""
        at = np.flatnonzero((self.found.distances > 0) & np.isfinite(self.found.distances))
        if len(at) and self.steps:
            sizes = self.found.distances[at]
            self._decoupled(loss, at, self.found.points[at] - self.inputs[at], sizes, NEAR * sizes)

    def _decoupled(self, loss: str, at: Array, step: Array, sizes: Array, lengths: Array) -> None:
        """Shrink the size where the point has another class, let it grow elsewhere, turn by the gradient."""
        inputs, best, nearest = self.inputs[at], self.inputs[at].copy(), np.full(len(at), np.inf)
        for k in range(self.steps):
            direction, wrong = self.direction(inputs + step, at, loss)
            size = self.distance.sizes(step)
            better = wrong & (size < nearest)
            nearest = np.where(better, size, nearest)
            best = np.where(better[:, None], inputs + step, best)
            length = 0.01 + 0.99 * (1 + np.cos(np.pi * k / self.steps)) / 2
            step = step + (length * lengths)[:, None] * direction
            sizes = sizes * np.where(wrong, 1 - SHRINK, 1 + SHRINK)
            step = self.distance.rescaled(step, sizes)
            step = np.clip(inputs + step, self.low, self.high) - inputs
        self.keep(best, at)

    def _first_sizes(self, at: Array) -> Array:
        """About where the tangent has another class."""
        outputs, slopes = self._outputs(self.inputs[at])
        rows = np.arange(len(at))
        weights = np.zeros_like(outputs)
        weights[rows, self.labels[at]], weights[rows, self.nearest[at]] = 1.0, -1.0
        margin = np.einsum("ij,ij->i", weights, outputs)
        steep = self.distance.dual(self._gradients(weights, slopes))
        first = np.abs(margin) / np.maximum(steep, 1e-30)
        usable = np.isfinite(first) & (first > 0) & (steep > 0)
        typical = float(np.median(first[usable])) if np.any(usable) else 1.0
        return np.clip(np.where(usable, first, typical), typical / 10, typical * 10)

    def projected(self, radius: float, restart: int, generator: np.random.Generator) -> None:
        """Steps along the gradient, projected to the ball and the box; the first start is the input itself."""
        at = self.standing(radius)
        distances = self.found.distances[at]
        at = at[(distances <= HOPELESS * radius) | (distances == np.inf)]
        if not len(at) or not self.steps:
            return
        inputs = self.inputs[at]
        step = np.zeros_like(inputs)
        if restart:
            step = radius * self.distance.random(generator, (len(at), inputs.shape[1]))
        best, done = inputs.copy(), np.zeros(len(at), dtype=bool)
        for k in range(self.steps + 1):
            points = np.clip(inputs + step, self.low, self.high)
            direction, wrong = self.direction(points, at, LOSSES[restart % len(LOSSES)])
            best = np.where((wrong & ~done)[:, None], points, best)
            done |= wrong
            if np.all(done):
                break
            length = 2.5 * radius / self.steps * (1 - 0.9 * k / self.steps)
            step = self.distance.inside(points + length * direction - inputs, radius)
        self.keep(best[done], at[done])

    def bisect(self) -> None:
        """Nearer points on the way from those found to the inputs."""
        at = np.flatnonzero((self.found.distances > 0) & np.isfinite(self.found.distances))
        inputs, points = self.inputs[at], self.found.points[at].copy()
        near, far = np.zeros((len(at), 1)), np.ones((len(at), 1))
        for _ in range(HALVINGS if len(at) else 0):
            middle = 0.5 * (near + far)
            kept = self.keep(inputs + middle * (points - inputs), at)[:, None]
            near, far = np.where(kept, near, middle), np.where(kept, middle, far)
