"""What a proof is explained with in LaTeX: formulas, sandwiches, definitions, and how wide they are."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.notation import LATEX, Notation
from sdpcert.symbolic.symbols import Symbol

#: Characters of a formula that fits into one line, as `visible` counts them.
LINE = 62


def latex(value: Any) -> str:
    """LaTeX of a number, expression, block matrix or statement, for math mode."""
    return LATEX.number(Fraction(value)) if isinstance(value, int | Fraction) else value.shown(LATEX)


def sandwich(coefficient: Any, S: Any, V: Any) -> str:
    """`c V'SV` in LaTeX, with S and V in parentheses if they are sums."""
    front = "" if coefficient == 1 else _in_parentheses(coefficient) + r"\,"
    if V is None:
        return front + (_in_parentheses(S) if front else latex(S))
    V = _bare(V)
    inner = "" if isinstance(S, Expression) and _is_identity(S) else _in_parentheses(S)
    if isinstance(V, Expression) and V.is_scalar:
        return f"{front}{_in_parentheses(V)}^2{inner}" if _short(V) else f"{front}({latex(V)})^2{inner}"
    if isinstance(V, Expression) and _single(V) and _single(V.T):
        # The transpose of a product is written out: W'SW for V = W, WSW' for V = W'.
        return rf"{front}{latex(V.T)}\,{inner}{'' if not inner else chr(92) + ','}{latex(V)}"
    return rf"{front}{_in_parentheses(V)}^\top {inner}{_in_parentheses(V)}"


def _bare(value: Any) -> Any:
    """A block matrix of one block as that block."""
    return (
        value.entries[0][0] if isinstance(value, Block) and len(value.entries) == len(value.entries[0]) == 1 else value
    )


def _single(value: Expression) -> bool:
    """Whether it is one term with a positive coefficient."""
    return len(value.terms) == 1 and next(iter(value.terms.values())) > 0


def _short(value: Expression) -> bool:
    """Whether it is one letter without an exponent."""
    if not _single(value) or next(iter(value.terms.values())) != 1:
        return False
    monomial, word = next(iter(value.terms))
    return len(word) + len(monomial) == 1 and all(e == 1 for _, e in monomial) and "^" not in latex(value)


def _in_parentheses(value: Any) -> str:
    """Sums in parentheses; everything else, such as products and block matrices, as it is."""
    value = _bare(value)
    return latex(value) if not isinstance(value, Expression) or _single(value) else f"({latex(value)})"


def _is_identity(value: Expression) -> bool:
    return len(value.terms) == 1 and ((), ()) in value.terms and value.terms[(), ()] == 1


def visible(shown: str) -> int:
    """About how many characters wide a formula in one line is."""
    for inner in re.findall(r"\\begin{pmatrix}(.*?)\\end{pmatrix}", shown):
        columns = zip(*(row.split("&") for row in inner.split(r"\\")))
        width = sum(max(visible(cell) for cell in column) + 2 for column in columns)
        shown = shown.replace(rf"\begin{{pmatrix}}{inner}\end{{pmatrix}}", "x" * width, 1)
    shown = re.sub(r"\\[a-zA-Z]+", "x", shown)
    return len(re.sub(r"\\.|[{}^_& ]", "", shown))


def definition(symbol: Symbol, notation: Notation) -> str | None:
    """How a symbol is defined, as an equation; None if it is free."""
    name = notation.symbol(symbol)
    if not isinstance(symbol.formula, tuple):
        return None if symbol.formula is None else f"{name} = {symbol.formula.shown(notation)}"
    index, formula = symbol.formula
    shown = formula.shown(notation)
    if index == "trace":
        return f"{name} = {notation.trace(shown)}"
    if index == "norm":
        return f"{name} {notation.at_least(True)} {notation.squared_norm(shown)}"
    if index == "inverse":
        if notation.named and symbol.latex is not None and symbol.latex.endswith("^{-1}"):
            return None
        base = f"({shown})" if "_" in shown or formula.is_compound else shown
        return f"{name} = {base}^{notation.exponent(Fraction(-1))}"
    if index is None:
        return f"{name} = {shown}"
    name = f"({name})" if "_" in name or "^" in name else name
    return f"{notation.indexed(name, False, index.name * 2)} = {shown}"


def plain(value: str) -> str:
    """LaTeX of a line as plain text: without dollars and braces, commands by their names or signs."""
    signs = {
        "sqrt": "root of ",
        "top": "'",
        "le": "<=",
        "ge": ">=",
        "times": "x",
        "cdot": " ",
        "to": "->",
        "mapsto": "->",
        "succeq": ">=",
    }

    def word(match: re.Match[str]) -> str:
        shown = signs.get(match[1], "" if len(match[1]) > 8 else match[1])
        return f"{shown} " if shown[-1:].isalpha() and match[2] else shown

    value = re.sub(r"\\([a-zA-Z]+)(\s*)", word, value)
    return re.sub(r"\\.|[${}]|\^(?=')", "", value.replace("\\|", "|"))


def latex_defect(value: str) -> str | None:
    """What keeps a piece of LaTeX from compiling wherever it stands: braces, dollars, environments; None if nothing."""
    bare = re.sub(r"\\\\|\\[{}$]", "", value)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return "a brace } is closed that was not opened"
    if depth:
        return "a brace { is not closed"
    if bare.count("$") % 2:
        return "a formula that starts with $ does not end"
    if bare.count(r"\[") != bare.count(r"\]"):
        return r"a formula that starts with \[ does not end"
    opened: list[str] = []
    for command, name in re.findall(r"\\(begin|end)\{([^{}]*)\}", bare):
        if command == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return rf"\end{{{name}}} ends what was not begun"
    return rf"\begin{{{opened[-1]}}} does not end" if opened else None
