"""The differences of a classifier's outputs as neurons: what bounds of preactivations say about classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from sdpcert.network.earlier import sums_of_the_library
from sdpcert.network.graph import Network
from sdpcert.network.piecewise_linear import Relu
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.network.stacking import stack

Array = np.ndarray


def pairs_of_classes(classes: int) -> list[tuple[int, int]]:
    """All pairs (y, j) of classes with y < j, in the order of the neurons of `with_differences`."""
    return list(combinations(range(classes), 2))


def with_differences(network: Network) -> StackedForm:
    """The stacked form whose last two groups are the network's outputs and all differences of two of them.

    Group `len(groups) - 1` has one neuron of slope 1 for each output; the last group has one ReLU neuron for each pair
    of `pairs_of_classes`, whose preactivation is output y minus output j. Nothing reads it; the outputs of the form are
    the same differences. Raises ValueError if the network has fewer than two outputs.
    """
    classes = int(np.prod(network.output_shape))
    if classes < 2:
        raise ValueError(f"a network with {classes} output has no classes to tell apart")
    return _with_differences(network.carried, classes)


def as_files_state(network: Network) -> Iterator[StackedForm]:
    """What `with_differences` makes of a network, and what it made for earlier files."""
    yield with_differences(network)
    with sums_of_the_library():
        form = stack(network, carried=True).without_unread()
    yield _with_differences(form, int(np.prod(network.output_shape)))


def _with_differences(form: StackedForm, classes: int) -> StackedForm:
    logits, pairs = len(form.groups), pairs_of_classes(classes)
    rows = np.zeros((len(pairs), classes))
    for k, (y, j) in enumerate(pairs):
        rows[k, y], rows[k, j] = 1.0, -1.0
    count = len(pairs)
    group = Group(Relu(), (count,), np.arange(count), np.zeros(count), np.ones(count), np.zeros(count))
    blocks = {key: block for key, block in form.blocks.items() if key[0] <= logits}
    blocks |= {(logits + 1, logits): Block(rows), (logits + 2, logits): Block(rows)}
    return replace(form, outputs=count, groups=(*form.groups, group), blocks=blocks, offset=np.zeros(count))
