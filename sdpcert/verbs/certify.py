"""`sdpcert certify`: prove a bound and write the certificate."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from sdpcert.errors import CommandInterrupted
from sdpcert.network.graph import Network
from sdpcert.report import rounded_apart, rounded_up, seconds
from sdpcert.running.executors import executor
from sdpcert.running.outputs import check_output
from sdpcert.verbs import options, properties, regions
from sdpcert.verbs.json_output import print_object

app = typer.Typer()
#: What is said of the pieces of a region: how many have a bound of their own, were looked at, and are open.
PIECES = ("pieces", "nodes", "open")
#: The share of the time limit that a property's answer may take before the bound.
ANSWER = 0.5


@app.command(
    short_help="Prove a bound, for all inputs or on a region; write its proof.",
    epilog="Example: sdpcert certify model.onnx --rows 7 -o model.cert.json",
)
def certify(
    net: options.NetworkFile = None,
    example: options.Example = None,
    method: options.Method = "auto",
    solver: options.SolverName = "native",
    tol: options.Tolerance = 1e-6,
    rows: options.Rows = None,
    pair: regions.Pair = None,
    around: regions.Around = None,
    radius: regions.Radius = None,
    norm: regions.Norm = None,
    within: regions.Within = None,
    index: regions.Index = None,
    box: regions.BoxEnds = None,
    vnnlib: properties.VnnlibFile = None,
    property: properties.PropertyFile = None,
    counterexample: properties.CounterexampleFile = None,
    exact: regions.Exact = False,
    nodes: regions.Nodes = None,
    jobs: regions.Jobs = 1,
    device: options.Device = "cpu",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="CERT", help="certificate file (default: NET's name .cert.json)"),
    ] = None,
    activation: options.ActivationName = None,
    orientation: options.Orientation = None,
    time_limit: options.TimeLimit = float("inf"),
    form: options.Form = "auto",
    head: options.HeadOption = "joint",
    seed: options.Seed = 0,
    effort: options.SearchEffort = 1.0,
    as_json: options.AsJson = False,
) -> int:
    """Prove an upper bound on a network's l2 Lipschitz constant, for all inputs or on a region of them."""
    question = properties.PropertyOptions(vnnlib, property, counterexample, output)
    asked = regions.RegionOptions(around, radius, norm, within, index, box, vnnlib, property)
    chosen_pair = regions.chosen_pair(pair, rows)
    if property is None:
        regions.check_together(asked.given, exact, nodes, jobs if vnnlib is None else 1, method, form, head)
    elif exact or rows is not None or pair is not None:
        raise ValueError("--property asks about all outputs and gives no bound: leave out --exact, --rows and --pair")
    if question.asked is not None:
        question.check_outputs()
    network = options.network_of(net, example, options.array_options(activation, orientation))
    region = question.region(network) if vnnlib is not None else asked.chosen(math.prod(network.input_shape))
    output = output or Path(f"{options.network_path(net, example).stem}.cert.json")
    check_output(output)
    started, answer = time.perf_counter(), None
    with options.progress() as progress, executor(jobs) as workers:
        if question.asked is not None and (property is not None or question.asked.asks):
            limit = time_limit if property is not None else time_limit * ANSWER
            answer = properties.answered(question, network, limit, nodes, seed, workers, progress)
            if property is not None or answer.interrupted:
                return _print_answer(answer, network, as_json)
            time_limit = max(0.0, time_limit - (time.perf_counter() - started))
        certificate = sdpcert.certify(
            network,
            method,
            solver,
            tol,
            options.chosen_rows(rows),
            device,
            form=form,
            head=head,
            time_limit=time_limit,
            seed=seed,
            progress=progress,
            effort=effort,
            on_interrupt="prove",
            region=region.region,
            exact=exact,
            nodes=nodes,
            output_pair=chosen_pair,
            executor=workers,
        )
    proved = certificate.status == "proved"
    if proved:
        certificate.save(output)
    if as_json:
        counts = {key: certificate.information[key] for key in PIECES if key in certificate.information}
        about = {"network": network.source, "output_rows": options.chosen_rows(rows), "output_pair": chosen_pair}
        beside = {"region": region.summary, "certificate": output if proved else None}
        told = {} if answer is None else answer.summary()
        print_object("certify", about | certificate.summary() | counts | beside | told)
    else:
        _print_certificate(certificate, network, region, output)
        if answer is not None:
            answer.print()
    return 0 if proved and (answer is None or answer.decision.word == "holds") else 1


def _print_answer(answer: properties.Answer, network: Network, as_json: bool) -> int:
    """Print an answer without a bound; returns the exit code."""
    decision = answer.decision
    if as_json:
        stopped = "interrupted: what stands is unknown" if answer.interrupted else None
        about = {"network": network.source, "seconds": decision.seconds, "interrupted": stopped}
        print_object("certify", about | answer.summary())
    else:
        print(f"network     {network.source}")
        answer.print()
    if answer.interrupted:
        raise CommandInterrupted(f"interrupted: {decision.asked.source} is neither proved nor refuted")
    return 0 if decision.word == "holds" else 1


def _print_certificate(certificate: Any, network: Any, region: regions.ChosenRegion, output: Path) -> None:
    form = certificate.form
    sizes = [int(np.prod(shape)) for shape in (network.input_shape, network.output_shape)]
    neurons = form.neurons if form is not None else certificate.neurons
    outputs = form.outputs if form is not None else sizes[1]
    print(f"network     {network.source}: {sizes[0]} inputs, {neurons} neurons, {outputs} outputs")
    lower, upper = rounded_apart(certificate.lower, certificate.upper)
    if certificate.status == "proved":
        how = "in exact arithmetic" if certificate.level == "exact" else "with rigorous floating-point bounds"
        print(f"upper       {upper}    proved {how}, l2 to l2, {region.words}")
    else:
        print("upper       unproved: the solver's point could not be proved")
    inside = "" if region.region is None else " of the region"
    print(
        f"lower       {lower}    attained by two inputs{inside} in the certificate, "
        f"found in {seconds(certificate.attained_seconds)}"
    )
    if certificate.advice:
        ratio = rounded_up(certificate.upper / certificate.lower * (1 + 1e-15), 4)
        print(f"ratio       {ratio}    upper / lower: the constant is somewhere between them")
        print(f"advice      {'; or '.join(certificate.advice)}")
    if certificate.sdp_lower is None:
        _print_pieces(certificate)
    elif certificate.sdp_lower > 0 and certificate.status == "proved":
        print(f"gap         {rounded_up(certificate.gap, 2)}    at most, to the optimum of the condition")
    counted = certificate.iterations and PIECES[0] not in certificate.information
    steps = f"{certificate.iterations} iterations, " if counted else ""
    print(
        f"method      {certificate.method}, {certificate.solver} ({certificate.solver_status}), {steps}"
        f"solved in {seconds(certificate.solve_seconds)}, proved in {seconds(certificate.proof_seconds)}"
    )
    for note in certificate.notes:
        print(f"note        {note}")
    if certificate.status == "proved":
        print(f"certificate {output}    (prove it again: sdpcert check {output})")


def _print_pieces(certificate: Any) -> None:
    """What is said of a bound that is the largest one of several pieces."""
    if certificate.status == "proved":
        print(f"gap         {rounded_up(certificate.gap, 2)}    (upper - lower) / upper")
    pieces, nodes, still = (certificate.information[key] for key in PIECES)
    print(f"pieces      {pieces}    with a bound of their own, {nodes} looked at, {still} open")
