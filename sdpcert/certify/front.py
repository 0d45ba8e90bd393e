"""A convolutional network as a front on a torus and the head that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.embedding import Embedding, embed
from sdpcert.network.graph import Network
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.network.torus import TorusForm

Array = np.ndarray
#: Bits of the scales between front and head: products with float32 weights stay exact.
SCALE_BITS = 26


def front_and_head(
    network: Network,
    output_rows: Sequence[int] | None = None,
    torus: tuple[int, int] | None = None,
    share: bool = True,
) -> tuple[Embedding, TorusForm, StackedForm | None]:
    """The embedding, the front on the torus and the head of a network, with the chosen outputs.

    With `share` channels that read the same are one; without it the front may be proved by construction.
    """
    embedding = embed(network, torus, share)
    form = embedding.form
    head = None if embedding.head is None else embedding.head.stacked
    if output_rows is not None:
        if head is not None:
            order = embedding.output_order
            head = head.output_rows([int(order[r]) if 0 <= r < len(order) else r for r in output_rows])
        elif form.pooled:
            form = _rows_of_pooled(form, output_rows)
        else:
            raise ValueError("output rows cannot be chosen over frequencies where the output is an image")
    form = form.reduced(embedding.output_group if head is not None else 0)
    return embedding, form, None if head is None else head.reduced()


def _rows_of_pooled(form: TorusForm, rows: Sequence[int]) -> TorusForm:
    for row in rows:
        if not 0 <= row < form.outputs:
            raise ValueError(f"output row {row} does not exist; the network has rows 0 to {form.outputs - 1}")
    if not len(rows):
        raise ValueError("no output row was chosen")
    chosen = {
        key: replace(block, weights=block.weights[:, list(rows)]) if key[0] == form.output_row else block
        for key, block in form.blocks.items()
    }
    return replace(form, outputs=len(rows), blocks=chosen)


def read_scaled(head: StackedForm, scale: Array) -> StackedForm:
    """The head as a function of its input over the scales: the columns of the maps that read it are multiplied."""
    blocks = dict(head.blocks)
    for (to, source), block in head.blocks.items():
        if source:
            continue
        if block.low is not None:
            blocks[to, source] = block.times(scale)
            continue
        weights = block.weights * scale
        exact = _exact_products(block.weights, scale, weights)
        if by_earlier_rules():  # weights outside of float32's range counted as rounded
            float32 = bool(np.all(block.weights.astype(np.float32).astype(float) == block.weights))
            short = float32 or bool(np.all(np.frexp(scale)[0] == 0.5))
            exact = short and bool(np.all(weights / scale == block.weights))
        radius = block.radius * float(np.max(scale)) * (1 + 2.0**-50)
        if not exact:
            radius += 2.0**-52 * error_bound.largest(np.abs(weights)) + 2.0**-1074
        radius = error_bound.largest(radius)
        blocks[to, source] = Block(weights, float(np.nextafter(radius, np.inf)) if radius > 0 else 0.0, block.zero)
    return replace(head, blocks=blocks)


def _exact_products(weights: Array, scale: Array, products: Array) -> bool:
    """Whether the products were not rounded: factors of 27 and SCALE_BITS bits, or a power of two, and no underflow.

    Bits are counted, whatever the exponents: a mean over pixels moves float32 numbers below float32's range.
    """
    short = np.ldexp(np.frexp(weights)[0], 53 - SCALE_BITS)
    few = bool(np.all(short == np.rint(short))) or bool(np.all(np.frexp(scale)[0] == 0.5))
    normal = np.abs(products) >= np.finfo(float).tiny
    return few and bool(np.all(normal | (weights == 0)))
