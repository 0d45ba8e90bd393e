"""Ctrl-C and SIGTERM: what ends, what is kept, what is said; in programs and at the command line."""

from __future__ import annotations

import importlib
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert import cli
from sdpcert.running.choices import Method
from sdpcert.running.interrupts import (
    first_interrupt_waits,
    interrupts_noticed,
    interrupts_of_a_command,
    terminations_interrupt,
)
from sdpcert.solvers.solution import Progress

NETWORKS = Path(__file__).parents[2] / "examples" / "networks"
MLP = NETWORKS / "digits_mlp.npz"
ONE_LINE = "sdpcert: interrupted before there was a result\n"


def once(number: int) -> Any:
    """A progress function that sends a signal to this process the first time it is called."""
    sent: list[Progress] = []

    def report(line: Progress) -> None:
        sent.append(line)
        if len(sent) == 1:
            signal.raise_signal(number)

    return report


def test_a_loop_ends_at_the_first_interrupt_and_no_bound_is_lost(tmp_path: Path) -> None:
    network, finished = sdpcert.load(MLP), []

    def loop() -> None:
        for seed in range(3):
            finished.append(sdpcert.certify(network, seed=seed, progress=once(signal.SIGINT)))

    with pytest.raises(KeyboardInterrupt) as ended:
        loop()
    assert finished == [] and isinstance(ended.value, sdpcert.Interrupted)
    certificate = ended.value.certificate
    assert certificate.status == "proved" and certificate.solver_status == "interrupted"
    assert 0 < certificate.lower <= certificate.upper < float("inf")
    assert repr(certificate.upper) in str(ended.value)
    certificate.save(tmp_path / "c.json")
    assert sdpcert.check(tmp_path / "c.json").ok


def said(err: str) -> list[str]:
    """The lines on stderr, without what is announced before a long run."""
    return [line for line in err.splitlines() if "estimated at" not in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_best_point_is_returned_where_that_is_asked_for(number: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    made = sdpcert.certify(sdpcert.load(MLP), progress=once(number), on_interrupt="prove")
    assert made.status == "proved" and made.solver_status == "interrupted" and made.lower <= made.upper
    assert signal.getsignal(signal.SIGTERM) is before


def test_interrupted_while_points_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is proved already is kept."""
    module = sys.modules["sdpcert.certify.witness"]
    searched, asked = module.attained_lower_bound, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        asked.append(options)
        if len(asked) == 1:
            signal.raise_signal(signal.SIGINT)
        return searched(*arguments, **options)

    monkeypatch.setattr(module, "attained_lower_bound", interrupted)
    with pytest.raises(sdpcert.Interrupted) as ended:
        sdpcert.certify(sdpcert.load(MLP))
    certificate = ended.value.certificate
    assert certificate.status == "proved" and 0 < certificate.lower <= certificate.upper
    assert certificate.solver_status == "interrupted"
    assert any("interrupted: the search" in note for note in certificate.notes)


def test_a_second_interrupt_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the proof, where the first one waits."""
    point = sys.modules["sdpcert.certify.dense"].DensePoint
    proved = point.__dict__["_proof"]

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return proved(*arguments)

    monkeypatch.setattr(point, "_proof", interrupted)
    with pytest.raises(KeyboardInterrupt) as ended:
        sdpcert.certify(sdpcert.load(MLP), progress=once(signal.SIGINT))
    assert not isinstance(ended.value, sdpcert.Interrupted)
    with pytest.raises(sdpcert.Interrupted) as first:  # where it is the first one
        sdpcert.certify(sdpcert.load(MLP), "product")
    assert first.value.certificate.status == "proved"


def test_a_program_with_a_handler_of_its_own_is_left_to_it() -> None:
    """A handler that raises nothing is no interrupt."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        made = sdpcert.certify(sdpcert.load(MLP), progress=once(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [signal.SIGINT] and made.solver_status != "interrupted"


def test_the_first_interrupt_waits_for_the_proof() -> None:
    with first_interrupt_waits():
        signal.raise_signal(signal.SIGINT)
    with first_interrupt_waits():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with interrupts_noticed() as came, first_interrupt_waits():
        signal.raise_signal(signal.SIGINT)
    assert came.is_set()
    with interrupts_noticed() as came:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert came.is_set()
        with first_interrupt_waits(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_sigterm_is_an_interrupt_of_a_command_even_where_ctrl_c_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_of_a_command() as came:
            signal.raise_signal(signal.SIGINT)
            with interrupts_noticed() as noticed, pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            assert noticed.is_set() and came == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    with terminations_interrupt(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_other_threads_are_left_alone() -> None:
    made: list[sdpcert.Certificate] = []
    thread = threading.Thread(target=lambda: made.append(sdpcert.certify(sdpcert.load(MLP), "product")))
    thread.start()
    thread.join()
    assert made[0].status == "proved"


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_bounds_stop_after_the_one_at_hand(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    certify, methods = sdpcert.certify, []

    def interrupted(network: Any, method: Method, *arguments: Any, **options: Any) -> Any:
        methods.append(method)
        return certify(network, method, *arguments, **{**options, "progress": once(signal.SIGINT)})

    monkeypatch.setattr(sdpcert, "certify", interrupted)
    assert run_main("bounds", str(MLP), "--json") == 130
    shown = capsys.readouterr()
    assert methods == ["neuron"] and len(json.loads(shown.out)["bounds"]) == 1
    assert "bound 1 of 3" in shown.err and shown.err.count("\n") == 1


@pytest.mark.parametrize("verb", ["layers", "derive"])
def test_items_that_were_finished_are_printed(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if verb == "layers":
        pytest.importorskip("torch")

        name, words = "certify", ("layers", "check", "all", "--json")
    else:
        pytest.importorskip("sympy")
        from sdpcert.derivations import library

        some = library.names()[:4]
        monkeypatch.setattr(library, "names", lambda: some)
        name, words = "derive", ("derive", "all", "--json", "--no-numbers")
    module = importlib.import_module("sdpcert.layers.feasibility" if verb == "layers" else "sdpcert.symbolic.deriving")
    called, counted = getattr(module, name), itertools.count()

    def third_is_interrupted(*arguments: Any, **options: Any) -> Any:
        if next(counted) == 2:
            signal.raise_signal(signal.SIGINT)
        return called(*arguments, **options)

    monkeypatch.setattr(module, name, third_is_interrupted)
    assert run_main(*words) == 130
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    assert len(printed["results"]) == 2 and next(counted) == 3
    assert shown.err.startswith("sdpcert: interrupted after 2 ") and shown.err.count("\n") == 1


def test_nothing_to_show_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sdpcert, "certify", interrupted)
    assert run_main("certify", str(MLP), "-o", str(tmp_path / "c.json")) == 130
    assert capsys.readouterr().err == ONE_LINE


def test_an_import_that_an_interrupt_broke_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("a module failed to import") from None

    monkeypatch.setattr(sdpcert, "certify", interrupted)
    assert run_main("certify", str(MLP)) == 130
    assert capsys.readouterr().err == ONE_LINE


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "sdpcert.cli", *map(str, words)]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A network whose bound takes some seconds."""
    generator, sizes = np.random.default_rng(0), (40, 300, 300, 300, 10)
    weights = {
        f"weight_{k}": generator.standard_normal((b, a)) / np.sqrt(a)
        for k, (a, b) in enumerate(itertools.pairwise(sizes))
    }
    np.savez(tmp_path / "large.npz", **weights)  # type: ignore[arg-type]
    return tmp_path / "large.npz"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.3, 5.0])
def test_a_command_ends_without_a_traceback(number: int, seconds: float, large: Path) -> None:
    """While libraries are imported, and later: one line, or the best point proved."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command("certify", large, "--json"),
        stdout=pipe,
        stderr=pipe,
        text=True,
        cwd=large.parent,
        start_new_session=True,
    )
    time.sleep(seconds)
    process.send_signal(number)
    out, err = process.communicate(timeout=150)
    assert "Traceback" not in err and len(said(err)) <= 1
    if process.returncode == 0:
        values = json.loads(out)
        assert values["status"] == "proved" and values["lower"] <= values["upper"]
    else:
        assert process.returncode in (130, -number)  # the last before Python had begun with this package
        assert said(err) in ([], ONE_LINE.splitlines())
    assert [path.name for path in large.parent.iterdir() if path.name.startswith(".")] == []


def test_two_signals_end_a_command_at_once(large: Path) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command("certify", large, "--tol", "1e-12"), stdout=pipe, stderr=pipe, text=True, cwd=large.parent
    )
    time.sleep(4.0)
    for _ in range(40):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        time.sleep(0.25)
    out, err = process.communicate(timeout=60)
    # -SIGINT: on a busy machine Python has not begun with this package after four seconds
    assert process.returncode in (0, 130, -signal.SIGINT) and "Traceback" not in err and len(said(err)) <= 1
    assert process.returncode == 0 or out == ""


def test_the_exit_code_is_ours_wherever_an_interrupt_came(tmp_path: Path) -> None:
    """CPython notes an interrupt of code that was run from a text, and would end `python -m` with SIGINT at exit."""
    (tmp_path / "program.py").write_text(
        "import signal, sys, sdpcert\n"
        "from sdpcert import cli\n"
        "def interrupted(*arguments, **options):\n"
        "    exec('signal.raise_signal(signal.SIGINT)', {'signal': signal})\n"
        "sdpcert.certify = interrupted\n"
        f"sys.argv = ['sdpcert', 'certify', {str(MLP)!r}]\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-m", "program"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, ONE_LINE)
