"""What is proven about gradient descent, as programs that run on anybody's descent."""

from . import bounds, rounding
from .checks import check_optimizer, parametrize_with_theorems
from .families import THEOREMS
from .gradient_check import check_gradient

__all__ = [
    "THEOREMS",
    "bounds",
    "check_gradient",
    "check_optimizer",
    "parametrize_with_theorems",
    "rounding",
]
