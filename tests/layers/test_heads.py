"""Radii of heads: rounded down, over all classes, never beyond an adversarial point."""

from __future__ import annotations

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdpcert
from sdpcert.layers import mlp_head
from sdpcert.layers.elementwise import MaxMin
from sdpcert.layers.heads import NormalizedHead, OrthogonalHead, certified_radii
from sdpcert.layers.mlp_head import MLPHead
from sdpcert.layers.proved_eigenvalue import proved_largest_eigenvalue, proved_weighted_norm


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)


def rows_of(head: NormalizedHead | OrthogonalHead) -> np.ndarray:
    return head.materialised().through.weight.double().numpy()  # type: ignore[union-attr]


# Linear heads


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_normalised_whatever_their_size(dtype: torch.dtype) -> None:
    head = NormalizedHead(7, 5, dtype=dtype)
    with torch.no_grad():
        head.weight.mul_(torch.tensor([1e-30, 1e-3, 1.0, 1e30, 0.0])[:, None].to(dtype))
    norms = np.linalg.norm(rows_of(head), axis=1)
    assert np.all(norms <= 1) and np.all(norms[:4] > 1 - 1e-5) and norms[4] == 0
    head(torch.randn(3, 7, dtype=dtype)).sum().backward()
    assert head.weight.grad is not None and torch.isfinite(head.weight.grad).all()


def test_the_constant_of_normalised_rows_is_the_norm_of_the_matrix() -> None:
    head = NormalizedHead(6, 9)
    with torch.no_grad():
        head.weight[:] = head.weight[0] + 0.1 * torch.randn(9, 6)  # nearly parallel: the norm is nearly 3
    norm = np.linalg.norm(rows_of(head), 2)
    assert 2.9 < norm <= head.constant <= norm * (1 + 1e-5)
    assert head.squared_constant() >= norm**2
    certificate = sdpcert.certify(sdpcert.from_torch(nn.Sequential(MaxMin(), head), (6,)), method="by-construction")
    assert certificate.status == "proved"
    assert norm * (1 - 1e-6) <= certificate.lower <= certificate.upper <= head.constant * (1 + 1e-9)


@pytest.mark.parametrize(("features", "classes", "size"), [(8, 5, 1.0), (5, 5, 1.0), (8, 5, 1e6), (3, 1, 1.0)])
def test_orthogonal_heads_are_nearly_isometric_and_certified(features: int, classes: int, size: float) -> None:
    head = OrthogonalHead(features, classes)
    with torch.no_grad():
        head.weight.mul_(size)
    rows = rows_of(head)
    np.testing.assert_allclose(rows @ rows.T, np.eye(classes), atol=1e-5)
    certificate = sdpcert.certify(sdpcert.from_torch(nn.Sequential(head), (features,)), method="by-construction")
    assert certificate.status == "proved" and 1 - 1e-5 < certificate.lower <= certificate.upper <= 1


def test_radii_are_exact_distances_rounded_down() -> None:
    """The distance to the nearest decision boundary of an affine map, in rational arithmetic."""
    head = NormalizedHead(4, 6).double().eval()
    points = torch.randn(40, 4, dtype=torch.float64)
    logits = head(points).detach()
    for lipschitz in (1.0, 3.0, 0.1):
        radii = head.margins(logits, lipschitz).numpy()
        rows = [[Fraction(float(w)) for w in row] for row in rows_of(head)]
        for radius, values in zip(radii, logits.numpy(), strict=True):
            y = int(values.argmax())
            squares = []
            for j in range(6):
                if j != y:
                    margin = Fraction(float(values[y])) - Fraction(float(values[j]))
                    apart = sum((a - b) ** 2 for a, b in zip(rows[y], rows[j], strict=True))
                    squares.append(margin**2 / (Fraction(lipschitz) ** 2 * apart))
            least = min(squares)
            assert 0 < Fraction(radius) ** 2 <= least
            assert radius == pytest.approx(math.sqrt(least), rel=1e-12)


def test_no_class_is_reached_within_the_radius() -> None:
    for head in (NormalizedHead(5, 7).double().eval(), OrthogonalHead(8, 7).double().eval()):
        rows = rows_of(head)
        points = torch.randn(50, rows.shape[1], dtype=torch.float64)
        logits = head(points).detach()
        radii = head.margins(logits)
        for x, values, radius in zip(points, logits, radii, strict=True):
            y = int(values.argmax())
            for j in range(7):
                if j != y:
                    direction = torch.from_numpy(rows[j] - rows[y])
                    moved = head(x + radius * (1 - 1e-9) * direction / direction.norm()).detach()
                    assert moved[y] > moved[j]


def test_a_far_ranked_class_may_be_the_nearest() -> None:
    """Classes 1 to 98 have nearly the row of class 0, so they are far; the last logit belongs to the nearest."""
    rows = np.zeros((100, 3))
    rows[:, 0], rows[:, 1] = 1.0, np.linspace(0, 1e-3, 100)
    rows[99] = [-1.0, 0.0, 0.0]
    logits = np.concatenate([[1.0], np.linspace(0.9, 0.5, 98), [0.2]])[None]
    radius = certified_radii(logits, rows)[0]
    assert radius == pytest.approx(0.4, rel=1e-12)
    ranked = np.argsort(-logits[0])[:10]
    assert certified_radii(logits[:, ranked], rows[ranked])[0] > 100 * radius


def test_ties_and_wrong_classes_have_radius_zero() -> None:
    head = OrthogonalHead(3, 3).eval()
    logits = torch.tensor(
        [[1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [math.nan, 1.0, 0.0], [math.inf, 1.0, 0.0]]
    )
    radii = head.margins(logits)
    assert radii[[0, 2, 3, 4]].tolist() == [0, 0, 0, 0] and 0 < radii[1] <= math.sqrt(0.5)
    assert head.margins(logits[1:2], labels=torch.tensor([1])).tolist() == [0]
    assert head.margins(logits[1:2], error=0.5).tolist() == [0]
    assert 0 < head.margins(logits[1:2], error=0.25)[0] <= math.sqrt(0.5) / 2
    same = certified_radii(np.array([[1.0, 0.0]]), np.ones((2, 3)))
    assert same[0] == math.inf  # equal rows: the order never changes
    tiny = np.array([[5e-324, 0.0]])
    assert certified_radii(tiny, np.eye(2))[0] <= 5e-324 / math.sqrt(2)


def test_arguments_are_checked() -> None:
    head = NormalizedHead(3, 3)
    logits = torch.zeros(2, 3)
    for lipschitz in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="positive and finite"):
            head.margins(logits, lipschitz)
    with pytest.raises(ValueError, match="labels must be 2 numbers below 3"):
        head.margins(logits, labels=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="batch, classes"):
        head.margins(logits[0])
    with pytest.raises(ValueError, match="error of the logits"):
        head.margins(logits, error=-1.0)
    with pytest.raises(ValueError, match="cannot be orthonormal"):
        OrthogonalHead(3, 4)
    with pytest.raises(ValueError, match="beta"):
        MLPHead(2, 2, 2, beta=0.0)
    with pytest.raises(ValueError, match=r"features must be \(batch, 2\)"):
        MLPHead(2, 2, 2).radius(torch.zeros(1, 3))


# The eigenvalue bound


def exceeds(matrix: list[list[Fraction]], bound: Fraction) -> bool:
    """Whether `bound I - matrix` is not positive semidefinite (or nearly so), by exact elimination."""
    n = len(matrix)
    rest = [[(bound if i == j else Fraction(0)) - matrix[i][j] for j in range(n)] for i in range(n)]
    for k in range(n):
        if rest[k][k] < 0 or (rest[k][k] == 0 and any(rest[k][j] != 0 for j in range(k, n))):
            return True
        for i in range(k + 1, n):
            if rest[k][k]:
                factor = rest[i][k] / rest[k][k]
                rest[i] = [a - factor * b for a, b in zip(rest[i], rest[k], strict=True)]
    return False


@pytest.mark.parametrize("size", [1e-200, 1e-3, 1.0, 1e100])
def test_eigenvalue_bounds_hold_exactly(size: float) -> None:
    generator = np.random.default_rng(0)
    for n in range(1, 7):
        for kind in range(4):
            matrix = generator.standard_normal((n, n))
            matrix = matrix + matrix.T if kind == 0 else matrix[:, :1] @ matrix[:, :1].T if kind == 1 else matrix
            matrix = -np.eye(n) if kind == 2 else np.tril(matrix) + np.tril(matrix, -1).T
            matrix = matrix * size
            bound = proved_largest_eigenvalue(matrix)
            exact = [[Fraction(float(a)) for a in row] for row in matrix]
            assert not exceeds(exact, Fraction(bound))
            greatest = np.linalg.eigvalsh(matrix)[-1]
            assert bound <= greatest + 1e-12 * np.abs(matrix).max()


def test_weighted_norms_hold_exactly_and_are_tight() -> None:
    generator = np.random.default_rng(1)
    for shape in ((3, 5), (5, 3), (4, 4), (1, 6), (6, 1)):
        matrix, weights = generator.standard_normal(shape), np.maximum(generator.standard_normal(shape[0]), 0)
        bound = proved_weighted_norm(matrix, weights)
        rows, columns = shape
        exact = [
            [
                sum(
                    (Fraction(float(weights[k])) * Fraction(float(matrix[k, i])) * Fraction(float(matrix[k, j])))
                    for k in range(rows)
                )
                or Fraction(0)
                for j in range(columns)
            ]
            for i in range(columns)
        ]
        assert not exceeds(exact, Fraction(bound))
        assert bound <= np.linalg.norm(np.sqrt(weights)[:, None] * matrix, 2) ** 2 * (1 + 1e-12)
    assert proved_weighted_norm(np.ones((2, 2)), np.zeros(2)) == 0
    with pytest.raises(ValueError, match="symmetric"):
        proved_largest_eigenvalue(np.array([[1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(ValueError, match="finite"):
        proved_largest_eigenvalue(np.array([[math.nan]]))


# The head with a hidden layer


def make(features: int = 6, hidden: int = 16, classes: int = 5, beta: float = 3.0, scale: float = 3.0) -> MLPHead:
    head = MLPHead(features, hidden, classes, beta).double()
    with torch.no_grad():
        for p in head.parameters():
            p *= scale
    return head


def attack(head: MLPHead, x: Tensor, y: int, j: int, starts: int = 4) -> float:
    """The length of a step, found by search, after which class j has a logit at least as great as class y."""

    def difference(steps: Tensor) -> Tensor:
        logits = head(x + steps)
        return logits[:, y] - logits[:, j]

    steps = torch.zeros(starts, len(x), dtype=x.dtype)
    steps[1:] = 0.3 * torch.randn(starts - 1, len(x), dtype=x.dtype)
    for _ in range(40):  # towards the linearised boundary, from the origin: |step| shrinks along the boundary
        steps.requires_grad_()
        value = difference(steps)
        (slope,) = torch.autograd.grad(value.sum(), steps)
        along = ((steps * slope).sum(1) - value) / slope.square().sum(1).clamp_min(1e-30)
        steps = (0.3 * steps + 0.7 * along[:, None] * slope).detach()
    lengths = steps.norm(dim=1, keepdim=True).clamp_min(1e-30)
    best = math.inf
    with torch.no_grad():
        factors = torch.linspace(0.9, 1.5, 601, dtype=x.dtype)
        for step, length in zip(steps, lengths, strict=True):
            reached = difference(factors[:, None] * step) <= 0
            if reached.any():
                best = min(best, float(factors[reached.int().argmax()] * length))
    return best


@pytest.mark.parametrize("beta", [0.3, 3.0, 30.0])
def test_radii_are_ordered_and_below_adversarial_points(beta: float) -> None:
    head = make(beta=beta)
    points = 2 * torch.randn(12, 6, dtype=torch.float64)
    cheap, tight, dual = head.radius(points), head.radius(points, tight=True), head.dual_radius(points)
    assert torch.all(cheap > 0) and torch.all(cheap <= tight) and torch.all(tight <= dual)
    assert torch.any(dual > 1.01 * tight)
    logits = head(points).detach()
    found = []
    for x, values, radius in zip(points, logits, dual, strict=True):
        y = int(values.argmax())
        nearest = min(attack(head, x, y, j) for j in range(5) if j != y)
        assert radius <= nearest
        found.append(float(radius) / nearest)
    assert max(found) > 0.97  # the search is no straw man, nor the dual


def test_a_backbone_divides_the_radius() -> None:
    head, points = make(), torch.randn(4, 6, dtype=torch.float64)
    for radius in (head.radius, head.dual_radius):
        one, seven = radius(points), radius(points, 7.0)
        assert torch.allclose(one, 7 * seven, rtol=1e-12) and torch.all(seven * 7 <= one * (1 + 1e-15))


def test_curvature_bounds_are_above_true_eigenvalues() -> None:
    head = make()
    w1, w2 = head.inward.weight.detach(), head.outward.weight.detach()
    for y in range(5):
        for j in set(range(5)) - {y}:
            cheap, tight = head.curvature(y, j, tight=False), head.curvature(y, j)
            assert tight <= cheap
            least = 0.0
            for size in (0.0, 0.1, 1.0, 10.0):
                points = size * torch.randn(30, 6, dtype=torch.float64)
                s = torch.sigmoid(head.beta * head.inward(points)).detach()
                weights = head.beta * (w2[y] - w2[j]) * s * (1 - s)
                hessians = torch.einsum("bk,ki,kj->bij", weights, w1, w1)
                least = min(least, float(torch.linalg.eigvalsh(hessians)[:, 0].min()))
            assert -least <= tight
            negative = (w2[j] - w2[y]).clamp(min=0)
            exact = float(torch.linalg.eigvalsh(w1.T @ (negative[:, None] * w1))[-1]) * head.beta / 4
            assert exact <= tight <= exact * (1 + 1e-11)


@pytest.mark.parametrize("entries", [1, 250, 600])
def test_many_points_are_evaluated_in_parts(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    head = make()
    points, labels = torch.randn(23, 6, dtype=torch.float64).numpy(), np.arange(23) % 5
    whole = head.margins_and_slopes(points, labels)
    monkeypatch.setattr(mlp_head, "ENTRIES", entries)
    parts = head.margins_and_slopes(points, labels)
    for one, other in zip(whole, parts, strict=True):
        assert one.shape == (23, 5) and np.all(one[np.arange(23), labels] == 0)
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    logits = head(torch.from_numpy(points)).detach().numpy()
    margins = logits[np.arange(23), labels][:, None] - logits
    assert np.all(parts[0] <= margins) and np.all(parts[0] >= margins - 1e-10)


def test_the_nearest_of_a_hundred_classes_may_be_ranked_last() -> None:
    head = MLPHead(4, 8, 100).double()
    with torch.no_grad():
        head.outward.weight[:] = head.outward.weight[0] + 1e-4 * torch.randn(100, 8)
        head.outward.weight[99] = -5 * head.outward.weight[0] + torch.randn(8)
        x = torch.randn(1, 4, dtype=torch.float64)
        goal = torch.linspace(1, 0.5, 100, dtype=torch.float64)
        head.outward.bias.add_(goal - head(x)[0])
    assert head(x).argsort(descending=True)[0, -1] == 99
    y = 0
    radii = [head.radius(x, tight=True), head.dual_radius(x), head.radius(x)]
    distance = attack(head, x[0], y, 99)
    assert all(0 < float(r) <= distance for r in radii)
    assert float(radii[1]) > 0.9 * distance
    near = copy.deepcopy(head)
    near.outward = nn.Linear(8, 10).double()
    with torch.no_grad():
        near.outward.weight.copy_(head.outward.weight[:10])
        near.outward.bias.copy_(head.outward.bias[:10])
    assert float(near.radius(x)) > 3 * distance  # what the top ten classes alone would claim


def test_ties_wrong_classes_and_extreme_numbers() -> None:
    head = make()
    with torch.no_grad():
        head.outward.weight[1], head.outward.bias[1] = head.outward.weight[0], head.outward.bias[0]
        head.outward.bias[:2] += 100
    point = torch.randn(1, 6, dtype=torch.float64)
    for radius in (head.radius, head.dual_radius):
        assert radius(point).tolist() == [0]
        assert radius(point, labels=torch.tensor([3])).tolist() == [0]
        assert radius(torch.full((1, 6), math.nan)).tolist() == [0]
        assert radius(torch.zeros(0, 6)).shape == (0,)
        for size in (1e-200, 1e100, 1e300):
            assert torch.all(radius(point * size) >= 0)


def test_a_convex_difference_has_no_curvature_to_charge() -> None:
    """All of w_y is above w_j: m is zero and the radius that of the linearisation."""
    head = MLPHead(3, 4, 2).double()
    with torch.no_grad():
        head.outward.weight[0], head.outward.weight[1] = 1.0, 0.5
        head.outward.bias[:] = 0
    x = torch.randn(1, 3, dtype=torch.float64, requires_grad=True)
    margin = head(x)[0, 0] - head(x)[0, 1]
    (slope,) = torch.autograd.grad(margin, x)
    expected = float(margin.detach() / slope.norm())
    assert head.curvature(0, 1) == 0 < head.curvature(1, 0)
    assert float(head.radius(x)) == pytest.approx(expected, rel=1e-10) and float(head.radius(x)) <= expected
    assert float(head.dual_radius(x)) >= float(head.radius(x))


def test_changed_weights_are_noticed_and_exports_agree() -> None:
    head, points = make(), torch.randn(5, 6, dtype=torch.float64)
    before = head.radius(points, tight=True)
    with torch.no_grad():
        head.outward.weight.mul_(2)
        head.outward.bias.mul_(2)
    assert torch.allclose(head.radius(points, tight=True), before)  # all of f, g and m are twice as great
    with torch.no_grad():
        head.outward.weight.data.mul_(-1)
    assert not torch.allclose(head.radius(points, tight=True), before)
    assert torch.equal(head.export()(points), head(points))
    assert torch.equal(copy.deepcopy(head).radius(points), head.radius(points))
    wide = 1000 * torch.randn(5, 6, dtype=torch.float64)
    assert torch.isfinite(head(wide)).all()
