"""Products `x g(x)` written by hand: Swish with a factor, QuickGELU, hard swish in every spelling; sine, cosine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.network import activations  # noqa: E402
from sdpcert.network.affine import Scale  # noqa: E402
from sdpcert.network.graph import Network  # noqa: E402
from sdpcert.readers.errors import UnsupportedModel  # noqa: E402


class Forward(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.beta = nn.Parameter(torch.tensor([0.6, 1.7, 2.5, -0.9]))
        self.one = nn.Parameter(torch.tensor([1.3]))
        self.norm = nn.BatchNorm1d(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


#: The function, the activation that it has to become, and the factor between their slopes.
SPELLINGS: dict[str, tuple[Callable[[Any, Tensor], Tensor], str, float]] = {
    "relu6": (lambda m, x: x * F.relu6(x + 3) / 6, "hard_swish", 1.0),
    "relu6 in brackets": (lambda m, x: x * (F.relu6(x + 3) / 6), "hard_swish", 1.0),
    "relu6 in place": (lambda m, x: x * F.relu6(x + 3, inplace=True).mul_(1 / 6), "hard_swish", 1.0),
    "hardtanh": (lambda m, x: x * F.hardtanh(x + 3, 0, 6) / 6, "hard_swish", 1.0),
    "clamp": (lambda m, x: x * torch.clamp(x / 6 + 0.5, 0, 1), "hard_swish", 1.0),
    "clamp first": (lambda m, x: (x + 3).clamp(0, 6).mul(x).div(6), "hard_swish", 1.0),
    "hardsigmoid": (lambda m, x: x * F.hardsigmoid(x), "hard_swish", 1.0),
    "hardsigmoid of twice": (lambda m, x: F.hardsigmoid(2 * x) * x, "hard_swish", 1.0),
    "hard swish of twice": (lambda m, x: 2 * x * F.relu6(2 * x + 3) / 6, "hard_swish", 2.0),
    "steeper": (lambda m, x: x * torch.clamp(0.9 * x + 0.5, 0, 1), "hard_swish", 1.0),
    "higher": (lambda m, x: x * torch.clamp(0.3 * x + 2, 0, 4), "hard_swish", 4.0),
    "one clamp after the other": (lambda m, x: x * F.relu(x + 3).clamp(max=6) / 6, "hard_swish", 1.0),
    "clamps upside down": (lambda m, x: x * -torch.clamp(-F.relu(x + 3), min=-6) / 6, "hard_swish", 1.0),
    "clamps with a scaling between": (lambda m, x: x * (F.relu(x + 3) / 2).clamp(max=3) / 3, "hard_swish", 1.0),
    "clamp with equal ends": (lambda m, x: x * (x + 3).clamp(0 * m.beta, 6 + 0 * m.beta) / 6, "hard_swish", 1.0),
    "symmetric clamp": (lambda m, x: x * (F.hardtanh(x / 3) + 1) / 2, "hard_swish", 1.0),
    "wide symmetric clamp": (lambda m, x: x * (3 + x.clamp(-3, 3)) / 6, "hard_swish", 1.0),
    "one less hardsigmoid": (lambda m, x: x * (1 - F.hardsigmoid(-x)), "hard_swish", 1.0),
    "one less sigmoid": (lambda m, x: x * (1 - torch.sigmoid(-1.702 * x)), "silu", 1.0),
    "one less tanh": (lambda m, x: 0.5 * x * (1 - torch.tanh(0.3 * x)), "silu", 1.0),
    "error function": (lambda m, x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), "gelu", 1.0),
    "one less error function": (lambda m, x: 1.5 * x * (1 - torch.erf(-x / 2**0.5)), "gelu", 3.0),
    "error function of a multiple": (lambda m, x: x * (1 + torch.erf(0.3 * x)), "gelu", 2.0),
    "error function, learned": (lambda m, x: x * (m.beta * torch.erf(x / 2**0.5) + m.beta), "gelu", 5.0),
    "quick gelu": (lambda m, x: x * torch.sigmoid(1.702 * x), "silu", 1.0),
    "quick gelu reversed": (lambda m, x: torch.sigmoid(x * 1.702) * x, "silu", 1.0),
    "learned": (lambda m, x: x * torch.sigmoid(m.beta.abs() * x), "silu", 1.0),
    "negative too": (lambda m, x: x * torch.sigmoid(m.beta * x), "silu", 1.0),
    "one number": (lambda m, x: x * (m.one * x).sigmoid(), "silu", 1.0),
    "positive by softplus": (lambda m, x: x * torch.sigmoid(F.softplus(m.one) * x) / 1.1, "silu", 1 / 1.1),
    "quotient": (lambda m, x: x * torch.sigmoid(x / 0.7), "silu", 1.0),
    "tanh": (lambda m, x: 0.5 * x * (1 + torch.tanh(0.3 * x)), "silu", 1.0),
    "of a multiple": (lambda m, x: (y := 3 * x) * torch.sigmoid(1.702 * y), "silu", 3.0),
    "of a value": (lambda m, x: (y := m.linear(x)) * torch.sigmoid(y), "silu", 0.0),
    "after normalisation": (lambda m, x: (y := m.norm(x)) * torch.sigmoid(1.702 * y), "silu", 0.0),
}


def steepest(kind: str) -> float:
    return float(activations.activation_by_name(kind).beta)


def steepness(network: Network) -> float:
    """The steepest slope of a chain of scalings and one activation, rounding of the factors included."""
    factors: Any = 1.0
    for node in network.nodes:
        if isinstance(node.layer, Scale):
            factors = factors * np.abs(node.layer.factor) * (1 + node.layer.coefficient_error)
        else:
            assert isinstance(node.layer, activations.Activation)
            factors = factors * max(abs(node.layer.alpha), abs(node.layer.beta))
    return float(np.max(factors))


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_product_written_out_is_the_activation(name: str) -> None:
    torch.manual_seed(0)
    function, kind, factor = SPELLINGS[name]
    module = Forward(function).double().eval()
    module.norm.running_mean = torch.randn(4, dtype=torch.float64)
    network = sdpcert.from_torch(module, (4,))
    assert [n.layer.name for n in network.nodes if isinstance(n.layer, activations.Activation)] == [kind]
    x = 4 * torch.randn(50, 4, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(network(x.numpy()), module(x).numpy(), rtol=1e-13, atol=1e-13)
    if factor:
        assert steepness(network) == pytest.approx(factor * steepest(kind), rel=1e-12)


def test_what_is_gated_may_be_a_clamp_itself() -> None:
    """The chain of clamps in the gate ends where what is gated begins."""
    module = Forward(lambda m, x: (y := F.relu(x - 5)) * F.relu6(y + 3) / 6).double()
    network = sdpcert.from_torch(module, (4,))
    kinds = [n.layer.name for n in network.nodes if isinstance(n.layer, activations.Activation)]
    assert kinds == ["relu", "hard_swish"]
    x = 8 * torch.randn(50, 4, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(network(x.numpy()), module(x).numpy(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["relu6", "quick gelu"])
def test_its_bound_is_its_slope(name: str) -> None:
    function, kind, factor = SPELLINGS[name]
    upper = sdpcert.certify(sdpcert.from_torch(Forward(function).double(), (4,)), method="neuron").upper
    assert upper == pytest.approx(factor * steepest(kind), rel=1e-5)


@given(
    beta=st.floats(1e-3, 1e3), outer=st.floats(-1e3, 1e3).filter(lambda x: abs(x) > 1e-3), sign=st.sampled_from([1, -1])
)
@settings(max_examples=60, deadline=None)
def test_swish_with_any_factor_is_bounded_and_no_tighter(beta: float, outer: float, sign: int) -> None:
    """Two points attain nearly the steepest slope, and that of the network is above and close."""
    beta = sign * beta
    module = Forward(lambda m, x: outer * x * torch.sigmoid(beta * x)).double()
    upper = steepness(sdpcert.from_torch(module, (1,)))
    z = 2.3993572805154 / beta + torch.tensor([[-0.5e-4], [0.5e-4]], dtype=torch.float64) / abs(beta)
    y = module(z)
    attained = float((y[1] - y[0]).abs() / (z[1] - z[0]).abs())
    assert attained * (1 - 1e-8) <= upper <= attained * (1 + 1e-5)


REFUSED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "another offset": lambda m, x: x * F.relu6(x + 2) / 6,
    "another offset of sigmoid": lambda m, x: x * torch.sigmoid(x + 1),
    "a lower end": lambda m, x: x * F.hardtanh(x + 3, 1, 6),
    "ends of their own": lambda m, x: x * torch.clamp(x + 3, 0 * m.beta, 6 + m.beta),
    "symmetric clamp": lambda m, x: x * F.hardtanh(x),
    "a clamp with another middle": lambda m, x: x * (F.hardtanh(x + 0.25) + 1),
    "a clamp moved by less": lambda m, x: x * (F.hardtanh(x) + 0.5),
    "disjoint clamps": lambda m, x: x * (x + 3).clamp(max=-1).relu(),
    "one more than sigmoid": lambda m, x: x * (1 + torch.sigmoid(x)),
    "two less error function": lambda m, x: x * (2 - torch.erf(x)),
    "a factor of zero": lambda m, x: x * torch.sigmoid(torch.tensor([0.0, 1.0, 1.0, 1.0]) * x),
    "tanh": lambda m, x: x * torch.tanh(x),
    "square": lambda m, x: x * x,
    "of another value": lambda m, x: x * torch.sigmoid(m.linear(x)),
    "half of tanh": lambda m, x: x * (1 + 0.5 * torch.tanh(x)),
    "shifted value": lambda m, x: (x + 1) * torch.sigmoid(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_products_are_refused_with_a_true_reason(name: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"both operands.*of such products only") as caught:
        sdpcert.from_torch(Forward(REFUSED[name]), (4,))
    assert "no bounded slope" not in str(caught.value)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine_have_slopes_up_to_one(name: str) -> None:
    torch.manual_seed(0)
    function = getattr(torch, name)
    module = nn.Sequential(nn.Linear(3, 8), Forward(lambda m, x: function(30 * x)), nn.Linear(8, 2)).double()
    network = sdpcert.from_torch(module, (3,))
    x = torch.randn(64, 3, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(network(x.numpy()), module(x).numpy(), rtol=1e-10, atol=1e-10)
    certificate = sdpcert.certify(network, method="neuron", tol=1e-4)
    assert certificate.status == "proved" and certificate.lower <= certificate.upper
    single = Forward(lambda m, x: function(x)).double()
    assert 1 <= sdpcert.certify(sdpcert.from_torch(single, (1,)), method="neuron").upper <= 1 + 1e-5
