"""Table 1 of the sandwich paper: how much of the constant that it claims a trained network uses, by family.

Wang, Manchester ("Direct Parameterization of Lipschitz-Bounded Deep Networks", ICML 2023) fit a function of one number
that is steeper than the network may be, and divide the slope that is attained by the constant gamma that is claimed.
Here the function is a step, the networks are `x -> N(gamma x)` with a 1-Lipschitz N of two hidden layers of 32, trained
for 250 steps, and both numbers come from the certificate of N: the claim is proved for the trained weights, the slope
is that of two inputs that the certificate contains.

Expected (measured, in percent; published in parentheses):

    family        gamma 1          gamma 5          gamma 10
    aol           99.77 (77.2)     89.36 (45.2)     64.33 (47.9)
    orthogonal    100.00 (74.1)    99.87 (72.8)     92.79 (64.5)
    sll           99.82 (99.9)     86.22 (90.5)     60.96 (67.9)
    sandwich      100.00 (99.9)    99.99 (99.3)     99.72 (94.0)

What differs: the published function, widths and training are not known in full, and a step is easy to fit as steeply as
is allowed. What agrees: the sandwich layers use nearly all of their constant, the others less the steeper the function
is. Much of what is missing is training, not the families: with four hidden layers of 64 and 1000 steps
(`python -m benchmarks.tightness`) AOL reaches 99.5 percent at gamma 10, SLL 98.5, orthogonal and sandwich 99.99.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import sdpcert
from sdpcert.layers import AOLLinear, CayleyLinear, MaxMin, SandwichLinear, SLLLinear

WIDTH, STEPS, RATE = 32, 250, 0.01
GAMMAS = (1, 5, 10)
PUBLISHED = {
    "aol": (77.2, 45.2, 47.9),
    "orthogonal": (74.1, 72.8, 64.5),
    "sll": (99.9, 90.5, 67.9),
    "sandwich": (99.9, 99.3, 94.0),
}
FAMILIES: dict[str, Callable[[], list[nn.Module]]] = {
    "aol": lambda: [AOLLinear(1, WIDTH), MaxMin(), AOLLinear(WIDTH, WIDTH), MaxMin(), AOLLinear(WIDTH, 1)],
    "orthogonal": lambda: [
        CayleyLinear(1, WIDTH),
        MaxMin(),
        CayleyLinear(WIDTH, WIDTH),
        MaxMin(),
        CayleyLinear(WIDTH, 1),
    ],
    "sll": lambda: [AOLLinear(1, WIDTH), SLLLinear(WIDTH, WIDTH), SLLLinear(WIDTH, WIDTH), AOLLinear(WIDTH, 1)],
    "sandwich": lambda: [SandwichLinear(1, WIDTH), SandwichLinear(WIDTH, WIDTH), CayleyLinear(WIDTH, 1)],
}


def fitted(family: str, gamma: float) -> nn.Sequential:
    """A network N of the family such that N(gamma x) is fitted to a step."""
    torch.manual_seed(0)
    network = nn.Sequential(*FAMILIES[family]())
    x = torch.linspace(-1, 1, 400)[:, None]
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=RATE, total_steps=STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        (network(gamma * x) - x.sign()).square().mean().backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def main() -> dict[str, float]:
    """Print the table and return its percentages."""
    values: dict[str, float] = {}
    print(f"{'family':14s}" + "".join(f"gamma {gamma:<11d}" for gamma in GAMMAS))
    for family, published in PUBLISHED.items():
        cells = []
        for gamma, figure in zip(GAMMAS, published, strict=True):
            certificate = sdpcert.certify(sdpcert.from_torch(fitted(family, gamma), (1,)), "by-construction")
            values[f"{family}, gamma {gamma}"] = percent = 100 * certificate.lower / certificate.upper
            cells.append(f"{percent:.2f} ({figure})".ljust(17))
        print(f"{family:14s}" + "".join(cells))
    return values


if __name__ == "__main__":
    main()
