"""The condition of a network on a torus: one Hermitian inequality a frequency, all with the same multipliers.

A shift of all signals leaves the network as it is, so multipliers that are the same in every cell lose nothing, and
the discrete Fourier transform splits M into blocks of the order of the channels (Parseval). Opposite frequencies have
conjugate blocks. A head, the dense part after the convolutions, is a second stage: it is bounded in the metric
`sum_c d_c |z_c|^2` with one variable d_c for each channel c that it reads, and the first stage has its output
measured so.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import Arrays, NumpyArrays
from sdpcert.condition.inequality import Inequality, Metric
from sdpcert.condition.scaling import equilibrate, norm_exponent, scale_exponents
from sdpcert.network.stacked import StackedForm
from sdpcert.network.torus import TorusForm

Array = np.ndarray
Matrix = Any
Frequency = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Head:
    """What follows the torus: a stacked form, and for each of its inputs the channel of the torus's output it reads.

    `group` is the group of neurons that is the torus's output.
    """

    form: StackedForm
    channels: Array
    group: int


class FrequencyCondition:
    """The condition over the chosen `frequencies` (all, if none are given), y = (rho, multipliers[, d, head's
    multipliers]).

    `multipliers` is "neuron" (one per channel) or "layer" (one per group). Every choice of frequencies is a relaxation.
    """

    def __init__(
        self,
        form: TorusForm,
        multipliers: str = "neuron",
        frequencies: Sequence[Frequency] | None = None,
        arrays: Arrays | None = None,
        head: Head | None = None,
    ) -> None:
        self.form, self.head, self.arrays = form, head, arrays or NumpyArrays()
        self.per_group = multipliers == "layer"
        self.shift = 0
        sample = _sample(form)
        norms = {
            key: max(norm_exponent(_halves(block.symbol(k, form.torus))) for k in sample)
            for key, block in form.blocks.items()
        }
        if form.pooled:
            for s in form.row(form.output_row):
                norms[form.output_row, s] += np.round(np.log2(form.cells) / 2)
        self.exponents = scale_exponents(norms, form.output_row)
        self.first_metric = 1 + (len(form.groups) if self.per_group else form.channels)
        self.first_head = self.first_metric + (0 if head is None else form.outputs)
        self.variables = self.first_head
        slopes = [(g.alpha, g.beta) for g in form.groups]
        if head is not None:
            blocks, self.head_scaling = equilibrate(head.form, self.exponents[head.group])
            self.head_blocks, self.head_channels = _reduce_head(blocks, head)
            self.variables += len(head.form.groups) if self.per_group else head.form.neurons
            slopes += [(g.alpha, g.beta) for g in head.form.groups]
        self.nonnegative_binds = any(bool(np.any(alpha * beta > 0)) for alpha, beta in slopes)
        self.frequencies: tuple[Frequency, ...] = ()
        self.inequalities: tuple[Inequality, ...] = ()
        self.choose(form.frequencies if frequencies is None else frequencies)

    def choose(self, frequencies: Sequence[Frequency]) -> None:
        """Let the condition be over these frequencies."""
        known = dict(zip(self.frequencies, self.inequalities, strict=False))
        self.frequencies = tuple(frequencies)
        parts = [known[k] if k in known else self.inequality(k) for k in self.frequencies]
        if self.head is not None:
            parts.append(self.inequalities[-1] if known else self._head_inequality())
        self.inequalities = tuple(parts)

    @property
    def exponent(self) -> int:
        """The bound is `2**exponent * sqrt(rho)`."""
        return (-self.exponents[-1] if self.head is None else self.head_scaling.output) + self.shift

    def rescale_output(self, shift: int) -> None:
        """Divide the output by a power of two more."""
        self.shift += shift
        for part in self.inequalities:
            part.rescale_output(shift)

    def inequality(self, frequency: Frequency) -> Inequality:
        """The inequality of one frequency."""
        form, row = self.form, self.form.output_row
        real = all(2 * k % n == 0 for k, n in zip(frequency, form.torus, strict=True))
        blocks: dict[tuple[int, int], Array] = {}
        output: dict[int, Array] = {}
        for (to, source), block in form.blocks.items():
            at_output = to == row
            if at_output and (self.head is not None or (form.pooled and frequency != (0, 0))):
                continue
            symbol = block.symbol(frequency, form.torus)
            symbol = (np.real(symbol) if real else symbol) * 2.0 ** (self.exponents[to] - self.exponents[source])
            if at_output:
                output[source] = symbol * (np.sqrt(form.cells) if form.pooled else 1.0)
            else:
                blocks[to, source] = symbol
        metrics = [Metric(slice(0, form.inputs), 0, self.arrays.asarray(np.ones((1, form.inputs))))]
        if self.head is not None:
            start = form.inputs + sum(g.size for g in form.groups[: self.head.group - 1])
            metrics.append(Metric(slice(start, start + form.outputs), self.first_metric, None, -1.0))
        part = Inequality(
            self.arrays,
            [form.inputs, *(g.size for g in form.groups)],
            blocks,
            output,
            _slopes(form.groups),
            metrics,
            self.variables,
            1,
            self.per_group,
        )
        if self.shift:
            part.rescale_output(self.shift)
        return part

    def _head_inequality(self) -> Inequality:
        assert self.head is not None
        head, row = self.head.form, self.head.form.output_row
        inputs = len(self.head_channels)
        share = (np.arange(self.form.outputs)[:, None] == self.head_channels).astype(float)
        part = Inequality(
            self.arrays,
            [inputs, *(g.size for g in head.groups)],
            {key: w for key, w in self.head_blocks.items() if key[0] != row},
            {source: w for (to, source), w in self.head_blocks.items() if to == row},
            _slopes(head.groups),
            [Metric(slice(0, inputs), self.first_metric, self.arrays.asarray(share))],
            self.variables,
            self.first_head,
            self.per_group,
        )
        if self.shift:
            part.rescale_output(self.shift)
        return part

    # -- results -------------------------------------------------------------------------------------------------------

    def multipliers(self, y: Array) -> tuple[Array, ...]:
        """Per group of the torus, the multipliers of the original network, one per channel."""
        sizes = [g.size for g in self.form.groups]
        return _split(np.asarray(y)[1 : self.first_metric], sizes, self.exponents[1:-1], self.per_group)

    def metric(self, y: Array) -> Array:
        """The d_c of the original network, one an output channel of the torus (ones without a head)."""
        if self.head is None:
            return np.ones(self.form.outputs)
        return np.ldexp(np.asarray(y)[self.first_metric : self.first_head], 2 * self.exponents[self.head.group])

    def head_multipliers(self, y: Array) -> tuple[Array, ...]:
        """Per group of the head, the multipliers of the original network, one per neuron."""
        assert self.head is not None
        sizes = [g.size for g in self.head.form.groups]
        return _split(np.asarray(y)[self.first_head :], sizes, self.head_scaling.neurons, self.per_group)


def _slopes(groups: Sequence[Any]) -> tuple[Array, Array]:
    none = np.zeros(0)
    return np.concatenate([none, *(g.alpha for g in groups)]), np.concatenate([none, *(g.beta for g in groups)])


def _split(values: Array, sizes: list[int], exponents: Sequence[int], per_group: bool) -> tuple[Array, ...]:
    if per_group:
        values = np.repeat(values, sizes)
    bounds = np.cumsum([0, *sizes])
    parts = [values[a:b] for a, b in itertools.pairwise(bounds)]
    return tuple(np.ldexp(t, 2 * e) for t, e in zip(parts, exponents, strict=True))


def _halves(symbol: Array) -> Array:
    """A real matrix with the norm of a complex one, up to a factor of root two."""
    return np.concatenate([np.real(symbol), np.imag(symbol)])


def _sample(form: TorusForm) -> list[Frequency]:
    rows, columns = form.torus
    return sorted({(rows * a // 6, columns * b // 6) for a in range(4) for b in range(4)})


def _reduce_head(blocks: dict[tuple[int, int], Array], head: Head) -> tuple[dict[tuple[int, int], Array], Array]:
    """Replace, channel by channel, the inputs by fewer ones where the rows that read them are fewer (as
    `reduce_input`).
    """
    readers = sorted(key for key in blocks if key[1] == 0)
    stacked = np.concatenate([blocks[key] for key in readers])
    parts, channels = [], []
    for c in range(int(head.channels.max(initial=-1)) + 1):
        columns = stacked[:, head.channels == c]
        if not columns.size:
            continue
        if columns.shape[1] > columns.shape[0]:
            columns = np.linalg.qr(columns.T)[1].T
        parts.append(columns)
        channels.append(np.full(columns.shape[1], c))
    joined, reduced, first = np.concatenate(parts, axis=1), dict(blocks), 0
    for key in readers:
        reduced[key] = joined[first : first + len(blocks[key])]
        first += len(blocks[key])
    return reduced, np.concatenate(channels)
