"""`sdpcert sweep`: what it prints, what it refuses, and that it goes on after every kill."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest

from sdpcert import cli
from sdpcert.sweep import doing
from tests.sweep.conftest import write_network

PLAN = '[limits]\nseconds = 300\n[[sweep]]\nnetwork = ["nets/*.npz"]\nmethod = ["product", "layer", "neuron"]\n'
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parents[2]) + os.pathsep + os.environ.get("PYTHONPATH", ""),
}
COMMAND = [sys.executable, "-m", "sdpcert.cli", "sweep", "plan.toml", "-o"]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan of twelve items, in the working folder."""
    for seed in range(4):
        write_network(tmp_path / "nets" / f"n{seed}.npz", seed)
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "plan.toml"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let items be done in this process."""
    monkeypatch.setattr(doing, "ask", lambda function, question, seconds, memory: function(question))


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "items").iterdir())


def bounds(folder: Path) -> dict[str, float | None]:
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["key"]: line["upper"] for line in lines}


@pytest.mark.usefixtures("here")
def test_a_sweep_from_the_listing_to_the_index(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan.toml", "--dry-run") == 0
    listed = capsys.readouterr()
    assert len(listed.out.splitlines()) == 12 and listed.err == "12 items of 4 networks\n"
    assert command("plan.toml", "--dry-run", "--json") == 0
    assert [item["key"] for item in json.loads(capsys.readouterr().out)["items"]] == listed.out.splitlines()

    assert command("plan.toml", "-o", "out", "--jobs", "1", "--array", "1/3") == 0
    assert re.search(r"^items +4    4 done now\nproved +4\n", capsys.readouterr().out)
    assert command("plan.toml", "-o", "out", "--jobs", "1", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "schema": 1,
        "verb": "sweep",
        "folder": str(plan.parent / "out"),
        "index": str(plan.parent / "out" / "index.jsonl"),
        "items": 12,
        "done": 8,
        "states": {"proved": 12},
    }
    assert shown.err == "12 items, 4 with an answer\n"
    index = (plan.parent / "out" / "index.jsonl").read_text(encoding="utf-8")
    (plan.parent / "out" / "index.jsonl").write_text("half a li", encoding="utf-8")
    assert command("out", "--index") == 0 and "items       12    0 done now" in capsys.readouterr().out
    assert (plan.parent / "out" / "index.jsonl").read_text(encoding="utf-8") == index


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("words", [("-o", "out", "--jobs", "1"), ("--dry-run",), ("-o", "out", "--slurm", "2")])
def test_every_object_is_described(plan: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    plan.write_text(PLAN.replace("nets/*", "nets/n0"), encoding="utf-8")
    assert command("plan.toml", *words, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    schema = json.loads(resources.files("sdpcert.verbs").joinpath("output.schema.json").read_text())
    pytest.importorskip("jsonschema").Draft202012Validator(schema).validate(printed)


@pytest.mark.usefixtures("here")
def test_what_is_not_proved_is_said_and_is_the_exit_code(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan.write_text(PLAN.replace('"nets/*.npz"', '"nets/n0.npz", "none.npz"'), encoding="utf-8")
    assert command("plan.toml", "-o", "out", "--jobs", "1") == 1
    shown = capsys.readouterr()
    assert "failed          3\n" in shown.out
    assert re.search(r"^failed: none--layer-[0-9a-f]{16}: 'none.npz': no such file$", shown.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan.toml",), "-o DIR is missing"),
        (("none.toml", "-o", "out"), "none.toml: no such file"),
        (("plan.toml", "-o", "out", "--array", "4/3"), "--array wants a share"),
        (("plan.toml", "-o", "out", "--jobs", "2", "--scheduler", "tcp://localhost:1"), "give one"),
        (("plan.toml", "-o", "nets"), "nets: is a folder with other files"),
        (("nets", "--index"), "nets: is no folder of a sweep"),
    ],
)
def test_a_mistake_is_one_line(
    plan: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert command(*words) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and not (plan.parent / "out").exists()


def test_a_job_file_says_what_its_tasks_need(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan.write_text(PLAN.replace("[[sweep]]", "memory_gib = 1.5\n[[sweep]]"), encoding="utf-8")
    assert command("plan.toml", "-o", "out", "--slurm", "5") == 0
    job = capsys.readouterr().out
    # Three items at most, each tried twice for 300 s, and 120 s for the start.
    assert "--array=1-5\n" in job and "--time=0-00:32:00\n" in job and "--mem=2560M\n" in job
    assert command("plan.toml", "-o", "out", "--slurm", "50") == 0
    assert "--array=1-12\n" in capsys.readouterr().out and not (plan.parent / "out").exists()


SBATCH = """#!/bin/bash
# What Slurm does with an array, one task after another.
job="$1"
tasks=$(sed -n 's/^#SBATCH --array=1-\\([0-9]*\\)$/\\1/p' "$job")
for task in $(seq "$tasks"); do SLURM_ARRAY_TASK_ID=$task bash "$job"; done
"""


@pytest.mark.slow
def test_a_job_file_runs_as_an_array(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan.toml", "-o", "out", "--slurm", "2") == 0
    programs = plan.parent / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("sdpcert", f'#!/bin/bash\nexec {sys.executable} -m sdpcert.cli "$@"\n')):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    (plan.parent / "job.sh").write_text(capsys.readouterr().out, encoding="utf-8")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sbatch", "job.sh"], env=ENVIRONMENT | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("proved          6\n") == 2
    assert len(bounds(plan.parent / "out")) == 12


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_after_kills_of_a_worker_and_of_the_parent_the_files_are_the_same(plan: Path) -> None:
    write_network(plan.parent / "nets" / "wide.npz", 9, (20, 60, 60, 10))  # long enough to be killed in the middle
    whole, killed = plan.parent / "whole", plan.parent / "killed"
    assert command("plan.toml", "-o", "whole", "--jobs", "1") == 0
    with subprocess.Popen([*COMMAND, "killed", "--jobs", "2"], env=ENVIRONMENT, stderr=subprocess.PIPE) as parent:
        _wait_for(lambda: len(records(killed)) > 2)
        os.kill(children(parent.pid)[0], signal.SIGKILL)  # does the items of a thread
        count = len(records(killed))
        _wait_for(lambda: len(records(killed)) > count)
        beside = children(parent.pid)
        parent.kill()
    _wait_for(lambda: not any(_runs(process) for process in beside))
    (killed / "index.jsonl").write_text("half a li", encoding="utf-8")
    assert len(records(killed)) < 15
    assert command("plan.toml", "-o", "killed", "--jobs", "1") == 0
    assert files(killed) == files(whole) and bounds(killed) == bounds(whole)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs the extra dask")
def test_after_a_kill_of_a_dask_scheduler_the_files_are_the_same(plan: Path) -> None:
    write_network(plan.parent / "nets" / "wide.npz", 9, (20, 60, 60, 10))
    assert command("plan.toml", "-o", "whole", "--jobs", "1") == 0
    with cluster(plan.parent, 18_791) as (scheduler, address):
        with subprocess.Popen(
            [*COMMAND, "killed", "--scheduler", address], env=ENVIRONMENT, stderr=subprocess.PIPE
        ) as parent:
            _wait_for(lambda: len(records(plan.parent / "killed")) > 2)
            scheduler.kill()
            said = parent.communicate(timeout=120)[1].decode()
    assert parent.returncode == 130 and "the workers are lost" in said and said.count("\n") == 2
    with cluster(plan.parent, 18_792) as (_, address):
        assert command("plan.toml", "-o", "killed", "--scheduler", address) == 0
    assert files(plan.parent / "killed") == files(plan.parent / "whole")
    assert bounds(plan.parent / "killed") == bounds(plan.parent / "whole")


@contextmanager
def cluster(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler and two workers, each a process of its own, as two commands start them."""
    address = f"tcp://127.0.0.1:{port}"
    start = [sys.executable, "-m"]
    scheduler = [*start, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [*start, "distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    with open(folder / "cluster.log", "ab") as log:
        first = subprocess.Popen(scheduler, env=ENVIRONMENT, stdout=log, stderr=log, cwd=folder)
        second = subprocess.Popen(worker, env=ENVIRONMENT, stdout=log, stderr=log, cwd=folder)
        with first, second:
            try:
                yield first, address
            finally:
                second.terminate()
                first.terminate()


def records(folder: Path) -> list[str]:
    return [name for name in files(folder) if name.endswith("record.json")] if (folder / "items").is_dir() else []


def children(process: int) -> list[int]:
    """The processes that a process began, of all its threads."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_for(happens: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)
