"""The Schur complement of a condition along a few directions, against dense formulas and differences."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.condition.curvature import Family, Section, inverse_products
from sdpcert.condition.elimination import Elimination
from sdpcert.condition.factor import Factor
from sdpcert.condition.matrix import Condition
from sdpcert.network.activations import relu
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers.forward import strictly_feasible

Array = np.ndarray


class Unmerged(Condition):
    """The condition with small groups in blocks of their own, so that there is an order and fill."""

    @cached_property
    def elimination(self) -> Elimination:
        return Elimination.of(self.slices, self._pattern, smallest=1)


def random_form(rng: np.random.Generator) -> StackedForm:
    """Groups that read the one before and some of the earlier ones, with slopes of any sign."""
    sizes = [int(k) for k in rng.integers(1, 6, int(rng.integers(3, 8)))]
    groups = []
    for k in sizes[1:-1]:
        alpha = rng.choice([0.0, 0.1, -0.2]) * np.ones(k)
        groups.append(Group(relu(), (k,), np.arange(k), alpha, alpha + rng.uniform(0.5, 1.0, k), np.zeros(k)))
    reads = [(to, s) for to in range(1, len(sizes)) for s in range(to) if s == to - 1 or rng.random() < 0.3]
    blocks = {(to, s): Block(rng.standard_normal((sizes[to], sizes[s])) / sizes[s]) for to, s in reads}
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1]))


def random_family(seed: int) -> tuple[Family, Array, Factor]:
    """One to three directions for every group, and a strictly feasible point with the factor of its matrix."""
    rng = np.random.default_rng(seed)
    form = random_form(rng)
    condition, layered = Unmerged(form, "neuron", None, False), Condition(form, "layer", None, False)
    y = strictly_feasible(layered)
    condition.rescale_output(layered.shift)
    directions = [[np.ones(k), *rng.random((int(rng.integers(0, 3)), k))] for k in condition.group_sizes]
    family = Family(condition, tuple(np.array(each) for each in directions))
    c = np.zeros(family.variables)
    for part, value in zip([slice(0, 1), *family.parts], y, strict=True):
        c[part] = value * rng.uniform(0.0, 0.02, part.stop - part.start)
        c[part.start] += value
    factor = Factor.of(family.matrix(c))
    assert factor is not None
    return family, c, factor


def derivatives(family: Family) -> list[Array]:
    """The derivatives of M, dense."""
    return [family.condition.linear(family.point(unit)).dense() for unit in np.eye(family.variables)]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_products_through_the_inverse_are_the_dense_ones(seed: int) -> None:
    family, c, factor = random_family(seed)
    vectors = np.random.default_rng(seed).standard_normal((family.condition.order, 3))
    inverse = np.linalg.inv(family.matrix(c).dense())
    turned = [slope @ vectors for slope in derivatives(family)]
    expected = np.array([[np.trace(a.T @ inverse @ b) for b in turned] for a in turned])
    found = inverse_products(family, factor, vectors, family.condition.times_k(vectors))
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_section_and_its_newton_matrix_are_the_dense_ones(seed: int, count: int) -> None:
    family, c, factor = random_family(seed)
    rng, order = np.random.default_rng(seed), family.condition.order
    count = min(count, order)
    vectors, weights = rng.standard_normal((order, count)), rng.standard_normal((count, count))
    section = Section.of(family, factor, vectors)
    inverse = np.linalg.inv(family.matrix(c).dense())
    value = np.linalg.inv(vectors.T @ inverse @ vectors)
    basis = inverse @ vectors @ value
    rest = inverse - basis @ np.linalg.inv(value) @ basis.T
    slopes, dual = derivatives(family), weights @ weights.T
    first = [basis.T @ slope @ basis for slope in slopes]
    np.testing.assert_allclose(section.value, value, rtol=1e-6, atol=1e-9 * np.abs(value).max())
    np.testing.assert_allclose(section.slopes, first, rtol=1e-6, atol=1e-8 * np.abs(first).max())
    bends = [[-basis.T @ (a @ rest @ b + b @ rest @ a) @ basis for b in slopes] for a in slopes]
    expected = np.array(
        [
            [np.trace(dual @ (f @ section.inverse @ g - h)) for g, h in zip(first, row, strict=True)]
            for f, row in zip(first, bends, strict=True)
        ]
    )
    np.testing.assert_allclose(section.newton(weights), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())
    # What is left out of Z makes the matrix smaller, down to its first part.
    some, none = section.newton(weights, 0.5), section.newton(weights, 1.0)
    for larger, smaller in ((expected, some), (some, none)):
        assert np.linalg.eigvalsh(larger - smaller).min() >= -1e-8 * np.abs(expected).max()
    direction = rng.standard_normal(family.variables)
    bend = -0.5 * np.einsum("j,k,jkab->ab", direction, direction, np.array(bends))
    np.testing.assert_allclose(section.bend(direction), bend, rtol=1e-6, atol=1e-8 * np.abs(bend).max())


def test_groups_that_read_earlier_ones_are_eliminated_with_fill() -> None:
    assert any(random_family(seed)[0].condition.elimination.fill for seed in range(20))
