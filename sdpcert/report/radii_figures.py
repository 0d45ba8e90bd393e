"""The figures of a file of radii: their distribution, certified accuracy by the radius, the least robust inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sdpcert.report.figure import Axis, Data, Figure, Series
from sdpcert.report.pictures import COLUMNS, Picture, pixels_of
from sdpcert.report.radii_file import RadiiFile
from sdpcert.report.rounding import percent_down, percent_up, radius_text, rounded_down, rounded_up

Array = np.ndarray
#: Bars of a histogram, and places of a curve at most.
BARS, MOST_PLACES = 24, 400


def figures_of_radii(file: RadiiFile) -> tuple[list[Figure], list[str]]:
    """The figures of a page, and a sentence for each one that the file has not enough for."""
    results = (certified_accuracy(file), histogram(file), least_robust(file))
    return [r for r in results if isinstance(r, Figure)], [r for r in results if isinstance(r, str)]


def certified_accuracy(file: RadiiFile) -> Figure | str:
    """Certified accuracy by the radius, below the accuracy under attack."""
    if not np.any(file.correct):
        return "Certified accuracy: no input is right."
    end, axis = _end(file), _axis(file)
    radii, distances = (np.where(file.correct, values, -1.0) for values in (file.radius, file.distance))
    places = _places(np.concatenate([radii, distances] if file.attacked else [radii]), end)
    series = [Series("certified", *_stairs(radii, places, end, above=False), "step")]
    if file.attacked:
        series.append(Series("under attack", *_stairs(distances, places, end, above=True), "step"))
    best = max(file.rows, key=lambda row: (row.certified > 0, row.radius))
    return Figure(
        "accuracy",
        "Certified accuracy against the radius",
        f"{percent_down(file.clean)} % of the inputs are right; at radius {radius_text(best.radius)} "
        f"{percent_down(best.accuracy)} % are certified"
        + (f", and {percent_up(best.attacked_accuracy)} % under attack" if best.attacked_accuracy is not None else "")
        + ".",
        "Share of the inputs that have the right class, with a proof that no change of at most this size alters it"
        + (
            "; above it the share that no attack found wrong. The share that is really robust lies in the shaded area."
            if file.attacked
            else "."
        ),
        Axis(axis, low=0.0, high=end),
        Axis("inputs", "%", low=0.0, high=100.0),
        tuple(series),
        Data(
            ("radius", "certified [%]", *(("under attack [%]",) if file.attacked else ())),
            tuple(
                (radius_text(row.radius), percent_down(row.accuracy))
                + (() if row.attacked_accuracy is None else (percent_up(row.attacked_accuracy),))
                for row in file.rows
            ),
        ),
        shaded=file.attacked,
    )


def histogram(file: RadiiFile) -> Figure | str:
    """How many inputs have which radius, and at which distance an attack found another class."""
    radii, distances = file.radius[file.correct], file.distance[file.correct]
    found = distances[np.isfinite(distances)]
    if not len(radii) or not np.any(radii > 0):
        return "Histogram: no input has a radius."
    ends = np.linspace(0.0, _end(file), min(BARS, 4 + math.ceil(2 * math.sqrt(len(radii)))) + 1)
    counts = [np.histogram(values, ends)[0] for values in (radii, found)]
    series = [Series("proved radius", *_outline(ends, counts[0]), "area")]
    if len(found):
        series.append(Series("distance of the attack", *_outline(ends, counts[1]), "step"))
    rows = tuple(
        (f"{low:.4g} to {high:.4g}", *(str(int(count)) for count in pair))
        for low, high, *pair in zip(ends, ends[1:], *counts[: len(series)], strict=False)
        if any(pair)
    )
    least, most = float(radii.min()), float(radii.max())
    missed = len(distances) - len(found)
    nothing = f" On {missed} of them the attack found nothing." if file.attacked and missed else ""
    return Figure(
        "radii",
        "Proved radii",
        f"The radii of {len(radii)} inputs that are right go from {rounded_down(least, 3)} to {rounded_down(most, 3)}; "
        f"half of all inputs have at least {rounded_down(file.median, 3)}.",
        "Inputs that have the right class by their radius: within it the class is proved not to change"
        + (
            f"; by the distance at which an attack found another class, which no radius reaches.{nothing}"
            if len(found)
            else f".{nothing}"
        ),
        Axis(_axis(file), low=0.0, high=float(ends[-1])),
        Axis("inputs", low=0.0, whole=True),
        tuple(series),
        Data(("radius", *(s.name for s in series)), rows),
    )


def least_robust(file: RadiiFile) -> Figure | str:
    """The images with the smallest radii, and what an attack made of them."""
    shape = file.image_shape
    if shape is None:
        return "Images with the smallest radii: the inputs are no images of a shape that is drawn."
    chosen = [int(k) for k in np.argsort(file.radius, kind="stable") if file.correct[k]][:COLUMNS]
    if not chosen:
        return "Images with the smallest radii: no input is right."
    attacks = [file.point(k) for k in chosen]
    found = [point for point in attacks if point is not None]
    pixels = pixels_of([*(file.center(k) for k in chosen), *found], shape)
    shown = tuple(
        Picture(image, str(file.labels[k]), radius_text(float(file.radius[k]), 3))
        for k, image in zip(chosen, pixels, strict=False)
    )
    lines: list[tuple[str, tuple[Picture, ...]]] = [("input", shown)]
    reached = [
        "" if point is None else str(file.class_beside(int(file.labels[k]), point))
        for k, point in zip(chosen, attacks, strict=True)
    ]
    distances = [
        "" if p is None else rounded_up(float(file.distance[k]), 3) for k, p in zip(chosen, attacks, strict=True)
    ]
    if found:
        images = iter(pixels[len(chosen) :])
        lines.append(
            (
                "attack",
                tuple(
                    Picture(None if p is None else next(images), label, far)
                    for p, label, far in zip(attacks, reached, distances, strict=True)
                ),
            )
        )
    k = chosen[0]
    return Figure(
        "smallest",
        "The images with the smallest radii",
        f"The smallest radius is that of input {k}, an image of class {file.labels[k]}: "
        f"{radius_text(float(file.radius[k]), 3)}.",
        "Of the inputs that have the right class, those with the smallest radii: above each its class, below it its "
        "proved radius."
        + (" The lower row has the points that the attack found: their class, and their distance." if found else ""),
        Axis(""),
        Axis(""),
        (),
        Data(
            ("input", "class", "radius", "attack's class", "attack's distance"),
            tuple(
                (str(k), str(file.labels[k]), radius_text(float(file.radius[k])), label, far)
                for k, label, far in zip(chosen, reached, distances, strict=True)
            ),
        ),
        pictures=tuple(lines),
    )


def _axis(file: RadiiFile) -> str:
    return f"{file.norm} radius"


def _end(file: RadiiFile) -> float:
    """Where the axis of the radius ends: everything that was found is on it."""
    found = file.distance[np.isfinite(file.distance)]
    largest = max(float(file.radius.max()), float(found.max(initial=0.0)))
    return 1.05 * largest if largest > 0 else max((row.radius for row in file.rows), default=0.0) or 1.0


def _places(values: Array, end: float) -> Array:
    """Where the curves have steps; of many some are left out."""
    found = np.unique(values[(values > 0) & (values < end)])
    return np.concatenate([[0.0], found[:: max(1, math.ceil(len(found) / MOST_PLACES))]])


def _stairs(values: Array, places: Array, end: float, above: bool) -> tuple[list[float], list[float]]:
    """The percentage of the values that are at least r, by r; between two places the most, or else the least, of it."""
    ascending = np.sort(values)
    least = [100.0 * (len(values) - int(np.searchsorted(ascending, place))) / len(values) for place in [*places, end]]
    more = [100.0 * (len(values) - int(np.searchsorted(ascending, p, "right"))) / len(values) for p in [*places, end]]
    x, y = [0.0], [least[0]]
    for k, place in enumerate([*places[1:], end], start=1):
        level = more[k - 1] if above else least[k]
        x += [float(places[k - 1]), float(place)]
        y += [level, level]
    return x, y


def _outline(ends: Array, counts: Sequence[int] | Array) -> tuple[list[float], list[float]]:
    """The corners of bars from end to end, from the axis to the axis."""
    x = [float(ends[0]), *(float(end) for end in ends for _ in range(2)), float(ends[-1])]
    return x, [0.0, 0.0, *(float(count) for count in counts for _ in range(2)), 0.0, 0.0]
