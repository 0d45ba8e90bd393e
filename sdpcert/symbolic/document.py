"""Results as a LaTeX document, and as PDF if a TeX engine is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdpcert.errors import NoTexEngine
from sdpcert.running.outputs import write_whole
from sdpcert.symbolic.derivation import REFUTED
from sdpcert.symbolic.result import Result
from sdpcert.symbolic.sources import papers_of
from sdpcert.symbolic.theorems import escaped

#: TeX engines in order of preference, with their arguments.
ENGINES = {
    "pdflatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "lualatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "xelatex": ["-interaction=nonstopmode", "-halt-on-error"],
    "tectonic": ["--keep-logs"],
}


PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage[a4paper,margin=25mm]{geometry}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage{amsmath,amssymb,amsthm,array,booktabs,longtable,graphicx}
\newtheorem{theorem}{Theorem}[section]
\newtheorem{claim}[theorem]{Claim}
\theoremstyle{remark}
\newtheorem*{commentary}{Commentary}
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


@dataclass(frozen=True)
class Section:
    """A section, and the row of its result in the table at the beginning."""

    latex: str
    row: str


CONVENTIONS = r"""\noindent\textbf{Conventions.} Matrices are real; names such as $n$, $m$ stand for any dimensions.
$\|\cdot\|$ is the Euclidean norm of vectors and the spectral norm of matrices, and Lipschitz constants are with respect
to it. $A\succeq B$ says that $A-B$ is symmetric positive semidefinite, $A\succ B$ that it is positive definite;
$|A|_{ij}$ is the absolute value of the entry $A_{ij}$. Activations act entry by entry; $\sigma$ has \emph{slopes in
$[0,1]$} if $0\le(\sigma(s)-\sigma(t))/(s-t)\le1$ for all $s\ne t$, as ReLU and $\tanh$ have. $\Delta x$ is the
difference of two values of $x$. In a rule such as $T_{ii}=\dots$ for a positive diagonal matrix the entry is 1 where
the rule gives 0. \emph{The condition} of a layer is that its matrix $M(\rho,\Lambda)$ is positive semidefinite, with
diagonal $\Lambda\succeq0$; the layer is then Lipschitz with the constant $\sqrt\rho$. Layers are written
$y=Hx+Gz+c$, $z=\varphi(Ux+Wz+b)$ with any biases $b$, $c$.

\medskip\noindent\textbf{What is checked.} Every step of a proof is expanded as a noncommutative polynomial and leaves
nothing;
every claim holds on exact rational instances, some of them with large numbers; the same proof does not give the claim
with a sign, a factor or a transpose changed; and every wrong version that is listed is refuted by an exact
counterexample. Theorems are printed from the objects that are proved: symbols, hypotheses, layer and bound.
\emph{Commentary} and remarks are words of an author, which no machine checks.
"""


def document(results: Sequence[Result], title: str = "Derivations", versions: str = "") -> str:
    """A whole LaTeX document: conventions, a table of the results, a section for each, numbered references."""
    papers = cited_papers([result.derivation.source for result in results])
    return assembled([section(result, papers) for result in results], papers, title, versions)


def cited_papers(sources: Sequence[str]) -> list[str]:
    """The papers of some sources, in the order in which they are numbered."""
    return list(dict.fromkeys(paper for source in sources for paper, _ in papers_of(source)))


def section(result: Result, papers: Sequence[str]) -> Section:
    """What a document says of a result."""
    steps, instances, _ = result.counts()
    refuted = sum(c.status == REFUTED for c in result.controls)
    row = (
        f"{escaped(result.derivation.title)} & {result.status} & {len(result.parts)} & {steps} & "
        f"{instances} & {refuted}/{len(result.controls)} & {result.seconds:.1f} \\\\"
    )
    return Section(result.latex(papers), row)


def assembled(sections: Sequence[Section], papers: Sequence[str], title: str, versions: str = "") -> str:
    """A whole LaTeX document of sections that number these papers."""
    body = [PREAMBLE, f"\\title{{{title}}}\n\\author{{sdpcert {versions}}}\n\\date{{}}\n\\maketitle\n", CONVENTIONS]
    if len(sections) > 1:
        body.append(summary(sections))
    body += [section.latex for section in sections]
    if papers:
        items = "\n".join(f"\\bibitem{{s{k}}} {escaped(paper)}." for k, paper in enumerate(papers, 1))
        body.append(f"\\begin{{thebibliography}}{{99}}\n{items}\n\\end{{thebibliography}}\n")
    return "\n".join(body) + "\\end{document}\n"


def summary(sections: Sequence[Section]) -> str:
    """A table of all results with status and time."""
    rows = [f"{number} & {section.row}" for number, section in enumerate(sections, 1)]
    return (
        "\\begin{longtable}{r>{\\raggedright\\arraybackslash}p{52mm}lrrrrr}\n\\toprule\n"
        "& result & status & claims & steps & instances & refuted & seconds \\\\\n"
        "\\midrule\\endhead\n" + "\n".join(rows) + "\n\\bottomrule\n\\end{longtable}\n"
        "\\noindent The column ``refuted'' counts wrong versions: refuted of listed.\n"
    )


def tex_engine() -> str:
    """The first TeX engine that is installed; raises `NoTexEngine` without one."""
    engine = next((name for name in ENGINES if shutil.which(name)), None)
    if engine is None:
        raise NoTexEngine(f"no TeX engine found ({', '.join(ENGINES)}); write the source with --latex instead")
    return engine


def pdf(source: str, path: Path) -> None:
    """Compile a LaTeX document to `path`; raises `NoTexEngine` without an engine or if it fails."""
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
            reason = _complaint(run.stdout) or run.stderr.strip()[-200:]
            raise NoTexEngine(f"{engine} failed{_where(source, run.stdout)}: {reason}")
        write_whole(path, (Path(folder) / "derivations.pdf").read_bytes())


def _complaint(log: str) -> str:
    """The first error of an engine's log, in one line."""
    return next((line.lstrip("! ") for line in log.splitlines() if line.startswith("!")), "").strip()


def _where(source: str, log: str) -> str:
    """The section and the words of the line that an engine stumbled over, as far as its log names a line."""
    found = re.search(r"^l\.(\d+) (.*)$", log, re.MULTILINE)
    if found is None:
        return ""
    before = source.splitlines()[: int(found[1])]
    titles = [line[len(r"\section{") : -1] for line in before if line.startswith(r"\section{")]
    return f" in {titles[-1] if titles else 'the preamble'}, at {found[2].strip()[-60:]!r}"
