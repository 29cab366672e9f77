"""What a function itself says of its gradient: Taylor's theorem, whatever the function is made of.

Along a direction d, with steps s from the size of x downwards, a quarter each time,

    (f(x + s d) - f(x - s d)) / 2s - <g, d>   =  w + O(s^2),     w = <grad f - g, d>
    (f(x + s d) + f(x - s d) - 2 f(x)) / 2s   =  k + O(s),       k = 0 unless f has a kink

so that the remainder ``f(x + s d) - f(x) - s <g, d>`` is O(s^2) for the right gradient, and O(s)
for a wrong one. Two steps give w and k in the limit s -> 0. How far off w may be is bounded by what
the next two steps make of it, by k, and by the rounding of f over s: three steps are needed for an
answer. The least of these bounds counts, unless what a finer step says contradicts it: f then
varies within the steps.

The rounding of f is measured: how much f changes within a unit in the last place of x, but at least
u |f|, and at least the least change it shows at all, which is a large one if f computes in float32
whatever it is given. f is evaluated in float64 if it takes that, at the very numbers that the point
stands for; what may be off is then the gradient alone, by its own rounding. That is known from
`autodiff`, where JAX can trace f. Of other gradients it is measured: how far they are from what the
same function returns in float64, and what a unit in the last place of x changes in them. That does
not show what was rounded before anybody asked, such as a product of matrices of the data: where f
or the gradient bring arrays of the dtype along, sums as long as their longest axis are allowed for,
and so is the rounding of f over the size of x.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..balls import Ball
from ..rounding import unit_roundoff
from .autodiff import Derivative
from .functions import Came, Function, data_of, flat, wide

_U = unit_roundoff(jnp.float64)
_STEPS = 4.0 ** -np.arange(26)
_RANDOM, _NEARBY = 8, 32  # random directions; points within a unit in the last place
TERMS = 8  # so many operations make a number, besides sums
EVERY, _AT_MOST = 64, 1024  # so many coordinates are tried at every step, and at a few steps


class Slopes(NamedTuple):
    """What f says of ``<g, d>`` along q directions.

    Attributes
    ----------
    coordinate
        j where d is along a coordinate, else -1.
    length
        Of d where it is along a coordinate, else 1.
    returned, slope, allowed
        ``<g, d>``, what f says it is, and how far they may be apart: infinite where f does not
        tell.
    why
        Why f does not tell, or "".
    steps, remainders
        Three steps, and ``(f(x + s d) - f(x - s d)) / 2s - <g, d>`` for them, shape (q, 3).
    """

    coordinate: np.ndarray
    length: np.ndarray
    returned: np.ndarray
    slope: np.ndarray
    allowed: np.ndarray
    why: np.ndarray
    steps: np.ndarray
    remainders: np.ndarray


def slopes(function: Function, x, came: Came, derivative: Derivative | None) -> Slopes:
    """Return what f says of a gradient at x, along coordinates and random directions.

    Examples
    --------
    >>> from gdpure.specs.gradient.functions import form_of
    >>> f, g = lambda x: float(np.exp(x).sum()), lambda x: 2 * np.exp(x)
    >>> form, x = form_of("f", np.array([0.0, 1.0]))
    >>> found = slopes(Function(f, g, form, 0, None, ""), x, Came(None, g(x)), None)
    >>> assert abs(found.slope[0] - 1) < 1e-9 and found.returned[0] - 1 > found.allowed[0]
    """
    d, sizes = len(x), _natural(function.form, x)
    if derivative is None:
        rounding = _own_rounding(function, x, came, sizes)
    else:
        rounding = (derivative.rounding + derivative.jump)[1:]
        rounding = np.where(np.isnan(rounding), np.inf, rounding)
    asked = _Asked(function, x, came.gradient, rounding)
    shape = _RANDOM if d > 1 else 0, d
    signs = function.random.choice([-1.0, -0.5, 0.5, 1.0], shape) * sizes
    random = np.full(len(signs), -1)
    if d <= EVERY:
        directions = np.concatenate([np.eye(d) * sizes, signs])
        return asked.slopes(directions, np.append(np.arange(d), random), _STEPS)
    found = asked.slopes(signs, random, _STEPS)
    best = found.steps[np.isfinite(found.allowed), 1]
    if not best.size or d > _AT_MOST or derivative is not None:
        return found
    steps = np.median(best) * 4.0 ** np.arange(2, -3, -1)
    more = asked.slopes(np.eye(d) * sizes, np.arange(d), steps)
    return Slopes(*map(np.concatenate, zip(found, more, strict=True)))


def value_of(function: Function, x) -> Ball:
    """Return f(x), and as radius how much rounding shows in it, for an f that JAX cannot trace."""
    form, f = function.form, function.f
    value = float(f(form.built(x)))
    double = [x] if _refines(function, x, unknown=False) else []
    near = _tried(f, form, _nearby(function, x, form.unit), 1)
    off = abs(np.append(near, _tried(f, form, double, 1, np.float64)) - value)
    return Ball(value, off[np.isfinite(off)].max(initial=0.0) + 2 * form.unit * abs(value))


def _tried(g, form, points, size, dtype=None):
    """Return the last numbers that a function gives at points of our own, NaN where it raises."""
    found, around = [], wide() if dtype else contextlib.nullcontext()
    # Far from the point anything may overflow.
    with around, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for point in points:
            found.append(np.full(size, np.nan))
            with contextlib.suppress(Exception):  # whatever a stranger's code may raise
                found[-1][:] = flat(g(form.built(point, dtype)))[-size:]
    return np.array(found)


def _natural(form, x):
    """Return powers of two of the size of each coordinate, or of its array, or 1."""
    parts = [np.where(part == 0, abs(part).max(), abs(part)).ravel() for part in form.parts(x)]
    sizes = np.concatenate(parts)
    return 2.0 ** np.floor(np.log2(np.where(sizes == 0, 1.0, sizes)))


def _nearby(function, x, unit):
    """Return points within a unit in the last place of x."""
    signs = np.random.default_rng([function.seed, 1]).choice([-1.0, 1.0], (_NEARBY, len(x)))
    return x + signs * (2 * unit) * abs(x)


def _own_rounding(function, x, came, sizes):
    """Return how much rounding shows in a gradient of which nothing else is known."""
    form, g, d = function.form, function.gradient, len(x)
    in_double = came.gradient[None]
    if _refines(function, x, unknown=True):
        in_double = _tried(g, form, [x], d, np.float64)
    near = _tried(g, form, _nearby(function, x, form.unit), d)
    off = abs(np.concatenate([near, in_double]) - came.gradient)
    off = np.where(np.isfinite(off), off, 0.0)
    moved, refined = off[:-1].max(axis=0), off[-1]
    arrays = [a for f in (function.f, g) for a in data_of(f) if a.ndim]
    coarse = [a for a in arrays if _floating(a) and unit_roundoff(a.dtype) >= form.unit]
    terms = TERMS + max((max(array.shape) for array in coarse), default=0)
    if not form.double and not refined.any():
        terms += d  # it may well compute in the dtype, whatever it is given
    rounding = refined + terms * form.unit * abs(came.gradient) + moved
    if coarse or not refined.any():
        rounding = rounding + terms * moved
    if coarse:
        rounding = rounding + TERMS * form.unit * abs(float(function.f(form.built(x)))) / sizes
    return rounding


def _refines(function, x, unknown):
    """Return whether f is the same function in float64; `unknown` says what if it takes none.

    Where it draws random numbers, it is not: half of the digits of its value are others there, and
    more than a unit in the last place of x, eight operations long, makes of it.
    """
    form, f = function.form, function.f
    own = float(f(form.built(x)))
    off = abs(_tried(f, form, [x], 1, np.float64).item() - own)
    if np.isnan(off):
        return unknown  # it may demand the dtype of the parameters
    if off <= math.sqrt(form.unit) * abs(own):
        return True
    near = abs(_tried(f, form, _nearby(function, x, form.unit), 1) - own)
    return off <= TERMS * np.nanmax(near, initial=0.0)


def _floating(array):
    return jnp.issubdtype(array.dtype, jnp.floating)


class _Asked:
    """A function that is asked for its slopes; what it says first tells how far to trust it."""

    def __init__(self, function, x, gradient, rounding):
        self.function, self.x, self.gradient, self.rounding = function, x, gradient, rounding
        double = function.traced is not None or _refines(function, x, unknown=False)
        self.dtype, unit = (np.float64, _U) if double else (None, function.form.unit)
        [[self.here]], _ = self.along(np.zeros((1, len(x))), np.zeros(1))
        moved, _ = self.along(_nearby(function, x, unit) - x, np.ones(1))
        varied = np.nanmax(abs(moved - self.here), initial=0.0)
        self.noise = max(unit * abs(self.here), varied)
        self.finest, self.coarsest = None, function.form.unit * abs(self.here)

    def along(self, directions, steps):
        """Return f and ``<g, y - x>`` at points y, shape (q, m); f is NaN where it has no value."""
        x, gradient, form, f = self.x, self.gradient, self.function.form, self.function.traced
        if f is not None:
            with wide():
                start, moves = (form.built(part, np.float64) for part in (x, directions))
                values = _along(f, start, moves, jnp.asarray(steps))
            return np.asarray(values, np.float64), np.outer(directions @ gradient, steps)
        values, predicted = np.empty((2, len(directions), len(steps)))
        for k, direction in enumerate(directions):
            points, again = ((x + step * direction for step in steps) for _ in range(2))
            values[k] = _tried(self.function.f, form, points, 1, self.dtype)[:, 0]
            rounded = (y if self.dtype else flat(form.built(y)) for y in again)
            predicted[k] = [(y - x) @ gradient for y in rounded]
        return values, predicted

    def slopes(self, directions, coordinates, steps):
        """Return what f says of ``<g, d>`` for each of the directions, shape (q, d)."""
        values, predicted = self.along(directions, np.concatenate([steps, -steps]))
        changes = abs(values - self.here)
        if self.finest is None:
            seen = changes[(changes > 0) & np.isfinite(changes)]
            # What f shows no finer change than, it is not known any finer than.
            self.finest = seen.min() if seen.size else self.coarsest
            self.noise = max(self.noise, self.finest)
        above, below = np.split(values - self.here, 2, axis=1)
        ahead, behind = np.split(predicted, 2, axis=1)
        odd = ((above - below) - (ahead - behind)) / (2 * steps)
        even = ((above + below) - (ahead + behind)) / (2 * steps)
        change = np.fmax(abs(above), abs(below))
        # Where a direction does not move, what is not known does not matter.
        explained = (abs(directions) * np.where(directions != 0, self.rounding, 0.0)).sum(axis=1)
        sizes, returned = abs(directions) @ abs(self.gradient), directions @ self.gradient
        rows = zip(odd, even, change, explained, sizes, strict=True)
        limits = zip(*(_limit(steps, self.noise, *row) for row in rows), strict=True)
        error, *evidence = map(np.array, limits)
        own = directions[np.arange(len(directions)), coordinates]
        length = np.where(coordinates < 0, 1.0, own)
        return Slopes(coordinates, length, returned, returned + error, *evidence)


def _limit(steps, noise, odd, even, change, explained, size):
    """Return w in the limit s -> 0, how far off it may be, why it is none, and three remainders."""
    usable = np.isfinite(odd) & np.isfinite(even)
    moved = np.flatnonzero(usable & (change > 0))
    if moved.size:
        usable[moved[-1] + 1 :] = False  # f does not see so small a step
    k = np.array([k for k in range(2, len(odd)) if usable[k - 2 : k + 1].all()], int)
    if not k.size:
        nothing = np.full(3, np.nan)
        return 0.0, math.inf, "f answers to fewer than three of the steps", nothing, nothing
    limits = odd[1:] + np.diff(odd) / 15  # O(s^4)
    kinks = (4 * even[1:] - even[:-1]) / 3  # O(s^3)
    error, kink = limits[k - 1], abs(kinks[k - 1])
    bound = abs(limits[k - 1] - limits[k - 2]) + kink + abs(kinks[k - 2]) + 2 * noise / steps[k]
    best, contradicted = int(np.argmin(bound)), False
    while True:
        apart = abs(error - error[best]) > bound + bound[best]
        finer = np.flatnonzero(apart & (np.arange(len(k)) > best))
        if not finer.size:
            break
        contradicted, best = True, int(finer[-1] + np.argmin(bound[finer[-1] :]))
    off, allowed, place = float(error[best]), float(bound[best] + explained), k[best]
    first = np.argmax(usable)
    scale = max(size, abs(off), change[first] / steps[first])
    accused, why = abs(off) > allowed, ""
    if contradicted and accused:
        why = "f varies on the scale of the steps, and does not tell"
    elif 0 < change[usable].max() <= 2 * noise:
        why = "what f changes is no more than its rounding"
    elif not accused and allowed > scale / 2:
        why = "rounding hides the slope of f"
        if kink[best] > max(noise / steps[place], bound[best] / 8):
            why = "f has a kink at the point"
        elif not change[usable].any():
            why = "f does not change at all"
    shown = slice(place - 2, place + 1)
    return off, math.inf if why else allowed, why, steps[shown], odd[shown]


@jax.jit
def _along(f, x, directions, steps):
    count = jax.tree.leaves(directions)[0].shape[0]

    def at(k):
        row, step = k // len(steps), steps[k % len(steps)]
        return f(jax.tree.map(lambda leaf, moves: leaf + step * moves[row], x, directions))

    return jax.lax.map(at, jnp.arange(count * len(steps))).reshape(count, len(steps))
