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

METHODS: tuple[Method, ...] = get_args(Method)
FORMS: tuple[Form, ...] = get_args(Form)
HEADS: tuple[Head, ...] = get_args(Head)
ON_INTERRUPT: tuple[OnInterrupt, ...] = get_args(OnInterrupt)
