"""Figures of gradient descent: what is computed (`views`), how it is drawn, how it is saved.

`views` needs JAX alone; matplotlib is imported when the first figure is asked for.
"""

from . import views
from .save import save

__all__ = ["convergence", "landscape", "per_sample", "save", "views"]


def __getattr__(name):
    if name in __all__:
        from . import figures

        return getattr(figures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
