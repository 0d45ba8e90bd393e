"""The search for two inputs that a network moves far apart.

It maximises the norm of the Jacobian over inputs (power iteration, in batches) and difference quotients of pairs
(gradient ascent), hopping between linear regions.
"""

from __future__ import annotations

import numpy as np

from sdpcert.attained.maps import DifferentiableMap, norms, unit

Array = np.ndarray


class Search:
    """Batches of points (rows) with the direction in which each Jacobian stretches most."""

    def __init__(self, searched: DifferentiableMap, seed: int, operations: float) -> None:
        self.map = searched
        self.size = searched.scale()
        self.generator = np.random.default_rng(seed)
        # One round evaluates about 12 maps on every point of the batch.
        self.batch = int(np.clip(operations / (searched.cost * 12 * 60), searched.plan.least_batch, 128))
        self.rounds = int(np.clip(operations / (searched.cost * 12 * self.batch), searched.plan.least_rounds, 300))

    def run(self) -> list[tuple[Array, Array]]:
        """Pairs of inputs to evaluate, the most promising first."""
        points, directions, values = self._start()
        if self.map.neurons:
            points, directions, values = self._climb(points, directions, values)
        order = np.argsort(-values, kind="stable")[: self.map.finalists if self.map.neurons else 1]
        candidates = []
        for k in order:
            candidates += self._pairs(points[k], self._refine(points[k], directions[k]))
        return candidates

    def _start(self) -> tuple[Array, Array, Array]:
        n, size = self.map.inputs, self.size
        points = self.generator.standard_normal((self.batch, n))
        points *= size * 10.0 ** self.generator.uniform(-1.5, 1.5, (self.batch, 1))
        points[0] = 0.0
        directions = unit(self.generator.standard_normal((self.batch, n)))
        if not self.map.neurons:
            return points, *self._stretch(points, directions, 200)
        return points, *self._stretch(points, directions, 6)

    def _climb(self, points: Array, directions: Array, values: Array) -> tuple[Array, Array, Array]:
        size = np.maximum(np.sqrt(np.square(points).sum(axis=1)), self.size)
        plan = self.map.plan
        for k in range(self.rounds):
            if k % plan.ascend_every == 0:
                trial, start = self._ascend_pairs(points, directions, size)
            else:
                step = 10.0 ** self.generator.uniform(-3, 0.7, (self.batch, 1)) * size[:, None]
                wander = unit(self.generator.standard_normal(points.shape))
                towards = points[self.generator.permutation(self.batch)] - points
                kind = self.generator.integers(0, 4, (self.batch, 1))
                sign = np.where(self.generator.random((self.batch, 1)) < 0.5, -1.0, 1.0)
                move = np.where(
                    kind == 0, wander, np.where(kind == 1, unit(wander * 0.5 + sign * directions), sign * directions)
                )
                move = np.where(kind == 3, towards * self.generator.random((self.batch, 1)), step * move)
                trial, start = points + move, directions
            new_directions, new_values = self._stretch(trial, start, plan.power_steps)
            better = new_values > values
            points = np.where(better[:, None], trial, points)
            directions = np.where(better[:, None], new_directions, directions)
            values = np.where(better, new_values, values)
            if k % 20 == 19:  # the worst quarter starts again near the best
                order = np.argsort(-values, kind="stable")
                quarter = self.batch // 4
                if quarter:
                    worst, best = order[-quarter:], order[:quarter]
                    points[worst] = points[best] + 0.1 * size[best, None] * self.generator.standard_normal(
                        (quarter, points.shape[1])
                    ) / np.sqrt(points.shape[1])
                    directions[worst] = directions[best]
                    directions[worst], values[worst] = self._stretch(points[worst], directions[worst], 3)
        directions, values = self._stretch(points, directions, 20)
        return points, directions, values

    def _ascend_pairs(self, points: Array, directions: Array, size: Array) -> tuple[Array, Array]:
        """A few gradient steps on the difference quotient of pairs around the points."""
        plan = self.map.plan
        reach = 10.0 ** self.generator.uniform(*plan.reach, (self.batch, 1)) * size[:, None]
        a, b = points + 0.5 * reach * directions, points - 0.5 * reach * directions
        for _ in range(4):
            value_a, slopes_a = self.map.forward(a)
            value_b, slopes_b = self.map.forward(b)
            delta = unit(value_a - value_b)
            gradient_a = self.map.back(delta, self.map.soften(slopes_a))
            gradient_b = self.map.back(delta, self.map.soften(slopes_b))
            step = plan.ascent_step * np.sqrt(np.square(a - b).sum(axis=1, keepdims=True))
            a, b = a + step * unit(gradient_a), b - step * unit(gradient_b)
            # keep the distance: only the quotient matters
            middle, half = 0.5 * (a + b), unit(a - b) * 0.5 * reach
            a, b = middle + half, middle - half
        where = self.generator.random((self.batch, 1))
        return b + where * (a - b), unit(a - b)

    def _refine(self, point: Array, direction: Array) -> Array:
        """The leading right singular vector of the Jacobian at a point, exactly where that is cheap."""
        jacobian = self.map.jacobian(point)
        largest = 0.0 if jacobian is None else np.max(np.abs(jacobian), initial=0.0)
        if jacobian is not None and np.isfinite(largest) and largest > 0:
            return np.linalg.svd(jacobian / largest, full_matrices=False)[2][0]
        return direction

    def _pairs(self, point: Array, direction: Array) -> list[tuple[Array, Array]]:
        """Pairs around a point at several distances, best first."""
        size = max(float(np.sqrt(np.square(point).sum())), self.size)
        lengths = size * 2.0**self.map.distances
        if not self.map.neurons:
            return [(direction, np.zeros_like(direction))]
        plus = point[None] + lengths[:, None] * direction[None]
        minus = point[None] - lengths[:, None] * direction[None]
        starts = np.concatenate([plus, plus, np.broadcast_to(point, minus.shape)])
        ends = np.concatenate([minus, np.broadcast_to(point, plus.shape), minus])
        gain = self.map.gains(starts, ends)
        gain = np.where(np.isfinite(gain), gain, 0.0)
        order = sorted(
            range(len(gain)),
            key=lambda k: (
                -round(float(np.log(gain[k] + 1e-300)) * 1e8),
                -float(norms(starts[k : k + 1] - ends[k : k + 1])[0]),
            ),
        )
        return [(starts[k], ends[k]) for k in order[:4]]

    def _stretch(self, points: Array, directions: Array, iterations: int) -> tuple[Array, Array]:
        """Power iteration on J'J at every point; returns directions and the norms |J v| they reach."""
        _, slopes = self.map.forward(points)
        image = self.map.push(directions, slopes)
        for _ in range(iterations):
            back = unit(self.map.back(unit(image), slopes))
            directions = np.where(np.any(back != 0, axis=1, keepdims=True), back, directions)
            image = self.map.push(directions, slopes)
        reached = norms(image)
        return directions, np.where(np.isfinite(reached), reached, 0.0)
