"""A primal-dual interior-point method on the rank-two structure of the condition.

Minimise rho over y = (rho, lambda) with M(y) >= 0; the dual matrix X >= 0 has tr(X on inputs) = 1 and <A_i, X> <= 0.
The direction is the one of Helmberg, Rendl, Vanderbei and Wolkowicz, Kojima et al. and Monteiro, with Mehrotra's
predictor and corrector; y is strictly feasible from the start, X becomes feasible on the way. The start is the closed
form of `closed_form.forward_multipliers` with X a multiple of the inverse of M, which is centred. Every iterate is a
bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.arrays import arrays_on
from sdpcert.condition.dual import feasible_dual_value
from sdpcert.condition.matrix import Condition, Products
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.closed_form import forward_multipliers
from sdpcert.solvers.solution import Budget, Progress, Solution, SolverError

Matrix = Any
MAXIMUM_ITERATIONS = 200
#: Fraction of the way to the boundary that a step goes.
STEP = 0.95


def interior_point(form: StackedForm, method: str, budget: Budget, device: str = "cpu") -> Solution:
    """Solve the condition to `budget.tol` or as far as float64 goes; interrupted, return the best point so far.

    `method` is "neuron" or "layer". The solution's status is "optimal", "stalled", "time limit" or "interrupted".
    """
    condition = Condition(form, method, arrays_on(device))
    return _Run(condition, budget).solve()


@dataclass(eq=False)
class _Step:
    """Directions of y, M and X."""

    y: Matrix
    matrix: Matrix
    dual: Matrix
    slack: Matrix


class _Run:
    def __init__(self, condition: Condition, budget: Budget) -> None:
        self.condition, self.arrays, self.budget = condition, condition.arrays, budget
        self.best: Matrix | None = None
        self.dual_bound = 0.0
        self.history: list[Progress] = []
        # rho is scaled to order one so that tolerances mean something at any depth.
        multipliers, rho = forward_multipliers(condition, theta=0.4)
        if not (np.isfinite(rho) and rho > 0 and np.all(np.isfinite(multipliers))):
            raise SolverError("the closed-form start is not finite: the weights span too many orders of magnitude")
        self.shift = int(np.round(np.log2(rho) / 2))
        condition.constant = condition.constant * 2.0 ** (-2 * self.shift)
        rho = 1.5 * rho * 2.0 ** (-2 * self.shift)
        start = self.arrays.zeros(condition.variables)
        start[0] = rho
        if condition.per_group:
            multipliers = np.array([multipliers[rows][0] for rows in condition.rows[1:]])
        start[1:] = self.arrays.asarray(rho * multipliers)
        self.start = start

    def solve(self) -> Solution:
        iteration, status = 0, "stalled"
        try:
            for iteration, status in self._iterate():  # noqa: B007
                pass
        except KeyboardInterrupt:
            status = "interrupted"
        y = self.start if self.best is None else self.best
        scale = self.condition.scaling.output + self.shift
        dual = float(np.ldexp(np.sqrt(self.dual_bound), scale)) * (1 - 1e-15)
        return Solution(
            float(y[0]),
            tuple(self.condition.multipliers(y)),
            scale,
            dual,
            iteration,
            status,
            tuple(self.history),
        )

    def _iterate(self) -> Any:
        condition, arrays = self.condition, self.arrays
        y = self.start
        matrix = condition.matrix(y)
        factor = arrays.cholesky(matrix)
        if factor is None:
            raise SolverError("the closed-form start is not feasible in floating point")
        inverse = arrays.inverse(arrays.triangular_inverse(factor))
        dual = inverse * (1 / inverse[: condition.inputs, : condition.inputs].diagonal().sum())
        dual_factor = arrays.cholesky(dual)
        binds = condition.nonnegative_binds
        mu = float((dual * matrix).sum()) / condition.order
        slack = mu / y[1:] if binds else y[1:] * 0
        best_gap, best_merit, slow, stuck = float("inf"), float("inf"), 0, 0
        for iteration in range(MAXIMUM_ITERATIONS):
            if self.best is None or float(y[0]) < float(self.best[0]):
                self.best = y
            complementarity = float((dual * matrix).sum()) + (float((slack * y[1:]).sum()) if binds else 0.0)
            mu = complementarity / (condition.order + (condition.variables - 1 if binds else 0))
            given, inverted = condition.products(dual), condition.products(inverse)
            residual = -condition.adjoint(given)
            residual[0] += 1
            if binds:
                residual[1:] -= slack
            infeasible = float((residual * y).abs().sum() if hasattr(y, "abs") else np.abs(residual * y).sum())
            rho = float(y[0])
            gap = (abs(complementarity) + infeasible) / rho
            self._report(iteration, rho, max(rho - complementarity - infeasible, 0.0))
            target = 2 * self.budget.tol
            slow = slow + 1 if gap > 0.5 * best_gap else 0
            best_gap = min(gap, best_gap)
            # Far from the optimum of a deep network the relative gap stays near one while rho falls by orders of
            # magnitude.
            merit = abs(complementarity) + infeasible
            stuck = stuck + 1 if merit > 0.97 * best_merit else 0
            best_merit = min(merit, best_merit)
            # The last digits cost few iterations and pay for rounding in the proof: aim below the tolerance.
            if gap < 1e-3 * target or (slow >= 4 and gap < 10 * target) or stuck >= 12:
                self._update_dual(dual_factor)
                reached = 1 - self.dual_bound / rho <= target
                yield iteration, "optimal" if reached else "stalled"
                return
            if self.budget.spent:
                self._update_dual(dual_factor)
                yield iteration, "time limit"
                return
            step = self._direction(y, matrix, dual, slack, given, inverted, factor, dual_factor, mu)
            if step is None:
                self._update_dual(dual_factor)
                reached = 1 - self.dual_bound / rho <= target
                yield iteration, "optimal" if reached else "stalled"
                return
            direction, primal_length, dual_length = step
            moved = None
            for _ in range(12):
                trial = y + primal_length * direction.y
                trial_matrix = condition.matrix(trial)
                moved = arrays.cholesky(trial_matrix)
                if moved is not None and (not binds or bool((trial[1:] > 0).all())):
                    break
                moved = None
                primal_length *= 0.7
            if moved is None:
                self._update_dual(dual_factor)
                reached = 1 - self.dual_bound / rho <= target
                yield iteration, "optimal" if reached else "stalled"
                return
            y, matrix, factor = trial, trial_matrix, moved
            for _ in range(12):
                trial_dual = dual + dual_length * direction.dual
                dual_moved = arrays.cholesky(trial_dual)
                if dual_moved is not None:
                    dual, dual_factor = trial_dual, dual_moved
                    slack = slack + dual_length * direction.slack if binds else slack
                    break
                dual_length *= 0.7
            inverse = arrays.inverse(arrays.triangular_inverse(factor))
            yield iteration, "running"

    def _direction(
        self,
        y: Matrix,
        matrix: Matrix,
        dual: Matrix,
        slack: Matrix,
        given: Products,
        inverted: Products,
        factor: Matrix,
        dual_factor: Matrix,
        mu: float,
    ) -> tuple[_Step, float, float] | None:
        condition, arrays, binds = self.condition, self.arrays, self.condition.nonnegative_binds
        schur = condition.schur(given, inverted)
        if binds:
            schur.reshape(-1)[:: condition.variables + 1][1:] += slack / y[1:]
        scale = schur.diagonal() ** -0.5
        schur_factor = arrays.cholesky(schur * scale[:, None] * scale)
        if schur_factor is None:
            return None

        def newton(right: Matrix) -> Matrix:
            return scale * arrays.solve(schur_factor, scale * right)

        objective = arrays.zeros(condition.variables)
        objective[0] = 1.0
        inverse = inverted.matrix
        primal_inverse, dual_inverse = arrays.triangular_inverse(factor), arrays.triangular_inverse(dual_factor)

        def lengths(step: _Step) -> tuple[float, float]:
            primal = _length_to_boundary(arrays, primal_inverse, step.matrix)
            dual_length = _length_to_boundary(arrays, dual_inverse, step.dual)
            if binds:
                primal = min(primal, _length_in_orthant(y[1:], step.y[1:]))
                dual_length = min(dual_length, _length_in_orthant(slack, step.slack))
            return min(1.0, STEP * primal), min(1.0, STEP * dual_length)

        # Predictor: straight at the optimum.
        affine_y = newton(-objective)
        affine_matrix = condition.linear(affine_y)
        affine_dual = -dual - _symmetric(arrays.product(inverse, condition.linear_times(affine_matrix, dual)))
        affine_slack = -slack - slack / y[1:] * affine_y[1:] if binds else slack
        affine = _Step(affine_y, affine_matrix, affine_dual, affine_slack)
        primal_length, dual_length = lengths(affine)
        moved = float(((dual + dual_length * affine_dual) * (matrix + primal_length * affine_matrix)).sum())
        size = condition.order
        if binds:
            moved += float(((slack + dual_length * affine_slack) * (y[1:] + primal_length * affine_y[1:])).sum())
            size += condition.variables - 1
        ratio = max(moved / size / mu, 0.0)
        centring = min(1.0, ratio ** (3 if min(primal_length, dual_length) > 0.3 else 1)) * mu
        # Corrector: towards the central path, with the second-order term of the predictor.
        second = condition.linear_times(affine_matrix, affine_dual)
        right = centring * condition.adjoint(inverted) - objective - condition.adjoint_of_product(second, inverted)
        if binds:
            second_slack = (centring - affine_slack * affine_y[1:]) / y[1:]
            right[1:] += second_slack
        step_y = newton(right)
        step_matrix = condition.linear(step_y)
        product = arrays.product(inverse, condition.linear_times(step_matrix, dual) + second)
        step_dual = centring * inverse - dual - _symmetric(product)
        step_slack = second_slack - slack - slack / y[1:] * step_y[1:] if binds else slack
        step = _Step(step_y, step_matrix, step_dual, step_slack)
        return step, *lengths(step)

    def _update_dual(self, factor: Matrix) -> None:
        value = feasible_dual_value(self.condition, self.arrays.numpy(factor)) * 2.0 ** (-2 * self.shift)
        self.dual_bound = max(self.dual_bound, value)

    def _report(self, iteration: int, rho: float, dual: float) -> None:
        scale = self.condition.scaling.output + self.shift
        line = Progress(
            iteration,
            float(np.ldexp(np.sqrt(rho), scale)),
            float(np.ldexp(np.sqrt(dual), scale)),
            self.budget.elapsed,
        )
        self.history.append(line)
        if self.budget.report is not None:
            self.budget.report(line)


def _symmetric(matrix: Matrix) -> Matrix:
    return 0.5 * (matrix + matrix.T)


def _length_in_orthant(point: Matrix, direction: Matrix) -> float:
    decrease = -(direction / point)
    largest = float(decrease.max())
    return 1 / largest if largest > 0 else 1e9


def _length_to_boundary(arrays: Any, inverse_factor: Matrix, direction: Matrix, steps: int = 24) -> float:
    """How far a positive definite matrix can go along `direction`: 1 / -(least eigenvalue of L^-1 D L^-T), by
    Lanczos.
    """
    size = len(direction)
    if size == 1:
        value = float(inverse_factor[0, 0] ** 2 * direction[0, 0])
        return 1 / -value if value < 0 else 1e9
    generator = np.random.default_rng(0)  # the same start every time: same seed, same result
    vector = arrays.asarray(generator.standard_normal(size))
    vector = vector * float((vector * vector).sum()) ** -0.5
    before, beta = vector * 0, 0.0
    alphas: list[float] = []
    betas: list[float] = []
    least, bound = 0.0, 0.0
    for k in range(min(steps, size)):
        image = arrays.apply(inverse_factor, arrays.apply(direction, arrays.apply(inverse_factor.T, vector)))
        image = image - beta * before
        alpha = float((image * vector).sum())
        image = image - alpha * vector
        beta = float((image * image).sum()) ** 0.5
        alphas.append(alpha)
        last = k + 1 == min(steps, size) or beta < 1e-12 * (abs(alpha) + 1e-300)
        if k % 4 == 3 or last:
            tridiagonal = np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1)
            values, vectors = np.linalg.eigh(tridiagonal)
            least = float(values[0])
            bound = least - abs(beta * float(vectors[-1, 0]))
            if last or (least < 0 and bound > 1.05 * least) or (least >= 0 and bound > -0.5):
                break
        betas.append(beta)
        before, vector = vector, image * (1 / beta)
    return 1 / -bound if bound < 0 else 1e9
