"""Convolutions on torch tensors in float64: the same sums as the layer's own, whatever the geometry."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from sdpcert.network.affine import Conv2d, kernel_rows  # noqa: E402

SIDES, STRIDES = [(9, 8), (12, 10)], [(1, 1), (2, 1), (1, 3), (2, 2), (5, 4)]


def agree(layer: Conv2d, images: np.ndarray) -> None:
    applied = layer.on_tensors(torch.device("cpu"), torch.float64)
    found = applied(torch.from_numpy(images))
    np.testing.assert_allclose(found.numpy(), layer.linear(images) + layer.offset(), rtol=0, atol=1e-11)
    assert found.is_contiguous()
    empty = applied(torch.zeros(0, *images.shape[1:], dtype=torch.float64))
    assert empty.shape == (0, *found.shape[1:])


@pytest.mark.parametrize("entries", [1, 1000, 2**24])
@pytest.mark.parametrize(
    ("size", "padding", "sides"),
    [
        ((9, 9), (4, 4, 4, 4), (9, 9)),
        ((9, 9), (4, 4, 4, 4), (12, 10)),
        ((16, 16), (8, 8, 7, 7), (16, 16)),
        ((10, 9), (0, 3, 9, 5), (10, 11)),
        ((11, 9), (5, 4, 5, 4), (8, 9)),
    ],
)
def test_large_circular_kernels_are_applied_as_they_are_defined(
    size: tuple[int, int],
    padding: tuple[int, int, int, int],
    sides: tuple[int, int],
    entries: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_rows, "CACHED", entries)
    generator = np.random.default_rng(0)
    layer = Conv2d(
        generator.standard_normal((3, 2, *size)), generator.standard_normal(3), (1, 1), padding, circular=True
    )
    agree(layer, generator.standard_normal((4, 2, *sides)))


@pytest.mark.parametrize(
    ("size", "padding"),
    [((9, 9), (4, 4, 4, 4)), ((16, 16), (8, 8, 7, 7)), ((10, 9), (0, 3, 9, 5)), ((13, 7), (3, 6, 9, 0))],
)
def test_large_circular_kernels_in_float32(size: tuple[int, int], padding: tuple[int, int, int, int]) -> None:
    generator = np.random.default_rng(0)
    kernel, bias = generator.standard_normal((3, 2, *size)), generator.standard_normal(3)
    layer = Conv2d(kernel, bias, (1, 1), padding, circular=True)
    images = generator.standard_normal((4, 2, 11, 12))
    given = torch.from_numpy(images).float().requires_grad_()
    found = layer.on_tensors(torch.device("cpu"), torch.float32)(given)
    wanted = layer.linear(images) + layer.offset()
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=0, atol=1e-4)
    direction = generator.standard_normal(wanted.shape)
    found.backward(torch.from_numpy(direction).float())
    assert given.grad is not None
    np.testing.assert_allclose(given.grad.numpy(), layer.adjoint(direction, images.shape[1:])[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
@pytest.mark.parametrize(("groups", "biased"), [(1, True), (2, False), (4, True)])
def test_every_geometry_is_applied_as_it_is_defined(
    sides: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], groups: int, biased: bool
) -> None:
    generator = np.random.default_rng(0)
    bias = generator.standard_normal(8) if biased else None
    kernel = generator.standard_normal((8, 4 // groups, 3, 2))
    agree(Conv2d(kernel, bias, stride, (1, 2, 0, 3), dilation, groups), generator.standard_normal((5, 4, *sides)))


def test_gradients_are_those_of_the_convolution() -> None:
    generator = np.random.default_rng(0)
    layer = Conv2d(generator.standard_normal((3, 2, 3, 3)), generator.standard_normal(3), (2, 1), (1, 1, 1, 1))
    images = torch.from_numpy(generator.standard_normal((3, 2, 6, 5))).requires_grad_()
    assert torch.autograd.gradcheck(layer.on_tensors(torch.device("cpu"), torch.float64), (images,))


def test_few_numbers_are_written_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_rows, "CACHED", 200)
    monkeypatch.setattr(kernel_rows, "KERNELS", 1)
    sizes: list[int] = []
    stack = torch.stack

    def counted(tensors: list[Tensor], dim: int) -> Tensor:
        sizes.append(sum(len(t.flatten()) for t in tensors))
        return stack(tensors, dim)

    monkeypatch.setattr(torch, "stack", counted)
    generator = np.random.default_rng(0)
    layer = Conv2d(generator.standard_normal((3, 2, 3, 3)), None, (1, 1), (1, 1, 1, 1))
    agree(layer, generator.standard_normal((5, 2, 6, 6)))
    assert max(sizes) == 3 * 2 * 8 * 6  # one image, its padding included
