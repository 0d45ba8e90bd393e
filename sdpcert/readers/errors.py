"""How readers refuse: one line that names the thing and the remedy."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from sdpcert.errors import UnsupportedModel as UnsupportedModel
from sdpcert.running.messages import first_line as first_line
from sdpcert.running.messages import quoted as quoted

#: Largest file that is opened, in bytes.
MAX_FILE_BYTES = 2 * 2**30
#: Most entries of one stored tensor.
MAX_STORED = 500_000_000
#: Most entries of a tensor that is made while reading (a padded, tiled, broadcast or filled one).
MAX_MADE = 100_000_000


def check_size(shape: Iterable[int], what: str, limit: int = MAX_MADE) -> int:
    """The number of entries of a shape; raises ValueError if a length is negative or there are more than `limit`."""
    lengths = [int(k) for k in shape]
    if any(k < 0 for k in lengths):
        raise ValueError(f"{what} has the negative length {min(lengths)}")
    count = math.prod(lengths)
    if count > limit:
        raise ValueError(f"{what} has {count} entries, above the limit of {limit}")
    return count


def check_file(path: Path, name: str) -> None:
    """Raise ValueError, which says `name`, unless the path is a file that is not empty and not too large."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise ValueError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {first_line(error)}") from None
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{name}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{name}: is not a regular file")
    if status.st_size == 0:
        raise ValueError(f"{name}: is empty")
    if status.st_size > MAX_FILE_BYTES:
        size, limit = status.st_size / 2**30, MAX_FILE_BYTES / 2**30
        raise ValueError(f"{name}: has {size:.1f} GiB, above the limit of {limit:.0f} GiB")
