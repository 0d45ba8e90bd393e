"""Shifts of channels and the absolute value of a part of them, between pointwise orthogonal layers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.layers import AOCConv2d, PartialAbs, Shift2d  # noqa: E402


@pytest.mark.parametrize(("share", "folded"), [(0.0, 0), (0.3, 2), (0.5, 3), (1.0, 6)])
def test_the_first_channels_are_folded_and_the_others_are_not(share: float, folded: int) -> None:
    inputs = torch.randn(5, 6, 3, 2, generator=torch.Generator().manual_seed(0))
    outputs = PartialAbs(share)(inputs)
    assert torch.equal(outputs[:, :folded], inputs[:, :folded].abs())
    assert torch.equal(outputs[:, folded:], inputs[:, folded:])
    assert torch.equal(outputs.square().sum(), inputs.square().sum())


@pytest.mark.parametrize("reach", [1, 2])
def test_channels_move_in_every_direction_around_the_image(reach: int) -> None:
    offsets = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    inputs = torch.zeros(1, len(offsets) + 2, 5, 6)
    inputs[:, :, 2, 3] = 1
    outputs = Shift2d(reach)(inputs)
    for k in range(inputs.shape[1]):
        row, column = offsets[k % len(offsets)]
        assert outputs[0, k, (2 + row) % 5, (3 + column) % 6] == 1
        assert outputs[0, k].sum() == 1
    moved_out = Shift2d(reach)(inputs.roll((-2, -3), (2, 3)))
    assert torch.equal(moved_out.roll((2, 3), (2, 3)), outputs)


def test_a_network_without_convolutions_is_certified_by_construction() -> None:
    torch.manual_seed(0)
    chain: list[nn.Module] = []
    for _ in range(2):
        chain += [Shift2d(), AOCConv2d(12, 12, 1), PartialAbs()]
    model = nn.Sequential(*chain).eval()
    certificate = sdpcert.certify(sdpcert.from_torch(model, (12, 4, 4)), method="by-construction")
    assert certificate.status == "proved" and certificate.upper <= 1
    inputs = torch.randn(3, 12, 4, 4)
    with torch.no_grad():
        read = torch.from_numpy(sdpcert.from_torch(model, (12, 4, 4))(inputs.double().numpy()))
        assert torch.allclose(read.float(), model(inputs), atol=1e-5)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_shares_beyond_the_whole_are_errors(share: float) -> None:
    with pytest.raises(ValueError, match="share of the channels must lie between 0 and 1"):
        PartialAbs(share)


def test_shifts_that_reach_nowhere_are_errors() -> None:
    with pytest.raises(ValueError, match="reach must be positive"):
        Shift2d(0)
