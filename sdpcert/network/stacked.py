"""The stacked form v = K_x x + K_z z + b, z = phi(v), y = F_x x + F_z z + c of a network, in blocks.

Every value of the graph is carried as an affine expression in the input and the neurons before it. Moving entries
around is exact; where layers have to be multiplied together, weights get a low part, and what even that leaves is
bounded and kept as the block's radius.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.error_bound import bounds
from sdpcert.arithmetic.exact import two_sum
from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Scale, Sum
from sdpcert.network.doubled import merge_doubled
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.graph import Network
from sdpcert.network.known import Known, zeros
from sdpcert.network.rounded import merge_rounded
from sdpcert.network.value_numbers import Correction, Sharing

Array = np.ndarray
Merge = Callable[[AffineLayer, list[Known]], Known]
#: Memory that the blocks of one stacked form may take, in bytes.
MEMORY_LIMIT = 8 * 2**30


@dataclass(frozen=True, eq=False)
class Block:
    """The matrix `weights + low`, known up to `radius` in every entry.

    `low` is None where it is zero; `zero`, where given, marks entries that are zero without doubt. A radius that is
    no number is infinite: such a block is never exact, and nothing is proved about it.
    """

    weights: Array
    radius: float = 0.0
    zero: Array | None = None
    low: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", error_bound.largest(self.radius))

    @property
    def nonzero(self) -> Array:
        """Where the stored entry is not zero."""
        return self.weights != 0 if self.low is None else (self.weights != 0) | (self.low != 0)

    @property
    def size(self) -> Array:
        """The absolute values of the stored entries, not rounded down by more than the last place."""
        return np.abs(self.weights) if self.low is None else np.abs(self.weights) + np.abs(self.low)

    @property
    def finite(self) -> bool:
        """Whether all numbers are finite: only then the block says something."""
        parts = (self.weights,) if self.low is None else (self.weights, self.low)
        return all(bool(np.all(np.isfinite(p))) for p in parts) and bool(np.isfinite(self.radius))

    @property
    def moving(self) -> Array:
        """The entries that are not certainly zero."""
        if self.radius == 0:
            return self.nonzero
        return np.ones(self.weights.shape, dtype=bool) if self.zero is None else ~self.zero

    def part(self, rows: Array, columns: Array) -> Block:
        """The block of some rows and columns, exact where nothing uncertain is left."""
        cut = np.ix_(rows, columns)
        zero = None if self.zero is None else self.zero[cut]
        weights = np.ascontiguousarray(self.weights[cut])
        low = None if self.low is None else np.ascontiguousarray(self.low[cut])
        low = None if low is None or not np.any(low) else low
        return Block(weights, 0.0 if zero is not None and bool(np.all(zero)) else self.radius, zero, low)

    def times(self, scale: Array) -> Block:
        """The block whose columns are multiplied by `scale`, in doubled precision."""
        unsure = self.radius if self.zero is None else np.where(self.zero, 0.0, self.radius)
        scaled = merge_doubled(Scale(scale), [Known(self.weights, self.low, unsure)])
        low = None if scaled.low is None else scaled.low.T
        return _stored(Known(scaled.high.T, low, np.broadcast_to(scaled.error, scaled.high.shape).T))


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons that are evaluated together; `alpha` and `beta` have one entry a neuron.

    `positions` are the places of the neurons in the tensor that the activation reads (row major) of `size_before`
    entries; `value` is the number of that activation's value in the network.
    """

    activation: Activation
    shape: tuple[int, ...]
    positions: Array
    alpha: Array
    beta: Array
    bias: Array
    value: int = 0

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.alpha)

    def _tensor(self, values: Array) -> Array:
        full = np.zeros((len(values), int(np.prod(self.shape))))
        full[:, self.positions] = values
        return full.reshape(-1, *self.shape)

    def evaluate(self, values: Array) -> Array:
        """The activation, on a batch of preactivations of shape (batch, size)."""
        return self.activation(self._tensor(values)).reshape(len(values), -1)[:, self.positions]

    def derivative(self, values: Array) -> Array:
        """The derivative (a slope at kinks), on a batch of preactivations of shape (batch, size)."""
        slopes = np.broadcast_to(self.activation.derivative(self._tensor(values)), (len(values), *self.shape))
        return slopes.reshape(len(values), -1)[:, self.positions]

    def per_neuron(self, values: float | Array) -> Array:
        """One entry per neuron of what broadcasts against the tensor that the activation reads."""
        return np.broadcast_to(np.asarray(values, dtype=float), self.shape).ravel()[self.positions]

    def select(self, keep: Array) -> Group:
        """The group of the neurons in the boolean mask `keep`."""
        return replace(
            self, positions=self.positions[keep], alpha=self.alpha[keep], beta=self.beta[keep], bias=self.bias[keep]
        )


@dataclass(frozen=True, eq=False)
class StackedForm:
    """A feed-forward network in blocks.

    Source 0 is the input of `inputs` numbers, source g the neurons of `groups[g - 1]`, row g the preactivations of
    that group and row `len(groups) + 1` the output of `outputs` numbers. `blocks[to, source]` maps source to row,
    source < to.
    """

    inputs: int
    outputs: int
    groups: tuple[Group, ...]
    blocks: dict[tuple[int, int], Block]
    offset: Array
    notes: tuple[str, ...] = field(default=())

    @property
    def neurons(self) -> int:
        """Number of neurons in all groups."""
        return sum(g.size for g in self.groups)

    @property
    def output_row(self) -> int:
        """The number of the output in `blocks`."""
        return len(self.groups) + 1

    @property
    def is_chain(self) -> bool:
        """Whether every row reads only the source before it."""
        return all(source == to - 1 for to, source in self.blocks)

    @property
    def sizes(self) -> list[int]:
        """Sizes of the sources and of the output, in order."""
        return [self.inputs, *(g.size for g in self.groups), self.outputs]

    def row(self, to: int) -> dict[int, Block]:
        """The blocks of one row by source."""
        return {source: block for (row, source), block in self.blocks.items() if row == to}

    def evaluate(self, inputs: Array) -> Array:
        """Evaluate in float64 on a batch of shape (batch, inputs)."""
        sources, _ = self._forward(np.asarray(inputs, dtype=float))
        return self._combine(self.output_row, sources) + self.offset

    def jacobian(self, point: Array) -> Array:
        """The Jacobian at one point (with a slope of the activation at kinks), shape (outputs, inputs)."""
        _, preactivations = self._forward(np.asarray(point, dtype=float)[None])
        sensitivities = [np.eye(self.inputs)]
        for number, group in enumerate(self.groups, start=1):
            slopes = group.derivative(preactivations[number - 1])[0]
            sensitivities.append(slopes[:, None] * self._combine(number, sensitivities, transposed=True))
        return self._combine(self.output_row, sensitivities, transposed=True)

    def _forward(self, inputs: Array) -> tuple[list[Array], list[Array]]:
        sources, preactivations = [inputs], []
        for number, group in enumerate(self.groups, start=1):
            preactivations.append(self._combine(number, sources) + group.bias)
            sources.append(group.evaluate(preactivations[-1]))
        return sources, preactivations

    def _combine(self, to: int, sources: list[Array], transposed: bool = False) -> Array:
        if transposed:
            total = np.zeros((self.sizes[to], sources[0].shape[1]))
            for source, block in self.row(to).items():
                total += block.weights @ sources[source]
        else:
            total = np.zeros((len(sources[0]), self.sizes[to]))
            for source, block in self.row(to).items():
                total += sources[source] @ block.weights.T
        return total

    def output_rows(self, rows: Sequence[int]) -> StackedForm:
        """The form with only the chosen outputs (counted from 0).

        Raises ValueError for an empty choice, a row that does not exist, or one that is named twice.
        """
        rows = list(rows)
        if not rows:
            raise ValueError("no output row was chosen")
        if len(set(rows)) < len(rows):
            raise ValueError(f"output row {max(rows, key=rows.count)} is named twice")
        for row in rows:
            if not 0 <= row < self.outputs:
                raise ValueError(f"output row {row} does not exist; the network has rows 0 to {self.outputs - 1}")
        blocks = {
            key: block.part(np.array(rows), np.arange(block.weights.shape[1])) if key[0] == self.output_row else block
            for key, block in self.blocks.items()
        }
        return replace(self, outputs=len(rows), blocks=blocks, offset=self.offset[rows])

    def reduced(self) -> StackedForm:
        """Without neurons that are constant or do not reach the output; exact, only rows and columns are dropped."""
        keep = [np.ones(self.inputs, dtype=bool), *(np.ones(g.size, dtype=bool) for g in self.groups)]
        for number in range(1, self.output_row):  # constant: no input, direct or through neurons, moves them
            reads = np.zeros(self.groups[number - 1].size, dtype=bool)
            for source, block in self.row(number).items():
                reads |= block.moving[:, keep[source]].any(axis=1)
            keep[number] &= reads
        for number in range(len(self.groups), 0, -1):  # dead: nothing that reaches the output reads them
            read = np.zeros(self.groups[number - 1].size, dtype=bool)
            for to in range(number + 1, self.output_row + 1):
                block = self.blocks.get((to, number))
                if block is not None:
                    rows = np.ones(self.outputs, dtype=bool) if to == self.output_row else keep[to]
                    read |= block.moving[rows].any(axis=0)
            keep[number] &= read
        if all(k.all() for k in keep[1:]):
            return self
        kept = [number for number in range(1, self.output_row) if keep[number].any()]
        renumber = {0: 0, **{old: new for new, old in enumerate(kept, start=1)}, self.output_row: len(kept) + 1}
        blocks: dict[tuple[int, int], Block] = {}
        for (to, source), block in self.blocks.items():
            if to in renumber and source in renumber:
                rows = np.ones(self.outputs, dtype=bool) if to == self.output_row else keep[to]
                part = block.part(np.flatnonzero(rows), np.flatnonzero(keep[source]))
                if part.radius > 0 or np.any(part.nonzero):
                    blocks[renumber[to], renumber[source]] = part
        groups = tuple(self.groups[number - 1].select(keep[number]) for number in kept)
        return replace(self, groups=groups, blocks=blocks)

    @cached_property
    def sha256(self) -> str:
        """Hash of sizes, slopes and blocks as `docs/certificate-format.md` defines it."""
        doubled = any(block.low is not None for block in self.blocks.values())
        digest = hashlib.sha256(b"sdpcert-network-2" if doubled else b"sdpcert-network-1")
        digest.update(struct.pack("<3q", self.inputs, self.outputs, len(self.groups)))
        for group in self.groups:
            digest.update(struct.pack("<q", group.size))
            digest.update(group.alpha.astype("<f8").tobytes() + group.beta.astype("<f8").tobytes())
        for (to, source), block in sorted(self.blocks.items()):
            digest.update(struct.pack("<2q", to, source) + struct.pack("<d", block.radius))
            digest.update(np.ascontiguousarray(block.weights, dtype="<f8").tobytes())
            if doubled:
                digest.update(struct.pack("<q", 0 if block.low is None else 1))
            if block.low is not None:
                digest.update(np.ascontiguousarray(block.low, dtype="<f8").tobytes())
        return digest.hexdigest()


@dataclass
class _Expression:
    """A tensor as an affine expression: per source coefficients (size of source, *shape), and a constant."""

    parts: dict[int, Known]
    constant: Array

    def part(self, source: int, count: int) -> Known:
        """The coefficients of one source of `count` coordinates."""
        return self.parts.get(source, zeros((count, *self.constant.shape)))

    def entries(self, places: Array) -> _Expression:
        """The chosen entries (row major) as a vector."""
        parts = {source: known.entries(places) for source, known in self.parts.items()}
        return _Expression(parts, self.constant.ravel()[places])


def stack(network: Network, share: bool = True) -> StackedForm:
    """Bring a network to the stacked form; with `share` neurons that read the same are one neuron.

    By `earlier_rules` the form is the one that certificates of that time hold: weights without low parts, a neuron for
    every entry of every activation.

    Raises ValueError where the blocks would not fit into memory (an unrolled convolutional network of full size).
    """
    inputs = int(np.prod(network.input_shape))
    merge = merge_rounded if by_earlier_rules() else merge_doubled
    share = share and not by_earlier_rules()
    _check_memory(inputs * inputs)
    identity = np.eye(inputs).reshape(inputs, *network.input_shape)
    expressions = {0: _Expression({0: Known(identity)}, np.zeros(network.input_shape))}
    neurons = _Neurons(merge)
    needed = network.last_uses
    for number, node in enumerate(network.nodes, start=1):
        if number not in needed:
            continue
        arguments = [expressions[k] for k in node.inputs]
        if isinstance(node.layer, AffineLayer):
            expression = _apply(node.layer, arguments, merge)
        elif node.layer.is_linear:
            scaling = Scale(np.broadcast_to(np.asarray(node.layer.alpha), node.shape))
            expression = _apply(scaling, arguments, merge)
        else:
            sharing = network.sharing.get(number) if share else None
            expression = neurons.activate(number, node.layer, arguments[0], node.shape, sharing)
        expressions[number] = expression
        for k in set(node.inputs):
            if needed[k] == number:
                del expressions[k]
    result = expressions[network.output]
    _store_row(neurons.blocks, len(neurons.groups) + 1, result)
    outputs = int(np.prod(network.output_shape))
    return StackedForm(inputs, outputs, tuple(neurons.groups), neurons.blocks, result.constant.ravel())


class _Neurons:
    """The groups of neurons and the blocks that they read, while a form is made."""

    def __init__(self, merge: Merge) -> None:
        self.merge = merge
        self.groups: list[Group] = []
        self.blocks: dict[tuple[int, int], Block] = {}
        self._columns: dict[int, tuple[int, Array]] = {}  # of an activation's value: group, column of every entry

    def activate(
        self, value: int, activation: Activation, argument: _Expression, shape: tuple[int, ...], sharing: Sharing | None
    ) -> _Expression:
        """The outputs of an activation; neurons that are new become a group."""
        size = int(np.prod(shape))
        new = np.ones(size, dtype=bool) if sharing is None else sharing.new(value)
        if sharing is not None and sharing.corrections:
            argument = _apply(Sum(), [argument, self._corrections(sharing.corrections, shape)], self.merge)
        number, count = len(self.groups) + 1, int(new.sum())
        _check_memory(size * count + sum(b.weights.size for b in self.blocks.values()))
        columns = np.cumsum(new) - 1
        if count:
            alpha = np.broadcast_to(np.asarray(activation.alpha, dtype=float), shape).ravel()[new]
            beta = np.broadcast_to(np.asarray(activation.beta, dtype=float), shape).ravel()[new]
            positions = np.flatnonzero(new)
            read = argument if np.all(new) else argument.entries(positions)
            _store_row(self.blocks, number, read)
            self.groups.append(Group(activation, shape, positions, alpha, beta, argument.constant.ravel()[new], value))
            self._columns[value] = number, columns
        if sharing is None:
            return _Expression({number: Known(np.eye(size).reshape(size, *shape))}, np.zeros(shape))
        return self._shared(argument, shape, sharing)

    def _corrections(self, corrections: list[Correction], shape: tuple[int, ...]) -> _Expression:
        """What has to be added to what an activation reads."""
        size = int(np.prod(shape))
        sums: dict[int, tuple[Array, Array, Array]] = {}  # high, low and error by source
        constant = np.zeros(size)

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
            constant[k] += self.groups[number - 1].bias[row]
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
        return _Expression(parts, constant.reshape(shape))

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
        result = _apply(Scale(through, shift), [argument], self.merge)
        if np.any(sharing.through_error):
            uncertain = sharing.through_error.reshape(shape)
            for source, known in argument.parts.items():
                size = np.abs(known.high) + (0.0 if known.low is None else np.abs(known.low)) + known.error
                made = result.parts[source]
                result.parts[source] = Known(
                    made.high, made.low, bounds(made.error + uncertain * size * (1 + 2.0**-40))
                )
        for node in np.unique(sharing.node[sharing.node > 0]):
            number, columns = self._columns[int(node)]
            places = np.flatnonzero(sharing.node == node)
            own, error = np.zeros((2, self.groups[number - 1].size, len(sharing.node)))
            own[columns[sharing.place[places]], places] = sharing.gain[places]
            error[columns[sharing.place[places]], places] = sharing.gain_error[places]
            outputs = Known(own.reshape(-1, *shape), None, error.reshape(-1, *shape) if np.any(error) else 0.0)
            result = _apply(Sum(), [_Expression({number: outputs}, np.zeros(shape)), result], self.merge)
        return result


def _store_row(blocks: dict[tuple[int, int], Block], to: int, expression: _Expression) -> None:
    for source, known in sorted(expression.parts.items(), key=lambda item: item[0]):
        block = _stored(known)
        if block.radius > 0 or np.any(block.nonzero):
            blocks[to, source] = block


def _stored(known: Known) -> Block:
    """The block of coefficients (source, *shape).

    An uncertain low part is rounded to multiples of its radius, a power of two: digits beyond that mean nothing, depend
    on the library of matrix products, and cost room and time. One that is no larger is added to the error instead.
    """
    count = len(known.high)
    weights = np.ascontiguousarray(known.high.reshape(count, -1).T)
    radius, low = error_bound.up(error_bound.largest(known.error)), None
    if known.low is not None:
        low = np.ascontiguousarray(known.low.reshape(count, -1).T)
        unit = error_bound.power_of_two_up(2 * radius)
        if radius > 0 and error_bound.largest(np.abs(low)) > unit:
            radius, low = unit, _multiples(low, unit)
        elif radius > 0:
            radius, low = error_bound.up(error_bound.largest(known.error + np.abs(known.low))), None
    zero = None
    if radius > 0:
        uncertain = np.broadcast_to(known.error, known.high.shape).reshape(count, -1).T
        zero = (weights == 0) & (uncertain == 0)
        zero = zero if low is None else zero & (low == 0)
    return Block(weights, radius, zero, low if low is not None and np.any(low) else None)


def _multiples(values: Array, unit: float) -> Array:
    """The values rounded to multiples of a power of two, which moves them by half of it at most."""
    exponent = int(np.frexp(unit)[1]) - 1
    short = np.abs(values) < 2.0**53 * unit  # the others are multiples already
    return np.where(short, np.ldexp(np.rint(np.ldexp(np.where(short, values, 0.0), -exponent)), exponent), values)


def _apply(layer: AffineLayer, arguments: list[_Expression], merge: Merge) -> _Expression:
    constant = layer(*(a.constant[None] for a in arguments))[0]
    parts: dict[int, Known] = {}
    for source in sorted(set().union(*(a.parts for a in arguments))):
        count = next(len(a.parts[source].high) for a in arguments if source in a.parts)
        parts[source] = merge(layer, [a.part(source, count) for a in arguments])
    return _Expression(parts, constant)


def _check_memory(entries: int) -> None:
    if 8 * entries > MEMORY_LIMIT:
        raise ValueError(
            f"the unrolled network needs blocks of {8 * entries / 2**30:.0f} GiB, above the limit of "
            f"{MEMORY_LIMIT / 2**30:.0f} GiB; certify a smaller input or a part of the network"
        )
