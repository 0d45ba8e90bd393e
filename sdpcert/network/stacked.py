"""The stacked form v = K_x x + K_z z + b, z = phi(v), y = F_x x + F_z z + c of a network, in blocks.

Every value of the graph is carried as an affine expression in the input and the neurons before it. Moving entries
around is exact; where layers have to be multiplied together, the rounding is bounded and kept as the block's radius.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Rearrange, Scale, Sum
from sdpcert.network.graph import Network
from sdpcert.network.value_numbers import Correction, Sharing

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: Memory that the blocks of one stacked form may take, in bytes.
MEMORY_LIMIT = 8 * 2**30


@dataclass(frozen=True, eq=False)
class Block:
    """A matrix known up to `radius` in every entry; `zero`, where given, marks entries that are zero without doubt."""

    weights: Array
    radius: float = 0.0
    zero: Array | None = None

    @property
    def moving(self) -> Array:
        """The entries that are not certainly zero."""
        if self.radius == 0:
            return self.weights != 0
        return np.ones(self.weights.shape, dtype=bool) if self.zero is None else ~self.zero

    def part(self, rows: Array, columns: Array) -> Block:
        """The block of some rows and columns, exact where nothing uncertain is left."""
        zero = None if self.zero is None else self.zero[np.ix_(rows, columns)]
        weights = np.ascontiguousarray(self.weights[np.ix_(rows, columns)])
        return Block(weights, 0.0 if zero is not None and bool(np.all(zero)) else self.radius, zero)


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons that are evaluated together; `alpha` and `beta` have one entry a neuron.

    `positions` are the places of the neurons in the tensor that the activation reads (row major) of `size_before`
    entries.
    """

    activation: Activation
    shape: tuple[int, ...]
    positions: Array
    alpha: Array
    beta: Array
    bias: Array

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

    @property
    def multipliers(self) -> Array | None:
        """The multipliers by construction, one a neuron, or None where the layers gave none."""
        known = self.activation.multiplier
        if known is None:
            return None
        return np.broadcast_to(np.asarray(known, dtype=float), self.shape).ravel()[self.positions]

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
                if part.radius > 0 or np.any(part.weights):
                    blocks[renumber[to], renumber[source]] = part
        groups = tuple(self.groups[number - 1].select(keep[number]) for number in kept)
        return replace(self, groups=groups, blocks=blocks)

    @cached_property
    def sha256(self) -> str:
        """Hash of sizes, slopes and blocks as `docs/certificate-format.md` defines it."""
        digest = hashlib.sha256(b"sdpcert-network-1")
        digest.update(struct.pack("<3q", self.inputs, self.outputs, len(self.groups)))
        for group in self.groups:
            digest.update(struct.pack("<q", group.size))
            digest.update(group.alpha.astype("<f8").tobytes() + group.beta.astype("<f8").tobytes())
        for (to, source), block in sorted(self.blocks.items()):
            digest.update(struct.pack("<2q", to, source) + struct.pack("<d", block.radius))
            digest.update(np.ascontiguousarray(block.weights, dtype="<f8").tobytes())
        return digest.hexdigest()


@dataclass
class _Expression:
    """A tensor as an affine expression: per source an array (size of source, *shape), its entrywise error, a
    constant.
    """

    coefficients: dict[int, Array]
    errors: dict[int, Array | float]
    constant: Array

    def entries(self, places: Array) -> _Expression:
        """The chosen entries (row major) as a vector."""

        def chosen(array: Array) -> Array:
            return array.reshape(len(array), -1)[:, places]

        errors = {
            source: error if np.ndim(error) == 0 else chosen(np.broadcast_to(error, self.coefficients[source].shape))
            for source, error in self.errors.items()
        }
        coefficients = {source: chosen(array) for source, array in self.coefficients.items()}
        return _Expression(coefficients, errors, self.constant.ravel()[places])


def stack(network: Network, share: bool = True) -> StackedForm:
    """Bring a network to the stacked form; with `share` neurons that read the same are one neuron.

    Raises ValueError where the blocks would not fit into memory (an unrolled convolutional network of full size).
    """
    inputs = int(np.prod(network.input_shape))
    _check_memory(inputs * inputs)
    identity = np.eye(inputs).reshape(inputs, *network.input_shape)
    expressions = {0: _Expression({0: identity}, {0: 0.0}, np.zeros(network.input_shape))}
    neurons = _Neurons()
    needed = network.last_uses
    for number, node in enumerate(network.nodes, start=1):
        if number not in needed:
            continue
        arguments = [expressions[k] for k in node.inputs]
        if isinstance(node.layer, AffineLayer):
            expression = _apply(node.layer, arguments)
        elif node.layer.is_linear:
            scaling = Scale(np.broadcast_to(np.asarray(node.layer.alpha), node.shape))
            expression = _apply(scaling, arguments)
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

    def __init__(self) -> None:
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
            argument = _apply(Sum(), [argument, self._corrections(sharing.corrections, shape)])
        number, count = len(self.groups) + 1, int(new.sum())
        _check_memory(size * count + sum(b.weights.size for b in self.blocks.values()))
        columns = np.cumsum(new) - 1
        if count:
            alpha = np.broadcast_to(np.asarray(activation.alpha, dtype=float), shape).ravel()[new]
            beta = np.broadcast_to(np.asarray(activation.beta, dtype=float), shape).ravel()[new]
            positions = np.flatnonzero(new)
            read = argument if np.all(new) else argument.entries(positions)
            _store_row(self.blocks, number, read)
            self.groups.append(Group(activation, shape, positions, alpha, beta, argument.constant.ravel()[new]))
            self._columns[value] = number, columns
        if sharing is None:
            return _Expression({number: np.eye(size).reshape(size, *shape)}, {number: 0.0}, np.zeros(shape))
        return self._shared(argument, shape, sharing)

    def _corrections(self, corrections: list[Correction], shape: tuple[int, ...]) -> _Expression:
        """What has to be added to what an activation reads."""
        size = int(np.prod(shape))
        coefficients: dict[int, Array] = {}
        errors: dict[int, Array | float] = {}
        constant = np.zeros(size)

        def of(source: int, count: int) -> tuple[Array, Array]:
            if source not in coefficients:
                coefficients[source], errors[source] = np.zeros((2, count, size))
            return coefficients[source], np.asarray(errors[source])

        for number, row, correction in ((*self._neuron(c.node, c.place), c) for c in corrections):
            k, group = correction.entry, self.groups[number - 1]
            of(number, group.size)[0][row, k] -= 1.0
            if not correction.reads:
                continue
            constant[k] += group.bias[row]
            for (to, source), block in self.blocks.items():
                if to == number:
                    weights, uncertain = of(source, block.weights.shape[1])
                    before, term = weights[:, k].copy(), block.weights[row]
                    weights[:, k] = before + term
                    back = weights[:, k] - before
                    lost = np.abs((before - (weights[:, k] - back)) + (term - back))
                    uncertain[:, k] += lost + np.where(block.moving[row], block.radius, 0.0)
        reshaped = {source: array.reshape(-1, *shape) for source, array in coefficients.items()}
        spread = {source: np.asarray(error).reshape(-1, *shape) * (1 + 2.0**-40) for source, error in errors.items()}
        return _Expression(reshaped, spread, constant.reshape(shape))  # type: ignore[arg-type]

    def _neuron(self, node: int, place: int) -> tuple[int, int]:
        """The group of a neuron, and its row there."""
        number, columns = self._columns[node]
        return number, int(columns[place])

    def _shared(self, argument: _Expression, shape: tuple[int, ...], sharing: Sharing) -> _Expression:
        """`gain z + through w + shift` with z the neurons that stand for the activation's, w what it reads."""
        through, shift = sharing.through.reshape(shape), sharing.shift.reshape(shape)
        result = _apply(Scale(through, shift), [argument])
        if np.any(sharing.through_error):
            uncertain = Scale(sharing.through_error.reshape(shape))
            for source, coefficients in argument.coefficients.items():
                known = np.abs(coefficients) + argument.errors[source]
                result.errors[source] = result.errors[source] + uncertain.linear(known) * (1 + 4 * UNIT_ROUNDOFF)
        for node in np.unique(sharing.node[sharing.node > 0]):
            number, columns = self._columns[int(node)]
            places = np.flatnonzero(sharing.node == node)
            own, error = np.zeros((2, self.groups[number - 1].size, len(sharing.node)))
            own[columns[sharing.place[places]], places] = sharing.gain[places]
            error[columns[sharing.place[places]], places] = sharing.gain_error[places]
            outputs = _Expression(
                {number: own.reshape(-1, *shape)}, {number: error.reshape(-1, *shape)}, np.zeros(shape)
            )
            result = _apply(Sum(), [outputs, result])
        return result


def _store_row(blocks: dict[tuple[int, int], Block], to: int, expression: _Expression) -> None:
    for source, array in sorted(expression.coefficients.items()):
        weights = np.ascontiguousarray(array.reshape(len(array), -1).T)
        radius = float(np.max(expression.errors[source], initial=0.0))
        if radius > 0:
            radius = float(np.nextafter(radius * (1 + 1e-9), np.inf))
        if radius > 0:
            uncertain = np.broadcast_to(expression.errors[source], array.shape).reshape(len(array), -1).T
            blocks[to, source] = Block(weights, radius, (weights == 0) & (uncertain == 0))
        elif np.any(weights):
            blocks[to, source] = Block(weights)


def _apply(layer: AffineLayer, arguments: list[_Expression]) -> _Expression:
    constant = layer(*(a.constant[None] for a in arguments))[0]
    sources = sorted(set().union(*(a.coefficients for a in arguments)))
    coefficients: dict[int, Array] = {}
    errors: dict[int, Array | float] = {}
    for source in sources:
        count = next(len(a.coefficients[source]) for a in arguments if source in a.coefficients)
        given = [
            a.coefficients[source] if source in a.coefficients else np.zeros((count, *a.constant.shape))
            for a in arguments
        ]
        coefficients[source] = layer.linear(*given)
        errors[source] = _error(layer, arguments, source, given, coefficients[source])
    return _Expression(coefficients, errors, constant)


def _error(
    layer: AffineLayer, arguments: list[_Expression], source: int, given: list[Array], result: Array
) -> Array | float:
    """Bound, entry by entry, the difference between the computed and the exact coefficients of one source."""
    inherited = [a.errors.get(source, 0.0) for a in arguments]
    spread: Array | float = 0.0
    if any(np.any(e) for e in inherited):
        uncertain = [np.broadcast_to(e, g.shape) for e, g in zip(inherited, given, strict=True)]
        spread = layer.magnitude(*uncertain) * (1 + (layer.terms + 2) * 2 * UNIT_ROUNDOFF)
        spread = spread + np.where(_reached(layer, uncertain), np.finfo(float).tiny, 0.0)
    if isinstance(layer, Rearrange | Concat):
        return spread
    if isinstance(layer, Sum):
        return spread + _rounding_of_sum(layer, given)
    if layer.coefficient_error == 0 and all(_moves_entries(g) for g in given) and not _rounds_by_wrapping(layer, given):
        return spread + _underflow(layer, given, result)
    terms = layer.terms + 2
    relative = terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF) + layer.coefficient_error
    bound = layer.magnitude(*map(np.abs, given)) * (1 + 2 * relative)
    underflow = np.where(_reached(layer, given), layer.terms * np.finfo(float).smallest_subnormal, 0.0)
    return spread * (1 + layer.coefficient_error) + relative * bound + underflow


def _rounding_of_sum(layer: Sum, given: list[Array]) -> Array:
    """What `layer.linear` loses on the given terms, in its order of summation (each loss is a float64: Knuth)."""
    total, lost = layer.signs[0] * given[0], np.zeros_like(given[0])
    for sign, values in zip(layer.signs[1:], given[1:], strict=True):
        term, before = sign * values, total
        total = before + term
        back = total - before
        lost += np.abs((before - (total - back)) + (term - back))
    return lost * (1 + len(given) * 2 * UNIT_ROUNDOFF)


def _rounds_by_wrapping(layer: AffineLayer, given: list[Array]) -> bool:
    """Whether a circular kernel larger than the image has taps that meet on one pixel with a sum that is rounded."""
    if not (isinstance(layer, Conv2d) and layer.circular):
        return False
    height, width = given[0].shape[2:]
    sums: dict[tuple[int, int], Array] = {}
    for y in range(layer.kernel.shape[2]):
        for x in range(layer.kernel.shape[3]):
            place = (y * layer.dilation[0] % height, x * layer.dilation[1] % width)
            tap = layer.kernel[:, :, y, x]
            if place in sums:
                before, total = sums[place], sums[place] + tap
                back = total - before
                if np.any((before - (total - back)) + (tap - back)):  # Knuth: what the addition lost
                    return True
                tap = total
            sums[place] = tap
    return False


def _moves_entries(coefficients: Array) -> bool:
    """Whether each source coordinate reaches at most one entry, with a power of two: then products are exact."""
    flat = coefficients.reshape(len(coefficients), -1)
    if np.count_nonzero(flat) > len(flat) or np.any(np.count_nonzero(flat, axis=1) > 1):
        return False
    values = np.abs(flat[flat != 0])
    return bool(np.all(np.frexp(values)[0] == 0.5)) and bool(np.all((values >= 2.0**-100) & (values <= 2.0**100)))


def _underflow(layer: AffineLayer, given: list[Array], result: Array) -> Array | float:
    """What products with powers of two below one can lose: they are exact unless the product is subnormal."""
    if all(np.all((g == 0) | (np.abs(g) >= 1)) for g in given):
        return 0.0
    lost = _reached(layer, given) & (np.abs(result) < np.finfo(float).tiny)
    return np.where(lost, np.finfo(float).smallest_subnormal, 0.0)


def _reached(layer: AffineLayer, given: list[Array]) -> Array:
    """The entries that a nonzero entry reaches with a nonzero coefficient, whatever underflows."""
    return layer.magnitude(*((g != 0).astype(float) for g in given)) != 0


def _check_memory(entries: int) -> None:
    if 8 * entries > MEMORY_LIMIT:
        raise ValueError(
            f"the unrolled network needs blocks of {8 * entries / 2**30:.0f} GiB, above the limit of "
            f"{MEMORY_LIMIT / 2**30:.0f} GiB; certify a smaller input or a part of the network"
        )
