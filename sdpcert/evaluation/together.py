"""Certificates proved again, many of them by several processes side by side."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sdpcert.check import CheckResult, check
from sdpcert.running import children
from sdpcert.running.outputs import reads

#: From so many certificates on, they are proved in processes of their own.
TOGETHER = 4
_CHILD = """
import json, sys
from sdpcert.check import check
result = check(sys.argv[1])
print(json.dumps(vars(result)))
"""


def check_all(paths: Sequence[Path]) -> list[CheckResult]:
    """Prove certificates again; many of them in processes of their own, side by side."""
    for path in paths:
        reads(path)
    if len(paths) < TOGETHER:
        return [check(path) for path in paths]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        results = [pool.submit(_check_apart, path) for path in paths]
        try:
            return [result.result() for result in results]
        except BaseException:  # an interrupt: nobody asks for the others
            for result in results:
                result.cancel()
            children.end()
            raise


def _check_apart(path: Path) -> CheckResult:
    command = [sys.executable, "-c", _CHILD, str(path.resolve())]
    where = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([where, os.environ.get("PYTHONPATH", "")])}
    done = children.run(command, b"", environment)
    try:
        return CheckResult(**json.loads(done.stdout))
    except (ValueError, TypeError):
        return check(path)
