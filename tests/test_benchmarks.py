"""The benchmark for a GPU runs small on a CPU and writes what the documents read."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_gpu_benchmark_runs_on_a_cpu(tmp_path):
    output = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--device", "cpu", "--seconds", "2"]
    subprocess.run([*command, "--output", str(output)], cwd=ROOT, check=True, capture_output=True, timeout=300)
    results = json.loads(output.read_text())
    (network,) = results["networks"]
    assert network["preset"] == "digits"
    assert network["clean accuracy"] > 0.5
    assert network["rows"][0]["bound"] == "by-construction"
    (solved,) = results["solver"]
    assert solved["cpu"]["gap"] < 1e-6
    assert results["device"]
