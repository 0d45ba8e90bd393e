"""Certified accuracy of trained networks: every head, levels, attacks, interruptions, other machines."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sdpcert
from sdpcert import layers
from sdpcert.certify import BoundContradiction
from sdpcert.certify.binding import check_with_network
from sdpcert.cli import main
from sdpcert.evaluation import bounds as bounds_module
from sdpcert.evaluation.again import recertify
from sdpcert.evaluation.attack import AttackSettings, run_attack
from sdpcert.evaluation.bounds import difference, networks_of
from sdpcert.evaluation.graph_module import GraphModule
from sdpcert.evaluation.saved import load_evaluation
from sdpcert.evaluation.trained import evaluate
from sdpcert.network.activations import activation_by_name
from sdpcert.network.affine import Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.graph import Graph, Network
from sdpcert.network.piecewise import maxmin, sorted_pairs
from sdpcert.robustness.execution import FLOAT32, FLOAT64, check_float32, error_bound
from sdpcert.robustness.links import prove_links, sorts_pairs
from sdpcert.training import load_data, load_run, logits_and_radii, train
from sdpcert.training.checkpoint import read_checkpoint
from sdpcert.training.modules import Normalisation

pytest.importorskip("sklearn")
Array = np.ndarray
QUICK = AttackSettings(steps=8, restarts=1)
MODELS: dict[str, dict[str, Any]] = {
    "normalized": {"architecture": "dense", "family": "aol", "hidden": [12, 12]},
    "orthogonal": {"architecture": "dense", "family": "sandwich", "hidden": [12], "head": "orthogonal"},
    "mlp": {"architecture": "dense", "family": "sll", "hidden": [8], "features": 12, "head": "mlp", "head_hidden": 9},
    "none": {"architecture": "dense", "family": "sandwich-network", "hidden": [12]},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Run folders of small networks on the digits, trained for a second when first asked for."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            normalisation = "standardise" if name == "orthogonal" else "centre"
            config = {
                "data": {"name": "digits", "normalisation": normalisation},
                "model": MODELS[name],
                "loss": {"name": "cross-entropy", "offset": 0.5, "temperature": 0.25},
                "optimiser": {"name": "adam", "learning_rate": 0.02},
                "training": {"epochs": 4, "batch": 240, "threads": 1},
            }
            train(config, made[name], progress=False)
        return made[name]

    return run


def test_a_strong_attack_leaves_no_more_than_the_quick_one_and_no_less_than_certified(
    runs: Callable[[str], Path],
) -> None:
    """The command's option: what is searched with, what the file states, and the counts in order."""
    folder = runs("normalized")
    quick = evaluate(folder, [0.4], ("by-construction",), count=20, progress=False)
    words = ["evaluate", str(folder), "--radii", "0.4", "--count", "20", "--strong-attack"]
    for others, code in ((["--level", "R"], 0), (["--no-attack"], 2), (["--again"], 2)):
        with pytest.raises(SystemExit) as ended:
            main([*words, *others])
        assert ended.value.code == code
    strong = load_evaluation(folder)
    assert strong.document["attack"] | AttackSettings.strong().table() == strong.document["attack"]
    for hard, usual in zip(strong.rows, quick.rows, strict=True):
        assert hard.certified == usual.certified <= (hard.attacked or 0) <= (usual.attacked or 0)
    assert strong.distances is not None and quick.distances is not None
    assert np.all(strong.distances <= quick.distances)


@pytest.mark.parametrize("name", MODELS)
def test_every_head(name: str, runs: Callable[[str], Path]) -> None:
    folder = runs(name)
    found = evaluate(folder, [0.1, 0.4], ("by-construction", "sdp"), attack=QUICK, progress=False)
    assert [b.name for b in found.bounds] == ["by-construction", "sdp"] and not found.left_out
    for row in found.rows:
        assert row.attacked is not None and 0 <= row.certified <= row.attacked <= found.correct
        assert row.accuracy <= (row.attacked_accuracy or 0.0) <= found.clean_accuracy + 1e-6
    assert found.row("by-construction", 0.1).certified > 0
    again = load_evaluation(folder)
    assert again.rows == found.rows and again.summary() == found.summary()
    # The radii that the log shows, by claimed constants and in float32, are about the same.
    run, data = load_run(folder), load_data("digits")
    labels = torch.from_numpy(data.test.labels.astype(np.int64))
    logits, radii = logits_and_radii(run.module, torch.from_numpy(data.test.images), labels, 16)
    np.testing.assert_allclose(logits.numpy(), found.logits, atol=1e-4)
    if name in ("normalized", "orthogonal"):
        np.testing.assert_allclose(found.bounds[0].radii, radii, rtol=1e-3, atol=1e-5)
    elif name == "mlp":  # the curvature of all pairs against the one of each
        assert np.median(found.bounds[0].radii[radii > 0] / radii[radii > 0]) > 0.9


def test_averaged_weights_are_what_is_certified(tmp_path: Path) -> None:
    """Constant and logits are those of the average, and not of the weights that training went on with."""
    config = {
        "data": {"name": "digits"},
        "model": MODELS["normalized"],
        "optimiser": {"name": "adam", "learning_rate": 0.02},
        "training": {"epochs": 2, "batch": 240, "threads": 1, "averaging": 0.9},
    }
    train(config, tmp_path, progress=False)
    found = evaluate(tmp_path, [0.1], ("by-construction",), attack=False, count=30, progress=False)
    checkpoint = read_checkpoint(tmp_path / "checkpoint.safetensors")
    images = torch.from_numpy(load_data("digits").test.images[:30]).float() / 16
    run = load_run(tmp_path)

    def certified(weights: Mapping[str, torch.Tensor]) -> tuple[Array, bool]:
        run.module.load_state_dict(weights, strict=False)
        before, whole = networks_of(run.module.eval(), run.data.input_shape)
        return GraphModule(whole).evaluate(images), check_with_network(certificate, before, whole=True).ok

    certificate = tmp_path / found.bounds[0].certificates[0].file
    averaged, last = certified(checkpoint.average), certified(checkpoint.model)
    assert averaged[1] and not last[1]
    np.testing.assert_array_equal(found.logits, averaged[0])
    assert np.abs(found.logits - last[0]).max() > 1e-3


def test_levels_in_order(runs: Callable[[str], Path]) -> None:
    folder = runs("normalized")
    options: dict[str, Any] = {"radii": [0.1], "bounds": ["by-construction"], "attack": False, "progress": False}
    real, single = (evaluate(folder, level=level, **options).bounds[0].radii for level in ("R", "F"))
    run, data = load_run(folder), load_data("digits")
    labels = torch.from_numpy(data.test.labels.astype(np.int64))
    _, claimed = logits_and_radii(run.module, torch.from_numpy(data.test.images), labels, 16)
    assert np.all(single <= real) and np.all(single[real > 0.05] > 0.9 * real[real > 0.05])
    assert np.all(single <= claimed * (1 + 1e-4))
    assert load_evaluation(folder).level == "F"
    with pytest.raises(ValueError, match="level F is not possible: softplus"):
        evaluate(runs("mlp"), level="F", attack=False, progress=False)


def test_pairs_and_what_is_left_out(runs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs without a certificate have the least of the other constants."""
    folder = runs("normalized")
    chosen = [(0, 1), (3, 8)]
    monkeypatch.setattr("sdpcert.evaluation.trained.pairs_of", lambda classes: chosen)
    found = evaluate(folder, [0.1], pairs="all", attack=False, count=60, progress=False)
    construction, sdp, pairwise = found.bounds
    assert len(pairwise.missing) == 43 and [c.pair for c in pairwise.certificates] == chosen
    assert construction.constants is not None and sdp.constants is not None and pairwise.constants is not None
    least = np.minimum(construction.constants, sdp.constants)
    assert pairwise.constants[3, 8] == pairwise.constants[8, 3] == pairwise.certificates[1].upper
    assert pairwise.constants[3, 8] <= least[3, 8] * (1 + 1e-5) and pairwise.constants[2, 5] == least[2, 5]
    assert found.samples == 60 and found.distances is None and found.rows[0].attacked is None
    recertify(folder)
    less = evaluate(folder, [0.1], pairs="auto", time_limit=1e-3, attack=False, count=5, progress=False)
    assert [b.name for b in less.bounds] == ["by-construction"]
    assert "above the limit" in less.left_out["sdp"] and "2 programs" in less.left_out["pairwise"]


def test_ctrl_c_keeps_what_is_finished(runs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs("normalized")
    prove, calls = bounds_module.certify_and_save, itertools.count()

    def interrupted(*arguments: Any) -> dict[str, Any]:
        if next(calls) == 3:  # the two other bounds have one certificate each
            raise KeyboardInterrupt
        return prove(*arguments)

    monkeypatch.setattr(bounds_module, "certify_and_save", interrupted)
    monkeypatch.setattr(bounds_module, "WORKERS", 1)
    monkeypatch.setattr("sdpcert.evaluation.trained.pairs_of", lambda classes: [(0, 1), (0, 2), (0, 3)])
    found = evaluate(folder, [0.1], count=20, progress=False, on_interrupt="prove")
    assert [c.pair for c in found.bounds[2].certificates] == [(0, 1)]
    assert found.notes == ("interrupted: 1 of 3 certificates of the bound pairwise were proved",)
    assert len(found.bounds) == 3 and found.distances is None
    monkeypatch.undo()

    def attack(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sdpcert.evaluation.trained.run_attack", attack)
    with pytest.raises(sdpcert.Interrupted, match="the attack did not end") as ended:  # a loop of a program ends
        evaluate(folder, [0.1], ["by-construction"], count=20, progress=False)
    found = ended.value.result
    assert "the attack did not end" in found.notes[0] and load_evaluation(folder).notes == found.notes


def test_an_adversarial_point_within_a_radius_is_an_error(
    runs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constants that are far too small certify far too much; the attack sees it."""
    from sdpcert.evaluation import rows as evaluation_rows

    folder, constants = runs("normalized"), evaluation_rows.pair_constants
    monkeypatch.setattr(evaluation_rows, "pair_constants", lambda *arguments: constants(*arguments) / 20)
    with pytest.raises(BoundContradiction, match=r"sample \d+ has an adversarial point at"):
        evaluate(folder, [0.5], ["by-construction"], count=20, progress=False)
    assert not (folder / "evaluation.json").exists()


def test_another_machine(runs: Callable[[str], Path], tmp_path: Path) -> None:
    """The weights, their description, the evaluation and its certificates are enough."""
    for name in ("normalized", "mlp"):
        folder, place = runs(name), tmp_path / name
        evaluate(folder, [0.1], ["by-construction"], attack=False, progress=False)
        place.mkdir()
        for file in ("model.json", "model.safetensors", "evaluation.json"):
            shutil.copy(folder / file, place)
        shutil.copytree(folder / "certificates", place / "certificates")
        assert recertify(place).rows == load_evaluation(folder).rows
    for file in ("model.json", "model.safetensors"):
        shutil.copy(runs("none") / file, tmp_path / "mlp")
    with pytest.raises(ValueError, match="other weights"):
        recertify(tmp_path / "mlp")


def test_certificates_are_proved_once(runs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is what takes long of a large network."""
    from sdpcert.certify import binding
    from sdpcert.check import verdict

    folder, check, seen = runs("normalized"), verdict.check_document, []

    def counted(document: Any) -> Any:
        seen.append(document["upper"])
        return check(document)

    found = evaluate(folder, [0.1], ["by-construction"], attack=False, progress=False)
    for module in (verdict, binding):
        monkeypatch.setattr(module, "check_document", counted)
    assert recertify(folder).rows == found.rows and len(seen) == 1


def test_certificates_of_another_network_are_refused(runs: Callable[[str], Path], tmp_path: Path) -> None:
    from sdpcert.evaluation.file import document_bytes

    folder, place = runs("normalized"), tmp_path / "run"
    evaluate(folder, [0.1], ["by-construction"], attack=False, progress=False)
    shutil.copytree(folder, place)
    document = dict(load_evaluation(place).document)
    for file in ("model.json", "model.safetensors"):
        shutil.copy(runs("orthogonal") / file, place)
    import hashlib

    weights = hashlib.sha256((place / "model.safetensors").read_bytes()).hexdigest()
    document["model"] = {**document["model"], "weights_sha256": weights}
    (place / "evaluation.json").write_bytes(document_bytes(document))
    load_evaluation(place)
    with pytest.raises(ValueError, match="about other weights"):
        recertify(place)


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({"bounds": ["best"]}, "unknown bound 'best'"),
        ({"bounds": []}, "unknown bound"),
        ({"level": "B"}, "unknown level"),
        ({"pairs": "some"}, "unknown choice of pairs"),
        ({"count": 0}, "count must be positive"),
        ({"time_limit": float("nan")}, "time_limit must be positive"),
        ({"time_limit": -1.0}, "time_limit must be positive"),
        ({"device": "meta"}, "on cpu or cuda"),
        ({"radii": [float("inf")]}, "not negative"),
        ({"radii": [-1.0]}, "not negative"),
        ({"radii": [float("nan")]}, "not negative"),
    ],
)
def test_bad_arguments(named: dict[str, Any], text: str, runs: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=text):
        evaluate(runs("none"), **named)


def test_missing_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        evaluate(tmp_path / "missing")
    with pytest.raises(ValueError, match="no run folder"):
        evaluate(tmp_path)


def test_unequal_deviations_count_by_the_smallest() -> None:
    module = nn.Sequential()
    module.add_module("normalisation", Normalisation([0.5, 0.5, 0.5], [0.5, 0.1, 0.25]))
    module.add_module("backbone", nn.Sequential(nn.Flatten(), layers.CayleyLinear(12, 12)))
    module.add_module("head", layers.NormalizedHead(12, 4))
    before, _ = networks_of(module.eval(), (3, 2, 2))
    certificate = sdpcert.certify(before, "by-construction")
    assert 9.99 <= certificate.lower <= certificate.upper <= 10.01


# Errors of evaluation


def exact(network: Network, x: Array) -> list[Fraction]:
    """The real function of a graph of dense layers, scalings and ReLU at one input."""
    values: list[list[Fraction]] = [[Fraction(float(v)) for v in x]]
    for node in network.nodes:
        given = values[node.inputs[0]]
        if isinstance(node.layer, Dense):
            bias = np.zeros(len(node.layer.weight)) if node.layer.bias is None else node.layer.bias
            rows = [[Fraction(float(w)) for w in row] for row in node.layer.weight]
            result = [
                sum((w * v for w, v in zip(row, given)), Fraction(float(b))) for row, b in zip(rows, bias, strict=True)
            ]
        elif isinstance(node.layer, Scale):
            factor, shift = (np.broadcast_to(a, node.shape) for a in (node.layer.factor, node.layer.shift))
            result = [Fraction(float(f)) * v + Fraction(float(s)) for f, v, s in zip(factor, given, shift)]
        else:
            assert getattr(node.layer, "name", "") in ("relu", "crop")
            result = given if node.layer.name == "crop" else [max(v, Fraction(0)) for v in given]  # type: ignore[union-attr]
        values.append(result)
    return values[network.output]


def shuffled(network: Network, x: Array, draw: random.Random) -> Array:
    """A float32 evaluation with a random order of summation, with partial sums, everywhere."""
    single = np.float32
    values = [[single(v) for v in x]]
    for node in network.nodes:
        given = values[node.inputs[0]]
        if isinstance(node.layer, Dense):
            bias = np.zeros(len(node.layer.weight)) if node.layer.bias is None else node.layer.bias
            result = []
            for row, b in zip(node.layer.weight, bias, strict=True):
                terms = [single(w) * v for w, v in zip(row, given)] + [single(b)]
                while len(terms) > 1:
                    first = terms.pop(draw.randrange(len(terms)))
                    terms[draw.randrange(len(terms))] += first
                result.append(terms[0])
        else:
            result = [np.maximum(v, single(0)) for v in given]
        values.append(result)
    return np.array(values[network.output], dtype=float)


def distance(first: list[Fraction], second: Array) -> float:
    return float(sum((a - Fraction(float(b))) ** 2 for a, b in zip(first, second, strict=True))) ** 0.5


def sandwich(seed: int) -> Network:
    torch.manual_seed(seed)
    module = nn.Sequential(layers.SandwichLinear(6, 9), layers.SandwichLinear(9, 7), layers.NormalizedHead(7, 4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return sdpcert.from_torch(module.eval(), (6,))


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_below_their_bounds(seed: int) -> None:
    network = sandwich(seed)
    links = prove_links(network)
    assert all(link.constant < 1.0001 for link in links[:-1])
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    centre = np.full(6, 0.5)
    double, single = (error_bound(network, links, centre, u) for u in (FLOAT64, FLOAT32))
    assert 0 < double.slope < single.slope < 1e-3
    for scale in (0.0, 0.5, 1.0, 30.0):
        x = (centre + scale * rng.standard_normal(6)).astype(np.float32).astype(float)
        away, truth = np.array([np.linalg.norm(x - centre)]), exact(network, x)
        assert distance(truth, network(x)) <= double.at(away)[0]
        assert distance(truth, GraphModule(network)(torch.from_numpy(x)[None])[0].numpy()) <= double.at(away)[0]
        lost = [distance(truth, shuffled(network, x, draw)) for _ in range(4)]
        assert 0 <= max(lost) <= single.at(away)[0]
        assert max(lost) > 1e-6 * single.at(away)[0]


def test_links_that_are_no_one_lipschitz_layer() -> None:
    """Constants of links are those of their own layers, also where a layer behind them is far from 1."""
    torch.manual_seed(0)
    module = nn.Sequential(layers.SLLLinear(5, 6), layers.SLLLinear(5, 6), nn.Linear(5, 3))
    with torch.no_grad():
        module[2].weight.mul_(40.0)  # type: ignore[operator]
    network = sdpcert.from_torch(module.eval(), (5,))
    first, second, last = prove_links(network)
    assert first.constant < 1.0001 and second.constant < 1.0001
    norm = float(np.linalg.norm(module[2].weight.detach().double().numpy(), 2))  # type: ignore[union-attr]
    assert norm <= last.constant <= norm * 1.02


def test_links_of_convolutions() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        layers.AOLConv2d(2, 4, 3), layers.MaxMin(), layers.SpaceToDepth(2), nn.Flatten(), layers.AOLLinear(64, 6)
    )
    network = sdpcert.from_torch(module.eval(), (2, 4, 4))
    links = prove_links(network)
    assert all(link.constant < 1.001 for link in links)
    bound = error_bound(network, links, np.zeros((2, 4, 4)), FLOAT32)
    x = torch.rand(10, 2, 4, 4)
    wide, narrow = GraphModule(network).evaluate(x), GraphModule(network, dtype=torch.float32).evaluate(x)
    np.testing.assert_allclose(wide, network(x.numpy()).reshape(10, -1), atol=1e-12)
    with torch.no_grad():
        np.testing.assert_allclose(wide, module(x).numpy(), atol=1e-5)
    away = np.linalg.norm(x.double().numpy().reshape(10, -1), axis=1)
    assert np.all(np.linalg.norm(wide - narrow, axis=1) <= bound.at(away))


def test_sorting_of_pairs_is_seen_at_any_size() -> None:
    graph = Graph((6, 40, 40))
    network = graph.network(maxmin(graph, 0))
    assert sorts_pairs(network) and sorts_pairs(network.between(0, network.output))
    graph = Graph((5,))
    assert sorts_pairs(graph.network(sorted_pairs(graph, 0, np.array([0, 1]), np.array([3, 2]), False)))
    # An entry that is read twice, another sign, another activation.
    node = network.nodes[0]
    assert isinstance(node.layer, Rearrange)
    twice = replace(node, layer=Rearrange(np.zeros_like(node.layer.indices)))
    assert not sorts_pairs(replace(network, nodes=(twice, *network.nodes[1:])))
    for k, layer in ((2, Sum()), (5, Sum()), (3, activation_by_name("abs"))):
        nodes = list(network.nodes)
        nodes[k] = replace(nodes[k], layer=layer)
        assert not sorts_pairs(replace(network, nodes=tuple(nodes)))
    assert not sorts_pairs(Network.mlp([np.eye(2)]))


def test_level_f_refuses_by_name() -> None:
    graph = Graph((1, 12, 12))
    value = graph.add(Conv2d(np.ones((1, 1, 9, 9)), padding=(4, 4, 4, 4), circular=True), 0)
    with pytest.raises(ValueError, match="circular convolution of 9x9 taps is applied by Fourier"):
        check_float32(graph.network(value))
    with pytest.raises(ValueError, match="tanh has no IEEE 754 rounding"):
        check_float32(Network.mlp([np.eye(2), np.eye(2)], activation="tanh"))
    check_float32(Network.mlp([np.eye(2), np.eye(2)], activation="maxmin"))


def test_graphs_on_torch_are_the_networks() -> None:
    torch.manual_seed(2)
    rng = np.random.default_rng(0)
    for name in ("relu", "maxmin", "gelu", "softplus", "leaky_relu", "sigmoid"):
        network = Network.mlp([rng.standard_normal((6, 4)), rng.standard_normal((3, 6))], None, name)
        x = torch.randn(7, 4, dtype=torch.float64)
        np.testing.assert_allclose(GraphModule(network).evaluate(x), network(x.numpy()), atol=1e-12)
        assert torch.autograd.gradcheck(GraphModule(network), (x.requires_grad_(True),), atol=1e-4)
    module = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten())
    network = sdpcert.from_torch(module, (2, 5, 5))
    x = torch.randn(3, 2, 5, 5, dtype=torch.float64)
    np.testing.assert_allclose(GraphModule(network).evaluate(x), network(x.numpy()).reshape(3, -1), atol=1e-12)
    with pytest.raises(ValueError, match="reads"):
        GraphModule(network)(torch.zeros(1, 5))


def test_the_attack_finds_what_was_planted() -> None:
    """The class of a linear network ends at a known distance; of 30 classes the nearest one has the lowest logit."""
    rng = np.random.default_rng(0)
    weight = 0.01 * rng.standard_normal((30, 16))
    weight[0], weight[23] = 0.0, np.linspace(1.0, 2.0, 16)
    bias = np.linspace(-1.0, -2.0, 30)
    bias[0], bias[23] = 0.0, -20.0
    network = Network.mlp([weight], [bias])
    images = torch.full((3, 16), 0.5)
    images[1] = 0.45
    logits = GraphModule(network).evaluate(images)
    nearest = (logits[:, 0] - logits[:, 23]) / np.linalg.norm(weight[23])
    assert (logits.argmin(1) == 23).all()

    def wrong(points: torch.Tensor, labels: Array) -> Array:
        return GraphModule(network).evaluate(points).argmax(1) != labels

    search = GraphModule(network, dtype=torch.float32)
    settings = AttackSettings(steps=60, restarts=2)
    found = run_attack(search, images, np.array([0, 0, 5]), [3.0], wrong, settings)
    assert found.distances[2] == 0.0
    for k in range(2):
        assert nearest[k] <= found.distances[k] <= 1.05 * nearest[k]
        assert wrong(found.points[k : k + 1], np.array([0]))[0] and 0 <= found.points[k].min() <= 1
    alone = AttackSettings(steps=0, restarts=0)
    assert np.isinf(run_attack(search, images[:2], np.array([0, 0]), [3.0], wrong, alone).distances).all()


def test_differences_are_the_differences() -> None:
    network = Network.mlp([np.random.default_rng(0).standard_normal((4, 3)), np.eye(4)])
    x = np.random.default_rng(1).standard_normal((5, 3))
    outputs = network(x)
    np.testing.assert_allclose(difference(network, 1, 3)(x)[:, 0], outputs[:, 1] - outputs[:, 3])


def test_nothing_to_prove_leaves_what_was_there(runs: Callable[[str], Path]) -> None:
    folder = runs("normalized")
    evaluate(folder, attack=False, bounds=("by-construction",), progress=False)
    before = (folder / "evaluation.json").read_bytes()
    with pytest.raises(ValueError, match="no bound is left to prove, nothing was written"):
        evaluate(folder, attack=False, bounds=("pairwise",), pairs="none", progress=False)
    assert (folder / "evaluation.json").read_bytes() == before
