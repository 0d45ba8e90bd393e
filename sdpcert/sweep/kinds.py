"""The things that a sweep can do, by name."""

from __future__ import annotations

from sdpcert.sweep.certifying import Certify
from sdpcert.sweep.kind import Kind
from sdpcert.sweep.radii_of_inputs import RadiiOfInputs

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Certify(), RadiiOfInputs())}
