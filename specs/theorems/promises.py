"""Promises: what is proven of the steps of a rule, beside what they are.

A run follows its rule but for rounding, and a theorem about exact steps is held to what it says of
inexact ones: how far a step may be from the exact one is what its recurrence allows.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

from .. import bounds, instances, rounding
from ..balls import Ball, ball, dot, most, norm, stack
from ..theorem import Evidence, Trace, inequality
from . import recurrences
from .recurrences import Always, number

_U = rounding.unit_roundoff(jnp.float64)


def strays(followed: Evidence):
    """Return how far a step may be from the exact one, (N,): both are within what is followed."""
    far = 2 * most(norm(ball(followed.rounding)))
    return jnp.where(jnp.isnan(far), jnp.inf, far)


def promised(measured, bound, allowed) -> Evidence:
    """Return evidence of ``measured <= bound``, where rounding allows so much."""
    return inequality(measured, bound, jnp.where(jnp.isnan(allowed), jnp.inf, allowed))


# -- exact line search -----------------------------------------------------------------------------


def orthogonal_gradients(trace: Trace, rule) -> Evidence:
    """Return evidence that the gradients of consecutive rows are orthogonal."""
    astray, g = strays(recurrences.exact_line_search(trace, rule)), trace.g
    allowed = trace.L * astray * most(norm(g[:-1]))
    allowed = jnp.where(jnp.isnan(allowed), jnp.inf, allowed)
    measured = dot(g[:-1], g[1:])
    seen = (norm(g[:-1]) * norm(g[1:])).middle > allowed + measured.radius
    return Evidence(measured, ball(jnp.zeros_like(allowed)), allowed, seen)


def line_search_rate(trace: Trace, rule) -> Evidence:
    """Return evidence of how much a step lowers f."""
    astray = strays(recurrences.exact_line_search(trace, rule))
    q = ball(trace.instance.strong_convexity) / trace.L
    bound = trace.gap[:-1] * ((1.0 - q) / (1.0 + q)) ** 2
    # f is convex: f(x+) is at most f(T) + <g(x+), x+ - T>.
    return promised(trace.gap[1:], bound, most(norm(trace.g[1:])) * astray)


# -- Polyak's steps --------------------------------------------------------------------------------


def _closer(trace, rule):
    """Return by how much |x - x*|^2 may miss what is proven of it, (N,), for it is so rounded.

    Of any other number than the minimum nothing is promised.
    """
    astray = strays(recurrences.polyak(trace, rule))
    allowed = 2 * most(norm(trace.offset[1:])) * astray + astray**2
    return jnp.where(trace.instance.minimum == number(rule.minimum), allowed, jnp.inf)


def polyak_distance(trace: Trace, rule) -> Evidence:
    """Return evidence of how much closer to the minimizer a step comes."""
    gap, g, r = trace.gap[:-1], trace.g[:-1], ball(number(rule.relaxation))
    gain = gap * gap / dot(g, g) * (r * (2.0 - r))
    squares = dot(trace.offset, trace.offset)
    return promised(squares[1:], squares[:-1] - gain, _closer(trace, rule))


def polyak_contraction(trace: Trace, rule) -> Evidence:
    """Return evidence of how much closer a step of twice the length comes, by how long it was."""
    q = ball(trace.instance.strong_convexity) / trace.L
    h = trace.gap[:-1] * (2 * trace.L) / dot(trace.g[:-1], trace.g[:-1])
    squares = dot(trace.offset, trace.offset)
    bound = squares[:-1] * ((h - 1.0) * (1.0 - q * h) / (h * (1.0 + q) - 1.0))
    return promised(squares[1:], bound, _closer(trace, rule))


def polyak_values(trace: Trace, rule) -> Evidence:
    """Return evidence about the least value so far: every larger one brings a run closer."""
    lost = jnp.cumsum(_closer(trace, rule))
    k, r = trace.counts[1:], ball(number(rule.relaxation))
    rate = bounds.polyak_value_upper_bound(trace.L, k) * (1 + 4 * _U)
    nearer = dot(trace.offset[0], trace.offset[0]) + Ball(jnp.zeros_like(lost), lost)
    bound = nearer * rate / (r * (2.0 - r))
    least = jax.lax.cummin(trace.gap.middle[:-1])
    return promised(Ball(least, trace.gap.radius[:-1]), bound, 0.0)


# -- Barzilai's and Borwein's ----------------------------------------------------------------------


def between_curvatures(trace: Trace, rule) -> Evidence:
    """Return evidence that step sizes are inverse curvatures."""
    # The first step is its user's.
    astray = strays(recurrences.barzilai_borwein(trace, rule))[1:]
    move, slope = norm(trace.move)[1:], norm(trace.g)[1:-1]
    shortest, longest = slope / trace.L, slope / trace.instance.strong_convexity
    return promised(stack([shortest, move]), stack([move, longest]), astray[:, None])


# -- momentum on quadratics ------------------------------------------------------------------------


def _momentum(trace, factor, rate, within, astray) -> Evidence:
    """Return evidence about distances, if all curvatures are among those of a rate.

    A step that goes astray is what a run begins with, from rest: n steps later it is
    ``factor^n U_n`` times as far away, with Chebyshev's U_n, at most n + 1.
    """
    k, distance = trace.counts, norm(trace.offset)
    later = k[:, None] - k[None, :-1]
    response = jnp.where(later > 0, later * factor.middle ** jnp.maximum(later - 1, 0), 0)
    astray = jnp.where(within, astray, jnp.inf)
    strayed = jnp.where(response > 0, response * astray[None], 0).sum(axis=1)
    # Where the ends of the spectrum are rounded, polynomials have slopes of k^2 at most.
    ends = 16 * _U * (k + 2) ** 2 * rate.middle * distance.middle[0]
    return promised(distance, distance[0] * rate, strayed + ends)


def heavy_ball_rate(trace: Trace, rule) -> Evidence:
    """Return evidence of what the heavy ball reaches where it oscillates in every direction."""
    k, z = trace.counts, ball(number(rule.momentum)).sqrt()
    rate = z**k * (1.0 + (1.0 + z) * k)
    eta = number(rule.step_size)
    low, high = (eta * c for c in (trace.instance.strong_convexity, trace.L))
    within = (low >= (1 - z.middle) ** 2) & (high <= (1 + z.middle) ** 2)
    return _momentum(trace, z, rate, within, strays(recurrences.heavy_ball(trace, rule)))


def nesterov_rate(trace: Trace, rule) -> Evidence:
    """Return evidence of what Nesterov's method reaches where its momentum is not too small."""
    k, momentum = trace.counts, ball(number(rule.momentum))
    s = (1.0 - momentum) / (1.0 + momentum)
    rate = (1.0 - s) ** k * (1.0 + s / (1.0 + s) * k)
    eta = number(rule.step_size)
    within = (eta * trace.instance.strong_convexity >= s.middle**2) & (eta * trace.L <= 1)
    return _momentum(trace, 1.0 - s, rate, within, strays(recurrences.nesterov(trace, rule)))


# -- Armijo's rule ---------------------------------------------------------------------------------


def sufficient_decrease(trace: Trace, rule) -> Evidence:
    """Return evidence that every step descends enough."""
    x, g = recurrences.seen(trace)
    before, after, model = x.middle, trace.x[1:], trace.model
    # What is tested is a step: the move and the point it leads to are rounded, each in its way.
    sizes = abs(before) + abs(after) + abs(after - before)
    off = 2 * model.unit_roundoff * sizes + 4 * model.least_normal
    move = Ball(trace.move.middle, trace.move.radius + off)
    demanded = recurrences.inner(trace, g, move) * -number(rule.decrease)
    f, reached = (
        recurrences.value_within(trace, x),
        recurrences.value_within(trace, Ball(after, off)),
    )
    bound = f - demanded
    allowed = recurrences.of_the_test(model, f, demanded, reached)
    drowned = reached.radius + bound.radius + allowed
    return Evidence(reached, bound, allowed, demanded.middle > drowned)


def armijo_length(trace: Trace, rule) -> Evidence:
    """Return evidence that no step is much shorter than the longest that must descend enough."""
    steps, points, passes, _ = recurrences.tried(trace, rule)
    enough = 2 * (1 - number(rule.decrease)) / trace.L * (1 - 4 * _U)
    must = most(steps) <= enough
    first = jnp.argmax(must)
    # Where rounding decides about that one, a shorter one may be taken.
    sure = must[first] & passes[first]
    shortest = jnp.minimum(number(rule.step_size), number(rule.shrink) * enough) * (1 - 4 * _U)
    slack = jnp.where(jnp.arange(len(must))[:, None] <= first, norm(ball(points.radius)).middle, 0)
    allowed = jnp.where(sure, slack.max(axis=0), jnp.inf)
    return promised(norm(trace.g[:-1]) * shortest, norm(trace.move), allowed)


def _parabolas(fraction):
    """Return a function of ``make`` that returns parabolas of the curvature ``fraction / t``."""

    def of(make):
        def parabola(key, steps):
            powers = jax.random.randint(key, (2,), -6, 7)
            eta, far = jnp.ldexp(jnp.ones(2, jnp.float64), powers)
            rule, none = make(eta), jnp.zeros(1, jnp.float64)
            recipe = instances.Recipe(
                features=jnp.ones((1, 1), jnp.float64),
                center=none,
                bend=jnp.inf,
                tail=0.0,
                minimum=0.0,
                offset=far[None],
                probe=none,
                fraction=fraction(rule),
            )
            made = instances.instance(recipe, jnp.float64, number(rule.step_size))
            return made if isinstance(make, Always) else replace(made, step_size=eta)

        return parabola

    return of


# The first trial ends as high as it began, and who demands no decrease takes it: the sign of c
# matters within c of this edge alone, which is one random instance in ten thousand.
edge = _parabolas(lambda rule: 2.0)

# Even the last trial ends higher than it began: none is taken. Steeper than 2^32 would overflow.
exhausting = _parabolas(
    lambda rule: jnp.minimum(4.0 / number(rule.shrink) ** int(rule.max_backtracks), 2.0**32)
)
