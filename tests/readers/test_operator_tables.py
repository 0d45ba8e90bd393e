"""Every shared operator stands in one table, and all of them in `OPERATORS`."""

from sdpcert.readers.operators.choices import CHOOSING, ON_CHOICES
from sdpcert.readers.operators.elementwise import ELEMENTWISE
from sdpcert.readers.operators.linear import LINEAR
from sdpcert.readers.operators.moves import MOVES, MOVING
from sdpcert.readers.operators.resize import RESIZING
from sdpcert.readers.operators.sorting import SORTING
from sdpcert.readers.operators.table import OPERATORS
from sdpcert.readers.operators.windows import WINDOWS


def test_no_operator_stands_in_two_tables() -> None:
    tables = (ELEMENTWISE, LINEAR, MOVING, WINDOWS, RESIZING, SORTING, CHOOSING)
    assert len(OPERATORS) == sum(map(len, tables)) > 60
    assert set(MOVES) < set(MOVING)
    assert set(ON_CHOICES) < set(OPERATORS)
