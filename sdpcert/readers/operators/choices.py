"""Choices between two values by the sign of a third: continuous ones are read as a sum with a ReLU.

`where(s > 0, a, b)` and `a * (s > 0) + b * (s <= 0)` jump where s is zero, unless a and b agree there. For affine a, b
and s they do so everywhere only if `a - b = c s` with constants c, and then the choice is `b + c relu(s)`. So leaky
ReLUs, clamps and Householder activations that are written as choices have an exact form.

The constants are found by evaluating the affine maps on random arguments: an identity of affine maps that holds there
holds everywhere, with probability one. What two branches differ by at the edge must be explained by the rounding of
their weights in the type of the file or module; what is read then is the continuous function.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sdpcert.network.activations import leaky_relu, relu
from sdpcert.network.affine import AffineLayer, Scale
from sdpcert.network.graph import Graph
from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.operators.elementwise import ELEMENTWISE
from sdpcert.readers.operators.linear import add_values, scaled
from sdpcert.readers.operators.values import Builder, Call, Choice, Constant, Dynamic, Handler, Operand, Value

Array = np.ndarray
#: Random arguments on which two affine maps are compared.
PROBES = 6
#: How many roundings, relative to the branches, may explain what they differ by where the choice switches.
ROUNDINGS = 16.0
#: Bound of the relative error of a factor that was computed.
FACTOR_ERROR = 2.0**-46
#: Types of whole numbers and truth values in TensorProto.DataType.
_WHOLE = (6, 7, 9)
_TRUE, _FALSE = Constant(np.ones(())), Constant(np.zeros(()))


def resolved(builder: Builder, value: Value) -> Operand:
    """The value, a choice as the tensor that it is; raises `UnsupportedModel` for a choice that jumps."""
    if not isinstance(value, Choice):
        return value
    if value not in builder.resolved:  # once, so that the tensor is one and the same wherever it is read
        builder.resolved[value] = _as_tensor(builder, value)
    return builder.resolved[value]


def _as_tensor(builder: Builder, value: Choice) -> Dynamic:
    call = Call("Where", [], {}, 0, 1, builder)
    above, below = (_tensor(builder, part, value) for part in (value.above, value.below))
    source = builder.broadcast(value.source, value.shape)
    slope = _leak(builder.graph, source, above, below)
    if slope is not None:
        return builder.layer(leaky_relu(slope) if np.any(slope) else relu(), value.shape, source)
    factor, error = _factor(builder, source, above, below)
    bent = scaled(call, builder.layer(relu(), value.shape, source), factor, error)
    return add_values(call, [below, bent], (1, 1))


def _tensor(builder: Builder, part: Dynamic | Constant, choice: Choice) -> Dynamic:
    """A branch as a tensor of the choice's shape; a constant as zero times what decides, plus the constant."""
    if isinstance(part, Dynamic):
        return builder.broadcast(part, choice.shape)
    nothing = builder.layer(Scale(0.0), choice.source.shape, choice.source)
    return add_values(Call("Add", [], {}, 0, 1, builder), [builder.broadcast(nothing, choice.shape), part], (1, 1))


def _leak(graph: Graph, source: Dynamic, above: Dynamic, below: Dynamic) -> Array | float | None:
    """The slope below zero if the branches are what decides and a multiple of it: such a choice is a leaky ReLU."""
    if above.number != source.number:
        return None
    if below.number == source.number:
        return 1.0
    node = graph.nodes[below.number - 1]
    scale = node.layer
    if not isinstance(scale, Scale) or scale.coefficient_error or np.any(scale.shift):
        return None
    return scale.factor if node.inputs == (source.number,) or not np.any(scale.factor) else None


def _factor(builder: Builder, source: Dynamic, above: Dynamic, below: Dynamic) -> tuple[Array, float]:
    """The factors c in `above - below = c source`, and a bound of their relative error; refuses what has none."""
    graph, numbers = builder.graph, (source.number, above.number, below.number)
    fixed, moving = _probed(graph, numbers)
    parts = [np.concatenate([fixed[k], moving[k]]) for k in range(3)]
    edge, first, second = parts
    difference = first - second
    weight = np.sum(edge**2, axis=0)
    safe = np.where(weight > 0, weight, 1.0)
    factor = np.where(weight > 0, np.sum(difference * edge, axis=0) / safe, 0.0)
    short = np.ldexp(np.rint(np.ldexp(factor, 20)), -20)
    factor = np.where(np.abs(factor - short) <= FACTOR_ERROR * np.abs(factor), short, factor)
    unit = ROUNDINGS * builder.unit
    for values in (fixed, moving):  # constants by themselves, so that a small step is not lost beside large arguments
        rest = np.abs(values[1] - values[2] - factor * values[0])
        size = np.abs(values[1]) + np.abs(values[2]) + np.abs(factor * values[0])
        if not np.all(np.max(rest, axis=0) <= unit * np.max(size, axis=0)):
            raise UnsupportedModel(
                "the two values do not agree where the choice switches between them, so it jumps; "
                "use torch.relu, torch.maximum or torch.clamp, or their ONNX operators"
            )
    exact = np.array_equal(factor, short) and np.array_equal(difference, factor * edge)
    return factor, 0.0 if exact else FACTOR_ERROR


def _probed(graph: Graph, numbers: tuple[int, ...]) -> tuple[list[Array], list[Array]]:
    """Affine values of nonlinear ones (and of the input) where these are zero, and what random ones add to that."""
    needed: set[int] = set()
    waiting = list(numbers)
    while waiting:
        number = waiting.pop()
        if number not in needed:
            needed.add(number)
            waiting.extend(_read(graph, number))
    check_size((PROBES + 1, sum(int(np.prod(graph.shape(k))) for k in needed)), "the values that a choice depends on")
    generator = np.random.default_rng(20240531)
    values: dict[int, Array] = {}
    for number in sorted(needed):
        given = _read(graph, number)
        if given:
            values[number] = graph.nodes[number - 1].layer(*(values[k] for k in given))
        else:
            random = generator.standard_normal((PROBES, *graph.shape(number)))
            values[number] = np.concatenate([np.zeros((1, *graph.shape(number))), random])
    chosen = [values[k] for k in numbers]
    return [v[:1] for v in chosen], [v[1:] - v[:1] for v in chosen]


def _read(graph: Graph, number: int) -> tuple[int, ...]:
    """What an affine value is computed from; nothing for the others, which are free."""
    node = graph.nodes[number - 1] if number else None
    return node.inputs if node is not None and isinstance(node.layer, AffineLayer) else ()


# ---------------------------------------------------------------- operators


def _comparison(above: Constant, below: Constant) -> Handler:
    def handle(call: Call) -> Choice:
        return _decided(call, call.inputs, above, below)

    return handle


def _decided(call: Call, operands: list[Value | None], above: Constant, below: Constant) -> Choice:
    first, second = (v if v is None else resolved(call.builder, v) for v in operands)
    if first is None or second is None:
        raise ValueError("an operand is missing")
    shape = np.broadcast_shapes(first.shape, second.shape)
    if isinstance(first, Constant):  # the tensor first, so that two comparisons of it are known as such
        first, second, above, below = second, first, below, above
    assert isinstance(first, Dynamic)
    if isinstance(second, Constant) and not np.any(second.value):
        return Choice(first, above, below, shape)
    known = call.builder.compared
    key = first.number, second.number if isinstance(second, Dynamic) else second.value.tobytes(), shape
    if key not in known:
        known[key] = add_values(call, [first, second], (1, -1))
    return Choice(known[key], above, below, shape)


def _sign(call: Call) -> Choice:
    source = call.dynamic()
    return Choice(source, _TRUE, Constant(-np.ones(())), source.shape)


def _not(call: Call) -> Choice:
    choice = _choice(call.inputs[0])
    return replace(choice, above=choice.below, below=choice.above)


def _choice(value: Value | None) -> Choice:
    if not isinstance(value, Choice):
        raise UnsupportedModel("its condition is no comparison of what depends on the input")
    return value


def _where(call: Call) -> Value:
    condition, first, second = call.inputs
    if condition is None or first is None or second is None:
        raise ValueError("an operand is missing")
    if isinstance(condition, Constant):
        return _masked(call, condition, first, second)
    choice = _choice(condition)
    ends = [part.value for part in (choice.above, choice.below) if isinstance(part, Constant) and part.value.size == 1]
    if len(ends) != 2 or {bool(e) for e in ends} != {False, True}:
        raise UnsupportedModel("its condition is no comparison of what depends on the input")
    first, second = (resolved(call.builder, v) for v in (first, second))
    above, below = (first, second) if ends[0] else (second, first)
    shape = np.broadcast_shapes(choice.shape, first.shape, second.shape)
    return Choice(choice.source, above, below, shape)


def _masked(call: Call, condition: Constant, first: Value, second: Value) -> Value:
    """A choice that the file states: each entry from one of the two."""
    mask = condition.value.astype(float)
    terms = [_times(call, v, m) for v, m in ((first, mask), (second, 1 - mask))]
    return _apply("Add", call, terms)


def _times(call: Call, value: Value, mask: Array) -> Value:
    if isinstance(value, Constant):
        kept = np.where(mask > 0, value.value, 0.0)
        error = np.where(mask > 0, value.error, 0.0) if not value.exact else 0.0
        return Constant(kept, value.name, error)
    return _apply("Mul", call, [resolved(call.builder, value), Constant(mask)])


def _apply(operator: str, call: Call, operands: list[Any]) -> Any:
    """An elementwise operator of tensors and constants; a product with zero is the constant zero."""
    if operator == "Mul" and any(isinstance(v, Constant) and v.exact and not np.any(v.value) for v in operands):
        return Constant(np.zeros(np.broadcast_shapes(*(v.shape for v in operands))))
    if all(isinstance(v, Constant) for v in operands):
        first, second = (v.value for v in operands)
        if not all(v.exact for v in operands):
            raise UnsupportedModel("its branches are computed with rounding; store their values")
        made = {"Mul": np.multiply, "Add": np.add, "Sub": np.subtract, "Div": np.divide}[operator](first, second)
        return Constant(np.asarray(made, dtype=float))
    return ELEMENTWISE[operator](replace(call, operator=operator, inputs=operands))


def _branchwise(call: Call) -> Value:
    """A sum, difference, product or quotient with a choice in it, branch by branch."""
    operands = [v for v in call.inputs if v is not None]
    if len(operands) != 2 or len(call.inputs) != 2:
        raise UnsupportedModel("choices that depend on the input are added two by two here")
    choices = [v for v in operands if isinstance(v, Choice)]
    if len({c.source.number for c in choices}) > 1:  # one of them has to be a tensor by itself
        try:
            operands = [operands[0], resolved(call.builder, operands[1])]
        except UnsupportedModel:
            operands = [resolved(call.builder, operands[0]), operands[1]]
    lead = next(v for v in operands if isinstance(v, Choice))
    shape = np.broadcast_shapes(*(v.shape for v in operands))
    parts = []
    for side in ("above", "below"):
        chosen = [getattr(v, side) if isinstance(v, Choice) else v for v in operands]
        parts.append(_apply(call.operator, call, chosen))
    return Choice(lead.source, parts[0], parts[1], shape)


def _itself(call: Call) -> Value:
    return _choice(call.inputs[0])


def _cast(call: Call) -> Value:
    choice, to = _choice(call.inputs[0]), call.attribute("to")
    if to in (*call.builder.casts, "FLOAT", "DOUBLE") or (_is_condition(choice) and to in _WHOLE):
        return choice
    raise UnsupportedModel("a cast to a type that does not hold all numbers of the input's rounds")


def _is_condition(choice: Choice) -> bool:
    """Whether it is one of the numbers 0 and 1, or a truth value."""
    ends = (choice.above, choice.below)
    return all(isinstance(part, Constant) and np.all(np.isin(part.value, (0.0, 1.0))) for part in ends)


def _negative(call: Call) -> Value:
    choice = _choice(call.inputs[0])
    return _branchwise(replace(call, operator="Mul", inputs=[choice, Constant(-np.ones(()))]))


#: Operators that make choices, or decide by one.
CHOOSING: dict[str, Handler] = {
    **dict.fromkeys(("Greater", "GreaterOrEqual"), _comparison(_TRUE, _FALSE)),
    **dict.fromkeys(("Less", "LessOrEqual"), _comparison(_FALSE, _TRUE)),
    "Sign": _sign,
    "Not": _not,
    "Where": _where,
}
#: Operators that others do on tensors, and these on choices; a choice is resolved for all others.
ON_CHOICES: dict[str, Handler] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _branchwise),
    "Cast": _cast,
    "Identity": _itself,
    "Neg": _negative,
    "Not": _not,
    "Where": _where,
}
