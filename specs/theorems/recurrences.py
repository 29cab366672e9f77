"""Recurrences: what the next row of a run is, given the rows so far.

The judge computes it from exact values and gradients, and the subject from rounded ones: every
number on the way is a ball around the exact one that holds whatever an honest subject may have
there. Where a rule decides, whatever the numbers in the balls may decide is admissible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gdpure import rules

from .. import rounding
from ..balls import Ball, ball, concatenate, dot, library, most, where, widened
from ..rows import Trace, evaluations, shown


@dataclass(frozen=True)
class Always:
    """A function step_size -> rule that gives the same rule, whatever it is asked for."""

    rule: Any

    def __call__(self, step_size):
        """Return the rule."""
        return self.rule


# -- what a subject may have computed --------------------------------------------------------------


def number(x):
    """Return a number of a rule, or one of each problem, (B,), in float64."""
    xp = library(x)
    return xp.asarray(x, dtype=xp.float64)


def seen(t: Trace) -> tuple[Ball, Ball]:
    """Return points and gradients of the rows 0, 1, ..., N-1 as the subject may have them.

    All but the start may be a unit in the last place from what the row shows, as a master copy in
    float64 is, or a point that is compiled apart from its row; gradients may be taken there.
    """
    x = points(t)[:-1]
    spread = t.L * (x.radius**2).sum(axis=1, keepdims=True) ** 0.5
    return x, widened(t.now.g, t.gradient_error[:-1] + spread)


def points(t: Trace) -> Ball:
    """Return the points of all rows as the subject may have them."""
    return widened(t.rows.x, shown(t.x, t.model))


def inner(t: Trace, x: Ball, y: Ball) -> Ball:
    """Return inner products, their entries two operations away."""
    model, d = t.model, x.middle.shape[-2]
    exact, size = dot(x, y), most(dot(abs(x), abs(y)))
    return widened(exact, model.inner(d + 4) * size + 2 * d * model.least_normal)


def plus(t: Trace, x: Ball, *terms: Ball) -> Ball:
    """Return x and terms added in any order, every term at most a dozen operations away."""
    model = t.model
    total, size = x, 0.0
    for term in terms:
        total, size = total + term, size + most(abs(term))
    lost = model.gamma(12) * size
    lost = lost + len(terms) * model.unit_roundoff * (most(abs(total)) + size + lost)
    return widened(total, lost + 4 * len(terms) * model.least_normal)


def value_within(t: Trace, z: Ball) -> Ball:
    """Return f as the subject may compute it, anywhere in balls around points (..., d, B).

    Within a ball, rows ``a_i (x - c)`` differ by at most ``w_i = |a_i| radius``, and f by ``<|g|,
    radius> + mean w^2 / 2``. The error E of an evaluation grows, too: errors delta of the rows,
    ``mean delta^2 <= 2 E``, meet slopes that differ by w, and ``mean w delta`` is at most
    ``sqrt(2 E mean w^2)``; the rest of E is relative to what differs.
    """
    model, (n, d) = t.model, t.instance.features.shape[:2]
    there = evaluations(t.instance, z.middle, rounding.arithmetic(np.float64))
    error = evaluations(t.instance, z.middle, model).value_error
    w = (abs(t.instance.features) * z.radius[..., None, :, :]).sum(axis=-2)
    spread = (w**2).mean(axis=-2)
    slope = ((abs(there.gradient) + there.gradient_error) * z.radius).sum(axis=-2)
    # The slope of a row is at most the root of twice its value.
    gap = abs(there.value - t.minimum) + there.value_error
    relative = model.inner(n + 2 * d + 10) * ((2 * gap * spread) ** 0.5 + spread)
    off = slope + spread / 2 + error + 2 * (2 * error * spread) ** 0.5 + relative
    return Ball(there.value, there.value_error + off)


# -- recurrences -----------------------------------------------------------------------------------


def follows(t: Trace, wanted: Ball):
    """State that rows 1, 2, ... are as wanted."""
    return points(t)[1:], _known(wanted), wanted.middle - t.x[:-1]


def _known(x: Ball) -> Ball:
    """Return balls; of those that are not numbers nothing is known."""
    return where(~np.isnan(x.middle) & ~np.isnan(x.radius), x)


def along(t: Trace, step_sizes: Ball) -> Ball:
    """Return steps along the negative gradient, by step sizes (N, B)."""
    x, g = seen(t)
    return plus(t, x, -(g * step_sizes[:, None]))


def gradient_descent(t: Trace, rule) -> Ball:
    """Return steps of one size along the negative gradient."""
    return along(t, ball(0 * t.stray + number(rule.step_size)))


def exact_line_search(t: Trace, rule) -> Ball:
    """Return steps to the least value on the line of the gradient."""
    _, g = seen(t)
    features, (n, d) = t.instance.features, t.instance.features.shape[:2]
    model, weights = t.model, abs(features)
    exact = (dot(g[:, None], features) ** 2).sum() * (1 / n)
    # H g is A' (A g) / n, whatever cancels in it; a product or an entry may be taken for zero.
    size = most(abs(g))
    rows = (weights * size[:, None]).sum(axis=2)
    total = size.sum(axis=1)
    flushed = model.least_normal * (2 * d + weights.sum(axis=1) + total[:, None])
    lost = model.inner(n + 2 * d + 8) * (rows**2).mean(axis=1)
    lost = lost + (2 * rows * flushed + flushed**2).mean(axis=1)
    lost = lost + 2 * (n + d) * model.least_normal * (1 + total)
    return along(t, inner(t, g, g) / widened(exact, lost))


def polyak(t: Trace, rule) -> Ball:
    """Return steps that would reach the minimum, were f as steep all the way."""
    x, g = seen(t)
    minimum = number(rule.minimum)
    gap = value_within(t, x) - Ball(minimum, t.model.unit_roundoff * abs(minimum))
    gap = Ball(library(gap.middle).maximum(gap.middle, 0), gap.radius)
    return along(t, gap * number(rule.relaxation) / inner(t, g, g))


def barzilai_borwein(t: Trace, rule) -> Ball:
    """Return steps whose size is the inverse of a curvature along the last move."""
    x, g = seen(t)
    move, change = x[1:] - x[:-1], g[1:] - g[:-1]
    bent = inner(t, move, change)
    if rule.quotient is rules.long_step:
        later = inner(t, move, move) / bent
    else:
        later = bent / inner(t, change, change)
    # Where the curvature along the move may not be positive, nothing is claimed.
    later = where(bent.middle > bent.radius, later)
    return along(t, concatenate([0 * t.stray[:1] + number(rule.step_size), later]))


def _from_zero(rows: Ball) -> Ball:
    """Return rows of balls below a row of zeros."""
    return concatenate([0 * rows[:1], rows])


def heavy_ball(t: Trace, rule) -> Ball:
    """Return steps that go on with a part of the last move."""
    x, g = seen(t)
    move = _from_zero(x[1:] - x[:-1])
    return plus(t, x, -(g * number(rule.step_size)), move * number(rule.momentum))


def nesterov(t: Trace, rule) -> Ball:
    """Return the points y, which tell the other sequence, ``x[k+1] = y[k] - eta g(y[k])``."""
    y, g = seen(t)
    momentum, step = number(rule.momentum), g * number(rule.step_size)
    move, last_step = _from_zero(y[1:] - y[:-1]), _from_zero(step[:-1])
    # x[k+1] - x[k], times the momentum, in parts that may cancel.
    ahead = (move * momentum, last_step * momentum, -(step * momentum))
    return plus(t, y, -step, *ahead)


# -- Armijo's rule ---------------------------------------------------------------------------------


def _shrunk(model: rounding.Arithmetic, rule) -> Ball:
    """Return the step sizes ``t, t beta, t beta^2, ...`` as the subject may compute them, (m, B).

    Both numbers are rounded to the dtype first, powers by one rounding for each factor or, by a
    library, to four units in the last place, which are eight roundings.
    """
    k = np.arange(int(rule.max_backtracks) + 1, dtype=np.float64)[:, None]
    first = number(rule.step_size)
    steps = ball(first) * ball(number(rule.shrink)) ** k
    least = 2 * library(first).maximum(first, 1) * model.least_normal
    return widened(steps, model.gamma(2 * k + 10) * steps.middle + least)


def tried(t: Trace, rule) -> tuple[Ball, Ball, Any, Any]:
    """Return the step sizes that are tried, (m, 1, B), and the points, (m, N, d, B).

    Beside them, where each descends enough, and where it does not, whatever rounding does,
    (m, N, B).
    """
    x, g = seen(t)
    model, steps = t.model, _shrunk(t.model, rule)[:, None]
    reached_at = plus(t, x[None], -(g[None] * steps[:, :, None]))
    f, reached = value_within(t, x), value_within(t, reached_at)
    promised = inner(t, g, g)[None] * steps * number(rule.decrease)
    margin = f[None] - promised - reached
    spare = margin.radius + of_the_test(model, f[None], promised, reached)
    return steps, reached_at, margin.middle > spare, margin.middle < -spare


def armijo_step(t: Trace, rule):
    """State that the step is the first that descends enough of some that are tried."""
    _, reached, passes, fails = tried(t, rule)
    # What comes after a step that passes is not tried; without one, the run may stand still.
    passed = np.cumsum(passes, axis=0)
    admissible = np.concatenate([(passed <= passes) & ~fails, passed[-1:] == 0])
    return _one_of(t, concatenate([reached, t.x[None, :-1]]), admissible)


def _one_of(t: Trace, candidates: Ball, admissible):
    """State that rows 1, 2, ... are one of the admissible points, (m, N, d, B) and (m, N, B).

    They are compared with the nearest, in units of what rounding allows.
    """
    after = points(t)[1:]
    off, far = abs(t.x[1:] - candidates.middle), candidates.radius + after.radius
    units = np.where(far > 0, far, 1e-300)
    away = np.where(off > 0, off / units, 0).max(axis=2)
    nearest = np.where(admissible, np.minimum(away, 1e300), np.inf).argmin(axis=0)[None, :, None]
    wanted = Ball(
        *(
            np.take_along_axis(part, nearest, axis=0)[0]
            for part in (candidates.middle, candidates.radius)
        )
    )
    decided = (admissible.sum(axis=0) == 1)[:, None]
    return after, wanted, np.where(decided, np.inf, 0)


def of_the_test(model, f: Ball, promised: Ball, reached: Ball):
    """Return how far the test ``reached <= f - promised`` may be off by its own arithmetic."""
    sizes = abs(f.middle) + abs(promised.middle) + abs(reached.middle)
    return model.gamma(12) * abs(promised.middle) + 2 * model.unit_roundoff * sizes
