"""Checkpoints: one safetensors file with everything that a run's future depends on, replaced in one step.

Tensors are the network's parameters and all its buffers (also those that a state dict leaves out, such as directions of
power iterations), the averaged parameters and the optimiser's state; the rest is JSON in the file's metadata. The file
is written beside the old one and renamed over it when it is complete: a kill at any moment leaves one or the other.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdpcert.running.extras import needed_by
from sdpcert.running.outputs import write_whole
from sdpcert.running.short_repr import ShortRepr

with needed_by("a checkpoint", "train"):
    import safetensors
    import safetensors.torch

FORMAT = "sdpcert-checkpoint-1"
#: Most characters of the metadata.
LARGEST_METADATA = 16_000_000


@dataclass(frozen=True, eq=False)
class Checkpoint(ShortRepr):
    """`tensors` by group ("model", "average", "optimiser") and name; `state` is JSON."""

    state: dict[str, Any]
    model: dict[str, Tensor]
    average: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Tensor] = field(default_factory=dict)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file whole or not at all; ValueError with one line if that fails."""
    tensors = {
        f"{group}:{name}": value
        for group in ("model", "average", "optimiser")
        for name, value in getattr(checkpoint, group).items()
    }
    state = json.dumps(checkpoint.state, allow_nan=False)
    write_tensors(path, tensors, {"format": FORMAT, "state": state, "crc32": str(_checksum(tensors))})


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint of a file; ValueError with one line if it is damaged or no checkpoint."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: is no checkpoint of this version; start the run again in another folder")
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
    try:
        if metadata["crc32"] != str(_checksum(tensors)):
            raise ValueError("the checksum differs")
        state = json.loads(metadata["state"])
        for full, value in tensors.items():
            group, _, name = full.partition(":")
            groups[group][name] = value
    except (KeyError, ValueError, RecursionError):
        raise ValueError(f"{path}: is a damaged checkpoint; start the run again in another folder") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path}: is a damaged checkpoint; start the run again in another folder")
    return Checkpoint(state, **groups)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """A checksum of the tensors' bytes, against damage."""
    value = 0
    for name in sorted(tensors):
        flat = tensors[name].detach().cpu().contiguous().flatten()
        value = zlib.crc32(flat.view(torch.uint8).numpy().data, zlib.crc32(name.encode(), value))
    return value


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file, written to disk under another name and renamed; ValueError if that fails."""
    data = safetensors.torch.save(
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, dict(metadata)
    )
    write_whole(path, data)


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed process was writing in a run's folder."""
    for pattern in (".*.safetensors.*", ".*.json.*", ".*.jsonl.*", ".*.csv.*", ".*.toml.*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file; ValueError with one line if it cannot be read."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no dict)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except Exception as error:  # the library raises a class of its own
        line = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{path}: is truncated or no safetensors file: {line}") from None
    if sum(map(len, metadata.values())) > LARGEST_METADATA:
        raise ValueError(f"{path}: has more metadata than any file of this kind")
    return tensors, metadata


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, buffers that a state dict leaves out among them."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], source: object) -> None:
    """Raise ValueError if names, shapes or types are not those of the module, which may be on the device "meta"."""
    known = module_tensors(module)
    missing = sorted(set(known) - set(tensors) - _transient(module))
    extra = sorted(set(tensors) - set(known) - _transient(module))
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"holds {extra[0]!r}, which the network has not"
        raise ValueError(f"{source}: does not fit the network of its configuration: it {what}")
    for name, value in tensors.items():
        old = known.get(name)
        if old is not None and (old.shape != value.shape or old.dtype != value.dtype):
            raise ValueError(
                f"{source}: tensor {name!r} is {value.dtype} of shape {tuple(value.shape)}, the network of its "
                f"configuration has {old.dtype} of shape {tuple(old.shape)}"
            )


@torch.no_grad()
def restore_module(module: nn.Module, tensors: Mapping[str, Tensor], source: object) -> None:
    """Set parameters and buffers from `module_tensors`; ValueError if they do not fit or are not finite."""
    check_fit(module, tensors, source)
    parameters = dict(module.named_parameters())
    device = next(iter(parameters.values())).device
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{source}: tensor {name!r} is not finite")
        if name in parameters:
            parameters[name].copy_(value)
        else:
            place, _, key = name.rpartition(".")
            module.get_submodule(place)._buffers[key] = value.clone().to(device)


def _transient(module: nn.Module) -> set[str]:
    """Names of the buffers that a state dict leaves out: a file may do without them."""
    return {
        f"{prefix}.{key}".removeprefix(".")
        for prefix, child in module.named_modules()
        for key in child._non_persistent_buffers_set
    }


def random_state(generator: torch.Generator) -> dict[str, str]:
    """The states of the run's generator and of torch's own, as base64."""
    states = {"run": generator.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return {name: base64.b64encode(state.numpy().tobytes()).decode("ascii") for name, state in states.items()}


def restore_random_state(generator: torch.Generator, states: Mapping[str, str]) -> None:
    """The inverse of `random_state`; a device that is not there any more is passed over."""
    decoded = {k: torch.frombuffer(bytearray(base64.b64decode(v)), dtype=torch.uint8) for k, v in states.items()}
    generator.set_state(decoded["run"])
    torch.set_rng_state(decoded["torch"])
    if "cuda" in decoded and torch.cuda.is_available():
        torch.cuda.set_rng_state(decoded["cuda"])
