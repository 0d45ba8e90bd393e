"""What became of a derivation, as text for the terminal and as a section of a LaTeX document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdpcert.symbolic.derivation import OPEN, PROVED, REFUTED, Comparison, Derivation, PartResult
from sdpcert.symbolic.drawing import shown_sizes
from sdpcert.symbolic.kernel import ProofCheck
from sdpcert.symbolic.printing import plain
from sdpcert.symbolic.proof_object import document
from sdpcert.symbolic.sentence import sentence
from sdpcert.symbolic.sources import cited
from sdpcert.symbolic.theorems import claim_latex, escaped, wrong_version_latex


@dataclass(frozen=True)
class Result:
    """What became of a derivation.

    `status` is proved only if every part is proved, every control is refuted and every number agrees; it is refuted if
    a part is, and open otherwise. A notebook displays it.
    """

    derivation: Derivation
    parts: tuple[PartResult, ...]
    controls: tuple[PartResult, ...]
    numbers: tuple[Comparison, ...]
    seconds: float
    note: str = ""
    #: Whether every claim was settled, or work was interrupted.
    whole: bool = True

    @property
    def status(self) -> str:
        """proved, refuted or open."""
        if any(p.status == REFUTED for p in self.parts):
            return REFUTED
        settled = all(p.status == PROVED for p in self.parts) and all(c.status == REFUTED for c in self.controls)
        return PROVED if self.whole and settled and self.parts and all(n.agrees for n in self.numbers) else OPEN

    def document(self) -> dict[str, Any]:
        """The proof file's JSON value; raises ValueError if a claim is not proved."""
        missing = [plain(p.part.claim.name) for p in self.parts if not p.theorems]
        if missing or not self.parts:
            raise ValueError(f"{plain(self.derivation.title)}: there is no proof of {', '.join(missing) or 'anything'}")
        theorems = [theorem for part in self.parts for theorem in part.theorems]
        return document(plain(self.derivation.title), plain(self.derivation.source), theorems)

    def text(self) -> str:
        """The result for a terminal, line by line."""
        lines = [f"{self.derivation.title}: {self.status}  ({self.seconds:.1f} s)"]
        if self.derivation.source:
            lines.append(f"  source   {plain(self.derivation.source)}")
        if self.note:
            lines.append(f"  note     {self.note}")
        for part in self.parts:
            lines += _part_lines(part, "claim")
        for control in self.controls:
            lines += _part_lines(control, "control")
        for number in self.numbers:
            agrees = "agrees" if number.agrees else "DOES NOT AGREE"
            lines.append(
                f"  number   {plain(number.what)}: {number.value:.10g} {number.relation} {number.other:.10g}, {agrees}"
            )
        return "\n".join(lines)

    def latex(self, papers: Sequence[str] = ()) -> str:
        """A section of a LaTeX document: theorem, proof, wrong versions, numbers; `papers` are numbered references."""
        derivation = self.derivation
        head = [] if self.status == PROVED else [self.status]
        head += cited(derivation.source, papers)
        lines = [f"\\section{{{escaped(derivation.title)}}}"]
        if head:
            lines.append(f"\\noindent {'; '.join(head)}.\n")
        if derivation.statement:
            lines += ["\\begin{commentary}", derivation.statement, "\\end{commentary}"]
        for part in self.parts:
            lines += claim_latex(part)
        steps, instances, changed = self.counts()
        if steps:
            lines.append(
                f"\\medskip\\noindent{{\\small Checked: {steps} step{'s' if steps > 1 else ''} expanded, {instances} "
                f"exact instances, {changed} changed versions rejected.}}\n"
            )
        if self.note:
            lines.append(f"\\noindent {escaped(self.note)}.")
        if derivation.remark:
            lines += ["\\begin{remark}", derivation.remark, "\\end{remark}"]
        for control in self.controls:
            lines += wrong_version_latex(control)
        if self.numbers:
            lines.append(_numbers_latex(self.numbers))
        return "\n".join(lines) + "\n"

    def counts(self) -> tuple[int, int, int]:
        """Steps, exact instances and rejected changed versions of all claims."""
        checks = [part.check for part in self.parts if part.status == PROVED and part.check is not None]
        return (
            sum(len(check.derived) for check in checks),
            sum(check.instances for check in checks),
            sum(check.mutants + check.ill_typed for check in checks),
        )

    def __repr__(self) -> str:
        return self.text()

    def _repr_markdown_(self) -> str:
        return f"**{self.derivation.title}: {self.status}**\n\n```text\n{self.text()}\n```"


def _part_lines(result: PartResult, label: str) -> list[str]:
    claim, layer = result.part.claim, result.part.layer
    lines = [f"  {label:8} {plain(claim.name)}: {result.status}"]
    told = sentence(claim, layer) if label == "claim" else []
    if claim.text and label == "claim":
        told.append(f"commentary, not checked: {plain(claim.text)}")
    if result.status == PROVED and result.check is not None:
        told += _checked(result.check, result.strategy)
        if result.stretch is not None:
            told.append(f"random inputs of the layer are stretched by up to {result.stretch:.4g} of the constant")
    elif result.status == REFUTED and result.witness is not None:
        told += _contradicted(result)
    else:
        told += [f"ASSUMED, no checker sees it: {statement}" for statement in result.assumed]
        told += _open(result)
    return lines + [f"           {line}" for line in told]


def _checked(check: ProofCheck, strategy: str) -> list[str]:
    """How a claim was proved."""
    ignoring = f", {check.unsampled} of them against samplers" if check.unsampled else ""
    tried = f"{check.instances} exact instances ({shown_sizes(check.sizes)}{ignoring})"
    rejected = f"{check.mutants + check.ill_typed} wrong versions rejected"
    steps = f"{len(check.derived)} step{'s' * (len(check.derived) != 1)}"
    return [f"by {strategy}, {steps}; {tried}; {rejected}"]


def _contradicted(result: PartResult) -> list[str]:
    """The counterexample of a claim."""
    witness = result.witness
    assert witness is not None
    lines = [", ".join(f"{s.name} = {_matrix_text(v)}" for s, v in witness.values.items() if v.size)]
    if witness.vector is not None:
        vector = ", ".join(str(x) for x in witness.vector)
        lines.append(f"v = ({vector}): v'Mv = {witness.value} < 0")
    else:
        lines.append(f"an entry that should be 0 is {witness.value}")
    if witness.instance.unsampled:
        names = ", ".join(sorted(s.name for s in witness.instance.unsampled))
        lines.append(f"with values of {names} that the samplers do not choose and no hypothesis excludes")
    if result.network is not None:
        network = result.network
        given = ", ".join(str(x) for x in network.input)
        biases = f", biases ({', '.join(str(b) for b in network.biases)})" if network.biases else ""
        lines.append(
            f"inputs 0 and ({given}){biases}: squared distance {network.stretched} of the outputs, "
            f"at most {network.allowed} allowed"
        )
    return lines


def _open(result: PartResult) -> list[str]:
    """Why a claim is open, and what is known of it."""
    lines = [result.check.reason] if result.check is not None and result.check.reason else []
    suggested = result.suggested
    if suggested is not None and suggested.part.layer is not None and suggested.check is not None:
        fails = "this multiplier fails" if result.witness is not None else "not proved with this multiplier"
        lines.append(f"{fails}; {suggested.part.layer.multipliers} works:")
        lines += [f"  {line}" for line in _checked(suggested.check, suggested.strategy)]
    elif result.witness is not None:
        lines.append("the condition fails with these multipliers, and no two inputs contradict the layer")
    else:
        lines.append("neither proved nor refuted: give a proof, or more hypotheses")
    if result.witness is not None:
        lines += _contradicted(result)
    return lines + list(result.diagnosis)


def _matrix_text(values: Any) -> str:
    """A matrix of numbers in one line."""
    rows = ["[" + ", ".join(str(v) for v in row) + "]" for row in values]
    return rows[0] if len(rows) == 1 else "[" + ", ".join(rows) + "]"


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
