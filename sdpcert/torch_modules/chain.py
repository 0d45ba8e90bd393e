"""Chains of layers that know their constants: networks with what they know by construction.

A module made of the toolkit's layers brings multipliers along, which make `certify(net, method="by-construction")`
possible; `sdpcert.network.construction` says how they become those of the whole network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from sdpcert.network.activations import Activation, activation_by_name, crop
from sdpcert.network.affine import Conv2d, Scale, Sum
from sdpcert.network.construction import ConstructedNetwork, Construction
from sdpcert.network.graph import Graph
from sdpcert.network.nodes import Node
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.torch_modules.block import PlainBlock, for_own_slopes
from sdpcert.torch_modules.certified import Certified
from sdpcert.torch_modules.leaves import computes_own_form, is_plain, operator_of, pair
from sdpcert.torch_modules.multipliers import nonexpansive_multiplier
from sdpcert.torch_modules.norms import norm_upper_bound

Array = np.ndarray
#: Room for float64 rounding of plain layers' norms, relative, which their squared constant has.
ROOM = 2.0**-30
_STOCK = (nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.PixelUnshuffle, nn.Flatten)

#: A module of `is_link`, an activation, or `nn.Flatten`.
Link = nn.Module | Activation


@dataclass(frozen=True)
class Step:
    """A submodule that was applied to the value `start` and gave `end`; `nodes` are the graph's nodes made for it."""

    path: str
    module: nn.Module
    start: int
    end: int
    nodes: range


def is_link(module: nn.Module) -> bool:
    """Whether a submodule is a link of a chain as a whole; activations and flattening are found in the graph."""
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    if not all(getattr(type(hook), "__module__", "").startswith("torch.nn.utils.") for hook in hooks):
        return False
    if isinstance(module, Certified):
        return computes_own_form(module)
    if is_plain(module, PlainBlock):
        return True
    if not any(is_plain(module, kind) for kind in _STOCK):
        return False
    if isinstance(module, nn.Conv2d):
        try:
            operator_of(module)
        except UnsupportedModel:
            return False
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    if isinstance(module, nn.AvgPool2d):
        plain = pair(module.padding) == (0, 0) and not module.ceil_mode and module.divisor_override is None
        return plain and pair(module.kernel_size) == pair(module.stride)
    return True


def links_of(nodes: Sequence[Node], input_shape: tuple[int, ...], steps: Sequence[Step], output: int) -> list | None:
    """The links (path, `Link`) of a traced graph that is a chain of them from 0 to `output`, else None."""
    found: list[tuple[str, Link]] = []
    waiting = list(reversed(steps))  # in the order of the calls
    value = position = 0
    while position < len(nodes) or waiting:
        step = waiting[-1] if waiting and waiting[-1].nodes.start == position else None
        if step is not None:
            if step.start != value:
                return None
            found.append((step.path, step.module))
            value, position = step.end, step.nodes.stop
            waiting.pop()
            continue
        if position == len(nodes):
            return None
        node = nodes[position]
        link = _bare_link(node, input_shape if value == 0 else nodes[value - 1].shape)
        if node.inputs != (value,) or link is None:
            return None
        found.append(("", link))
        position += 1
        value = position
    return found if value == output else None


def _bare_link(node: Node, shape: tuple[int, ...]) -> Link | None:
    kind = node.layer
    if isinstance(kind, Activation):
        alike = np.asarray(kind.alpha) == np.asarray(kind.beta)
        return kind if kind.is_linear or not np.any(alike) else None
    moved = kind.places(shape) if len(node.inputs) == 1 else None
    return nn.Flatten() if moved is not None and np.array_equal(moved, np.arange(int(np.prod(shape)))) else None


def chain(links: Sequence[tuple[str, Link]], shape: tuple[int, ...], source: str) -> ConstructedNetwork | None:
    """The network of a chain with what its layers know.

    None if squares of the layers' constants, or their product, overflow: then no multipliers are known.
    """
    graph, value = Graph(shape), 0
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            constants = [_squared_constant(link) for _, link in links]
            gains = [float(np.prod(constants[k:])) for k in range(len(links) + 1)]
    except OverflowError:
        return None
    if not np.all(np.isfinite(gains)):
        return None
    known = Construction({0: gains[0]}, {})
    for (path, link), before, after in zip(links, gains, gains[1:]):
        try:
            if _reads_images(link):
                value = graph.add(crop(), value)
                known.squared_gains[value] = known.multipliers[value] = before
            value = _add_known(link, graph, value, after, known)
        except UnsupportedModel:
            raise
        except ValueError as error:
            raise UnsupportedModel(f"{path or type(link).__name__}: {error}") from None
    return ConstructedNetwork.of(graph.network(value, source=source), known)


def _add_known(link: Link, graph: Graph, value: int, after: float, known: Construction) -> int:
    """Append one link to the graph, and what it knows; `after` is the squared gain of everything after it."""
    first, shape = len(graph.nodes) + 1, graph.shape(value)
    value = _add(link, graph, value)
    neurons = [k for k, node in enumerate(graph.nodes[first - 1 :], start=first) if _has_neurons(node)]
    multipliers = _neuron_multipliers(link, shape, after)
    if len(neurons) != len(multipliers):
        raise ValueError(f"it appends {len(neurons)} activations and states {len(multipliers)} multipliers")
    known.multipliers.update(zip(neurons, multipliers, strict=True))
    known.squared_gains[value] = after
    return value


def _has_neurons(node: Node) -> bool:
    return isinstance(node.layer, Activation) and not node.layer.is_linear


def _squared_constant(link: Link) -> float:
    """The square of a constant that the link's multipliers are feasible for."""
    if isinstance(link, Certified):
        return link.squared_constant()
    if isinstance(link, nn.Linear | nn.Conv2d):
        return _norm(link) ** 2 * (1 + ROOM)
    if isinstance(link, PlainBlock):
        direct, inward, outward = _block_norms(link)
        return (direct + outward * inward) ** 2 * (1 + ROOM)
    if isinstance(link, nn.AvgPool2d):
        return 1.0 / pair(link.kernel_size)[0] / pair(link.kernel_size)[1] * (1 + ROOM)
    if isinstance(link, nn.Module):
        return 1.0
    return max(_steepest(link), 1.0) ** 2 * (1 + ROOM)


def _reads_images(link: Link) -> bool:
    """Whether what lies around an image would be read, or lost: where a torus has to be cropped."""
    if isinstance(link, nn.Flatten | nn.Conv2d | nn.AvgPool2d):
        return True
    if isinstance(link, PlainBlock):
        return isinstance(link.inward, nn.Conv2d)
    return isinstance(link, Certified) and bool(getattr(link, "reads_neighbours", False))


def _add(link: Link, graph: Graph, value: int) -> int:
    """Append one link to the graph."""
    if isinstance(link, Certified):
        return link.add_to(graph, value)
    if isinstance(link, nn.Linear | nn.Conv2d):
        return graph.add(operator_of(link).layer(link.bias), value)
    if isinstance(link, PlainBlock):
        return _add_block(link, graph, value)
    if isinstance(link, nn.AvgPool2d):
        return _add_average(link, graph, value)
    if isinstance(link, nn.PixelUnshuffle):
        return graph.space_to_depth(value, link.downscale_factor)
    if isinstance(link, nn.Module):
        return graph.rearrange(value, np.ravel)
    return graph.add(link, value)


def _neuron_multipliers(link: Link, shape: tuple[int, ...], downstream: float) -> Sequence[float | Array]:
    """The multipliers of the activations that `_add` appends to a value of that shape, in their order."""
    if isinstance(link, Certified):
        return link.neuron_multipliers(shape, downstream)
    if isinstance(link, PlainBlock):
        return [_block_multiplier(link, downstream)]
    if isinstance(link, nn.Module) or link.is_linear:
        return []
    return [_activation_multiplier(link, downstream)]


def _add_block(module: PlainBlock, graph: Graph, value: int) -> int:
    hidden = graph.add(activation_by_name(module.activation), _add(module.inward, graph, value))
    result = _add(module.outward, graph, hidden)
    if module.direct is not None:
        return graph.add(Sum(), _add(module.direct, graph, value), result)
    return result if module.scale is None else graph.add(Sum(), graph.add(Scale(module.scale), value), result)


def _block_multiplier(module: PlainBlock, downstream: float) -> Array:
    """An exported block's own multipliers are not known any more; those of the product of norms are."""
    direct, inward, outward = _block_norms(module)
    unit = downstream * outward * (direct + outward * inward) / inward if inward > 0 else downstream
    return for_own_slopes(activation_by_name(module.activation), np.asarray(unit))


def _block_norms(module: PlainBlock) -> tuple[float, float, float]:
    """Bounds of the norms of H, U and G."""
    direct = abs(module.scale or 0.0) if module.direct is None else _norm(module.direct) * (1 + ROOM)
    return direct, _norm(module.inward) * (1 + ROOM), _norm(module.outward) * (1 + ROOM)


def _norm(module: nn.Module) -> float:
    assert isinstance(module, nn.Linear | nn.Conv2d)
    return float(norm_upper_bound(operator_of(module).map(lambda w: w.double())))


def _activation_multiplier(kind: Activation, downstream: float) -> float | Array:
    steepest = _steepest(kind)
    if steepest <= 1:
        return nonexpansive_multiplier(kind, downstream)
    # With c the greatest of |alpha| and |beta| of all entries; an entry that attains it has c / (beta - alpha).
    alpha, beta = np.asarray(kind.alpha, dtype=float), np.asarray(kind.beta, dtype=float)
    flatter = np.maximum(np.abs(alpha), np.abs(beta)) < steepest
    general = downstream * (steepest**2 - alpha * beta) / (beta - alpha) ** 2
    return np.where(flatter, general, downstream * steepest / (beta - alpha))


def _steepest(kind: Activation) -> float:
    return float(np.max(np.maximum(np.abs(kind.alpha), np.abs(kind.beta))))


def _add_average(module: nn.AvgPool2d, graph: Graph, value: int) -> int:
    size = pair(module.kernel_size)
    channels = graph.shape(value)[0]
    sums = graph.add(Conv2d(np.ones((channels, 1, *size)), None, size, groups=channels), value)
    count = size[0] * size[1]
    return graph.add(Scale(1 / count, 0.0, 0.0 if count & (count - 1) == 0 else 2.0**-53), sums)
