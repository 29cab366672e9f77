"""Gradient descent as pure JAX functions."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gdpure.public import *  # noqa: F403


def __getattr__(name):
    # JAX comes with the first name, not with the package: pytest imports the package in every run
    # of whoever has it installed, before a conftest.py can say how JAX shall be set up.
    public = import_module("gdpure.public")
    if name not in globals():  # else it is a module of the package, which came with the names
        if not hasattr(public, name):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(public, name)
    return globals()[name]


def __dir__():
    return sorted({*globals(), *import_module("gdpure.public").__all__})
