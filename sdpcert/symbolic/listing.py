"""What became of derivations as JSON values: claims, verdicts, counterexamples, multipliers, sizes of instances."""

from __future__ import annotations

from typing import Any

from sdpcert.symbolic.derivation import PartResult
from sdpcert.symbolic.layer import Layer
from sdpcert.symbolic.refutation import Witness
from sdpcert.symbolic.result import Result
from sdpcert.symbolic.sentence import sentence


def entry(result: Result) -> dict[str, Any]:
    """One result; exact numbers are strings such as "-4/9", and stand beside the nearest floats."""
    derivation = result.derivation
    numbers = [
        {"what": n.what, "value": n.value, "relation": n.relation, "other": n.other, "agrees": n.agrees}
        for n in result.numbers
    ]
    return {
        "name": derivation.name,
        "title": derivation.title,
        "source": derivation.source,
        "status": result.status,
        "note": result.note,
        "seconds": result.seconds,
        "claims": [_claim(part) for part in result.parts],
        "wrong_versions": [_claim(control) for control in result.controls],
        "numbers": numbers,
    }


def _claim(part: PartResult) -> dict[str, Any]:
    claim, layer, check = part.part.claim, part.part.layer, part.check
    made: dict[str, Any] = {
        "name": claim.name,
        "status": part.status,
        "says": sentence(claim, layer),
        "commentary": claim.text,
        "seconds": part.seconds,
    }
    if layer is not None:
        made["layer"] = _layer(layer)
    if check is not None:
        made["proof"] = {
            "by": part.strategy,
            "steps": len(check.derived),
            "reason": check.reason,
            "instances": list(check.sizes),
            "instances_against_samplers": check.unsampled,
            "wrong_versions_rejected": check.mutants + check.ill_typed,
        }
    if part.witness is not None:
        made["counterexample"] = _witness(part.witness) | _inputs(part)
    if part.suggested is not None and part.suggested.part.layer is not None:
        made["multipliers_that_work"] = str(part.suggested.part.layer.multipliers)
    if part.diagnosis:
        made["diagnosis"] = list(part.diagnosis)
    return made


def _layer(layer: Layer) -> dict[str, Any]:
    low, high = layer.slopes()
    made = {name: str(part) for name, part in layer.parts()}
    if layer.has_activation:
        made |= {"low": low, "high": high, "multipliers": str(layer.multipliers)}
    return made | {"constant": layer.constant()}


def _witness(witness: Witness) -> dict[str, Any]:
    return {
        "sizes": witness.instance.sizes,
        "values": {symbol.name: _exact(value) for symbol, value in witness.values.items()},
        "against_samplers": sorted(symbol.name for symbol in witness.instance.unsampled),
        "values_as_floats": {symbol.name: _floats(value) for symbol, value in witness.values.items()},
        "vector": None if witness.vector is None else [str(x) for x in witness.vector],
        "value": str(witness.value),
        "value_as_float": float(witness.value),
    }


def _inputs(part: PartResult) -> dict[str, Any]:
    network = part.network
    if network is None:
        return {}
    return {
        "inputs": [["0"] * len(network.input), [str(x) for x in network.input]],
        "inputs_as_floats": [[0.0] * len(network.input), [float(x) for x in network.input]],
        "biases": [str(b) for b in network.biases or ()],
        "slopes": [str(s) for s in network.slopes or ()],
        "squared_distance": str(network.stretched),
        "squared_distance_as_float": float(network.stretched),
        "squared_distance_allowed": str(network.allowed),
        "squared_distance_allowed_as_float": float(network.allowed),
    }


def _floats(value: Any) -> list[list[float]]:
    return [[float(x) for x in row] for row in value]


def _exact(value: Any) -> list[list[str]]:
    return [[str(x) for x in row] for row in value]
