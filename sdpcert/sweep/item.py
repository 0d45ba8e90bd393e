"""One item of a sweep: what is done with which network, under a name that the plan alone decides."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

#: Characters of the readable part of a name, and hexadecimal digits of the hash that follows it.
READABLE, DIGITS = 72, 16
#: What is not said in a name.
_UNSAID = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Item:
    """What is done (`do`: "certify" or "radii") with a network's file, as the plan states its path.

    `options` are plain JSON and hold only what differs from the defaults, so stating a default changes nothing.
    `words` is how they are shown in the name.
    """

    do: str
    network: str
    options: Mapping[str, Any]
    words: str = field(default="", compare=False)

    @cached_property
    def key(self) -> str:
        """The name: readable words, then a hash of everything that the item is.

        The network's content is no part of it: a file that changed keeps its items, which are done again.
        """
        stated = json.dumps([self.do, self.network, dict(self.options)], sort_keys=True)
        digest = hashlib.sha256(stated.encode()).hexdigest()[:DIGITS]
        stem = _UNSAID.sub("-", PurePosixPath(self.network).stem).strip("-.") or "network"
        return f"{stem}{_UNSAID.sub('-', self.words)}"[:READABLE].rstrip("-.") + f"-{digest}"

    @property
    def files(self) -> list[str]:
        """The files that it reads, by their paths in the plan."""
        return [self.network, *([self.options["inputs"]] if "inputs" in self.options else [])]

    def document(self) -> dict[str, Any]:
        """The item as its record and the index state it."""
        return {"key": self.key, "do": self.do, "network": self.network, "options": dict(self.options)}
