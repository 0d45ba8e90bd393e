"""The steps of proofs, one a file."""

from sdpcert.errors import StepRejected as StepRejected
from sdpcert.symbolic.steps.cayley import Cayley as Cayley
from sdpcert.symbolic.steps.cite import Cite as Cite
from sdpcert.symbolic.steps.dominance import Dominance as Dominance
from sdpcert.symbolic.steps.expansion import Identity as Identity
from sdpcert.symbolic.steps.polynomial import Polynomial as Polynomial
from sdpcert.symbolic.steps.sandwiches import Congruence as Congruence
from sdpcert.symbolic.steps.sandwiches import Monotonicity as Monotonicity
from sdpcert.symbolic.steps.sandwiches import Sandwiches as Sandwiches
from sdpcert.symbolic.steps.sandwiches import Term as Term
from sdpcert.symbolic.steps.schur import Schur as Schur
from sdpcert.symbolic.steps.step import Known as Known
from sdpcert.symbolic.steps.step import Step as Step
from sdpcert.symbolic.steps.trace import Trace as Trace
from sdpcert.symbolic.steps.young import Young as Young
