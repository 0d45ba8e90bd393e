"""An attained lower bound: two inputs whose outputs are far apart, found by search and evaluated with known error.

The search maximises the norm of the Jacobian over inputs (power iteration, in batches) and difference quotients of
pairs (gradient ascent), hopping between linear regions. What it returns is the quotient of two actual inputs,
evaluated in twice the precision with a running error bound and rounded down; where blocks carry a radius, the stored
weights are meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.certificate.exact import Total, add_product, two_product
from sdpcert.network.stacked import Group, StackedForm

Array = np.ndarray
#: Operations that the search may spend; iteration counts follow from it, never from the clock.
OPERATIONS = 1e10
#: Relative error that is assumed of exp, tanh, erf and the like in float64 (a few units in the last place).
FUNCTION_ERROR = 2.0**-48
PIECEWISE_LINEAR = ("relu", "leaky_relu", "abs", "clip")


@dataclass(frozen=True, eq=False)
class Attained:
    """`|f(x) - f(x_prime)| >= lower * |x - x_prime|`, x and x_prime flat arrays of the network's input size."""

    lower: float
    x: Array
    x_prime: Array


def attained_lower_bound(form: StackedForm, seed: int = 0, operations: float = OPERATIONS) -> Attained:
    """Search two inputs with a large difference quotient; the same seed gives the same result.

    `operations` bounds the work of the search (multiplications, about). Returns `lower = 0` for a constant network.
    """
    search = _Search(form, seed, operations)
    with np.errstate(all="ignore"):
        candidates = search.run()
    best = Attained(0.0, np.zeros(form.inputs), np.zeros(form.inputs))
    for x, x_prime in candidates:
        with np.errstate(all="ignore"):
            ratio = evaluate_ratio(form, x, x_prime)
        if ratio > best.lower:
            best = Attained(ratio, x, x_prime)
    return best


def evaluate_ratio(form: StackedForm, x: Array, x_prime: Array) -> float:
    """A float that is at most |f(x) - f(x')| / |x - x'| for the real function of the stored weights; 0 where nothing
    is sure.
    """
    x, x_prime = np.asarray(x, dtype=float).ravel(), np.asarray(x_prime, dtype=float).ravel()
    distance = sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, x_prime, strict=True) if a != b)
    if distance == 0 or not (np.all(np.isfinite(x)) and np.all(np.isfinite(x_prime))):
        return 0.0
    zero = np.zeros((2, form.inputs))
    sources = [(np.stack([x, x_prime]), zero, zero)]
    for number, group in enumerate(form.groups, start=1):
        sources.append(_activate(group, *_affine(form, number, sources, group.bias)))
    high, low, error = _affine(form, form.output_row, sources, np.zeros(form.outputs))
    difference = (high[0] - high[1]) + (low[0] - low[1])
    unsure = error.sum(axis=0) + 4 * 2.0**-53 * (np.abs(high[0] - high[1]) + np.abs(low).sum(axis=0))
    sure = np.maximum(np.abs(difference) - unsure * (1 + 1e-9), 0.0)
    if not np.all(np.isfinite(sure)) or not np.any(sure):
        return 0.0
    square = sum(Fraction(float(d)) ** 2 for d in sure)
    return _root_down(square / distance)


def _root_down(square: Fraction) -> float:
    """The largest float whose square is at most `square`."""
    shift = (square.denominator.bit_length() - square.numerator.bit_length()) // 2
    scaled = square * Fraction(4) ** shift
    try:
        root = math.ldexp(math.sqrt(scaled), -shift)
    except OverflowError:
        return float(np.finfo(float).max)
    while Fraction(root) ** 2 > square:
        root = math.nextafter(root, 0.0)
    return root


def _affine(
    form: StackedForm, to: int, sources: list[tuple[Array, Array, Array]], bias: Array
) -> tuple[Array, Array, Array]:
    """Preactivations of both inputs, shape (2, size), as high + low with an error bound."""
    total = Total(np.broadcast_to(bias, (2, len(bias))))
    for source, block in form.row(to).items():
        high, low, error = sources[source]
        add_product(total, high, block.weights)
        inner = block.weights.shape[1]
        magnitude = np.abs(low) @ np.abs(block.weights).T
        spread = error @ np.abs(block.weights).T
        total.add(low @ block.weights.T, (inner + 4) * 2.0**-52 * magnitude + spread * (1 + inner * 2.0**-51))
    return total.high, total.low, total.error * (1 + 1e-9)


def _activate(group: Group, high: Array, low: Array, error: Array) -> tuple[Array, Array, Array]:
    steepest = np.maximum(np.abs(group.alpha), np.abs(group.beta))
    name = group.activation.name
    if name in PIECEWISE_LINEAR:
        total = high + low
        if name == "clip":
            clamped = group.evaluate(total)
            inside = clamped == total
            return np.where(inside, high, clamped), np.where(inside, low, 0.0), error + 2.0**-52 * np.abs(total)
        slope = np.where(total > 0, 1.0, group.derivative(-np.ones_like(total)))
        out, rest = two_product(high, slope)
        rest = rest + low * slope
        return out, rest, steepest * error + 2.0**-100 * np.abs(out) + 2.0**-1070
    value = group.evaluate(high)
    correction = low * group.derivative(high)
    slack = FUNCTION_ERROR * np.abs(value) + 2 * steepest * np.abs(low) + 2.0**-1070
    return value, correction * 0.0, steepest * error + slack


class _Search:
    """Batches of points (rows) with the direction in which each Jacobian stretches most."""

    def __init__(self, form: StackedForm, seed: int, operations: float) -> None:
        self.form = form
        self.generator = np.random.default_rng(seed)
        # Small blocks cost what calling NumPy costs: count a few thousand operations a block and point for that.
        cost = 2.0 * sum(b.weights.size for b in form.blocks.values()) + 4e3 * max(len(form.blocks), 1)
        # One round evaluates about 12 maps on every point of the batch.
        self.batch = int(np.clip(operations / (cost * 12 * 60), 4, 128))
        self.rounds = int(np.clip(operations / (cost * 12 * self.batch), 8, 300))

    def run(self) -> list[tuple[Array, Array]]:
        """Pairs of inputs to evaluate, the most promising first."""
        points, directions, values = self._start()
        if self.form.neurons:
            points, directions, values = self._climb(points, directions, values)
        order = np.argsort(-values, kind="stable")[: 3 if self.form.neurons else 1]
        candidates = []
        for k in order:
            for direction in self._refine(points[k], directions[k]):
                candidates += self._pairs(points[k], direction)
        return candidates

    def _scale(self) -> float:
        """A typical distance at which activations change: biases over the norms of the rows that read the input."""
        lengths = []
        for number, group in enumerate(self.form.groups, start=1):
            block = self.form.blocks.get((number, 0))
            if block is not None:
                norm = np.sqrt(np.square(block.weights).sum(axis=1))
                ratio = np.abs(group.bias)[norm > 0] / norm[norm > 0]
                lengths.extend(ratio[np.isfinite(ratio) & (ratio > 0)])
        return float(np.median(lengths)) if lengths else 1.0

    def _start(self) -> tuple[Array, Array, Array]:
        n, size = self.form.inputs, self._scale()
        points = self.generator.standard_normal((self.batch, n))
        points *= size * 10.0 ** self.generator.uniform(-1.5, 1.5, (self.batch, 1))
        points[0] = 0.0
        directions = _unit(self.generator.standard_normal((self.batch, n)))
        if not self.form.neurons:
            return points, *self._stretch(points, directions, 200)
        return points, *self._stretch(points, directions, 6)

    def _climb(self, points: Array, directions: Array, values: Array) -> tuple[Array, Array, Array]:
        size = np.maximum(np.sqrt(np.square(points).sum(axis=1)), self._scale())
        for k in range(self.rounds):
            if k % 3 == 0:
                trial, start = self._ascend_pairs(points, directions, size)
            else:
                step = 10.0 ** self.generator.uniform(-3, 0.7, (self.batch, 1)) * size[:, None]
                wander = _unit(self.generator.standard_normal(points.shape))
                towards = points[self.generator.permutation(self.batch)] - points
                kind = self.generator.integers(0, 4, (self.batch, 1))
                sign = np.where(self.generator.random((self.batch, 1)) < 0.5, -1.0, 1.0)
                move = np.where(
                    kind == 0, wander, np.where(kind == 1, _unit(wander * 0.5 + sign * directions), sign * directions)
                )
                move = np.where(kind == 3, towards * self.generator.random((self.batch, 1)), step * move)
                trial, start = points + move, directions
            new_directions, new_values = self._stretch(trial, start, 3)
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
        reach = 10.0 ** self.generator.uniform(-2, 0.5, (self.batch, 1)) * size[:, None]
        a, b = points + 0.5 * reach * directions, points - 0.5 * reach * directions
        for _ in range(4):
            value_a, slopes_a = self._forward(a)
            value_b, slopes_b = self._forward(b)
            delta = _unit(value_a - value_b)
            gradient_a, gradient_b = (
                self._back(delta, self._soften(slopes_a)),
                self._back(delta, self._soften(slopes_b)),
            )
            step = 0.15 * np.sqrt(np.square(a - b).sum(axis=1, keepdims=True))
            a, b = a + step * _unit(gradient_a), b - step * _unit(gradient_b)
            # keep the distance: only the quotient matters
            middle, half = 0.5 * (a + b), _unit(a - b) * 0.5 * reach
            a, b = middle + half, middle - half
        where = self.generator.random((self.batch, 1))
        return b + where * (a - b), _unit(a - b)

    def _refine(self, point: Array, direction: Array) -> list[Array]:
        """The leading right singular vector of the Jacobian at a point, exactly where that is cheap."""
        found = [direction]
        if min(self.form.inputs, self.form.outputs) and self.form.inputs * max(self.form.neurons, 1) <= 4e6:
            jacobian = self.form.jacobian(point)
            largest = np.max(np.abs(jacobian), initial=0.0)
            if np.isfinite(largest) and largest > 0:
                found = [np.linalg.svd(jacobian / largest, full_matrices=False)[2][0], direction]
        return found[:1]

    def _pairs(self, point: Array, direction: Array) -> list[tuple[Array, Array]]:
        """Pairs around a point at several distances, best first by a float evaluation."""
        size = max(float(np.sqrt(np.square(point).sum())), self._scale())
        lengths = size * 2.0 ** np.arange(1, -28, -1)
        linear = not self.form.neurons
        if linear:
            return [(direction, np.zeros_like(direction))]
        plus = point[None] + lengths[:, None] * direction[None]
        minus = point[None] - lengths[:, None] * direction[None]
        starts = np.concatenate([plus, plus, np.broadcast_to(point, minus.shape)])
        ends = np.concatenate([minus, np.broadcast_to(point, plus.shape), minus])
        gain = _norms(self._forward(starts)[0] - self._forward(ends)[0]) / _norms(starts - ends)
        gain = np.where(np.isfinite(gain), gain, 0.0)
        order = sorted(
            range(len(gain)),
            key=lambda k: (
                -round(float(np.log(gain[k] + 1e-300)) * 1e8),
                -float(_norms(starts[k : k + 1] - ends[k : k + 1])[0]),
            ),
        )
        return [(starts[k], ends[k]) for k in order[:4]]

    def _soften(self, slopes: list[Array]) -> list[Array]:
        """Slopes for gradients: a switched-off neuron would hide all that lies behind it."""
        return [0.8 * s + 0.1 * (g.alpha + g.beta) for s, g in zip(slopes, self.form.groups, strict=True)]

    # -- batched derivatives -------------------------------------------------------------------------------------------

    def _forward(self, points: Array) -> tuple[Array, list[Array]]:
        sources, slopes = [points], []
        for number, group in enumerate(self.form.groups, start=1):
            values = self._row(number, sources) + group.bias
            slopes.append(group.derivative(values))
            sources.append(group.evaluate(values))
        return self._row(self.form.output_row, sources), slopes

    def _row(self, to: int, sources: list[Array]) -> Array:
        total = np.zeros((len(sources[0]), self.form.sizes[to]))
        for source, block in self.form.row(to).items():
            total += sources[source] @ block.weights.T
        return total

    def _push(self, directions: Array, slopes: list[Array]) -> Array:
        sources = [directions]
        for number, slope in enumerate(slopes, start=1):
            sources.append(slope * self._row(number, sources))
        return self._row(self.form.output_row, sources)

    def _back(self, outputs: Array, slopes: list[Array]) -> Array:
        form = self.form
        gradients = [np.zeros((len(outputs), size)) for size in form.sizes]
        gradients[-1] = outputs
        for to in range(form.output_row, 0, -1):
            incoming = gradients[to] if to == form.output_row else gradients[to] * slopes[to - 1]
            for source, block in form.row(to).items():
                gradients[source] += incoming @ block.weights
        return gradients[0]

    def _stretch(self, points: Array, directions: Array, iterations: int) -> tuple[Array, Array]:
        """Power iteration on J'J at every point; returns directions and the norms |J v| they reach."""
        _, slopes = self._forward(points)
        image = self._push(directions, slopes)
        for _ in range(iterations):
            back = _unit(self._back(_unit(image), slopes))
            directions = np.where(np.any(back != 0, axis=1, keepdims=True), back, directions)
            image = self._push(directions, slopes)
        norms = _norms(image)
        return directions, np.where(np.isfinite(norms), norms, 0.0)


def _norms(rows: Array) -> Array:
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return largest * np.sqrt(np.square(rows / safe[:, None]).sum(axis=1))


def _unit(rows: Array) -> Array:
    norms = _norms(rows)
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    scaled = rows / np.where(largest > 0, largest, 1.0)[:, None]
    relative = np.where(largest > 0, norms / np.where(largest > 0, largest, 1.0), 1.0)
    return scaled / relative[:, None]
