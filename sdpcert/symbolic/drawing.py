"""Exact instances of a claim: random numbers for its symbols that satisfy its hypotheses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.symbolic.claim import Claim
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.expression import letter
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.symbols import Symbol

#: Exact instances that a claim is tried on, and the largest dimension of them.
INSTANCES = 20
LARGEST = 5
#: By how much numbers shrink after an instance that fails a hypothesis, and how often before they are large again.
SHRINK, SMALLEST = 4, 4


def sizes_of(claim: Claim, largest: int = LARGEST) -> Iterator[dict[str, Any]]:
    """Choices of dimensions: all equal to 1, then mixed ones."""
    names = [name for name in claim.dimensions() if not isinstance(claim.sizes.get(name), int)]
    fixed = {k: v for k, v in claim.sizes.items() if isinstance(v, int)}
    rng = np.random.default_rng(7)
    for values in itertools.chain(
        [(1,) * len(names), (2,) * len(names), (3,) * len(names)],
        (tuple(int(k) for k in rng.integers(1, largest + 1, len(names))) for _ in itertools.count()),
    ):
        chosen = dict(zip(names, values)) | fixed
        yield chosen | {k: v(chosen) for k, v in claim.sizes.items() if callable(v)}


def instances(
    claim: Claim,
    seed: int = 0,
    count: int = INSTANCES,
    magnitude: int = 3,
    denominator: int = 2,
    largest: int = LARGEST,
    sampled: bool = True,
    effort: Effort | None = None,
) -> Iterator[Instance]:
    """Exact instances that satisfy the hypotheses, of parameters within `magnitude` over up to `denominator`.

    With `sampled` False some of the symbols that have samplers are drawn freely; without such symbols nothing comes.
    After instances that fail a hypothesis come smaller numbers, since most hypotheses say that something is small.
    Ends when `effort` is spent.
    """
    rng = np.random.default_rng(seed)
    roots, found, failed = claim.roots(), 0, 0
    choosable = claim.sampled()
    if not sampled and not choosable:
        return
    for attempt, sizes in enumerate(sizes_of(claim, largest)):
        if found >= count or attempt >= (20 if sampled else 5) * count or (effort is not None and effort.spent):
            return
        unsampled = () if sampled else some_of(choosable, rng)
        shrink = Fraction(1, SHRINK ** (failed % SMALLEST))
        instance = Instance(sizes, rng, magnitude, denominator, roots=roots, unsampled=unsampled, shrink=shrink)
        try:
            # Every symbol is computed: one that is singular here spoils the instance.
            for symbol in claim.symbols():
                instance.value(letter(symbol))
            if all(statement.holds(instance) for statement in claim.given):
                if unsampled and claim.declared_wrongly(instance) is not None:
                    continue
                found, failed = found + 1, 0
                yield instance
            else:
                failed += 1
        except ZeroDivisionError:
            continue


def some_of(symbols: Sequence[Symbol], rng: np.random.Generator) -> tuple[Symbol, ...]:
    """A random choice of at least one of them."""
    chosen = tuple(s for s in symbols if rng.integers(2))
    return chosen or (symbols[int(rng.integers(len(symbols)))],)


def shown_sizes(sizes: Sequence[Mapping[str, int]]) -> str:
    """The dimensions of instances, as in m 1-5, n 2."""
    names = sorted(set(itertools.chain.from_iterable(sizes)))
    ranges = {name: sorted({size[name] for size in sizes if name in size}) for name in names}
    shown = [f"{k} {v[0]}" if len(v) == 1 else f"{k} {v[0]}-{v[-1]}" for k, v in ranges.items()]
    return ", ".join(shown) or "no dimensions"
