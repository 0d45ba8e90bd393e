"""The Gram matrix of every size of weight beside its definition, values and gradients."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sdpcert.layers import gram as module  # noqa: E402
from sdpcert.layers.gram import gram  # noqa: E402
from sdpcert.torch_modules.geometry import Geometry, Operator  # noqa: E402

#: One of each way to compute it: small and large matrices, few taps, many taps, many channels, flat and wide kernels.
SHAPES = [(5, 7), (module.LARGE + 3, 4), (3, 2, 3, 3), (50, 2, 7, 7), (module.WIDE, 2, 5, 5), (module.WIDE, 3, 1, 1)]
SHAPES += [(module.WIDE, 2, 1, 20), (module.WIDE, 2, 20, 1), (2, 3, 2, 3)]


def definition(weight: Any) -> Any:
    """Products at every offset, by moving one kernel over the other."""
    if weight.dim() == 2:
        return (weight @ weight.T).abs()
    out, _, height, width = weight.shape
    total = torch.zeros(out, out, dtype=weight.dtype)
    for down in range(1 - height, height):
        for across in range(1 - width, width):
            moved = torch.zeros_like(weight)
            rows, columns = (
                range(max(0, down), min(height, height + down)),
                range(max(0, across), min(width, width + across)),
            )
            moved[:, :, rows.start : rows.stop, columns.start : columns.stop] = weight[
                :, :, rows.start - down : rows.stop - down, columns.start - across : columns.stop - across
            ]
            total = total + torch.einsum("icyx,jcyx->ij", weight, moved).abs()
    return total


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_and_gradients_are_those_of_the_definition(shape: tuple[int, ...], weighted: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    q = torch.rand(shape[0], dtype=torch.float64) + 0.5 if weighted else torch.ones(shape[0], dtype=torch.float64)
    q.requires_grad_(weighted)
    found = gram(Operator(weight, Geometry() if weight.dim() == 4 else None))
    weights = torch.randn(shape[0], dtype=torch.float64)
    wanted = [weight, q] if weighted else [weight]
    expected = definition(weight)
    sums = found.weighted_sums(q if weighted else None)
    torch.testing.assert_close(sums, expected @ q)
    torch.testing.assert_close(found.magnitude, expected)
    ours = torch.autograd.grad(sums @ weights, wanted, retain_graph=True)
    theirs = torch.autograd.grad((expected @ q) @ weights, wanted, retain_graph=True)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(
        torch.autograd.grad(found.magnitude.sum(), [weight]), torch.autograd.grad(expected.sum(), [weight]), strict=True
    ):
        torch.testing.assert_close(one, other)
