"""Tables of the documents between markers, which `python -m tools.make_tables` fills.

A document has `<!-- table: NAME -->`, the table, and `<!-- end table -->`, each comment on a line of its own. What is
between them is replaced as a whole; everything else is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdpcert.report.formats import markdown_cell, markdown_rows

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"^<!-- table: (?P<name>\w+) -->\n.*?^<!-- end table -->$", re.MULTILINE | re.DOTALL)
OPENING = re.compile(r"<!-- table: ?(\w*)")
NUMBER = re.compile(r"[<>]?-?\d[\d.]*(e[+-]?\d+)?( (ms|s|%))?")


@dataclass(frozen=True)
class Table:
    """A table as text: `rows` has one cell a column of `header`; `caption` is a paragraph of Markdown below."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    caption: str = ""

    def excerpt(self, columns: Sequence[str] = (), rows: Sequence[str] = ()) -> Table:
        """Columns by name, and rows by their first cell; without names all of them."""
        chosen = [self.header.index(name) for name in columns or self.header]
        kept = [row for row in self.rows if not rows or row[0] in rows]
        return Table(tuple(self.header[k] for k in chosen), [tuple(row[k] for k in chosen) for row in kept])

    def markdown(self) -> str:
        """The table in Markdown; columns of numbers are aligned at the right."""
        columns = list(zip(*self.rows, strict=True))
        numeric = [any(column) and all(NUMBER.fullmatch(cell) for cell in column if cell) for column in columns]
        header, *rows = [tuple(map(_shown, line)) for line in (self.header, *self.rows)]
        text = markdown_rows(header, rows, numeric)
        return f"{text}\n\n{self.caption}" if self.caption else text


def _shown(cell: str) -> str:
    return cell if cell.startswith("`") else markdown_cell(cell)  # names in code stay code


def documents(root: Path = ROOT) -> list[Path]:
    """The pages that may hold tables: README.md and everything in docs/."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def filled(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The document with every marked table made anew.

    Raises ValueError for a marker whose name is not in `tables` and for one without its end.
    """
    opened, closed = OPENING.findall(text), [found["name"] for found in MARKED.finditer(text)]
    if opened != closed:
        broken = next((name for name in opened if name not in closed), opened[0])
        raise ValueError(f"the table {broken!r} has no end: put <!-- end table --> on a line of its own below it")
    for name in closed:
        if name not in tables:
            raise ValueError(f"there is no table {name!r}; there are {', '.join(tables)}")

    def made(found: re.Match[str]) -> str:
        return f"<!-- table: {found['name']} -->\n\n{tables[found['name']]()}\n\n<!-- end table -->"

    return MARKED.sub(made, text)
