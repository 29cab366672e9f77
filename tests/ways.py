"""The ways to a gradient that objectives are tried by, compiled once for all data of a shape."""

from functools import partial

import jax
import pytest

import gdpure as gd

WAYS = [gd.analytic, gd.reverse]
ways = pytest.mark.parametrize("way", WAYS)


@partial(jax.jit, static_argnames="way")
def evaluate(way, f, theta):
    """Return value and gradient at theta."""
    return way(f)(theta)
