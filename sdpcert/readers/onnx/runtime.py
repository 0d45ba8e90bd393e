"""Running an ONNX file: with ONNX Runtime, or with ONNX's reference if that is not installed or fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdpcert.readers.errors import first_line
from sdpcert.readers.onnx.tensors import tensor_array

Array = np.ndarray
HALF = (10, 16)  # float16 and bfloat16, by number in TensorProto.DataType
_FLOAT = 1


class Runtime:
    """A file that runs: `name` says what runs it, a call takes one input as the file has it.

    If the first runtime fails on the first input, the second takes over for good, so that answers of two runtimes are
    never mixed. Raises ValueError if neither runs the file.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._input, self._output = model.graph.input[0].name, model.graph.output[0].name
        self._reason = "onnxruntime is not installed"
        self.name = ""
        self._run = self._session() or self._evaluator()
        self._ran = False

    def __call__(self, value: Array) -> Array:
        """The output for one input, in float64."""
        try:
            result = self._run(value)
        except Exception as error:  # the runtimes raise classes of their own
            if self._ran or not self.name.startswith("onnxruntime"):
                raise ValueError(f"{self.name} cannot run the file: {first_line(error)}") from None
            self._reason = f"onnxruntime cannot run the file: {first_line(error)[:80]}"
            self._run = self._evaluator()
            return self(value)
        self._ran = True
        return np.asarray(result).astype(float)

    def _session(self) -> Callable[[Array], Any] | None:
        try:
            import onnxruntime
        except ImportError:
            return None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            # Without the fallback, which would print to the standard output.
            session = onnxruntime.InferenceSession(
                self._model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception:  # the runtime raises classes of its own
            self._reason = "onnxruntime refuses the file"
            return None
        self.name = f"onnxruntime {onnxruntime.__version__}"
        return lambda x: session.run([self._output], {self._input: x})[0]

    def _evaluator(self) -> Callable[[Array], Any]:
        from onnx import __version__
        from onnx.reference import ReferenceEvaluator

        try:
            evaluator = ReferenceEvaluator(self._model)
        except Exception as error:
            raise ValueError(
                f"neither runtime takes the file, so what was read cannot be checked: {first_line(error)}"
            ) from None
        self.name = f"onnx.reference {__version__} ({self._reason})"
        return lambda x: evaluator.run([self._output], {self._input: x})[0]  # type: ignore[index]


def widened(model: Any) -> Any:
    """A model in half precision with the same weights, to be run in float32.

    A constant that the file itself rounds by a cast is rounded still.
    """
    from onnx import helper, numpy_helper

    copy = type(model).FromString(model.SerializeToString())
    graph = copy.graph
    for tensor in graph.initializer:
        if tensor.data_type in HALF:
            tensor.CopyFrom(numpy_helper.from_array(tensor_array(tensor).astype(np.float32), tensor.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in HALF:
            value.type.tensor_type.elem_type = _FLOAT
    moving, nodes = {graph.input[0].name}, []
    for node in graph.node:
        moves = any(name in moving for name in node.input)
        if moves:
            moving.update(node.output)
        nodes.append(node)
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type in HALF:
                values = tensor_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
            elif attribute.name in ("to", "output_dtype") and attribute.i in HALF:
                if moves or node.op_type != "Cast":
                    attribute.i = _FLOAT
                    continue
                last = node.output[0]
                node.output[0] = last + ":rounded"
                nodes.append(helper.make_node("Cast", [node.output[0]], [last], to=_FLOAT))
    nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    graph.ClearField("node")
    graph.node.extend(nodes)
    return copy
