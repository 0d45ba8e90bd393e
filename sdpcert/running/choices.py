"""The names that public functions take, as types, so that editors and type checkers know them.

A device is any name that torch knows ("cuda:1"), so it has no type of its own.
"""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["product", "layer", "neuron", "auto", "by-construction"]
SolverName = Literal["native", "clarabel", "scs", "sdpa", "mosek"]
Form = Literal["auto", "unrolled", "frequency"]
Head = Literal["joint", "composed"]
OnInterrupt = Literal["prove", "raise"]
Level = Literal["R", "F"]
Pairs = Literal["auto", "all", "none"]
Attack = Literal["none", "quick", "strong"]
Orientation = Literal["out_in", "in_out"]
TableKind = Literal["ladder", "bounds", "regions", "families", "solvers", "tools", "accuracy", "radii"]
TableFormat = Literal["markdown", "latex", "csv", "json"]
FigureFormat = Literal["pdf", "svg", "png"]
RunBound = Literal["by-construction", "sdp", "pairwise"]
FamilyName = Literal[
    "spectral",
    "aol",
    "cpl",
    "sll",
    "sll-linear",
    "perron",
    "ostrowski",
    "block-gershgorin",
    "row-sum",
    "frobenius",
    "residual-aol",
    "cayley",
    "exponential",
    "soc",
    "bjorck",
    "bcop",
    "aoc",
    "bro",
    "cholesky",
    "linear-residual",
    "sandwich",
    "sandwich-network",
    "general-residual",
]
#: Activations of array files, which state none; `network/activations.py` makes them.
ActivationName = Literal[
    "abs",
    "atan",
    "celu",
    "cos",
    "elu",
    "erf",
    "gelu",
    "gelu_tanh",
    "hard_swish",
    "hardtanh",
    "leaky_relu",
    "maxmin",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "sin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
]

METHODS: tuple[Method, ...] = get_args(Method)
FORMS: tuple[Form, ...] = get_args(Form)
HEADS: tuple[Head, ...] = get_args(Head)
PAIRS: tuple[Pairs, ...] = get_args(Pairs)
ORIENTATIONS: tuple[Orientation, ...] = get_args(Orientation)
RUN_BOUNDS: tuple[RunBound, ...] = get_args(RunBound)
FAMILY_NAMES: tuple[FamilyName, ...] = get_args(FamilyName)
FIGURE_FORMATS: tuple[FigureFormat, ...] = get_args(FigureFormat)
ON_INTERRUPT: tuple[OnInterrupt, ...] = get_args(OnInterrupt)
