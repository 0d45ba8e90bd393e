"""The outputs of a network at points, in float64 with a bound of every output's error, on the form with differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network.stacked import Group, StackedForm
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: Room for the rounding of the bounds themselves, and what products may lose to underflow.
SLACK, UNDERFLOW = 1 + 1e-9, 2.0**-1060


@dataclass(frozen=True, eq=False)
class Outputs(ShortRepr):
    """Outputs (points, classes) that are known up to `errors`, entry by entry; infinite where nothing is known."""

    values: Array
    errors: Array

    @staticmethod
    def at(form: StackedForm, points: Array) -> Outputs:
        """Those of a form that `with_differences` made, at points (points, inputs) of float64."""
        sources = [(points, np.zeros_like(points))]
        with np.errstate(all="ignore"):
            for number, group in enumerate(form.groups[:-1], start=1):
                sources.append(_activate(group, *_affine(form, number, group, sources)))
        values, errors = sources[-1]
        known = np.isfinite(values) & np.isfinite(errors)
        return Outputs(np.where(known, values, 0.0), np.where(known, errors, np.inf))

    def margins_down(self, labels: Array) -> Array:
        """Lower bounds of the label's output minus each other one (points, classes); infinite at the label itself."""
        own, error = (np.take_along_axis(part, labels[:, None], 1) for part in (self.values, self.errors))
        difference = own - self.values
        margins = difference - (error + self.errors) * SLACK - 4 * UNIT_ROUNDOFF * np.abs(difference) - UNDERFLOW
        np.put_along_axis(margins, labels[:, None], np.inf, 1)
        return margins

    def surely_lost(self, labels: Array) -> Array:
        """Whether (points,) some other class's output is at least that of the label, for certain."""
        own, error = (np.take_along_axis(part, labels[:, None], 1) for part in (self.values, self.errors))
        difference = self.values - own
        above = difference - (error + self.errors) * SLACK - 4 * UNIT_ROUNDOFF * np.abs(difference) - UNDERFLOW
        np.put_along_axis(above, labels[:, None], -np.inf, 1)
        return np.asarray(np.any(above >= 0, axis=1))


def _affine(form: StackedForm, number: int, group: Group, sources: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Preactivations of a group, and bounds of their errors."""
    count = len(sources[0][0])
    values = np.tile(group.bias, (count, 1))
    sizes, errors = np.abs(values), np.tile(group.bias_radii, (count, 1))
    terms = 1
    for source, block in form.row(number).items():
        given, unsure = sources[source]
        for part in [block.weights] if block.low is None else [block.weights, block.low]:
            values = values + given @ part.T
            sizes = sizes + np.abs(given) @ np.abs(part).T
            errors = errors + unsure @ np.abs(part).T
            terms += part.shape[1] + 1
        if block.radius:
            errors = errors + block.radius * (np.abs(given) + unsure).sum(axis=1, keepdims=True)
    gamma = (terms + 4) * UNIT_ROUNDOFF
    return values, (errors * (1 + 2 * gamma) + gamma * sizes) * SLACK + terms * UNDERFLOW


def _activate(group: Group, values: Array, errors: Array) -> tuple[Array, Array]:
    """Activations, and bounds of their errors."""
    steepest = np.maximum(np.abs(group.alpha), np.abs(group.beta))
    found, evaluation = group.evaluate(values), group.activation.evaluation_error(UNIT_ROUNDOFF)
    assert evaluation is not None  # there is one in float64
    of_result, of_argument = evaluation
    own = np.zeros_like(found)
    if of_result or of_argument:
        own = of_result * np.abs(found) + of_argument * steepest * np.abs(values) + UNDERFLOW
    return found, (steepest * errors + own) * SLACK
