"""Solvers of the condition, one a file. A solver offers a point; `sdpcert.certificate` proves it.

The general solvers import CVXPY and their own package when they are called.
"""

from sdpcert.errors import SolverError as SolverError
from sdpcert.solvers.clarabel import clarabel as clarabel
from sdpcert.solvers.closed_form import closed_form as closed_form
from sdpcert.solvers.closed_form import product as product
from sdpcert.solvers.interior_point import interior_point as interior_point
from sdpcert.solvers.mosek import mosek as mosek
from sdpcert.solvers.scs import scs as scs
from sdpcert.solvers.sdpa import sdpa as sdpa
from sdpcert.solvers.solution import Budget as Budget
from sdpcert.solvers.solution import Progress as Progress
from sdpcert.solvers.solution import Solution as Solution
from sdpcert.solvers.solution import Solver as Solver

SOLVERS: dict[str, Solver] = {
    "native": interior_point,
    "clarabel": clarabel,
    "scs": scs,
    "sdpa": sdpa,
    "mosek": mosek,
}
