"""Layer by layer: proved norms, and factors that multiply to what the product of norms loses."""

from __future__ import annotations

import math
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.certify.layerwise import LayerBounds, layer_bounds
from sdpcert.network import Dense, Graph, Network, relu
from sdpcert.network.activations import activation_by_name
from sdpcert.network.affine import Concat, Conv2d, Rearrange, Sum
from sdpcert.network.piecewise import maxmin

NETWORKS = Path(__file__).parents[2] / "examples" / "networks"


def norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2))


def chain(sizes: list[int], seed: int) -> Network:
    draw = np.random.default_rng(seed)
    return Network.mlp([draw.normal(size=(b, a)) for a, b in pairwise(sizes)])


def assert_accounted_for(bounds: LayerBounds) -> None:
    """Every number of the account is there, the factors are no gains, and together they are the loss."""
    assert bounds.upper is not None and bounds.lower is not None and bounds.loss is not None
    assert bounds.lower <= bounds.upper <= bounds.product * (1 + 1e-12)
    factors = [stage.inside for stage in bounds.stages] + [stage.joint for stage in bounds.stages[1:]]
    assert all(factor is not None and factor >= 1 - 1e-12 for factor in factors)
    assert math.prod(f for f in factors if f is not None) == pytest.approx(bounds.loss, rel=1e-9)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_norms_of_a_chain_are_proved_and_the_losses_multiply_to_the_whole(sizes: list[int], seed: int) -> None:
    network = chain(sizes, seed)
    bounds = layer_bounds(network)
    true = [norm(node.layer.weight) for node in network.nodes if isinstance(node.layer, Dense)]
    for layer, value in zip(bounds.layers, true, strict=True):
        assert value * (1 - 1e-14) <= layer.upper <= value * (1 + 1e-6)
        assert layer.lower is not None and value * (1 - 1e-6) <= layer.lower <= layer.upper
        assert layer.certificate is not None and layer.certificate.status == "proved"
    assert bounds.product == pytest.approx(math.prod(true), rel=1e-5)
    assert_accounted_for(bounds)


def test_orthogonal_directions_are_a_loss_of_the_joint_where_they_meet() -> None:
    # The first layer stretches only e1 by 3, the second only e2 by 5: they give |W2 W1| = 5 or 3, not 15.
    weights = [np.diag([3.0, 1.0]), np.diag([1.0, 5.0]), np.eye(2)]
    bounds = layer_bounds(Network.mlp(weights), "neuron")
    assert bounds.stages[1].joint == pytest.approx(3, rel=1e-5)
    assert bounds.stages[2].joint == pytest.approx(1, rel=1e-5)
    assert bounds.largest is bounds.layers[1]
    assert "layer 3 (Dense, 2 to 2) first" in bounds.advice
    assert "3 is lost where layer 3 reads" in bounds.advice


def test_paths_that_meet_add_and_what_they_cancel_is_lost_inside() -> None:
    graph = Graph((3,))
    hidden = graph.add(relu(), graph.add(Dense(2 * np.eye(3)), 0))
    branch = graph.add(Dense(-0.5 * np.eye(3)), hidden)
    network = graph.network(graph.add(Sum(), 0, branch))
    bounds = layer_bounds(network, "neuron")
    assert [layer.kind for layer in bounds.layers] == ["Dense", "Dense", "Sum"]
    meeting = bounds.layers[-1]
    assert meeting.lower is None and meeting.certificate is None
    assert meeting.upper == pytest.approx(2, rel=1e-6)  # 1 + 2 * 0.5
    # x - relu(2x)/2 = x - relu(x) = -relu(-x): a constant of one.
    assert bounds.stages[0].inside == pytest.approx(2, rel=1e-5)
    assert_accounted_for(bounds)


def test_branches_side_by_side_count_by_the_root_of_their_squares() -> None:
    graph = Graph((2,))
    left, right = graph.add(Dense(3 * np.eye(2)), 0), graph.add(Dense(4 * np.eye(2)), 0)
    bounds = layer_bounds(graph.network(graph.add(Concat(0), left, right)))
    assert bounds.product == pytest.approx(5, rel=1e-6)
    assert_accounted_for(bounds)


def test_moves_are_no_layers_and_repeated_entries_are() -> None:
    graph = Graph((4,))
    turned = graph.add(Rearrange(np.array([3, 1, 0, 2])), 0)
    doubled = graph.add(Rearrange(np.array([0, 0, 1, 1])), turned)
    bounds = layer_bounds(graph.network(doubled))
    (layer,) = bounds.layers
    assert layer.value == doubled
    assert layer.upper == pytest.approx(math.sqrt(2), rel=1e-9)


def test_an_activation_is_listed_where_it_stretches() -> None:
    gelu = layer_bounds(Network.mlp([np.eye(2), np.eye(2)], activation=activation_by_name("gelu")))
    (activation,) = [layer for layer in gelu.layers if layer.certificate is None]
    assert 1.12 < activation.upper < 1.13
    assert_accounted_for(gelu)
    assert all(layer.certificate for layer in layer_bounds(Network.mlp([np.eye(2)] * 2, activation="tanh")).layers)


def test_maxmin_is_a_stage_that_loses_inside_what_its_paths_add() -> None:
    graph = Graph((4,))
    network = graph.network(maxmin(graph, graph.add(Dense(np.diag([1.0, 2.0, 3.0, 4.0])), 0)))
    bounds = layer_bounds(network, "neuron")
    assert_accounted_for(bounds)
    assert bounds.upper == pytest.approx(4, rel=1e-5)


def test_a_large_layer_between_images_is_bounded_over_frequencies(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    graph = Graph((2, 6, 6))
    network = graph.network(graph.add(Conv2d(draw.normal(size=(2, 2, 3, 3)), padding=(1, 1, 1, 1)), 0))
    unrolled = layer_bounds(network).layers[0]
    monkeypatch.setattr(import_module("sdpcert.certify.norms_of_layers"), "LARGEST_MATRIX", 1)
    torus = layer_bounds(network).layers[0]
    assert torus.certificate is not None and "torus" in torus.certificate.notes[0]
    assert unrolled.lower is not None and unrolled.lower <= torus.upper  # zero padding, in a larger torus
    assert torus.upper <= 1.3 * unrolled.upper


@pytest.mark.parametrize("name", ["digits_mlp", "digits_residual"])
def test_shipped_networks_account_for_their_loss(name: str) -> None:
    bounds = layer_bounds(sdpcert.load(NETWORKS / f"{name}.onnx"))
    assert_accounted_for(bounds)
    assert bounds.summary()["upper"] == bounds.upper
    assert all(layer.upper > 0 for layer in bounds.layers)


def test_an_interrupt_leaves_the_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def certify(*arguments: object, **options: object) -> sdpcert.Certificate:
        calls.append(arguments)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return sdpcert.certify(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(import_module("sdpcert.certify.layerwise"), "certify", certify)
    with pytest.raises(sdpcert.Interrupted) as raised:
        layer_bounds(chain([3, 4, 4, 2], 0))
    bounds = raised.value.result
    assert len(bounds.layers) == 3
    assert [stage.whole is None for stage in bounds.stages] == [False, False, True]
    assert bounds.upper is None and bounds.loss is None
    assert "first: its norm" in bounds.advice


def test_a_network_without_layers_and_what_is_none_are_refused() -> None:
    graph = Graph((2,))
    with pytest.raises(ValueError, match="no affine layer"):
        layer_bounds(graph.network(graph.add(relu(), 0)))
    with pytest.raises(TypeError, match="stacked form has lost them"):
        layer_bounds(chain([2, 3, 2], 0).stacked)
    with pytest.raises(ValueError, match="method"):
        layer_bounds(chain([2, 3, 2], 0), "best")  # type: ignore[arg-type]


def test_a_time_limit_leaves_products_and_the_whole_is_bounded_nevertheless() -> None:
    bounds = layer_bounds(chain([4, 8, 8, 8, 3], 1), time_limit=0.01)
    assert_accounted_for(bounds)
    assert bounds.certificate is not None and bounds.certificate.status == "proved"
    assert [stage.certificate is None for stage in bounds.stages[1:-1]] == [True, True]
    assert bounds.stages[1].joint == 1


def test_an_infinite_time_limit_bounds_every_stage() -> None:
    bounds = layer_bounds(chain([2, 3, 3, 2], 1), time_limit=math.inf)
    assert all(stage.certificate is not None for stage in bounds.stages[1:])


def test_an_interrupt_before_all_norms_are_there_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def certify(*arguments: object, **options: object) -> sdpcert.Certificate:
        raise sdpcert.Interrupted("interrupted", sdpcert.certify(*arguments, **options))  # type: ignore[arg-type]

    monkeypatch.setattr(import_module("sdpcert.certify.layerwise"), "certify", certify)
    with pytest.raises(KeyboardInterrupt) as raised:
        layer_bounds(chain([3, 4, 2], 0))
    assert not isinstance(raised.value, sdpcert.Interrupted)


def test_a_layer_that_is_not_proved_over_frequencies_is_unrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("sdpcert.certify.norms_of_layers"), "LARGEST_MATRIX", 1)
    draw = np.random.default_rng(5)
    graph = Graph((1, 6, 6))
    wide = Conv2d(draw.normal(size=(2, 1, 3, 3)), padding=(1, 1, 1, 1))
    assert layer_bounds(graph.network(graph.add(wide, 0))).layers[0].upper < 7
