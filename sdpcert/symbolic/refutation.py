"""Refutation: a search for an exact instance where a claim fails, made as small as it can be found.

Dimensions and magnitudes grow from the smallest on, so what is found first is nearly minimal; it is then shrunk entry
by entry. Where random numbers find nothing, the smallest eigenvalue is minimised over real parameters and the
minimiser is rounded to rationals. Then large numbers are tried, and last instances that ignore what samplers of an
author's choose: a claim is about everything that its hypotheses allow. Only an exact failure counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.running.short_repr import ShortRepr
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.drawing import instances, some_of
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.exact import form, indefinite
from sdpcert.symbolic.expression import letter
from sdpcert.symbolic.instances import Draw, Instance
from sdpcert.symbolic.symbols import Symbol

Array = np.ndarray
#: Instances of random search, and starts of the search along gradients: numbers and no times, so that the same seed
#: finds the same witness on every machine. The library's wrong versions need 6,625 instances at most.
RANDOM_INSTANCES = 12_000
GRADIENT_STARTS = 40
#: Instances with large numbers, and instances that ignore samplers.
LARGE_INSTANCES = 120
UNSAMPLED_INSTANCES = 1_200


@dataclass(frozen=True)
class Witness(ShortRepr):
    """An exact instance in which the claim fails.

    For an inequality `vector` is v with `value` v'Mv < 0; for an equality `vector` is None and `value` a nonzero entry.
    `network`, if the claim is about a layer, is a pair of inputs that are mapped too far apart.
    """

    instance: Instance
    values: dict[Symbol, Array]
    matrix: Array
    vector: Array | None
    value: Any
    network: Any = None

    def holds(self, claim: Claim) -> bool:
        """Whether the witness satisfies the hypotheses and contradicts the claim, evaluated anew."""
        fresh = self.instance.again()
        return all(s.holds(fresh) for s in claim.given) and not claim.show.holds(fresh)


def refute(claim: Claim, seed: int = 0, effort: float = 1.0, limit: Effort | None = None) -> Witness | None:
    """A small exact counterexample, None if `effort` times the usual search found none (which proves nothing).

    The search ends when the seconds of `limit` are spent.
    """
    rng, limit = np.random.default_rng(seed), limit or Effort()
    found = (
        _random(claim, rng, round(effort * RANDOM_INSTANCES), limit.share(0.5))
        or _gradient(claim, rng, round(effort * GRADIENT_STARTS), limit.share(0.5))
        or _large(claim, rng, round(effort * LARGE_INSTANCES), limit.share(0.5))
        or _unsampled(claim, rng, round(effort * UNSAMPLED_INSTANCES), limit)
    )
    return None if found is None else witness_of(claim, _shrunk(claim, found))


def _attempt(claim: Claim, instance: Instance, rounded: bool = True) -> bool:
    """Whether the instance satisfies the hypotheses and violates the conclusion.

    Where a root was rounded, the unrounded numbers have to violate it too; with `rounded` False no root may be rounded.
    """
    try:
        if not all(s.holds(instance) for s in claim.given) or claim.show.holds(instance):
            return False
        if claim.declared_wrongly(instance) is not None:
            return False
        return not instance.rounded or (rounded and fails_in_floats(claim, instance))
    except ZeroDivisionError:
        return False


def fails_in_floats(claim: Claim, instance: Instance) -> bool:
    """Whether the claim clearly fails where the roots of the instance are not rounded."""
    try:
        with np.errstate(all="raise"):
            value = instance.again(exact=False).value(claim.show.matrix).astype(float)
    except (FloatingPointError, ZeroDivisionError, ValueError):
        return False
    scale = np.abs(value).max(initial=1e-300)
    if claim.show.kind == "zero":
        return bool(np.abs(value).max(initial=0.0) > 1e-6)
    return bool(np.abs(value - value.T).max() > 1e-6 * scale or np.linalg.eigvalsh(value)[0] < -1e-6 * scale)


def _plans(claim: Claim) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Sizes, magnitude and denominator, from the smallest on."""
    names = [name for name in claim.dimensions() if not isinstance(claim.sizes.get(name), int)]
    fixed = {k: v for k, v in claim.sizes.items() if isinstance(v, int)}
    choices = sorted(itertools.product(range(1, 5), repeat=len(names)), key=lambda c: (max(c, default=0), sum(c)))
    for (magnitude, denominator), largest in (((1, 1), 3), ((2, 1), 3), ((3, 1), 3), ((3, 2), 3), ((8, 3), 4)):
        for values in choices:
            if max(values, default=1) <= largest:
                chosen = dict(zip(names, values)) | fixed
                yield chosen | {k: v(chosen) for k, v in claim.sizes.items() if callable(v)}, magnitude, denominator


def _random(claim: Claim, rng: np.random.Generator, count: int, limit: Effort) -> Instance | None:
    roots = claim.roots()
    for tries, rounded in ((12, False), (12, True), (80, False), (80, True), (400, True)):
        for sizes, magnitude, denominator in _plans(claim):
            for _ in range(tries):
                if count == 0 or limit.spent:
                    return None
                count -= 1
                floats = Instance(sizes, rng, magnitude, denominator, roots=roots, exact=False)
                if not _may_fail(claim, floats):
                    continue
                instance = Instance(sizes, rng, magnitude, denominator, floats.parameters, roots)
                if _attempt(claim, instance, rounded):
                    return instance
    return None


def _may_fail(claim: Claim, floats: Instance) -> bool:
    """Whether in floats, which are much faster, the hypotheses hold and the conclusion fails, as far as one can see."""
    try:
        with np.errstate(all="ignore"):
            value, scale = _in_floats(claim.show, floats)
            if claim.show.kind == "zero":
                fails = np.abs(value).max(initial=0.0) > 1e-12
            else:
                fails = np.abs(value - value.T).max(initial=0.0) > 0 or np.linalg.eigvalsh(value)[0] < -1e-11 * scale
            return bool(fails) and all(_may_hold(statement, floats) for statement in claim.given)
    except ZeroDivisionError:
        return False  # singular, or refused by a sampler
    except (ArithmeticError, ValueError, TypeError, AttributeError, np.linalg.LinAlgError):
        return True  # what floats cannot say, exact numbers decide


def _may_hold(statement: Statement, floats: Instance) -> bool:
    value, scale = _in_floats(statement, floats)
    if statement.kind == "zero":
        return bool(np.abs(value).max(initial=0.0) <= 1e-6 * max(scale, 1.0))
    return bool(np.linalg.eigvalsh((value + value.T) / 2)[0] >= -1e-6 * scale)


def _in_floats(statement: Statement, floats: Instance) -> tuple[Array, float]:
    """The matrix of a statement and the size of its entries; raises ValueError if it is not finite."""
    value = np.asarray(floats.value(statement.matrix), dtype=float)
    if not np.isfinite(value).all():
        raise ValueError("the matrix is not finite")
    return value, float(np.abs(value).max(initial=0.0))


def _large(claim: Claim, rng: np.random.Generator, count: int, limit: Effort) -> Instance | None:
    """Numbers that no author thinks of: a claim may hold on a grid of small ones by chance."""
    for instance in instances(claim, int(rng.integers(2**31)), count, 1000, 97, largest=2):
        if limit.spent or _attempt(claim, instance):
            return None if limit.spent else instance
    return None


def _unsampled(claim: Claim, rng: np.random.Generator, count: int, limit: Effort) -> Instance | None:
    """Instances in which some samplers are ignored."""
    choosable, roots = claim.sampled(), claim.roots()
    for sizes, magnitude, denominator in itertools.cycle(list(_plans(claim)) if choosable else []):
        if count == 0 or limit.spent:
            return None
        count -= 1
        chosen = some_of(choosable, rng)
        instance = Instance(sizes, rng, magnitude, denominator, roots=roots, unsampled=chosen)
        if _attempt(claim, instance):
            return instance
    return None


def _gradient(claim: Claim, rng: np.random.Generator, count: int, limit: Effort) -> Instance | None:
    """Minimise the smallest eigenvalue over real parameters; round the minimiser."""
    from scipy.optimize import minimize

    if claim.show.kind != "positive":
        return None
    roots = claim.roots()
    for sizes, magnitude, denominator in itertools.islice(itertools.cycle(list(_plans(claim))), count):
        if limit.spent:
            return None
        start = Instance(sizes, rng, magnitude, denominator, roots=roots)
        try:
            for statement in (*claim.given, claim.show):
                start.value(statement.matrix)
        except ZeroDivisionError:
            continue
        shapes = {s: v.shape for s, v in start.parameters.items()}
        if not shapes:
            continue

        def unpacked(x: Array, shapes: dict[Symbol | Draw, tuple[int, ...]] = shapes) -> dict[Symbol | Draw, Array]:
            parts, at = {}, 0
            for symbol, shape in shapes.items():
                count = math.prod(shape)
                parts[symbol], at = x[at : at + count].reshape(shape), at + count
            return parts

        def lowest(x: Array, sizes: dict[str, int] = sizes, unpacked: Any = unpacked) -> float:
            instance = Instance(sizes, np.random.default_rng(0), parameters=unpacked(x), exact=False)
            try:
                value = np.asarray(instance.value(claim.show.matrix), dtype=float)
            except (ZeroDivisionError, FloatingPointError, ValueError):
                return 0.0
            if not np.isfinite(value).all():
                return 0.0
            scale = np.abs(value).max(initial=1e-12)
            return float(np.linalg.eigvalsh((value + value.T) / 2)[0] / scale)

        x0 = np.concatenate([v.astype(float).ravel() for v in start.parameters.values()])
        result = minimize(lowest, x0, method="L-BFGS-B", options={"maxiter": 40})
        if result.fun > -1e-7:
            continue
        for bottom in (1, 2, 4, 8, 32, 256, 4096):
            rounded = np.empty(len(result.x), dtype=object)
            for k, value in enumerate(result.x):
                rounded[k] = Fraction(round(value * bottom), bottom)
            positive = {s for s in shapes if _is_positive(s)}
            parts = unpacked(rounded)
            for symbol in positive:
                parts[symbol] = np.vectorize(lambda v: max(abs(v), Fraction(1, 4096)), otypes=[object])(parts[symbol])
            for symbol in roots & {s for s in parts if isinstance(s, Symbol)}:
                parts[symbol] = parts[symbol] ** 2
            instance = Instance(sizes, rng, parameters=parts, roots=roots)
            if _attempt(claim, instance):
                return instance
    return None


def _shrunk(claim: Claim, instance: Instance) -> Instance:
    """Replace parameters by smaller numbers as long as the claim still fails."""
    roots = claim.roots()
    parameters = {s: v.copy() for s, v in instance.parameters.items()}
    for _ in range(3):
        changed = False
        for symbol, array in parameters.items():
            for index in np.ndindex(array.shape):
                now = array[index]
                for smaller in _smaller(now, symbol):
                    array[index] = smaller
                    smaller_one = Instance(
                        instance.sizes, parameters=parameters, roots=roots, unsampled=instance.unsampled
                    )
                    if _attempt(claim, smaller_one, rounded=instance.rounded):
                        changed = True
                        break
                    array[index] = now
        if not changed:
            break
    return Instance(instance.sizes, parameters=parameters, roots=roots, unsampled=instance.unsampled)


def _is_positive(symbol: Symbol | Draw) -> bool:
    return symbol.positive and (isinstance(symbol, Draw) or symbol.kind in ("diagonal", "scalar"))


def _smaller(value: Any, symbol: Symbol | Draw) -> list[Fraction]:
    positive = _is_positive(symbol)
    options = [Fraction(k) for k in ((1, 2, 3, 4) if positive else (0, 1, -1, 2, -2, 3, -3))]
    cost = _cost(value)
    return [o for o in options if _cost(o) < cost]


def _cost(value: Any) -> tuple[int, int, bool]:
    exact = Fraction(value)
    return exact.denominator, abs(exact.numerator), exact < 0


def witness_of(claim: Claim, instance: Instance) -> Witness:
    """The witness that an instance is in which the claim fails."""
    matrix = instance.value(claim.show.matrix)
    values = {}
    for symbol in sorted(claim.symbols(), key=lambda s: (s.definition is not None, s.name)):
        if symbol.square is None:
            values[symbol] = instance.value(letter(symbol))
    vector, value = None, None
    if claim.show.kind == "positive" and bool(np.all(matrix == matrix.T)):
        vector = small_negative_vector(matrix)
        value = form(matrix, vector)
    else:
        value = next((v for v in (matrix - matrix.T if claim.show.kind == "positive" else matrix).flat if v != 0), None)
    return Witness(instance, values, matrix, vector, value)


def small_negative_vector(matrix: Array) -> Array:
    """A vector with v'Mv < 0 and small integers, if possible."""
    size = len(matrix)
    for largest in (1, 2, 3):
        if (2 * largest + 1) ** size > 20_000:
            break
        candidates = itertools.product(range(-largest, largest + 1), repeat=size)
        for entries in sorted(candidates, key=lambda e: (sum(map(abs, e)), [-x for x in e])):
            vector = np.array([Fraction(x) for x in entries], dtype=object)
            if form(matrix, vector) < 0:
                return vector
    vector = indefinite(matrix)
    assert vector is not None
    # A direction near the lowest eigenvector with small integers, if one does.
    lowest = np.linalg.eigh(matrix.astype(float))[1][:, 0]
    for scale in (1, 2, 3, 5, 10, 100):
        rounded = np.array([Fraction(round(x * scale / np.abs(lowest).max())) for x in lowest], dtype=object)
        if form(matrix, rounded) < 0:
            return rounded
    return vector
