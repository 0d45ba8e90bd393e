"""Solvers of the condition, one a file. A solver offers a point; `sdpcert.certificate` proves it."""

from sdpcert.solvers.closed_form import closed_form as closed_form
from sdpcert.solvers.closed_form import product as product
from sdpcert.solvers.interior_point import interior_point as interior_point
from sdpcert.solvers.solution import Budget as Budget
from sdpcert.solvers.solution import Progress as Progress
from sdpcert.solvers.solution import Solution as Solution
from sdpcert.solvers.solution import Solver as Solver
from sdpcert.solvers.solution import SolverError as SolverError

SOLVERS: dict[str, Solver] = {"native": interior_point}
