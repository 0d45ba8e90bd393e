"""The stacked form v = K_x x + K_z z + b, z = phi(v), y = F_x x + F_z z + c of a network, in blocks."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.exact import two_sum
from sdpcert.network.activation import Activation
from sdpcert.network.affine import Scale
from sdpcert.network.doubled import merge_doubled
from sdpcert.network.known import Known
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Block(ShortRepr):
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

    @staticmethod
    def of(known: Known) -> Block:
        """The block of coefficients (source, *shape).

        An uncertain low part is rounded to multiples of its radius, a power of two: digits beyond that mean nothing,
        depend on the library of matrix products, and cost room and time. One that is no larger is added to the error
        instead.
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
        """The block of some rows and columns, exact if nothing uncertain is left."""
        cut = np.ix_(rows, columns)
        zero = None if self.zero is None else self.zero[cut]
        weights = np.ascontiguousarray(self.weights[cut])
        low = None if self.low is None else np.ascontiguousarray(self.low[cut])
        low = None if low is None or not np.any(low) else low
        return Block(weights, 0.0 if zero is not None and bool(np.all(zero)) else self.radius, zero, low)

    def difference(self) -> Block:
        """The block of one row: the first row of this one minus the second, exactly where two float64 hold that."""
        high, low = two_sum(self.weights[:1], -self.weights[1:])
        unsure = np.where(self.moving, self.radius, 0.0).sum(axis=0, keepdims=True)
        for part in [] if self.low is None else [self.low[:1], -self.low[1:]]:
            low, lost = two_sum(low, part)
            unsure = unsure + np.abs(lost)
        return Block.of(Known(high.T, low.T if np.any(low) else None, unsure.T * (1 + 2.0**-40)))

    def times(self, scale: Array) -> Block:
        """The block whose columns are multiplied by `scale`, in doubled precision."""
        unsure = self.radius if self.zero is None else np.where(self.zero, 0.0, self.radius)
        scaled = merge_doubled(Scale(scale), [Known(self.weights, self.low, unsure)])
        low = None if scaled.low is None else scaled.low.T
        return Block.of(Known(scaled.high.T, low, np.broadcast_to(scaled.error, scaled.high.shape).T))


def _multiples(values: Array, unit: float) -> Array:
    """The values rounded to multiples of a power of two, which moves them by half of it at most."""
    exponent = int(np.frexp(unit)[1]) - 1
    short = np.abs(values) < 2.0**53 * unit  # the others are multiples already
    return np.where(short, np.ldexp(np.rint(np.ldexp(np.where(short, values, 0.0), -exponent)), exponent), values)


@dataclass(frozen=True, eq=False)
class Group(ShortRepr):
    """Neurons that are evaluated together; `alpha` and `beta` have one entry per neuron.

    `positions` are the places of the neurons in the tensor that the activation reads (row major) of `size_before`
    entries; `value` is the number of that activation's value in the network. `bias_radius` bounds how far the
    network's own bias of a neuron is from `bias`, which is rounded where layers were multiplied together.
    """

    activation: Activation
    shape: tuple[int, ...]
    positions: Array
    alpha: Array
    beta: Array
    bias: Array
    value: int = 0
    bias_radius: Array | None = None

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

    def segment(self, values: Array) -> tuple[Array, Array] | None:
        """`Activation.segment` on a batch of preactivations of shape (batch, size)."""
        found = self.activation.segment(self._tensor(values))
        if found is None:
            return None
        slope, at_zero = (part.reshape(len(values), -1)[:, self.positions] for part in found)
        return slope, at_zero

    @property
    def coupled(self) -> int:
        """How many neighbouring neurons are one argument of the activation; they are kept together."""
        return self.activation.coupled

    def gathered(self, sizes: Array) -> Array:
        """`Activation.gathered` on a batch of sizes (batch, size)."""
        return self.activation.gathered(sizes)

    def whole(self, kept: Array) -> Array:
        """The neurons in the boolean mask `kept`, and all that are one argument with some of them."""
        if self.coupled == 1:
            return kept
        return np.repeat(kept.reshape(-1, self.coupled).any(axis=1), self.coupled)

    @property
    def bias_radii(self) -> Array:
        """How far the network's own biases are from the stored ones at most."""
        return np.zeros(self.size) if self.bias_radius is None else self.bias_radius

    @property
    def is_piecewise_linear(self) -> bool:
        """Whether the activation is linear between numbers that float64 holds."""
        return self.activation.segment(np.zeros((1, *self.shape))) is not None

    def slopes_on(self, low: Array, high: Array) -> tuple[Array, Array]:
        """`Activation.slopes_on` for intervals of the neurons' preactivations."""
        ends = [self._tensor(end[None])[0] for end in (low, high)]
        found = self.activation.slopes_on(*ends)
        return found[0].ravel()[self.positions], found[1].ravel()[self.positions]

    def linear_on(self, low: Array, high: Array) -> tuple[Array, Array]:
        """`Activation.linear_on` for intervals of the neurons' preactivations."""
        found = self.activation.linear_on(*(self._tensor(end[None])[0] for end in (low, high)))
        return found[0].ravel()[self.positions], found[1].ravel()[self.positions]

    def per_neuron(self, values: float | Array) -> Array:
        """One entry per neuron of what broadcasts against the tensor that the activation reads."""
        return np.broadcast_to(np.asarray(values, dtype=float), self.shape).ravel()[self.positions]

    def select(self, keep: Array) -> Group:
        """The group of the neurons in the boolean mask `keep`."""
        radius = None if self.bias_radius is None else self.bias_radius[keep]
        return replace(
            self,
            positions=self.positions[keep],
            alpha=self.alpha[keep],
            beta=self.beta[keep],
            bias=self.bias[keep],
            bias_radius=radius,
        )


@dataclass(frozen=True, eq=False)
class StackedForm(ShortRepr):
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
            moved = slopes[:, None] * self._combine(number, sensitivities, transposed=True)
            sensitivities.append(group.activation.summed(moved.T).T)
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

    def output_pair(self, one: int, other: int) -> StackedForm:
        """The form whose only output is that of row `one` minus that of row `other` (counted from 0).

        Raises ValueError for a row that does not exist, or the same row twice.
        """
        chosen = self.output_rows([one, other])
        blocks = dict(chosen.blocks)
        for source, block in chosen.row(chosen.output_row).items():
            blocks[chosen.output_row, source] = block.difference()
        return replace(chosen, outputs=1, blocks=blocks, offset=chosen.offset[:1] - chosen.offset[1:])

    @property
    def is_coupled(self) -> bool:
        """Whether some activation is no elementwise function, so that neurons share multipliers."""
        return any(group.coupled > 1 for group in self.groups)

    def tied(self, multipliers: Sequence[Array]) -> list[Array]:
        """Multipliers of all groups, the largest one for each of the neurons that share theirs."""
        return [
            t if g.coupled == 1 else np.repeat(t.reshape(-1, g.coupled).max(axis=1), g.coupled)
            for t, g in zip(multipliers, self.groups, strict=True)
        ]

    @property
    def is_exact(self) -> bool:
        """Whether every weight and every bias is known without a radius."""
        radii = [group.bias_radius for group in self.groups if group.bias_radius is not None]
        return not any(b.radius for b in self.blocks.values()) and not any(np.any(radius) for radius in radii)

    def without_unread(self) -> StackedForm:
        """Without neurons that nothing reads on the way to the output, which have no part in anything."""
        read = self._read([np.ones(size, dtype=bool) for size in self.sizes[:-1]])
        return self if all(np.all(mask) for mask in read[1:]) else self._kept(read)

    def reduced(self) -> StackedForm:
        """Without neurons that are constant or do not reach the output; exact, only rows and columns are dropped."""
        keep = [np.ones(self.inputs, dtype=bool), *(np.ones(g.size, dtype=bool) for g in self.groups)]
        for number in range(1, self.output_row):  # constant: no input, direct or through neurons, moves them
            reads = np.zeros(self.groups[number - 1].size, dtype=bool)
            for source, block in self.row(number).items():
                reads |= block.moving[:, keep[source]].any(axis=1)
            keep[number] &= self.groups[number - 1].whole(reads)
        keep = self._read(keep)
        return self if all(k.all() for k in keep[1:]) else self._kept(keep)

    def _read(self, keep: list[Array]) -> list[Array]:
        """Those of the neurons in the masks `keep`, one for each source, that are read on the way to the output."""
        keep = list(keep)
        for number in range(len(self.groups), 0, -1):
            read = np.zeros(self.groups[number - 1].size, dtype=bool)
            for to in range(number + 1, self.output_row + 1):
                block = self.blocks.get((to, number))
                if block is not None:
                    rows = np.ones(self.outputs, dtype=bool) if to == self.output_row else keep[to]
                    read |= block.moving[rows].any(axis=0)
            keep[number] = keep[number] & self.groups[number - 1].whole(read)
        return keep

    def _kept(self, keep: list[Array]) -> StackedForm:
        """The form with the neurons in the masks `keep` alone."""
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
        doubled = any(block.low is not None for block in self.blocks.values()) or self.is_coupled
        first = b"sdpcert-network-4" if self.is_coupled else b"sdpcert-network-2" if doubled else b"sdpcert-network-1"
        digest = hashlib.sha256(first + struct.pack("<3q", self.inputs, self.outputs, len(self.groups)))
        for group in self.groups:
            digest.update(struct.pack("<q", group.size))
            digest.update(struct.pack("<q", group.coupled) if self.is_coupled else b"")
            digest.update(group.alpha.astype("<f8").tobytes() + group.beta.astype("<f8").tobytes())
        for (to, source), block in sorted(self.blocks.items()):
            digest.update(struct.pack("<2q", to, source) + struct.pack("<d", block.radius))
            digest.update(np.ascontiguousarray(block.weights, dtype="<f8").tobytes())
            if doubled:
                digest.update(struct.pack("<q", 0 if block.low is None else 1))
            if block.low is not None:
                digest.update(np.ascontiguousarray(block.low, dtype="<f8").tobytes())
        return digest.hexdigest()
