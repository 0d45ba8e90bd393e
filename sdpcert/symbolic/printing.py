"""Expressions, block matrices, statements and entry formulas as text for the terminal and as LaTeX."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sdpcert.symbolic.blocks import Block, as_block
from sdpcert.symbolic.entries import Absolute, Constant, Element, Entry, Index, Largest, Product, Sum, Total
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.symbols import Letter, Symbol

#: Characters of a formula that fits into one line, as `visible` counts them.
LINE = 62
GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "eta",
    "theta",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "phi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
]


def symbol_latex(symbol: Symbol) -> str:
    """The symbol's LaTeX: as declared, or from its name (`W_k`, `lambda`, `Psi1`)."""
    if symbol.latex is not None:
        return symbol.latex
    name, _, index = symbol.name.partition("_")
    if not index and len(name) > 1 and name[-1].isdigit():
        name, index = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    shown = f"\\{name}" if name in GREEK else name if len(name) == 1 else f"\\mathit{{{name}}}"
    return f"{shown}_{{{index}}}" if index else shown


def text(value: Any) -> str:
    """Plain text of an expression, block matrix or statement."""
    if isinstance(value, Expression):
        return _sum(value, _text_letter, _text_monomial, str, "I", " ")
    if isinstance(value, Block):
        rows = [", ".join(text(e) for e in row) for row in value.entries]
        return rows[0] if len(rows) == 1 and len(value.entries[0]) == 1 else f"[{'; '.join(rows)}]"
    sign = "=" if value.kind == "zero" else ">="
    left = value.matrix if value.left is None else value.left
    right = "0" if value.right is None else str(value.right) if isinstance(value.right, int) else text(value.right)
    return f"{text(left)} {sign} {right}"


def latex(value: Any) -> str:
    """LaTeX of an expression, block matrix or statement, for math mode."""
    if isinstance(value, Expression):
        return _sum(value, _latex_letter, _latex_monomial, _latex_fraction, "I", r"\,")
    if isinstance(value, int | Fraction):
        return _latex_fraction(Fraction(value))
    if isinstance(value, Block):
        if len(value.entries) == 1 and len(value.entries[0]) == 1:
            return latex(value.entries[0][0])
        rows = [" & ".join(latex(e) for e in row) for row in value.entries]
        return r"\begin{pmatrix}" + r" \\ ".join(rows) + r"\end{pmatrix}"
    if value.written is not None:
        value = value.written.statement
    matrix = as_block(value.matrix)
    number = matrix.row_sizes == matrix.column_sizes == (1,)
    sign = "=" if value.kind == "zero" else r"\ge" if number else r"\succeq"
    left = value.matrix if value.left is None else value.left
    right = "0" if value.right is None else latex(value.right)
    return f"{latex(left)} {sign} {right}"


def sandwich(coefficient: Any, S: Any, V: Any) -> str:
    """`c V'SV` in LaTeX, with S and V in parentheses where they are sums."""
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


def _sum(value: Expression, letter: Any, monomial: Any, fraction: Any, one: str, space: str) -> str:
    if not value.terms:
        return "0"
    parts = []
    for (scalars, word), coefficient in value.terms.items():
        sign = "-" if coefficient < 0 else "+"
        size = abs(coefficient)
        factors = [fraction(size)] if size != 1 else []
        factors += [monomial(s, e) for s, e in scalars]
        for x, run in itertools.groupby(word):
            count = len(list(run))
            shown = letter(x)
            factors.append(
                shown
                if count == 1
                else letter(Letter(x.symbol, False, Fraction(count)))
                if not x.transposed
                else f"({shown})^{count}"
            )
        if not word and not value.is_scalar and value.shape != (1, 1):
            factors.append(one)
        parts.append((sign, space.join(factors) if factors else "1"))
    head = ("-" if parts[0][0] == "-" else "") + parts[0][1]
    return head + "".join(f" {sign} {part}" for sign, part in parts[1:])


def _text_letter(x: Letter) -> str:
    return x.symbol.name + ("'" if x.transposed else "") + ("" if x.exponent == 1 else f"^{_text_exponent(x.exponent)}")


def _text_exponent(exponent: Fraction) -> str:
    return str(exponent) if exponent.denominator == 1 else f"({exponent})"


def _text_monomial(symbol: Symbol, exponent: Fraction) -> str:
    return symbol.name if exponent == 1 else f"{symbol.name}^{_text_exponent(exponent)}"


def _latex_letter(x: Letter) -> str:
    shown = symbol_latex(x.symbol)
    if x.transposed:
        return _raised(shown, r"\top")
    return shown if x.exponent == 1 else _raised(shown, _slashed(x.exponent))


def _latex_monomial(symbol: Symbol, exponent: Fraction) -> str:
    shown = symbol_latex(symbol)
    return shown if exponent == 1 else _raised(shown, _slashed(exponent))


def _raised(shown: str, exponent: str) -> str:
    if re.fullmatch(r"[^{}^|]+\^2", shown) and exponent != r"\top":
        # A symbol that is itself written as a square: the exponents are multiplied.
        doubled = 2 * Fraction(exponent)
        return shown[:-2] if doubled == 1 else f"{shown[:-2]}^{{{doubled}}}"
    return f"({shown})^{{{exponent}}}" if "^" in shown or shown.startswith(r"\|") else f"{shown}^{{{exponent}}}"


def _slashed(exponent: Fraction) -> str:
    return str(exponent)


def _latex_fraction(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return ("-" if value < 0 else "") + rf"\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def visible(shown: str) -> int:
    """About how many characters wide a formula in one line is."""
    for inner in re.findall(r"\\begin{pmatrix}(.*?)\\end{pmatrix}", shown):
        columns = zip(*(row.split("&") for row in inner.split(r"\\")))
        width = sum(max(visible(cell) for cell in column) + 2 for column in columns)
        shown = shown.replace(rf"\begin{{pmatrix}}{inner}\end{{pmatrix}}", "x" * width, 1)
    shown = re.sub(r"\\[a-zA-Z]+", "x", shown)
    return len(re.sub(r"\\.|[{}^_& ]", "", shown))


def entry_text(entry: Entry) -> str:
    """Plain text of an entry formula."""
    match entry:
        case Constant(value):
            return str(value)
        case Element(expression, row, column):
            at = _position(expression, row, column)
            name = text(expression) if len(expression.terms) == 1 and not _long(expression) else f"({text(expression)})"
            return f"{name}_{at}" if at else name
        case Absolute(body):
            return f"|{entry_text(body)}|"
        case Product(factors):
            return " ".join(entry_text(f) + ("" if e == 1 else f"^{_text_exponent(e)}") for f, e in factors)
        case Sum(parts):
            return " + ".join(entry_text(p) for p in parts)
        case Total(body, index, without):
            sign = "max" if isinstance(entry, Largest) else "sum"
            return f"{sign}_{index.name}{f'!={without.name}' if without else ''} {entry_text(body)}"
    return "?"


def entry_latex(entry: Entry) -> str:
    """LaTeX of an entry formula."""
    match entry:
        case Constant(value):
            return _latex_fraction(value)
        case Element(expression, row, column):
            at = _position(expression, row, column)
            shown = latex(expression)
            shown = f"({shown})" if _long(expression) or len(expression.terms) > 1 or "_" in shown else shown
            return f"{shown}_{{{at}}}" if at else shown
        case Absolute(body):
            return rf"\lvert {entry_latex(body)}\rvert "
        case Product(factors):
            scale = Fraction(1)
            for f, e in factors:
                if isinstance(f, Constant) and e.denominator == 1:
                    scale *= f.value ** int(e)
            others = [(f, e) for f, e in factors if not (isinstance(f, Constant) and e.denominator == 1)]
            top = [_entry_power(f, e) for f, e in others if e > 0]
            bottom = [_entry_power(f, -e) for f, e in others if e < 0]
            if scale.denominator == 1 and scale != 1 and not top:
                top, scale = [_latex_fraction(scale)], Fraction(1)
            front = "" if scale == 1 else _latex_fraction(scale) + r"\,"
            over = r"\,".join(top) or "1"
            under = _without_parentheses(bottom, others)
            return front + (rf"\frac{{{over}}}{{{under}}}" if bottom else over)
        case Sum(parts):
            return " + ".join(entry_latex(p) for p in parts)
        case Total(body, index, without):
            sign = r"\max" if isinstance(entry, Largest) else r"\sum"
            apart = rf"\neq {without.name}" if without else ""
            return rf"{sign}_{{{index.name}{apart}}} {entry_latex(body)}"
    return "?"


def _position(expression: Expression, row: Index | None, column: Index | None) -> str:
    """The indices of an entry: one for columns and diagonal matrices, two for others."""
    if row is None:
        return ""
    single = column is None or (row is column and all(s.kind == "diagonal" for s in expression.symbols()))
    return row.name if single or column is None else row.name + column.name


def _entry_power(entry: Entry, exponent: Fraction) -> str:
    if exponent == Fraction(1, 2):
        return rf"\sqrt{{{entry_latex(entry)}}}"
    shown = entry_latex(entry)
    if isinstance(entry, Sum | Product) and (exponent != 1 or isinstance(entry, Sum)):
        shown = rf"\left({shown}\right)"
    return shown if exponent == 1 else f"{shown}^{{{exponent}}}"


def _without_parentheses(bottom: list[str], factors: Sequence[tuple[Entry, Fraction]]) -> str:
    """A denominator; a single sum needs no parentheses there."""
    below = [f for f, e in factors if e < 0]
    if len(below) == 1 and isinstance(below[0], Sum) and factors[-1][1] == -1:
        return entry_latex(below[0])
    return r"\,".join(bottom)


def _long(expression: Expression) -> bool:
    return any(len(word) + len(monomial) > 1 for monomial, word in expression.terms)


def definition_latex(symbol: Symbol) -> str | None:
    """How a symbol is defined, as an equation; None where it is free."""
    if not isinstance(symbol.formula, tuple):
        return None if symbol.formula is None else f"{symbol_latex(symbol)} = {latex(symbol.formula)}"
    index, formula = symbol.formula
    if index == "trace":
        return rf"{symbol_latex(symbol)} = \operatorname{{tr}}({latex(formula)})"
    if index == "norm":
        return rf"{symbol_latex(symbol)} \ge \|{latex(formula)}\|^2"
    if index == "inverse" and symbol.latex is not None and symbol.latex.endswith("^{-1}"):
        return None
    if index == "inverse":
        inner = (
            f"({latex(formula)})"
            if "_" in latex(formula) or _long(formula) or len(formula.terms) > 1
            else latex(formula)
        )
        return rf"{symbol_latex(symbol)} = {inner}^{{-1}}"
    if index is None:
        return f"{symbol_latex(symbol)} = {entry_latex(formula)}"
    shown = symbol_latex(symbol)
    shown = f"({shown})" if "_" in shown or "^" in shown else shown
    return rf"{shown}_{{{index.name}{index.name}}} = {entry_latex(formula)}"


def witness_text(values: Any) -> str:
    """A matrix of numbers in one line."""
    rows = ["[" + ", ".join(str(v) for v in row) + "]" for row in values]
    return rows[0] if len(rows) == 1 else "[" + ", ".join(rows) + "]"
