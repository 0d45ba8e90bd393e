"""What every family has to do. A family is in this suite as soon as it is in `sdpcert.layers.FAMILIES`."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.layers import FAMILIES, Family, LipschitzLayer, MaxMin, check, check_family, lipschitz  # noqa: E402
from sdpcert.layers.feasibility import WEIGHTS  # noqa: E402
from sdpcert.running.choices import Form  # noqa: E402
from sdpcert.torch_modules.geometry import Operator, array  # noqa: E402

KINDS = [
    pytest.param(family, kind, id=f"{family.name}-{kind}")
    for family in FAMILIES
    for kind in ("dense", "convolution")
    if getattr(family, kind) is not None
]
DTYPES = [torch.float32, torch.float64]


def make(family: Family, kind: str, dtype: Any = torch.float32, seed: int = 0) -> LipschitzLayer:
    torch.manual_seed(seed)
    layer = family.dense(5, 6) if kind == "dense" else family.convolution(2, 3, 3)  # type: ignore[misc]
    return layer.to(dtype)


def inputs_for(layer: LipschitzLayer, batch: int = 3) -> Any:
    first = layer.materialised().reader
    assert isinstance(first, Operator)
    size = getattr(layer, "image_size", (4, 5))
    size = size if isinstance(size, tuple) else (size, size)
    shape = (first.inputs,) if first.geometry is None else (first.inputs, *size)
    return torch.randn(batch, *shape, dtype=first.weight.dtype)


@pytest.mark.parametrize("weights", [w for w in WEIGHTS if w != "trained"])
@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_the_constant_is_proved_to_be_at_most_the_claim(family: Family, kind: str, weights: str) -> None:
    layer = make(family, kind)
    WEIGHTS[weights](layer)
    result = check(layer)
    assert result.proved <= result.claimed
    assert result.attained <= result.proved
    assert result.eigenvalue > 0


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_float64_weights_are_proved_too(family: Family, kind: str) -> None:
    layer = make(family, kind, torch.float64)
    WEIGHTS["random"](layer)
    assert check(layer).ok
    WEIGHTS["trained"](layer)
    assert check(layer).ok


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_export_is_what_is_certified(family: Family, kind: str) -> None:
    layer = make(family, kind).eval()
    x = inputs_for(layer)
    plain = layer.export()
    with torch.no_grad():
        assert torch.allclose(plain(x), layer(x), atol=1e-6)
    network = sdpcert.from_torch(layer, tuple(x.shape[1:]))
    assert np.allclose(network(array(x)), array(layer(x)), atol=1e-5)
    # What was exported is a module like any other: it comes back in, and its optimum is below the claim.
    again = sdpcert.from_torch(plain, tuple(x.shape[1:]))
    assert sdpcert.certify(again, method="by-construction").status == "proved"
    assert sdpcert.certify(again, method="neuron", form="unrolled").upper <= layer.constant * (1 + 1e-6)


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_training_and_evaluation_agree(family: Family, kind: str) -> None:
    layer = make(family, kind, torch.float64)
    x = inputs_for(layer)
    layer.train()
    for _ in range(30):  # families that follow a direction have to catch up
        trained = layer(x)
    layer.eval()
    with torch.no_grad():
        assert torch.allclose(trained, layer(x), rtol=0.03, atol=0.03)


@pytest.mark.parametrize("weights", ["random", "zero rows", "zero", "repeated rows", "scales to 1000"])
@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_outputs_and_gradients_are_finite_and_reach_every_parameter(family: Family, kind: str, weights: str) -> None:
    layer = make(family, kind, torch.float64)
    WEIGHTS[weights](layer)
    for mode in (True, False):
        layer.train(mode)
        layer.zero_grad()
        x = inputs_for(layer).requires_grad_()
        y = layer(x)
        (y * torch.randn_like(y)).sum().backward()
        assert torch.isfinite(y).all()
        assert x.grad is not None and torch.isfinite(x.grad).all()
        for name, parameter in layer.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            if weights == "random":
                assert parameter.grad.abs().max() > 1e-12, f"{name} never trains"


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_gradients_are_right(family: Family, kind: str) -> None:
    layer = make(family, kind, torch.float64).train()
    WEIGHTS["random"](layer)
    x = inputs_for(layer, 2)
    names = [n for n, _ in layer.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    layer(x)

    def function(*given: Any) -> Any:
        torch.manual_seed(0)
        return layer.block(dict(zip(names, given, strict=True)), certified=True)(x)

    assert torch.autograd.gradcheck(function, values, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_the_cache_follows_the_parameters_whatever_changes_them(family: Family, kind: str) -> None:
    layer = make(family, kind).eval()
    x = inputs_for(layer)

    def fresh() -> Any:
        other = make(family, kind, seed=1)
        other.load_state_dict(layer.state_dict())
        return other.eval()(x)

    with torch.no_grad():
        layer(x)
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        assert torch.equal(layer(x), fresh())
        for parameter in layer.parameters():
            parameter.data.mul_(3)
        assert torch.equal(layer(x), fresh())
        layer.load_state_dict(make(family, kind, seed=2).state_dict())
        assert torch.equal(layer(x), fresh())
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(x).square().sum().backward()
    optimiser.step()
    with torch.no_grad():
        assert torch.equal(layer(x), fresh())


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_copies_files_and_precision(family: Family, kind: str) -> None:
    layer = make(family, kind).eval()
    x = inputs_for(layer)
    with torch.no_grad():
        expected = layer(x)
        assert torch.equal(copy.deepcopy(layer)(x), expected)
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        other = make(family, kind, seed=5)
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other.eval()(x), expected)
        assert torch.allclose(layer.double()(x.double()), expected.double(), atol=1e-4)


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_autocast_leaves_the_weights_alone(family: Family, kind: str) -> None:
    layer = make(family, kind).eval()
    x = inputs_for(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        WEIGHTS["tiny"](layer)
        layer(x)
        inside = layer.materialised().tensors()
    outside = make(family, kind)
    outside.load_state_dict(layer.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(inside, outside.materialised().tensors(), strict=True))


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_a_parameter_that_is_not_finite_is_refused(family: Family, kind: str) -> None:
    layer = make(family, kind).eval()
    next(layer.parameters()).data.view(-1)[0] = float("nan")
    with pytest.raises(ValueError, match="is not finite"):
        check(layer)


def test_scale_of_sll_matters_in_dense_and_convolution() -> None:
    for kind in ("dense", "convolution"):
        layer = make(next(f for f in FAMILIES if f.name == "sll"), kind).train()
        WEIGHTS["random"](layer)
        before = layer.block(dict(layer.named_parameters()), True).hidden
        with torch.no_grad():
            layer.rule.log_scale.normal_(0, 3)  # type: ignore[union-attr]
        after = layer.block(dict(layer.named_parameters()), True).hidden
        assert before is not None and after is not None
        assert (before.multipliers / after.multipliers - 1).abs().max() > 0.1


def test_a_network_of_layers_composes_and_solving_is_never_worse() -> None:
    from sdpcert.layers import AOLLinear, SLLLinear, SpectralLinear

    torch.manual_seed(3)
    model = nn.Sequential(AOLLinear(6, 8), MaxMin(), SLLLinear(8, 12), nn.ReLU(), SpectralLinear(8, 4))
    network = sdpcert.from_torch(model, (6,))
    given = sdpcert.certify(network, method="by-construction")
    best = sdpcert.certify(network, method="neuron")
    assert given.status == best.status == "proved"
    assert best.upper <= given.upper * (1 + 1e-6) <= 1 + 1e-6
    assert given.iterations == 0 and given.solver == "closed form"


def test_modules_are_certified_directly_where_their_input_is_known() -> None:
    from sdpcert.layers import AOLConv2d, AOLLinear

    torch.manual_seed(0)
    for model in (AOLLinear(3, 4), nn.Sequential(nn.Linear(3, 4), nn.ReLU())):
        assert sdpcert.certify(model, method="by-construction").status == "proved"
    with pytest.raises(ValueError, match="from_torch"):
        sdpcert.certify(AOLConv2d(2, 2, 3), method="by-construction")
    with pytest.raises(TypeError, match="not list"):
        sdpcert.certify([1, 2])


@pytest.mark.parametrize("form", ["unrolled", "frequency"])
def test_a_convolutional_network_of_layers(form: Form) -> None:
    from sdpcert.layers import AOLConv2d, AOLLinear, SLLConv2d

    torch.manual_seed(4)
    model = nn.Sequential(AOLConv2d(2, 4, 3), MaxMin(), SLLConv2d(4, 4, 3), nn.Flatten(), AOLLinear(64, 3))
    certificate = sdpcert.certify(sdpcert.from_torch(model, (2, 4, 4)), method="by-construction", form=form)
    assert certificate.status == "proved" and certificate.upper <= 1


@pytest.mark.parametrize("name", ["aol", "spectral", "perron", "sll-linear", "cayley", "bjorck"])
def test_stock_modules_are_parametrised(name: str) -> None:
    torch.manual_seed(0)
    module = lipschitz(nn.Linear(5, 4), "weight", family=name)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    x = torch.randn(16, 5)
    for _ in range(5):
        optimiser.zero_grad()
        module(x).square().mean().neg().backward()
        optimiser.step()
    module.eval()
    assert np.linalg.norm(array(cast(Any, module.weight)), 2) <= 1
    assert sdpcert.certify(sdpcert.from_torch(nn.Sequential(module), (5,)), method="product").upper <= 1
    if name in ("aol", "spectral", "perron"):
        convolution = lipschitz(nn.Conv2d(2, 3, 3, padding=1), "weight", family=name).eval()
        assert sdpcert.certify(sdpcert.from_torch(nn.Sequential(convolution), (2, 4, 4)), method="product").upper <= 1


def test_what_cannot_be_parametrised_is_refused() -> None:
    with pytest.raises(ValueError, match="reflect"):
        lipschitz(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(ValueError, match="no weight"):
        lipschitz(nn.Linear(3, 3), family="sll")
    with pytest.raises(ValueError, match="unknown family"):
        lipschitz(nn.Linear(3, 3), family="nonsense")
    with pytest.raises(ValueError, match="only the weight"):
        lipschitz(nn.ReLU())


def test_an_image_of_one_pixel_is_not_summed_over_the_torus() -> None:
    from sdpcert.layers import AOLConv2d, AveragePooling2d

    torch.manual_seed(0)
    model = nn.Sequential(AOLConv2d(1, 2, 3), AveragePooling2d(2), AveragePooling2d(2), nn.Flatten())
    certificate = sdpcert.certify(
        sdpcert.from_torch(model, (1, 4, 4)), method="by-construction", form="frequency", seed=0
    )
    assert certificate.status == "proved" and certificate.upper <= 1


@pytest.mark.parametrize("name", ["sll", "cpl", "cayley", "sandwich"])
def test_compiled_and_differentiated_twice(name: str) -> None:
    layer = make(next(f for f in FAMILIES if f.name == name), "dense", torch.float64)
    x = inputs_for(layer)
    compiled = torch.compile(layer, backend="eager")
    for mode in (True, False):
        layer.train(mode)
        assert torch.allclose(compiled(x), layer(x), atol=1e-12)
    layer.train()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in layer.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in layer.parameters())


def test_a_family_of_a_file_is_checked_as_those_of_the_library(tmp_path: Path) -> None:
    """A rule that is proved passes on all weights; half of it is found not to be one."""
    text = """
from sdpcert.layers import Family, ScaledLinear
from sdpcert.layers.rules import AOL

class Part(AOL):
    def diagonal(self, gram, values, certified):
        return super().diagonal(gram, values, certified) * SHARE

FAMILY = Family("part", "a test", "V D x", lambda n, m: ScaledLinear(n, m, Part()))
"""
    file = tmp_path / "mine.py"
    file.write_text("SHARE = 1.0\n" + text)
    assert all(result.ok for result in check_family(str(file)))
    file.write_text("SHARE = 0.5\n" + text)
    assert not all(result.ok for result in check_family(str(file)))
    for wrong, message in (("1 / 0", "ZeroDivisionError"), ("FAMILY = 3", "defines no FAMILY")):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=message):
            next(check_family(str(file)))
    with pytest.raises(ValueError, match="no such file"):
        next(check_family("nowhere.py"))
