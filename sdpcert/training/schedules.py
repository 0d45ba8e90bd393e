"""Learning rates as functions of how much of the run is done: nothing to save, nothing to get out of step."""

from __future__ import annotations

import math

from sdpcert.training.settings import ConstantSchedule, CosineSchedule, StepSchedule, TriangularSchedule

Schedule = ConstantSchedule | CosineSchedule | StepSchedule | TriangularSchedule


def factor(schedule: Schedule, progress: float) -> float:
    """What the learning rate is multiplied by at `progress`, 0 at the first step and below 1 at the last one."""
    done = min(max(progress, 0.0), 1.0)
    if isinstance(schedule, CosineSchedule):
        if done < schedule.warmup:
            return done / schedule.warmup
        return 0.5 * (1 + math.cos(math.pi * (done - schedule.warmup) / (1 - schedule.warmup)))
    if isinstance(schedule, TriangularSchedule):
        if done < schedule.peak:
            return done / schedule.peak
        return (1 - done) / (1 - schedule.peak) if schedule.peak < 1 else 1.0
    if isinstance(schedule, StepSchedule):
        return schedule.factor ** sum(done >= milestone for milestone in schedule.milestones)
    return 1.0
