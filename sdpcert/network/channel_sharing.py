"""Which channels of an image of neurons are those of an earlier image, for networks on a torus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network.sharing import Sharing

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class ChannelSharing:
    """How the channels of one activation depend on channels of neurons: `z = gain z_at + through w + shift`.

    w is what the channel reads and z_at channel `channel` of the activation with value number `node`, pixel by pixel;
    a channel is new where `node` is the activation itself.
    """

    node: Array
    channel: Array
    gain: Array
    through: Array
    shift: Array

    def forget(self, channel: int, node: int) -> None:
        """Make a channel a new one of the activation `node`."""
        self.node[channel], self.channel[channel], self.gain[channel] = node, channel, 1.0
        self.through[channel] = self.shift[channel] = 0.0


def share_channels(sharing: Sharing | None, node: int, shape: tuple[int, ...]) -> ChannelSharing:
    """The channels of an image (channels, height, width) whose pixels all depend alike on those of an earlier one.

    What is known of single pixels, and coefficients that were rounded, are left aside: such channels are new.
    """
    count, pixels = shape[0], int(np.prod(shape[1:]))
    zeros = np.zeros(count)
    known = ChannelSharing(np.full(count, node), np.arange(count), np.ones(count), zeros, zeros.copy())
    if sharing is None:
        return known
    corrected = {c.entry // pixels for c in sharing.corrections}
    rows = {
        name: getattr(sharing, name).reshape(count, pixels)
        for name in ("node", "place", "gain", "gain_error", "through", "through_error", "shift")
    }
    for c in range(count):
        first = {name: values[c, 0] for name, values in rows.items()}
        alike = all(np.all(rows[name][c] == first[name]) for name in rows if name != "place")
        at = first["place"] // pixels
        if not alike or c in corrected or first["node"] in (0, node) or first["gain_error"] or first["through_error"]:
            continue
        if np.array_equal(rows["place"][c], at * pixels + np.arange(pixels)):
            known.node[c], known.channel[c] = first["node"], at
            known.gain[c], known.through[c], known.shift[c] = first["gain"], first["through"], first["shift"]
    return known
