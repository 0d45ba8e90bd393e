"""Prove layers: the materialised weights go through the same certificate as every other network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.certify import certify
from sdpcert.condition.matrix import Condition
from sdpcert.layers.families import family
from sdpcert.network.construction import ConstructedNetwork, Construction
from sdpcert.network.stacked import StackedForm
from sdpcert.torch_modules.certified import Certified, LipschitzLayer
from sdpcert.torch_modules.reader import from_torch

Kind = Literal["dense", "convolution"]
#: Images on which convolutional families are checked, unrolled: every border and the inside of a 3 x 3 kernel occur.
IMAGE = 4


@dataclass(frozen=True)
class LayerCheck:
    """What was proved about one set of weights.

    `proved` is the proved constant (infinite where the proof failed), `claimed` the layer's own claim, `attained` a
    ratio that two inputs attain, `eigenvalue` the smallest eigenvalue of the condition's matrix at the layer's
    multipliers (its diagonal scaled to ones, in float64), `margin` what the shrink of the weights costs.
    """

    name: str
    weights: str
    claimed: float
    proved: float
    attained: float
    eigenvalue: float
    margin: float
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the proved constant is at most the claimed one."""
        return self.proved <= self.claimed


def check(layer: Certified, input_shape: tuple[int, ...] | None = None, weights: str = "as they are") -> LayerCheck:
    """Prove a layer's constant for the weights that it has, in whatever mode it is.

    `input_shape` is without batch axis; a layer with weights knows its own, on images of 4 x 4 pixels. Raises
    ValueError if it is needed, or a parameter is not finite.
    """
    started = time.perf_counter()
    shape = input_shape or _input_shape(layer)
    network = from_torch(layer, shape)
    certificate = certify(network, method="by-construction", form="unrolled")
    assert isinstance(network, ConstructedNetwork)  # or certify had raised
    margin = layer.margin if isinstance(layer, LipschitzLayer) else 0.0
    return LayerCheck(
        type(layer).__name__,
        weights,
        layer.constant,
        certificate.upper,
        certificate.lower,
        smallest_eigenvalue(network.unshared.reduced(), network.construction, layer.constant**2),
        margin,
        time.perf_counter() - started,
    )


def smallest_eigenvalue(form: StackedForm, construction: Construction, rho: float) -> float:
    """The smallest eigenvalue of M(rho, multipliers by construction), scaled to a diagonal of ones."""
    condition = Condition(form, "neuron")
    down = 2.0 ** (-2 * condition.scaling.output)
    scaled = [
        np.ldexp(multipliers, -2 * a) * down
        for multipliers, a in zip(construction.of_neurons(form.groups), condition.scaling.neurons, strict=True)
    ]
    matrix = condition.matrix(np.concatenate([[rho * down], *scaled]))
    diagonal = np.abs(matrix.diagonal())
    return float(np.linalg.eigvalsh(matrix.scaled(np.where(diagonal > 0, diagonal, 1.0) ** -0.5).dense())[0])


def check_family(name: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> Iterator[LayerCheck]:
    """Prove a family on every set of weights of `WEIGHTS`, dense and convolutional."""
    for kind, weights in sets_of(name):
        yield check_weights(name, kind, weights, dtype, seed)


def sets_of(name: str) -> list[tuple[Kind, str]]:
    """The sets of weights that a family is proved on: dense or a convolution, and a name of `WEIGHTS`."""
    found = family(name)
    kinds: list[Kind] = [*(["dense"] if found.dense else []), *(["convolution"] if found.convolution else [])]
    return [(kind, weights) for kind in kinds for weights in WEIGHTS]


def check_weights(name: str, kind: Kind, weights: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> LayerCheck:
    """Prove a family on one set of weights; a function of plain data, which can be called in another process."""
    found = family(name)
    torch.manual_seed(seed)
    layer = found.dense(6, 8) if kind == "dense" else found.convolution(2, 4, 3)  # type: ignore[misc]
    layer = layer.to(dtype)
    WEIGHTS[weights](layer)
    return check(layer, weights=f"{kind}, {weights}")


def _input_shape(layer: Certified) -> tuple[int, ...]:
    if not isinstance(layer, LipschitzLayer):
        raise ValueError(f"say which input_shape {type(layer).__name__} reads")
    first = layer.materialised().reader
    if first is None:
        raise ValueError(f"say which input_shape {type(layer).__name__} reads")
    if first.geometry is None:
        return (first.inputs,)
    size = getattr(layer, "image_size", (IMAGE, IMAGE))
    return (first.inputs, *(size if isinstance(size, tuple) else (size, size)))


# -- sets of weights ---------------------------------------------------------------------------------------------------


def _matrices(layer: nn.Module) -> list[Tensor]:
    return [p.data for p in layer.parameters() if p.dim() > 1]


def _random(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.data.normal_()


def _trained(layer: nn.Module) -> None:
    """A few steps towards a rotation by a random map, which pushes the constant against its bound."""
    assert isinstance(layer, LipschitzLayer)
    shape = _input_shape(layer)
    inputs = torch.randn(64, *shape).to(next(layer.parameters()).dtype)
    layer.train()
    target = torch.randn_like(layer(inputs))
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(30):
        optimiser.zero_grad()
        (layer(inputs) * target).mean().neg().backward()
        optimiser.step()
    layer.eval()


def _zero_rows(layer: nn.Module) -> None:
    for matrix in _matrices(layer):
        matrix[::2] = 0


def _zero(layer: nn.Module) -> None:
    for matrix in _matrices(layer):
        matrix.zero_()


def _repeated_rows(layer: nn.Module) -> None:
    for matrix in _matrices(layer):
        matrix.copy_(matrix[:1].expand_as(matrix).clone())


def _rank_one(layer: nn.Module) -> None:
    for matrix in _matrices(layer):
        flat = matrix.reshape(len(matrix), -1)
        flat.copy_(torch.outer(torch.randn(len(flat)), torch.randn(flat.shape[1])).to(flat))


def _scaled(factor: float) -> Callable[[nn.Module], None]:
    def change(layer: nn.Module) -> None:
        for matrix in _matrices(layer):
            matrix.mul_(factor)

    return change


def _half_precision(layer: nn.Module) -> None:
    """Weights over the range of float16, from its subnormal numbers to its largest."""
    for matrix in _matrices(layer):
        exponents = torch.empty_like(matrix).uniform_(-24, 15)
        matrix.copy_((torch.sign(torch.randn_like(matrix)) * torch.exp2(exponents)).to(torch.float16).to(matrix.dtype))


def _extreme_scales(layer: nn.Module) -> None:
    for name, parameter in layer.named_parameters():
        if parameter.dim() < 2 and "bias" not in name:
            parameter.data.uniform_(-1000, 1000)


#: Ways to set a layer's weights, by name; "fresh" is as constructed.
WEIGHTS: dict[str, Callable[[nn.Module], None]] = {
    "fresh": lambda layer: None,
    "random": _random,
    "trained": _trained,
    "zero rows": _zero_rows,
    "zero": _zero,
    "repeated rows": _repeated_rows,
    "rank one": _rank_one,
    "huge": _scaled(1e15),
    "tiny": _scaled(1e-15),
    "float16-ranged": _half_precision,
    "scales to 1000": _extreme_scales,
}
