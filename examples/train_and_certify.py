"""Train a chain of sandwich layers on scikit-learn's digits and certify what was trained, in seconds.

By construction nothing is solved; the optimum of the condition for the trained weights shows that training used the
constant up. `sdpcert train` and `sdpcert evaluate` do the same at full size; `import_and_fine_tune.py` goes on from a
certified network of another origin.

Expected (measured, 6 epochs): by construction 0.999996, optimum 0.999995, accuracy 0.9437, certified at 0.25 0.8479;
the last three may differ in the last digits on other machines.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

import sdpcert
from sdpcert.training import load_data, load_run, logits_and_radii, train
from sdpcert.training.runs import LoadedRun


def main() -> dict[str, float]:
    """Train, print accuracy and both bounds, and return them."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"preset": "digits", "model": {"hidden": [32, 32]}, "training": {"epochs": 6}}
        run: LoadedRun = load_run(train(settings, Path(folder) / "run", progress=False))
    test = load_data("digits").test
    images, labels = torch.from_numpy(test.images), torch.from_numpy(test.labels)
    logits, radii = logits_and_radii(run.module, images, labels, run.data.levels)
    network = sdpcert.from_torch(run.module[:-1], run.data.input_shape)
    values = {
        "accuracy": float((logits.argmax(1) == labels).double().mean()),
        "certified at 0.25": float((radii >= 0.25).mean()),
        "by construction": sdpcert.certify(network, "by-construction").upper,
        "optimum": sdpcert.certify(network, "neuron").upper,
    }
    for name, value in values.items():
        print(f"{name:18s} {value:.6f}")
    return values


if __name__ == "__main__":
    main()
