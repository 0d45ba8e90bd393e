"""What a kind of affine layer has to say about itself: its map, its norm, its rounding, and its other forms.

A layer works on batches: arrays of shape `(batch, *shape)`. `linear` is the layer without its offset. A new kind is one
class in one file of this folder; `tests/network/test_affine.py` holds it to what is written here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdpcert.network.filters import Carried, NotInvariant, Pixels, Stencil
from sdpcert.network.known import SLACK, UNDERFLOW, UNIT_ROUNDOFF, Known, are_moves, underflow_of_moves
from sdpcert.running.short_repr import ShortRepr

if TYPE_CHECKING:
    import torch

    from sdpcert.network.affine.numbering import Numbering, Sums

Array = np.ndarray
Shape = tuple[int, ...]


class AffineLayer(ShortRepr, ABC):
    """A map `inputs -> linear(inputs) + offset` between tensors."""

    #: Number of products that are added up for one output entry; 0 if there are none.
    terms: int = 0
    #: Relative uncertainty of the coefficients themselves (positive if they were rounded when made).
    coefficient_error: float = 0.0
    #: Whether every output entry depends on the same entry of the arguments alone.
    is_elementwise: bool = False
    #: Whether the arguments must be images (channels, height, width).
    reads_images: bool = False

    # ------------------------------------------------------------ the map

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the output without batch axis; raises ValueError if the inputs do not fit."""

    @abstractmethod
    def linear(self, *inputs: Array) -> Array:
        """The linear part, on a batch."""

    @abstractmethod
    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        """The arrays x_i with `<linear(z_1, ...), output> = sum_i <z_i, x_i>` for all z, one for each argument.

        `output` is a batch of tensors of the output's shape; `shapes` are those of the arguments, without batch axis.
        """

    @abstractmethod
    def absolute(self) -> AffineLayer:
        """The layer with the absolute values of its coefficients, without offset."""

    def magnitude(self, *inputs: Array) -> Array:
        """The linear part with absolute coefficients, on a nonnegative batch; it bounds rounding errors."""
        return self.absolute().linear(*inputs)

    def offset(self) -> Array | float:
        """What is added to the linear part; broadcasts against the output."""
        return 0.0

    def __call__(self, *inputs: Array) -> Array:
        """Evaluate the layer on a batch."""
        return self.linear(*inputs) + self.offset()

    def places(self, *shapes: Shape) -> Array | None:
        """For a layer that only moves entries: which one each output entry is, None for a layer that computes.

        The entries of the arguments are counted one argument after the other, row major; -1 stands for zero. The result
        has the output's shape.
        """
        return None

    def reads_columns(self, shape: Shape) -> bool:
        """Whether `coefficients_of` has an answer for an argument of `shape` that holds every number once at most."""
        return False

    def coefficients_of(self, picked: Array, count: int) -> Array | None:
        """The coefficients (count, *output) of `count` numbers of which the layer reads those at `picked`.

        `picked` has the argument's shape, -1 stands for zero. None if only applying the layer to the identity tells.
        """
        return None

    def shifted(self, shift: Array, shape: Shape) -> AffineLayer | None:
        """The layer with `shift`, which broadcasts against its output of `shape`, added to it.

        None if it has an offset already or cannot take this one.
        """
        return None

    # ------------------------------------------------------------ norms and rounding

    @abstractmethod
    def norm_bound(self, shape: Shape) -> float:
        """A number that the spectral norm, as a map of one argument of this shape, does not exceed."""

    def joint_norm(self, norms: Sequence[Array | float]) -> Any:
        """A bound of the norm of the output's linear part, from bounds of what each argument contributes to it."""
        return sum(norms)

    def gain(self, gains: Sequence[Array | float], shapes: Sequence[Shape]) -> Any:
        """A bound of the norm of the output's linear part, from bounds of the norms of arguments of these shapes."""
        return self.joint_norm([self.norm_bound(shape) * g for g, shape in zip(gains, shapes, strict=True)])

    @property
    def roundings(self) -> int:
        """How many roundings a term passes at most in any order of summation, with room; 0 if nothing is rounded."""
        return max(self.terms, 1) + 4

    def reached(self, given: Sequence[Array]) -> Array:
        """The entries that a nonzero entry reaches with a nonzero coefficient, whatever underflows."""
        return self.magnitude(*((g != 0).astype(float) for g in given)) != 0

    def spread(self, changes: Sequence[Array]) -> Array:
        """A bound of what changes of the arguments by so much do to the result; zero where none arrives."""
        growth = (1 + self.roundings * 2 * UNIT_ROUNDOFF) * SLACK
        underflow = np.where(self.reached(changes), (self.terms + len(changes)) * UNDERFLOW, 0.0)
        return self.magnitude(*changes) * growth + underflow

    def rounding(self, given: Sequence[Array], result: Array) -> Array | float:
        """Bound, entry by entry, how far `result`, which is `linear` in float64, is from the exact one.

        The uncertainty of the coefficients is part of it.
        """
        if (
            self.coefficient_error == 0
            and all(map(are_moves, given))
            and not self.adds_coefficients(given[0].shape[1:])
        ):
            return underflow_of_moves(given, result, self.reached)
        terms = self.terms + 2
        relative = terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF) + self.coefficient_error
        underflow = np.where(self.reached(given), self.terms * np.finfo(float).smallest_subnormal, 0.0)
        return relative * (self.magnitude(*map(np.abs, given)) * (1 + 2 * relative)) + underflow

    def adds_coefficients(self, shape: Shape) -> bool:
        """Whether an output entry reads one input entry by several coefficients whose sum float64 rounds."""
        return False

    def merge(self, given: Sequence[Known]) -> Known:
        """The linear part of coefficients (source, *shape), in doubled precision if the kind can do that.

        Its error is what the layer itself loses: neither the errors of what is given nor those of the coefficients.
        """
        high = self.linear(*(g.high for g in given))
        error = self.rounding([g.high for g in given], high)
        if any(g.low is not None for g in given):
            error = error + self.spread([np.zeros_like(g.high) if g.low is None else np.abs(g.low) for g in given])
        return Known(high, None, error)

    def perturbation(self, given: Sequence[Array]) -> Array:
        """The usual size of the error of an evaluation at these inputs, in units of its unit roundoff."""
        total = self.magnitude(*map(np.abs, given)) + np.abs(self.offset())
        return np.sqrt(self.terms + 2) * total

    def float32_obstacle(self) -> str | None:
        """Why evaluations in float32 have no error bound, as a clause; None if they have one."""
        return None

    # ------------------------------------------------------------ other forms

    @abstractmethod
    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        """The layer on batches of torch tensors of one device and type, differentiable."""

    @property
    def is_pointwise(self) -> bool:
        """Whether every pixel of an output image depends on the same pixel of the arguments alone, see `carried`."""
        return self.is_elementwise

    def stencil(self, shape: Shape, output: Shape) -> Stencil:
        """The layer as taps from an image of `shape` to one of `output`; raises `NotInvariant` if it is none."""
        raise NotInvariant(f"{type(self).__name__} layer is no convolution")

    def pixels(self, shape: Shape, output: Shape) -> Pixels:
        """The pixels that it reads of every argument, an image of `shape`; raises `NotInvariant`."""
        if self.is_pointwise:
            return Pixels((1, 1), (0, 0), (shape[1] - 1, shape[2] - 1))
        return self.stencil(shape, output).pixels

    def carried(
        self, given: Sequence[Mapping[int, Carried]], shapes: Sequence[Shape], phases: int, nothing: Carried
    ) -> dict[int, Carried]:
        """Filters by source after a pointwise layer, from those of its arguments, images of `shapes`.

        Every channel has `phases` channels of the torus; `nothing` is the empty sum of filters.
        """
        raise NotInvariant(f"{type(self).__name__} layer does not act on every pixel alone")

    def adds_channels(self, image: Array, output: Shape, places: int) -> bool:
        """Whether the output reads an image of `places` pixels per channel by sums over whole channels alone.

        `image` has the argument's shape and says which pixel each entry is, -1 for zero; `output` is the output's
        shape. False if stored coefficients do not show it.
        """
        return False

    def reordered(self, arrange: Callable[[Array | float], Array | float]) -> AffineLayer:
        """An elementwise layer for tensors in another order: `arrange` brings what broadcasts against them there."""
        return self

    def on_channels(self) -> AffineLayer | None:
        """The layer that does to the first axis of an image what this one does to the last; None if there is none."""
        return None

    def sums(self, numbering: Numbering, given: Sequence[Sums], shapes: Sequence[Shape], shape: Shape) -> Sums:
        """The output's entries as exact sums of atoms, from those of the arguments; new atoms where nothing is known.

        Coefficients are exact here.
        """
        return numbering.fresh(int(np.prod(shape)))

    # ------------------------------------------------------------ what it costs

    def operations(self, shape: Shape) -> float:
        """About how many operations one output of `shape` takes in NumPy: arithmetic, and moving entries."""
        return 20.0 * float(np.prod(shape))

    @property
    def calls(self) -> float:
        """About how many calls of NumPy a batch takes."""
        return 3.0
