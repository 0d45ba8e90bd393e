"""The condition of one stacked form: its network, its multipliers, and the proof that its matrix is semidefinite.

1. `read` turns the file's objects into checked values: every limit is compared before an array is unpacked, and the
   hash and the bound with what they are made of;
2. `prove` proves, if the file has an input factor, that a smaller input may stand for the real one, and then that M is
   positive semidefinite: 2^(2q) D M D - L L' is diagonally dominant. `symmetric.py` has both.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from dataclasses import dataclass
from typing import Any

from .blocks import MAX_WEIGHTS, Block, read_blocks, read_headers
from .groups import read_multipliers, read_slopes
from .inequality import Inequality, InputGram, MatrixOfInequality
from .reading import MAX_FILE_BYTES, Rejected, constant, integer, items, members, values
from .symmetric import Factor, check_dominant

MAX_COORDINATES = 20_000
MAX_FACTOR_ENTRIES = 10**8


@dataclass(frozen=True)
class Stacked:
    """Everything in a condition that matters to the proof; types, lengths, ranges and the hash are already checked."""

    sizes: list[int]  # of the input, of each group, of the output
    activations: list[str]  # one name per group, for people
    alpha: list[array[float]]  # one array per group; index 0 is group 1
    beta: list[array[float]]
    multipliers: list[array[float]]
    blocks: list[Block]  # increasing in (target, source)
    sha256: str
    rho: float
    exponent: int  # s
    precision: int  # q
    scaling: list[int]  # d
    start: list[int]  # for row i of L the column of its first stored entry
    factor: list[list[int]]  # row i of L from start[i] to i
    input_scaling: list[int] | None  # c, None if there is no input factor
    input_weights: array[float] | None  # R


# ---------------------------------------------------------------- reading the condition


def read(upper: float, network: Any, multipliers: Any, proof: Any) -> Stacked:
    """Return the checked content of a condition whose bound `upper` is already read."""
    # Sizes first: every limit is compared before an array is unpacked.
    inputs, outputs, groups, blocks, sha256 = members(network, "network", "inputs outputs groups blocks sha256")
    groups = items(groups, "network.groups", 0, MAX_COORDINATES)
    blocks = items(blocks, "network.blocks", 0, MAX_FILE_BYTES)
    groups = [members(group, f"group {g}", "size activation alpha beta") for g, group in enumerate(groups, 1)]
    sizes = [integer(inputs, "network.inputs", 1, 10**7)]
    sizes += [integer(group[0], f"size of group {g}", 1, 10**6) for g, group in enumerate(groups, 1)]
    sizes += [integer(outputs, "network.outputs", 1, 10**7)]
    last = len(groups) + 1

    doubled = any(type(block) is dict and "low" in block for block in blocks)
    headers, total = read_headers(blocks, sizes)
    rows_of_input = sum(sizes[target] for target, source, *_ in headers if source == 0)

    kind, precision, scaling, start, factor, input_factor = members(
        proof, "proof", "kind precision scaling start factor input_factor"
    )
    constant(kind, "proof.kind", "diagonal-dominance")
    precision = integer(precision, "proof.precision", 1, 200)
    coordinates = sum(sizes[:last])
    if input_factor is not None:
        coordinates += rows_of_input - sizes[0]
        total += rows_of_input**2
    if coordinates > MAX_COORDINATES:
        raise Rejected(f"more than {MAX_COORDINATES} coordinates")
    if total > MAX_WEIGHTS:
        raise Rejected(f"more than {MAX_WEIGHTS} weights")

    # The network and its hash.
    name = b"sdpcert-network-2" if doubled else b"sdpcert-network-1"
    digest = hashlib.sha256(name + struct.pack("<3q", sizes[0], sizes[-1], len(groups)))
    activations, alpha, beta = read_slopes(groups, digest)
    matrices = read_blocks(headers, sizes, digest, doubled)
    if sha256 != digest.hexdigest():
        raise Rejected("network.sha256 is not the hash of the network")

    rho, lambdas, exponent = read_multipliers(multipliers, sizes[1:-1], upper)

    # The proof: row i of L is stored from column start[i] to its diagonal.
    scaling = values(scaling, "proof.scaling", "q", coordinates, -4000, 4000).tolist()
    start = values(start, "proof.start", "q", coordinates, low=0).tolist()
    if any(first > i for i, first in enumerate(start)):
        raise Rejected("proof.start has a column beyond the diagonal")
    entries = sum(i + 1 - first for i, first in enumerate(start))
    if entries > MAX_FACTOR_ENTRIES:
        raise Rejected(f"more than {MAX_FACTOR_ENTRIES} entries of L")
    flat = values(factor, "proof.factor", "q", entries).tolist()
    factor, position = [], 0
    for i, first in enumerate(start):
        factor.append(flat[position : position + i + 1 - first])
        position += i + 1 - first
    input_scaling = input_weights = None
    if input_factor is not None:
        input_scaling, input_weights = members(input_factor, "proof.input_factor", "scaling weights")
        input_scaling = values(input_scaling, "input_factor.scaling", "q", rows_of_input, -4000, 4000).tolist()
        input_weights = values(input_weights, "input_factor.weights", "d", rows_of_input**2)

    return Stacked(
        sizes, activations, alpha, beta, lambdas, matrices, sha256, rho, exponent, precision,
        scaling, start, factor, input_scaling, input_weights,
    )  # fmt: skip


# ---------------------------------------------------------------- the proof


def prove(condition: Stacked) -> None:
    """Replay the proof of a condition; raise `Rejected` if it is not one."""
    inequality = Inequality(
        condition.sizes, condition.alpha, condition.beta, condition.multipliers, condition.rho, condition.exponent,
        condition.blocks,
    )  # fmt: skip
    if condition.input_scaling is not None and condition.input_weights is not None:
        gram = InputGram(condition.blocks)
        lacking, _ = gram.missing(condition.input_scaling, condition.input_weights)
        check_dominant(lacking, "R R' - G G' of the input factor")
        inequality = inequality.reading(gram.replaced(condition.input_weights), gram.size)
    factor = Factor(condition.precision, condition.scaling, condition.start, condition.factor)
    lacking, _ = MatrixOfInequality(inequality).missing(factor, keep=False)
    check_dominant(lacking, "the residue E")
