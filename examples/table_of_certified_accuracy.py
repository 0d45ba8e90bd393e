"""The certified accuracies of the SLL paper, family beside family, with one budget and every percentage proved.

Araujo, Havens, Delattre, Allauzen, Hu ("A Unified Algebraic Perspective on Lipschitz Neural Networks", ICLR 2023)
compare their layers with earlier ones on CIFAR-10. Here every family gets two layers of 64 neurons, scikit-learn's
digits (1442 images for training, 355 for the test), the same loss and the same ten epochs; then `sdpcert evaluate`
proves the constant of the trained weights and the accuracy at each radius.

Expected (measured, in percent, rounded down; published figures are for the largest network of a family on CIFAR-10):

    family        right  36/255  72/255  108/255  published: right, 36/255, 72/255, 108/255
    aol           93.80   87.04   78.87   60.56  71.6, 64.0, 56.4, 49.0 (Large)
    cayley        95.21   92.11   85.63   73.23  75.3, 59.1 (KW-Large, 36/255 only)
    cpl           94.64   91.54   83.09   70.42  78.5, 64.4, 48.0, 33.0 (XL)
    sll           94.64   92.39   83.66   69.85  73.3, 65.8, 58.4, 51.3 (X-Large)
    sandwich      95.49   94.08   86.47   74.36

What differs: 64 pixels instead of 3072, two dense layers instead of tens of convolutions, seconds instead of hours, and
one loss for all, while each published row has a recipe of its own. What agrees: AOL is less accurate, SLL is ahead
of AOL and CPL at 36/255 and 72/255. That CPL falls off so fast at large radii in the paper may be the recipe's doing:
with the loss of the others it does not here. One percent is three images. The published SLL networks were not
1-Lipschitz, because of an epsilon on one side; corrected, the largest certifies 64.8 instead of 65.8 percent at 36/255
(second-hand).
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from sdpcert.evaluation.trained import evaluate
from sdpcert.training import train

RADII = (36 / 255, 72 / 255, 108 / 255)
PUBLISHED = {
    "aol": "71.6, 64.0, 56.4, 49.0 (Large)",
    "cayley": "75.3, 59.1 (KW-Large, 36/255 only)",
    "cpl": "78.5, 64.4, 48.0, 33.0 (XL)",
    "sll": "73.3, 65.8, 58.4, 51.3 (X-Large)",
    "sandwich": "",
}


def settings(family: str) -> dict[str, Any]:
    """A run of `sdpcert train`, as its TOML file would have it; residual families read 64 numbers, like the others."""
    model: dict[str, Any] = {"architecture": "dense", "family": family, "hidden": [64, 64]}
    return {
        "data": {"name": "digits"},
        "model": model | ({"features": 64} if family in ("cpl", "sll") else {}),
        "loss": {"name": "cross-entropy", "offset": 0.75, "temperature": 0.25},
        "optimiser": {"name": "adam", "learning_rate": 0.01},
        "training": {"epochs": 10, "batch": 128, "evaluate_every": 0, "threads": 1},
    }


def main() -> dict[str, float]:
    """Print the table and return its percentages."""
    values: dict[str, float] = {}
    print("family        right  36/255  72/255  108/255  published: right, 36/255, 72/255, 108/255")
    for family, published in PUBLISHED.items():
        with tempfile.TemporaryDirectory() as folder:
            run = train(settings(family), Path(folder) / "run", progress=False)
            found = evaluate(run, RADII, ("by-construction",), attack=False, progress=False)
        within = [found.row("by-construction", radius).accuracy for radius in RADII]
        cells = [f"{math.floor(1e4 * share) / 100:8.2f}" for share in (found.clean_accuracy, *within)]
        print(f"{family:11s}" + "".join(cells) + f"  {published}")
        values |= {f"{family}, right": found.clean_accuracy, f"{family}, 36/255": within[0]}
    return values


if __name__ == "__main__":
    main()
