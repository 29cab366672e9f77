"""What is proven about gradient descent, as programs that run on anybody's descent."""

from . import bounds, rounding
from .checks import THEOREMS, check_optimizer, parametrize_with_theorems

__all__ = ["THEOREMS", "bounds", "check_optimizer", "parametrize_with_theorems", "rounding"]
