"""Norms of convolutions with a stride: never below that of the matrix on any image, and near it on large ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.layers import AOCConv2d, lipschitz  # noqa: E402
from sdpcert.layers.linear import ScaledConv2d  # noqa: E402
from sdpcert.layers.rules import (  # noqa: E402
    AOL,
    BlockGershgorin,
    Frobenius,
    MaximumRowSum,
    Perron,
    Rule,
    Spectral,
)
from sdpcert.torch_modules.geometry import Geometry, Operator  # noqa: E402
from sdpcert.torch_modules.norms import norm_upper_bound  # noqa: E402


def norm_on(operator: Operator, side: int) -> float:
    """The norm of the matrix on images of `side` x `side` pixels."""
    inputs = operator.weight.shape[1] * operator.geometry.groups  # type: ignore[union-attr]
    images = torch.eye(inputs * side * side, dtype=torch.float64).reshape(-1, inputs, side, side)
    return float(np.linalg.norm(operator(images).flatten(1).numpy(), 2))


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 3), (2, 1), (5, 4)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4), (5, 3)])
def test_the_bound_holds_on_every_image(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], groups: int, circular: bool
) -> None:
    generator = torch.Generator().manual_seed(sum((*kernel, *stride, *dilation, groups)))
    weight = torch.randn(4, 2 // groups, *kernel, generator=generator, dtype=torch.float64)
    # Around a torus more padding than that would read some pixels more than once.
    around = (dilation[0] * ((kernel[0] - 1) // 2), dilation[1] * ((kernel[1] - 1) // 2)) if circular else (1, 1)
    operator = Operator(weight, Geometry(around, stride, dilation, groups, circular))
    bound = float(norm_upper_bound(operator))
    for side in (9, 10, 12):
        found = norm_on(operator, side)
        assert found <= bound
    if not circular and dilation == (1, 1):
        assert found >= 0.7 * bound  # larger images come nearer


@pytest.mark.parametrize("side", ["inputs", "outputs"])
@pytest.mark.parametrize("channels", [(4, 1), (8, 2), (2, 6)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("rule", [Spectral, AOL, Perron, MaximumRowSum, Frobenius, BlockGershgorin])
def test_layers_with_a_stride_are_nonexpansive(
    rule: Callable[[], Rule], stride: int, channels: tuple[int, int], side: str
) -> None:
    layer = ScaledConv2d(*channels, 3, rule(), bias=False, stride=stride, side=side)
    torch.manual_seed(0)
    with torch.no_grad():
        layer.weight.copy_(torch.randn_like(layer.weight))
        if channels == (4, 1):  # four pixels of four channels, none of them twice: of norm two with stride two
            layer.weight.zero_()
            for channel, place in enumerate([(1, 1), (1, 2), (2, 1), (2, 2)]):
                layer.weight[0, channel][place] = 1.0
    images = torch.randn(3, channels[0], 9, 9)
    trained = layer.train()(images)
    operator = layer.materialised().through
    assert isinstance(operator, Operator) and norm_on(operator.map(Tensor.double), 9) <= 1.0
    torch.testing.assert_close(layer.eval()(images), trained, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("padding", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_circular_padding_that_repeats_pixels_counts(kernel: int, padding: int, stride: int) -> None:
    weight = torch.rand(2, 2, kernel, kernel, dtype=torch.float64)
    operator = Operator(weight, Geometry((padding, padding), (stride, stride), circular=True))
    bound = float(norm_upper_bound(operator))
    for side in range(padding, 9):
        assert norm_on(operator, side) <= bound


def test_circular_padding_that_repeats_pixels_is_certified_and_refused() -> None:
    torch.manual_seed(0)
    stock = nn.Conv2d(1, 1, 1, padding=1, padding_mode="circular", bias=False)
    network = sdpcert.from_torch(nn.Sequential(stock, nn.ReLU()), (1, 2, 2))
    certificate = sdpcert.certify(network, "by-construction")
    assert certificate.status == "proved" and certificate.lower <= certificate.upper
    with pytest.raises(ValueError, match=r"circular padding of 1 repeats .* at most 0"):
        lipschitz(stock, family="aol")


def test_an_orthogonal_convolution_with_stride_is_certified_as_a_stock_one() -> None:
    torch.manual_seed(0)
    stock = AOCConv2d(3, 8, 3, 2).export()
    assert isinstance(stock, nn.Conv2d)
    network = sdpcert.from_torch(nn.Sequential(stock, nn.ReLU()), (3, 8, 8))
    certificate = sdpcert.certify(network, "by-construction")
    assert certificate.status == "proved" and certificate.upper < 1.01
