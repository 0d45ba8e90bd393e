"""Convex-optimization verification and derivation for Lipschitz neural networks."""

import importlib
from collections.abc import Sequence
from typing import Any

from sdpcert.running import starting as starting  # before the libraries, whose import takes a second

# isort: split
from sdpcert.certificate import Certificate
from sdpcert.certify import certify
from sdpcert.check import CheckResult, check
from sdpcert.errors import BoundContradiction, Interrupted, SdpcertError, SolverError, UnsupportedModel
from sdpcert.network import Activation, Network
from sdpcert.readers import load
from sdpcert.regions import Ball, Box
from sdpcert.robustness import Radii, radii
from sdpcert.running import arguments as _arguments
from sdpcert.running.extras import needed_by as _needed_by
from sdpcert.version import __version__

__all__ = [
    "Activation",
    "Ball",
    "BoundContradiction",
    "Box",
    "Certificate",
    "CheckResult",
    "Interrupted",
    "Network",
    "Radii",
    "SdpcertError",
    "SolverError",
    "UnsupportedModel",
    "__version__",
    "certify",
    "check",
    "from_torch",
    "load",
    "radii",
]
#: Packages that load when they are asked for: most need libraries that `import sdpcert` must not load.
_PACKAGES = ("derivations", "evaluation", "layers", "network", "report", "solvers", "sweep", "symbolic", "training")


def __getattr__(name: str) -> Any:
    if name not in _PACKAGES:
        raise AttributeError(f"module 'sdpcert' has no attribute {name!r}")
    with _needed_by(f"sdpcert.{name}", "train" if name == "training" else None):
        return importlib.import_module(f"sdpcert.{name}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PACKAGES, *(name for name in globals() if name.startswith("__"))})


def from_torch(module: Any, input_shape: Sequence[int] | int) -> Network:
    """The network that a torch module computes in evaluation mode; see `sdpcert.torch_modules.reader.from_torch`."""
    shape = _arguments.shape(input_shape)
    with _needed_by("from_torch"):
        from sdpcert.torch_modules.reader import from_torch
    return from_torch(module, shape)
