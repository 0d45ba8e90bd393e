"""The job file of a Slurm array: every task does its share of the items, and all write into one folder."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

from sdpcert.sweep.plan import Plan

#: Hours of a task whose items have no limit of time, seconds that a start takes, and memory beside the items', in MiB.
HOURS, START, BESIDE = 24, 120, 1024
#: Memory of a task whose items have no limit of it, in MiB.
MEMORY = 4096

_JOB = """#!/bin/bash
#SBATCH --job-name=sdpcert-{name}
#SBATCH --array=1-{tasks}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --time={time}
#SBATCH --mem={memory}M
#SBATCH --output=sdpcert-%A_%a.log
#SBATCH --signal=B:TERM@60
# {items} items, at most {most} a task{why}. What has an answer is not done again: submit the same file once more for
# what is left after a failure or a time that was too short.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
exec sdpcert sweep {plan} -o {output} --jobs 1 --array "${{SLURM_ARRAY_TASK_ID}}/{tasks}"
"""


def job_file(plan: Plan, folder: Path, tasks: int) -> str:
    """The text for `sbatch`, with absolute paths; no task lasts longer than its items may by the plan's limits."""
    tasks = max(1, min(tasks, len(plan.items)))
    most = math.ceil(len(plan.items) / tasks)
    limits = plan.limits
    if limits.seconds is None:
        seconds, why = 3600.0 * HOURS, f", which have no limit of time in the plan: {HOURS} hours are a guess"
    else:
        seconds, why = START + most * limits.attempts * limits.seconds, ""
    memory = MEMORY if limits.memory is None else math.ceil(limits.memory / 2**20) + BESIDE
    where = folder.absolute()
    return _JOB.format(
        name=plan.path.stem,
        tasks=tasks,
        time=_time(seconds),
        memory=memory,
        items=len(plan.items),
        most=most,
        why=why,
        plan=shlex.quote(str(plan.path.absolute())),
        output=shlex.quote(str(where)),
    )


def _time(seconds: float) -> str:
    """Days-hours:minutes:seconds, as Slurm reads it, rounded up to a minute."""
    minutes = math.ceil(seconds / 60)
    days, rest = divmod(minutes, 24 * 60)
    return f"{days}-{rest // 60:02d}:{rest % 60:02d}:00"
