"""What solving costs, in operations and memory, and the method that fits a budget."""

from __future__ import annotations

from dataclasses import dataclass

from sdpcert.network.stacked import StackedForm

#: Operations a second that the estimate assumes: a cautious figure for a few cores.
RATE = 2e10
ITERATIONS = 30


@dataclass(frozen=True)
class Effort:
    """Estimated seconds and bytes of one solve by the native solver."""

    seconds: float
    memory: float


def estimate(form: StackedForm, method: str) -> Effort:
    """The effort of a solve: about ten cubes of the matrix order an iteration, sixteen matrices at once."""
    readers = sum(len(b.weights) for (_, source), b in form.blocks.items() if source == 0)
    order = min(form.inputs, readers) + form.neurons
    variables = form.neurons if method == "neuron" else len(form.groups)
    operations = ITERATIONS * (8.0 * order**3 + variables**3 / 3)
    return Effort(0.05 + operations / RATE, 8.0 * 16 * order**2)


def choose_method(form: StackedForm, time_limit: float, memory_limit: float) -> tuple[str, str]:
    """The best method that fits, and a sentence that says why it is not the best of all ("" if it is).

    One multiplier a layer needs the same matrix, so it costs nearly as much; where "neuron" does not fit, it is the
    product.
    """
    for method in ("neuron", "layer"):
        effort = estimate(form, method)
        if effort.seconds <= time_limit and effort.memory <= memory_limit:
            return method, "" if method == "neuron" else "one multiplier a layer: one a neuron would not fit the budget"
    need = estimate(form, "neuron")
    return "product", (
        f"product of norms: one multiplier a neuron is estimated at {need.seconds:.0f} s "
        f"and {need.memory / 2**30:.1f} GiB, above the budget"
    )
