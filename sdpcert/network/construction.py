"""What a chain of 1-Lipschitz layers knows by construction: a point of the condition in closed form.

With c_l the square of the constant that the multipliers of layer l are feasible for, everything after a value has the
squared gain c_(l+1) c_(l+2) ..., and the multipliers of layer l count that many times. A `Construction` stands beside
the network: what is solved for uses the network alone, and only proofs by construction look here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdpcert.network.activation import Activation
from sdpcert.network.graph import Network
from sdpcert.network.layouts import Arranged
from sdpcert.network.stacked import Group
from sdpcert.network.torus import TorusGroup

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Construction:
    """The squared gains and multipliers of a network, by the numbers of its values.

    `squared_gains[k]` is, for a value k between layers, the square of a Lipschitz constant of everything after it: of
    the whole network for the input, 1 for the output. `multipliers[k]` belongs to the neurons of the activation whose
    value is k and broadcasts against its tensor.
    """

    squared_gains: dict[int, float]
    multipliers: dict[int, float | Array]

    @property
    def squared_gain(self) -> float:
        """The square of the Lipschitz constant of the whole network."""
        return self.squared_gains[0]

    def before(self, value: int) -> Construction:
        """The construction of the network that ends at a value.

        Raises ValueError if the value is inside of a layer.
        """
        self._check_between(value)
        after = self.squared_gains[value]
        return Construction(
            {k: gain / after for k, gain in self.squared_gains.items() if k <= value},
            {k: np.asarray(given) / after for k, given in self.multipliers.items() if k <= value},
        )

    def after(self, value: int, path: Sequence[int]) -> Construction:
        """The construction of the network that begins at a value, and whose values are those of `path` then.

        Raises ValueError if the value is inside of a layer.
        """
        self._check_between(value)
        number = {k: new for new, k in enumerate([value, *path])}
        return Construction(
            {number[k]: gain for k, gain in self.squared_gains.items() if k in number},
            {number[k]: given for k, given in self.multipliers.items() if k in path},
        )

    def _check_between(self, value: int) -> None:
        if value not in self.squared_gains:
            raise ValueError("the network is cut inside of a layer; its multipliers by construction do not apply there")

    def arranged(self, arrangement: Arranged) -> Construction:
        """The construction of the network as `layouts.arranged` writes it."""
        number = arrangement.number
        gains = {number(k): gain for k, gain in self.squared_gains.items()}
        return Construction(
            {**gains, arrangement.network.output: 1.0},
            {number(k): arrangement.entries(k, given) for k, given in self.multipliers.items()},
        )

    def of_neurons(self, groups: Iterable[Group]) -> tuple[Array, ...]:
        """The multipliers of groups of a stacked form, one per neuron.

        Raises ValueError for a group that has none.
        """
        return self._of_groups((group.value, group.per_neuron) for group in groups)

    def of_channels(self, groups: Iterable[TorusGroup]) -> tuple[Array, ...]:
        """The multipliers of groups on a torus, one per channel.

        Raises ValueError for a group that has none, or whose multipliers vary over the image.
        """
        images = (group.image for group in groups)
        return self._of_groups((0, np.asarray) if i is None else (i.value, i.per_channel) for i in images)

    def _of_groups(self, groups: Iterable[tuple[int, Callable[[float | Array], Array]]]) -> tuple[Array, ...]:
        found = []
        for number, (value, spread) in enumerate(groups, start=1):
            if value not in self.multipliers:
                raise ValueError(f"the neurons of group {number} have no multipliers by construction; solve for them")
            found.append(spread(self.multipliers[value]))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class ConstructedNetwork(Network):
    """A network together with what its layers know by construction.

    Networks that are derived from it are plain ones, but for `part`. Raises ValueError for a construction that is about
    another network.
    """

    construction: Construction = field(kw_only=True)

    def __post_init__(self) -> None:
        gains, last = self.construction.squared_gains, len(self.nodes)
        known = all(
            0 < k <= last and isinstance(self.nodes[k - 1].layer, Activation) for k in self.construction.multipliers
        )
        if not known or 0 not in gains or gains.get(self.output) != 1.0 or max(gains) > last:
            raise ValueError("the construction is about another network: leave it out, or restrict it to this one")

    @staticmethod
    def of(network: Network, construction: Construction) -> ConstructedNetwork:
        """The network with a construction."""
        return ConstructedNetwork(
            network.input_shape,
            network.nodes,
            network.output,
            network.source,
            network.details,
            construction=construction,
        )

    def part(self, start: int, end: int) -> ConstructedNetwork:
        """The network between two values with the construction restricted to it.

        Raises ValueError if one of them is inside of a layer, or something before `start` reaches `end` by another way.
        """
        restricted = self.construction.before(end).after(start, self.path(start, end))
        return ConstructedNetwork.of(self.between(start, end), restricted)
