"""Sweeps over segments: every point is proved, none is above the one before, and they come near the optimum."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from sdpcert.certificate.proof import ProofProblem
from sdpcert.network.activations import relu
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers import Budget, Progress, Solution, closed_form, interior_point
from sdpcert.solvers.segments import estimate_sweep, segments_of, sweep
from sdpcert.solvers.separators import Rows, root

Array = np.ndarray
SLOPES = [(0.0, 1.0), (0.1, 1.0), (-1.0, 1.0), (-0.2, 1.1), (0.0, 0.25), (0.5, 2.0), (-2.0, -0.3)]


def deep_form(sizes: list[int], seed: int, mixed: bool = False, skips: bool = False) -> StackedForm:
    """A network with normal weights: `sizes` are those of input, groups and output."""
    rng = np.random.default_rng(seed)
    groups, blocks = [], {}
    for to in range(1, len(sizes)):
        for source in range(to):
            if source == to - 1 or (skips and rng.random() < 0.3):
                blocks[to, source] = Block(rng.standard_normal((sizes[to], sizes[source])))
        if to < len(sizes) - 1:
            picks = [SLOPES[k] for k in rng.integers(0, len(SLOPES) if mixed else 1, sizes[to])]
            alpha, beta = (np.array([p[k] for p in picks]) for k in (0, 1))
            groups.append(Group(relu(), (sizes[to],), np.arange(sizes[to]), alpha, beta, np.zeros(sizes[to])))
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1])).reduced()


def proved(form: StackedForm, solution: Solution) -> float:
    """The bound that is proved for a point; it is at most a tenth of a millionth above what the point claims."""
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is not None
    bound = math.ldexp(math.sqrt(proof.rho), proof.exponent)
    assert bound <= solution.bound * (1 + 1e-7)
    return bound


@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=4, max_size=9),
    seed=st.integers(0, 2**16),
    mixed=st.booleans(),
    skips=st.booleans(),
    neurons=st.integers(3, 12),
)
def test_every_point_is_proved_and_none_is_above_the_one_before(
    sizes: list[int], seed: int, mixed: bool, skips: bool, neurons: int
) -> None:
    form = deep_form(sizes, seed, mixed, skips)
    start = closed_form(form, theta=0.4)
    best = interior_point(form, "neuron", Budget())
    points = list(itertools.islice(sweep(form, start, Budget(1e-3), neurons), 2))
    bounds = [start.bound, *(p.bound for p in points)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(bounds))
    for point in points:
        assert proved(form, point) >= best.dual * (1 - 1e-9)


@pytest.mark.parametrize("skips", [False, True])
def test_comes_near_the_optimum(skips: bool) -> None:
    form = deep_form([4, *[8] * 7, 2], 5, skips=skips)
    start, best = closed_form(form), interior_point(form, "neuron", Budget(1e-6))
    *_, last = sweep(form, start, Budget(1e-3), neurons=24)
    assert start.bound > 1.5 * best.bound
    assert best.dual <= last.bound <= 1.01 * best.bound


def test_one_segment_is_the_whole_problem() -> None:
    form = deep_form([3, 5, 4, 2], 1)
    best = interior_point(form, "neuron", Budget(1e-8))
    *_, last = sweep(form, closed_form(form), Budget(1e-6))
    assert last.bound == pytest.approx(best.bound, rel=2e-6)


def test_segments_cover_all_groups_and_overlap_by_half() -> None:
    form = deep_form([3, *[4] * 12, 1], 0)
    assert segments_of(form, 16) == [(1, 4), (3, 6), (5, 8), (7, 10), (9, 12)]
    assert segments_of(form, 3) == [(k, k) for k in range(1, 13)]
    assert segments_of(form, 1000) == [(1, 12)]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("skips", [False, True])
def test_forms_of_both_sides_meet_at_the_boundary(mixed: bool, skips: bool) -> None:
    """At the least rho that multipliers allow, the forms of head and tail touch at every cut."""
    form = deep_form([3, *[5] * 6, 2], 3, mixed, skips)
    point = closed_form(form, theta=0.4)
    rows = Rows(form, point.exponent)
    scaled = zip(point.multipliers, rows.scaling.neurons, strict=True)
    t = [np.zeros(0), *(np.ldexp(t, -2 * a) / point.rho for t, a in scaled)]
    head = rows.input_form()
    heads = [head]
    for g in range(1, rows.groups + 1):
        head = rows.with_head(head, g, t[g])
        assert head is not None
        heads.append(head)
    rho = rows.gain(head)
    assert rho == pytest.approx(point.rho, rel=1e-8)
    tail = rows.output_form()
    for g in range(rows.groups, 1, -1):
        tail = rows.with_tail(tail, g, rho * t[g])
        assert tail is not None
        square = root(tail)
        assert square is not None
        np.testing.assert_allclose(square.T @ square, tail.matrix, atol=1e-10 * np.abs(tail.matrix).max())
        places, metric = rows.slices(heads[g - 1].sources), rho * heads[g - 1].matrix
        chosen = np.concatenate([places[s] for s in tail.sources])
        output = np.zeros_like(metric)
        output[np.ix_(chosen, chosen)] = tail.matrix
        assert linalg.eigh(output, metric, eigvals_only=True)[-1] == pytest.approx(1.0, rel=1e-9)


def test_time_and_interrupts_keep_what_was_gained() -> None:
    form = deep_form([4, *[8] * 7, 2], 5)
    start = closed_form(form)
    assert list(sweep(form, start, Budget(seconds=0.0), neurons=24)) == []

    def interrupt(line: Progress) -> None:
        if line.iteration == 3:
            raise KeyboardInterrupt

    (last,) = sweep(form, start, Budget(report=interrupt), neurons=24)
    assert last.status == "interrupted"
    assert proved(form, last) < start.bound


def test_estimate_grows_with_the_depth() -> None:
    short, long = (estimate_sweep(deep_form([4, *[20] * count, 2], 5), neurons=60) for count in (20, 40))
    assert short.seconds * 1.9 < long.seconds < short.seconds * 2.3
    assert long.memory < 2 * short.memory
