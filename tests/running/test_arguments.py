"""Arguments of the public functions: what natural ones mean, and one clear sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert


@pytest.fixture(scope="module")
def network() -> sdpcert.Network:
    rng = np.random.default_rng(2)
    return sdpcert.Network.mlp([rng.standard_normal((5, 3)), rng.standard_normal((4, 5))])


@pytest.mark.parametrize(
    ("rows", "same"),
    [(2, [2]), (np.int64(2), [2]), (range(1, 3), [1, 2]), ((0, 3), [0, 3]), (np.array([3, 1]), [3, 1])],
)
def test_outputs_are_chosen_by_what_counts_them(network: sdpcert.Network, rows: Any, same: list[int]) -> None:
    made, wanted = sdpcert.certify(network, output_rows=rows), sdpcert.certify(network, output_rows=same)
    assert made.upper == wanted.upper and made.information["output_rows"] == same


def test_no_limit_is_none(network: sdpcert.Network) -> None:
    made = sdpcert.certify(network, time_limit=None, memory_limit=None)
    assert made.method == "neuron" and made.upper == sdpcert.certify(network, time_limit=float("inf")).upper


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"tol": "x"}, TypeError, "tol is a number"),
        ({"tol": True}, TypeError, "tol is a number"),
        ({"tol": None}, TypeError, "tol is a number"),
        ({"tol": 1}, ValueError, "tol must lie between 0 and 1"),
        ({"tol": float("nan")}, ValueError, "tol must lie between 0 and 1"),
        ({"seed": -1}, ValueError, "seed must be 0 or more"),
        ({"seed": 2**64}, ValueError, "seed must be 0 or more"),
        ({"seed": 1.0}, TypeError, "seed is an integer"),
        ({"seed": None}, TypeError, "seed is an integer"),
        ({"time_limit": 0}, ValueError, "time_limit must be positive, or None"),
        ({"time_limit": float("nan")}, ValueError, "time_limit must be positive, or None"),
        ({"time_limit": "10"}, TypeError, "time_limit is a number"),
        ({"memory_limit": -1}, ValueError, "memory_limit must be positive, or None"),
        ({"memory_limit": [1]}, TypeError, "memory_limit is a number"),
        ({"output_rows": "0"}, TypeError, "output_rows is a list of integers"),
        ({"output_rows": {0}}, TypeError, "output_rows is a list of integers"),
        ({"output_rows": True}, TypeError, "output_rows is a list of integers"),
        ({"output_rows": 1.0}, TypeError, "output_rows is a list of integers"),
        ({"output_rows": np.eye(2)}, TypeError, "output_rows is a list of integers"),
        ({"output_rows": [0.5]}, TypeError, "an entry of output_rows is an integer"),
        ({"output_rows": [True]}, TypeError, "an entry of output_rows is an integer"),
        ({"output_rows": -1}, ValueError, "does not exist"),
        ({"output_rows": []}, ValueError, "no output row"),
        ({"method": None}, TypeError, "method is a name"),
        ({"method": ["neuron"]}, TypeError, "method is a name"),
        ({"method": "magic"}, ValueError, "unknown method"),
        ({"solver": {}}, TypeError, "solver is a name"),
        ({"form": 1}, TypeError, "form is a name"),
        ({"head": "both"}, ValueError, "unknown head"),
        ({"device": 0}, TypeError, "device is a name"),
        ({"progress": "yes"}, TypeError, "progress is a function"),
        ({"on_interrupt": "stop"}, ValueError, "unknown on_interrupt 'stop'; choose one of prove, raise"),
    ],
)
def test_certify_says_what_an_argument_is(
    network: sdpcert.Network, options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says) as error:
        sdpcert.certify(network, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("what", [None, 5, "model.onnx", Path("model.onnx"), [np.eye(2)]])
def test_certify_says_what_can_be_certified(what: Any) -> None:
    with pytest.raises(TypeError, match="can be certified, not") as error:
        sdpcert.certify(what)
    assert ("sdpcert.load" in str(error.value)) == isinstance(what, str | Path)


@pytest.mark.parametrize("what", [None, 5, {}, ["c.json"], b"c.json", True])
@pytest.mark.parametrize("function", [sdpcert.check, sdpcert.load, sdpcert.Certificate.load])
def test_what_is_no_path_is_a_sentence(function: Callable[[Any], Any], what: Any) -> None:
    with pytest.raises(TypeError, match="the path of a") as error:
        function(what)
    assert type(what).__name__ in str(error.value)


def test_a_certificate_is_saved_to_a_path_and_checked_as_it_is(network: sdpcert.Network, tmp_path: Path) -> None:
    made = sdpcert.certify(network)
    for what in (None, 5, b"c.json", {}):
        with pytest.raises(TypeError, match="the output is the path of a file, not"):
            made.save(what)  # type: ignore[arg-type]
    for name in ("", "no/such/folder/c.json", "."):
        with pytest.raises(ValueError, match=r"the path of a file|does not exist|cannot write"):
            made.save(tmp_path / name if name else name)
    result = sdpcert.check(made)
    assert result.ok and result.upper == made.upper and result.sha256 == made.sha256
    unproved = sdpcert.certify(sdpcert.Network.mlp([np.full((2, 2), 1e200), np.full((2, 2), 1e200)]))
    assert not sdpcert.check(unproved).ok and "nothing was proved" in sdpcert.check(unproved).reason


@pytest.mark.parametrize(
    ("shape", "kind"),
    [(None, TypeError), ("3", TypeError), ({}, TypeError), ((3.0,), TypeError), ((True,), TypeError)]
    + [((0,), ValueError), ((-3,), ValueError), ((), ValueError)],
)
def test_from_torch_says_what_a_shape_is(shape: Any, kind: type[Exception]) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(kind, match="input_shape"):
        sdpcert.from_torch(torch.nn.Linear(3, 2), shape)


def test_from_torch_takes_one_length() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(3, 2)
    shapes: list[Any] = [3, [3], torch.Size([3]), np.array([3])]
    for shape in shapes:
        assert sdpcert.from_torch(module, shape).input_shape == (3,)
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        sdpcert.from_torch(5, 3)
    assert sdpcert.certify(sdpcert.from_torch(module, 3), device=torch.device("cpu")).status == "proved"
