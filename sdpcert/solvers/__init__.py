"""Solvers of the condition. A solver offers a point; `sdpcert.certificate` proves it.

The general solvers, one a file, import CVXPY and their own package when they are called.
"""

from sdpcert.errors import SolverError as SolverError
from sdpcert.solvers import clarabel, mosek, scs, sdpa
from sdpcert.solvers.absolute_values import absolute as absolute
from sdpcert.solvers.forward import closed_form as closed_form
from sdpcert.solvers.native import interior_point as interior_point
from sdpcert.solvers.product_of_norms import product as product
from sdpcert.solvers.solution import Budget as Budget
from sdpcert.solvers.solution import Progress as Progress
from sdpcert.solvers.solution import Solution as Solution
from sdpcert.solvers.solution import Solver as Solver

SOLVERS: dict[str, Solver] = {
    "native": interior_point,
    "clarabel": clarabel.BACK_END,
    "scs": scs.BACK_END,
    "sdpa": sdpa.BACK_END,
    "mosek": mosek.BACK_END,
}
