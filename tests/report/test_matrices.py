"""Matrices and multipliers are those of the certificate, in whatever version of the file."""

from __future__ import annotations

import numpy as np
import pytest

from sdpcert.report.matrices import multipliers, spectra
from tests.check.version3 import as_version_3, kept


@pytest.mark.parametrize(
    "name", ["dense-relu", "wide-input", "circular-pooled", "convolutional-head", "by-construction"]
)
def test_every_version_has_the_same_matrices(name: str) -> None:
    old, new = kept(name), as_version_3(kept(name), nested=True)
    for before, after in zip(multipliers(old), multipliers(new), strict=True):
        assert (before.name, before.activation) == (after.name, after.activation)
        np.testing.assert_array_equal(before.values, after.values)
    (found, left_out), (again, _) = spectra(old), spectra(new)
    assert left_out == "" and found
    for before, after in zip(found, again, strict=True):
        assert before.name == after.name and before.values[0] > -1e-12
        np.testing.assert_array_equal(before.values, after.values)


def test_names_of_parts() -> None:
    names = [one.name for one in multipliers(kept("convolutional-head"))]
    assert names == ["part 1, layer 1", "part 1, layer 2"]
    assert [one.name for one in multipliers(kept("dense-relu"))] == ["layer 1", "layer 2"]
    assert {one.name.split(" frequency")[0] for one in spectra(kept("convolutional-head"))[0]} == {"part 1", "part 2"}
