"""Draw the floors of the package, as docs/architecture.md lists them, with the imports between them as counted now.

python -m tools.draw_floors
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

from tests.test_floors import PACKAGE, floor_of, floors, imports, modules

PICTURE = PACKAGE.parent / "docs" / "figures" / "floors.svg"
INK, FILL = "#4a5568", "#dbe7f5"


def arrows() -> Counter[tuple[int, int]]:
    """How many files of one floor import from another one."""
    found: Counter[tuple[int, int]] = Counter()
    for module in modules():
        found.update({(floor_of(module), floor_of(other)) for other, _ in imports(module)})
    return found


def lines() -> Counter[int]:
    """Lines of code on every floor."""
    found: Counter[int] = Counter()
    for module, path in modules().items():
        found[floor_of(module)] += len(path.read_text(encoding="utf-8").splitlines())
    return found


def draw(path: Path) -> None:
    """Write the picture: a floor is as wide as its code, an arrow as heavy as the files that import."""
    matplotlib.rcParams.update({"svg.hashsalt": "floors", "font.family": "sans-serif", "font.size": 10})
    size, between = lines(), arrows()
    names = ["public face" if name == "__init__" else name for name in floors()]
    most = max(size.values())
    figure, axes = plt.subplots(figsize=(8, 8.6))
    for k, name in enumerate(names):
        width = 0.8 + 4.2 * size[k] / most
        axes.add_patch(plt.Rectangle((0, k - 0.32), width, 0.64, facecolor=FILL, edgecolor=INK, linewidth=0.8))
        axes.text(-0.15, k, name, ha="right", va="center", color=INK)
        axes.text(width + 0.1, k, f"{size[k]:,}", ha="left", va="center", color=INK, fontsize=8)
    for (upper, lower), files in between.items():
        if upper > lower:
            reach = 6.0 + 0.26 * (upper - lower)
            style = "arc3,rad=-0.5"
            arrow = {"arrowstyle": "-|>", "connectionstyle": style, "color": INK, "alpha": 0.3}
            start, end = (6.0, upper), (6.0, lower)
            axes.annotate("", end, start, arrowprops={**arrow, "linewidth": 0.4 + 0.12 * files})
            axes.plot([reach], [(upper + lower) / 2], alpha=0)
    axes.set_xlim(-2.6, 11.6)
    axes.set_ylim(-0.8, len(names) + 0.3)
    axes.axis("off")
    axes.text(6.0, len(names) - 0.2, "imports, all downwards", ha="center", color=INK, fontsize=9)
    axes.text(0, len(names) - 0.2, "lines of code", ha="left", color=INK, fontsize=9)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight", transparent=False)


if __name__ == "__main__":
    draw(PICTURE)
