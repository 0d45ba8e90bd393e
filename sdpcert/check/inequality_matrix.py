"""The matrix M of a stacked form in integers, row after row in a given order of its coordinates; never the whole.

All numbers are Python integers: one number of fraction bits for all weights, one for all slopes, one for all
multipliers. What is held at a time is a panel of rows and the weights that enter them.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence

from .blocks import Matrix
from .inequality import Inequality
from .integers import PANEL, Rows, fixed, fraction_bits, largest
from .symmetric import SymmetricMatrix

#: Weights that are held as integers at a time: some hundred megabytes.
MAX_HELD = 10**7

#: Rows that are being formed, by their position, and a source's part of them: position and index in the source.
Panel = dict[int, defaultdict[int, int]]
Members = list[tuple[int, int]]


class FixedWeights:
    """The weights of blocks as integers; those not used for long are made again, so that never many are held."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._held: OrderedDict[tuple[int, int], list[list[int]]] = OrderedDict()
        self._count = 0

    def rows(self, block: Matrix) -> list[list[int]]:
        """The rows of a block, times 2^bits."""
        key = block.target, block.source
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        flat, columns = block.fixed(self.bits), block.columns
        found = [flat[i * columns : (i + 1) * columns] for i in range(block.rows)]
        self._count += len(flat)
        while self._held and self._count > MAX_HELD:
            _, forgotten = self._held.popitem(last=False)
            self._count -= sum(map(len, forgotten))
        self._held[key] = found
        return found


class MatrixOfInequality(SymmetricMatrix):
    """The lower triangle of 2^bits P M P', and what the radii of the weights may change.

    Row i belongs to coordinate `order[i]`, or i if there is no order. Radii share the fraction bits of the weights, so
    that each allowance has the bits of the term of M it belongs to.
    """

    def __init__(self, inequality: Inequality, order: Sequence[int] | None = None) -> None:
        super().__init__(None, 0)
        self.inequality, self.offsets = inequality, inequality.offsets()
        self.order = range(self.offsets[-1]) if order is None else order
        self.position = list(self.order)
        for place, coordinate in enumerate(self.order):
            self.position[coordinate] = place
        ends = zip(self.offsets, self.offsets[1:], strict=False)
        self.first = [min(self.position[a:b], default=self.offsets[-1]) for a, b in ends]  # of each source
        self.inward: dict[int, list[Matrix]] = {target: [] for target in range(1, len(inequality.sizes))}
        self.readers: dict[int, list[Matrix]] = {source: [] for source in range(len(inequality.sizes))}
        for block in inequality.blocks:
            self.inward[block.target].append(block)
            self.readers[block.source].append(block)
        self._set_bits()
        self.weights = FixedWeights(self.weight_bits)
        self.factors = {target: self._factors(target) for target in self.inward}
        self._sizes: dict[int, int] = {}

    def _set_bits(self) -> None:
        inequality = self.inequality
        self.weight_bits = max((block.needed_bits() for block in inequality.blocks), default=0)
        self.slope_bits = max(map(fraction_bits, [*inequality.alpha, *inequality.beta]), default=0)
        self.multiplier_bits = max(map(fraction_bits, inequality.multipliers), default=0)
        square_bits = self.multiplier_bits + 2 * self.slope_bits + 2 * self.weight_bits
        self.output_bits = 2 * self.weight_bits + 2 * inequality.exponent
        self.bits = max(fraction_bits([inequality.rho]), square_bits, self.output_bits)

    def _factors(self, target: int) -> tuple[list[int], list[int]]:
        """The factors of -(e_i k_i' + k_i e_i') and of k_i k_i', one of each for each row k_i that feeds `target`.

        A list is empty if it would have nothing but zeros.
        """
        inequality, size = self.inequality, self.inequality.sizes[target]
        if target == len(inequality.sizes) - 1:
            return [], [-1 << (self.bits - self.output_bits)] * size
        linear_bits = self.multiplier_bits + self.slope_bits + self.weight_bits
        square_bits = self.multiplier_bits + 2 * self.slope_bits + 2 * self.weight_bits
        linear, square = [], []
        for arrays in zip(inequality.alpha[target - 1], inequality.beta[target - 1], strict=True):
            low, high = (fixed(slope, self.slope_bits) for slope in arrays)
            multiplier = fixed(inequality.multipliers[target - 1][len(linear)], self.multiplier_bits)
            linear.append(multiplier * (low + high) << (self.bits - linear_bits))
            square.append(2 * multiplier * low * high << (self.bits - square_bits))
        return linear if any(linear) else [], square if any(square) else []

    def _places(self, source: int) -> list[int]:
        """The positions of the coordinates of a source."""
        return self.position[self.offsets[source] : self.offsets[source + 1]]

    # ------------------------------------------------------------ rows

    def each(self) -> Iterator[dict[int, int]]:
        return self._formed() if self._rows is None else iter(self._rows)

    def held(self) -> Rows:
        if self._rows is None:
            self._rows = list(self._formed())
        return self._rows

    def _formed(self) -> Iterator[defaultdict[int, int]]:
        for top in range(0, len(self.order), PANEL):
            places = range(top, min(top + PANEL, len(self.order)))
            panel: Panel = {place: defaultdict(int) for place in places}
            of_source: defaultdict[int, Members] = defaultdict(list)
            for place in places:
                source = bisect_right(self.offsets, self.order[place]) - 1
                of_source[source].append((place, self.order[place] - self.offsets[source]))
            for source, members in of_source.items():
                self._add_own(panel, source, members)
                for block in self.readers[source]:
                    self._add_readers(panel, block, members)
                    self._add_squares(panel, block, members)
            yield from panel.values()

    def _add_own(self, panel: Panel, source: int, members: Members) -> None:
        """Add the diagonal of some coordinates of one source, and the products with what they read."""
        inequality = self.inequality
        if source == 0:
            for place, _ in members:
                panel[place][place] += fixed(inequality.rho, self.bits)
            return
        linear, _ = self.factors[source]
        for place, i in members:
            multiplier = fixed(inequality.multipliers[source - 1][i], self.multiplier_bits)
            row, factor = panel[place], linear[i] if linear else 0
            row[place] += 2 * multiplier << (self.bits - self.multiplier_bits)
            for block in self.inward[source] if factor else ():
                for at, x in zip(self._places(block.source), self.weights.rows(block)[i], strict=True):
                    if x and at < place:
                        row[at] -= factor * x

    def _add_readers(self, panel: Panel, block: Matrix, members: Members) -> None:
        """Add the products of some coordinates of one source with the neurons that read them and stand before them."""
        linear, _ = self.factors[block.target]
        if not linear or self.first[block.target] > members[-1][0]:
            return
        for row, factor, at in zip(self.weights.rows(block), linear, self._places(block.target), strict=True):
            if factor:
                for place, c in members:
                    if at < place and row[c]:
                        panel[place][at] -= factor * row[c]

    def _add_squares(self, panel: Panel, block: Matrix, members: Members) -> None:
        """Add what some coordinates of one source have in the sum of square_i k_i k_i' over the rows of one target.

        One multiplication serves all coordinates, which lie side by side in long integers as in `products`.
        """
        _, square = self.factors[block.target]
        if not square:
            return
        size = self._field(block.target)
        active, packed = [], []
        for i, (row, factor) in enumerate(zip(self.weights.rows(block), square, strict=True)):
            total = 0
            for _, c in reversed(members):
                total = (total << 8 * size) + factor * row[c]
            if total:
                active.append(i)
                packed.append(total)
        half = 1 << (8 * size - 1)
        bias = sum(half << 8 * size * t for t in range(len(members)))  # makes every field nonnegative
        last = members[-1][0]
        for other in self.inward[block.target] if active else ():
            if self.first[other.source] > last:
                continue
            rows = self.weights.rows(other)
            columns = zip(*(rows[i] for i in active), strict=True)
            for at, column in zip(self._places(other.source), columns, strict=True):
                total = sum(map(operator.mul, column, packed)) if at <= last else 0
                if total:
                    fields = (total + bias).to_bytes(size * len(members), "little")
                    for t, (place, _) in enumerate(members):
                        if at <= place:
                            panel[place][at] += int.from_bytes(fields[t * size : (t + 1) * size], "little") - half

    def _field(self, target: int) -> int:
        """Bytes that hold any entry of the sum of square_i k_i k_i' over the rows of a target, with its sign."""
        if target not in self._sizes:
            most = max((largest(self.weights.rows(block)) for block in self.inward[target]), default=0)
            bound = sum(map(abs, self.factors[target][1])) * most**2
            self._sizes[target] = bound.bit_length() // 8 + 1  # bound < 2^(8 size - 1)
        return self._sizes[target]

    # ------------------------------------------------------------ radii

    def allowances(self, scales: list[int]) -> list[int]:
        own = [scales[place] for place in self.position]
        found = [0] * len(own)
        for target, blocks in self.inward.items():
            if any(block.fixed_radius(self.weight_bits) for block in blocks):
                self._add_allowances(found, own, target)
        return [found[coordinate] for coordinate in self.order]

    def _add_allowances(self, allowances: list[int], scales: list[int], target: int) -> None:
        """Add what the uncertain weights into one group or the output contribute.

        With A_j the sum over i of |square_i k_ij|, the formulas of the format description, summed over the column,
        need only sums over whole sources: of the scales and of the scaled A_l. So it costs no more than reading the
        weights.
        """
        offsets, blocks, (linear, square) = self.offsets, self.inward[target], self.factors[target]
        first = offsets[target] if linear else 0
        all_linear = sum(abs(x) * scales[first + i] for i, x in enumerate(linear))
        all_square = sum(map(abs, square))
        radii, all_scales, columns, all_columns = [], [], [], 0
        for block in blocks:
            span = range(offsets[block.source], offsets[block.source] + block.columns)
            sums = [0] * block.columns
            for factor, row in zip(square, self.weights.rows(block), strict=False):
                if factor:
                    for c, x in enumerate(row):
                        sums[c] += abs(factor * x)
            radii.append(block.fixed_radius(self.weight_bits))
            all_scales.append(sum(scales[j] for j in span))
            columns.append(sums)
            all_columns += sum(total * scales[j] for total, j in zip(sums, span, strict=True))
        all_radii = sum(map(operator.mul, radii, all_scales))
        for i, factor in enumerate(linear):  # entries (i, j) of neuron i
            allowances[first + i] += abs(factor) * all_radii
        for block, radius, sums in zip(blocks, radii, columns, strict=True):
            for c, total in enumerate(sums):  # entries (j, i), then entries (j, l)
                allowances[offsets[block.source] + c] += (
                    radius * (all_linear + all_columns + all_square * all_radii) + total * all_radii
                )
