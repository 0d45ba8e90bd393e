"""A rule that turns out false: the norm of a row of W'W instead of its sum, T_ii = (sum_j (W'W)_ij^2)^(1/2)."""

from fractions import Fraction

from sdpcert.symbolic import Derivation, Layer, Part, identity, indices, matrix, rule, total

W = matrix("W", "n", "m")
i, j = indices("i j")
gram = W.T @ W
T = rule("T", "m", i, total(gram[i, j] ** 2, j) ** Fraction(1, 2))
layer = Layer(H=identity("n"), G=-2 * W @ T**-1, U=W.T, multipliers=2 * T**-1)

derivation = Derivation(
    title="Row norms instead of row sums",
    source="this file",
    statement=r"With $T_{ii}=(\sum_j(W^\top W)_{ij}^2)^{1/2}$ the layer $x-2WT^{-1}\sigma(W^\top x+b)$ is 1-Lipschitz.",
    parts=[Part(layer.claim("row norms"), layer=layer)],
)
