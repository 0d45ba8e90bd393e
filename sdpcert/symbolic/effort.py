"""How long a verdict may take: seconds that a claim is given, and what of them is left."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from sdpcert.errors import OutOfTime as OutOfTime

#: Seconds for a claim, if nothing else is said.
SECONDS = 20.0


@dataclass(frozen=True)
class Effort:
    """Seconds from now on; searches ask between their attempts whether they are `spent`."""

    seconds: float = math.inf
    start: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(self.start + self.seconds - time.monotonic(), 0.0)

    @property
    def spent(self) -> bool:
        """Whether none are left."""
        return self.left == 0.0

    def share(self, part: float) -> Effort:
        """A new effort of a share of what is left."""
        return Effort(part * self.left)

    def check(self) -> None:
        """Raise `OutOfTime` if none are left."""
        if self.spent:
            raise OutOfTime
