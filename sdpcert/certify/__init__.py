"""From a network to a certificate."""

from sdpcert.certify.certify import certify as certify
from sdpcert.errors import BoundContradiction as BoundContradiction
