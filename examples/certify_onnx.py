"""Certify a shipped ONNX file, save the certificate, and prove it again with the stand-alone checker.

Expected (measured; the last digits may differ between machines):

    attained  5.678
    neuron    5.929890551
    layer     6.978413210
    product   10.170518881
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import sdpcert

NETWORKS = Path(__file__).parent / "networks"


def main() -> dict[str, float]:
    """Print the ladder of bounds of the digits network and return it."""
    network = sdpcert.load(NETWORKS / "digits_mlp.onnx")
    ladder = {method: sdpcert.certify(network, method) for method in ("neuron", "layer", "product")}
    values = {"attained": ladder["neuron"].lower} | {name: c.upper for name, c in ladder.items()}
    for name, value in values.items():
        print(f"{name:9s} {value:.9f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits_mlp.cert.json"
        ladder["neuron"].save(path)
        checker = find_spec("sdpcert.check.checker")
        if checker is not None and checker.origin is not None:
            subprocess.run([sys.executable, "-I", checker.origin, str(path)], check=True)
    return values


if __name__ == "__main__":
    main()
