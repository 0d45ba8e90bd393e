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

from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer
from sdpcert.network.nodes import LayerGraph
from sdpcert.network.sharing import Correction, Neuron, Sharing, Table, by_pieces
from sdpcert.network.sums import (
    Sums,
    added,
    added_terms,
    constants,
    from_terms,
    is_product,
    is_stored_exactly,
    matrix_rows,
    nothing,
    primitive_rows,
    stack_rows,
    units,
    without_zeros,
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
        order = np.arange(len(sums))
        order[rows] = len(sums) + np.arange(len(rows))
        return stack_rows([sums, units(atoms, factors)]).rows(order), atoms

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
        return stack_rows(given).rows(places)

    def shifted(self, sums: Sums, shift: Array) -> Sums:
        return self.plus(sums, constants(shift))

    def plus(self, left: Sums, right: Sums) -> Sums:
        """The sums of two values; rows that float64 would round, and long ones, become atoms."""
        total = added(left, right)
        wrong = total.lengths > LONGEST_SUM
        if len(total.atoms) < len(left.atoms) + len(right.atoms):  # otherwise no two numbers were added
            # Of two floats, the larger one subtracted first leaves what the addition lost.
            for first, second in ((left, right), (right, left)):
                wrong |= added(added(total, first, -1.0), second, -1.0).lengths > 0
        rows = np.flatnonzero(wrong)
        return self._replace(total, rows, [("sum", left.key(k), right.key(k)) for k in rows])[0]

    def scaled(self, sums: Sums, factors: Array) -> Sums:
        """Every row times a factor; rows whose products float64 would round become atoms."""
        owners = sums.owners
        spread = factors[owners]
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            data = sums.factors * spread
        exact = is_product(sums.factors, spread, data)
        scaled = without_zeros(len(sums), owners, sums.atoms, data)
        rows = np.unique(owners[~exact])
        result, atoms = self._replace(scaled, rows, [("row", sums.key(k)) for k in rows], factors[rows])
        self._rows |= {int(atom): (sums, k) for atom, k in zip(atoms, rows, strict=True)}
        return result

    def multiplied(self, weight: Array, bias: Array | None, sums: Sums) -> Sums:
        weights = matrix_rows(np.asarray(weight, dtype=float))
        outputs, inputs = weight.shape
        lengths = weights.lengths
        long_rows = np.flatnonzero(lengths > SHORT_ROW)
        primitive, scales = primitive_rows(weights)
        results = []
        for start in range(0, len(sums), inputs):
            read = sums if len(sums) == inputs else sums.rows(np.arange(start, start + inputs))
            total = nothing(outputs)
            for term in range(int(lengths[lengths <= SHORT_ROW].max(initial=0))):
                at = np.minimum(weights.ends[:-1] + term, max(len(weights.atoms) - 1, 0))
                used = (lengths > term) & (lengths <= SHORT_ROW)
                chosen = read.rows(np.where(used, weights.atoms[at], -1))
                total = self.plus(total, self.scaled(chosen, np.where(used, weights.factors[at], 0.0)))
            if len(long_rows):
                identity = read.digest
                atoms = np.array([self._atom(("dense", identity, primitive.key(k))) for k in long_rows])
                named = units(atoms, scales[long_rows])
                order = np.arange(outputs)
                order[long_rows] = outputs + np.arange(len(long_rows))
                total = named if len(long_rows) == outputs else stack_rows([total, named]).rows(order)
            if bias is not None:
                total = self.plus(total, constants(np.asarray(bias, dtype=float).ravel()))
            results.append(total)
        return stack_rows(results)

    def windowed(
        self, rows: Array, bias: Array | None, geometry: Hashable, pixels: int, groups: int, sums: Sums
    ) -> Sums:
        channels = len(rows)
        kernel = matrix_rows(np.asarray(rows, dtype=float))
        primitive, scales = primitive_rows(kernel)
        identity = (sums.digest, geometry)
        parts = []
        for channel in range(channels):
            if not kernel.lengths[channel]:
                parts.append(nothing(pixels))
                continue
            group = channel // (channels // groups)
            first = self._atom(("windows", *identity, group, primitive.key(channel)), pixels)
            parts.append(units(np.arange(first, first + pixels), np.full(pixels, scales[channel])))
        total = stack_rows(parts)
        if bias is None:
            return total
        return self.plus(total, constants(np.repeat(np.asarray(bias, dtype=float), pixels)))

    # ------------------------------------------------------------ neurons

    def _activate(self, number: int, kind: Activation, read: Sums, shape: tuple[int, ...]) -> Sums:
        size = len(read)
        if kind.coupled > 1:  # no function of what one entry reads
            return self.fresh(size, kind.nonnegative)
        made, pieces = Table(number, size), kind.pieces
        left, right = (np.broadcast_to(np.asarray(p, dtype=float), shape).ravel() for p in pieces or (0.0, 1.0))
        parameters = [np.broadcast_to(np.asarray(p, dtype=float), shape).ravel() for p in kind.parameters]
        relus = np.zeros(size, dtype=bool) if pieces is None else (left == 0) & (right == 1)
        read = self._corrected(read, relus, made)
        signs = np.zeros(size) if pieces is None else self._signs(read)
        primitive, scales = primitive_rows(read)
        lengths, identity = read.lengths, kind.identity
        for k in range(size):
            if pieces is None and not lengths[k]:
                continue
            if pieces is not None and (left[k] == right[k] or signs[k] or not lengths[k]):
                made.linear(k, float(right[k] if signs[k] >= 0 else left[k]))
                continue
            scale, row = self._direction(read, primitive, scales, k)
            if pieces is not None:
                key: Hashable = ("pieces", row)
            else:
                own = (identity, *(float(p[k]) for p in parameters))
                key = (own, abs(scale) if kind.reflection else scale, row)
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
        atoms[new] = own_atoms.atoms
        self._outputs[number] = atoms
        for k in np.flatnonzero(new & relus):
            self._compared[int(atoms[k])] = _Comparison(number, int(k), read)
        if not np.all(new) or made.sharing.corrections:
            self.sharing[number] = made.sharing
        return own_atoms if np.all(new) else self._outcomes(made.sharing, read)

    def _direction(
        self, read: Sums, primitive: Sums, scales: Array, k: int
    ) -> tuple[float | Fraction, tuple[bytes, bytes]]:
        """The scale and the primitive row of a sum; a multiple of an atom that stands for a sum is one of that sum."""
        if self._rows and read.lengths[k] == 1:
            start = read.ends[k]
            stood = self._rows.get(int(read.atoms[start]))
            if stood is not None:
                sums, at = stood
                inner, inner_scale = primitive_rows(sums.rows(np.array([at])))
                return Fraction(float(read.factors[start])) * Fraction(float(inner_scale[0])), inner.key(0)
        return float(scales[k]), primitive.key(k)

    def _signs(self, sums: Sums) -> Array:
        """For every row 1 where it is never negative, -1 where it is never positive, 0 where neither is known."""
        nonnegative = np.array(self._nonnegative)[sums.atoms]
        lengths, owner = sums.lengths, sums.owners
        upward = np.bincount(owner, nonnegative & (sums.factors > 0), len(lengths)) == lengths
        downward = np.bincount(owner, nonnegative & (sums.factors < 0), len(lengths)) == lengths
        signs = np.where(lengths == 0, 0, upward.astype(int) - downward.astype(int))
        for k in np.unique(owner[self._is_compared(sums.atoms)]):
            if signs[k] == 0:
                row = sums.terms(k)
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
                        waiting.append(added_terms(rest, read, factor))
        return False

    def _corrected(self, read: Sums, relus: Array, made: Table) -> Sums:
        """The rows of ReLU neurons without the parts that never decide the maximum of the row and zero.

        With u = relu(v), a row `r + u` is the maximum of r + v and r. Where one of the two is never positive, the
        neuron may read the other one: so `max(a, b, c) - max(a, b, d)` becomes `c - max(a, b, d)`.
        """
        compared = self._is_compared(read.atoms) & (read.factors == 1)
        changed: dict[int, dict[int, Fraction]] = {}
        for k in np.unique(read.owners[compared]):
            row, found = read.terms(k), relus[k]
            while found:
                found = False
                for atom in sorted(a for a, c in row.items() if c == 1 and a in self._compared):
                    comparison = self._compared[atom]
                    rest = {a: c for a, c in row.items() if a != atom}
                    above = added_terms(rest, comparison.terms(), Fraction(1))
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
        order = np.arange(len(read))
        order[list(changed)] = len(read) + np.arange(len(changed))
        return stack_rows([read, from_terms(list(changed.values()))]).rows(order)

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
        return self.read.terms(self.place)
