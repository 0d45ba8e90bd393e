"""Whether the checker's own code confirms the steps of pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.certificate.region_network import network_document
from sdpcert.check import network as networks
from sdpcert.check import pieces as pieces_of_files
from sdpcert.check import region as regions
from sdpcert.check.cover_floating import FloatingReplay
from sdpcert.check.pieces import Split
from sdpcert.check.replay import Replay
from sdpcert.check.state_floating import State as CheckedState
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Bounded, Empty, Piece
from sdpcert.regions.region import Region
from sdpcert.regions.state import State


@dataclass(frozen=True)
class Checked:
    """What the checker replays, as its readers made it."""

    network: networks.Network
    region: regions.Region
    pieces: tuple[pieces_of_files.Piece, ...]
    upper: float
    requirements: tuple[pieces_of_files.Requirement, ...] = ()


class ExactSteps(Replay):
    """A replay that does not look at conditions and flat pieces."""

    def _check_end(self, end: Any, state: Any) -> None:
        pass


class FloatingSteps(FloatingReplay):
    """The same in floating point."""

    def _check_end(self, end: Any, state: Any) -> None:
        pass


def confirm(form: StackedForm, region: Region, pieces: Sequence[Piece], last: State) -> None:
    """Replay the steps of a path of pieces with the checker's code, in floating point and in integers.

    Raises `sdpcert.check.reading.Rejected` for a step that is not proved, AssertionError if the checker's intervals in
    the end are not those of `last`.
    """
    network = networks.read(json.loads(json.dumps(network_document(form))), "network")
    read_region = regions.read(region.fitted(form.inputs).document(), "region", form.inputs)
    reader = pieces_of_files.PiecesReader(network)
    for k, piece in enumerate(pieces):
        reader.add(json.loads(json.dumps(piece.document())), f"pieces[{k}]")
    divided = Checked(network, read_region, tuple(reader.pieces), 1.0)
    floating, exact = FloatingSteps(divided), ExactSteps(divided)
    state, exact_state = CheckedState.of(floating.network, read_region), exact.first
    with np.errstate(all="ignore"):
        for k, piece in enumerate(reader.pieces):
            state, exact_state = floating.after(k, state), exact.after(k, exact_state)
            if isinstance(piece.end, Split):
                side = reader.pieces[k + 1].side or ""
                state, exact_state = state.on_side(piece.end, side), exact_state.on_side(piece.end, side)
    for g, checked in enumerate(state.neurons):
        np.testing.assert_array_equal(checked.known.low, last.low[g])
        np.testing.assert_array_equal(checked.known.high, last.high[g])


def ending(state: State) -> Bounded | Empty:
    """An end for a piece whose end does not matter."""
    return Empty() if state.is_empty else Bounded(1.0, 0, tuple(np.zeros(int(m.sum())) for m in state.undecided))
