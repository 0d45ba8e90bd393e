"""The house has floors: imports point down, never in a circle, and what is private to a file stays there.

The floors are those of the table in docs/architecture.md, so that the page is true. Imports inside of functions and
those for type checkers alone count like all others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import sdpcert

PACKAGE = Path(sdpcert.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"


@cache
def floors() -> list[str]:
    """The floors of the page, from the ground."""
    table = PAGE.read_text(encoding="utf-8").split("<!-- floors -->")[1]
    return re.findall(r"^\| `(\w+)(?:\.py)?` \|", table, re.MULTILINE)[::-1]


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(module: str) -> Iterator[tuple[str, str]]:
    """The modules that a module imports, each with the name that it takes from it ("" for the module)."""
    path = modules()[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in modules())
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                if f"{source}.{alias.name}" in modules():
                    yield f"{source}.{alias.name}", ""
                elif source in modules():
                    yield source, alias.name


def floor_of(module: str) -> int:
    return floors().index(_room(module))


def _room(module: str) -> str:
    """The file or folder of the package that a module is in."""
    return "__init__" if module == "sdpcert" else module.split(".")[1]


def test_every_file_has_a_floor() -> None:
    assert {_room(module) for module in modules()} == set(floors())


def test_no_import_points_up() -> None:
    upward = [
        f"{module} -> {other}"
        for module in modules()
        for other, _ in imports(module)
        if floor_of(other) > floor_of(module)
    ]
    assert upward == []


def test_no_circle_of_files() -> None:
    """Files without imports among those that are left are taken away until none is; what stays is in circles."""
    left = {module: {other for other, _ in imports(module)} - {module} for module in modules()}
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_private_names_stay_in_their_file() -> None:
    taken = [
        f"{module} takes {name} of {other}"
        for module in modules()
        for other, name in imports(module)
        if name.startswith("_") and not name.startswith("__")
    ]
    assert taken == []


def test_no_file_is_longer_than_a_sitting() -> None:
    # Strangers copy the checker of proofs as one file; tests/check/test_proof_checker.py limits its lines.
    others = {m: p for m, p in modules().items() if m != "sdpcert.check.proof_checker"}
    lengths = {m: len(p.read_text(encoding="utf-8").splitlines()) for m, p in others.items()}
    assert {module: length for module, length in lengths.items() if length > 450} == {}


def test_the_checkers_import_nothing_of_the_package() -> None:
    outside = [
        other
        for module in modules()
        if module.startswith("sdpcert.check")
        for other, _ in imports(module)
        if not other.startswith("sdpcert.check")
    ]
    assert outside == []
