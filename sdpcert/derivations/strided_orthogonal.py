"""Strided orthogonal convolutions (AOC): windows that do not meet, after an isometry."""

from typing import Any

from sdpcert.symbolic import Claim, Comparison, Derivation, Layer, Part, equal, identity, orthonormal
from sdpcert.symbolic.steps import Congruence, Identity

#: An isometry has as many rows as columns, or more; so have windows with as many outputs as they read.
ROOM: dict[str, Any] = {"q": lambda sizes: max(sizes["q"], sizes["n"])}
B = orthonormal("B", "q", "n")
tall = orthonormal("R", "p", "q")
wide = orthonormal("S", "q", "p")
isometry = equal(B.T @ B, identity("n"))
columns, rows = equal(tall.T @ tall, identity("q")), equal(wide.T @ wide, identity("p"))
both = tall @ B
strided = Layer(H=wide.T @ B)
kept = (identity("q") - wide @ wide.T) @ B

# Wrong versions.
square = orthonormal("Q", "n", "n")
meeting = Layer(H=identity("n") + square)
narrow = wide.T @ B


def numbers():
    """Certify strided, dilated and transposed convolutions, and windows that meet."""
    import torch

    from sdpcert.certify import certify
    from sdpcert.layers import AOCConv2d, AOCConvTranspose2d
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    layers = {
        "stride 2": AOCConv2d(2, 8, 3, 2, dtype=torch.float64),
        "stride 2, transposed": AOCConvTranspose2d(4, 2, 3, 2, dtype=torch.float64),
    }
    found = []
    for name, layer in layers.items():
        proved = certify(from_torch(layer, (layer.block(dict(layer.named_parameters()), True).reader.inputs, 4, 4)))
        found.append(Comparison(f"proved constant, {name}", proved.upper, "<=", 1.0))
    window = torch.nn.Conv2d(1, 1, 2, stride=2, dilation=2, bias=False, dtype=torch.float64)
    window.weight.data.fill_(0.5)
    meeting = certify(from_torch(window, (1, 8, 8)))
    return [*found, Comparison("attained where windows meet: dilation 2, stride 2", meeting.lower, ">=", 1.5)]


derivation = Derivation(
    title="Orthogonal convolutions with stride (AOC)",
    source="Boissin, Mamalet, Fel, Picard, Massena, Serrurier: An Adaptive Orthogonal Convolution Scheme for Efficient "
    "and Flexible CNN Architectures, ICML 2025",
    statement=r"Let $B^\top B=I$. (i) If $R^\top R=I$, then $(RB)^\top RB=I$. (ii) If $S^\top S=I$, then "
    r"$x\mapsto S^\top Bx+b$ is 1-Lipschitz.",
    parts=[
        Part(
            Claim(
                "Isometry",
                equal(both.T @ both, identity("n")),
                [isometry, columns],
                r"$B$ is a convolution of projectors and $R$ acts on windows that do not meet, with as many outputs as "
                r"a window has entries, or more.",
                sizes={**ROOM, "p": lambda sizes: max(sizes["p"], sizes["q"], sizes["n"])},
            ),
            [Identity(both.T @ both, identity("n"), "because $R^\\top R=I$ and $B^\\top B=I$")],
        ),
        Part(
            strided.claim(
                "Fewer outputs than a window has entries",
                [isometry, rows],
                r"$I-B^\top SS^\top B=\|(I-SS^\top)B\cdot\|^2$.",
                q=lambda sizes: max(sizes["q"], sizes["n"], sizes["p"]),
            ),
            [Congruence(strided.condition(), identity("q"), kept)],
            strided,
        ),
    ],
    controls=[
        Part(
            meeting.claim("Windows that meet", text=r"Every entry is read by two windows: $x\mapsto x+Qx$."),
            layer=meeting,
        ),
        Part(
            Claim(
                "An isometry with fewer outputs",
                equal(narrow.T @ narrow, identity("n")),
                [isometry, rows],
                sizes={"q": lambda sizes: max(sizes["q"], sizes["n"], sizes["p"])},
            )
        ),
    ],
    numbers=numbers,
    remark=r"Windows of $s\times s$ taps every $s$ pixels that are $d$ apart do not meet if $s$ and $d$ have no common "
    r"divisor: the taps of all windows then fall on every pixel once. On a torus $s$ has to divide the sides, and "
    r"there may be no more windows than fit. Transposed convolutions are the adjoints, with the same norm.",
)
