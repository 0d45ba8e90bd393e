"""The stacked form: the same function as the network, with radii that bound the rounding of folded layers."""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network, certify
from sdpcert.network import activations as act
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.earlier import earlier_rules
from sdpcert.network.graph import Graph
from sdpcert.network.piecewise import householder, max_pool, maxmin
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.network.stacking import stack

Array = np.ndarray


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- networks of many kinds


def plain_mlp() -> Network:
    rng = rng_of(1)
    weights = [rng.standard_normal((b, a)) for a, b in ((4, 6), (6, 6), (6, 3))]
    return Network.mlp(weights, [rng.standard_normal(len(w)) for w in weights])


def linear() -> Network:
    rng = rng_of(2)
    return Network.mlp([rng.standard_normal((3, 5))], [rng.standard_normal(3)])


def identity() -> Network:
    return Graph((2, 3)).network(0)


def convolutional() -> Network:
    rng = rng_of(3)
    graph = Graph((2, 6, 5))
    v = graph.add(Scale(rng.standard_normal((2, 1, 1)), rng.standard_normal((2, 1, 1))), 0)
    v = graph.add(Conv2d(rng.standard_normal((4, 2, 3, 3)), rng.standard_normal(4), (1, 1), (1, 1, 1, 1)), v)
    v = graph.add(Scale(rng.standard_normal((4, 1, 1)), rng.standard_normal((4, 1, 1))), v)
    v = graph.add(act.leaky_relu(np.array([[[0.1]], [[-0.4]], [[0.0]], [[1.5]]])), v)
    v = max_pool(graph, v, (2, 2), (2, 2), (0, 0, 0, 1))
    v = graph.add(Conv2d(rng.standard_normal((4, 2, 2, 2)), None, (1, 1), (1, 0, 0, 1), (1, 1), 2), v)
    v = graph.add(act.silu(), v)
    v = graph.rearrange(v, np.ravel)
    return graph.network(graph.add(Dense(rng.standard_normal((3, graph.shape(v)[0])), rng.standard_normal(3)), v))


def residual() -> Network:
    rng = rng_of(4)
    graph = Graph((5,))
    a = graph.add(act.relu(), graph.add(Dense(rng.standard_normal((5, 5)), rng.standard_normal(5)), 0))
    b = graph.add(Sum((1, -1)), 0, graph.add(Dense(rng.standard_normal((5, 5))), a))
    c = graph.add(act.tanh(), graph.add(Dense(rng.standard_normal((4, 5))), b))
    d = graph.add(Concat(0), c, a, b)
    e = graph.add(act.absolute(), graph.add(Rearrange(np.array([3, -1, 8, 13, 0, 0])), d))
    return graph.network(
        graph.add(Sum((1, 1, -1)), graph.rearrange(e, lambda i: i[:4]), c, graph.rearrange(b, lambda i: i[:4]))
    )


def sorting() -> Network:
    rng = rng_of(5)
    graph = Graph((4,))
    v = maxmin(graph, graph.add(Dense(rng.standard_normal((6, 4)), rng.standard_normal(6)), 0))
    v = householder(graph, v, np.array([0, 5]), np.array([3, 1]), rng.standard_normal(2))
    return graph.network(graph.add(Dense(rng.standard_normal((2, 6))), v))


def linear_activations() -> Network:
    rng = rng_of(6)
    graph = Graph((3,))
    v = graph.add(act.leaky_relu(1.0), graph.add(Dense(rng.standard_normal((4, 3)), rng.standard_normal(4)), 0))
    return graph.network(graph.add(act.sigmoid(), graph.add(Dense(rng.standard_normal((2, 4))), v)))


KINDS = [plain_mlp, linear, identity, convolutional, residual, sorting, linear_activations]


@pytest.mark.parametrize("build", KINDS)
def test_forward_pass_is_the_networks(build) -> None:
    network = build()
    form = network.unshared
    x = rng_of(7).standard_normal((20, *network.input_shape)) * 3
    expected = network(x).reshape(20, -1)
    for made in (form, network.stacked):
        np.testing.assert_allclose(made.evaluate(x.reshape(20, -1)), expected, rtol=1e-12, atol=1e-12)
    assert form.inputs == np.prod(network.input_shape) and form.outputs == expected.shape[1]
    # Neurons that read the same are one neuron.
    assert form.neurons <= network.neurons == network.unshared.neurons


@pytest.mark.parametrize("build", KINDS)
def test_jacobian_is_the_derivative(build) -> None:
    form = build().stacked
    point, h = rng_of(8).standard_normal(form.inputs), 1e-6
    moves = np.eye(form.inputs) * h
    quotient = (form.evaluate(point + moves) - form.evaluate(point - moves)) / (2 * h)
    np.testing.assert_allclose(form.jacobian(point), quotient.T, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("build", KINDS)
def test_blocks_are_strictly_lower(build) -> None:
    form = build().stacked
    for (to, source), block in form.blocks.items():
        assert 0 <= source < to <= form.output_row
        assert block.weights.shape == (form.sizes[to], form.sizes[source])
        assert block.weights.flags.c_contiguous and block.weights.dtype == np.float64


# ---------------------------------------------------------------- radii


def test_weights_that_stand_in_the_model_are_taken_as_they_are() -> None:
    rng = rng_of(9)
    weights = [rng.standard_normal((b, a)) * 10.0 ** rng.integers(-20, 20) for a, b in ((4, 6), (6, 5), (5, 3))]
    form = Network.mlp(weights, [rng.standard_normal(len(w)) for w in weights], "sigmoid").stacked
    assert sorted(form.blocks) == [(1, 0), (2, 1), (3, 2)]
    for (_, source), block in form.blocks.items():
        assert block.radius == 0
        np.testing.assert_array_equal(block.weights, weights[source])


def test_convolutions_and_skips_are_taken_as_they_are() -> None:
    rng = rng_of(10)
    kernel = rng.standard_normal((3, 2, 3, 3))
    graph = Graph((2, 4, 4))
    v = graph.add(act.relu(), graph.add(Conv2d(kernel, rng.standard_normal(3), (1, 1), (1, 1, 1, 1)), 0))
    w = graph.add(Conv2d(rng.standard_normal((2, 3, 3, 3)), None, (1, 1), (1, 1, 1, 1)), v)
    form = graph.network(graph.add(Sum(), w, 0)).stacked
    assert all(block.radius == 0 for block in form.blocks.values())
    values = form.blocks[1, 0].weights
    assert set(values[values != 0]) <= set(kernel.ravel())
    np.testing.assert_array_equal(form.blocks[2, 0].weights, np.eye(32))


def exact_matrix(layers: list[Dense | Scale], inputs: int) -> list[list[Fraction]]:
    rows = [[Fraction(int(i == j)) for j in range(inputs)] for i in range(inputs)]
    for layer in layers:
        if isinstance(layer, Scale):
            factor = np.broadcast_to(np.asarray(layer.factor, dtype=float), len(rows))
            rows = [[Fraction(float(f)) * x for x in row] for f, row in zip(factor, rows, strict=True)]
        else:
            rows = [
                [
                    sum((Fraction(float(w)) * row[j] for w, row in zip(line, rows, strict=True)), Fraction(0))
                    for j in range(inputs)
                ]
                for line in layer.weight
            ]
    return rows


def holds(block: Block | None, exact: list[list[Fraction]]) -> bool:
    if block is None:
        return not any(any(row) for row in exact)
    radius, low = Fraction(block.radius), np.zeros_like(block.weights) if block.low is None else block.low
    return all(
        abs(Fraction(float(w)) + Fraction(float(v)) - x) <= radius
        for line, rest, row in zip(block.weights, low, exact, strict=True)
        for w, v, x in zip(line, rest, row, strict=True)
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(st.sampled_from(["dense", "scale"]), min_size=1, max_size=5),
    spread=st.sampled_from([0, 5, 40]),
    dyadic=st.booleans(),
)
def test_radius_bounds_the_rounding_of_folded_layers(seed: int, kinds: list[str], spread: int, dyadic: bool) -> None:
    """Chains of affine layers against exact fractions, in sizes that cancel and scales that differ widely."""
    rng = rng_of(seed)
    inputs = size = int(rng.integers(1, 5))
    graph, value, layers = Graph((inputs,)), 0, []
    for kind in kinds:
        if kind == "scale":
            factor = rng.standard_normal(size) * 10.0 ** rng.uniform(-spread, spread, size)
            layer: Dense | Scale = Scale(np.ldexp(1.0, rng.integers(-150, 150, size)) if dyadic else factor)
        else:
            new = int(rng.integers(1, 5))
            weight = rng.standard_normal((new, size)) * 10.0 ** rng.uniform(-spread, spread, (new, size))
            layer, size = Dense(weight * (rng.random((new, size)) < 0.8)), new
        value = graph.add(layer, value)
        layers.append(layer)
    form = graph.network(value).stacked
    assert holds(form.blocks.get((1, 0)), exact_matrix(layers, inputs))
    block = form.blocks.get((1, 0))
    if block is not None and not spread and not dyadic:
        assert block.radius <= 1e-27 * 5.0 ** len(kinds) * 10


def multiplied(left: list[list[Fraction]], right: list[list[Fraction]]) -> list[list[Fraction]]:
    columns = list(zip(*right, strict=True))
    sparse = [[(k, a) for k, a in enumerate(row) if a] for row in left]
    return [[sum((a * column[k] for k, a in row if column[k]), Fraction(0)) for column in columns] for row in sparse]


def random_graph(rng: np.random.Generator, scale: Callable[[], float]) -> tuple[Network, list[list[Fraction]]]:
    """A small graph of affine layers and the exact matrix that it is; weights times powers of two from `scale`."""
    inputs = int(rng.integers(1, 4))
    graph = Graph((inputs,))
    values = [(0, exact_matrix([], inputs))]
    for _ in range(int(rng.integers(1, 7))):
        value, matrix = values[rng.integers(len(values))]
        size, kind = len(matrix), rng.integers(5)
        if kind == 0:
            weight = np.array(
                [[rng.standard_normal() * scale() for _ in range(size)] for _ in range(rng.integers(1, 4))]
            )
            layer: AffineLayer = Dense(weight * (rng.random(weight.shape) < 0.8))
            matrix = multiplied(exact_matrix([layer], size), matrix)
        elif kind == 1:
            factor = np.array([rng.standard_normal() * scale() for _ in range(size)])
            layer, matrix = (
                Scale(factor),
                [[Fraction(f) * x for x in row] for f, row in zip(factor, matrix, strict=True)],
            )
        elif kind == 2:
            order = rng.integers(-1, size, int(rng.integers(1, 4)))
            layer, matrix = Rearrange(order), [matrix[k] if k >= 0 else [Fraction(0)] * inputs for k in order]
        else:
            other = [(v, m) for v, m in values if len(m) == size]
            second, more = other[rng.integers(len(other))]
            signs = (1, int(rng.choice([-1, 1])))
            layer = Sum(signs) if kind == 3 else Concat(0)
            joined = [[x + signs[1] * y for x, y in zip(a, b, strict=True)] for a, b in zip(matrix, more, strict=True)]
            values.append((graph.add(layer, value, second), joined if kind == 3 else [*matrix, *more]))
            continue
        values.append((graph.add(layer, value), matrix))
    return graph.network(values[-1][0]), values[-1][1]


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["one", "near", "far", "ends", "mixed"]))
@settings(max_examples=400)
def test_any_merge_contains_the_exact_one_or_says_that_it_does_not_know(seed: int, kind: str) -> None:
    """Weights from 2^-1070 to 2^1020: block and radius hold the exact product, or the radius is infinite."""
    rng = rng_of(seed)
    scales = {
        "one": lambda: 1.0,
        "near": lambda: 2.0 ** float(rng.integers(-40, 40)),
        "far": lambda: 2.0 ** float(rng.integers(-500, 500)),
        "ends": lambda: 2.0 ** float(rng.choice([-1070, -1022, -540, 0, 510, 1020])),
        "mixed": lambda: 2.0 ** float(rng.integers(-1070, 1020)),
    }
    network, exact = random_graph(rng, scales[kind])
    for rounded in (False, True):
        block = stack(network, rounded).blocks.get((1, 0))
        if block is None or block.finite:
            assert holds(block, exact)
        else:
            assert block.radius == np.inf
            with pytest.raises(ValueError, match="overflow"):
                certify(StackedForm(block.weights.shape[1], len(exact), (), {(1, 0): block}, np.zeros(len(exact))))
        if block is not None and kind == "one":
            assert block.radius <= (1e-12 if rounded else 1e-27)


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(np.full((1, 1), 1e-200)), Scale(np.full(1, 1e-200)), Scale(np.full(1, 1e300)), Scale(np.full(1, 1e300))],
        [Dense(np.full((2, 1), 3e-170)), Dense(np.full((1, 2), 3e-170)), Dense(np.full((1, 1), 1e300))],
        [Scale(np.full(1, 2.0**-100)), Dense(np.full((1, 1), 3e-300)), Scale(np.full(1, 1e300))],
        [Scale(np.full(1, 1e-308)), Scale(np.full(1, 1e-10)), Scale(np.full(1, 1e300))],
    ],
    ids=["product below the smallest", "sum below the smallest", "power of two times a tiny weight", "subnormal"],
)
def test_radius_covers_underflow(layers: list[Dense | Scale]) -> None:
    graph, value = Graph((1,)), 0
    for layer in layers:
        value = graph.add(layer, value)
    form = graph.network(value).stacked
    assert holds(form.blocks.get((1, 0)), exact_matrix(layers, 1))


def test_radius_of_branches_that_meet() -> None:
    """A sum of two folded branches, one with a cancellation, and a batch normalisation behind it."""
    rng = rng_of(11)
    a, b, c = (Dense(rng.standard_normal((3, 3))) for _ in range(3))
    scale = Scale(rng.standard_normal(3), rng.standard_normal(3))
    graph = Graph((3,))
    left = graph.add(b, graph.add(a, 0))
    total = graph.add(Sum((1, -1)), left, graph.add(c, 0))
    form = graph.network(graph.add(scale, total)).stacked
    one, two = exact_matrix([a, b], 3), exact_matrix([c], 3)
    exact = [
        [Fraction(float(s)) * (p - q) for p, q in zip(u, v, strict=True)]
        for s, u, v in zip(np.asarray(scale.factor), one, two, strict=True)
    ]
    block = form.blocks[1, 0]
    assert 0 < block.radius < 1e-28
    assert holds(block, exact)


@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0, 30, 250]),
    uncertain=st.sampled_from([0.0, 2.0**-40]),
)
@settings(max_examples=30)
def test_merged_convolutions_contain_the_exact_product(seed: int, spread: int, uncertain: float) -> None:
    """Scale, convolution, scale, convolution of every geometry, against the product of the layers' exact matrices.

    Four factors of 2^250 are within the range of float64, of 2^300 they are not.
    """
    rng = rng_of(seed)
    graph, value = Graph((2, 4, 3)), 0
    exact = exact_matrix([], 24)
    for channels in (4, 2):
        shape = graph.shape(value)
        factor = rng.standard_normal((shape[0], 1, 1)) * 2.0 ** rng.integers(-spread, spread + 1, (shape[0], 1, 1))
        groups, side = int(rng.choice([1, 2])), int(rng.integers(1, 3))
        kernel = rng.standard_normal((channels, shape[0] // groups, side, 2))
        kernel *= 2.0 ** rng.integers(-spread, spread + 1, kernel.shape)
        stride, circular = (int(rng.integers(1, 3)), 1), bool(rng.random() < 0.5)
        conv = Conv2d(kernel, None, stride, (0, 1, 1, 0), (1, 1), groups, uncertain, circular)
        for layer in (Scale(factor), conv):
            size = int(np.prod(graph.shape(value)))
            unit = layer.linear(np.eye(size).reshape(size, *graph.shape(value))).reshape(size, -1).T
            exact = multiplied([[Fraction(float(x)) for x in row] for row in unit], exact)
            value = graph.add(layer, value)
    block = graph.network(value).stacked.blocks[1, 0]
    assert block.finite and holds(block, exact)
    if not spread and not uncertain:
        assert block.radius <= 1e-27
    if uncertain:
        grown = [[x * (1 + Fraction(uncertain)) ** 2 for x in row] for row in exact]
        assert holds(block, grown)


def test_errors_in_norm_do_not_grow_with_absolute_values() -> None:
    """Twenty-four reflections: absolute values make bounds grow by four a layer, norms leave them what they are."""
    rng = rng_of(13)
    graph, value = Graph((16,)), 0
    for _ in range(24):
        v = rng.standard_normal(16)
        value = graph.add(Dense(np.eye(16) - 2 * np.outer(v, v) / (v @ v)), value)
        mixed = np.linalg.qr(rng.standard_normal((16, 16)))[0]
        value = graph.add(Dense(mixed), value)
    assert graph.network(value).stacked.blocks[1, 0].radius <= 1e-25


def test_rounded_coefficients_are_charged() -> None:
    weight = np.array([[1 / 3, 3.0], [5.0, 1 / 7]])
    graph = Graph((2,))
    form = graph.network(graph.add(Dense(weight, None, coefficient_error=2.0**-52), 0)).stacked
    exact = [[Fraction(1, 3), Fraction(3)], [Fraction(5), Fraction(1, 7)]]
    assert holds(form.blocks[1, 0], exact)
    assert 5 * 2.0**-52 <= form.blocks[1, 0].radius <= 5.01 * 2.0**-52
    assert form.blocks[1, 0].low is None  # digits below the radius mean nothing


def test_uncertain_scales_of_exact_layers_are_charged_entry_by_entry() -> None:
    rng = rng_of(14)
    graph = Graph((5,))
    value = graph.add(Dense(rng.standard_normal((4, 5))), 0)
    graph.add(Scale(rng.standard_normal(4), coefficient_error=2.0**-50), value)
    block = graph.network(2).stacked.blocks[1, 0]
    assert block.low is None
    assert block.radius <= 1.2 * 2.0**-50 * np.max(np.abs(block.weights))


# ---------------------------------------------------------------- rows, reduction, hash


def random_sparse_form(seed: int, density: float) -> StackedForm:
    """A form with skips in which many weights are zero, so that neurons are constant or reach nothing."""
    rng = rng_of(seed)
    graph = Graph((int(rng.integers(1, 4)),))
    values = [0]
    for _ in range(int(rng.integers(1, 5))):
        size = int(rng.integers(1, 5))
        total = None
        for source in values:
            if total is not None and rng.random() < 0.5:
                continue
            weight = rng.standard_normal((size, graph.shape(source)[0]))
            part = graph.add(Dense(weight * (rng.random(weight.shape) < density), rng.standard_normal(size)), source)
            total = part if total is None else graph.add(Sum(), total, part)
        values.append(graph.add(act.relu(), total if total is not None else 0))
    last = graph.shape(values[-1])[0]
    weight = rng.standard_normal((2, last))
    return graph.network(graph.add(Dense(weight * (rng.random(weight.shape) < density)), values[-1])).stacked


@given(seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.2, 0.5, 0.9]))
def test_reduction_keeps_exactly_what_is_on_a_path(seed: int, density: float) -> None:
    form = random_sparse_form(seed, density)
    sizes = form.sizes
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    edges = np.zeros((offsets[-1], offsets[-1]), dtype=bool)
    for (to, source), block in form.blocks.items():
        part = (block.weights != 0) | (block.radius > 0)
        edges[offsets[to] : offsets[to + 1], offsets[source] : offsets[source + 1]] = part
    forward, backward = np.zeros(offsets[-1], dtype=bool), np.zeros(offsets[-1], dtype=bool)
    forward[: form.inputs], backward[offsets[-2] :] = True, True
    for _ in sizes:
        forward |= edges @ forward
        backward |= edges.T @ backward
    on_path = [forward[a:b] & backward[a:b] for a, b in itertools.pairwise(offsets)]
    reduced = form.reduced()
    kept = [k for k in range(1, form.output_row) if on_path[k].any()]
    assert [g.size for g in reduced.groups] == [on_path[k].sum() for k in kept]
    numbers = {0: 0, **dict(enumerate(kept, start=1)), len(kept) + 1: form.output_row}
    for (to, source), block in reduced.blocks.items():
        old = form.blocks[numbers[to], numbers[source]]
        rows = on_path[numbers[to]] if to <= len(kept) else np.ones(form.outputs, dtype=bool)
        columns = on_path[numbers[source]] if source else np.ones(form.inputs, dtype=bool)
        np.testing.assert_array_equal(block.weights, old.weights[np.ix_(rows, columns)])
        assert block.radius == old.radius
    again = reduced.reduced()
    assert again.sha256 == reduced.sha256
    # Norms of products are what is certified: with all slopes at one they are unchanged.
    np.testing.assert_allclose(all_active(reduced), all_active(form), rtol=1e-12, atol=1e-12)


def all_active(form: StackedForm) -> Array:
    maps = [np.eye(form.inputs)]
    for to in range(1, form.output_row + 1):
        total = np.zeros((form.sizes[to], form.inputs))
        for source, block in form.row(to).items():
            total += block.weights @ maps[source]
        maps.append(total)
    return maps[-1]


def test_nothing_to_reduce_returns_the_form_itself() -> None:
    form = plain_mlp().stacked
    assert form.reduced() is form


def test_output_rows() -> None:
    form = residual().stacked
    part = form.output_rows([3, 0])
    x = rng_of(12).standard_normal((9, 5))
    np.testing.assert_array_equal(part.evaluate(x), form.evaluate(x)[:, [3, 0]])
    for rows in ([], [4], [-1]):
        with pytest.raises(ValueError):
            form.output_rows(rows)


def document_hash(form: StackedForm) -> str:
    """SHA-256 as docs/certificate-format.md has it."""
    doubled = any(block.low is not None for block in form.blocks.values())
    data = (b"sdpcert-network-2" if doubled else b"sdpcert-network-1") + struct.pack(
        "<qqq", form.inputs, form.outputs, len(form.groups)
    )
    for group in form.groups:
        data += struct.pack("<q", len(group.alpha))
        data += b"".join(struct.pack("<d", a) for a in group.alpha) + b"".join(struct.pack("<d", b) for b in group.beta)
    for to, source in sorted(form.blocks):
        block = form.blocks[to, source]
        data += struct.pack("<qqd", to, source, block.radius)
        data += b"".join(struct.pack("<d", w) for w in block.weights.ravel())
        if doubled:
            data += struct.pack("<q", block.low is not None)
            data += b"" if block.low is None else b"".join(struct.pack("<d", w) for w in block.low.ravel())
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("build", KINDS)
def test_hash_is_that_of_the_format_document(build) -> None:
    form = build().stacked
    assert form.sha256 == document_hash(form)
    assert form.reduced().sha256 == document_hash(form.reduced())


def test_hash_sees_every_part() -> None:
    seen = {plain_mlp().stacked.sha256}
    rng = rng_of(1)
    weights = [rng.standard_normal((b, a)) for a, b in ((4, 6), (6, 6), (6, 3))]
    changed = [w.copy() for w in weights]
    changed[1][2, 3] = np.nextafter(changed[1][2, 3], 9)
    for other in (
        Network.mlp(changed),
        Network.mlp(weights, None, "abs"),
        Network.mlp([weights[0], weights[1].T, weights[2]]),
        Network.mlp(weights[:1]),
    ):
        assert other.stacked.sha256 not in seen
        seen.add(other.stacked.sha256)
    assert Network.mlp(weights).stacked.sha256 in seen  # biases do not enter


def test_unrolled_networks_beyond_memory_are_refused() -> None:
    graph = Graph((3, 112, 112))
    with pytest.raises(ValueError, match="GiB"):
        _ = graph.network(graph.add(act.relu(), 0)).stacked


def test_taps_that_meet_on_one_pixel_are_added_exactly() -> None:
    kernel = np.zeros((1, 1, 3, 3))
    kernel[0, 0, 1] = [1.0, 0.3, 7e-17]  # on two columns the outer taps meet, and 1 + 7e-17 rounds to 1
    graph = Graph((1, 2, 2))
    network = graph.network(graph.add(Conv2d(kernel, padding=(1, 1, 1, 1), circular=True), 0))
    block = network.stacked.blocks[1, 0]
    assert block.low is not None and np.max(np.abs(block.low)) == 7e-17 and block.radius <= 1e-30
    with earlier_rules():
        assert stack(network).blocks[1, 0].radius >= 7e-17
    kernel[0, 0, 1] = [0.5, 0.3, 0.5]
    graph = Graph((1, 2, 2))
    form = graph.network(graph.add(Conv2d(kernel, padding=(1, 1, 1, 1), circular=True), 0)).stacked
    assert form.blocks[1, 0].radius == 0
