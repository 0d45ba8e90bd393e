"""Diagonal rules: a diagonal T with T >= G for the Gram matrix G of a weight, from Gershgorin's circles and their kin.

Each rule reads the entrywise magnitude N of the Gram matrix (`gram.Gram`) and returns the diagonal of T. With q > 0,
`T_i = sum_j N_ij q_j / q_i` makes `Q (T - G) Q^-1` diagonally dominant, so T - G >= 0 (Gershgorin): AOL has q = 1
(Prach, Lampert 2022), SLL learns q (Araujo et al. 2023, Theorem 3). The other rules are derived in `docs/layers.md`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.gram import Gram
from sdpcert.layers.normalised import normalised
from sdpcert.torch_modules.geometry import Operator
from sdpcert.torch_modules.norms import norm_upper_bound
from sdpcert.torch_modules.power_iteration import direction_for, direction_shape, norm_estimate, power_step


class Rule(nn.Module, ABC):
    """A diagonal T >= G; parameters that the rule learns belong to it."""

    @abstractmethod
    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The diagonal of T, zero at most where the weight's row is zero, shape (hidden,).

        `values` are the rule's parameters by name; with `certified`, norms are bounded from above.
        """

    def normalised(self, operator: Operator) -> Tensor | None:
        """The weight scaled for training where that takes less than the diagonal, or None."""
        return None


class AOL(Rule):
    """`T_i = sum_j |G|_ij`: almost orthogonal layers (Prach, Lampert 2022, Theorem 1)."""

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The sums of the rows."""
        return gram.weighted_sums()


class SLL(Rule):
    """`T_i = sum_j |G|_ij q_j / q_i` with q = exp(log_scale) learned (Araujo et al. 2023, Theorem 3).

    Only ratios of q count; they are kept within e^-30 and e^30, so no value of `log_scale` overflows.
    """

    LARGEST = 15.0

    def __init__(self, hidden: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(hidden, device=device, dtype=dtype))

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The weighted sums of the rows."""
        q = bounded_exponential(values["log_scale"], self.LARGEST)
        return gram.weighted_sums(q) / q


class Perron(Rule):
    """SLL's rule with q from steps of power iteration on |G|: nearly `T = spectral radius of |G|`, valid for any q."""

    def __init__(self, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The weighted sums of the rows, with q a few steps from one towards the Perron vector."""
        magnitude = gram.magnitude
        q = torch.ones_like(magnitude[0])
        for _ in range(self.steps):
            q = magnitude @ q
            # Zero rows keep q = 1; the rest stays positive and bounded.
            q = torch.where(q > 0, q / q.amax().clamp_min(torch.finfo(q.dtype).tiny), torch.ones_like(q))
            q = q.clamp_min(1e-6)
        return (magnitude @ q) / q


class Ostrowski(Rule):
    """`T_i = |G|_ii + R_i^a C_i^(1-a)`, R and C the row and column sums off the diagonal of `Q |G| Q^-1`.

    q = exp(log_scale) and a = sigmoid(mixture) are learned (Ostrowski 1951; Horn, Johnson, Theorem 6.4.1).
    """

    LARGEST = 15.0

    def __init__(self, hidden: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(hidden, device=device, dtype=dtype))
        self.mixture = nn.Parameter(torch.ones((), device=device, dtype=dtype))

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The diagonal and the weighted geometric mean of row and column sums."""
        q, a = bounded_exponential(values["log_scale"], self.LARGEST), torch.sigmoid(values["mixture"])
        own = gram.magnitude.diagonal()
        off = gram.magnitude - torch.diag(own)
        rows, columns = (off @ q) / q, q * (off @ (1 / q))
        connected = rows > 0
        safe = torch.where(connected, rows, torch.ones_like(rows)), torch.where(connected, columns, rows + 1)
        return own + torch.where(connected, torch.exp(a * safe[0].log() + (1 - a) * safe[1].log()), rows)


class BlockGershgorin(Rule):
    """One value per block of hidden channels: the norm of G's diagonal block plus the norms of the others in its row.

    With n_bc bounding the norm of block (b, c), `x'G x <= sum n_bc |x_b| |x_c|`, and AOL's rule for the small matrix n
    finishes (Feingold, Varga 1962). Blocks of `size` channels; the last one may be smaller.
    """

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"the block size must be positive, not {size}")
        self.size = size

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The sums of the rows of block norms, repeated within the blocks."""
        matrix = gram.magnitude if gram.signed is None else gram.signed
        count, size = len(matrix), self.size
        missing = -count % size
        whole = torch.nn.functional.pad(matrix, (0, missing, 0, missing))
        blocks = whole.reshape(len(whole) // size, size, len(whole) // size, size).transpose(1, 2)
        frobenius = torch.sqrt(blocks.square().sum((2, 3)) + _TINY.get(matrix.dtype, 0.0))
        frobenius = torch.where(blocks.abs().amax((2, 3)) > 0, frobenius, torch.zeros_like(frobenius))
        square = blocks.diagonal(dim1=0, dim2=1).permute(2, 0, 1)
        # |B| <= |B^4|_F^(1/4) for symmetric B, nearly the norm for small blocks.
        largest = square.abs().amax((1, 2), keepdim=True)
        unit = square / torch.where(largest > 0, largest, torch.ones_like(largest))
        fourth = unit @ unit
        fourth = fourth @ fourth
        inside = torch.sqrt(torch.sqrt(torch.sqrt(fourth.square().sum((1, 2)) + _TINY.get(matrix.dtype, 0.0))))
        inside = torch.where(largest[:, 0, 0] > 0, inside * largest[:, 0, 0], torch.zeros_like(inside))
        each = frobenius.sum(1) - frobenius.diagonal() + inside
        return each.repeat_interleave(size)[:count]


class MaximumRowSum(Rule):
    """`T = max_i sum_j |G|_ij`: AOL's rule with one number for all channels."""

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The largest sum of a row, repeated."""
        return gram.weighted_sums().amax().expand(gram.hidden)


class Frobenius(Rule):
    """`T = trace |G|`: the Frobenius norm, for convolutions the largest row sum if that is smaller."""

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The bound, repeated."""
        if gram.operator.geometry is None:
            bound = gram.operator.weight.square().sum()
        else:  # |N| <= |N|_F
            bound = torch.linalg.matrix_norm(gram.magnitude)
        return bound.expand(len(gram.magnitude))


class Spectral(Rule):
    """`T = |V|^2`: the square of the spectral norm, bounded from above where it counts.

    Training uses an estimate by power iteration from the direction of the step before, which may be too low; what is
    evaluated, exported and certified uses the upper bound.
    """

    direction: Tensor

    def __init__(self, steps: int = 1) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("direction", None, persistent=False)

    def diagonal(self, gram: Gram, values: dict[str, Tensor], certified: bool) -> Tensor:
        """The square of the norm, repeated."""
        if certified:
            norm = norm_upper_bound(gram.operator)
        else:
            size = 1.0 if gram.size is None else gram.size
            norm = norm_estimate(gram.given, self._follow(gram.given, size), size)
        return norm.square().expand(gram.hidden)

    def normalised(self, operator: Operator) -> Tensor:
        """The weight divided by the estimate, which is better by half a step than the one of `diagonal`."""
        known = self._known(operator, None)
        if self.steps > 1:
            known = power_step(operator, known, self.steps - 1, operator.weight.detach().abs().amax())
        weight, self.direction = normalised(operator, known)
        return weight

    @torch.no_grad()
    def _follow(self, operator: Operator, size: Tensor | float) -> Tensor:
        self.direction = power_step(operator, self._known(operator, size), self.steps, size)
        return self.direction

    @torch.no_grad()
    def _known(self, operator: Operator, size: Tensor | float | None) -> Tensor:
        known = self.direction
        if known is None or known.device != operator.weight.device or known.shape != direction_shape(operator):
            if size is None:
                size = operator.weight.abs().amax().clamp_min(torch.finfo(operator.weight.dtype).tiny)
            known = power_step(operator, direction_for(operator, torch.Generator().manual_seed(0)), 20, size)
        return known.to(operator.weight.dtype)


_TINY = {torch.float32: 1e-30, torch.float64: 1e-200}


def bounded_exponential(exponents: Tensor, largest: float) -> Tensor:
    """exp of the exponents less their mean, each within `largest` of it; the gradient never vanishes altogether."""
    centred = exponents - exponents.mean()
    return torch.exp(largest * torch.tanh(centred / largest))


def own_values(values: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The values that belong to the submodule `name`, without its name in front."""
    return {k.removeprefix(f"{name}."): v for k, v in values.items() if k.startswith(f"{name}.")}
