"""Which plan a network is certified by."""

from __future__ import annotations

import os
import sys
from typing import Any

from sdpcert.certify.constructed_parts import ConstructedParts
from sdpcert.certify.construction import ConstructionPlan
from sdpcert.certify.dense import DensePlan
from sdpcert.certify.divided import DividedPlan
from sdpcert.certify.fitting import Fitting
from sdpcert.certify.frequencies import FrequencyPlan
from sdpcert.certify.plan import Plan
from sdpcert.certify.regional import RegionPlan
from sdpcert.certify.request import Request
from sdpcert.network.construction import ConstructedNetwork
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm


def plan_of(network: Any, request: Request) -> Plan:
    """The plan for a network, or a torch module.

    Raises ValueError if the request is impossible for this network, TypeError for what is no network.
    """
    network = as_network(network)
    network = network if request.output_pair is None else network.output_pair(*request.output_pair)
    if request.on_region:
        return RegionPlan.of(network, request)
    if request.method == "by-construction":
        if not isinstance(network, ConstructedNetwork):
            raise ValueError(
                "method 'by-construction' needs a network made of 1-Lipschitz layers; see sdpcert.from_torch"
            )
        if request.output_rows is not None or request.output_pair is not None:
            raise ValueError("method 'by-construction' is about all outputs; choose another method for some rows")
    if isinstance(network, Network):
        divided = reason_to_divide(network, request)
        if divided:
            return DividedPlan(network, request, divided)
        if goes_over_frequencies(network, request):
            if request.method == "by-construction" and request.form == "auto" and request.solver == "native":
                assert isinstance(network, ConstructedNetwork)
                return ConstructedParts(network, request)
            return FrequencyPlan(network, request)
    if isinstance(network, ConstructedNetwork) and request.method == "by-construction":
        return ConstructionPlan(network)
    if request.form == "frequency":
        raise ValueError("a stacked form is unrolled already; certify the network over frequencies")
    return DensePlan.of(network, request)


def as_network(network: Any, input_shape: tuple[int, ...] | None = None) -> Network | StackedForm:
    """A network as it is, a torch module as the network that it computes.

    `input_shape` is that of the module; None: it begins with a dense layer, which has it (ValueError if it does not).
    Raises TypeError for anything else.
    """
    if isinstance(network, Network | StackedForm):
        return network
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(network, torch.nn.Module):
        load = "; read a file with sdpcert.load" if isinstance(network, str | os.PathLike) else ""
        what = f"a Network, a StackedForm or a torch module can be certified, not {type(network).__name__}{load}"
        raise TypeError(what)
    from sdpcert.torch_modules.reader import from_torch, input_shape_of

    return from_torch(network, input_shape_of(network) if input_shape is None else input_shape)


def goes_over_frequencies(network: Network, request: Request) -> bool:
    """Whether a network is certified over frequencies: asked for, or unrolling does not fit and they are possible."""
    if request.form != "auto":
        return request.form == "frequency"
    fitting = Fitting.of(network, request.method)
    return not fitting.is_small(request.time_limit, request.memory_limit) and fitting.closed is not None


def reason_to_divide(network: Network, request: Request) -> str:
    """Why a network is bounded in parts, "" if it is not: no form of the whole fits, or would be solved in minutes."""
    if request.form != "auto" or request.method == "by-construction" or request.solver != "native":
        return ""
    limit, fitting = request.memory_limit, Fitting.of(network, request.method)
    if fitting.is_small(request.time_limit, limit):
        return ""
    if fitting.solved is None:
        unrolled = f"unrolling it is estimated to take {fitting.unrolling / 2**30:.1f} GiB"
        return "" if fitting.is_unrolled_at_all(limit) else f"divided into parts: {unrolled}"
    if fitting.is_solved_over_frequencies(limit):
        return ""
    return f"divided into parts: over frequencies the whole is estimated at {fitting.solved}"
