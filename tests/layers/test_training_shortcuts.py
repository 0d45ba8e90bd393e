"""What training takes in fewer products is what is materialised, and its gradients are those of the plain formulas."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import sdpcert.layers as layers
from sdpcert.layers.bjorck import BY_EIGENVALUES, bjorck, iterated
from sdpcert.layers.cayley import cayley
from sdpcert.layers.cholesky import orthonormal_rows, quick_rows
from sdpcert.layers.exponential import quick_size, reshaped_bound, reshaped_estimate
from sdpcert.layers.normalised import normalised
from sdpcert.layers.skew_series import plain_series, series_of_signals
from sdpcert.torch_modules.frequencies import inverse, product
from sdpcert.torch_modules.functions import Function
from sdpcert.torch_modules.geometry import Geometry, Operator
from sdpcert.torch_modules.power_iteration import (
    TORUS,
    adjoint_on_torus,
    apply_on_torus,
    direction_for,
    direction_shape,
    slope_on_torus,
)


def gradients_agree(
    function: Callable[..., Tensor], other: Callable[..., Tensor], *given: Tensor, tolerance: float = 1e-7
) -> None:
    """Values, gradients and gradients of gradients of two functions of float64 tensors."""
    inputs = [g.detach().clone().requires_grad_() for g in given]
    direction: Tensor | None = None
    found = []
    for f in (function, other):
        result = f(*inputs)
        direction = torch.randn_like(result) if direction is None else direction
        first = torch.autograd.grad(result, inputs, direction, retain_graph=True)
        again = torch.autograd.grad(result, inputs, direction, create_graph=True)
        second = torch.autograd.grad(torch.stack([g.abs().square().sum() for g in again]).sum(), inputs)
        found.append((result, *first, *again, *second))
    for mine, wanted in zip(*found, strict=True):
        assert (mine - wanted).norm() <= tolerance * wanted.norm() + 1e-12


@pytest.mark.parametrize("how", ["random", "rank two", "repeated columns", "orthonormal", "zero"])
@pytest.mark.parametrize("shape", [(6, 6), (9, 4)])
def test_steps_of_bjorck_at_once(shape: tuple[int, int], how: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape, dtype=torch.float64)
    if how == "rank two":
        weight = weight[:, :2] @ torch.randn(2, shape[1], dtype=torch.float64)
    elif how == "repeated columns":
        weight = weight[:, :1].expand(shape)
    elif how == "orthonormal":
        weight = torch.linalg.qr(weight)[0]
    weight = (weight * (how != "zero")).clone().requires_grad_()
    given = torch.randn(shape, dtype=torch.float64)
    for steps in (BY_EIGENVALUES, 20):
        values = [bjorck(weight, steps, exact) for exact in (True, False)]
        torch.testing.assert_close(values[1], values[0], rtol=0, atol=1e-6)
        if how in ("random", "orthonormal"):
            slopes = [torch.autograd.grad(v, weight, given)[0] for v in values]
            torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-7, atol=1e-8)
    if how == "random":
        gradients_agree(lambda w: bjorck(w, 20, False), lambda w: bjorck(w, 20), weight)


@pytest.mark.parametrize("size", [16, 128])
def test_steps_of_bjorck_in_float32(size: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(size, size) / size**0.5
    wanted = bjorck(weight.double(), 20)
    assert torch.linalg.matrix_norm(bjorck(weight, 20, exact=False) - wanted, 2) < 1e-4
    assert torch.equal(iterated(weight, 0), weight)


@pytest.mark.parametrize("geometry", [None, Geometry.same(3)])
def test_a_weight_divided_by_the_estimate_of_its_norm(geometry: Geometry | None) -> None:
    torch.manual_seed(0)
    weight = torch.randn((4, 5) if geometry is None else (3, 2, 3, 3), dtype=torch.float64)
    direction = direction_for(Operator(weight, geometry))
    left = apply_on_torus(Operator(weight, geometry), direction)
    left = left / left.norm()
    gradients_agree(
        lambda w: normalised(Operator(w, geometry), direction)[0],
        lambda w: w / adjoint_on_torus(Operator(w, geometry), left).norm(),
        weight,
    )
    _, kept = normalised(Operator(torch.full_like(weight, torch.nan), geometry), direction)
    assert torch.equal(kept, direction)
    zero, kept = normalised(Operator(torch.zeros_like(weight), geometry), direction)
    assert torch.equal(zero, torch.zeros_like(weight)) and torch.equal(kept, direction)
    for scale in (1e-25, 1e25):
        small, _ = normalised(Operator((weight * scale).float(), geometry), direction.float())
        torch.testing.assert_close(small, normalised(Operator(weight, geometry), direction)[0].float())


@pytest.mark.parametrize(("groups", "size"), [(1, (3, 3)), (1, (2, 5)), (3, (3, 1)), (1, (18, 17))])
def test_products_on_the_torus_of_power_iteration(groups: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 2, *size, dtype=torch.float64, requires_grad=True)
    operator = Operator(weight, Geometry(groups=groups))
    direction = direction_for(operator)
    assert direction.shape == direction_shape(operator) == (TORUS, TORUS, 2 * groups)
    image = apply_on_torus(operator, direction)
    symbols = torch.fft.fft2(_on_torus(weight)).conj().unflatten(0, (groups, -1))
    spectrum = torch.fft.fft2(direction.permute(2, 0, 1)).unflatten(0, (groups, 1, 2))
    wanted = torch.fft.ifft2((symbols * spectrum).sum(2).flatten(0, 1)).real
    torch.testing.assert_close(image, wanted.permute(1, 2, 0))
    left = torch.randn_like(image)
    back = adjoint_on_torus(operator, left)
    torch.testing.assert_close((back * direction).sum(), (left * image).sum())
    (slope,) = torch.autograd.grad((left * image).sum(), weight)
    torch.testing.assert_close(slope_on_torus(operator, direction, left), slope)


def _on_torus(kernel: Tensor) -> Tensor:
    """The kernel with the taps added that differ by whole turns."""
    around = [-k % TORUS for k in kernel.shape[2:]]
    padded = torch.nn.functional.pad(kernel, (0, around[1], 0, around[0]))
    return padded.unflatten(3, (-1, TORUS)).sum(3).unflatten(2, (-1, TORUS)).sum(2)


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize("terms", [2, 3, 4, 5, 7, 12, 13])
def test_the_series_of_skew_matrices(terms: int, batch: int) -> None:
    torch.manual_seed(terms)
    free = torch.randn(3, 4, 4, dtype=torch.complex128)
    signals = torch.randn(3, 4, batch, dtype=torch.complex128)
    gradients_agree(
        lambda a, x: series_of_signals(a - a.mH, x, terms), lambda a, x: plain_series(a - a.mH, x, terms), free, signals
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_products_and_inverses_of_frequencies(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 3, 4, 4, dtype=dtype)
    gradients_agree(product, torch.matmul, first, second)
    gradients_agree(inverse, torch.linalg.inv, first)
    for rows in (0, 2):
        below = torch.randn(3, rows, 4, dtype=dtype)
        for quick, solved in zip(cayley(first, below, quick=True), cayley(first, below), strict=True):
            torch.testing.assert_close(quick, solved)


def test_the_gradient_of_orthonormal_rows() -> None:
    torch.manual_seed(0)
    # The guard, which is a constant for one of them, is 2^-22 of the trace.
    gradients_agree(quick_rows, orthonormal_rows, torch.randn(4, 6, dtype=torch.float64), tolerance=1e-5)


def test_the_estimate_of_the_reshaped_bound() -> None:
    torch.manual_seed(0)
    for shape in ((3, 3, 3, 3), (2, 2, 5, 1)):
        kernel = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        slopes = [torch.autograd.grad(f(kernel), kernel)[0] for f in (reshaped_bound, reshaped_estimate)]
        torch.testing.assert_close(reshaped_estimate(kernel), reshaped_bound(kernel))
        torch.testing.assert_close(slopes[1], slopes[0])


@pytest.mark.parametrize(
    ("make", "shape", "tolerance"),
    [
        (lambda: layers.BjorckLinear(40, 30), (40,), 1e-4),
        (lambda: layers.BjorckConv2d(4, 30, 3), (4, 7, 8), 1e-4),
        (lambda: layers.CayleyConv2d(4, 6, 3, (7, 8)), (4, 7, 8), 1e-5),
        (lambda: layers.BROConv2d(4, 6, 3, (7, 8)), (4, 7, 8), 1e-5),
        (lambda: layers.SandwichConv2d(4, 6, 3, (7, 8), gamma=2.0, learn_gamma=True), (4, 7, 8), 1e-5),
        (lambda: layers.SandwichConv2d(6, 4, 5, (3, 4), activation="tanh"), (6, 3, 4), 1e-5),
        (lambda: layers.SOCConv2d(4, 3), (4, 7, 8), 1e-5),
        (lambda: layers.SOCConv2d(4, 3, circular=True, terms=4), (4, 7, 8), 1e-5),
        (lambda: layers.CholeskyLinear(40, 30), (40,), 1e-5),
        (lambda: layers.SpectralLinear(40, 30), (40,), 1e-2),
    ],
)
def test_float32_training_is_near_the_materialised_weights(
    make: Callable[[], nn.Module], shape: tuple[int, ...], tolerance: float
) -> None:
    torch.manual_seed(0)
    layer = make().train()
    for parameter in layer.parameters():
        parameter.data.normal_(0, 0.2)
    images = torch.randn(5, *shape)
    with torch.no_grad():
        for _ in range(40):
            trained = layer(images)
        assert (layer.eval()(images) - trained).norm() <= tolerance * trained.norm()


@pytest.mark.parametrize("circular", [False, True])
def test_skew_convolutions_in_half_precision_are_trained_term_by_term(circular: bool) -> None:
    torch.manual_seed(0)
    layer = layers.SOCConv2d(3, 3, circular=circular, terms=5).train()
    images = torch.randn(2, 3, 8, 9)
    exact = layer(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = layer(images)
    assert 0 < (rough - exact).norm() < 0.05 * exact.norm()


def test_sizes_that_fourier_transforms_like() -> None:
    assert [quick_size(n) for n in (1, 7, 11, 32, 43, 97)] == [1, 8, 12, 32, 45, 100]


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.AOLLinear(4, 5), (4,)),
        (lambda: layers.SLLLinear(4, 5), (4,)),
        (lambda: layers.SLLConv2d(2, 3, 3), (2, 5, 4)),
        (lambda: nn.Sequential(layers.AOLConv2d(2, 4, 3), layers.MaxMin()), (2, 5, 4)),
    ],
)
def test_networks_side_by_side_have_their_own_gradients(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    modules = [make().double().train() for _ in range(3)]
    values, _ = torch.func.stack_module_state(modules)
    images = torch.randn(2, *shape, dtype=torch.float64)

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(modules[0], parameters, images).square().sum()

    together = torch.func.vmap(torch.func.grad(loss))({name: value.detach() for name, value in values.items()})
    for place, module in enumerate(modules):
        module(images).square().sum().backward()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(together[name][place], parameter.grad)


def test_shapes_without_numbers() -> None:
    with FakeTensorMode():
        for layer, shape in ((layers.BjorckLinear(40, 30), (40,)), (layers.SpectralConv2d(3, 4), (3, 8, 8))):
            assert layer.train()(torch.empty(2, *shape)).shape[0] == 2
    outputs = layers.SpectralConv2d(3, 4).train()(torch.ones(2, 3, 8, 8))
    assert type(outputs) is Tensor and torch.isfinite(outputs).all()


def test_signatures_are_read_once() -> None:
    class Doubled(Function):
        @staticmethod
        def forward(number: Tensor, factor: float = 2.0) -> Tensor:
            return number * factor

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx: Any, given: Tensor) -> Any:
            return given * ctx.factor, None

    assert inspect.signature(Doubled.forward) is inspect.signature(Doubled.forward)
    number = torch.tensor(3.0, requires_grad=True)
    made = Doubled.apply(number)
    made.backward()
    assert made.item() == 6.0 and number.grad is not None and number.grad.item() == 2.0
