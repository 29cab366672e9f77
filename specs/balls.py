"""Numbers with their errors: midpoint-radius arithmetic, so that a formula bounds its own rounding.

A `Ball` holds a computed float64 array and a bound of how far it may be from the exact one. Every
operation adds its own rounding to the errors of its operands: the formula of a theorem, written
with balls, comes out with the tolerance it needs. Results below the least normal number may be
flushed to zero, as XLA does; the numbers that one begins with are normal or zero.

The same formula runs on NumPy arrays, at once, and on traced arrays of JAX: it asks its operands
for their library. A batch of problems is the last axis of all arrays, so that a number of each
problem broadcasts with its points; coordinates are the axis before it.

References
----------
Rump, "Fast and parallel interval arithmetic", BIT 39, 1999; Johansson, "Arb: efficient
arbitrary-precision midpoint-radius interval arithmetic", IEEE Trans. Computers 66, 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gdpure import trees

# Twice the unit roundoff of float64.
_U = 2.0**-52
_TINY = float(np.finfo(np.float64).tiny)


def library(*arrays):
    """Return the library that arrays belong to: that of those that are not NumPy's, else NumPy.

    Examples
    --------
    >>> assert library(1.0, np.ones(2)) is np
    """
    found = [x.__array_namespace__() for x in arrays if hasattr(x, "__array_namespace__")]
    return next((xp for xp in found if xp is not np), np)


def _rounded(middle, radius) -> Ball:
    """Return the ball of a rounded result; the few operations of its radius are rounded, too."""
    return Ball(middle, radius * (1 + 8 * _U) + _U * abs(middle) + 8 * _TINY)


@trees.pytree
class Ball:
    """All numbers within `radius` of `middle`, entry by entry; both of one shape.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> with jax.enable_x64(True):
    ...     third = ball(1.0) / 3.0
    ...     assert abs(third * 3.0 - 1.0).middle <= 1e-15 and 0 < third.radius < 1e-15
    """

    middle: Any
    radius: Any

    # NumPy leaves `array + ball` to the ball.
    __array_ufunc__ = None

    def __add__(self, other):
        """Return the sum."""
        other = ball(other)
        return _rounded(self.middle + other.middle, self.radius + other.radius)

    def __rtruediv__(self, other):
        """Return the quotient."""
        return ball(other) / self

    def __neg__(self):
        """Return the negative."""
        return Ball(-self.middle, self.radius)

    def __sub__(self, other):
        """Return the difference."""
        return self + -ball(other)

    def __rsub__(self, other):
        """Return the difference."""
        return ball(other) - self

    def __mul__(self, other):
        """Return the product."""
        other = ball(other)
        spread = abs(self.middle) * other.radius + self.radius * abs(other.middle)
        spread += self.radius * other.radius
        # Nothing is known about zero times a number of which nothing is known.
        xp = library(spread)
        spread = xp.where(xp.isnan(spread), xp.inf, spread)
        return _rounded(self.middle * other.middle, spread)

    def __truediv__(self, other):
        """Return the quotient; its radius is infinite where the divisor may be zero."""
        other = ball(other)
        xp = library(self.middle, other.middle)
        least = abs(other.middle) - other.radius
        safe = xp.where(least > 0, least, 1)
        middle = self.middle / xp.where(least > 0, other.middle, 1)
        # In this order, what is flushed to zero is never divided by a small number.
        spread = self.radius / safe + (abs(middle) + _TINY) * (other.radius / safe)
        return _rounded(middle, xp.where(least > 0, spread, xp.inf))

    def __abs__(self):
        """Return the absolute value."""
        return Ball(abs(self.middle), self.radius)

    def __pow__(self, k):
        """Return the k-th power, for whole numbers k >= 0 that broadcast."""
        size = abs(self.middle)
        middle = self.middle**k
        spread = (size + self.radius) ** k - size**k
        return _rounded(middle, spread + 2 * (k + 1) * _U * (size + self.radius) ** k)

    __radd__ = __add__
    __rmul__ = __mul__

    def __getitem__(self, index):
        """Return some of the entries."""
        return Ball(self.middle[index], self.radius[index])

    def sum(self, axis=-2):
        """Return the sum over an axis, in any order of summation."""
        n = self.middle.shape[axis]
        size = (abs(self.middle) + self.radius).sum(axis)
        return Ball(self.middle.sum(axis), self.radius.sum(axis) + n * (_U * size + 2 * _TINY))

    def max(self, axis=-2):
        """Return the largest over an axis."""
        return Ball(self.middle.max(axis), self.radius.max(axis))

    def sqrt(self):
        """Return the square root; what is below zero counts as zero."""
        xp = library(self.middle)
        low, middle, high = (
            xp.sqrt(xp.maximum(self.middle + end, 0)) for end in (-self.radius, 0, self.radius)
        )
        # What is clear of zero moves further down than up, by a difference that would cancel.
        clear = self.middle > self.radius
        spread = self.radius / xp.where(clear, low + middle, 1)
        return _rounded(middle, xp.where(clear, spread, xp.maximum(middle, high - middle)))


def ball(x) -> Ball:
    """Return exact numbers as a ball of radius zero; a ball comes back as it is."""
    if isinstance(x, Ball):
        return x
    xp = library(x)
    middle = xp.asarray(x, dtype=xp.float64)
    return Ball(middle, xp.zeros_like(middle))


def dot(x, y, axis=-2) -> Ball:
    """Return inner products along the axis of the coordinates."""
    return (ball(x) * y).sum(axis)


def norm(x, axis=-2) -> Ball:
    """Return Euclidean norms along the axis of the coordinates, as far off as errors are long.

    Examples
    --------
    >>> assert norm(Ball(np.array([[3.0], [4.0]]), np.array([[3.0], [4.0]]))).radius < 5.000001
    """
    x = ball(x)
    n, off = x.middle.shape[axis], (x.radius**2).sum(axis)
    off = library(off).sqrt(off + 2 * n * _TINY) * (1 + (n + 8) * _U)
    return widened(dot(x.middle, x.middle, axis).sqrt(), off)


def stack(parts) -> Ball:
    """Return balls of one shape side by side, along a new axis of coordinates."""
    return _joined(lambda xp, arrays: xp.stack(arrays, -2), parts)


def concatenate(parts, axis=0) -> Ball:
    """Return balls one after the other, along an axis."""
    return _joined(lambda xp, arrays: xp.concatenate(arrays, axis), parts)


def _joined(join, parts):
    middles, radii = zip(*((part.middle, part.radius) for part in map(ball, parts)), strict=True)
    xp = library(*middles)
    return Ball(join(xp, middles), join(xp, radii))


def where(condition, x) -> Ball:
    """Return a ball where a condition is met; elsewhere one of which nothing is known.

    Examples
    --------
    >>> assert where(np.array([True, False]), ball(np.ones(2))).radius.tolist() == [0, np.inf]
    """
    x = ball(x)
    xp = library(x.middle, condition)
    return Ball(xp.where(condition, x.middle, 0), xp.where(condition, x.radius, xp.inf))


def widened(x, radius) -> Ball:
    """Return a ball whose radius is larger by so much."""
    x = ball(x)
    radius = x.radius + radius
    return Ball(*library(radius).broadcast_arrays(x.middle, radius))


def most(x: Ball):
    """Return a number that nothing in the ball exceeds."""
    end = x.middle + x.radius
    return end + 2 * (_U * abs(end) + _TINY)
