"""Bringing a network to its stacked form.

Every value of the graph is carried as an affine expression in the input and the neurons before it. Moving entries
around is exact; where layers have to be multiplied together, weights get a low part, and what even that leaves is
bounded and kept as the block's radius.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np

from sdpcert.arithmetic.error_bound import bounds, few_bits_up
from sdpcert.arithmetic.exact import two_sum
from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer, Scale, Sum
from sdpcert.network.doubled import merge_doubled
from sdpcert.network.earlier import by_earlier_rules, by_sums_of_the_library
from sdpcert.network.known import SLACK, UNIT_ROUNDOFF, Known, zeros
from sdpcert.network.nodes import LayerGraph
from sdpcert.network.piecewise_linear import LeakyRelu
from sdpcert.network.rounded import merge_rounded
from sdpcert.network.sharing import Correction, Sharing
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.network.unrolled_size import unrolled_bytes
from sdpcert.network.value_numbers import share_neurons

Array = np.ndarray
Merge = Callable[[AffineLayer, list[Known]], Known]
#: Memory that unrolling one network may take, in bytes, where nobody says.
MEMORY_LIMIT = 8.0 * 2**30
_memory_limit = ContextVar("memory_limit", default=MEMORY_LIMIT)


@dataclass
class _Expression:
    """A tensor as an affine expression: per source coefficients (size of source, *shape), and a constant.

    `unsure` bounds, entry by entry, how far the constant is from the exact one.
    """

    parts: dict[int, Known]
    constant: Array
    unsure: Array

    @property
    def is_rounded(self) -> bool:
        """Whether something of it is not exact."""
        return bool(np.any(self.unsure)) or any(known.uncertain for known in self.parts.values())

    def part(self, source: int, count: int) -> Known:
        """The coefficients of one source of `count` coordinates."""
        return self.parts.get(source, zeros((count, *self.constant.shape)))

    def entries(self, places: Array) -> _Expression:
        """The chosen entries (row major) as a vector."""
        parts = {source: known.entries(places) for source, known in self.parts.items()}
        return _Expression(parts, self.constant.ravel()[places], self.unsure.ravel()[places])


@dataclass(frozen=True, eq=False)
class _Picked:
    """A tensor of entries of one source of `count` numbers: entry k is number `places[k]` of it, -1 stands for zero.

    What moving entries makes of it is such a tensor, and a dense layer's coefficients are columns of its weight, so
    that no identity matrix of a wide source has to be there.
    """

    source: int
    count: int
    places: Array

    @staticmethod
    def whole(source: int, shape: tuple[int, ...]) -> _Picked:
        """All entries of a source, in their order."""
        count = int(np.prod(shape))
        return _Picked(source, count, np.arange(count).reshape(shape))

    def after(self, layer: AffineLayer) -> _Picked | _Expression | None:
        """What the layer makes of it, None if that takes applying it to an expression."""
        moved = layer.places(self.places.shape)
        if moved is not None:
            return replace(self, places=np.where(moved >= 0, self.places.ravel()[moved], -1))
        coefficients = layer.coefficients_of(self.places, self.count)
        if coefficients is None:
            return None
        constant = np.zeros(coefficients.shape[1:]) + layer.offset()
        return _Expression({self.source: Known(coefficients)}, constant, np.zeros(constant.shape))

    @property
    def expression(self) -> _Expression:
        """The same with coefficients."""
        kept = self.places >= 0
        coefficients = np.zeros((self.count, self.places.size))
        coefficients[self.places[kept], np.flatnonzero(kept.ravel())] = 1.0
        zero = np.zeros(self.places.shape)
        return _Expression({self.source: Known(coefficients.reshape(self.count, *zero.shape))}, zero, zero)


_Value = _Expression | _Picked


def _expressed(value: _Value) -> _Expression:
    return value.expression if isinstance(value, _Picked) else value


def stack(network: LayerGraph, share: bool = True, merged: bool = True, carried: bool = False) -> StackedForm:
    """Bring a network to the stacked form; with `share` neurons that read the same are one neuron.

    Where layers have to be multiplied together and two float64 do not hold the product, it is `merged` with a radius;
    otherwise what the later layer reads becomes neurons of slope 1, and every block is exact that can be.

    With `carried` the outputs are those of a last group of neurons of slope 1, whose biases have radii as all do.

    By `earlier_rules` the form is the one that certificates of that time hold: weights without low parts, a neuron for
    every entry of every activation.

    Raises ValueError if the blocks would not fit into memory (an unrolled convolutional network of full size).
    """
    _check_memory(network)
    merge = merge_rounded if by_earlier_rules() else merge_doubled
    known = share_neurons(network) if share and not by_earlier_rules() else {}
    expressions: dict[int, _Value] = {0: _Picked.whole(0, network.input_shape)}
    neurons = _Neurons(merge)
    needed = network.last_uses
    for number, node in enumerate(network.nodes, start=1):
        if number not in needed:
            continue
        arguments = [expressions[k] for k in node.inputs]
        if isinstance(node.layer, AffineLayer):
            expression = _apply(node.layer, arguments, merge)
            if not merged and isinstance(expression, _Expression) and expression.is_rounded:
                expression = _apply(node.layer, [neurons.carry(_expressed(a)) for a in arguments], merge)
        elif node.layer.is_linear:
            scaling = Scale(np.broadcast_to(np.asarray(node.layer.alpha), node.shape))
            expression = _apply(scaling, arguments, merge)
        else:
            expression = neurons.activate(number, node.layer, _expressed(arguments[0]), node.shape, known.get(number))
        expressions[number] = expression
        for k in set(node.inputs):
            if needed[k] == number:
                del expressions[k]
    result = _expressed(expressions[network.output])
    result = _expressed(neurons.carry(result)) if carried else result
    _store_row(neurons.blocks, len(neurons.groups) + 1, result)
    outputs = int(np.prod(network.output_shape))
    inputs = int(np.prod(network.input_shape))
    return StackedForm(inputs, outputs, tuple(neurons.groups), neurons.blocks, result.constant.ravel())


class _Neurons:
    """The groups of neurons and the blocks that they read, while a form is made."""

    def __init__(self, merge: Merge) -> None:
        self.merge = merge
        self.groups: list[Group] = []
        self.blocks: dict[tuple[int, int], Block] = {}
        self._columns: dict[int, tuple[int, Array]] = {}  # of an activation's value: group, column of every entry

    def carry(self, argument: _Expression) -> _Picked:
        """The tensor as neurons that only pass it on."""
        number, shape = len(self.groups) + 1, argument.constant.shape
        _store_row(self.blocks, number, argument)
        size = argument.constant.size
        slopes, bias, radius = np.ones(size), argument.constant.ravel(), argument.unsure.ravel()
        self.groups.append(Group(LeakyRelu(1.0), shape, np.arange(size), slopes, slopes, bias, 0, radius))
        return _Picked.whole(number, shape)

    def activate(
        self, value: int, activation: Activation, argument: _Expression, shape: tuple[int, ...], sharing: Sharing | None
    ) -> _Value:
        """The outputs of an activation; neurons that are new become a group."""
        size = int(np.prod(shape))
        new = np.ones(size, dtype=bool) if sharing is None else sharing.new(value)
        if sharing is not None and sharing.corrections:
            argument = _merged(Sum(), [argument, self._corrections(sharing.corrections, shape)], self.merge)
        number, count = len(self.groups) + 1, int(new.sum())
        columns = np.cumsum(new) - 1
        if count:
            alpha = np.broadcast_to(np.asarray(activation.alpha, dtype=float), shape).ravel()[new]
            beta = np.broadcast_to(np.asarray(activation.beta, dtype=float), shape).ravel()[new]
            positions = np.flatnonzero(new)
            read = argument if np.all(new) else argument.entries(positions)
            _store_row(self.blocks, number, read)
            bias, radius = argument.constant.ravel()[new], argument.unsure.ravel()[new]
            self.groups.append(Group(activation, shape, positions, alpha, beta, bias, value, radius))
            self._columns[value] = number, columns
        if sharing is None:
            return _Picked.whole(number, shape)
        return self._shared(argument, shape, sharing)

    def _corrections(self, corrections: list[Correction], shape: tuple[int, ...]) -> _Expression:
        """What has to be added to what an activation reads."""
        size = int(np.prod(shape))
        sums: dict[int, tuple[Array, Array, Array]] = {}  # high, low and error by source
        constant, unsure = np.zeros((2, size))

        def of(source: int) -> tuple[Array, Array, Array]:
            if source not in sums:
                high, low, error = np.zeros((3, self._size(source), size))
                sums[source] = high, low, error
            return sums[source]

        for number, row, correction in ((*self._neuron(c.node, c.place), c) for c in corrections):
            k = correction.entry
            of(number)[0][row, k] -= 1.0
            if not correction.reads:
                continue
            constant[k], lost = two_sum(constant[k], self.groups[number - 1].bias[row])
            unsure[k] = bounds(unsure[k] + np.abs(lost) + self.groups[number - 1].bias_radii[row]) * (1 + 2.0**-40)
            for (to, source), block in self.blocks.items():
                if to != number:
                    continue
                high, low, error = of(source)
                high[:, k], rest = two_sum(high[:, k], block.weights[row])
                for term in (rest, np.zeros_like(rest) if block.low is None else block.low[row]):
                    low[:, k], lost = two_sum(low[:, k], term)
                    error[:, k] += np.abs(lost)
                error[:, k] += np.where(block.moving[row], block.radius, 0.0)
        parts = {
            source: Known(
                high.reshape(-1, *shape),
                low.reshape(-1, *shape) if np.any(low) else None,
                (error * (1 + 2.0**-40)).reshape(-1, *shape) if np.any(error) else 0.0,
            ).normalised()
            for source, (high, low, error) in sums.items()
        }
        return _Expression(parts, constant.reshape(shape), unsure.reshape(shape))

    def _size(self, source: int) -> int:
        """The number of coordinates of a source that some neuron reads, or of a group of neurons."""
        if source:
            return self.groups[source - 1].size
        return next(block.weights.shape[1] for (_, read), block in self.blocks.items() if read == 0)

    def _neuron(self, node: int, place: int) -> tuple[int, int]:
        """The group of a neuron, and its row there."""
        number, columns = self._columns[node]
        return number, int(columns[place])

    def _shared(self, argument: _Expression, shape: tuple[int, ...], sharing: Sharing) -> _Expression:
        """`gain z + through w + shift` with z the neurons that stand for the activation's, w what it reads."""
        through, shift = sharing.through.reshape(shape), sharing.shift.reshape(shape)
        result = _merged(Scale(through, shift), [argument], self.merge)
        if np.any(sharing.through_error):
            uncertain = sharing.through_error.reshape(shape)
            for source, known in argument.parts.items():
                size = np.abs(known.high) + (0.0 if known.low is None else np.abs(known.low)) + known.error
                made = result.parts[source]
                result.parts[source] = Known(
                    made.high, made.low, bounds(made.error + uncertain * size * (1 + 2.0**-40))
                )
            more = uncertain * (np.abs(argument.constant) + argument.unsure) * (1 + 2.0**-40)
            result.unsure = bounds(result.unsure + more)
        for node in np.unique(sharing.node[sharing.node > 0]):
            number, columns = self._columns[int(node)]
            places = np.flatnonzero(sharing.node == node)
            own, error = np.zeros((2, self.groups[number - 1].size, len(sharing.node)))
            own[columns[sharing.place[places]], places] = sharing.gain[places]
            error[columns[sharing.place[places]], places] = sharing.gain_error[places]
            outputs = Known(own.reshape(-1, *shape), None, error.reshape(-1, *shape) if np.any(error) else 0.0)
            zero = np.zeros(shape)
            result = _merged(Sum(), [_Expression({number: outputs}, zero, zero), result], self.merge)
        return result


def _store_row(blocks: dict[tuple[int, int], Block], to: int, expression: _Expression) -> None:
    for source, known in sorted(expression.parts.items(), key=lambda item: item[0]):
        block = Block.of(known)
        if block.radius > 0 or np.any(block.nonzero):
            blocks[to, source] = block


def _apply(layer: AffineLayer, arguments: list[_Value], merge: Merge) -> _Value:
    if len(arguments) == 1 and isinstance(arguments[0], _Picked) and not by_earlier_rules():
        found = arguments[0].after(layer)
        if found is not None:
            return found
    return _merged(layer, [_expressed(a) for a in arguments], merge)


def _merged(layer: AffineLayer, arguments: list[_Expression], merge: Merge) -> _Expression:
    constant, unsure = (_rounded_constant if by_sums_of_the_library() else _constant)(layer, arguments)
    parts: dict[int, Known] = {}
    for source in sorted(set().union(*(a.parts for a in arguments))):
        count = next(len(a.parts[source].high) for a in arguments if source in a.parts)
        parts[source] = merge(layer, [a.part(source, count) for a in arguments])
    return _Expression(parts, constant, unsure)


def _constant(layer: AffineLayer, arguments: list[_Expression]) -> tuple[Array, Array]:
    """What the layer makes of constants, as the nearest float64, and bounds of what is missing.

    Neither depends on the order in which a library adds up, and so no hash of a network does.
    """
    if not any(np.any(a.constant) or np.any(a.unsure) for a in arguments):
        constant = layer.linear(*(a.constant[None] for a in arguments))[0] + layer.offset()
        return constant, np.zeros(constant.shape)
    given = [Known(a.constant[None], None, a.unsure[None] if np.any(a.unsure) else 0.0) for a in arguments]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        made = merge_doubled(layer, given)
        made = made.plus(Known(np.broadcast_to(layer.offset(), made.high.shape)))
        missing = made.errors if made.low is None else made.errors + np.abs(made.low)
        return made.high[0], few_bits_up(missing[0])


def _rounded_constant(layer: AffineLayer, arguments: list[_Expression]) -> tuple[Array, Array]:
    """The same as it was found until it did not depend on a library any more, see `sums_of_the_library`."""
    constants, unsure = [a.constant[None] for a in arguments], [a.unsure[None] for a in arguments]
    linear, offset = layer.linear(*constants), layer.offset()
    constant = linear + offset
    rounded = np.where((linear != 0) & (constant != linear), UNIT_ROUNDOFF * np.abs(constant), 0.0)
    lost = rounded + layer.rounding(constants, linear)
    if any(np.any(error) for error in unsure):
        lost = lost + layer.spread(unsure)
    return constant[0], bounds(np.broadcast_to(lost, constant.shape)[0] * SLACK)


@contextmanager
def memory_limited(limit: float) -> Iterator[None]:
    """Within it a network is unrolled if that is estimated to take `limit` bytes at most."""
    token = _memory_limit.set(limit)
    try:
        yield
    finally:
        _memory_limit.reset(token)


def _check_memory(network: LayerGraph) -> None:
    needed, limit = unrolled_bytes(network), _memory_limit.get()
    if needed > limit:
        raise ValueError(
            f"unrolling the network is estimated to take {needed / 2**30:.1f} GiB, above the limit of "
            f"{limit / 2**30:.1f} GiB; certify it over frequencies or in parts (form='auto'), or raise memory_limit"
        )
