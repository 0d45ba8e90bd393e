"""The example networks that come with the package, and inputs for them: small files, found wherever it is installed."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from sdpcert.network.graph import Network
from sdpcert.readers import load

ExampleName = Literal["digits_mlp", "digits_cnn", "digits_residual"]
EXAMPLES: tuple[ExampleName, ...] = get_args(ExampleName)

#: Only chains of dense layers fit into a file of arrays, which needs no package beyond the core; the others are ONNX.
_FILES: dict[str, str] = {
    "digits_mlp": "digits_mlp.npz",
    "digits_cnn": "digits_cnn.onnx",
    "digits_residual": "digits_residual.onnx",
}
_INPUTS = "digits_inputs.npz"


def example_network(name: str) -> Path:
    """The file of an example network, which reads pixels from 0 to 1 and answers with ten classes.

    Raises ValueError that lists the names for another one, FileNotFoundError if the installation lacks its files.
    """
    if name not in _FILES:
        raise ValueError(f"unknown example {name!r}; examples: {', '.join(EXAMPLES)}")
    return _file(_FILES[name])


def load_example(name: str, **given: str) -> Network:
    """An example network, read as `sdpcert.load` reads it; its source is the file's name, which is the same everywhere.

    Raises what `example_network` and `load` raise.
    """
    path = example_network(name)
    stated = {"activation": "relu"} if path.suffix == ".npz" else {}  # a file of arrays leaves it open
    return replace(load(path, **{**stated, **given}), source=path.name)


def example_inputs() -> Path:
    """The `.npz` file of 20 labelled images (`inputs` and `labels`) that no example network was trained on.

    Raises FileNotFoundError if the installation lacks its files.
    """
    return _file(_INPUTS)


def _file(name: str) -> Path:
    """A file of the folder that a wheel has beside this module, and a clone in `examples/networks`."""
    package = Path(str(resources.files("sdpcert")))
    for folder in (package / "readers" / "networks", package.parent / "examples" / "networks"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(2, "this installation of sdpcert lacks its example files; install it again", name)
