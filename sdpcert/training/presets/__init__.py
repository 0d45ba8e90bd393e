"""The presets: TOML files of this folder, each a whole configuration or what is different from another preset."""

from __future__ import annotations

import difflib
from importlib import resources


def preset_names() -> list[str]:
    """The names, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def preset_text(name: object) -> str:
    """A preset as TOML; raises ValueError with the known names for another one."""
    names = preset_names()
    if name not in names:
        close = difflib.get_close_matches(str(name), names, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"unknown preset {name!r}; {hint}known: {', '.join(names)}")
    return (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
