"""Hooks of mkdocs (`hooks:` in mkdocs.yml): formulas become MathML while the site is built, and bring their font along.

Pages hold LaTeX between dollars, which `pymdownx.arithmatex` marks and GitHub renders too. A browser needs no script
and no network to show MathML, and a screen reader reads it. The font is STIX Two Math as the package ziamath brings it,
reduced to what the pages need, for systems that have no font with the measures of mathematics.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from latex2mathml.converter import convert_to_element
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)
#: Bars by the side that they stand on: a letter of the private area while LaTeX is read, then an operator of that form.
BARS = {
    r"\lVert": ("\ue000", "‖", "prefix"),
    r"\rVert": ("\ue001", "‖", "postfix"),
    r"\lvert": ("\ue002", "|", "prefix"),
    r"\rvert": ("\ue003", "|", "postfix"),
}
RELATIONS = set("=≤≥<>≈∈⪰⪯→⟹,;:")
#: Space on both sides where browsers' dictionary of operators has another.
SPACES = {"⪰": "0.2778em", "⪯": "0.2778em", "/": "0em"}
#: A formula within a line longer than this many signs may be divided after a relation of its own level, as TeX does.
LONG = 12
FONT = "assets/mathematics.woff"


def tokens(element: Element) -> int:
    """The number of letters, numbers and operators in an element."""
    return sum(1 for part in element.iter() if part.tag in ("mi", "mn", "mo", "mtext"))


def named(element: Element) -> None:
    """Operators that are words become identifiers, bars know which side they stand on, and relations keep their space."""
    for part in element.iter():
        # The converter escapes once by itself.
        text = part.text = html.unescape(part.text or "")
        for letter, bar, form in BARS.values():
            if text == letter:
                part.tag, part.text = "mo", bar
                part.attrib = {"form": form, "stretchy": "false"}
        if part.tag == "mo" and len(text) > 1 and text.isalpha():
            part.tag = "mi"
        if part.tag == "mo" and text in SPACES:
            part.attrib |= {"lspace": SPACES[text], "rspace": SPACES[text]}


def divided(row: Element) -> Iterator[list[Element]]:
    """The parts of a row, each up to a relation outside of all brackets, or a comma there."""
    part: list[Element] = []
    depth = 0
    for child in row:
        part.append(child)
        if child.tag != "mo":
            continue
        depth += (child.text in ("(", "[", "{")) - (child.text in (")", "]", "}"))
        depth += (child.get("form") == "prefix") - (child.get("form") == "postfix")
        if depth == 0 and child.text in RELATIONS:
            child.set("form", "infix")
            yield part
            part = []
    if part:
        yield part


def mathml(latex: str, display: bool) -> str:
    """The MathML of one formula; ValueError where LaTeX is left in it."""
    for command, (letter, _, _) in BARS.items():
        latex = re.sub(re.escape(command) + r"(?![a-zA-Z])", letter, latex)
    whole = convert_to_element(latex, display="block" if display else "inline")
    named(whole)
    left = [part.text for part in whole.iter() if "\\" in (part.text or "")]
    if left:
        raise ValueError(f"{left[0]} of the formula {latex!r} is not understood")
    row = whole[0]
    if display or tokens(whole) <= LONG:
        return tostring(whole, encoding="unicode")
    parts = []
    for part in divided(row):
        math = Element("math", whole.attrib)
        SubElement(math, "mrow").extend(part)
        parts.append(tostring(math, encoding="unicode"))
    return "<wbr>".join(parts)


class Formulas:
    """The characters of all formulas of a build, for its font."""

    def __init__(self) -> None:
        self.characters: set[str] = set()

    def replaced(self, found: re.Match[str]) -> str:
        """The MathML in place of a marked formula; one on lines of its own scrolls sideways where it has to."""
        display = found[1] == "div"
        latex = html.unescape(found[2]).strip().removeprefix(r"\(").removeprefix(r"\[")
        made = mathml(latex.removesuffix(r"\)").removesuffix(r"\]").strip(), display)
        self.characters.update(re.sub(r"<[^>]*>", "", made))
        if not display:
            return made
        return f'<div class="scroll formula" role="group" aria-label="Formula" tabindex="0">{made}</div>'


formulas = Formulas()


def on_page_content(page_html: str, page: Page, **_: object) -> str:
    """The page's text with its formulas as MathML."""
    try:
        return FORMULA.sub(formulas.replaced, page_html)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def font(characters: set[str]) -> bytes:
    """STIX Two Math with these characters and all letters that mathematics writes them in, as WOFF."""
    with files("ziamath.fonts").joinpath("STIXTwoMath-Regular.ttf").open("rb") as source:
        face = TTFont(io.BytesIO(source.read()))
    options = Options(layout_features=["*"], flavor="woff", notdef_outline=True)
    subset = Subsetter(options)
    letters = [*range(0x20, 0x7F), *range(0x391, 0x3F6), *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C), 0x210E]
    root = 0x221A  # drawn around what stands under it, and not a character of the page
    subset.populate(unicodes=[*letters, root, *map(ord, characters)])
    subset.subset(face)
    face.flavor = "woff"
    made = io.BytesIO()
    face.save(made)
    return made.getvalue()


def on_post_build(config: MkDocsConfig, **_: object) -> None:
    """The font beside the style sheet that names it (docs/stylesheets/extra.css)."""
    path = Path(config.site_dir, FONT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(font(formulas.characters))
