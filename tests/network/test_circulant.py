"""Circular kernels as large as the image on torch tensors: the same sums as the layer's own, in matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from sdpcert.network.affine import Conv2d, convolution  # noqa: E402


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
def test_large_kernels_are_applied_as_they_are_defined(
    size: tuple[int, int],
    padding: tuple[int, int, int, int],
    sides: tuple[int, int],
    entries: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convolution, "PATCHES", entries)
    generator = np.random.default_rng(0)
    layer = Conv2d(
        generator.standard_normal((3, 2, *size)), generator.standard_normal(3), (1, 1), padding, circular=True
    )
    images = generator.standard_normal((4, 2, *sides))
    applied = layer.on_tensors(torch.device("cpu"), torch.float64)
    batches = recorded(monkeypatch)
    found = applied(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, layer.linear(images) + layer.offset(), rtol=0, atol=1e-11)
    assert bool(batches) == (size > sides)  # whose patches are not written out, but around small images
    assert applied(torch.zeros(0, 2, *sides, dtype=torch.float64)).shape == (0, 3, *sides)


def test_few_patches_are_written_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "PATCHES", 100)
    generator = np.random.default_rng(0)
    layer = Conv2d(generator.standard_normal((3, 2, 3, 3)), None, (2, 2), (1, 1, 1, 1))
    images = generator.standard_normal((5, 2, 6, 6))
    batches = recorded(monkeypatch)
    found = layer.on_tensors(torch.device("cpu"), torch.float64)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, layer.linear(images), rtol=0, atol=1e-12)
    assert batches == [1] * 5


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that torch convolves from now on."""
    batches: list[int] = []
    convolve = torch.nn.functional.conv2d

    def counted(images: Tensor, *given: Any) -> Tensor:
        batches.append(len(images))
        return convolve(images, *given)

    monkeypatch.setattr(torch.nn.functional, "conv2d", counted)
    return batches
