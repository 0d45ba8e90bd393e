"""Channels that read the same are one channel over frequencies, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.certify.binding import check_with_network
from sdpcert.network import piecewise
from sdpcert.network.activations import relu
from sdpcert.network.affine import Concat, Conv2d, Rearrange, Scale
from sdpcert.network.embedding import embed
from sdpcert.network.graph import Graph, Network


def halves(graph: Graph, value: int) -> tuple[int, int]:
    image = np.arange(int(np.prod(graph.shape(value)))).reshape(graph.shape(value))
    half = len(image) // 2
    return graph.add(Rearrange(image[:half]), value), graph.add(Rearrange(image[half:]), value)


def network(kind: str, circular: bool, stride: int = 1) -> Network:
    rng, graph, value = np.random.default_rng(3), Graph((2, 4, 4)), 0
    for layer in range(3):
        channels = graph.shape(value)[0]
        kernel = rng.standard_normal((4, channels, 3, 3)) / 6
        step = (stride, stride) if layer == 1 else (1, 1)
        value = graph.add(Conv2d(kernel, rng.standard_normal(4), step, (1, 1, 1, 1), circular=circular), value)
        if kind == "maxmin":
            a, b = halves(graph, value)
            value = graph.add(Concat(0), piecewise.maximum(graph, a, b), piecewise.minimum(graph, a, b))
        elif kind == "both":
            value = graph.add(Concat(0), graph.add(relu(), value), graph.add(relu(), graph.add(Scale(-1.0), value)))
        else:
            value = graph.add(Concat(0), graph.add(relu(), value), graph.add(relu(), graph.add(Scale(3.0), value)))
    return graph.network(value)


@pytest.mark.parametrize("kind", ["maxmin", "both", "multiples"])
def test_on_a_torus_both_forms_are_one(kind: str, tmp_path: Path) -> None:
    made = network(kind, circular=True)
    groups = embed(made).form.groups
    assert [g.size for g in groups] == [2 if kind == "maxmin" else 4] * 3
    unrolled, torus = (sdpcert.certify(made, form=form) for form in ("unrolled", "frequency"))
    assert torus.upper == pytest.approx(unrolled.upper, rel=1e-5)
    torus.save(tmp_path / "c.json")
    assert check_with_network(tmp_path / "c.json", made).ok


@pytest.mark.parametrize("kind", ["maxmin", "both", "multiples"])
@pytest.mark.parametrize("stride", [1, 2])
def test_zero_padding_stays_above_what_inputs_attain(kind: str, stride: int) -> None:
    """`embed` compares its form with the network on random inputs."""
    made = network(kind, circular=False, stride=stride)
    torus, unrolled = sdpcert.certify(made, form="frequency"), sdpcert.certify(made, form="unrolled")
    assert unrolled.lower <= torus.upper and torus.lower <= unrolled.upper


def test_opposite_channels_outside_an_image_are_no_reason_for_more_neurons() -> None:
    """`relu(-v) = relu(v) - v` would read v outside of the image, where the neurons are zero and v is not."""
    assert [g.size for g in embed(network("both", circular=False)).form.groups] == [4] * 6
