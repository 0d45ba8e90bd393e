"""Sets of inputs, and what is proved of a network's preactivations on them.

`region.py` has the sets, `pieces.py` what divides them and what is stated of a piece.
"""

from sdpcert.regions.region import AllInputs as AllInputs
from sdpcert.regions.region import Ball as Ball
from sdpcert.regions.region import Box as Box
from sdpcert.regions.region import Region as Region
