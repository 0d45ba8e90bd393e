"""The independent certificate checker, which needs the standard library only."""

from sdpcert.check.checker import CheckResult as CheckResult
from sdpcert.check.checker import check as check
