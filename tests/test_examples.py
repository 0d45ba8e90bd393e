"""Every example runs, and its docstring's values are the ones it prints."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def near(accuracy: float) -> Any:
    """An accuracy of networks that are trained in the example: rounding may cost a few images on other machines."""
    return pytest.approx(accuracy, abs=0.04)


EXPECTED: dict[str, dict[str, Any]] = {
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
        "row-sum, neuron": 0.273285,
        "frobenius, neuron": 0.120883,
        "sll, neuron": 0.999997,
        "cpl, neuron": 1.000002,
        "cayley, neuron": 0.999997,
        "sandwich, neuron": 0.999423,
        "sandwich-network, neuron": 0.376002,
    },
    "import_and_fine_tune.py": {"certified": 5.92989055, "gamma": 6.04848836, "proved": 6.04848404},
    "sandwich_multiplier_erratum.py": {"Psi^2": 0.00315136, "Psi^2 / 2": -0.44569031, "proved": 2.99999785},
    "train_and_certify.py": {"by construction": 0.999996},
    "derive_a_rule.py": {"proved": 1, "refuted": 2, "squared stretch": 49 / 9},
    "table_of_certified_accuracy.py": {
        "aol, right": near(0.9380),
        "sll, right": near(0.9464),
        "sll, 36/255": near(0.9239),
        "sandwich, 36/255": near(0.9408),
    },
    "table_of_cpl_depth.py": {
        "cpl 4, margin 0.7: constant": 0.999990,
        "cpl 16, margin 0.7: 36/255": near(0.8648),
        "aol 4, margin 0.7: 36/255": near(0.7746),
        "cpl 4, margin 0.1: 36/255": near(0.7183),
    },
    "table_of_soc_techniques.py": {
        "none, 36/255": near(0.7239),
        "fast gradient, 36/255": near(0.7155),
        "+ MLP, right": near(0.9380),
        "+ MLP, 36/255": near(0.8901),
    },
    "table_of_tightness.py": {
        "aol, gamma 1": pytest.approx(99.77, abs=1),
        "orthogonal, gamma 10": pytest.approx(92.8, abs=5),
        "sll, gamma 10": pytest.approx(61.0, abs=10),
        "sandwich, gamma 10": pytest.approx(99.7, abs=1),
    },
    "published_noise.py": {
        "12 layers, proved": 0.03318966,
        "24 layers, proved": 4.540608e-4,
        "32 layers, proved": 1.543367e-5,
        "12 layers, signs known": 0.02576848,
        "24 layers, signs known": 5.336061e-5,
        "32 layers, signs known": 1.152121e-6,
    },
    "deep_network.py": {"product": 3.70001805, "closed form": 0.084818397, "neuron": 0.0058823419},
}


def test_every_example_has_expected_values() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str) -> None:
    values = runpy.run_path(str(EXAMPLES / name))["main"]()
    for key, expected in EXPECTED[name].items():
        wanted = pytest.approx(expected, rel=1e-5) if isinstance(expected, int | float) else expected
        assert values[key] == wanted, key


def test_an_imported_network_computes_the_same() -> None:
    values = runpy.run_path(str(EXAMPLES / "import_and_fine_tune.py"))["main"]()
    assert values["difference"] < 1e-9
    assert values["optimum"] <= values["proved"] <= values["gamma"]


def test_false_optimum_is_corrected() -> None:
    values = runpy.run_path(str(EXAMPLES / "optimal_is_not_a_proof.py"))["main"]()
    assert values["scs claims"] < values["exact"] <= values["certified natively"] <= values["certified from scs"]


def test_noise_is_no_bound() -> None:
    values = runpy.run_path(str(EXAMPLES / "published_noise.py"))["main"]()
    for layers in (12, 24, 32):
        assert values[f"{layers} layers, scs"] < values[f"{layers} layers, dual"]
        assert values[f"{layers} layers, dual"] <= values[f"{layers} layers, proved"]
        assert values[f"{layers} layers, signs known"] < values[f"{layers} layers, proved"]
    assert values["32 layers, clarabel"] > 2 * values["32 layers, proved"]
