"""Branch and bound: a region is divided until the largest bound of a piece is near what inputs attain.

`tree_search.py` has the loop, `node.py` what is kept of a piece, `bounding.py` the bound of one, `choosing.py` what is
divided.
"""

from sdpcert.certify.branching.tree_search import Searched as Searched
from sdpcert.certify.branching.tree_search import search as search
