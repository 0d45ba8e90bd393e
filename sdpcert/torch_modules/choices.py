"""Comparisons of traced tensors and choices by them, by name: `CHOOSING`; what else takes choices: `ON_CHOICES`."""

from __future__ import annotations

from sdpcert.torch_modules.arguments import Handler
from sdpcert.torch_modules.translation import translated

_OF_TWO = ("source", "other")
#: Functions whose result is a truth value, or a sign.
CHOOSING: dict[str, Handler] = {
    **dict.fromkeys(("gt", "greater", "__gt__"), translated("Greater", *_OF_TWO)),
    **dict.fromkeys(("ge", "greater_equal", "__ge__"), translated("GreaterOrEqual", *_OF_TWO)),
    **dict.fromkeys(("lt", "less", "__lt__"), translated("Less", *_OF_TWO)),
    **dict.fromkeys(("le", "less_equal", "__le__"), translated("LessOrEqual", *_OF_TWO)),
    **dict.fromkeys(("sign", "sgn"), translated("Sign", "source")),
    **dict.fromkeys(("logical_not", "bitwise_not", "__invert__"), translated("Not", "source")),
}
_ARITHMETIC = """
    add __add__ __radd__ __iadd__ sub subtract __sub__ __isub__ rsub __rsub__ mul multiply __mul__ __rmul__ __imul__
    div divide true_divide __div__ __truediv__ __itruediv__ neg negative __neg__ where masked_fill
"""
#: Functions that take a choice as it is; for others it is first made a tensor.
ON_CHOICES = frozenset((*CHOOSING, *_ARITHMETIC.split()))
