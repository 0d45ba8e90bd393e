"""The steps of proofs, one per file."""

from sdpcert.errors import StepRejected
from sdpcert.symbolic.steps.cayley import Cayley
from sdpcert.symbolic.steps.cite import Cite
from sdpcert.symbolic.steps.dominance import Dominance
from sdpcert.symbolic.steps.expansion import Identity
from sdpcert.symbolic.steps.polynomial import Polynomial
from sdpcert.symbolic.steps.sandwiches import Congruence, Monotonicity, Sandwiches, Term
from sdpcert.symbolic.steps.schur import Schur
from sdpcert.symbolic.steps.step import Known, Step
from sdpcert.symbolic.steps.trace import Trace
from sdpcert.symbolic.steps.young import Young

__all__ = [
    "Cayley",
    "Cite",
    "Congruence",
    "Dominance",
    "Identity",
    "Known",
    "Monotonicity",
    "Polynomial",
    "Sandwiches",
    "Schur",
    "Step",
    "StepRejected",
    "Term",
    "Trace",
    "Young",
]
