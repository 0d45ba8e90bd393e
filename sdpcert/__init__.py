"""Convex-optimization verification and derivation for Lipschitz neural networks."""

import importlib
from collections.abc import Sequence
from typing import Any

from sdpcert.running import starting as starting  # before the libraries, whose import takes a second

# isort: split
from sdpcert.certificate import Certificate as Certificate
from sdpcert.certify import BoundContradiction as BoundContradiction
from sdpcert.certify import certify as certify
from sdpcert.check import CheckResult as CheckResult
from sdpcert.check import check as check
from sdpcert.network import Activation as Activation
from sdpcert.network import Network as Network
from sdpcert.readers import UnsupportedModel as UnsupportedModel
from sdpcert.readers import load as load
from sdpcert.running import arguments as _arguments
from sdpcert.running.interrupts import Interrupted as Interrupted
from sdpcert.solvers import SolverError as SolverError

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `sdpcert.layers` needs torch, which `import sdpcert` must not load.
    if name == "layers":
        return importlib.import_module("sdpcert.layers")
    raise AttributeError(f"module 'sdpcert' has no attribute {name!r}")


def from_torch(module: Any, input_shape: Sequence[int] | int) -> Network:
    """The network that a torch module computes in evaluation mode; see `sdpcert.torch_modules.reader.from_torch`."""
    shape = _arguments.shape(input_shape)
    try:
        from sdpcert.torch_modules.reader import from_torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError("from_torch needs torch: pip install 'sdpcert[torch]'", name="torch") from None
    return from_torch(module, shape)
