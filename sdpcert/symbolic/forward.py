"""The forward pass of a layer with numbers for its symbols: exact, in floats, or as a torch module.

It is written apart from the condition, neuron by neuron, so that it can contradict it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sdpcert.errors import AlgebraError

Array = np.ndarray


class ForwardPass:
    """`y = H x + G z`, `z = phi(U x + W z + b)` for matrices by their names, exact if those are.

    The default activation has the slope `high` above zero and `low` below it. Raises `AlgebraError` if W is not
    strictly lower triangular, so that neurons cannot be computed one after the other.
    """

    def __init__(self, maps: Mapping[str, Array], low: Any, high: Any) -> None:
        self.H, self.G, self.U, self.W = (maps.get(name) for name in "HGUW")
        self.low, self.high = low, high
        self.inputs = next(m.shape[1] for m in (self.H, self.U) if m is not None)
        if self.W is not None and np.any(np.triu(self.W) != 0):
            raise AlgebraError("W is not strictly lower triangular: there is no order in which neurons are computed")

    def __call__(self, x: Array, biases: Any = None, activation: Callable[[Any], Any] | None = None) -> Array:
        """The output for an input (a vector); `activation` maps a number to a number."""
        y = 0 if self.H is None else self.H @ x
        if self.U is None or self.G is None:
            return np.asarray(y)
        act, hidden = activation or self.two_slopes, self.U @ x
        hidden = hidden if biases is None else hidden + np.asarray(biases)
        z = 0 * hidden
        for k, before in enumerate(hidden):
            z[k] = act(before if self.W is None else before + self.W[k] @ z)
        return np.asarray(y + self.G @ z)

    def two_slopes(self, before: Any) -> Any:
        """The activation with the two extreme slopes and its kink at zero."""
        return before * (self.high if before >= 0 else self.low)

    def module(self, biases: Any = None) -> Any:
        """The same map as a `torch.nn.Module` in double precision, for rows of inputs."""
        import torch

        def tensor(value: Any) -> Any:
            return None if value is None else torch.tensor(np.asarray(value, dtype=float))

        H, G, U, W, b = (tensor(v) for v in (self.H, self.G, self.U, self.W, biases))
        low, high = float(self.low), float(self.high)

        class Template(torch.nn.Module):
            """A layer in the notation H, G, U, W."""

            def forward(self, x: Any) -> Any:
                y = 0 if H is None else x @ H.T
                if U is None or G is None:
                    return y
                hidden = x @ U.T if b is None else x @ U.T + b
                z: list[Any] = []
                for k in range(len(U)):
                    before = hidden[..., k]
                    if W is not None and k:
                        before = before + torch.stack(z, -1) @ W[k, :k]
                    z.append(high * before.clamp(min=0) + low * before.clamp(max=0))
                return y + torch.stack(z, -1) @ G.T

        return Template()

    def largest_stretch(self, rng: np.random.Generator, pairs: int = 20) -> float:
        """The greatest squared distance of outputs over that of inputs, for random pairs and biases, in floats."""
        found = 0.0
        for _ in range(pairs):
            biases = None if self.U is None else rng.standard_normal(len(self.U))
            x, step = rng.standard_normal((2, self.inputs))
            y = x + step * 10.0 ** rng.uniform(-2, 1)
            difference = self(x, biases) - self(y, biases)
            found = max(found, float(difference @ difference) / float((x - y) @ (x - y)))
        return found
