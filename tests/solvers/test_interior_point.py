"""The native solver against Clarabel, against itself in another form, and stopped in the middle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sdpcert import Network, certify
from sdpcert.arithmetic.arrays import NumpyArrays
from sdpcert.certificate.proof import ProofProblem
from sdpcert.network.activations import leaky_relu, relu
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers import Budget, Progress, Solution, closed_form, interior_point, product

Array = np.ndarray
SLOPES = [(0.0, 1.0), (0.1, 1.0), (-1.0, 1.0), (-0.2, 1.1), (0.0, 0.25), (0.5, 2.0), (-2.0, -0.3)]


def random_form(seed: int, mixed: bool, skips: bool, inputs: int = 3) -> StackedForm:
    rng = np.random.default_rng(seed)
    sizes = [inputs, *(int(k) for k in rng.integers(2, 6, int(rng.integers(1, 4)))), 2]
    groups, blocks = [], {}
    for to in range(1, len(sizes)):
        for source in range(to):
            if source == to - 1 or (skips and rng.random() < 0.6):
                blocks[to, source] = Block(rng.standard_normal((sizes[to], sizes[source])))
        if to < len(sizes) - 1:
            picks = [SLOPES[k] for k in rng.integers(0, len(SLOPES) if mixed else 1, sizes[to])]
            alpha, beta = (np.array([p[k] for p in picks]) for k in (0, 1))
            groups.append(Group(relu(), (sizes[to],), np.arange(sizes[to]), alpha, beta, np.zeros(sizes[to])))
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1]))


def by_clarabel(form: StackedForm, method: str) -> float:
    """The optimum of the condition, written down as the format document has it, for CVXPY."""
    cp = pytest.importorskip("cvxpy")
    sizes = form.sizes[:-1]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    n = int(bounds[-1])
    rho = cp.Variable(nonneg=True)
    M = rho * np.diag((np.arange(n) < form.inputs).astype(float))
    for to in range(1, form.output_row + 1):
        K = np.zeros((form.sizes[to], n))
        for source, block in form.row(to).items():
            K[:, bounds[source] : bounds[source + 1]] = block.weights
        if to == form.output_row:
            M = M - K.T @ K
            continue
        group = form.groups[to - 1]
        E = np.eye(n)[bounds[to] : bounds[to + 1]]
        P, Q = E - group.alpha[:, None] * K, E - group.beta[:, None] * K
        t = (
            cp.Variable(group.size, nonneg=True)
            if method == "neuron"
            else cp.Variable(nonneg=True) * np.ones(group.size)
        )
        for i in range(group.size):
            M = M + t[i] * (np.outer(P[i], Q[i]) + np.outer(Q[i], P[i]))
    problem = cp.Problem(cp.Minimize(rho), [(M + M.T) / 2 >> 0])
    problem.solve(solver="CLARABEL")
    assert problem.status == "optimal"
    return math.sqrt(problem.value)


def proved(form: StackedForm, solution: Solution) -> float:
    """The bound that is proved for a point; it is at most a tenth of a millionth above what the point claims."""
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is not None
    bound = math.ldexp(math.sqrt(proof.rho), proof.exponent)
    assert bound <= solution.bound * (1 + 1e-7)
    return bound


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_clarabel(seed: int, mixed: bool, skips: bool, method: str) -> None:
    form = random_form(seed, mixed, skips)
    solution = interior_point(form, method, Budget(tol=1e-8))
    assert solution.status == "optimal"
    assert solution.bound == pytest.approx(by_clarabel(form, method), rel=2e-6)
    assert 0 <= solution.bound - solution.dual <= 1e-8 * solution.bound
    proved(form, solution)


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6, 1e-8])
def test_gap_is_below_the_tolerance(method: str, tol: float) -> None:
    form = random_form(5, mixed=True, skips=True)
    solution = interior_point(form, method, Budget(tol=tol))
    assert solution.status == "optimal"
    assert solution.dual <= solution.bound <= solution.dual * (1 + 1.01 * tol)
    best = interior_point(form, method, Budget(tol=1e-9)).bound
    assert solution.dual <= best * (1 + 1e-10) <= solution.bound * (1 + 1e-8)


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("mixed", [False, True])
def test_whole_matrices_and_blocks_find_one_bound(mixed: bool, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form = random_form(3, mixed=mixed, skips=True)
    whole = interior_point(form, method, Budget(tol=1e-7))
    monkeypatch.setattr(NumpyArrays, "small", 0)
    blocks = interior_point(form, method, Budget(tol=1e-7))
    assert whole.status == blocks.status == "optimal"
    assert whole.bound == pytest.approx(blocks.bound, rel=1e-9)
    assert abs(whole.iterations - blocks.iterations) <= 2


@pytest.mark.parametrize("seed", range(3))
def test_wide_inputs_and_their_factor_have_one_value(seed: int) -> None:
    wide = random_form(seed, mixed=True, skips=True, inputs=60)
    solution = interior_point(wide, "neuron", Budget(tol=1e-8))
    readers = sorted(k for k in wide.blocks if k[1] == 0)
    stacked = np.concatenate([wide.blocks[k].weights for k in readers])
    factor = np.linalg.qr(stacked.T)[1].T
    blocks, first = dict(wide.blocks), 0
    for key in readers:
        size = len(wide.blocks[key].weights)
        blocks[key] = Block(factor[first : first + size])
        first += size
    narrow = StackedForm(factor.shape[1], wide.outputs, wide.groups, blocks, wide.offset)
    assert interior_point(narrow, "neuron", Budget(tol=1e-8)).bound == pytest.approx(solution.bound, rel=1e-8)
    proved(wide, solution)


def deep_chain(seed: int, layers: int, width: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((width, width)) * 1.3 / math.sqrt(width) for _ in range(layers)]


@pytest.mark.parametrize(("layers", "width"), [(16, 8), (32, 16)])
def test_deep_networks_agree_with_their_transposes(layers: int, width: int) -> None:
    """The transposed ReLU network has the same optimum; its multipliers and scales are quite different."""
    weights = deep_chain(0, layers, width)
    bounds = []
    for chain in (weights, [w.T for w in reversed(weights)]):
        form = Network.mlp(chain).stacked
        solution = interior_point(form, "neuron", Budget(tol=1e-6))
        assert solution.status == "optimal"
        assert 0 <= 1 - solution.dual / solution.bound <= 1e-6
        bounds.append(proved(form, solution))
        assert bounds[-1] < closed_form(form).bound < product(form).bound
    assert bounds[0] == pytest.approx(bounds[1], rel=2e-6)


def test_powers_of_two_between_layers_change_nothing() -> None:
    weights = deep_chain(1, 12, 6)
    before = interior_point(Network.mlp(weights).stacked, "neuron", Budget())
    exponents = np.random.default_rng(2).integers(-40, 40, len(weights))
    scaled = [np.ldexp(w, e) for w, e in zip(weights, exponents, strict=True)]
    after = interior_point(Network.mlp(scaled).stacked, "neuron", Budget())
    assert math.ldexp(after.bound, -int(exponents.sum())) == before.bound
    assert after.iterations == before.iterations


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("mixed", [False, True])
def test_torch_on_the_cpu_gives_the_same_bound(method: str, mixed: bool) -> None:
    pytest.importorskip("torch")
    form = random_form(7, mixed, skips=True)
    here = interior_point(form, method, Budget(tol=1e-9))
    there = interior_point(form, method, Budget(tol=1e-9), "torch:cpu")
    assert there.bound == pytest.approx(here.bound, rel=1e-8)
    assert there.dual == pytest.approx(here.dual, rel=1e-8)
    proved(form, there)


def test_unknown_devices_are_refused() -> None:
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="device"):
        interior_point(random_form(0, False, False), "neuron", Budget(), "no-such-device")


def test_the_same_call_gives_the_same_point() -> None:
    form = random_form(8, mixed=True, skips=True)
    one, two = (interior_point(form, "neuron", Budget()) for _ in range(2))
    assert one.rho == two.rho and one.dual == two.dual
    for a, b in zip(one.multipliers, two.multipliers, strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- anytime


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("iteration", [0, 1, 3, 7])
def test_an_interrupted_run_gives_a_point_that_is_proved(iteration: int, method: str) -> None:
    form = Network.mlp(deep_chain(3, 6, 8), None, leaky_relu(0.2)).stacked

    def stop(progress: Progress) -> None:
        if progress.iteration == iteration:
            raise KeyboardInterrupt

    solution = interior_point(form, method, Budget(report=stop))
    assert solution.status == "interrupted" and solution.iterations <= iteration
    bound = proved(form, solution)
    best = interior_point(form, method, Budget())
    assert best.bound <= bound * (1 + 1e-9)
    assert solution.dual <= best.bound * (1 + 1e-9)


def test_an_interrupted_certify_is_proved() -> None:
    from sdpcert import certify

    def stop(progress: Progress) -> None:
        if progress.iteration == 2:
            raise KeyboardInterrupt

    network = Network.mlp(deep_chain(4, 4, 6))
    certificate = certify(network, method="neuron", progress=stop)
    assert certificate.status == "proved" and certificate.solver_status == "interrupted"
    assert certificate.lower <= certificate.upper
    assert certificate.upper <= closed_form(network.stacked).bound * (1 + 1e-6)


def test_out_of_time_the_best_point_is_given() -> None:
    form = Network.mlp(deep_chain(5, 8, 12)).stacked
    solution = interior_point(form, "neuron", Budget(seconds=1e-9))
    assert solution.status == "time limit" and solution.iterations == 0
    assert proved(form, solution) >= interior_point(form, "neuron", Budget()).bound


def test_progress_falls_and_brackets() -> None:
    lines: list[Progress] = []
    form = Network.mlp(deep_chain(6, 5, 10)).stacked
    solution = interior_point(form, "neuron", Budget(report=lines.append))
    assert [p.iteration for p in lines] == list(range(len(lines)))
    assert tuple(lines) == solution.history
    assert all(p.lower <= p.upper and p.seconds >= 0 and 0 <= p.gap <= 1 for p in lines)
    assert lines[-1].upper == pytest.approx(solution.bound, rel=1e-12)
    assert min(p.upper for p in lines) >= solution.dual


@pytest.mark.parametrize("seed", [235, 273, 295])
def test_scales_at_which_complementarity_rounds_to_zero(seed: int) -> None:
    generator = np.random.default_rng(seed)
    width, scale = int(generator.integers(1, 6)), 10.0 ** generator.integers(-60, 60)
    inner = scale * generator.standard_normal((width, 1))
    outer = generator.standard_normal((1, width)) * 10.0 ** generator.integers(-60, 60)
    certificate = certify(Network.mlp([inner, outer]), tol=1e-10)
    assert certificate.status == "proved" and certificate.gap <= 1e-7
