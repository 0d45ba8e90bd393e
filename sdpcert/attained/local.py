"""Proved pairs inside a region from what is known already: a point and its direction, or points to start from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sdpcert.attained.attained import Attained
from sdpcert.attained.pairs import leading_direction, pairs
from sdpcert.attained.search import Search
from sdpcert.attained.setting import Setting
from sdpcert.attained.work import LEAST, Work
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Region

Array = np.ndarray
#: Pairs that are evaluated around a point, and the points of a short search around which some are.
PAIRS = 3
FINALISTS = 2
#: Rounds without growth after which a short search ends.
PATIENCE = 1


def pair_at(form: StackedForm, region: Region, point: Array, direction: Array) -> Attained:
    """Two inputs of the region around `point`, apart along `direction`: their quotient is nearly |J direction|.

    J is the Jacobian at the point, and the direction (of any length) what it stretches most, or near it. A point
    outside of the region is moved to it, and what points along inputs that are fixed is left out. Returns `lower = 0`
    where no such pair is surely in the region. Raises ValueError if the region, the point or the direction has another
    number of inputs than the form.
    """
    started = time.perf_counter()
    with np.errstate(all="ignore"):
        setting = Setting.of(form, form, None, region, Work(0.0))
        row, along = setting.row(point), setting.direction(direction)
        made = pairs(setting.searched, setting.domain, row, along, setting.size, PAIRS) if np.any(along) else []
    return replace(setting.best(made), seconds=time.perf_counter() - started)


def improve(
    form: StackedForm, region: Region, points: Sequence[Array], seed: int = 0, operations: float = LEAST
) -> Attained:
    """The best pair of a short search that starts at points of the region; `operations` bound its work, about.

    Returns `lower = 0` where no pair is surely in the region. Raises ValueError if there is no point, or the region or
    a point has another number of inputs than the form.
    """
    if not len(points):
        raise ValueError("a search from given points needs at least one")
    started = time.perf_counter()
    work = Work(operations)
    made = []
    with np.errstate(all="ignore"):
        setting = Setting.of(form, form, None, region, work)
        rows = np.stack([setting.row(point) for point in points])
        if setting.searched.inputs:
            search = Search(setting.searched, setting.domain, seed, work, PATIENCE)
            found = search.run(rows).best(FINALISTS)
            for point, direction in zip(found.points, found.directions, strict=True):
                better = leading_direction(setting.searched, point, direction)
                made += pairs(setting.searched, setting.domain, point, better, search.size, PAIRS)
    return replace(setting.best(sorted(made, key=lambda pair: -pair.quotient)), seconds=time.perf_counter() - started)
