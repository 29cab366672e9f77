"""Bugs planted on purpose, correct methods beside them, and the checks that people use.

Numbers like m08 are those of the catalogue in which the bugs were first measured; numbers like
optax#1405 are issues of the projects where they were met.
"""

from planted import (
    corrections,
    descents,
    gradients,
    line_searches,
    minibatches,
    momentum,
    schedules,
    steps,
    stopping,
    transformations,
)
from planted.catalogue import METHODS, PLANTED, Planted

CATALOGUE: tuple[Planted, ...] = tuple(PLANTED)

__all__ = [
    "CATALOGUE",
    "METHODS",
    "Planted",
    "corrections",
    "descents",
    "gradients",
    "line_searches",
    "minibatches",
    "momentum",
    "schedules",
    "steps",
    "stopping",
    "transformations",
]
