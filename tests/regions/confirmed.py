"""Whether the checker's own code confirms the steps of pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from sdpcert.certificate.region_network import network_document
from sdpcert.check import network as networks
from sdpcert.check import pieces as pieces_of_files
from sdpcert.check import region as regions
from sdpcert.check.cover_floating import after_steps
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.state_floating import State as CheckedState
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Bounded, Empty, Piece
from sdpcert.regions.region import Region
from sdpcert.regions.state import State


def confirm(form: StackedForm, region: Region, pieces: Sequence[Piece], last: State) -> None:
    """Replay the steps of a path of pieces with the checker's floating-point code.

    Raises `sdpcert.check.reading.Rejected` for a step that is not proved, AssertionError if the checker's state in the
    end is not `last`. Ends but splits are not looked at, except that `Empty` has to be empty.
    """
    network = networks.read(json.loads(json.dumps(network_document(form))), "network")
    read_region = regions.read(region.fitted(form.inputs).document(), "region", form.inputs)
    reader = pieces_of_files.PiecesReader(network)
    for k, piece in enumerate(pieces):
        reader.add(json.loads(json.dumps(piece.document())), f"pieces[{k}]")
    with np.errstate(all="ignore"):
        state = CheckedState.of(FloatingNetwork(network), read_region)
        for k, piece in enumerate(reader.pieces):
            state = after_steps(state, piece)
            if k + 1 < len(reader.pieces):
                assert isinstance(piece.end, pieces_of_files.Split)
                state = state.on_side(piece.end, reader.pieces[k + 1].side or "")
    assert state.is_empty == last.is_empty
    for group, checked in enumerate(state.neurons):
        np.testing.assert_array_equal(checked.known.low, last.low[group])
        np.testing.assert_array_equal(checked.known.high, last.high[group])


def ending(state: State) -> Bounded | Empty:
    """An end for a piece whose end does not matter."""
    return Empty() if state.is_empty else Bounded(1.0, 0, tuple(np.zeros(int(m.sum())) for m in state.undecided))
