"""The CVXPY back ends: what they answer is proved, repaired and proved, or not proved; never a false bound."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import sdpcert
from sdpcert.arithmetic.exact import square_root_up
from sdpcert.attained import attained_lower_bound
from sdpcert.certificate.proof import ProofProblem
from sdpcert.certify.repair import repair
from sdpcert.network import Network
from sdpcert.running.choices import Method, SolverName
from sdpcert.solvers import SOLVERS, Budget, Solution, SolverError, closed_form

PACKAGES = {"clarabel": "clarabel", "scs": "scs", "sdpa": "sdpap", "mosek": "mosek"}
#: How far above the native bound a proved bound may be, relative.
TOLERANCES = {"clarabel": 1e-6, "sdpa": 3e-6, "scs": 1e-2}


def installed(name: str):
    missing = importlib.util.find_spec(PACKAGES[name]) is None
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"{PACKAGES[name]} is not installed"))


BACK_ENDS = [installed(name) for name in TOLERANCES]


@pytest.fixture(autouse=True)
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short search for attained values: what is tested here are upper bounds."""
    module = importlib.import_module("sdpcert.certify.witness")
    monkeypatch.setattr(module, "attained_lower_bound", partial(attained_lower_bound, operations=1e8))


def chain(*widths: int, activation: str = "relu", seed: int = 0, norm: float = 1.0) -> Network:
    generator = np.random.default_rng(seed)
    weights = [generator.standard_normal((m, n)) for n, m in pairwise(widths)]
    return Network.mlp([norm * w / np.linalg.norm(w, 2) for w in weights], activation=activation)


def nonnegative(seed: int) -> tuple[Network, float]:
    """A ReLU network with nonnegative weights: its constant is the norm of the product."""
    generator = np.random.default_rng(seed)
    weights = [generator.random(shape) for shape in ((10, 2), (15, 10), (8, 15), (2, 8))]
    return Network.mlp(weights), float(np.linalg.norm(np.linalg.multi_dot(weights[::-1]), 2))


NETWORKS = {
    "relu": chain(5, 8, 6, 3),
    "one input": chain(1, 4, 1, seed=1, norm=3.0),
    "slopes above zero": chain(6, 8, 7, 2, activation="leaky_relu", seed=2),
    "slopes around zero": chain(4, 6, 5, 2, activation="abs", seed=3),
    "linear feed-through": chain(4, 6, 6, 2, activation="maxmin", seed=4),
    "quarter slopes, wide input": chain(30, 6, 5, 2, activation="sigmoid", seed=5, norm=20.0),
    "deep": chain(4, *[4] * 10, 2, seed=6),
}


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("solver", BACK_ENDS)
def test_agrees_with_native(solver: SolverName, network: Network, method: Method) -> None:
    native = sdpcert.certify(network, method)
    tol = 1e-4 if solver == "scs" else 1e-6
    certificate = sdpcert.certify(network, method, solver, tol=tol, time_limit=20)
    assert native.status == certificate.status == "proved"
    assert native.sdp_lower is not None and certificate.sdp_lower is not None
    assert certificate.upper >= native.sdp_lower
    assert certificate.upper <= native.upper * (1 + (0.05 if network is NETWORKS["deep"] else TOLERANCES[solver]))
    assert 0 < certificate.sdp_lower <= native.upper
    assert certificate.lower <= certificate.upper


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_scs_never_below_the_truth(seed: int, tol: float) -> None:
    network, truth = nonnegative(seed)
    certificate = sdpcert.certify(network, "neuron", "scs", tol=tol)
    assert certificate.status == "unproved" or certificate.upper >= truth * (1 - 1e-15)
    assert certificate.upper <= truth * (1 + 20 * tol)


def test_false_optimum_is_repaired() -> None:
    """Multipliers of a bound 0.7 % below the truth, as SCS with its default options gives them."""
    network, truth = nonnegative(7)
    form = network.stacked.reduced()
    good = SOLVERS["native"](form, "neuron", Budget())
    false = replace(good, rho=good.rho * 0.986, multipliers=tuple(t * 0.986 for t in good.multipliers))
    assert false.bound < truth
    assert ProofProblem(form, false.exponent).prove(false.rho, false.multipliers) is None
    near = repair(form, false)
    assert near is not None
    proof = ProofProblem(form, near.exponent).prove(near.rho, near.multipliers)
    assert proof is not None
    assert truth * (1 - 1e-15) <= square_root_up(proof.rho, proof.exponent) <= truth * (1 + 1e-3)


def injected(kind: str, good: Solution, generator: np.random.Generator) -> Solution:
    def random() -> tuple[np.ndarray, ...]:
        return tuple(10.0 ** generator.uniform(-3, 3, t.shape) for t in good.multipliers)

    changes = {
        "random": {"multipliers": random()},
        "random and tiny rho": {"multipliers": random(), "rho": good.rho * 1e-3},
        "negative": {"multipliers": tuple(-t for t in good.multipliers)},
        "some negative": {"multipliers": tuple(t * generator.choice([-1, 1], t.shape) for t in good.multipliers)},
        "zero": {"rho": 0.0, "multipliers": tuple(t * 0 for t in good.multipliers)},
        "scaled rho": {"rho": good.rho * 0.5},
        "negative rho": {"rho": -good.rho},
        "everything scaled": {"rho": good.rho * 0.9, "multipliers": tuple(t * 0.9 for t in good.multipliers)},
        "noise": {"multipliers": tuple(t * (1 + 0.1 * generator.standard_normal(t.shape)) for t in good.multipliers)},
        "nan": {"rho": float("nan"), "multipliers": tuple(t * np.nan for t in good.multipliers)},
        "nan rho": {"rho": float("nan")},
        "infinite": {"multipliers": tuple(t * np.inf for t in good.multipliers)},
        "other scale": {"exponent": good.exponent + 7},
        "absurd scale": {"exponent": 3000, "rho": 0.0},
        "absurdly small scale": {"exponent": -3000},
    }
    return replace(good, status="optimal", dual=0.0, **changes[kind])


KINDS = (
    *("random", "random and tiny rho", "negative", "some negative", "zero", "scaled rho", "negative rho", "noise"),
    *("everything scaled", "nan", "nan rho", "infinite", "other scale", "absurd scale", "absurdly small scale"),
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_bad_answers_never_give_a_false_bound(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        network, truth = nonnegative(seed)
        good = SOLVERS["native"](network.stacked.reduced(), "neuron", Budget())
        answer = injected(kind, good, np.random.default_rng(seed))
        monkeypatch.setitem(SOLVERS, "scs", lambda *a, answer=answer, **k: answer)
        certificate = sdpcert.certify(network, "neuron", "scs")
        assert certificate.upper >= truth * (1 - 1e-15)
        assert certificate.lower <= certificate.upper
        assert (certificate.status == "proved") == np.isfinite(certificate.upper)
        if certificate.status == "proved" and answer.bound < truth:
            assert any("infeasible" in note for note in certificate.notes)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_repair_is_between_optimum_and_closed_form(share: float) -> None:
    """Shrunk multipliers of some neurons leave M indefinite on the neurons; a little of the closed form mends that."""
    form = NETWORKS["relu"].stacked.reduced()
    good = SOLVERS["native"](form, "neuron", Budget())
    generator = np.random.default_rng(0)
    shrunk = tuple(np.where(generator.random(t.shape) < 0.5, t, t * share) for t in good.multipliers)
    near = repair(form, replace(good, multipliers=shrunk))
    assert near is not None
    assert good.dual <= near.bound <= closed_form(form).bound * 1.3
    assert ProofProblem(form, near.exponent).prove(near.rho, near.multipliers) is not None


@pytest.mark.parametrize("answer", [np.nan, np.inf, None])
def test_no_usable_point_is_an_error(answer: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    cvxpy = pytest.importorskip("cvxpy")

    def unpack(problem, *_) -> None:
        variable = problem.variables()[0]
        variable.save_value(None if answer is None else np.full(variable.shape, answer))

    monkeypatch.setattr(cvxpy.Problem, "unpack_results", unpack)
    with pytest.raises(SolverError, match=r"^scs: the solver gave no point"):
        sdpcert.certify(NETWORKS["relu"], "neuron", "scs")


def test_failure_inside_a_solver_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    cvxpy = pytest.importorskip("cvxpy")

    def unpack(problem, *_) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr(cvxpy.Problem, "unpack_results", unpack)
    with pytest.raises(SolverError, match=r"^scs: the solver failed: two lines$"):
        sdpcert.certify(NETWORKS["relu"], "neuron", "scs")


@pytest.mark.parametrize(
    ("solver", "package", "install"),
    [
        ("clarabel", "clarabel", "pip install clarabel"),
        ("scs", "scs", "pip install scs"),
        ("sdpa", "sdpap", "pip install 'sdpcert[sdpa]'"),
        ("mosek", "mosek", "pip install 'sdpcert[mosek]'"),
        ("scs", "cvxpy", "pip install cvxpy"),
    ],
)
def test_missing_package_names_what_to_install(
    solver: SolverName, package: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SolverError) as caught:
        sdpcert.certify(NETWORKS["relu"], "neuron", solver)
    assert install in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_licence_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_) -> None:
        raise SolverError("the solver failed: err_missing_license_file(1008): License cannot be located.")

    monkeypatch.setattr("sdpcert.solvers.general.import_package", lambda *_: None)
    monkeypatch.setattr("sdpcert.solvers.general.GeneralProblem", refuse)
    with pytest.raises(SolverError, match=r"licence was found: .*mosek\.lic$"):
        sdpcert.certify(NETWORKS["relu"], "neuron", "mosek")


def test_device_is_refused() -> None:
    with pytest.raises(SolverError, match="works on the CPU only"):
        sdpcert.certify(NETWORKS["relu"], "neuron", "clarabel", device="cuda")


def test_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cvxpy")
    monkeypatch.setattr("sdpcert.solvers.general.MAXIMUM_NONZEROS", 10)
    with pytest.raises(SolverError, match="use solver 'native'"):
        sdpcert.certify(NETWORKS["relu"], "neuron", "clarabel")


@pytest.mark.parametrize("solver", BACK_ENDS)
def test_prints_nothing(solver: SolverName, capfd: pytest.CaptureFixture[str]) -> None:
    """The standard output belongs to results; SDPA's library writes there whatever it is told."""
    SOLVERS[solver](NETWORKS["relu"].stacked.reduced(), "neuron", Budget())
    assert capfd.readouterr().out == ""


def test_import_loads_no_solver_package() -> None:
    code = "import sdpcert, sys; print(*{'cvxpy', 'clarabel', 'scs', 'sdpap', 'mosek'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_time_limit_is_passed_on() -> None:
    for name, key in (("clarabel", "time_limit"), ("scs", "time_limit_secs")):
        options = importlib.import_module(f"sdpcert.solvers.{name}").BACK_END.options
        assert 0 < options(Budget(seconds=5))[key] <= 5
        assert key not in options(Budget())
