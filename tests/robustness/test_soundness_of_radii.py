"""No input within a proved radius has another class: random classifiers of every kind, in both norms, in boxes.

Every radius is sought to be refuted by `rivals.nearest_rival`; where the network can be enumerated,
`test_radii_against_enumeration.py` has the exact radius beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert import Network
from sdpcert.network.differences import with_differences
from sdpcert.regions import Box
from sdpcert.robustness.separating import separate
from tests.robustness.classifiers import NAMES, Sample, chain, convolutional, sampled
from tests.robustness.rivals import nearest_rival, region_of

Array = np.ndarray
#: What is looked at with every change; the slow tests take all names.
SOME = ("relu", "tanh", "gelu", "maxmin", "abs", "hard_swish")
#: Inputs of every network.
INPUTS = 3
#: Seconds for one input: no test hangs.
LIMIT = 60.0


def sound(
    make: Callable[[np.random.Generator, str], Network], name: str, seed: int, nodes: int, folder: Path
) -> list[float]:
    """Proved radii of a random network, after a search for what would refute them; the file holds, too."""
    random = np.random.default_rng([seed, NAMES.index(name), len(make.__name__)])
    samples = sampled(make(random, name), random, INPUTS)
    if not samples:
        return []
    first = samples[0]
    norm = "l2" if random.random() < 0.6 else "linf"
    size = 10.0 ** random.uniform(-1.5, 0.5)
    centers = np.stack([sample.center for sample in samples])
    within = None
    if random.random() < 0.5:
        within = Box(centers.min(axis=0) - size * random.random(), centers.max(axis=0) + size * random.random())
    found = sdpcert.radii(
        first.network,
        centers.reshape(-1, *first.network.input_shape),
        [sample.label for sample in samples],
        norm=norm,
        within=within,
        normalisation=None if first.std == 1 else (first.mean, first.std),
        time_limit=LIMIT,
        nodes=nodes,
        constants=bool(random.random() < 0.5),
        seed=seed,
    )
    assert found.correct.all()
    assert np.all(found.distance > found.radius)
    for sample, radius in zip(samples, found.radius.tolist(), strict=True):
        if radius > 0:
            margin, point = nearest_rival(sample, region_of(sample.center, radius, norm, within), random)
            assert margin > 0, f"another class at {point.tolist()}, within {radius} of {sample.center.tolist()}"
    file = folder / "radii.json"
    found.save(file)
    verdict = sdpcert.check(file)
    assert verdict.ok, verdict.reason
    return found.radius.tolist()


@pytest.mark.parametrize("name", SOME)
def test_no_input_within_a_radius_has_another_class(name: str, tmp_path: Path) -> None:
    assert max(sound(chain, name, 0, 3, tmp_path), default=1.0) > 0


@pytest.mark.parametrize("name", SOME[:2])
def test_no_input_within_a_radius_has_another_class_of_convolutions(name: str, tmp_path: Path) -> None:
    assert max(sound(convolutional, name, 0, 1, tmp_path), default=1.0) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 30))
@pytest.mark.parametrize("name", NAMES)
def test_no_input_within_a_radius_has_another_class_of_many_networks(name: str, seed: int, tmp_path: Path) -> None:
    sound(chain, name, seed, 1 + 3 * (seed % 4), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 8))
@pytest.mark.parametrize("name", NAMES)
def test_no_input_within_a_radius_has_another_class_of_many_convolutions(name: str, seed: int, tmp_path: Path) -> None:
    sound(convolutional, name, seed, 1 + seed % 3, tmp_path)


def separated(name: str, seed: int, nodes: int) -> int:
    """Margins on regions of several sizes, after a search for lower ones; how many triples were proved."""
    random = np.random.default_rng([seed, NAMES.index(name), 3])
    make, count = (convolutional if random.random() < 0.2 else chain), 0
    for sample in sampled(make(random, name), random, INPUTS):
        plain = Sample(sample.network, (sample.center - sample.mean) / sample.std, sample.label)
        form = with_differences(sample.network)
        for size in (0.3, 0.03):
            norm = "l2" if random.random() < 0.5 else "linf"
            low, high = (plain.center + sign * size * random.uniform(0.3, 1, len(plain.center)) for sign in (-1, 1))
            region = region_of(plain.center, size, norm, Box(low, high) if random.random() < 0.3 else None)
            found = separate(form, region, plain.label, nodes=nodes)
            least, _ = nearest_rival(plain, region, random, 100)
            count += found.status == "separated"
            assert least > 0 or found.status != "separated"
            bound = min(found.bounds.values(), default=0.0)
            assert least >= min(bound, 0.0)
            if found.counterexample is not None:
                point = found.counterexample[None]
                assert region.contains(point[0])
                assert plain.margins(point)[0] <= plain.rounding(point)[0]
    return count


def test_no_input_of_a_region_is_below_bounds_of_its_margins() -> None:
    assert sum(separated(name, 0, 3) for name in NAMES) > len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 40))
@pytest.mark.parametrize("name", NAMES)
def test_no_input_of_many_regions_is_below_bounds_of_their_margins(name: str, seed: int) -> None:
    separated(name, seed, 1 + 2 * (seed % 5))


@pytest.mark.parametrize("seed", range(5))
def test_the_search_finds_rivals_where_there_are_some(seed: int) -> None:
    """A search that finds nothing proves nothing: a little beyond the nearest rival known it finds one again."""
    random = np.random.default_rng(seed)
    for name in ("relu", "tanh"):
        sample = sampled(chain(random, name), random, 1)[0]
        for norm in ("l2", "linf"):
            radius = 0.01
            while nearest_rival(sample, region_of(sample.center, radius, norm, None), random)[0] > 0 and radius < 100:
                radius *= 1.5
            if radius < 100:
                assert nearest_rival(sample, region_of(sample.center, radius, norm, None), random)[0] <= 0


def test_a_radius_that_is_too_large_by_a_millionth_is_refuted() -> None:
    """A linear classifier: the search reaches the border of the ball, and corners of the box."""
    random = np.random.default_rng(3)
    weight = random.standard_normal((2, 5))
    network, center = Network.mlp([weight]), random.standard_normal(5)
    values = network(center[None])[0]
    label = int(np.argmax(values))
    slope = weight[label] - weight[1 - label]
    for norm, dual in (("l2", np.linalg.norm(slope)), ("linf", np.abs(slope).sum())):
        radius = (values[label] - values[1 - label]) / dual
        sample = Sample(network, center, label)
        assert nearest_rival(sample, region_of(center, radius * 0.999999, norm, None), random)[0] > 0
        assert nearest_rival(sample, region_of(center, radius * 1.000001, norm, None), random)[0] < 0
