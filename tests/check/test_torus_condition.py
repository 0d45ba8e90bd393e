"""Conditions on a torus in both arithmetics, with an eigenvalue oracle, mutations, and the binding to a network."""

from __future__ import annotations

import base64
import copy
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.certificate.document import build_document
from sdpcert.certificate.torus_condition import TorusCondition
from sdpcert.certificate.torus_proof import prove_torus
from sdpcert.certify.binding import check_with_network
from sdpcert.check import check_document
from sdpcert.check.rounding import rounds_to_nearest
from sdpcert.check.torus_integers import BITS, Roots
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d
from sdpcert.network.graph import Graph
from sdpcert.network.torus import TorusForm
from sdpcert.running.choices import Method
from sdpcert.running.encoding import encode
from sdpcert.solvers import Budget
from sdpcert.solvers.working_set import solve_frequencies
from tests.check.version3 import with_claim
from tests.network.torus_networks import random_convolutional, random_torus

#: Both arithmetics: integers, and floating point with rigorous error bounds.
EXACT = [True, False]


def proved(form: TorusForm, method: str = "neuron") -> TorusCondition:
    solved = solve_frequencies(form, method, Budget(1e-8))
    proof = prove_torus(solved.condition, solved.point.y)
    assert proof is not None
    return TorusCondition(form, proof)


def document_of(condition: TorusCondition) -> dict[str, Any]:
    return json.loads(json.dumps(build_document(condition, None, {})))


def with_point(condition: TorusCondition, **changes: Any) -> TorusCondition:
    """The condition at another point: a claim that nobody has proved."""
    return TorusCondition(condition.form, replace(condition.proof, **changes))


def least_eigenvalue(condition: TorusCondition) -> float:
    """The least eigenvalue of D M D over all frequencies, from the definition."""
    form, proof, least = condition.form, condition.proof, np.inf
    sizes = form.sizes[:-1]
    bounds = np.cumsum([0, *sizes])
    down = np.ldexp(1.0, -proof.scaling)
    for k in form.frequencies:
        n = int(bounds[-1])
        M = np.diag(np.concatenate([np.full(sizes[0], proof.rho), np.zeros(n - sizes[0])])).astype(complex)
        rows = {to: np.zeros((form.sizes[to], n), dtype=complex) for to in range(1, form.output_row + 1)}
        for (to, s), block in form.blocks.items():
            rows[to][:, bounds[s] : bounds[s + 1]] = block.symbol(k, form.torus)
        for g, (group, t) in enumerate(zip(form.groups, proof.multipliers, strict=True), start=1):
            for i in range(group.size):
                e = np.zeros(n)
                e[bounds[g] + i] = 1
                p, q = e - group.alpha[i] * rows[g][i].conj(), e - group.beta[i] * rows[g][i].conj()
                M += t[i] * (np.outer(p, q.conj()) + np.outer(q, p.conj()))
        F = rows[form.output_row] * 2.0**-proof.exponent
        if form.pooled:
            F = F * (np.sqrt(form.cells) if k == (0, 0) else 0)
        M -= F.conj().T @ (proof.metric[:, None] * F)
        least = min(least, float(np.linalg.eigvalsh(down[:, None] * M * down)[0]))
    return least


@given(seed=st.integers(0, 2**32 - 1), pooled=st.booleans())
@settings(max_examples=25, deadline=None)
def test_both_arithmetics_accept_what_was_proved_and_nothing_below(seed: int, pooled: bool) -> None:
    form = random_torus(seed)
    if pooled:
        row = form.output_row
        zero = {k: t for k, t in form.blocks.items() if k[0] == row and k[1] == len(form.groups)}
        key, taps = next(iter(zero.items()))
        taps = type(taps)(np.zeros((1, 2), dtype=int), taps.weights[:1])
        blocks = {k: t for k, t in form.blocks.items() if k[0] != row} | {key: taps}
        form = type(form)(form.torus, form.inputs, form.outputs, form.groups, blocks, True)
    condition = proved(form)
    document = document_of(condition)
    for exact in EXACT:
        result = check_document(document, exact)
        assert result.ok, result.reason
        assert result.level == ("exact" if exact else "floating-point")
    for less in (1e-8, 1e-5):
        low = with_point(condition, rho=condition.proof.rho * (1 - less))
        assert least_eigenvalue(low) < 0
        for exact in EXACT:
            assert not check_document(document_of(low), exact).ok


def test_near_the_boundary_neither_accepts_what_is_false() -> None:
    """Multipliers of a proved point, rho at one part in 10^12 steps around the least that they allow."""
    condition = proved(random_torus(7))
    multipliers = tuple(1.01 * t for t in condition.proof.multipliers)
    low, high = 0.5 * condition.proof.rho, 4 * condition.proof.rho

    def at(rho: float) -> TorusCondition:
        return with_point(condition, rho=rho, multipliers=multipliers)

    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if least_eigenvalue(at(middle)) > 0 else (middle, high)
    for step in (-1e-7, -1e-10, -1e-12, 1e-9):
        document = document_of(at(high * (1 + step)))
        for exact in EXACT:
            verdict = check_document(document, exact).ok
            assert verdict == (step > 0) or abs(step) < 1e-11


def _mutate(document: dict[str, Any], rng: np.random.Generator) -> str:
    """Change a document at random; returns what was done."""
    part = document["tree"]
    kind = int(rng.integers(0, 16))
    groups = len(part["network"]["groups"])

    def decode(text: str, code: str = "<f8") -> np.ndarray:
        return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=code).copy()

    if kind == 0:
        part["multipliers"]["rho"] = (
            float.fromhex(part["multipliers"]["rho"]) * (1 - 10.0 ** rng.uniform(-7, -2))
        ).hex()
        return "rho lowered"
    if kind in (1, 2):
        g = int(rng.integers(0, groups))
        t = decode(part["multipliers"]["lambda"][g])
        t[rng.integers(0, len(t))] *= -1.0 if kind == 1 else 1 + 10.0 ** rng.uniform(-3, -1) * rng.choice([-1, 1])
        part["multipliers"]["lambda"][g] = encode(t)
        return "lambda"
    if kind == 3:
        block = part["network"]["blocks"][0]
        w = decode(block["weights"])
        w[rng.integers(0, len(w))] += 0.1
        block["weights"] = encode(w)
        return "weight without hash"
    if kind == 4:
        part["network"]["torus"][0] += 1
        return "torus without hash"
    if kind == 5:
        part["claim"]["metric"] = encode(np.full(part["network"]["outputs"], 0.99))
        return "metric below one"
    if kind == 6:
        document["upper"] = part["claim"]["upper"] = (float.fromhex(document["upper"]) * (1 - 1e-12)).hex()
        with_claim(document)
        return "upper"
    if kind == 7:
        part["claim"]["upper"] = (float.fromhex(part["claim"]["upper"]) * (1 - 1e-12)).hex()
        return "upper of the part"
    if kind == 8:
        part["network"]["groups"][0]["alpha"] = part["network"]["groups"][0]["alpha"][:-3]
        return "truncated"
    if kind == 9:
        part["proof"]["scaling"] = encode(decode(part["proof"]["scaling"], "<i8") + 5000, "<i8")
        return "scaling out of range"
    if kind == 10:
        document["extra"] = 1
        return "extra key"
    if kind == 11:
        document["version"] = 2
        return "version"
    if kind == 12:
        part["multipliers"]["lambda"][0] = encode(decode(part["multipliers"]["lambda"][0]) * np.nan)
        return "nan"
    if kind == 13:
        part["multipliers"]["exponent"] -= 1
        return "exponent"
    if kind == 14:
        part["joints"] = []
        return "joints"
    part["network"]["pooled"] = not part["network"]["pooled"]
    return "pooled"


def test_mutated_certificates_are_rejected_or_true() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for seed in range(10):
        condition = proved(random_torus(seed))
        original = document_of(condition)
        for _ in range(20):
            document = copy.deepcopy(original)
            what = _mutate(document, rng)
            verdicts = [check_document(document, exact).ok for exact in EXACT]
            rejected += not any(verdicts)
            if any(verdicts):  # one multiplier may be changed without harm: then the claim is still true
                assert what == "lambda"
                multipliers = tuple(
                    np.frombuffer(zlib.decompress(base64.b64decode(t)), dtype="<f8")
                    for t in document["tree"]["multipliers"]["lambda"]
                )
                assert least_eigenvalue(with_point(condition, multipliers=multipliers)) > 0
    assert rejected >= 180


def test_roots_of_unity_are_enclosed() -> None:
    decimal = pytest.importorskip("flint")
    decimal.ctx.prec = 300
    for whole in (1, 2, 3, 5, 8, 29, 35, 1024, 4095):
        roots = Roots(whole)
        for turns in {0, 1, 2, whole // 3, whole // 2, whole - 1, 5 * whole + 3}:
            angle = 2 * decimal.arb(turns) / whole
            for value, exact in zip(roots.at(turns), (angle.cos_pi(), angle.sin_pi()), strict=True):
                assert abs(decimal.arb(value) - exact * decimal.arb(2) ** BITS) < 1


def test_rounding_is_looked_at() -> None:
    assert rounds_to_nearest()


@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(["neuron", "layer", "product"]), head=st.booleans())
@settings(max_examples=15, deadline=None)
def test_certify_over_frequencies_end_to_end(seed: int, method: Method, head: bool, tmp_path_factory: Any) -> None:
    network = random_convolutional(seed, head)
    cert = sdpcert.certify(network, method, form="frequency")
    assert cert.status == "proved" and cert.level == "exact"
    assert 0 <= cert.lower <= cert.upper
    if method == "neuron":
        assert cert.gap <= 1e-5
        dense = network.stacked.reduced()
        if dense.neurons <= 200:  # zero padding on a torus is never below the unrolled optimum
            exact = sdpcert.certify(network, "neuron", form="unrolled")
            assert exact.sdp_lower is not None
            assert cert.upper >= exact.sdp_lower * (1 - 1e-9)
    path = tmp_path_factory.mktemp("cert") / "c.json"
    cert.save(path)
    result = check_with_network(path, network)
    assert result.ok, result.reason
    other = random_convolutional(seed + 1, head)
    assert not check_with_network(path, other).ok


def _with_zeros(first: list[int], second: list[int]) -> sdpcert.Network:
    """Two convolutions whose channels `first` of the first read nothing and whose second ignores channels `second`."""
    rng = np.random.default_rng(0)
    graph = Graph((1, 4, 4))
    weight, after = rng.standard_normal((2, 1, 3, 3)), rng.standard_normal((2, 2, 3, 3))
    weight[first], after[:, second] = 0, 0
    value = graph.add(relu(), graph.add(Conv2d(weight, np.ones(2), padding=(1, 1, 1, 1)), 0))
    return graph.network(graph.add(Conv2d(after, padding=(1, 1, 1, 1)), value), source="zeros")


@pytest.mark.parametrize("method", ["neuron", "layer", "product"])
def test_constant_and_dead_channels(method: Method) -> None:
    constant = sdpcert.certify(_with_zeros([1], []), method, form="frequency")
    dead = sdpcert.certify(_with_zeros([], [1]), method, form="frequency")
    assert constant.status == dead.status == "proved"
    if method == "neuron":
        assert max(constant.gap, dead.gap) < 1e-6
    nothing = sdpcert.certify(_with_zeros([1], [0]), method, form="frequency")
    assert nothing.status == "proved" and nothing.upper < 1e-80 and nothing.lower == 0


def test_a_single_convolution_is_its_norm() -> None:
    graph = Graph((2, 6, 6))
    kernel = np.random.default_rng(3).standard_normal((3, 2, 3, 3))
    circular = graph.network(graph.add(Conv2d(kernel, padding=(1, 1, 1, 1), circular=True), 0), source="convolution")
    norm = np.linalg.norm(circular.stacked.blocks[1, 0].weights, 2)
    cert = sdpcert.certify(circular, form="frequency")
    assert cert.status == "proved" and norm <= cert.upper <= norm * (1 + 1e-8) and cert.gap < 1e-8


def test_out_of_time_the_point_is_proved_or_the_product(tmp_path: Path) -> None:
    network = random_convolutional(11)
    cert = sdpcert.certify(network, "neuron", form="frequency", time_limit=1e-9)
    assert cert.status == "proved" and cert.upper >= cert.lower
    cert.save(tmp_path / "c.json")
    assert sdpcert.check(tmp_path / "c.json").ok


def test_bad_arguments_are_one_line(tmp_path: Path) -> None:
    network = random_convolutional(11)
    with pytest.raises(ValueError, match="unknown form"):
        sdpcert.certify(network, form="fourier")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="solver 'scs' does not work over frequencies"):
        sdpcert.certify(network, solver="scs", form="frequency")
    with pytest.raises(ValueError, match="needs an image"):
        sdpcert.certify(sdpcert.Network.mlp([np.eye(2), np.eye(2)]), form="frequency")
    with pytest.raises(ValueError, match="output row 99"):
        sdpcert.certify(network, form="frequency", output_rows=[99])
