"""What is proven about gradient descent, as programs that run on anybody's descent."""

from . import bounds, rounding
from .checks import THEOREMS, check_optimizer

__all__ = ["THEOREMS", "bounds", "check_optimizer", "rounding"]
