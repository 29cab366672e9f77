"""What is proven about gradient descent: the constants of its theorems, and of its rounding."""

from . import bounds, rounding

__all__ = ["bounds", "rounding"]
