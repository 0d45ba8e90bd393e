"""Train a network of deel-torchlip or orthogonium for a fixed time, and write it down as plain layers.

    PYTHON benchmarks/training_rivals.py NAME DATA.npz FOLDER --minutes M [--seed S] [--threads T] [--batch B]

`benchmarks.training` calls this with the interpreter that has the two packages; nothing of sdpcert is imported. Layers,
initial values, losses and activations are the packages' own. The learning rate rises to its peak for three tenths of
the time and falls to zero, as in every run of the benchmark, and shuffling, batches and augmentation are the same too.

FOLDER gets `weights.safetensors` and `network.json`: the layers in order (linear, conv, maxmin, unshuffle, flatten),
whose channels are reordered such that neighbours are compared; the records of all epochs, with the accuracy on some
test images; and what the package's own module gives for the first of them, so that the reader can tell that it has the
same function.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

#: Images of which the outputs are written down.
COMPARED = 64


def torchlip(shape: tuple[int, ...], sizes: dict[str, Any]) -> nn.Sequential:
    """Spectral layers with Bjorck's iteration, sorted pairs, and a last layer whose rows have norm one."""
    from deel import torchlip  # type: ignore[import-not-found]

    channels, side = shape[0], shape[1]
    layers: list[nn.Module] = []
    for width in sizes.get("channels", ()):
        layers += [torchlip.SpectralConv2d(channels, width, (3, 3), padding=1), torchlip.GroupSort2()]
        layers.append(torchlip.InvertibleDownSampling(2))
        channels, side = 4 * width, side // 2
    layers.append(nn.Flatten())
    size = channels * side * side
    for width in sizes["hidden"]:
        layers += [torchlip.SpectralLinear(size, width), torchlip.GroupSort2()]
        size = width
    return nn.Sequential(*layers, torchlip.FrobeniusLinear(size, sizes["classes"], disjoint_neurons=True))


def orthogonium(shape: tuple[int, ...], sizes: dict[str, Any]) -> nn.Sequential:
    """Adaptive orthogonal convolutions with strides, centred batches, and a last layer whose rows have norm one."""
    from orthogonium.layers import (  # type: ignore[import-not-found]
        AdaptiveOrthoConv2d,
        BatchCentering2D,
        MaxMin,
        OrthoLinear,
        UnitNormLinear,
    )

    channels, side = shape[0], shape[1]
    layers: list[nn.Module] = []
    for width in sizes.get("channels", ()):
        for stride in sizes.get("strides", (1, 2)):
            kernel = {"kernel_size": 3, "stride": stride, "padding": 1, "padding_mode": "zeros"}
            layers.append(AdaptiveOrthoConv2d(channels, width, bias=False, **kernel))
            layers += [BatchCentering2D(width), MaxMin()]
            channels = width
        side = (side + 1) // 2
    layers.append(nn.Flatten())
    size = channels * side * side
    for width in sizes["hidden"]:
        layers += [OrthoLinear(size, width), MaxMin()]
        size = width
    return nn.Sequential(*layers, UnitNormLinear(size, sizes["classes"]))


#: The packages' losses with the numbers of their tutorials and papers; "xent-3" has the offset of ours on MNIST.
LOSSES: dict[str, tuple[str, dict[str, float]]] = {
    "lse-hkr": ("LseHKRMulticlassLoss", {"alpha": 0.99, "min_margin": 2.0}),
    "tau": ("TauCrossEntropyLoss", {"tau": 2.0}),
    "xent": ("LossXent", {"offset": 1.5 * 2**0.5, "temperature": 0.25}),
    "xent-3": ("LossXent", {"offset": 3.0, "temperature": 0.25}),
}


def loss_of(name: str, classes: int) -> nn.Module:
    """One of `LOSSES`."""
    from deel import torchlip  # type: ignore[import-not-found]
    from orthogonium import losses  # type: ignore[import-not-found]

    kind, numbers = LOSSES[name]
    made = losses.LossXent(classes, **numbers) if kind == "LossXent" else getattr(torchlip, kind)(**numbers)
    assert isinstance(made, nn.Module)
    return made


DENSE = {"hidden": (256, 256, 256)}
#: Package, sizes, loss and peak learning rate of each contender, by data set.
CONTENDERS: dict[str, dict[str, tuple[Callable[..., nn.Sequential], dict[str, Any], str, float]]] = {
    "digits": {
        "torchlip-dense-hkr": (torchlip, {"hidden": (32, 32)}, "lse-hkr", 1e-2),
        "orthogonium-dense": (orthogonium, {"hidden": (32, 32)}, "xent", 1e-2),
    },
    "mnist": {
        "torchlip-dense-hkr": (torchlip, DENSE, "lse-hkr", 5e-3),
        "torchlip-dense-tau": (torchlip, DENSE, "tau", 5e-3),
        "torchlip-conv-hkr": (torchlip, {"channels": (32, 64), "hidden": (256,)}, "lse-hkr", 2e-3),
        "torchlip-conv-hkr-small": (torchlip, {"channels": (16, 32), "hidden": (256,)}, "lse-hkr", 5e-3),
        "orthogonium-dense": (orthogonium, DENSE, "xent-3", 5e-3),
        "orthogonium-aoc-small": (orthogonium, {"channels": (16, 32), "hidden": (256,)}, "xent-3", 5e-3),
        "orthogonium-aoc": (orthogonium, {"channels": (32, 64), "hidden": (256,)}, "xent-3", 2e-3),
    },
    "cifar10": {
        "torchlip-conv-hkr": (torchlip, {"channels": (32, 64, 128), "hidden": (512,)}, "lse-hkr", 2e-3),
        "torchlip-conv-tau": (torchlip, {"channels": (32, 64, 128), "hidden": (512,)}, "tau", 2e-3),
        "torchlip-conv-tau-small": (torchlip, {"channels": (16, 32, 64), "hidden": (256,)}, "tau", 5e-3),
        "orthogonium-aoc-strides": (
            orthogonium,
            {"channels": (32, 64, 128), "hidden": (256,), "strides": (2,)},
            "xent",
            5e-3,
        ),
        "orthogonium-aoc": (orthogonium, {"channels": (64, 128, 256), "hidden": (512,)}, "xent", 2e-3),
        "orthogonium-aoc-small": (orthogonium, {"channels": (32, 64, 128), "hidden": (512,)}, "xent", 2e-3),
    },
}


def plain_layers(module: nn.Sequential, shape: tuple[int, ...]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """The layers in order and their tensors, with channels ordered so that sorting is one of neighbours, upwards."""
    found: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    order = torch.arange(shape[0])  # of the channels that come next, among those of the module
    pixels = shape[1] * shape[2]
    chain = list(module)
    for place, layer in enumerate(chain):
        following = [type(other).__name__ for other in chain[place + 1 : place + 3]]
        name = type(layer).__name__
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight = layer.weight.detach().clone()[:, order]
            bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach().clone()
            if following[:1] == ["BatchCentering2D"]:
                centred: Any = module[place + 1]
                bias = bias + (centred.bias.detach() - centred.running_mean).flatten()
            half = len(weight) // 2
            order = torch.arange(len(weight))
            if "MaxMin" in following[:2]:  # of the first half with the second: greater ones first
                order = torch.stack([order[:half], order[half:]], 1).flatten()
            tensors[f"{len(found)}.weight"], tensors[f"{len(found)}.bias"] = weight[order], bias[order]
            order = torch.arange(len(weight))
            if isinstance(layer, nn.Conv2d):
                pixels = pixels // layer.stride[0] ** 2
                given = {"stride": layer.stride[0], "padding": layer.padding[0], "padding_mode": layer.padding_mode}
                found.append({"kind": "conv"} | given)
            else:
                found.append({"kind": "linear"})
        elif name == "MaxMin":
            order = torch.stack([torch.arange(half, 2 * half), torch.arange(half)], 1).flatten()
            found.append({"kind": "maxmin"})
        elif name == "GroupSort2":
            found.append({"kind": "maxmin"})
        elif isinstance(layer, nn.PixelUnshuffle):
            order = (4 * order[:, None] + torch.arange(4)).flatten()
            pixels //= 4
            found.append({"kind": "unshuffle"})
        elif isinstance(layer, nn.Flatten):
            order = (pixels * order[:, None] + torch.arange(pixels)).flatten()
            found.append({"kind": "flatten"})
        elif name != "BatchCentering2D":
            raise ValueError(f"no plain form of {name} is known")
    return found, {name: tensor.contiguous() for name, tensor in tensors.items()}


def augmented(images: Tensor, crop: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Shifts by up to `crop` pixels with zeros around, and flips, drawn for each image."""
    if crop:
        shifts = torch.randint(0, 2 * crop + 1, (len(images), 2), generator=generator)
        padded, side = functional.pad(images, (crop,) * 4), images.shape[2]
        rows = shifts[:, :1] + torch.arange(side)
        columns = shifts[:, 1:] + torch.arange(side)
        images = padded[torch.arange(len(images))[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        images = images.permute(0, 3, 1, 2).contiguous()  # the layout that images without shifts have
    if flip:
        flips = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(flips[:, None, None, None], images.flip(3), images)
    return images


@torch.no_grad()
def evaluated(module: nn.Module, images: Tensor) -> Tensor:
    """Outputs (images, classes) as in use, outside the clock; the module goes on training after that."""
    module.eval()
    outputs = torch.cat([module(part) for part in images.split(500)])
    module.train()
    return outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name")
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(asked.seed)
    data = np.load(asked.data)
    maker, sizes, loss_name, peak = CONTENDERS[str(data["name"])][asked.name]
    classes, levels = int(data["classes"]), int(data["levels"])
    crop, flip = int(data["crop"]), bool(data["flip"])
    images, labels = torch.from_numpy(data["images"]), torch.from_numpy(data["labels"].astype(np.int64))
    mean = torch.from_numpy(data["mean"]).float()[:, None, None]
    module = maker(tuple(images.shape[1:]), sizes | {"classes": classes})
    optimiser = torch.optim.Adam(module.parameters(), lr=peak)
    loss, generator = loss_of(loss_name, classes), torch.Generator().manual_seed(asked.seed + 1)
    one_hot = loss_name == "lse-hkr"
    records: list[dict[str, float]] = []
    spent, steps, limit = 0.0, 0, 60 * asked.minutes
    module.train()
    while spent < limit:
        order, total, count = torch.randperm(len(images), generator=generator), 0.0, 0
        for batch in order[: len(order) // asked.batch * asked.batch].split(asked.batch):
            started = time.monotonic()
            done = spent / limit
            for group in optimiser.param_groups:
                group["lr"] = peak * (done / 0.3 if done < 0.3 else (1 - done) / 0.7)
            inputs = augmented(images[batch], crop, flip, generator).float() / levels - mean
            targets = labels[batch]
            outputs = module(inputs)
            value = loss(outputs, torch.where(functional.one_hot(targets, classes) > 0, 1, -1) if one_hot else targets)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            total, count, steps = total + value.item() * len(batch), count + len(batch), steps + 1
            spent += time.monotonic() - started
            if spent >= limit:
                break
        found = evaluated(module, torch.from_numpy(data["test_images"]).float() / levels - mean)
        right = float((found.argmax(1).numpy() == data["test_labels"]).mean())
        record = {"epoch": steps * asked.batch / len(images), "seconds": spent, "loss": total / count}
        records.append(record | {"test_accuracy": right})
    outputs = evaluated(module, torch.from_numpy(data["test_images"][:COMPARED]).float() / levels - mean)
    module.eval()
    layers, tensors = plain_layers(module, tuple(images.shape[1:]))
    asked.folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, asked.folder / "weights.safetensors")
    written = {
        "layers": layers,
        "outputs": outputs.tolist(),
        "records": records,
        "seconds": spent,
        "steps": steps,
        "images_a_second": steps * asked.batch / spent,
        "parameters": sum(p.numel() for p in module.parameters()),
        "loss": loss_name,
        "learning_rate": peak,
        "versions": {p: importlib.metadata.version(p) for p in ("torch", "deel-torchlip", "orthogonium")},
    }
    (asked.folder / "network.json").write_text(json.dumps(written) + "\n")


if __name__ == "__main__":
    main()
