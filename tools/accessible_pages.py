"""Hooks of mkdocs (`hooks:` in mkdocs.yml): tables can be scrolled by keyboard, the search dialog has a name, and no
line ends after the hyphens of an option.

The theme lets a wide table scroll sideways, in a box that takes no focus (axe-core: scrollable-region-focusable), and
gives its search the role of a dialog without a name (aria-dialog-name). `tools/check_pages.mjs` finds both.
"""

from __future__ import annotations

import re

#: A cell with more than a few words, and how many letters that is.
CELL = re.compile(r"<td>(.*?)</td>", re.DOTALL)
LONG = 40
#: An option in code within a line: a browser may divide a line after any of its hyphens.
CODE = re.compile(r"(?<!<span></span>)<code>([^<>]*)</code>")
OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
SEARCH = '<div class="md-search" data-md-component="search" role="dialog">'


def on_page_content(html: str, **_: object) -> str:
    """The page's text with a box that takes focus and scrolls around every table, and with whole options."""
    box = '<div class="scroll" role="group" aria-label="Table" tabindex="0">'
    html = CELL.sub(lambda cell: cell[0].replace("<td>", "<td data-long>") if len(cell[1]) > LONG else cell[0], html)
    html = html.replace("<table>", f"{box}<table>").replace("</table>", "</table></div>")
    return CODE.sub(lambda code: OPTION.sub(r'<span class="together">\g<0></span>', code[0]), html)


def on_post_template(output_content: str, **_: object) -> str:
    """A page without text of its own (404.html) with a name for its search."""
    return on_post_page(output_content)


def on_post_page(output: str, **_: object) -> str:
    """The whole page with a name for its search."""
    return output.replace(SEARCH, SEARCH[:-1] + ' aria-label="Search">')
