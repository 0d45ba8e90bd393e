"""A rule of one's own, proved for all weights; another that looks as good, refuted by two inputs.

The rules are in examples/derivations: T_ii = sum_j |W'W|_ij c_j / c_i for any c > 0, and the row norms, T_ii = (sum_j
(W'W)_ij^2)^(1/2).

Expected (derived): the first is proved; the second fails for W = (2, 1, 2), where T = diag(6, 3, 6) and two inputs at
distance 1 are mapped to the squared distance 49/9 = 5.444444.
"""

from __future__ import annotations

from pathlib import Path

from sdpcert.derivations.library import load
from sdpcert.symbolic import derive

FOLDER = Path(__file__).parent / "derivations"


def main() -> dict[str, float]:
    """Print both results and return how many claims were proved and how far the second rule's layer stretches."""
    results = [derive(load(str(FOLDER / name))[0]) for name in ("column_norms.py", "row_norms.py")]
    for result in results:
        print(result.text())
    network = results[1].parts[0].network
    return {
        "proved": float(sum(p.status == "proved" for r in results for p in r.parts)),
        "refuted": float(sum(p.status == "refuted" for r in results for p in (*r.parts, *r.controls))),
        "squared stretch": float(network.stretched / network.allowed) if network is not None else 0.0,
    }


if __name__ == "__main__":
    main()
