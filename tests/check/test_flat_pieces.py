"""A piece that is left out as flat has no interior: random half-spaces with small numbers, against exact points."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sdpcert.check import check_document
from tests.check import covers
from tests.check.covers import Document

#: Everything is linear: the bound of all pieces that are not flat is the norm of the weights, so that only they matter.
LINEAR = (1.0, 1.0)


Cut = tuple[int, int, str, float]


def linear(size: int) -> Document:
    return covers.piecewise_linear(size, [], [1.0], [0.25])


def one_leaf(
    weights: list[np.ndarray],
    biases: list[np.ndarray],
    region: Document,
    cuts: list[Cut],
    end: Document,
) -> Document:
    """A path of splits; what is beside it has a condition, and its end is `end`."""
    inputs = weights[0].shape[1]
    groups = [covers.group(linear(len(b)), b, LINEAR) for b in biases]
    blocks = [covers.block(k, k - 1, w) for k, w in enumerate(weights, 1)]
    norm = 1e4
    pieces, parent, side = [], None, None
    for group, neuron, way, at in cuts:
        pieces.append(covers.piece(covers.split(group, neuron, at), parent=parent, side=side))
        parent, side = len(pieces) - 1, way
    pieces.append(covers.piece(end, parent=parent, side=side))
    for number, (_, _, way, _) in enumerate(cuts):
        other = "above" if way == "below" else "below"
        pieces.append(covers.piece(covers.condition(norm, *[[]] * len(biases)), parent=number, side=other))
    return covers.file(covers.network(inputs, weights[-1].shape[0], groups, blocks), region, pieces, 1e4)


def has_interior(forms: list[tuple[list[Fraction], Fraction]], region: Any, fixed: list[bool]) -> bool:
    """Whether a point of a fine grid inside of the region satisfies all half-spaces strictly."""
    low, high, center, radius = region
    steps = [Fraction(k, 24) for k in range(1, 24)]
    axes = [[l] if f else [l + s * (h - l) for s in steps] for l, h, f in zip(low, high, fixed, strict=True)]
    for point in itertools.product(*axes):
        if center is not None and sum((p - c) ** 2 for p, c in zip(point, center, strict=True)) >= radius**2:
            continue
        if all(sum(a * p for a, p in zip(row, point, strict=True)) + d > 0 for row, d in forms):
            return True
    return False


def without_interior(form: tuple[list[Fraction], Fraction], region: Any, fixed: list[bool], everywhere: bool) -> bool:
    """Whether one half-space has no interior in a box (or everywhere), and the checker can know."""
    row, d = form
    if everywhere:
        return not any(row) and d < 0
    most = d + sum(max(a * low, a * high) for a, low, high in zip(row, region[0], region[1], strict=True))
    return most < 0 or (most == 0 and any(a for a, f in zip(row, fixed, strict=True) if not f))


def random_case(rng: np.random.Generator) -> tuple[Document, bool, int, bool | None]:
    """A file, whether its piece has interior, the kind of region, and whether it is flat if that is plain."""
    n, depth = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    sizes = [n, *map(int, rng.integers(1, 4, size=int(rng.integers(1, 3))))]
    weights = [rng.integers(-2, 3, size=(b, a)).astype(float) for a, b in itertools.pairwise(sizes)]
    biases = [rng.integers(-2, 3, size=b) / 2.0 for b in sizes[1:]]
    cuts, forms = [], []
    matrix, shift = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)], [Fraction(0)] * n
    rows_of = []
    for w, b in zip(weights, biases, strict=True):
        rows = [
            (
                [sum(Fraction(x) * matrix[k][j] for k, x in enumerate(row)) for j in range(n)],
                sum(Fraction(x) * shift[k] for k, x in enumerate(row)) + Fraction(bias),
            )
            for row, bias in zip(w, b, strict=True)
        ]
        rows_of.append(rows)
        matrix, shift = [row for row, _ in rows], [d + Fraction(1, 4) for _, d in rows]
    for _ in range(depth):
        group = int(rng.integers(len(biases))) + 1
        neuron, at = int(rng.integers(sizes[group])), int(rng.integers(-2, 3)) / 2
        way = str(rng.choice(["below", "above"]))
        if cuts and rng.random() < 0.3:  # the other side of the split before, which leaves at most a hyperplane
            group, neuron, way, at = cuts[-1]
            way = "above" if way == "below" else "below"
        cuts.append((group, neuron, way, at))
        row, d = rows_of[group - 1][neuron]
        sign = 1 if way == "above" else -1
        forms.append(([sign * a for a in row], sign * (d - Fraction(at))))
    low, high = rng.integers(-2, 1, size=n).astype(float), rng.integers(0, 3, size=n).astype(float)
    radius, center = float(rng.integers(1, 3)), np.zeros(n)
    kind = int(rng.integers(4))
    if kind == 2 and np.sum(np.clip(0, low, high) ** 2) >= radius**2:
        kind = 3
    if kind == 0:
        region, exact = covers.box(low, high), (low, high, None, 0)
    elif kind == 1:
        region, exact = covers.ball(center, radius), (center - radius, center + radius, center, radius)
    elif kind == 2:
        region = covers.ball(center, radius, low, high)
        exact = (np.maximum(low, -radius), np.minimum(high, radius), center, radius)
    else:
        region, exact = covers.everything(), (np.full(n, -8.0), np.full(n, 8.0), None, 0)
    numbers = tuple(None if e is None else [Fraction(float(x)) for x in np.atleast_1d(e)] for e in exact[:3])
    own = (*numbers, Fraction(float(exact[3])))
    end = covers.flat(*(int(w) for w in rng.choice([0, 1, 1, 2, 3], size=depth)))
    if not any(int(w) for w in end["weights"]):
        end = covers.flat(*[1] * depth)
    fixed = [kind in (0, 2) and bool(l == h) for l, h in zip(low, high, strict=True)]
    document = one_leaf([*weights, np.ones((1, sizes[-1]))], biases, region, cuts, end)
    flat = without_interior(forms[0], own, fixed, kind == 3) if depth == 1 and kind in (0, 3) else None
    return document, has_interior(forms, own, fixed), kind, flat


def test_no_piece_with_interior_is_left_out() -> None:
    rng = np.random.default_rng(7)
    found = {(kind, ok): 0 for kind in range(4) for ok in (True, False)}
    for _ in range(800):
        document, interior, kind, flat = random_case(rng)
        result = check_document(document, True)
        assert result.ok or "end: " in result.reason, result.reason
        assert not (result.ok and interior)
        assert flat is None or result.ok is flat
        found[kind, result.ok] += 1
    assert all(count >= 5 for count in found.values()), found


@pytest.mark.parametrize(("through", "is_flat"), [(0.0, True), (1.0, False)])
@pytest.mark.parametrize("exact", [True, False])
def test_a_neuron_that_stands_at_its_kink_is_what_it_is_there(through: float, is_flat: bool, exact: bool) -> None:
    """Below zero the second neuron reads `through x` and nothing else, and no bound says which of its slopes it has."""
    blocks = [covers.block(1, 0, [[1.0]]), covers.block(2, 0, [[through]]), covers.block(2, 1, [[3.0]])]
    blocks += [covers.block(3, 0, [[1.0]]), covers.block(3, 2, [[5.0]]), covers.block(4, 3, [[1.0]])]
    groups = [covers.group(covers.relu(1), [0.0]) for _ in range(3)]
    pieces = [
        covers.piece(covers.split(1, 0)),
        covers.piece(covers.split(3, 0), parent=0, side="below"),
        covers.piece(covers.condition(1e6, [], [1e4], [1e2]), parent=0, side="above"),
        covers.piece(covers.condition(1e6, [], [1e4], []), parent=1, side="below"),
        covers.piece(covers.flat(1, 1), parent=1, side="above"),
    ]
    result = check_document(covers.file(covers.network(1, 1, groups, blocks), covers.everything(), pieces, 1e3), exact)
    assert result.ok is is_flat, result.reason
    assert is_flat or "neuron 0 of group 2 is not linear" in result.reason
