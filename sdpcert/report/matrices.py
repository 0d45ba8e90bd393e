"""The matrices that a certificate proves positive semidefinite, formed again in float64 for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sdpcert.check import read_content
from sdpcert.check.condition import StackedCondition, TorusCondition
from sdpcert.check.floating import TorusMatrices
from sdpcert.check.stacked import Stacked
from sdpcert.check.torus import Torus

Array = np.ndarray
#: Orders above which eigenvalues take too long for a page, and how many frequencies are shown at most.
LARGEST_ORDER = 2500
MOST_WORK = 2e10


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Ascending eigenvalues of one matrix D M D; `name` says of which part, and of which frequency."""

    name: str
    values: Array


@dataclass(frozen=True, eq=False)
class Multipliers:
    """The multipliers of one group of neurons."""

    name: str
    activation: str
    values: Array


def spectra(document: dict[str, Any]) -> tuple[list[Spectrum], str]:
    """The spectra of all conditions, and a sentence on what was left out (empty if nothing was).

    `document` is a certificate that a checker accepted.
    """
    found: list[Spectrum] = []
    left_out: list[str] = []
    for label, condition in _conditions(document):
        order = condition.order
        most = int(MOST_WORK / max(2 * order, 1) ** 3)
        if order > LARGEST_ORDER or (isinstance(condition, Torus) and most < 1):
            left_out.append(f"{label or 'the matrix'} of order {order} is too large for a picture")
        elif isinstance(condition, Stacked):
            found.append(Spectrum(label or "D M D", np.linalg.eigvalsh(stacked_matrix(condition))))
        else:
            frequencies = list(condition.frequencies())
            if most < len(frequencies):
                left_out.append(f"{most} of {len(frequencies)} frequencies, evenly chosen, are shown")
                frequencies = [frequencies[k * len(frequencies) // most] for k in range(most)]
            for k, matrix in zip(frequencies, TorusMatrices(condition).at(frequencies), strict=True):
                values = np.linalg.eigvalsh(matrix)
                values = values if len(matrix) == order else values[::2]  # the real form has each value twice
                found.append(Spectrum(f"{label} frequency ({k[0]}, {k[1]})".strip(), values))
    return found, "; ".join(left_out)


def multipliers(document: dict[str, Any]) -> list[Multipliers]:
    """The multipliers of every group, from input to output."""
    return [
        Multipliers(f"{label}, layer {g}" if label else f"layer {g}", activation, np.array(values))
        for label, condition in _conditions(document)
        for g, (activation, values) in enumerate(
            zip(condition.activations, condition.multipliers, strict=True), start=1
        )
    ]


def stacked_matrix(condition: Stacked) -> Array:
    """D M D of a stacked form in float64, with the input factor in the place of the input if there is one."""
    if condition.proof.scaling is not None:
        return _stacked_matrix(condition, np.array(condition.proof.scaling, dtype=int))
    matrix = _stacked_matrix(condition, np.zeros(condition.order, int))
    diagonal = matrix.diagonal()
    down = np.ldexp(1.0, -np.rint(np.log2(np.where(diagonal > 0, diagonal, 1.0)) / 2).astype(int))
    return matrix * down * down[:, None]


def _stacked_matrix(condition: Stacked, scaling: Array) -> Array:
    c, groups, square = condition, len(condition.alpha), condition.proof.input_weights
    inner = c.sizes[1:-1]
    bounds = np.cumsum([0, c.order - sum(inner), *inner])
    slices = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
    rows: dict[int, Array] = {}
    first = 0
    for block in c.blocks:
        weights = np.array(block.weights).reshape(block.rows, block.columns)
        if block.source == 0 and square is not None:
            weights = np.array(square).reshape(slices[0].stop, -1)[first : first + block.rows]
            first += block.rows
        row = rows.setdefault(block.target, np.zeros((block.rows, len(scaling))))
        row[:, slices[block.source]] = weights * np.ldexp(1.0, -scaling[slices[block.source]])
    diagonal = np.concatenate([np.full(slices[0].stop, c.rho), *(2 * np.array(m) for m in c.multipliers)])
    matrix = np.diag(np.ldexp(diagonal, -2 * scaling))
    for target, row in rows.items():
        if target == groups + 1:
            scaled = np.ldexp(row, -c.exponent)
            matrix -= scaled.T @ scaled
            continue
        own = slices[target]
        weight = np.array(c.multipliers[target - 1])
        alpha, beta = np.array(c.alpha[target - 1]), np.array(c.beta[target - 1])
        mixed = np.ldexp(weight * (alpha + beta), -scaling[own])[:, None] * row
        matrix[own] -= mixed
        matrix[:, own] -= mixed.T
        square = 2 * weight * alpha * beta
        if np.any(square):
            matrix += row.T @ (square[:, None] * row)
    return (matrix + matrix.T) / 2


def _conditions(document: dict[str, Any]) -> list[tuple[str, Stacked | Torus]]:
    """Every condition of a certificate with its label, which is empty for the only one."""
    leaves = [
        leaf for leaf in read_content(document).tree.leaves() if isinstance(leaf, StackedCondition | TorusCondition)
    ]
    return [(f"part {k}" if len(leaves) > 1 else "", leaf.content) for k, leaf in enumerate(leaves, start=1)]
