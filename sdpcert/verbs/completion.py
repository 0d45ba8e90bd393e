"""Values that a shell completes where an argument takes more than a few choices; no library is imported for them."""

from __future__ import annotations

from pathlib import Path

from sdpcert.running import choices

PACKAGE = Path(__file__).parents[1]


def presets() -> list[str]:
    """The presets of `sdpcert train`."""
    return sorted(path.stem for path in (PACKAGE / "training" / "presets").glob("*.toml"))


def derivations() -> list[str]:
    """The results of the library of `sdpcert derive`, and all of them."""
    files = (PACKAGE / "derivations").glob("*.py")
    return ["all", *sorted(path.stem for path in files if path.stem not in ("__init__", "library"))]


def families() -> list[str]:
    """The families of `sdpcert layers check`, and all of them."""
    return ["all", *choices.FAMILY_NAMES]


def bounds_of_runs(incomplete: str) -> list[str]:
    """The bounds of a run, after those that are there already."""
    given, comma, _ = incomplete.rpartition(",")
    return [f"{given}{comma}{name}" for name in choices.RUN_BOUNDS if name not in given.split(",")]


def devices() -> list[str]:
    """The usual devices; torch may know others."""
    return ["cpu", "cuda"]
