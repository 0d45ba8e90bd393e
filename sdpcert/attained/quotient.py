"""A proved lower bound of the difference quotient of two given inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdpcert.attained import exact_ratio, graph_ratio, stacked_ratio
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm

Array = np.ndarray
#: A loss by bounds of errors, relative, for which integers are not worth their while.
NEGLIGIBLE = 1e-7


def evaluate_ratio(
    network: Network | StackedForm, x: Array, x_prime: Array, output_rows: Sequence[int] | None = None
) -> float:
    """A float that is at most |f(x) - f(x')| / |x - x'| for the real function of the stored weights; 0 where nothing
    is sure.

    In a `Network`, every layer's `coefficient_error` is added to the error bound, so the ratio also holds for the
    weights that were rounded; offsets are meant as stored. `output_rows` are the outputs that count (row major, counted
    from 0).
    """
    x, x_prime = np.array(x, dtype=float).ravel(), np.array(x_prime, dtype=float).ravel()
    inputs = int(np.prod(network.input_shape)) if isinstance(network, Network) else network.inputs
    if not len(x) == len(x_prime) == inputs:
        raise ValueError(f"the network reads {inputs} numbers, not {len(x)} and {len(x_prime)}")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(x_prime))) or np.array_equal(x, x_prime):
        return 0.0
    with np.errstate(all="ignore"):
        if isinstance(network, Network):
            rows = chosen_rows(output_rows, int(np.prod(network.output_shape)))
            sure = graph_ratio.sure_difference(network, x[None], x_prime[None], rows)[0]
        else:
            form = network if output_rows is None else network.output_rows(output_rows)
            sure = stacked_ratio.sure_difference(form, x, x_prime)
            if exact_ratio.is_possible(form) and _loses(form, sure, x, x_prime):
                square = exact_ratio.squared_quotient(form, x, x_prime)
                if square is not None:
                    return stacked_ratio.root_down(square)
    if not np.all(np.isfinite(sure)) or not np.any(sure):
        return 0.0
    return stacked_ratio.quotient_down(sure, x, x_prime)


def _loses(form: StackedForm, sure: Array, x: Array, x_prime: Array) -> bool:
    """Whether the bound of the errors takes away a part of the difference that float64 sees."""
    seen = form.evaluate(x[None])[0] - form.evaluate(x_prime[None])[0]
    return bool(np.linalg.norm(sure) < (1 - NEGLIGIBLE) * np.linalg.norm(seen))


def chosen_rows(rows: Sequence[int] | None, outputs: int) -> list[int] | None:
    """The chosen outputs as integers; raises ValueError if there are none, or one does not exist."""
    if rows is None:
        return None
    chosen = [int(r) for r in rows]
    if not chosen:
        raise ValueError("no output row was chosen")
    for row in chosen:
        if not 0 <= row < outputs:
            raise ValueError(f"output row {row} does not exist; the network has rows 0 to {outputs - 1}")
    return chosen
