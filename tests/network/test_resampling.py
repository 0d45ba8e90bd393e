"""Transposed convolutions are adjoints, and interpolation weights are what they are called."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sdpcert.network.affine import Conv2d, Rearrange
from sdpcert.network.affine.interpolation import cubic_weights, interpolation, linear_weights
from sdpcert.network.graph import Graph
from sdpcert.network.resampling import conv_transpose

SMALL = st.integers(1, 3)
PADS = st.tuples(*[st.integers(0, 4)] * 4)


@given(
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    window=st.tuples(SMALL, SMALL),
    stride=st.tuples(SMALL, SMALL),
    dilation=st.tuples(SMALL, SMALL),
    padding=PADS,
    groups=st.integers(1, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_it_is_the_adjoint_of_the_convolution(size, window, stride, dilation, padding, groups, seed):
    """With the output padding that gives back the size of the image, `<C x, y> = <x, C' y>` for all x and y."""
    generator = np.random.default_rng(seed)
    kernel = generator.integers(-4, 5, (2 * groups, 3, *window)).astype(float)
    layer = Conv2d(kernel, None, stride, padding, dilation, groups)
    try:
        output = layer.output_shape((3 * groups, *size))
    except ValueError:
        assume(False)
        return
    left_over = [
        (n + padding[k] + padding[k + 2] - d * (w - 1) - 1) % s
        for k, (n, d, w, s) in enumerate(zip(size, dilation, window, stride, strict=True))
    ]
    graph = Graph(output)
    try:
        value = conv_transpose(graph, 0, kernel, None, stride, padding, dilation, groups, (left_over[0], left_over[1]))
    except ValueError:  # the padding cuts off everything
        assume(False)
        return
    transposed = graph.network(value)
    x = generator.integers(-4, 5, (1, 3 * groups, *size)).astype(float)
    y = generator.integers(-4, 5, (1, *output)).astype(float)
    assert transposed.output_shape == x.shape[1:]
    assert np.sum(layer.linear(x) * y) == np.sum(x * transposed(y))


def test_a_stride_of_one_needs_no_zeros():
    graph = Graph((4, 6, 6))
    conv_transpose(graph, 0, np.ones((4, 2, 3, 3)), padding=(1, 1, 1, 1))
    assert [type(node.layer) for node in graph.nodes] == [Conv2d]
    graph = Graph((4, 6, 6))
    conv_transpose(graph, 0, np.ones((4, 2, 3, 3)), padding=(1, 1, 1, 1), stride=(2, 2))
    assert [type(node.layer) for node in graph.nodes] == [Rearrange, Conv2d]


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="channels"):
        conv_transpose(Graph((3, 4, 4)), 0, np.ones((2, 2, 3, 3)))
    with pytest.raises(ValueError, match="groups"):
        conv_transpose(Graph((3, 4, 4)), 0, np.ones((3, 2, 3, 3)), groups=2)
    with pytest.raises(ValueError, match="nothing"):
        conv_transpose(Graph((1, 2, 2)), 0, np.ones((1, 1, 1, 1)), padding=(3, 0, 0, 0))


COORDINATES = st.lists(st.fractions(-3, 9, max_denominator=64), min_size=1, max_size=6)


@given(places=COORDINATES)
def test_linear_weights_interpolate_linear_functions(places):
    for place, row in zip(places, linear_weights(places, 6), strict=True):
        assert sum(row.values()) == 1 and all(weight > 0 for weight in row.values())
        assert sum(k * weight for k, weight in row.items()) == min(max(place, Fraction(0)), Fraction(5))


@given(places=COORDINATES, outside=st.booleans())
def test_cubic_weights_sum_to_one_and_pass_through_the_entries(places, outside):
    inside = [p for p in places if 0 <= p <= 5]
    for place, row in zip(inside, cubic_weights(inside, 6, exclude_outside=outside), strict=True):
        assert sum(row.values()) == 1
        assert place.denominator > 1 or row == {int(place): 1}
        if 1 <= place <= 4:  # exact on linear functions where all neighbours are there, for the coefficient -1/2
            half = cubic_weights([place], 6, Fraction(-1, 2))[0]
            assert sum(k * weight for k, weight in half.items()) == place


def test_rounded_weights_say_so():
    exact = interpolation(linear_weights([Fraction(1, 4), Fraction(7, 2)], 5), 5)
    assert exact.coefficient_error == 0 and exact.weight.sum() == 2
    rounded = interpolation(linear_weights([Fraction(1, 3)], 5), 5)
    for weight, true in ((rounded.weight[0, 0], Fraction(2, 3)), (rounded.weight[0, 1], Fraction(1, 3))):
        assert 0 < abs(Fraction(float(weight)) - true) <= Fraction(rounded.coefficient_error) * true
