"""Every example runs, and its docstring's values are the ones it prints."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

EXPECTED = {
    "certify_onnx.py": {"neuron": 5.929890551, "layer": 6.978413210, "product": 10.170518881},
    "optimal_is_not_a_proof.py": {"exact": 0.0546288660, "certified natively": 0.0546288660},
    "maxmin_as_relu.py": {"product of norms": 2.83861306, "published chain": 1.69770, "ReLU embedding": 1.29404979},
    "convolutions_by_frequencies.py": {
        "circular, unrolled": 2.57950881,
        "circular, frequencies": 2.57950881,
        "zero padding 3x3, above": 1.26822274,
        "zero padding 5x5, above": 0.367696849,
        "zero padding 8x8, above": 0.180893547,
    },
    "by_construction_against_optimal.py": {
        "aol, by construction": 0.999997854,
        "aol, neuron": 0.495498,
        "sll, neuron": 0.999997,
        "cpl, neuron": 0.999998,
        "cayley, neuron": 0.999997,
        "sandwich, neuron": 0.976546,
    },
    "import_and_fine_tune.py": {"certified": 5.92989055, "gamma": 6.04848836, "proved": 6.04848404},
    "sandwich_multiplier_erratum.py": {"Psi^2": 0.00315136, "Psi^2 / 2": -0.44569031, "proved": 2.99999785},
    "train_and_certify.py": {"by construction": 0.999996},
    "derive_a_rule.py": {"proved": 1, "refuted": 2, "squared stretch": 49 / 9},
    "deep_network.py": {"product": 3.70001805, "closed form": 0.084818397, "neuron": 0.0058823419},
}


def test_every_example_has_expected_values() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str) -> None:
    values = runpy.run_path(str(EXAMPLES / name))["main"]()
    for key, expected in EXPECTED[name].items():
        assert values[key] == pytest.approx(expected, rel=1e-5), key


def test_an_imported_network_computes_the_same() -> None:
    values = runpy.run_path(str(EXAMPLES / "import_and_fine_tune.py"))["main"]()
    assert values["difference"] < 1e-9
    assert values["optimum"] <= values["proved"] <= values["gamma"]


def test_false_optimum_is_corrected() -> None:
    values = runpy.run_path(str(EXAMPLES / "optimal_is_not_a_proof.py"))["main"]()
    assert values["scs claims"] < values["exact"] <= values["certified natively"] <= values["certified from scs"]
