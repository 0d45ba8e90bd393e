"""What a claim says, as lines for a terminal: made of the claim and its layer, not of an author's words."""

from __future__ import annotations

from collections.abc import Sequence

from sdpcert.symbolic.claim import Claim, Statement, equal
from sdpcert.symbolic.layer import Layer
from sdpcert.symbolic.notation import TEXT, Notation
from sdpcert.symbolic.printing import definition
from sdpcert.symbolic.symbols import Symbol


def sentence(claim: Claim, layer: Layer | None = None) -> list[str]:
    """For all symbols, if the hypotheses hold, then the layer is Lipschitz, or the statement holds."""
    symbols = printed_symbols(claim)
    fixed = "".join(f", {name} = {size}" for name, size in claim.sizes.items() if isinstance(size, int))
    lines = [f"for all {', '.join(_declared(s) for s in symbols)}{fixed}"] if symbols else []
    lines += [f"  where {shown}" for shown in definitions(claim, symbols, TEXT)]
    for k, statement in enumerate(claim.given):
        lines += _with_names("and" if k else "if", statement, "  ")
    if layer is None or not layer.is_claimed_by(claim):
        return lines + _with_names("then", claim.show)
    low, high = layer.slopes()
    slopes = f", slopes of phi in [{low}, {high}]" if layer.has_activation else ""
    maps = ", ".join(f"{name} = {part.shown(TEXT)}" for name, part in layer.parts())
    lines += [f"then {layer.formula()}{slopes}", f"  with {maps}"]
    by = f" (multipliers {layer.multipliers.shown(TEXT)})" if layer.multipliers is not None else ""
    return [*lines, f"  is Lipschitz with the constant {layer.constant()}{by}"]


def _with_names(word: str, statement: Statement, indent: str = "") -> list[str]:
    """A statement after a word; where it is written with names for its parts, these after it."""
    if statement.written is None:
        return [f"{indent}{word} {statement.shown(TEXT)}"]
    names = [f"{s.name} = {value.shown(TEXT)}" for s, value in statement.written.names.items()]
    shown = f"{indent}{word} {statement.written.statement.shown(TEXT)}"
    return [shown, *(f"{indent}  with {name}" for name in names)]


def printed_symbols(claim: Claim) -> list[Symbol]:
    """The symbols that a claim is about, by name, but for roots of numbers."""
    return sorted((s for s in claim.symbols() if s.square is None), key=lambda s: s.name)


def definitions(claim: Claim, symbols: Sequence[Symbol], notation: Notation) -> list[str]:
    """What is known of symbols beyond their kinds: definitions, and equalities that no hypothesis states."""
    given, found = list(claim.given), []
    for symbol in symbols:
        shown = definition(symbol, notation)
        # A bound of a norm is said by the hypothesis that comes with it.
        is_bound = isinstance(symbol.formula, tuple) and symbol.formula[0] == "norm"
        if shown and not (is_bound and any(symbol in s.matrix.symbols() for s in given)):
            found.append(shown)
        # An inverse says so by its definition; other equalities that come along are printed.
        if symbol.formula is None:
            said = [s.matrix for s in given if s.kind == "zero"]
            facts = [equal(a, b) for a, b in symbol.facts()]
            found += [fact.shown(notation) for fact in facts if fact.matrix not in said]
    return found


def _declared(symbol: Symbol) -> str:
    """A symbol with its kind and size, as in W (n x m)."""
    kind = "" if symbol.kind == "general" else symbol.kind
    if symbol.positive:
        kind = "positive definite" if kind == "symmetric" else f"positive {kind}"
    size = "" if symbol.kind == "scalar" else f"{symbol.rows} x {symbol.columns}"
    return f"{symbol.name} ({', '.join(part for part in (kind, size) if part)})"
