"""Optional packages: which of this package's extras installs each, and one line that says so if one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: The smallest extra that installs a package, by the name that it is imported by.
EXTRAS = {
    "torch": "torch",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "safetensors": "safetensors",
    "jinja2": "report",
    "matplotlib": "report",
    "sympy": "symbolic",
    "pydantic": "train",
    "sklearn": "train",
    "PIL": "train",
    "distributed": "dask",
}


@contextmanager
def needed_by(what: str, extra: str | None = None) -> Iterator[None]:
    """Raise ModuleNotFoundError with one line that names the extra if an import in the block misses its package.

    `extra` is the one to name for every package, where more of its packages are needed after the one that is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        remedy = f"pip install 'sdpcert[{extra or EXTRAS[error.name]}]'"
        raise ModuleNotFoundError(f"{what} needs {error.name}: {remedy}", name=error.name) from None
