"""Plans: lists that multiply, names that stay, and one sentence for every mistake."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpcert.sweep import Limits, Plan, read_plan
from sdpcert.sweep.option import Indices
from sdpcert.sweep.radii_of_inputs import RadiiOfInputs

Reads = Callable[[str], Plan]


def test_lists_multiply_and_paths_are_the_plans(planned: Reads) -> None:
    plan = planned('[[sweep]]\nnetwork = "nets/*.npz"\nmethod = ["product", "layer"]\noutput_rows = [[0], [1, 2]]\n')
    assert [(item.network, dict(item.options)) for item in plan.items[:4]] == [
        ("nets/a.npz", {"method": "product", "output_rows": [0]}),
        ("nets/a.npz", {"method": "product", "output_rows": [1, 2]}),
        ("nets/a.npz", {"method": "layer", "output_rows": [0]}),
        ("nets/a.npz", {"method": "layer", "output_rows": [1, 2]}),
    ]
    assert len(plan.items) == len({item.key for item in plan.items}) == 8
    assert plan.items[0].key.startswith("a--product--output_rows-0-")
    assert plan.limits == Limits(None, None, 2)


def test_what_an_item_is_decides_its_name(planned: Reads, networks: Path) -> None:
    keys = [item.key for item in planned('[[sweep]]\nnetwork = "nets/a.npz"\nmethod = ["layer", "auto"]\n').items]
    stated = '[limits]\nseconds = 9\n[[sweep]]\nnetwork = "nets/*.npz"\nmethod = ["layer", "auto"]\ntol = 1e-6\n'
    assert [item.key for item in planned(stated).items][:2] == keys  # defaults, limits and neighbours are no part of it
    moved = networks.parent / "moved"
    shutil.copytree(networks, moved)
    assert [item.key for item in read_plan(moved / "plan.toml").items][:2] == keys
    assert planned('[[sweep]]\nnetwork = "nets/a.npz"\nmethod = "layer"\ntol = 1e-5\n').items[0].key not in keys


def test_all_pairs_are_those_of_the_network(planned: Reads) -> None:
    plan = planned('[[sweep]]\nnetwork = ["nets/a.npz", "none.npz"]\noutput_pair = "all"\n')
    pairs = [item.options["output_pair"] for item in plan.items]
    assert pairs == [[0, 1], [0, 2], [1, 2], "all"]  # the last fails when it is done
    assert len(planned('[[sweep]]\nnetwork = "none.npz"\noutput_pair = "all"\nclasses = 4\n').items) == 6


def test_items_that_two_sweeps_state_are_one(planned: Reads) -> None:
    plan = planned('[[sweep]]\nnetwork = "nets/*.npz"\n[[sweep]]\nnetwork = "nets/a.npz"\nmethod = ["auto", "layer"]\n')
    assert [item.key.partition("-")[0] for item in plan.items] == ["a", "b", "a"]


def test_regions_are_inputs_times_radii_times_norms(planned: Reads) -> None:
    text = '[[sweep]]\nnetwork = "nets/a.npz"\ninputs = "x.npz"\nradius = [0.5, "8/255"]\nnorm = ["l2", "linf"]\n'
    plan = planned(text + "within = [0, 1]\n")
    assert len(plan.items) == 4 * 2 * 2  # all inputs of the file
    assert plan.items[0].options == {"inputs": "x.npz", "index": 0, "within": [0.0, 1.0], "radius": 0.5}
    assert plan.items[1].options["radius"] == 8 / 255
    chosen = planned(text + 'index = [3, "0-1"]\n').items
    assert [item.options["index"] for item in chosen[::4]] == [3, 0, 1]
    assert chosen[0].files == ["nets/a.npz", "x.npz"]


def test_radii_of_some_inputs_an_item(planned: Reads) -> None:
    text = '[[sweep]]\ndo = "radii"\nnetwork = "nets/*.npz"\ninputs = "x.npz"\nradii = [0.1, 0.2]\n'
    assert [item.options["index"] for item in planned(text + "each = 3\n").items] == ["0-2", "3", "0-2", "3"]
    assert [item.options["index"] for item in planned(text).items] == ["0-3", "0-3"]
    assert planned(text).items[0].options["radii"] == [0.1, 0.2]


@given(st.lists(st.integers(0, 40), min_size=1, unique=True), st.integers(1, 9))
def test_texts_of_indices_are_the_indices(indices: list[int], each: int) -> None:
    texts = RadiiOfInputs().grouped(indices, each)
    assert [index for text in texts for index in Indices().values(text.split(","))] == indices


@given(st.integers(1, 7))
def test_shares_are_the_whole(count: int) -> None:
    plan = Plan(Path("plan.toml"), Path(), tuple(range(12)), Limits())  # type: ignore[arg-type]
    assert sorted(k for which in range(1, count + 1) for k in plan.share(which, count)) == list(range(12))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("[limits]\n", "has no [[sweep]]"),
        ("[[sweep]]\nmethod = 'layer'\n", "network is missing"),
        ("[[sweep]\n", "(at line 1"),
        ("tol = 1\n", "there is no key 'tol' at the top of a plan"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\nmethods = ['layer']\n", "there is no key 'methods'"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\nmethod = 'best'\n", "unknown method 'best'"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\nmethod = []\n", "method is an empty list"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\nmethod = 7\n", "method is a text, not 7"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\ntol = [1e-3, 2.0]\n", "tol must lie between 0 and 1"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\nseed = true\n", "seed is an integer, not True"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\noutput_pair = [1]\n", "output_pair is a list of 2 numbers"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\noutput_pair = [0, 1]\noutput_rows = [0]\n", "exclude each other"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\nradius = 0.1\n", "radius needs inputs"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\ninputs = 'x.npz'\n", "inputs needs radius"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\ninputs = 'y.npz'\nradius = 1\n", "inputs y.npz: no such file"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\ninputs = 'x.npz'\nindex = 4\nradius = 1\n", "has no input 4"),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\ninputs = 'x.npz'\nradius = '1/0'\n", "radius is a finite number"),
        (
            "[[sweep]]\nnetwork = 'nets/a.npz'\ninputs = 'x.npz'\nradius = 1\nmethod = 'layer'\n",
            "does not go with region",
        ),
        ("[[sweep]]\nnetwork = 'nets/a.npz'\neach = 2\n", "each counts inputs"),
        ("[[sweep]]\ndo = 'radii'\nnetwork = 'nets/a.npz'\n", "radii need inputs"),
        ("[[sweep]]\ndo = 'count'\nnetwork = 'nets/a.npz'\n", "unknown do 'count'"),
        ("[limits]\nhours = 3\n[[sweep]]\nnetwork = 'nets/a.npz'\n", "there is no key 'hours' in limits"),
        ("[limits]\nseconds = 0\n[[sweep]]\nnetwork = 'nets/a.npz'\n", "seconds must be positive"),
        (
            "[[sweep]]\nnetwork = 'nets/a.npz'\n[[sweep]]\nnetwork = 'nets/a.npz'\nnodes = 0\n",
            "sweep 2: nodes must be 1",
        ),
    ],
)
def test_a_mistake_is_one_line(planned: Reads, text: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        planned(text)
    message = str(refused.value)
    assert said in message and "plan.toml: " in message and "\n" not in message


def test_a_file_of_one_point_has_no_index(planned: Reads, networks: Path) -> None:
    np.save(networks / "x.npy", np.zeros(3))
    text = "[[sweep]]\nnetwork = 'nets/a.npz'\ninputs = 'x.npy'\nradius = 1\n"
    assert "index" not in planned(text).items[0].options
    with pytest.raises(ValueError, match="holds one point"):
        planned(text + "index = 0\n")
