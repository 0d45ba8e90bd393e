"""GroupSort sorts, is nonexpansive, and is certified exactly as a sorting network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import sdpcert
from sdpcert.layers.elementwise import MaxMin
from sdpcert.layers.group_sort import FullSort, GroupSort
from sdpcert.network.sorting import sorting_network


@pytest.mark.parametrize("size", range(1, 13))
def test_sorting_networks_sort(size: int) -> None:
    """All zeros and ones are enough (Knuth, theorem Z of section 5.3.4); stages are of disjoint pairs."""
    bits = np.array(list(itertools.product((0, 1), repeat=size)))
    for stage in sorting_network(size):
        ends = np.array(stage)
        assert len(np.unique(ends)) == ends.size and np.all(ends[:, 0] < ends[:, 1])
        first, second = bits[:, ends[:, 0]], bits[:, ends[:, 1]]
        bits[:, ends[:, 0]], bits[:, ends[:, 1]] = np.minimum(first, second), np.maximum(first, second)
    assert np.all(np.diff(bits, axis=1) >= 0)
    rounds = (size - 1).bit_length()
    assert len(sorting_network(size)) == rounds * (rounds + 1) // 2


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
def test_groups_are_sorted_and_distances_kept(size: int) -> None:
    torch.manual_seed(size)
    layer = GroupSort(size)
    first = torch.randn(500, 12, 2, 2, dtype=torch.float64)
    second = first + torch.randn_like(first) * torch.logspace(-12, 1, 500).double().reshape(-1, 1, 1, 1)
    one, two = layer(first), layer(second)
    expected = np.sort(first.numpy().reshape(500, 12 // size, size, 2, 2), axis=2).reshape(first.shape)
    np.testing.assert_array_equal(one.numpy(), expected)
    assert torch.all((one - two).flatten(1).norm(dim=1) <= (first - second).flatten(1).norm(dim=1) * (1 + 1e-14))
    if size == 2:
        assert torch.equal(one, MaxMin()(first))


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([GroupSort(1)], (4,)),
        ([GroupSort(2)], (4,)),
        ([GroupSort(3)], (6,)),
        ([GroupSort(5)], (10,)),
        ([GroupSort(8)], (8,)),
        ([FullSort(7)], (7,)),
        ([GroupSort(3), GroupSort(2)], (6, 2, 3)),
        ([FullSort(5)], (5, 2, 2)),
    ],
    ids=str,
)
def test_sorting_is_certified_by_construction(layers: list[nn.Module], shape: tuple[int, ...]) -> None:
    network = sdpcert.from_torch(nn.Sequential(*layers), shape)
    points = np.random.default_rng(0).standard_normal((5, *shape))
    with torch.no_grad():
        expected = nn.Sequential(*layers)(torch.from_numpy(points)).numpy()
    np.testing.assert_allclose(network(points), expected, atol=1e-14)
    certificate = sdpcert.certify(network, method="by-construction")
    assert certificate.status == "proved"
    assert 1 - 1e-9 <= certificate.lower <= certificate.upper <= 1 + 2e-11


def test_sorting_between_dense_layers() -> None:
    torch.manual_seed(1)
    chain = nn.Sequential(nn.Linear(3, 6), GroupSort(3), nn.Linear(6, 6), FullSort(6), nn.Linear(6, 2)).double()
    network = sdpcert.from_torch(chain, (3,))
    by_construction = sdpcert.certify(network, method="by-construction")
    solved = sdpcert.certify(network)
    assert by_construction.status == solved.status == "proved"
    assert solved.lower <= solved.upper <= by_construction.upper * (1 + 1e-6)


def test_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="groups of 3 of 4 channels"):
        GroupSort(3)(torch.zeros(1, 4))
    with pytest.raises(sdpcert.UnsupportedModel, match="groups of 3 of 4 channels"):
        sdpcert.from_torch(nn.Sequential(GroupSort(3)), (4,))
    with pytest.raises(ValueError, match="sorts 3 channels, not 6"):
        FullSort(3)(torch.zeros(1, 6))
    with pytest.raises(ValueError, match="positive"):
        GroupSort(0)
