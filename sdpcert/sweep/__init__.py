"""Many networks, methods, outputs and regions: a plan becomes a folder of files that are each proved again alone.

    from sdpcert.sweep import read_plan, run

    summary = run(read_plan("plan.toml"), "results")

`plan` reads what is asked for, `sweeping` hands it out to an executor of `concurrent.futures`, `doing` does one item in
a process of its own (`beside`), `folder` keeps what becomes of it.
"""

from sdpcert.sweep.folder import Folder
from sdpcert.sweep.item import Item
from sdpcert.sweep.plan import Limits, Plan, read_plan
from sdpcert.sweep.record import Record, State
from sdpcert.sweep.sweeping import Summary, run

__all__ = ["Folder", "Item", "Limits", "Plan", "Record", "State", "Summary", "read_plan", "run"]
