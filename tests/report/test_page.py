"""The page: self-contained, ordered headings, every number linked to a verdict, the same bytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sdpcert
from sdpcert.report import write_report, write_table

pytest.importorskip("jinja2")
TOOL = Path(__file__).parents[2] / "tools" / "check_pages.mjs"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags, identifiers, links and headings; tags have to close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [v for k, v in attrs if k == "id" and v]
        self.links += [v for k, v in attrs if k == "href" and v]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def pages(proved: Path, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    ladder = [proved / f"{m}.cert.json" for m in ("neuron", "layer", "product")]
    made = {"ladder": ladder, "frequency": [proved / "conv.cert.json"], "run": [run_folder]}
    return {name: write_report(files, folder / f"{name}.html")[0] for name, files in made.items()}


@pytest.mark.parametrize("name", ["ladder", "frequency", "run"])
def test_structure(pages: dict[str, Path], name: str) -> None:
    text = pages[name].read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.tags.count("h1") == 1 and page.headings[0] == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:]))
    assert {"header", "nav", "main", "footer"} <= set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (pages[name].parent / _unquoted(link)).is_file()
    for tag, attributes in page.attributes:
        assert tag not in ("script", "link", "iframe", "img")
        assert not any(k.startswith("on") or k == "src" for k in attributes)
    assert re.findall(r"https?://|@import|url\((?!#)", text) == []
    assert page.tags.count("figure") == page.tags.count("details") == text.count('role="img"')


def _unquoted(link: str) -> str:
    from urllib.parse import unquote

    return unquote(link)


def test_every_number_is_linked_to_its_verdict(pages: dict[str, Path], proved: Path) -> None:
    text = pages["ladder"].read_text(encoding="utf-8")
    numbers = re.findall(r'<dd><a href="#([^"]+)">([^<]+)</a>', text)
    assert len(numbers) >= 4 and {target for target, _ in numbers} == {"certificate-1"}
    for k, method in enumerate(("neuron", "layer", "product"), start=1):
        verdict = sdpcert.check(proved / f"{method}.cert.json")
        card = text[text.index(f'id="certificate-{k}"') :]
        assert verdict.sha256 in card and "Proved</span>" in card and f"{method}.cert.json" in card
    assert "5.4" not in numbers[0][1] or float(numbers[0][1]) >= (verdict.upper or 0)
    figures = re.findall(r'<figcaption>.*?<a href="#([^"]+)">Its certificate and verdict</a>', text, re.S)
    assert len(figures) == 6 and set(figures) <= {"evidence", "certificate-1"}


def test_hostile_names_are_escaped(proved: Path, tmp_path: Path) -> None:
    from sdpcert.certificate.document import sealed

    document = json.loads((proved / "neuron.cert.json").read_text())
    document["information"]["source"] = "<script>alert(1)</script>.onnx"
    document["information"]["notes"] = ["<b>bold</b>"]
    document["network"]["groups"][0]["activation"] = "<i>relu</i>"
    path = tmp_path / "a&b <c>.cert.json"
    path.write_text(json.dumps(sealed(document)))
    (page,) = write_report([path], tmp_path / "p.html")
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "<b>" not in text and "<i>" not in text
    assert "&lt;script&gt;" in text


def test_a_name_that_is_no_text(proved: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.cert.json")
    path.write_bytes((proved / "neuron.cert.json").read_bytes())
    (page,) = write_report([path], tmp_path / "p.html")
    assert r"a\udcff.cert.json" in page.read_text(encoding="utf-8")
    write_table([path], output=tmp_path / "t.md")
    assert r"a\udcff.cert.json" in (tmp_path / "t.md").read_text(encoding="utf-8")


def test_strange_information_is_no_traceback(proved: Path, tmp_path: Path) -> None:
    from sdpcert.certificate.document import sealed

    strange = {"history": [[1, 2]], "slack": {"neurons": 3}, "method": 5, "sdp_lower": "x", "versions": [], "notes": 1}
    for information in (strange, {}):
        document = json.loads((proved / "neuron.cert.json").read_text())
        document["information"] = information
        path = tmp_path / "strange.json"
        path.write_text(json.dumps(sealed(document)))
        (page,) = write_report([path], tmp_path / "p.html")
        assert "Convergence: the certificate holds no history" in page.read_text(encoding="utf-8")
        write_table([path], "bounds", form="latex")


def test_the_same_bytes(proved: Path, tmp_path: Path) -> None:
    files = [proved / "neuron.cert.json"]
    first = write_report(files, tmp_path / "a.html")[0].read_bytes()
    assert first == write_report(files, tmp_path / "a.html")[0].read_bytes()
    without = write_report(files, tmp_path / "a.html", times=False)[0].read_text(encoding="utf-8")
    assert b"in all, stated" in first and "in all, stated" not in without and "file&#39;s hash" not in without


def test_files_that_do_not_belong_together(proved: Path, run_folder: Path, tmp_path: Path) -> None:
    neuron, conv, out = proved / "neuron.cert.json", proved / "conv.cert.json", tmp_path / "x.html"
    with pytest.raises(ValueError, match="about another network than"):
        write_report([neuron, conv], out)
    with pytest.raises(ValueError, match="a run; it needs a report of its own"):
        write_report([neuron, run_folder], out)
    with pytest.raises(ValueError, match="one run at a time"):
        write_report([run_folder, neuron], out)
    with pytest.raises(ValueError, match="does not exist"):
        write_report([neuron], tmp_path / "none" / "x.html")
    assert not out.exists()


def test_accessible_in_a_browser(pages: dict[str, Path], tmp_path: Path) -> None:
    """No serious finding of axe-core, no request, nothing wider than 360 px, focus visible; light and dark."""
    folder = Path(os.environ.get("NODE_FOLDER", "."))
    packages = [folder / "node_modules" / name for name in ("axe-core", "playwright-core")]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None or shutil.which("node") is None or not all(p.is_dir() for p in packages):
        pytest.skip(
            "needs chromium, node, and NODE_FOLDER with axe-core and playwright-core (see tools/check_pages.mjs)"
        )
    command = ["node", str(TOOL), str(tmp_path), *(str(pages[n]) for n in ("ladder", "run"))]
    environment = {**os.environ, "NODE_FOLDER": str(folder.resolve()), "CHROMIUM": chromium}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(list(tmp_path.glob("*.png"))) == 8
