"""The site builds without a warning, every block of it runs, and every file, module and result that it names exists.

Blocks of one page share a namespace and a folder that holds examples/. ```python blocks and the lines of ```bash
blocks run in their order; a comment `<!-- not run: reason -->` before a block leaves it out, as does `<!-- command:
name -->`, which CI runs by itself, and `<!-- file: name -->` writes the block to a file of the folder. A ```toml
block is a configuration of a training run. A ```text block after a block that ran shows its output: decimals of six
digits or more have to be in it.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
FOLDERS = ("sdpcert", "benchmarks", "examples", "tests", "tools", "docs")
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"<!-- file: (\S+) -->\n$")
LEFT_OUT = re.compile(r"<!-- (not run: .+|command: \w+) -->\n$")
DECIMAL = re.compile(r"\d+\.\d+(?:e[+-]?\d+)?")
#: A number that was attained, after the word that says so.
ATTAINED = re.compile(r"(?:attained|lower)\W+(\d+\.\d+(?:e-?\d+)?)")
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: language, text, line of its first line, whether it is run, and the file that it is written to."""

    language: str
    body: str
    line: int
    runs: bool
    file: str | None


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        before = text[: found.start()]
        saved, runs = SAVED.search(before), LEFT_OUT.search(before) is None
        yield Block(found["language"], found["body"], before.count("\n") + 2, runs, saved and saved[1])


def inline_code(page: Path) -> set[str]:
    """Everything in single backticks, outside of fenced and indented blocks."""
    text = re.sub(r"^    .*$", "", FENCE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def run_line(line: str) -> None:
    """Run one line of a shell block, `sdpcert`, `python` or `bash`; it exits with 0 unless a comment says otherwise."""
    words = shlex.split(line, comments=True)
    if words[0] == "sdpcert":
        from sdpcert.cli import main

        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        code = ended.value.code
    else:
        programs = {"python": sys.executable, "bash": "bash"}
        assert words[0] in programs, f"run it here, or say why not: <!-- not run: reason --> before {line!r}"
        command = [programs[words[0]], *words[1:]]
        # A script finds the commands of this environment first, as where the environment is activated.
        found = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": found}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        print(done.stdout, done.stderr)
        code = done.returncode
    stated = re.search(r"# exit code (\d)", line)
    assert code == (int(stated[1]) if stated else 0), f"{line!r} exits with {code}"


def digits(number: str) -> int:
    return len(re.sub(r"e.*|\.", "", number).lstrip("0"))


def attained_in(text: str) -> list[str]:
    """The attained numbers of an output in their order: those after the word, and a table's column of that name."""
    rows = [[cell.strip() for cell in row.split("|")] for row in ROW.findall(text)]
    columns = [k for k, title in enumerate(rows[0]) if title in ("attained", "lower")] if rows else []
    return ATTAINED.findall(text) + [row[k] for row in rows[1:] for k in columns if DECIMAL.fullmatch(row[k])]


def check_shown(stated: str, output: str) -> None:
    """Every long decimal of a ```text block is in the output, up to the last digits.

    What a search attains depends on the processor: about as much as is stated has to be reached, or more.
    """
    found = [float(number) for number in DECIMAL.findall(output)]
    attained, reached = attained_in(stated), attained_in(output)
    assert len(reached) >= len(attained), f"{len(reached)} of {len(attained)} attained numbers are printed"
    for least, number in zip(attained, reached, strict=False):
        assert float(number) >= 0.95 * float(least), f"{least} is not attained"
    for number in DECIMAL.findall(stated):
        if number not in attained and digits(number) >= 6:
            assert any(value == pytest.approx(float(number), rel=1e-5) for value in found), f"{number} is not printed"


#: Pages whose commands take over four seconds of one core: they train, attack, and start processes of their own.
LONG = {
    "docs/how-to/train.md",
    "docs/roles/engineer.md",
    "docs/roles/inventor.md",
    "docs/roles/researcher.md",
}


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, id=n, marks=[pytest.mark.slow] if n in LONG else []) for p, n in zip(PAGES, NAMES, strict=True)],
)
def test_every_block_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    output = None
    for block in blocks_of(page):
        place = f"{page.relative_to(ROOT)}:{block.line}"
        if block.language == "text":
            if output:
                check_shown(block.body, output)
            continue
        output = None
        if not block.runs:
            continue
        if block.file is not None:
            Path(block.file).write_text(block.body, encoding="utf-8")
        elif block.language == "toml":
            from sdpcert.training import load_config

            Path("mine.toml").write_text(block.body)
            load_config("mine.toml")
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.body, str(page), "exec"), namespace)
        else:
            assert block.language in ("bash", "console"), f"{place}: a block of unknown language {block.language!r}"
            for line in filter(None, block.body.replace("\\\n", " ").splitlines()):
                run_line(line.removeprefix("$ "))
        output = capsys.readouterr().out


def test_few_blocks_are_left_out() -> None:
    """Whoever adds one decides here that it has to be."""
    left = [b for page in PAGES for b in blocks_of(page) if b.language not in ("text", "toml") and not b.runs]
    assert len(left) <= 15


def build_site(folder: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    """Nothing is loaded from elsewhere, every table can be scrolled by keyboard, and the search has a name."""
    build_site(tmp_path / "site")
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=[\"']?(https?:)?//", text)
        assert not loaded, f"{page.name} loads something from elsewhere"
        assert text.count("<table") == text.count('tabindex="0"><table>'), f"{page.name}: a table takes no focus"
        assert re.findall(r'role="dialog"([^>]*)>', text) == [' aria-label="Search"'], f"{page.name}: search"


@pytest.mark.slow
def test_the_site_is_accessible_in_a_browser(tmp_path: Path) -> None:
    """No serious finding of axe-core on any page, no request elsewhere, nothing wider than 360 px; light and dark."""
    folder = Path(os.environ.get("NODE_FOLDER", "."))
    packages = [folder / "node_modules" / name for name in ("axe-core", "playwright-core")]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None or shutil.which("node") is None or not all(p.is_dir() for p in packages):
        pytest.skip("needs chromium, node, and NODE_FOLDER (see tools/check_pages.mjs)")
    build_site(tmp_path / "site")
    tool = ROOT / "tools" / "check_pages.mjs"
    command = ["node", str(tool), str(tmp_path / "seen"), str(tmp_path / "site")]
    environment = {**os.environ, "NODE_FOLDER": str(folder.resolve()), "CHROMIUM": chromium}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)
    assert result.returncode == 0, result.stdout[-20000:] + result.stderr
    assert len(list((tmp_path / "seen").glob("*.json"))) == 4 * len(list((tmp_path / "site").rglob("*.html")))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_is_named_exists(page: Path) -> None:
    for code in inline_code(page):
        for name in re.findall(r"[\w./*-]+\.(?:py|md|onnx|npz|json|toml|yml|mjs|txt)\b|[\w/]+/(?= |$)", code):
            if name.startswith(FOLDERS) and "/" in name and "NAME" not in name:
                assert list(ROOT.glob(name)), f"{name} does not exist"
        module = re.fullmatch(r"(?:python -m )?(benchmarks\.\w+|sdpcert(?:\.\w+)+)(?:\(.*\))?(?: .*)?", code)
        if module:
            assert resolves(module[1]), f"{module[1]} does not exist"
        derived = re.fullmatch(r"sdpcert derive (\w+)", code)
        if derived:
            assert (
                derived[1] in ("all", "NAME", "FILE")
                or (ROOT / "sdpcert" / "derivations" / f"{derived[1]}.py").is_file()
            ), code
        verb = re.match(r"sdpcert (\w+)(?: |$)", code)
        if verb:
            assert verb[1] in verbs(), f"there is no verb {verb[1]!r}"
        if re.fullmatch(r"test_\w+", code):
            assert any(f"def {code}(" in p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py")), code


def verbs() -> set[str]:
    """The registered verbs of the command line."""
    import typer.main

    from sdpcert.cli import app

    return set(getattr(typer.main.get_command(app), "commands", {}))


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, or what is left of it are attributes of one."""
    parts = dotted.split(".")
    for k in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError as error:
            if not ".".join(parts[:k]).startswith(error.name or "?"):
                raise
            continue
        for name in parts[k:]:
            if not hasattr(thing, name):
                break
            thing = getattr(thing, name)
        else:
            return True
    return False


def test_links_work_on_disk() -> None:
    """Relative links of the pages lead to files of docs/, of the README to files of the repository."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
            if "://" in target:
                continue
            file = (page.parent / target).resolve()
            assert file.is_file(), f"{page.name}: {target}"
            assert page.name == "README.md" or file.is_relative_to(DOCS), f"{page.name}: {target} is not on the site"


def test_every_derivation_is_in_the_mathematics() -> None:
    from sdpcert import derivations

    text = (DOCS / "mathematics.md").read_text(encoding="utf-8")
    assert not [name for name in derivations.ORDER if f"`sdpcert/derivations/{name}.py`" not in text]
