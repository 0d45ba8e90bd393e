"""Claims and proofs about matrix inequalities with symbolic weights.

A researcher writes a layer or an inequality in symbols; `derive` proves it for all weights and dimensions, refutes it
with a small exact counterexample, or says that it is open. See `docs/derivations.md`.
"""

from sdpcert.errors import AlgebraError, KernelError
from sdpcert.symbolic.blocks import Block, block, diagonal_block, symmetric_block
from sdpcert.symbolic.claim import Claim, Statement, equal, positive
from sdpcert.symbolic.defined import increments, inverse, orthonormal, rule, scalar_rule, slopes, squared_norm
from sdpcert.symbolic.derivation import Comparison, Derivation, Part
from sdpcert.symbolic.deriving import derive
from sdpcert.symbolic.entries import indices, largest, total
from sdpcert.symbolic.expression import (
    Expression,
    diagonal,
    identity,
    matrix,
    number,
    scalar,
    skew,
    sqrt2,
    symmetric,
    vector,
    zero,
)
from sdpcert.symbolic.fit import fit_multipliers
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.kernel import check
from sdpcert.symbolic.layer import Layer
from sdpcert.symbolic.refutation import refute
from sdpcert.symbolic.result import Result
from sdpcert.symbolic.steps.trace import trace_of
from sdpcert.symbolic.strategies import search

__all__ = [
    "AlgebraError",
    "Block",
    "Claim",
    "Comparison",
    "Derivation",
    "Expression",
    "Instance",
    "KernelError",
    "Layer",
    "Part",
    "Result",
    "Statement",
    "block",
    "check",
    "derive",
    "diagonal",
    "diagonal_block",
    "equal",
    "fit_multipliers",
    "identity",
    "increments",
    "indices",
    "inverse",
    "largest",
    "matrix",
    "number",
    "orthonormal",
    "positive",
    "refute",
    "rule",
    "scalar",
    "scalar_rule",
    "search",
    "skew",
    "slopes",
    "sqrt2",
    "squared_norm",
    "symmetric",
    "symmetric_block",
    "total",
    "trace_of",
    "vector",
    "zero",
]
