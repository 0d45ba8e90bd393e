"""Bind a file of radii to a model, and to data: the same network, errors of evaluation, inputs and labels.

The checker has seen every number that the proofs need. What it cannot know is whose they are.
"""

from __future__ import annotations

import os
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from sdpcert.certificate.region_network import hash_of_network
from sdpcert.check import CheckResult, HasDocument, Rejected, Unreadable, check_document, document_of
from sdpcert.check.reading import values
from sdpcert.network.differences import as_files_state
from sdpcert.network.graph import Network
from sdpcert.robustness.needed import Errors, Needed
from sdpcert.robustness.normalisation import Normalisation
from sdpcert.robustness.statement import FORMAT, centers_of

Array = np.ndarray
#: Most characters of a reason that repeats what a file says.
LONGEST = 300


def check_with_model(
    path: str | os.PathLike[str] | HasDocument, network: Network | None, data: tuple[Any, Any] | None = None
) -> CheckResult:
    """Check a file of radii, that it is about a model behind the normalisation that it states, and about the data.

    The errors of float32 evaluation that a file of level F states are computed again. `data` are inputs (n, ...) and
    labels (n,), which have to be the file's, one by one; `network` and `data` may be None. Whatever a file holds gives
    ok=False with one line that says what differs, and never an exception; TypeError for what is no path and no `Radii`.
    """
    try:
        document = document_of(path)
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))
    result = check_document(document)
    if not result.ok:
        return result
    if document.get("format") != FORMAT:
        return _refused(result, "the file is a certificate and no file of radii")
    said = []
    try:
        if network is not None:
            differs = _differs_from_model(document, network)
            if differs:
                return _refused(result, differs)
            said.append(f"the network is that of {network.source}")
        if data is not None:
            differs = _differs_from_data(document, *data)
            if differs:
                return _refused(result, differs)
            said.append(f"the inputs and labels are the {len(document['inputs'])} of the data")
    except (ValueError, Rejected) as error:
        return _refused(result, f"the file does not fit: {error}")
    except Exception as error:  # such as MemoryError: what could not be compared is not bound
        return _refused(result, f"the comparison could not be finished ({type(error).__name__})")
    return replace(result, reason="; ".join([result.reason, *said]))


def _refused(result: CheckResult, reason: str) -> CheckResult:
    line = " ".join(reason.split())
    line = line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
    return replace(result, ok=False, reason=line, sha256="", level=None, radii=())


def _differs_from_model(document: dict[str, Any], model: Network) -> str:
    """What of the file is not about the model, in one line; nothing if all is."""
    normalisation = Normalisation.read(document["normalisation"], model.input_shape)
    network = model if normalisation is None else normalisation.before(model)
    if document["network"]["sha256"] not in map(hash_of_network, as_files_state(network)):
        how = "" if normalisation is None else " behind the stated normalisation"
        return f"the file is about other weights than {model.source}{how}"
    stated = document["errors"]
    if stated is None:
        return ""
    size = document["network"]["inputs"]
    center = None if stated["center"] is None else np.array(values(stated["center"], "errors.center", "d", size))
    centers = centers_of(document)
    errors = Errors.of(model, network, centers, center)
    for key, computed in (("offset", errors.bound.offset), ("slope", errors.bound.slope)):
        if computed > float.fromhex(stated[key]):
            return f"errors.{key} is {float.fromhex(stated[key])!r}, and float32 may be off by {computed!r}"
    return _beyond_float32(document, errors, centers)


def _beyond_float32(document: dict[str, Any], errors: Errors, centers: Array) -> str:
    """The first right input of which the errors say nothing, in one line; nothing if there is none."""
    for k, (point, entry) in enumerate(zip(centers, document["inputs"], strict=True)):
        if not entry["correct"]:
            continue
        if not isfinite(Needed.of(errors, document["norm"], point)(float.fromhex(entry["radius"]))):
            return f"the region of input {k} reaches farther than errors of float32 are bounded"
        if not np.array_equal(point.astype(np.float32), point):
            return f"input {k} has numbers that are no float32 numbers"
    return ""


def _differs_from_data(document: dict[str, Any], inputs: Any, labels: Any) -> str:
    """The first input or label that is not that of the data, in one line; nothing if all are."""
    entries, size = document["inputs"], document["network"]["inputs"]
    points, known = np.asarray(inputs, dtype=float), np.asarray(labels)
    if len(points) != len(entries) or len(known) != len(entries):
        return f"the file has {len(entries)} inputs, and the data {len(points)}"
    if points.size != len(entries) * size:
        return f"the file's inputs have {size} numbers, and those of the data {points.size // len(entries)}"
    points, centers = points.reshape(len(entries), size), centers_of(document)
    for k, entry in enumerate(entries):
        if not np.array_equal(centers[k], points[k]):
            return f"input {k} of the file is not that of the data"
        if entry["label"] != int(known[k]):
            return f"the label of input {k} is {entry['label']} in the file and {int(known[k])} in the data"
    return ""
