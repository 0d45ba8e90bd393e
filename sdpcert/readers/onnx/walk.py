"""The walk over an ONNX graph: every node in order, constants folded, what depends on the input into a `Graph`.

If the first axis of the input is a batch, the graph of one sample is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdpcert.readers.errors import UnsupportedModel, check_size, first_line, quoted
from sdpcert.readers.onnx.constants import fold
from sdpcert.readers.onnx.tensors import tensor_array
from sdpcert.readers.operators.choices import resolved
from sdpcert.readers.operators.table import apply
from sdpcert.readers.operators.values import Builder, Call, Choice, Constant, Dynamic, NotSamplewise, Value

SHAPES = ("Shape", "Size")


@dataclass(frozen=True)
class File:
    """What is read of a file: its nodes in order of evaluation, its stored tensors, its ends."""

    nodes: list[Any]
    tensors: dict[str, Any]
    opset: int
    source: str
    output: str
    shape: tuple[int, ...]
    casts: tuple[int, ...]
    unit: float


def samplewise(file: File) -> tuple[Dynamic, Builder]:
    """The output and the graph of one sample if the first axis is a batch, else of the whole input.

    Raises ValueError if neither can be built; if samples are treated alike, with the reason for the batch.
    """
    if len(file.shape) < 2 or file.shape[0] == 1:
        return _build(file, 1)
    try:
        return _build(file, file.shape[0])
    except ValueError as error:
        try:
            return _build(file, 1)
        except ValueError as whole:
            if not isinstance(error, NotSamplewise):
                raise error from None
            kind = UnsupportedModel if isinstance(whole, UnsupportedModel) else ValueError
            raise kind(f"{whole}; the first axis is no batch axis: {error}") from None


def _build(file: File, batch: int) -> tuple[Dynamic, Builder]:
    builder = Builder(file.shape, batch, file.casts, file.unit)
    values: dict[str, Value] = {"": Constant(np.zeros(0)), file.source: builder.input}
    counted = total = 0
    for node in file.nodes:
        _evaluate(node, values, file.tensors, file.opset, builder)
        total += sum(math.prod(new.shape) for new in builder.graph.nodes[counted:])
        counted = len(builder.graph.nodes)
        check_size((total,), "all tensors up to " + label(node))
    result = values.get(file.output)
    if isinstance(result, Choice):
        try:
            result = resolved(builder, result)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"the output {quoted(file.output)} cannot be represented: {error}") from None
    if not isinstance(result, Dynamic):
        raise UnsupportedModel(f"the output {quoted(file.output)} does not depend on the input")
    return result, builder


def label(node: Any) -> str:
    """Operator and name of a node, for messages."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"operator {str(operator)[:60]!s} (node {quoted(node.name or next(iter(node.output), ''))})"


def _attributes(node: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            raise UnsupportedModel("it takes an attribute from a function")
        name, kind = attribute.name, attribute.type
        if not kind:  # files of the first versions leave the type out
            kind = next((k for k, field in ((4, "t"), (3, "s"), (1, "f"), (2, "i")) if attribute.HasField(field)), 7)
        if kind in (1, 2, 3):
            result[name] = (attribute.f, attribute.i, attribute.s)[kind - 1]
        elif kind == 4:
            result[name] = tensor_array(attribute.t, name)
        elif kind in (6, 7):
            result[name] = list(attribute.floats if kind == 6 else attribute.ints)
        else:
            raise UnsupportedModel(f"its attribute {quoted(name)} has a type that is not read")
        if kind in (1, 6) and node.op_type != "Clip" and not np.all(np.isfinite(result[name])):
            raise ValueError(f"its attribute {quoted(name)} is not finite")
    return result


def _evaluate(node: Any, values: dict[str, Value], tensors: dict[str, Any], opset: int, builder: Builder) -> None:
    """Add what a node computes to `values`."""
    try:
        inputs: list[Value | None] = []
        for name in node.input:
            if name and name not in values:
                if name not in tensors:
                    raise ValueError(f"it reads {quoted(name)}, an output that is not read here")
                values[name] = Constant(tensor_array(tensors[name]), name)
            inputs.append(values[name] if name else None)
        attributes = _attributes(node)
        outputs = sum(1 for name in node.output if name)
        call = Call(node.op_type, inputs, attributes, opset, outputs, builder)
        results: list[Any]
        if node.op_type == "Constant":
            results = [_constant(attributes)]
        elif node.op_type in SHAPES:
            results = [_shape(call)]
        elif any(isinstance(value, Dynamic | Choice) for value in inputs):
            result = apply(call)
            results = result if isinstance(result, list) else [result]
        else:
            results = list(fold(call))
    except UnsupportedModel as error:
        kind = NotSamplewise if isinstance(error, NotSamplewise) else UnsupportedModel
        raise kind(f"{label(node)} cannot be represented: {first_line(error)}") from None
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AssertionError) as error:
        raise ValueError(f"{label(node)} cannot be read: {first_line(error)}") from None
    for name, result in zip(node.output, results):
        values[name] = replace(result, name=name) if isinstance(result, Constant) else result


def _constant(attributes: dict[str, Any]) -> Constant:
    for name, dtype in (("value", None), ("value_float", float), ("value_floats", float)):
        if name in attributes:
            return Constant(np.asarray(attributes[name], dtype=dtype))
    for name in ("value_int", "value_ints"):
        if name in attributes:
            return Constant(np.asarray(attributes[name], dtype=np.int64))
    raise UnsupportedModel("its value is of a kind that is not read")


def _shape(call: Call) -> Constant:
    value = call.inputs[0]
    if value is None:
        raise ValueError("its input is missing")
    if call.operator == "Size":
        return Constant(np.asarray(int(np.prod(value.shape)), dtype=np.int64))
    part = slice(call.attribute("start", 0), call.attribute("end"))
    return Constant(np.asarray(value.shape[part], dtype=np.int64))
