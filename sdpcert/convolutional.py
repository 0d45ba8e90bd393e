"""Certify a convolutional network over frequencies: the front on a torus, the head behind it, each proved, in one file.

Where the head reads a group of neurons, front and head are solved together: the head in the metric `sum_c d_c
|z_c|^2` with one d_c for each channel, a shift-invariant upper bound of the head's Gram matrix, which the front has
its output measured in. Elsewhere they are bounded one after the other, and the bound is the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, nextafter
from typing import Protocol

import numpy as np

from sdpcert.certificate.exact import square_root_up
from sdpcert.certificate.parts import Part, StackedPart, TorusPart, build_parts_document, product_up
from sdpcert.certificate.proof import Proof
from sdpcert.certificate.torus_proof import TorusProof, prove_torus
from sdpcert.condition.frequency import FrequencyCondition, Head
from sdpcert.interrupts import first_interrupt_waits
from sdpcert.network.embedding import Embedding, embed
from sdpcert.network.graph import Network
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.network.torus import Taps, TorusForm
from sdpcert.solvers.closed_form import product_multipliers
from sdpcert.solvers.solution import Budget, Progress, Solution
from sdpcert.solvers.working_set import solve_frequencies
from sdpcert.spectra import spectral_norm

Array = np.ndarray
#: Bits of the scales between front and head: products with float32 weights stay exact.
SCALE_BITS = 26


@dataclass(frozen=True, eq=False)
class ConvolutionalResult:
    """What was proved about a convolutional network, and how it was found."""

    parts: tuple[Part, ...]
    upper: float
    dual: float
    level: str
    iterations: int
    status: str
    history: tuple[Progress, ...]
    notes: tuple[str, ...]
    solve_seconds: float


class HeadProver(Protocol):
    """Solves and proves a dense head; `sdpcert.certify` provides it."""

    def __call__(self, form: StackedForm, method: str) -> tuple[Solution, Proof | None]:
        """The solver's point and its proof, or None."""
        ...


def bound_convolutional(
    network: Network,
    method: str,
    budget: Budget,
    prove_head: HeadProver,
    output_rows: Sequence[int] | None = None,
    device: str = "cpu",
    joint: bool = True,
    torus: tuple[int, int] | None = None,
) -> ConvolutionalResult:
    """Bound a network whose front is convolutional; `method` is "neuron", "layer", "product" or "by-construction".

    `joint` of False bounds front and head one after the other. Raises ValueError where the network has no convolutional
    front, or output rows are asked of a network that ends in an image.
    """
    embedding, form, head = front_and_head(network, output_rows, torus)
    notes = list(form.notes)
    notes.append(_embedded(embedding, form))
    d = np.ones(form.outputs)
    solve_seconds = 0.0
    if head is not None and (not joint or not form.groups or method in ("product", "by-construction")):
        notes.append("front and head were bounded one after the other")
    if method == "by-construction":
        ahead, behind = network.energies[0], head_energy(network, embedding)
        front, proof = _construction(form, ahead / behind, behind)
        dual, iterations, status, history = 0.0, 0, "closed form", ()
    elif method == "product" or not form.groups:
        front, proof = _product(form)
        dual, iterations, status, history = 0.0, 0, "closed form", ()
        if not form.groups and head is None and proof is not None:  # a norm: the product is the optimum
            dual = float(np.ldexp(np.sqrt(proof.rho), proof.exponent)) * (1 - 1e-9)
    else:
        together = (
            Head(head, embedding.output_index // form.cells, embedding.output_group) if head is not None else None
        )
        together = together if joint else None
        solved = solve_frequencies(form, method, budget, device, together)
        solve_seconds = budget.elapsed
        point, condition = solved.point, solved.condition
        dual, iterations, status, history = point.dual, point.iterations, point.status, point.history
        notes.append(f"solved over {solved.frequencies} of {len(form.frequencies)} frequencies, proved over all")
        y = point.y
        if together is not None:
            d, t = _metric(condition.metric(y))
            notes.append("front and head were bounded together, in a metric with one weight a channel")
        front = FrequencyCondition(_measured(form, d), method, condition.frequencies)
        unit = 1.0 if together is not None else 2.0 ** (2 * (point.exponent - front.exponent))
        if together is not None:
            unit = 2.0 ** (-2 * front.exponent)
        with first_interrupt_waits():
            proof = prove_torus(front, np.asarray(y[: front.variables]) * unit)

    def product_instead(note: str) -> ConvolutionalResult:
        product = bound_convolutional(network, "product", budget, prove_head, output_rows, device, joint, torus)
        known = {"dual": dual, "iterations": iterations, "status": status, "history": history}
        return replace(product, **known, notes=(*notes, note), solve_seconds=solve_seconds)

    solved_for = method not in ("product", "by-construction")
    if proof is None and solved_for:
        return product_instead("the bound is the product of norms: nothing better was proved")
    if proof is None:
        return ConvolutionalResult((), inf, dual, "exact", iterations, status, history, tuple(notes), solve_seconds)
    proof = replace(proof, form=form, metric=d)
    parts: list[Part] = [TorusPart(proof, square_root_up(proof.rho, proof.exponent))]
    if head is not None:
        t = np.ones(form.outputs) if method in ("product", "by-construction") or together is None else t
        scale = t[embedding.output_index // form.cells]
        scaled = read_scaled(head, scale).reduced()
        solution, head_proof = prove_head(scaled, method)
        if head_proof is None:
            return ConvolutionalResult((), inf, dual, "exact", iterations, status, history, tuple(notes), solve_seconds)
        upper = square_root_up(head_proof.rho, head_proof.exponent)
        parts.append(StackedPart(scaled, head_proof, upper, embedding.output_index, scale))
        if method not in ("product", "by-construction") and together is None:
            dual *= solution.dual
    upper = product_up(tuple(parts))
    with first_interrupt_waits():
        level = _verify(tuple(parts), upper)
    if level is None and solved_for:
        return product_instead("the bound is the product of norms: the checker did not accept the solved point")
    if level is None:
        notes.append("the checker did not accept the proof")
        return ConvolutionalResult((), inf, dual, "exact", iterations, status, history, tuple(notes), solve_seconds)
    return ConvolutionalResult(
        tuple(parts), upper, dual, level, iterations, status, history, tuple(notes), solve_seconds
    )


def front_and_head(
    network: Network, output_rows: Sequence[int] | None = None, torus: tuple[int, int] | None = None
) -> tuple[Embedding, TorusForm, StackedForm | None]:
    """The embedding, the front on the torus and the head of a network, with the chosen outputs."""
    embedding = embed(network, torus)
    form = embedding.form
    head = None if embedding.head is None else embedding.head.stacked
    if output_rows is not None:
        if head is not None:
            head = head.output_rows(output_rows)
        elif form.pooled:
            form = _rows_of_pooled(form, output_rows)
        else:
            raise ValueError("output rows cannot be chosen over frequencies where the output is an image")
    form = form.reduced(embedding.output_group if head is not None else 0)
    return embedding, form, None if head is None else head.reduced()


def head_energy(network: Network, embedding: Embedding | None = None) -> float:
    """The square of the constant that the layers behind the cut have by construction."""
    embedding = embedding or embed(network)
    if embedding.head is None:
        return 1.0
    if embedding.cut not in network.energies:
        raise ValueError("the network is cut inside of a layer; its multipliers by construction do not apply there")
    return network.energies[embedding.cut]


def _construction(form: TorusForm, rho: float, behind: float) -> tuple[FrequencyCondition, TorusProof | None]:
    """The point that the front's layers know in closed form; their multipliers count for everything `behind` too."""
    condition = FrequencyCondition(form, "neuron", form.frequencies[:1])
    down = 2.0 ** (-2 * condition.exponent)
    y = [np.array([rho * down])]
    for number, group in enumerate(form.groups, start=1):
        if group.multipliers is None:
            raise ValueError(f"the neurons of group {number} have no multipliers by construction; solve for them")
        y.append(np.ldexp(group.multipliers / behind, -2 * condition.exponents[number]) * down)
    return condition, prove_torus(condition, np.concatenate(y))


def _verify(parts: tuple[Part, ...], upper: float) -> str | None:
    """Have the checker read the certificate: "exact" or "floating-point", None where it rejects."""
    from sdpcert.check import floating_checker, frequency_checker, is_large

    document = build_parts_document(parts, upper, None, {})
    large = is_large(document)
    result = (floating_checker if large else frequency_checker).check_document(document)
    if not result.ok:
        return None
    return "floating-point" if large else "exact"


def _embedded(embedding: Embedding, form: TorusForm) -> str:
    rows, columns = form.torus
    channels = ", ".join(str(size) for size in form.sizes[:-1])
    return f"embedded in a torus of {rows} x {columns} cells with {channels} channels"


def _rows_of_pooled(form: TorusForm, rows: Sequence[int]) -> TorusForm:
    for row in rows:
        if not 0 <= row < form.outputs:
            raise ValueError(f"output row {row} does not exist; the network has rows 0 to {form.outputs - 1}")
    if not len(rows):
        raise ValueError("no output row was chosen")
    chosen = {
        key: replace(block, weights=block.weights[:, list(rows)]) if key[0] == form.output_row else block
        for key, block in form.blocks.items()
    }
    return replace(form, outputs=len(rows), blocks=chosen)


def _metric(d: Array) -> tuple[Array, Array]:
    """Weights d_c near the given ones and scales t_c of few bits with `d_c t_c^2 >= 1` exactly."""
    t = np.array([_few_bits_up(1 / np.sqrt(value)) for value in d])
    inverse = [Fraction(1) / Fraction(float(value)) ** 2 for value in t]
    rounded = [float(value) for value in inverse]
    up = [r if Fraction(r) >= exact else nextafter(r, inf) for r, exact in zip(rounded, inverse, strict=True)]
    return np.array(up), t


def _few_bits_up(value: float) -> float:
    mantissa, exponent = np.frexp(value)
    return float(np.ldexp(np.ceil(np.ldexp(mantissa, SCALE_BITS)), int(exponent) - SCALE_BITS))


def _measured(form: TorusForm, d: Array) -> TorusForm:
    """The form whose output is multiplied by sqrt(d), for the search of a point; the proof uses d itself."""
    if np.all(d == 1):
        return form
    root = np.sqrt(d)[:, None]
    blocks = {
        key: Taps(t.offsets, root * t.weights, t.radius) if key[0] == form.output_row else t
        for key, t in form.blocks.items()
    }
    return replace(form, blocks=blocks)


def read_scaled(head: StackedForm, scale: Array) -> StackedForm:
    """The head as a function of its input over the scales: the columns of the maps that read it are multiplied."""
    blocks = dict(head.blocks)
    for (to, source), block in head.blocks.items():
        if source:
            continue
        weights = block.weights * scale
        exact = bool(np.all(weights / scale == block.weights)) and _short_products(block.weights, scale)
        radius = block.radius * float(np.max(scale)) * (1 + 2.0**-50)
        if not exact:
            radius += 2.0**-52 * float(np.max(np.abs(weights))) + 2.0**-1074
        blocks[to, source] = Block(weights, float(np.nextafter(radius, np.inf)) if radius > 0 else 0.0, block.zero)
    return replace(head, blocks=blocks)


def _short_products(weights: Array, scale: Array) -> bool:
    """Whether the products are exact: factors of 27 and SCALE_BITS bits."""
    return bool(np.all(weights.astype(np.float32).astype(float) == weights)) or bool(np.all(np.frexp(scale)[0] == 0.5))


def _product(form: TorusForm) -> tuple[FrequencyCondition, TorusProof | None]:
    """The product of the norms over all frequencies, as a point that is proved."""
    condition = FrequencyCondition(form, "neuron", form.frequencies[:1])
    norms: dict[tuple[int, int], float] = {}
    for (to, source), block in form.blocks.items():
        at = form.frequencies if not (form.pooled and to == form.output_row) else [(0, 0)]
        largest = max(spectral_norm(block.symbol(k, form.torus)) for k in at)
        if form.pooled and to == form.output_row:
            largest *= float(np.sqrt(form.cells))
        spread = len(block.offsets) * block.radius * sum(block.shape)
        norms[to, source] = (largest + spread) * 2.0 ** (condition.exponents[to] - condition.exponents[source])
    for inflation in (1e-11, 1e-9, 1e-7, 1e-5):
        rho, multipliers = product_multipliers({k: v * (1 + inflation) for k, v in norms.items()}, form.groups)
        # A constant network has rho = 0, which leaves no room at all.
        proof = prove_torus(condition, np.concatenate([[max(rho, 2.0**-600)], *multipliers]))
        if proof is not None:
            return condition, proof
    return condition, None
