"""Recurrences: what the next row of a run is, given the rows so far.

The judge computes it from exact values and gradients, and the subject from rounded ones: every
number on the way is a ball around the exact one that holds whatever an honest subject may have
there. Where a rule decides, whatever the numbers in the balls may decide is admissible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gdpure import rules

from .. import rounding
from ..balls import Ball, ball, dot, most
from ..theorem import Evidence, Trace, evaluations


@dataclass(frozen=True)
class Always:
    """A function step_size -> rule that gives the same rule, whatever it is asked for."""

    rule: Any

    def __call__(self, step_size):
        """Return the rule."""
        return self.rule


# -- what a subject may have computed --------------------------------------------------------------


def number(x):
    """Return a number of a rule in float64."""
    return jnp.asarray(x, jnp.float64)


def seen(trace: Trace) -> tuple[Ball, Ball]:
    """Return points and gradients of the rows 0, 1, ..., N-1 as the subject may have them.

    All but the start may be a unit in the last place from what the row shows, as a master copy in
    float64 is, or a point that is compiled apart from its row; gradients may be taken there.
    """
    x = shown(trace)[:-1]
    spread = trace.L * jnp.linalg.norm(x.radius, axis=1, keepdims=True)
    g = Ball(trace.g.middle, trace.g.radius + trace.gradient_error)[:-1]
    return x, Ball(g.middle, g.radius + spread)


def shown(trace: Trace) -> Ball:
    """Return the points of all rows as the subject may have them."""
    return Ball(trace.x, rounding.spacing(trace.x, trace.model).at[0].set(0.0))


def inner(trace: Trace, x: Ball, y: Ball) -> Ball:
    """Return inner products along the last axis, their entries two operations away."""
    model, d = trace.model, x.middle.shape[-1]
    exact, size = dot(x, y), most(dot(abs(x), abs(y)))
    lost = model.inner(d + 4) * size + 2 * d * model.least_normal
    return Ball(exact.middle, exact.radius + lost)


def plus(trace: Trace, x: Ball, *terms: Ball) -> Ball:
    """Return x and terms added in any order, every term at most a dozen operations away."""
    model = trace.model
    total, size = x, 0.0
    for term in terms:
        total, size = total + term, size + most(abs(term))
    lost = model.gamma(12) * size
    lost += len(terms) * model.unit_roundoff * (most(abs(total)) + size + lost)
    return Ball(total.middle, total.radius + lost + 4 * len(terms) * model.least_normal)


def value_within(trace: Trace, z: Ball) -> Ball:
    """Return f as the subject may compute it, anywhere in balls around points (..., d).

    Within a ball, rows ``a_i (x - c)`` differ by at most ``w_i = |a_i| radius``, and f by ``<|g|,
    radius> + mean w^2 / 2``. The error E of an evaluation grows, too: errors delta of the rows,
    ``mean delta^2 <= 2 E``, meet slopes that differ by w, and ``mean w delta`` is at most
    ``sqrt(2 E mean w^2)``; the rest of E is relative to what differs.
    """
    model, (n, d) = trace.model, trace.instance.features.shape
    points = z.middle.reshape(-1, d)
    there = evaluations(trace.instance, points, rounding.arithmetic(jnp.float64))
    error = evaluations(trace.instance, points, model).value_error
    radius = z.radius.reshape(-1, d)
    w = (abs(trace.instance.features)[None] * radius[:, None]).sum(axis=-1)
    spread = (w**2).mean(axis=-1)
    slope = ((abs(there.gradient) + there.gradient_error) * radius).sum(axis=-1)
    # The slope of a row is at most the root of twice its value.
    gap = abs(there.value - trace.instance.minimum) + there.value_error
    relative = model.inner(n + 2 * d + 10) * (jnp.sqrt(2 * gap * spread) + spread)
    off = slope + spread / 2 + error + 2 * jnp.sqrt(2 * error * spread) + relative
    shape = z.middle.shape[:-1]
    return Ball(there.value.reshape(shape), (there.value_error + off).reshape(shape))


# -- recurrences -----------------------------------------------------------------------------------


def follows(trace: Trace, wanted: Ball) -> Evidence:
    """Return evidence that rows 1, 2, ... are as wanted."""
    allowed = jnp.where(jnp.isnan(wanted.radius), jnp.inf, wanted.radius)
    middle = jnp.nan_to_num(wanted.middle)
    after = shown(trace)[1:]
    clear = abs(middle - trace.x[:-1]) > allowed + after.radius
    return Evidence(after, ball(middle), allowed, clear)


def along(trace: Trace, step_sizes: Ball) -> Evidence:
    """Return evidence of steps along the negative gradient."""
    x, g = seen(trace)
    return follows(trace, plus(trace, x, -(g * step_sizes[:, None])))


def gradient_descent(trace: Trace, rule) -> Evidence:
    """Return evidence of steps of one size along the negative gradient."""
    return along(trace, ball(jnp.full(len(trace.x) - 1, number(rule.step_size))))


def exact_line_search(trace: Trace, rule) -> Evidence:
    """Return evidence of steps to the least value on the line of the gradient."""
    _, g = seen(trace)
    features, (n, d) = trace.instance.features, trace.instance.features.shape
    model, weights = trace.model, abs(features)
    exact = (dot(g[:, None], features[None]) ** 2).sum() * (1 / n)
    # H g is A' (A g) / n, whatever cancels in it; a product or an entry may be taken for zero.
    size = most(abs(g))
    rows = (weights[None] * size[:, None]).sum(axis=-1)
    flushed = model.least_normal * (
        2 * d + weights.sum(axis=-1)[None] + size.sum(axis=-1, keepdims=True)
    )
    lost = model.inner(n + 2 * d + 8) * (rows**2).mean(axis=-1)
    lost += (2 * rows * flushed + flushed**2).mean(axis=-1)
    lost += 2 * (n + d) * model.least_normal * (1 + size.sum(axis=-1))
    return along(trace, inner(trace, g, g) / Ball(exact.middle, exact.radius + lost))


def polyak(trace: Trace, rule) -> Evidence:
    """Return evidence of steps that would reach the minimum, were f as steep all the way."""
    x, g = seen(trace)
    minimum = number(rule.minimum)
    gap = value_within(trace, x) - Ball(minimum, trace.model.unit_roundoff * abs(minimum))
    gap = Ball(jnp.maximum(gap.middle, 0), gap.radius)
    return along(trace, gap * number(rule.relaxation) / inner(trace, g, g))


def barzilai_borwein(trace: Trace, rule) -> Evidence:
    """Return evidence of steps whose size is the inverse of a curvature along the last move."""
    x, g = seen(trace)
    move, change = x[1:] - x[:-1], g[1:] - g[:-1]
    bent = inner(trace, move, change)
    if rule.quotient is rules.long_step:
        later = inner(trace, move, move) / bent
    else:
        later = bent / inner(trace, change, change)
    # Where the curvature along the move may not be positive, nothing is claimed.
    unsure = bent.middle <= bent.radius
    first = number(rule.step_size)[None]
    return along(
        trace,
        Ball(
            jnp.concatenate([first, later.middle]),
            jnp.concatenate([0 * first, jnp.where(unsure, jnp.inf, later.radius)]),
        ),
    )


def _from_zero(balls: Ball) -> Ball:
    """Return rows of balls below a row of zeros."""
    return Ball(*(jnp.concatenate([0 * a[:1], a]) for a in (balls.middle, balls.radius)))


def heavy_ball(trace: Trace, rule) -> Evidence:
    """Return evidence of steps that go on with a part of the last move."""
    x, g = seen(trace)
    move = _from_zero(x[1:] - x[:-1])
    step = g * number(rule.step_size)
    return follows(trace, plus(trace, x, -step, move * number(rule.momentum)))


def nesterov(trace: Trace, rule) -> Evidence:
    """Judge the points y, which tell the other sequence, ``x[k+1] = y[k] - eta g(y[k])``."""
    y, g = seen(trace)
    momentum, step = number(rule.momentum), g * number(rule.step_size)
    move, last_step = _from_zero(y[1:] - y[:-1]), _from_zero(step[:-1])
    # x[k+1] - x[k], times the momentum, in parts that may cancel.
    ahead = (move * momentum, last_step * momentum, -(step * momentum))
    return follows(trace, plus(trace, y, -step, *ahead))


# -- Armijo's rule ---------------------------------------------------------------------------------


def _shrunk(model: rounding.Arithmetic, rule) -> Ball:
    """Return the step sizes ``t, t beta, t beta^2, ...`` as the subject may compute them.

    Both numbers are rounded to the dtype first, powers by one rounding for each factor or, by a
    library, to four units in the last place, which are eight roundings.
    """
    k = jnp.arange(int(rule.max_backtracks) + 1, dtype=jnp.float64)
    steps = ball(number(rule.step_size)) * ball(number(rule.shrink)) ** k
    first = jnp.maximum(number(rule.step_size), 1)
    lost = model.gamma(2 * k + 10) * steps.middle + 2 * first * model.least_normal
    return Ball(steps.middle, steps.radius + lost)


def tried(trace: Trace, rule) -> tuple[Ball, Ball, Any, Any]:
    """Return the step sizes that are tried, (m,), and the points, (m, N, d).

    Beside them, where each descends enough, and where it does not, whatever rounding does, (m, N).
    """
    x, g = seen(trace)
    model, steps = trace.model, _shrunk(trace.model, rule)
    points = plus(trace, x[None], -(g[None] * steps[:, None, None]))
    f, reached = value_within(trace, x), value_within(trace, points)
    promised = inner(trace, g, g)[None] * steps[:, None] * number(rule.decrease)
    margin = f[None] - promised - reached
    spare = margin.radius + of_the_test(model, f[None], promised, reached)
    return steps, points, margin.middle > spare, margin.middle < -spare


def armijo_step(trace: Trace, rule) -> Evidence:
    """Return evidence of the first step that descends enough of some that are tried."""
    _, points, passes, fails = tried(trace, rule)
    # What comes after a step that passes is not tried; without one, the run may stand still.
    passed = jnp.cumsum(passes.astype(jnp.int32), axis=0)
    first = passed <= passes.astype(jnp.int32)
    return _one_of(
        trace,
        Ball(
            jnp.concatenate([points.middle, trace.x[None, :-1]]),
            jnp.concatenate([points.radius, 0 * points.radius[:1]]),
        ),
        jnp.concatenate([first & ~fails, passed[-1:] == 0]),
    )


def _one_of(trace: Trace, points: Ball, admissible) -> Evidence:
    """Return evidence that rows 1, 2, ... are one of the admissible points, (m, N, d) and (m, N).

    They are compared with the nearest, in units of what rounding allows.
    """
    after = shown(trace)[1:]
    off, far = abs(trace.x[None, 1:] - points.middle), points.radius + after.radius[None]
    units = jnp.where(far > 0, far, 1e-300)
    away = jnp.where(off > 0, off / units, 0).max(axis=-1)
    nearest = jnp.where(admissible, jnp.minimum(away, 1e300), jnp.inf).argmin(axis=0)
    wanted = jax.tree.map(
        lambda leaf: jnp.take_along_axis(leaf, nearest[None, :, None], axis=0)[0], points
    )
    decided = admissible.sum(axis=0) == 1
    return Evidence(after, ball(wanted.middle), wanted.radius, decided[:, None])


def of_the_test(model, f: Ball, promised: Ball, reached: Ball):
    """Return how far the test ``reached <= f - promised`` may be off by its own arithmetic."""
    sizes = abs(f.middle) + abs(promised.middle) + abs(reached.middle)
    return model.gamma(12) * abs(promised.middle) + 2 * model.unit_roundoff * sizes
