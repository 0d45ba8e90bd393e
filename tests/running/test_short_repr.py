"""Reprs of what users hold: one line, kinds, shapes and counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import sdpcert
from sdpcert.network.embedding import embed
from sdpcert.running.short_repr import LONGEST, ShortRepr
from sdpcert.solvers import Budget, interior_point
from tests.network.torus_networks import random_convolutional


def inside(value: Any) -> Iterator[Any]:
    """Every dataclass that an object is made of."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for one in dataclasses.fields(value):
            yield from inside(getattr(value, one.name))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from inside(one)
    elif isinstance(value, dict):
        yield from inside(list(value.values()))


def test_everything_that_a_certificate_is_made_of_is_one_short_line() -> None:
    rng = np.random.default_rng(0)
    network = sdpcert.Network.mlp([rng.standard_normal((30, 30)) for _ in range(6)])
    images = random_convolutional(3, circular=True)
    objects = [network, network.stacked, images, embed(images).form, sdpcert.certify(network, "layer")]
    objects += [sdpcert.certify(images, form="frequency"), interior_point(network.stacked.reduced(), "layer", Budget())]
    kinds = set()
    for one in inside(objects):
        text = repr(one)
        assert len(text) <= LONGEST and "\n" not in text, text
        kinds.add(type(one).__name__)
    assert kinds >= {
        "Network",
        "Node",
        "Dense",
        "StackedForm",
        "Block",
        "TorusForm",
        "Certificate",
        "Proof",
        "Attained",
    }


def test_a_repr_tells_kind_shape_and_count() -> None:
    network = sdpcert.Network.mlp([np.ones((5, 3)), np.ones((4, 5))])
    assert repr(network) == "Network(input_shape=(3,), nodes=3 Node, output=3, source='mlp')"
    assert repr(network.nodes[0]) == "Node(layer=Dense(weight=float64[5, 3]), inputs=(0,), shape=(5,))"
    assert "groups=1 Group, blocks=2 Block" in repr(network.stacked)


@dataclass
class Thing(ShortRepr):
    name: str
    values: list[Any] = field(default_factory=list)
    note: str = ""
    hidden: int = field(default=3, repr=False)


def test_defaults_are_left_out_and_long_fields_cut() -> None:
    assert repr(Thing("a")) == "Thing(name='a')"
    assert repr(Thing("a", [1, 2], "b")) == "Thing(name='a', values=[1, 2], note='b')"
    assert repr(Thing("a", [np.ones(3)] * 2)) == "Thing(name='a', values=2 ndarray)"
    assert repr(Thing("a", [1, "b"] * 20)) == "Thing(name='a', values=40 entries)"
    assert repr(Thing(np.float32(1.5))) == f"Thing(name={np.float32(1.5)!r})"  # type: ignore[arg-type]
    long = repr(Thing("x" * 500, [], "y" * 500))
    assert len(long) <= LONGEST and long.count("...") == 2
