"""Certify a stacked form in a process of its own, so that several programs are solved side by side.

Threads do not help here: the search for attained points and the solver's small steps hold Python's lock.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.certify.certify import BoundContradiction, certify
from sdpcert.network.activations import activation_by_name, crop
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.running import children

#: Activations that their name says everything of.
PLAIN = ("relu", "abs", "tanh", "sigmoid", "softplus", "crop")
_CHILD = "from sdpcert.evaluation.apart import main; main()"


def can_go_apart(form: StackedForm) -> bool:
    """Whether the form can be handed to another process: its activations are known by name."""
    return all(group.activation.name in PLAIN for group in form.groups)


def certify_apart(form: StackedForm, method: str, tol: float, seed: int, path: Path) -> dict[str, Any]:
    """Certify in another process and save the certificate to `path` if it was proved; the certificate's summary.

    Raises `BoundContradiction` where an attained value is above the bound, ValueError for other failures.
    """
    where = str(Path(__file__).resolve().parents[2])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.pathsep.join(filter(None, [where, os.environ.get("PYTHONPATH", "")]))
    options = json.dumps({"method": method, "tol": tol, "seed": seed, "path": str(path.resolve())})
    command = [sys.executable, "-c", _CHILD, options]
    environment = {**os.environ, **threads, "PYTHONPATH": paths}
    done = children.run(command, _packed(form), environment)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        if done.returncode < 0 or "KeyboardInterrupt" in lines[-1]:
            raise KeyboardInterrupt from None
        raise ValueError(f"a process that was to prove {path.stem} ended: {lines[-1][:200]}") from None
    if "contradiction" in answer:
        raise BoundContradiction(answer["contradiction"])
    return answer


def main() -> None:
    """The other process: a form on standard input, options as the argument, the summary on standard output."""
    from sdpcert.arithmetic import blas

    options = json.loads(sys.argv[1])
    form = _unpacked(sys.stdin.buffer.read())
    try:
        with blas.undivided():
            made = certify(form, options["method"], tol=options["tol"], seed=options["seed"], on_interrupt="prove")
    except BoundContradiction as error:
        print(json.dumps({"contradiction": str(error)}))
        return
    if made.status == "proved":
        made.save(options["path"])
    print(json.dumps(made.summary()))


def _packed(form: StackedForm) -> bytes:
    """The form as arrays of an .npz file."""
    arrays: dict[str, Any] = {"offset": form.offset}
    groups = [{"name": g.activation.name, "shape": list(g.shape)} for g in form.groups]
    for k, g in enumerate(form.groups):
        arrays |= {f"g{k}.{key}": getattr(g, key) for key in ("positions", "alpha", "beta", "bias")}
    blocks = []
    for k, ((to, source), block) in enumerate(sorted(form.blocks.items())):
        blocks.append({"at": [to, source], "radius": block.radius})
        parts = {"weights": block.weights, "zero": block.zero, "low": block.low}
        arrays |= {f"b{k}.{key}": value for key, value in parts.items() if value is not None}
    header = {"inputs": form.inputs, "outputs": form.outputs, "groups": groups, "blocks": blocks}
    file = io.BytesIO()
    np.savez(file, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays)
    return file.getvalue()


def _unpacked(data: bytes) -> StackedForm:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        header = json.loads(file["header"].tobytes())
        groups = []
        for k, g in enumerate(header["groups"]):
            kind = crop() if g["name"] == "crop" else activation_by_name(g["name"])
            given = {key: file[f"g{k}.{key}"] for key in ("positions", "alpha", "beta", "bias")}
            groups.append(Group(kind, tuple(g["shape"]), **given))
        blocks = {
            (b["at"][0], b["at"][1]): Block(
                file[f"b{k}.weights"], b["radius"], *(file.get(f"b{k}.{key}") for key in ("zero", "low"))
            )
            for k, b in enumerate(header["blocks"])
        }
        return StackedForm(header["inputs"], header["outputs"], tuple(groups), blocks, file["offset"])
