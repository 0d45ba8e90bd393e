"""From a configuration to a run folder: checks, the data, the processes, requests to stop, and the loop."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sdpcert.running.allocation import kept_memory
from sdpcert.running.outputs import write_whole
from sdpcert.training.checkpoint import remove_unfinished
from sdpcert.training.config import load_config, toml_text
from sdpcert.training.datasets import Description, load_data
from sdpcert.training.logs import ProgressBar
from sdpcert.training.loop import Run
from sdpcert.training.parallel import Processes, processes
from sdpcert.training.runs import CHECKPOINT, build, check_same, environment, is_finished, load_run
from sdpcert.training.settings import Config

#: Most weights of a network; each takes 16 bytes with its gradient and Adam's two averages.
LARGEST_NETWORK = 1_000_000_000


def train(
    config: Config | Mapping[str, Any] | str | Path,
    run_directory: str | Path,
    resume: bool = True,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Path:
    """Train the network of a configuration (a TOML file, a mapping or a `Config`) and return the run folder.

    With `resume` a run that is in the folder goes on from its checkpoint, and a finished one is left as it is; without,
    a folder with a run is refused. Under torchrun every process calls this with the same arguments, and the batches are
    divided among them. Raises ValueError with one line for bad input, and `TrainingInterrupted` after Ctrl-C or a
    SIGTERM, when the step is complete and the checkpoint written.
    """
    settings, folder = load_config(config), Path(run_directory)
    with _threads(settings.training.threads), processes(device) as group:
        _check_batches(settings, group)
        data = load_data(settings.data.name, settings.data.root, settings.data.cache)
        if settings.training.batch > len(data.train.images):
            raise ValueError(
                f"training.batch of {settings.training.batch} is more than the {len(data.train.images)} images"
            )
        _check_network(settings, data.description)
        if not resume and ((folder / CHECKPOINT).exists() or is_finished(folder)):
            raise ValueError(f"{folder} holds a run already: resume it, or name another folder")
        _prepare(folder, group)
        if is_finished(folder):
            check_same(settings, load_run(folder).config, folder)
            return folder
        run = Run(settings, data, folder, group)
        run.restore()
        group.wait()
        if group.first:
            write_whole(folder / "config.toml", toml_text(settings.table()).encode())
            written = json.dumps(environment(group.device, group.size), indent=1) + "\n"
            write_whole(folder / "environment.json", written.encode())
        with _stop_request() as stop, ProgressBar(progress and group.first) as bar, kept_memory():
            run.steps(stop, bar)
        group.wait()
    return folder


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use so many threads, and then as many as before; 0 changes nothing."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_batches(settings: Config, group: Processes) -> None:
    if settings.training.batch % group.size:
        raise ValueError(f"training.batch of {settings.training.batch} cannot be divided among {group.size} processes")


def _check_network(settings: Config, data: Description) -> None:
    """Raise ValueError for what memory or images are too small for, before there is a run folder."""
    with torch.device("meta"):
        weights = sum(p.numel() for p in build(settings, data).parameters())
    if weights > LARGEST_NETWORK:
        raise ValueError(f"the network has {weights:.2g} weights, above {LARGEST_NETWORK:.0g}: make the model smaller")
    side = min(data.input_shape[1:])
    if settings.augment.crop >= side:
        raise ValueError(f"augment.crop of {settings.augment.crop} shifts images of {side} pixels out of sight")


def _prepare(folder: Path, group: Processes) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the run folder {folder}: {error.strerror}") from None
    if group.first:
        remove_unfinished(folder)


@contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts at once. Only the main thread gets signals."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def ask(number: int, frame: Any) -> None:
        if event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
