"""Transposed convolutions are adjoints of convolutions."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sdpcert.network.affine import Conv2d, ConvTranspose, Rearrange
from sdpcert.network.graph import Graph

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
    """With the output padding that gives back the size of the image, `C' y` is what the convolution's adjoint gives."""
    generator = np.random.default_rng(seed)
    kernel = generator.integers(-4, 5, (2 * groups, 3, *window)).astype(float)
    layer = Conv2d(kernel, None, stride, padding, dilation, groups)
    shape = (3 * groups, *size)
    try:
        output = layer.output_shape(shape)
    except ValueError:
        assume(False)
        return
    left_over = [
        (n + padding[k] + padding[k + 2] - d * (w - 1) - 1) % s
        for k, (n, d, w, s) in enumerate(zip(size, dilation, window, stride, strict=True))
    ]
    transposed = ConvTranspose(kernel, None, stride, padding, (left_over[0], left_over[1]), dilation, groups)
    assert transposed.output_shape(output) == shape
    x = generator.integers(-4, 5, (1, *shape)).astype(float)
    y = generator.integers(-4, 5, (1, *output)).astype(float)
    np.testing.assert_array_equal(transposed.linear(y), layer.adjoint(y, shape)[0])
    np.testing.assert_array_equal(transposed.adjoint(x, output)[0], layer.linear(x))


@given(
    window=st.tuples(SMALL, SMALL),
    stride=st.tuples(SMALL, SMALL),
    padding=st.tuples(*[st.integers(-1, 2)] * 4),
    output_padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=st.integers(1, 2),
)
@settings(max_examples=60, deadline=None)
def test_it_is_a_convolution_of_the_image_with_zeros_between_its_pixels(
    window, stride, padding, output_padding, groups
):
    """In values, in the stacked form, and in its hash: files that were certified in that form still bind."""
    generator = np.random.default_rng(0)
    kernel = generator.standard_normal((2 * groups, 2, *window))
    bias = generator.standard_normal(2 * groups)
    shape = (2 * groups, 3, 4)
    layer = ConvTranspose(kernel, bias, stride, padding, output_padding, (1, 1), groups)
    around = [
        (w - 1 - padding[axis], w - 1 - padding[axis + 2] + output_padding[axis]) for axis, w in enumerate(window)
    ]
    assume(all(margin >= 0 for pair in around for margin in pair))
    image = np.arange(np.prod(shape)).reshape(shape)
    spread = np.full((shape[0], 2 * stride[0] + 1, 3 * stride[1] + 1), -1)
    spread[:, :: stride[0], :: stride[1]] = image
    flipped = kernel.reshape(groups, 2, 2, *window).swapaxes(1, 2).reshape(2 * groups, 2, *window)[:, :, ::-1, ::-1]
    pads = (around[0][0], around[1][0], around[0][1], around[1][1])
    first, second = Graph(shape), Graph(shape)
    one = first.network(first.add(layer, 0))
    other = second.network(
        second.add(Conv2d(flipped.copy(), bias, padding=pads, groups=groups), second.add(Rearrange(spread), 0))
    )
    x = generator.standard_normal((2, *shape))
    np.testing.assert_allclose(one(x), other(x), rtol=1e-14, atol=1e-14)
    assert one.stacked.sha256 == other.stacked.sha256
