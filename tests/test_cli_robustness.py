"""`sdpcert evaluate MODEL --data X.npz` and `sdpcert check` of what it writes: what is printed, saved and refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert import Interrupted, Radii, cli
from sdpcert.readers.labelled import load_labelled

MLP = Path(__file__).parents[1] / "examples" / "networks" / "digits_mlp.npz"
INPUTS, CLASSES = 64, 10
#: What a command for a good file of data says.
MODEL = (str(MLP), "--data", "images.npz")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with good files and bad ones, each named for what it holds."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    labels = np.array([1, 2, 3], dtype=np.uint8)
    np.savez("images.npz", inputs=images, labels=labels)
    np.savez("unlabelled.npz", inputs=images)
    np.savez("other.npz", x=images, y=labels)
    np.savez("small.npz", inputs=images[:, :7], labels=labels)
    np.savez("one.npz", inputs=images[0], labels=labels[:1])
    np.savez("scalar.npz", inputs=np.float64(3), labels=labels)
    np.savez("none.npz", inputs=images[:0], labels=labels[:0])
    np.savez("fewer.npz", inputs=images, labels=labels[:2])
    np.savez("onehot.npz", inputs=images, labels=np.eye(10, dtype=int)[labels])
    np.savez("real_onehot.npz", inputs=images, labels=np.eye(10)[labels])
    np.savez("real.npz", inputs=images, labels=labels.astype(float))
    np.savez("text.npz", inputs=images, labels=labels.astype(str))
    np.savez("true.npz", inputs=images, labels=labels > 1)
    np.savez("from_one.npz", inputs=images, labels=labels + 7)
    np.savez("negative.npz", inputs=images, labels=labels.astype(int) - 2)
    np.savez("nan.npz", inputs=np.where(np.arange(3)[:, None, None] == 1, np.nan, images), labels=labels)
    np.savez("complex.npz", inputs=images.astype(complex), labels=labels)
    np.savez("pickled.npz", inputs=np.array([{}] * 3, dtype=object), labels=labels)
    Path("empty.npz").touch()
    Path("truncated.npz").write_bytes(Path("images.npz").read_bytes()[:-40])
    Path("garbage.npz").write_bytes(np.random.default_rng(1).bytes(2000))
    np.save("images.npy", images)
    Path("run").mkdir()
    Path("link.json").symlink_to("elsewhere")
    os.mkfifo("pipe.npz")
    return tmp_path


def failed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The line on stderr of a command that has to end with exit code 2 and nothing else."""
    before = sorted(Path().iterdir())
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err.count("\n")) == (2, "", 1), captured.err
    assert sorted(Path().iterdir()) == before
    return captured.err


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("missing.npz", "no such file"),
        ("empty.npz", "is empty"),
        ("pipe.npz", "is not a regular file"),
        ("images.npy", "is no .npz file; write it with numpy.savez(FILE, inputs=images, labels=classes)"),
        ("unlabelled.npz", "has no array 'labels', but 'inputs'; write it with numpy.savez"),
        ("other.npz", "has no array 'inputs', but 'x', 'y'; write it with numpy.savez"),
        ("small.npz", "has the shape (3, 7, 8), and the network reads 64 numbers; save one input a row"),
        ("one.npz", "has the shape (8, 8), and the network reads 64 numbers"),
        ("scalar.npz", "has the shape (), and the network reads 64 numbers"),
        ("none.npz", "its array 'inputs' holds no input; save one or more"),
        ("fewer.npz", "its array 'labels' has the shape (2,); save one class an input, (3,)"),
        (
            "onehot.npz",
            "its array 'labels' has the shape (3, 10); save one class an input, (3,): of one-hot rows labels.argmax",
        ),
        ("real_onehot.npz", "(3, 10); save one class an input, (3,): of one-hot rows labels.argmax(axis=1)"),
        ("real.npz", "its array 'labels' holds float64; save integers, labels.astype(int)"),
        ("text.npz", "its array 'labels' holds <U3 instead of real numbers"),
        ("true.npz", "its array 'labels' holds bool instead of real numbers"),
        ("from_one.npz", "label 2 is 10, and the network has the classes 0 to 9; labels count the outputs from 0"),
        ("negative.npz", "label 0 is -1, and the network has the classes 0 to 9"),
        ("nan.npz", "input 1 has an entry that is not finite; every entry has to be a finite number"),
        ("complex.npz", "its array 'inputs' holds complex128 instead of real numbers"),
        ("pickled.npz", "holds Python objects (a pickle, which can run code)"),
        ("truncated.npz", "is truncated or no .npz file"),
        ("garbage.npz", "is truncated or no .npz file"),
    ],
)
def test_a_file_that_is_no_data_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str, says: str
) -> None:
    line = failed(capsys, "evaluate", MLP, "--data", file)
    assert line.startswith(f"sdpcert: '{file}': ") and says in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((str(MLP),), "a model needs --data X.npz, with arrays `inputs` (n, ...) and `labels` (n,)"),
        (("missing.onnx", "--data", "images.npz"), "'missing.onnx': no such file"),
        (("images.npy", "--data", "images.npz"), "unknown suffix"),
        ((*MODEL, "--radii", "small"), "--radii 'small': write numbers separated by commas, as in 0.5,36/255"),
        ((*MODEL, "--radii", "0.1,-1"), "--radii wants finite numbers that are not negative, not 0.1,-1"),
        ((*MODEL, "--radii", "nan"), "--radii wants finite numbers that are not negative, not nan"),
        ((*MODEL, "--norm", "l1"), "'l1' is not one of 'l2', 'linf'"),
        ((*MODEL, "--level", "S"), "'S' is not one of 'R', 'F'"),
        ((*MODEL, "--within", "1,0"), "--within wants two finite numbers, the lower one first, as in 0,1, not 1,0"),
        ((*MODEL, "--within", "0"), "--within '0': write 2 numbers, as in 0,1"),
        ((*MODEL, "--mean", "0.5"), "--mean needs --std: the model reads (x - M) / S"),
        ((*MODEL, "--std", "0.5"), "--std needs --mean: the model reads (x - M) / S"),
        ((*MODEL, "--mean", "0.5,0.5", "--std", "1"), "--mean has 2 numbers and --std 1; give one a channel in both"),
        ((*MODEL, "--mean", "inf", "--std", "1"), "--mean wants finite numbers, not inf"),
        ((*MODEL, "--mean", "0", "--std", "0"), "--std wants positive finite numbers, not 0"),
        ((*MODEL, "--mean", "0", "--std", "-1"), "--std wants positive finite numbers, not -1"),
        ((*MODEL, "--time-limit", "0"), "--time-limit wants a positive number of seconds, not 0"),
        ((*MODEL, "--time-limit", "nan"), "--time-limit wants a positive number of seconds, not nan"),
        ((*MODEL, "--count", "0"), "Input should be greater than or equal to 1"),
        ((*MODEL, "--jobs", "0"), "Input should be greater than or equal to 1"),
        ((*MODEL, "--seed", "-1"), "-1 is not in the range 0 to"),
        ((*MODEL, "-o", "no/such/radii.json"), "the folder no/such does not exist"),
        ((*MODEL, "-o", "run"), "it is a folder; name a file"),
        ((*MODEL, "-o", "link.json"), "it is a link or a device; name a file"),
        ((*MODEL, "-o", "images.npz"), "the command reads that file; name another one"),
        ((*MODEL, "-o", str(MLP)), "the command reads that file; name another one"),
        ((*MODEL, "--activation", "magic"), "magic"),
        ((*MODEL, "--bounds", "sdp"), "--bounds belongs to evaluations of a run; leave it out, or give the folder"),
        ((*MODEL, "--pairs", "all"), "--pairs belongs to evaluations of a run"),
        ((*MODEL, "--device", "cpu"), "--device belongs to evaluations of a run"),
        ((*MODEL, "--again"), "--again belongs to evaluations of a run"),
        (("norun",), "norun: no such folder; a run folder is what `sdpcert train` wrote"),
        (("norun", "--jobs", "2"), "--jobs belongs to evaluations of a model"),
        (("run", "--no-constants"), "--no-constants belongs to evaluations of a model"),
        (("run", "--norm", "l2"), "--norm belongs to evaluations of a model; leave it out, or with --data X.npz"),
        (("run", "--within", "0,1"), "--within belongs to evaluations of a model"),
        (("run", "--mean", "0"), "--mean belongs to evaluations of a model"),
        (("run", "--std", "1"), "--std belongs to evaluations of a model"),
        (("run", "--jobs", "2"), "--jobs belongs to evaluations of a model"),
        (("run", "-o", "x.json"), "--output belongs to evaluations of a model"),
        (("run", "--activation", "relu"), "--activation belongs to evaluations of a model"),
        (("run", "--orientation", "out_in"), "--orientation belongs to evaluations of a model"),
        (("run", "--data", "images.npz", "--again"), "a folder with --data X.npz is evaluated as a model"),
        (("run", "--data", "images.npz", "--activation", "relu"), "--activation is for array files"),
        (("run", "--data", "images.npz"), "holds neither model.json nor a checkpoint, so it is no run folder"),
        (("run",), "holds neither model.json nor a checkpoint, so it is no run folder"),
    ],
)
def test_what_cannot_be_meant_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    if arguments[0] in ("run", "norun"):
        pytest.importorskip("torch")
    assert says in failed(capsys, "evaluate", *arguments)


# ---------------------------------------------------------------- what is printed and saved


def small(folder: Path) -> tuple[Path, Path]:
    """A small network of three classes that reads pixels from 0 to 1, and eight inputs, one with a wrong label."""
    rng = np.random.default_rng(2)
    sizes = (4, 6, 3)
    weights = {f"weight_{k}": rng.standard_normal((b, a)) for k, (a, b) in enumerate(pairwise(sizes))}
    np.savez(folder / "small.npz", **weights)  # type: ignore[arg-type]
    inputs = rng.random((8, 2, 2))
    labels = sdpcert.load(folder / "small.npz")(inputs.reshape(8, 4)).argmax(axis=1)
    labels[3] = (labels[3] + 1) % 3
    np.savez(folder / "data.npz", inputs=inputs, labels=labels)
    return folder / "small.npz", folder / "data.npz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, data, and the radii of six of the inputs."""
    folder = tmp_path_factory.mktemp("radii")
    network, data = small(folder)
    with np.load(data) as stored:
        result = sdpcert.radii(
            sdpcert.load(network), stored["inputs"].reshape(8, 4)[:6], stored["labels"][:6], within=(0, 1), time_limit=1
        )
    result.save(folder / "small.radii.json")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return int(str(ended.value.code)), captured.out, captured.err


def test_what_is_printed_is_what_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    network, data = small(tmp_path)
    options = ("--within", "0,1", "--radii", "0.01,1/64", "--time-limit", "1", "--count", "5")
    code, out, err = run(capsys, "evaluate", network, "--data", data, *options)
    assert (code, err) == (0, "")
    saved = Radii.load("small.radii.json")
    assert len(saved.radius) == 5 and not saved.correct[3] and saved.radius[3] == 0
    assert "5 inputs, 4 of them right" in out and "norm l2, level R (real arithmetic), inputs within [0, 1]" in out
    for row, shown in zip(saved.rows, ("0.01 ", "0.015625 "), strict=True):
        (line,) = [line for line in out.splitlines() if line.startswith(shown)]
        assert line.split()[1] == str(row.certified) and line.split()[4] == str(row.attacked)
    assert "prove them again: sdpcert check small.radii.json" in out and "under attack" in out
    assert [line for line in out.splitlines() if line.startswith("note")] == [
        "note      only the radii asked for were tried: without --radii the largest ones are looked for"
    ]
    code, out, _ = run(capsys, "evaluate", network, "--data", data, *options, "--no-attack", "--json", "-o", "j.json")
    values = json.loads(out)
    assert code == 0 and values["radii"] == "j.json" and values["labels"] == saved.labels.tolist()
    assert values["correct"] == saved.correct.tolist() and values["distance"] == [None] * 5
    assert values["within"] == [0, 1] and values["normalisation"] is None
    assert [row["under_attack"] for row in values["rows"]] == [None, None]
    assert values["radius"] == Radii.load("j.json").radius.tolist()


def test_norms_levels_and_normalisation_are_passed_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def asked(*arguments: Any, **options: Any) -> Any:
        seen.update(options, inputs=arguments[1])
        raise ValueError("seen")

    monkeypatch.setattr(sdpcert, "radii", asked)
    options = ["--norm", "linf", "--level", "F", "--within", "-1,2", "--mean", "1/2", "--std", "0.25", "--seed", "7"]
    options += ["--no-constants"]
    assert failed(capsys, "evaluate", *MODEL, *options, "--radii", "8/255", "--no-attack", "--count", "2") == (
        "sdpcert: seen\n"
    )
    assert seen["inputs"].shape == (2, 64) and (seen["norm"], seen["level"], seen["seed"]) == ("linf", "F", 7)
    assert (seen["normalisation"], seen["radii"], seen["attack"]) == (([0.5], [0.25]), [8 / 255], False)
    assert seen["constants"] is False
    assert (seen["within"].low[0], seen["within"].high[0], seen["time_limit"]) == (-1, 2, 60.0)
    failed(capsys, "evaluate", *MODEL, "--time-limit", "3.5")
    assert (seen["normalisation"], seen["within"], seen["radii"], seen["time_limit"]) == (None, None, None, 3.5)
    assert seen["constants"] == "auto"


def test_inputs_that_have_a_range_are_told_of_it(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sdpcert, "radii", lambda *arguments, **options: Radii.load(made / "small.radii.json"))
    arguments = ("evaluate", made / "small.npz", "--data", made / "data.npz", "-o", tmp_path / "r.json")
    assert "note      all inputs lie in 0 to 1" in run(capsys, *arguments)[1]
    assert "note" not in run(capsys, *arguments, "--within", "0,1")[1]
    stands = Radii.load(made / "small.radii.json")
    monkeypatch.setattr(sdpcert, "radii", lambda *arguments, **options: replace(stands, inputs=255 * stands.inputs))
    assert "a model of pixels from 0 to 1 needs --mean 0 --std 255" in run(capsys, *arguments)[1]


def test_a_model_that_is_mostly_wrong_may_read_other_inputs(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stands = Radii.load(made / "small.radii.json")
    monkeypatch.setattr(
        sdpcert, "radii", lambda *arguments, **options: replace(stands, correct=np.arange(6) < options["seed"])
    )
    arguments = ("evaluate", made / "small.npz", "--data", made / "data.npz", "-o", tmp_path / "r.json", "--seed")
    assert "note      only 2 of 6 inputs are right" in run(capsys, *arguments, "2")[1]
    assert "check --mean and --std" in run(capsys, *arguments, "2", "--mean", "0", "--std", "1")[1]
    assert "inputs are right," not in run(capsys, *arguments, "3")[1]


def test_channels_have_to_be_where_the_network_reads_them(tmp_path: Path) -> None:
    images, labels = np.arange(36.0).reshape(2, 2, 3, 3), np.array([0, 1])
    np.savez(tmp_path / "last.npz", inputs=np.moveaxis(images, 1, -1), labels=labels)
    with pytest.raises(
        ValueError, match=r"\(3, 3, 2\), and the network reads \(2, 3, 3\); save numpy.moveaxis\(images, -1"
    ):
        load_labelled(tmp_path / "last.npz", (2, 3, 3), 2)
    for shape in ((2, 3, 3), (18,), (18, 1), (1, 2, 3, 3), (2, 9)):
        np.savez(tmp_path / "first.npz", inputs=images, labels=labels)
        assert np.array_equal(load_labelled(tmp_path / "first.npz", shape, 2)[0], images.reshape(2, 18))


def test_an_interrupt_saves_what_is_proved(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        stands = replace(Radii.load(made / "small.radii.json"), notes=("interrupted: 2 of 6 inputs were looked at",))
        raise Interrupted("see the exception's result", stands)

    monkeypatch.setattr(sdpcert, "radii", interrupted)
    output = tmp_path / "r.json"
    code, out, err = run(capsys, "evaluate", made / "small.npz", "--data", made / "data.npz", "-o", output)
    assert code == 130 and err == f"sdpcert: interrupted: 2 of 6 inputs were looked at; {output} has what was proved\n"
    assert "6 inputs, 5 of them right" in out and sdpcert.check(output).ok


def test_a_termination_is_an_interrupt(made: Path, tmp_path: Path) -> None:
    """The watch over the first second of a command leaves SIGTERM to the command."""
    program = (
        "import os, signal, sys, time\n"
        "import sdpcert\n"
        "from sdpcert import cli\n"
        "from sdpcert.running import starting\n"
        "signal.signal(signal.SIGTERM, starting.end_quietly)\n"
        "def terminated(*arguments, **options):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
        "    except KeyboardInterrupt:\n"
        f"        raise sdpcert.Interrupted('early', sdpcert.Radii.load({str(made / 'small.radii.json')!r}))\n"
        "sdpcert.radii = terminated\n"
        "cli.main(sys.argv[1:])\n"
    )
    command = ["evaluate", str(made / "small.npz"), "--data", str(made / "data.npz"), "-o", "r.json"]
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 130 and "r.json has what was proved" in done.stderr, done
    assert sdpcert.check(tmp_path / "r.json").ok


# ---------------------------------------------------------------- check


def test_radii_are_proved_and_bound(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    radii, network, data = (made / name for name in ("small.radii.json", "small.npz", "data.npz"))
    code, out, _ = run(capsys, "check", radii)
    assert code == 0 and out.startswith("proved: 5 of 6 inputs right;")
    code, out, _ = run(capsys, "check", radii, "--network", network, "--data", data)
    assert code == 0 and "the network is that of" in out and "the inputs and labels are the 6 of the data" in out
    code, out, _ = run(capsys, "check", radii, "--network", network, "--json")
    assert code == 0 and json.loads(out)["ok"] and json.loads(out)["upper"] is None
    with np.load(network) as stored:
        np.savez(tmp_path / "other.npz", **{key: 2 * stored[key] for key in stored})  # type: ignore[arg-type]
    code, out, _ = run(capsys, "check", radii, "--network", tmp_path / "other.npz")
    assert code == 1 and out.startswith("rejected: the file is about other weights than")
    with np.load(data) as stored:
        inputs, labels = stored["inputs"], stored["labels"]
    np.savez(tmp_path / "moved.npz", inputs=inputs + (np.arange(8) == 2)[:, None, None] * 2.0**-50, labels=labels)
    code, out, _ = run(capsys, "check", radii, "--data", tmp_path / "moved.npz")
    assert (code, out) == (1, "rejected: input 2 of the file is not that of the data\n")
    np.savez(tmp_path / "named.npz", inputs=inputs, labels=(labels + (np.arange(8) == 5)) % 3)
    code, out, _ = run(capsys, "check", radii, "--data", tmp_path / "named.npz")
    assert code == 1 and "the label of input 5 is" in out
    np.savez(tmp_path / "fewer.npz", inputs=inputs[:4], labels=labels[:4])
    code, out, _ = run(capsys, "check", radii, "--data", tmp_path / "fewer.npz")
    assert code == 1 and "the file has 6 inputs, and the data 4" in out


@pytest.mark.parametrize("options", [(), ("--data", "data.npz"), ("--network", "small.npz")])
def test_an_altered_file_is_rejected(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(made)
    document = json.loads(Path("small.radii.json").read_text())
    for key, value in (("inputs", []), ("network", 3), ("inputs", document["inputs"][:5]), ("rows", None)):
        Path("altered.json").write_text(json.dumps(document | {key: value}))
        code, out, err = run(capsys, "check", "altered.json", *options)
        assert (code, err) == (1, "") and out.startswith("rejected: "), (key, out)


def test_what_check_cannot_compare_is_said(folder: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    radii = str(made / "small.radii.json")
    Path("no.json").write_text("{}")
    for arguments, says in (
        (("missing.json",), "no such file"),
        (("run",), "is no regular file"),
        (("no.json", "--data", "images.npz"), "--data compares the inputs of a file of radii, and no.json is none"),
        ((radii, "--data", "images.npz"), "has the shape (3, 8, 8), and the network reads 4 numbers"),
        ((radii, "--data", "missing.npz"), "'missing.npz': no such file"),
        ((radii, "--network", "missing.npz"), "'missing.npz': no such file"),
        ((radii, "--network", "run", "--activation", "relu"), "--activation is for array files"),
    ):
        assert says in failed(capsys, "check", *arguments)


def test_the_network_of_a_run_is_a_model_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    from sdpcert.training import train

    monkeypatch.chdir(tmp_path)
    model = {"architecture": "dense", "family": "aol", "hidden": [8]}
    training = {"epochs": 1, "batch": 240, "threads": 1}
    train({"data": {"name": "digits"}, "model": model, "training": training}, "run", progress=False)
    images = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)
    np.savez("images.npz", inputs=images, labels=[0, 1, 2])
    options = ("--time-limit", "1", "--radii", "0.01", "--no-attack")
    code, out, err = run(capsys, "evaluate", "run", "--data", "images.npz", *options)
    assert (code, err) == (0, "") and out.startswith("network   run: 64 inputs, 10 classes\n")
    assert "by construction are not used here: sdpcert evaluate run\n" in out
    code, out, _ = run(capsys, "check", "run.radii.json", "--network", "run", "--data", "images.npz")
    assert code == 0 and "the network is that of run; the inputs and labels are the 3 of the data" in out
