"""Convex-optimization verification and derivation for Lipschitz neural networks."""

from sdpcert.certificate import Certificate as Certificate
from sdpcert.certify import BoundContradiction as BoundContradiction
from sdpcert.certify import certify as certify
from sdpcert.check import CheckResult as CheckResult
from sdpcert.check import check as check
from sdpcert.network import Activation as Activation
from sdpcert.network import Network as Network
from sdpcert.readers import UnsupportedModel as UnsupportedModel
from sdpcert.readers import load as load
from sdpcert.solvers import SolverError as SolverError

__version__ = "0.1.0"
