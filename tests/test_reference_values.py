"""Trained networks with published or exact constants; skipped where the folder of these networks is absent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sdpcert import Certificate, Network, certify
from sdpcert.certificate.proof import ProofProblem
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense, Scale
from sdpcert.network.graph import Graph
from sdpcert.solvers import closed_form, product

Array = np.ndarray


def proved(certificate: Certificate, gap: float = 1e-6) -> float:
    assert certificate.status == "proved"
    assert certificate.lower <= certificate.upper
    assert certificate.gap <= gap
    return certificate.upper


def mat_weights(path: Path, key: str = "weights") -> list[Array]:
    return [np.asarray(w, dtype=float) for w in scipy.io.loadmat(path)[key].ravel()]


def mat_biases(path: Path) -> list[Array]:
    data = scipy.io.loadmat(path)
    key = next(k for k in data if not k.startswith("__"))
    return [np.asarray(b, dtype=float).ravel() for b in data[key].ravel()]


# ---------------------------------------------------------------- fully connected


def test_random_weights_have_their_exact_constant(shared_networks: Path) -> None:
    """All weights are nonnegative: the constant is the norm of their product; some solvers report less."""
    weights = mat_weights(shared_networks / "lipsdp/random_weights.mat")
    certificate = certify(Network.mlp(weights))
    exact = 36.48222959637795
    assert np.linalg.norm(weights[3] @ weights[2] @ weights[1] @ weights[0], 2) == pytest.approx(exact, rel=1e-14)
    assert 0 <= proved(certificate) - exact <= 1e-7
    assert certificate.lower == pytest.approx(exact, rel=1e-6)
    layer = certify(Network.mlp(weights), method="layer")
    assert proved(layer) == pytest.approx(39.839, abs=6e-4)  # LipSDP-Layer, printed with three digits
    assert certify(Network.mlp(weights), method="product").upper == pytest.approx(43.30557372, rel=1e-9)


PUBLISHED = {
    "fnn2": [5.109714769, 5.226949637, 5.029697086, 5.572594103, 5.205276876],
    "fnn3": [9.728613898, 9.791786330, 8.929566920, 7.753896705, 8.702760082],
}
ATTAINED = {
    "fnn2": [5.054859, 5.199007, 4.972937, 5.544517, 5.170368],
    "fnn3": [9.560197, 9.264475, 8.142950, 7.124560, 8.405544],
}


def digits(path: Path) -> Network:
    data = scipy.io.loadmat(path)
    count = sum(k.startswith("fc") and k.endswith("weight") for k in data)
    weights = [np.asarray(data[f"fc{k}_weight"], dtype=float).T for k in range(1, count + 1)]
    biases = [np.asarray(data[f"fc{k}_bias"], dtype=float).ravel() for k in range(1, count + 1)]
    return Network.mlp(weights, biases)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["fnn2", "fnn3"])
def test_digits_reproduce_the_published_bounds(shared_networks: Path, kind: str, seed: int) -> None:
    network = digits(shared_networks / f"glipsdp_digits/{kind}_seed{seed}_weights.mat")
    certificate = certify(network, output_rows=[7])
    assert proved(certificate) == pytest.approx(PUBLISHED[kind][seed], rel=1e-6)
    assert certificate.upper >= ATTAINED[kind][seed]


@pytest.mark.parametrize("kind", ["fnn2", "fnn3"])
def test_ladder_on_digits(shared_networks: Path, kind: str) -> None:
    network = digits(shared_networks / f"glipsdp_digits/{kind}_seed0_weights.mat")
    neuron, layer = (proved(certify(network, method=m)) for m in ("neuron", "layer"))
    whole = certify(network, method="product")
    assert whole.status == "proved"
    assert whole.lower <= neuron <= layer * (1 + 1e-6) <= whole.upper * (1 + 1e-5)


def test_iris_is_between_its_constant_and_the_published_bound(shared_networks: Path) -> None:
    folder = shared_networks / "exlipbab"
    weights = mat_weights(folder / "iris_4x6x6x3_relu_weights.mat")
    biases = mat_biases(folder / "iris_4x6x6x3_relu_biases.mat")
    certificate = certify(Network.mlp(weights, biases))
    assert proved(certificate) == pytest.approx(11.63534017, rel=1e-6)
    assert certificate.upper >= 11.634355134114875
    assert certificate.lower <= 11.634355134114875 * (1 + 1e-12)


ABSOLUTE = [
    1.2413605265794627,
    1.0132462130014432,
    1.394113802729269,
    1.4222400839381222,
    1.108953194180276,
    1.0253532365164328,
    1.597172033142249,
    1.5174101382462266,
    1.1836813659435557,
    0.9190077644007674,
    1.0307095688330985,
    1.0288798917655695,
    1.0487124646097885,
    0.9902642075662339,
    1.0758018000891523,
    1.0225255380306448,
    1.0058372567490192,
    1.0014888910446786,
    1.045035776482385,
    1.4231353638590234,
]


@pytest.mark.parametrize("number", range(20))
def test_absolute_value_networks_are_above_their_constant(shared_networks: Path, number: int) -> None:
    """Functions of one input with constants by enumeration; the hidden square matrix shows no orientation."""
    folder = shared_networks / "exlipbab"
    weights = mat_weights(folder / f"absolute_value_relu_{number:02d}_weights.mat", "W")
    biases = mat_biases(folder / f"absolute_value_relu_{number:02d}_biases.mat")
    certificate = certify(Network.mlp(weights, biases))
    assert proved(certificate) >= ABSOLUTE[number]
    assert certificate.lower <= ABSOLUTE[number] * (1 + 1e-12)
    # Only one orientation of the hidden matrix attains the constant.
    assert certificate.lower == pytest.approx(ABSOLUTE[number], rel=1e-6)


# ---------------------------------------------------------------- deep and narrow


CORES = {"mlp_L3_W16": (0.882717995, 0.857636751), "mlp_L9_W16": (0.184637305, 0.234486696)}


def core(shared_networks: Path, name: str, transposed: bool) -> list[Array]:
    params = scipy.io.loadmat(shared_networks / f"glipsdp_scalability/{name}.mat", simplify_cells=True)["params"]
    layers = int(name.split("_")[1][1:])
    weights = [np.asarray(params[f"linear_{k}_weight"], dtype=float) for k in range(1, layers)]
    return [w.T for w in weights] if transposed else weights


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("name", list(CORES))
def test_cores_reproduce_the_corrected_values(shared_networks: Path, name: str, transposed: bool) -> None:
    certificate = certify(Network.mlp(core(shared_networks, name, transposed)), method="neuron")
    assert proved(certificate) == pytest.approx(CORES[name][0 if transposed else 1], rel=2e-6)


@pytest.mark.parametrize(("transposed", "value"), [(True, 2.34915868e-4), (False, 6.55276e-4)])
def test_the_deep_core_is_solved_where_published_values_are_noise(
    shared_networks: Path, transposed: bool, value: float
) -> None:
    """32 matrices of order 16: published 2.96e-4 and 4.23e-4 for the same optimum."""
    certificate = certify(Network.mlp(core(shared_networks, "mlp_L33_W16", transposed)), method="neuron")
    assert proved(certificate) == pytest.approx(value, rel=2e-6)


@pytest.mark.slow
def test_the_wide_deep_core(shared_networks: Path) -> None:
    certificate = certify(Network.mlp(core(shared_networks, "mlp_L17_W32", True)), method="neuron")
    assert proved(certificate) == pytest.approx(0.017220699, rel=2e-6)


# ---------------------------------------------------------------- MaxMin


def chain_bound(weights: list[Array]) -> float:
    """The published chain for GroupSort: rho I >= W0' T1 W0, Ti >= Wi' T(i+1) Wi, T blocks lambda I + gamma 11'."""
    cp = pytest.importorskip("cvxpy")
    first = np.asarray(np.linalg.qr(weights[0].T, mode="r")).T
    weights = [first, *weights[1:]]
    rho = cp.Variable()
    before = rho * np.eye(first.shape[1])
    constraints = []
    for w in weights[:-1]:
        pairs = np.kron(np.eye(len(w) // 2), np.ones((2, 1)))
        lam, gamma = cp.Variable(len(w) // 2, nonneg=True), cp.Variable(len(w) // 2)
        T = cp.diag(pairs @ lam) + pairs @ cp.diag(gamma) @ pairs.T
        constraints.append(before - w.T @ T @ w >> 0)
        before = T
    constraints.append(before - weights[-1].T @ weights[-1] >> 0)
    problem = cp.Problem(cp.Minimize(rho), constraints)
    problem.solve(solver="CLARABEL")
    assert problem.status == "optimal"
    return math.sqrt(problem.value)


@pytest.mark.parametrize(
    ("name", "attained", "whole"),
    [("weights_l2_2fc_16", 22.021332, 23.461536), ("weights_l2_5fc_32", 137.82872, 298.41452)],
)
def test_maxmin_is_below_the_published_chain(shared_networks: Path, name: str, attained: float, whole: float) -> None:
    weights = mat_weights(shared_networks / f"maxmin/{name}.mat", "W")
    upper = proved(certify(Network.mlp(weights, None, "maxmin"), method="neuron"))
    norms = math.prod(float(np.linalg.norm(w, 2)) for w in weights)
    assert norms == pytest.approx(whole, rel=1e-6)
    assert attained <= upper < whole
    assert upper <= chain_bound(weights) * (1 + 1e-6)


# ---------------------------------------------------------------- convolutions


CONVOLUTIONAL = {
    ("cnn2", 0): (6.2207, 9.1967),
    ("cnn2", 3): (7.2364, 9.8919),
    ("cnn3", 0): (13.5308, 25.1802),
}


def convolutional(path: Path) -> Network:
    """The digits network as trained: standardised input of shape (1, 8, 8), flattened (channel, row, column)."""
    data = scipy.io.loadmat(path)
    graph = Graph((1, 8, 8))
    value, k = 0, 1
    while f"conv{k}_weight" in data:
        kernel = np.asarray(data[f"conv{k}_weight"], dtype=float)
        if kernel.ndim == 3:
            kernel = kernel[:, :, None]
        layer = Conv2d(
            np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), np.ravel(data[f"conv{k}_bias"]), (1, 1), (1, 1, 1, 1)
        )
        value = graph.add(relu(), graph.add(layer, value))
        k += 1
    weight = np.ascontiguousarray(np.asarray(data["fc1_weight"], dtype=float).T)
    return graph.network(graph.add(Dense(weight, np.ravel(data["fc1_bias"])), graph.rearrange(value, np.ravel)))


@pytest.mark.parametrize(
    ("kind", "seed"),
    [("cnn2", 0), ("cnn2", 3), pytest.param("cnn3", 0, marks=pytest.mark.slow)],
)
def test_convolutional_digits_as_trained(shared_networks: Path, kind: str, seed: int) -> None:
    """Above what the trained network attains (the published values are below it: they belong to another order)."""
    network = convolutional(shared_networks / f"glipsdp_digits/{kind}_seed{seed}_weights.mat")
    certificate = certify(network, method="neuron", output_rows=[7])
    attained, lipschitz_lt = CONVOLUTIONAL[kind, seed]
    assert attained <= proved(certificate, 1e-5) <= lipschitz_lt
    assert certificate.lower >= 0.9 * attained


def test_trained_order_classifies_the_digits(shared_networks: Path) -> None:
    """The accuracy stored with the network is met in the order (channel, row, column), normalisation in the graph."""
    datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.model_selection import train_test_split

    path = shared_networks / "glipsdp_digits/cnn2_seed0_weights.mat"
    data, network = scipy.io.loadmat(path), convolutional(path)
    x, y = datasets.load_digits(return_X_y=True)
    _, x, _, y = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    x = (x - data["input_mean"].ravel()) / data["input_scale"].ravel()
    scores = network(x.reshape(-1, 1, 8, 8))
    assert np.mean(scores.argmax(axis=1) == y) == pytest.approx(0.9806, abs=1e-4)
    np.testing.assert_allclose(network.stacked.evaluate(x), scores, atol=1e-9)


def test_input_normalisation_counts(shared_networks: Path) -> None:
    path = shared_networks / "glipsdp_digits/fnn2_seed0_weights.mat"
    data, plain = scipy.io.loadmat(path), digits(path)
    scale = data["input_scale"].ravel()
    graph = Graph((64,))
    factor = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 1.0)
    value = graph.add(Scale(factor, -data["input_mean"].ravel() * factor), 0)
    for node in plain.nodes:
        value = graph.add(node.layer, value)
    raw = certify(graph.network(value), output_rows=[7])
    upper, inner = proved(raw), proved(certify(plain, output_rows=[7]))
    assert inner * factor.min() * (1 - 1e-6) <= upper <= inner * factor.max() * (1 + 1e-6)
    weights = [node.layer.weight for node in plain.nodes if isinstance(node.layer, Dense)]
    folded = Network.mlp([weights[0] * factor, *weights[1:]])
    assert upper == pytest.approx(certify(folded, output_rows=[7]).upper, rel=2e-6)


# ---------------------------------------------------------------- a file of a trained network


@pytest.mark.slow
def test_mnist_network_and_its_ladder(shared_networks: Path) -> None:
    from sdpcert import load

    network = load(shared_networks / "onnx/mnist_fc_256x2.onnx")
    neuron, layer = (certify(network, method=m) for m in ("neuron", "layer"))
    whole = certify(network, method="product")
    assert 10.7922 <= proved(neuron) <= proved(layer) * (1 + 1e-6) <= whole.upper * (1 + 1e-5)
    assert whole.status == "proved" and whole.upper == pytest.approx(839.258, rel=1e-5)


@pytest.mark.slow
def test_deep_trained_network_is_not_bounded_by_its_product(shared_networks: Path) -> None:
    """33 layers with their factors: product 1e10, attained 232; the closed form alone gains orders of magnitude."""
    path = shared_networks / "glipsdp_scalability/mlp_L33_W16.mat"
    params = scipy.io.loadmat(path, simplify_cells=True)["params"]
    factors = [2.0] * 33 + [1.1]
    weights = [f * np.asarray(params[f"linear_{k}_weight"], dtype=float) for k, f in enumerate(factors)]
    form = Network.mlp(weights, None, "leaky_relu").stacked
    solution = closed_form(form)
    assert ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers) is not None
    assert 231.943 <= solution.bound < product(form).bound == pytest.approx(9.97616e9, rel=1e-4)
    assert 231.943 <= proved(certify(form, method="neuron"), 1e-5) < solution.bound
