"""A guess of where the network stretches most within a piece, from the optimum of its condition.

The dual matrix has every neuron near one of its slopes where the bound is nearly attained. If inputs have all of these
phases at once, the norm of the Jacobian there is what they attain: so a search need not divide a piece until every
phase is decided.
"""

from __future__ import annotations

import numpy as np

from sdpcert.certify.branching.bounding import witness_at
from sdpcert.certify.branching.node import Node, Witness
from sdpcert.certify.branching.places import places
from sdpcert.regions.emptiness import inner_point
from sdpcert.regions.pieces import Split


def guess(node: Node) -> Witness | None:
    """How the network stretches at a point with the phases that the optimum prefers; None if there is none."""
    if node.contradictions is None:
        return None
    state = node.state
    for number, leanings in enumerate(node.contradictions, start=1):
        at = places(state, number)
        for k in np.flatnonzero((leanings != 0) & ~np.isnan(at)):
            state = state.on_side(Split(number, int(k), float(at[k])), "above" if leanings[k] > 0 else "below")
    point = inner_point(state)
    return None if point is None else witness_at(state, point)
