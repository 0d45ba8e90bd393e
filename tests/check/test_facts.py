"""Facts of undecided neurons: none is negative on the graph of the activation, whatever is rounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sdpcert.check import facts
from sdpcert.check import network as networks
from sdpcert.check.facts import Polynomial, facts_of
from sdpcert.check.state import Neurons
from tests.check import covers
from tests.check.quadratic_oracle import ABSOLUTE, CONCAVE, HARD_TANH, LEAKY, RELU, TANH, Kind

KINDS = [RELU, LEAKY, ABSOLUTE, CONCAVE, HARD_TANH, TANH]
floats = st.floats(-3.0, 3.0, allow_subnormal=False)


def known_of(kind: Kind, low: float, high: float, lower: float, upper: float) -> Neurons:
    groups = [covers.group(kind.document(1), [0.0], kind.slopes)]
    blocks = [covers.block(1, 0, [[1.0]]), covers.block(2, 1, [[1.0]])]
    network = networks.read(covers.network(1, 1, groups, blocks), "network")
    known = Neurons.of(network.groups[0], 300).with_ends("low", [0], [low]).with_ends("high", [0], [high])
    return known.with_lines([0], [lower], [upper])


def at(polynomial: Polynomial, v: Fraction, z: Fraction) -> Fraction:
    return sum((c * x for c, x in zip(polynomial, (1, v, z, v * v, v * z, z * z), strict=True)), Fraction(0))


@pytest.mark.parametrize("kept", [2, 5, 96])
@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), ends=st.tuples(floats, floats), slopes=st.tuples(floats, floats))
def test_facts_hold_on_the_graph(kept: int, kind: Kind, ends: tuple[float, float], slopes: tuple[float, float]) -> None:
    low, high = sorted(ends)
    assume(low < high)
    known = known_of(kind, low, high, *slopes)
    if not known.undecided:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts, "KEPT_BITS", kept)
        found = facts_of(known, 0)
    for v in [low, high, *np.linspace(low, high, 9)[1:-1].tolist(), *(p[0] for p in kind.pieces if low < p[0] < high)]:
        z, exact = Fraction(float(kind.value(np.array(v)))), Fraction(v)
        room = Fraction(0)
        if kind.pieces:
            _, slope, at_zero = max(piece for piece in kind.pieces if piece[0] <= v)
            z = Fraction(slope) * exact + Fraction(at_zero)
        else:
            room = Fraction(1, 10**12)
        for fact in found:
            assert fact is not None and at(fact, exact, z) >= -room


@pytest.mark.parametrize("kind", KINDS)
def test_facts_leave_out_what_is_not_on_the_graph(kind: Kind) -> None:
    """Beyond the lines some fact is negative, and with one kink everywhere off the graph."""
    found = facts_of(known_of(kind, -0.75, 0.75, -0.25, 0.5), 0)
    if len(found) < 6:
        found = found[1:]
    for v in (-0.5, 0.375):
        z = float(kind.value(np.array(v)))
        for off in (-3.0, 3.0) if len(found) < 6 else (-3.0, -0.05, 0.05, 3.0):
            values = [at(fact, Fraction(v), Fraction(z + off)) for fact in found if fact is not None]
            assert min(values) < 0
