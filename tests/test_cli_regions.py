"""The options of regions: what they mean, and one line on stderr for everything that they cannot mean."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sdpcert import Ball, Box, Certificate, cli
from sdpcert.readers.points import load_point
from sdpcert.solvers.solution import Progress
from sdpcert.verbs.regions import ChosenRegion, RegionOptions, chosen_pair

MLP = Path(__file__).parents[1] / "examples" / "networks" / "digits_mlp.npz"
INPUTS, OUTPUTS = 64, 10


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with good files and bad ones, each named for what it holds."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).random((1, 8, 8)).astype(np.float32)
    np.save("image.npy", image)
    np.savez("images.npz", inputs=np.stack([image, image / 2]), labels=[1, 2])
    np.savez("other.npz", x=image)
    np.save("high.npy", image + 0.1)
    np.save("low.npy", image - 0.1)
    np.save("nan.npy", np.where(np.arange(INPUTS) == 5, np.nan, 0.5))
    np.save("infinite.npy", np.full(INPUTS, np.inf))
    np.save("few.npy", np.zeros(63))
    np.save("one.npy", np.zeros(1))
    np.save("none.npy", np.zeros(0))
    np.save("text.npy", np.array(["a"] * INPUTS))
    np.save("complex.npy", np.zeros(INPUTS, dtype=complex))
    np.save("pickled.npy", np.array([{}] * INPUTS, dtype=object), allow_pickle=True)
    Path("pickle.npy").write_bytes(pickle.dumps([0.5] * INPUTS))
    Path("empty.npy").touch()
    Path("truncated.npy").write_bytes(Path("image.npy").read_bytes()[:-8])
    Path("truncated.npz").write_bytes(Path("images.npz").read_bytes()[:-40])
    Path("garbage.npy").write_bytes(np.random.default_rng(1).bytes(2000))
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    Path("huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    Path("image.txt").write_text("0.5\n" * INPUTS)
    Path("folder.npy").mkdir()
    os.mkfifo("pipe.npy")
    return tmp_path


def failed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The line on stderr of a command that has to end with exit code 2 and nothing else."""
    before = sorted(Path().iterdir())
    with pytest.raises(SystemExit) as ended:
        cli.main(["certify", str(MLP), *map(str, arguments)])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err.count("\n")) == (2, "", 1), captured.err
    assert sorted(Path().iterdir()) == before
    return captured.err


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("missing.npy", "no such file"),
        ("empty.npy", "is empty"),
        ("folder.npy", "is a folder"),
        ("pipe.npy", "is not a regular file"),
        ("image.txt", "neither .npy nor .npz; write it again with numpy.save"),
        ("nan.npy", "entry 5 is nan; every entry of a point has to be a finite number"),
        ("infinite.npy", "entry 0 is inf"),
        ("few.npy", "has 63 numbers (shape (63,)), and the network reads 64; save as many"),
        ("one.npy", "has 1 numbers"),
        ("none.npy", "has 0 numbers"),
        ("text.npy", "holds <U1 instead of real numbers; write it again with numpy.save"),
        ("complex.npy", "holds complex128 instead of real numbers"),
        ("pickled.npy", "holds Python objects (a pickle, which can run code)"),
        ("pickle.npy", "is damaged"),
        ("truncated.npy", "does not have the bytes that its shape (1, 8, 8) states; write it again"),
        ("garbage.npy", "is damaged"),
        ("huge.npy", "has 1000000000000 entries, above the limit"),
        ("truncated.npz", "is truncated or no .npz file"),
        ("other.npz", "has no array 'inputs', but 'x'; write it with numpy.savez(FILE, inputs=points)"),
        ("images.npz", "holds 2 points; choose one by its index, from 0 to 1"),
    ],
)
def test_a_file_that_is_no_point_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str, says: str
) -> None:
    line = failed(capsys, "--around", file, "--radius", "0.1")
    assert line.startswith(f"sdpcert: '{file}': ") and says in line
    if file.endswith(".npy"):
        assert failed(capsys, "--box", "0", file).startswith(f"sdpcert: '{file}': ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--radius", "1"], "--radius needs --around X.npy"),
        (["--norm", "l2"], "--norm needs --around X.npy"),
        (["--within", "0,1"], "--within needs --around X.npy"),
        (["--index", "0"], "--index needs --around X.npy"),
        (["--around", "image.npy"], "--around needs --radius R"),
        (["--around", "image.npy", "--radius", "1", "--box", "0", "1"], "--box and --around both choose a region"),
        (["--box", "0", "1", "--within", "0,1"], "--box and --within both choose a region"),
        (["--box", "0", "1", "--radius", "1"], "--box and --radius both choose a region"),
        (["--box", "0", "1", "--index", "1"], "--box and --index both choose a region"),
        (["--around", "image.npy", "--radius", "0"], "--radius must be a positive finite number, not 0"),
        (["--around", "image.npy", "--radius", "-1"], "--radius must be a positive finite number, not -1"),
        (["--around", "image.npy", "--radius", "nan"], "--radius must be a positive finite number, not nan"),
        (["--around", "image.npy", "--radius", "1e999"], "--radius must be a positive finite number, not 1e999"),
        (["--around", "image.npy", "--radius", "small"], "--radius 'small': write a number, as in 0.05 or 8/255"),
        (["--around", "image.npy", "--radius", "1,2"], "--radius '1,2': write a number"),
        (["--around", "image.npy", "--radius", "1", "--norm", "l1"], "'l1' is not one of 'l2', 'linf'"),
        (["--around", "image.npy", "--radius", "1", "--within", "0"], "--within '0': write 2 numbers, as in 0,1"),
        (["--around", "image.npy", "--radius", "1", "--within", "1,0"], "the lower one first"),
        (["--around", "image.npy", "--radius", "1", "--within", "nan,1"], "two finite numbers"),
        (["--around", "image.npy", "--radius", "1", "--within", "0,inf"], "two finite numbers"),
        (["--around", "image.npy", "--radius", "1", "--within", "5,6"], "is farther from it than --radius 1"),
        (["--around", "image.npy", "--radius", "2", "--within", "1.5,6"], "no point inside of the ball"),
        (["--around", "image.npy", "--radius", "1", "--norm", "linf", "--within", "5,6"], "is farther from it"),
        (["--around", "image.npy", "--radius", "1.8e308", "--norm", "linf"], "--radius must be a positive finite"),
        (["--around", "high.npy", "--radius", "1.7976931348623157e308", "--norm", "linf"], "the range of float64"),
        (["--around", "image.npy", "--radius", "1", "--index", "0"], "a .npy file holds one point"),
        (["--around", "images.npz", "--radius", "1", "--index", "2"], "has no point 2; there are points 0 to 1"),
        (["--around", "images.npz", "--radius", "1", "--index", "-1"], "greater than or equal to 0"),
        (["--box", "1", "-1"], "--box 1 -1: the lower end is above the upper one at entry 0"),
        (["--box", "high.npy", "low.npy"], "--box high.npy low.npy: the lower end is above the upper one"),
        (["--box", "nan", "0"], "--box wants finite numbers, not nan"),
        (["--box", "0", "inf"], "--box wants finite numbers, not inf"),
        (["--box", "0", "wide"], "--box wants two numbers or two .npy files"),
        (["--box", "0", "images.npz"], "--box wants two numbers or two .npy files"),
        (["--box", "0"], "'--box' requires 2 arguments"),
        (["--exact", "--method", "product"], "--exact has one multiplier per neuron: leave out --method product"),
        (["--exact", "--method", "layer"], "leave out --method layer"),
        (["--exact", "--method", "by-construction"], "leave out --method by-construction"),
        (["--exact", "--form", "frequency"], "--exact needs every neuron by itself"),
        (["--box", "0", "1", "--form", "frequency"], "a region needs every neuron by itself"),
        (["--box", "0", "1", "--head", "composed"], "a region needs the network as a whole"),
        (["--nodes", "5", "--method", "layer"], "--nodes has one multiplier per neuron: leave out --method layer"),
        (["--box", "0", "1", "--method", "layer"], "a region has one multiplier per neuron"),
        (["--jobs", "2"], "--jobs is for branch and bound: add --exact, --nodes"),
        (["--box", "0", "1", "--jobs", "2"], "--jobs is for branch and bound: add --exact, --nodes"),
        (["--exact", "--solver", "clarabel"], "by the native solver on the CPU alone"),
        (["--exact", "--nodes", "0"], "greater than or equal to 1"),
        (["--exact", "--jobs", "0"], "greater than or equal to 1"),
        (["--pair", "3"], "--pair wants two outputs, counted from 0, as in 3,7, not '3'"),
        (["--pair", "3,3"], "--pair wants two different outputs"),
        (["--pair", "3,-1"], "--pair wants two outputs"),
        (["--pair", "3,7", "--rows", "3"], "--pair and --rows both choose outputs; give one"),
    ],
)
def test_options_that_make_no_region_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert says in failed(capsys, *arguments)


def test_nothing_is_written_over_the_file_of_a_region(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("--around", "image.npy", "--radius", "1"), ("--box", "0", "image.npy")):
        line = failed(capsys, *arguments, "-o", folder / "image.npy")
        assert "the command reads that file; name another one" in line


# ---------------------------------------------------------------- what they mean


def region(**given: object) -> ChosenRegion:
    return RegionOptions(**given).chosen(INPUTS)  # type: ignore[arg-type]


def test_no_options_are_all_inputs() -> None:
    made = region()
    assert (made.region, made.words) == (None, "all inputs")
    assert made.summary == {"kind": "all", "radius": None, "norm": None}


def test_a_ball(folder: Path) -> None:
    made = region(around=Path("image.npy"), radius="8/255", within="0,1")
    assert isinstance(made.region, Ball) and made.region.within is not None
    assert made.region.center.tolist() == np.load("image.npy").astype(float).ravel().tolist()
    assert made.region.radius == 8 / 255
    assert (float(np.min(made.region.within.low)), float(np.max(made.region.within.high))) == (0, 1)
    assert made.words == "on the ball of radius 0.0313725 around image.npy, within [0, 1]"
    assert json.loads(json.dumps(made.summary)) == {
        "kind": "ball",
        "radius": 8 / 255,
        "norm": "l2",
        "around": "image.npy",
        "index": None,
        "within": [0.0, 1.0],
    }


def test_one_of_several_points(folder: Path) -> None:
    made = region(around=Path("images.npz"), radius="1", index=1)
    assert isinstance(made.region, Ball)
    assert made.region.center.tolist() == (np.load("image.npy") / 2).astype(float).ravel().tolist()
    assert made.words == "on the ball of radius 1 around input 1 of images.npz"
    np.savez("single.npz", inputs=np.load("image.npy"))
    assert np.array_equal(load_point("single.npz", INPUTS), np.load("image.npy").astype(float).ravel())


@pytest.mark.parametrize("radius", ["0.1", "0.25", "1e-20", "1/3", "1e5"])
def test_the_ends_of_a_cube_are_rounded_outward_and_by_no_more_than_one_unit(folder: Path, radius: str) -> None:
    made = region(around=Path("image.npy"), radius=radius, norm="linf").region
    assert isinstance(made, Box)
    exact = Fraction(eval(radius))  # the float of the text
    for value, low, high in zip(np.load("image.npy").ravel(), made.low, made.high, strict=True):
        below, above = Fraction(float(value)) - exact, Fraction(float(value)) + exact
        assert Fraction(float(low)) <= below < Fraction(float(np.nextafter(low, np.inf)))
        assert Fraction(float(np.nextafter(high, -np.inf))) < above <= Fraction(float(high))


def test_a_cube_is_cut(folder: Path) -> None:
    made = region(around=Path("image.npy"), radius="0.5", norm="linf", within="0,1")
    assert isinstance(made.region, Box)
    assert (made.region.low.min(), made.region.high.max()) == (0, 1)
    assert made.words == "on the box of half-width 0.5 around image.npy, within [0, 1]"
    assert (made.summary["kind"], made.summary["norm"]) == ("box", "linf")


def test_boxes_of_numbers_and_files(folder: Path) -> None:
    made = region(box=("-1", "1"))
    assert isinstance(made.region, Box)
    assert made.words == "on the box from -1 to 1, every entry"
    low, high = made.region.box(INPUTS)
    assert np.all(low == -1) and np.all(high == 1)
    made = region(box=("low.npy", "high.npy"))
    assert isinstance(made.region, Box) and np.array_equal(made.region.high, np.load("high.npy").ravel())
    assert made.words == "on the box from low.npy to high.npy"
    assert made.summary == {"kind": "box", "radius": None, "norm": None, "low": "low.npy", "high": "high.npy"}
    region(box=("low.npy", "5"))


def test_pairs() -> None:
    assert chosen_pair("3,7", None) == (3, 7)
    assert chosen_pair(None, "3") is None


# ---------------------------------------------------------------- from the command line to the file


def done(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The standard output of a command that has to end with exit code 0 and say nothing else."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    captured = capsys.readouterr()
    assert (ended.value.code, captured.err) == (0, ""), captured.out
    return captured.out


@pytest.fixture
def tiny(folder: Path) -> Path:
    """A network of three inputs and seven neurons, whose constant branch and bound finds at once."""
    rng = np.random.default_rng(3)
    shapes = ((4, 3), (3, 4), (2, 3))
    arrays = {f"weight_{k}": rng.standard_normal(shape) for k, shape in enumerate(shapes)}
    arrays |= {f"bias_{k}": rng.standard_normal(len(arrays[f"weight_{k}"])) for k in range(3)}
    np.savez("tiny.npz", **arrays)  # type: ignore[arg-type]
    np.save("origin.npy", np.zeros(3))
    return Path("tiny.npz")


ASSUMED = ("--activation", "relu", "--orientation", "out_in")


def test_a_ball_is_certified_checked_and_bound_to_its_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    around = ("--around", "image.npy", "--radius", "0.1", "--within", "-1,2", "--rows", "3")
    shown = done(capsys, "certify", MLP, *ASSUMED, *around, "-o", "ball.json")
    assert "l2 to l2, on the ball of radius 0.1 around image.npy, within [-1, 2]\n" in shown
    assert "attained by two inputs of the region in the certificate" in shown
    assert done(capsys, "check", "ball.json", "--network", MLP, *ASSUMED).startswith("proved: ")
    saved = Certificate.load("ball.json")
    assert isinstance(saved.region, Ball) and saved.region.radius == 0.1
    assert all(saved.region.contains(point) for point in (saved.attained.x, saved.attained.x_prime))
    everywhere = json.loads(done(capsys, "certify", MLP, *ASSUMED, "--rows", "3", "--json"))
    assert saved.lower <= saved.upper <= everywhere["upper"] * (1 + 1e-6)


def test_a_divided_region_in_json_and_on_the_screen(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("certify", tiny, *ASSUMED, "--around", "origin.npy", "--radius", "1", "--norm", "linf", "--exact")
    values = json.loads(done(capsys, *asked, "--json"))
    assert values["region"] == {
        "kind": "box",
        "radius": 1.0,
        "norm": "linf",
        "around": "origin.npy",
        "index": None,
        "within": None,
    }
    assert values["sdp_lower"] is None
    assert 1 <= values["pieces"] < values["nodes"] and values["open"] == 0
    assert values["gap"] == (values["upper"] - values["lower"]) / values["upper"] <= 1e-6
    shown = done(capsys, *asked)
    assert "(upper - lower) / upper" in shown and "looked at, 0 open" in shown
    assert "on the box of half-width 1 around origin.npy" in shown
    gap = next(float(line.split()[1]) for line in shown.splitlines() if line.startswith("gap"))
    assert gap >= values["gap"]


def test_an_exact_constant_of_all_inputs(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(done(capsys, "certify", tiny, *ASSUMED, "--exact", "--json"))
    assert values["region"] == {"kind": "all", "radius": None, "norm": None}
    assert values["lower"] <= values["upper"] <= values["lower"] * (1 + 2e-6)
    undivided = json.loads(done(capsys, "certify", tiny, *ASSUMED, "--json"))
    assert values["upper"] <= undivided["upper"] * (1 + 1e-6)


def test_a_pair_of_outputs_is_the_network_with_their_difference(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = json.loads(done(capsys, "certify", tiny, *ASSUMED, "--pair", "0,1", "--json"))
    arrays = dict(np.load(tiny))
    for key in ("weight_2", "bias_2"):
        arrays[key] = arrays[key][:1] - arrays[key][1:]
    np.savez("difference.npz", **arrays)  # type: ignore[arg-type]
    difference = json.loads(done(capsys, "certify", "difference.npz", *ASSUMED, "--json"))
    assert pair["upper"] == pytest.approx(difference["upper"], rel=2e-6)
    assert failed(capsys, "--pair", "3,10").startswith("sdpcert: ")


@pytest.mark.slow
def test_several_processes_prove_the_same(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("certify", tiny, *ASSUMED, "--box", "-1", "1", "--exact", "--json")
    one, two = (json.loads(done(capsys, *asked, "--jobs", jobs)) for jobs in ("1", "2"))
    assert one["upper"] == pytest.approx(two["upper"], rel=2e-6)
    assert multiprocessing.active_children() == []


def test_a_line_of_progress_says_what_its_search_counts() -> None:
    assert Progress(7, 2.0, 1.0, 0.5).text == "iteration 7  bound 2  gap 5.0e-01  0.5 s"
    assert Progress(7, 2.0, 1.0, 0.5, open=3).text == "upper 2  attained 1  3 open  7 pieces  0.5 s"
