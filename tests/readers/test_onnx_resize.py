"""Transposed convolution, Resize and Upsample against the runtimes."""

from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx_models import agrees, model, refused, save

from sdpcert import certify
from sdpcert.network.affine import ConvTranspose, Rearrange
from sdpcert.readers import load

node = helper.make_node
R = np.random.default_rng(5)


def w(*shape: int) -> np.ndarray:
    return R.standard_normal(shape)


def one(operator: str, shape: tuple[int | str, ...], inputs: list[str], constants: Any, opset: int, **attributes: Any):
    return model([node(operator, ["x", *inputs], ["y"], "n", **attributes)], shape, constants, opset)


def transposed(shape: tuple[int, ...], constants: Any, opset: int = 17, **attributes: Any):
    return one("ConvTranspose", shape, list(constants), constants, opset, **attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 3]},
        {"pads": [1, 0, 2, 1]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [3, 2], "pads": [2, 1, 2, 2], "dilations": [2, 1], "output_padding": [2, 0]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "auto_pad": "VALID"},
        {"strides": [2, 2], "output_shape": [8, 7]},
        {"strides": [2, 1], "output_shape": [8, 5], "auto_pad": "SAME_UPPER"},
    ],
)
@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolution(attributes, group, tmp_path):
    agrees(transposed((1, 4, 4, 4), {"k": w(4, 3, 3, 2), "b": w(3 * group)}, group=group, **attributes), tmp_path, 1)


def test_transposed_convolution_of_sequences_and_batches(tmp_path):
    agrees(transposed((1, 2, 5), {"k": w(2, 3, 4)}, strides=[3], pads=[1, 2], output_padding=[2]), tmp_path)
    network = agrees(transposed((3, 2, 5, 4), {"k": w(2, 3, 2, 2), "b": w(3)}, strides=[2, 2]), tmp_path)
    assert network.input_shape == (2, 5, 4)


def test_residual_block_of_public_code_stays_convolutional(tmp_path):
    nodes = [
        node("Conv", ["x", "k"], ["h"], pads=[1, 1, 1, 1]),
        node("Relu", ["h"], ["r"]),
        node("ConvTranspose", ["r", "k"], ["t"], pads=[1, 1, 1, 1]),
        node("Mul", ["t", "two"], ["s"]),
        node("Sub", ["x", "s"], ["y"]),
    ]
    kernel = w(2, 1, 3, 3) / 12
    network = agrees(model(nodes, (1, 1, 4, 4), {"k": kernel, "two": np.float32(2)}), tmp_path)
    assert not any(isinstance(n.layer, Rearrange) for n in network.nodes)
    assert certify(network, form="frequency").status == "proved"


@pytest.mark.parametrize(
    ("constants", "attributes", "words"),
    [
        ({"k": np.ones((3, 1, 2, 2))}, {}, ["channels"]),
        ({"k": np.ones((2, 1, 2, 2))}, {"group": 0}, ["groups"]),
        ({"k": np.ones((2, 1, 2, 2)), "b": np.ones(3)}, {}, ["bias"]),
        ({"k": np.ones((2, 1, 2, 2))}, {"pads": [3, 3, 3, 3]}, ["ConvTranspose", "'n'"]),
        ({"k": np.ones((2, 1, 2, 2))}, {"strides": [2**20, 2**20]}, ["limit"]),
        ({"k": np.ones((2, 1, 2, 2))}, {"auto_pad": "AROUND"}, ["AROUND"]),
        ({"k": np.ones((2, 1, 2, 2))}, {"output_padding": [-1, 0]}, ["output_padding"]),
    ],
)
def test_transposed_convolutions_that_do_not_fit(constants, attributes, words, tmp_path):
    refused(save(transposed((1, 2, 3, 3), constants, **attributes), tmp_path), "ConvTranspose", *words)


MODES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
SCALES = [(2.0, 2.0), (3.0, 1.0), (0.5, 1.5), (0.6, 2.4), (1 / 3, 0.4)]


@pytest.mark.parametrize("coordinates", [*MODES, "half_pixel_symmetric"])
@pytest.mark.parametrize("rule", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("scales", SCALES)
def test_nearest(coordinates, rule, scales, tmp_path):
    if coordinates == "half_pixel_symmetric" and scales[0] == 0.6:
        scales = (0.7, 2.4)  # 0.6 has a tie that the rounding of float32 decides
    proto = one(
        "Resize",
        (1, 2, 5, 6),
        ["", "s"],
        {"s": np.array([1, 1, *scales])},
        19,
        mode="nearest",
        nearest_mode=rule,
        coordinate_transformation_mode=coordinates,
    )
    network = agrees(proto, tmp_path, 1)
    assert all(isinstance(n.layer, Rearrange) for n in network.nodes)


@pytest.mark.parametrize("coordinates", [*MODES, "half_pixel_symmetric"])
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_interpolation(coordinates, scales, mode, tmp_path):
    proto = one(
        "Resize",
        (1, 2, 5, 6),
        ["", "s"],
        {"s": np.array([1, 1, *scales])},
        19,
        mode=mode,
        coordinate_transformation_mode=coordinates,
    )
    agrees(proto, tmp_path, 1)


@pytest.mark.parametrize("attributes", [{"cubic_coeff_a": -0.5}, {"exclude_outside": 1}])
def test_cubic_coefficients(attributes, tmp_path):
    constants = {"s": np.array([1, 1, 1.5, 2.5])}
    agrees(one("Resize", (1, 1, 5, 4), ["", "s"], constants, 13, mode="cubic", **attributes), tmp_path, 1)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("sizes", [(9, 13), (3, 4), (5, 1)])
def test_sizes(mode, sizes, tmp_path):
    constants = {"n": np.array([1, 2, *sizes])}
    agrees(one("Resize", (1, 2, 5, 6), ["", "", "n"], constants, 13, mode=mode), tmp_path, 1)
    agrees(
        one("Resize", ("N", 2, 5, 6), ["", "", "m"], {"m": np.array(sizes)}, 18, mode=mode, axes=[2, 3]), tmp_path, 1
    )


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_kept_ratio(policy, tmp_path):
    constants = {"m": np.array([10, 9])}
    attributes = {"axes": [2, 3], "keep_aspect_ratio_policy": policy}
    agrees(one("Resize", (1, 2, 5, 6), ["", "", "m"], constants, 18, mode="linear", **attributes), tmp_path, 1)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2.0, 2.0), (1.5, 3.0), (0.5, 0.5), (0.6, 0.75)])
def test_operator_sets_before_eleven(mode, scales, tmp_path):
    constants = {"s": np.array([1, 1, *scales])}
    agrees(one("Resize", (1, 2, 4, 6), ["s"], constants, 10, mode=mode), tmp_path, 1)
    if min(scales) >= 1:
        agrees(one("Upsample", (1, 2, 4, 6), ["s"], constants, 9, mode=mode), tmp_path, 1)
        agrees(one("Upsample", (1, 2, 4, 6), [], {}, 7, mode=mode, scales=[1.0, 1.0, *scales]), tmp_path, 1)


def test_large_images_and_sequences(tmp_path):
    """Coordinates in the hundreds are rounded in float32, which the comparison must allow for."""
    agrees(one("Resize", (1, 1, 3, 300), ["", "s"], {"s": np.array([1, 1, 1, 0.77])}, 13, mode="linear"), tmp_path, 1)
    agrees(one("Resize", (1, 2, 7), ["", "s"], {"s": np.array([1, 1, 2.5])}, 13, mode="linear"), tmp_path, 1)


def test_batch_stays_a_batch(tmp_path):
    for mode in ("nearest", "linear"):
        proto = one("Resize", (3, 2, 4, 4), ["", "s"], {"s": np.array([1, 1, 2.0, 2.0])}, 13, mode=mode)
        assert agrees(proto, tmp_path, 1).input_shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("inputs", "constants", "attributes", "words"),
    [
        (["", "s"], {"s": np.array([1, 1, 0.5, 0.5])}, {"antialias": 1, "mode": "linear"}, ["antialias"]),
        (
            ["r", "s"],
            {"s": np.array([1, 1, 2.0, 2.0]), "r": np.array([0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9])},
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            ["tf_crop_and_resize"],
        ),
        (["", "s"], {"s": np.array([1, 1, 0.1, 2.0])}, {}, ["nothing"]),
        (["", "s"], {"s": np.array([1, 1, -1.0, 2.0])}, {}, ["positive"]),
        (["", "s"], {"s": np.array([1, 1, np.nan, 2.0])}, {}, ["positive"]),
        (["", "s"], {"s": np.array([1, 1, 2.0])}, {}, ["one for each axis"]),
        ([], {}, {}, ["scales or sizes"]),
        (["", "s"], {"s": np.array([1, 1, 1e5, 1e5])}, {}, ["limit"]),
        (["", "s"], {"s": np.array([1, 1, 2.0, 2.0])}, {"nearest_mode": "none"}, ["'none'"]),
        (["", "s"], {"s": np.array([1, 1, 2.0, 2.0])}, {"mode": "sharp"}, ["'sharp'"]),
    ],
)
def test_refused(inputs, constants, attributes, words, tmp_path):
    refused(save(one("Resize", (1, 1, 4, 4), inputs, constants, 18, **attributes), tmp_path), "Resize", *words)


def test_a_wrong_neighbour_is_noticed(tmp_path, monkeypatch):
    from sdpcert.readers.operators import resize as onnx_resize

    constants = {"s": np.array([1, 1, 1.5, 2.0])}
    path = save(one("Resize", (1, 1, 4, 4), ["", "s"], constants, 13, mode="nearest"), tmp_path)
    load(path)
    monkeypatch.setattr(onnx_resize, "_nearest", lambda rule, place, shrinks: int(place))
    refused(path, "does not compute")


def test_doubling_has_norm_two(tmp_path):
    proto = one("Resize", (1, 1, 3, 3), ["", "s"], {"s": np.array([1, 1, 2.0, 2.0])}, 13, mode="nearest")
    assert certify(load(save(proto, tmp_path))).upper == pytest.approx(2.0, rel=1e-6)
    layers = [n.layer for n in load(save(transposed((1, 1, 3, 3), {"k": w(1, 1, 2, 2)}), tmp_path)).nodes]
    assert [type(layer) for layer in layers] == [ConvTranspose]
