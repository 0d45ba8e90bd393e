"""What goes between a device and the host in an iteration: few transfers of a few numbers, whatever the size.

On the CPU's torch nothing moves, so the operations that would move something on a device are counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sdpcert import Network
from sdpcert.arithmetic.unseen import Unseen, numbers_of
from sdpcert.network.activations import leaky_relu, relu
from sdpcert.solvers import Budget, Progress, interior_point
from sdpcert.solvers.working_set import solve_frequencies
from tests.network.torus_networks import random_torus

torch = pytest.importorskip("torch")

#: Looks of an iteration: its measure, the predictor, the slack of signed multipliers, the corrector, one trial of each
#: step; further trials of a step take one each.
LOOKS, SIGNED = 5, 1
#: Numbers of a look for one inequality: two by 24 of Lanczos for M and for X, four products, and what is definite.
NUMBERS = 120


class Transfers:
    """Counts copies from torch to the host and the other way, with their lengths, at the end of each iteration."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.down: list[int] = []
        self.up: list[int] = []
        self.by_iteration: list[tuple[int, int]] = []
        for name in (
            "numpy",
            "tolist",
            "item",
            "__array__",
            "__float__",
            "__int__",
            "__bool__",
            "__index__",
            "nonzero",
        ):
            monkeypatch.setattr(torch.Tensor, name, self._counting(getattr(torch.Tensor, name), self.down))
        for name in ("as_tensor", "tensor", "from_numpy"):
            monkeypatch.setattr(torch, name, self._counting(getattr(torch, name), self.up))
        for name in ("__getitem__", "__setitem__"):
            monkeypatch.setattr(torch.Tensor, name, self._indexed(getattr(torch.Tensor, name)))

    @staticmethod
    def _counting(function: Callable[..., Any], into: list[int]) -> Callable[..., Any]:
        def counting(values: Any, *args: Any, **kwargs: Any) -> Any:
            into.append(int(np.prod(values.shape)) if hasattr(values, "shape") else 1)
            return function(values, *args, **kwargs)

        return counting

    def _indexed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def indexed(values: Any, index: Any, *args: Any) -> Any:
            each = index if isinstance(index, tuple) else (index,)
            self.up += [one.size for one in each if isinstance(one, np.ndarray)]
            # How many entries a mask has must be known on the host.
            self.down += [1 for one in each if isinstance(one, torch.Tensor) and one.dtype == torch.bool]
            return function(values, index, *args)

        return indexed

    def report(self, line: Progress) -> None:
        self.by_iteration.append((len(self.down), len(self.up)))

    def each_iteration(self) -> list[list[int]]:
        """The lengths of what came down, iteration by iteration."""
        ends = [down for down, _ in self.by_iteration]
        return [self.down[a:b] for a, b in itertools.pairwise(ends)]


def chain(sizes: list[int], leaky: bool) -> Network:
    rng = np.random.default_rng(len(sizes))
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in itertools.pairwise(sizes)]
    return Network.mlp(weights, None, leaky_relu(0.2) if leaky else relu())


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("sizes", [[5, 8, 2], [60, 70, 70, 10], [60, *[60] * 5, 5]], ids=["tiny", "wide", "deep"])
def test_few_numbers_come_down_and_nothing_goes_up(
    sizes: list[int], leaky: bool, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, transfers = chain(sizes, leaky).stacked, Transfers(monkeypatch)
    budget = Budget(tol=1e-2, report=transfers.report)
    solution = interior_point(form, method, budget, "torch:cpu")
    assert solution.status == "optimal"
    looks = transfers.each_iteration()
    usual = LOOKS + SIGNED * leaky
    assert sorted(len(each) for each in looks)[(len(looks) - 1) // 2] <= usual
    # Steps that were shortened, and the dual bound near the end (two looks).
    assert max(len(each) for each in looks) <= usual + 6
    assert max(max(each) for each in looks) <= NUMBERS
    assert len({up for _, up in transfers.by_iteration}) == 1  # nothing goes up once the run has begun


def test_looks_do_not_grow_with_the_inequalities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices of several frequencies share every look; only those that join a run make some of their own."""
    form = random_torus(3)
    form = type(form)((5, 4), form.inputs, form.outputs, form.groups, form.blocks)
    transfers = Transfers(monkeypatch)
    solved = solve_frequencies(form, "neuron", Budget(tol=1e-2, report=transfers.report), "torch:cpu")
    assert solved.frequencies > 5
    assert min(len(each) for each in transfers.each_iteration()) <= LOOKS + SIGNED


def test_unseen_values_share_a_look() -> None:
    class Library:
        looks = 0

        def numbers(self, values: Any) -> np.ndarray:
            self.looks += 1
            return np.array(values, dtype=float)

    library = Library()
    pair, nothing = numbers_of([1, 2]), Unseen.known("nothing")
    both = Unseen.all_of([pair.then(sum), nothing, numbers_of([3]).then(max)])
    assert both.seen(library) == [3, "nothing", 3]
    assert library.looks == 1
    assert Unseen.all_of([nothing, nothing]).seen(library) == ["nothing", "nothing"]
    assert library.looks == 1
