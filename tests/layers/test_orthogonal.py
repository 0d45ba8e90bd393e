"""Orthogonal families: what they are in theory they are in numbers, and rounding and truncation are charged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import sdpcert
from sdpcert.layers import lipschitz
from sdpcert.layers.bcop import BCOPConv2d
from sdpcert.layers.bjorck import BjorckConv2d, BjorckLinear, bjorck
from sdpcert.layers.cayley import CayleyConv2d, CayleyLinear, cayley, contracted
from sdpcert.layers.exponential import ExponentialLinear, FastSeries, SOCConv2d, reshaped_bound
from sdpcert.layers.torus import rounding_allowance
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Geometry, Operator
from sdpcert.torch_modules.norms import norm_upper_bound

#: Layers without bias, and an input shape.
LAYERS: dict[str, tuple[Callable[[], LipschitzLayer], tuple[int, ...]]] = {
    "cayley square": (lambda: CayleyLinear(5, 5, bias=False), (5,)),
    "cayley tall": (lambda: CayleyLinear(3, 5, bias=False), (3,)),
    "cayley wide": (lambda: CayleyLinear(5, 2, bias=False), (5,)),
    "cayley odd torus": (lambda: CayleyConv2d(2, 2, 3, (3, 5), bias=False), (2, 3, 5)),
    "cayley even torus": (lambda: CayleyConv2d(2, 3, 3, (4, 2), bias=False), (2, 4, 2)),
    "cayley wide torus": (lambda: CayleyConv2d(3, 2, 5, 3, bias=False), (3, 3, 3)),
    "exponential": (lambda: ExponentialLinear(5, bias=False), (5,)),
    "bjorck square": (lambda: BjorckLinear(5, 5, bias=False), (5,)),
    "bjorck wide": (lambda: BjorckLinear(5, 3, bias=False), (5,)),
    "bjorck zeros": (lambda: BjorckConv2d(2, 5, 3, bias=False), (2, 3, 4)),
    "bjorck circular": (lambda: BjorckConv2d(2, 3, 3, bias=False, circular=True), (2, 4, 3)),
    "bjorck strided": (lambda: BjorckConv2d(3, 2, 5, bias=False, stride=2), (3, 5, 7)),
    "bjorck strided torus": (lambda: BjorckConv2d(1, 2, 3, bias=False, circular=True, stride=3), (1, 4, 4)),
    "bcop zeros": (lambda: BCOPConv2d(3, 3, 3, bias=False), (3, 3, 4)),
    "bcop circular": (lambda: BCOPConv2d(2, 4, 3, bias=False, circular=True), (2, 4, 3)),
    "bcop strided": (lambda: BCOPConv2d(3, 2, 3, bias=False, stride=2), (3, 5, 4)),
    "soc zeros": (lambda: SOCConv2d(2, 3, bias=False, terms=5), (2, 3, 4)),
    "soc odd torus": (lambda: SOCConv2d(3, 3, 3, bias=False, circular=True), (3, 3, 3)),
    "soc even torus": (lambda: SOCConv2d(2, 5, (2, 4), bias=False, circular=True), (2, 2, 4)),
}
DTYPES = [torch.float32, torch.float64]
ISOMETRIES = ["cayley square", "cayley tall", "cayley wide", "exponential", "bjorck square", "bjorck wide"]
ORTHOGONAL_CONVOLUTIONS = [
    *(n for n in LAYERS if n.startswith("cayley") and "torus" in n),
    "bcop circular",
    "soc odd torus",
    "soc even torus",
]


def made(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> LipschitzLayer:
    torch.manual_seed(seed)
    return LAYERS[name][0]().to(dtype)


def dense(module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """The matrix of a linear module as it is evaluated, in float64."""
    size = math.prod(shape)
    with torch.no_grad():
        rows = module(torch.eye(size, dtype=dtype).reshape(size, *shape))
    return rows.reshape(size, -1).mT.to(torch.float64)


def weight_of(layer: LipschitzLayer) -> torch.Tensor:
    """The materialised weight; leaves the layer in evaluation mode."""
    with torch.no_grad():
        block = layer.eval().current()
    assert isinstance(block.through, Operator)
    return block.through.weight


def change(layer: LipschitzLayer, how: float | str) -> None:
    for parameter in layer.parameters():
        if how == "rank one":
            parameter.data.fill_(0.3)
        elif how == "repeated rows":
            parameter.data.copy_(parameter.data[:1].expand_as(parameter).clone())
        else:
            assert isinstance(how, float)
            parameter.data.mul_(how)


@pytest.mark.parametrize("how", [1.0, 1e4, "rank one"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_the_constant_one_is_proved(name: str, dtype: torch.dtype, how: float | str) -> None:
    layer = made(name, dtype).eval()
    change(layer, how)
    certificate = sdpcert.certify(sdpcert.from_torch(layer, LAYERS[name][1]), method="by-construction", form="unrolled")
    assert certificate.status == "proved"
    assert certificate.upper <= 1


@pytest.mark.parametrize("how", [0.0, 1e-15, 1e-8, 1e2, 1e4, 1e15, "rank one", "repeated rows"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_degenerate_weights_stay_contractions_with_finite_gradients(
    name: str, dtype: torch.dtype, how: float | str
) -> None:
    layer, shape = made(name, dtype), LAYERS[name][1]
    change(layer, how)
    matrix = dense(layer.eval(), shape, dtype)
    # Rounding of the evaluation itself is not part of the claim.
    slack = 1e-12 if dtype == torch.float64 else 1e-6
    assert torch.linalg.matrix_norm(matrix, 2) <= 1 + slack
    inputs = torch.randn(2, *shape, dtype=dtype, requires_grad=True)
    output = layer.train()(inputs)
    (output * torch.randn_like(output)).sum().backward()
    assert torch.isfinite(output).all()
    assert inputs.grad is not None and torch.isfinite(inputs.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_right_and_reach_every_parameter(name: str) -> None:
    layer, shape = made(name), LAYERS[name][1]
    inputs = torch.randn(1, *shape, dtype=torch.float64)
    names = [n for n, _ in layer.named_parameters()]

    def apply(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (inputs,))

    values = tuple((p.detach() + 0.1 * torch.randn_like(p)).requires_grad_() for p in layer.parameters())
    assert torch.autograd.gradcheck(apply, values, fast_mode=True)
    output = apply(*values)
    gradients = torch.autograd.grad((output * torch.randn_like(output)).sum(), values)
    assert all(g.abs().max() > 1e-6 for g in gradients)


@pytest.mark.parametrize("name", LAYERS)
def test_training_evaluation_and_export_agree(name: str) -> None:
    layer, shape = made(name), LAYERS[name][1]
    inputs = torch.randn(3, *shape, dtype=torch.float64)
    trained = layer(inputs)
    torch.testing.assert_close(layer.current()(inputs), trained, rtol=0, atol=1e-12)
    evaluated = layer.eval()(inputs)
    torch.testing.assert_close(evaluated, trained, rtol=0, atol=1e-10)
    torch.testing.assert_close(layer.export()(inputs), evaluated, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ISOMETRIES)
def test_dense_weights_are_isometries(name: str, dtype: torch.dtype) -> None:
    for seed in range(3):
        values = torch.linalg.svdvals(weight_of(made(name, dtype, seed)).to(torch.float64))
        assert values[0] <= 1
        assert values[-1] >= 1 - 1e-5


@pytest.mark.parametrize("name", ORTHOGONAL_CONVOLUTIONS)
def test_circular_convolutions_are_isometries(name: str) -> None:
    layer, shape = made(name).eval(), LAYERS[name][1]
    values = torch.linalg.svdvals(dense(layer, shape))
    assert values[0] <= 1
    assert values[-1] >= 1 - 2.1e-5  # what SOC leaves out of the series, on both sides


def test_cayley_of_large_parameters_in_float32_is_charged() -> None:
    torch.manual_seed(0)
    layer = CayleyLinear(64, 64, bias=False)
    layer.weight.data.mul_(1e4)
    careless = cayley(layer.weight.detach(), torch.zeros(0, 64))[0]
    assert torch.linalg.matrix_norm(careless.double(), 2) > 1 + 1e-5  # the published defect
    assert torch.linalg.matrix_norm(weight_of(layer).double(), 2) <= 1


@pytest.mark.parametrize("rows", [0, 2, 7])
def test_cayley_gives_orthonormal_columns(rows: int) -> None:
    torch.manual_seed(rows)
    for scale in (0.0, 1e-3, 1.0, 30.0):
        x, y = scale * torch.randn(3, 4, 4).double(), scale * torch.randn(3, rows, 4).double()
        top, bottom = cayley(x, y)
        assert top.shape == x.shape and bottom.shape == y.shape
        total = top.mT @ top + bottom.mT @ bottom
        torch.testing.assert_close(total, torch.eye(4).double().expand(3, 4, 4), rtol=0, atol=1e-10)
    z = x - x.mT + y.mT @ y
    inverse = torch.linalg.inv(torch.eye(4).double() + z)
    torch.testing.assert_close(top, inverse @ (torch.eye(4).double() - z), rtol=0, atol=1e-9)
    torch.testing.assert_close(bottom, -2 * y @ inverse, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e8, 1e15, 1e30])
def test_cayley_solves_with_huge_skew_matrices_of_odd_order(scale: float) -> None:
    # They are singular, and float32 sees no difference when the identity is added.
    x = scale * torch.tensor([[0.0, 1.0, 3.0], [0.0, 0.0, 7.0], [0.0, 0.0, 0.0]])
    top, bottom = cayley(x, scale * torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(top.mT @ top + bottom.mT @ bottom, torch.eye(3), rtol=0, atol=0.05)


def test_defects_of_rounding_are_divided_out() -> None:
    torch.manual_seed(0)
    # As a float32 computation of a large Cayley transform may leave it.
    whole = torch.linalg.qr(torch.randn(3, 6, 4, dtype=torch.float64))[0] * (1 + 1e-3 * torch.rand(3, 1, 4))
    assert (torch.linalg.svdvals(whole)[:, 0] > 1).all()
    assert (torch.linalg.svdvals(contracted(whole))[:, 0] <= 1).all()
    torch.testing.assert_close(contracted(0.5 * whole), 0.5 * whole)


def test_a_hundred_orthogonal_float32_layers_do_not_exceed_one() -> None:
    torch.manual_seed(0)
    kinds = (lambda: CayleyLinear(8, 8), lambda: ExponentialLinear(8), lambda: BjorckLinear(8, 8))
    for make in kinds:
        product = torch.eye(8, dtype=torch.float64)
        for _ in range(100):
            product = weight_of(make()).double() @ product
        values = torch.linalg.svdvals(product)
        assert values[0] <= 1 and values[-1] > 0.999


@pytest.mark.parametrize("iterations", [0, 1, 3, 20])
def test_bjorck_raises_singular_values_and_never_beyond_one(iterations: int) -> None:
    torch.manual_seed(iterations)
    for shape in ((6, 6), (6, 3), (3, 6)):
        weight = torch.randn(shape, dtype=torch.float64)
        before, after = torch.linalg.svdvals(bjorck(weight, 0)), torch.linalg.svdvals(bjorck(weight, iterations))
        assert before[0] <= 1 and after[0] <= 1 + 1e-14
        assert (after >= before - 1e-14).all()
    layer = BjorckLinear(6, 6, bias=False, iterations=iterations).double()
    layer.weight.data.normal_()
    assert torch.linalg.matrix_norm(weight_of(layer), 2) <= 1


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_reshaped_kernels_are_divided_by_what_is_read_most_often(kernel_size: int, stride: int, circular: bool) -> None:
    torch.manual_seed(0)
    largest = 0.0
    for side in range(kernel_size // 2 + 1, 14):
        for entries in ("ones", "random"):
            layer = BjorckConv2d(1, 1, kernel_size, False, circular, stride, dtype=torch.float64).eval()
            if entries == "ones":
                layer.weight.data.fill_(1.0)
            largest = max(largest, float(torch.linalg.matrix_norm(dense(layer, (1, side, side)), 2)))
            assert largest <= 1
    if (circular and stride == 1) or (kernel_size <= stride and not circular):
        assert largest >= 1 - 1e-5  # the least divisor that is safe


@pytest.mark.parametrize("stride", [(1, 3), (3, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("entries", ["rows", "columns", "ones"])
def test_reshaped_kernels_of_stock_convolutions(stride: tuple[int, int], dilation: int, entries: str) -> None:
    module = nn.Conv2d(1, 1, 3, stride, dilation, dilation, bias=False, dtype=torch.float64)
    free = torch.ones(3, 3) if entries == "ones" else torch.zeros(3, 3)
    free[1, :] = 1.0
    module.weight.data.copy_(free.mT if entries == "columns" else free)
    made = lipschitz(module, family="bjorck").eval()
    assert torch.linalg.matrix_norm(dense(made, (1, 15, 16)), 2) <= 1


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 3), (3, 3), (4, 2), (2, 5)])
def test_bcop_is_an_isometry_at_every_frequency(inputs: int, outputs: int) -> None:
    torch.manual_seed(inputs)
    kernel = weight_of(BCOPConv2d(inputs, outputs, 5).double())
    assert kernel.shape == (outputs, inputs, 5, 5)
    values = torch.linalg.svdvals(torch.fft.fft2(kernel, s=(9, 9)).permute(2, 3, 0, 1))
    assert values.max() <= 1
    if inputs <= outputs or outputs == 1:
        assert values.min() >= 1 - 1e-5
    if inputs == outputs == 1:
        assert kernel[0, 0, 2, 2] >= 1 - 1e-5  # nothing but the centre


@pytest.mark.parametrize("name", ["bcop zeros", "soc zeros"])
def test_zero_padding_is_the_infinite_plane_cut_to_the_image(name: str) -> None:
    layer, (channels, height, width) = made(name), LAYERS[name][1]
    image = torch.randn(1, channels, height, width, dtype=torch.float64)
    around = nn.functional.pad(image, (5, 5, 5, 5))
    for mode in (True, False):
        layer.train(mode)
        middle = layer(around)[..., 5:-5, 5:-5]
        torch.testing.assert_close(layer(image), middle, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3), (4, 4), (5, 3), (9, 10)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_soc_on_a_torus_is_the_exponential_of_a_skew_matrix(kernel_size: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = SOCConv2d(2, kernel_size, size, bias=False, circular=True, terms=14).double()
    free = layer.kernel.detach()
    layer.kernel.data.mul_(layer.largest / reshaped_bound((free - free.transpose(0, 1).flip(2, 3)) / 2) * 0.5)
    skew = (layer.kernel - layer.kernel.transpose(0, 1).flip(2, 3)).detach() / 2
    # Circular padding by hand: torch's goes around once at most.
    turns = kernel_size // 2
    step = nn.Conv2d(2, 2, kernel_size, bias=False).double()
    step.weight.data.copy_(skew)

    def apply(images: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(-turns, size[0] + turns) % size[0]
        columns = torch.arange(-turns, size[1] + turns) % size[1]
        return step(images[..., rows, :][..., columns])

    matrix = torch.autograd.functional.jacobian(
        lambda flat: apply(flat.reshape(1, 2, *size)).ravel(), torch.zeros(2 * size[0] * size[1]).double()
    )
    torch.testing.assert_close(matrix, -matrix.mT)
    expected = torch.linalg.matrix_exp(matrix)
    for mode in (True, False):
        found = dense(layer.train(mode), (2, *size))
        torch.testing.assert_close(found, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("terms", [2, 3, 5, 6, 12])
def test_soc_charges_the_terms_left_out(terms: int) -> None:
    # A constant kernel with a rotation of channels is where the reshaped norm is attained.
    layer = SOCConv2d(2, 3, 4, bias=False, circular=True, terms=terms).double()
    rotation = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    layer.kernel.data.copy_(rotation[:, :, None, None].expand(2, 2, 3, 3) * 100)
    assert torch.linalg.matrix_norm(dense(layer.eval(), (2, 4, 4)), 2) <= 1
    skew, scale = layer._skew(layer.kernel.detach())
    norm = norm_upper_bound(Operator(skew, Geometry.same(3)))
    assert 0.99 * layer.largest <= norm <= 1.01 * layer.largest
    assert 1 / float(scale) >= 1 + 0.99 * layer.LARGEST_REST


def test_the_reshaped_norms_bound_the_norm() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        kernel = torch.randn(3, 3, 3, 5, dtype=torch.float64)
        symbols = torch.fft.fft2(kernel, s=(24, 24)).permute(2, 3, 0, 1)
        assert torch.linalg.svdvals(symbols).max() <= reshaped_bound(kernel)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 5)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (2, 3), (3, 2)])
def test_cayley_convolutions_are_the_transform_of_the_whole_matrix(
    inputs: int, outputs: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    layer = CayleyConv2d(inputs, outputs, 3, size, bias=False).double()
    rows = torch.arange(-1, size[0] + 1) % size[0]
    columns = torch.arange(-1, size[1] + 1) % size[1]
    eye = torch.eye(inputs * size[0] * size[1], dtype=torch.float64).reshape(-1, inputs, *size)
    images = nn.functional.conv2d(eye[..., rows, :][..., columns], layer.kernel.detach())
    matrix = images.reshape(len(eye), -1).mT
    matrix = matrix if outputs >= inputs else matrix.mT
    top, bottom = cayley(matrix[: matrix.shape[1]], matrix[matrix.shape[1] :])
    expected = torch.cat([top, bottom])
    found = dense(layer, (inputs, *size))
    torch.testing.assert_close(found if outputs >= inputs else found.mT, expected, rtol=0, atol=2e-6)


def test_cayley_convolutions_refuse_other_images() -> None:
    layer = CayleyConv2d(2, 2, 3, (3, 4))
    for mode in (True, False):
        with pytest.raises(ValueError, match="images of"):
            layer.train(mode)(torch.zeros(1, 2, 4, 4))
    with pytest.raises(sdpcert.UnsupportedModel, match="images of"):
        sdpcert.from_torch(layer, (2, 4, 4))


def test_soc_refuses_images_that_it_was_not_made_for() -> None:
    layer = SOCConv2d(2, 3, 4, circular=True)
    for mode in (True, False):
        with pytest.raises(ValueError, match="images of"):
            layer.train(mode)(torch.zeros(1, 2, 4, 5))
    with pytest.raises(sdpcert.UnsupportedModel, match="images of"):
        sdpcert.from_torch(layer, (2, 5, 5))
    with pytest.raises(ValueError, match="image_size"):
        SOCConv2d(2, 3, circular=True)(torch.zeros(1, 2, 4, 4))
    assert SOCConv2d(2, 3, circular=True, terms=3)(torch.zeros(1, 2, 2, 7)).shape == (1, 2, 2, 7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CayleyLinear(0, 3),
        lambda: CayleyConv2d(2, 2, 2, 4),
        lambda: CayleyConv2d(2, 2, 3, (4, 0)),
        lambda: ExponentialLinear(0),
        lambda: BjorckLinear(3, 3, iterations=-1),
        lambda: BjorckConv2d(2, 2, 4),
        lambda: BjorckConv2d(2, 2, 3, stride=0),
        lambda: BjorckConv2d(2, 2, 3, iterations=-1),
        lambda: BCOPConv2d(2, 2, 4),
        lambda: BCOPConv2d(2, 0, 3),
        lambda: SOCConv2d(2, 2),
        lambda: SOCConv2d(2, 3, terms=1),
        lambda: SOCConv2d(2, 3, 4),
        lambda: SOCConv2d(2, 3, (0, 4), circular=True),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(ValueError):
        make()


def test_the_rounding_of_large_kernels_is_charged() -> None:
    assert rounding_allowance(torch.eye(4)[:, :, None, None].double(), torch.float32) == 0
    spread = torch.ones(1, 1, 31, 31, dtype=torch.float64) / 31
    assert rounding_allowance(spread, torch.float32) > 26 * torch.finfo(torch.float32).eps / 2


@pytest.mark.parametrize("circular", [False, True])
def test_the_fast_gradient_of_soc(circular: bool) -> None:
    """Exact for the inputs; for the kernel it is the sum that the docstring states, off by the square of the norm."""
    torch.manual_seed(0)
    layer = SOCConv2d(2, 3, (4, 5) if circular else None, circular=circular, terms=7, fast_gradient=True).double()
    inputs = torch.randn(3, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    given = torch.randn(3, 2, 4, 5, dtype=torch.float64)

    def gradients(fast: bool) -> Any:
        layer.fast_gradient = fast
        return torch.autograd.grad(layer(inputs), [inputs, layer.kernel], given)

    wanted = torch.randn_like(layer.kernel)
    off = []
    for size in (0.05, 0.1):
        with torch.no_grad():
            layer.kernel.copy_(wanted * size)
        fast, exact = gradients(True), gradients(False)
        torch.testing.assert_close(fast[0], exact[0])
        off.append(float((fast[1] - exact[1]).norm() / exact[1].norm()))
    assert 0 < off[0] < off[1] / 3.5


def test_the_sum_behind_the_fast_gradient() -> None:
    torch.manual_seed(0)
    geometry, terms = Geometry.same(3, circular=True), 5
    free = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    kernel = (free - free.transpose(0, 1).flip(2, 3)).requires_grad_()
    inputs, given = torch.randn(2, 2, 2, 3, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad(FastSeries.apply(inputs, kernel, geometry, terms), [kernel], given)
    step, back = Operator(kernel, geometry), Operator(-kernel, geometry)
    left, right = [given], [inputs]
    for _ in range(terms - 2):
        left.append(back(left[-1]))
        right.append(step(right[-1]))
    expected = torch.zeros_like(kernel)
    for a, first in enumerate(left):
        for b, second in enumerate(right):
            (part,) = torch.autograd.grad(step(second.detach()), [kernel], first.detach())
            expected += part / (math.factorial(a + 1) * math.factorial(b + 1))
    torch.testing.assert_close(found, expected)
