"""Further diagonal-dominance rules as families; `rules.py` has the rules, `docs/layers.md` their derivations."""

from __future__ import annotations

from collections.abc import Callable

from sdpcert.layers.family import Family
from sdpcert.layers.linear import ScaledConv2d, ScaledLinear
from sdpcert.layers.residual import ResidualLinear
from sdpcert.layers.rules import (
    AOL,
    BlockGershgorin,
    Frobenius,
    MaximumRowSum,
    Ostrowski,
    Perron,
    Rule,
)


def _family(name: str, source: str, what: str, rule: Callable[[int], Rule]) -> Family:
    return Family(
        name,
        source,
        f"V D x, D from {what}",
        lambda n, m: ScaledLinear(n, m, rule(n)),
        lambda n, m, k: ScaledConv2d(n, m, k, rule(n)),
    )


PERRON = _family(
    "perron",
    "Gershgorin after scaling by a Perron vector",
    "row sums of abs(V'V), scaled by its Perron vector",
    lambda n: Perron(),
)
OSTROWSKI = _family("ostrowski", "Ostrowski 1951", "row and column sums of abs(V'V), scaled by free numbers", Ostrowski)
BLOCK = _family("block-gershgorin", "Feingold, Varga 1962", "norms of blocks of V'V", lambda n: BlockGershgorin(4))
MAXIMUM = _family("row-sum", "Gershgorin with one number", "the largest row sum of abs(V'V)", lambda n: MaximumRowSum())
FROBENIUS = _family("frobenius", "trace of the Gram matrix", "the Frobenius norm", lambda n: Frobenius())
RESIDUAL_AOL = Family(
    "residual-aol",
    "Araujo et al. 2023, Theorem 3 with q = 1",
    "residual layer x - 2 V' T^-1 phi(V x + b), T the row sums of abs(V V')",
    lambda n, m: ResidualLinear(min(n, m), max(n, m), AOL()),
)
