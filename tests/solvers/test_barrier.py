"""The best weights of quadratic facts, beside those of a general solver."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

from sdpcert.network import activations as act
from sdpcert.regions import Ball
from sdpcert.regions.ellipsoid import box_scales
from sdpcert.regions.pieces import Split
from sdpcert.regions.quadratic import FACTS, Facts, QuadraticProblem
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from sdpcert.solvers.barrier import Bound, QuadraticGoals, maximise
from sdpcert.solvers.quadratic_start import best_value, first_weights, linear_weights
from sdpcert.solvers.weighed_facts import Products, Weights, matrix
from tests.regions.networks import ACTIVATIONS, Array, chain, region_of

PRECISE = QuadraticGoals(tolerance=1e-6)


def problem_of(name: str, seed: int, kind: str = "ball", size: float = 0.7, split: bool = False) -> QuadraticProblem:
    rng = np.random.default_rng(seed)
    form = chain(rng, [4, 7, 6, 3, 2], ACTIVATIONS[name]).stacked
    state, _ = tighten(State.of(form, region_of(kind, rng, 4, size)), Effort())
    neuron = int(np.argmax(state.high[0] - state.low[0]))
    if split:
        low, high = float(state.low[0][neuron]), float(state.high[0][neuron])
        at = 0.0 if low < 0 < high else (low + high) / 2
        state, _ = tighten(state.on_side(Split(1, neuron, at), "above"), Effort())
    scales = box_scales(state, np.ones(4)) if kind == "box" else None
    return Facts(state, 3).scaled(scales).problem(1, 1.0)


def reference(problem: QuadraticProblem, lines: Array | None = None) -> float:
    """The largest t by a general solver, from matrices that are made fact by fact; `lines` (facts, neurons, 3) are more
    facts, linear ones.
    """
    u, m, n = problem.neurons, problem.inputs, problem.order
    e0, units = np.eye(n)[0], np.eye(n)[1 + m :]
    facts = [np.outer(e0, row) for row in problem.rows[u:]]
    ball = np.diag([1.0] + [-1.0] * m + [0.0] * u)
    facts.append(ball)
    for k, (left, right) in enumerate(FACTS):
        for i in range(u):
            basis = np.stack([e0, problem.rows[i], units[i]])
            one, other = problem.forms[left, i] @ basis, problem.forms[right, i] @ basis
            facts.append(problem.signs[k, i] * np.outer(one, other))
    for line in np.zeros((0, u, 3)) if lines is None else lines:
        facts += [np.outer(e0, line[i] @ np.stack([e0, problem.rows[i], units[i]])) for i in range(u)]
    t, weights = cp.Variable(), cp.Variable(len(facts), nonneg=True)
    total = np.outer(e0, problem.target) - t * np.outer(e0, e0)
    for k, fact in enumerate(facts):
        total = total - weights[k] * ((fact + fact.T) / 2)
    task = cp.Problem(cp.Maximize(t), [(total + total.T) / 2 >> 0])
    task.solve(solver=cp.CLARABEL)
    assert t.value is not None
    return float(t.value)


def assert_proved(problem: QuadraticProblem, bound: Bound) -> None:
    assert bound.weights is not None
    assert np.all(bound.weights.vector >= 0)
    least = np.linalg.eigvalsh(matrix(problem, bound.value, bound.weights))[0]
    assert least >= -1e-9


@pytest.mark.parametrize(
    ("name", "kind", "split"),
    [
        ("relu", "ball", False),
        ("relu", "box", True),
        ("leaky_relu", "ball", True),
        ("steep", "box", False),
        ("abs", "ball", False),
        ("hardtanh", "ball", True),
        ("softshrink", "box", False),
        ("tanh", "ball", False),
        ("sigmoid", "box", True),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_optimum_is_that_of_a_general_solver(name: str, kind: str, split: bool, seed: int) -> None:
    problem = problem_of(name, seed, kind, split=split)
    bound = maximise(problem, PRECISE)
    assert bound.status == "optimal"
    assert_proved(problem, bound)
    assert bound.value == pytest.approx(reference(problem), abs=1e-5)
    assert bound.value <= bound.upper <= bound.value + 1e-5


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "steep", "abs"])
def test_six_facts_prove_no_more_than_three(name: str) -> None:
    """t1, t2 and t3 of a kinked neuron are sums of the others and of squares; without t4 and t5 less is proved."""
    problem = problem_of(name, 3, size=1.0)
    first, second, low, high = problem.forms
    assert problem.neurons > 5 and np.all(problem.signs[0] < 0)
    ends = [np.stack([np.ones(len(f)), -f[:, 0] / f[:, 1], np.zeros(len(f))], axis=1) for f in (low, high)]
    # kappa (chord - z): like the negated form of a piece, and zero at both ends.
    at_low, at_high = (np.sum(f * end, axis=1) for f, end in zip((first, second), ends, strict=True))
    chord = np.zeros_like(first)
    chord[:, 2] = -np.sign(first[:, 2])
    values = [-value / np.abs(f[:, 2]) for value, f in zip((at_low, at_high), (first, second), strict=True)]
    slope = (values[1] - values[0]) / (ends[1][:, 1] - ends[0][:, 1])
    chord[:, 1], chord[:, 0] = slope, values[0] - slope * ends[0][:, 1]
    lines = np.stack([first, second, chord])
    best = maximise(problem, PRECISE).value
    assert reference(problem, lines) == pytest.approx(best, abs=1e-5)
    # With t1, t2 and t3 instead of t4 and t5.
    one = np.broadcast_to([1.0, 0.0, 0.0], low.shape)
    fewer = replace(problem, forms=np.stack([first, second, one, one]))
    assert reference(fewer, chord[None]) < best - 1e-3


def test_the_start_is_the_linear_relaxation() -> None:
    """Its weights prove what lines prove, and the mixture is inside."""
    for name in ("relu", "steep", "abs", "hardtanh", "tanh", "gelu"):
        problem = problem_of(name, 5, size=0.4)
        row, weights = linear_weights(problem)
        by_lines = row[0] - np.linalg.norm(row[1:])
        slightly = Weights(weights.ball + 1e-9, weights.decisions, weights.facts)
        room = 1e-6 * np.eye(problem.order)
        assert np.linalg.eigvalsh(matrix(problem, by_lines - 1e-6, slightly) + room)[0] >= 0
        start = first_weights(problem)
        assert start is not None and np.all(start[1:] > 0)
        assert np.linalg.eigvalsh(matrix(problem, start[0], Weights.of(problem, start[1:])))[0] > 0
        assert maximise(problem, PRECISE).value >= by_lines - 1e-6


def test_a_run_stops_where_nobody_wants_to_know_more() -> None:
    problem = problem_of("relu", 7, size=1.0)
    best = maximise(problem, PRECISE)
    start = first_weights(problem)
    assert start is not None
    middle = (best.value + float(start[0])) / 2
    enough = maximise(problem, QuadraticGoals(enough=middle))
    assert enough.status == "enough" and middle <= enough.value <= best.value
    assert enough.iterations < best.iterations
    hopeless = maximise(problem, QuadraticGoals(hopeless=best.upper + 0.2))
    assert hopeless.status == "hopeless" and hopeless.upper <= best.upper + 0.2
    assert hopeless.iterations < best.iterations
    assert maximise(problem, QuadraticGoals(seconds=0.0)).status == "time limit"
    for bound in (enough, hopeless):
        assert_proved(problem, bound)


def test_a_start_proves_what_it_did() -> None:
    problem = problem_of("relu", 8, size=1.0)
    best = maximise(problem, PRECISE)
    assert best.weights is not None
    again = maximise(problem, QuadraticGoals(enough=best.value - 1e-3), best.weights)
    assert again.status == "enough" and again.iterations == 0
    useless = Weights(0.0, np.zeros(problem.decisions), np.zeros_like(best.weights.facts))
    assert maximise(problem, PRECISE, useless).value == pytest.approx(best.value, abs=1e-5)


def test_moments_are_those_of_the_relaxation() -> None:
    """They satisfy all facts, and the target's mean is the limit of all bounds."""
    problem = problem_of("relu", 9, size=0.8)
    bound = maximise(problem, PRECISE)
    assert bound.moments is not None
    facts = Products(problem, bound.moments).adjoint()
    assert facts[0] == pytest.approx(1.0, abs=1e-4)
    assert np.all(facts[1:] >= -1e-4)
    assert problem.target @ bound.moments[0] == pytest.approx(bound.value, abs=1e-4)


def test_the_schur_complement_is_that_of_all_pairs() -> None:
    problem = problem_of("leaky_relu", 10, split=True)
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((problem.order, problem.order)) for _ in range(2))
    one, other = one @ one.T, other @ other.T
    size = 2 + problem.decisions + len(FACTS) * problem.neurons
    every = []
    for k in range(size):
        unit = np.eye(size)[k]
        every.append(-matrix(problem, float(unit[0]), Weights.of(problem, unit[1:]), target=False))
    first, second = Products(problem, one), Products(problem, other)
    np.testing.assert_allclose(first.adjoint(), [np.sum(a * one) for a in every], rtol=1e-9, atol=1e-9)
    first.prepare()
    second.prepare()
    found = np.tril(first.schur(second))
    expected: Array = np.array([[np.trace(a @ one @ b @ other) for b in every] for a in every])
    np.testing.assert_allclose(found, np.tril(expected + expected.T) / 2, rtol=1e-8, atol=1e-7)


def test_a_preactivation_without_undecided_neurons() -> None:
    form = chain(np.random.default_rng(4), [3, 4, 2, 2], act.relu()).stacked
    state, _ = tighten(State.of(form, Ball(np.full(3, 0.7), 1e-3)), Effort())
    problem = Facts(state, 2).scaled().problem(0, 1.0)
    assert problem.neurons == 0
    bound = maximise(problem, PRECISE)
    assert bound.weights is not None
    value = best_value(problem, bound.weights)
    assert value == pytest.approx(problem.target[0] - np.linalg.norm(problem.target[1:]), abs=1e-5)
