"""A network in parts, cut at the values that everything passes through: each part proved, the bound their product.

For chains that is the product of norms, which one matrix inequality proves as well. For networks whose activations
compare entries (MaxMin, GroupSort, max pooling) it is the product of norms with the constants of the comparisons, 1 for
sorting, where the sum over paths through one stacked form would be larger. No layers are multiplied together, so
nothing is lost by rounding either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

import numpy as np
from scipy import sparse

from sdpcert.certificate.proof import ProofProblem
from sdpcert.certificate.sequence import Joint, Sequence, in_sequence
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certify.passages import passages
from sdpcert.certify.plan import Candidate, Proven
from sdpcert.network.activation import Activation
from sdpcert.network.affine import Rearrange
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers import SOLVERS, product
from sdpcert.solvers.solution import Budget, Solution, SolverError

Array = np.ndarray
#: Inputs and neurons of a network above which it is cut only if nothing else was proved.
LARGEST = 4000
#: Inputs and neurons up to which independent comparisons are solved for their own optimum.
SMALL = 48
#: Relative accuracy of that optimum.
ACCURACY = 1e-9
#: How much larger than computed the norms are that are offered for proof, until a proof is found.
INFLATIONS = ((0.0, 0.0), (1e-11, 1.0), (1e-9, 4.0), (1e-7, 16.0), (1e-5, 256.0))


@dataclass(eq=False)
class CutCandidate(Candidate):
    """A network that is no chain, cut into parts; `rows` are the chosen outputs (None: all)."""

    network: Network
    rows: tuple[int, ...] | None

    def prove(self, below: float, budget: Budget) -> Proven:
        if below < inf and self.network.neurons + int(np.prod(self.network.input_shape)) > LARGEST:
            return Proven(None)
        with first_interrupt_waits():
            tree = prove_cut(with_rows(self.network, self.rows), below)
        if not isinstance(tree, Sequence):
            return Proven(tree)
        return Proven(tree, 0.0, (f"the bound is the product over {len(tree.parts)} parts, each proved by itself",))


def prove_cut(network: Network, below: float) -> StackedCondition | Sequence | None:
    """The proved parts of a network, or None if their product would not be below the given bound.

    Raises nothing for networks that cannot be cut: they are one part, whose bound is the sum over paths.
    """
    values = cuts(network)
    forms = [network.between(start, end).stacked.reduced() for start, end in pairwise(values)]
    points = [_point(form) for form in forms]
    estimate = float(np.prod([point.bound for point in points]))
    if not estimate < below:
        return None
    parts = []
    for form, point in zip(forms, points, strict=True):
        part = _prove(form, point)
        if part is None:
            return None
        parts.append(part)
    joints = tuple(Joint.plain(int(np.prod(network.shape(value)))) for value in values[1:-1])
    return in_sequence(tuple(parts), joints, tuple(values[1:-1]))


def cuts(network: Network) -> list[int]:
    """Input, output and between them the values that divide the network into affine parts and parts with neurons."""
    depended = [k for k in network.last_uses if k]
    values, linear = [0], None
    for value in [*passages(network), network.output]:
        inside = [k for k in depended if values[-1] < k <= value and k > (linear or 0)]
        neurons = any(
            isinstance(layer, Activation) and not layer.is_linear
            for layer in (network.nodes[k - 1].layer for k in inside)
        )
        if neurons and linear is not None:
            values.append(linear)
        if neurons:
            values.append(value)
        linear = None if neurons else value
    if linear is not None:
        values.append(linear)
    return values


def with_rows(network: Network, rows: Iterable[int] | None) -> Network:
    """The network with only the chosen outputs (row major, counted from 0), all of them for None."""
    if rows is None:
        return network
    return network.followed_by(Rearrange(np.asarray(list(rows), dtype=int)))


def _point(form: StackedForm) -> Solution:
    """A point of one part: of its independent pieces if it has small ones, else its product of norms."""
    pieces = _pieces(form)
    if not form.neurons or (len(pieces) == 1 and form.inputs + form.neurons > SMALL):
        return product(form)
    known: dict[bytes, tuple[float, list[Array]]] = {}
    rho, multipliers = 0.0, [np.zeros(g.size) for g in form.groups]
    for inputs, neurons in pieces:
        piece = _restricted(form, inputs, neurons)
        key = _key(piece)
        if key not in known:
            known[key] = _solved(piece)
        own, given = known[key]
        rho = max(rho, own)
        used = [(mask, target) for mask, target in zip(neurons, multipliers, strict=True) if np.any(mask)]
        for (mask, target), values in zip(used, given, strict=True):
            target[mask] = values
    return Solution(rho, tuple(multipliers), 0, 0.0, 0, "closed form")


def _solved(piece: StackedForm) -> tuple[float, list[Array]]:
    """The square of a piece's bound and its multipliers for the whole scale."""
    point = product(piece)
    if piece.neurons and piece.inputs + piece.neurons <= SMALL:
        try:
            best = SOLVERS["native"](piece, "layer" if piece.is_coupled else "neuron", Budget(ACCURACY))
            point = best if best.bound < point.bound else point
        except SolverError:
            pass
    scale = 4.0**point.exponent
    return point.rho * scale, [t * scale for t in point.multipliers]


def _pieces(form: StackedForm) -> list[tuple[Array, list[Array]]]:
    """Inputs and neurons (masks, the latter by group) that have no entry in common with those of other pieces."""
    sizes = form.sizes
    starts = np.cumsum([0, *sizes])
    rows, columns = [], []
    for (to, source), block in form.blocks.items():
        r, c = np.nonzero(block.moving)
        rows.append(r + starts[to])
        columns.append(c + starts[source])
    for g, group in enumerate(form.groups, start=1):
        if group.coupled > 1:  # neurons of one norm are of one piece
            neurons = np.arange(group.size)
            rows.append(neurons + starts[g])
            columns.append(neurons // group.coupled * group.coupled + starts[g])
    count = int(starts[-1])
    pairs = (np.concatenate(rows), np.concatenate(columns)) if rows else (np.zeros(0, int), np.zeros(0, int))
    graph = sparse.coo_array((np.ones(len(pairs[0])), pairs), shape=(count, count))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    read = label[: sizes[0]]
    order = np.argsort(read, kind="stable")
    pieces = []
    for chosen in np.split(order, np.flatnonzero(np.diff(read[order])) + 1):
        own = label == read[chosen[0]]
        pieces.append((own[: sizes[0]], [own[starts[g] : starts[g + 1]] for g in range(1, len(sizes) - 1)]))
    return pieces


def _restricted(form: StackedForm, inputs: Array, neurons: list[Array]) -> StackedForm:
    """The form of one piece, with the groups and the outputs that it reaches."""
    masks = [inputs, *neurons]
    reached = np.zeros(form.outputs, dtype=bool)
    for (to, source), block in form.blocks.items():
        if to == form.output_row:
            reached |= block.moving[:, masks[source]].any(axis=1)
    kept = [0, *(g for g, mask in enumerate(neurons, start=1) if np.any(mask)), form.output_row]
    masks.append(reached)
    blocks = {}
    for (to, source), block in form.blocks.items():
        if to in kept and source in kept:
            part = block.part(np.flatnonzero(masks[to]), np.flatnonzero(masks[source]))
            if part.weights.size:
                blocks[kept.index(to), kept.index(source)] = part
    groups = tuple(form.groups[g - 1].select(masks[g]) for g in kept[1:-1])
    return replace(
        form, inputs=int(inputs.sum()), outputs=int(reached.sum()), groups=groups, blocks=blocks,
        offset=form.offset[reached],
    )  # fmt: skip


def _key(form: StackedForm) -> bytes:
    """What distinguishes two pieces whose optimum may differ."""
    return form.sha256.encode()


def _prove(form: StackedForm, point: Solution) -> StackedCondition | None:
    """The part of a form, at the point or, if it has no neurons, at a larger norm."""
    proof = ProofProblem(form, point.exponent).prove(point.rho, point.multipliers)
    for relative, uncertainty in INFLATIONS:
        if proof is not None or form.neurons:
            break
        larger = product(form, relative, uncertainty)
        proof = ProofProblem(form, larger.exponent).prove(larger.rho, larger.multipliers)
    return None if proof is None else StackedCondition(form, proof)
