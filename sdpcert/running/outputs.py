"""Output files: checked before the work that fills them, so that it is not lost to a wrong name, and written whole.

No output of a command replaces a file that the command reads, whatever name is used for it: what is read is told to
`reads`, and everything that is written comes through `whole_file`, which compares the files themselves.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from sdpcert.running.arguments import path as as_path

#: Files that the running command reads; None in a program, which is responsible for its own files.
_read: list[str] | None = None


@contextmanager
def command() -> Iterator[None]:
    """Keep what is read in this block from being written over in it."""
    global _read
    before, _read = _read, []
    try:
        yield
    finally:
        _read = before


def reads(path: str | os.PathLike[str]) -> None:
    """Note that the running command reads a file."""
    if _read is not None:
        _read.append(os.path.abspath(path))


def check_not_read(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Raise ValueError with one line if `path` is a file that the command reads, one of `inputs` among them."""
    for read in (*inputs, *(_read or ())):
        if is_same(path, read):
            raise ValueError(f"cannot write {os.fspath(path)}: the command reads that file; name another one")


def is_same(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths name one file, through links of any kind too, or will once there is one."""
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):
        return os.path.realpath(path) == os.path.realpath(other)


def check_output(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Raise ValueError with one line if no file can be written or replaced at `path`, or it is one of `inputs`.

    Folders, links and devices are refused: files are written beside their place and renamed, which would replace them.
    """
    target = as_path(path, "the output")
    check_not_read(target, inputs)
    try:
        if not target.parent.is_dir():
            raise ValueError(f"cannot write {target}: the folder {target.parent} does not exist")
        if os.path.lexists(target) and not stat.S_ISREG(os.lstat(target).st_mode):
            what = "a folder" if target.is_dir() and not target.is_symlink() else "a link or a device"
            raise ValueError(f"cannot write {target}: it is {what}; name a file")
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
            pass
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from None


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that is at `path`, whole, when the block ends without an exception; before that nothing is there.

    Raises ValueError with one line if it cannot be written.
    """
    target, temporary = as_path(path, "the output"), None
    check_not_read(target)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def write_whole(path: str | os.PathLike[str], data: str | bytes) -> None:
    """Write a file whole or not at all, text as UTF-8; raises ValueError with one line if that fails."""
    data = data.encode() if isinstance(data, str) else data
    if _read and any(is_same(path, read) for read in _read) and _holds(path, data):
        return  # a run that goes on from its own configuration
    with whole_file(path) as file:
        file.write(data)


def _holds(path: str | os.PathLike[str], data: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(data) + 1) == data
    except OSError:
        return False
