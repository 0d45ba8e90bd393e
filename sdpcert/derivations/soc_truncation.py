"""exp(L) of a skew L is orthogonal, and its series without the terms from k on has a norm of at most 1 + |L|^k / k!."""

from fractions import Fraction
from math import factorial

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
    matrix,
    positive,
    scalar,
    skew,
)
from sdpcert.symbolic.steps import Polynomial, Sandwiches, Term
from sdpcert.symbolic.written import written

one = identity("n")

# exp(sL) is orthogonal.
L = matrix(
    "L", "n", "n", definition=lambda i: i.draw("K", i.size("n"), i.size("n")) - i.draw("K", i.size("n"), i.size("n")).T
)
E = matrix("E", "n", "n")
dE = matrix("dE", "n", "n", r"E'", definition=lambda instance: instance.value(L @ E))

# The remainder; S stands for S_k(sL), its derivative for S_k', P for L^k and c for s^(k-1)/(k-1)!.
s, c, k = scalar("s"), scalar("c"), scalar("k", positive=True)
S, P = matrix("S", "n", "n"), matrix("P", "n", "n")
dS = matrix("dS", "n", "n", r"S'", definition=lambda instance: instance.value(L @ S - c * P))

# Norms.
nu = scalar("nu", positive=True, definition=lambda i: i.diagonal([i.root(i.norm_above(i.value(L)))]))
product = scalar("p", positive=True, definition=lambda i: i.diagonal([i.norm_above(i.value(P)) or i.array([1])[0]]))
U = matrix("U", "n", "n", definition=lambda instance: instance.orthogonal("U", instance.size("n")))
R = matrix("R", "n", "n")
r = scalar("r", positive=True, definition=lambda i: i.diagonal([i.root(i.norm_above(i.value(R)))]))
summed = positive((1 + r) ** 2 * one, (U - R).T @ (U - R))

# The normal form of a skew matrix, and the series cut before its term k.
D = diagonal("D", "n", positive=False, definition=lambda i: abs(i.diagonal(i.draw("D", i.size("n"), 1)[:, 0])))
C, B = diagonal("C", "n", positive=False), diagonal("B", "n", positive=False)
rotation = block([[C, -B], [B, C]])


def series(matrix, unit, terms):
    """The sum of L^j / j! over j < terms."""
    total = power = unit
    for j in range(1, terms):
        power = power @ matrix
        total = total + power * Fraction(1, factorial(j))
    return total


def excess(terms):
    """Coefficients of (1 + t^k/k!)^2 - |sum_{j<k} (it)^j/j!|^2."""
    made = [Fraction(0)] * (2 * terms + 1)
    made[0], made[terms] = Fraction(1), Fraction(2, factorial(terms))
    made[2 * terms] = Fraction(1, factorial(terms) ** 2)
    for a in range(terms):
        for b in range(terms):
            if (a - b) % 2 == 0:
                made[a + b] -= Fraction((-1) ** (abs(a - b) // 2), factorial(a) * factorial(b))
    return made


def truncated(terms):
    """The norm of the series without the terms from `terms` on, for L in normal form."""
    normal_form = block([[0 * one, -D], [D, 0 * one]])
    cut = series(normal_form, block([[one, 0 * one], [0 * one, one]]), terms)
    # The matrix itself, not its parts by hand: S'S is block diagonal, with this in both corners.
    gram = (cut.T @ cut).entries
    assert gram[0][0] == gram[1][1]
    assert not gram[0][1]
    allowance = (one + D**terms * Fraction(1, factorial(terms))) ** 2
    why = (
        rf"because $(1+t^{{{terms}}}/{terms}!)^2-|\sum_{{j<{terms}}}(\mathrm it)^j/j!|^2$ is nonnegative on "
        r"$[0,\infty)$ (Sturm's theorem), by functional calculus for $D$"
    )
    # The even and the odd terms, and the bound, under their names.
    even, odd, bound = (diagonal(name, "n", positive=False) for name in "CBE")
    parts = [one * 0, one * 0]
    for j in range(terms):
        sign = (-1) ** (j // 2)
        parts[j % 2] = parts[j % 2] + (D**j if j else one) * Fraction(sign, factorial(j))
    names = {bound: one + D**terms * Fraction(1, factorial(terms)), even: parts[0], odd: parts[1]}
    shown = written(positive(allowance, gram[0][0]), positive(bound**2, even**2 + odd**2), names)
    claim = Claim(f"{terms} terms", shown, [positive(D)])
    return Part(claim, [Polynomial(excess(terms), D, why=why)])


# Wrong bounds.
K = skew("L", "n")
X = matrix("L", "n", "n")
norm_K = scalar("nu", positive=True, definition=lambda i: i.diagonal([i.root(i.norm_above(i.value(K)))]))
norm_X = scalar("nu", positive=True, definition=lambda i: i.diagonal([i.root(i.norm_above(i.value(X)))]))
bounded_K, bounded_X = positive(norm_K**2 * one, K.T @ K), positive(norm_X**2 * one, X.T @ X)


def cut(matrix, terms, allowance):
    """The layer of the cut series, with a constant that is claimed."""
    return Layer(H=series(matrix, one, terms), squared_lipschitz=allowance)


later = cut(K, 2, (1 + norm_K**3 / 6) ** 2)
later_six = cut(K, 6, (1 + norm_K**7 / factorial(7)) ** 2)
free = cut(K, 2, 1)
general = cut(X, 2, (1 + norm_X**2 / 2) ** 2)


def numbers():
    """Certify a skew orthogonal convolution, a dense rotation, and a cut series."""
    import numpy as np
    import torch

    import sdpcert.layers as layers
    from sdpcert.certify import certify
    from sdpcert.network import Network
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    convolution = from_torch(layers.SOCConv2d(2, 3, dtype=torch.float64), (2, 5, 5))
    rotation = from_torch(layers.ExponentialLinear(5, dtype=torch.float64), (5,))
    drawn = np.random.default_rng(0).standard_normal((5, 5))
    skewed = (drawn - drawn.T) / 2
    power, total = np.eye(5), np.eye(5)
    for j in range(1, 5):
        power = power @ skewed / j
        total = total + power
    bound = 1 + np.linalg.norm(skewed, 2) ** 5 / factorial(5)
    return [
        Comparison("proved for a SOC layer", certify(convolution, "by-construction").upper, "<=", 1.0),
        Comparison(r"attained by $\exp(L)$", certify(rotation, "by-construction").lower, ">=", 1.0, 1e-5),
        Comparison("five terms of the series", certify(Network.mlp([total])).upper, "<=", float(bound)),
    ]


derivation = Derivation(
    title="Skew orthogonal convolutions: truncation",
    source="Singla, Feizi: Skew Orthogonal Convolutions, ICML 2021",
    statement=r"Let $L=-L^\top$ and $S_k(L)=\sum_{j<k}L^j/j!$, $k\ge1$. Then $\exp(L)$ is orthogonal, "
    r"\[\|\exp(L)-S_k(L)\|\le\frac{\|L\|^k}{k!}\qquad\text{and}\qquad\|S_k(L)\|\le1+\frac{\|L\|^k}{k!}.\]",
    parts=[
        Part(
            Claim(
                r"$\exp(sL)$ is orthogonal",
                equal(dE.T @ E + E.T @ dE),
                [equal(L.T, -L), equal(dE, L @ E)],
                r"Let $E=\exp(sL)$, whose derivative by $s$ is $E'=LE$. The derivative of $E^\top E$ vanishes; at "
                r"$s=0$ it is "
                r"$I$, so $\exp(sL)^\top\exp(sL)=I$ for all $s$.",
            )
        ),
        Part(
            Claim(
                "The remainder, next term",
                equal(dS + c * P - L @ (S + s * c * k**-1 * P), -s * c * k**-1 * L @ P),
                [equal(dS, L @ S - c * P)],
                r"Let $S=S_k(sL)$, $S'$ its derivative by $s$, $P=L^k$, $c=s^{k-1}/(k-1)!$, and "
                r"$S'-LS=-cP$, which holds for $k=1$, where $S=I$. Then the same holds for $k+1$: "
                r"$S_{k+1}=S+\frac{sc}kP$ has the derivative $S'+cP$. So $\frac{\mathrm d}{\mathrm "
                r"ds}\bigl(\exp(-sL)S_k(sL)\bigr)="
                r"-\exp(-sL)\frac{s^{k-1}}{(k-1)!}L^k$ for every $k$.",
            )
        ),
        Part(
            Claim(
                "Norms of powers",
                positive(product * nu**2 * one, (U @ L @ P).T @ (U @ L @ P)),
                [equal(U.T @ U, one), positive(nu**2 * one, L.T @ L), positive(product * one, P.T @ P)],
                r"If $\|L\|\le\nu$ and $\|P\|^2\le p$ then $\|ULP\|^2\le p\nu^2$ for orthogonal $U$: "
                r"$\|\exp((1-s)L)L^k\|\le\nu^k$.",
            ),
            [
                Sandwiches(
                    positive(product * nu**2 * one, (U @ L @ P).T @ (U @ L @ P)),
                    Term(product * one - P.T @ P, None, nu**2),
                    Term(nu**2 * one - L.T @ L, P),
                )
            ],
        ),
        Part(
            Claim(
                "The bound",
                summed,
                [equal(U.T @ U, one), positive(r**2 * one, R.T @ R)],
                r"With the orthogonal $U=\exp(L)$ and the remainder $R=\exp(L)-S_k(L)$, $\|R\|\le r$: "
                r"$\|S_k(L)\|\le1+r$.",
            ),
            [
                Sandwiches(
                    summed,
                    Term(r**2 * one - R.T @ R),
                    Term(r**2 * one - R.T @ R, None, r**-1),
                    Term(one, r * U + R, r**-1),
                )
            ],
        ),
        Part(
            Claim(
                "Normal form",
                equal(rotation.T @ rotation, diagonal_block(C @ C + B @ B, C @ C + B @ B)),
                text=r"For $L=\begin{pmatrix}0&-D\\D&0\end{pmatrix}$ with a diagonal $D\succeq0$ one has "
                r"$S_k(L)=\begin{pmatrix}C&-B\\B&C\end{pmatrix}$ with the even terms $C=\sum(-1)^jD^{2j}/(2j)!$ "
                r"and the odd terms $B=\sum(-1)^jD^{2j+1}/(2j+1)!$ of exponents below $k$. On the left is "
                r"$S_k(L)^\top S_k(L)$, multiplied out.",
            )
        ),
        *(truncated(terms) for terms in range(2, 15)),
    ],
    controls=[
        Part(
            later.claim(
                "Error bound of the next power, 2 terms", [bounded_K], r"The map $I+L$ with the bound $1+\|L\|^3/3!$."
            ),
            layer=later,
        ),
        Part(
            later_six.claim(
                "Error bound of the next power, 6 terms", [bounded_K], r"$S_6(L)$ with the bound $1+\|L\|^7/7!$."
            ),
            layer=later_six,
        ),
        Part(free.claim("No bound of the error", text=r"The map $I+L$, taken for 1-Lipschitz."), layer=free),
        Part(
            general.claim(
                "$L$ is not skew", [bounded_X], r"The map $I+L$ with a general $L$ and the bound $1+\|L\|^2/2$."
            ),
            layer=general,
        ),
    ],
    numbers=numbers,
    remark=r"Integrating the derivative of $\exp(-sL)S_k(sL)$ from 0 to 1 and multiplying by $\exp(L)$ gives "
    r"\[\exp(L)-S_k(L)=\int_0^1\exp((1-s)L)\,\frac{s^{k-1}}{(k-1)!}\,L^k\,\mathrm ds,\] and the integrand has a norm "
    r"of at most "
    r"$s^{k-1}\|L\|^k/(k-1)!$. For $k=2,\dots,14$ the bound of $\|S_k(L)\|$ is proved once more without an integral: "
    r"a skew "
    r"matrix, enlarged by a row and a column of zeros if its size is odd, is "
    r"$Q\begin{pmatrix}0&-D\\D&0\end{pmatrix}Q^\top$ with "
    r"orthogonal $Q$ and diagonal $D\succeq0$, whose largest entry is $\|L\|$.",
)
