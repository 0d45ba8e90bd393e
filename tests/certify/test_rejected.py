"""What is proved and then rejected by the checker: the search goes on to what is left, and ends."""

from __future__ import annotations

import numpy as np
import pytest

import sdpcert
from sdpcert.certify import proved
from sdpcert.certify.dense import DensePlan
from sdpcert.network import Network

WEIGHTS = [np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[1.0, 1.0]])]


@pytest.mark.parametrize("method", ["product", "layer", "neuron", "auto"])
def test_a_search_ends_where_the_checker_accepts_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proved, "accepted", lambda *given: None)
    network = Network.mlp(WEIGHTS)
    found = sdpcert.certify(network, method=method)  # type: ignore[arg-type]
    assert found.status == "unproved"
    assert any("did not accept" in note for note in found.notes)


def test_a_plan_that_is_settled_by_one_candidate_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of layers by construction is, which has nothing else to try."""
    monkeypatch.setattr(proved, "accepted", lambda *given: None)
    monkeypatch.setattr(DensePlan, "is_settled", lambda self, tried, budget: bool(tried))
    network = Network.mlp(WEIGHTS)
    assert sdpcert.certify(network, method="neuron").status == "unproved"
