"""A rule of one's own: weigh row sums by the norms of the columns, T_ii = sum_j |W'W|_ij |w_j| / |w_i|."""

from sdpcert.symbolic import Derivation, Layer, Part, diagonal, identity, indices, matrix, rule, total

W, norms = matrix("W", "n", "m"), diagonal("c", "m")  # c_i is any estimate of the norm of column i
i, j = indices("i j")
gram = W.T @ W
T = rule("T", "m", i, total(abs(gram[i, j]) * norms[j] / norms[i], j))
layer = Layer(H=identity("n"), G=-2 * W @ T**-1, U=W.T, multipliers=2 * T**-1)

# Without the column norms below, the rule looks as good: is it?
wrong = rule("T", "m", i, total(abs(gram[i, j]) * norms[j], j))
wrong_layer = Layer(H=identity("n"), G=-2 * W @ wrong**-1, U=W.T, multipliers=2 * wrong**-1)

derivation = Derivation(
    title="Row sums weighted by column norms",
    source="this file",
    statement=r"With $T_{ii}=\sum_j|W^\top W|_{ij}\,c_j/c_i$ the layer $x-2WT^{-1}\sigma(W^\top x+b)$ is 1-Lipschitz.",
    parts=[Part(layer.claim("weighted by column norms"), layer=layer)],
    controls=[Part(wrong_layer.claim("not divided by the own norm"), layer=wrong_layer)],
)
