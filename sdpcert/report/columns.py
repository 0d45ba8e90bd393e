"""Columns of tables by name: what stands in a cell, its unit, and the direction in which it is rounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sdpcert.report.radii_file import RadiiFile
from sdpcert.report.records import REAL_ARITHMETIC, Record, Run, where
from sdpcert.report.rounding import percent_down, percent_up, radius_text, rounded_down, rounded_up
from sdpcert.report.stated import StatedResult

#: Significant digits of bounds; gaps and seconds need fewer.
DIGITS = 7


@dataclass(frozen=True, eq=False)
class Subject:
    """What a row is about: the certificates of a network, one of them, a row of a run or of a file of radii, or what
    another tool states.
    """

    records: tuple[Record, ...] = ()
    run: Run | None = None
    radii: RadiiFile | None = None
    entry: Any = None
    stated: StatedResult | None = None

    @property
    def best(self) -> Record:
        """The certificate with the smallest bound."""
        return min(self.records, key=lambda r: r.upper)

    def by(self, method: str) -> Record | None:
        """The best certificate of a method, None if there is none."""
        found = [r for r in self.records if r.method == method]
        return min(found, key=lambda r: r.upper, default=None)


@dataclass(frozen=True)
class Cell:
    """A value in full precision (None: nothing to say) and its text, rounded."""

    value: Any
    text: str


@dataclass(frozen=True, eq=False)
class Column:
    """One column: its name, its header, how its values are rounded and where they come from.

    `rounding` is "up", "down", "" or, for a radius, "radius", which is down too.
    """

    name: str
    header: str
    value: Callable[[Subject], Any]
    rounding: str = ""
    unit: str = ""
    digits: int | None = None
    note: str = ""
    timed: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the column is aligned at the right."""
        return self.rounding != "" or self.name in _COUNTS

    def cell(self, subject: Subject, digits: int = DIGITS) -> Cell:
        """The cell of a row; bounds get `digits` significant digits."""
        value = self.value(subject)
        if value is None:
            return Cell(None, "")
        if self.unit == "%":
            return Cell(value, (percent_up if self.rounding == "up" else percent_down)(value))
        if self.rounding == "radius":
            return Cell(value, radius_text(value))
        if self.rounding and isinstance(value, int | float):
            rounded = rounded_up if self.rounding == "up" else rounded_down
            return Cell(value, rounded(float(value), self.digits or digits))
        return Cell(value, str(value))


_COUNTS = ("pieces", "nodes", "neurons", "inputs", "outputs", "iterations", "samples", "certified", "under_attack")
_STATED = "Dual bounds and gaps are stated by the runs, not proved."
_RADIUS = (
    "Regions are in the coordinates that the network reads; the radius of a box is its largest half-width, and a row "
    "without region is about all inputs."
)
_TIMES = "Times are wall-clock seconds of the machine that wrote the certificates."


def _lower(subject: Subject) -> float | None:
    return max((r.lower for r in subject.records if r.lower is not None), default=None)


def _ratio(subject: Subject) -> float | None:
    lower = _lower(subject)
    # One part in 2^52 more than the quotient in float64 is above the exact one.
    return subject.best.upper / lower * (1 + 2.0**-52) if lower else None


def _method(method: str) -> Callable[[Subject], float | None]:
    def upper(subject: Subject) -> float | None:
        record = subject.by(method)
        return None if record is None else record.upper

    return upper


def _optimum(subject: Subject) -> float | None:
    record = subject.by("neuron")
    return None if record is None else record.sdp_lower


def _excess(subject: Subject) -> float | None:
    built, optimum = subject.by("by-construction"), _optimum(subject)
    return None if built is None or not optimum else built.upper / optimum * (1 + 2.0**-51) - 1


def _stated(key: str, kind: type | tuple[type, ...]) -> Callable[[Subject], Any]:
    return lambda s: s.best.stated(key, kind)


def _size(which: int) -> Callable[[Subject], int | None]:
    return lambda s: s.best.sizes[which]


def _entry(key: str) -> Callable[[Subject], Any]:
    return lambda s: getattr(s.entry, key)


def _of_run(key: str) -> Callable[[Subject], Any]:
    return lambda s: None if s.run is None else getattr(s.run.evaluation, key)


def _of_bound(key: str) -> Callable[[Subject], float | None]:
    def value(subject: Subject) -> float | None:
        found = [b for b in subject.run.evaluation.bounds if b.name == subject.entry.bound] if subject.run else []
        return getattr(found[0], key) if found else None

    return value


def _of_radii(value: Callable[[RadiiFile], Any]) -> Callable[[Subject], Any]:
    return lambda s: None if s.radii is None else value(s.radii)


def _region(subject: Subject) -> str | None:
    return subject.best.region.shape if subject.best.region.bounded else None


def _radius(subject: Subject) -> float | None:
    return subject.best.region.size if subject.best.region.bounded else None


_SECONDS = (float, int)
CERTIFICATE_COLUMNS = (
    Column("network", "network", lambda s: s.best.name),
    Column("file", "file", lambda s: s.best.path.name),
    Column("region", "region", _region),
    Column("radius", "radius", _radius, "radius", note=_RADIUS),
    Column("inputs", "inputs", _size(0)),
    Column("neurons", "neurons", _size(1)),
    Column("outputs", "outputs", _size(2)),
    Column("lower", "attained", _lower, "down"),
    Column("upper", "upper bound", lambda s: s.best.upper, "up"),
    Column("method", "method", lambda s: s.best.method),
    Column("solver", "solver", _stated("solver", str)),
    Column("status", "solver's status", _stated("solver_status", str)),
    Column("iterations", "iterations", _stated("iterations", int)),
    Column("pieces", "pieces with a bound", lambda s: s.best.pieces),
    Column("nodes", "pieces in all", lambda s: s.best.looked_at),
    Column("sdp_lower", "dual bound", lambda s: s.best.sdp_lower, "down", note=_STATED),
    Column("gap", "gap", lambda s: s.best.gap, "up", digits=2, note=_STATED),
    Column("ratio", "upper / attained", _ratio, "up", digits=4),
    Column("seconds", "total", _stated("seconds", _SECONDS), "up", "s", 3, _TIMES, True),
    Column("solve_seconds", "solving", _stated("solve_seconds", _SECONDS), "up", "s", 3, _TIMES, True),
    Column("proof_seconds", "proof", _stated("proof_seconds", _SECONDS), "up", "s", 3, _TIMES, True),
    Column("proof", "arithmetic of the proof", lambda s: s.best.proof),
    Column("level", "level", lambda s: REAL_ARITHMETIC),
    Column("sha256", "network's hash", lambda s: s.best.verdict.sha256[:16]),
)
METHOD_COLUMNS = (
    Column("by-construction", "by construction", _method("by-construction"), "up"),
    Column("neuron", "neuron", _method("neuron"), "up"),
    Column("layer", "layer", _method("layer"), "up"),
    Column("product", "product", _method("product"), "up"),
    Column("optimum", "optimum, at least", _optimum, "down", note=_STATED),
    Column("excess", "excess", _excess, "up", "%", note="Excess is by construction over the dual bound, less one."),
)
ACCURACY_COLUMNS = (
    Column("run", "run", lambda s: s.run.name if s.run is not None else None),
    Column("data", "data", lambda s: s.run.part("data", "name") if s.run is not None else None),
    Column("weights", "weights' hash", lambda s: (s.run.part("model", "weights_sha256") or "")[:16] if s.run else None),
    Column("samples", "samples", _of_run("samples")),
    Column("bound", "bound", _entry("bound")),
    Column("lower", "attained", _of_bound("lower"), "down"),
    Column("upper", "constant", _of_bound("upper"), "up"),
    Column("radius", "radius", _entry("radius"), "radius"),
    Column("certified", "certified inputs", _entry("certified")),
    Column("accuracy", "certified", _entry("accuracy"), "down", "%"),
    Column("under_attack", "inputs under attack", _entry("attacked")),
    Column("accuracy_under_attack", "under attack", _entry("attacked_accuracy"), "up", "%"),
    Column("clean", "right", _of_run("clean_accuracy"), "down", "%"),
    Column("level", "level", _of_run("level")),
)

_MEDIAN = "At least half of the inputs have the median radius; that of wrong inputs is 0."
RADII_COLUMNS = (
    Column("network", "network", _of_radii(lambda f: f.name)),
    Column("file", "file", _of_radii(lambda f: f.path.name)),
    Column("norm", "norm", _of_radii(lambda f: f.norm)),
    Column("level", "level", _of_radii(lambda f: f.level)),
    Column("within", "within", _of_radii(lambda f: f.within)),
    Column("samples", "inputs", _of_radii(lambda f: len(f.radius))),
    Column("radius", "radius", _entry("radius"), "radius"),
    Column("certified", "certified inputs", _entry("certified")),
    Column("under_attack", "inputs under attack", _entry("attacked")),
    Column("accuracy", "certified", _entry("accuracy"), "down", "%"),
    Column("accuracy_under_attack", "under attack", _entry("attacked_accuracy"), "up", "%"),
    Column("clean", "right", _of_radii(lambda f: f.clean), "down", "%"),
    Column("median", "median radius", _of_radii(lambda f: f.median), "radius", note=_MEDIAN),
    Column("seconds", "an input", _of_radii(lambda f: f.seconds_each), "up", "s", 3, _TIMES, True),
    Column("proof", "arithmetic of the proof", _of_radii(lambda f: f.verdict.level)),
    Column("sha256", "network's hash", _of_radii(lambda f: f.verdict.sha256[:16])),
)


@dataclass(frozen=True)
class Kind:
    """A kind of table: its title, the columns that it can have, and those that it has unless told otherwise."""

    title: str
    columns: tuple[Column, ...]
    default: tuple[str, ...]
    by_network: bool = False


_OTHERS = "What other tools state is repeated as it is: their bounds, words and times were not checked here."
_CLAIM = "Claims in words are those of the files."


def _of_tools(proved: Callable[[Record], Any], stated: Callable[[StatedResult], Any]) -> Callable[[Subject], Any]:
    return lambda s: stated(s.stated) if s.stated is not None else proved(s.best)


TOOLS_COLUMNS = (
    Column("network", "network", _of_tools(lambda r: r.name, lambda s: s.network)),
    Column("tool", "tool", _of_tools(lambda r: f"sdpcert, {r.method}", lambda s: s.tool)),
    Column("lower", "attained", _of_tools(lambda r: r.lower, lambda s: None), "down"),
    Column("upper", "upper bound", _of_tools(lambda r: r.upper, lambda s: s.bound), "up"),
    Column("result", "result", _of_tools(lambda r: None, lambda s: s.result)),
    Column("standing", "standing", _of_tools(lambda r: "proved", lambda s: "stated"), note=_OTHERS),
    Column(
        "seconds",
        "total",
        _of_tools(lambda r: r.stated("seconds", _SECONDS), lambda s: s.seconds),
        "up",
        "s",
        3,
        "Times are wall-clock seconds of whatever machine each tool ran on.",
        True,
    ),
    Column("claim", "claim", _of_tools(where, lambda s: s.claim), note=_CLAIM),
)
KINDS = {
    "ladder": Kind(
        "Bounds on the Lipschitz constant, one row per network",
        (*CERTIFICATE_COLUMNS, *METHOD_COLUMNS),
        ("network", "region", "radius", "neurons", "lower", "by-construction", "neuron", "layer", "product", "gap"),
        True,
    ),
    "bounds": Kind(
        "Bounds on the Lipschitz constant, one row per bound",
        CERTIFICATE_COLUMNS,
        ("network", "region", "radius", "method", "lower", "upper", "gap", "solve_seconds", "proof_seconds"),
    ),
    "regions": Kind(
        "Bounds on regions of inputs, one row per certificate",
        CERTIFICATE_COLUMNS,
        ("network", "region", "radius", "lower", "upper", "ratio", "pieces", "nodes", "seconds"),
    ),
    "families": Kind(
        "Bounds by construction against the optimum for the same weights",
        (*CERTIFICATE_COLUMNS, *METHOD_COLUMNS),
        ("network", "neurons", "lower", "neuron", "by-construction", "excess"),
        True,
    ),
    "solvers": Kind(
        "Solvers of the condition; every bound is proved, whatever the solver said",
        CERTIFICATE_COLUMNS,
        ("network", "solver", "lower", "upper", "gap", "iterations", "solve_seconds"),
    ),
    "tools": Kind(
        "Bounds that are proved, beside what other tools state",
        TOOLS_COLUMNS,
        ("network", "tool", "lower", "upper", "result", "standing", "seconds", "claim"),
    ),
    "accuracy": Kind(
        "Certified accuracy",
        ACCURACY_COLUMNS,
        ("run", "bound", "lower", "upper", "radius", "accuracy", "accuracy_under_attack", "clean", "level"),
    ),
    "radii": Kind(
        "Inputs that keep their class within a radius",
        RADII_COLUMNS,
        (
            "network",
            "norm",
            "level",
            "within",
            "samples",
            "radius",
            "accuracy",
            "accuracy_under_attack",
            "median",
            "seconds",
        ),
    ),
}


def columns_of(kind: str, names: Sequence[str] | None, subjects: Sequence[Subject], times: bool) -> list[Column]:
    """The columns by name, or those of the kind that have something to say.

    Raises ValueError that lists the names there are. Without `times`, columns of durations are left out. An attained
    value joins every upper bound.
    """
    chosen = KINDS[kind]
    known = {column.name: column for column in chosen.columns}
    if names is not None:
        for name in names:
            if name not in known:
                raise ValueError(f"no column {name!r} in tables of kind {kind}; there are {', '.join(known)}")
        columns = [known[name] for name in names]
    else:
        columns = [known[name] for name in chosen.default]
        columns = [c for c in columns if any(c.value(s) is not None for s in subjects)]
    if "lower" in known and not any(c.name == "lower" for c in columns):
        first = next((k for k, c in enumerate(columns) if c.name == "upper" or c in METHOD_COLUMNS[:4]), None)
        if first is not None:
            columns.insert(first, known["lower"])
    return [c for c in columns if times or not c.timed]
