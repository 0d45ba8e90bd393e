"""Certify a convolutional network over frequencies: the front on a torus and the head that reads it, each proved.

Where the head reads a group of neurons, front and head are solved together: the head in the metric `sum_c d_c
|z_c|^2` with one d_c for each channel, a shift-invariant upper bound of the head's Gram matrix, which the front has
its output measured in. Elsewhere they are bounded one after the other, and the bound is the product. `Convolutional`
makes one attempt by one way; `frequency_ladder` chooses among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, nextafter
from typing import Protocol

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.exact import square_root_up
from sdpcert.arithmetic.spectra import spectral_norm
from sdpcert.certificate.parts import Part, StackedPart, TorusPart, build_parts_document, product_up
from sdpcert.certificate.proof import Proof
from sdpcert.certificate.torus_proof import TorusProof, prove_torus
from sdpcert.certify.construction import prove_point_on_torus
from sdpcert.condition.frequency import FrequencyCondition, Head
from sdpcert.network.construction import ConstructedNetwork, Construction
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.embedding import Embedding, embed
from sdpcert.network.graph import Network
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.network.torus import Taps, TorusForm
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers.closed_form import product_multipliers
from sdpcert.solvers.effort import exact_check_seconds
from sdpcert.solvers.solution import Budget, Progress, Solution
from sdpcert.solvers.working_set import FrequencySolution, solve_frequencies

Array = np.ndarray
#: Bits of the scales between front and head: products with float32 weights stay exact.
SCALE_BITS = 26
CLOSED_FORMS = ("product", "by-construction")


@dataclass(frozen=True, eq=False)
class Attempt:
    """What one way proved about a convolutional network: no parts where nothing was proved, and `notes` then say why.

    `upper` is the product of the parts' bounds, `dual` bounds the optimum of this way's condition from below.
    """

    method: str
    joint: bool
    parts: tuple[Part, ...]
    upper: float
    dual: float
    iterations: int
    status: str
    history: tuple[Progress, ...]
    notes: tuple[str, ...]
    solve_seconds: float


class HeadProver(Protocol):
    """Solves and proves a dense head; `sdpcert.certify` provides it."""

    def __call__(
        self, form: StackedForm, method: str, known: Solution | None, budget: Budget
    ) -> tuple[Solution, Proof | None, tuple[str, ...]]:
        """The point, its proof or None, and notes; `known` is a point that is feasible up to rounding, where one is."""
        ...


@dataclass(eq=False)
class Convolutional:
    """A network with its front on a torus, ready to be bounded by one way after another."""

    embedding: Embedding
    form: TorusForm
    head: StackedForm | None
    construction: Construction | None
    prove_head: HeadProver
    device: str = "cpu"

    @staticmethod
    def of(
        network: Network,
        prove_head: HeadProver,
        output_rows: Sequence[int] | None = None,
        device: str = "cpu",
        torus: tuple[int, int] | None = None,
        share: bool = True,
    ) -> Convolutional:
        """Embed a network; with `share` channels that read the same are one, without it may be proved by construction.

        Raises ValueError if it has no convolutional front, or if output rows are asked of a network that ends in an
        image.
        """
        embedding, form, head = front_and_head(network, output_rows, torus, share)
        known = None
        if isinstance(network, ConstructedNetwork):
            known = network.construction.arranged(embedding.arrangement)
        return Convolutional(embedding, form, head, known, prove_head, device)

    @property
    def construction_of_head(self) -> Construction:
        """What the layers of the head know by construction; raises ValueError if nothing is known of them."""
        arranged = self.embedding.arrangement.network
        return ConstructedNetwork.of(arranged, self._known).part(self.embedding.cut, arranged.output).construction

    @property
    def _known(self) -> Construction:
        if self.construction is None:
            raise ValueError("the network knows no multipliers by construction; see sdpcert.from_torch")
        return self.construction

    @property
    def notes(self) -> tuple[str, ...]:
        """What holds of the embedding, whatever the way."""
        rows, columns = self.form.torus
        channels = ", ".join(str(size) for size in self.form.sizes[:-1])
        return (*self.form.notes, f"embedded in a torus of {rows} x {columns} cells with {channels} channels")

    def attempt(self, method: str, joint: bool, budget: Budget) -> Attempt:
        """Bound the network by one way; `method` is "neuron", "layer", "product" or "by-construction".

        `joint` of False bounds front and head one after the other. What cannot be proved has no parts.
        """
        if method in CLOSED_FORMS or not self.form.groups:
            return self._in_closed_form(method, budget)
        return self._solved(method, joint and self.head is not None, budget)

    def _in_closed_form(self, method: str, budget: Budget) -> Attempt:
        form, dual = self.form, 0.0
        if method == "by-construction":
            embedding = self.embedding
            end = embedding.arrangement.network.output if embedding.head is None else embedding.cut
            proof = prove_point_on_torus(form, self._known.before(end))
        else:
            _, proof = _product(form)
            if not form.groups and proof is not None:  # a norm: the product is the optimum
                dual = float(np.ldexp(np.sqrt(proof.rho), proof.exponent)) * (1 - 1e-9)
        empty = Attempt(method, False, (), inf, dual, 0, "closed form", (), (), 0.0)
        if self.head is not None:
            empty = replace(empty, notes=("front and head were bounded one after the other",))
        if proof is None:
            return _failed(empty, "the front could not be proved over all frequencies")
        return self._with_head(empty, proof, np.ones(form.outputs), np.ones(form.outputs), None, budget)

    def _solved(self, method: str, joint: bool, budget: Budget) -> Attempt:
        form, embedding, started = self.form, self.embedding, budget.elapsed
        channels = embedding.output_index // form.cells
        together = Head(self.head, channels, embedding.output_group) if joint and self.head is not None else None
        solved = solve_frequencies(form, method, budget, self.device, together)
        point, condition = solved.point, solved.condition
        notes = [f"solved over {solved.frequencies} of {len(form.frequencies)} frequencies, proved over all"]
        if self.head is not None:
            how = "together, in a metric with one weight a channel" if joint else "one after the other"
            notes.append(f"front and head were bounded {how}")
        empty = Attempt(
            method,
            joint,
            (),
            inf,
            point.dual,
            point.iterations,
            point.status,
            point.history,
            tuple(notes),
            budget.elapsed - started,
        )
        d = t = np.ones(form.outputs)
        if joint:
            metric = condition.metric(point.y)
            if not (np.all(np.isfinite(metric)) and np.all(metric > 0)):
                return _failed(empty, "the metric between front and head left the range of float64")
            d, t = _metric(metric)
        front = FrequencyCondition(_measured(form, d), method, condition.frequencies)
        unit = 2.0 ** (-2 * front.exponent) if joint else 2.0 ** (2 * (point.exponent - front.exponent))
        with first_interrupt_waits():
            proof = prove_torus(front, np.asarray(point.y[: front.variables]) * unit)
        if proof is None:
            return _failed(empty, "the solver's point could not be proved over all frequencies")
        known = _known(solved, t) if joint else None
        return self._with_head(empty, proof, d, t, known, budget)

    def _with_head(
        self, empty: Attempt, proof: TorusProof, d: Array, t: Array, known: Solution | None, budget: Budget
    ) -> Attempt:
        """The attempt with its parts: the front that is proved in the metric `d`, and the head read in the scales
        `t`.
        """
        proof = replace(proof, form=self.form, metric=d)
        parts: list[Part] = [TorusPart(proof, square_root_up(proof.rho, proof.exponent))]
        dual = empty.dual
        if self.head is not None:
            scale = t[self.embedding.output_index // self.form.cells]
            scaled = read_scaled(self.head, scale).reduced()
            solution, head_proof, notes = self.prove_head(scaled, empty.method, known, budget)
            notes = tuple(f"head: {note}" for note in notes)
            empty = replace(empty, notes=(*empty.notes, *notes))
            if head_proof is None:
                return _failed(empty, "the point of the head could not be proved")
            upper = square_root_up(head_proof.rho, head_proof.exponent)
            parts.append(StackedPart(scaled, head_proof, upper, self.embedding.output_index, scale))
            dual = dual if empty.joint else dual * solution.dual
        return replace(empty, parts=tuple(parts), upper=product_up(tuple(parts)), dual=dual)


def _failed(attempt: Attempt, reason: str) -> Attempt:
    return replace(attempt, notes=(*attempt.notes, reason))


def _known(solved: FrequencySolution, t: Array) -> Solution | None:
    """The head's part of a joint point, for the head that is read in the scales t."""
    condition, point = solved.condition, solved.point
    rho = float(np.max(condition.metric(point.y) * t * t)) * (1 + 2.0**-50)
    multipliers = condition.head_multipliers(point.y)
    return Solution(rho, multipliers, point.exponent, 0.0, point.iterations, point.status)


def verify(attempt: Attempt, seconds: float = inf) -> str | None:
    """Have a checker read the certificate: "exact" or "floating-point", None where it rejects.

    Exact arithmetic is for what is small enough, and estimated to take no more than `seconds`.
    """
    from sdpcert.check import floating as floating_checker
    from sdpcert.check import is_large
    from sdpcert.check import torus as frequency_checker

    document = build_parts_document(attempt.parts, attempt.upper, None, {})
    fronts = [part.proof.form for part in attempt.parts if isinstance(part, TorusPart)]
    large = is_large(document) or sum(map(exact_check_seconds, fronts)) > seconds
    with first_interrupt_waits():
        result = (floating_checker if large else frequency_checker).check_document(document)
    if not result.ok:
        return None
    return "floating-point" if large else "exact"


def front_and_head(
    network: Network,
    output_rows: Sequence[int] | None = None,
    torus: tuple[int, int] | None = None,
    share: bool = True,
) -> tuple[Embedding, TorusForm, StackedForm | None]:
    """The embedding, the front on the torus and the head of a network, with the chosen outputs."""
    embedding = embed(network, torus, share)
    form = embedding.form
    head = None if embedding.head is None else embedding.head.stacked
    if output_rows is not None:
        if head is not None:
            order = embedding.output_order
            head = head.output_rows([int(order[r]) if 0 <= r < len(order) else r for r in output_rows])
        elif form.pooled:
            form = _rows_of_pooled(form, output_rows)
        else:
            raise ValueError("output rows cannot be chosen over frequencies where the output is an image")
    form = form.reduced(embedding.output_group if head is not None else 0)
    return embedding, form, None if head is None else head.reduced()


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
        if block.low is not None:
            blocks[to, source] = block.times(scale)
            continue
        weights = block.weights * scale
        exact = _exact_products(block.weights, scale, weights)
        if by_earlier_rules():  # weights outside of float32's range counted as rounded
            float32 = bool(np.all(block.weights.astype(np.float32).astype(float) == block.weights))
            short = float32 or bool(np.all(np.frexp(scale)[0] == 0.5))
            exact = short and bool(np.all(weights / scale == block.weights))
        radius = block.radius * float(np.max(scale)) * (1 + 2.0**-50)
        if not exact:
            radius += 2.0**-52 * error_bound.largest(np.abs(weights)) + 2.0**-1074
        radius = error_bound.largest(radius)
        blocks[to, source] = Block(weights, float(np.nextafter(radius, np.inf)) if radius > 0 else 0.0, block.zero)
    return replace(head, blocks=blocks)


def _exact_products(weights: Array, scale: Array, products: Array) -> bool:
    """Whether the products were not rounded: factors of 27 and SCALE_BITS bits, or a power of two, and no underflow.

    Bits are counted, whatever the exponents: a mean over pixels moves float32 numbers below float32's range.
    """
    short = np.ldexp(np.frexp(weights)[0], 53 - SCALE_BITS)
    few = bool(np.all(short == np.rint(short))) or bool(np.all(np.frexp(scale)[0] == 0.5))
    normal = np.abs(products) >= np.finfo(float).tiny
    return few and bool(np.all(normal | (weights == 0)))


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
