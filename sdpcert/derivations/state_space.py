"""State-space kernels x+ = A x + B u, y = C x + D u: dissipation of one step, and the l2 gain over any time."""

from sdpcert.derivations.averaged import scale_above
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Part,
    block,
    diagonal_block,
    identity,
    matrix,
    positive,
    scalar,
    symmetric,
    vector,
)
from sdpcert.symbolic.steps import Congruence, Sandwiches, Term
from sdpcert.symbolic.written import written

P = symmetric("P", "n", positive=True)
g = scalar("g", positive=True, latex=r"\gamma^2")


def maps(part, name, rows, columns):
    """A block of a matrix M with `diag(P, gamma^2 I) - M' diag(P, I) M >= 0`, small enough in instances."""

    def definition(instance):
        n, p, m = (instance.size(k) for k in ("n", "p", "m"))
        drawn = instance.draw("M", n + p, n + m)
        value, inputs = instance.value(P), instance.number(g)
        top = max(instance.norm_above(drawn), instance.array([1])[0]) * (1 + sum(value[k, k] for k in range(n)))
        least = instance.inverse(value)
        bottom = min(1 / sum(least[k, k] for k in range(n)), inputs)
        scaled = drawn / scale_above(top / bottom)
        return scaled[part[0] * n :, part[1] * n :][: instance.size(rows), : instance.size(columns)]

    return matrix(name, rows, columns, definition=definition)


A, B = maps((0, 0), "A", "n", "n"), maps((0, 1), "B", "n", "m")
C, D = maps((1, 0), "C", "p", "n"), maps((1, 1), "D", "p", "m")
M = block([[A, B], [C, D]])
supply = diagonal_block(P, g * identity("m"))
spent = diagonal_block(P, identity("p"))
dissipative = positive(supply - M.T @ spent @ M)
x, u = vector("x", "n"), vector("u", "m")
after, y = A @ x + B @ u, C @ x + D @ u
step = positive(x.T @ P @ x + g * u.T @ u, after.T @ P @ after + y.T @ y)

# How the statements are printed.
shown_x, shown_y = vector("x_+", "n", latex="x_+"), vector("y", "p")


def in_words(statement, shown, state=after, output=y):
    """The statement with names for the next state and the output."""
    return written(statement, shown, {shown_x: state, shown_y: output})


one_step = positive(x.T @ P @ x + g * u.T @ u, shown_x.T @ P @ shown_x + shown_y.T @ shown_y)

# Over time: sums of squares of inputs and outputs so far.
x0 = vector("x_0", "n")
ins, outs = scalar("s_u", latex="S_u"), scalar("s_y", latex="S_y", definition=lambda instance: reached(instance))
stored, start = x.T @ P @ x, x0.T @ P @ x0
so_far = positive(start + g * ins, stored + outs)
further = positive(start + g * (ins + u.T @ u), after.T @ P @ after + outs + y.T @ y)
gain = positive(start + g * ins, outs)


def reached(instance, now=stored, first=start):
    """What the outputs may have summed up to."""
    room = instance.value(first + g * ins - now)[0, 0]
    return instance.diagonal([room - instance.draw("slack", 1, 1)[0, 0] ** 2])


# Wrong versions.
A1, B1, C1, D1 = matrix("A", "n", "n"), matrix("B", "n", "m"), matrix("C", "p", "n"), matrix("D", "p", "m")
apart = [positive(P, A1.T @ P @ A1), positive(g * identity("m"), D1.T @ D1)]
next1, y1 = A1 @ x + B1 @ u, C1 @ x + D1 @ u
uncoupled = positive(x.T @ P @ x + g * u.T @ u, next1.T @ P @ next1 + y1.T @ y1)
forgotten = positive(g * ins, outs)
K = symmetric("P", "n")
stored_K, start_K = x.T @ K @ x, x0.T @ K @ x0
left_K = scalar("s_y", latex="S_y", definition=lambda instance: reached(instance, stored_K, start_K))
so_far_K, gain_K = positive(start_K + g * ins, stored_K + left_K), positive(start_K + g * ins, left_K)


def numbers():
    """Certify what a kernel does to signals of several lengths, and two kernels with a ReLU between them."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Network

    rng = np.random.default_rng(0)

    def kernel(steps):
        """The map from inputs to outputs over time, of a system that is dissipative with a random P."""
        drawn = rng.standard_normal((5, 5))
        M, root = drawn / np.linalg.norm(drawn, 2), np.diag(np.exp(rng.standard_normal(3)))
        A, B = np.linalg.inv(root) @ M[:3, :3] @ root, np.linalg.inv(root) @ M[:3, 3:]
        C, D = M[3:, :3] @ root, M[3:, 3:]
        response = [D, *(C @ np.linalg.matrix_power(A, k) @ B for k in range(steps - 1))]
        rows = [[response[i - j] if i >= j else 0 * D for j in range(steps)] for i in range(steps)]
        return np.block(rows)

    found = []
    for steps in (1, 4, 16):
        certificate = certify(Network.mlp([kernel(steps)]))
        found.append(Comparison(f"proved gain over {steps} steps", certificate.upper, "<=", 1.0, 1e-9))
    two = certify(Network.mlp([kernel(5), kernel(5)]))
    return [*found, Comparison("proved for two kernels with ReLU", two.upper, "<=", 1.0, 1e-6)]


derivation = Derivation(
    title="Dissipation of a state-space kernel",
    source="Willems: Dissipative Dynamical Systems, Part II: Linear Systems with Quadratic Supply Rates, Archive for "
    "Rational Mechanics and Analysis 45, 1972; Pauli, Wang, Manchester, Allgöwer: Lipschitz-Bounded 1D Convolutional "
    "Neural Networks using the Cayley Transform and the Controllability Gramian, CDC 2023 (convolutions)",
    statement=r"Let $P\succ0$, $x_{k+1}=Ax_k+Bu_k$, $y_k=Cx_k+Du_k$ and \[\begin{pmatrix}P&0\\0&\gamma^2I\end{pmatrix}-"
    r"\begin{pmatrix}A&B\\C&D\end{pmatrix}^\top\begin{pmatrix}P&0\\0&I\end{pmatrix}\begin{pmatrix}A&B\\C&D"
    r"\end{pmatrix}\succeq0.\] Then $x_{k+1}^\top Px_{k+1}+\|y_k\|^2\le x_k^\top Px_k+\gamma^2\|u_k\|^2$, and from "
    r"$x_0=0$ on $\sum_{k<T}\|y_k\|^2\le\gamma^2\sum_{k<T}\|u_k\|^2$ for every $T$: the map of signals is "
    r"$\gamma$-Lipschitz.",
    parts=[
        Part(
            Claim("One step", in_words(step, one_step), [dissipative]),
            [Congruence(step, dissipative.matrix, block([[x], [u]]))],
        ),
        Part(
            Claim(
                "One step more",
                in_words(
                    further,
                    positive(start + g * (ins + u.T @ u), shown_x.T @ P @ shown_x + outs + shown_y.T @ shown_y),
                ),
                [dissipative, so_far],
                r"$S_u$ and $S_y$ are the sums of squares of all inputs and outputs up to the state $x$; the "
                r"hypothesis holds at the start with $S_u=S_y=0$, $x=x_0$.",
            ),
            [Sandwiches(further, Term(so_far.matrix), Term(dissipative.matrix, block([[x], [u]])))],
        ),
        Part(
            Claim("Gain", gain, [so_far], r"With $x_0=0$ the gain is at most $\gamma$."),
            [Sandwiches(gain, Term(so_far.matrix), Term(P, x))],
        ),
    ],
    controls=[
        Part(
            Claim(
                "State and output apart",
                in_words(uncoupled, one_step, next1, y1),
                apart,
                r"Only $A^\top PA\preceq P$, $D^\top D\preceq\gamma^2I$.",
            )
        ),
        Part(Claim("Any initial state", forgotten, [so_far], r"$x_0^\top Px_0$ is missing.")),
        Part(Claim("An indefinite $P$", gain_K, [so_far_K])),
    ],
    numbers=numbers,
    remark=r"Linear maps have differences as values, so the gain is the Lipschitz constant, and layers with slopes in "
    r"$[-1,1]$ after the kernel keep it. A convolution in one dimension is such a system with a shift register as its "
    r"state.",
)
