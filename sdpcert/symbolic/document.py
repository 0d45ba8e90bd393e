"""Results as text for the terminal and as LaTeX documents; PDF where a TeX engine is present."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from sdpcert.symbolic.claim import equal
from sdpcert.symbolic.derivation import OPEN, PROVED, REFUTED, Comparison, PartResult, Result
from sdpcert.symbolic.printing import definition_latex, latex, symbol_latex, witness_text
from sdpcert.symbolic.symbols import Symbol

#: TeX engines in order of preference, with their arguments.
ENGINES = {
    "pdflatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "lualatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "xelatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "tectonic": ["--keep-logs"],
}


class NoTexEngine(RuntimeError):
    """No TeX engine was found, or it failed."""


# Terminal


def result_text(result: Result) -> str:
    """The result of a derivation, line by line."""
    lines = [f"{result.derivation.title}: {result.status}  ({result.seconds:.1f} s)"]
    if result.derivation.source:
        lines.append(f"  source   {result.derivation.source}")
    if result.note:
        lines.append(f"  note     {result.note}")
    for part in result.parts:
        lines += _part_lines(part, "claim")
    for control in result.controls:
        lines += _part_lines(control, "control")
    for number in result.numbers:
        agrees = "agrees" if number.agrees else "DOES NOT AGREE"
        lines.append(
            f"  number   {plain(number.what)}: {number.value:.10g} {number.relation} {number.other:.10g}, {agrees}"
        )
    return "\n".join(lines)


def _part_lines(result: PartResult, label: str) -> list[str]:
    claim = result.part.claim
    lines = [f"  {label:8} {claim.name}: {result.status}"]
    if result.status == PROVED and result.check is not None:
        check = result.check
        lines.append(
            f"           by {result.strategy}, {len(check.derived)} steps; {check.instances} exact instances; "
            f"{check.mutants + check.ill_typed} wrong versions rejected"
        )
    elif result.status == REFUTED and result.witness is not None:
        witness = result.witness
        shown = ", ".join(f"{s.name} = {witness_text(v)}" for s, v in witness.values.items() if v.size)
        lines.append(f"           {shown}")
        if witness.vector is not None:
            vector = ", ".join(str(x) for x in witness.vector)
            lines.append(f"           v = ({vector}): v'Mv = {witness.value} < 0")
        else:
            lines.append(f"           an entry that should be 0 is {witness.value}")
        if result.network is not None:
            network = result.network
            given = ", ".join(str(x) for x in network.input)
            biases = f", biases ({', '.join(str(b) for b in network.biases)})" if network.biases else ""
            lines.append(
                f"           inputs 0 and ({given}){biases}: squared distance {network.stretched} of the outputs, "
                f"at most {network.allowed} allowed"
            )
    elif result.check is not None:
        lines.append(f"           {result.check.reason}")
    if result.status == OPEN:
        lines.append("           neither proved nor refuted: give a proof, or more hypotheses")
    return lines


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
    value = re.sub(r"\\([a-zA-Z]+)\s*", lambda m: signs.get(m[1], "" if len(m[1]) > 8 else m[1]), value)
    return re.sub(r"\\.|[${}]|\^(?=')", "", value.replace("\\|", "|"))


# LaTeX

PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage[a4paper,margin=25mm]{geometry}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage{amsmath,amssymb,amsthm,booktabs,longtable,graphicx}
\newtheorem{theorem}{Theorem}
\newtheorem{claim}{Claim}[theorem]
\theoremstyle{remark}
\newtheorem*{control}{Wrong version}
\newtheorem*{remark}{Remark}
\newsavebox{\formulabox}
% A formula in display style, made smaller where it is wider than the line.
\newcommand{\formula}[1]{\savebox{\formulabox}{$\displaystyle #1$}%
  \[\ifdim\wd\formulabox>0.98\linewidth\resizebox{0.98\linewidth}{!}{\usebox{\formulabox}}\else\usebox{\formulabox}\fi\]}
\begin{document}
"""


def document(results: Sequence[Result], title: str = "Derivations", versions: str = "") -> str:
    """A whole LaTeX document: a table of the results, a section for each, numbered references."""
    sources = list(dict.fromkeys(r.derivation.source for r in results if r.derivation.source))
    body = [PREAMBLE, f"\\title{{{title}}}\n\\author{{sdpcert {versions}}}\n\\date{{}}\n\\maketitle\n"]
    if len(results) > 1:
        body.append(summary(results))
    for number, result in enumerate(results, 1):
        cited = sources.index(result.derivation.source) + 1 if result.derivation.source else None
        body.append(section(result, number, cited))
    if sources:
        items = "\n".join(f"\\bibitem{{s{k}}} {escaped(s)}." for k, s in enumerate(sources, 1))
        body.append(f"\\begin{{thebibliography}}{{99}}\n{items}\n\\end{{thebibliography}}\n")
    return "\n".join(body) + "\\end{document}\n"


def summary(results: Sequence[Result]) -> str:
    """A table of all results with status and time."""
    rows = []
    for number, result in enumerate(results, 1):
        steps = sum(len(p.check.derived) for p in result.parts if p.check is not None)
        instances = sum(p.check.instances for p in result.parts if p.check is not None)
        refuted = sum(c.status == REFUTED for c in result.controls)
        rows.append(
            f"{number} & {escaped(result.derivation.title)} & {result.status} & {len(result.parts)} & {steps} & "
            f"{instances} & {refuted}/{len(result.controls)} & {result.seconds:.1f} \\\\"
        )
    return (
        "\\begin{longtable}{rp{56mm}lrrrrr}\n\\toprule\n"
        "& result & status & claims & steps & instances & refuted & s \\\\\n\\midrule\\endhead\n"
        + "\n".join(rows)
        + "\n\\bottomrule\n\\end{longtable}\n\\noindent A result is proved when every step of every claim expands to "
        "an identity, the claim holds on exact rational instances of dimensions 1 to 5, changed versions of it (a "
        "sign, a factor, a transpose) are rejected by the same proof, and every wrong version below is refuted "
        "by an exact witness.\n"
    )


def section(result: Result, number: int | None = None, cited: int | None = None) -> str:
    """The theorem, its proof, its wrong versions and numbers."""
    derivation = result.derivation
    reference = f" \\cite{{s{cited}}}" if cited else ""
    lines = [
        f"\\section{{{escaped(derivation.title)}}}",
        f"\\begin{{theorem}}[{result.status}{reference}]",
        derivation.statement or "As claimed below.",
        "\\end{theorem}",
    ]
    for part in result.parts:
        lines += _claim_latex(part)
    if result.note:
        lines.append(f"\\noindent {escaped(result.note)}.")
    if derivation.remark:
        lines += ["\\begin{remark}", derivation.remark, "\\end{remark}"]
    for control in result.controls:
        lines += ["\\begin{control}", _stated(control), "\\end{control}", *_witness_latex(control)]
    if result.numbers:
        lines.append(_numbers_latex(result.numbers))
    return "\n".join(lines) + "\n"


def _stated(result: PartResult) -> str:
    claim = result.part.claim
    words = f"{escaped(claim.name)}. {claim.text}".strip()
    given = list(claim.given)
    symbols = sorted((s for s in claim.symbols() if s.square is None), key=lambda s: s.name)
    text_of = [words, f"Let {', '.join(_declared(s) for s in symbols)}." if symbols else ""]
    definitions = [d for d in (definition_latex(s) for s in symbols) if d]
    for symbol in symbols:
        # An inverse says so by its definition; other equalities that come along are printed.
        if symbol.formula is None:
            said = [s.matrix for s in given if s.kind == "zero"]
            facts = [equal(a, b) for a, b in symbol.facts()]
            definitions += [latex(fact) for fact in facts if fact.matrix not in said]
    if claim.sizes:
        fixed = ", ".join(f"${k}={v}$" for k, v in claim.sizes.items() if isinstance(v, int))
        text_of.append(f"Here {fixed}." if fixed else "")
    if definitions:
        text_of.append("Define" + "".join(f"\\formula{{{d}.}}" for d in definitions))
    if given:
        text_of.append("Given" + "".join(f"\\formula{{{latex(s)}}}" for s in given))
        text_of.append("one has")
    text_of.append(f"\\formula{{{latex(claim.show)}.}}")
    return "\n".join(t for t in text_of if t)


def _declared(symbol: Symbol) -> str:
    name = symbol_latex(symbol)
    if symbol.kind == "scalar":
        return f"${name}>0$" if symbol.positive else f"${name}\\in\\mathbb{{R}}$"
    size = f"\\mathbb{{R}}^{{{symbol.rows}\\times {symbol.columns}}}"
    if symbol.columns == 1:
        size = f"\\mathbb{{R}}^{{{symbol.rows}}}"
    word = {"diagonal": "diagonal", "symmetric": "symmetric", "skew": "skew"}.get(symbol.kind, "")
    if symbol.positive:
        word = "positive diagonal" if symbol.kind == "diagonal" else "positive definite"
    return f"${name}\\in{size}$" + (f" {word}" if word else "")


def _claim_latex(result: PartResult) -> list[str]:
    lines = [f"\\begin{{claim}}[{result.status}]", _stated(result), "\\end{claim}"]
    check = result.check
    if result.status == PROVED and check is not None:
        lines += ["\\begin{proof}", _declared_in_proof(result)]
        for k, step in enumerate(check.derived):
            if step.statement.matrix == result.part.claim.show.matrix:
                # The claim stands right above: it is not printed again.
                lines.append(f"The claim holds {_sentence(step.explanation)}")
                continue
            lead = "First," if k == 0 and len(check.derived) > 1 else "Then" if k else "Indeed,"
            lines.append(f"{lead}\\formula{{{latex(step.statement)}}}{_sentence(step.explanation)}")
        lines.append("\\end{proof}")
        lines.append(
            f"\\noindent{{\\small Checked: expansion of every step; {check.instances} exact instances; "
            f"{check.mutants + check.ill_typed} changed versions rejected"
            + (f", {check.still_true} weaker ones still true" if check.still_true else "")
            + ".}"
        )
    elif result.status == REFUTED:
        lines += _witness_latex(result)
    else:
        lines.append("\\noindent Neither proved nor refuted.")
    return lines


def _sentence(explanation: str) -> str:
    """The explanation with a full stop, inside the formula where it ends with one."""
    ends = explanation.rfind("\\formula{") >= 0 and explanation.endswith("}") and not explanation.endswith("$}")
    return explanation[:-1] + ".}" if ends else explanation + "."


def _declared_in_proof(result: PartResult) -> str:
    """Declarations of the symbols that only the proof uses."""
    known = result.part.claim.symbols()
    used = {s for step in result.check.derived for s in step.statement.matrix.symbols()} if result.check else set()
    names = sorted((s for s in used - known if s.square is None), key=lambda s: s.name)
    if not names:
        return ""
    definitions = "".join(f"\\formula{{{d}.}}" for d in (definition_latex(s) for s in names) if d)
    return f"Let {', '.join(_declared(s) for s in names)}" + (f", where{definitions}" if definitions else ".")


def _witness_latex(result: PartResult) -> list[str]:
    witness = result.witness
    if witness is None:
        return ["\\noindent No counterexample was found."]
    values = [f"{symbol_latex(s)} = {_numbers(v)}" for s, v in witness.values.items() if v.size and s.square is None]
    lines = ["\\noindent\\emph{Refuted} by"]
    for k in range(0, len(values), 3):
        shown = ",\\quad ".join(values[k : k + 3])
        lines.append(f"\\formula{{{shown}}}")
    if witness.vector is not None:
        lines.append(
            f"with $v={_numbers([[x] for x in witness.vector])}$: $v^\\top M v = {_number(witness.value)} < 0$."
        )
    else:
        lines.append(f"where an entry of the difference is ${_number(witness.value)}$.")
    if result.network is not None:
        network = result.network
        biases = f" and the biases ${_numbers([[b] for b in network.biases])}$" if network.biases is not None else ""
        lines.append(
            f"The inputs $0$ and ${_numbers([[x] for x in network.input])}${biases} give outputs at the squared "
            f"distance ${_number(network.stretched)}$, where ${_number(network.allowed)}$ is allowed."
        )
    return lines


def _numbers(values: Any) -> str:
    rows = [[_number(v) for v in row] for row in values]
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0]
    return "\\begin{pmatrix}" + " \\\\ ".join(" & ".join(row) for row in rows) + "\\end{pmatrix}"


def _number(value: Any) -> str:
    if isinstance(value, Fraction):
        return latex(value)
    root = getattr(value, "b", None)
    if root is None:
        return str(value)
    return f"{latex(value.a)} {'-' if root < 0 else '+'} {latex(abs(root))}\\sqrt2"


def _numbers_latex(numbers: Sequence[Comparison]) -> str:
    signs = {"<=": "\\le", ">=": "\\ge", "==": "\\approx"}
    rows = "\n".join(
        f"{escaped(n.what)} & ${n.value:.8g} {signs[n.relation]} {n.other:.8g}$ & "
        f"{'agrees' if n.agrees else 'fails'} \\\\"
        for n in numbers
    )
    table = f"\\begin{{tabular}}{{p{{80mm}}ll}}\\toprule\n{rows}\n\\bottomrule\\end{{tabular}}"
    return f"\\begin{{center}}\\small{table}\\end{{center}}"


def escaped(value: str) -> str:
    """Text with LaTeX's special characters escaped, but for what stands between dollar signs."""
    parts = value.split("$")
    for k in range(0, len(parts), 2):
        for character in "&%#_":
            parts[k] = parts[k].replace(character, "\\" + character)
        parts[k] = parts[k].replace("^", "\\textasciicircum{}").replace("~", "\\textasciitilde{}")
        parts[k] = parts[k].replace(">=", "$\\ge$").replace("<=", "$\\le$")
    return "$".join(parts)


# Files


def write(path: Path, content: str | bytes) -> None:
    """Write a file in one step: to a temporary file beside it, then renamed."""
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def pdf(source: str, path: Path) -> None:
    """Compile a LaTeX document to `path`; raises `NoTexEngine` without an engine or where it fails."""
    engine = next((name for name in ENGINES if shutil.which(name)), None)
    if engine is None:
        raise NoTexEngine(f"no TeX engine found ({', '.join(ENGINES)}); write the source with --latex instead")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "derivations.tex").write_text(source)
        for _ in range(1 if engine == "tectonic" else 2):
            run = subprocess.run(
                [engine, *ENGINES[engine], "derivations.tex"], cwd=folder, capture_output=True, text=True, timeout=300
            )
        if run.returncode:
            wrong = [line for line in run.stdout.splitlines() if line.startswith("!")]
            raise NoTexEngine(f"{engine} failed: {wrong[0] if wrong else run.stderr.strip()[-200:]}")
        write(path, (Path(folder) / "derivations.pdf").read_bytes())
