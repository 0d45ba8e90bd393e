"""The condition as one CVXPY problem, for solvers of general cone programs (one file each beside this one).

The matrix M(y) is one sparse matrix times the variables, so CVXPY compiles it in one step and solvers see its zeros:
Clarabel decomposes the cone along them. Everything is brought to order one first, by powers of two: the network by
its equilibration, rho by the output's scale, M by a congruence and the variables by units, both taken from the
closed-form point.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.condition.dual import feasible_dual_value
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.forward import strictly_feasible
from sdpcert.solvers.solution import Budget, Solution

Array = np.ndarray
#: Nonzeros of the coefficient matrices above which a general solver is not started.
MAXIMUM_NONZEROS = 200_000_000


@dataclass(frozen=True)
class BackEnd:
    """A solver that CVXPY knows as `name`: its Python package, the line that installs it, its options for a budget.

    `remedies` maps a word of an error's message to the sentence that says what to do about it.
    """

    name: str
    package: str
    install: str
    options: Callable[[Budget], dict[str, Any]]
    remedies: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, form: StackedForm, method: str, budget: Budget, device: str = "cpu") -> Solution:
        """Formulate the condition, compile it and solve it.

        Raises `SolverError` with one line if the package or its licence is missing, or if it gives no point.
        """
        solver = self.name.lower()
        if device != "cpu":
            raise SolverError(f"{solver} works on the CPU only, not on {device!r}: use solver 'native'")
        import_package(self.package, self.install)
        try:
            problem = GeneralProblem(form, method)
            problem.compile(self.name)
            return problem.solve(self.options(budget))
        except SolverError as error:
            found = [remedy for word, remedy in self.remedies.items() if word in str(error).lower()]
            raise SolverError(f"{solver}: {found[0] if found else error}") from None


class GeneralProblem:
    """Minimise rho over y = (rho, multipliers) >= 0 with M(y) positive semidefinite, compiled and solved through
    CVXPY.
    """

    def __init__(self, form: StackedForm, method: str, reduce: bool = True) -> None:
        cvxpy = import_package("cvxpy", "pip install cvxpy")
        self.condition = condition = Condition(form, method, reduce=reduce)
        start = strictly_feasible(condition)
        self.units = _power_of_two(start)
        self.congruence = 1 / _power_of_two(np.sqrt(condition.matrix(start).diagonal()))
        order = condition.order
        constant = condition.constant.scaled(self.congruence).dense().ravel()
        # If no slope interval lies on one side of zero, the diagonal of M alone makes every variable nonnegative.
        self.variable = cvxpy.Variable(condition.variables, nonneg=condition.nonnegative_binds)
        vector = self._coefficients() @ self.variable - constant
        self.constraint = cvxpy.reshape(vector, (order, order), order="F") >> 0
        self.problem = cvxpy.Problem(cvxpy.Minimize(self.variable[0]), [self.constraint])
        self._compiled: tuple[Any, Any, Any] | None = None

    def compile(self, name: str) -> None:
        """Bring the problem to the form of the CVXPY solver `name` ("CLARABEL", "SCS", "SDPA", "MOSEK").

        Raises `SolverError` if CVXPY does not find it.
        """
        # A point of a solver that stopped early is as good as any: it is proved or not.
        try:
            self._compiled = self.problem.get_problem_data(name, solver_opts={"accept_unknown": True})
        except Exception as error:
            raise SolverError(f"CVXPY cannot use the solver: {_one_line(error)}") from None

    def solve(self, options: Mapping[str, Any]) -> Solution:
        """Run the solver that `compile` was called for; what it answers is returned as it is.

        Raises `SolverError` if it gives no finite point.
        """
        if self._compiled is None:
            raise RuntimeError("compile comes before solve")
        data, chain, inverse = self._compiled
        with warnings.catch_warnings(), _silent():
            warnings.simplefilter("ignore")  # "may be inaccurate": that is for the proof to say
            try:
                answer = chain.solve_via_data(self.problem, data, False, False, dict(options))
                self.problem.unpack_results(answer, chain, inverse)
            except Exception as error:
                raise SolverError(f"the solver failed: {_one_line(error)}") from None
        return self._solution()

    def _solution(self) -> Solution:
        status, y = str(self.problem.status), self.variable.value
        if y is None or not np.all(np.isfinite(y)):
            raise SolverError(f"the solver gave no point (status {status!r})")
        y = np.asarray(y, dtype=float) * self.units
        iterations = getattr(self.problem.solver_stats, "num_iters", None)
        return Solution(
            float(y[0]),
            tuple(self.condition.multipliers(y)),
            self.condition.exponent,
            self._dual_bound(),
            int(iterations) if isinstance(iterations, (int, np.integer)) else 0,
            status,
        )

    def _dual_bound(self) -> float:
        dual = self.constraint.dual_value
        if dual is None or not np.all(np.isfinite(dual)):
            return 0.0
        dual = self.congruence[:, None] * np.asarray(dual, dtype=float) * self.congruence
        pairs = eigenpairs((dual + dual.T) / 2)
        if pairs is None:
            return 0.0
        values, vectors = pairs
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        root = np.sqrt(feasible_dual_value(self.condition, [factor]))
        return float(np.ldexp(root, self.condition.exponent)) * (1 - 1e-15)

    def _coefficients(self) -> sparse.csr_array:
        """The matrix that takes the variables, in their units, to the entries of the scaled `M(y) + F'F`."""
        condition, order = self.condition, self.condition.order
        rows, columns, variables, values = [], [], [], []

        def add(row: Array, column: Array, variable: Array, value: Array) -> None:
            nonzero = np.broadcast_to(value, np.broadcast_shapes(row.shape, column.shape, variable.shape)) != 0
            for kept, array in ((rows, row), (columns, column), (variables, variable), (values, value)):
                kept.append(np.broadcast_to(array, nonzero.shape)[nonzero])
            if sum(len(part) for part in values) > MAXIMUM_NONZEROS:
                raise SolverError("the problem is too large for a general solver: use solver 'native'")

        own = [np.arange(s.start, s.stop) for s in condition.slices]
        if condition.per_group:
            variable_of = np.repeat(np.arange(1, condition.variables), condition.group_sizes)
        else:
            variable_of = np.arange(1, condition.variables)
        neurons = np.arange(condition.inputs, order)
        add(own[0], own[0], np.zeros_like(own[0]), np.ones(len(own[0])))
        add(neurons, neurons, variable_of, np.full(len(neurons), 2.0))
        mixed = -(condition.alpha + condition.beta)
        square = 2 * condition.alpha * condition.beta
        for (to, source), block in condition.blocks.items():
            part = mixed[condition.rows[to]][:, None] * block
            variable = variable_of[condition.rows[to]]
            add(own[to][:, None], own[source][None, :], variable[:, None], part)
            add(own[source][None, :], own[to][:, None], variable[:, None], part)
            weighted = square[condition.rows[to]][:, None] * block
            active = np.any(weighted != 0, axis=1)
            for (other, t), right in condition.blocks.items():
                if other == to and np.any(active):
                    products = weighted[active][:, :, None] * right[active][:, None, :]
                    add(own[source][None, :, None], own[t][None, None, :], variable[active][:, None, None], products)
        row, column, variable = (np.concatenate(part) for part in (rows, columns, variables))
        value = np.concatenate(values) * self.congruence[row] * self.congruence[column] * self.units[variable]
        matrix = sparse.coo_array((value, (row + order * column, variable)), shape=(order**2, condition.variables))
        return matrix.tocsr()


def import_package(package: str, install: str) -> Any:
    """Import a package, or raise `SolverError` with the line that installs it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise SolverError(f"this solver needs the package {package!r}, which is not installed: {install}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _power_of_two(values: Array) -> Array:
    """The nearest powers of two of positive values, 1 if a value is not positive."""
    positive = np.isfinite(values) & (values > 0)
    return np.exp2(np.round(np.log2(np.where(positive, values, 1.0))))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what compiled code prints (SDPA does, whatever its options) off the standard output, where results go."""
    sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:  # no standard output at all
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)
