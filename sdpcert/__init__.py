"""Convex-optimization verification and derivation for Lipschitz neural networks."""

from sdpcert.network import Activation as Activation
from sdpcert.network import Network as Network

__version__ = "0.1.0"
