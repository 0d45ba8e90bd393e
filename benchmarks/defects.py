"""Known defects of 1-Lipschitz layers, reproduced beside the toolkit's layers on the same weights.

    python -m benchmarks.defects [--output FILE.json]

Each row takes a published formula (or a stock torch module), the weights at which it breaks its claim, and gives its
constant, |J| of the dense Jacobian or a ratio of two points in float64, beside the PROVED constant of the toolkit's
layer with those weights. Sources: `docs/defects.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from torch import Tensor, nn

import sdpcert
from sdpcert.layers import CPLConv2d, CPLLinear, SLLLinear, SpectralConv2d, SpectralLinear, check

RESULTS = Path(__file__).parent / "results" / "defects.json"


def jacobian_norm(function: Callable[[Tensor], Tensor], point: Tensor) -> float:
    """The spectral norm of the Jacobian at a point, in the point's precision."""
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x[None])[0], point)
    return float(torch.linalg.matrix_norm(jacobian.reshape(-1, point.numel()).double(), 2))


def one_sided_epsilon() -> dict[str, Any]:
    """SLL as published: |q| + 1e-6 in the denominator, |q| in the numerator."""
    torch.manual_seed(0)
    weight = torch.randn(16, 8, dtype=torch.float64)  # hidden x features
    worst = 0.0
    for exponent in (-6, -7, -8):
        q = torch.rand(16, dtype=torch.float64) * 10.0**exponent
        diagonal = (weight @ weight.T).abs() @ q.abs() / (q.abs() + 1e-6)
        bias = torch.full((16,), 1e3, dtype=torch.float64)  # every neuron active

        def layer(x: Tensor, diagonal: Tensor = diagonal, bias: Tensor = bias) -> Tensor:
            return x - 2 * torch.relu(x @ weight.T + bias) / diagonal @ weight

        worst = max(worst, jacobian_norm(layer, torch.zeros(8, dtype=torch.float64)))
    ours = SLLLinear(8, 16).double()
    with torch.no_grad():
        ours.weight.copy_(weight)
        dict(ours.named_parameters())["rule.log_scale"].copy_(torch.log(torch.rand(16) * 1e-8))
    return {"defect": "SLL, epsilon on one side, q of 1e-6 to 1e-8", "theirs": worst, "ours": check(ours).proved}


def power_iteration_as_bound() -> dict[str, Any]:
    """CPL in evaluation: 100 power iterations on a fresh convolution."""
    torch.manual_seed(0)
    channels, size = 8, 10
    kernel = nn.init.xavier_normal_(torch.empty(channels, channels, 3, 3))
    vector = torch.randn(1, channels, size, size)
    for _ in range(100):
        image = nn.functional.conv2d(vector, kernel, padding=1)
        vector = nn.functional.conv_transpose2d(image / image.norm(), kernel, padding=1)
        vector = vector / vector.norm()
    estimate = nn.functional.conv2d(vector, kernel, padding=1).norm() + 1e-4
    bias = torch.full((channels,), 1e3)

    def layer(x: Tensor) -> Tensor:
        z = torch.relu(nn.functional.conv2d(x, kernel, bias, padding=1))
        return x - 2 / estimate**2 * nn.functional.conv_transpose2d(z, kernel, padding=1)

    theirs = jacobian_norm(layer, torch.zeros(channels, size, size))
    ours = CPLConv2d(channels, channels)
    with torch.no_grad():
        ours.weight.copy_(kernel)
    return {"defect": "CPL, 100 power iterations as a bound", "theirs": theirs, "ours": check(ours).proved}


def one_power_iteration() -> dict[str, Any]:
    """CPL in training mode: one power iteration a step, certified as it is."""
    torch.manual_seed(0)
    weight = torch.randn(64, 64)
    direction = torch.nn.functional.normalize(torch.randn(64), dim=0)
    direction = torch.nn.functional.normalize(weight.T @ (weight @ direction), dim=0)
    estimate = (weight @ direction).norm()
    bias = torch.full((64,), 1e3)

    def layer(x: Tensor) -> Tensor:
        return x - 2 / estimate**2 * torch.relu(x @ weight.T + bias) @ weight

    ours = CPLLinear(64, 64).train()
    with torch.no_grad():
        ours.weight.copy_(weight)
    theirs = jacobian_norm(layer, torch.zeros(64))
    return {"defect": "CPL in training mode, one power iteration", "theirs": theirs, "ours": check(ours).proved}


def flat_kernel() -> dict[str, Any]:
    """torch's spectral_norm on Conv2d normalises the flattened kernel."""
    torch.manual_seed(0)
    plain: Any = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3, padding=1, bias=False))
    for _ in range(50):
        plain(torch.randn(1, 4, 8, 8))
    plain.eval()
    theirs = jacobian_norm(plain, torch.zeros(4, 8, 8))
    ours = SpectralConv2d(4, 4, bias=False)
    with torch.no_grad():
        ours.weight.copy_(plain.weight)
    return {"defect": "torch spectral_norm on Conv2d", "theirs": theirs, "ours": check(ours).proved}


def few_power_iterations() -> dict[str, Any]:
    """torch's spectral_norm on Linear, 15 iterations."""
    torch.manual_seed(0)
    plain: Any = nn.utils.parametrizations.spectral_norm(nn.Linear(128, 128, bias=False), n_power_iterations=1)
    plain.eval()
    theirs = jacobian_norm(plain, torch.zeros(128))
    ours = SpectralLinear(128, 128, bias=False)
    with torch.no_grad():
        ours.weight.copy_(plain.parametrizations.weight.original)
    return {"defect": "torch spectral_norm on Linear, fresh", "theirs": theirs, "ours": check(ours).proved}


def padding_mode(mode: Literal["reflect", "replicate"], size: int) -> dict[str, Any]:
    """A shift, of norm one on the torus, with reflecting or replicating padding: border pixels are read twice."""
    kernel = torch.zeros(1, 1, size, size)
    kernel[0, 0, size // 2, 0] = 1.0
    around = (size // 2,) * 4

    def layer(x: Tensor) -> Tensor:
        return nn.functional.conv2d(nn.functional.pad(x, around, mode=mode), kernel)

    theirs = jacobian_norm(layer, torch.zeros(1, 8, 8))
    module = nn.Conv2d(1, 1, size, padding=size // 2, padding_mode=mode, bias=False)
    with torch.no_grad():
        module.weight.copy_(kernel)
    ours = sdpcert.certify(sdpcert.from_torch(module, (1, 8, 8)), method="product").upper
    return {"defect": f"padding mode {mode}, a shift as kernel of size {size}", "theirs": theirs, "ours": ours}


CASES: tuple[Callable[[], dict[str, Any]], ...] = (
    one_sided_epsilon,
    power_iteration_as_bound,
    one_power_iteration,
    flat_kernel,
    few_power_iterations,
    lambda: padding_mode("reflect", 3),
    lambda: padding_mode("replicate", 5),
)


def main(output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS) -> None:
    """Print and store the table."""
    from rich.console import Console
    from rich.table import Table

    rows = [case() for case in CASES]
    table = Table("defect", "theirs", "ours, proved", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        ours = row["ours"] if isinstance(row["ours"], str) else f"{row['ours']:.9f}"
        table.add_row(row["defect"], f"{row['theirs']:.6g}", ours)
    Console(width=120).print(table)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
