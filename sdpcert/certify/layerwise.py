"""A network layer by layer: the proved norm of every affine layer, and where their product loses.

A network is what everything passes through, one stage after the other: a few layers with the activation that follows.
In a stage norms are multiplied along a path and added where paths meet. For stage k let `product_k` be that number,
`alone_k` a proved bound of the stage by itself, and `whole_k` a proved bound of the network up to the end of it. Then

    product / whole  =  prod_k (product_k / alone_k)  *  prod_{k > 1} (whole_{k-1} alone_k / whole_k)

exactly, and no factor is below one. The first are lost inside of stages, where paths meet that do not point the same
way; the others at the joints, where what a stage stretches most is not what the stages before it give it. As the
optimum of the condition is at most every product of its parts, a factor says what the product loses at the least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, isfinite, nextafter
from typing import Any

from sdpcert.certificate.certificate import Certificate
from sdpcert.certify import certify
from sdpcert.certify.choice import as_network
from sdpcert.certify.norms_of_layers import LayerBound, norms_of_layers, times
from sdpcert.certify.passages import places_to_divide
from sdpcert.errors import Interrupted
from sdpcert.network.graph import Network
from sdpcert.running.choices import Form, Method
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.solution import Progress

#: The share of a time limit below which a part is left out, and which the whole has at the least.
LEAST = 0.01
#: A factor below this one is none: it is what proofs are rounded by.
NOTHING_LOST = 1.001


@dataclass(frozen=True, eq=False)
class Stage(ShortRepr):
    """The layers between two values that everything passes through, `start` and `end`.

    `product` is what their norms give, `alone` a proved bound of the stage by itself, and `whole` one of the network up
    to `end`, None if that was not reached. `inside` and `joint` are the factors that the product of norms loses at the
    least within the stage and where it is joined to the one before.
    """

    start: int
    end: int
    layers: tuple[LayerBound, ...]
    product: float
    alone: float
    whole: float | None = None
    joint: float | None = None
    certificate: Certificate | None = None

    @property
    def inside(self) -> float:
        """`product / alone`."""
        return self.product / self.alone if 0 < self.alone < inf else 1.0

    @property
    def losses(self) -> list[tuple[float, str]]:
        """The factors that are lost, each with where that is."""
        first, last = self.layers[0].value, self.layers[-1].value
        joints = [] if self.joint is None else [(self.joint, f"where layer {first} reads what is before it")]
        return [*joints, (self.inside, f"between the layers {first} to {last}")]


@dataclass(frozen=True, eq=False)
class LayerBounds(ShortRepr):
    """The layers of a network in order, the stages that they are in, and the method that stages were bounded by.

    `product` is the product of norms, `upper` a proved bound of the whole (None if it was not reached), `lower` what
    two inputs of the network attain.
    """

    source: str
    method: str
    layers: tuple[LayerBound, ...]
    stages: tuple[Stage, ...]

    @property
    def product(self) -> float:
        """The product of norms: multiplied along paths, added where they meet."""
        return self.layers[-1].product if self.layers else 1.0

    @property
    def certificate(self) -> Certificate | None:
        """The certificate of the whole, None if that was not reached."""
        return self.stages[-1].certificate if self.stages else None

    @property
    def upper(self) -> float | None:
        """The proved bound of the whole."""
        return self.stages[-1].whole if self.stages else 1.0

    @property
    def lower(self) -> float | None:
        """What two inputs of the network attain."""
        return None if self.certificate is None else self.certificate.lower

    @property
    def loss(self) -> float | None:
        """How many times the bound of the whole the product is."""
        return None if self.upper is None else self.product / self.upper if self.upper > 0 else 1.0

    @property
    def largest(self) -> LayerBound | None:
        """The layer with the largest norm, None if no norm is above one."""
        own = [layer for layer in self.layers if layer.certificate is not None and layer.upper > 1]
        return max(own, key=lambda layer: layer.upper, default=None)

    @property
    def advice(self) -> str:
        """Which layer to change, in one sentence, and where the product loses most."""
        return "; ".join(part for part in (self._layer_to_change(), self._place_of_loss()) if part)

    def _layer_to_change(self) -> str:
        if self.largest is None:
            return "no layer has a norm above one"
        return f"change {self.largest.text} first: its norm, {self.largest.upper:.3g}, is the largest"

    def _place_of_loss(self) -> str:
        if self.loss is None or self.loss < NOTHING_LOST:
            return "" if self.loss is None else "the product of norms loses nothing that the bound of the whole shows"
        factor, where = max((lost, where) for stage in self.stages for lost, where in stage.losses)
        return f"of the factor {self.loss:.3g} that the product of norms loses, {factor:.3g} is lost {where}"

    def summary(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "network": self.source,
            "method": self.method,
            "layers": [
                {
                    "layer": layer.value,
                    "kind": layer.kind,
                    "inputs": [list(shape) for shape in layer.inputs],
                    "output": list(layer.output),
                    "upper": layer.upper,
                    "lower": layer.lower,
                    "product": layer.product,
                    "level": None if layer.certificate is None else layer.certificate.level,
                }
                for layer in self.layers
            ],
            "stages": [
                {
                    "layers": [layer.value for layer in stage.layers],
                    "product": stage.product,
                    "alone": stage.alone,
                    "upper": stage.whole,
                    "inside": stage.inside,
                    "joint": stage.joint,
                }
                for stage in self.stages
            ],
            "product": self.product,
            "upper": self.upper,
            "lower": self.lower,
            "loss": self.loss,
            "advice": self.advice,
        }


def layer_bounds(
    network: Network | Any,
    method: Method = "layer",
    *,
    time_limit: float | None = None,
    memory_limit: float | None = 8 * 2**30,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> LayerBounds:
    """Prove the norm of every affine layer of a network, and bounds that say where their product loses.

    `network` is a `Network`, or a torch module that begins with a dense layer. Stages of several layers, and the
    network up to the end of every stage, are bounded by `method` as `sdpcert.certify` has it. `time_limit` is divided
    between them; what it leaves no time for has the product of the bounds before it. `progress` is told what is bounded
    and what that is estimated to take.

    Raises ValueError or TypeError for bad arguments or a network without layers, `SolverError` if the solver gives no
    point; `Interrupted`, with the `LayerBounds` of what was proved, after Ctrl-C once all norms are there.
    """
    network = as_network(network)
    if not isinstance(network, Network):
        raise TypeError("layers are those of a Network; a stacked form has lost them")
    prover = _Prover(network, method, progress, time_limit, {"memory_limit": memory_limit, "seed": seed})
    layers = norms_of_layers(network, prover.norm)
    if not layers:
        raise ValueError(f"{network.source or 'the network'} has no affine layer that computes anything")
    stages, interrupted = _bounded(_stages(network, layers), prover)
    bounds = LayerBounds(network.source, method, tuple(layers), tuple(stages))
    if interrupted:
        raise Interrupted("interrupted: not every stage was bounded", bounds)
    return bounds


@dataclass
class _Prover:
    """Certifies parts of a network, as long as the time lasts."""

    network: Network
    method: Method
    progress: Callable[[Progress], None] | None
    time_limit: float | None
    options: dict[str, Any]

    def __post_init__(self) -> None:
        self.started, self.number = time.perf_counter(), 0

    def norm(self, layer: Network, form: Form) -> Certificate:
        """The certificate of one affine layer."""
        self.number += 1
        try:
            return certify(layer, "product", form=form, progress=self._told(f"norm {self.number}"), **self.options)
        except Interrupted:  # one norm is no result
            raise KeyboardInterrupt from None

    def part(self, start: int, end: int, left: int) -> Certificate | None:
        """The certificate of the part between two values, the first of `left` that are to come.

        None if the time is over: then the product of what is proved is the bound. The whole has some time nevertheless.
        """
        part = self.network if (start, end) == (0, self.network.output) else self.network.between(start, end)
        limit = None
        if self.time_limit is not None and isfinite(self.time_limit):
            limit = (self.time_limit - (time.perf_counter() - self.started)) / left
            if limit <= LEAST * self.time_limit:
                if left > 1:
                    return None
                limit = LEAST * self.time_limit
        told = self._told(f"layers {start + 1} to {end}, {left} bounds to go")
        return certify(part, self.method, time_limit=limit, progress=told, **self.options)

    def _told(self, what: str) -> Callable[[Progress], None] | None:
        """Progress that says what is bounded as well."""
        report = self.progress
        if report is None:
            return None
        return lambda line: report(
            replace(line, message=line.message and f"{what}: {line.message}", phase=f"{what}: {line.text}")
        )


def _stages(network: Network, layers: list[LayerBound]) -> list[Stage]:
    """The stages that compute something, not yet bounded; what only moves entries belongs to the one before."""
    products, found, start = {layer.value: layer.product for layer in layers}, [], 0
    ends = places_to_divide(network)
    filled = [end for before, end in pairwise([0, *ends]) if any(before < layer.value <= end for layer in layers)]
    ends = [*filled[:-1], network.output]
    before = 1.0
    for end in ends:
        own = tuple(layer for layer in layers if start < layer.value <= end)
        after = products[own[-1].value]
        product = after if before == 1 else nextafter(after / before, inf) if before > 0 else 0.0
        found.append(Stage(start, end, own, product, product))
        start, before = end, after
    return found


def _bounded(stages: list[Stage], prover: _Prover) -> tuple[list[Stage], bool]:
    """The stages with bounds of each by itself and of the network up to its end, and whether that was interrupted."""
    several = [k for k, stage in enumerate(stages) if len(stage.layers) > 1]
    left = len(several) + len(stages) - (0 in several or len(stages) > 1)
    before, found = 1.0, []
    try:
        for k, stage in enumerate(stages):
            certificate, alone = None, stage.product
            if k and k in several:
                alone = min(alone, _upper(prover.part(stage.start, stage.end, left)))
                left -= 1
            if k or k in several or len(stages) == 1:
                certificate = prover.part(0, stage.end, left)
                left -= 1
            alone = min(alone, _upper(certificate)) if k == 0 else alone
            product = times(before, alone)
            whole = min(product, _upper(certificate))
            joint = None if k == 0 else product / whole if 0 < whole < inf else 1.0
            found.append(replace(stage, alone=alone, whole=whole, joint=joint, certificate=certificate))
            before = whole
    except KeyboardInterrupt:
        return [*found, *stages[len(found) :]], True
    return found, False


def _upper(certificate: Certificate | None) -> float:
    """The proved bound, infinite if there is none."""
    return inf if certificate is None or certificate.status != "proved" else certificate.upper
