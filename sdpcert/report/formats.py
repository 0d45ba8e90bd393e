"""A table as booktabs LaTeX, Markdown, CSV or JSON; the same table gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence

from sdpcert.report.columns import Column
from sdpcert.report.table import Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "'": r"\textquotesingle{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "-": r"-{}",
}
#: A row with more characters than this gets smaller letters, to fit the text of an article.
FITTING = 70
#: Quotation marks that the default font encoding lacks.
_PLAIN_QUOTES = {"'": "'", '"': "''", "`": "`", "-": "-"}
_EXPONENT = re.compile(r"^(-?[0-9.]+)[eE]([+-]?[0-9]+)$")


def latex(table: Table) -> str:
    """A `table` environment that needs the package booktabs and nothing else; a comment above says what made it."""
    align = "".join("r" if c.numeric else "l" for c in table.columns)
    widths = [max(map(len, (header_of(c), *(r[k].text for r in table.rows)))) for k, c in enumerate(table.columns)]
    wide = sum(widths) + 2 * len(widths) > FITTING
    size = r"\footnotesize\setlength{\tabcolsep}{4pt}" if wide else r"\small"
    lines = [
        f"% {_comment(table.made)}",
        r"\begin{table}[htbp]",
        r"  \centering",
        rf"  \caption{{{_escaped(table.title)}. {' '.join(map(_escaped, table.notes))}}}",
        r"  \medskip",
        rf"  {size}",
        r"  \makebox[\linewidth][c]{%",
        rf"  \begin{{tabular}}{{{align}}}",
        r"    \toprule",
        "    " + " & ".join(_escaped(header_of(c)) for c in table.columns) + r" \\",
        r"    \midrule",
    ]
    lines += ["    " + " & ".join(_number(cell.text) for cell in row) + r" \\" for row in table.rows]
    lines += [r"    \bottomrule", r"  \end{tabular}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    parts = [_PLAIN_QUOTES.get(c) or _LATEX.get(c) or (c if c.isascii() else _named(c)) for c in text]
    for k in range(len(text) - 1):
        if text[k] == text[k + 1] == "-":
            parts[k] = "-{}"  # two of them are no dash
    return "".join(parts)


def _named(character: str) -> str:
    # A name with letters that the plain encoding may lack is better readable than a file that does not compile.
    return {"–": "--", "—": "---", "×": r"$\times$", "λ": r"$\lambda$", "ρ": r"$\rho$"}.get(character, "?")


def _number(text: str) -> str:
    found = _EXPONENT.match(text)
    if found:
        return rf"${found[1]} \times 10^{{{int(found[2])}}}$"
    return f"${text}$" if text.startswith("-") else _escaped(text)


def header_of(column: Column) -> str:
    """The header with its unit."""
    return f"{column.header} [{column.unit}]" if column.unit else column.header


def markdown(table: Table) -> str:
    """A Markdown table with its caption below."""
    header = [markdown_cell(header_of(c)) for c in table.columns]
    rows = [[markdown_cell(cell.text) for cell in row] for row in table.rows]
    grid = markdown_rows(header, rows, [c.numeric for c in table.columns])
    fence = "`" * (1 + max(map(len, re.findall("`+", table.command)), default=0))
    caption = f"{markdown_cell(table.title)}. {' '.join(map(markdown_cell, table.notes))}"
    return f"{grid}\n\n{caption}\n\nMade by {fence}{table.command}{fence} ({markdown_cell(table.versions)}).\n"


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    """The lines of a Markdown table from escaped cells; columns that are `numeric` are aligned at the right."""
    lines = [header, *rows]
    texts = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "|".join("---:" if right else "---" for right in numeric) + "|", *texts[1:]])


def markdown_cell(text: str) -> str:
    """Text on one line in which Markdown sees no marks."""
    return re.sub(r"([\\|*_`\[\]<>])", r"\\\1", " ".join(text.split()))


def comma_separated(table: Table) -> str:
    """CSV with `#` comment lines before the header (pandas: `comment="#"`)."""
    out = io.StringIO()
    for line in (f"{table.title}.", *table.notes, f"{table.made}."):
        out.write(f"# {_comment(line)}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f"{c.name} [{c.unit}]" if c.unit else c.name for c in table.columns])
    writer.writerows([cell.text for cell in row] for row in table.rows)
    return out.getvalue()


def as_json(table: Table) -> str:
    """One JSON object; a cell has its value in full precision and its text, rounded."""
    document = {
        "format": "sdpcert-table-1",
        "kind": table.kind,
        "title": table.title,
        "notes": table.notes,
        "command": table.command,
        "versions": table.versions,
        "files": table.files,
        "columns": [
            {"name": c.name, "header": c.header, "unit": c.unit, "rounding": c.rounding} for c in table.columns
        ],
        "rows": [
            {c.name: {"value": cell.value, "text": cell.text} for c, cell in zip(table.columns, row, strict=True)}
            for row in table.rows
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS = {"latex": latex, "markdown": markdown, "csv": comma_separated, "json": as_json}


def formatted(table: Table, name: str) -> str:
    """The table in a format by name; raises ValueError that lists the formats there are."""
    if name not in FORMATS:
        raise ValueError(f"no format {name!r} of tables; there are {', '.join(FORMATS)}")
    return FORMATS[name](table)
