"""The truncated exponential series of skew-Hermitian matrices, times signals, with few products and passes.

Either on the matrices, in pieces of `count` terms whose powers are shared (Paterson, Stockmeyer 1973), or term by term
on the signals, whichever takes fewer multiplications. The conjugate transpose of a power of A is that power of -A, so
gradients need none.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sdpcert.torch_modules.frequencies import adjoints, product


def series_of_signals(matrices: Tensor, signals: Tensor, terms: int) -> Tensor:
    """`sum_(k < terms) A^k / k! X` for skew-Hermitian A (frequencies, n, n) and X (frequencies, n, batch)."""
    channels, batch = signals.shape[-2:]
    count = piece_length(terms)
    if (count + -(-terms // count) - 2) * channels + batch < (terms - 1) * batch:
        return product(_Pieces.apply(matrices.contiguous(), terms), signals)
    return _TermByTerm.apply(matrices.contiguous(), signals.contiguous(), terms)  # type: ignore[no-any-return]


def piece_length(terms: int) -> int:
    """How many terms a piece has, for the least number of products."""
    return min(range(1, terms + 1), key=lambda count: count + -(-terms // count))


def plain_series(matrices: Tensor, signals: Tensor, terms: int) -> Tensor:
    """The same by Horner's rule, as torch differentiates it."""
    result = signals
    for k in range(terms - 1, 0, -1):
        result = signals + matrices @ result / k
    return result


class _TermByTerm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor, signals: Tensor, terms: int) -> Tensor:
        results = [signals]
        for k in range(terms - 1, 0, -1):
            results.append(torch.baddbmm(signals, matrices, results[-1], alpha=1 / k))
        ctx.save_for_backward(matrices, *results[:-1])
        return results[-1]

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        matrices, *results = ctx.saved_tensors
        terms = len(results) + 1
        if torch.is_grad_enabled():  # someone differentiates once more
            again = plain_series(matrices, results[0], terms)
            return *torch.autograd.grad(again, (matrices, results[0]), given, create_graph=True), None
        step = given.contiguous()
        for_signals, for_matrices = step.clone(), torch.zeros_like(matrices)
        for k, result in enumerate(reversed(results), start=1):
            for_matrices.baddbmm_(step, adjoints(result), alpha=1 / k)
            step = torch.bmm(matrices, step).mul_(-1 / k)
            for_signals.add_(step)
        return for_matrices, for_signals, None


class _Pieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor, terms: int) -> Tensor:
        count = piece_length(terms)
        powers = [matrices]
        while len(powers) < count:
            powers.append(torch.bmm(powers[-1], matrices))
        starts = range(0, terms, count)
        totals = [_piece(powers, starts[-1], terms - starts[-1])]
        for start in reversed(starts[:-1]):
            totals.append(torch.baddbmm(_piece(powers, start, count), powers[-1], totals[-1]))
        ctx.save_for_backward(*powers, *totals[:-1])
        ctx.terms = terms
        return totals[-1]

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        terms, count = ctx.terms, piece_length(ctx.terms)
        powers, totals = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        if torch.is_grad_enabled():  # someone differentiates once more
            identity = torch.eye(given.shape[-1], dtype=given.dtype, device=given.device).expand_as(given)
            again = plain_series(powers[0], identity, terms)
            return torch.autograd.grad(again, powers[0], given, create_graph=True)[0], None
        slopes = [torch.zeros_like(power) for power in powers]
        step = given.contiguous()
        for start, total in zip(range(0, terms, count), (*reversed(totals), None), strict=True):
            for power, slope in enumerate(slopes[: min(count, terms - start) - 1], start=1):
                slope.add_(step, alpha=1 / math.factorial(start + power))
            if total is not None:
                slopes[-1].baddbmm_(step, adjoints(total))
                step = torch.bmm(powers[-1], step).mul_((-1) ** count)
        for power in range(count - 1, 0, -1):  # powers[k] = powers[k - 1] A
            slopes[power - 1].baddbmm_(slopes[power], powers[0], alpha=-1)
            slopes[0].baddbmm_(powers[power - 1], slopes[power], alpha=(-1) ** power)
        return slopes[0], None


def _piece(powers: list[Tensor], start: int, length: int) -> Tensor:
    """`sum_(k < length) A^k / (start + k)!`."""
    total = powers[0] / math.factorial(start + 1) if length > 1 else torch.zeros_like(powers[0])
    for k in range(2, length):
        total.add_(powers[k - 1], alpha=1 / math.factorial(start + k))
    total.diagonal(dim1=-2, dim2=-1).add_(1 / math.factorial(start))
    return total
