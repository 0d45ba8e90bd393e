"""The matrices that a certificate proves positive semidefinite, formed again in float64 for pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sdpcert.check import checker
from sdpcert.check import floating as floating_checker
from sdpcert.check import torus as frequency_checker

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
    """The spectra of all parts, and a sentence on what was left out (empty where nothing was).

    `document` is a certificate that a checker accepted.
    """
    found: list[Spectrum] = []
    left_out: list[str] = []
    several = document["version"] == 2 and len(document["parts"]) > 1
    for number, part in enumerate(_parts(document), start=1):
        label = f"part {number}" if several else ""
        if isinstance(part, frequency_checker.TorusPart):
            frequencies = list(part.frequencies())
            most = int(MOST_WORK / max(2 * part.order, 1) ** 3)
            if part.order > LARGEST_ORDER or most < 1:
                left_out.append(f"{label or 'the matrix'} of order {part.order} is too large for a picture")
                continue
            if most < len(frequencies):
                left_out.append(f"{most} of {len(frequencies)} frequencies, evenly chosen, are shown")
                frequencies = [frequencies[k * len(frequencies) // most] for k in range(most)]
            matrices = floating_checker.TorusMatrices(part)
            for k, matrix in zip(frequencies, matrices.at(frequencies), strict=True):
                values = np.linalg.eigvalsh(matrix)
                values = values if len(matrix) == part.order else values[::2]  # the real form has each value twice
                found.append(Spectrum(f"{label} frequency ({k[0]}, {k[1]})".strip(), values))
        elif len(part.scaling) > LARGEST_ORDER:
            left_out.append(f"{label or 'the matrix'} of order {len(part.scaling)} is too large for a picture")
        else:
            found.append(Spectrum(label or "D M D", np.linalg.eigvalsh(stacked_matrix(part))))
    return found, "; ".join(left_out)


def multipliers(document: dict[str, Any]) -> list[Multipliers]:
    """The multipliers of every group, from input to output."""
    found = []
    several = document["version"] == 2 and len(document["parts"]) > 1
    sources = document["parts"] if document["version"] == 2 else [document]
    for number, (part, source) in enumerate(zip(_parts(document), sources, strict=True), start=1):
        for g, (values, group) in enumerate(zip(part.multipliers, source["network"]["groups"], strict=True), start=1):
            name = f"part {number}, layer {g}" if several else f"layer {g}"
            found.append(Multipliers(name, str(group["activation"]), np.array(values)))
    return found


def stacked_matrix(certificate: checker.Certificate) -> Array:
    """D M D of a stacked form in float64, the input replaced as in the proof where it is."""
    c, groups = certificate, len(certificate.alpha)
    scaling = np.array(c.scaling, dtype=int)
    inner = c.sizes[1:-1]
    bounds = np.cumsum([0, len(scaling) - sum(inner), *inner])
    slices = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
    rows: dict[int, Array] = {}
    first = 0
    for block in c.blocks:
        weights = np.array(block.weights).reshape(block.rows, block.columns)
        if block.source == 0 and c.input_weights is not None:
            order = len(c.input_scaling or [])
            weights = np.array(c.input_weights).reshape(order, order)[first : first + block.rows]
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


def _parts(document: dict[str, Any]) -> Iterator[checker.Certificate | frequency_checker.TorusPart]:
    if document["version"] == 1:
        yield checker.parse_certificate(document)
        return
    for part in frequency_checker.parse(document).parts:
        if isinstance(part, frequency_checker.TorusPart):
            yield part
        else:
            yield checker.parse_certificate(part.document)
