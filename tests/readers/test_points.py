"""Points from files: any order and precision of the same numbers is the same point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdpcert.readers.points import load_point

POINT = np.arange(6.0).reshape(2, 3) / 4


@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", "<f2", "<i4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_precision_and_order_of_a_file_do_not_matter(tmp_path: Path, kind: str, order: str) -> None:
    values = (POINT if "f" in kind else 4 * POINT).astype(kind)
    np.save(tmp_path / "point.npy", np.asarray(values, order="C" if order == "C" else "F"))
    found = load_point(tmp_path / "point.npy", 6)
    assert found.dtype == float and found.tolist() == values.astype(float).ravel().tolist()


def test_one_of_many_is_chosen_by_its_number(tmp_path: Path) -> None:
    np.savez(tmp_path / "points.npz", inputs=np.stack([POINT, POINT + 1, POINT + 2]))
    for index in range(3):
        assert np.array_equal(load_point(tmp_path / "points.npz", 6, index), (POINT + index).ravel())
    with pytest.raises(ValueError, match=r"points\.npz': has no point -1; there are points 0 to 2"):
        load_point(tmp_path / "points.npz", 6, -1)
    with pytest.raises(ValueError, match=r"has the shape \(3, 2, 3\); that is not \(points, \.\.\.\) with 5 each"):
        load_point(tmp_path / "points.npz", 5, 0)


def test_a_path_is_a_path() -> None:
    with pytest.raises(TypeError, match="the file of a point is the path of a file, not int 3"):
        load_point(3, 6)  # type: ignore[arg-type]
