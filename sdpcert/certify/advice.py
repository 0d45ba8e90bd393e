"""What would make a loose bound tighter: for this network and what was asked, the most promising first.

Each rule looks at one certificate that is about to be made, and says in one clause what to ask for instead, or nothing.
What it recommends is at least as tight by what is known of the conditions, or a smaller claim; how much it helps, only
trying it tells. Names are those of the command line, which are the keywords of `certify` as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.spectra import spectral_norm
from sdpcert.certify.fitting import Fitting
from sdpcert.certify.plan import Plan, Told
from sdpcert.certify.request import CLOSED_FORMS, Request
from sdpcert.network.activation import Activation
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.effort import Effort, estimate

#: How many times the attained value a bound is that is called loose.
LOOSE = 1.1
#: Neurons up to which the constant itself is worth a try.
FEW_NEURONS = 24
#: How many times the median of the layers' norms one of them is that stands out.
OUTLIER = 10.0
#: How many pieces of advice are given at the most.
MOST = 2


@dataclass(frozen=True, eq=False)
class Case:
    """A network, what was asked about it, and what came of it; `seconds` went into solving and proof."""

    plan: Plan
    request: Request
    told: Told
    upper: float
    lower: float
    seconds: float

    @property
    def network(self) -> Network | StackedForm:
        """What was bounded."""
        return self.plan.searched

    @property
    def is_loose(self) -> bool:
        """Whether the bound is proved, and well above what is attained."""
        return 0 < self.lower < self.upper / LOOSE < float("inf")

    @property
    def limited(self) -> bool:
        """Whether the time limit decided what was tried."""
        return self.request.time_limit < float("inf") and (self.told.status == "time limit" or self.plan.left_rungs)


def advice(case: Case) -> tuple[str, ...]:
    """What would help, a clause each; nothing for a bound that is tight, or one that is not proved."""
    if not case.is_loose:
        return ()
    given = (rule(case) for rule in RULES)
    return tuple(text for text in given if text)[:MOST]


def more_time(case: Case) -> str | None:
    """A rung that the time limit left out, or a search that it ended."""
    return f"more time: --time-limit above {case.request.time_limit:g}" if case.limited else None


def one_multiplier_per_neuron(case: Case) -> str | None:
    """The condition with the most multipliers, whose points include those of all others."""
    if case.plan.method not in (*CLOSED_FORMS, "layer") or not case.plan.neurons:
        return None
    return f"--method neuron, {_took(_effort(case))}"


def unrolled(case: Case) -> str | None:
    """Every pixel a neuron: multipliers need not be the same at all of them, and zeros around an image are zeros."""
    if case.request.form != "frequency" or not isinstance(case.network, Network):
        return None
    fitting = Fitting.of(case.network, case.request.method)
    if not fitting.is_small(case.request.time_limit, case.request.memory_limit):
        return None
    return f"--form unrolled, {_took(fitting.unrolled)}"


def joint_head(case: Case) -> str | None:
    """Front and head together instead of one after the other."""
    over = case.plan.solver.endswith("frequencies")
    return "--head joint" if over and case.request.head == "composed" and case.request.method != "product" else None


def longer_search(case: Case) -> str | None:
    """A search for the attained value that was asked to be short."""
    return "--effort 1 for the attained value" if case.request.effort < 1 else None


def more_pieces(case: Case) -> str | None:
    """A division of the region that was ended."""
    if case.request.nodes is None or case.told.status != "nodes":
        return None
    return f"more pieces: --nodes above {case.request.nodes}"


def exact(case: Case) -> str | None:
    """The constant itself, for few neurons that are linear in pieces."""
    if case.request.divides or case.plan.neurons > FEW_NEURONS or not _is_linear_in_pieces(case.network):
        return None
    pieces = 2**case.plan.neurons
    return (
        f"--exact, which divides the inputs until the bound is attained: at most {pieces} pieces, "
        f"estimated at {max(case.seconds, 0.01):.2g} s each; --time-limit ends it with a bound"
    )


def divided(case: Case) -> str | None:
    """A region in pieces, each with a bound of its own."""
    return "--nodes 50, which divides the region" if case.request.on_region and not case.request.divides else None


def smaller_region(case: Case) -> str | None:
    """A region of inputs instead of all, or a smaller one."""
    if case.request.region is not None:
        return "a smaller region"
    if isinstance(case.network, Network):
        return "a bound near the inputs that matter: --around X.npy --radius R"
    return None


def normalised_layer(case: Case) -> str | None:
    """One layer whose norm stands out: what it is divided by, the bound of a chain is as well."""
    form = case.plan.claimed
    if form is None or not form.is_chain or len(form.blocks) < 3:
        return None
    norms = [spectral_norm(block.weights) for _, block in sorted(form.blocks.items())]
    largest = int(np.argmax(norms))
    if not norms[largest] > OUTLIER * float(np.median(norms)):
        return None
    return (
        f"normalising layer {largest + 1} of {len(norms)}, whose norm is about {norms[largest]:.3g} "
        "(sdpcert layers MODEL shows all)"
    )


Rule = Callable[[Case], str | None]
RULES: tuple[Rule, ...] = (
    more_time,
    one_multiplier_per_neuron,
    unrolled,
    joint_head,
    longer_search,
    more_pieces,
    normalised_layer,
    exact,
    divided,
    smaller_region,
)


def _took(effort: Effort) -> str:
    """What something is estimated to take."""
    if effort.total < 1 and effort.memory < 2**30:
        return "estimated below a second"
    return f"estimated at {effort}"


def _effort(case: Case) -> Effort:
    """What one multiplier per neuron takes in the form that the network is bounded in."""
    if not isinstance(case.network, Network):
        return estimate(case.network.reduced(), "neuron")
    fitting = Fitting.of(case.network, "neuron")
    small = case.request.form == "unrolled" or fitting.is_small(case.request.time_limit, case.request.memory_limit)
    return fitting.unrolled if small or fitting.solved is None else fitting.solved


def _is_linear_in_pieces(network: Network | StackedForm) -> bool:
    """Whether every activation is linear in pieces, so that there are finitely many of them."""
    if isinstance(network, StackedForm):
        activations = [group.activation for group in network.groups]
    else:
        activations = [node.layer for node in network.nodes if isinstance(node.layer, Activation)]
    return all(kind.pieces is not None or bool(kind.kinks) for kind in activations)
