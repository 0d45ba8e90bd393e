"""What stands on a page, and the page itself: self-contained HTML, inline CSS and SVG, no scripts, no network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sdpcert.report.drawing import inline_svg
from sdpcert.report.figure import Figure
from sdpcert.version import __version__

NEEDS = "reports need jinja2: pip install 'sdpcert[report]'"


@dataclass(frozen=True)
class Number:
    """A number at the top of the page, with the anchor of its evidence."""

    name: str
    text: str
    what: str
    target: str


@dataclass(frozen=True)
class Evidence:
    """A file that the page was made from: what its checker said, and facts as (name, text, link or empty)."""

    target: str
    name: str
    word: str
    verdict: str
    facts: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Report:
    """Everything that a page shows; `html` renders it."""

    title: str
    lead: str
    numbers: tuple[Number, ...]
    figures: tuple[Figure, ...]
    missing: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    notes: tuple[str, ...]
    command: str
    versions: str

    def html(self) -> str:
        """The page; raises ValueError if jinja2 or matplotlib is not installed."""
        try:
            import jinja2
        except ModuleNotFoundError as error:
            if error.name != "jinja2":
                raise
            raise ValueError(NEEDS) from None
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
        template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
        first = self.evidence[0].target
        return template.render(
            version=__version__,
            title=self.title,
            lead=self.lead,
            numbers=self.numbers,
            figures=[(figure, inline_svg(figure)) for figure in self.figures],
            targets={
                f.key: "evidence" if f.key in ("ladder", "local") and len(self.evidence) > 1 else first
                for f in self.figures
            },
            missing=self.missing,
            evidence=self.evidence,
            notes=self.notes,
            command=self.command,
            versions=self.versions,
        )


def link(path: Path, folder: Path) -> str:
    """The link to a file from a page in a folder."""
    try:
        return quote(Path(os.path.relpath(path, folder)).as_posix())
    except ValueError:  # another drive
        return path.resolve().as_uri()
