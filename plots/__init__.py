"""Figures of gradient descent: what is computed (`views`), how it is drawn, how it is saved.

`views` needs JAX alone; matplotlib is imported when the first figure is asked for.
"""

import importlib

from . import views

_WHERE = {
    "figures.animation": ("animate", "save_animation"),
    "figures.basins": ("basins",),
    "figures.certificate": ("certificate",),
    "figures.comparisons": ("conditioning", "step_rules"),
    "figures.convergence": ("convergence",),
    "figures.differences": ("gradient_check",),
    "figures.fits": ("fit_and_parameters",),
    "figures.landscapes": ("landscape", "surface"),
    "figures.maps": ("descent", "level_sets"),
    "figures.samples": ("per_sample",),
    "figures.steps": ("one_step",),
    "figures.stochastic": ("gd_vs_sgd",),
    "figures.sweeps": ("momentum_plane", "step_sweep"),
    "figures.tangents": ("tangents",),
    "figures.tightness": ("tightness",),
    "files": ("save",),
    "palette": ("THEMES",),
    "reading": ("record",),
    "wording": ("alt_text",),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [*sorted(_HOME), "views"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
