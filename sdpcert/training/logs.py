"""Logs of a run: JSON lines, a CSV table, TensorBoard if it is installed, and a bar on a terminal's stderr."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sdpcert.running.outputs import write_whole

#: Largest log that is read again, in bytes.
LARGEST = 256_000_000


class Logs:
    """The logs in a run's folder; records have a "step". Those after `step` are dropped when a run goes on from there.

    Each record is appended to both files and flushed; what a kill cut off is dropped as well.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool = True) -> None:
        self.lines, self.table = folder / "log.jsonl", folder / "log.csv"
        self.records = [record for record in read_records(self.lines) if record["step"] <= step]
        text = "".join(json.dumps(record) + "\n" for record in self.records)
        write_whole(self.lines, text.encode())
        self._write_table()
        self.writer: Any = None
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record."""
        row = dict(record)
        columns = self._columns()
        self.records.append(row)
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if columns == self._columns():
            with self.table.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, columns, lineterminator="\n").writerow(row)
        else:
            self._write_table()
        if self.writer is not None:
            for key, value in row.items():
                if isinstance(value, int | float) and key != "step":
                    self.writer.add_scalar(key, value, row["step"])
            self.writer.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self.writer is not None:
            self.writer.close()

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(key for record in self.records for key in record))

    def _write_table(self) -> None:
        text = io.StringIO()
        if self.records:
            writer = csv.DictWriter(text, self._columns(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.records)
        write_whole(self.table, text.getvalue().encode())


def read_records(path: Path) -> list[dict[str, Any]]:
    """The whole records of a log, up to the first line that is none."""
    if not path.is_file() or path.stat().st_size > LARGEST:
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            break
        records.append(record)
    return records


class ProgressBar:
    """A bar with the latest numbers on stderr, gone when done; nothing if stderr is no terminal."""

    def __init__(self, shown: bool) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        self.bar: Any = None
        if not (shown and console.is_terminal):
            return
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("training"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True)
        self.task = self.bar.add_task("training", total=1.0, note="")

    def __enter__(self) -> ProgressBar:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, done: float, note: str | None = None) -> None:
        """Show how much is done, from 0 to 1, and a note."""
        if self.bar is not None:
            self.bar.update(self.task, completed=done, **({} if note is None else {"note": note}))
