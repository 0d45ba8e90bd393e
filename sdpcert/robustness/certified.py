"""From a classifier and inputs to proved radii: `radii`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import Any, Literal

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.errors import Interrupted
from sdpcert.regions.region import Box
from sdpcert.robustness.regions_of_radii import Norm
from sdpcert.robustness.request import Request
from sdpcert.robustness.result import Radii
from sdpcert.robustness.steps import Steps
from sdpcert.running.choices import Level, OnInterrupt
from sdpcert.running.interrupts import interrupts_noticed, terminations_interrupt
from sdpcert.running.shares import shares_shown


def radii(
    net: Any,
    inputs: Any,
    labels: Any,
    *,
    norm: Norm = "l2",
    within: Box | tuple[float, float] | None = None,
    radii: Sequence[float] | None = None,
    normalisation: tuple[Any, Any] | None = None,
    level: Level = "R",
    time_limit: float | None = 60.0,
    nodes: int | None = None,
    attack: bool | Literal["strong"] = True,
    constants: Any = "auto",
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = False,
    on_interrupt: OnInterrupt = "raise",
) -> Radii:
    """Prove for every input a radius within which a classifier keeps its right class.

    `net` is a `Network` or a torch module, which reads what `inputs` are; its greatest output is its answer. `inputs`
    (n, *input_shape), or (n, inputs), and `labels` (n,), integers that count the outputs from 0, are arrays. Radii are
    in the coordinates of `inputs`, in the l2 norm or, with `norm="linf"`, the maximum norm. `within` is a `Box`, or a
    pair of numbers such as (0, 1), that no input leaves, `normalisation` a pair (mean, std) of numbers, or of one
    number for each channel or input: the model reads `(x - mean) / std`; None: it reads the inputs as they are.

    `radii` are those of the table `rows`: only these are tried, from the least; by default the largest radius of every
    input is looked for, to about 1 %. `level` "R" is about the real function of the stored weights, "F" about every
    IEEE float32 evaluation of it with sums in any order, at inputs that are float32 numbers
    (`sdpcert.robustness.execution`).

    `time_limit` is in seconds for each input, `nodes` bounds the pieces that its region is divided into; None is no
    limit. `attack` looks for points of another class nearby; with "strong" it then does so with three times the steps
    and restarts. `constants` proves a constant for every pair of classes on all inputs ("auto": where that is little
    work). `executor` looks at inputs in other processes or threads; `progress` shows on a terminal's stderr how far it
    is. `seed` is for the attack.

    After an interrupt (Ctrl-C) inputs that were not looked at have the radius that constants prove, which may be 0; an
    executor finishes those that it has begun, unless a second interrupt comes (those of `--jobs` end at once with what
    they have proved).
    Then `on_interrupt="raise"` raises `Interrupted`, a KeyboardInterrupt with that `result`; "prove" returns it, and
    counts SIGTERM too. An interrupt before it is known which inputs are right ends the call at once.

    Raises ValueError or TypeError for bad arguments, and `BoundContradiction` if an attack were within a proved radius.
    """
    request = Request.of(
        net, inputs, labels, norm, within, radii, normalisation, level, time_limit, nodes, attack, constants, executor,
        seed, progress, on_interrupt,
    )  # fmt: skip
    stops = terminations_interrupt() if request.returns else nullcontext()
    with interrupts_noticed() as came, stops, one_blas_thread(), shares_shown(request.progress) as report:
        steps = Steps(request, came, report)
        steps.judge()
        steps.do(steps.prove_constants)
        steps.do(steps.attack)
        steps.do(steps.search)
        result = steps.result()
    if came.is_set() and not request.returns:
        raise Interrupted(f"{steps.notes[-1]}: see the exception's result", result)
    return result
