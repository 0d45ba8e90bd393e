"""Memory that is kept while arrays of the same sizes come and go."""

from __future__ import annotations

import platform
import resource

import numpy as np
import pytest

from sdpcert.running.allocation import kept_memory


def faults(rounds: int) -> int:
    """Pages that the kernel had to bring for some rounds of work on 64 megabytes, mapped anew otherwise."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        np.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_pages_are_brought_once() -> None:
    otherwise = faults(20)
    with kept_memory():
        faults(2)
        assert 4 * faults(20) < otherwise
    assert 4 * faults(20) > otherwise  # as before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_one_inside_another_ends_nothing() -> None:
    otherwise = faults(20)
    with kept_memory():
        with kept_memory():
            faults(2)
        assert 4 * faults(20) < otherwise


def test_an_error_inside_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), kept_memory():
        _ = 1 / 0


def test_other_systems_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with kept_memory():
        assert np.ones(3).sum() == 3
