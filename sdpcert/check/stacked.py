"""The condition of one stacked form: its network, its multipliers, and the proof that its matrix is semidefinite.

`read` turns the file's objects into checked values: every limit is compared before an array is unpacked, and the hash
and the bound with what they are made of. What proves the condition is one of the kinds of `KINDS`, each a file.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from dataclasses import dataclass
from typing import Any

from . import coupled
from .blocks import Block, read_blocks, read_headers
from .factor_proof import FactorProof
from .floating_proof import FloatingProof
from .groups import read_multipliers, read_slopes
from .inequality import Inequality
from .reading import MAX_FILE_BYTES, Rejected, integer, items, members, text
from .scaling_proof import ScalingProof
from .stacked_proof import Shape, StackedProof

#: Groups of a network in stacked form.
MAX_GROUPS = 100_000
KINDS: dict[str, type[StackedProof]] = {
    "diagonal-dominance": FactorProof,
    "scaling": ScalingProof,
    "floating-point": FloatingProof,
}


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
    proof: StackedProof
    norms: bool  # whether some neurons are norms of several preactivations

    @property
    def order(self) -> int:
        """The order of M; that of the network in which a square matrix stands for what reads the input, if one does."""
        inputs = self.sizes[0]
        if self.proof.input_weights is not None:
            inputs = sum(block.rows for block in self.blocks if block.source == 0)
        return inputs + sum(self.sizes[1:-1])

    @property
    def inequality(self) -> Inequality:
        """What is to be proved."""
        return Inequality(
            self.sizes, self.alpha, self.beta, self.multipliers, self.rho, self.exponent, self.blocks
        )  # fmt: skip

    def prove(self, exact: bool | None) -> str:
        """Replay the proof and return its arithmetic; raise `Rejected` if it is not one."""
        return self.proof.prove(self.inequality, exact)


def read(upper: float, network: Any, multipliers: Any, proof: Any) -> Stacked:
    """Return the checked content of a condition whose bound `upper` is already read."""
    # Sizes first: every limit is compared before an array is unpacked.
    inputs, outputs, groups, blocks, sha256 = members(network, "network", "inputs outputs groups blocks sha256")
    groups = items(groups, "network.groups", 0, MAX_GROUPS)
    blocks = items(blocks, "network.blocks", 0, MAX_FILE_BYTES)
    stated = [coupled.is_stated(group) for group in groups]
    keys = ["size activation alpha beta" + f" {coupled.KEY}" * norms for norms in stated]
    groups = [members(group, f"group {g}", keys[g - 1]) for g, group in enumerate(groups, 1)]
    sizes = [integer(inputs, "network.inputs", 1, 10**7)]
    sizes += [integer(group[0], f"size of group {g}", 1, 10**6) for g, group in enumerate(groups, 1)]
    sizes += [integer(outputs, "network.outputs", 1, 10**7)]
    counts = [
        coupled.read(group[4], f"group {g}", group[0]) if norms else 1
        for g, (group, norms) in enumerate(zip(groups, stated, strict=True), 1)
    ]
    doubled = any(stated) or any(type(block) is dict and "low" in block for block in blocks)
    headers, total = read_headers(blocks, sizes)
    rows_of_input = sum(sizes[target] for target, source, *_ in headers if source == 0)
    (name,) = members(proof, "proof", "kind", closed=False)
    kind = KINDS.get(text(name, "proof.kind"))
    if kind is None:
        raise Rejected(f"proof.kind is none of {', '.join(map(repr, KINDS))}")
    proof = kind.read(proof, Shape(sizes, rows_of_input, total))

    # The network and its hash.
    first = b"sdpcert-network-4" if any(stated) else b"sdpcert-network-2" if doubled else b"sdpcert-network-1"
    digest = hashlib.sha256(first + struct.pack("<3q", sizes[0], sizes[-1], len(groups)))
    activations, alpha, beta = read_slopes([group[:4] for group in groups], digest, counts if any(stated) else None)
    matrices = read_blocks(headers, sizes, digest, doubled)
    if sha256 != digest.hexdigest():
        raise Rejected("network.sha256 is not the hash of the network")

    rho, lambdas, exponent = read_multipliers(multipliers, sizes[1:-1], upper)
    for g, count in enumerate(counts):
        if count > 1:
            coupled.check(f"group {g + 1}", count, alpha[g], beta[g], lambdas[g])

    return Stacked(sizes, activations, alpha, beta, lambdas, matrices, sha256, rho, exponent, proof, any(stated))
