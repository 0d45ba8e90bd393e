"""What solving and proving a condition takes: operations by their kind, and memory, from the shape of the network.

The constants were fitted to runs of chains (shallow and 100 layers deep, 8 to 2000 wide, normal and square), of wide
inputs and of networks with skips, with one multiplier per neuron and per layer; `benchmarks/estimate.py` measures how
far estimates are from the truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from sdpcert.arithmetic import threads
from sdpcert.arithmetic.arrays import HOST_PANEL
from sdpcert.arithmetic.pace import ASSUMED, Pace, measured
from sdpcert.condition.backwards import is_smaller_backwards, outer_size
from sdpcert.condition.elimination import Elimination
from sdpcert.network.stacked import StackedForm
from sdpcert.running.short_repr import ShortRepr

#: Work that takes no more seconds than this at the assumed pace is not worth measuring the machine for.
UNMEASURED = 1.0
#: Iterations of the primal-dual method to 1e-6: so many, and one more for every group. With one multiplier per neuron
#: 34 networks of 1 to 79 groups took 0.65 to 1.36 times that, with one per layer up to 3 times where X began anew.
ITERATIONS = 13
#: An iteration: Cholesky factors of X and of the Schur complement, with steps that were too long; products with K, and
#: with the factor of M, for every column; passes over matrices of the order; seconds of Python for every block, and for
#: every block and group. Fitted to 31 runs of orders 74 to 2324 on two cores at the assumed pace: 0.51 to
#: 1.33 times the truth, with a standard deviation of 23 percent.
FACTORS, PRODUCTS, SOLVES, PASSES = 1.2, 9.5, 1.6, 630.0
BLOCK, BLOCK_AND_GROUP = 1.7e-3, 1.4e-5
#: A proof in exact arithmetic, its repairs included: operations of a factorisation, and passes over the factor.
PROOF_FACTORS, PROOF_PASSES = 30.0, 1500.0
#: Memory: matrices of the order beside the Schur complement, factors in blocks, and rows of panels for a thread that a
#: solver has at once; factors in blocks that a proof has. As traced in runs of orders 200 to 2010.
MATRICES, BLOCK_FACTORS, PANELS, PROOF_BLOCK_FACTORS = 5.0, 3.5, 6.0, 15.0


@dataclass(frozen=True)
class Work:
    """What takes time: multiplications in products of matrices, entries passed over, and seconds of Python."""

    products: float = 0.0
    entries: float = 0.0
    python: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.products + other.products, self.entries + other.entries, self.python + other.python)

    def __mul__(self, times: float) -> Work:
        return Work(times * self.products, times * self.entries, times * self.python)

    def at(self, pace: Pace) -> float:
        """Seconds at a pace."""
        return self.products / pace.products + self.entries / pace.entries + self.python

    @property
    def pace(self) -> Pace:
        """The pace of this machine; an assumed one for little work, which is not worth measuring it for."""
        return ASSUMED if self.at(ASSUMED) <= UNMEASURED else measured()


@dataclass(frozen=True, eq=False)
class Shape(ShortRepr):
    """The sizes of a network's sources (input, then groups), and which reads which: pairs (to, source).

    `rows` are sources whose blocks of M are connected by a row that is squared: that of the output, and with slopes
    that do not begin at 0 that of every group.
    """

    sizes: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def of(form: StackedForm) -> Shape:
        """The shape of a form whose wide input is reduced."""
        readers = sum(len(b.weights) for (_, source), b in form.blocks.items() if source == 0)
        sizes = min(form.inputs, readers), *(g.size for g in form.groups)
        from_zero = not any(g.alpha.any() for g in form.groups)
        squared = [form.output_row] if from_zero else range(1, form.output_row + 1)
        rows = tuple(tuple(s for to, s in form.blocks if to == row) for row in squared)
        return Shape(sizes, tuple(key for key in form.blocks if key[0] != form.output_row), rows)

    @staticmethod
    def solved(form: StackedForm) -> Shape:
        """The shape that is solved: of the form, or backwards (`condition/backwards.py`)."""
        if not is_smaller_backwards(form):
            return Shape.of(form)
        last = form.output_row
        keys = [(last - source, last - to) for to, source in form.blocks]
        sizes = outer_size(form, last), *(g.size for g in reversed(form.groups))
        rows = (tuple(source for to, source in keys if to == last),)
        return Shape(sizes, tuple(key for key in keys if key[0] != last), rows)

    @staticmethod
    def chain(sizes: Iterable[int]) -> Shape:
        """Sources of which each reads the one before."""
        sizes = tuple(sizes)
        return Shape(sizes, tuple((g, g - 1) for g in range(1, len(sizes))))

    @property
    def order(self) -> int:
        """Order of the matrix."""
        return sum(self.sizes)

    @property
    def groups(self) -> int:
        """Number of groups of neurons."""
        return len(self.sizes) - 1

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return sum(self.sizes[1:])

    @property
    def weights(self) -> float:
        """Entries of all blocks."""
        return float(sum(self.sizes[to] * self.sizes[source] for to, source in self.pairs))

    @cached_property
    def elimination(self) -> Elimination:
        """The blocks of the condition's matrix."""
        slices = [slice(a, b) for a, b in pairwise(accumulate(self.sizes, initial=0))]
        return Elimination.of(slices, {*self.pairs, *((s, t) for row in self.rows for s in row for t in row if t < s)})

    def iteration(self, variables: int) -> Work:
        """One iteration of the primal-dual method with so many variables, see `FACTORS` and what follows it."""
        order, blocks = float(self.order), len(self.pairs) + 1
        products = FACTORS * (order**3 + float(variables) ** 3) / 3
        products += order * (PRODUCTS * self.weights + SOLVES * self.elimination.entries)
        return Work(products, PASSES * order**2, blocks * (BLOCK + BLOCK_AND_GROUP * self.groups))

    @property
    def iterations(self) -> int:
        """Iterations of the primal-dual method to an accuracy of 1e-6."""
        return ITERATIONS + self.groups

    def solving(self, variables: int) -> Work:
        """A run to an accuracy of 1e-6 with so many variables."""
        return self.iteration(variables) * self.iterations

    def proof(self) -> Work:
        """A proof by a factor."""
        return Work(PROOF_FACTORS * self.elimination.operations, PROOF_PASSES * self.elimination.entries)

    def memory(self, variables: int) -> float:
        """Bytes of a run with so many variables."""
        order, entries = float(self.order), self.elimination.entries
        panels = PANELS * HOST_PANEL * threads.WORKERS * order
        return 8.0 * (MATRICES * order**2 + float(variables) ** 2 + BLOCK_FACTORS * entries + panels)

    def memory_of_proof(self) -> float:
        """Bytes of a proof by a factor."""
        return 8.0 * PROOF_BLOCK_FACTORS * self.elimination.entries
