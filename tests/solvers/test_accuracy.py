"""The tolerance is reached on degenerate networks, nothing is worse than what is cheaper, and no eigenvalue raises.

Orthogonal layers have whole faces of optimal multipliers and slacks that are multiples of the identity; rows of very
different norms and slopes far from zero have optima far from a start that treats all neurons alike.
"""

from __future__ import annotations

import ast
import importlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import linalg

import sdpcert
from sdpcert import Network, certify
from sdpcert.arithmetic.arrays import NumpyArrays
from sdpcert.arithmetic.spectra import eigenpairs, largest_eigenvalue, least_squares, spectral_norm
from sdpcert.condition.matrix import Condition
from sdpcert.network.activations import activation_by_name, leaky_relu
from sdpcert.network.affine import Dense, Sum
from sdpcert.network.graph import Graph
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.running.choices import Method
from sdpcert.solvers import SOLVERS, Budget, Progress, Solution, closed_form, interior_point, product
from sdpcert.solvers.forward import forward_multipliers, strictly_feasible
from sdpcert.solvers.least_rho import least_rho
from sdpcert.solvers.native import STARTS
from sdpcert.solvers.step_length import length_to_boundary

Array = np.ndarray
UNROLLED = importlib.import_module("sdpcert.certify.dense")
ACTIVATIONS = ["relu", "abs", "maxmin", "leaky", "nearly linear", "tanh"]


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    size = max(rows, columns)
    return np.linalg.qr(rng.standard_normal((size, size)))[0][:rows, :columns]


def repeated(rng: np.random.Generator, rows: int, columns: int) -> Array:
    weight = rng.standard_normal((rows, columns))
    weight[0] = weight[-1]
    if rows > 3:
        weight[1] = -weight[2]
    return weight


def with_zeros(rng: np.random.Generator, rows: int, columns: int) -> Array:
    weight = rng.standard_normal((rows, columns))
    weight[rng.integers(rows)] = 0
    weight[:, rng.integers(columns)] = 0
    return weight


KINDS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "orthogonal": orthogonal,
    "scaled orthogonal": lambda rng, m, n: orthogonal(rng, m, n) * 10.0 ** rng.uniform(-2, 2),
    "nearly orthogonal": lambda rng, m, n: orthogonal(rng, m, n) + 1e-7 * rng.standard_normal((m, n)),
    "rows of six orders": lambda rng, m, n: 10.0 ** rng.uniform(-3, 3, (m, 1)) * orthogonal(rng, m, n),
    "repeated rows": repeated,
    "zero rows": with_zeros,
    "rank one": lambda rng, m, n: np.outer(rng.standard_normal(m), rng.standard_normal(n)),
    "identity": lambda rng, m, n: np.eye(m, n),
    "signs": lambda rng, m, n: rng.choice([-1.0, 1.0], (m, n)),
    "ones": lambda rng, m, n: np.ones((m, n)),
    "gaussian": lambda rng, m, n: rng.standard_normal((m, n)) / np.sqrt(n),
}


def chain(weights: list[Array], activation: str) -> Network:
    named = {"leaky": leaky_relu(0.1), "nearly linear": leaky_relu(0.9)}
    return Network.mlp(weights, None, named.get(activation, activation))


def degenerate(kind: str, activation: str, depth: int, width: int, even: bool, seed: int) -> Network:
    """A chain of one kind of layers; `even` keeps the width."""
    rng = np.random.default_rng(seed)
    sizes = [width] * (depth + 1) if even else [int(k) for k in rng.integers(1, width + 1, depth + 1)]
    if activation == "maxmin":
        sizes = [k + k % 2 for k in sizes]
    return chain([KINDS[kind](rng, b, a) for a, b in itertools.pairwise(sizes)], activation)


def gap(solution: Solution) -> float:
    return 1 - solution.dual / solution.bound if solution.bound > 0 else 0.0


def assert_accurate(form: StackedForm) -> None:
    """Both methods reach the default tolerance, and the finer one is not above anything that is cheaper."""
    neuron, layer = (interior_point(form, method, Budget()) for method in ("neuron", "layer"))
    for solution in (neuron, layer):
        assert solution.status == "optimal" and gap(solution) <= 1e-6
    cheaper = min(layer.bound, closed_form(form).bound, product(form).bound)
    assert neuron.bound <= cheaper * (1 + 1e-8)
    assert layer.bound <= product(form).bound * (1 + 1e-8) or not form.is_chain


@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=10)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    depth=st.sampled_from([2, 3, 4, 5, 8, 12]),
    width=st.integers(1, 8),
    even=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_degenerate_networks_reach_the_tolerance(
    activation: str, kind: str, depth: int, width: int, even: bool, seed: int
) -> None:
    form = degenerate(kind, activation, depth, width, even, seed).stacked.reduced()
    if form.neurons:
        assert_accurate(form)


@pytest.mark.parametrize(
    ("kind", "activation", "depth", "width"),
    [
        ("orthogonal", "abs", 3, 6),
        ("orthogonal", "abs", 8, 6),
        ("orthogonal", "maxmin", 12, 6),
        ("orthogonal", "nearly linear", 16, 8),
        ("identity", "abs", 4, 12),
        ("ones", "maxmin", 16, 4),
        ("rows of six orders", "relu", 16, 5),
        ("rows of six orders", "tanh", 6, 8),
        ("orthogonal", "relu", 4, 32),
    ],
)
@pytest.mark.parametrize("seed", [2, 8])
def test_networks_on_which_a_run_once_stalled(kind: str, activation: str, depth: int, width: int, seed: int) -> None:
    assert_accurate(degenerate(kind, activation, depth, width, True, seed).stacked.reduced())


@pytest.mark.parametrize("activation", ["relu", "abs", "tanh"])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_residual_networks_with_orthogonal_branches_reach_the_tolerance(activation: str, scale: float) -> None:
    rng = np.random.default_rng(3)
    graph, value = Graph((6,)), 0
    for _ in range(6):
        weight = scale * orthogonal(rng, 6, 6)
        inner = graph.add(activation_by_name(activation), graph.add(Dense(weight), value))
        value = graph.add(Sum(), graph.add(Dense(np.ascontiguousarray(weight.T)), inner), value)
    assert_accurate(graph.network(value).stacked.reduced())


# ---------------------------------------------------------------- the parts that made runs stall


@given(
    order=st.integers(1, 20),
    spread=st.sampled_from([0.0, 1e-15, 1e-12, 1e-9, 1e-4, 0.1, 1.0]),
    condition=st.sampled_from([1.0, 1e4, 1e8]),
    centre=st.sampled_from([-1.0, -0.3, 0.0, 0.7]),
    seed=st.integers(0, 2**32 - 1),
)
@example(order=17, spread=0.1, condition=1e4, centre=-1.0, seed=201)
def test_length_to_the_boundary(order: int, spread: float, condition: float, centre: float, seed: int) -> None:
    """B^-1 D close to a multiple of the identity: what Lanczos adds after a few steps is rounding."""
    rng = np.random.default_rng(seed)
    turn = orthogonal(rng, order, order)
    root = (turn * condition ** rng.uniform(-0.5, 0, order)) @ turn.T
    matrix = root @ root
    values = centre + spread * rng.integers(-2, 3, order)
    other = orthogonal(rng, order, order)
    step = root @ (other * values) @ other.T @ root
    step = (step + step.T) / 2
    inverse = np.linalg.inv(matrix)
    least = float(linalg.eigh(step, matrix, eigvals_only=True)[0])

    def image(vector: Array) -> tuple[Array, Array]:
        dual = step @ vector
        return inverse @ dual, dual

    found = length_to_boundary(image, lambda vector: matrix @ vector, rng.standard_normal(order))
    length = found.seen(NumpyArrays())
    if least < -1e-6:
        assert 0.85 / -least <= length <= 1.01 / -least
    else:
        assert length > 0.9 / 0.5


def test_a_step_that_is_not_a_number_has_no_length() -> None:
    nothing = np.full(5, np.nan)
    length = length_to_boundary(lambda vector: (nothing, nothing), lambda vector: vector, np.ones(5))
    assert length.seen(NumpyArrays()) == 0


SLOPES = [(0.0, 1.0), (0.1, 1.0), (0.9, 1.0), (-1.0, 1.0), (-0.2, 1.1), (0.0, 0.25), (0.5, 2.0), (-2.0, -0.3)]


def with_slopes(form: StackedForm, slopes: list[tuple[float, float]]) -> StackedForm:
    groups = [
        replace(group, alpha=np.full(group.size, low), beta=np.full(group.size, high))
        for group, (low, high) in zip(form.groups, slopes, strict=False)
    ]
    return replace(form, groups=tuple(groups))


@settings(max_examples=80)
@given(
    kind=st.sampled_from(["orthogonal", "gaussian", "rank one", "rows of six orders"]),
    slopes=st.lists(st.sampled_from(SLOPES), min_size=1, max_size=8),
    width=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_closed_form_is_not_above_the_product_for_any_slopes(
    kind: str, slopes: list[tuple[float, float]], width: int, seed: int
) -> None:
    form = degenerate(kind, "relu", len(slopes) + 1, width, True, seed).stacked
    form = with_slopes(form, slopes)
    assert closed_form(form).bound <= product(form).bound * (1 + 1e-5)


@pytest.mark.parametrize("each", [False, True])
@settings(max_examples=40)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    slopes=st.lists(st.sampled_from(SLOPES), min_size=1, max_size=6),
    width=st.integers(1, 6),
    theta=st.sampled_from([0.15, 0.4, 0.49]),
    seed=st.integers(0, 2**32 - 1),
)
def test_recursion_with_multipliers_of_their_own_is_strictly_feasible(
    each: bool, kind: str, slopes: list[tuple[float, float]], width: int, theta: float, seed: int
) -> None:
    form = with_slopes(degenerate(kind, "relu", len(slopes) + 1, width, True, seed).stacked, slopes)
    condition = Condition(form)
    multipliers, rho = forward_multipliers([condition], theta, each)
    if rho > 0:  # not a network that is constant
        matrix = condition.matrix(1.5 * rho * np.concatenate([[1.0], multipliers])).dense()
        size = np.sqrt(matrix.diagonal())
        assert np.linalg.eigvalsh(matrix / np.outer(size, size))[0] > 0


def test_start_of_a_network_whose_rows_read_everything_is_near_its_product() -> None:
    """Taking the same share of every source for every row that reads it, the start was 35 times the product."""
    rng, groups, blocks = np.random.default_rng(0), [], {}
    for to in range(1, 13):
        for source in range(to):
            blocks[to, source] = Block(0.3 * orthogonal(rng, 3, 3))
        if to < 12:
            size = np.zeros(3)
            groups.append(Group(activation_by_name("relu"), (3,), np.arange(3), size, size + 1, size))
    form = StackedForm(3, 3, tuple(groups), blocks, np.zeros(3))
    condition, other = Condition(form), Condition(form)
    taken = strictly_feasible(condition)[0] * 4.0**condition.exponent
    fixed = 1.5 * forward_multipliers([other], 0.4)[1] * 4.0**other.exponent
    assert taken <= 0.5 * fixed
    assert_accurate(form)


# ---------------------------------------------------------------- runs that stall all the same


def stalling(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """A native solver that ends at `factor` times the optimal rho with one multiplier per neuron."""

    def solve(form: StackedForm, method: Method, budget: Budget, device: str = "cpu") -> Solution:
        solution = interior_point(form, method, budget, device)
        if method == "layer":
            return solution
        return replace(
            solution,
            rho=factor * solution.rho,
            multipliers=tuple(factor * t for t in solution.multipliers),
            status="stalled",
        )

    monkeypatch.setattr(UNROLLED, "SOLVERS", {**SOLVERS, "native": solve})


@pytest.mark.parametrize(("factor", "taken"), [(1 + 1e-4, ""), (1e3, "one multiplier per layer")])
def test_a_stalled_run_gives_the_best_that_is_proved_and_says_so(
    factor: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = degenerate("gaussian", "relu", 4, 6, True, 0)
    layer, neuron = certify(network, method="layer"), certify(network)
    stalling(monkeypatch, factor)
    certificate = certify(network)
    assert certificate.status == "proved" and certificate.solver_status == "stalled"
    assert neuron.upper * (1 - 1e-9) <= certificate.upper <= layer.upper * (1 + 1e-9)
    assert any("tolerance 1e-06 was not reached" in note and "clarabel" in note for note in certificate.notes)
    assert any(taken in note for note in certificate.notes)
    assert not any("tolerance" in note for note in neuron.notes)


def test_a_stalled_run_that_the_layers_solution_mends_is_optimal(monkeypatch: pytest.MonkeyPatch) -> None:
    network = degenerate("orthogonal", "abs", 3, 6, True, 2)
    stalling(monkeypatch, 1 + 1e-3)
    certificate = certify(network)
    assert certificate.solver_status == "optimal" and certificate.gap <= 1e-6
    assert not any("tolerance" in note for note in certificate.notes)


def test_a_run_that_stalls_is_tried_again_from_further_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("sdpcert.solvers.native")
    form = degenerate("gaussian", "relu", 4, 6, True, 1).stacked
    whole, starts, lines = module.minimise, [], []

    def minimise(condition: Condition, budget: Budget, **keywords: Any) -> Any:
        starts.append(keywords["start"])
        if len(starts) > 1:
            return whole(condition, budget, **keywords)
        with monkeypatch.context() as patch:
            patch.setattr("sdpcert.solvers.primal_dual.MAXIMUM_ITERATIONS", 3)
            return whole(condition, budget, **keywords)

    monkeypatch.setattr(module, "minimise", minimise)
    report: Callable[[Progress], None] = lines.append
    solution = interior_point(form, "neuron", Budget(report=report))
    assert tuple(starts) == STARTS
    assert solution.status == "optimal" and gap(solution) <= 1e-6
    assert tuple(lines) == solution.history
    assert [line.iteration for line in lines] == list(range(len(lines)))


# ---------------------------------------------------------------- eigenvalues that do not come


def test_spectra_are_infinite_or_absent_where_lapack_gives_none() -> None:
    for bad in (np.full((3, 3), np.nan), np.full((3, 3), np.inf), np.diag([1.0, np.inf, 2.0])):
        assert largest_eigenvalue(bad) == spectral_norm(bad) == np.inf
        assert eigenpairs(bad) is None
        assert least_squares(bad, np.ones(3)) is None
    assert largest_eigenvalue(np.zeros((0, 0))) == spectral_norm(np.zeros((0, 4))) == 0
    assert largest_eigenvalue(np.diag([1.0, 5.0])) == spectral_norm(np.diag([-5.0, 1.0])) == 5
    solved = least_squares(np.diag([2.0, 4.0]), np.ones(2))
    assert solved is not None and solved.tolist() == [0.5, 0.25]


@settings(max_examples=60)
@given(
    exponents=st.lists(st.integers(-400, 400), min_size=3, max_size=6),
    activation=st.sampled_from(ACTIVATIONS),
    multiplier=st.sampled_from([0.0, 1e-300, 1e-20, 1.0, 1e20, 1e300]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_point_at_any_scale_raises(exponents: list[int], activation: str, multiplier: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        form = chain([np.ldexp(rng.standard_normal((4, 4)), e) for e in exponents], activation).stacked.reduced()
        if not all(np.all(np.isfinite(block.weights)) for block in form.blocks.values()):
            return  # refused: layers that were multiplied together left the range
        condition = Condition(form)
        spread = multiplier * 10.0 ** rng.uniform(-10, 10, condition.neurons)
        assert least_rho(condition, spread) >= 0
        assert least_rho(condition, spread * np.nan) == np.inf
        for solution in (closed_form(form), product(form)):
            assert not solution.rho < 0


@pytest.mark.parametrize("method", ["neuron", "layer", "product"])
def test_certify_ends_unproved_where_no_eigenvalue_converges(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    network = degenerate("gaussian", "leaky", 3, 4, True, 5)
    norm = np.linalg.norm

    def fail(*_: Any, **__: Any) -> Any:
        raise np.linalg.LinAlgError("did not converge")

    def failing_norm(values: Array, ord: int | None = None, **keywords: Any) -> Any:
        return fail() if ord == 2 else norm(values, ord, **keywords)

    for name in ("eigvalsh", "eigh", "lstsq", "cholesky"):
        monkeypatch.setattr(np.linalg, name, fail)
    monkeypatch.setattr(np.linalg, "norm", failing_norm)
    certificate = certify(network, method=method)
    assert certificate.status == "unproved" and certificate.upper == np.inf


RAISING = {"eig", "eigh", "eigvals", "eigvalsh", "svd", "svdvals", "lstsq", "cholesky", "inv", "pinv", "solve", "cond"}
#: Files and folders that call NumPy's LAPACK themselves: numbers that are shown, guessed, or compared, never a point
#: that is proved. The checker imports nothing of this package.
ELSEWHERE = ("check/", "derivations/", "symbolic/", "report/matrices.py", "layers/feasibility.py", "layers/mlp_head.py")


def test_eigenvalues_are_asked_for_in_one_place() -> None:
    """Whatever of LAPACK can raise is called in `spectra.py`, which answers with infinity or None."""
    package, found = Path(sdpcert.__file__).parent, []
    for file in package.rglob("*.py"):
        name = file.relative_to(package).as_posix()
        if name == "arithmetic/spectra.py" or name.startswith(ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            keywords = {keyword.arg for keyword in node.keywords}
            norm = node.func.attr == "norm" and (len(node.args) > 1 or "ord" in keywords)
            if ast.unparse(node.func.value) in ("np.linalg", "linalg") and (node.func.attr in RAISING or norm):
                found.append(f"{name}:{node.lineno} {node.func.attr}")
    assert found == []
