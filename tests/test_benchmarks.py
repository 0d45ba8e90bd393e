"""Benchmarks run small, and tell when something else took their time; those for a GPU run on a CPU too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_gpu_training_runs_on_a_cpu(tmp_path):
    """Throughput in both precisions; what is trained in bfloat16 is certified as the float32 weights that it has."""
    output = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu_training", "--quick", "--device", "cpu", "--output", str(output)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    results = json.loads(output.read_text())
    assert {row["precision"] for row in results["throughput"]} == {"float32", "bfloat16"}
    assert all(row["images a second"] > 0 for row in results["throughput"])
    (network,) = results["networks"]
    assert (network["preset"], network["precision"]) == ("digits", "bfloat16")
    assert network["steps"] > 0 and 0.9 < network["constant"] < 1.01
    assert network["rows"][0]["bound"] == "by-construction"
    assert results["device"]


def test_gpu_solver_benchmark_runs_on_a_cpu(tmp_path):
    """The order that would not fit the time is left out and named."""
    output = tmp_path / "solver.json"
    command = [sys.executable, "-m", "benchmarks.gpu_solver", "--device", "cpu", "--orders", "40,60,4000"]
    run = [*command, "--seconds", "60", "--output", str(output)]
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True, timeout=300)
    results = json.loads(output.read_text())
    assert [row["order"] for row in results["rows"]] == [40, 60] and results["left out"] == [4000]
    for row in results["rows"]:
        assert row["status"] == "optimal" and 0 <= 1 - row["dual"] / row["bound"] < 2e-6
        assert row["host"]["bound"] == pytest.approx(row["bound"], rel=1e-6)
        assert row["looks an iteration"] < 8 and row["numbers a look"] < 120


@pytest.mark.slow
def test_radii_are_measured_in_pieces(tmp_path):
    """The second run keeps the first input, and adds the second one."""
    command = [sys.executable, "-m", "benchmarks.radii", "digits", "--time-limit", "5", "--output", str(tmp_path)]
    for images, more in (("1", []), ("2", ["--keep"])):
        run = subprocess.run(
            [*command, "--images", images, *more], cwd=ROOT, capture_output=True, text=True, timeout=600
        )
        assert run.returncode == 0, run.stderr
    results = json.loads((tmp_path / "radii_digits.json").read_text())
    assert [(row["network"], row["image"]) for row in results["rows"]] == [
        (name, k) for name in ("digits_mlp", "digits_cnn") for k in range(2)
    ]
    for row in results["rows"]:
        assert row["right"] and row["checked"]
        assert max(row["relaxation"], row["undivided"]) <= row["proved"]
        assert max(row["constants"], row["proved"]) < row["attacked"]


@pytest.mark.parametrize(
    ("ends", "share"),
    [
        ([10.0], 0.0),
        ([140.0, 180.0], 0.0),  # the second epoch was cut short
        ([10.0, 20.0, 30.0, 31.0], 0.0),
        ([10.0, 30.0, 40.0, 50.0], 0.1),
        ([10.0, 20.0, 30.0, 60.0], 0.25),
    ],
)
def test_time_lost_to_something_else(ends, share):
    pytest.importorskip("torch")
    pytest.importorskip("typer")
    from benchmarks.training import lost

    assert lost([{"seconds": end} for end in ends]) == pytest.approx(share)
