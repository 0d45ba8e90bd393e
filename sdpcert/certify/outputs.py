"""The outputs that a bound is about: some of them, or the difference of two."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sdpcert.network.affine import Dense, Rearrange
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm


def with_rows(network: Network, rows: Iterable[int] | None) -> Network:
    """The network with only the chosen outputs (row major, counted from 0), all of them for None."""
    if rows is None:
        return network
    return network.followed_by(Rearrange(np.asarray(list(rows), dtype=int)))


def with_pair(network: Network | StackedForm, pair: tuple[int, int] | None) -> Network | StackedForm:
    """The network whose only output is f_i - f_j (row major, counted from 0), the network itself for None.

    Raises ValueError for an output that does not exist, or twice the same.
    """
    if pair is None:
        return network
    if isinstance(network, StackedForm):
        return network.output_pair(*pair)
    outputs = int(np.prod(network.output_shape))
    for row in pair:
        if not 0 <= row < outputs:
            raise ValueError(f"output row {row} does not exist; the network has rows 0 to {outputs - 1}")
    if pair[0] == pair[1]:
        raise ValueError(f"output_pair names output {pair[0]} twice")
    flat = with_rows(network, pair)
    return flat.followed_by(Dense(np.array([[1.0, -1.0]])))
