"""What `torch.compile` makes of the layers, and that nothing loads it before something is compiled."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, fx, nn

from sdpcert.layers import AOLLinear, MaxMin

#: Modules whose import takes seconds and that layers need for nothing.
SLOW = ("torch._dynamo", "torch._inductor", "sympy")


@pytest.mark.parametrize(
    "what",
    [
        "import sdpcert.layers",
        "import sdpcert, torch\nfrom sdpcert.layers import AOLLinear\nsdpcert.from_torch(AOLLinear(2, 2), 2)",
        "import torch\nfrom sdpcert.layers import SandwichLinear\nSandwichLinear(2, 2).eval()(torch.ones(1, 2))",
    ],
    ids=["import", "from_torch", "evaluation"],
)
def test_the_compiler_is_not_loaded(what: str) -> None:
    code = f"import sys\n{what}\nprint([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_materialised_weights_are_left_out_of_compiled_graphs() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(AOLLinear(4, 4), MaxMin(), AOLLinear(4, 4)).double().eval()
    graphs: list[list[str]] = []

    def backend(module: fx.GraphModule, inputs: list[Tensor]) -> object:
        graphs.append([str(node.target) for node in module.graph.nodes if node.op.startswith("call")])
        return module.forward

    compiled, x = torch.compile(net, backend=backend), torch.randn(3, 4, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(compiled(x), net(x))
        made = len(graphs)
        assert sum("linear" in target for graph in graphs for target in graph) >= 1
        # What compares, copies and rounds weights is executed as it stands; computed anew, it makes no further graph.
        assert not any(
            word in target for graph in graphs for target in graph for word in ("equal", "isfinite", "clone")
        )
        for parameter in net.parameters():
            parameter.mul_(0.5)
        assert torch.equal(compiled(x), net(x))
        assert len(graphs) == made
