"""Promises: what is proven of the steps of a rule, beside what they are.

A run follows its rule but for rounding, and a theorem about exact steps is held to what it says of
inexact ones: how far a step may be from the exact one is what its recurrence allows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import bounds, instances, rounding
from ..balls import Ball, ball, dot, library, most, norm, stack, where, widened
from ..rows import Rows, Trace
from . import recurrences
from .recurrences import Always, number

_U = rounding.unit_roundoff(np.float64)


def strays(wanted: Ball):
    """Return how far steps may be from the exact ones, (N, B): both are within what is wanted."""
    far = 2 * most(norm(ball(wanted.radius)))
    xp = library(far)
    return xp.where(xp.isnan(far), xp.inf, far)


def after(t: Trace, wanted: Ball) -> Rows:
    """Return where the exact steps of a rule end, (N, ...), as rows that hold them."""
    return t.rows[1:].strayed(strays(wanted), t.L)


# -- exact line search -----------------------------------------------------------------------------


def orthogonal_gradients(t: Trace, rule):
    """State that the gradients of consecutive rows are orthogonal."""
    now, then = t.now.g, after(t, recurrences.exact_line_search(t, rule)).g
    return dot(now, then), ball(0 * t.eta)[None], (norm(now) * norm(then)).middle


def line_search_rate(t: Trace, rule):
    """State how much a step lowers f."""
    then, astray = t.rows[1:], strays(recurrences.exact_line_search(t, rule))
    q = ball(t.mu) / t.L
    # f is convex: where the exact step ends it is at least f(x+) - |g(x+)| times the way there.
    lowest = widened(then.f, most(norm(then.g)) * astray)
    return lowest - t.minimum, (t.now.f - t.minimum) * ((1.0 - q) / (1.0 + q)) ** 2


# -- Polyak's steps --------------------------------------------------------------------------------


def _squares(t, rule):
    """Return ``|x - x*|^2`` now and after a step; of any other number than the minimum, nothing."""
    here, there = t.now.x - t.center, after(t, recurrences.polyak(t, rule)).x - t.center
    known = t.minimum == number(rule.minimum)
    return dot(here, here), where(known, dot(there, there))


def polyak_distance(t: Trace, rule):
    """State how much closer to the minimizer a step comes."""
    gap, g, r = t.now.f - t.minimum, t.now.g, ball(number(rule.relaxation))
    here, there = _squares(t, rule)
    return there, here - gap * gap / dot(g, g) * (r * (2.0 - r))


def polyak_contraction(t: Trace, rule):
    """State how much closer a step of twice the length comes, by how long it was."""
    q = ball(t.mu) / t.L
    h = (t.now.f - t.minimum) * (2 * t.L) / dot(t.now.g, t.now.g)
    here, there = _squares(t, rule)
    return there, here * ((h - 1.0) * (1.0 - q * h) / (h * (1.0 + q) - 1.0))


def polyak_values(t: Trace, rule):
    """State what the least value so far is: every larger one brings a run closer."""
    here, there = _squares(t, rule)
    k, r, gap = t.counts[1:], ball(number(rule.relaxation)), t.now.f - t.minimum
    rate = bounds.polyak_value_upper_bound(t.L, k) * (1 + 4 * _U)
    bound = widened(here[0], (there.radius + here.radius[0]).cumsum(axis=0)) * rate
    least = [gap.middle[: j + 1].min(axis=0) for j in range(len(k))]
    return Ball(library(gap.middle).stack(least), gap.radius), bound / (r * (2.0 - r))


# -- Barzilai's and Borwein's ----------------------------------------------------------------------


def between_curvatures(t: Trace, rule):
    """State that step sizes are inverse curvatures, but for the first, which is its user's."""
    then = after(t, recurrences.barzilai_borwein(t, rule))
    move, slope = norm(then.x - t.now.x)[1:], norm(t.now.g)[1:]
    return stack([slope / t.L, move]), stack([move, slope / t.mu])


# -- momentum on quadratics ------------------------------------------------------------------------


def _momentum(t, factor, rate, within, wanted):
    """Return the law of distances, if all curvatures are among those of a rate.

    A step that goes astray is what a run begins with, from rest: n steps later it is
    ``factor^n U_n`` times as far away, with Chebyshev's U_n, at most n + 1.
    """
    k, distance = t.counts, norm(t.rows.x - t.center)
    later = (k - k[:-1].T)[..., None]
    response = np.where(later > 0, later * factor.middle ** np.maximum(later - 1, 0), 0)
    strayed = np.where(response > 0, response * strays(wanted), 0).sum(axis=1)
    # Where the ends of the spectrum are rounded, polynomials have slopes of k^2 at most.
    ends = 16 * _U * (k + 2) ** 2 * rate.middle * distance.middle[0]
    return distance, where(within, widened(distance[0] * rate, strayed + ends))


def heavy_ball_rate(t: Trace, rule):
    """State what the heavy ball reaches where it oscillates in every direction."""
    k, z = t.counts, ball(number(rule.momentum)).sqrt()
    rate = z**k * (1.0 + (1.0 + z) * k)
    low, high = (number(rule.step_size) * c for c in (t.mu, t.L))
    within = (low >= (1 - z.middle) ** 2) & (high <= (1 + z.middle) ** 2)
    return _momentum(t, z, rate, within, recurrences.heavy_ball(t, rule))


def nesterov_rate(t: Trace, rule):
    """State what Nesterov's method reaches where its momentum is not too small."""
    k, momentum = t.counts, ball(number(rule.momentum))
    s = (1.0 - momentum) / (1.0 + momentum)
    rate = (1.0 - s) ** k * (1.0 + s / (1.0 + s) * k)
    eta = number(rule.step_size)
    within = (eta * t.mu >= s.middle**2) & (eta * t.L <= 1)
    return _momentum(t, 1.0 - s, rate, within, recurrences.nesterov(t, rule))


# -- Armijo's rule ---------------------------------------------------------------------------------


def sufficient_decrease(t: Trace, rule):
    """State that every step descends enough."""
    x, g = recurrences.seen(t)
    before, then, model = x.middle, t.x[1:], t.model
    # What is tested is a step: the move and the point it leads to are rounded, each in its way.
    sizes = abs(before) + abs(then) + abs(then - before)
    off = 2 * model.unit_roundoff * sizes + 4 * model.least_normal
    move = widened(t.rows.x[1:] - t.rows.x[:-1], off)
    demanded = recurrences.inner(t, g, move) * -number(rule.decrease)
    f = recurrences.value_within(t, x)
    reached = recurrences.value_within(t, Ball(then, off))
    tested = recurrences.of_the_test(model, f, demanded, reached)
    return reached, widened(f - demanded, tested), np.maximum(demanded.middle, 0)


def armijo_length(t: Trace, rule):
    """State that no step is much shorter than the longest that must descend enough."""
    steps, points, passes, _ = recurrences.tried(t, rule)
    enough = 2 * (1 - number(rule.decrease)) / t.L * (1 - 4 * _U)
    must = most(steps) <= enough  # (m, 1, B)
    first = must & (must.cumsum(axis=0) == 1)
    # Where rounding decides about that one, a shorter one may be taken.
    sure = (first & passes).any(axis=0)
    tried = ~must | first
    slack = np.where(tried, norm(ball(points.radius)).middle, 0).max(axis=0)
    xp = library(enough)
    shortest = xp.minimum(number(rule.step_size), number(rule.shrink) * enough) * (1 - 4 * _U)
    move = norm(t.rows.x[1:] - t.rows.x[:-1])
    return norm(t.now.g) * shortest, where(sure, widened(move, slack))


def _parabolas(fraction):
    """Return a function of ``make`` that returns parabolas of the curvature ``fraction / t``."""

    def of(make):
        def parabola(rng, count, steps):
            eta, far = np.ldexp(1.0, rng.integers(-6, 7, (2, count)))
            rule, none = make(eta), np.zeros((1, count))
            recipe = instances.Recipe(
                features=np.ones((1, 1, count)),
                center=none,
                bend=np.full(count, np.inf),
                tail=none[0],
                minimum=none[0],
                offset=far[None],
                probe=none,
                fraction=np.broadcast_to(fraction(rule), count),
            )
            step_size = np.asarray(rule.step_size, float)
            made = instances.instance(recipe, np.float64, np.broadcast_to(step_size, count))
            return made if isinstance(make, Always) else replace(made, step_size=eta)

        return parabola

    return of


# The first trial ends as high as it began, and who demands no decrease takes it: the sign of c
# matters within c of this edge alone, which is one random instance in ten thousand.
edge = _parabolas(lambda rule: 2.0)

# Even the last trial ends higher than it began: none is taken. Steeper than 2^32 would overflow.
exhausting = _parabolas(
    lambda rule: np.minimum(4.0 / number(rule.shrink) ** int(rule.max_backtracks), 2.0**32)
)
