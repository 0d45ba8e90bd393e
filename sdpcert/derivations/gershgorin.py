"""Diagonal T >= W'W from row sums of |W'W|: one number, Frobenius norm, Perron vector, Ostrowski, blocks."""

from fractions import Fraction

import numpy as np

from sdpcert.certify import certify
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    diagonal,
    diagonal_block,
    equal,
    identity,
    indices,
    largest,
    matrix,
    positive,
    rule,
    scalar,
    scalar_rule,
    symmetric,
    total,
    trace_of,
    zero,
)
from sdpcert.symbolic.steps import Dominance, Monotonicity, Sandwiches, Term
from sdpcert.symbolic.steps.cauchy_schwarz import CauchySchwarz
from sdpcert.symbolic.written import written

W, square, q = matrix("W", "n", "m"), matrix("W", "m", "m"), diagonal("q", "m")
i, j, k = indices("i j k")
gram, half = W.T @ W, Fraction(1, 2)
one = identity("m")
USE = (
    r" With $T\succeq W^\top W$ both $x\mapsto WT^{-1/2}x+b$ and $x\mapsto x-2WT^{-1}\sigma(W^\top x+b)$ are "
    r"1-Lipschitz (the theorem on SLL)."
)


def scaled(T, weight=W):
    """The layer x -> W T^(-1/2) x."""
    return Layer(H=weight * T**-half if T.is_scalar else weight @ T**-half)


def bounded(name, t, text="", weight=W):
    """`t I >= W'W`."""
    return Claim(name, positive(t * identity(weight.columns), weight.T @ weight), text=text)


def certified(what, *rules):
    """Certify layers of random weights with these rules; the exact norm of the scaled weight is beside it."""

    def numbers():
        import torch

        from sdpcert.layers import ScaledLinear
        from sdpcert.torch_modules.reader import from_torch

        found = []
        for seed, made_of in enumerate(rules):
            torch.manual_seed(seed)
            made = ScaledLinear(6, 5, made_of(), dtype=torch.float64)
            with torch.no_grad():
                for name, parameter in made.named_parameters():
                    if name != "rule.mixture":
                        parameter.normal_()
                    else:
                        parameter.zero_()
            certificate = certify(from_torch(made, (6,)), method="by-construction")
            found += [
                Comparison(f"proved constant of a random layer, {what}", certificate.upper, "<=", 1.0),
                Comparison("attained by it", certificate.lower, "<=", certificate.upper),
            ]
        return found

    return numbers


def torch_rule(name, *arguments):
    """A rule of the layers, made when it is needed."""

    def made():
        import torch

        from sdpcert.layers import rules

        return getattr(rules, name)(*arguments, **({"dtype": torch.float64} if name == "Ostrowski" else {}))

    return made


# One number for all: the largest row sum.
t = scalar_rule("t", largest(total(abs(gram[i, j]), j), i))
entry = rule("T", "m", k, largest(largest(abs(gram[i, j]), j), i))
of_weight = rule("T", "m", k, largest(total(abs(square[i, j]), j), i))
row_sum = Derivation(
    title="Largest row sum",
    source="Gerschgorin: Über die Abgrenzung der Eigenwerte einer Matrix, Bulletin de l'Académie des Sciences de "
    "l'URSS, 1931",
    statement=r"$W^\top W\preceq tI$ for $t=\max_i\sum_j|W^\top W|_{ij}$ (or any $t>0$ if $W=0$)." + USE,
    parts=[Part(bounded("Row sum", t)), Part(scaled(t).claim("Layer"), layer=scaled(t))],
    controls=[
        Part(scaled(entry).claim("Largest entry"), layer=scaled(entry)),
        Part(scaled(of_weight, square).claim("Row sum of $W$"), layer=scaled(of_weight, square)),
    ],
    numbers=certified("largest row sum", torch_rule("MaximumRowSum")),
)

# The trace.
trace = trace_of("t", gram)


def root_of_trace(instance):
    """The Frobenius norm, rounded up to a number with a rational root."""
    return instance.array([[instance.root(instance.root(instance.number(trace))) ** 2]])


rooted = scalar("t", positive=True, definition=root_of_trace)
frobenius = Derivation(
    title="Frobenius norm",
    source="Horn, Johnson: Matrix Analysis, Cambridge University Press (norms of matrices)",
    statement=r"$W^\top W\preceq\|W\|_F^2\,I$ (any positive multiple of $I$ if $W=0$)." + USE,
    parts=[Part(bounded("Frobenius norm", trace, r"$\operatorname{tr}(W^\top W)=\|W\|_F^2$."))],
    controls=[
        Part(bounded("Half the trace", trace * half)),
        Part(scaled(rooted).claim("Norm in place of its square", text=r"$t=\|W\|_F$."), layer=scaled(rooted)),
    ],
    numbers=certified("Frobenius norm", torch_rule("Frobenius")),
)

# The largest ratio (N q)_i / q_i; at the Perron vector it is the spectral radius.
ratio = scalar_rule("t", largest(total(abs(gram[i, j]) * q[j] / q[i], j), i))
unscaled = scalar_rule("t", largest(total(abs(gram[i, j]) * q[j], j), i))
weighted = rule("T", "m", i, total(abs(gram[i, j]) * q[j] / q[i], j))
perron = Derivation(
    title="Perron vector",
    source="Horn, Johnson: Matrix Analysis, Cambridge University Press (nonnegative matrices)",
    statement=r"Let $N=|W^\top W|$ entrywise and $q>0$. Then $W^\top W\preceq tI$ for $t=\max_i(Nq)_i/q_i$ (any "
    r"$t>0$ if $W=0$). "
    r"If $q$ is a Perron vector, $Nq=\lambda q$, then $t=\lambda$ is the spectral radius of $N$." + USE,
    parts=[
        Part(bounded("Any positive vector", ratio, r"Here $q=\operatorname{diag}(q_i)$.")),
        Part(Claim("SLL's rule with $q$", positive(weighted, gram))),
    ],
    controls=[Part(bounded("Without the denominator", unscaled))],
    numbers=certified("3 and 50 steps to the Perron vector", torch_rule("Perron", 3), torch_rule("Perron", 50)),
    remark=r"For $Nq=\lambda q$ every ratio $(Nq)_i/q_i$ is $\lambda$, so that $t=\lambda$ and SLL's $T$ is "
    r"$\lambda I$; a nonnegative matrix "
    r"with a positive eigenvector has that eigenvalue as its spectral radius. After any number of steps of power "
    r"iteration from a "
    r"positive vector $q$ is positive, so that the bound holds without convergence.",
)


# Ostrowski's rule with the exponent 1/2: geometric means of row and column sums off the diagonal.
def off_diagonal(instance):
    """W'W without its diagonal."""
    return instance.value(gram) - instance.value(Delta)


Delta = diagonal(
    "Delta", "m", positive=False, definition=lambda instance: instance.diagonal(list(np.diagonal(instance.value(gram))))
)
O = symmetric("O", "m", definition=off_diagonal)
split = [equal(gram, Delta + O)]
R = rule("R", "m", i, total(abs(O[i, j]) * q[j] / q[i], j))
C = rule("C", "m", i, total(abs(O[i, j]) * q[i] / q[j], j))
B = rule("B", "m", i, total(abs(O[i, j]), j))
mean = R**half @ C**half
harmonic = rule("H", "m", i, 2 * (R[i] ** -1 + C[i] ** -1) ** -1)
words = r"$W^\top W=\Delta+O$ with the diagonal $\Delta$ and zeros on the diagonal of $O$."
to_sums = CauchySchwarz(R, C, B, O)
ostrowski = Derivation(
    title="Ostrowski's rule",
    source="Ostrowski: Über das Nichtverschwinden einer Klasse von Determinanten und die Lokalisierung der "
    "charakteristischen Wurzeln von Matrizen, Compositio Mathematica 9, 1951; Horn, Johnson: Matrix Analysis, "
    "Cambridge University Press (inclusion sets of eigenvalues)",
    statement=r"Let $q>0$, $N=|W^\top W|$, and $R_i=\sum_{j\ne i}N_{ij}q_j/q_i$, $C_i=\sum_{j\ne i}N_{ij}q_i/q_j$, "
    r"the sums of column $i$ and "
    r"row $i$ of $QNQ^{-1}$, $Q=\operatorname{diag}(q)$, off the diagonal. Then $W^\top W\preceq T$ for "
    r"$T_{ii}=N_{ii}+\sqrt{R_iC_i}$." + USE,
    parts=[
        Part(
            Claim("Ostrowski, exponent 1/2", positive(Delta + mean, gram), split, words),
            [
                Dominance(B, O),
                to_sums,
                Monotonicity(Delta + mean, Delta + B, gram),
            ],
        ),
        Part(
            Claim("No better than AOL", positive(Delta + mean, Delta + B), split, words),
            [
                to_sums,
                Monotonicity(Delta + mean, Delta + B),
            ],
        ),
    ],
    controls=[
        Part(Claim("Harmonic mean", positive(Delta + harmonic, gram), split, words)),
        Part(Claim("Without the column sums", positive(Delta + R**half, gram), split, words)),
    ],
    numbers=certified("Ostrowski's rule", torch_rule("Ostrowski", 6)),
    remark=r"Where a row of $O$ is zero, $R_i$, $C_i$, $B_i$ are taken as 1; the statement's 0 there is right as "
    r"well, since the row "
    r"and column of $W^\top W-T$ are then zero. The second claim says that for symmetric matrices this rule is "
    r"never below AOL's row sums. "
    r"Other exponents $R_i^aC_i^{1-a}$, $0<a<1$, are not proved formally here; H\"older's inequality in place of "
    r"Cauchy--Schwarz gives "
    r"$R_i^aC_i^{1-a}\ge\sum_{j\ne i}N_{ij}z_j/z_i$ with $z=q^{2a-1}$, which is SLL's rule for $z$.",
)

# Blocks: norms of the blocks of the Gram matrix in place of entries.
V = [matrix(f"W_{k}", "n", f"m_{k}") for k in (1, 2, 3)]


def norm_bound(name, body, latex):
    """A number that is hardly larger than the norm of a matrix, and its square."""

    def definition(instance):
        return instance.array([[instance.root(instance.norm_above(instance.value(body)))]])

    return scalar(name, positive=True, latex=latex, definition=definition)


pairs = [(a, b) for a in range(3) for b in range(3) if a <= b]
norms = {(a, b): norm_bound(f"n_{a + 1}{b + 1}", V[a].T @ V[b], f"n_{{{a + 1}{b + 1}}}") for a, b in pairs}
norms |= {(b, a): n for (a, b), n in norms.items()}
ones = [identity(v.columns) for v in V]
known = [
    positive(norms[a, b] * ones[a], V[a].T @ V[a])
    if a == b
    else positive(norms[a, b] ** 2 * ones[b], V[b].T @ V[a] @ V[a].T @ V[b])
    for a, b in pairs
]
blocks = block([[a.T @ b for b in V] for a in V])


def sums(off=Fraction(1)):
    """The block diagonal of sums of block norms, those off the diagonal times `off`."""
    return diagonal_block(
        *(sum((norms[a, b] * off for b in range(3) if b != a), norms[a, a]) * ones[a] for a in range(3))
    )


def row(entries):
    """A row of blocks that is zero elsewhere."""
    size = next(iter(entries.values())).rows
    return block([[entries.get(k, zero(size, V[k].columns)) for k in range(3)]])


completed = [Term(norms[a, a] * ones[a] - V[a].T @ V[a], row({a: ones[a]})) for a in range(3)]
for a, b in pairs:
    if a != b:
        n, across = norms[a, b], V[a].T @ V[b]
        completed += [
            Term(ones[a], row({a: n * ones[a], b: -across}), n**-1),
            Term(n**2 * ones[b] - across.T @ across, row({b: ones[b]}), n**-1),
        ]


def with_names(off):
    """`sums(off) >= W'W`, printed with names for the sums."""
    made = {scalar(f"t_{a + 1}"): sum((norms[a, b] * off for b in range(3) if b != a), norms[a, a]) for a in range(3)}
    diagonal_sums = diagonal_block(*(t * one for t, one in zip(made, ones)))
    return written(positive(sums(off), blocks), positive(diagonal_sums, blocks), made)


blocked = with_names(Fraction(1))
block_rule = Derivation(
    title="Block Gershgorin",
    source="Feingold, Varga: Block diagonally dominant matrices and generalizations of the Gerschgorin circle theorem, "
    "Pacific Journal of Mathematics 12, 1962",
    statement=r"Let $W=(W_1\ W_2\ W_3)$ and $n_{ab}=n_{ba}\ge\|W_a^\top W_b\|$ positive numbers, $a,b=1,2,3$. Then "
    r"$W^\top W\preceq T$ "
    r"for the block diagonal "
    r"$T$ with the blocks $(\sum_bn_{ab})I$." + USE,
    parts=[Part(Claim("Three blocks", blocked, known), [Sandwiches(blocked, *completed)])],
    controls=[Part(Claim("Half the norms of the other blocks", with_names(half), known))],
    numbers=certified("blocks of two", torch_rule("BlockGershgorin", 2)),
    remark=r"Shown for three blocks, of which each pair is treated by itself; any number of blocks works term by "
    r"term in the same way.",
)

derivation = [row_sum, frobenius, perron, ostrowski, block_rule]
