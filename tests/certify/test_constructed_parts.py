"""Networks of 1-Lipschitz convolutions, proved one convolution after another, and bound to their weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert import layers  # noqa: E402
from sdpcert.certify import choice, constructed_parts, proved  # noqa: E402
from sdpcert.certify.binding import check_with_network, only_moves  # noqa: E402
from sdpcert.certify.constructed_parts import parts_of  # noqa: E402
from sdpcert.network.affine import Rearrange  # noqa: E402
from sdpcert.network.graph import Graph  # noqa: E402

CONVOLUTIONS: dict[str, Callable[[int], list[nn.Module]]] = {
    "aol": lambda side: [
        layers.AOLConv2d(2, 4, 3),
        layers.MaxMin(),
        layers.SpaceToDepth(2),
        layers.AOLConv2d(16, 4, 3),
    ],
    "aoc": lambda side: [layers.AOCConv2d(2, 4, 3, 2), layers.MaxMin(), layers.AOCConv2d(4, 6, 3, 2), layers.Abs()],
    "sll": lambda side: [layers.SLLConv2d(2, 3, 3), layers.SLLConv2d(2, 4, 3), layers.AveragePooling2d(2)],
    "sandwich": lambda side: [layers.SandwichConv2d(2, 3, 3, side), layers.SandwichConv2d(3, 2, 3, side)],
}
TAILS: dict[str, Callable[[int], list[nn.Module]]] = {
    "image": lambda size: [],
    "flat": lambda size: [nn.Flatten()],
    "dense": lambda size: [nn.Flatten(), layers.AOLLinear(size, 6), layers.MaxMin(), layers.CayleyLinear(6, 3)],
}


def made(family: str, tail: str) -> nn.Module:
    torch.manual_seed(0)
    front = nn.Sequential(*CONVOLUTIONS[family](8))
    with torch.no_grad():
        size = front(torch.zeros(1, 2, 8, 8)).numel()
    return nn.Sequential(*front, *TAILS[tail](size)).eval()


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("family", CONVOLUTIONS)
def test_parts_prove_the_constant_and_belong_to_their_network(
    family: str, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "goes_over_frequencies", lambda *given: True)
    network = sdpcert.from_torch(made(family, tail), (2, 8, 8))
    certificate = sdpcert.certify(network, "by-construction")
    assert certificate.status == "proved" and certificate.lower <= certificate.upper <= 1
    assert any("one convolution after another" in note for note in certificate.notes)
    assert certificate.information["cuts"]
    assert sdpcert.check(certificate).ok
    assert check_with_network(certificate, network).ok
    torch.manual_seed(1)
    other = sdpcert.from_torch(_drawn_again(made(family, tail)), (2, 8, 8))
    assert not check_with_network(certificate, other).ok


def _drawn_again(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def test_the_whole_is_proved_where_a_part_has_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "goes_over_frequencies", lambda *given: True)
    monkeypatch.setattr(constructed_parts, "bounded_by", lambda *given: "no proof")
    network = sdpcert.from_torch(made("aol", "dense"), (2, 8, 8))
    certificate = sdpcert.certify(network, "by-construction")
    assert certificate.status == "proved" and certificate.upper <= 1
    assert "cuts" not in certificate.information
    assert any(note.endswith("as a whole: no proof") for note in certificate.notes)
    assert check_with_network(certificate, network).ok


def test_the_whole_is_proved_where_a_checker_rejects_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "goes_over_frequencies", lambda *given: True)
    accepted = proved.accepted
    monkeypatch.setattr(
        proved, "accepted", lambda tree, *given: None if len(getattr(tree, "parts", ())) > 2 else accepted(tree, *given)
    )
    network = sdpcert.from_torch(made("aol", "dense"), (2, 8, 8))
    certificate = sdpcert.certify(network, "by-construction")
    assert certificate.status == "proved" and certificate.upper <= 1
    assert "cuts" not in certificate.information


def test_a_convolution_has_what_follows_it() -> None:
    network = sdpcert.from_torch(made("aol", "dense"), (2, 8, 8))
    cuts, flat = parts_of(network)  # type: ignore[arg-type]
    assert len(cuts) == 2 and flat == cuts[-1]
    assert network.shape(cuts[0]) == (16, 4, 4) and network.shape(flat) == (4, 4, 4)


@pytest.mark.parametrize(
    ("indices", "moves"), [([[1, 0], [3, 2]], True), ([[1, 1], [3, 2]], False), ([[1, 0]], False), ([[0, -1]], False)]
)
def test_only_what_has_every_input_once_is_left_out(indices: list[list[int]], moves: bool) -> None:
    graph = Graph((4,))
    network = graph.network(graph.add(Rearrange(np.array(indices)), 0))
    assert only_moves(network) == moves
