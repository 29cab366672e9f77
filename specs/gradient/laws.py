"""Two theorems about a gradient at one point: what autodiff says of it, and what f itself does."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..balls import Ball, where
from ..theorem import Sides, Theorem, sides
from .autodiff import Derivative, derivative
from .functions import Came, Function, returned
from .remainder import Slopes, slopes, value_of


class Seen(NamedTuple):
    """What is known of a gradient at one point; of all numbers the value comes first.

    Attributes
    ----------
    x, came
        The point, shape (d,), and what came from the gradient.
    known, reason
        The derivative by autodiff; or None, and why there is none.
    least
        Smaller numbers may be taken for zero.
    value
        f(x), of which nothing is known where autodiff knows more, or where no value came.
    slopes
        What f itself says.
    """

    x: np.ndarray
    came: Came
    known: Derivative | None
    reason: str
    least: float
    value: Ball
    slopes: Slopes


def look(function: Function, x) -> Seen:
    """Return what is known of a gradient at x, shape (d,).

    Raises
    ------
    Formless
        If it has not the form of a gradient there.
    """
    came, (known, reason) = returned(function, x), derivative(function, x)
    asked = came.value is not None and known is None
    value = value_of(function, x) if asked else Ball(0.0, np.inf)
    least = max(float(jnp.finfo(dtype).tiny) for dtype in function.form.dtypes)
    return Seen(x, came, known, reason, least, value, slopes(function, x, came, known))


def _derived(t: Seen):
    assert t.known is not None, t.reason
    exact, allowed = t.known.exact, t.known.rounding + t.known.jump + t.least
    told = np.isfinite(exact + allowed)
    told[0] &= t.came.value is not None
    truth = where(told, Ball(exact, allowed))
    # Of a number that may be off by half of itself nothing is shown, unless it is exactly zero.
    return t.came.numbers, truth, abs(truth.middle) / 2 + 2 * t.least


def _remains(t: Seen):
    slope = np.append(t.value.middle, t.slopes.slope)
    allowed = np.append(t.value.radius, t.slopes.allowed)
    returned = np.append(t.came.value or 0.0, t.slopes.returned)
    return returned, where(np.isfinite(allowed), Ball(slope, allowed)), np.inf


AUTODIFF = Theorem(
    "gradient-matches-autodiff",
    "gradient agreement",
    "gradient(x)[i] = df(x) / dx[i]",
    "by autodiff, in float64",
    _derived,
    ("JAX can trace f",),
    equality=True,
)
TAYLOR = Theorem(
    "taylor-remainder",
    "gradient agreement",
    "f(x + s d) - f(x) - s <g, d> = O(s^2)",
    "Taylor's theorem",
    _remains,
    ("f differentiable at x",),
    equality=True,
)


class Comparison(NamedTuple):
    """What came from a gradient at one point, beside what a theorem says.

    Attributes
    ----------
    seen
        What is known.
    numbers
        Both sides of the value and of all coordinates, shape (1 + d,).
    along
        Both sides of what f itself says, along directions, (q,).
    judged
        Those that the theorem is about.
    """

    seen: Seen
    numbers: Sides
    along: Sides
    judged: Sides

    @property
    def gradient(self):
        """Both sides of all coordinates, shape (d,)."""
        return self.numbers.each(lambda x: x[1:])

    @property
    def wrong(self):
        """Which coordinates nothing explains."""
        return self.gradient.broken


def compare(theorem: Theorem, seen: Seen) -> Comparison:
    """Return both sides of one of the two theorems, of the value and of each coordinate, too."""
    told = sides(TAYLOR, seen)
    judged = told if theorem is TAYLOR else sides(theorem, seen)
    numbers = _by_coordinate(seen, told) if theorem is TAYLOR else judged
    # A value that did not come, or of which nothing is known here, is none to judge.
    first = 0 if np.isfinite(judged.allowed[0]) else 1
    along, judged = told.each(lambda x: x[1:]), judged.each(lambda x: x[first:])
    return Comparison(seen, numbers, along, judged)


def _by_coordinate(seen, told):
    """Return what f says along coordinates as what it says of them."""
    bound, allowed = np.zeros(seen.came.numbers.shape), np.full(seen.came.numbers.shape, np.inf)
    bound[0], allowed[0] = told.bound[0], told.allowed[0]
    along = seen.slopes.coordinate >= 0
    j, length = 1 + seen.slopes.coordinate[along], seen.slopes.length[along]
    bound[j], allowed[j] = told.bound[1:][along] / length, told.allowed[1:][along] / length
    return Sides(seen.came.numbers, bound, allowed, allowed, True)
