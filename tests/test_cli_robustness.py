"""`sdpcert evaluate MODEL --data X.npz`: one line on stderr and exit code 2 for everything that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sdpcert import cli

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
        ("onehot.npz", "its array 'labels' has the shape (3, 10); save one class an input, (3,)"),
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
        ((*MODEL, "--seed", "-1"), "Input should be greater than or equal to 0"),
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
    if arguments[0] == "run":
        pytest.importorskip("torch")
    assert says in failed(capsys, "evaluate", *arguments)
