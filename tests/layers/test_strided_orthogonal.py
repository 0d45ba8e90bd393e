"""Orthogonal convolutions with stride, groups, dilation, and transposed; block reflectors; Cholesky's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import sdpcert  # noqa: E402
from sdpcert.layers import (  # noqa: E402
    AOCConv2d,
    AOCConvTranspose2d,
    BROConv2d,
    BROLinear,
    CholeskyLinear,
    LinearResidual,
    LinearResidualConv2d,
    check,
)
from sdpcert.layers.aoc import composed  # noqa: E402
from sdpcert.layers.block_reflector import GUARD, reflector  # noqa: E402

#: Inputs, outputs, kernel, stride, dilation, groups, circular.
STRIDED = [
    (2, 3, 3, 1, 1, 1, False),
    (2, 8, 3, 2, 1, 1, False),
    (4, 2, 3, 2, 1, 1, True),
    (4, 4, 4, 2, 1, 2, False),
    (2, 2, 3, 1, 2, 1, True),
    (4, 6, 3, 2, 3, 2, False),
    (3, 3, 3, 3, 1, 1, True),
    (1, 1, 3, 1, 1, 1, False),
]


def jacobian(layer: Any, shape: tuple[int, ...]) -> Any:
    return torch.autograd.functional.jacobian(
        lambda v: layer(v.reshape(1, *shape)).flatten(), torch.zeros(int(np.prod(shape)), dtype=torch.float64)
    )


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("taken", "given", "size", "stride", "dilation", "groups", "circular"), STRIDED)
def test_strided_convolutions_are_proved_and_exported(
    taken: int, given: int, size: int, stride: int, dilation: int, groups: int, circular: bool, transposed: bool
) -> None:
    if transposed and circular:
        pytest.skip("transposed convolutions have zero padding")
    torch.manual_seed(0)
    if transposed:
        layer: AOCConv2d = AOCConvTranspose2d(taken, given, size, stride, dilation=dilation, groups=groups)
    else:
        layer = AOCConv2d(taken, given, size, stride, dilation=dilation, groups=groups, circular=circular)
    torch.nn.init.normal_(layer.bias)
    shape = (taken, 6, 6)
    assert check(layer, shape).ok
    layer.eval()
    x = torch.randn(2, *shape)
    with torch.no_grad():
        y = layer(x)
        assert y.shape == (2, given, *(6 * stride if transposed else 6 // stride,) * 2)
        assert torch.allclose(layer.export()(x), y, atol=1e-6)
    again = sdpcert.from_torch(layer.export(), shape)
    assert np.allclose(again(x.numpy()), y.numpy(), atol=1e-5)


@pytest.mark.parametrize(("given", "stride", "tall"), [(2, 2, False), (8, 2, True), (4, 1, True), (1, 3, False)])
def test_on_a_torus_rows_or_columns_are_orthonormal(given: int, stride: int, tall: bool) -> None:
    torch.manual_seed(1)
    layer = AOCConv2d(2, given, 3, stride, circular=True, bias=False).double()
    matrix = jacobian(layer, (2, 6, 6)) / (1 - layer.margin)
    gram = matrix.T @ matrix if tall else matrix @ matrix.T
    assert torch.allclose(gram, torch.eye(len(gram), dtype=gram.dtype), atol=1e-10)


def test_the_transposed_layer_is_the_adjoint() -> None:
    torch.manual_seed(2)
    forward = AOCConv2d(2, 3, 3, 2, bias=False).double()
    back = AOCConvTranspose2d(3, 2, 3, 2, bias=False).double()
    back.load_state_dict(forward.state_dict())
    assert torch.allclose(jacobian(back, (3, 3, 3)), jacobian(forward, (2, 6, 6)).T, atol=1e-12)


def test_the_kernel_of_two_convolutions_is_theirs() -> None:
    torch.manual_seed(3)
    inner, outer = torch.randn(3, 2, 3, 2), torch.randn(4, 3, 2, 2)
    x = torch.randn(1, 2, 7, 7)
    one_after_the_other = torch.conv2d(torch.conv2d(x, inner), outer)
    assert torch.allclose(torch.conv2d(x, composed(outer, inner)), one_after_the_other, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kernel_size": 2, "stride": 3}, "at least the stride"),
        ({"groups": 3}, "do not divide"),
        ({"stride": 2, "dilation": 2}, "windows of stride 2 meet"),
        ({"padding": -1}, "must not be negative"),
        ({"dilation": 0}, "dilation must be positive"),
    ],
)
def test_what_is_no_orthogonal_convolution_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AOCConv2d(4, 4, **arguments)


def test_windows_that_would_meet_around_a_torus_are_refused() -> None:
    layer = AOCConv2d(2, 8, 3, 2, circular=True)
    with pytest.raises(ValueError, match="does not divide circular images"):
        layer(torch.zeros(1, 2, 5, 6))
    with pytest.raises(ValueError, match="does not divide circular images"):
        sdpcert.from_torch(layer, (2, 5, 6))


def test_more_windows_than_fit_around_a_torus_are_refused() -> None:
    """Padding of two and a kernel of four make seven windows of six pixels: one is read twice, and the norm grows."""
    layer = AOCConv2d(2, 4, 4, padding=2, circular=True, bias=False).double()
    with pytest.raises(ValueError, match="makes circular images of"):
        layer(torch.zeros(1, 2, 6, 6, dtype=torch.float64))
    layer._check_image = lambda size: None  # type: ignore[method-assign]
    assert torch.linalg.matrix_norm(jacobian(layer, (2, 6, 6)), 2) > 1.2
    assert check(AOCConv2d(2, 4, 4, circular=True), (2, 6, 6)).ok


def test_dilated_windows_of_an_even_stride_would_break_the_claim() -> None:
    """The reason for the refusal: taps two apart every two pixels read every second pixel several times."""
    window = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    matrix = jacobian(lambda x: torch.conv2d(x, window, stride=2, dilation=2), (1, 8, 8))
    assert torch.linalg.matrix_norm(matrix, 2) > 1.5


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_reflectors_are_symmetric_and_orthogonal(rank: int) -> None:
    torch.manual_seed(4)
    free = torch.randn(2, 6, rank, dtype=torch.complex128)
    made = reflector(free, 6, 6)
    assert torch.allclose(made, made.mH, atol=1e-12)
    # What the guard takes: 1 - 2 s^2 / (s^2 + guard) instead of -1.
    squares = torch.linalg.svdvals(free) ** 2
    taken = 2 * GUARD * squares.sum(-1) / squares.amin(-1)
    off = torch.linalg.svdvals(made) - 1
    assert float(off.amax()) <= 1e-12
    assert bool((off.amin(-1) >= -1.01 * taken).all())
    assert int((torch.linalg.eigvalsh(made[0]) < 0).sum()) == rank


@pytest.mark.parametrize("kind", [BROLinear, CholeskyLinear])
@pytest.mark.parametrize("size", [8, 300])
def test_weights_of_rank_one_have_factors_in_float32(kind: Any, size: int) -> None:
    torch.manual_seed(5)
    layer = kind(2 * size, size)
    layer.weight.data = layer.weight.data[:, :1] @ layer.weight.data[:1]
    value = layer(torch.randn(2, 2 * size)).square().sum()
    value.backward()
    assert torch.isfinite(layer.weight.grad).all()
    through: Any = layer.materialised().through
    weight = through.weight.double()
    assert torch.linalg.matrix_norm(weight, 2) <= 1


@pytest.mark.parametrize("given", [(0,), (9,)])
def test_ranks_beyond_the_size_are_refused(given: tuple[int]) -> None:
    with pytest.raises(ValueError, match="rank must lie between 1 and 8"):
        BROLinear(8, 4, *given)
    with pytest.raises(ValueError, match="rank must lie between 1 and 8"):
        BROConv2d(4, 8, 3, 4, *given)


def test_a_linear_residual_layer_is_the_sum_over_its_norm() -> None:
    torch.manual_seed(6)
    layer = LinearResidual(5, bias=False).double()
    summed = torch.eye(5, dtype=torch.float64) + layer.weight.detach()
    wanted = summed / torch.linalg.matrix_norm(summed, 2)
    through: Any = layer.materialised().through
    assert torch.allclose(through.weight, wanted, atol=1e-5)
    image = LinearResidualConv2d(2, 3, bias=False).double().eval()
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        summed = x + torch.conv2d(x, image.weight, padding=1)
        assert torch.allclose(image(x) / image(x).norm(), summed / summed.norm(), atol=1e-12)
