"""The sandwich layer sqrt2 A' Psi phi(sqrt2 Psi^-1 B x + b) with AA' + BB' = I is 1-Lipschitz, multiplier Psi^2."""

from sdpcert.symbolic import Comparison, Derivation, Layer, Part, block, diagonal, equal, identity, matrix, sqrt2
from sdpcert.symbolic.steps import Sandwiches, Term


def frame(instance):
    """Orthonormal columns [A'; B'], m of them in dimension p + n."""
    p, n, m = (instance.size(d) for d in ("p", "n", "m"))
    if m > p + n:
        raise ZeroDivisionError("more orthonormal columns than rows")
    return instance.orthogonal("C", p + n)[:, :m]


A = matrix("A", "m", "p", definition=lambda instance: frame(instance)[: instance.size("p")].T)
B = matrix("B", "m", "n", definition=lambda instance: frame(instance)[instance.size("p") :].T)
Psi = diagonal("Psi", "m")
given = [equal(A @ A.T + B @ B.T, identity("m"))]
one = identity("n")


def sandwich(G, U, multipliers):
    return Layer(G=G, U=U, multipliers=multipliers)


outward, inward = sqrt2 * A.T @ Psi, sqrt2 * Psi**-1 @ B
layer = sandwich(outward, inward, Psi**2)
halved = sandwich(outward, inward, Psi**2 / 2)
# Where all slopes are one, the layers are linear.
steeper = Layer(H=2 * A.T @ Psi @ inward)
swapped = Layer(H=sqrt2 * A.T @ Psi**-1 @ inward)


def numbers():
    """Certify a sandwich layer of random weights by construction, and by the semidefinite program."""
    import torch

    import sdpcert.layers as layers
    from sdpcert.certify import certify
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    network = from_torch(layers.SandwichLinear(4, 6, dtype=torch.float64), (4,))
    certificate = certify(network, method="by-construction")
    solved = certify(network, method="neuron")
    return [
        Comparison("proved with the multiplier of the result", certificate.upper, "<=", 1.0),
        Comparison("proved by the semidefinite program", solved.upper, "<=", 1.0),
        Comparison("attained by the layer", certificate.lower, "<=", 1.0),
    ]


derivation = Derivation(
    title="Sandwich layer",
    source="Wang, Manchester: Direct Parameterization of Lipschitz-Bounded Deep Networks, ICML 2023",
    statement=r"Let $AA^\top+BB^\top=I$ with $A\in\mathbb R^{m\times p}$, $B\in\mathbb R^{m\times n}$, and "
    r"$\Psi\succ0$ be diagonal. For every $\sigma$ with slopes in $[0,1]$ the "
    r"layer "
    r"\[x\mapsto\sqrt2A^\top\Psi\,\sigma(\sqrt2\Psi^{-1}Bx+b)\] is 1-Lipschitz, by the condition with the multiplier "
    r"$\Lambda=\Psi^2$.",
    parts=[
        Part(
            layer.claim(r"Condition with the multiplier $\Psi^2$", given),
            [Sandwiches(layer.claim("").show, Term(one, block([[one, -sqrt2 * B.T @ Psi]])))],
            layer,
        )
    ],
    controls=[
        Part(halved.claim("Half of the multiplier", given, text=r"The condition with $\Lambda=\frac12\Psi^2$.")),
        Part(
            steeper.claim(
                r"$2$ in place of $\sqrt2$",
                given,
                text=r"The layer $2A^\top\Psi\,\sigma(\sqrt2\Psi^{-1}Bx+b)$ at slopes 1.",
            ),
            layer=steeper,
        ),
        Part(
            swapped.claim(
                "The scale the wrong way round",
                given,
                text=r"The layer $\sqrt2A^\top\Psi^{-1}\sigma(\sqrt2\Psi^{-1}Bx+b)$ at slopes 1.",
                **dict.fromkeys("nmp", 1),
            ),
            layer=swapped,
        ),
    ],
    numbers=numbers,
    remark=r"The claim is the condition of the residual layer with $H=0$, $G=\sqrt2A^\top\Psi$, $U=\sqrt2\Psi^{-1}B$, "
    r"which "
    r"makes the layer 1-Lipschitz. The form of the matrix is the single square $|\Delta x-\sqrt2B^\top\Psi\Delta "
    r"z|^2$. With "
    r"$\Lambda=\frac12\Psi^2$ the layer is of course still 1-Lipschitz, but the condition does not show it.",
)
