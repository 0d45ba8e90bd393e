"""Settings that all tests share: hypothesis profiles, slow tests, and the folder of networks with known numbers.

Slow tests run with `--slow` or SDPCERT_SLOW=1. HYPOTHESIS_PROFILE=long draws thousands of examples for every property,
SDPCERT_EXAMPLES=N draws N.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("ci", max_examples=150, deadline=None, derandomize=True, suppress_health_check=CHECKS)
settings.register_profile("long", max_examples=5000, deadline=None, print_blob=True, suppress_health_check=CHECKS)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
if "SDPCERT_EXAMPLES" in os.environ:
    count = int(os.environ["SDPCERT_EXAMPLES"])
    settings.register_profile("counted", parent=settings.get_profile("long"), max_examples=count)
    settings.load_profile("counted")

# Background jobs of a shell ignore Ctrl-C; the tests of interrupts need Python's handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or os.environ.get("SDPCERT_SLOW", "0") not in ("", "0"):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow or SDPCERT_SLOW=1")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_networks() -> Path:
    """The folder of trained networks with published or exact values, beside the repository; a clone has none."""
    return _shared("networks")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of image packs beside the repository, which a clone does not have."""
    return _shared("data")


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    return folder
