"""ONNX files: a walk over the graph that knows every operator it passes.

The graph is taken in exact arithmetic on the stored weights. What has no exact form is refused by name, here. Then,
node by node (`walk.py`), constants are folded (`constants.py`) and everything that depends on the input becomes affine
layers and slope-restricted activations (`sdpcert.readers.operators`). At last the file is run and compared
(`verify.py`).

The first axis of the input is a batch of one if the file leaves it open or says 1; the network's `input_shape` is
without it. A longer first axis is a batch too if every sample goes through one and the same network, which the graph
shows (`Builder`); else it is an axis of the input like any other. Weights in half precision and
dequantised ones are taken as the numbers they are. Control flow, functions and most operators outside the standard are
refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sdpcert.network.graph import Network
from sdpcert.network.nodes import Node
from sdpcert.readers.errors import MAX_FILE_BYTES, UnsupportedModel, check_size, first_line, quoted
from sdpcert.readers.onnx.constants import FOLDED
from sdpcert.readers.onnx.tensors import embed_external
from sdpcert.readers.onnx.verify import PRECISIONS, Precision, verify
from sdpcert.readers.onnx.walk import SHAPES, File, label, samplewise
from sdpcert.readers.operators.moves import MOVES
from sdpcert.readers.operators.table import OPERATORS

_STEEP = "its slope is not bounded; on a region, an interval of its argument would be needed"
_NORMALISED = (
    "it divides by a norm of its input, so no slope is bounded near zero; on a region, a norm that stays away from "
    "zero would be needed"
)
_NORMALISING = (
    "LayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "LpNormalization",
    "RMSNormalization",
)
_JUMPING = ("Round", "Floor", "Ceil", "Hardmax", "IsInf", "IsNaN", "Equal", "And", "Or", "Xor")
_ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
#: Why operators that are met often have no place in the condition.
REASONS = {
    "Softmax": "it is not elementwise; export the model up to the logits, and inside of the graph, as in attention, "
    "what it weighs is unbounded: on a region, bounds of those values would be needed",
    "LogSoftmax": "it is not elementwise; export the model up to the logits",
    "Attention": "attention has no global Lipschitz constant; on a region, bounds of its queries, keys and values "
    "would be needed",
    **dict.fromkeys(_NORMALISING, _NORMALISED),
    **dict.fromkeys(
        ("LSTM", "GRU"),
        "its gates multiply values that grow with the input, so no slope is bounded; on a "
        "region, bounds of every state would be needed",
    ),
    "RNN": "recurrence over a sequence is not read; export it unrolled, as matrix products and activations",
    **dict.fromkeys(("Exp", "Sqrt", "Reciprocal", "Log", "Tan", "Sinh", "Cosh", "Asin", "Acos", "Atanh"), _STEEP),
    **dict.fromkeys(_JUMPING, "it jumps, so it has no Lipschitz constant, on no region that the jump is in"),
    **dict.fromkeys(_ROUNDING, "it rounds what depends on the input, so it jumps; quantise the weights alone"),
    **dict.fromkeys(("If", "Loop", "Scan"), "control flow is not read"),
    "ArgMax": "it jumps; export the model up to the logits",
}
_GENERAL = "it is not among the affine maps and elementwise functions of bounded slopes that are read"
#: Operators outside the standard that are read.
_OTHERS = (("com.microsoft", "QuickGelu"), ("com.microsoft", "Gelu"))
#: Types that hold the numbers of a type, by number in TensorProto.DataType.
_HOLD = {1: (1, 11), 10: (1, 10, 11), 11: (1, 11), 16: (1, 11, 16)}


def read_onnx(path: Path) -> Network:
    """Read an ONNX file and compare the result with running it.

    Raises `UnsupportedModel` for what cannot be represented and ValueError for what cannot be read, with one line;
    ImportError if the package `onnx` is missing.
    """
    try:
        from onnx import ModelProto
    except ImportError:
        raise ImportError("reading ONNX files needs the package onnx: pip install 'sdpcert[onnx]'") from None
    name = quoted(path)
    try:
        model: Any = ModelProto()
        try:
            model.ParseFromString(path.read_bytes())
        except Exception:  # protobuf raises classes of its own
            raise ValueError("is truncated or no ONNX file") from None
        return _read(model, path)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{name}: {first_line(error)}") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{name}: {first_line(error)}") from None
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"{name}: reading it needs too much memory ({type(error).__name__})") from None


def _read(model: Any, path: Path) -> Network:
    if not model.HasField("graph") or not model.graph.node:
        raise ValueError("holds no graph; it is truncated or no ONNX file")
    graph = model.graph
    if graph.sparse_initializer:
        raise UnsupportedModel("sparse weights are not read; store them dense")
    opset = _opset(model)
    tensors = {t.name: t for t in graph.initializer}
    if len(tensors) != len(graph.initializer):
        raise ValueError("two weights have one name")
    source, output = _ends(graph, tensors)
    shape, precision, first_axis = _input_shape(source)
    producers = _producers(graph, {*tensors, source.name})
    nodes = _needed(graph, output, producers, {*tensors, source.name})
    _refuse(nodes, source.name, {(f.domain, f.name) for f in model.functions})
    _embed(graph, nodes, tensors, path.parent)
    file = File(nodes, tensors, opset, source.name, output, shape, _HOLD[precision.number], precision.unit)
    result, builder = samplewise(file)
    network = _pruned(builder.graph.network(result.number, source=str(path)))
    if builder.batch > 1:
        first_axis = f"the first axis, of length {builder.batch}: every sample goes through this one network"
    _keep(graph, nodes, source, output)
    details = {"format": "ONNX", "opset": str(opset), "input": source.name, "output": output, "batch axis": first_axis}
    if model.producer_name:
        details["producer"] = f"{model.producer_name} {model.producer_version}".strip()[:100]
    if precision.is_half:
        details["precision"] = f"the file computes in {precision.name}; read is exact arithmetic on its weights"
    verified = verify(network, model, shape, precision, builder.batch)
    return replace(network, details={**details, "verified": verified})


def _opset(model: Any) -> int:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if len(set(versions)) > 1:
        raise ValueError("states two versions of the standard operators")
    return int(versions[0]) if versions else 1


def _ends(graph: Any, tensors: dict[str, Any]) -> tuple[Any, str]:
    """The one input that is not a weight, and the name of the one output."""
    sources = [v for v in graph.input if v.name not in tensors]
    if len(sources) != 1 or not sources[0].name:
        names = ", ".join(quoted(v.name) for v in sources[:5])
        raise UnsupportedModel(f"has {len(sources)} inputs ({names}); a network has one")
    if len(graph.output) != 1:
        names = ", ".join(quoted(v.name) for v in graph.output[:5])
        raise UnsupportedModel(f"has {len(graph.output)} outputs ({names}); export a model with one")
    return sources[0], graph.output[0].name


def _input_shape(source: Any) -> tuple[tuple[int, ...], Precision, str]:
    """The shape, with a batch of one if the file leaves that open, the type, and what the first axis was taken for."""
    name = f"input {quoted(source.name)}"
    kind = source.type.tensor_type
    if kind.elem_type not in PRECISIONS:
        known = ", ".join(p.name for p in PRECISIONS.values())
        raise UnsupportedModel(f"{name} has the element type {kind.elem_type}; types that are read: {known}")
    if not kind.HasField("shape") or not kind.shape.dim:
        raise UnsupportedModel(f"{name} has no stated shape or is a scalar; export with a fixed shape")
    lengths = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    batch = "the first axis, of length 1"
    if lengths[0] is None and len(lengths) > 1:
        lengths[0], batch = 1, "the first axis, left open"
    elif lengths[0] != 1 or len(lengths) == 1:
        batch = "none"
    if None in lengths:
        where = "its only axis" if len(lengths) == 1 else f"its axis {lengths.index(None)}"
        raise UnsupportedModel(f"{name} leaves {where} open; export with a fixed size")
    shape = tuple(int(k) for k in lengths if k is not None)
    if check_size(shape, name) == 0:
        raise ValueError(f"{name} of shape {shape} is empty")
    return shape, PRECISIONS[kind.elem_type], batch


def _producers(graph: Any, given: set[str]) -> dict[str, int]:
    producers: dict[str, int] = {}
    for k, node in enumerate(graph.node):
        for output in node.output:
            if output and (output in producers or output in given):
                raise ValueError(f"the value {quoted(output)} is defined twice")
            producers[output] = k
    return producers


def _needed(graph: Any, output: str, producers: dict[str, int], given: set[str]) -> list[Any]:
    """The nodes that the output depends on, in the order of the file, which must be one of evaluation."""
    needed: set[int] = set()
    waiting: list[tuple[str, int]] = [(output, len(graph.node))]
    while waiting:
        value, reader = waiting.pop()
        if not value or value in given:
            continue
        who = "the graph's output" if reader == len(graph.node) else label(graph.node[reader])
        if value not in producers:
            raise ValueError(f"{who} reads {quoted(value)}, which nothing defines")
        k = producers[value]
        if k >= reader:
            raise ValueError(f"{who} reads {quoted(value)} before it is computed; the graph has a cycle or no order")
        if k not in needed:
            needed.add(k)
            waiting.extend((name, k) for name in graph.node[k].input)
    return [graph.node[k] for k in sorted(needed)]


def _refuse(nodes: list[Any], source: str, functions: set[tuple[str, str]]) -> None:
    """Refuse by name, before anything is computed, every operator that is not read."""
    moving = {source}
    for node in nodes:
        why = ""
        if (node.domain, node.op_type) in functions:
            why = "it is a function of the file; export with functions inlined"
        elif node.domain not in ("", "ai.onnx") and (node.domain, node.op_type) not in _OTHERS:
            why = f"it is of the domain {quoted(node.domain)}, not of the ONNX standard"
        elif any(a.HasField("g") or a.graphs for a in node.attribute):
            why = "it holds a graph of its own (control flow), which is not read"
        elif any(name in moving for name in node.input):
            if node.op_type not in OPERATORS and node.op_type not in SHAPES:
                why = REASONS.get(node.op_type, _GENERAL)
            if node.op_type not in SHAPES:
                moving.update(name for name in node.output if name)
        elif node.op_type not in (*FOLDED, *MOVES, *SHAPES, "Constant"):
            why = "it is not computed on constants; store its value"
        if why:
            raise UnsupportedModel(f"{label(node)} cannot be represented: {why}")


def _embed(graph: Any, nodes: list[Any], tensors: dict[str, Any], folder: Path) -> None:
    """Take data from other files into the model and drop weights that nothing reads."""
    read = {name for node in nodes for name in node.input}
    for name in [n for n in tensors if n not in read]:
        del tensors[name]
    inside = [a.t for node in nodes for a in node.attribute if a.HasField("t")]
    total = 0
    for tensor in (*tensors.values(), *inside):
        outside = tensor.data_location == 1
        embed_external(tensor, folder)
        total += len(tensor.raw_data) if outside else 0
        if total > MAX_FILE_BYTES // 2:
            raise ValueError(f"its external data is larger than {MAX_FILE_BYTES // 2**31} GiB")


def _pruned(network: Network) -> Network:
    """Without nodes that the output does not read."""
    needed, waiting = set(), [network.output]
    while waiting:
        number = waiting.pop()
        if number and number not in needed:
            needed.add(number)
            waiting.extend(network.nodes[number - 1].inputs)
    renumber = {0: 0, **{old: new for new, old in enumerate(sorted(needed), start=1)}}
    nodes = []
    for old in sorted(needed):
        node = network.nodes[old - 1]
        nodes.append(Node(node.layer, tuple(renumber[k] for k in node.inputs), node.shape))
    return replace(network, nodes=tuple(nodes), output=renumber[network.output])


def _keep(graph: Any, nodes: list[Any], source: Any, output: str) -> None:
    """Leave in the graph only what was read, so that nothing else is run."""
    read = {name for node in nodes for name in node.input}
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    weights = [t for t in graph.initializer if t.name in read]
    weights = [type(t).FromString(t.SerializeToString()) for t in weights]
    entry = type(source).FromString(source.SerializeToString())
    for field in ("node", "initializer", "input", "value_info"):
        graph.ClearField(field)
    graph.node.extend(copies)
    graph.initializer.extend(weights)
    graph.input.append(entry)
    if graph.output[0].type.tensor_type.HasField("shape"):
        graph.output[0].type.tensor_type.ClearField("shape")
