"""Certified accuracy of trained networks: computed, saved, and proved again when a file is read.

`evaluate` and `recertify` need torch, which loads when they are asked for.
"""

from typing import TYPE_CHECKING, Any

from sdpcert.errors import EvaluationRejected
from sdpcert.evaluation.saved import Evaluation, load_evaluation
from sdpcert.running.extras import needed_by

if TYPE_CHECKING:
    from sdpcert.evaluation.again import recertify
    from sdpcert.evaluation.trained import evaluate

__all__ = ["Evaluation", "EvaluationRejected", "evaluate", "load_evaluation", "recertify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sdpcert.evaluation' has no attribute {name!r}")
    with needed_by(f"sdpcert.evaluation.{name}", "train"):
        from sdpcert.evaluation.again import recertify
        from sdpcert.evaluation.trained import evaluate
    return evaluate if name == "evaluate" else recertify


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
