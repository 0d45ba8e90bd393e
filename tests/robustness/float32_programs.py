"""Float32 programs of a small dense network: NumPy in several orders, torch, and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from onnx import helper
from torch import nn

from sdpcert import Network
from tests.readers import onnx_models

Array = np.ndarray
Program = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Dense:
    """A ReLU network in float64; every program rounds its weights to float32 first."""

    weights: list[Array]
    biases: list[Array]

    def network(self) -> Network:
        """For sdpcert."""
        return Network.mlp(self.weights, self.biases)

    def rounded(self) -> list[tuple[Array, Array]]:
        """Weights and biases in float32."""
        return [(w.astype(np.float32), b.astype(np.float32)) for w, b in zip(self.weights, self.biases, strict=True)]

    def in_order(self, order: Callable[[int], Array], last: bool) -> Program:
        """Sums of products one after the other, in an order of the columns; the bias first, or `last`."""

        def run(points: Array) -> Array:
            values = points
            for k, (weight, bias) in enumerate(self.rounded()):
                total = np.zeros((len(points), len(bias)), np.float32) if last else np.tile(bias, (len(points), 1))
                for column in order(weight.shape[1]):
                    total = total + values[:, column, None] * weight[:, column]
                total = total + bias if last else total
                values = total if k == len(self.weights) - 1 else np.maximum(total, np.float32(0))
            return values

        return run

    def module(self) -> nn.Sequential:
        """A torch module in float32."""
        parts: list[nn.Module] = []
        for weight, bias in self.rounded():
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
                linear.bias.copy_(torch.from_numpy(bias))
            parts += [linear, nn.ReLU()]
        return nn.Sequential(*parts[:-1])

    def session(self, threads: int) -> onnxruntime.InferenceSession:
        """ONNX Runtime with the same network."""
        nodes, constants, value = [], {}, "x"
        for k, (weight, bias) in enumerate(self.rounded()):
            constants |= {f"w{k}": weight, f"b{k}": bias}
            end = "y" if k == len(self.weights) - 1 else f"v{k}"
            nodes.append(helper.make_node("Gemm", [value, f"w{k}", f"b{k}"], [end], transB=1))
            if end != "y":
                nodes.append(helper.make_node("Relu", [end], [f"z{k}"]))
                value = f"z{k}"
        proto = onnx_models.model(nodes, ("n", self.weights[0].shape[1]), constants)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def programs(self) -> dict[str, Program]:
        """All programs by name, each from float32 points (n, inputs) to outputs (n, classes)."""
        random, module = np.random.default_rng(0), self.module()
        sessions = {threads: self.session(threads) for threads in (1, 2)}

        def with_torch(threads: int, one_by_one: bool) -> Program:
            def run(points: Array) -> Array:
                before = torch.get_num_threads()
                torch.set_num_threads(threads)
                try:
                    with torch.no_grad():
                        parts = torch.from_numpy(points).split(1 if one_by_one else len(points))
                        return np.concatenate([module(part).numpy() for part in parts])
                finally:
                    torch.set_num_threads(before)

            return run

        return {
            "ascending": self.in_order(np.arange, False),
            "descending": self.in_order(lambda count: np.arange(count)[::-1], True),
            "shuffled": self.in_order(random.permutation, True),
            "torch": with_torch(1, False),
            "torch, two threads": with_torch(2, False),
            "torch, one by one": with_torch(1, True),
            "onnxruntime": lambda points: np.asarray(sessions[1].run(None, {"x": points})[0]),
            "onnxruntime, two threads": lambda points: np.asarray(sessions[2].run(None, {"x": points})[0]),
        }


def cancelling(seed: int, common: float) -> tuple[Dense, Array]:
    """A network whose outputs share a large part, of the size `common`, and a float32 input with a margin near one.

    The real margins do not have the common part, but its rounding errors are those of every output.
    """
    random = np.random.default_rng([seed, 11])
    inputs, hidden, classes = 4, 7, 3
    first = random.standard_normal((hidden, inputs)) / 2
    last = random.standard_normal((classes, hidden)) / 2
    network = Dense([first, last], [random.standard_normal(hidden) / 2, random.standard_normal(classes) / 2])
    points = random.standard_normal((200, inputs)).astype(np.float32)
    values = network.network()(points.astype(float))
    ordered = np.sort(values, axis=1)
    center = points[np.argmin(np.abs(ordered[:, -1] - ordered[:, -2] - 1))]
    shared = common * random.standard_normal(hidden)
    return Dense([first, last + shared], network.biases), center


def others_reach(outputs: Array, label: int) -> Array:
    """Which rows of outputs do not have the label as their one largest entry."""
    return np.max(np.delete(outputs, label, axis=1), axis=1) >= outputs[:, label]
