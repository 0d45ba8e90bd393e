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
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from latex2mathml.converter import convert_to_element
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

#: A marked formula with the bracket before it and the signs behind it, from which no line may divide it.
FORMULA = re.compile(r'(\(?)<(span|div) class="arithmatex">(.*?)</\2>([.,;:?!)\]]*)', re.DOTALL)
#: Bars by the side that they stand on: a letter of the private area while LaTeX is read, then an operator of that form.
BARS = {
    r"\lVert": ("\ue000", "‖", "prefix"),
    r"\rVert": ("\ue001", "‖", "postfix"),
    r"\lvert": ("\ue002", "|", "prefix"),
    r"\rvert": ("\ue003", "|", "postfix"),
}
RELATIONS = set("=≤≥<>≈∈⪰⪯≻→⟹,;:")
SIGNS = ("−", "+")
#: What a sign, and no sum, stands after.
OPENING = RELATIONS | set("([{")
#: Operators that are written as letters are, and characters in place of those that keyboards have.
LETTERS = {"⊤"}
CHARACTERS = {"*": "∗"}
#: The least space that divides formulas in one row, in em.
GAP = 1.0
#: What a root is drawn around at least: a line of text. Browsers sink a root around anything lower.
STRUT = {"width": "0", "height": "0.72em", "depth": "0.18em"}
#: How far a script's baseline is below the foot of what it belongs to (units of the font, negative: above it). With
#: that of the font letters with a descender have lower indices than others.
DROP = -300
#: Signs that the converter takes for letters, or browsers for others than they are, and the space on both sides.
SPACES = {"⪰": "0.2778em", "⪯": "0.2778em", "≻": "0.2778em", "/": "0em"}
#: A formula within a line longer than this many signs may be divided after a relation of its own level, as TeX does.
LONG = 12
#: The sign of a root, which is drawn around what stands under it and is no character of a page.
ROOT = 0x221A
FONT = "assets/mathematics.woff"


def tokens(element: Element) -> int:
    """The number of letters, numbers and operators in an element."""
    return sum(1 for part in element.iter() if part.tag in ("mi", "mn", "mo", "mtext"))


def is_gap(element: Element) -> bool:
    """Whether an element is a space between formulas in one row."""
    return element.tag == "mspace" and float(element.get("width", "0em").removesuffix("em")) >= GAP


def is_word(element: Element) -> bool:
    """Whether an element is a function's name of several letters, with or without an index."""
    name = element[0] if element.tag in ("msub", "munder") else element
    return name.tag == "mi" and (name.text or "").isalpha() and len(name.text or "") > 1


def corrected(element: Element) -> None:
    """Words become identifiers, bars know their side, and relations have their space."""
    for part in element.iter():
        text = part.text = html.unescape(part.text or "")  # the converter escapes once by itself
        text = part.text = CHARACTERS.get(text, text)
        for letter, bar, form in BARS.values():
            if text == letter:
                part.tag, part.text = "mo", bar
                part.attrib = {"form": form, "stretchy": "false"}
        if part.tag == "mtext" and text.strip():
            part.tag = "mi"  # words are no space, which a sign beside them would ignore
        if part.tag == "mo" and (text in LETTERS or (len(text) > 1 and text.isalpha())):
            part.tag = "mi"
        if text in SPACES:
            part.tag = "mo"
            part.attrib |= {"lspace": SPACES[text], "rspace": SPACES[text]}
        if part.tag == "msqrt":
            SubElement(part, "mspace", STRUT)


def spaced(element: Element) -> None:
    """A sign is no difference, and a function's name stands apart from factors and arguments without brackets."""
    for row in list(element.iter()):
        for before, sign in pairwise(row):
            opening = before.text in OPENING or before.get("form") == "prefix"
            if before.tag == sign.tag == "mo" and opening and sign.text in SIGNS:
                sign.set("form", "prefix")
        if row.tag not in ("math", "mrow", "mtd", "mstyle"):
            continue
        if len(row) and row[0].text in RELATIONS:
            row[0].set("lspace", "0em")
        for k in range(len(row) - 1, 0, -1):
            before, after = row[k - 1], row[k]
            argument = after.tag not in ("mo", "mspace", "mrow") or after.get("form") == "prefix"
            factor = before.tag not in ("mo", "mspace") or before.text == ")" or before.get("form") == "postfix"
            if (is_word(before) and argument) or (is_word(after) and factor):
                row.insert(k, Element("mspace", {"width": "0.1667em"}))


def divided(row: Element) -> Iterator[list[Element]]:
    """The parts of a row, each up to a wide space, a relation or a comma outside of all brackets, or a sign if long."""
    part: list[Element] = []
    depth = 0
    for child in row:
        part.append(child)
        for bracket in child.iter("mo"):
            form = bracket.get("form") if bracket.text in ("‖", "|") else None
            depth += bracket.text in ("(", "[", "{") or form == "prefix"
            depth -= bracket.text in (")", "]", "}") or form == "postfix"
        if depth or child.tag not in ("mo", "mspace"):
            continue
        added = child.text in SIGNS and child.get("form") != "prefix" and sum(map(tokens, part)) > LONG
        if child.text in RELATIONS or added:
            child.set("form", "infix")
        if is_gap(child) or child.text in RELATIONS or added:
            yield part
            part = []
    if part:
        yield part


def mathml(latex: str, display: bool) -> str:
    """The MathML of one formula; ValueError where LaTeX is left in it."""
    for command, (letter, _, _) in BARS.items():
        latex = re.sub(re.escape(command) + r"(?![a-zA-Z])", letter, latex)
    whole = convert_to_element(latex, display="block" if display else "inline")
    corrected(whole)
    spaced(whole)
    left = [part.text for part in whole.iter() if "\\" in (part.text or "")]
    if left:
        raise ValueError(f"{left[0]} of the formula {latex!r} is not understood")
    if not display and tokens(whole) <= LONG:
        return tostring(whole, encoding="unicode")
    lines: list[list[str]] = [[]]
    for part in divided(whole[0]):
        math = Element("math", whole.attrib | {"display": "inline"} | ({"displaystyle": "true"} if display else {}))
        SubElement(math, "mrow").extend(part)
        lines[-1].append(tostring(math, encoding="unicode"))
        if display and is_gap(part[-1]):
            lines.append([])
    if not display:
        return "<wbr>".join(lines[0])
    return "<wbr>".join(f'<span class="piece">{"<wbr>".join(line)}</span>' for line in lines if line)


class Formulas:
    """The characters of all formulas of a build, for its font."""

    def __init__(self) -> None:
        self.characters: set[str] = set()

    def replaced(self, found: re.Match[str]) -> str:
        """The MathML in place of a marked formula; one on lines of its own scrolls sideways where it has to."""
        before, tag, marked, behind = found.groups()
        display = tag == "div"
        latex = html.unescape(marked).strip().removeprefix(r"\(").removeprefix(r"\[")
        made = mathml(latex.removesuffix(r"\)").removesuffix(r"\]").strip(), display)
        self.characters.update(re.sub(r"<[^>]*>", "", made))
        if not display:
            parts = made.split("<wbr>")
            parts[0] = before + parts[0]
            parts[-1] += behind
            return "<wbr>".join(f'<span class="together">{part}</span>' for part in parts)
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
    # Chromium leaves the width of the widest root behind every root; those of the pages are one line high.
    variants, names = face["MATH"].table.MathVariants, face.getBestCmap()
    assert names is not None
    root = variants.VertGlyphConstruction[variants.VertGlyphCoverage.glyphs.index(names[ROOT])]
    del root.MathGlyphVariantRecord[1:]
    root.VariantCount, root.GlyphAssembly = 1, None
    face["MATH"].table.MathConstants.SubscriptBaselineDropMin.Value = DROP
    subset = Subsetter(Options(layout_features=["*"], notdef_outline=True))
    letters = [*range(0x20, 0x7F), *range(0x391, 0x3F6), *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C), 0x210E]
    subset.populate(unicodes=[*letters, ROOT, *map(ord, characters)])
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
