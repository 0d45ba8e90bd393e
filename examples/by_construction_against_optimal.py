"""Layers that are 1-Lipschitz by construction: what they prove for free, and what their networks' optimum is.

Three layers of every family in `sdpcert.layers.FAMILIES`, with MaxMin after each, float64, weights of variance one. By
construction every network's constant is proved to be at most 1 without solving anything; solving for one multiplier a
neuron shows how far below 1 the condition would go for these weights, and two inputs show what is real. Chains of
scaled linear layers leave half of it or more unused at random weights; residual and orthogonal layers use
nearly all of it.

Expected (measured; upper bounds rounded up, attained values down):

    family            by construction      neuron   attained
    spectral              0.999997855     0.48513   0.481115
    aol                   0.999997855   0.4954984   0.482551
    cpl                   0.999997855    1.000003   0.999997
    sll                   0.999997855   0.9999972   0.999997
    sll-linear            0.999997855   0.4954984   0.482551
    perron                0.999997855   0.4346303     0.4337
    ostrowski             0.999997855   0.4954984   0.482551
    block-gershgorin      0.999997855   0.4513058   0.450753
    row-sum               0.999997855    0.273285   0.271023
    frobenius             0.999997855   0.1208832   0.119882
    residual-aol          0.999997855   0.9999972   0.999997
    cayley                0.999997855   0.9999972   0.999997
    exponential           0.999997855   0.9999972   0.999997
    bjorck                0.999997855   0.9999977   0.999997
    sandwich              0.999997855   0.9994233   0.840003
    sandwich-network      0.999997855   0.3760016  0.0987533
    general-residual      0.999997855   0.9999988   0.936586

The bound for CPL is 5e-6 above its dual bound: such networks attain what the condition allows, so that the rounding
of multiplied layers has to be paid for with rho.
"""

from __future__ import annotations

import torch
from torch import nn

import sdpcert
from sdpcert.layers import FAMILIES, MaxMin
from sdpcert.report import rounded_down, rounded_up


def main() -> dict[str, float]:
    """Print both bounds for each family and return them."""
    values: dict[str, float] = {}
    print("family            by construction      neuron   attained")
    for family in FAMILIES:
        if family.dense is None:  # convolutions alone
            continue
        torch.manual_seed(0)
        model = nn.Sequential(*[module for _ in range(3) for module in (family.dense(8, 8), MaxMin())]).double()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_()
        network = sdpcert.from_torch(model, (8,))
        given = sdpcert.certify(network, method="by-construction")
        best = sdpcert.certify(network, method="neuron")
        assert given.status == best.status == "proved"
        assert given.upper <= 1
        shown = (rounded_up(given.upper, 9), rounded_up(best.upper, 7), rounded_down(best.lower, 6))
        print(f"{family.name:16s} {shown[0]:>16s} {shown[1]:>11s} {shown[2]:>10s}")
        values[f"{family.name}, by construction"], values[f"{family.name}, neuron"] = given.upper, best.upper
    return values


if __name__ == "__main__":
    main()
