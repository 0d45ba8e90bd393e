"""A certificate as a file for Coq: the network's weights, a proof in integers, and the theorem that they are Lipschitz.

`formal/` has the checker that runs there and the proof that it is right. What a float64 holds is an integer over a power
of two, so nothing is rounded; only the factor of the matrix, which needs no trust, is made anew with as few bits as do.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdpcert.check import Rejected, read_content
from sdpcert.check.blocks import Block
from sdpcert.check.condition import StackedCondition
from sdpcert.check.definite import PRECISION, Sought
from sdpcert.check.inequality_matrix import MatrixOfInequality
from sdpcert.check.integers import fixed, fraction_bits
from sdpcert.check.stacked import Stacked
from sdpcert.check.symmetric import Factor

#: Coordinates (inputs and neurons) that Coq checks in minutes.
MAX_COORDINATES = 2000
#: Bits of the factor that are tried, and how often with each.
PRECISIONS, ATTEMPTS = range(20, PRECISION + 1, 4), 4

Matrix = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Integers:
    """Everything that the Coq file states, in integers.

    Weights are over `denominator`, slopes over `slope_denominator`, the square of the bound is `bound` over
    `bound_denominator`. `columns` are those of the factor from the diagonal on, `unit` is what its squares count.
    """

    inputs: int
    denominator: int
    layers: list[Matrix]  # the last is the output's
    slope_denominator: int
    low: Matrix
    high: Matrix
    bound: int
    bound_denominator: int
    multipliers: Matrix
    scaling: list[int]
    unit: int
    columns: Matrix


def coq_file(document: dict[str, Any]) -> str:
    """The text of a Coq file whose theorem is what a certificate claims.

    Raises ValueError if the certificate is of another kind than a chain of layers with exact weights, `Rejected` if its
    form is wrong or no factor proves it.
    """
    content = read_content(document)
    if not isinstance(content.tree, StackedCondition):
        raise ValueError("only certificates of one stacked form go to Coq; certify with --method exact or without pieces")
    stacked = content.tree.content
    if not isinstance(stacked, Stacked):
        raise ValueError("only certificates of one stacked form go to Coq")
    return _text(integers_of(stacked, content.upper), content.upper, stacked.sha256)


def integers_of(stacked: Stacked, upper: float) -> Integers:
    """What Coq checks of a condition and its bound; see `coq_file` for what it raises."""
    blocks = _chain(stacked)
    if stacked.sizes[0] + sum(stacked.sizes[1:-1]) > MAX_COORDINATES:
        raise ValueError(f"more than {MAX_COORDINATES} inputs and neurons, which Coq would check for hours")
    factor = sought_factor(stacked)
    weight_bits = max(block.needed_bits() for block in blocks)
    slope_bits = max(map(fraction_bits, [*stacked.alpha, *stacked.beta]), default=0)
    multiplier_bits = max(map(fraction_bits, stacked.multipliers), default=0)
    bound, bound_denominator = upper.as_integer_ratio()
    bound_bits = 2 * (bound_denominator.bit_length() - 1)
    highest = max(factor.scaling, default=0)
    # Both sides of the inequality times 2^more, so that every power of two is an integer.
    unit = 2 * weight_bits + bound_bits + 2 * stacked.exponent + 2 * highest - 2 * factor.precision
    multiplier = bound_bits + 1 + 2 * stacked.exponent - 2 * slope_bits - multiplier_bits
    more = max(0, -unit, -multiplier)
    return Integers(
        inputs=stacked.sizes[0],
        denominator=1 << weight_bits,
        layers=[_rows(block, weight_bits) for block in blocks],
        slope_denominator=1 << slope_bits,
        low=[_fixed(slopes, slope_bits) for slopes in stacked.alpha],
        high=[_fixed(slopes, slope_bits) for slopes in stacked.beta],
        bound=bound**2 << more,
        bound_denominator=1 << bound_bits + more,
        multipliers=[
            [x << multiplier + more for x in _fixed(group, multiplier_bits)] for group in stacked.multipliers
        ],
        scaling=[1 << highest - d for d in factor.scaling],
        unit=1 << unit + more,
        columns=_columns(factor),
    )


def sought_factor(stacked: Stacked) -> Factor:
    """A factor of the condition's matrix with few bits that proves it; raises `Rejected` if none does."""
    matrix = MatrixOfInequality(stacked.inequality)
    rows = list(matrix.each())
    for precision in PRECISIONS:
        sought = Sought(rows, matrix.bits, -1)
        for _ in range(ATTEMPTS):
            found = sought.factor()
            if found is None:
                break
            drop = PRECISION - precision
            rounded = [[x + (1 << drop >> 1) >> drop for x in row] for row in found]
            factor = Factor(precision, sought.scaling, sought.start, rounded)
            lacking, bits = matrix.missing(factor)
            if max(lacking, default=0) <= 0:
                return factor
            sought.take_off(lacking, bits + 2 * precision)
    raise Rejected(f"no factor of {PRECISION} bits proves the condition: its bound is too tight; certify with more room")


def _chain(stacked: Stacked) -> list[Block]:
    """The blocks of a network whose layers read the one before; raises ValueError if it is another."""
    links = [(block.target, block.source) for block in stacked.blocks]
    if links != [(g + 1, g) for g in range(len(stacked.sizes) - 1)]:
        raise ValueError("some layer reads other layers than the one before; only chains of layers go to Coq")
    for block in stacked.blocks:
        if block.radius:
            raise ValueError(
                f"the weights of layer {block.target} are known up to {block.radius!r} only, as layers were multiplied "
                "together; only exact weights go to Coq"
            )
    return stacked.blocks


def _rows(block: Block, bits: int) -> Matrix:
    flat = block.fixed(bits)
    return [flat[i : i + block.columns] for i in range(0, len(flat), block.columns)]


def _fixed(numbers: array[float], bits: int) -> list[int]:
    return [fixed(x, bits) for x in numbers]


def _columns(factor: Factor) -> Matrix:
    """The columns of a factor from the diagonal to the last entry that is not zero."""
    found: list[list[int]] = [[] for _ in factor.rows]
    for i, (start, row) in enumerate(zip(factor.start, factor.rows, strict=True)):
        for j, x in enumerate(row, start):
            if x or i == j:
                found[j] += [0] * (i - j - len(found[j])) + [x]
    return found


# ---------------------------------------------------------------- the text


def _text(integers: Integers, upper: float, sha256: str) -> str:
    layers = range(1, len(integers.layers))
    definitions = [
        *(_definition(f"weights_{g}", "matrix", _matrix(integers.layers[g - 1])) for g in layers),
        _definition("output_weights", "matrix", _matrix(integers.layers[-1])),
        _definition("low_slopes", "seq (seq Z)", _matrix(integers.low)),
        _definition("high_slopes", "seq (seq Z)", _matrix(integers.high)),
        _definition("multipliers_of_neurons", "seq (seq Z)", _matrix(integers.multipliers)),
        _definition("columns_of_factor", "seq (seq Z)", _matrix(integers.columns)),
        _definition("scales", "seq Z", _vector(integers.scaling)),
    ]
    hidden = "; ".join(f"weights_{g}" for g in layers)
    return f"""\
(* For all inputs x, x' of the network of these weights, whatever its biases:
   |f(x) - f(x')| <= {upper!r} |x - x'|, in Euclidean norms. The network has the SHA-256
   {sha256}.

   coqc -Q formal Sdpcert THIS_FILE *)
From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import ZArith.
From Sdpcert Require Import integers condition checker.
Import GRing.Theory.

(* Weights over N, slopes over t; the bound of the square is P / Q. *)
Definition N := {integers.denominator}%Z.
Definition t := {integers.slope_denominator}%Z.
Definition P := {integers.bound}%Z.
Definition Q := {integers.bound_denominator}%Z.

{chr(10).join(definitions)}
Definition hidden_weights : seq matrix := [:: {hidden}].

Definition proof : certificate :=
  Certificate {integers.inputs} N hidden_weights output_weights t low_slopes high_slopes P Q multipliers_of_neurons
    scales {integers.unit}%Z columns_of_factor.

Lemma checked : valid proof.
Proof. by vm_cast_no_check (erefl true). Qed.

Local Open Scope ring_scope.

{_theorem(integers)}
Print Assumptions lipschitz.
"""


def _theorem(integers: Integers) -> str:
    """The theorem for one activation of all neurons that Coq knows; otherwise for any of these slopes."""
    n = integers.inputs
    conclusion = f"""\
  forall (b : nat -> nat -> R) (x x' : seq R), size x = {n}%nat -> size x' = {n}%nat ->
  norm2 R (diff R (f b x) (f b x')) <= of_Z R P / of_Z R Q * norm2 R (diff R x x')"""
    known = _activation(integers)
    if known is None:
        return f"""\
(* phi g i is the activation of neuron i of layer g. *)
Theorem lipschitz (R : realFieldType) (phi : nat -> nat -> R -> R) :
  (forall g, (g < {len(integers.low)})%nat ->
   slopes_of R proof (size (nth [::] hidden_weights g)) (nth [::] low_slopes g) (nth [::] high_slopes g) (phi g)) ->
  let f b := network R N phi b 0 hidden_weights output_weights in
{conclusion}.
Proof. by move=> slope f b; exact: (valid_sound R proof phi b checked slope). Qed.
"""
    activation, lemma = known
    return f"""\
Theorem lipschitz (R : realFieldType) :
  let f b := network R N (fun _ _ => {activation}) b 0 hidden_weights output_weights in
{conclusion}.
Proof. by apply: ({lemma}); split. Qed.
"""


def _activation(integers: Integers) -> tuple[str, str] | None:
    """The activation of all neurons and the corollary about it; None if they differ or Coq does not know it."""
    pairs = {
        pair for low, high in zip(integers.low, integers.high, strict=True) for pair in zip(low, high, strict=True)
    }
    if len(pairs) != 1:
        return None
    ((low, high),) = pairs
    one = integers.slope_denominator
    if (low, high) == (0, one):
        return "relu R", "relu_sound R proof checked"
    if (low, high) == (-one, one):
        return "(fun a : R => `|a|)", "abs_sound R proof checked"
    if high == one and low < one:
        return f"leaky_relu R (of_Z R ({low}) / of_Z R t)", f"leaky_relu_sound R proof checked ({low}) isT"
    return None


def _definition(name: str, kind: str, value: str) -> str:
    return f"Definition {name} : {kind} := {value}%Z.\n"


def _matrix(rows: Matrix) -> str:
    return "[::\n" + ";\n".join(f"  {_vector(row)}" for row in rows) + "]"


def _vector(numbers: Sequence[int]) -> str:
    return "[:: " + "; ".join(map(str, numbers)) + "]"

