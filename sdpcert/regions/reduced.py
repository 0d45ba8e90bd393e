"""The stacked form of a piece: neurons whose slope is decided are substituted, inputs that are fixed are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Multiplier of a neuron that is constant and read, over the least one that balances what reads it: what it costs the
#: rest is one over that.
CONSTANT = 2.0**40


@dataclass(frozen=True, eq=False)
class Reduced(ShortRepr):
    """A piece's stacked form in float64, and how its neurons and inputs are numbered in the network.

    `form` reads the inputs in the mask `moving`. Its groups are those of the network that have `live` neurons left, by
    the numbers `groups` (from 1). Masks have one array for each group of the network: `undecided` neurons are those
    for which a certificate states multipliers; of them only the live ones matter, the others read nothing that moves
    (`constant`) or are read by nothing.
    """

    form: StackedForm
    moving: Array
    groups: tuple[int, ...]
    undecided: tuple[Array, ...]
    live: tuple[Array, ...]
    constant: tuple[Array, ...]
    #: The entries of the constant neurons in the rows that read them: the group that reads (0 the output), what row.
    readers: dict[int, list[Array]]

    def multipliers(self, found: Sequence[Array], exponent: int) -> tuple[Array, ...]:
        """One entry for each undecided neuron, from those of the live ones (an array for each group of `form`).

        `exponent` is that of the output's scale: the multipliers of constant neurons depend on it.
        """
        every = [np.zeros(len(mask)) for mask in self.live]
        for number, values in zip(self.groups, found, strict=True):
            every[number - 1][self.live[number - 1]] = values
        for number in range(len(every), 0, -1):
            constant = self.constant[number - 1]
            if np.any(constant):
                every[number - 1][constant] = CONSTANT * self._needed(number, every, exponent)[constant]
        return tuple(values[mask] for values, mask in zip(every, self.undecided, strict=True))

    def restricted(self, multipliers: Sequence[Array]) -> list[Array]:
        """Those of the live neurons (an array for each group of `form`) from one entry for each undecided one."""
        return [multipliers[k - 1][self.live[k - 1][self.undecided[k - 1]]] for k in self.groups]

    def _needed(self, number: int, every: Sequence[Array], exponent: int) -> Array:
        """For each neuron of a group the least multiplier that balances what reads it, roughly."""
        total = np.zeros(len(self.live[number - 1]))
        for to, weights in self.readers.items():
            square = np.square(np.ldexp(weights[number - 1], -exponent) if to == 0 else weights[number - 1])
            total += square.sum(axis=0) if to == 0 else every[to - 1] @ square
        return total


def reduced_form(state: State) -> Reduced:
    """The form that the condition of a piece is about; products of weights are rounded to float64.

    Raises ValueError if the piece is empty.
    """
    if state.is_empty:
        raise ValueError("an empty piece has no condition")
    form, undecided = state.form, state.undecided
    slopes = [state.slopes(number) for number in range(1, form.output_row)]
    rows = _rows(form, state.moving, undecided, [alpha for alpha, _ in slopes])
    live, constant = _live(rows, undecided, len(form.groups))
    groups = tuple(k for k in range(1, form.output_row) if np.any(live[k - 1]))
    number = {0: 0, **{k: new for new, k in enumerate(groups, start=1)}, form.output_row: len(groups) + 1}
    kept = [np.ones(int(state.moving.sum()), bool), *live, np.ones(form.outputs, bool)]
    blocks = {}
    for (to, source), weights in rows.items():
        if to in number and source in number:
            part = weights[np.ix_(kept[to], kept[source])]
            if np.any(part):
                blocks[number[to], number[source]] = Block(np.ascontiguousarray(part))
    small = StackedForm(int(state.moving.sum()), form.outputs, _groups(form, groups, live, slopes), blocks, form.offset)
    readers: dict[int, list[Array]] = {}
    if any(np.any(mask) for mask in constant):
        for to in range(1, form.output_row + 1):
            sizes = [g.size for g in form.groups]
            readers[to % form.output_row] = [
                rows.get((to, s), np.zeros((len(kept[to]), size))) for s, size in enumerate(sizes, start=1)
            ]
    return Reduced(small, state.moving, groups, undecided, live, constant, readers)


def _rows(
    form: StackedForm, moving: Array, undecided: Sequence[Array], alpha: Sequence[Array]
) -> dict[tuple[int, int], Array]:
    """The rows of all groups and of the output in terms of moving inputs and undecided neurons.

    Columns of decided neurons stay, filled with zeros.
    """
    rows: dict[tuple[int, int], Array] = {}
    for to in range(1, form.output_row + 1):
        for source, block in sorted(form.row(to).items()):
            weights = block.weights if block.low is None else block.weights + block.low
            if source == 0:
                _add(rows, (to, 0), weights[:, moving])
                continue
            own = undecided[source - 1]
            _add(rows, (to, source), np.where(own, weights, 0.0))
            through = np.where(own, 0.0, weights * alpha[source - 1])
            read = np.any(through, axis=0)
            if np.any(read):
                for earlier in range(source):
                    if (source, earlier) in rows:
                        _add(rows, (to, earlier), through[:, read] @ rows[source, earlier][read])
    return rows


def _add(rows: dict[tuple[int, int], Array], key: tuple[int, int], weights: Array) -> None:
    rows[key] = rows[key] + weights if key in rows else weights


def _live(
    rows: dict[tuple[int, int], Array], undecided: Sequence[Array], count: int
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Which undecided neurons of each group matter, and which others are constant but read."""
    moves = [mask.copy() for mask in undecided]
    for number in range(1, count + 1):
        reads = np.zeros(len(undecided[number - 1]), bool)
        for source in range(number):
            if (number, source) in rows:
                columns = slice(None) if source == 0 else moves[source - 1]
                reads |= np.any(rows[number, source][:, columns], axis=1)
        moves[number - 1] &= reads
    live, constant = [mask.copy() for mask in moves], [u & ~m for u, m in zip(undecided, moves, strict=True)]
    for number in range(count, 0, -1):
        used, read = np.zeros((2, len(undecided[number - 1])), bool)
        for to in range(number + 1, count + 2):
            if (to, number) in rows:
                weights = rows[to, number]
                used |= np.any(weights if to == count + 1 else weights[live[to - 1]], axis=0)
                read |= np.any(weights if to == count + 1 else weights[live[to - 1] | constant[to - 1]], axis=0)
        live[number - 1] &= used
        constant[number - 1] &= read
    return tuple(live), tuple(constant)


def _groups(
    form: StackedForm, numbers: Sequence[int], live: Sequence[Array], slopes: Sequence[tuple[Array, Array]]
) -> tuple[Group, ...]:
    found = []
    for k in numbers:
        keep = live[k - 1]
        alpha, beta = slopes[k - 1]
        found.append(replace(form.groups[k - 1].select(keep), alpha=alpha[keep], beta=beta[keep]))
    return tuple(found)
