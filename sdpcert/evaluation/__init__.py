"""Certified accuracy of trained networks: computed, saved, and proved again when a file is read."""

from sdpcert.evaluation.saved import Evaluation as Evaluation
from sdpcert.evaluation.saved import EvaluationRejected as EvaluationRejected
from sdpcert.evaluation.saved import load_evaluation as load_evaluation
