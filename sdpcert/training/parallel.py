"""The processes of a run: one, or those that torchrun started, which share every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """This process's number, how many there are, and its device."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes files."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose gradients are averaged over the processes."""
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        # Buffers are functions of the parameters here, the same ones in every process.
        return DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """The largest time and whether anyone wants to stop, the same in all processes."""
        if self.size == 1:
            return seconds, stop
        values = torch.tensor([seconds, float(stop)], dtype=torch.float64, device=self.device)
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return float(values[0]), bool(values[1] > 0)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def processes(device: str | torch.device) -> Iterator[Processes]:
    """This process's place among those of torchrun (gloo on the CPU, nccl on GPUs), or alone.

    Raises ValueError for devices that are unknown or not there.
    """
    place = checked_device(device)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes(0, 1, place)
        return
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    started = not distributed.is_initialized()
    if started:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), place)
    finally:
        if started:
            distributed.destroy_process_group()


def checked_device(device: str | torch.device) -> torch.device:
    """The device; raises ValueError with one line if there is none of that name."""
    try:
        place = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {str(device)!r}: use cpu or cuda") from None
    if place.type not in ("cpu", "cuda"):
        raise ValueError(f"training runs on cpu or cuda, not on {str(device)!r}")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("this torch sees no CUDA device: use --device cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {str(device)!r}: {torch.cuda.device_count()} are there")
    return place
