"""What a given network needs to become a sandwich network: a chain without idle neurons and feasible multipliers.

`SandwichNetwork.from_network` puts it together: the parameterisation is complete, and this is the proof at work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sdpcert.layers.residual import ACTIVATIONS, check_activation
from sdpcert.layers.sandwich import exponents_for
from sdpcert.network.activations import activation_by_name
from sdpcert.torch_modules.geometry import array

if TYPE_CHECKING:
    from sdpcert.certificate import Certificate
    from sdpcert.network.graph import Network

Array = np.ndarray


def affine_chain(network: Network | Sequence[Any], activation: str) -> tuple[list[Array], list[Array], str]:
    """Weights, biases and the activation of a chain; raises ValueError for anything else."""
    from sdpcert.network.graph import Network

    if not isinstance(network, Network):
        check_activation(activation)
        pairs = [layer if isinstance(layer, tuple | list) else (layer, None) for layer in network]
        plain = [(_numbers(w), None if b is None else _numbers(b)) for w, b in pairs]
        network = Network.mlp([w for w, _ in plain], [b for _, b in plain], activation)
    form = network.unshared
    if not form.is_chain:
        raise ValueError("the network is no chain: layers skip others")
    names = {g.activation.name for g in form.groups} or {activation}
    if len(names) > 1 or not names <= set(ACTIVATIONS):
        raise ValueError(f"one activation of {', '.join(ACTIVATIONS)} is needed, the network has {sorted(names)}")
    grid = np.linspace(-4, 4, 33)
    for group in form.groups:
        expected = activation_by_name(group.activation.name).on_torch(torch.from_numpy(grid)).numpy()
        if not np.allclose(group.activation(grid), expected, rtol=1e-12, atol=1e-12):
            raise ValueError(f"the network's {group.activation.name} is not the usual one")
    sizes, weights = form.sizes, []
    for k in range(1, len(sizes)):
        block = form.blocks.get((k, k - 1))
        weights.append(np.zeros((sizes[k], sizes[k - 1])) if block is None else block.weights.copy())
    return weights, [*(g.bias.copy() for g in form.groups), form.offset.copy()], names.pop()


def _numbers(values: Any) -> Array:
    return array(values) if isinstance(values, Tensor) else np.array(values, dtype=float)


def fold_idle(weights: list[Array], biases: list[Array], activation: str) -> list[Array]:
    """Fold constant neurons into biases and cut off those that nothing reads; returns masks of the others, by layer.

    The function stays the same. What is left of idle neurons are rows and columns of zeros, for which every multiplier
    is feasible.
    """
    alive = []
    for k in range(len(weights) - 1):
        still = ~np.any(weights[k] != 0, axis=1)
        value = activation_by_name(activation).on_torch(torch.from_numpy(biases[k])).numpy()
        biases[k + 1] += weights[k + 1][:, still] @ value[still]
        weights[k + 1][:, still] = 0
        alive.append(~still)
    for k in reversed(range(len(weights) - 1)):
        read = np.any(weights[k + 1] != 0, axis=0)
        weights[k][~read] = 0
        alive[k] &= read
    return alive


def feasible_scales(
    weights: list[Array], alive: list[Array], gamma: float, certificate: Certificate | None
) -> list[Tensor]:
    """Psi_k of multipliers that are strictly feasible for gamma, as `log_scale` parameters in float64."""
    from sdpcert.certify import certify
    from sdpcert.network.graph import Network
    from sdpcert.solvers.forward import closed_form

    scales = [torch.ones(len(mask), dtype=torch.float64) for mask in alive]
    if all(mask.any() for mask in alive):
        columns = [np.ones(weights[0].shape[1], dtype=bool), *alive]
        rows = [*alive, np.ones(len(weights[-1]), dtype=bool)]
        parts = [w[np.ix_(r, c)] for w, r, c in zip(weights, rows, columns, strict=True)]
        if certificate is None:
            certificate = certify(Network.mlp(parts).unshared, method="neuron")
        form, proof = certificate.form, certificate.proof
        if form is None or proof is None:
            raise ValueError("the certificate has no proof with multipliers of single neurons")
        if [g.size for g in form.groups] != [int(m.sum()) for m in alive] or not all(
            np.array_equal(form.blocks[k + 1, k].weights, part) for k, part in enumerate(parts) if np.any(part)
        ):
            raise ValueError(
                "the certificate is for another network, or one with neurons that read the same; leave it out"
            )
        if any(np.any(g.alpha != 0) or np.any(g.beta != 1) for g in form.groups):
            raise ValueError("the certificate is for other slopes than [0, 1]; leave it out")
        if not gamma > certificate.upper:
            raise ValueError(f"gamma {gamma!r} is not above the certified constant {certificate.upper!r}")
        # Half of the room (as a ratio) scales the point jointly; the rest adds multipliers that are strictly feasible
        # for a network without output, so that no A_k is singular.
        rho = float(np.ldexp(proof.rho, 2 * proof.exponent))
        factor = gamma / rho**0.5 if rho > 0 else 1.0
        inside = closed_form(form, theta=0.4)
        for scale, mask, own, other in zip(scales, alive, proof.multipliers, inside.multipliers, strict=True):
            multipliers = factor * np.ldexp(own, 2 * proof.exponent)
            if inside.rho > 0:
                multipliers = multipliers + (gamma**2 - factor * rho) / inside.rho * other
            scale[torch.from_numpy(mask)] = torch.from_numpy(multipliers / gamma).sqrt()
    return [exponents_for(scale) for scale in scales]
