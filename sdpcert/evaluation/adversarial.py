"""The adversarial points of an evaluation, kept in a file of their own, so that attacked accuracies can be verified.

`adversarial.npy` has float32 images, one for each sample with an adversarial point at a positive distance, in the order
of the samples; its hash is in `evaluation.json`. A sample that is wrong as it is has the distance 0 and needs no point.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sdpcert.errors import EvaluationRejected
from sdpcert.evaluation.attack import Attacked
from sdpcert.evaluation.file import LARGEST_ARRAY
from sdpcert.running.outputs import write_whole

Array = np.ndarray
FILE = "adversarial.npy"
#: How far a stated distance may be from the one that is computed again: norms are sums, in another order elsewhere.
CLOSE = 1e-12


def write_points(folder: Path, found: Attacked) -> str:
    """Write the points that an attack found; the hash of the file."""
    kept = found.points[torch.from_numpy(moved(found.distances))]
    file = io.BytesIO()
    np.save(file, kept.numpy().astype("<f4", copy=False), allow_pickle=False)
    write_whole(folder / FILE, file.getvalue())
    return hashlib.sha256(file.getvalue()).hexdigest()


def moved(distances: Array) -> Array:
    """Which samples (samples,) have a point of their own in the file."""
    return (distances > 0) & np.isfinite(distances)


def check_points(
    folder: Path,
    stated: object,
    distances: Array,
    images: Tensor,
    labels: Array,
    surely_wrong: Callable[[Tensor, Array], Array],
) -> None:
    """Prove stated distances (samples,) of adversarial points again: each is that near, and surely of a wrong class.

    `stated` is the hash that the evaluation has, `images` float32 (samples, ...) in [0, 1]. Raises ValueError with one
    line, naming the file or the sample, where a point is missing, farther or nearer than stated, outside of [0, 1], or
    not for certain of another class than the label (`EvaluationRejected`, but for a file that cannot be read).
    """
    points = images.clone()
    at = moved(distances)
    points[torch.from_numpy(at)] = _read(folder / FILE, stated, (int(at.sum()), *images.shape[1:]))
    steps = (points.double() - images.double()).flatten(1)
    apart = torch.linalg.vector_norm(steps, dim=1).numpy()
    known = np.isfinite(distances)
    # Written distances are rounded up by as much.
    allowed = CLOSE + (steps.shape[1] + 8) * 2.0**-51
    wrong = known & (np.abs(apart - distances) > allowed * apart)
    if wrong.any():
        raise EvaluationRejected(
            f"{folder / FILE}: the point of sample {int(np.argmax(wrong))} is at another distance than stated"
        )
    if not bool(((points >= 0) & (points <= 1)).all()):
        raise EvaluationRejected(f"{folder / FILE}: holds a point that is no image: its values are not between 0 and 1")
    chosen = np.flatnonzero(known)
    for start in range(0, len(chosen), 500):
        some = chosen[start : start + 500]
        sure = surely_wrong(points[torch.from_numpy(some)], labels[some])
        if not sure.all():
            sample = int(some[np.argmin(sure)])
            raise EvaluationRejected(
                f"{folder / FILE}: the point of sample {sample} is not for certain of a wrong class"
            )


def _read(path: Path, stated: object, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(stated, str):
        raise EvaluationRejected(
            f"{path.parent}: the evaluation has an attack without the hash of its points; evaluate again"
        )
    try:
        if path.stat().st_size > LARGEST_ARRAY:
            raise ValueError(f"{path}: is larger than {LARGEST_ARRAY} bytes, which no file of points is")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; copy it there with evaluation.json") from None
    if hashlib.sha256(data).hexdigest() != stated:
        raise EvaluationRejected(f"{path}: is not the file that evaluation.json was written for; copy both again")
    try:
        points = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise EvaluationRejected(f"{path}: is no array of images") from None
    if not isinstance(points, np.ndarray) or points.dtype != np.dtype("<f4") or points.shape != shape:
        raise EvaluationRejected(f"{path}: holds other points than those that evaluation.json states distances of")
    return torch.from_numpy(points.astype(np.float32))
