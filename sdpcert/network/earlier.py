"""Rules by which networks were built for earlier certificates, so that these still bind to their files.

A certificate holds the hash of the form that was proved. Where a network is built better today, the earlier rule is
kept here and applied again when an old certificate is compared with its network: `sdpcert.certify.binding`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_APPLY = ContextVar("earlier_rules", default=False)
_SUMS = ContextVar("sums_of_the_library", default=False)


@contextmanager
def earlier_rules() -> Iterator[None]:
    """Build networks by the earlier rules inside the block."""
    token = _APPLY.set(True)
    try:
        yield
    finally:
        _APPLY.reset(token)


def by_earlier_rules() -> bool:
    """Whether networks are to be built by the earlier rules: a cell of a pooling window outside the image repeats the
    first one inside, instead of each cell being listed once; soft shrinking is the difference of the value and a
    clamped one, instead of an activation.
    """
    return _APPLY.get()


@contextmanager
def sums_of_the_library() -> Iterator[None]:
    """Keep constants with the digits that the library of matrix products left in them, inside the block.

    Files of version 3 were made like that at first. Another library, or another processor, adds up in another order;
    the hashes of biases in such files depend on it.
    """
    token = _SUMS.set(True)
    try:
        yield
    finally:
        _SUMS.reset(token)


def by_sums_of_the_library() -> bool:
    """Whether what layers make of constants is rounded in each product, instead of once."""
    return _SUMS.get() or by_earlier_rules()
