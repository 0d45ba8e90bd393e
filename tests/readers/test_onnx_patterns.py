"""Whole small models: what exporters write, folded parametrisations, random graphs."""

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx_models import agrees, constant, model, random_model, refused, run, save

from sdpcert.network.activations import Activation
from sdpcert.network.affine import Conv2d, Dense, Scale
from sdpcert.readers import load

node = helper.make_node


def generator(seed=0):
    return np.random.default_rng(seed)


def test_flatten_order_is_channel_row_column(tmp_path):
    r = generator()
    nodes = [
        node("Conv", ["x", "k", "b"], ["h"], pads=[1, 1, 1, 1], strides=[2, 1]),
        node("Relu", ["h"], ["z"]),
        node("Flatten", ["z"], ["f"]),
        node("Gemm", ["f", "w", "c"], ["y"], transB=1),
    ]
    k, w = r.standard_normal((3, 2, 3, 3)), r.standard_normal((4, 3 * 2 * 5))
    constants = {"k": k, "b": r.standard_normal(3), "w": w, "c": r.standard_normal(4)}
    network = agrees(model(nodes, ("batch", 2, 4, 5), constants), tmp_path)
    assert [type(n.layer).__name__ for n in network.nodes] == ["Conv2d", "Relu", "Rearrange", "Dense"]
    # The same with the columns in another order is another network, and is not what the file computes.
    assert not np.allclose(w.reshape(4, 3, 2, 5), w.reshape(4, 3, 2, 5, order="F"))


def test_torch_reshape_from_shape(tmp_path):
    """`x.view(x.size(0), -1)` as exported: Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Constant", [], ["zero"], value=constant("", np.array(0))),
        node("Gather", ["s", "zero"], ["n"]),
        node("Constant", [], ["axes"], value=constant("", np.array([0]))),
        node("Unsqueeze", ["n", "axes"], ["u"]),
        node("Constant", [], ["m"], value=constant("", np.array([-1]))),
        node("Concat", ["u", "m"], ["t"], axis=0),
        node("Reshape", ["x", "t"], ["f"]),
        node("MatMul", ["f", "w"], ["h"]),
        node("Add", ["h", "b"], ["y"]),
    ]
    r = generator()
    proto = model(nodes, ("batch", 2, 3), {"w": r.standard_normal((6, 4)), "b": r.standard_normal(4)})
    network = agrees(proto, tmp_path)
    layers = [n.layer for n in network.nodes]
    assert isinstance(layers[-1], Dense) and layers[-1].bias is not None and len(layers) == 2


def test_convolution_bias_from_add_and_normalisation(tmp_path):
    r = generator(1)
    nodes = [
        node("Conv", ["x", "k"], ["h"]),
        node("Add", ["h", "b"], ["i"]),
        node("BatchNormalization", ["i", "s", "o", "m", "v"], ["j"]),
        node("Relu", ["j"], ["y"]),
    ]
    constants = {n: r.standard_normal(3) for n in "som"} | {"v": r.random(3) + 0.1, "b": r.standard_normal((3, 1, 1))}
    network = agrees(model(nodes, (1, 2, 5, 5), constants | {"k": r.standard_normal((3, 2, 2, 2))}), tmp_path)
    layers = [n.layer for n in network.nodes]
    assert isinstance(layers[0], Conv2d) and layers[0].bias is not None
    assert isinstance(layers[1], Scale) and layers[1].coefficient_error > 0


def test_known_defect_models(tmp_path):
    """Models on which a tool that reads `Linear` layers alone reports less than the true constant."""
    r = generator(2)
    w1, w2 = r.standard_normal((3, 3)), r.standard_normal((3, 3))
    gemm1, gemm2 = node("Gemm", ["x", "u"], ["a"], transB=1), node("Gemm", ["b", "v"], ["c"], transB=1)
    weights = {"u": w1, "v": w2}
    agrees(model([gemm1, node("Relu", ["a"], ["b"]), gemm2, node("Add", ["c", "x"], ["y"])], (1, 3), weights), tmp_path)
    prelu = model(
        [gemm1, node("PRelu", ["a", "p"], ["b"]), node("Gemm", ["b", "v"], ["y"], transB=1)],
        (1, 3),
        weights | {"p": np.array([-1.0])},
    )
    network = agrees(prelu, tmp_path)
    assert network.nodes[1].layer.alpha == -1.0  # type: ignore[union-attr]
    bn = {"s": np.full(3, 5.0), "o": np.zeros(3), "m": np.zeros(3), "w": np.ones(3)}
    nodes = [gemm1, node("BatchNormalization", ["a", *bn], ["b"]), node("Gemm", ["b", "v"], ["y"], transB=1)]
    network = agrees(model(nodes, (1, 3), weights | bn), tmp_path)
    jacobian = network.stacked.jacobian(np.zeros(3))
    expected = 5 / np.sqrt(1 + 1e-5) * w2.astype(np.float32).astype(float) @ w1.astype(np.float32)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-6)


def gelu_variants():
    half, root = {"h": np.float32(0.5), "o": np.float32(1.0), "q": np.sqrt(2.0)}, "q"
    erf = [node("Div", ["x", root], ["d"]), node("Erf", ["d"], ["e"]), node("Add", ["e", "o"], ["g"])]
    yield [*erf, node("Mul", ["x", "g"], ["p"]), node("Mul", ["p", "h"], ["y"])], half
    yield [*erf, node("Mul", ["g", "h"], ["p"]), node("Mul", ["x", "p"], ["y"])], half
    yield [node("Mul", ["h", "x"], ["p"]), *erf, node("Mul", ["p", "g"], ["y"])], half


@pytest.mark.parametrize(("nodes", "constants"), list(gelu_variants()))
def test_gelu_written_out(nodes, constants, tmp_path):
    network = agrees(model(nodes, (1, 6), constants), tmp_path)
    assert network.nodes[0].layer.name == "gelu" and len(network.nodes) <= 3  # type: ignore[union-attr]


@pytest.mark.parametrize("factor", [0.3, 1.0, -2.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gelu_of_a_multiple(factor, sign, tmp_path):
    """`x (erf(c x) + 1)` has the slopes of 2 GELU for every c, and with -1 those of its negative."""
    nodes = [node("Mul", ["x", "c"], ["d"]), node("Erf", ["d"], ["e"]), node("Add", ["e", "o"], ["g"])]
    constants = {"c": np.float32(factor), "o": np.float32(sign)}
    network = agrees(model([*nodes, node("Mul", ["x", "g"], ["y"])], (1, 6), constants), tmp_path)
    kinds = [n.layer.name for n in network.nodes if isinstance(n.layer, Activation)]
    factors = [float(np.max(np.abs(n.layer.factor))) for n in network.nodes if isinstance(n.layer, Scale)]
    assert kinds == ["gelu"] and np.prod(factors) == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize("order", [("x", "g"), ("g", "x")])
def test_gated_activations(order, tmp_path):
    for name, gate in (
        ("silu", [node("Sigmoid", ["x"], ["g"])]),
        ("hard_swish", [node("HardSigmoid", ["x"], ["g"], alpha=1 / 6, beta=0.5)]),
        ("mish", [node("Softplus", ["x"], ["s"]), node("Tanh", ["s"], ["g"])]),
    ):
        network = agrees(model([*gate, node("Mul", list(order), ["y"])], (1, 6)), tmp_path)
        assert [n.layer.name for n in network.nodes] == [name]  # type: ignore[union-attr]


def test_other_gates_are_refused(tmp_path):
    for gate in (
        [node("Tanh", ["x"], ["g"])],
        [node("HardSigmoid", ["x"], ["g"], alpha=0.2, beta=0.6)],
        [node("Erf", ["x"], ["e"]), node("Add", ["e", "o"], ["g"])],
        [node("Sigmoid", ["x"], ["s"]), node("Sigmoid", ["s"], ["g"])],
    ):
        path = save(model([*gate, node("Mul", ["x", "g"], ["y"], "gate")], (1, 6), {"o": np.float32(2)}), tmp_path)
        refused(path, "operator Mul", "'gate'", "product")


def test_spectral_normalisation_left_in_the_graph(tmp_path):
    r = generator(3)
    w, u, v = r.standard_normal((4, 3)), r.standard_normal(4), r.standard_normal(3)
    w[1, 2] = 0.0  # a pruned weight stays exactly zero
    nodes = [
        node("MatMul", ["w", "v"], ["m"]),
        node("MatMul", ["u", "m"], ["d"]),
        node("Div", ["w", "d"], ["n"]),
        node("Gemm", ["x", "n", "b"], ["y"], transB=1),
    ]
    network = agrees(model(nodes, (1, 3), {"w": w, "u": u, "v": v, "b": r.standard_normal(4)}), tmp_path)
    layer = network.nodes[0].layer
    assert isinstance(layer, Dense) and 0 < layer.coefficient_error < 1e-13
    w, u, v = (a.astype(np.float32).astype(np.longdouble) for a in (w, u, v))
    exact = w / (u @ (w @ v))
    error = np.abs(layer.weight - exact)
    assert np.all(error <= layer.coefficient_error * np.abs(exact)) and layer.weight[1, 2] == 0


def test_weight_normalisation_left_in_the_graph(tmp_path):
    r = generator(4)
    nodes = [
        node("ReduceL2", ["v"], ["n"], axes=[1], keepdims=1),
        node("Div", ["v", "n"], ["d"]),
        node("Mul", ["d", "g"], ["w"]),
        node("Transpose", ["w"], ["t"]),
        node("MatMul", ["x", "t"], ["y"]),
    ]
    constants = {"v": r.standard_normal((4, 3)), "g": r.standard_normal((4, 1))}
    layer = agrees(model(nodes, (1, 3), constants), tmp_path).nodes[0].layer
    assert isinstance(layer, Dense) and 0 < layer.coefficient_error < 1e-14


def test_cancellation_in_a_folded_weight_is_refused(tmp_path):
    nodes = [
        node("Mul", ["a", "b"], ["p"]),
        node("Mul", ["b", "a"], ["q"]),
        node("Sub", ["p", "q"], ["w"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    r = generator(5)
    path = save(model(nodes, (1, 3), {"a": r.random((3, 2)), "b": r.random((3, 2))}), tmp_path)
    refused(path, "MatMul", "'w'", "cancellation")


def test_shape_arithmetic(tmp_path):
    """Expand as torch exports it: ConstantOfShape, Mul, Equal, Where on the target shape."""
    nodes = [
        node("Shape", ["t"], ["n"]),
        node("ConstantOfShape", ["n"], ["ones"], value=numpy_helper.from_array(np.array([1]), "")),
        node("Mul", ["ones", "minus"], ["m"]),
        node("Equal", ["t", "m"], ["e"]),
        node("Where", ["e", "ones", "t"], ["s"]),
        node("Expand", ["x", "s"], ["h"]),
        node("Range", ["r0", "r1", "r2"], ["r"]),
        node("Gather", ["h", "r"], ["y"], axis=2),
    ]
    constants = {"t": np.array([-1, 2, 4]), "minus": np.array(-1)}
    constants |= {"r0": np.array(0), "r1": np.array(4), "r2": np.array(2)}
    agrees(model(nodes, (1, 1, 4), constants), tmp_path)


def test_what_the_output_does_not_read_is_left_out(tmp_path):
    nodes = [node("Softmax", ["x"], ["s"]), node("Relu", ["x"], ["r"]), node("Tanh", ["r"], ["t"])]
    network = agrees(model([*nodes, node("Neg", ["r"], ["y"])], (1, 3)), tmp_path)
    assert len(network.nodes) == 2


def test_identity_and_linear_models(tmp_path):
    assert load(save(model([node("Identity", ["x"], ["y"])], (1, 3)), tmp_path)).output == 0
    network = agrees(model([node("MatMul", ["x", "w"], ["y"])], (1, 3), {"w": generator().random((3, 2))}), tmp_path)
    assert network.neurons == 0 and network.source.endswith("model.onnx")


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed, tmp_path):
    agrees(random_model(seed), tmp_path, 1)


def test_a_wrong_network_is_noticed(tmp_path, monkeypatch):
    """The comparison catches a transposed kernel, a swapped flatten order and a small change of one weight."""
    from sdpcert.readers.operators.table import OPERATORS

    r = generator(6)
    nodes = [
        node("Conv", ["x", "k"], ["h"]),
        node("Relu", ["h"], ["z"]),
        node("Flatten", ["z"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    constants = {"k": r.standard_normal((2, 1, 2, 2)), "w": r.standard_normal((18, 3))}
    path = save(model(nodes, (1, 1, 4, 4), constants), tmp_path)
    load(path)
    right = dict(OPERATORS)

    def broken(operator, change):
        def handle(call):
            return right[operator](change(call))

        monkeypatch.setitem(OPERATORS, operator, handle)
        refused(path, "does not compute")
        monkeypatch.setitem(OPERATORS, operator, right[operator])

    def weight(position, function):
        def change(call):
            old = call.inputs[position]
            call.inputs[position] = type(old)(function(old.value), old.name)
            return call

        return change

    broken("Conv", weight(1, lambda k: np.swapaxes(k, 2, 3)))
    broken("MatMul", weight(1, lambda w: w.reshape(3, 3, 2, 3).transpose(2, 0, 1, 3).reshape(18, 3)))
    nudge = np.zeros((18, 3))
    nudge[7, 1] = 1e-4
    broken("MatMul", weight(1, lambda w: w + nudge))


def test_deep_contraction_is_compared_sharply(tmp_path, monkeypatch):
    """Where the outputs hardly move, a wrong weight must not hide below a tolerance relative to the output."""
    from sdpcert.readers.operators.table import OPERATORS

    r = generator(8)
    nodes, constants, last = [], {}, "x"
    for k in range(10):
        constants |= {f"w{k}": r.standard_normal((6, 6)) / 12, f"b{k}": r.standard_normal(6)}
        nodes += [
            node("Gemm", [last, f"w{k}", f"b{k}"], [f"h{k}"], f"g{k}", transB=1),
            node("LeakyRelu", [f"h{k}"], [f"z{k}"], alpha=0.5),
        ]
        last = f"z{k}"
    nodes.append(node("Gemm", [last, "w", "b"], ["y"], transB=1))
    constants |= {"w": r.standard_normal((3, 6)), "b": r.standard_normal(3)}
    path = save(model(nodes, (1, 6), constants), tmp_path)
    load(path)
    right = OPERATORS["Gemm"]

    def handle(call):
        weight = call.inputs[1]
        if weight.name == "w3":
            call.inputs[1] = type(weight)(weight.value.T.copy(), weight.name)
        return right(call)

    monkeypatch.setitem(OPERATORS, "Gemm", handle)
    refused(path, "does not compute")


def test_same_file_same_network(tmp_path):
    path = save(random_model(3), tmp_path)
    first, second = load(path), load(path)
    assert first.stacked.sha256 == second.stacked.sha256 and first.details == second.details


@pytest.mark.filterwarnings("ignore")
def test_exported_from_torch(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, stride=2, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 5),
        torch.nn.GELU(),
        torch.nn.Linear(5, 3),
    ).eval()
    x = torch.randn(1, 1, 8, 8)
    path = tmp_path / "torch.onnx"
    torch.onnx.export(module, (x,), path, dynamo=False)
    network = load(path)
    with torch.no_grad():
        np.testing.assert_allclose(network(x[0].numpy()), module(x)[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(path, x.numpy())[0], network(x[0].numpy()), rtol=1e-4, atol=1e-5)
