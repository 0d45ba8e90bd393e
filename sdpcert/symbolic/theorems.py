"""Claims with their proofs, and wrong versions with their counterexamples, as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sdpcert.symbolic.blocks import Block, as_block
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.derivation import PROVED, REFUTED, PartResult
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.layer import Layer
from sdpcert.symbolic.notation import LATEX
from sdpcert.symbolic.printing import LINE, definition, latex, visible
from sdpcert.symbolic.sentence import definitions
from sdpcert.symbolic.symbols import Symbol


def wrong_version_latex(control: PartResult) -> list[str]:
    """A wrong version: what does not follow, and the counterexample."""
    claim = control.part.claim
    return [
        f"\\begin{{control}}[{_title(claim)}]",
        _stated(control, wrong=True),
        *_witness_latex(control),
        "\\end{control}",
        *commentary_latex(claim),
    ]


def _title(claim: Claim) -> str:
    """The claim's name, with a capital letter."""
    first = claim.name.split(" ")[0]
    name = claim.name[:1].upper() + claim.name[1:] if first.isalpha() else claim.name
    return f"{{{escaped(name)}}}"


def _stated(result: PartResult, names: dict[str, str] | None = None, wrong: bool = False) -> str:
    """Declarations, hypotheses and what follows; `names` are those of hypotheses' matrices, by their LaTeX."""
    claim, layer = result.part.claim, result.part.layer
    given, names = list(claim.given), names or {}
    # What cancels in the difference of the two sides is printed all the same.
    sides = [side for side in (claim.show.left, claim.show.right) if isinstance(side, Expression | Block)]
    printed = claim.symbols().union(*(side.symbols() for side in sides if claim.show.written is None))
    symbols = sorted((s for s in printed if s.square is None), key=lambda s: s.name)
    defined = definitions(claim, symbols, LATEX)
    parts = []
    declared = _declarations(symbols)
    if claim.sizes:
        fixed = ", ".join(f"${k}={v}$" for k, v in claim.sizes.items() if isinstance(v, int))
        declared += f", where {fixed}" if fixed and declared else ""
    if declared:
        parts.append(f"Consider {declared}{' with' if defined else '.'}{_listed(defined, '.')}")
    if given:
        hypotheses = []
        for statement in given:
            name = names.get(_plainly(statement))
            hypotheses.append((f"{name} = " if name else "") + latex(statement))
        parts.append(f"If{_listed(hypotheses)}{_where(given)}")
        parts.append("it does \\emph{not} follow that" if wrong else "then")
    else:
        parts.append("It is \\emph{not} always true that" if wrong else "Then")
    if layer is not None and layer.is_claimed_by(claim):
        parts.append(_layer_latex(layer, wrong))
    # The same names are not explained twice.
    explained = {s.name for statement in given if statement.written for s in statement.written.names}
    where = _where([claim.show], explained, ".")
    parts.append(_display(latex(claim.show) + ("," if where else ".")) + where)
    return "\n".join(parts)


def _layer_latex(layer: Layer, wrong: bool) -> str:
    """The layer with its maps, slopes and constant, up to its condition, which is printed after it."""
    maps = [f"{name} = {latex(part)}" for name, part in layer.parts()]
    low, high = layer.slopes(LATEX)
    slopes = f" and slopes of $\\varphi$ in $[{low},{high}]$" if layer.has_activation else ""
    shown = f"the map{_display(layer.formula(LATEX))}with{_listed(maps)}{slopes}"
    constant = f"the constant ${layer.constant(LATEX)}$"
    by = "" if layer.multipliers is None else f" and the multipliers ${latex(layer.multipliers)}$"
    if wrong:
        return f"{shown} satisfies the condition for {constant}{by}:"
    return f"{shown} is Lipschitz with {constant}: the condition holds for it{by},"


def commentary_latex(claim: Claim) -> list[str]:
    """An author's words on a claim, marked as words."""
    return ["\\begin{commentary}", claim.text, "\\end{commentary}"] if claim.text else []


def _plainly(statement: Statement) -> str:
    """The matrix of a statement as explanations print it."""
    return latex(statement.matrix)


def _where(statements: Sequence[Statement], known: set[str] | None = None, end: str = "") -> str:
    """The names that the statements are written with, those in `known` left out."""
    names = {s: v for statement in statements if statement.written for s, v in statement.written.names.items()}
    shown = [f"{LATEX.symbol(s)} = {latex(v)}" for s, v in names.items() if s.name not in (known or set())]
    return f"where{_listed(shown, end)}" if shown else ""


def _display(shown: str, right: str = "") -> str:
    """A formula on a line of its own."""
    if visible(shown) > LINE:
        # Two block matrices that do not fit side by side stand one below the other.
        between = re.compile(r"\\end{pmatrix} (=|\\succeq) \\begin{pmatrix}")
        if len(between.findall(shown)) == 1:
            lines = between.sub(r"\\end{pmatrix}\\\\[3pt]&{}\1\\begin{pmatrix}", shown)
            shown = f"\\begin{{aligned}}&{lines}\\end{{aligned}}"
    command = "blockformula" if "{pmatrix}" in shown or "{aligned}" in shown else "formula"
    return f"\\{command}" + (f"[{right}]" if right else "") + f"{{{shown}}}"


def _listed(shown: Sequence[str], end: str = "") -> str:
    """Formulas side by side, with commas between them and `end` after the last."""
    if not shown:
        return ""
    shown = [*shown[:-1], shown[-1] + end]
    if len(shown) == 1:
        return _display(shown[0])
    pieces = [f"\\piece{{{formula},}}" for formula in shown[:-1]] + [f"\\piece{{{shown[-1]}}}"]
    return "\\begin{formulas}" + "".join(pieces) + "\\end{formulas}"


#: A comma at which a line may end.
COMMA = r",\allowbreak "


def _declarations(symbols: Sequence[Symbol]) -> str:
    """Kinds and sizes of symbols, those of one kind and size together; scalars come last."""
    groups: dict[tuple[str, str], list[str]] = {}
    for symbol in sorted(symbols, key=lambda s: s.kind == "scalar"):
        name = LATEX.symbol(symbol)
        if not _speaks_for_itself(name):
            groups.setdefault(_kind(symbol), []).append(name)
    return ", ".join(f"{word}${COMMA.join(names)}{size}$" for (word, size), names in groups.items())


def _speaks_for_itself(name: str) -> bool:
    """Whether a symbol is printed as a formula of others, which needs no declaration."""
    return any(mark in name for mark in ("(", r"\top", "^{-1}"))


def _kind(symbol: Symbol) -> tuple[str, str]:
    if symbol.kind == "scalar":
        return ("", ">0") if symbol.positive else ("", "\\in\\mathbb{R}")
    size = str(symbol.rows) if symbol.columns == 1 else f"{symbol.rows}\\times {symbol.columns}"
    word = {"diagonal": "diagonal ", "symmetric": "symmetric ", "skew": "skew "}.get(symbol.kind, "")
    if symbol.positive:
        word = "positive diagonal " if symbol.kind == "diagonal" else "positive definite "
    return word, f"\\in\\mathbb{{R}}^{{{size}}}"


def claim_latex(result: PartResult) -> list[str]:
    """The claim and its proof, or its counterexample."""
    claim, check = result.part.claim, result.check
    proved = result.status == PROVED and check is not None
    derived = _needed(result) if proved else []
    names = _matrix_names(claim, [step.explanation for step in derived])
    title = _title(claim) if result.status == PROVED else f"{_title(claim)}: {result.status}"
    kind = "theorem" if result.status == PROVED else "claim"
    lines = [f"\\begin{{{kind}}}[{title}]", _stated(result, names), f"\\end{{{kind}}}", *commentary_latex(claim)]
    if proved:
        lines += ["\\begin{proof}", _declared_in_proof(result)]
        for k, step in enumerate(derived):
            explanation = step.explanation
            for shown, name in names.items():
                explanation = explanation.replace(shown, name)
            for hypothesis in claim.given:
                if hypothesis.written is not None:
                    shortened = latex(hypothesis.written.statement.matrix)
                    explanation = explanation.replace(f"({_plainly(hypothesis)})", shortened)
            explanation = _joined(explanation)
            if k == len(derived) - 1:
                # The claim stands right above: it is not printed again.
                lines.append(f"The claim holds {_sentence(explanation, end=True)}")
            else:
                lead = "First," if k == 0 else "Then"
                lines.append(f"{lead}{_display(latex(step.statement))}{_sentence(explanation)}")
        lines.append("\\end{proof}")
    elif result.status == REFUTED:
        lines += _witness_latex(result)
    else:
        lines += _open_latex(result)
    return [line for line in lines if line]


def _open_latex(result: PartResult) -> list[str]:
    """What is known of a claim that is open: multipliers that work, or what numbers say."""
    if result.suggested is not None and result.suggested.part.layer is not None:
        works = latex(result.suggested.part.layer.multipliers)
        return [
            "\\noindent The condition was not proved with these multipliers and may fail. The layer has the constant "
            f"all the same: its condition is proved with ${works}$."
        ]
    told = [f"\\item {escaped(line)}." for line in result.diagnosis]
    listed = ["\\begin{itemize}", *told, "\\end{itemize}"] if told else []
    taken = [latex(statement) for statement in result.assumed]
    trusted = [
        f"\\noindent It follows under the assumption, which is not proved here, that{_listed(taken, '.')}"
    ] * bool(taken)
    return [*trusted, "\\noindent Neither proved nor refuted.", *listed]


def _needed(result: PartResult) -> list[Any]:
    """The steps up to the first that states the claim."""
    derived = list(result.check.derived) if result.check is not None else []
    shown = result.part.claim.show.matrix
    reached = next((k for k, step in enumerate(derived) if step.statement.matrix == shown), len(derived) - 1)
    return derived[: reached + 1]


def _matrix_names(claim: Claim, explanations: Sequence[str]) -> dict[str, str]:
    """Letters for the hypotheses' block matrices that the proof mentions, by their LaTeX."""
    taken = {LATEX.symbol(s) for s in claim.symbols()} | set(re.findall("[A-Z]", claim.text))
    taken |= {LATEX.symbol(s) for g in [*claim.given, claim.show] if g.written for s in g.written.names}
    free = [letter for letter in "MNXYZ" if letter not in taken]
    names: dict[str, str] = {}
    for statement in claim.given:
        shown = _plainly(statement)
        several = len(as_block(statement.matrix).entries) > 1
        if several and statement.kind == "positive" and free and any(shown in e for e in explanations):
            names.setdefault(shown, free.pop(0))
    return names


def _joined(explanation: str) -> str:
    """A sum over several lines in one, if it has become short enough for that."""
    match = re.search(r"\\begin{aligned}\[b\]&(.*)\\end{aligned}", explanation)
    if match is None:
        return explanation
    line = match[1].replace(r" \\ &{}+", " + ")
    return explanation.replace(match[0], line) if visible(line) <= LINE else explanation


def _sentence(explanation: str, end: bool = False) -> str:
    """The explanation with a full stop, inside the formula where it ends with one; a proof's end mark beside that."""
    start = explanation.rfind("\\formula{")
    if start < 0 or not explanation.endswith("}") or explanation.endswith("$}"):
        return explanation + "."
    shown = explanation[start + len("\\formula{") : -1]
    lines = "\\end{aligned}"
    shown = shown[: -len(lines)] + "." + lines if shown.endswith(lines) else shown + "."
    return explanation[:start] + _display(shown, "\\qedhere" if end else "")


def _declared_in_proof(result: PartResult) -> str:
    """Declarations of the symbols that only the proof uses."""
    known = result.part.claim.symbols()
    used = {s for step in result.check.derived for s in step.statement.matrix.symbols()} if result.check else set()
    names = sorted((s for s in used - known if s.square is None), key=lambda s: s.name)
    if not names:
        return ""
    definitions = [d for d in (definition(s, LATEX) for s in names) if d]
    return f"Consider {_declarations(names)}" + (f" with{_listed(definitions, '.')}" if definitions else ".")


def _witness_latex(result: PartResult) -> list[str]:
    witness = result.witness
    if witness is None:
        return ["No counterexample was found."]
    values = [
        f"{LATEX.symbol(s)} = {_numbers(v)}"
        for s, v in witness.values.items()
        if v.size and s.square is None and not any(mark in LATEX.symbol(s) for mark in ("^{-1}", r"\mathbf 1"))
    ]
    show = result.part.claim.show
    bare = show.right is None or (isinstance(show.right, int) and show.right == 0)
    lines = [f"A counterexample:{_listed(values, '.')}"]
    if witness.vector is None:
        lines.append(f"Here an entry of the left side less that of the right side is ${_number(witness.value)}$.")
    elif len(witness.vector) == 1:
        side = "the left side" if bare else "the left side less the right side"
        size = witness.value if witness.vector[0] in (1, -1) else witness.value / witness.vector[0] ** 2
        lines.append(f"Here {side} is ${_number(size)}<0$.")
    else:
        matrix = "the matrix $M$ on the left" if bare else "the left side less the right side, $M$,"
        lines.append(
            f"Here {matrix} has $v^\\top Mv={_number(witness.value)}<0$ for "
            f"$v={_column([[x] for x in witness.vector])}$."
        )
    if result.network is not None:
        network = result.network
        word = "bias" if network.biases and len(network.biases) == 1 else "biases"
        biases = f"With the {word} ${_column([[b] for b in network.biases])}$ the" if network.biases else "The"
        lines.append(
            f"{biases} inputs $0$ and ${_column([[x] for x in network.input])}$ have outputs at the squared distance "
            f"${_number(network.stretched)}$, where ${_number(network.allowed)}$ would be allowed."
        )
    return lines


def _numbers(values: Any) -> str:
    rows = [[_number(v) for v in row] for row in values]
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0]
    if len(rows) > 1 and len(rows[0]) == 1:
        return _column(values)
    # Fractions in matrices need room between the rows.
    gap = "[3pt]" if any("frac" in entry for row in rows for entry in row) else ""
    return "\\begin{pmatrix}" + f" \\\\{gap} ".join(" & ".join(row) for row in rows) + "\\end{pmatrix}"


def _column(values: Any) -> str:
    """A column, in one line."""
    rows = [_number(row[0]) for row in values]
    return rows[0] if len(rows) == 1 else f"({', '.join(rows)})^\\top"


def _number(value: Any) -> str:
    if isinstance(value, Fraction):
        return latex(value)
    root = getattr(value, "b", None)
    if root is None:
        return str(value)
    return f"{latex(value.a)} {'-' if root < 0 else '+'} {latex(abs(root))}\\sqrt2"


def escaped(value: str) -> str:
    """Text with LaTeX's special characters escaped, but for what stands between dollar signs."""
    parts = value.split("$")
    for k in range(0, len(parts), 2):
        for character in "&%#_":
            parts[k] = parts[k].replace(character, "\\" + character)
        parts[k] = parts[k].replace("^", "\\textasciicircum{}").replace("~", "\\textasciitilde{}")
        parts[k] = parts[k].replace(">=", "$\\ge$").replace("<=", "$\\le$")
    return "$".join(parts)
