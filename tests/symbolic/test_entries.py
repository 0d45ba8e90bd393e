"""Formulas of entries: every index is bound once, counts one dimension, and is read where it makes sense."""

from typing import Any, cast

import pytest

from sdpcert.symbolic import (
    AlgebraError,
    diagonal,
    indices,
    largest,
    matrix,
    rule,
    scalar,
    scalar_rule,
    symmetric,
    total,
    vector,
)

i, j, k = indices("i j k")
W, q, S = matrix("W", "n", "m"), diagonal("q", "m"), symmetric("S", "m", positive=True)
G = W.T @ W


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rule("T", "m", i, total(abs(G[i, j]), i)), "T: nothing binds j in"),
        (lambda: rule("T", "m", i, total(abs(G[i, i]), i)), "T: the index i of the rule is bound again"),
        (lambda: rule("T", "m", i, total(total(abs(G[i, j]), j) * q[j], j)), "index j is bound twice"),
        (lambda: rule("T", "m", i, total(abs(G[i, k]) * q[j], j)), "T: nothing binds k in"),
        (lambda: rule("T", "m", i, total(abs(G[i, k]), j)), "the index j does not occur in it"),
        (lambda: rule("T", "m", i, total(abs(G[i, j]), j, without=k)), "T: nothing binds k in"),
        (lambda: rule("T", "m", i, total(abs(G[i, j]), j, without=j)), "leaves out every value"),
        (lambda: rule("T", "n", i, total(abs(G[i, j]), j)), "T has n entries, but i counts m"),
        (lambda: total(abs(W[j, i]) * q[j], j), "j counts m and n"),
        (lambda: total(abs(G[i, j]), cast("Any", "j")), "runs over an index from indices"),
        (lambda: rule("T", "m", cast("Any", "i"), total(abs(G[i, j]), j)), "not at 'i'"),
        (lambda: scalar_rule("t", total(abs(G[i, j]), j)), "t: nothing binds i in"),
        (lambda: largest(abs(G[i, i]), j), "the index j does not occur"),
        (lambda: W[i], "W is not diagonal"),
        (lambda: S[i], "S is not diagonal"),
        (lambda: W[0, 1], "entries are read as"),
        (lambda: rule("T", "m", i, W), "is no entry of a matrix"),
        (lambda: total(W, j), "is no entry of a matrix"),
    ],
)
def test_what_no_rule_means_is_one_line(make, message):
    with pytest.raises(AlgebraError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_indices_that_are_bound_once_each():
    x, s = vector("x", "m"), scalar("s", positive=True)
    rule("T", "m", i, total(abs(G[i, j]) * q[j] / q[i], j) + abs(G[i, i]) + s)
    rule("T", "m", i, total(abs(G[i, j]), j, without=i) + total(abs(S[i, j]), j))
    rule("T", "m", k, largest(total(abs(G[i, j]), j), i) + abs(x[k]))
    scalar_rule("t", largest(total(abs(G[i, j]), j), i))
    assert (q @ q)[i].shown
