"""Chains of layers that know their constants: networks with multipliers by construction.

A module made of the toolkit's layers brings multipliers along, which make `certify(net, method="by-construction")`
possible: with c_l the square of the constant that layer l's multipliers are feasible for, everything behind a value
has the constant c_(l+1) c_(l+2) ..., and layer l's multipliers count so many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from sdpcert.network.activations import Activation, activation_by_name, crop
from sdpcert.network.affine import Conv2d, Scale, Sum
from sdpcert.network.graph import Graph, Network, Node
from sdpcert.network.moves import space_to_depth
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.torch_modules.block import PlainBlock
from sdpcert.torch_modules.certified import Certified
from sdpcert.torch_modules.leaves import computes_own_form, is_plain, operator_of, pair
from sdpcert.torch_modules.multipliers import with_own_multiplier
from sdpcert.torch_modules.norms import norm_upper_bound

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
    """The links (path, `Link`) of a traced graph that is a chain of them from 0 to `output`; None where it is not."""
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


def chain(links: Sequence[tuple[str, Link]], shape: tuple[int, ...], source: str) -> Network | None:
    """The network of a chain, which knows what every layer needs of those behind it.

    None where squares of the layers' constants, or their product, overflow: then no multipliers are known.
    """
    graph, value = Graph(shape), 0
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            constants = [_squared_constant(link) for _, link in links]
            energies = [float(np.prod(constants[k:])) for k in range(len(links) + 1)]
    except OverflowError:
        return None
    if not np.all(np.isfinite(energies)):
        return None
    graph.energies[0], *energies = energies
    for (path, link), energy, constant in zip(links, energies, constants, strict=True):
        try:
            if _reads_images(link):
                value = graph.add(crop(multiplier=energy * constant), value)
                graph.energies[value] = energy * constant
            value = _add(link, graph, value, energy)
        except UnsupportedModel:
            raise
        except ValueError as error:
            raise UnsupportedModel(f"{path or type(link).__name__}: {error}") from None
        graph.energies[value] = energy
    return graph.network(value, source=source)


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


def _add(link: Link, graph: Graph, value: int, energy: float) -> int:
    """Append one link to the graph; `energy` is the squared constant of everything behind it."""
    if isinstance(link, Certified):
        return link.add_to(graph, value, energy)
    if isinstance(link, nn.Linear | nn.Conv2d):
        return graph.add(operator_of(link).layer(link.bias), value)
    if isinstance(link, PlainBlock):
        return _add_block(link, graph, value, energy)
    if isinstance(link, nn.AvgPool2d):
        return _add_average(link, graph, value)
    if isinstance(link, nn.PixelUnshuffle):
        return graph.rearrange(value, lambda image: space_to_depth(image, link.downscale_factor))
    if isinstance(link, nn.Module):
        return graph.rearrange(value, np.ravel)
    return graph.add(_with_multiplier(link, energy), value)


def _add_block(module: PlainBlock, graph: Graph, value: int, energy: float) -> int:
    """An exported block: its multipliers are not known any more, those of the product of norms do."""
    direct, inward, outward = _block_norms(module)
    multiplier = energy * outward * (direct + outward * inward) / inward if inward > 0 else energy
    hidden = _add(module.inward, graph, value, energy)
    kind = activation_by_name(module.activation).with_unit_multiplier(multiplier)
    result = _add(module.outward, graph, graph.add(kind, hidden), energy)
    if module.direct is not None:
        return graph.add(Sum(), _add(module.direct, graph, value, energy), result)
    return result if module.scale is None else graph.add(Sum(), graph.add(Scale(module.scale), value), result)


def _block_norms(module: PlainBlock) -> tuple[float, float, float]:
    """Bounds of the norms of H, U and G."""
    direct = abs(module.scale or 0.0) if module.direct is None else _norm(module.direct) * (1 + ROOM)
    return direct, _norm(module.inward) * (1 + ROOM), _norm(module.outward) * (1 + ROOM)


def _norm(module: nn.Module) -> float:
    assert isinstance(module, nn.Linear | nn.Conv2d)
    return float(norm_upper_bound(operator_of(module).map(lambda w: w.double())))


def _with_multiplier(kind: Activation, energy: float) -> Activation:
    steepest = _steepest(kind)
    if kind.is_linear:
        return replace(kind, multiplier=None)
    if steepest <= 1:
        return with_own_multiplier(kind, energy)
    # With c the greatest of |alpha| and |beta| of all entries; an entry that attains it has c / (beta - alpha).
    alpha, beta = np.asarray(kind.alpha, dtype=float), np.asarray(kind.beta, dtype=float)
    flatter = np.maximum(np.abs(alpha), np.abs(beta)) < steepest
    general = energy * (steepest**2 - alpha * beta) / (beta - alpha) ** 2
    return replace(kind, multiplier=np.where(flatter, general, energy * steepest / (beta - alpha)))


def _steepest(kind: Activation) -> float:
    return float(np.max(np.maximum(np.abs(kind.alpha), np.abs(kind.beta))))


def _add_average(module: nn.AvgPool2d, graph: Graph, value: int) -> int:
    size = pair(module.kernel_size)
    channels = graph.shape(value)[0]
    sums = graph.add(Conv2d(np.ones((channels, 1, *size)), None, size, groups=channels), value)
    count = size[0] * size[1]
    return graph.add(Scale(1 / count, 0.0, 0.0 if count & (count - 1) == 0 else 2.0**-53), sums)
