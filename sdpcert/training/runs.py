"""Run folders: what is in them, how a finished network is saved, and how it comes back on another machine.

    config.toml        the resolved configuration
    environment.json   versions, device and processes of the last start
    log.jsonl log.csv  one record per epoch
    checkpoint.safetensors
    model.safetensors  the weights, once the run is finished
    model.json         the configuration, the data's description, the hash of the weights, accuracies

The last two rebuild the network alone.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from sdpcert.running.outputs import reads, write_whole
from sdpcert.training.checkpoint import (
    check_fit,
    read_checkpoint,
    read_tensors,
    restore_module,
    write_tensors,
)
from sdpcert.training.config import load_config
from sdpcert.training.datasets import Description
from sdpcert.training.logs import read_records
from sdpcert.training.models import build_model
from sdpcert.training.modules import Normalisation
from sdpcert.training.settings import Config
from sdpcert.version import __version__

FORMAT = "sdpcert-model-1"
CHECKPOINT = "checkpoint.safetensors"
#: What training writes into a run folder.
FILES = ("config.toml", "environment.json", "log.jsonl", "log.csv", CHECKPOINT, "model.safetensors", "model.json")
#: Largest model.json, in bytes.
LARGEST = 1_000_000


class LoadedRun(NamedTuple):
    """A network in evaluation mode, its configuration, and what its data are like."""

    module: nn.Sequential
    config: Config
    data: Description


def build(config: Config, data: Description) -> nn.Sequential:
    """The network of a configuration for data of that kind, with fresh weights from torch's generator."""
    kind = config.data.normalisation
    normalisation = None
    if kind != "none":
        normalisation = Normalisation(data.mean, data.std if kind == "standardise" else None)
    return build_model(config.model, data.input_shape, data.classes, normalisation)


def save_model(folder: Path, module: nn.Sequential, config: Config, data: Description, results: dict[str, Any]) -> None:
    """Write model.safetensors, then model.json with its hash: the pair is whole as soon as the latter is there."""
    path = folder / "model.safetensors"
    write_tensors(path, module.state_dict(), {"format": FORMAT})
    table = {
        "format": FORMAT,
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "config": config.table(),
        "data": data.table(),
        "results": results,
    }
    write_whole(folder / "model.json", (json.dumps(table, indent=1, allow_nan=False) + "\n").encode())


def is_finished(folder: str | Path) -> bool:
    """Whether the folder has a finished network."""
    return (Path(folder) / "model.json").is_file()


def reached(folder: str | Path) -> dict[str, Any]:
    """How far a run has come by its log, as plain values: whether it is finished, epochs, steps, seconds, accuracies.

    Accuracies are those that were measured last; of a run that has no log yet there are none, and nothing else either.
    """
    records = read_records(Path(folder) / "log.jsonl")
    last: dict[str, Any] = records[-1] if records else {}
    measured = {k: v for r in records for k, v in r.items() if k == "test_accuracy" or k.startswith("certified_")}
    return {
        "finished": is_finished(folder),
        "epochs": last.get("epoch", 0),
        "steps": last.get("step", 0),
        "seconds": last.get("seconds", 0.0),
        "reached": measured,
    }


def load_run(folder: str | Path, device: str | torch.device = "cpu") -> LoadedRun:
    """The network of a run folder in evaluation mode, its configuration and the description of its data.

    Of a run that is not finished it is the network of the last checkpoint (the averaged weights, if there are any);
    `is_finished` tells. Nothing is unpickled. Raises ValueError with one line if files are missing, damaged, or do
    not belong together.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"{place}: no such folder; a run folder is what `sdpcert train` wrote")
    if is_finished(place):
        table = _model_table(place / "model.json")
        weights = place / "model.safetensors"
        if not weights.is_file():
            raise ValueError(f"{place}: model.safetensors is missing; copy it there together with model.json")
        reads(place / "model.json")
        reads(weights)
        if hashlib.sha256(weights.read_bytes()).hexdigest() != table["weights_sha256"]:
            raise ValueError(f"{weights}: is not the file that model.json was written for; copy both again")
        config_table, data_table = table["config"], table["data"]
        tensors, source = read_tensors(weights)[0], weights
    else:
        source = place / CHECKPOINT
        if not source.is_file():
            raise ValueError(f"{place}: holds neither model.json nor a checkpoint, so it is no run folder")
        checkpoint = read_checkpoint(source)
        config_table, data_table = checkpoint.state.get("config"), checkpoint.state.get("data")
        tensors = {**checkpoint.model, **checkpoint.average}
    if not isinstance(config_table, dict) or not isinstance(data_table, dict):
        raise ValueError(f"{source}: lacks the configuration of its network; get the file again")
    config, data = load_config(config_table), Description.from_table(data_table)
    # Sizes are compared before memory is taken: a small file cannot ask for a large network.
    with torch.device("meta"):
        check_fit(build(config, data), tensors, source)
    with torch.random.fork_rng(devices=[]):
        module = build(config, data)
    restore_module(module, tensors, source)
    return LoadedRun(module.to(device).eval(), config, data)


def _model_table(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["format"] != FORMAT:
            raise ValueError(f"{path}: has the format {str(table['format'])[:40]!r}; this version reads {FORMAT}")
        return {key: table[key] for key in ("weights_sha256", "config", "data", "results")}
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: is damaged or no model of this kind; copy it again") from None


def check_same(settings: Config, before: Config, folder: Path) -> None:
    """Raise ValueError with the first key in which a run's configuration differs from the one it began with."""
    if settings.fingerprint() == before.fingerprint():
        return
    new, old = _flat(settings.essentials()), _flat(before.essentials())
    key = next(k for k in sorted({*new, *old}) if new.get(k) != old.get(k))
    raise ValueError(
        f"{folder} holds a run with {key} = {old.get(key)!r}, not {new.get(key)!r}: name another folder for this one"
    )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return found


def environment(device: torch.device, count: int) -> dict[str, Any]:
    """Versions, device name and number of processes."""
    import numpy

    return {
        "sdpcert": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "processes": count,
    }
