"""The command line: parses, calls, prints. Results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import sdpcert
from sdpcert.interrupts import interrupts_noticed
from sdpcert.outputs import check_output
from sdpcert.report import percent_down, percent_up, rounded_down, rounded_up, seconds

#: What typer returns after Ctrl-C.
INTERRUPTED = 130
app = typer.Typer(add_completion=True, no_args_is_help=False, rich_markup_mode=None, pretty_exceptions_enable=False)

NetworkFile = Annotated[Path, typer.Argument(metavar="NET", help="model file: .onnx, .npz, .mat or .safetensors")]
Method = Annotated[str, typer.Option(help="product, layer, neuron, or auto")]
SolverName = Annotated[str, typer.Option(help="native, clarabel, scs, sdpa or mosek")]
Tolerance = Annotated[float, typer.Option(help="relative accuracy asked of the bound")]
Rows = Annotated[str | None, typer.Option(help="outputs to certify, counted from 0, as in 7,8")]
Device = Annotated[str, typer.Option(help="cpu, or a torch device such as cuda")]
ActivationName = Annotated[str | None, typer.Option(help="activation of an array file (.npz, .mat, .safetensors)")]
Orientation = Annotated[str | None, typer.Option(help="orientation of an array file's weights: out_in or in_out")]
TimeLimit = Annotated[float, typer.Option(help="seconds for solving; the best feasible point is proved")]
#: What torch and NumPy both take as a seed.
SEEDS: dict[str, Any] = {"min": 0, "max": 2**63 - 1}
Seed = Annotated[int, typer.Option(help="seed of the search for an attained lower bound", **SEEDS)]
Form = Annotated[str, typer.Option(help="unrolled, frequency (convolutional networks), or auto")]
HeadOption = Annotated[str, typer.Option("--head", help="dense head behind convolutions: joint or composed")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    """Prove Lipschitz bounds of neural networks, and check the proofs."""
    if version:
        print(f"sdpcert {sdpcert.__version__}")
    elif context.invoked_subcommand is None:
        print("sdpcert proves bounds on the Lipschitz constant of trained neural networks.\n")
        print("Try:  sdpcert certify MODEL.onnx        prove a bound and write the certificate")
        print("      sdpcert check CERT.json           prove it again, from the certificate alone")
        print("      sdpcert bounds MODEL.onnx         the whole ladder of bounds")
        print("      sdpcert derive                    results on Lipschitz layers, proved for all weights")
        print("      sdpcert train digits              train a network of 1-Lipschitz layers; then sdpcert evaluate")
        print("      sdpcert certify --help            all options, with an example")


@app.command(epilog="Example: sdpcert certify model.onnx --rows 7 -o model.cert.json")
def certify(
    net: NetworkFile,
    method: Method = "auto",
    solver: SolverName = "native",
    tol: Tolerance = 1e-6,
    rows: Rows = None,
    device: Device = "cpu",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="CERT", help="certificate file (default: NET's name .cert.json)"),
    ] = None,
    activation: ActivationName = None,
    orientation: Orientation = None,
    time_limit: TimeLimit = float("inf"),
    form: Form = "auto",
    head: HeadOption = "joint",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> int:
    """Prove an upper bound on a network's global l2 Lipschitz constant."""
    network = sdpcert.load(net, **_array_options(activation, orientation))
    output = output or Path(f"{net.stem}.cert.json")
    check_output(output)
    with _progress() as progress:
        certificate = sdpcert.certify(
            network,
            method,
            solver,
            tol,
            _rows(rows),
            device,
            form=form,
            head=head,
            time_limit=time_limit,
            seed=seed,
            progress=progress,
        )
    proved = certificate.status == "proved"
    if proved:
        certificate.save(output)
    if as_json:
        print(json.dumps(certificate.summary() | {"certificate": str(output) if proved else None}))
        return 0 if proved else 1
    _print_certificate(certificate, network, output)
    return 0 if proved else 1


@app.command(epilog="Example: sdpcert check model.cert.json --network model.onnx")
def check(
    certificate: Annotated[Path, typer.Argument(metavar="CERT", help="certificate file")],
    network: Annotated[
        Path | None, typer.Option(metavar="NET", help="model file that the certificate has to be about")
    ] = None,
    activation: ActivationName = None,
    orientation: Orientation = None,
    as_json: AsJson = False,
) -> int:
    """Prove a certificate again; with --network also that it is about that file's weights."""
    from sdpcert.check.binding import check_with_network

    if not certificate.is_file():
        raise ValueError(f"{certificate}: {'is no regular file' if certificate.exists() else 'no such file'}")
    if network is None:
        result = sdpcert.check(certificate)
    else:
        result = check_with_network(certificate, sdpcert.load(network, **_array_options(activation, orientation)))
    if as_json:
        print(json.dumps({"ok": result.ok, "upper": result.upper, "reason": result.reason}))
    else:
        print(("proved: " if result.ok else "rejected: ") + result.reason)
    return 0 if result.ok else 1


layers_app = typer.Typer(help="1-Lipschitz layer families: list them, prove them.", invoke_without_command=True)
app.add_typer(layers_app, name="layers")


@layers_app.callback(invoke_without_command=True, epilog="Example: sdpcert layers check aol")
def layers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the families of 1-Lipschitz layers; `sdpcert layers check` proves them."""
    if context.invoked_subcommand is not None:
        return
    families = _layers().FAMILIES
    if as_json:
        print(json.dumps([{"name": f.name, "source": f.source, "convolution": bool(f.convolution)} for f in families]))
        return
    table = Table("family", "dense", "convolution", "source", box=None, pad_edge=False, header_style="bold")
    for f in families:
        table.add_row(f.name, "yes" if f.dense else "", "yes" if f.convolution else "", f.source)
    Console(width=max(Console().width, 120)).print(table)


@layers_app.command("check", epilog="Example: sdpcert layers check sll")
def layers_check(
    name: Annotated[str, typer.Argument(metavar="FAMILY", help="name of a family, or all")],
    double: Annotated[bool, typer.Option("--float64", help="float64 weights instead of float32")] = False,
    seed: Annotated[int, typer.Option(help="seed of the random weights", **SEEDS)] = 0,
    as_json: AsJson = False,
) -> int:
    """Prove a family on fresh, random, trained and degenerate weights: its constant is at most the claimed one."""
    module = _layers()
    import torch

    names = [f.name for f in module.FAMILIES] if name == "all" else [name]
    dtype = torch.float64 if double else torch.float32
    results = []
    headers = ("family", "weights", "proved", "attained", "eigenvalue", "shrink", "time", "")
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    finished = False
    with suppress(KeyboardInterrupt), Console(stderr=True).status("proving") as status:  # what was proved is printed
        for family in names:
            for result in module.check_family(family, dtype, seed):
                status.update(f"{family}: {result.weights}")
                results.append({"family": family, **vars(result), "ok": result.ok})
                table.add_row(
                    family,
                    result.weights,
                    rounded_up(result.proved),
                    rounded_down(result.attained, 6),
                    f"{result.eigenvalue:.1e}",
                    f"{result.margin:.1e}",
                    seconds(result.seconds),
                    "proved" if result.ok else "NOT PROVED",
                )
        finished = True
    if as_json:
        print(json.dumps(results))
    else:
        Console(width=max(Console().width, 120)).print(table)  # numbers are never cut off
    if not finished:
        print(f"sdpcert: interrupted after {len(results)} sets of weights", file=sys.stderr)
    return 0 if finished and all(r["ok"] for r in results) else 1


def _layers() -> Any:
    try:
        import sdpcert.layers as module
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ValueError("layers need torch: pip install 'sdpcert[torch]'") from None
    return module


@app.command(epilog="Example: sdpcert train digits -o runs/digits")
def train(
    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG", help="a TOML file, or the name of a preset; none lists the presets"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="RUN", help="run folder (default: runs/ and CONFIG's name)")
    ] = None,
    device: Device = "cpu",
    resume: Annotated[bool, typer.Option(help="go on from the run folder's checkpoint, if there is one")] = True,
) -> int:
    """Train a network of 1-Lipschitz layers; a run that was stopped goes on where it was."""
    training = _training()
    if config is None:
        print("\n".join(training.preset_names()))
        return 0
    path = Path(config)
    if not path.is_file() and config not in training.preset_names():
        raise ValueError(f"{config!r} is neither a file nor a preset; `sdpcert train` lists the presets")
    try:
        folder = training.train(
            path if path.is_file() else {"preset": config},
            output or Path("runs") / path.stem,
            resume=resume,
            device=device,
            progress=sys.stderr.isatty(),
        )
    except training.TrainingInterrupted as stopped:
        print(f"sdpcert: {stopped}", file=sys.stderr)
        return 1
    print(folder)
    print(f"next: sdpcert evaluate {folder}", file=sys.stderr)
    return 0


@app.command(epilog="Example: sdpcert evaluate runs/digits --level F")
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a finished run")],
    radii: Annotated[str | None, typer.Option(help="l2 radii for images of values 0 to 1, as in 0.5,36/255")] = None,
    bounds: Annotated[
        str, typer.Option(help="some of by-construction,sdp,pairwise; the default leaves the programs out")
    ] = "by-construction",
    level: Annotated[str, typer.Option(help="R: real arithmetic; F: float32 in any order of summation")] = "R",
    attack: Annotated[bool, typer.Option(help="search adversarial points: the other side of every accuracy")] = True,
    pairs: Annotated[str, typer.Option(help="certificates of pairs of classes: auto, all or none")] = "auto",
    count: Annotated[int | None, typer.Option(help="only so many of the test images, the first")] = None,
    data: Annotated[Path | None, typer.Option(help="folder of the data, if it is elsewhere now")] = None,
    device: Device = "cpu",
    time_limit: Annotated[float, typer.Option(help="seconds that a bound's programs may take by estimate")] = 300.0,
    seed: Seed = 0,
    again: Annotated[
        bool, typer.Option("--again", help="only verify the saved evaluation, from the files alone")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Certified accuracy of a finished run, with proofs, saved in the run's folder."""
    _training()
    from sdpcert.training.evaluate import evaluate as measured
    from sdpcert.training.recertify import recertify

    if again:
        result = recertify(run, data, device)
    else:
        result = measured(
            run,
            None if radii is None else _numbers(radii, "--radii"),
            [b.strip() for b in bounds.split(",")],
            level,
            attack,
            pairs=pairs,
            count=count,
            root=data,
            device=device,
            time_limit=time_limit,
            seed=seed,
            progress=sys.stderr.isatty(),
            command=" ".join(["sdpcert", *sys.argv[1:]]),
        )
    if as_json:
        print(json.dumps(result.summary()))
        return 1 if result.notes else 0
    print(f"{result.samples} test images, {percent_down(result.clean_accuracy)} % right, level {result.level}")
    headers = ("radius", "bound", "certified", "not attacked")
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in result.rows:
        attacked = "" if row.attacked_accuracy is None else f"{percent_up(row.attacked_accuracy)} %"
        table.add_row(rounded_down(row.radius, 4), row.bound, f"{percent_down(row.accuracy)} %", attacked)
    Console(width=max(Console().width, 100)).print(table)
    for name, reason in result.left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"saved {result.path}", file=sys.stderr)
    # Notes tell of what was interrupted.
    return 1 if result.notes else 0


def _numbers(text: str, option: str) -> list[float]:
    try:
        parts = [part.partition("/") for part in text.split(",")]
        return [float(above) / float(below if slash else "1") for above, slash, below in parts]
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{option} {text!r}: write numbers separated by commas, as in 0.5,36/255") from None


def _training() -> Any:
    try:
        import sdpcert.training as module
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "pydantic", "safetensors", "sklearn", "PIL"):
            raise
        raise ValueError(f"training needs {error.name}: pip install 'sdpcert[train]'") from None
    return module


@app.command(epilog="Example: sdpcert derive sll --latex paper --pdf")
def derive(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE|all", help="a result of the library, a file of your own, or all")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--latex", metavar="DIR", help="write a LaTeX document there")] = None,
    as_pdf: Annotated[bool, typer.Option("--pdf", help="also compile it (needs a TeX engine)")] = False,
    numbers: Annotated[bool, typer.Option(help="compare with numbers that sdpcert certifies")] = True,
    seed: Annotated[
        int, typer.Option(help="seed of the exact instances and of the search for counterexamples", **SEEDS)
    ] = 0,
    as_json: AsJson = False,
) -> int:
    """Prove results on Lipschitz layers for all weights, or refute them by an exact counterexample."""
    from sdpcert.symbolic.derivation import PROVED
    from sdpcert.symbolic.derivation import derive as settle
    from sdpcert.symbolic.document import NoTexEngine, document, pdf, write
    from sdpcert.symbolic.library import load, names

    if name is None:
        table = Table("name", "result", "source", box=None, pad_edge=False, header_style="bold")
        for known in names():
            for derivation in load(known):
                table.add_row(known, derivation.title, derivation.source)
        Console(width=max(Console().width, 160)).print(table)
        return 0
    chosen = [d for known in (names() if name == "all" else [name]) for d in load(known)]
    if not chosen:
        raise ValueError(f"{name}: holds no derivation")
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"cannot write to {folder}: it is a file, not a folder")
        folder.mkdir(parents=True, exist_ok=True)
    results, finished = [], False
    with (
        suppress(KeyboardInterrupt),  # what was settled is printed
        interrupts_noticed() as interrupted,
        Console(stderr=True).status("deriving") as status,
    ):
        for derivation in chosen:
            status.update(f"{derivation.name}: {derivation.title}")
            result = settle(derivation, seed, numbers)
            if interrupted.is_set():  # its numbers are those of solves that were cut short
                break
            results.append(result)
            if not as_json:
                print(result.text(), flush=True)
        finished = not interrupted.is_set()
    if as_json:
        keys = ("status", "seconds")
        print(
            json.dumps(
                [
                    {"name": r.derivation.name, "title": r.derivation.title} | {k: getattr(r, k) for k in keys}
                    for r in results
                ]
            )
        )
    if finished and (folder is not None or as_pdf):
        target = folder or Path()
        stem = Path(name).stem if name != "all" else "derivations"
        title = "Derivations" if len(results) != 1 else results[0].derivation.title
        source = document(results, title, sdpcert.__version__)
        if folder is not None:
            write(target / f"{stem}.tex", source)
            print(f"written {target / f'{stem}.tex'}", file=sys.stderr)
        if as_pdf:
            try:
                pdf(source, target / f"{stem}.pdf")
            except NoTexEngine as error:
                raise ValueError(str(error)) from None
            print(f"written {target / f'{stem}.pdf'}", file=sys.stderr)
    if not finished:
        print(f"sdpcert: interrupted after {len(results)} of {len(chosen)} results", file=sys.stderr)
    proved = sum(r.status == PROVED for r in results)
    if len(results) > 1 and not as_json:
        print(f"{proved} of {len(results)} results proved")
    return 0 if finished and proved == len(chosen) else 1


@app.command(epilog="Example: sdpcert table *.cert.json --kind ladder --format latex -o ladder.tex")
def table(
    files: Annotated[list[Path], typer.Argument(metavar="FILES...", help="certificates, or runs (evaluation.json)")],
    kind: Annotated[str | None, typer.Option(help="ladder, bounds, families, solvers or accuracy")] = None,
    columns: Annotated[str | None, typer.Option(help="names of columns, as in network,lower,upper")] = None,
    form: Annotated[str, typer.Option("--format", help="markdown, latex, csv or json")] = "markdown",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the table there")] = None,
    caption: Annotated[str | None, typer.Option(help="caption in place of the usual one")] = None,
    times: Annotated[bool, typer.Option("--times/--no-times", help="columns with durations")] = True,
) -> int:
    """Make a table of saved certificates or runs, each proved again; one that is not makes no table."""
    from sdpcert.report import run
    from sdpcert.report.records import Refused

    try:
        with Console(stderr=True).status("proving again"):
            text = run.table(files, kind, columns, form, output, caption, times)
    except Refused as error:
        print(f"sdpcert: {error}", file=sys.stderr)
        return 1
    if output is None:
        print(text, end="")
    return 0


@app.command(epilog="Example: sdpcert report model.cert.json -o model.html --figures figures --figure-format pdf")
def report(
    files: Annotated[
        list[Path], typer.Argument(metavar="CERT|RUN", help="a certificate (and others of its network), or a run")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="the page (default: the file's name .html)")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="also write every figure alone, at paper size")
    ] = None,
    figure_format: Annotated[str, typer.Option(help="pdf, svg or png")] = "pdf",
    times: Annotated[bool, typer.Option("--times/--no-times", help="durations and hashes of files")] = True,
) -> int:
    """Write one self-contained HTML page on a certificate or a run, everything in it proved again."""
    from sdpcert.report import run
    from sdpcert.report.records import Refused

    try:
        with Console(stderr=True).status("proving again"):
            written = run.report(files, output, figures, figure_format, times)
    except Refused as error:
        print(f"sdpcert: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


@app.command(epilog="Example: sdpcert bounds model.onnx --rows 7")
def bounds(
    net: NetworkFile,
    solver: SolverName = "native",
    tol: Tolerance = 1e-6,
    rows: Rows = None,
    device: Device = "cpu",
    activation: ActivationName = None,
    orientation: Orientation = None,
    time_limit: TimeLimit = float("inf"),
    form: Form = "auto",
    head: HeadOption = "joint",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> int:
    """Print the ladder of bounds: attained, one multiplier a neuron, one a layer, product of norms."""
    network = sdpcert.load(net, **_array_options(activation, orientation))
    ladder = []
    for method in ("neuron", "layer", "product"):
        with _progress(method) as progress:
            ladder.append(
                sdpcert.certify(
                    network,
                    method,
                    solver,
                    tol,
                    _rows(rows),
                    device,
                    form=form,
                    head=head,
                    time_limit=time_limit,
                    seed=seed,
                    progress=progress,
                )
            )
    proved = all(c.status == "proved" for c in ladder)
    if as_json:
        print(json.dumps({"lower": ladder[0].lower, "bounds": [c.summary() for c in ladder]}))
        return 0 if proved else 1
    table = Table("bound", "value", "status", "gap", "time", box=None, pad_edge=False, header_style="bold")
    table.add_row("attained", rounded_down(ladder[0].lower), "attained by two inputs", "", "")
    for c in ladder:
        gap = "" if c.sdp_lower == 0 else f"{c.gap:.1e}"
        table.add_row(c.method, rounded_up(c.upper), c.status, gap, seconds(c.solve_seconds + c.proof_seconds))
    Console(width=max(Console().width, 100)).print(table)
    return 0 if proved else 1


def _print_certificate(certificate: Any, network: Any, output: Path) -> None:
    form = certificate.form
    sizes = [int(np.prod(shape)) for shape in (network.input_shape, network.output_shape)]
    neurons = form.neurons if form is not None else certificate.neurons
    outputs = form.outputs if form is not None else sizes[1]
    print(f"network     {network.source}: {sizes[0]} inputs, {neurons} neurons, {outputs} outputs")
    if certificate.status == "proved":
        how = "in exact arithmetic" if certificate.level == "exact" else "with rigorous floating-point bounds"
        print(f"upper       {rounded_up(certificate.upper)}    proved {how}, l2 to l2, all inputs")
    else:
        print("upper       unproved: the solver's point could not be proved")
    print(f"lower       {rounded_down(certificate.lower)}    attained by two inputs in the certificate")
    if certificate.sdp_lower > 0 and certificate.status == "proved":
        print(f"gap         {certificate.gap:.1e}    at most, to the optimum of the condition")
    steps = f"{certificate.iterations} iterations, " if certificate.iterations else ""
    print(
        f"method      {certificate.method}, {certificate.solver} ({certificate.solver_status}), {steps}"
        f"solved in {seconds(certificate.solve_seconds)}, proved in {seconds(certificate.proof_seconds)}"
    )
    for note in certificate.notes:
        print(f"note        {note}")
    if certificate.status == "proved":
        print(f"certificate {output}    (prove it again: sdpcert check {output})")


def _array_options(activation: str | None, orientation: str | None) -> dict[str, str]:
    options = {"activation": activation, "orientation": orientation}
    return {key: value for key, value in options.items() if value is not None}


def _rows(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--rows wants numbers separated by commas, as in 7,8, not {text!r}") from None


@contextmanager
def _progress(label: str = "") -> Iterator[Any]:
    """A line with iteration, bound, gap and time on a terminal's stderr; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with console.status("solving ...") as status:

        def report(line: Any) -> None:
            status.update(
                f"{label} iteration {line.iteration}  bound {line.upper:.9g}  gap {line.gap:.1e}  {line.seconds:.1f} s"
            )

        yield report


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done and proved), 1 (not proved or rejected) or 2 (bad input)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the locale cannot write is no reason to lose a result
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:
            code = _fail("interrupted before there was a result")
    except typer.TyperException as error:
        code = _fail(getattr(error, "format_message", error.__str__)())
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted before there was a result")
    except BrokenPipeError:
        code = 0
        sys.stderr.close()
    except OSError as error:
        code = _fail(f"{error.filename or 'cannot write the results'}: {error.strerror or error}")
    except (ValueError, ImportError, sdpcert.SolverError) as error:
        code = _fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # torch has no class of its own for it
            raise
        code = _fail("out of memory: try --method product, or a smaller network")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    print("sdpcert: " + " ".join(message.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
