"""Families on stock modules: `lipschitz(nn.Linear(4, 4), "weight", family="aol")`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sdpcert.layers.families import family as family_by_name
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Geometry, Operator


class LipschitzWeight(nn.Module):
    """A parametrisation that makes a weight's linear map 1-Lipschitz: the raw weight in, the family's weight out.

    In evaluation mode the weight is a copy of the materialised one, for which the constant is proved: writing into
    `module.weight` changes neither what runs nor what is certified.
    """

    constant = 1.0

    def __init__(self, layer: LipschitzLayer) -> None:
        super().__init__()
        self.layer = layer
        del layer.weight
        if "bias" in layer._parameters:
            layer.bias = None  # type: ignore[assignment]

    def forward(self, weight: Tensor) -> Tensor:
        """The weight of the family for a raw weight of the same shape."""
        block = self.layer.current({"weight": weight, **dict(self.layer.named_parameters())})
        assert isinstance(block.through, Operator)
        return block.through.weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A raw weight for a wanted one: itself, which most families only scale."""
        return weight


def lipschitz(module: nn.Module, name: str = "weight", family: str = "aol") -> nn.Module:
    """Parametrise the weight of an `nn.Linear` or `nn.Conv2d` so that the module is 1-Lipschitz; returns the module.

    `family` is the name of a linear family (`sdpcert layers` lists them). Raises ValueError for other modules or names,
    for residual families, and for convolutions that the family has no form for.
    """
    if name != "weight" or not isinstance(module, nn.Linear | nn.Conv2d):
        raise ValueError(f"only the weight of nn.Linear and nn.Conv2d can be parametrised, not {name!r} of {module}")
    found = family_by_name(family)
    weight = module.weight
    if isinstance(module, nn.Linear):
        layer = None if found.dense is None else found.dense(module.in_features, module.out_features)
    else:
        if module.padding_mode not in ("zeros", "circular"):
            raise ValueError(f"padding mode {module.padding_mode!r} is not 1-Lipschitz: use 'zeros' or 'circular'")
        if isinstance(module.padding, str) or module.kernel_size[0] != module.kernel_size[1] or module.groups != 1:
            raise ValueError("only square kernels in one group with a padding in numbers can be parametrised")
        if module.padding_mode == "circular":
            _reads_once(module)
        layer = None
        if found.convolution is not None:
            layer = found.convolution(module.in_channels, module.out_channels, module.kernel_size[0])
            layer.geometry = Geometry(  # type: ignore[assignment]
                (int(module.padding[0]), int(module.padding[1])),
                (module.stride[0], module.stride[1]),
                (module.dilation[0], module.dilation[1]),
                1,
                module.padding_mode == "circular",
            )
    own = None if layer is None else layer._parameters.get("weight")
    block = None if layer is None or own is None or own.shape != weight.shape else layer.materialised()
    if layer is None or block is None or block.hidden is not None or not isinstance(block.through, Operator):
        raise ValueError(f"family {family!r} has no weight of shape {tuple(weight.shape)} to parametrise")
    layer.to(device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        parametrize.register_parametrization(module, "weight", LipschitzWeight(layer))
    return module


def _reads_once(module: nn.Conv2d) -> None:
    """ValueError for circular padding that makes images larger: families bound kernels that read every pixel once."""
    for padding, dilation, taps in zip(module.padding, module.dilation, module.kernel_size, strict=True):
        if 2 * int(padding) > dilation * (taps - 1):
            raise ValueError(
                f"circular padding of {padding} repeats what a kernel of {taps} taps gives, so that no family is "
                f"1-Lipschitz: use at most {dilation * (taps - 1) // 2}"
            )
