"""What a piece is divided at: candidates by a cheap score, then the one whose worse side has the least bound."""

from __future__ import annotations

import numpy as np

from sdpcert.regions.pieces import Split
from sdpcert.regions.reduced import Reduced
from sdpcert.regions.state import State

Array = np.ndarray


def candidates(state: State, reduced: Reduced, count: int) -> list[Split]:
    """The most promising splits of a piece, best first; none if no slope is left undecided.

    On all inputs they are neurons of the first group that has any left: then all neurons before are decided, and the
    half-spaces are exact.
    """
    if not reduced.groups:
        return []
    number = reduced.groups[0]
    neurons = np.flatnonzero(reduced.live[number - 1])
    scores = _scores(reduced, 1)
    order = np.argsort(-scores, kind="stable")[:count]
    return [Split(number, int(neurons[k]), kink(state, number, int(neurons[k]))) for k in order]


def _scores(reduced: Reduced, group: int) -> Array:
    """How much goes through each neuron of a group of the reduced form: what it reads times what reads it."""
    form = reduced.form
    reads = sum(np.square(block.weights).sum(axis=1) for block in form.row(group).values())
    read = np.zeros(form.groups[group - 1].size)
    for to in range(group + 1, form.output_row + 1):
        block = form.blocks.get((to, group))
        if block is not None:
            read += np.square(block.weights).sum(axis=0)
    return np.sqrt(np.asarray(reads) * read)


def kink(state: State, group: int, neuron: int) -> float:
    """The place at which a neuron is split."""
    return 0.0
