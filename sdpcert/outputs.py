"""Output files: checked before the work that fills them, so that it is not lost to a wrong name, and written whole."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise ValueError with one line where no file can be written or replaced at `path`.

    Folders, links and devices are refused: files are written beside their place and renamed, which would replace them.
    """
    target = Path(path)
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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; raises ValueError with one line where that fails."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from None
