"""A convolution as one matrix on all neighbourhoods of an image: |F| times the root of how often a pixel is read."""

from fractions import Fraction

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    identity,
    matrix,
    orthonormal,
    positive,
    scalar,
)
from sdpcert.symbolic.steps import Sandwiches, Term


def contraction(name, rows, columns):
    """A matrix of norm one or hardly less."""

    def definition(instance):
        drawn = instance.draw(name, instance.size(rows), instance.size(columns))
        return drawn / instance.root(instance.norm_above(drawn))

    return matrix(name, rows, columns, definition=definition)


def readings(instance):
    """A number r >= |S|^2, hardly more in instances."""
    return instance.diagonal([instance.norm_above(instance.value(S))])


F, S = contraction("F", "m", "q"), matrix("S", "q", "n")
r = scalar("r", positive=True, definition=readings)
short, often = positive(identity("q"), F.T @ F), positive(r * identity("n"), S.T @ S)
layer = Layer(H=F @ S * r ** Fraction(-1, 2))

# Three taps: each of the shifts reads a pixel once at most.
shifts = [contraction(f"S_{k}", "p", "n") for k in (1, 2, 3)]
stacked = block([[shift] for shift in shifts])
once = [positive(identity("n"), shift.T @ shift) for shift in shifts]
thrice = positive(3 * identity("n"), stacked.T @ stacked)

# Wrong: the shifts of a torus, read twice by a kernel of two taps.
U, V = orthonormal("U", "n", "n"), orthonormal("V", "n", "n")
A, B = matrix("A", "m", "n"), matrix("B", "m", "n")
together = positive(2 * identity("m"), A @ A.T + B @ B.T)
undivided = Layer(H=F @ S)
too_large = Layer(H=A @ U + B @ V, squared_lipschitz=2)


def numbers():
    """Certify convolutions with reshaped kernels of orthonormal rows, and one that is not divided."""
    import torch

    from sdpcert.certify import certify
    from sdpcert.layers import BjorckConv2d
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    found = []
    for stride in (1, 2):
        layer = BjorckConv2d(2, 3, 3, stride=stride, dtype=torch.float64)
        proved = certify(from_torch(layer, (2, 6, 6)), method="by-construction")
        found.append(Comparison(f"proved constant, stride {stride}", proved.upper, "<=", 1.0))
    ones = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False, dtype=torch.float64)
    ones.weight.data.fill_(1 / 3)  # as a row of nine numbers it has norm one
    undivided = certify(from_torch(ones, (1, 12, 12)))
    return [*found, Comparison("attained by a kernel of norm one that is not divided", undivided.lower, ">=", 2.5)]


derivation = Derivation(
    title="Kernels as matrices on neighbourhoods",
    source="Li, Haque, Anil, Lucas, Grosse, Jacobsen: Preventing Gradient Attenuation in Lipschitz Constrained "
    "Convolutional Networks, NeurIPS 2019 (reshaped kernels); Serrurier, Mamalet, González-Sanz, Boissin, Loubes, "
    "del Barrio: Achieving Robustness in Classification Using Optimal Transport with Hinge Regularization, CVPR 2021",
    statement=r"A convolution is $x\mapsto FSx$ with its kernel as a matrix $F$, taps side by side, and $S$ that "
    r"writes out the neighbourhoods of $x$. If $\|F\|\le1$ and all neighbourhoods together hold no entry of $x$ "
    r"more than $r$ times, then $x\mapsto r^{-1/2}FSx+b$ is 1-Lipschitz.",
    parts=[
        Part(
            Claim(
                "How often pixels are read",
                thrice,
                once,
                r"Here for three taps: $S_k$ reads with the $k$-th tap, every entry once at most, so $\|S_k\|\le1$.",
            ),
            [Sandwiches(thrice, *(Term(identity("n") - shift.T @ shift) for shift in shifts))],
        ),
        Part(
            layer.claim("The convolution", [short, often], r"$\|S\|^2\le r$ by the claim before."),
            [
                Sandwiches(
                    layer.claim("").show,
                    Term(r * identity("n") - S.T @ S, None, r**-1),
                    Term(identity("q") - F.T @ F, S, r**-1),
                )
            ],
            layer,
        ),
    ],
    controls=[
        Part(undivided.claim("Not divided", [short, often], r"The map $x\mapsto FSx$."), layer=undivided),
        Part(
            too_large.claim(
                "The norm of the taps together",
                [together],
                r"Two taps on a torus with $\|AA^\top+BB^\top\|\le2$: the square of the norm can be twice that.",
            ),
            layer=too_large,
        ),
    ],
    numbers=numbers,
    remark=r"A stride of $s$ leaves $\lceil k/s\rceil$ of $k$ taps along an axis that read an entry, with zeros "
    r"around the image; on a torus whose side $s$ does not divide it can be more, and the layer divides as without a "
    r"stride. The bound is an isometry's only where all neighbourhoods are alike: most singular values are below 1.",
)
