"""What every kind of affine layer has to do. A kind is held to it by a class that inherits it in `test_affine.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch

from sdpcert.network.activations import relu
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Rearrange, Shape
from sdpcert.network.doubled import merge_doubled
from sdpcert.network.embedding import embed
from sdpcert.network.filters import NotInvariant
from sdpcert.network.graph import Graph
from sdpcert.network.known import Known
from sdpcert.network.rounded import merge_rounded

Array = np.ndarray
#: A layer and the shapes that it is given.
Instance = tuple[AffineLayer, list[Shape]]
ROUNDOFF, SMALLEST = Fraction(1, 2**53), Fraction(1, 2**1074)


def tensors(shapes: Iterable[Shape], count: int = 3, seed: int = 0) -> list[Array]:
    """A batch of random tensors for each shape."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((count, *shape)) for shape in shapes]


def matrices(layer: AffineLayer, shapes: list[Shape]) -> list[Array]:
    """The matrix of every argument, (outputs, inputs), from what the layer makes of unit vectors."""
    found = []
    for k, shape in enumerate(shapes):
        size = int(np.prod(shape))
        given = [np.zeros((size, *s)) for s in shapes]
        given[k] = np.eye(size).reshape(size, *shape)
        found.append(layer.linear(*given).reshape(size, -1).T)
    return found


def exact(matrix: list[Array], given: list[Array], relative: Fraction = Fraction(0)) -> list[list[Fraction]]:
    """The matrices, with entries larger by a relative amount, times a batch in rational arithmetic."""
    whole = np.concatenate(matrix, axis=1)
    vectors = np.concatenate([x.reshape(len(x), -1) for x in given], axis=1)
    return [
        [
            sum(
                (Fraction(float(row[j])) * (1 + relative) * Fraction(float(x[j])) for j in np.flatnonzero(row)),
                Fraction(0),
            )
            for row in whole
        ]
        for x in vectors
    ]


def distances(found: Array, true: list[list[Fraction]]) -> list[Fraction]:
    return [abs(Fraction(float(a)) - b) for a, b in zip(found.ravel(), (v for row in true for v in row), strict=True)]


def fed(layer: AffineLayer, shapes: list[Shape]) -> tuple[Graph, int]:
    """A graph whose flat input holds the arguments one after the other, and the layer's value."""
    sizes = [int(np.prod(s)) for s in shapes]
    graph = Graph((sum(sizes),))
    starts = np.cumsum([0, *sizes])
    given = [
        graph.add(Rearrange(np.arange(a, a + n).reshape(s)), 0) for a, n, s in zip(starts, sizes, shapes, strict=False)
    ]
    return graph, graph.add(layer, *given)


class AffineConformance:
    """The suite; `instances` are made anew for every test, `refused` holds layers with shapes that do not fit."""

    kind: ClassVar[type[AffineLayer]]
    instances: ClassVar[dict[str, Callable[[np.random.Generator], Instance]]]
    refused: ClassVar[list[Instance]]
    #: Names of instances that must become filters on a torus.
    on_torus: ClassVar[set[str]] = set()
    #: How many times too large a norm bound may be.
    loose = 3.0

    def test_the_instances_are_of_the_kind(self, instance: Instance) -> None:
        assert type(instance[0]) is self.kind

    def test_it_is_affine(self, instance: Instance) -> None:
        layer, shapes = instance
        x, y = tensors(shapes), tensors(shapes, seed=1)
        both = layer.linear(*(2 * a - b for a, b in zip(x, y, strict=True)))
        np.testing.assert_allclose(both, 2 * layer.linear(*x) - layer.linear(*y), rtol=1e-12, atol=1e-12)
        assert both.shape[1:] == layer.output_shape(*shapes)
        assert not layer.linear(*(0 * a for a in x)).any()
        np.testing.assert_array_equal(layer(*x), layer.linear(*x) + layer.offset())

    def test_the_adjoint_is_the_transposed_map(self, instance: Instance) -> None:
        layer, shapes = instance
        (output,) = tensors([layer.output_shape(*shapes)])
        back = layer.adjoint(output, *shapes)
        assert [b.shape for b in back] == [(3, *s) for s in shapes]
        for matrix, part in zip(matrices(layer, shapes), back, strict=True):
            np.testing.assert_allclose(part.reshape(3, -1), output.reshape(3, -1) @ matrix, rtol=1e-12, atol=1e-12)

    def test_magnitudes_are_those_of_the_coefficients(self, instance: Instance) -> None:
        layer, shapes = instance
        x = [np.abs(a) for a in tensors(shapes)]
        absolute, magnitude = layer.absolute(), layer.magnitude(*x)
        assert np.all(magnitude >= np.abs(layer.linear(*x)) * (1 - 1e-12))
        np.testing.assert_allclose(magnitude, absolute.linear(*x), rtol=1e-12)
        assert all((m >= 0).all() for m in matrices(absolute, shapes)) and not np.any(absolute.offset())
        whole = np.abs(np.concatenate(matrices(layer, shapes), axis=1))
        reached = np.concatenate([a.reshape(3, -1) for a in x], axis=1) @ whole.T != 0
        assert np.all(layer.reached(x).reshape(3, -1) >= reached)

    def test_norms_are_bounded(self, instance: Instance) -> None:
        layer, shapes = instance
        found = matrices(layer, shapes)
        for matrix, shape in zip(found, shapes, strict=True):
            norm = float(np.linalg.norm(matrix, 2))
            assert norm <= layer.norm_bound(shape) <= self.loose * norm + 1e-300
        x = tensors(shapes)
        gain = layer.gain([np.linalg.norm(a.reshape(3, -1), axis=1) for a in x], shapes)
        assert np.all(np.linalg.norm(layer.linear(*x).reshape(3, -1), axis=1) <= gain * (1 + 1e-12))

    def test_shapes_that_do_not_fit_are_refused(self) -> None:
        for layer, shapes in self.refused:
            with pytest.raises(ValueError) as caught:
                layer.output_shape(*shapes)
            assert len(str(caught.value)) > 20 and "\n" not in str(caught.value)

    def test_torch_computes_the_same(self, instance: Instance) -> None:
        layer, shapes = instance
        x = tensors(shapes)
        given = [torch.tensor(a, requires_grad=True) for a in x]
        result = layer.on_tensors(torch.device("cpu"), torch.float64)(*given)
        np.testing.assert_allclose(result.detach().numpy(), layer(*x), rtol=1e-12, atol=1e-12)
        (output,) = tensors([layer.output_shape(*shapes)], seed=2)
        gradients = torch.autograd.grad(result, given, torch.tensor(output))
        for gradient, back in zip(gradients, layer.adjoint(output, *shapes), strict=True):
            np.testing.assert_allclose(gradient.numpy(), back, rtol=1e-12, atol=1e-12)

    def test_roundings_are_bounded(self, instance: Instance) -> None:
        layer, shapes = instance
        if layer.adds_coefficients(shapes[0]):
            pytest.skip("its matrix is rounded")
        x = [a * 2.0 ** np.random.default_rng(3).integers(-30, 30, a.shape) for a in tensors(shapes)]
        found = layer.linear(*x)
        size = layer.magnitude(*map(np.abs, x)).ravel()
        bound = np.broadcast_to(layer.rounding(x, found), found.shape).ravel()
        steps = layer.roundings
        for relative in {Fraction(0), Fraction(layer.coefficient_error)}:
            true = exact(matrices(layer, shapes), x, relative)
            for lost, stated, most in zip(distances(found, true), bound, size, strict=True):
                assert lost <= Fraction(float(stated)) * (1 + Fraction(1, 2**40))
                assert lost <= (2 * steps * ROUNDOFF + relative) * Fraction(float(most)) + steps * SMALLEST

    @pytest.mark.parametrize("merge", [merge_doubled, merge_rounded])
    def test_merged_coefficients_contain_the_exact_ones(
        self, instance: Instance, merge: Callable[[AffineLayer, list[Known]], Known]
    ) -> None:
        layer, shapes = instance
        if layer.adds_coefficients(shapes[0]):
            pytest.skip("its matrix is rounded")
        high = tensors(shapes)
        low = [2.0**-60 * a for a in tensors(shapes, seed=4)]
        made = merge(layer, [Known(h, l) for h, l in zip(high, low, strict=True)])
        matrix = matrices(layer, shapes)
        for relative in {Fraction(0), Fraction(layer.coefficient_error)}:
            true = [
                [a + b for a, b in zip(u, v, strict=True)]
                for u, v in zip(exact(matrix, high, relative), exact(matrix, low, relative), strict=True)
            ]
            rest = np.zeros_like(made.high) if made.low is None else made.low
            for h, l, error, t in zip(
                made.high.ravel(), rest.ravel(), made.errors.ravel(), (v for row in true for v in row), strict=True
            ):
                assert abs(Fraction(float(h)) + Fraction(float(l)) - t) <= Fraction(float(error))
        if merge is merge_doubled and not layer.coefficient_error:
            assert np.max(made.errors, initial=0.0) <= 2.0**-90 * np.max(np.abs(made.high), initial=1.0)

    def test_the_stacked_form_is_the_matrix(self, instance: Instance) -> None:
        layer, shapes = instance
        graph, value = fed(layer, shapes)
        block = graph.network(value).stacked.blocks[1, 0]
        found = block.weights + (0.0 if block.low is None else block.low)
        expected = np.concatenate(matrices(layer, shapes), axis=1)
        assert np.max(np.abs(found - expected)) <= block.radius + 1e-15 * np.max(np.abs(expected))

    def test_values_that_are_numbered_alike_are_equal(self, instance: Instance) -> None:
        layer, shapes = instance
        graph, value = fed(layer, shapes)
        again = graph.add(layer, *graph.nodes[value - 1].inputs)
        flat = [graph.rearrange(graph.add(relu(), v), np.ravel) for v in (value, again)]
        network = graph.network(graph.add(Concat(), *flat))
        x = tensors([network.input_shape])[0]
        np.testing.assert_allclose(network.stacked.evaluate(x), network(x), rtol=1e-12, atol=1e-12)
        if not layer.coefficient_error:
            assert network.stacked.neurons <= int(np.prod(graph.shape(value)))

    def test_filters_on_a_torus_are_the_layer(self, instance: Instance, name: str) -> None:
        layer, shapes = instance
        if not all(len(s) == 3 for s in shapes):
            pytest.skip("no images")
        rng = np.random.default_rng(5)
        graph = Graph((1, *shapes[0][1:]))
        given = []
        for shape in shapes:
            kernel = rng.standard_normal((shape[0], 1, 3, 3))
            given.append(graph.add(relu(), graph.add(Conv2d(kernel, padding=(1, 1, 1, 1)), 0)))
        value = graph.add(layer, *given)
        try:
            layer.pixels(shapes[0], graph.shape(value))
        except NotInvariant:
            assert name not in self.on_torus
            return
        if getattr(layer, "circular", False):
            pytest.skip("zero and circular padding have no common torus")
        network = graph.network(value)
        embedding = embed(network)
        assert embedding.cut == value
        x = tensors([network.input_shape])[0]
        expected, found = network(x).reshape(3, -1), embedding.value(x)
        np.testing.assert_allclose(found[1:] - found[0], expected[1:] - expected[0], rtol=1e-10, atol=1e-10)

    def test_places_say_which_entries_are_moved(self, instance: Instance) -> None:
        layer, shapes = instance
        places = layer.places(*shapes)
        assert (places is None) == (layer.roundings > 0)
        if places is None:
            return
        x = tensors(shapes)
        flat = np.concatenate([*(a.reshape(3, -1) for a in x), np.zeros((3, 1))], axis=1)
        np.testing.assert_array_equal(layer.linear(*x), flat[:, places])
        assert not layer.perturbation(x).any()

    def test_other_forms_compute_the_same(self, instance: Instance) -> None:
        layer, shapes = instance
        x, shape = tensors(shapes), layer.output_shape(*shapes)
        expected = layer(*x)
        for shift in (np.array(0.5), np.full(shape[-1:], 0.25), np.arange(shape[0]).reshape(-1, 1, 1) / 4):
            fits = shift.ndim <= len(shape)
            shifted = layer.shifted(shift, shape) if fits else None
            if shifted is not None:
                np.testing.assert_allclose(shifted(*x), expected + shift, rtol=1e-14, atol=1e-14)
        if layer.is_elementwise:
            order = np.random.default_rng(6).permutation(int(np.prod(shape)))

            def arrange(entries: Array | float) -> Array:
                return np.broadcast_to(entries, shape).ravel()[order]

            moved = layer.reordered(arrange)(*(a.reshape(3, -1)[:, order] for a in x))
            np.testing.assert_array_equal(moved, expected.reshape(3, -1)[:, order])
        on_channels = layer.on_channels()
        if on_channels is not None:
            image = tensors([(shapes[0][-1], 2, 3)])[0]
            last = layer(np.moveaxis(image, 1, -1))
            np.testing.assert_allclose(on_channels(image), np.moveaxis(last, -1, 1), rtol=1e-12, atol=1e-12)

    def test_costs_are_positive(self, instance: Instance) -> None:
        layer, shapes = instance
        assert layer.operations(layer.output_shape(*shapes)) > 0 and layer.calls > 0
        obstacle = layer.float32_obstacle()
        assert obstacle is None or "float32" in obstacle
