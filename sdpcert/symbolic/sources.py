"""Sources of results as references: several papers in one line, each with the place in it.

    Wang, Manchester: Direct Parameterization of Lipschitz-Bounded Deep Networks, ICML 2023, Theorem 3.1; Douglas: ...

Semicolons separate papers; what follows a paper from `Theorem`, `Section` or the like on is the place in it, and so is
what follows it in parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PLACE = re.compile(
    r"^(?P<paper>.*?)(?:, (?P<at>(?:Theorems?|Sections?|Lemma|Propositions?|Corollary|Equations?|Chapters?)\b.*)"
    r"| \((?P<about>[^()]*)\))?$"
)


def papers_of(source: str) -> list[tuple[str, str]]:
    """The papers of a source, each with the place in it or an empty text."""
    found = []
    for part in filter(None, source.split("; ")):
        match = PLACE.match(part)
        assert match is not None
        found.append((match["paper"], match["at"] or match["about"] or ""))
    return found


def cited(source: str, papers: Sequence[str]) -> list[str]:
    r"""A `\cite` of every paper of the source that is in the numbered list."""
    return [
        "\\cite" + (f"[{place}]" if place else "") + f"{{s{papers.index(paper) + 1}}}"
        for paper, place in papers_of(source)
        if paper in papers
    ]
