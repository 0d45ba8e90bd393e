"""Every exported kind of affine layer, held to `AffineConformance`."""

from __future__ import annotations

import inspect
from fractions import Fraction

import numpy as np
import pytest

from sdpcert.network import affine
from sdpcert.network.affine import (
    AffineLayer,
    Concat,
    Conv2d,
    ConvTranspose,
    Dense,
    Interpolation,
    Rearrange,
    Scale,
    Sum,
)
from sdpcert.network.affine.interpolation import cubic_weights, interpolation, linear_weights
from tests.network.affine_conformance import AffineConformance

KINDS = {k for k in vars(affine).values() if inspect.isclass(k) and issubclass(k, AffineLayer)} - {AffineLayer}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.cls is not None and "instance" in metafunc.fixturenames:
        metafunc.parametrize("name", metafunc.cls.instances)


@pytest.fixture
def instance(request: pytest.FixtureRequest, name: str) -> tuple[AffineLayer, list[tuple[int, ...]]]:
    assert request.cls is not None
    return request.cls.instances[name](np.random.default_rng(7))


def test_every_kind_is_held_to_the_suite() -> None:
    held = {k.kind: len(k.instances) for k in AffineConformance.__subclasses__()}
    assert set(held) == KINDS and min(held.values()) >= 3


class TestDense(AffineConformance):
    kind = Dense
    instances = {
        "vectors": lambda rng: (Dense(rng.standard_normal((4, 6)), rng.standard_normal(4)), [(6,)]),
        "last axis": lambda rng: (Dense(rng.standard_normal((2, 3))), [(2, 4, 3)]),
        "one row": lambda rng: (Dense(rng.standard_normal((1, 5))), [(5,)]),
        "rounded": lambda rng: (Dense(rng.standard_normal((3, 3)), coefficient_error=2.0**-20), [(3,)]),
        "scales": lambda rng: (Dense(rng.standard_normal((3, 4)) * [[2.0**200], [2.0**-200], [1.0]]), [(4,)]),
    }
    refused = [(Dense(np.ones((2, 3))), [(4,)]), (Dense(np.ones((2, 3))), [()])]


class TestConv2d(AffineConformance):
    kind = Conv2d
    loose = 5.0  # a circular kernel larger than the image meets every pixel often
    instances = {
        "padded": lambda rng: (Conv2d(rng.standard_normal((2, 3, 3, 3)), padding=(1, 1, 1, 1)), [(3, 4, 5)]),
        "biased": lambda rng: (Conv2d(rng.standard_normal((2, 1, 2, 2)), rng.standard_normal(2)), [(1, 3, 3)]),
        "strided": lambda rng: (Conv2d(rng.standard_normal((2, 2, 2, 2)), stride=(2, 2)), [(2, 4, 4)]),
        "dilated": lambda rng: (
            Conv2d(rng.standard_normal((2, 1, 2, 2)), dilation=(2, 1), padding=(2, 0, 1, 1)),
            [(1, 4, 4)],
        ),
        "grouped": lambda rng: (Conv2d(rng.standard_normal((4, 1, 3, 3)), padding=(1, 1, 1, 1), groups=2), [(2, 4, 4)]),
        "circular": lambda rng: (
            Conv2d(rng.standard_normal((2, 1, 3, 3)), padding=(1, 1, 1, 1), circular=True),
            [(1, 4, 3)],
        ),
        "larger than the image": lambda rng: (
            Conv2d(rng.integers(-9, 9, (1, 1, 5, 5)).astype(float), padding=(2, 2, 2, 2), circular=True),
            [(1, 3, 3)],
        ),
        "rounded": lambda rng: (Conv2d(rng.standard_normal((2, 1, 2, 2)), coefficient_error=2.0**-20), [(1, 3, 3)]),
        "one pixel": lambda rng: (Conv2d(rng.standard_normal((3, 2, 1, 1))), [(2, 2, 3)]),
    }
    refused = [
        (Conv2d(np.ones((2, 3, 3, 3))), [(2, 4, 4)]),
        (Conv2d(np.ones((2, 3, 3, 3))), [(3, 2, 4)]),
        (Conv2d(np.ones((2, 3, 1, 1))), [(3,)]),
    ]
    on_torus = {"padded", "biased", "strided", "dilated", "grouped", "rounded", "one pixel"}


class TestConvTranspose(AffineConformance):
    kind = ConvTranspose
    instances = {
        "plain": lambda rng: (ConvTranspose(rng.standard_normal((2, 3, 2, 2)), rng.standard_normal(3)), [(2, 3, 4)]),
        "padded": lambda rng: (ConvTranspose(rng.standard_normal((2, 2, 3, 3)), padding=(1, 1, 1, 1)), [(2, 4, 4)]),
        "strided": lambda rng: (
            ConvTranspose(
                rng.standard_normal((1, 2, 3, 3)), stride=(2, 2), padding=(1, 1, 1, 1), output_padding=(1, 0)
            ),
            [(1, 3, 3)],
        ),
        "dilated": lambda rng: (
            ConvTranspose(rng.standard_normal((1, 2, 2, 3)), dilation=(2, 1), padding=(0, 1, 1, 0)),
            [(1, 3, 3)],
        ),
        "grouped": lambda rng: (ConvTranspose(rng.standard_normal((4, 1, 2, 2)), stride=(2, 1), groups=2), [(4, 2, 2)]),
        "cut and added": lambda rng: (
            ConvTranspose(rng.standard_normal((1, 1, 2, 2)), padding=(1, -1, -2, 1)),
            [(1, 2, 2)],
        ),
        "rounded": lambda rng: (
            ConvTranspose(rng.standard_normal((1, 2, 2, 2)), coefficient_error=2.0**-20),
            [(1, 2, 3)],
        ),
    }
    refused = [
        (ConvTranspose(np.ones((2, 1, 2, 2))), [(3, 4, 4)]),
        (ConvTranspose(np.ones((3, 1, 2, 2)), groups=2), [(3, 4, 4)]),
        (ConvTranspose(np.ones((1, 1, 1, 1)), padding=(3, 0, 0, 0)), [(1, 2, 2)]),
        (ConvTranspose(np.ones((2, 1, 2))), [(2, 4, 4)]),
    ]
    on_torus = {"plain", "padded", "dilated", "rounded"}


class TestScale(AffineConformance):
    kind = Scale
    instances = {
        "number": lambda rng: (Scale(-1.7, 0.3), [(4,)]),
        "channels": lambda rng: (Scale(rng.standard_normal((3, 1, 1)), rng.standard_normal((3, 1, 1))), [(3, 2, 2)]),
        "entries": lambda rng: (Scale(rng.standard_normal((2, 3))), [(2, 3)]),
        "pixels": lambda rng: (Scale(rng.standard_normal((1, 2, 2))), [(2, 2, 2)]),
        "rounded": lambda rng: (Scale(rng.standard_normal(5), 0.0, 2.0**-20), [(5,)]),
        "scales": lambda rng: (Scale(np.array([2.0**300, 2.0**-300, 3.0])), [(3,)]),
    }
    refused = [(Scale(np.ones((2, 3))), [(3,)]), (Scale(1.0, np.ones(4)), [(1,)])]
    on_torus = {"channels"}


class TestRearrange(AffineConformance):
    kind = Rearrange
    instances = {
        "permutation": lambda rng: (Rearrange(rng.permutation(6)), [(6,)]),
        "repeats and zeros": lambda rng: (Rearrange(np.array([[0, 0, 2], [-1, 1, 0]])), [(3,)]),
        "channels": lambda rng: (Rearrange(np.arange(12).reshape(3, 2, 2)[[2, 0]]), [(3, 2, 2)]),
        "every second pixel": lambda rng: (Rearrange(np.arange(32).reshape(2, 4, 4)[:, ::2, 1::2]), [(2, 4, 4)]),
        "flattened": lambda rng: (Rearrange(np.arange(8)), [(2, 2, 2)]),
    }
    refused = [(Rearrange(np.array([0, 7])), [(3,)]), (Rearrange(np.array([-2])), [(3,)])]
    on_torus = {"channels", "every second pixel"}


class TestSum(AffineConformance):
    kind = Sum
    instances = {
        "two": lambda rng: (Sum(), [(4,), (4,)]),
        "difference": lambda rng: (Sum((1, -1)), [(2, 3, 3), (2, 3, 3)]),
        "three": lambda rng: (Sum((-1, 1, -1)), [(2, 2)] * 3),
    }
    refused = [(Sum(), [(3,)]), (Sum(), [(3,), (4,)])]
    on_torus = {"difference"}


class TestConcat(AffineConformance):
    kind = Concat
    instances = {
        "vectors": lambda rng: (Concat(), [(2,), (3,)]),
        "channels": lambda rng: (Concat(), [(1, 3, 3), (2, 3, 3)]),
        "channels from the end": lambda rng: (Concat(-3), [(1, 3, 3), (2, 3, 3)]),
        "side by side": lambda rng: (Concat(2), [(1, 2, 2), (1, 2, 3), (1, 2, 1)]),
    }
    refused = [(Concat(), [(2, 2), (2, 3)]), (Concat(1), [(2,), (2,)])]
    on_torus = {"channels", "channels from the end"}


class TestInterpolation(AffineConformance):
    kind = Interpolation
    instances = {
        "exact": lambda rng: (interpolation(linear_weights([Fraction(1, 4), Fraction(7, 2)], 5), 5), [(5,)]),
        "rounded": lambda rng: (interpolation(linear_weights([Fraction(1, 3), Fraction(2, 3)], 3), 3), [(2, 3)]),
        "cubic": lambda rng: (interpolation(cubic_weights([Fraction(3, 2)], 4), 4), [(4,)]),
    }
    refused = [(interpolation(linear_weights([Fraction(1)], 3), 3), [(4,)])]
