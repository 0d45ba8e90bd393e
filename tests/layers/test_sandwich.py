"""Sandwich layers and networks, and general residual layers: proved constants, completeness, extremes."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import sdpcert  # noqa: E402
from sdpcert.arithmetic.exact import square_root_up  # noqa: E402
from sdpcert.certify.construction import prove_point  # noqa: E402
from sdpcert.layers.general_residual import GeneralResidual  # noqa: E402
from sdpcert.layers.rules import AOL, SLL, Perron  # noqa: E402
from sdpcert.layers.sandwich import SandwichConv2d, SandwichLinear, full_kernel, symbols  # noqa: E402
from sdpcert.layers.sandwich_network import SandwichNetwork  # noqa: E402
from sdpcert.network.construction import ConstructedNetwork  # noqa: E402
from sdpcert.torch_modules.geometry import Operator  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples" / "networks"
DTYPES = [torch.float32, torch.float64]


def proved(layer, shape) -> float:
    """The constant that `certify(..., method="by-construction")` proves, without its search for attained values."""
    network = sdpcert.from_torch(layer, shape)
    assert isinstance(network, ConstructedNetwork)
    proof = prove_point(network.unshared.reduced(), network.construction)
    return float("inf") if proof is None else square_root_up(proof.rho, proof.exponent)


def scale_parameters(layer, factor: float) -> None:
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "log" not in name and "bias" not in name:
                parameter.mul_(factor)


def assert_gradients(layer, inputs) -> None:
    layer.train()
    layer.zero_grad()
    with torch.no_grad():  # without a bias the scale of neurons with relu cancels
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                parameter.normal_(0, 0.1)
    (layer(inputs) * torch.linspace(0.5, 1.5, layer(inputs).numel()).reshape(layer(inputs).shape)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def assert_follows_parameters(layer, inputs) -> None:
    """Evaluation uses the current parameters, whatever changed them."""

    def fresh():
        made = copy.deepcopy(layer).eval()
        return made(inputs)

    layer.eval()
    other = {k: v + 0.1 * torch.randn_like(v) for k, v in layer.state_dict().items()}
    with torch.no_grad():
        before = layer(inputs)
    layer.train()
    optimiser = torch.optim.SGD(layer.parameters(), 0.1)
    layer(inputs).square().sum().backward()
    layer.eval()
    optimiser.step()
    with torch.no_grad():
        stepped = layer(inputs)
        assert not torch.equal(stepped, before)
        assert torch.equal(stepped, fresh())
        layer.load_state_dict(other)
        loaded = layer(inputs)
        assert not torch.equal(loaded, stepped)
        assert torch.equal(loaded, fresh())
        next(layer.parameters()).data = next(layer.parameters()).data * 0.5 + 0.01
        assert torch.equal(layer(inputs), fresh())
        assert not torch.equal(layer(inputs), loaded)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gamma", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e2, 1e4])
def test_the_constant_of_a_layer_is_proved(dtype, gamma, factor):
    torch.manual_seed(0)
    layer = SandwichLinear(7, 5, gamma, dtype=dtype)
    scale_parameters(layer, factor)
    with torch.no_grad():
        layer.log_scale.normal_()
    assert gamma * (1 - 1e-5) < proved(layer, (7,)) <= gamma


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_scales_of_neurons(dtype):
    layer = SandwichLinear(4, 6, dtype=dtype)
    network = SandwichNetwork([4, 6, 6, 2], dtype=dtype)
    with torch.no_grad():
        for scale in (layer.log_scale, *network.log_scale):
            scale.copy_(torch.tensor([100.0, -100.0, 89.0, -89.0, 1e30, 0.0]))
    inputs = torch.randn(3, 4, dtype=dtype)
    for module in (layer, network):
        assert torch.isfinite(module(inputs)).all()
        assert proved(module, (4,)) <= 1


def test_certify_proves_the_constant_and_it_is_nearly_attained():
    torch.manual_seed(0)
    certificate = sdpcert.certify(sdpcert.from_torch(SandwichLinear(5, 5, 3.0), (5,)), method="by-construction")
    assert certificate.status == "proved"
    assert 2.9 < certificate.lower <= certificate.upper <= 3


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu", "softplus", "softsign", "atan"])
def test_activations(activation):
    torch.manual_seed(0)
    layer, network = SandwichLinear(3, 4, 2.0, activation), SandwichNetwork([3, 4, 4, 2], 2.0, activation)
    assert proved(layer, (3,)) <= 2
    assert proved(network, (3,)) <= 2
    inputs = torch.randn(5, 3)
    with torch.no_grad():
        assert torch.allclose(network.eval()(inputs), network.export()(inputs), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 3), (2, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_convolutions_on_odd_and_even_images(size, dtype):
    torch.manual_seed(0)
    layer = SandwichConv2d(2, 3, 3, size, gamma=2.0, dtype=dtype)
    with torch.no_grad():
        layer.log_scale.normal_()
    inputs = torch.randn(2, 2, *size, dtype=dtype)
    assert layer(inputs).shape == (2, 3, *size)
    assert 1.999 < proved(layer, (2, *size)) <= 2


def test_convolutions_over_frequencies():
    torch.manual_seed(0)
    layer = SandwichConv2d(1, 2, 3, (2, 3))
    result = sdpcert.certify(sdpcert.from_torch(layer, (1, 2, 3)), method="by-construction", form="frequency")
    assert result.status == "proved"
    assert result.upper <= 1


def test_another_image_size_is_refused():
    layer = SandwichConv2d(1, 2, 3, (4, 5))
    with pytest.raises(ValueError, match="4 x 5 pixels, not 5 x 4"):
        layer(torch.zeros(1, 1, 5, 4))
    with pytest.raises(ValueError, match="odd"):
        SandwichConv2d(1, 2, 2, 4)


@pytest.mark.parametrize("size", [(3, 3), (4, 4), (4, 5), (2, 3), (1, 1)])
def test_kernels_of_symbols_are_the_convolution(size):
    torch.manual_seed(0)
    kernel = torch.randn(3, 2, 3, 3, dtype=torch.float64)
    inputs = torch.randn(2, 2, *size, dtype=torch.float64)
    found = full_kernel(symbols(kernel, size), size)(inputs)
    padded = inputs
    for axis in (2, 3):
        index = torch.arange(-1, size[axis - 2] + 1) % size[axis - 2]
        padded = padded.index_select(axis, index)
    assert torch.allclose(found, torch.nn.functional.conv2d(padded, kernel), atol=1e-12)


def test_parameters_do_not_depend_on_the_image_size():
    torch.manual_seed(0)
    small, large = SandwichConv2d(2, 3, 3, 4), SandwichConv2d(2, 3, 3, 7)
    large.load_state_dict(small.state_dict())
    assert proved(large, (2, 7, 7)) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("widths", [(4, 6, 5, 3), (5, 5, 5, 5, 5), (7, 3, 9, 2), (1, 1, 1), (5, 3), (3, 20, 1)])
@pytest.mark.parametrize(("gamma", "factor"), [(0.5, 1.0), (3.0, 1.0), (3.0, 1e4), (1.0, 1e-8)])
def test_the_constant_of_a_network_is_proved(dtype, widths, gamma, factor):
    torch.manual_seed(0)
    network = SandwichNetwork(widths, gamma, dtype=dtype)
    scale_parameters(network, factor)
    with torch.no_grad():
        for scale in network.log_scale:
            scale.normal_()
    assert gamma * (1 - 1e-5) < proved(network, widths[:1]) <= gamma


def test_a_learned_constant():
    torch.manual_seed(0)
    for module, shape in (
        (SandwichLinear(3, 4, 2.5, learn_gamma=True), (3,)),
        (SandwichNetwork([3, 4, 2], 2.5, learn_gamma=True), (3,)),
        (SandwichConv2d(1, 2, 3, 3, 2.5, learn_gamma=True), (1, 3, 3)),
    ):
        assert module.constant == pytest.approx(2.5)
        assert proved(module, shape) <= module.constant
        with torch.no_grad():
            assert module.log_gamma is not None
            module.log_gamma.add_(0.5)
        assert module.constant == pytest.approx(2.5 * np.exp(0.5), rel=0.02)
        assert proved(module, shape) <= module.constant
        assert_gradients(module, torch.randn(4, *shape))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (lambda: SandwichLinear(3, 4), (3,)),
        (lambda: SandwichConv2d(2, 3, 3, 4), (2, 4, 4)),
        (lambda: SandwichNetwork([3, 4, 5, 2]), (3,)),
        (lambda: GeneralResidual(3, 3, 4, SLL(4)), (3,)),
        (lambda: GeneralResidual(3, 9, 4, AOL()), (3,)),
    ],
)
def test_gradients_caches_and_copies(module, shape):
    torch.manual_seed(0)
    layer = module()
    inputs = torch.randn(6, *shape)
    with torch.no_grad():
        trained = layer.train()(inputs)
        evaluated = layer.eval()(inputs)
    assert torch.allclose(trained, evaluated, atol=1e-4)
    with torch.no_grad():
        assert torch.allclose(layer.export()(inputs), evaluated, atol=1e-6)
        other = module()
        other.load_state_dict(layer.state_dict())
        assert torch.equal(other.eval()(inputs), evaluated)
        assert torch.equal(copy.deepcopy(layer)(inputs), evaluated)
    assert_gradients(layer, inputs)
    assert_follows_parameters(layer, inputs)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (lambda: SandwichLinear(2, 3, 1.0, "tanh", learn_gamma=True, dtype=torch.float64), (2,)),
        (lambda: SandwichConv2d(1, 2, 3, 2, 1.0, "tanh", dtype=torch.float64), (1, 2, 2)),
        (lambda: SandwichNetwork([2, 3, 2], 1.0, "tanh", dtype=torch.float64), (2,)),
        (lambda: GeneralResidual(2, 2, 3, Perron(), "tanh", dtype=torch.float64), (2,)),
    ],
)
def test_gradcheck(module, shape):
    torch.manual_seed(0)
    layer = module()
    names = [name for name, _ in layer.named_parameters()]

    def function(inputs, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (inputs,))

    inputs = torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)
    values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    assert torch.autograd.gradcheck(function, (inputs, *values))


def test_layers_in_a_row():
    torch.manual_seed(0)
    convolutions = [SandwichConv2d(1, 3, 3, (4, 3), gamma=2.0), SandwichConv2d(3, 2, 3, (4, 3), gamma=1.5)]
    module = torch.nn.Sequential(*convolutions, torch.nn.Flatten(), SandwichNetwork([24, 8, 5], 2.0))
    assert 5.999 < proved(module, (1, 4, 3)) <= 6


def test_gamma_at_the_certified_constant_is_refused_with_the_room_it_needs():
    with pytest.raises(ValueError, match="larger by"):
        SandwichNetwork.from_network([np.eye(2), np.eye(2)], 1 + 1e-7)


def test_bad_arguments():
    for call in (
        lambda: SandwichLinear(0, 3),
        lambda: SandwichLinear(3, 3, gamma=0.0),
        lambda: SandwichLinear(3, 3, gamma=float("nan")),
        lambda: SandwichLinear(3, 3, activation="gelu"),
        lambda: SandwichConv2d(1, 1, 3, 0),
        lambda: SandwichNetwork([3]),
        lambda: SandwichNetwork([3, 0, 2]),
        lambda: GeneralResidual(3, 3, 0, AOL()),
    ):
        with pytest.raises(ValueError):
            call()


def test_parameters_that_are_not_finite_are_refused():
    network = SandwichNetwork([2, 3, 2]).eval()
    with torch.no_grad():
        network.tall[0][0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        network(torch.zeros(1, 2))


def random_layers(widths, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(b, a)) / a**0.5, rng.normal(size=b)) for a, b in pairwise(widths)]


def assert_reproduces(layers, gamma, certificate=None, tolerance=1e-10, activation="relu") -> SandwichNetwork:
    network = sdpcert.Network.mlp([w for w, _ in layers], [b for _, b in layers], activation)
    made = SandwichNetwork.from_network(network, gamma, certificate)
    assert_computes(made, network, tolerance)
    assert proved(made, network.input_shape) <= gamma
    return made


def assert_computes(made, network, tolerance=1e-10) -> None:
    inputs = np.random.default_rng(1).normal(size=(40, *network.input_shape)) * 3
    with torch.no_grad():
        found = made.eval()(torch.from_numpy(inputs)).numpy()
    expected = network(inputs)
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
    "widths", [(4, 6, 5, 3), (7, 3, 9, 2), (6, 20, 4, 12, 1), (1, 1, 1), (5, 3), (3, 8), (2, 30, 2)]
)
def test_every_certified_network_is_a_sandwich_network(widths):
    layers = random_layers(widths)
    weights, biases = [w for w, _ in layers], [b for _, b in layers]
    certificate = sdpcert.certify(sdpcert.Network.mlp(weights, biases).unshared, method="neuron")
    for relative in (1e-4, 1e-2, 50.0):
        assert_reproduces(layers, certificate.upper * (1 + relative), certificate)
    with pytest.raises(ValueError, match="not above the certified constant"):
        SandwichNetwork.from_network(layers, certificate.upper * 0.99, certificate)


def test_shipped_networks_are_sandwich_networks():
    for name in ("digits_mlp.npz", "digits_mlp.onnx"):
        network = sdpcert.load(EXAMPLES / name)
        certificate = sdpcert.certify(network, method="neuron")
        made = SandwichNetwork.from_network(network, 1.01 * certificate.upper, certificate)
        assert_computes(made, network)
        assert proved(made, network.input_shape) <= 1.01 * certificate.upper


def test_idle_and_repeated_neurons():
    layers = random_layers((4, 6, 6, 3))
    layers[0][0][1] = 0  # nothing moves it
    layers[0][0][2] = layers[0][0][3]  # twice the same
    layers[1][0][4] = 0
    layers[1][0][5] = 0
    layers[1][0][5, 1] = 2.0  # reads only what nothing moves
    layers[2][0][:, 2] = 0  # moves nothing
    layers[1][0][:, 5] = 0
    layers[0][0][:, 3] = 0
    layers[1][0][2, 5] = 1.0
    assert_reproduces(layers, 50.0)
    layers[1][0][:] = 0  # the output does not depend on the input
    assert_reproduces(layers, 0.5)


def test_flat_activations_and_lists():
    layers = random_layers((3, 5, 5, 2))
    made = assert_reproduces(layers, 20.0, activation="sigmoid")
    assert made.activation == "sigmoid"
    made = SandwichNetwork.from_network([w for w, _ in layers], 20.0, activation="tanh")
    assert_computes(made, sdpcert.Network.mlp([w for w, _ in layers], activation="tanh"))


def test_unsuitable_networks_are_refused():
    layers = random_layers((3, 5, 5, 2))
    weights = [w for w, _ in layers]
    with pytest.raises(ValueError, match="gelu"):
        SandwichNetwork.from_network(sdpcert.Network.mlp(weights, activation="gelu"), 100.0)
    with pytest.raises(ValueError, match="no chain"):
        SandwichNetwork.from_network(sdpcert.load(EXAMPLES / "digits_residual.onnx"), 1e4)
    other = sdpcert.certify(sdpcert.Network.mlp([2 * w for w in weights]), method="neuron")
    with pytest.raises(ValueError, match="another network"):
        SandwichNetwork.from_network(weights, 1e4, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(4, 4, 6), (4, 3, 2), (3, 9, 5), (1, 1, 1), (3, 20, 5)])
@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e4])
def test_general_residual_layers(dtype, sizes, factor):
    for rule in (AOL(), SLL(sizes[2], dtype=dtype), Perron()):
        torch.manual_seed(0)
        layer = GeneralResidual(sizes[0], sizes[1], sizes[2], rule, dtype=dtype)
        with torch.no_grad():
            for parameter in (layer.weight, layer.square, layer.tall):
                parameter.copy_(torch.randn_like(parameter) * factor)
            layer.weight[0] = 0
        inputs = torch.randn(3, sizes[0], dtype=dtype)
        layer(inputs).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)
        assert proved(layer, sizes[:1]) <= 1


def test_general_residual_layers_start_near_sll():
    layer = GeneralResidual(4, 4, 6, AOL(), dtype=torch.float64)
    block = layer.block(dict(layer.named_parameters()), certified=True)
    assert block.hidden is not None
    assert isinstance(block.through, Operator)
    adjoint = -block.hidden.inward.weight.mT * block.hidden.multipliers
    assert torch.allclose(block.through.weight, torch.eye(4, dtype=torch.float64), atol=1e-2)
    assert torch.allclose(block.hidden.outward.weight, adjoint, atol=0.1)


def test_a_layer_that_no_scaled_residual_layer_is():
    """`x / 2 + phi(x) / 2` has the only multiplier 1/2, so T = 4 although U U' = 1, and H is not the identity."""
    layer = GeneralResidual(1, 1, 1, AOL(), dtype=torch.float64).eval()
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.excess.fill_(np.log(np.expm1(3.0 - 0.01)))
        layer.tall.fill_(-(3**-0.5))
        inputs = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
        assert torch.allclose(layer(inputs), inputs / 2 + torch.relu(inputs) / 2, atol=1e-5)
    assert proved(layer, (1,)) <= 1
