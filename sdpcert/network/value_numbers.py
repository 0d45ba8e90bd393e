"""Which neurons of a network read the same, decided exactly on the graph.

Every entry of every value of the graph is written as a short sum of atoms: entries of the input, outputs of neurons,
rows of dense layers and channels of convolutions, and the constant 1. Sums, scalings, moves and joins act on these
sums exactly; where float64 would round, or a sum gets long, the entry becomes an atom of its own. Two entries with the
same sum are equal for every input. The converse does not hold, which costs tightness and never truth.
What follows for neurons whose preactivations are multiples of each other is in `sharing.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import sparse

from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer
from sdpcert.network.nodes import LayerGraph
from sdpcert.network.sharing import Correction, Neuron, Sharing, Table, by_pieces
from sdpcert.network.sums import (
    Sums,
    added,
    canonical,
    constants,
    digest_of,
    from_terms,
    gather,
    is_product,
    is_stored_exactly,
    nothing,
    primitive_rows,
    row_key,
    stack_rows,
    terms,
    units,
)

Array = np.ndarray
#: Atoms of a sum above which an entry becomes an atom of its own.
LONGEST_SUM = 24
#: Terms of a dense row up to which it is written out in the atoms that it reads.
SHORT_ROW = 4
#: Rows that are looked at before a sign counts as unknown.
MOST_ROWS = 64


def share_neurons(network: LayerGraph) -> dict[int, Sharing]:
    """For every nonlinear activation, by the number of its value, how its neurons depend on earlier ones.

    Activations all of whose neurons are new, and read what the graph says, are left out.
    """
    return _Numbering(network).sharing


class _Numbering:
    """One walk over the graph."""

    def __init__(self, network: LayerGraph) -> None:
        self.sharing: dict[int, Sharing] = {}
        self._nonnegative: list[bool] = [True]  # of every atom; atom 0 is the constant 1
        self._atoms: dict[Hashable, int] = {}
        self._rows: dict[int, tuple[Sums, Any]] = {}  # of atoms that stand for a sum, that sum
        self._seen: dict[Hashable, Neuron] = {}
        self._compared: dict[int, _Comparison] = {}  # by the atoms of ReLU neurons
        self._outputs: dict[int, Array] = {}  # the atoms of an activation's neurons, -1 where one is not new
        values = {0: self.fresh(int(np.prod(network.input_shape)))}
        last = network.last_uses
        for number, node in enumerate(network.nodes, start=1):
            if number not in last:
                continue
            given = [values[k] for k in node.inputs]
            shapes = [network.shape(k) for k in node.inputs]
            values[number] = self._carry(number, node.layer, given, shapes, node.shape)
            for k in set(node.inputs):
                if last[k] == number:
                    del values[k]

    # ------------------------------------------------------------ atoms

    def fresh(self, count: int, nonnegative: bool = False) -> Sums:
        """Entries that are atoms of their own."""
        first = len(self._nonnegative)
        self._nonnegative += [nonnegative] * count
        return units(np.arange(first, first + count))

    def _atom(self, key: Hashable, count: int = 1) -> int:
        """The first of the `count` atoms of a key, made where there are none."""
        found = self._atoms.get(key)
        if found is None:
            found = self._atoms[key] = len(self._nonnegative)
            self._nonnegative += [False] * count
        return found

    def _replace(
        self, sums: Sums, rows: Array, keys: Sequence[Hashable], factors: Array | None = None
    ) -> tuple[Sums, Array]:
        """The sums with some rows replaced by the atoms of the keys, times a factor each; and these atoms."""
        atoms = np.array([self._atom(key) for key in keys], dtype=int)
        if not len(rows):
            return sums, atoms
        order = np.arange(sums.shape[0])
        order[rows] = sums.shape[0] + np.arange(len(rows))
        return stack_rows([sums, units(atoms, factors)])[order], atoms

    # ------------------------------------------------------------ affine layers

    def _carry(
        self,
        number: int,
        layer: AffineLayer | Activation,
        given: list[Sums],
        shapes: list[tuple[int, ...]],
        shape: tuple[int, ...],
    ) -> Sums:
        if isinstance(layer, Activation):
            if layer.is_linear:
                return self.scaled(given[0], np.broadcast_to(np.asarray(layer.alpha, dtype=float), shape).ravel())
            return self._activate(number, layer, given[0], shape)
        if layer.coefficient_error:  # numbers that stand for others near them
            return self.fresh(int(np.prod(shape)))
        return layer.sums(self, given, shapes, shape)

    def gathered(self, given: Sequence[Sums], places: Array) -> Sums:
        """See `Numbering`, as for the methods that follow."""
        return gather(stack_rows(given), places)

    def shifted(self, sums: Sums, shift: Array) -> Sums:
        return self.plus(sums, constants(shift))

    def plus(self, left: Sums, right: Sums) -> Sums:
        """The sums of two values; rows that float64 would round, and long ones, become atoms."""
        total = canonical(left + right)
        wrong = np.diff(total.indptr) > LONGEST_SUM
        if total.nnz < left.nnz + right.nnz:  # otherwise no two numbers were added
            # Of two floats, the larger one subtracted first leaves what the addition lost.
            for residual in (canonical((total - left) - right), canonical((total - right) - left)):
                wrong |= np.diff(residual.indptr) > 0
        rows = np.flatnonzero(wrong)
        return self._replace(total, rows, [("sum", row_key(left, k), row_key(right, k)) for k in rows])[0]

    def scaled(self, sums: Sums, factors: Array) -> Sums:
        """Every row times a factor; rows whose products float64 would round become atoms."""
        lengths = np.diff(sums.indptr)
        spread = np.repeat(factors, lengths)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            data = sums.data * spread
        exact = is_product(sums.data, spread, data)
        scaled = canonical(sparse.csr_array((data, sums.indices, sums.indptr), shape=sums.shape))
        owner = np.repeat(np.arange(len(factors)), lengths)
        rows = np.unique(owner[~exact])
        result, atoms = self._replace(scaled, rows, [("row", row_key(sums, k)) for k in rows], factors[rows])
        self._rows |= {int(atom): (sums, k) for atom, k in zip(atoms, rows, strict=True)}
        return result

    def multiplied(self, weight: Array, bias: Array | None, sums: Sums) -> Sums:
        weights = canonical(sparse.csr_array(np.asarray(weight, dtype=float)))
        outputs, inputs = weight.shape
        lengths = np.diff(weights.indptr)
        long_rows = np.flatnonzero(lengths > SHORT_ROW)
        primitive, scales = primitive_rows(weights)
        results = []
        for start in range(0, sums.shape[0], inputs):
            read = sums if sums.shape[0] == inputs else sums[np.arange(start, start + inputs)]
            total = nothing(outputs)
            for term in range(int(lengths[lengths <= SHORT_ROW].max(initial=0))):
                at = np.minimum(weights.indptr[:-1] + term, max(len(weights.indices) - 1, 0))
                used = (lengths > term) & (lengths <= SHORT_ROW)
                chosen = gather(read, np.where(used, weights.indices[at], -1))
                total = self.plus(total, self.scaled(chosen, np.where(used, weights.data[at], 0.0)))
            if len(long_rows):
                identity = digest_of(read)
                atoms = np.array([self._atom(("dense", identity, row_key(primitive, k))) for k in long_rows])
                named = units(atoms, scales[long_rows])
                order = np.arange(outputs)
                order[long_rows] = outputs + np.arange(len(long_rows))
                total = named if len(long_rows) == outputs else stack_rows([total, named])[order]
            if bias is not None:
                total = self.plus(total, constants(np.asarray(bias, dtype=float).ravel()))
            results.append(total)
        return stack_rows(results)

    def windowed(
        self, rows: Array, bias: Array | None, geometry: Hashable, pixels: int, groups: int, sums: Sums
    ) -> Sums:
        channels = len(rows)
        kernel = canonical(sparse.csr_array(np.asarray(rows, dtype=float)))
        primitive, scales = primitive_rows(kernel)
        identity = (digest_of(sums), geometry)
        parts = []
        for channel in range(channels):
            if kernel.indptr[channel] == kernel.indptr[channel + 1]:
                parts.append(nothing(pixels))
                continue
            group = channel // (channels // groups)
            first = self._atom(("windows", *identity, group, row_key(primitive, channel)), pixels)
            parts.append(units(np.arange(first, first + pixels), np.full(pixels, scales[channel])))
        total = stack_rows(parts)
        if bias is None:
            return total
        return self.plus(total, constants(np.repeat(np.asarray(bias, dtype=float), pixels)))

    # ------------------------------------------------------------ neurons

    def _activate(self, number: int, kind: Activation, read: Sums, shape: tuple[int, ...]) -> Sums:
        size = read.shape[0]
        made, pieces = Table(number, size), kind.pieces
        left, right = (np.broadcast_to(np.asarray(p, dtype=float), shape).ravel() for p in pieces or (0.0, 1.0))
        parameters = [np.broadcast_to(np.asarray(p, dtype=float), shape).ravel() for p in kind.parameters]
        relus = np.zeros(size, dtype=bool) if pieces is None else (left == 0) & (right == 1)
        read = self._corrected(read, relus, made)
        signs = np.zeros(size) if pieces is None else self._signs(read)
        primitive, scales = primitive_rows(read)
        for k in range(size):
            empty = read.indptr[k] == read.indptr[k + 1]
            if pieces is None and empty:
                continue
            if pieces is not None and (left[k] == right[k] or signs[k] or empty):
                made.linear(k, float(right[k] if signs[k] >= 0 else left[k]))
                continue
            scale, row = self._direction(read, primitive, scales, k)
            own = (kind.identity, *(float(p[k]) for p in parameters))
            if pieces is not None:
                key: Hashable = ("pieces", row)
            elif kind.reflection:
                key = (own, abs(scale), row)
            else:
                key = (own, scale, row)
            neuron = Neuron(number, k, scale, float(left[k]), float(right[k]))
            earlier = self._seen.setdefault(key, neuron)
            if earlier is neuron:
                continue
            if pieces is not None:
                made.share(k, earlier, *by_pieces(earlier, neuron))
            elif scale == earlier.scale:
                made.share(k, earlier, Fraction(1), Fraction(0), 0.0)
            else:
                assert kind.reflection is not None
                a, b, c = kind.reflection
                made.share(k, earlier, Fraction(a), Fraction(-b), c)
        new = made.sharing.new(number)
        atoms = np.full(size, -1)
        own_atoms = self.fresh(int(new.sum()), kind.nonnegative)
        atoms[new] = own_atoms.indices
        self._outputs[number] = atoms
        for k in np.flatnonzero(new & relus):
            self._compared[int(atoms[k])] = _Comparison(number, int(k), read)
        if not np.all(new) or made.sharing.corrections:
            self.sharing[number] = made.sharing
        return own_atoms if np.all(new) else self._outcomes(made.sharing, read)

    def _direction(self, read: Sums, primitive: Sums, scales: Array, k: int) -> tuple[Fraction, tuple[bytes, bytes]]:
        """The scale and the primitive row of a sum; a multiple of an atom that stands for a sum is one of that sum."""
        scale, row = Fraction(float(scales[k])), row_key(primitive, k)
        start, end = read.indptr[k], read.indptr[k + 1]
        if end - start == 1 and int(read.indices[start]) in self._rows:
            sums, at = self._rows[int(read.indices[start])]
            inner, inner_scale = primitive_rows(sums[[at]])
            return Fraction(float(read.data[start])) * Fraction(float(inner_scale[0])), row_key(inner, 0)
        return scale, row

    def _signs(self, sums: Sums) -> Array:
        """For every row 1 where it is never negative, -1 where it is never positive, 0 where neither is known."""
        nonnegative = np.array(self._nonnegative)[sums.indices]
        lengths = np.diff(sums.indptr)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        upward = np.bincount(owner, nonnegative & (sums.data > 0), len(lengths)) == lengths
        downward = np.bincount(owner, nonnegative & (sums.data < 0), len(lengths)) == lengths
        signs = np.where(lengths == 0, 0, upward.astype(int) - downward.astype(int))
        for k in np.unique(owner[self._is_compared(sums.indices)]):
            if signs[k] == 0:
                row = terms(sums, k)
                signs[k] = self._at_most_zero({a: -c for a, c in row.items()}) - self._at_most_zero(row)
        return signs

    def _is_compared(self, atoms: Array) -> Array:
        return np.isin(atoms, np.fromiter(self._compared, dtype=int, count=len(self._compared)))

    def _at_most_zero(self, row: dict[int, Fraction]) -> bool:
        """Whether a row is never positive because every ReLU neuron u has u >= 0 and u >= v, v being what it reads.

        A neuron with a negative factor -c may be left out, or replaced by -c v where v shares a term with the row. So
        `a - max(a, b)` is found to be at most zero.
        """
        waiting = [row]
        for _ in range(MOST_ROWS):
            if not waiting:
                return False
            row = waiting.pop()
            if all(c < 0 and self._nonnegative[a] for a, c in row.items()):
                return True
            for atom, factor in row.items():
                if factor < 0 and atom in self._compared:
                    rest = {a: c for a, c in row.items() if a != atom}
                    waiting.append(rest)
                    read = self._compared[atom].terms()
                    if any(a in rest for a in read):
                        waiting.append(added(rest, read, factor))
        return False

    def _corrected(self, read: Sums, relus: Array, made: Table) -> Sums:
        """The rows of ReLU neurons without the parts that never decide the maximum of the row and zero.

        With u = relu(v), a row `r + u` is the maximum of r + v and r. Where one of the two is never positive, the
        neuron may read the other one: so `max(a, b, c) - max(a, b, d)` becomes `c - max(a, b, d)`.
        """
        compared = self._is_compared(read.indices) & (read.data == 1)
        owner = np.repeat(np.arange(read.shape[0]), np.diff(read.indptr))
        changed: dict[int, dict[int, Fraction]] = {}
        for k in np.unique(owner[compared]):
            row, found = terms(read, k), relus[k]
            while found:
                found = False
                for atom in sorted(a for a, c in row.items() if c == 1 and a in self._compared):
                    comparison = self._compared[atom]
                    rest = {a: c for a, c in row.items() if a != atom}
                    above = added(rest, comparison.terms(), Fraction(1))
                    reads = self._at_most_zero(rest)
                    if reads and not is_stored_exactly(above):
                        continue
                    if reads or self._at_most_zero(above):
                        made.sharing.corrections.append(Correction(int(k), comparison.node, comparison.place, reads))
                        changed[int(k)] = row = above if reads else rest
                        found = True
                        break
        if not changed:
            return read
        order = np.arange(read.shape[0])
        order[list(changed)] = read.shape[0] + np.arange(len(changed))
        return stack_rows([read, from_terms(list(changed.values()))])[order]

    def _outcomes(self, sharing: Sharing, read: Sums) -> Sums:
        """The outputs of an activation as sums."""
        atoms = np.zeros(len(sharing.node), dtype=int)
        for node in np.unique(sharing.node[sharing.node > 0]):
            chosen = sharing.node == node
            atoms[chosen] = self._outputs[int(node)][sharing.place[chosen]]
        total = self.plus(units(atoms, sharing.gain), self.scaled(read, sharing.through))
        total = self.plus(total, constants(sharing.shift))
        rounded = np.flatnonzero((sharing.gain_error > 0) | (sharing.through_error > 0))
        return self._replace(total, rounded, [object() for _ in rounded])[0]


@dataclass(frozen=True, eq=False)
class _Comparison:
    """A new ReLU neuron, at entry `place` of the activation `node`, and all that this activation reads."""

    node: int
    place: int
    read: Sums

    def terms(self) -> dict[int, Fraction]:
        """What the neuron reads."""
        return terms(self.read, self.place)
