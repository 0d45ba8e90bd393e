"""What a terminal is shown while a command works, through a pseudo-terminal; and that nothing else is told anything."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdpcert import Network, certify, cli
from sdpcert.running.phases import expected, phases_shown, to_go
from sdpcert.solvers.solution import Progress

NETWORKS = Path(__file__).parents[2] / "examples" / "networks"


class Terminal:
    """A pseudo-terminal in place of stderr, read by a thread so that nobody who writes to it waits."""

    def __init__(self) -> None:
        self.ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w", buffering=1)
        self.read: list[bytes] = []
        self.reader = threading.Thread(target=self._follow, daemon=True)
        self.reader.start()

    def _follow(self) -> None:
        with contextlib.suppress(OSError):  # what Linux raises when the other side is closed
            while piece := os.read(self.ours, 65536):
                self.read.append(piece)

    def text(self) -> str:
        """What was written to it."""
        self.stream.close()
        self.reader.join(timeout=10)
        return b"".join(self.read).decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    made = Terminal()
    yield made
    made.text()
    os.close(made.ours)


def command(terminal: Terminal, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it printed on stdout, which is no terminal."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(terminal.stream):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
    return int(str(ended.value.code)), out.getvalue()


def test_a_terminal_sees_the_phases_and_what_is_printed_goes_where_it_is_read(terminal: Terminal) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(terminal.stream):
        with phases_shown("reading") as show:
            print("a result")
            show("proving [again]")
            print("a message", file=sys.stderr)
    text = terminal.text()
    assert "reading" in text and "proving [again]" in text and "a message" in text
    assert "0:00:00" in text
    assert out.getvalue() == "a result\n"


def test_what_is_no_terminal_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with phases_shown("reading") as show:
        show("proving")
    assert capsys.readouterr() == ("", "")


def test_certify_tells_its_phases(terminal: Terminal, tmp_path: Path) -> None:
    code, out = command(terminal, "certify", str(NETWORKS / "digits_mlp.onnx"), "-o", str(tmp_path / "c.json"))
    assert code == 0 and out.startswith("network")
    text = terminal.text()
    for phase in ("reading digits_mlp.onnx", "proving", "searching two inputs"):
        assert phase in text


def test_layers_tell_what_is_bounded(terminal: Terminal) -> None:
    code, _ = command(terminal, "layers", str(NETWORKS / "digits_residual.onnx"))
    assert code == 0
    text = terminal.text()
    assert "norm 1" in text and "bounds to go" in text


def test_certificates_that_are_proved_again_are_counted(terminal: Terminal, tmp_path: Path) -> None:
    network = Network.mlp([np.eye(2), np.ones((1, 2))])
    for name in ("a.json", "b.json"):
        certify(network).save(tmp_path / name)
    code, _ = command(terminal, "table", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert code == 0
    assert "file 2 of 2: b.json" in terminal.text()


def test_every_phase_of_certify_is_told_in_order() -> None:
    told: list[Progress] = []
    certify(Network.mlp([np.eye(3), np.ones((2, 3))]), progress=told.append)
    phases = [line.phase for line in told if line.phase]
    assert phases[-1].startswith("searching two inputs")
    assert any(phase.startswith("proving") for phase in phases)
    assert any(phase.startswith("a checker looks at") for phase in phases)
    assert all(line.text for line in told)


def test_only_what_is_long_has_an_estimate() -> None:
    assert expected(0.5) == expected(float("inf")) == ""
    assert expected(7.4) == ", estimated at 7 s"
    assert expected(600) == ", estimated at 10 min"


def test_check_says_what_the_proof_took_when_it_was_made(terminal: Terminal, tmp_path: Path) -> None:
    certificate = replace(certify(Network.mlp([np.eye(2)])), proof_seconds=7.3)
    certificate.save(tmp_path / "a.json")
    assert command(terminal, "check", str(tmp_path / "a.json"))[0] == 0
    assert "proving a.json again, whose proof took 7 s when it was made" in terminal.text()


def test_what_is_left_is_estimated_from_what_is_done() -> None:
    started = time.perf_counter() - 10
    assert to_go(started, 0, 5) == to_go(started, 5, 5) == ""
    assert to_go(started, 2, 5) == ", about 15 s to go"
