"""The measured tables of the documents, one function each, from the raw results in benchmarks/results.

A function takes `read`, which gives the contents of a result file by its name without `.json`. Proved upper bounds,
gaps, errors and accuracies under attack are rounded up; attained values, certified accuracies and ratios in favour of
this project down; durations, and the norms of diagonal rules, to the nearest.
"""

from __future__ import annotations

import ast
import math
import re
import statistics
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from sdpcert.report.rounding import percent_down, percent_up, rounded_down, rounded_up, seconds
from tools import convolution_tables, json_tables, model_tables, training_tables
from tools.documents import ROOT, Table

Read = Callable[[str], Any]
Result = dict[str, Any]

OPPONENTS = ("clarabel", "scs", "sdpa")
GIB = 2**30
#: A relative gap up to which a constant counts as found, where 1e-6 was asked for.
CLOSED = 2e-6
#: What docs/defects.md says about each row of defects.json: the defect in words, and the test here that would catch it.
DEFECTS = {
    "SLL, epsilon on one side, q of 1e-6 to 1e-8": (
        "SLL with an epsilon on one side of the quotient, q of 1e-6 to 1e-8",
        "test_scales_of_sll_over_sixteen_orders",
    ),
    "CPL, 100 power iterations as a bound": (
        "CPL evaluated with 100 power iterations, fresh 8-channel convolution",
        "test_flat_spectra_are_bounded_from_above",
    ),
    "CPL in training mode, one power iteration": (
        "CPL certified in training mode, one power iteration",
        "test_flat_spectra_are_bounded_from_above",
    ),
    "torch spectral_norm on Conv2d": (
        "torch's spectral_norm on nn.Conv2d (normalises the flat kernel)",
        "test_hooks_are_not_believed",
    ),
    "torch spectral_norm on Linear, fresh": (
        "torch's spectral_norm on a fresh nn.Linear(128, 128)",
        "test_hooks_are_not_believed",
    ),
    "padding mode reflect, a shift as kernel of size 3": (
        "reflecting padding, a shift as 3 x 3 kernel",
        "test_paddings_that_read_twice_are_counted",
    ),
    "padding mode replicate, a shift as kernel of size 5": (
        "replicating padding, a shift as 5 x 5 kernel",
        "test_paddings_that_read_twice_are_counted",
    ),
}


def plain(value: float, digits: int = 3) -> str:
    """The nearest number with so many digits, without an exponent."""
    return format(Decimal(f"{value:.{digits}g}"), "f")


def reference_values(read: Read) -> Table:
    header = ("network", "reference", "attained", "neuron, proved", "gap", "layer", "product", "solve", "proof")
    rows = []
    for r in read("reference_values")["rows"]:
        neuron, others = r["neuron"], [rounded_up(r[method]["upper"], 6) for method in ("layer", "product")]
        bounds = (rounded_down(neuron["lower"], 7), rounded_up(neuron["upper"]), rounded_up(neuron["gap"], 1), *others)
        times = (seconds(neuron["solve_seconds"]), seconds(neuron["proof_seconds"]))
        rows.append((r["network"], r["reference"], *bounds, *times))
    return Table(header, rows)


def convolutional_networks(read: Read) -> Table:
    header = ("network", "neurons", "attained", "joint", "composed", "layer", "product", "unrolled", "time", "proof")
    rows = []
    for name, r in read("convolutional_networks")["networks"].items():
        others = [rounded_up(r[bound]["upper"], 7) for bound in ("composed", "layer", "product")]
        unrolled = rounded_up(r["unrolled"]["upper"]) if "unrolled" in r else ""
        bounds = (rounded_down(r["attained"], 7), rounded_up(r["joint"]["upper"]), *others, unrolled)
        rows.append((name, str(r["neurons"]), *bounds, seconds(r["joint"]["seconds"]), r["joint"]["level"]))
    return Table(header, rows)


def frequencies(read: Read) -> Table:
    header = ("channels", "image", "neurons", "frequencies", "time", "proof", "check", "bound", "unrolled", "its time")
    rows = []
    for r in read("frequencies")["rows"] + read("frequencies_large")["rows"]:
        unrolled = (rounded_up(r["unrolled_bound"], 9), seconds(r["unrolled"])) if "unrolled" in r else ("", "")
        ratio = rounded_down(r["ratio"], 2) if "ratio" in r else ""
        size = ("-".join(map(str, r["channels"])), f"{r['image']}x{r['image']}", str(r["neurons"]))
        times = [seconds(r[step]) for step in ("solve", "prove", "check")]
        used = f"{r['working_set']} of {r['frequencies']}"
        rows.append((*size, used, *times, rounded_up(r["upper"], 9), *unrolled, ratio))
    return Table((*header, "ratio"), rows)


def solvers(read: Read) -> Table:
    header = ("network", "native", "Clarabel", "SCS", "SDPA", "as posed", "ratio", "gap", "proof", "share", "load")
    busy = {row["case"]: row["solvers"] for row in read("solvers_784-100x5_busy")["rows"]}
    rows = []
    for file in ("784-100x2", "784-100x5", "784-200x5", "784-400x5", "16-16xD"):
        document = read(f"solvers_{file}")
        opponent = partial(_opponent, tolerance=document["tolerance"], memory=document["memory_limit"])
        for r in document["rows"]:
            results, native = r["solvers"], r["solvers"]["native"]
            cells = [opponent(results[name]) if name in results else "" for name in OPPONENTS]
            for k, name in enumerate(OPPONENTS):
                if not cells[k] and name in busy.get(r["case"], {}):
                    cells[k] = f"{opponent(busy[r['case']][name])}, busy"
            posed = [result for name, result in results.items() if name.endswith(" as posed")]
            cells.append(opponent(min(posed, key=lambda p: p.get("total", float("inf")))) if posed else "")
            cells.append(rounded_down(r["ratio"], 2) if "ratio" in r else "")
            cells += [rounded_up(r["gap"], 1), plain(native["proof"]), f"{percent_down(native['share'], 0)} %"]
            rows.append((r["case"], plain(native["total"]), *cells, f"{document['machine']['load_before']:.1f}"))
    return Table(header, rows)


def _opponent(result: Result, tolerance: float, memory: float) -> str:
    """Seconds, and what is wrong with the point; or why there is none."""
    if "failed" in result:
        # The file rounds the limit of memory to the nearest GiB, which may be above it.
        return f"over {rounded_down(memory, 3)} GiB" if "GiB" in result["failed"] else result["failed"]
    if not result["feasible"]:
        return f"{plain(result['total'])}, infeasible point"
    error = result["proved_error"]
    return plain(result["total"]) + (f", {rounded_up(error, 2)} above" if error > tolerance else "")


def defects(read: Read) -> Table:
    rows = []
    for r in read("defects"):
        words, test = DEFECTS[r["defect"]]
        ours = r["ours"] if isinstance(r["ours"], str) else rounded_up(r["ours"], 9)
        rows.append((words, rounded_down(r["theirs"], 6), ours, f"`{test}`"))
    return Table(("defect", "theirs", "ours, proved", "test here"), rows)


def diagonal_rules(read: Read) -> Table:
    results = [r for r in read("gershgorin")["rows"] if ".onnx" not in r["weight"]]  # those of shipped networks apart
    weights = _in_order(r["weight"] for r in results)
    norms = {(r["rule"], r["weight"]): f"{r['norm']:.3f}" for r in results}
    rows = [(rule, *(norms[rule, weight] for weight in weights)) for rule in _in_order(r["rule"] for r in results)]
    return Table(("rule", *weights), rows)


def speed_of_layers(read: Read) -> Table:
    rivals = ("deel-torchlip", "orthogonium")
    rows = []
    for r in sorted(read("layers_cpu")["rows"], key=lambda r: (r["family"], r["size"])):
        times = [plain(1e3 * r["seconds"][p]) if p in r["seconds"] else "" for p in ("sdpcert", "plain", *rivals)]
        ratios = [r["ratio"][p] for p in rivals if p in r["ratio"]]
        rows.append((r["family"], str(r["size"]), *times, f"{min(ratios):.2f}" if ratios else ""))
    return Table(("family", "size", "ours", "plain", *rivals, "fastest rival / ours"), rows)


def tightness(read: Read) -> Table:
    step, wave = read("tightness")["rows"], read("tightness_square_wave")["rows"]
    rows = []
    for family in _in_order(r["family"] for r in step):
        mine = sorted((r for r in step if r["family"] == family), key=lambda r: r["gamma"])
        jumps = [r["mean"] for r in wave if r["family"] == family]
        cells = [*(percent_down(r["mean"] / 100) for r in mine), percent_down(min(jumps) / 100) if jumps else ""]
        rows.append((family, *cells, " / ".join(str(r["published"]) for r in mine if "published" in r)))
    return Table(("family", "gamma 1", "gamma 5", "gamma 10", "square wave", "published"), rows)


def regions(read: Read, parts: Iterable[str]) -> Table:
    """A row a case of some parts of benchmarks.regions."""
    rows = []
    for r in (r for part in parts for r in read(f"regions_{part}")["rows"]):
        cells = [r["name"], r["where"]]
        if "upper" not in r:
            rows.append((*cells, "unproved", rounded_down(r["attained"], 8), "", "", "", seconds(r["seconds"]), ""))
            continue
        checked = seconds(r["check_seconds"]) if r["checked"] else ""
        known = next((f"{r[name]:.10g}" for name in ("published", "enumerated") if name in r), "")
        bounds = rounded_up(r["upper"], 10), rounded_down(r["attained"], 10), rounded_up(r["gap"], 1)
        rows.append((*cells, *bounds, known, str(r["nodes"]), seconds(r["seconds"]), checked))
    return Table(("network", "region", "upper", "attained", "gap", "known", "looked at", "time", "checked in"), rows)


def regions_mnist(read: Read) -> Table:
    """All images of mnist_fc_256x2 by radius: how many were closed, and medians."""
    every, rows = read("regions_mnist")["rows"], []
    for radius in _in_order(r["name"].rpartition("radius ")[2] for r in every):
        mine = [r for r in every if r["name"].endswith(f"radius {radius}") and "upper" in r]
        middle = sorted(mine, key=lambda r: r["upper"])[len(mine) // 2]
        first = mine[0]
        rows.append(
            (
                radius,
                str(len(mine)),
                str(sum(r["gap"] <= CLOSED for r in mine)),
                rounded_up(middle["upper"], 6),
                rounded_up(sorted(r["gap"] for r in mine)[len(mine) // 2], 2),
                rounded_up(first["upper"], 8),
                rounded_down(first["attained"], 8),
            )
        )
    head = ("radius", "images", "gap at most 2e-6", "median upper", "median gap", "image 0, upper", "image 0, attained")
    return Table(head, rows)


def regions_chain(read: Read) -> Table:
    """The published local benchmark: log10 of the bound over |J| at the centre."""
    rows = []
    for r in read("regions_chain")["rows"]:
        found = rounded_up(math.log10(r["upper"] / r["jacobian"]), 3) if "upper" in r else "unproved"
        reached = rounded_down(r["attained"], 6)
        rows.append((f"{r['half_width']:g}", f"{r['published_log10']:g}", found, reached, seconds(r["seconds"])))
    return Table(("half-width", "best published column", "proved", "attained", "time"), rows)


def depth(read: Read) -> Table:
    """A row a way of benchmarks.depth on one chain."""
    rows = []
    for row in read("depth")["rows"]:
        for way, found in row.items():
            if way in ("case", "exact") or "failed" in found:
                continue
            proved = found.get("status") == "proved"
            value = rounded_up(found["value"], 10) if proved else f"{found['value']:.10g}"
            memory = f"{found['memory']:.2f} GiB" if "memory" in found else ""
            checked = seconds(found["check"]) if found.get("accepted") else ""
            cells = (row["case"]["name"], f"`certify`, {way}" if proved else way, value, "yes" if proved else "no")
            rows.append((*cells, seconds(found["seconds"]), memory, checked))
    return Table(("chain", "way", "bound", "proved", "time", "memory", "checked in"), rows)


def growth(read: Read) -> Table:
    """A row a step of benchmarks.depth --growth: seconds over the depth, over the width, and the fitted exponents."""
    found = read("depth")["growth"]
    names = list(found["depth"]["exponents"])
    ends = [f"{axis} {found[axis]['values'][k]}" for axis in ("depth", "width") for k in (0, -1)]
    rows = [
        (
            name,
            *(seconds(found[axis]["seconds"][k][name]) for axis in ("depth", "width") for k in (0, -1)),
            *(f"{found[axis]['exponents'][name]:.2f}" for axis in ("depth", "width")),
        )
        for name in names
    ]
    return Table(("what", *ends, "exponent in depth", "in width"), rows)


def estimate(read: Read) -> Table:
    """A row a run of benchmarks.estimate."""
    rows = []
    for row in read("estimate")["rows"]:
        told = row["estimated"]
        proof = seconds(row["proof"]) if "proof" in row else ""
        sizes = (f"{size / 2**20:.0f} MiB" for size in (told["memory"], row["memory"]))
        times = seconds(told["seconds"]), seconds(row["seconds"]), seconds(told["proof"]), proof
        rows.append((row["case"]["name"], *times, *sizes, f"{max(row['load']):.1f}"))
    pairs = [f"{what}, {how}" for what in ("solving", "proof", "memory") for how in ("estimated", "measured")]
    return Table(("network", *pairs, "load"), rows)


def formal(read: Read) -> Table:
    """A row a network of benchmarks.formal."""
    rows = [
        (
            f"`{name}`, {rest}" if name.endswith(".onnx") else row["network"],
            str(row["neurons"]),
            str(row["inputs"] + row["neurons"]),
            str(row["lines"]),
            f"{row['characters'] / 1000:.0f} kB",
            seconds(row["seconds"]),
            f"{row['memory'] / GIB:.2f} GiB",
        )
        for row in read("formal")["rows"]
        for name, rest in [row["network"].split(", ", 1)]
    ]
    heads = ("network", "neurons", "inputs and neurons", "lines of the file", "size", "`coqc`", "memory")
    return Table(heads, rows)


def radii(read: Read, parts: Iterable[str]) -> Table:
    """A row a network and radius of some parts of benchmarks.radii: shares of all its inputs, by what proves them."""
    names = {"construction": "construction", "constants": "constants", "relaxation": "relaxation"}
    names |= {"undivided": "undivided", "proved": "all together"}
    rows = []
    for result in (read(f"radii_{part}") for part in parts):
        for name, facts in result["subjects"].items():
            mine = [r for r in result["rows"] if r["network"] == name]
            right = [r for r in mine if r["right"]]
            for radius in facts["radii"] if mine else ():
                counts = [sum(r.get(key, 0.0) >= radius for r in right) for key in names]
                counts[-1] = sum(max(r.get(key, 0.0) for key in names) >= radius for r in right)
                cells = [f"{percent_down(count / len(mine))} %" for count in counts]
                cells[0] = cells[0] if any("construction" in r for r in right) else ""
                left = sum(r["attacked"] is None or r["attacked"] > radius for r in right)
                took = sorted(r["seconds"][f"{radius:g}"] for r in right if f"{radius:g}" in r["seconds"])
                times = (seconds(statistics.median(took)), seconds(statistics.fmean(took))) if took else ("", "")
                rows.append((name, str(len(mine)), f"{radius:g}", *cells, f"{percent_up(left / len(mine))} %", *times))
    return Table(("network", "inputs", "radius", *names.values(), "under attack", "median time", "mean time"), rows)


def radii_whole(read: Read) -> Table:
    """Whole test sets in one call of `radii`: counts at every radius, and how long it took."""
    rows = []
    for r in read("radii_whole")["rows"]:
        for row in r["rows"]:
            counts = (
                str(r["inputs"]),
                str(r["right"]),
                f"{row['radius']:g}",
                str(row["certified"]),
                str(row["attacked"]),
            )
            checked = f"{seconds(r['check_seconds'])}, {r['check_level']}" if r.get("checked") else ""
            rows.append((r["network"], *counts, seconds(r["seconds"]), checked))
    head = ("network", "inputs", "right", "radius", "certified", "an attack leaves", "time for all radii", "checked in")
    return Table(head, rows)


def certified_accuracy(read: Read) -> Table:
    radii = ("0.5", "1.0")
    header = ("data", "network", "bound", "constant", "right", "margin", "over product")
    header += tuple(f"{what} {radius}" for radius in radii for what in ("certified", "under attack"))
    rows = []
    for result in read("certified_accuracy")["results"]:
        product = next(r["margin"] for r in result["rows"] if r["bound"] == "product")
        for r in result["rows"]:
            attacked = r.get("attacked", {})
            margin = (rounded_down(r["margin"], 4), rounded_down(r["margin"] / product, 4))
            shares = []
            for radius in radii:
                shares.append(f"{percent_down(r['certified'][radius])} %")
                shares.append(f"{percent_up(attacked[radius])} %" if radius in attacked else "")
            first = (result["data"], r["network"], r["bound"], rounded_up(r["upper"], 6))
            rows.append((*first, f"{percent_down(r['accuracy'])} %", *margin, *shares, seconds(r["seconds"])))
    return Table((*header, "time"), rows)


def stored(document: Result) -> Table:
    """A table that `sdpcert table --format json` wrote, with its caption."""
    header = [f"{c['header']} [{c['unit']}]" if c["unit"] else c["header"] for c in document["columns"]]
    rows = [tuple(cell["text"] for cell in row.values()) for row in document["rows"]]
    notes = " ".join([f"**{document['title']}.**", *document["notes"]])
    command = re.sub(r"table \S+( \S+)+ --kind", "table *.cert.json --kind", document["command"])
    return Table(tuple(header), rows, f"{notes}\n\nMade by `{command}` ({document['versions']}).")


def digits_accuracy(read: Read) -> Table:
    rows = [{name: cell["text"] for name, cell in row.items()} for row in read("shipped")["accuracy"]["rows"]]
    shown = [(r["radius"], f"{r['accuracy']} %", f"{r['accuracy_under_attack']} %", f"{r['clean']} %") for r in rows]
    return Table(("radius", "certified, proved", "under attack", "right"), shown)


def mnist_presets(read: Read) -> Table:
    radii, rows = ("0.5", "1", "1.58"), []
    for file in ("mnist-sandwich_R", "mnist-sandwich_F", "mnist-sll_R"):
        found = [{name: cell["text"] for name, cell in row.items()} for row in read(file)["rows"]]
        built = {r["radius"]: r for r in found if r["bound"] == "by-construction"}
        first = built[radii[0]]
        shares = [f"{built[radius]['accuracy']} %" for radius in radii]
        rows.append((f"`{first['run']}`", first["level"], f"{first['clean']} %", *shares))
    return Table(("preset", "level", "right", *(f"certified {radius}" for radius in radii)), rows)


def shipped_figures(read: Read) -> str:
    """Two figures a network, one below the other, each with what it shows."""
    sections = []
    for name in read("shipped")["networks"]:
        bounds = f"![What two inputs attain, and the bounds neuron, layer and product](figures/{name}/ladder.svg)"
        slack = f"![The share of the slack of each layer](figures/{name}/slack.svg)"
        sections.append(
            f"### {name}\n\n{bounds}\n\n*The ladder of {name}: between the attained value and the least proved bound "
            f"lies the constant; a dual bound says where the optimum of a condition is.*\n\n{slack}\n\n"
            f"*Where the neuron bound of {name} is above what is attained: the share of every layer, at the attained "
            "pair of inputs, lost by reading the layer before or by the activations.*"
        )
    return "\n\n".join(sections)


def examples(_: Read) -> Table:
    """What the docstrings of examples/ expect, where it is a sentence."""
    rows = []
    for path in sorted((ROOT / "examples").glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found = re.search(r"^Expected \(.*?\): (.+?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
        if found:
            rows.append((f"`examples/{path.name}`", found[1]))
    return Table(("file", "result"), rows)


def papers() -> str:
    """The docstrings of the examples that stand beside published tables, a section each."""
    sections = []
    for path in sorted([*(ROOT / "examples").glob("table_of_*.py"), ROOT / "examples" / "published_noise.py"]):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        title, _, rest = text.partition("\n\n")
        sections.append(f"## {title.rstrip('.')}\n\n`python examples/{path.name}`\n\n{rest}")
    return "\n\n".join(sections)


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def tables(read: Read) -> dict[str, Callable[[], str]]:
    """Every table that a document may name, as Markdown, made when it is called."""
    made: dict[str, Callable[[Read], Table]] = {
        "reference_values": reference_values,
        "reference_values_excerpt": lambda read: reference_values(read).excerpt(
            ("network", "reference", "attained", "neuron, proved", "layer", "product"),
            ("LipSDP random", "ExLipBaB iris", "L33_W16 core"),
        ),
        "convolutional_networks": convolutional_networks,
        "frequencies": frequencies,
        "solvers": solvers,
        "solvers_excerpt": lambda read: solvers(read).excerpt(
            ("network", "native", "SDPA", "as posed", "ratio"), ("784-100x2-10", "784-100x5-10")
        ),
        "defects": defects,
        "defects_excerpt": lambda read: defects(read).excerpt(
            ("defect", "theirs", "ours, proved"), [words for words, _ in DEFECTS.values() if "fresh" not in words]
        ),
        "diagonal_rules": diagonal_rules,
        "speed_of_layers": speed_of_layers,
        "tightness": tightness,
        "depth": depth,
        "growth": growth,
        "estimate": estimate,
        "formal": formal,
        "regions_exact": partial(regions, parts=("exact", "digits", "sorting")),
        "regions_local": partial(regions, parts=("acas", "images", "smooth")),
        "regions_mnist": regions_mnist,
        "regions_chain": regions_chain,
        "radii": partial(radii, parts=("mnist", "cifar", "trained")),
        "radii_whole": radii_whole,
        "certified_accuracy": certified_accuracy,
        "digits_accuracy": digits_accuracy,
        "mnist_presets": mnist_presets,
        "examples": examples,
    }
    for kind in ("ladder", "solvers", "accuracy"):
        made[f"shipped_{kind}"] = lambda read, kind=kind: stored(read("shipped")[kind])
    texts: dict[str, Callable[[], str]] = {name: partial(_text, function, read) for name, function in made.items()}
    texts |= {"shipped_figures": partial(shipped_figures, read), "papers": papers}
    texts |= json_tables.tables() | convolution_tables.tables(read)
    return texts | model_tables.tables(read) | training_tables.tables(read)


def _text(function: Callable[[Read], Table], read: Read) -> str:
    return function(read).markdown()
