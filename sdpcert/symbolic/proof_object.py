"""Proof objects: a derivation's claims with proofs that `sdpcert.check.proof_checker` checks, as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdpcert.check import proof_checker
from sdpcert.errors import StepRejected
from sdpcert.symbolic.blocks import Block, as_block, block
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.expression import as_expression, identity, zero
from sdpcert.symbolic.layer import Layer
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step


def theorem(claim: Claim, proof: Sequence[Step], layer: Layer | None = None) -> list[dict[str, Any]]:
    """The proof object of a claim, after those that it cites; with a layer it is about the layer.

    Raises `StepRejected` if a step does not follow, or follows only by what has no form in a proof object.
    """
    record = Record(claim)
    for step in proof:
        statement = step.derive(record.known)
        record.learn(statement, step.record(record))
    if layer is not None and as_block(layer.condition()) == claim.show.matrix:
        said = {"layer": _layer(layer, record)}
    else:
        said = {"conclusion": record.stated(claim.show.kind, claim.show.matrix)}
        _conclude(record, claim.show.kind, claim.show.matrix)
    meanings = record.meanings()
    made = {"name": claim.name, "symbols": record.symbols()} | ({"meanings": meanings} if meanings else {})
    made |= {"hypotheses": [record.stated(s.kind, s.matrix) for s in claim.hypotheses()], **said}
    made |= {"steps": record.steps} | ({"commentary": claim.text} if claim.text else {})
    return [*record.cited, made]


def assumptions(claim: Claim, proof: Sequence[Step]) -> list[Statement]:
    """What the steps that have no form in a proof object derive; raises `StepRejected` as they do."""
    if not any(step.is_assumption for step in proof):
        return []
    known, found = Known(claim), []
    for step in proof:
        statement = step.derive(known)
        known.add(statement)
        found += [statement] if step.is_assumption else []
    return found


def document(title: str, source: str, theorems: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A document of the format; theorems that are the same stand in it once."""
    once = [t for k, t in enumerate(theorems) if t not in theorems[:k]]
    head = {"format": proof_checker.FORMAT, "version": proof_checker.VERSION, "title": title, "source": source}
    return head | {"theorems": once}


def check_theorems(theorems: Sequence[dict[str, Any]]) -> None:
    """Have theorems checked by the stand-alone checker; raises `StepRejected` if one is not proved."""
    try:
        proof_checker.check_proof(document("", "", theorems))
    except proof_checker.Rejected as reason:
        raise StepRejected(f"the proof checker rejects it: {reason}") from None


def _conclude(record: Record, kind: str, matrix: Block) -> None:
    """What is claimed has to be a statement of the object as it stands, not only up to rewriting."""
    if kind == "positive":
        record.fact(matrix)
    else:
        record.zero(matrix)


def _layer(layer: Layer, record: Record) -> dict[str, Any]:
    """The layer's parts, and statements that its condition holds and that its multipliers are nonnegative."""
    condition = as_block(layer.condition())
    if layer.U is None or layer.G is None or layer.multipliers is None:
        assert layer.H is not None
        # A linear map is a layer with one neuron that reads nothing.
        inputs, outputs = layer.H.columns, layer.H.rows
        U, G, L = zero(1, inputs), zero(outputs, 1), identity(1)
        record.sum(
            block([[condition.entries[0][0], 0], [0, 2 * identity(1)]]),
            [(1, condition, block([[identity(inputs), zero(inputs, 1)]])), (2, L, block([[zero(1, inputs), L]]))],
        )
    else:
        U, G, L, inputs, outputs = layer.U, layer.G, layer.multipliers, layer.U.columns, layer.G.rows
        _conclude(record, "positive", condition)
    record.fact(L)
    H = zero(outputs, inputs) if layer.H is None else layer.H
    W = zero(U.rows, U.rows) if layer.W is None else layer.W
    numbers = {"squared_lipschitz": layer.squared_lipschitz, "low": layer.low, "high": layer.high}
    sizes = {"inputs": inputs, "hidden": U.rows, "outputs": outputs}
    parts = {"H": H, "G": G, "U": U, "W": W, "multipliers": L}
    return (
        {key: record.text(as_expression(value, (1, 1))) for key, value in numbers.items()}
        | {key: record.size(value) for key, value in sizes.items()}
        | {key: record.text(part) for key, part in parts.items()}
    )
