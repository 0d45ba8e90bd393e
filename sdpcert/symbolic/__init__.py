"""Claims and proofs about matrix inequalities with symbolic weights.

A researcher writes a layer or an inequality in symbols; `derive` proves it for all weights and dimensions, refutes it
with a small exact counterexample, or says that it is open. See `docs/derivations.md`.
"""

from sdpcert.errors import AlgebraError as AlgebraError
from sdpcert.errors import KernelError as KernelError
from sdpcert.symbolic.blocks import Block as Block
from sdpcert.symbolic.blocks import block as block
from sdpcert.symbolic.blocks import diagonal_block as diagonal_block
from sdpcert.symbolic.blocks import symmetric_block as symmetric_block
from sdpcert.symbolic.claim import Claim as Claim
from sdpcert.symbolic.claim import Statement as Statement
from sdpcert.symbolic.claim import equal as equal
from sdpcert.symbolic.claim import positive as positive
from sdpcert.symbolic.defined import increments as increments
from sdpcert.symbolic.defined import inverse as inverse
from sdpcert.symbolic.defined import orthonormal as orthonormal
from sdpcert.symbolic.defined import rule as rule
from sdpcert.symbolic.defined import scalar_rule as scalar_rule
from sdpcert.symbolic.defined import slopes as slopes
from sdpcert.symbolic.defined import squared_norm as squared_norm
from sdpcert.symbolic.derivation import Comparison as Comparison
from sdpcert.symbolic.derivation import Derivation as Derivation
from sdpcert.symbolic.derivation import Part as Part
from sdpcert.symbolic.deriving import derive as derive
from sdpcert.symbolic.entries import indices as indices
from sdpcert.symbolic.entries import largest as largest
from sdpcert.symbolic.entries import total as total
from sdpcert.symbolic.expression import Expression as Expression
from sdpcert.symbolic.expression import diagonal as diagonal
from sdpcert.symbolic.expression import identity as identity
from sdpcert.symbolic.expression import matrix as matrix
from sdpcert.symbolic.expression import number as number
from sdpcert.symbolic.expression import scalar as scalar
from sdpcert.symbolic.expression import skew as skew
from sdpcert.symbolic.expression import sqrt2 as sqrt2
from sdpcert.symbolic.expression import symmetric as symmetric
from sdpcert.symbolic.expression import vector as vector
from sdpcert.symbolic.expression import zero as zero
from sdpcert.symbolic.fit import fit_multipliers as fit_multipliers
from sdpcert.symbolic.instances import Instance as Instance
from sdpcert.symbolic.kernel import check as check
from sdpcert.symbolic.layer import Layer as Layer
from sdpcert.symbolic.refutation import refute as refute
from sdpcert.symbolic.result import Result as Result
from sdpcert.symbolic.steps.trace import trace_of as trace_of
from sdpcert.symbolic.strategies import search as search
