"""Output files: checked before the work that fills them, so that it is not lost to a wrong name, and written whole."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from sdpcert.arguments import path as as_path


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise ValueError with one line where no file can be written or replaced at `path`.

    Folders, links and devices are refused: files are written beside their place and renamed, which would replace them.
    """
    target = as_path(path, "the output")
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

    Raises ValueError with one line where it cannot be written.
    """
    target, temporary = as_path(path, "the output"), None
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
    """Write a file whole or not at all, text as UTF-8; raises ValueError with one line where that fails."""
    with whole_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)
