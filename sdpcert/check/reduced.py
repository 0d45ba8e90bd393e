"""The condition of a piece with its decided neurons substituted: a stacked form of integers.

For two points of a piece the difference of a decided neuron is its slope times that of its preactivation. Rows of
undecided neurons and of the output descend through decided ones to the inputs that are not fixed and to undecided
neurons, exactly; what radii of weights may change is carried along as one bound for all coefficients of a source.
"""

from __future__ import annotations

from array import array

from .backward import Coefficients, Descent, IntegerNetwork, units
from .blocks import IntegerBlock
from .inequality import Inequality
from .integers import fixed, fraction_bits, rounded_to
from .pieces import Bounded
from .reading import Rejected
from .region import Region
from .state import State

#: Coordinates of a condition; of a wide input as many as there are rows count.
MAX_COORDINATES = 20_000
#: Bits of the largest weight of a block that are kept; what is dropped goes into its radius.
KEPT_BITS = 160
#: Fraction bits of radii beyond those of the weights.
MORE_BITS = 256


class Substitution(Descent):
    """Rows whose decided neurons are replaced; `found` has the coefficients of undecided ones, by group."""

    def __init__(self, network: IntegerNetwork, state: State, rows: int) -> None:
        super().__init__(network)
        self.state, self.rows = state, rows
        self.found: dict[int, Coefficients] = {}
        self.error_bits = network.bits + MORE_BITS
        #: For each source the bound of what each row's coefficients may be wrong by, over 2^error_bits.
        self.errors: dict[int, list[int]] = {}
        self.uncertain = any(weights.radius for inward in network.inward for weights in inward)

    def through(self, group: int, neurons: Coefficients) -> Coefficients:
        known = self.state.neurons(group)
        undecided = known.undecided
        self.found[group] = Coefficients(neurons.bits, [neurons.columns[j] for j in undecided])
        left_out, bits = set(undecided), fraction_bits(alpha for alpha, _ in known.slopes)
        zeros = [0] * self.rows
        columns = []
        for j, column in enumerate(neurons.columns):
            slope = 0 if j in left_out else fixed(known.slopes[j][0], bits)
            columns.append([x * slope for x in column] if slope else zeros)
        return Coefficients(neurons.bits + bits, columns)

    def reads(self, group: int, coefficients: Coefficients) -> None:
        if not self.uncertain:
            return
        own = self.errors.get(group, [0] * self.rows)
        sizes = coefficients.sizes()
        slopes = self._sizes_of_slopes(group)
        for weights in self.network.inward[group]:
            steepest, bits = self._gain(weights.columns, weights.radius, slopes)
            before = self.errors.setdefault(weights.source, [0] * self.rows)
            self.errors[weights.source] = [
                e
                + rounded_to(steepest * o, bits + weights.bits, 0, False)
                + rounded_to(weights.radius * size, weights.bits + coefficients.bits, self.error_bits, False)
                for e, o, size in zip(before, own, sizes, strict=True)
            ]

    def _sizes_of_slopes(self, group: int) -> tuple[list[int], int]:
        """|alpha| of decided neurons and 0 of others, and fraction bits; nothing passes the output."""
        if group > len(self.state.groups):
            return [], 0
        known = self.state.neurons(group)
        bits, left_out = fraction_bits(alpha for alpha, _ in known.slopes), set(known.undecided)
        return [0 if j in left_out else abs(fixed(a, bits)) for j, (a, _) in enumerate(known.slopes)], bits

    @staticmethod
    def _gain(
        columns: list[tuple[list[int] | None, list[int]]], radius: int, slopes: tuple[list[int], int]
    ) -> tuple[int, int]:
        """The largest sum over rows i of |alpha_i| (|w_ij| + radius) of a column j, and the fraction bits of slopes."""
        sizes, bits = slopes
        if not sizes:
            return 0, 0
        most = 0
        for some, weights in columns:
            chosen = sizes if some is None else [sizes[i] for i in some]
            most = max(most, sum(s * abs(w) for s, w in zip(chosen, weights, strict=True)))
        return most + radius * sum(sizes), bits


def reduced(end: Bounded, network: IntegerNetwork, state: State, region: Region) -> Inequality:
    """The inequality of a piece at the point that the file states; raise `Rejected` if the point does not fit it."""
    moving = [j for j, is_fixed in enumerate(region.fixed(network.network.inputs)) if not is_fixed]
    counts = [len(known.undecided) for known in state.groups]
    for g, (count, multipliers) in enumerate(zip(counts, end.multipliers, strict=True), 1):
        if len(multipliers) != count:
            raise Rejected(f"{len(multipliers)} multipliers for {count} undecided neurons of group {g}")
    sizes = [len(moving), *counts, network.network.outputs]
    if min(len(moving), sum(sizes[1:])) + sum(counts) > MAX_COORDINATES:
        raise Rejected(f"the reduced condition has more than {MAX_COORDINATES} coordinates")
    blocks = []
    for target in range(1, len(sizes)):
        if sizes[target]:
            blocks += _blocks(target, sizes, moving, network, state)
    slopes = [[known.slopes[i] for i in known.undecided] for known in state.groups]
    return Inequality(
        sizes,
        [array("d", [alpha for alpha, _ in pairs]) for pairs in slopes],
        [array("d", [beta for _, beta in pairs]) for pairs in slopes],
        end.multipliers,
        end.rho,
        end.exponent,
        blocks,
    )


def _blocks(
    target: int, sizes: list[int], moving: list[int], network: IntegerNetwork, state: State
) -> list[IntegerBlock]:
    """The blocks that feed one group, or the output, increasing in their source."""
    if target <= len(state.groups):
        known = state.neurons(target)
        direct = units(known.undecided, len(known.low))
    else:
        direct = units(list(range(sizes[target])), sizes[target])
    rows = Substitution(network, state, sizes[target])
    inputs = rows.run({target: direct})
    found = dict(rows.found)
    if inputs is not None:
        found[0] = Coefficients(inputs.bits, [inputs.columns[j] for j in moving])
    blocks = []
    for source in sorted(found):
        if sizes[source]:
            errors = rows.errors.get(source, [])
            blocks.append(_block(target, source, found[source], max(errors, default=0), rows.error_bits))
    return blocks


def _block(target: int, source: int, coefficients: Coefficients, error: int, error_bits: int) -> IntegerBlock:
    """One block with weights that are not longer than `KEPT_BITS`."""
    entries = [x for row in zip(*coefficients.columns, strict=True) for x in row]
    rows = len(coefficients.columns[0])
    largest = max(map(abs, entries)).bit_length()
    dropped = max(largest - KEPT_BITS, 0)
    bits = coefficients.bits - dropped if largest else error_bits
    radius = rounded_to(error, error_bits, bits, False) + (dropped > 0)
    half = 1 << dropped - 1 if dropped else 0
    kept = [x + half >> dropped for x in entries]
    if bits < 0:  # integers far above one
        bits, radius, kept = 0, radius << -bits, [x << -bits for x in kept]
    return IntegerBlock(target, source, rows, len(coefficients.columns), bits, radius, kept)
