"""From a network to a certificate."""

from sdpcert.certify.certify import BoundContradiction as BoundContradiction
from sdpcert.certify.certify import certify as certify
