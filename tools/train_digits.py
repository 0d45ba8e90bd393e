"""Train the small networks of `examples/networks/` on scikit-learn's handwritten digits, and write 20 of these.

    python tools/train_digits.py [--out examples/networks]

The digits are the 1,797 images of 8 x 8 pixels, values 0 to 16, that come with scikit-learn (no download). Every run
on one machine with the same versions writes the same files: seeds are fixed and torch uses one thread. The ONNX graphs
are written node by node with onnx.helper, checked by onnx.checker and compared with torch through onnxruntime.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 0
OPSET = 17
IR_VERSION = 8  # the one that belongs to opset 17: old runtimes read the files too
TOLERANCE = 1e-5
#: The file of labelled images that no network was trained on, and how many it has: the first of the test images.
INPUTS, INPUTS_COUNT = "digits_inputs.npz", 20


@dataclass(frozen=True)
class Digits:
    """Pixels as float32 of shape (count, 64), values 0 to 16, and labels, split into train and test."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def digits() -> Digits:
    """Three quarters to train on, one quarter to test on, the classes in equal shares."""
    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels.astype(np.float32), labels, test_size=0.25, random_state=SEED, stratify=labels)
    x_train, x_test, y_train, y_test = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return Digits(x_train, y_train, x_test, y_test)


class Normalise(nn.Module):
    """(x - mean) / std with fixed vectors."""

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


class ResidualBlock(nn.Module):
    """x + W2 relu(W1 x + b1) + b2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outer(torch.relu(self.inner(x)))


def make_mlp(data: Digits) -> nn.Sequential:
    """64-32-32-10 on pixels 0 to 16; pixels that hardly vary are divided by one instead of by their deviation."""
    mean, std = data.x_train.mean(0), data.x_train.std(0).clamp(min=1.0)
    return nn.Sequential(
        Normalise(mean, std), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def make_cnn() -> nn.Sequential:
    """(1, 8, 8): two convolutions, the second with stride 2, and one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 10),
    )


def make_residual() -> nn.Sequential:
    """64 -> 24, two residual blocks, -> 10."""
    return nn.Sequential(nn.Linear(64, 24), ResidualBlock(24), ResidualBlock(24), nn.Linear(24, 10))


def make_small_mlp() -> nn.Sequential:
    """64-16-16-10."""
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10))


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int = 60, batch: int = 64) -> None:
    """AdamW with a cosine schedule; the weight decay keeps the networks' Lipschitz constants moderate."""
    order = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=order).split(batch):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
        schedule.step()
    model.eval()


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return (model(x).argmax(1) == y).double().mean().item()


class Graph:
    """Collects nodes and constants; `name` is the value that the next node reads."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.name = "input"

    def constant(self, label: str, tensor: torch.Tensor) -> str:
        self.constants.append(numpy_helper.from_array(tensor.detach().numpy().astype(np.float32), label))
        return label

    def add(self, op: str, label: str, *more: str, **attributes: Any) -> str:
        """Append a node that reads the current value and `more`, and make its result the current value."""
        self.nodes.append(helper.make_node(op, [self.name, *more], [label], name=label, **attributes))
        self.name = label
        return label

    def linear(self, label: str, layer: nn.Linear) -> str:
        weight, bias = self.constant(f"{label}.weight", layer.weight), self.constant(f"{label}.bias", layer.bias)
        return self.add("Gemm", label, weight, bias, transB=1)

    def conv(self, label: str, layer: nn.Conv2d) -> str:
        assert layer.bias is not None
        weight, bias = self.constant(f"{label}.weight", layer.weight), self.constant(f"{label}.bias", layer.bias)
        stride, pad, kernel = (list(map(int, pair)) for pair in (layer.stride, layer.padding, layer.kernel_size))
        return self.add("Conv", label, weight, bias, kernel_shape=kernel, strides=stride, pads=pad * 2)

    def model(self, name: str, input_shape: tuple[int, ...]) -> onnx.ModelProto:
        self.nodes[-1].output[0] = "output"
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *input_shape])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, producer_name="sdpcert", opset_imports=opsets, ir_version=IR_VERSION)


def to_graph(model: nn.Sequential) -> Graph:
    graph = Graph()
    for index, layer in enumerate(model):
        label = f"layer{index}"
        if isinstance(layer, Normalise):
            graph.add("Sub", f"{label}.centred", graph.constant(f"{label}.mean", layer.get_buffer("mean")))
            graph.add("Div", label, graph.constant(f"{label}.std", layer.get_buffer("std")))
        elif isinstance(layer, nn.Linear):
            graph.linear(label, layer)
        elif isinstance(layer, nn.Conv2d):
            graph.conv(label, layer)
        elif isinstance(layer, nn.ReLU):
            graph.add("Relu", label)
        elif isinstance(layer, nn.Flatten):
            graph.add("Flatten", label, axis=1)
        elif isinstance(layer, ResidualBlock):
            skipped = graph.name
            graph.linear(f"{label}.inner", layer.inner)
            graph.add("Relu", f"{label}.relu")
            graph.linear(f"{label}.outer", layer.outer)
            graph.add("Add", label, skipped)
        else:
            raise TypeError(f"no ONNX node for {type(layer).__name__}")
    return graph


def write_onnx(path: Path, model: nn.Sequential, x: torch.Tensor) -> float:
    """Write, check, and return the largest difference to torch on the test images, relative to the largest output."""
    proto = to_graph(model).model(path.stem, tuple(x.shape[1:]))
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"input": x.numpy()})[0]
    with torch.no_grad():
        expected = model(x).numpy()
    return compare(path, np.asarray(outputs), expected)


def write_npz(path: Path, model: nn.Sequential, x: torch.Tensor) -> float:
    """Plain arrays weight_0 (out, in), bias_0 (out,), weight_1, ...; ReLU between the layers."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    arrays: dict[str, np.ndarray] = {}
    for index, layer in enumerate(layers):
        arrays[f"weight_{index}"] = layer.weight.detach().numpy()
        arrays[f"bias_{index}"] = layer.bias.detach().numpy()
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    value = x.numpy()
    with np.load(path) as stored:
        for index in range(len(layers)):
            value = value @ stored[f"weight_{index}"].T + stored[f"bias_{index}"]
            if index < len(layers) - 1:
                value = np.maximum(value, 0)
    with torch.no_grad():
        expected = model(x).numpy()
    return compare(path, value, expected)


def write_inputs(path: Path, data: Digits) -> None:
    """Arrays `inputs` (n, 8, 8), float32, pixels from 0 to 1, and `labels` (n,), as `sdpcert evaluate` reads them."""
    images = (data.x_test[:INPUTS_COUNT] / 16).reshape(-1, 8, 8)
    np.savez(path, inputs=images.numpy(), labels=data.y_test[:INPUTS_COUNT].numpy())


def compare(path: Path, outputs: np.ndarray, expected: np.ndarray) -> float:
    difference = float(np.abs(outputs - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise SystemExit(f"{path}: differs from torch by {difference:.1e}")
    return difference


@dataclass(frozen=True)
class Job:
    """One file: what it is, how its pixels are given, and how to make and write it."""

    file: str
    architecture: str
    input: str
    make: Callable[[Digits], nn.Sequential]
    prepare: Callable[[torch.Tensor], torch.Tensor]
    write: Callable[[Path, nn.Sequential, torch.Tensor], float]


JOBS = [
    Job(
        "digits_mlp.onnx",
        "64-32-32-10, ReLU, with (x - mean) / std in the graph",
        "64 pixels, 0 to 16",
        make_mlp,
        lambda x: x,
        write_onnx,
    ),
    Job(
        "digits_cnn.onnx",
        "conv 3x3 1->4, ReLU, conv 3x3 stride 2 4->8, ReLU, flatten, 128-10",
        "1 x 8 x 8 pixels, 0 to 1",
        lambda _: make_cnn(),
        lambda x: (x / 16).reshape(-1, 1, 8, 8),
        write_onnx,
    ),
    Job(
        "digits_residual.onnx",
        "64-24, two blocks x + W2 relu(W1 x + b1) + b2, 24-10",
        "64 pixels, 0 to 1",
        lambda _: make_residual(),
        lambda x: x / 16,
        write_onnx,
    ),
    Job(
        "digits_mlp.npz",
        "64-16-16-10, ReLU, arrays `weight_i` (out, in) and `bias_i`",
        "64 pixels, 0 to 1",
        lambda _: make_small_mlp(),
        lambda x: x / 16,
        write_npz,
    ),
]

README = """# Small trained networks

Written by `python tools/train_digits.py` (seed {seed}); this page too. Trained on three quarters of scikit-learn's
handwritten digits (1,797 images of 8 x 8 pixels), accuracy measured on the other quarter ({count} images). The last
column is the largest difference between the file and torch on those images, relative to the largest output.

| file | architecture | input | bytes | test accuracy | difference |
|---|---|---|---|---|---|
{rows}

All weights are float32. The ONNX files have opset {opset}, input `input` and output `output`, and a free batch axis.

The command that makes every file of this folder:

    python tools/train_digits.py

Measured with torch {torch}, onnx {onnx}, onnxruntime {onnxruntime}. Other versions or another machine may round
differently while training, and then give slightly different weights.

`{inputs}` has the first {inputs_count} of those {count} images, which no network was trained on, and their classes:
arrays `inputs` ({inputs_count} x 8 x 8, float32, pixels 0 to 1) and `labels`. `sdpcert evaluate` reads them.

`sdpcert certify --example NAME` finds the networks of this folder that read pixels from 0 to 1 in every installation:
digits_mlp (the .npz file, so that no package for ONNX is needed), digits_cnn and digits_residual. `sdpcert evaluate
--example NAME` takes those images with them.

The data set is the test set of the "Optical Recognition of Handwritten Digits" collection (E. Alpaydin and C. Kaynak,
UCI Machine Learning Repository), as distributed with scikit-learn under the BSD 3-clause licence: `LICENSE.digits`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the networks of examples/networks.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "examples" / "networks")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    data = digits()
    rows = []
    for job in JOBS:
        torch.manual_seed(SEED)
        model = job.make(data)
        train(model, job.prepare(data.x_train), data.y_train)
        x_test = job.prepare(data.x_test)
        path = out / job.file
        difference = job.write(path, model, x_test)
        score, size = accuracy(model, x_test, data.y_test), path.stat().st_size
        rows.append(f"| `{job.file}` | {job.architecture} | {job.input} | {size:,} | {score:.4f} | {difference:.1e} |")
        print(f"{job.file:22} {size:7,} bytes   test accuracy {score:.4f}   difference to torch {difference:.1e}")
    write_inputs(out / INPUTS, data)
    text = README.format(
        seed=SEED,
        count=len(data.y_test),
        inputs=INPUTS,
        inputs_count=INPUTS_COUNT,
        rows="\n".join(rows),
        opset=OPSET,
        torch=torch.__version__.split("+")[0],
        onnx=onnx.__version__,
        onnxruntime=onnxruntime.__version__,
    )
    (out / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
