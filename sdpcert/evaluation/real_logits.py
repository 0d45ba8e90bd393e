"""Logits of the real function at images: evaluated in float64, with a bound of what that loses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from sdpcert.evaluation.graph_module import GraphModule
from sdpcert.network.graph import Network
from sdpcert.robustness.from_logits import ErrorBound, surely_wrong
from sdpcert.training.datasets import Description

Array = np.ndarray
#: Points count as adversarial with so many times the error of evaluation: logits that another machine evaluates differ
#: by at most twice the error, so that it can prove them with the error as it is.
ROOM = 4.0


def centre_of(data: Description) -> Array:
    """The mean colour, on every pixel: errors are bounded by the distance from it."""
    return np.broadcast_to(np.array(data.mean, dtype=float)[:, None, None], data.input_shape)


def distances(points: Tensor, data: Description) -> Array:
    """The distances (samples,) of images from `centre_of`, never too small."""
    steps = (points.double().numpy() - centre_of(data)).reshape(len(points), -1)
    return np.linalg.norm(steps, axis=1) * (1 + (steps.shape[1] + 8) * 2.0**-52)


def judge(
    whole: Network, data: Description, error: ErrorBound, device: str = "cpu", room: float = 1.0
) -> Callable[[Tensor, Array], Array]:
    """Whether the real function's class is surely another one than the label, for a batch of points.

    The error of evaluation is counted `room` times.
    """
    exact = GraphModule(whole, device)

    def wrong(points: Tensor, labels: Array) -> Array:
        return surely_wrong(exact.evaluate(points), labels, room * error.at(distances(points, data)))

    return wrong
