"""Runs: the same weights however often they are stopped, killed and resumed, and run folders that come back."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from sdpcert.training import TrainingInterrupted, load_data, load_run, logits_and_radii, train
from sdpcert.training.checkpoint import Checkpoint, read_checkpoint, read_tensors, write_checkpoint
from sdpcert.training.config import load_config, toml_text
from sdpcert.training.logs import read_records
from sdpcert.training.losses import Loss

pytest.importorskip("sklearn")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "model.safetensors")[0]


def same(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


class Stop(Exception):
    """Stands for a crash."""


def crashing(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The run dies in the middle of its step number `steps` from now."""
    from sdpcert.training import loop

    count, make = [0], loop.make_loss

    def made(*arguments: Any) -> Loss:
        inner = make(*arguments)

        def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            count[0] += 1
            if count[0] > steps:
                raise Stop
            return inner(logits, labels)

        return loss

    monkeypatch.setattr(loop, "make_loss", made)


@pytest.mark.parametrize("steps", [1, 4, 6, 13])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_resumed_run_is_the_uninterrupted_one(
    small: dict[str, Any], tmp_path: Path, steps: int, optimiser: str
) -> None:
    small["optimiser"] = {"name": optimiser, "learning_rate": 0.01, "clip": 1.0}
    train(small, tmp_path / "whole", progress=False)
    with pytest.MonkeyPatch.context() as patch:
        crashing(patch, steps)
        with pytest.raises(Stop):
            train(small, tmp_path / "cut", progress=False)
    assert not (tmp_path / "cut" / "model.json").exists()
    torch.manual_seed(99)
    train(small, tmp_path / "cut", progress=False)
    assert same(tmp_path / "whole", tmp_path / "cut")
    logs = [read_records(tmp_path / name / "log.jsonl") for name in ("whole", "cut")]
    keep = [[{k: v for k, v in r.items() if k != "seconds"} for r in records] for records in logs]
    assert keep[0] == keep[1] and [r["epoch"] for r in keep[0]] == [1, 2, 3]


def test_run_folder(small: dict[str, Any], tmp_path: Path) -> None:
    folder = train(small, tmp_path / "run", progress=False)
    assert folder == tmp_path / "run"
    names = {path.name for path in folder.iterdir()} - {"tensorboard"}
    assert names == {
        "config.toml",
        "environment.json",
        "log.jsonl",
        "log.csv",
        "checkpoint.safetensors",
        "model.safetensors",
        "model.json",
    }
    assert load_config(folder / "config.toml") == load_config(small)
    lines = (folder / "log.csv").read_text().splitlines()
    assert len(lines) == 4 and lines[0].startswith("step,epoch,seconds,learning_rate,loss")
    module, config, data = load_run(folder)
    assert not module.training and config == load_config(small) and data == load_data("digits").description
    results = json.loads((folder / "model.json").read_text())["results"]
    test = load_data("digits").test
    labels = torch.from_numpy(test.labels.astype("int64"))
    logits, radii = logits_and_radii(module, torch.from_numpy(test.images), labels, data.levels)
    assert (logits.argmax(1) == labels).double().mean().item() == pytest.approx(results["test_accuracy"])
    assert (radii >= 0.5).mean() == pytest.approx(results["certified_0.5"])
    # The two files are enough, anywhere.
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("model.json", "model.safetensors"):
        (moved / name).write_bytes((folder / name).read_bytes())
    again = load_run(moved).module
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), again.state_dict().values()))
    # A finished run is left as it is; another configuration is refused, as is a new start.
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert train(small, folder, progress=False) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match=r"holds a run with model\.hidden = "):
        train({**small, "model": {**small["model"], "hidden": [5]}}, folder, progress=False)
    with pytest.raises(ValueError, match="holds a run already"):
        train(small, folder, resume=False, progress=False)


def test_radii_hold(small: dict[str, Any], tmp_path: Path) -> None:
    """No step against the gradient that is shorter than the radius changes the class."""
    folder = train({**small, "data": {"normalisation": "standardise"}}, tmp_path / "run", progress=False)
    module, _, data = load_run(folder)
    test = load_data("digits").test
    labels = torch.from_numpy(test.labels.astype("int64"))
    _, found = logits_and_radii(module, torch.from_numpy(test.images), labels, data.levels)
    radii = torch.from_numpy(found)
    assert float(radii.max()) > 0
    start = torch.from_numpy(test.images).float() / data.levels
    moved = start.clone()
    for _ in range(20):
        moved.requires_grad_(True)
        gradient = torch.autograd.grad(torch.nn.functional.cross_entropy(module(moved), labels), moved)[0]
        with torch.no_grad():
            flat = gradient.flatten(1)
            step = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-30) * radii[:, None] * 0.3
            away = (moved - start).flatten(1) + step
            away = away * (radii[:, None] / away.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1)
            moved = (start + away.reshape(start.shape)).float()
    right = module(moved).argmax(1) == labels
    assert bool(right[radii > 1e-3].all())


def test_an_unfinished_run_loads_its_checkpoint(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        crashing(patch, 8)
        with pytest.raises(Stop):
            train(small, tmp_path / "cut", progress=False)
    module, _, data = load_run(tmp_path / "cut")
    assert data.name == "digits"
    checkpoint = read_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
    assert checkpoint.state["step"] == 8
    assert torch.equal(module.get_parameter("head.weight"), checkpoint.average["head.weight"])
    assert "backbone.1.rule.direction" in checkpoint.model


def test_averages_of_a_short_run_are_of_what_it_reached(small: dict[str, Any], tmp_path: Path) -> None:
    small["training"] |= {"epochs": 10, "averaging": 0.9999}
    train(small, tmp_path / "averaged", progress=False)
    small["training"]["averaging"] = 0.0
    train(small, tmp_path / "plain", progress=False)
    records = [read_records(tmp_path / name / "log.jsonl")[-1] for name in ("averaged", "plain")]
    averaged, plain = (record["test_accuracy"] for record in records)
    assert averaged > plain - 0.1 > 0.2


def test_a_stop_request_ends_with_a_checkpoint(small: dict[str, Any], tmp_path: Path) -> None:
    small["training"] = {"epochs": 400, "batch": 240, "checkpoint_seconds": 1e6, "evaluate_every": 0}
    before = signal.getsignal(signal.SIGINT)  # background jobs of a shell ignore it
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(TrainingInterrupted, match=r"stopped at step .* to go on"):
        train(small, tmp_path / "run", progress=False)
    timer.join()
    assert read_checkpoint(tmp_path / "run" / "checkpoint.safetensors").state["step"] > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_minutes_are_a_budget(small: dict[str, Any], tmp_path: Path) -> None:
    small["training"] = {"minutes": 0.01, "batch": 240}
    started = time.monotonic()
    folder = train(small, tmp_path / "run", progress=False)
    assert time.monotonic() - started < 20
    results = json.loads((folder / "model.json").read_text())["results"]
    assert 0.6 <= results["seconds"] < 3 and results["steps"] > 3


def test_log_resume_cuts_what_is_after_the_checkpoint(small: dict[str, Any], tmp_path: Path) -> None:
    from sdpcert.training.logs import Logs

    logs = Logs(tmp_path, 0, tensorboard=False)
    for step in (6, 12, 18):
        logs.add({"step": step, "loss": 1.5} | ({"test_accuracy": 0.5} if step == 12 else {}))
    assert (tmp_path / "log.csv").read_text() == "step,loss,test_accuracy\n6,1.5,\n12,1.5,0.5\n18,1.5,\n"
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 24, "lo')  # a kill in the middle of a line
    again = Logs(tmp_path, 12, tensorboard=False)
    assert [r["step"] for r in read_records(tmp_path / "log.jsonl")] == [6, 12]
    again.add({"step": 18, "loss": 0.5, "test_accuracy": 0.75})
    assert (tmp_path / "log.csv").read_text() == "step,loss,test_accuracy\n6,1.5,\n12,1.5,0.5\n18,0.5,0.75\n"


def test_tensorboard_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sdpcert.training import logs

    class Writer:
        made: ClassVar[list[Writer]] = []

        def __init__(self, folder: str, purge_step: int) -> None:
            self.folder, self.purge_step, self.scalars = folder, purge_step, {}
            self.made.append(self)

        def add_scalar(self, key: str, value: float, step: int) -> None:
            self.scalars[key, step] = value

        def flush(self) -> None: ...

        def close(self) -> None: ...

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(logs.importlib.util, "find_spec", lambda name: name == "tensorboard")
    made = logs.Logs(tmp_path, 6)
    made.add({"step": 12, "loss": 0.25, "note": "text"})
    made.close()
    (writer,) = Writer.made
    assert writer.scalars == {("loss", 12): 0.25} and writer.purge_step == 7
    assert writer.folder == str(tmp_path / "tensorboard")


def test_the_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from sdpcert.training.logs import ProgressBar

    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with ProgressBar(True) as bar:
        bar.update(0.5, "loss 1")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    with ProgressBar(True) as bar:
        bar.update(0.5, "loss 1")
    out, err = capsys.readouterr()
    assert out == "" and "50%" in err and "\x1b[3" not in err
    with ProgressBar(False) as bar:
        bar.update(0.5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains(small: dict[str, Any], tmp_path: Path, precision: str) -> None:
    small["training"] |= {"precision": precision, "epochs": 2}
    folder = train(small, tmp_path / "run", progress=False)
    assert all(v.dtype == torch.float32 and torch.isfinite(v).all() for v in weights(folder).values())
    assert read_records(folder / "log.jsonl")[-1]["loss"] < read_records(folder / "log.jsonl")[0]["loss"]


def test_bad_input_is_one_line(small: dict[str, Any], tmp_path: Path) -> None:
    def refused(text: str, change: Mapping[str, Any], folder: Path = tmp_path / "x", device: str = "cpu") -> None:
        with pytest.raises(ValueError, match=text) as caught:
            train({**small, **change}, folder, device=device, progress=False)
        assert "\n" not in str(caught.value)

    refused("more than the", {"training": {"epochs": 1, "batch": 5000}})
    refused("shifts images of 8 pixels out of sight", {"augment": {"crop": 8}})
    refused(
        "above 1e\\+09: make the model smaller",
        {"model": {"architecture": "dense", "family": "aol", "hidden": [200_000] * 2}},
    )
    assert not (tmp_path / "x").exists()
    refused("unknown device 'gpu'", {}, device="gpu")
    refused("runs on cpu or cuda", {}, device="meta")
    if not torch.cuda.is_available():
        refused("sees no CUDA device", {}, device="cuda")
    (tmp_path / "file").write_text("")
    refused("cannot make the run folder", {}, folder=tmp_path / "file" / "run")
    refused("holds a run already|holds a run with", {"seed": 8}, folder=_finished(small, tmp_path))


def _finished(small: dict[str, Any], tmp_path: Path) -> Path:
    return train(small, tmp_path / "finished", progress=False)


def test_a_loss_that_is_not_finite_ends_the_run(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sdpcert.training import loop

    small["training"] |= {"checkpoint_seconds": 1e6}
    monkeypatch.setattr(loop, "make_loss", lambda *more: lambda logits, labels: logits.sum() * float("nan"))
    with pytest.raises(ValueError, match=r"loss is not finite at step 6: lower optimiser\.learning_rate"):
        train(small, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "checkpoint.safetensors"])
@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: d[:-3] + b"abc"])
def test_damaged_run_folders(small: dict[str, Any], tmp_path: Path, name: str, damage: Any) -> None:
    folder = _finished(small, tmp_path)
    if name.startswith("checkpoint"):
        (folder / "model.json").unlink()
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_hostile_run_folders(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        load_run(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"neither model\.json nor a checkpoint"):
        load_run(tmp_path)
    folder = _finished(small, tmp_path)
    table = json.loads((folder / "model.json").read_text())
    for change in ({"config": []}, {"data": {"name": 3}}, {"config": {**table["config"], "x": 1}}, {"format": "b"}):
        (folder / "model.json").write_text(json.dumps(table | change))
        with pytest.raises(ValueError):
            load_run(folder)
    wider = {**table["config"], "model": {**table["config"]["model"], "hidden": [30, 24]}}
    (folder / "model.json").write_text(json.dumps(table | {"config": wider}))
    with pytest.raises(ValueError, match=r"has .* of shape"):
        load_run(folder)
    huge = {**table["config"], "model": {**table["config"]["model"], "hidden": [1_000_000] * 999}}
    (folder / "model.json").write_text(json.dumps(table | {"config": huge}))
    with pytest.raises(ValueError, match="does not fit the network"):
        load_run(folder)
    deeper = {**table["config"], "model": {**table["config"]["model"], "hidden": [24, 24, 24]}}
    (folder / "model.json").write_text(json.dumps(table | {"config": deeper}))
    with pytest.raises(ValueError, match="does not fit the network"):
        load_run(folder)
    (folder / "model.json").unlink()
    checkpoint = read_checkpoint(folder / "checkpoint.safetensors")
    for state in ({}, {**checkpoint.state, "random": {}}, {**checkpoint.state, "step": "many"}):
        write_checkpoint(folder / "checkpoint.safetensors", Checkpoint(state, checkpoint.model))
        with pytest.raises(ValueError, match="damaged checkpoint"):
            train(small, folder, progress=False)


RUN = "import sys; from sdpcert.training import train; train(sys.argv[1], sys.argv[2], progress=False)"

#: Runs in processes of their own, forked by one that has imported everything: prints the number, then the exit status.
FORKS = """
import os, sys
from sdpcert.training import load_data, train
load_data("digits")
for line in sys.stdin:
    run = os.fork()
    if run == 0:
        train(sys.argv[1], line.strip(), progress=False)
        os._exit(0)
    print(run, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_ten_kills_do_not_change_the_weights(small: dict[str, Any], tmp_path: Path) -> None:
    small["training"] |= {"epochs": 60, "checkpoint_seconds": 0.02}
    config = tmp_path / "config.toml"
    config.write_text(toml_text(load_config(small).table()))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    folder, chance, steps = tmp_path / "killed", random.Random(5), []
    checkpoint = folder / "checkpoint.safetensors"
    command = [sys.executable, "-c", FORKS, str(config)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forks:
        assert forks.stdin is not None and forks.stdout is not None

        read, write = forks.stdout.readline, forks.stdin

        def start(run: Path) -> int:
            print(run, file=write, flush=True)
            return int(read())

        def status() -> int:
            return int(read())

        start(tmp_path / "whole")
        assert status() == 0
        for _ in range(10):
            before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            run = start(folder)
            while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.06))
            os.kill(run, signal.SIGKILL)
            assert status() == -signal.SIGKILL, "the run was over before it was killed ten times: make it longer"
            steps.append(read_checkpoint(checkpoint).state["step"])
        start(folder)
        assert status() == 0
        forks.stdin.close()
    assert steps == sorted(steps) and steps[0] < steps[-1]
    assert same(tmp_path / "whole", folder)
    assert [r["step"] for r in read_records(folder / "log.jsonl")] == [6 * k for k in range(1, 61)]
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_two_processes_train_what_one_does(small: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    small["training"]["averaging"] = 0.0
    config.write_text(toml_text(load_config(small).table()))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    script = tmp_path / "run.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), str(config)]
    subprocess.run([*command, str(tmp_path / "one")], env=environment, check=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *command[1:]]
    subprocess.run([*launch, str(tmp_path / "two")], env=environment, check=True, capture_output=True)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2
