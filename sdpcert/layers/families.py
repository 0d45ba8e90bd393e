"""All families: a new one is a file and a line here."""

from __future__ import annotations

from sdpcert.layers import aol, cpl, gershgorin, sll, spectral
from sdpcert.layers.family import Family

FAMILIES: tuple[Family, ...] = (
    spectral.FAMILY,
    aol.FAMILY,
    cpl.FAMILY,
    sll.FAMILY,
    sll.LINEAR,
    gershgorin.PERRON,
    gershgorin.OSTROWSKI,
    gershgorin.BLOCK,
    gershgorin.MAXIMUM,
    gershgorin.FROBENIUS,
    gershgorin.RESIDUAL_AOL,
)


def family(name: str) -> Family:
    """The family of that name; raises ValueError with the names that are known."""
    for known in FAMILIES:
        if known.name == name:
            return known
    raise ValueError(f"unknown family {name!r}; known: {', '.join(f.name for f in FAMILIES)}")
