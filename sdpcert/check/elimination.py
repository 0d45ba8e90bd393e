"""In which blocks a factor of a matrix made of blocks has entries, and what it takes to find it.

The blocks are those of sources: the input and the groups of neurons. When a source is eliminated, the later ones that
it is connected with become connected with each other; what that adds to them goes to the first of them, its parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .reading import Rejected

#: Pairs of connected blocks, multiplications, and numbers held at a time, up to which a factor is made.
MAX_PAIRS, MAX_OPERATIONS, MAX_HELD = 10**7, 3 * 10**13, 5 * 10**8


@dataclass(frozen=True)
class Elimination:
    """Sources in the order in which they are eliminated; a place is an index into `order`.

    Args:
        order: the sources.
        sizes: of the source at each place.
        later: for each place the later places that it is connected with, ascending.
        children: for each place the earlier places whose parent it is.
    """

    order: Sequence[int]
    sizes: list[int]
    later: list[list[int]]
    children: list[list[int]]

    @classmethod
    def of(cls, sizes: Sequence[int], order: Sequence[int], cliques: Iterable[Sequence[int]]) -> Elimination:
        """The elimination of sources of some sizes in an order; the sources of a clique are all connected.

        Raises `Rejected` if there are too many pairs.
        """
        place = [0] * len(order)
        for k, source in enumerate(order):
            place[source] = k
        connected: list[set[int]] = [set() for _ in order]
        for clique in cliques:
            first, *others = sorted(place[source] for source in clique)
            connected[first].update(others)  # and those with one another, once the first is eliminated
        later, children, pairs = [], [[] for _ in order], 0
        for k, own in enumerate(connected):
            pairs += len(own)
            if pairs > MAX_PAIRS:
                raise Rejected(f"a factor has more than {MAX_PAIRS} blocks in this order")
            later.append(sorted(own))
            if own:
                parent = later[-1][0]
                children[parent].append(k)
                connected[parent] |= own
                connected[parent].discard(parent)
            connected[k] = set()
        return cls(order, [sizes[source] for source in order], later, children)

    def below(self, k: int) -> int:
        """How many coordinates of later places a place is connected with."""
        return sum(self.sizes[j] for j in self.later[k])

    @property
    def operations(self) -> int:
        """About how many multiplications a factor takes."""
        pairs = ((self.sizes[k], self.below(k)) for k in range(len(self.order)))
        return sum(own**3 + 2 * own**2 * below + own * below**2 for own, below in pairs)

    @property
    def held(self) -> int:
        """How many numbers are held at a time, at most."""
        waiting, most = 0, 0
        for k, children in enumerate(self.children):
            below = self.below(k)
            most = max(most, waiting + 2 * (self.sizes[k] + below) ** 2)
            waiting += below**2 - sum(self.below(child) ** 2 for child in children)
        return most

    def check_work(self) -> None:
        """Raise `Rejected` if a factor takes more than a checker does."""
        if self.operations > MAX_OPERATIONS:
            raise Rejected(f"a factor takes more than {MAX_OPERATIONS} multiplications in this order")
        if self.held > MAX_HELD:
            raise Rejected(f"a factor takes more than {MAX_HELD} numbers at a time in this order")

    def roundings(self, part: int) -> int:
        """How many additions a product of entries of the factor passes through, `part` of which are added up before."""
        most, passed = 0, [0] * len(self.order)
        for k, children in enumerate(self.children):
            own = -(-self.sizes[k] // part)
            most = max(most, max((passed[child] for child in children), default=0) + len(children) + own)
            # What a child leaves to this place alone ends here.
            further = [passed[child] + len(children) for child in children if len(self.later[child]) > 1]
            passed[k] = max(further, default=0) + own
        return most
