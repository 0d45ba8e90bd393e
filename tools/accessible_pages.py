"""Hooks of mkdocs (`hooks:` in mkdocs.yml): tables can be scrolled by keyboard, and the search dialog has a name.

The theme lets a wide table scroll sideways, in a box that takes no focus (axe-core: scrollable-region-focusable), and
gives its search the role of a dialog without a name (aria-dialog-name). `tools/check_pages.mjs` finds both.
"""

from __future__ import annotations

SEARCH = '<div class="md-search" data-md-component="search" role="dialog">'


def on_page_content(html: str, **_: object) -> str:
    """The page's text with a box around every table that takes focus and scrolls (docs/stylesheets/extra.css)."""
    box = '<div class="scroll" role="group" aria-label="Table" tabindex="0">'
    return html.replace("<table>", f"{box}<table>").replace("</table>", "</table></div>")


def on_post_template(output_content: str, **_: object) -> str:
    """A page without text of its own (404.html) with a name for its search."""
    return on_post_page(output_content)


def on_post_page(output: str, **_: object) -> str:
    """The whole page with a name for its search."""
    return output.replace(SEARCH, SEARCH[:-1] + ' aria-label="Search">')
