"""How formulas are written: plain text for the terminal, LaTeX for documents.

Expressions, block matrices, statements and formulas of entries walk through themselves once, in their `shown`; what a
notation says is how the pieces look.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from sdpcert.symbolic.symbols import Letter, Symbol

#: Letters that LaTeX has a command for.
GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|chi|psi|omega|"
    "Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega"
)


class Notation:
    """The pieces of a formula as plain text on one line."""

    #: Between the factors of a product.
    space = " "
    #: Whether statements are written with names for their parts, which a document explains after them.
    named = False
    #: The sign of an activation.
    activation = "phi"

    def letter(self, letter: Letter) -> str:
        """A symbol in a word."""
        shown = self.symbol(letter.symbol)
        if letter.transposed:
            return self.transposed(shown)
        return shown if letter.exponent == 1 else self.raised(shown, letter.exponent)

    def symbol(self, symbol: Symbol) -> str:
        """A symbol, by its name."""
        return symbol.name

    def number(self, value: Fraction) -> str:
        """A rational number, as in 3/2."""
        return str(value)

    def transposed(self, shown: str) -> str:
        """A transpose, as in W'."""
        return f"{shown}'"

    def exponent(self, exponent: Fraction) -> str:
        """What follows the sign of a power; fractions in parentheses."""
        return str(exponent) if exponent.denominator == 1 else f"({exponent})"

    def raised(self, shown: str, exponent: Fraction) -> str:
        """A power, as in T^-1, T^(1/2)."""
        return f"{shown}^{self.exponent(exponent)}"

    def root(self, shown: str) -> str:
        """A square root, as in sqrt(a)."""
        return f"sqrt({shown})"

    def parenthesised(self, shown: str) -> str:
        """A sum inside of a product, as in (a + b)."""
        return f"({shown})"

    def quotient(self, scale: Fraction, top: Sequence[str], bottom: Sequence[str]) -> str:
        """A number times factors over others, as in 2 a b / (c d)."""
        factors = [self.number(scale)] if scale != 1 or not top else []
        under = " ".join(bottom)
        return " ".join([*factors, *top]) + (f" / {f'({under})' if ' ' in under else under}" if bottom else "")

    def matrix(self, rows: Sequence[Sequence[str]]) -> str:
        """A block matrix, as in [A, B; C, D]."""
        return f"[{'; '.join(', '.join(row) for row in rows)}]"

    def at_least(self, numbers: bool) -> str:
        """The sign between numbers, or between symmetric matrices."""
        return ">="

    def trace(self, shown: str) -> str:
        """A trace, as in tr(A)."""
        return f"tr({shown})"

    def squared_norm(self, shown: str) -> str:
        """The square of a spectral norm, as in ||A||^2."""
        return f"||{shown}||^2"

    def layer(self, maps: Sequence[str]) -> str:
        """A layer with the maps of these names, as in y = H x + G z + c, z = phi(U x + b)."""
        if "U" not in maps:
            return "y = H x + c"
        before = "U x + W z + b" if "W" in maps else "U x + b"
        return f"y = {'H x + ' if 'H' in maps else ''}G z + c, z = {self.activation}({before})"

    def indexed(self, shown: str, compound: bool, at: str) -> str:
        """The entry `at` of a symbol or (`compound`) a formula, as in (W'W)_ij; without `at` a number."""
        shown = f"({shown})" if compound else shown
        return f"{shown}_{at}" if at else shown

    def magnitude(self, shown: str) -> str:
        """An absolute value, as in |a|."""
        return f"|{shown}|"

    def over(self, operation: str, index: str, without: str | None, body: str) -> str:
        """The "sum" or "max" of a body over an index, which leaves out the value of another: sum_j!=i a."""
        return f"{operation}_{index}{f'!={without}' if without else ''} {body}"


class Latex(Notation):
    """LaTeX for math mode."""

    space = r"\,"
    named = True
    activation = r"\varphi"

    def symbol(self, symbol: Symbol) -> str:
        r"""The LaTeX that was declared, or made from the name (`W_k`, `lambda`, `Psi1`)."""
        if symbol.latex is not None:
            return symbol.latex
        name, _, index = symbol.name.partition("_")
        if not index and len(name) > 1 and name[-1].isdigit():
            bare = name.rstrip("0123456789")
            name, index = bare, name[len(bare) :]
        shown = f"\\{name}" if GREEK.fullmatch(name) else name if len(name) == 1 else f"\\mathit{{{name}}}"
        return f"{shown}_{{{index}}}" if index else shown

    def number(self, value: Fraction) -> str:
        """An integer or a small fraction."""
        if value.denominator == 1:
            return str(value.numerator)
        return ("-" if value < 0 else "") + rf"\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"

    def transposed(self, shown: str) -> str:
        """An exponent."""
        return self._with_exponent(shown, r"{\top}")

    def exponent(self, exponent: Fraction) -> str:
        """In braces."""
        return f"{{{exponent}}}"

    def raised(self, shown: str, exponent: Fraction) -> str:
        """An exponent; that of a symbol which is itself written as a square is multiplied by 2."""
        if re.fullmatch(r"[^{}^|]+\^2", shown):
            return shown[:-2] if 2 * exponent == 1 else f"{shown[:-2]}^{self.exponent(2 * exponent)}"
        return self._with_exponent(shown, self.exponent(exponent))

    @staticmethod
    def _with_exponent(shown: str, exponent: str) -> str:
        return f"({shown})^{exponent}" if "^" in shown or shown.startswith(r"\|") else f"{shown}^{exponent}"

    def root(self, shown: str) -> str:
        """A root sign."""
        return rf"\sqrt{{{shown}}}"

    def parenthesised(self, shown: str) -> str:
        """Parentheses that grow."""
        return rf"\left({shown}\right)"

    def quotient(self, scale: Fraction, top: Sequence[str], bottom: Sequence[str]) -> str:
        """A number, then one fraction."""
        if scale.denominator == 1 and scale != 1 and not top:
            top, scale = [self.number(scale)], Fraction(1)
        front = "" if scale == 1 else self.number(scale) + r"\,"
        over = r"\,".join(top) or "1"
        return front + (rf"\frac{{{over}}}{{{self.space.join(bottom)}}}" if bottom else over)

    def matrix(self, rows: Sequence[Sequence[str]]) -> str:
        """A matrix in parentheses."""
        return r"\begin{pmatrix}" + r" \\ ".join(" & ".join(row) for row in rows) + r"\end{pmatrix}"

    def at_least(self, numbers: bool) -> str:
        """The usual sign for numbers, that of the Loewner order for matrices."""
        return r"\ge" if numbers else r"\succeq"

    def trace(self, shown: str) -> str:
        """The operator in roman type."""
        return rf"\operatorname{{tr}}({shown})"

    def squared_norm(self, shown: str) -> str:
        """Double bars."""
        return rf"\|{shown}\|^2"

    def indexed(self, shown: str, compound: bool, at: str) -> str:
        """A subscript."""
        shown = f"({shown})" if compound or "_" in shown else shown
        return f"{shown}_{{{at}}}" if at else shown

    def magnitude(self, shown: str) -> str:
        """Bars."""
        return rf"\lvert {shown}\rvert "

    def over(self, operation: str, index: str, without: str | None, body: str) -> str:
        """The operation's sign with the index below it."""
        apart = rf"\neq {without}" if without else ""
        return rf"\{operation}_{{{index}{apart}}} {body}"


TEXT, LATEX = Notation(), Latex()
