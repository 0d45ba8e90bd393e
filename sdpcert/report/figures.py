"""The figures of a certificate: ladder of bounds, slack by layer, multipliers, convergence, spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sdpcert.report.figure import Axis, Data, Figure, Series
from sdpcert.report.matrices import multipliers, spectra
from sdpcert.report.records import Record, same_region
from sdpcert.report.regional import Local, against_radius, branch_and_bound, branching_gap
from sdpcert.report.rounding import rounded_down, rounded_up, seconds

#: Eigenvalues below this are what rounding leaves of zero, relative to a diagonal near one.
ROUNDING = 1e-15
#: Points of one series that a figure shows at most; more are thinned out evenly.
MOST_POINTS = 1500


def figures_of(records: Sequence[Record], times: bool = True) -> tuple[list[Figure], list[str]]:
    """The figures of a page, and a sentence for each one that the file has not enough for.

    The first record is the page's subject, the others are about the same network: those about the same inputs add rungs
    to the ladder, and regions around one point are drawn by their radius.
    """
    subject = records[0]
    wider = [r for r in records if subject.region.bounded and not r.region.bounded]
    found: list[Figure] = [ladder([r for r in records if same_region(r, subject)], wider)]
    missing: list[str] = []
    results: tuple[Figure | str | None, ...] = (local_bounds(records),)
    if subject.on_region:
        results += (branch_and_bound(subject.history, times), branching_gap(subject.history, times))
        missing.append("Slack, multipliers and spectrum: on a region every piece has its own; they are not drawn.")
    else:
        results += (
            slack(subject),
            layer_multipliers(subject),
            convergence(subject, times),
            gap_by_iteration(subject),
            spectrum(subject),
        )
    for result in results:
        if isinstance(result, Figure):
            found.append(result)
        elif result:
            missing.append(result)
    return found, missing


def local_bounds(records: Sequence[Record]) -> Figure | None:
    """Bounds by the radius, if there are two regions of different size around one point."""
    regional = sorted((r for r in records if r.region.bounded), key=lambda r: r.region.size)
    if len({r.region.size for r in regional}) < 2:
        return None
    if not all(_inside(small, large) for small, large in pairwise(regional)):
        return None
    overall = min((r.upper for r in records if not r.region.bounded), default=None)
    points = [Local(r.region.size, r.upper, r.lower or 0.0, r.pieces, r.path.name) for r in regional]
    return against_radius(points, regional[0].region.shape.split()[0], overall)


def _inside(small: Record, large: Record) -> bool:
    """Whether both regions are balls around one center, or both are boxes, the first inside of the second."""
    one, other = small.region.document(), large.region.document()
    if one["kind"] != other["kind"]:
        return False
    if one["kind"] == "ball":
        return one | {"radius": ""} == other | {"radius": ""}
    inputs = small.sizes[0] or 1
    (low, high), (least, most) = small.region.box(inputs), large.region.box(inputs)
    return bool(np.all(least <= low) and np.all(high <= most))


def ladder(records: Sequence[Record], wider: Sequence[Record] = ()) -> Figure:
    """Every bound as a rung: attained, dual bound, and the proved upper bounds; those of `wider` are for all inputs."""
    lower = max((r.lower for r in records if r.lower), default=None)
    rungs: list[tuple[str, float, str, str]] = []
    if lower is not None:
        rungs.append(("attained", lower, rounded_down(lower), "attained by two inputs"))
    for record in records:
        if record.sdp_lower is not None and record.method in ("neuron", "layer"):
            rungs.append(
                (f"dual, {_rung(record)}", record.sdp_lower, rounded_down(record.sdp_lower), "stated by the run")
            )
    for record in records:
        rungs.append((_rung(record), record.upper, rounded_up(record.upper), "proved"))
    for record in wider:
        rungs.append((f"all inputs, {_rung(record)}", record.upper, rounded_up(record.upper), "proved"))
    order = {"attained by two inputs": 0, "stated by the run": 1, "proved": 2}
    rungs.sort(key=lambda r: (r[1], order[r[3]]))
    named = {"attained by two inputs": "attained", "stated by the run": "dual bound", "proved": "proved upper bound"}
    series = []
    for kind, name in named.items():
        places = [k for k, rung in enumerate(rungs) if rung[3] == kind]
        if places:
            series.append(Series(name, [rungs[k][1] for k in places], places, "rungs"))
    best = min(record.upper for record in records)
    summary = (
        f"{len(records)} proved upper bound{'s' if len(records) > 1 else ''}, the least {rounded_up(best, 7)}"
        + ("" if lower is None else f", above the attained value {rounded_down(lower, 7)}")
        + "."
    )
    values = [value for _, value, _, _ in rungs if value > 0]
    far = bool(values) and max(values) / min(values) > 3
    return Figure(
        "ladder",
        "Ladder of bounds",
        summary,
        "The Lipschitz constant lies between the attained value and the least upper bound. A dual bound says how low "
        "the upper bound of that method could still get; it bounds the method's optimum, not the constant.",
        Axis("Lipschitz constant, l2 to l2", log=far),
        Axis("bound"),
        tuple(series),
        Data(("bound", "value", "what it is"), tuple((name, text, kind) for name, _, text, kind in rungs)),
        tuple(name for name, *_ in rungs),
        tuple(text if len(text) <= 8 else _short(value, kind) for _, value, text, kind in rungs),
    )


def _rung(record: Record) -> str:
    solver = record.stated("solver", str) or ""
    if record.divided:
        return f"{record.pieces} pieces"
    if record.on_region:
        return f"{record.method}, undivided"
    if "frequencies" in solver:
        return f"{record.method}, freq."
    return record.method if solver in ("native", "closed form", "") else f"{record.method}, {solver}"


def _short(value: float, kind: str) -> str:
    return rounded_up(value, 5) if kind == "proved" else rounded_down(value, 5)


def slack(record: Record) -> Figure | str:
    """Each layer's share of the difference between the squares of the upper bound and the attained value."""
    stated = record.stated("slack", dict)
    if stated is None:
        return "Slack by layer: the certificate does not hold it (one stacked form with an attained pair has it)."
    try:
        neurons = [float(v) for v in stated["neurons"]]
        reading = [float(v) for v in stated["reading"]]
        total, rest = float(stated["total"]), float(stated["rest"])
    except (KeyError, TypeError, ValueError):
        return "Slack by layer: the certificate's entry is not readable."
    if not total > 0 or len(reading) != len(neurons) + 1:
        return "Slack by layer: there is none, the bound is attained up to rounding."
    names = ["input", *(f"layer {g}" for g in range(1, len(neurons) + 1))]
    read = [max(100 * v / total, 0.0) for v in reading]
    given = [0.0, *(max(100 * v / total, 0.0) for v in neurons)]
    rows = tuple((n, f"{r:.3g}", f"{a:.3g}") for n, r, a in zip(names, read, given, strict=True))
    rows += (("rest", f"{100 * rest / total:.1g}", ""),)
    worst = max(range(len(names)), key=lambda k: read[k] + given[k])
    lower = record.lower or 0.0
    return Figure(
        "slack",
        "Share of the slack by layer",
        f"The largest share, {read[worst] + given[worst]:.0f} %, is lost at {names[worst]} of {len(names)} sources.",
        "The slack is the upper bound squared minus the attained value squared "
        f"({rounded_up(record.upper, 6)}² − {rounded_down(lower, 6)}²). "
        "At the attained pair it is, up to rounding, a sum of nonnegative terms, divided by the square of the pair's "
        "distance. Activation: 2 λ (dz − α dv)(β dv − dz) summed over a layer's neurons, what their slope interval "
        "gives away. Reading: the squares of U'ξ in the columns of a source, M = UU' the proved matrix in its "
        "triangular factor and ξ the pair's differences of input and neurons: what is lost because the pair does not "
        "drive the later layers as hard as the matrix allows.",
        Axis("share of the slack", "%", low=0.0),
        Axis("source"),
        (
            Series("reading", read, list(range(len(names))), "bars"),
            Series("activation", given, list(range(len(names))), "bars"),
        ),
        Data(("source", "reading [%]", "activation [%]"), rows),
        tuple(names),
    )


def layer_multipliers(record: Record) -> Figure | str:
    """Every multiplier by the place of its neuron."""
    groups = multipliers(record.document)
    if not groups:
        return "Multipliers: the network has no neurons."
    if not any(np.any(g.values > 0) for g in groups):
        return "Multipliers: all are zero."
    total = sum(len(g.values) for g in groups)
    series: list[Series] = []
    for parity, name in ((0, "odd layers"), (1, "even layers")):
        x: list[float] = []
        y: list[float] = []
        first = 0
        for k, group in enumerate(groups):
            places = np.flatnonzero(group.values > 0)
            step = max(1, math.ceil(total / MOST_POINTS))
            if k % 2 == parity:
                x += [float(first + p + 1) for p in places[::step]]
                y += [float(group.values[p]) for p in places[::step]]
            first += len(group.values)
        if x:
            series.append(Series(name, x, y, "points"))
    starts = np.cumsum([0, *(len(g.values) for g in groups)])
    rows = tuple(
        (g.name, g.activation, str(len(g.values)), str(int(np.sum(g.values == 0))), *_quantiles(g.values))
        for g in groups
    )
    return Figure(
        "multipliers",
        "Multipliers by layer",
        f"{total} multipliers in {len(groups)} layer{'s' if len(groups) > 1 else ''}, from "
        f"{min(float(g.values.min()) for g in groups):.2g} to {max(float(g.values.max()) for g in groups):.2g}.",
        "The multiplier λ of every neuron (of every channel over frequencies) as the proof uses it, in the order of "
        "the neurons; zeros are only counted in the table. With one multiplier per layer, they are equal in a layer.",
        Axis("neuron"),
        Axis("multiplier λ", log=True),
        tuple(series),
        Data(("layer", "activation", "neurons", "zeros", "least", "median", "largest"), rows),
        regions=tuple((float(starts[k]) + 0.5, g.name) for k, g in enumerate(groups)),
    )


def _quantiles(values: np.ndarray) -> tuple[str, str, str]:
    return f"{values.min():.4g}", f"{float(np.median(values)):.4g}", f"{values.max():.4g}"


def _history(record: Record) -> list[tuple[int, float, float, float]]:
    lines = record.stated("history", list) or []
    try:
        return [(int(k), float(p), float(d), float(s)) for k, p, d, s in lines]
    except (TypeError, ValueError):
        return []


def convergence(record: Record, times: bool = True) -> Figure | str:
    """Primal and dual value of every iteration."""
    history = _history(record)
    if len(history) < 2:
        solver = record.stated("solver", str) or "its solver"
        return f"Convergence: the certificate holds no history; {solver} keeps none."
    iterations = [float(k) for k, *_ in history]
    positive = [(float(k), d) for k, _, d, _ in history if d > 0]
    series = [Series("primal", iterations, [p for _, p, _, _ in history])]
    if positive:
        series.append(Series("dual", [k for k, _ in positive], [d for _, d in positive]))
    headers: tuple[str, ...] = ("iteration", "primal", "dual", "gap")
    rows: list[tuple[str, ...]] = [
        (str(k), rounded_up(p, 8), rounded_down(d, 8), f"{_gap(p, d):.1e}") for k, p, d, _ in history
    ]
    if times:
        headers += ("time",)
        rows = [(*row, seconds(line[3])) for row, line in zip(rows, history, strict=True)]
    return Figure(
        "convergence",
        "Convergence of the solver",
        f"{len(history)} lines of the log; the primal ends at {history[-1][1]:.7g}, the dual at {history[-1][2]:.7g}.",
        "Primal and dual value by iteration, in units of the bound. Every primal point is feasible in floating point "
        "and could be proved; the dual is the solver's estimate, made feasible only at the end. As stated by the run.",
        Axis("iteration"),
        Axis("bound", log=True),
        tuple(series),
        Data(headers, tuple(rows)),
    )


def _gap(primal: float, dual: float) -> float:
    return (primal - dual) / primal if primal > 0 else 0.0


def gap_by_iteration(record: Record) -> Figure | str:
    """The relative difference of primal and dual by iteration."""
    history = [(k, _gap(p, d)) for k, p, d, _ in _history(record)]
    shown = [(float(k), g) for k, g in history if g > 0]
    if len(shown) < 2:
        return ""
    return Figure(
        "gap",
        "Duality gap by iteration",
        f"The relative gap falls from {shown[0][1]:.1g} to {shown[-1][1]:.1g} in {int(shown[-1][0])} iterations.",
        "(primal − dual) / primal by iteration, as stated by the run.",
        Axis("iteration"),
        Axis("relative gap", log=True),
        (Series("gap", [k for k, _ in shown], [g for _, g in shown]),),
        Data(("iteration", "gap"), tuple((str(k), f"{g:.2e}") for k, g in history)),
    )


def spectrum(record: Record) -> Figure | str:
    """Eigenvalues of the matrices that were proved positive semidefinite."""
    found, left_out = spectra(record.document)
    found = [s for s in found if len(s.values)]
    if not found:
        return f"Spectrum: {left_out or 'there is no matrix'}."
    parts: dict[str, list[Any]] = {}
    for s in found:
        parts.setdefault(s.name.split(" frequency")[0], []).append(s)
    series, rows = [], []
    for name, members in parts.items():
        values = np.sort(np.concatenate([s.values for s in members]))
        shown = np.maximum(values, ROUNDING)
        step = max(1, math.ceil(len(shown) / MOST_POINTS))
        share = 100 * (np.arange(len(shown)) + 0.5) / len(shown)
        label = {"D M D": "eigenvalues"}.get(name, name.replace("frequency", "all frequencies"))
        series.append(Series(label, share[::step].tolist(), shown[::step].tolist(), "points"))
        small = int(np.sum(values < 1e-6))
        rows.append((label, str(len(members)), str(len(values)), str(small), *_quantiles(values)))
    tight = sum(int(row[3]) for row in rows)
    return Figure(
        "spectrum",
        "Spectrum of the proved matrix",
        f"{sum(int(r[2]) for r in rows)} eigenvalues, {tight} of them below 1e-6: where the bound is tight.",
        "Eigenvalues of D M D, scaled by the proof's powers of two to a diagonal near one, in ascending order (over "
        "frequencies: of all of them together). Semidefiniteness is proved by the checker; the eigenvalues are float64 "
        f"for the picture, those below {ROUNDING:g} drawn there. Small ones are directions in which the bound is tight."
        + (f" {left_out[0].upper()}{left_out[1:]}." if left_out else ""),
        Axis("eigenvalues in ascending order", "%"),
        Axis("eigenvalue", log=True),
        tuple(series),
        Data(("matrix", "matrices", "eigenvalues", "below 1e-6", "least", "median", "largest"), tuple(rows)),
    )
