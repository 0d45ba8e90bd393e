"""A last network of one hidden layer with softplus, whose radii use its gradient and a bound of its curvature.

With f = f_y - f_j and `f(x + d) >= f - |grad f| |d| - (m / 2) |d|^2`, class j cannot overtake before the positive
root of the right side. The Hessian of f is `beta W1' diag(w s (1 - s)) W1`, s in [0, 1], so that `m = beta / 4
lambda_max(W1' diag(w_-) W1)` bounds it from below, w_- the negative parts of `w_y - w_j` (Singla, Feizi, "Second-order
provable defenses against adversarial attacks", ICML 2020; as a last layer in "Improved techniques for deterministic l2
robustness", NeurIPS 2022). All classes are looked at, m is a proved bound, and rounding in float64 is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.layers.heads import check_radius_arguments
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.proved_eigenvalue import (
    SLACK,
    U,
    proved_weighted_norm,
    rounding_bound,
)
from sdpcert.torch_modules.certified import copied, is_same
from sdpcert.torch_modules.geometry import array

Array = np.ndarray
#: Where softplus is the identity to float64 (torch's own 20 is not: exp(-20) is 2e-9).
THRESHOLD = 40
#: How many numbers the gradients may have that are evaluated at once.
ENTRIES = 2**22
#: Largest eta m in the dual: the inner problem keeps a strong convexity of 2 (1 - CONVEX).
CONVEX = 0.999


class MLPHead(nn.Module):
    """`f_j = w_j' softplus_beta(W1 x + b1) + b_j`; inputs (..., in_features), outputs (..., classes).

    `softplus_beta(v) = log(1 + exp(beta v)) / beta`. Raises ValueError for sizes or a `beta` that are not positive. It
    claims no constant of its own: `export` gives stock modules, which a certifier can bound.
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        classes: int,
        beta: float = 1.0,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, hidden=hidden, classes=classes)
        if not (math.isfinite(beta) and beta > 0):
            raise ValueError(f"beta must be positive and finite, not {beta!r}")
        self.beta = float(beta)
        self.inward = nn.Linear(in_features, hidden, device=device, dtype=dtype)
        self.outward = nn.Linear(hidden, classes, device=device, dtype=dtype)
        self._cache: tuple[list[object], _Numbers] | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply."""
        return self.outward(functional.softplus(self.inward(inputs), self.beta, THRESHOLD))

    def export(self) -> nn.Module:
        """`nn.Linear`, `nn.Softplus` and `nn.Linear` with copies of the weights."""
        import copy

        return nn.Sequential(copy.deepcopy(self.inward), nn.Softplus(self.beta, THRESHOLD), copy.deepcopy(self.outward))

    def radius(
        self, features: Tensor, lipschitz: float = 1.0, labels: Tensor | None = None, tight: bool = False
    ) -> Tensor:
        """Radii (batch,) in float64 within which no class overtakes, divided by what is before the head, rounded down.

        `features` (batch, in_features) are taken as they are; `labels` (batch,) are the classes, the greatest logits
        without them; ties and wrong classes have radius 0. `lipschitz` is the constant of everything before the head.
        With `tight` the curvature is that of the pair of classes (an eigenvalue per pair, kept until weights change),
        otherwise a bound for all: `beta / 4 |W1|^2 max w_-`. Raises ValueError for arguments that do not fit.
        """
        return self._radii(features, lipschitz, labels, _primal, tight)

    def dual_radius(self, features: Tensor, lipschitz: float = 1.0, labels: Tensor | None = None) -> Tensor:
        """Radii by the dual `max over eta of min over d of |d|^2 + 2 eta f(x + d)`: never below `radius`, and slower.

        The value at an approximate minimiser is too great; by strong convexity with `mu = 2 (1 - eta m)` taking off
        `|grad|^2 / (2 mu)` makes it a lower bound. Arguments as for `radius`.
        """
        return self._radii(features, lipschitz, labels, _dual, True)

    def curvature(self, label: int, other: int, tight: bool = True) -> float:
        """A proved m with `Hessian of f_label - f_other >= -m I` everywhere."""
        numbers = self._numbers()
        return numbers.tight_curvature(label, other) if tight else float(numbers.curvatures(label)[other])

    def _numbers(self) -> _Numbers:
        values = [p.detach() for p in self.parameters()]
        made_from = [*values, self.beta]
        if self._cache is None or not all(map(is_same, self._cache[0], made_from)):
            if not all(torch.isfinite(v).all() for v in values):
                raise ValueError("a parameter of MLPHead is not finite; nothing can be certified")
            w1, b1, w2, b2 = (array(v) for v in values)
            self._cache = ([copied(v) for v in made_from], _Numbers(w1, b1, w2, b2, self.beta))
        return self._cache[1]

    def _radii(
        self,
        features: Tensor,
        lipschitz: float,
        labels: Tensor | None,
        pair_radius: Callable[[_Pair, float], float],
        every_pair: bool,
    ) -> Tensor:
        points, numbers = array(features), self._numbers()
        if points.ndim != 2 or points.shape[1] != self.inward.in_features:
            raise ValueError(f"features must be (batch, {self.inward.in_features}), not {points.shape}")
        with np.errstate(invalid="ignore", over="ignore"):
            logits = numbers.logits(points)
        chosen = logits.argmax(1) if labels is None else array(labels).astype(int)
        check_radius_arguments(logits, chosen, lipschitz)
        radii = np.zeros(len(points))
        finite = np.flatnonzero(np.isfinite(logits).all(1))
        for k, low, steepest in zip(finite, *numbers.margins(points[finite], chosen[finite]), strict=True):
            radii[k] = _least(numbers, points[k], int(chosen[k]), low, steepest, pair_radius, every_pair)
        return torch.from_numpy(np.maximum(np.nextafter(radii / lipschitz * (1 - 2.0**-50), -np.inf), 0.0))

    def margins_and_slopes(self, features: Array, labels: Array) -> tuple[Array, Array]:
        """Lower bounds of `f_y - f_j` and upper bounds of its gradient's norm at features (batch, in_features).

        Both are (batch, classes), 0 for the labels (batch,) themselves.
        """
        return self._numbers().margins(features, labels)

    def __getstate__(self) -> dict[str, object]:
        # Copies and saved files carry no cache.
        return {**super().__getstate__(), "_cache": None}  # type: ignore[misc]


@dataclass(eq=False)
class _Numbers:
    """The weights in float64 and what has been proved about them."""

    w1: Array
    b1: Array
    w2: Array
    b2: Array
    beta: float
    known: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.magnitude = np.abs(self.w1)
        self.frobenius = math.sqrt(float(np.square(self.w1).sum())) * SLACK + 1e-150
        self.squared_norm = proved_weighted_norm(self.w1, np.ones(len(self.w1)))

    def logits(self, points: Array) -> Array:
        """(points, classes)."""
        inner = np.logaddexp(0.0, self.beta * (points @ self.w1.T + self.b1)) / self.beta
        return inner @ self.w2.T + self.b2

    def curvatures(self, y: int) -> Array:
        """The bound `beta / 4 |W1|^2 max w_-` for all classes."""
        most = np.maximum(self.w2 - self.w2[y], 0.0).max(1)
        return most * (self.beta / 4 * self.squared_norm) * (1 + 2.0**-48)

    def tight_curvature(self, y: int, j: int) -> float:
        if (y, j) not in self.known:
            bound = proved_weighted_norm(self.w1, np.maximum(self.w2[j] - self.w2[y], 0.0))
            self.known[y, j] = min(self.beta / 4 * bound * (1 + 2.0**-48), float(self.curvatures(y)[j]))
        return self.known[y, j]

    def margins(self, points: Array, labels: Array) -> tuple[Array, Array]:
        """Lower bounds of f_y - f_j and upper bounds of its gradient's norm, (points, classes), 0 for y itself."""
        low, steepest = np.zeros((2, len(points), len(self.b2)))
        each = np.arange(len(self.b2) - 1)
        count = max(1, ENTRIES // (len(self.b2) * max(self.w1.shape)))
        for start in range(0, len(points), count):
            part = slice(start, start + count)
            others = each + (each >= labels[part, None])
            values, gradients, missed = self.evaluate(points[part], labels[part], others)
            slopes = np.linalg.norm(gradients, axis=2) * (1 + (points.shape[1] + 8) * 4 * U) + missed
            np.put_along_axis(low[part], others, values, 1)
            np.put_along_axis(steepest[part], others, slopes, 1)
        return low, steepest

    def evaluate(self, points: Array, labels: Array, others: Array) -> tuple[Array, Array, Array]:
        """Lower bounds of f_y - f_j for classes `others` (points, m), gradients, and bounds of their errors' norms."""
        h, n = self.w1.shape
        d, shift = self.w2[labels][:, None] - self.w2[others], self.b2[labels][:, None] - self.b2[others]
        v = points @ self.w1.T + self.b1
        inner = rounding_bound(n + 4) * (np.abs(points) @ self.magnitude.T + np.abs(self.b1))
        inner += 4 * U * np.abs(v) + n * 1e-300
        s, slope = np.logaddexp(0.0, self.beta * v) / self.beta, expit(self.beta * v)
        outer = inner + 16 * U * s + 1e-300 / self.beta  # softplus is 1-Lipschitz
        size = np.abs(d)
        error = rounding_bound(h + 4) * (_times(size, s) + np.abs(shift)) + _times(size, outer) + h * 1e-300
        low = np.nextafter(_times(d, s) + shift - SLACK * error, -np.inf)
        # The slope is beta/4-Lipschitz, and | |W1|' z | <= |W1|_F |z|.
        slopes = np.minimum(self.beta / 4 * inner, 1.0) + 16 * U
        missed = np.linalg.norm(size * (slopes + rounding_bound(h + 4) * slope)[:, None], axis=2)
        gradients = ((d * slope[:, None]).reshape(-1, h) @ self.w1).reshape(*d.shape[:2], n)
        return low, gradients, SLACK * self.frobenius * missed + n * 1e-150


def _times(matrices: Array, vectors: Array) -> Array:
    """Products (points, m) of matrices (points, m, h) with vectors (points, h)."""
    return (matrices @ vectors[..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class _Pair:
    """Class y against class j at x: a lower bound of f and an upper bound of its gradient's norm."""

    numbers: _Numbers
    x: Array
    y: int
    j: int
    low: float
    steepest: float

    def curvature(self) -> float:
        return self.numbers.tight_curvature(self.y, self.j)


def _least(
    numbers: _Numbers,
    x: Array,
    y: int,
    low: Array,
    steepest: Array,
    pair_radius: Callable[[_Pair, float], float],
    every_pair: bool,
) -> float:
    """The least radius over all other classes; those that a cheap bound puts beyond it are not looked at twice."""
    cheap = _roots(low, steepest, numbers.curvatures(y))
    cheap[y] = np.inf
    if not every_pair or not np.all(cheap > 0):
        return float(cheap.min())
    best = math.inf
    for k in np.argsort(cheap):
        if cheap[k] >= best:
            break
        pair = _Pair(numbers, x, y, int(k), float(low[k]), float(steepest[k]))
        best = min(best, max(pair_radius(pair, best), float(cheap[k])))
    return best


def _roots(low: Array, steepest: Array, curvatures: Array) -> Array:
    """The positive roots R of `low - steepest R - curvature / 2 R^2`, rounded down; 0 where `low` is not positive."""
    positive = low > 0
    # 2 low / (g + sqrt(g^2 + 2 m low)): no cancellation, and monotone in all three.
    below = steepest + np.hypot(steepest, np.sqrt(2 * curvatures * np.where(positive, low, 0.0)))
    return np.where(positive, 2 * low, 0.0) / np.where(positive, below, 1.0) * (1 - 2.0**-47)


def _root(low: float, steepest: float, curvature: float) -> float:
    return float(_roots(np.array(low), np.array(steepest), np.array(curvature)))


def _primal(pair: _Pair, enough: float) -> float:
    return _root(pair.low, pair.steepest, pair.curvature())


def _dual(pair: _Pair, enough: float) -> float:
    """A lower bound of the distance to `f <= 0` by bisection on the sign of f at the inner minimiser.

    More than `enough` is not asked for: another class is that near.
    """
    numbers, x, m = pair.numbers, pair.x, pair.curvature()
    primal = _root(pair.low, pair.steepest, m)
    largest = CONVEX / m if m > 0 else math.inf
    # Along a ray d = -eta grad f, so this is where the primal radius ends; the dual's optimum is a little further.
    eta = min(primal / pair.steepest, largest) if pair.steepest > 1e-140 else math.inf
    if not (0 < eta < math.inf) or primal >= enough:
        return primal
    best, below, above, at = primal**2, 0.0, math.inf, x
    for _ in range(40):
        at = _minimiser(numbers, x, pair.y, pair.j, eta, at)
        found = numbers.evaluate(at[None], np.array([pair.y]), np.array([[pair.j]]))
        low, gradient, missed = (part[0, 0] for part in found)
        best = max(best, _lower(x, at, eta, m, float(low), gradient, float(missed)))
        below, above = (eta, above) if low > 0 else (below, eta)
        if below == largest or above - below < 1e-3 * above or best >= enough**2:
            break
        eta = min(1.25 * below, largest) if above == math.inf else (below + above) / 2
    return max(primal, math.sqrt(best) * (1 - 2.0**-50))


def _lower(x: Array, at: Array, eta: float, m: float, low: float, gradient: Array, missed: float) -> float:
    """A lower bound of the least `|d|^2 + 2 eta f(x + d)` from d = at - x; minus infinity where something overflows."""
    step = at - x
    square, room = float(step @ step), (len(x) + 16) * U
    value = square + 2 * eta * low - 4 * room * (square + 2 * eta * abs(low))
    size = math.sqrt(square) + eta * float(np.linalg.norm(gradient))
    slope = 2 * (float(np.linalg.norm(step + eta * gradient)) + eta * missed + 4 * room * size) * SLACK
    convexity = 2 * (1 - eta * m) * (1 - 1e-12)
    result = value - slope**2 / (2 * convexity) * SLACK
    return result if math.isfinite(result) else -math.inf


def _minimiser(numbers: _Numbers, x: Array, y: int, j: int, eta: float, start: Array) -> Array:
    """An approximate minimiser x + d of `|d|^2 + 2 eta f(x + d)` by Newton's method, damped; nothing relies on it."""
    at, d = start, numbers.w2[y] - numbers.w2[j]

    def half(point: Array) -> tuple[Array, Array]:
        slope = expit(numbers.beta * (numbers.w1 @ point + numbers.b1))
        return point - x + eta * ((d * slope) @ numbers.w1), slope

    residual, slope = half(at)
    for _ in range(30):
        curved = eta * numbers.beta * d * slope * (1 - slope)
        step = np.linalg.solve(np.eye(len(x)) + numbers.w1.T @ (curved[:, None] * numbers.w1), residual)
        for scale in (1.0, 0.5, 0.25, 0.125, 2.0**-6):
            trial = at - scale * step
            following, next_slope = half(trial)
            if np.linalg.norm(following) < np.linalg.norm(residual):
                at, residual, slope = trial, following, next_slope
                break
        else:
            break
        if np.linalg.norm(residual) <= 1e-9 * np.linalg.norm(at - x):
            break
    return at
