"""What every kind of proof of a stacked form's condition states and can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import Any

from .inequality import Inequality


@dataclass(frozen=True)
class Shape:
    """How large a network in stacked form is, before anything of it is unpacked.

    Args:
        sizes: of the input, of each group, of the output.
        rows_of_input: how many rows read the input.
        weights: how many weights there are, low parts included.
    """

    sizes: list[int]
    rows_of_input: int
    weights: int

    @property
    def coordinates(self) -> int:
        """The order of M."""
        return sum(self.sizes[:-1])


class StackedProof(ABC):
    """A proof that M(rho, lambda) is positive semidefinite, as a file states it."""

    @classmethod
    @abstractmethod
    def read(cls, value: dict[str, Any], shape: Shape) -> StackedProof:
        """The proof from the object of the file; every limit is compared before an array is unpacked."""

    @abstractmethod
    def prove(self, inequality: Inequality, exact: bool | None) -> str:
        """Replay the proof and return the arithmetic, `EXACT` or `FLOATING`; raise `Rejected` if it is not one.

        `exact` asks for integers (True) or floating point (False) where the kind of proof leaves a choice.
        """

    @property
    def scaling(self) -> list[int] | None:
        """Exponents d for which D = diag(2^(-d)) brings the diagonal of D M D near one; None if the file has none."""
        return None

    @property
    def input_weights(self) -> array[float] | None:
        """The square matrix R that stands for all that reads the input, row major; None if nothing does."""
        return None

    @property
    def always_exact(self) -> bool:
        """Whether the proof is in integers whatever is asked for."""
        return True
