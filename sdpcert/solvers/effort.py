"""What certifying costs, in operations and memory, and the method that fits a budget."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from sdpcert.arithmetic import threads
from sdpcert.arithmetic.pace import Pace
from sdpcert.check.torus import MAX_WORK
from sdpcert.network.stacked import StackedForm
from sdpcert.network.torus import TorusForm
from sdpcert.solvers.work import FACTORS, ITERATIONS, Shape, Work

#: Frequencies that are usually worked on at once.
WORKING_SET = 16
#: Bytes that the matrices of frequencies outside the working set may take; above, they are made anew every time.
KEPT = 2 * 2**30
#: Matrices that the floating-point checker of a torus has at once.
CHECKED = 8
#: Frequencies times order cubed per second in the exact checker.
EXACT_RATE = 1e6


@dataclass(frozen=True)
class Effort:
    """Estimated seconds of one solve by the native solver and of the proof, and bytes."""

    seconds: float
    memory: float
    proof: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of both."""
        return self.seconds + self.proof

    def fits(self, time_limit: float, memory_limit: float) -> bool:
        """Whether a budget of seconds and bytes is enough."""
        return self.total <= time_limit and self.memory <= memory_limit

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s to solve, {self.proof:.0f} s to prove and {self.memory / 2**30:.1f} GiB"


def estimate(form: StackedForm, method: str, pace: Pace | None = None) -> Effort:
    """The effort of an unrolled network at a pace, by default that of this machine's processor (see `Work.pace`)."""
    solved = Shape.solved(form)
    return _effort(solved, Shape.of(form), solved.neurons if method == "neuron" else solved.groups, pace)


def estimate_of_shape(shape: Shape, variables: int, pace: Pace | None = None) -> Effort:
    """The effort of the condition of a network of some shape."""
    return _effort(shape, shape, variables, pace)


def _effort(solved: Shape, proved: Shape, variables: int, pace: Pace | None) -> Effort:
    solving, proof = solved.solving(variables), proved.proof()
    pace = pace or (solving + proof).pace
    return Effort(solving.at(pace), max(solved.memory(variables), proved.memory_of_proof()), proof.at(pace))


@dataclass(frozen=True)
class SizesOnTorus:
    """What decides how long a network on a torus takes: cells and channels, groups, and its dense head.

    `head` has the inputs that are left of it once they are reduced, its neurons and its groups; None if there is none.
    """

    cells: int
    inputs: int
    groups: tuple[int, ...]
    outputs: int
    head: tuple[int, int, int] | None = None

    @staticmethod
    def of(form: TorusForm, head: StackedForm | None) -> SizesOnTorus:
        """The sizes of a form and the head that reads it."""
        rest = None
        if head is not None:
            readers = sum(len(b.weights) for (_, source), b in head.blocks.items() if source == 0)
            rest = min(head.inputs, form.outputs * readers), head.neurons, len(head.groups)
        return SizesOnTorus(form.cells, form.inputs, tuple(g.size for g in form.groups), form.outputs, rest)

    @property
    def order(self) -> int:
        """Order of the matrix of a frequency."""
        return self.inputs + sum(self.groups)

    @property
    def frequencies(self) -> int:
        """One of every pair of opposite frequencies, about."""
        return self.cells // 2 + 1


def estimate_frequencies(form: TorusForm, head: StackedForm | None, method: str) -> Effort:
    """The effort over frequencies, see `effort_over_frequencies`."""
    return effort_over_frequencies(SizesOnTorus.of(form, head), method)


def effort_over_frequencies(sizes: SizesOnTorus, method: str) -> Effort:
    """The effort over frequencies: Hermitian matrices of the order of the channels on a working set, a Cholesky factor
    at every other frequency, and the head; nothing is solved for a product of norms.
    """
    order, count = sizes.order, sizes.frequencies
    working = min(count, WORKING_SET)
    variables = sum(sizes.groups) if method == "neuron" else len(sizes.groups)
    head, iterations, kept_by_head = Work(), ITERATIONS + len(sizes.groups), 0.0
    if sizes.head is not None:
        inputs, neurons, groups = sizes.head
        own = neurons if method == "neuron" else groups
        variables += own + sizes.outputs
        shape = Shape.chain([inputs, *_divided(neurons, groups)])
        head, kept_by_head = shape.solving(own) * 2.0 + shape.proof(), max(shape.memory(own), shape.memory_of_proof())
    one = Shape.chain((sizes.inputs, *sizes.groups)).iteration(0)
    # A complex multiplication is four real ones, a complex entry two.
    each = Work(4 * one.products, 2 * one.entries, one.python) * working
    each += Work(count * 4 / 3 * order**3 + FACTORS / 3 * float(variables) ** 3)
    proof = Work(12.0 * count * order**3)
    pace = (each * iterations + proof + head).pace
    exact = exact_check_seconds_of(sizes)
    seconds = proof.at(pace) + (exact if exact < inf else 0.0)
    # The checker has a matrix of twice the order in real numbers, with bounds of its errors.
    checked = 8.0 * CHECKED * (2 * order) ** 2
    if method == "product":
        return Effort(0.0, max(16.0 * 4 * threads.WORKERS * order**2, checked) + kept_by_head, seconds)
    kept = min(16.0 * count * order**2, KEPT)
    memory = max(16.0 * 16 * working * order**2 + kept + 8.0 * variables**2, checked) + kept_by_head
    return Effort((each * iterations + head).at(pace), memory, seconds)


def _divided(neurons: int, groups: int) -> list[int]:
    """Groups of nearly the same size."""
    return [piece.stop - piece.start for piece in threads.panels(neurons, groups)] if neurons else []


def exact_check_seconds(form: TorusForm) -> float:
    """See `exact_check_seconds_of`."""
    return exact_check_seconds_of(SizesOnTorus.of(form, None))


def exact_check_seconds_of(sizes: SizesOnTorus) -> float:
    """Estimated seconds of the exact checker for a torus, which counts with Python's integers; infinite if it
    refuses.
    """
    work = sizes.frequencies * float(sizes.order) ** 3
    return work / EXACT_RATE if work <= MAX_WORK else inf


def choose_method(form: StackedForm, time_limit: float, memory_limit: float) -> tuple[str, str]:
    """The best method that fits, and a sentence that says why it is not the best of all ("" if it is).

    One multiplier per layer needs the same matrix, so it costs nearly as much; if "neuron" does not fit, it is the
    product.
    """
    for method in ("neuron", "layer"):
        if estimate(form, method).fits(time_limit, memory_limit):
            return (
                method,
                "" if method == "neuron" else "one multiplier per layer: one per neuron would not fit the budget",
            )
    return "product", (
        f"product of norms: one multiplier per neuron is estimated at {estimate(form, 'neuron')}, above the budget"
    )
