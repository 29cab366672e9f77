"""What is proven about gradient descent, as programs that run on anybody's descent."""

from . import bounds, rounding
from .gradient.check import check_gradient
from .objective.check import check_objective
from .optimizer.check import check_optimizer
from .optimizer.trials import parametrize_with_theorems
from .optimizer.worst_case import WorstCase, worst_case
from .problems import Problem, problems
from .run.certificate import Certificate
from .run.certify import certify
from .theorems import THEOREMS

__all__ = [
    "THEOREMS",
    "Certificate",
    "Problem",
    "WorstCase",
    "bounds",
    "certify",
    "check_gradient",
    "check_objective",
    "check_optimizer",
    "parametrize_with_theorems",
    "problems",
    "rounding",
    "worst_case",
]
