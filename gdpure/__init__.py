"""Gradient descent as pure JAX functions."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gdpure.public import *  # noqa: F403


def __getattr__(name):
    # JAX comes with the first name, not with the package: pytest imports the package in every run
    # of whoever has it installed, before a conftest.py can say how JAX shall be set up.
    try:
        globals()[name] = found = getattr(import_module("gdpure.public"), name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return found


def __dir__():
    return sorted({*globals(), *import_module("gdpure.public").__all__})
