"""The point of the network with absolute values for weights: exact for nonnegative networks, proved by a scaling alone.

Let every weight be replaced by its absolute value and every activation by its largest slope. The gain `|J|` of this
linear network is a bound for the given one, and the condition has a point for it in closed form: a forward pass, a
backward pass and a Perron vector (docs/mathematics.md, Theorem 23). The forward pass is a positive vector a with
`M_ii a_i >= sum over j != i of |M_ij| a_j`, so diag(a) M diag(a) is diagonally dominant and no factor is needed. With
weights of one sign no bound of the condition is lower. Cost and memory are linear in the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.blas import apply
from sdpcert.condition.scaling import norm_exponent, scale_exponents
from sdpcert.errors import SolverError
from sdpcert.network.stacked import Group, StackedForm
from sdpcert.solvers.perron import subinvariant
from sdpcert.solvers.solution import Solution

Array = np.ndarray
UNIT = 2.0**-53
#: Sweeps of power iteration before the gain matrix is formed.
SWEEPS = 12
#: How near the largest quotient of a sweep is to be to its mean for the sweeps to end, relative.
CLOSE = 1e-13
#: Inputs whose quotient is below the largest by more than this, relative, have no part in the dual point.
NEAR = 2.0**-20
#: Smaller numbers lose digits to underflow.
SMALLEST = float(np.finfo(float).tiny)


def absolute(form: StackedForm, by_scaling: bool = False) -> Solution:
    """The closed-form point of the network with absolute values, with the `vector` that proves it by scaling.

    A neuron whose slopes have one sign (alpha beta > 0) gets a multiplier with which the bound stays `|J|` while the
    matrix has no such vector: `vector` is None then. With `by_scaling` it counts with the slope that keeps the vector,
    the larger root g of `g^2 = |alpha + beta| g + |alpha beta|`, and the bound may be larger. `dual` is what the
    linear network of largest slopes gains on the vector: a lower bound of the condition's optimum.

    Raises `SolverError` for a neuron that no input moves (`StackedForm.reduced` drops them), and where float64 does not
    hold the numbers.
    """
    network = _AbsoluteNetwork(form, by_scaling)
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        start = network.start()
        sources, moved = network.forward(start)
        multipliers, needed = network.backward(sources, moved)
        quotient = needed / start
        largest = float(np.max(quotient, initial=0.0))
        rho = largest * (1 + network.rounding(0))
        original = tuple(np.ldexp(t * f, 2 * e) for t, f, e in network.original(multipliers))
        vector = np.concatenate([np.ldexp(a, -e) for a, e in zip(sources, network.exponents, strict=False)])
        # Parts of the input that do not meet have Perron vectors of their own: only the largest are followed.
        dual = network.attained(np.where(quotient >= largest * (1 - NEAR), start, 0.0))
    if not (np.isfinite(rho) and np.all(np.isfinite(vector)) and all(np.all(np.isfinite(t)) for t in original)):
        raise SolverError("the closed form of absolute values is not finite: the weights span too many magnitudes")
    if np.any(vector < SMALLEST) or any(np.any((t < SMALLEST) & (t > 0)) for t in original):
        raise SolverError("the closed form of absolute values underflows: the weights span too many magnitudes")
    return Solution(
        rho,
        original,
        network.exponent,
        float(np.ldexp(dual, network.exponent)),
        0,
        "closed form",
        vector=vector if network.dominant else None,
    )


@dataclass(frozen=True, eq=False)
class _Slopes:
    """What the comparison matrix has of a group: `sums` for |alpha + beta|, `products` for |alpha beta|.

    `largest` is the slope g with `g^2 = sums g + products`; `factor` is what multipliers are to be multiplied with.
    """

    largest: Array
    sums: Array
    products: Array
    factor: Array
    signed: Array

    @staticmethod
    def of(group: Group, by_scaling: bool) -> _Slopes:
        """Those of a group; slopes of one sign are widened to 0, or with `by_scaling` kept."""
        alpha, beta = group.alpha, group.beta
        low, high = np.minimum(np.abs(alpha), np.abs(beta)), np.maximum(np.abs(alpha), np.abs(beta))
        one_sign = alpha * beta > 0
        sums, products, largest, factor = high - low, high * low, high, np.ones(len(high))
        if by_scaling:
            sums = np.where(one_sign, high + low, sums)
            largest = np.where(one_sign, (sums + np.sqrt(np.square(sums) + 4 * products)) / 2, high)
        else:
            sums, products = np.where(one_sign, high, sums), np.where(one_sign, 0.0, products)
            factor = np.where(one_sign & (beta > alpha), high / (beta - alpha), 1.0)
        return _Slopes(largest, sums, products, factor, np.where(np.abs(beta) >= np.abs(alpha), beta, alpha))


class _AbsoluteNetwork:
    """The linear network of absolute weights and largest slopes, every source scaled by a power of two."""

    def __init__(self, form: StackedForm, by_scaling: bool) -> None:
        self.form = form
        self.slopes = [_Slopes.of(group, by_scaling) for group in form.groups]
        self.dominant = by_scaling or all(not np.any(g.alpha * g.beta > 0) for g in form.groups)
        self.rows: list[list[int]] = [[] for _ in range(form.output_row + 1)]
        self.readers: list[list[int]] = [[] for _ in range(form.output_row + 1)]
        for to, s in sorted(form.blocks):
            self.rows[to].append(s)
            self.readers[s].append(to)
        slopes = [float(np.max(s.largest, initial=0.0)) for s in self.slopes]
        norms = {
            (to, s): norm_exponent(self._size(to, s)) + (np.log2(slopes[to - 1]) if to < form.output_row else 0.0)
            for (to, s) in form.blocks
            if to == form.output_row or slopes[to - 1] > 0
        }
        self.exponents = scale_exponents(norms, form.output_row)
        self.exponent = -self.exponents[-1]

    def _size(self, to: int, source: int) -> Array:
        block = self.form.blocks[to, source]
        return block.size + block.radius

    def incoming(self, to: int) -> Iterator[tuple[int, Array]]:
        """The sources of a row, each with the scaled absolute values of its block."""
        for s in self.rows[to]:
            yield s, np.ldexp(self._size(to, s), self.exponents[to] - self.exponents[s])

    def rounding(self, source: int) -> float:
        """A bound of the relative rounding errors in the inequality of one row of the matrix."""
        sizes = self.form.sizes
        terms = sum(sizes[to] + sum(sizes[s] for s in self.rows[to]) for to in {source, *self.readers[source]})
        return 6 * UNIT * (terms + 16)

    def forward(self, start: Array) -> tuple[list[Array], list[Array]]:
        """The value of every source, and of every row before its slopes (the output's last), from that of the input."""
        sources, moved = [start], []
        for to in range(1, self.form.output_row + 1):
            total = np.zeros(self.form.sizes[to])
            for s, size in self.incoming(to):
                total += apply(size, sources[s])
            moved.append(total)
            if to < self.form.output_row:
                sources.append(self.slopes[to - 1].largest * total)
        return sources, moved

    def backward(self, sources: list[Array], moved: list[Array]) -> tuple[list[Array], Array]:
        """The multiplier of every neuron, and what is needed of the input."""
        needed = [np.zeros(size) for size in self.form.sizes[:-1]]
        multipliers = [np.zeros(0)] * len(self.slopes)
        for to in range(self.form.output_row, 0, -1):
            amount = moved[to - 1]
            if to < self.form.output_row:
                slopes, own = self.slopes[to - 1], sources[to]
                if np.any(own == 0):
                    neuron = int(np.flatnonzero(own == 0)[0])
                    raise SolverError(
                        f"no input moves neuron {neuron} of group {to} (or float64 underflows): reduce the form first"
                    )
                spent = 2 * own - slopes.sums * moved[to - 1]
                multipliers[to - 1] = (1 + self.rounding(to)) * needed[to] / spent
                amount = multipliers[to - 1] * (slopes.sums * own + 2 * slopes.products * moved[to - 1])
            for s, size in self.incoming(to):
                needed[s] += apply(size.T, amount)
        return multipliers, needed[0]

    def original(self, multipliers: list[Array]) -> Iterator[tuple[Array, Array, int]]:
        """Multipliers with the factors of their slopes and the exponents of their groups."""
        for t, slopes, exponent in zip(multipliers, self.slopes, self.exponents[1:-1], strict=True):
            yield t, slopes.factor, exponent

    def start(self) -> Array:
        """A positive vector of inputs on which the largest quotient of `J'J` is hardly above its norm.

        Power iteration as long as it is fast (deep networks are nearly of rank one), then from the matrix J.
        """
        vector = np.ones(self.form.inputs)
        for _ in range(SWEEPS):
            image = self._gram(vector)
            largest, mean = np.max(image / vector, initial=0.0), image @ vector / (vector @ vector)
            if not np.isfinite(largest) or largest <= mean * (1 + CLOSE):
                return vector
            following = np.where(image > 0, image / largest, vector)
            if np.any(following < SMALLEST):
                break
            vector = following
        return subinvariant(self.gains())

    def _gram(self, vector: Array) -> Array:
        """`J'J vector`."""
        values = self.forward(vector)[1][-1]
        needed = [np.zeros(size) for size in self.form.sizes[:-1]]
        for to in range(self.form.output_row, 0, -1):
            amount = values if to == self.form.output_row else self.slopes[to - 1].largest * needed[to]
            for s, size in self.incoming(to):
                needed[s] += apply(size.T, amount)
        return needed[0]

    def gains(self) -> Array:
        """The matrix J, shape (outputs, inputs), from its smaller side."""
        form, last = self.form, self.form.output_row
        if form.inputs < form.outputs:
            sources = [np.eye(form.inputs)]
            for to in range(1, last + 1):
                total = np.zeros((form.sizes[to], form.inputs))
                for s, size in self.incoming(to):
                    total += size @ sources[s]
                sources.append(total if to == last else self.slopes[to - 1].largest[:, None] * total)
            return sources[-1]
        needed = [np.zeros((form.outputs, size)) for size in form.sizes[:-1]]
        for to in range(last, 0, -1):
            amount = np.eye(form.outputs) if to == last else needed[to] * self.slopes[to - 1].largest
            for s, size in self.incoming(to):
                needed[s] += amount @ size
        return needed[0]

    def attained(self, start: Array) -> float:
        """What the network with its own weights gains on a vector if every slope is the largest, rounded down."""
        values, form, terms = [start], self.form, 0
        for to in range(1, form.output_row + 1):
            total = np.zeros(form.sizes[to])
            for s in self.rows[to]:
                weights = np.ldexp(form.blocks[to, s].weights, self.exponents[to] - self.exponents[s])
                total += apply(weights, values[s])
            values.append(total if to == form.output_row else self.slopes[to - 1].signed * total)
            terms += sum(form.sizes[s] for s in self.rows[to]) + 8
        error = 2 * terms * UNIT * float(np.linalg.norm(self.forward(start)[1][-1]))
        found = (float(np.linalg.norm(values[-1])) - error) / float(np.linalg.norm(start)) * (1 - 2.0**-40)
        return max(found, 0.0) if np.isfinite(found) else 0.0
