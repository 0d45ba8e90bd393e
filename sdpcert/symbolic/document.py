"""Results as text for the terminal and as LaTeX documents; PDF where a TeX engine is present."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sdpcert.errors import NoTexEngine as NoTexEngine
from sdpcert.running.outputs import write_whole
from sdpcert.symbolic.derivation import OPEN, PROVED, REFUTED, Comparison, PartResult, Result
from sdpcert.symbolic.printing import witness_text
from sdpcert.symbolic.sources import cited, papers_of
from sdpcert.symbolic.theorems import claim_latex, escaped, wrong_version_latex

#: TeX engines in order of preference, with their arguments.
ENGINES = {
    "pdflatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "lualatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "xelatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "tectonic": ["--keep-logs"],
}


# Terminal


def result_text(result: Result) -> str:
    """The result of a derivation, line by line."""
    lines = [f"{result.derivation.title}: {result.status}  ({result.seconds:.1f} s)"]
    if result.derivation.source:
        lines.append(f"  source   {plain(result.derivation.source)}")
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
    lines = [f"  {label:8} {plain(claim.name)}: {result.status}"]
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
\usepackage{amsmath,amssymb,amsthm,array,booktabs,longtable,graphicx}
\newtheorem{theorem}{Theorem}
\newtheorem{claim}{Claim}[theorem]
\theoremstyle{remark}
\newtheorem*{control}{Wrong version}
\newtheorem*{remark}{Remark}
\newsavebox{\formulabox}
\emergencystretch=3em
\makeatletter\@beginparpenalty=10000\makeatother
% A display; #1 goes to its right. Sums that are wider than the line are broken at their signs.
\newcommand{\formula}[2][]{\savebox{\formulabox}{$\displaystyle #2$}%
  \ifdim\wd\formulabox>0.98\linewidth\begin{center}$\displaystyle #2$\end{center}%
  \else\[\usebox{\formulabox}#1\]\fi}
% The same for block matrices, which cannot be broken: made smaller where they are wider than the line.
\newcommand{\blockformula}[2][]{\savebox{\formulabox}{$\displaystyle #2$}%
  \[\ifdim\wd\formulabox>0.98\linewidth\resizebox{0.98\linewidth}{!}{\usebox{\formulabox}}%
  \else\usebox{\formulabox}\fi#1\]}
% Several formulas side by side, as many in a line as there is room for.
\newenvironment{formulas}{\begin{center}\lineskiplimit=2pt\lineskip=5pt}{\unskip\end{center}}
\newcommand{\piece}[1]{\savebox{\formulabox}{$\displaystyle #1$}%
  \ifdim\wd\formulabox>0.98\linewidth$\displaystyle #1$\else\usebox{\formulabox}\fi\hskip 2em}
\begin{document}
\lineskiplimit=1.5pt
\lineskip=2.5pt
"""

CONVENTIONS = r"""\noindent\textbf{Conventions.} Matrices are real; names such as $n$, $m$ stand for any dimensions.
$\|\cdot\|$ is the Euclidean norm of vectors and the spectral norm of matrices, and Lipschitz constants are with respect
to it. $A\succeq B$ says that $A-B$ is symmetric positive semidefinite, $A\succ B$ that it is positive definite;
$|A|_{ij}$ is the absolute value of the entry $A_{ij}$. Activations act entry by entry; $\sigma$ has \emph{slopes in
$[0,1]$} if $0\le(\sigma(s)-\sigma(t))/(s-t)\le1$ for all $s\ne t$, as ReLU and $\tanh$ have. $\Delta x$ is the
difference of two values of $x$. In a rule such as $T_{ii}=\dots$ for a positive diagonal matrix the entry is 1 where
the rule gives 0. \emph{The condition} of a layer is that its matrix $M(\rho,\Lambda)$ is positive semidefinite, with
diagonal $\Lambda\succeq0$; the layer is then $\sqrt\rho$-Lipschitz.

\medskip\noindent\textbf{What is checked.} Every step of a proof is expanded as a noncommutative polynomial and leaves
nothing;
every claim holds on exact rational instances of dimensions 1 to 5; the same proof does not give the claim with a sign,
a factor or a transpose changed; and every wrong version that is listed is refuted by an exact counterexample. Sentences
in a remark or in the words of a claim are not checked by machine.
"""


def document(results: Sequence[Result], title: str = "Derivations", versions: str = "") -> str:
    """A whole LaTeX document: conventions, a table of the results, a section for each, numbered references."""
    papers = list(dict.fromkeys(paper for r in results for paper, _ in papers_of(r.derivation.source)))
    body = [PREAMBLE, f"\\title{{{title}}}\n\\author{{sdpcert {versions}}}\n\\date{{}}\n\\maketitle\n", CONVENTIONS]
    if len(results) > 1:
        body.append(summary(results))
    body += [section(result, papers) for result in results]
    if papers:
        items = "\n".join(f"\\bibitem{{s{k}}} {escaped(paper)}." for k, paper in enumerate(papers, 1))
        body.append(f"\\begin{{thebibliography}}{{99}}\n{items}\n\\end{{thebibliography}}\n")
    return "\n".join(body) + "\\end{document}\n"


def summary(results: Sequence[Result]) -> str:
    """A table of all results with status and time."""
    rows = []
    for number, result in enumerate(results, 1):
        steps, instances, _ = _counts(result)
        refuted = sum(c.status == REFUTED for c in result.controls)
        rows.append(
            f"{number} & {escaped(result.derivation.title)} & {result.status} & {len(result.parts)} & {steps} & "
            f"{instances} & {refuted}/{len(result.controls)} & {result.seconds:.1f} \\\\"
        )
    return (
        "\\begin{longtable}{r>{\\raggedright\\arraybackslash}p{52mm}lrrrrr}\n\\toprule\n"
        "& result & status & claims & steps & instances & refuted & seconds \\\\\n"
        "\\midrule\\endhead\n" + "\n".join(rows) + "\n\\bottomrule\n\\end{longtable}\n"
        "\\noindent The column ``refuted'' counts wrong versions: refuted of listed.\n"
    )


def _counts(result: Result) -> tuple[int, int, int]:
    """Steps, exact instances and rejected changed versions of all claims."""
    checks = [part.check for part in result.parts if part.status == PROVED and part.check is not None]
    return (
        sum(len(check.derived) for check in checks),
        sum(check.instances for check in checks),
        sum(check.mutants + check.ill_typed for check in checks),
    )


def section(result: Result, papers: Sequence[str] = ()) -> str:
    """The theorem, its proof, its wrong versions and numbers; `papers` are the numbered references."""
    derivation = result.derivation
    head = [] if result.status == PROVED else [result.status]
    head += cited(derivation.source, papers)
    lines = [
        f"\\section{{{escaped(derivation.title)}}}",
        "\\begin{theorem}" + (f"[{{{'; '.join(head)}}}]" if head else ""),
        derivation.statement or "As claimed below.",
        "\\end{theorem}",
    ]
    for part in result.parts:
        lines += claim_latex(part)
    steps, instances, changed = _counts(result)
    if steps:
        lines.append(
            f"\\medskip\\noindent{{\\small Checked: {steps} step{'s' if steps > 1 else ''} expanded, {instances} exact "
            f"instances, {changed} changed versions rejected.}}\n"
        )
    if result.note:
        lines.append(f"\\noindent {escaped(result.note)}.")
    if derivation.remark:
        lines += ["\\begin{remark}", derivation.remark, "\\end{remark}"]
    for control in result.controls:
        lines += wrong_version_latex(control)
    if result.numbers:
        lines.append(_numbers_latex(result.numbers))
    return "\n".join(lines) + "\n"


def _numbers_latex(numbers: Sequence[Comparison]) -> str:
    signs = {"<=": "\\le", ">=": "\\ge", "==": "\\approx"}
    fails = " \\textbf{(fails)}"
    rows = "\n".join(
        f"{escaped(n.what)} & ${_decimal(n.value)} {signs[n.relation]} {_decimal(n.other)}$"
        f"{'' if n.agrees else fails} \\\\"
        for n in numbers
    )
    table = (
        "\\begin{tabular}{>{\\raggedright\\arraybackslash}p{88mm}l}\\toprule\n"
        f"numerical check, certified by sdpcert & \\\\\\midrule\n{rows}\n\\bottomrule\\end{{tabular}}"
    )
    return f"\\begin{{center}}\\small{table}\\end{{center}}"


def _decimal(value: float) -> str:
    """Eight digits; powers of ten as such."""
    mantissa, _, exponent = f"{value:.8g}".partition("e")
    return f"{float(mantissa):.3g}\\cdot10^{{{int(exponent)}}}" if exponent else mantissa


# Files


def tex_engine() -> str:
    """The first TeX engine that is installed; raises `NoTexEngine` without one."""
    engine = next((name for name in ENGINES if shutil.which(name)), None)
    if engine is None:
        raise NoTexEngine(f"no TeX engine found ({', '.join(ENGINES)}); write the source with --latex instead")
    return engine


def pdf(source: str, path: Path) -> None:
    """Compile a LaTeX document to `path`; raises `NoTexEngine` without an engine or where it fails."""
    engine = tex_engine()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "derivations.tex").write_text(source, encoding="utf-8")
        for _ in range(1 if engine == "tectonic" else 2):
            # Engines print warnings in the encoding of the font, which need not be UTF-8.
            run = subprocess.run(
                [engine, *ENGINES[engine], "derivations.tex"],
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=300,
            )
        if run.returncode:
            wrong = [line for line in run.stdout.splitlines() if line.startswith("!")]
            raise NoTexEngine(f"{engine} failed: {wrong[0] if wrong else run.stderr.strip()[-200:]}")
        write_whole(path, (Path(folder) / "derivations.pdf").read_bytes())
