"""The condition M(rho, lambda) >= 0 of a network of dense layers, brought to unit scale for solvers."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import Arrays, NumpyArrays
from sdpcert.condition.inequality import Inequality, Metric
from sdpcert.condition.scaling import equilibrate, reduce_input
from sdpcert.network.stacked import StackedForm

Matrix = Any


class Condition(Inequality):
    """The condition of a network at unit scale, in the variables y = (rho, multipliers): a single inequality.

    `multipliers` is "neuron" (one variable per neuron) or "layer" (one per group). `scaling` maps back to the original
    network. A wide input is replaced by an equivalent narrow one, except with `reduce=False`.
    """

    def __init__(
        self, form: StackedForm, multipliers: str = "neuron", arrays: Arrays | None = None, reduce: bool = True
    ) -> None:
        arrays = arrays or NumpyArrays()
        blocks, self.scaling = equilibrate(form)
        inputs = form.inputs
        if reduce:
            blocks, inputs = reduce_input(blocks, inputs)
        sizes = [inputs, *(g.size for g in form.groups)]
        none = np.zeros(0)
        slopes = tuple(np.concatenate([none, *(getattr(g, name) for g in form.groups)]) for name in ("alpha", "beta"))
        per_group = multipliers == "layer"
        count = 1 + (len(form.groups) if per_group else form.neurons)
        super().__init__(
            arrays,
            sizes,
            {key: w for key, w in blocks.items() if key[0] != form.output_row},
            {source: w for (to, source), w in blocks.items() if to == form.output_row},
            (slopes[0], slopes[1]),
            [Metric(slice(0, inputs), 0, arrays.asarray(np.ones((1, inputs))))],
            count,
            1,
            per_group,
        )
        self.inequalities = (self,)
        self.shift = 0
        self.nonnegative_binds = bool(np.any(slopes[0] * slopes[1] > 0))

    @property
    def exponent(self) -> int:
        """The bound is `2**exponent * sqrt(rho)`."""
        return self.scaling.output + self.shift

    def rescale_output(self, shift: int) -> None:
        """Divide the output by a power of two more."""
        self.shift += shift
        super().rescale_output(shift)

    def dual_value(self, dual: Matrix) -> Matrix:
        """`<F'F, X>`."""
        return self.constant.inner(dual)

    def multipliers(self, y: Matrix) -> list[np.ndarray]:
        """Per group, the multipliers of the original network (before scaling)."""
        spread = self.arrays.numpy(self.spread(y))
        return self.scaling.multipliers([spread[rows] for rows in self.rows[1:]])
