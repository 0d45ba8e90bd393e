"""Optional packages: which of this package's extras installs each, and one line that says so if one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: The extra that installs a package, by the name that it is imported by.
EXTRAS = {
    "torch": "torch",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "jinja2": "report",
    "matplotlib": "report",
    "sympy": "symbolic",
    "pydantic": "train",
    "safetensors": "train",
    "sklearn": "train",
    "PIL": "train",
    "distributed": "dask",
}


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Raise ModuleNotFoundError with one line that names the extra if an import in the block misses its package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        remedy = f"pip install 'sdpcert[{EXTRAS[error.name]}]'"
        raise ModuleNotFoundError(f"{what} needs {error.name}: {remedy}", name=error.name) from None
