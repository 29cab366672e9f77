"""Landscapes: classic objectives of two parameters, with what is known about them.

============  =====================================  =============================================
name          f(a, b)                                known
============  =====================================  =============================================
bowl          a^2 + b^2                              the quadratic of the lesson
saddle        a^2 - b^2                              no minimizer; flat at the origin
double_well   (a^2 - 1)^2 + b^2                      two minimizers, a saddle between them
rosenbrock    (1 - a)^2 + 100 (b - a^2)^2            a curved valley that leads to (1, 1)
himmelblau    (a^2 + b - 11)^2 + (a + b^2 - 7)^2     four minimizers of the same value
beale         (3/2 - a + a b)^2 + (9/4 - a + a       flat far away, minimizer (3, 1/2)
              b^2)^2 + (21/8 - a + a b^3)^2
camel         2 a^2 - 1.05 a^4 + a^6/6 + a b + b^2   three minima, the deepest at the origin
rastrigin     a^2 + b^2 + 10 (2 - cos(2 pi a)        a regular grid of local minima around the
              - cos(2 pi b))                         origin
============  =====================================  =============================================

Each is an `Objective` of one vector, shape (2,); ``gd.facts`` of it knows the first of its
minimizers, `MINIMIZERS` all.

>>> import gdpure as gd, jax.numpy as jnp
>>> assert gd.landscapes.himmelblau(jnp.array([3.0, 2.0])) == 0
>>> assert len(gd.landscapes.MINIMIZERS["himmelblau"]) == 4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from gdpure import guards
from gdpure.objectives import Facts, Objective

MINIMIZERS = {
    "bowl": ((0.0, 0.0),),
    "saddle": (),
    "double_well": ((1.0, 0.0), (-1.0, 0.0)),
    "rosenbrock": ((1.0, 1.0),),
    "himmelblau": (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    ),
    "beale": ((3.0, 0.5),),
    "camel": ((0.0, 0.0),),
    "rastrigin": ((0.0, 0.0),),
}


def _landscape(name, value, gradient=None, **constants):
    """Return an objective of two parameters from a function of their coordinates."""
    least = MINIMIZERS[name]
    if least:
        constants |= {"minimizer": np.array(least[0]), "minimum": 0.0}
    return Objective(_OfTwo(name, value), gradient=gradient, facts=Facts(**constants))


@dataclass(frozen=True)
class _OfTwo:
    name: str
    value: Callable[[Any, Any], Any]

    def __call__(self, x, _):
        return self.value(*guards.coordinates(f"landscapes.{self.name}", x, 2))


def _bowl_gradient(x, _):
    return 2 * x


def _himmelblau_gradient(x, _):
    a, b = x
    return jnp.stack(
        [
            4 * a * (a**2 + b - 11) + 2 * (a + b**2 - 7),
            2 * (a**2 + b - 11) + 4 * b * (a + b**2 - 7),
        ]
    )


def _rosenbrock_gradient(x, _):
    a, b = x
    return jnp.stack([-400 * a * (b - a**2) - 2 * (1 - a), 200 * (b - a**2)])


# Named, each of them: what has no name cannot be pickled, and so sent to another process.
def _bowl(a, b):
    return a**2 + b**2


def _saddle(a, b):
    return a**2 - b**2


def _double_well(a, b):
    return (a**2 - 1) ** 2 + b**2


def _rosenbrock(a, b):
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2


def _himmelblau(a, b):
    return (a**2 + b - 11) ** 2 + (a + b**2 - 7) ** 2


def _beale(a, b):
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2


def _camel(a, b):
    return 2 * a**2 - 1.05 * a**4 + a**6 / 6 + a * b + b**2


def _rastrigin(a, b):
    return a**2 + b**2 + 10 * (2 - jnp.cos(2 * np.pi * a) - jnp.cos(2 * np.pi * b))


_CURVED = {"smoothness": 2.0, "strong_convexity": 2.0, "growth": 2.0}
_WAVY = {"smoothness": 2 + 40 * np.pi**2, "strong_convexity": 2 - 40 * np.pi**2}

bowl = _landscape("bowl", _bowl, _bowl_gradient, **_CURVED)
saddle = _landscape("saddle", _saddle, smoothness=2.0, strong_convexity=-2.0, minimum=-np.inf)
double_well = _landscape("double_well", _double_well)
rosenbrock = _landscape("rosenbrock", _rosenbrock, _rosenbrock_gradient)
himmelblau = _landscape("himmelblau", _himmelblau, _himmelblau_gradient)
beale = _landscape("beale", _beale)
camel = _landscape("camel", _camel)
rastrigin = _landscape("rastrigin", _rastrigin, **_WAVY)
