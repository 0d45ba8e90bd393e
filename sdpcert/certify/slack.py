"""Where a proved bound is lost: what stands between it and the attained value, layer by layer.

For two runs of the network let `dx`, `dz`, `dv`, `dy` be the differences of input, neurons, preactivations and output,
and `xi = (dx, dz)`. By the definition of M (`docs/certificate-format.md`), with s the exponent,

    rho |dx|^2 - 4^(-s) |dy|^2 = xi' M xi + sum_i 2 lambda_i (dz_i - alpha_i dv_i) (beta_i dv_i - dz_i)

and no summand is negative. Divided by `4^(-s) |dx|^2` the left side is `upper^2 - attained^2`: the terms on the right
are what each neuron's slope interval and the matrix give away at the attained pair. With the factor of the proof,
`M = U U'` up to rounding and U lower triangular, `xi' M xi` is the sum of the squares of `U' xi`, and the squares in
the columns of a source are what is lost where that source is read.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from sdpcert.attained import Attained
from sdpcert.certificate.proof import Proof
from sdpcert.network.stacked import StackedForm

Array = np.ndarray
#: The terms have to add up to the whole this well, relative, or nothing is said.
AGREEMENT = 1e-3


def slack_of(whole: StackedForm, reduced: StackedForm, proof: Proof, attained: Attained) -> dict[str, Any] | None:
    """The terms of `upper^2 - attained^2` at the attained pair, in units of the bound squared; not proved, for figures.

    `whole` is the network with its biases, `reduced` the form that `proof` is about. Keys: `total`; `neurons`, a list
    with one number per group; `reading`, one number for the input and each group; `rest`, what the proof's rounding and
    input directions without effect leave. None if there is no pair, if rounding drowns the differences, or if the proof
    has no factor.
    """
    kept = _matching(whole, reduced)
    length = float(np.linalg.norm(attained.x - attained.x_prime))
    if kept is None or attained.lower == 0 or not length > 0:
        return None
    with np.errstate(all="ignore"):
        terms = _terms(whole, reduced, proof, attained, kept, length)
    if terms is None:
        return None
    total, neurons, reading = terms
    rest = total - sum(neurons) - sum(reading)
    if not np.isfinite(rest) or total < 0 or abs(rest) > max(AGREEMENT * total, 1e-9 * attained.lower**2):
        return None
    return {"total": total, "neurons": neurons, "reading": reading, "rest": rest}


def _terms(
    whole: StackedForm,
    reduced: StackedForm,
    proof: Proof,
    attained: Attained,
    kept: list[tuple[int, Array]],
    length: float,
) -> tuple[float, list[float], list[float]] | None:
    pair = np.stack([attained.x, attained.x_prime])
    sources, preactivations = [pair], []
    for number, group in enumerate(whole.groups, start=1):
        preactivations.append(_row(whole, number, sources) + group.bias)
        sources.append(group.evaluate(preactivations[-1]))
    change = (attained.x - attained.x_prime) / length
    moved = [(sources[g + 1][0] - sources[g + 1][1])[mask] / length for g, mask in kept]
    driven = [(preactivations[g][0] - preactivations[g][1])[mask] / length for g, mask in kept]
    output = _row(whole, whole.output_row, sources)
    unit = float(np.ldexp(1.0, 2 * proof.exponent))
    total = unit * proof.rho - float(np.sum(np.square((output[0] - output[1]) / length)))
    neurons = []
    for group, multipliers, dz, dv in zip(reduced.groups, proof.multipliers, moved, driven, strict=True):
        product = (dz - group.alpha * dv) * (group.beta * dv - dz)
        neurons.append(max(unit * float(2 * multipliers @ product), 0.0))
    reads = [b.weights @ change for (_, s), b in sorted(reduced.blocks.items()) if s == 0]
    none = np.zeros(0)
    shares = proof.evidence.shares(change, np.concatenate([none, *reads]), np.concatenate([none, *moved]))
    if shares is None:
        return None
    sizes = [g.size for g in reduced.groups]
    bounds = np.cumsum([0, len(shares) - sum(sizes), *sizes])
    reading = [unit * float(shares[a:b].sum()) for a, b in pairwise(bounds)]
    return total, neurons, reading


def _row(form: StackedForm, to: int, sources: list[Array]) -> Array:
    total = np.zeros((len(sources[0]), form.sizes[to]))
    for source, block in form.row(to).items():
        total += sources[source] @ block.weights.T
    return total


def _matching(whole: StackedForm, reduced: StackedForm) -> list[tuple[int, Array]] | None:
    """For each group of the reduced form the group of the whole that it comes from, and which neurons were kept."""
    matched: list[tuple[int, Array]] = []
    first = 0
    for group in reduced.groups:
        for g in range(first, len(whole.groups)):
            other = whole.groups[g]
            mask = np.isin(other.positions, group.positions)
            if other.activation is group.activation and mask.sum() == group.size:
                if np.array_equal(other.bias[mask], group.bias) and np.array_equal(other.alpha[mask], group.alpha):
                    matched.append((g, mask))
                    first = g + 1
                    break
        else:
            return None
    return matched
