"""What needs no products: shifts of channels, which keep the norm, and the absolute value of a part of the channels.

Between pointwise orthogonal layers shifts stand in for the kernels of convolutions: pixels meet their neighbours, and
every layer is one matrix product. An absolute value on a share of the channels keeps the norm of the whole vector, as
MaxMin does, and its gradient is one product with signs.

With the columns of V those of the identity that belong to the folded channels, the absolute value is
`x + 2 V relu(-V'x)`, Householder's activation of order 1: `sdpcert derive householder` proves it for every V with
`V'V = I`. Both are parts of LipNeXt.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdpcert.layers.elementwise import Nonexpansive
from sdpcert.layers.linear import check_sizes
from sdpcert.network.activations import activation_by_name
from sdpcert.network.affine import Concat, Rearrange
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.multipliers import nonexpansive_multiplier

Array = np.ndarray


class PartialAbs(Nonexpansive):
    """The absolute value of the first `share` of the channels, the others as they are.

    Channels are axis 1 of inputs (batch, channels, ...); their number times `share` is rounded to the nearest whole
    number, halves to even. Raises ValueError for a share that is not between 0 and 1.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share of the channels must lie between 0 and 1, not {share}")
        self.share = float(share)

    def forward(self, inputs: Tensor) -> Tensor:
        """Fold the first channels."""
        folded = round(self.share * inputs.shape[1])
        return torch.cat([inputs[:, :folded].abs(), inputs[:, folded:]], dim=1)

    def add_to(self, graph: Graph, value: int) -> int:
        """One neuron per entry that is folded."""
        shape = graph.shape(value)
        folded = round(self.share * shape[0])
        absolute = activation_by_name("abs")
        if folded in (0, shape[0]):
            return graph.add(absolute, value) if folded else value
        entries = np.arange(int(np.prod(shape))).reshape(shape)
        first = graph.add(absolute, graph.add(Rearrange(entries[:folded]), value))
        return graph.add(Concat(0), first, graph.add(Rearrange(entries[folded:]), value))

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float | Array]:
        """One for all neurons, if there are any."""
        if not round(self.share * shape[0]):
            return []
        return [nonexpansive_multiplier(activation_by_name("abs"), downstream)]

    def extra_repr(self) -> str:
        return f"{self.share:g}"


class Shift2d(Nonexpansive):
    """Channels of images moved by up to `reach` pixels, in equal groups, one for every direction; an isometry.

    Inputs and outputs (batch, channels, height, width). Channel k moves by the offset k modulo the number of offsets,
    `(2 reach + 1)^2`, in the order of rows; what leaves the image comes in on the other side. Raises ValueError for a
    reach that is not positive.
    """

    def __init__(self, reach: int = 1) -> None:
        super().__init__()
        check_sizes(reach=reach)
        self.reach = reach

    def forward(self, inputs: Tensor) -> Tensor:
        """Move the channels."""
        moved = torch.empty_like(inputs)
        for k, offset in enumerate(self._offsets()):
            moved[:, k :: len(self._offsets())] = inputs[:, k :: len(self._offsets())].roll(offset, (2, 3))
        return moved

    def squared_constant(self) -> float:
        """Exactly one: numbers are only moved."""
        return 1.0

    def add_to(self, graph: Graph, value: int) -> int:
        """One rearrangement."""
        shape = graph.shape(value)
        entries, offsets = np.arange(int(np.prod(shape))).reshape(shape), self._offsets()
        moved = [np.roll(channel, offsets[k % len(offsets)], (0, 1)) for k, channel in enumerate(entries)]
        return graph.add(Rearrange(np.stack(moved)), value)

    def extra_repr(self) -> str:
        return str(self.reach)

    def _offsets(self) -> list[tuple[int, int]]:
        steps = range(-self.reach, self.reach + 1)
        return [(row, column) for row in steps for column in steps]
