"""The library of results: the files of the package `sdpcert.derivations`, and files of the user's own."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from sdpcert.errors import NotADerivation as NotADerivation
from sdpcert.symbolic.derivation import Derivation, as_derivation
from sdpcert.symbolic.deriving import derive
from sdpcert.symbolic.told import Told


def names() -> list[str]:
    """The names of the library's results, in the order in which they build on each other."""
    package = importlib.import_module("sdpcert.derivations")
    found = {module.name for module in pkgutil.iter_modules(package.__path__)} - {Path(__file__).stem}
    return [*package.ORDER, *sorted(found - set(package.ORDER))]


def load(name: str) -> list[Derivation]:
    """The derivations of a name of the library or of a Python file; raises `NotADerivation`."""
    if name.endswith(".py") or "/" in name:
        return _of(_from_file(Path(name)), Path(name).stem)
    known = names()
    if name not in known:
        raise NotADerivation(f"no derivation {name!r}; there are {', '.join(known)}, or give a file NAME.py")
    return _of(importlib.import_module(f"sdpcert.derivations.{name}"), name)


def settle(name: str, number: int, papers: Sequence[str], *options: Any) -> Told:
    """Settle one of the derivations of a name or file, with the options of `derive`.

    A function of plain data, which can be called in another process.
    """
    return Told.of(derive(load(name)[number], *options), papers)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise NotADerivation(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"_derivation_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise NotADerivation(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent.resolve())
    sys.path.append(folder)  # files beside it can be imported, as by a script
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise NotADerivation(f"{path}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


def _of(module: ModuleType, name: str) -> list[Derivation]:
    found = getattr(module, "derivation", None)
    if found is None:
        raise NotADerivation(f"{name} defines no `derivation`")
    items = found if isinstance(found, list | tuple) else [found]
    try:
        return [replace(d, name=d.name or name) for d in map(as_derivation, items)]
    except TypeError as error:
        raise NotADerivation(f"{name}: {error}") from None
