"""Files of weights alone: `.npz`, `.mat` and `.safetensors` hold a chain of dense layers.

Weights and biases are found by name, in one of three forms:

- `weight_0, weight_1, ...` and, optionally, `bias_0, bias_1, ...` (any of the formats);
- a list: a MATLAB cell `weights`, `Weights` or `W`, and, optionally, one of biases `biases`, `Biases` or `b`;
- a torch state dict: `NAME.weight` and, optionally, `NAME.bias`, where the names differ in their numbers only; layers
  follow these numbers.

Weights are (out, in), as torch stores them; where a file holds (in, out), say `orientation="in_out"`. The orientation
is never guessed: where the shapes do not chain as stated, the file is refused; a chain of square matrices chains either
way and is taken as stated. One activation stands between the layers, ReLU unless stated. Both may be stated in the
file, as texts `activation` and `orientation` (in a safetensors file, in its metadata), or in the call; a contradiction
between the two is refused. What neither states, and the shapes leave open, is listed in the network's details under
"assumed", and from there in the notes, the claim and the file of every certificate.

Numbers are float32, float64 or integers, converted exactly. Every other array is refused by name, so that no statistic
of a normalisation layer, no kernel of a convolution and no scaling of the input is silently left out; single numbers
and texts are passed over and listed in the network's details.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.network.activations import Activation, activation_by_name
from sdpcert.network.graph import Network
from sdpcert.readers.arrays.files import Contents, read_mat, read_npz, read_safetensors
from sdpcert.readers.errors import UnsupportedModel, first_line, quoted
from sdpcert.running import choices

Array = np.ndarray
_READERS = {".npz": read_npz, ".mat": read_mat, ".safetensors": read_safetensors}
_LISTS = {"weights": ("biases", "bias"), "Weights": ("Biases", "biases"), "W": ("b", "B", "biases")}
_EXACT_INTEGER = 2**53


def read_arrays(path: Path, activation: str | Activation | None = None, orientation: str | None = None) -> Network:
    """Read a file of weights.

    Raises `UnsupportedModel` for what is no chain of dense layers, ValueError for what cannot be read, with one line.
    """
    name = quoted(path)
    try:
        return _read(path, activation, orientation)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{name}: {first_line(error)}") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{name}: {first_line(error)}") from None
    except MemoryError:
        raise ValueError(f"{name}: reading it needs too much memory") from None


def _read(path: Path, activation: str | Activation | None, orientation: str | None) -> Network:
    suffix = path.suffix.lower()
    contents = _READERS[suffix](path)
    chosen = _option(contents, "activation", activation, "relu")
    direction = _option(contents, "orientation", orientation, "out_in")
    if direction not in choices.ORIENTATIONS:
        raise ValueError(f"the orientation {quoted(direction)} is not known; it is {' or '.join(choices.ORIENTATIONS)}")
    if isinstance(chosen, str) and chosen != "maxmin":
        chosen = activation_by_name(chosen)
    weights, biases, used = _layers(contents)
    ignored = _rest(contents, {*used, "activation", "orientation"})
    _check_chain([w.shape for w in weights], direction)
    if direction == "in_out":
        weights = [w.T for w in weights]
    biases = [None if b is None else _bias(b, len(w), k) for k, (w, b) in enumerate(zip(weights, biases))]
    network = Network.mlp([np.ascontiguousarray(w) for w in weights], biases, chosen)
    assumed = []
    if len(weights) > 1 and activation is None and "activation" not in contents:
        assumed.append(f"activation {chosen if isinstance(chosen, str) else chosen.name}")
    if orientation is None and "orientation" not in contents and _chains_both_ways(weights):
        assumed.append(f"orientation {direction}")
    details = {
        "format": suffix.removeprefix("."),
        "activation": chosen if isinstance(chosen, str) else chosen.name,
        "orientation": direction,
        "arrays": ", ".join(used),
    }
    if assumed:
        details["assumed"] = ", ".join(assumed)
    if ignored:
        details["passed over"] = ", ".join(ignored)
    return replace(network, source=str(path), details=details)


def _option(contents: Contents, name: str, given: Any, default: str) -> Any:
    stored = contents.get(name)
    if stored is not None and not isinstance(stored, str):
        raise ValueError(f"its {name} is no text")
    if given is not None and stored is not None and given != stored:
        raise ValueError(f"the file states {name} {quoted(stored)}, the call {quoted(given)}")
    return next(choice for choice in (given, stored, default) if choice is not None)


def _layers(contents: Contents) -> tuple[list[Array], list[Array | None], dict[str, None]]:
    """Weights, biases and the names they were found under."""
    numbered = sorted(int(m[1]) for key in contents if (m := re.fullmatch(r"weight_(\d{1,6})", key)))
    lists = [key for key in _LISTS if isinstance(contents.get(key), list)]
    state = [key.removesuffix(".weight") for key in contents if key.endswith(".weight")]
    forms = [form for form, found in (("weight_K", numbered), ("a list", lists), ("NAME.weight", state)) if found]
    if len(forms) != 1 or len(lists) > 1:
        what = f"weights in several forms ({', '.join(forms or lists)})" if forms else "no weights"
        raise ValueError(
            f"holds {what}; name them weight_0, weight_1, ... or NAME.weight, or put them in a list weights"
        )
    if lists:
        return _from_list(contents, lists[0])
    if numbered:
        if numbered != list(range(len(numbered))):
            raise ValueError(f"its weights are numbered {numbered}, not from 0 without gaps")
        pairs = [(f"weight_{k}", f"bias_{k}") for k in numbered]
    else:
        pairs = [(f"{name}.weight", f"{name}.bias") for name in _ordered(state)]
    weights = [_matrix(contents[key], key) for key, _ in pairs]
    biases = [_numbers(contents[key], key) if key in contents else None for _, key in pairs]
    return weights, biases, dict.fromkeys(key for pair in pairs for key in pair if key in contents)


def _from_list(contents: Contents, key: str) -> tuple[list[Array], list[Array | None], dict[str, None]]:
    weights = [_matrix(w, f"{key}{{{k + 1}}}") for k, w in enumerate(contents[key])]
    companions = [name for name in _LISTS[key] if name in contents]
    if not companions:
        return weights, [None] * len(weights), {key: None}
    companion = companions[0]
    if not isinstance(contents[companion], list) or len(contents[companion]) != len(weights):
        raise ValueError(f"its biases {quoted(companion)} are no list of {len(weights)} arrays")
    biases: list[Array | None] = [_numbers(b, f"{companion}{{{k + 1}}}") for k, b in enumerate(contents[companion])]
    return weights, biases, {key: None, companion: None}


def _ordered(names: list[str]) -> list[str]:
    """Names of layers in the order of the numbers in them; refused if they differ in anything else."""
    patterns = {re.sub(r"\d+", "#", name) for name in names}
    numbers = {name: tuple(int(k) for k in re.findall(r"\d{1,9}", name)) for name in names}
    if len(patterns) > 1 or len(set(numbers.values())) < len(names):
        raise UnsupportedModel(
            f"the order of its layers ({', '.join(quoted(n) for n in names[:4])}) does not follow from their names; "
            "name them by numbers, or export to ONNX"
        )
    return sorted(names, key=numbers.__getitem__)


def _numbers(value: Any, name: str) -> Array:
    what = f"array {quoted(name)}"
    if not isinstance(value, np.ndarray):
        raise UnsupportedModel(f"{what} is no dense array of numbers")
    kind = value.dtype.kind
    if kind == "f" and value.dtype.itemsize == 2:
        raise UnsupportedModel(f"{what} is in half precision; convert it to float32 (the values stay the same)")
    if kind not in "fiu" or value.dtype.itemsize > 8:
        raise UnsupportedModel(f"{what} has the type {value.dtype}; weights are float32, float64 or integers")
    if value.size == 0:
        raise ValueError(f"{what} of shape {value.shape} is empty")
    if kind != "f" and (int(value.max()) > _EXACT_INTEGER or int(value.min()) < -_EXACT_INTEGER):
        raise ValueError(f"{what} has integers that float64 does not hold exactly")
    if not np.all(np.isfinite(value)):
        raise ValueError(f"{what} has entries that are not finite")
    return value.astype(float)


def _matrix(value: Any, name: str) -> Array:
    array = _numbers(value, name)
    if array.ndim != 2:
        raise UnsupportedModel(
            f"array {quoted(name)} of shape {array.shape} is no matrix; these files hold dense layers alone, "
            "export to ONNX"
        )
    return array


def _bias(bias: Array, length: int, k: int) -> Array:
    if bias.size != length or max(bias.shape, default=1) != length:
        raise ValueError(f"bias {k} of shape {bias.shape} does not have one entry for each of {length} outputs")
    return bias.ravel()


def _rest(contents: Contents, used: Any) -> list[str]:
    """Names of texts and single numbers that are passed over; refuses everything larger."""
    ignored = []
    for name, value in contents.items():
        if name in used:
            continue
        if isinstance(value, str) or (isinstance(value, np.ndarray) and value.size <= 1 and not _is_layer(name)):
            ignored.append(name)
            continue
        raise UnsupportedModel(
            f"array {quoted(name)} is no weight or bias of a chain of dense layers; leave it out, or export to ONNX"
        )
    return ignored


def _is_layer(name: str) -> bool:
    return bool(re.fullmatch(r"(weight|bias)_\d+|.*\.\w+", name))


def _chains_both_ways(weights: list[Array]) -> bool:
    """Whether the matrices and their transposes both are a chain: the shapes do not tell the orientation."""
    return len(weights) > 1 and all(before.shape == after.shape[::-1] for before, after in pairwise(weights))


def _check_chain(shapes: list[tuple[int, ...]], orientation: str) -> None:
    def fits(out: int) -> bool:
        return all(before[out] == after[1 - out] for before, after in pairwise(shapes))

    stated, other = (0, 1) if orientation == "out_in" else (1, 0)
    if fits(stated):
        return
    chain = ", ".join(map(str, shapes[:8]))
    if fits(other):
        remedy = "in_out" if orientation == "out_in" else "out_in"
        raise ValueError(f"weights of shapes {chain} do not chain as {orientation}; set orientation={remedy!r}")
    raise ValueError(f"weights of shapes {chain} do not chain, neither as (out, in) nor as (in, out)")
