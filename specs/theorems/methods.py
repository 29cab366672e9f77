"""Methods beside gradient descent: the recurrence of every gdpure rule, as theorems.

A recurrence says what the next row is, given the rows so far. The judge computes it from exact
values and gradients, and the subject from rounded ones: every number on the way is a ball around
the exact one that holds whatever an honest subject may have there. Where a rule decides, whatever
the numbers in the balls may decide is admissible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

import gdpure as gd
from gdpure import rules

from .. import instances, rounding
from ..balls import Ball, ball, dot, most, norm, stack
from ..optimizer.subjects import Always
from ..theorem import Evidence, Theorem, Trace, evaluations


@lru_cache(maxsize=256)  # the same theorems are compiled once
def theorems_of(make: Callable[[Any], Any]) -> tuple[Theorem, ...]:
    """Return the theorems of a function step_size -> gdpure rule.

    Examples
    --------
    >>> [theorem] = theorems_of(lambda step_size: gd.HeavyBall(step_size, 0.9))
    >>> assert theorem.statement == "x[k+1] = x[k] - eta g[k] + beta (x[k] - x[k-1])"
    """
    rule = make(0.125)
    if type(rule) not in _THEOREMS:
        known = ", ".join(kind.__name__ for kind in _THEOREMS)
        raise TypeError(
            f"check_optimizer: method must be a gdpure rule whose recurrence is known ({known}), "
            f"or a function step_size -> such a rule, got {type(rule).__name__}"
        )
    return tuple(theorem(make) for theorem in _THEOREMS[type(rule)])


# -- what a subject may have computed --------------------------------------------------------------


def _number(x):
    return jnp.asarray(x, jnp.float64)


def _seen(trace: Trace) -> tuple[Ball, Ball]:
    """Return points and gradients of the rows 0, 1, ..., N-1 as the subject may have them.

    All but the start it may carry to more digits than the row shows, as a master copy in float64 or
    a compensated sum does, and may take gradients there.
    """
    x = trace.x[:-1]
    carried = trace.model.gamma(1) * abs(x).at[0].set(0.0)
    spread = trace.L * jnp.linalg.norm(carried, axis=1, keepdims=True)
    g = Ball(trace.g.middle, trace.g.radius + trace.gradient_error)[:-1]
    return Ball(x, carried), Ball(g.middle, g.radius + spread)


def _inner(trace: Trace, x: Ball, y: Ball) -> Ball:
    """Return inner products along the last axis, their entries two operations away."""
    model, d = trace.model, x.middle.shape[-1]
    exact, size = dot(x, y), most(dot(abs(x), abs(y)))
    lost = model.inner(d + 4) * size + 2 * d * model.least_normal
    return Ball(exact.middle, exact.radius + lost)


def _plus(trace: Trace, x: Ball, *terms: Ball) -> Ball:
    """Return x and terms added in any order, every term at most a dozen operations away."""
    model = trace.model
    total, size = x, 0.0
    for term in terms:
        total, size = total + term, size + most(abs(term))
    lost = model.gamma(12) * size
    lost += len(terms) * model.unit_roundoff * (most(abs(total)) + size + lost)
    return Ball(total.middle, total.radius + lost + 4 * len(terms) * model.least_normal)


def _value_within(trace: Trace, z: Ball) -> Ball:
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


def _follows(trace: Trace, wanted: Ball) -> Evidence:
    """Return evidence that rows 1, 2, ... are as wanted."""
    allowed = jnp.where(jnp.isnan(wanted.radius), jnp.inf, wanted.radius)
    middle = jnp.nan_to_num(wanted.middle)
    return Evidence(ball(trace.x[1:]), ball(middle), allowed, abs(middle - trace.x[:-1]) > allowed)


def _along(trace: Trace, step_sizes: Ball) -> Evidence:
    """Return evidence of steps along the negative gradient."""
    x, g = _seen(trace)
    return _follows(trace, _plus(trace, x, -(g * step_sizes[:, None])))


def _gradient_descent(trace: Trace, rule) -> Evidence:
    return _along(trace, ball(jnp.full(len(trace.x) - 1, _number(rule.step_size))))


def _exact_line_search(trace: Trace, rule) -> Evidence:
    _, g = _seen(trace)
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
    return _along(trace, _inner(trace, g, g) / Ball(exact.middle, exact.radius + lost))


def _polyak(trace: Trace, rule) -> Evidence:
    x, g = _seen(trace)
    minimum = _number(rule.minimum)
    gap = _value_within(trace, x) - Ball(minimum, trace.model.unit_roundoff * abs(minimum))
    gap = Ball(jnp.maximum(gap.middle, 0), gap.radius)
    return _along(trace, gap * _number(rule.relaxation) / _inner(trace, g, g))


def _barzilai_borwein(trace: Trace, rule) -> Evidence:
    x, g = _seen(trace)
    move, change = x[1:] - x[:-1], g[1:] - g[:-1]
    bent = _inner(trace, move, change)
    if rule.quotient is rules.long_step:
        later = _inner(trace, move, move) / bent
    else:
        later = bent / _inner(trace, change, change)
    # Where the curvature along the move may not be positive, nothing is claimed.
    unsure = bent.middle <= bent.radius
    first = _number(rule.step_size)[None]
    return _along(
        trace,
        Ball(
            jnp.concatenate([first, later.middle]),
            jnp.concatenate([0 * first, jnp.where(unsure, jnp.inf, later.radius)]),
        ),
    )


def _from_zero(balls: Ball) -> Ball:
    """Return rows of balls below a row of zeros."""
    return Ball(*(jnp.concatenate([0 * a[:1], a]) for a in (balls.middle, balls.radius)))


def _heavy_ball(trace: Trace, rule) -> Evidence:
    x, g = _seen(trace)
    move = _from_zero(x[1:] - x[:-1])
    step = g * _number(rule.step_size)
    return _follows(trace, _plus(trace, x, -step, move * _number(rule.momentum)))


def _nesterov(trace: Trace, rule) -> Evidence:
    """Judge the points y, which tell the other sequence, ``x[k+1] = y[k] - eta g(y[k])``."""
    y, g = _seen(trace)
    momentum, step = _number(rule.momentum), g * _number(rule.step_size)
    move, last_step = _from_zero(y[1:] - y[:-1]), _from_zero(step[:-1])
    # x[k+1] - x[k], times the momentum, in parts that may cancel.
    ahead = (move * momentum, last_step * momentum, -(step * momentum))
    return _follows(trace, _plus(trace, y, -step, *ahead))


# -- what the rules promise ------------------------------------------------------------------------


def _astray(followed: Evidence):
    """Return how far a step may be from the exact one, (N,): both are within what is followed."""
    far = 2 * most(norm(ball(followed.rounding)))
    return jnp.where(jnp.isnan(far), jnp.inf, far)


def _promised(measured, bound, allowed) -> Evidence:
    allowed = jnp.where(jnp.isnan(allowed), jnp.inf, allowed)
    drowned = allowed + measured.radius + bound.radius
    return Evidence(measured, bound, allowed, abs(bound.middle) > drowned)


def _orthogonal_gradients(trace: Trace, rule) -> Evidence:
    astray, g = _astray(_exact_line_search(trace, rule)), trace.g
    allowed = trace.L * astray * most(norm(g[:-1]))
    allowed = jnp.where(jnp.isnan(allowed), jnp.inf, allowed)
    measured = dot(g[:-1], g[1:])
    seen = (norm(g[:-1]) * norm(g[1:])).middle > allowed + measured.radius
    return Evidence(measured, ball(jnp.zeros_like(allowed)), allowed, seen)


def _line_search_rate(trace: Trace, rule) -> Evidence:
    astray = _astray(_exact_line_search(trace, rule))
    q = ball(trace.instance.strong_convexity) / trace.L
    bound = trace.gap[:-1] * ((1.0 - q) / (1.0 + q)) ** 2
    # f is convex: f(x+) is at most f(T) + <g(x+), x+ - T>.
    return _promised(trace.gap[1:], bound, most(norm(trace.g[1:])) * astray)


def _polyak_distance(trace: Trace, rule) -> Evidence:
    astray, offset = _astray(_polyak(trace, rule)), trace.offset
    gap, g, r = trace.gap[:-1], trace.g[:-1], ball(_number(rule.relaxation))
    gain = gap * gap / dot(g, g) * (r * (2.0 - r))
    allowed = 2 * most(norm(offset[1:])) * astray + astray**2
    # Of any other number than the minimum nothing is promised.
    knows = trace.instance.minimum == _number(rule.minimum)
    return _promised(
        dot(offset[1:], offset[1:]),
        dot(offset[:-1], offset[:-1]) - gain,
        jnp.where(knows, allowed, jnp.inf),
    )


def _between_curvatures(trace: Trace, rule) -> Evidence:
    astray = _astray(_barzilai_borwein(trace, rule))[1:]  # the first step is its user's
    move, slope = norm(trace.move)[1:], norm(trace.g)[1:-1]
    shortest, longest = slope / trace.L, slope / trace.instance.strong_convexity
    return _promised(stack([shortest, move]), stack([move, longest]), astray[:, None])


# -- Armijo's rule ---------------------------------------------------------------------------------


def _tried(model: rounding.Arithmetic, rule) -> Ball:
    """Return the step sizes ``t, t beta, t beta^2, ...`` as the subject may compute them.

    Both numbers are rounded to the dtype first, powers by one rounding for each factor or, by a
    library, to four units in the last place, which are eight roundings.
    """
    k = jnp.arange(int(rule.max_backtracks) + 1, dtype=jnp.float64)
    steps = ball(_number(rule.step_size)) * ball(_number(rule.shrink)) ** k
    first = jnp.maximum(_number(rule.step_size), 1)
    lost = model.gamma(2 * k + 10) * steps.middle + 2 * first * model.least_normal
    return Ball(steps.middle, steps.radius + lost)


def _armijo_step(trace: Trace, rule) -> Evidence:
    x, g = _seen(trace)
    model, steps = trace.model, _tried(trace.model, rule)
    trials = _plus(trace, x[None], -(g[None] * steps[:, None, None]))
    f, reached = _value_within(trace, x), _value_within(trace, trials)
    promised = _inner(trace, g, g)[None] * steps[:, None] * _number(rule.decrease)
    margin = f[None] - promised - reached
    spare = margin.radius + _of_the_test(model, f[None], promised, reached)
    passes, fails = margin.middle > spare, margin.middle < -spare
    # What comes after a step that passes is not tried; without one, the run may stand still.
    passed = jnp.cumsum(passes.astype(jnp.int32), axis=0)
    first = passed <= passes.astype(jnp.int32)
    return _one_of(
        trace,
        Ball(
            jnp.concatenate([trials.middle, trace.x[None, :-1]]),
            jnp.concatenate([trials.radius, 0 * trials.radius[:1]]),
        ),
        jnp.concatenate([first & ~fails, passed[-1:] == 0]),
    )


def _one_of(trace: Trace, points: Ball, admissible) -> Evidence:
    """Return evidence that rows 1, 2, ... are one of the admissible points, (m, N, d) and (m, N).

    They are compared with the nearest, in units of what rounding allows.
    """
    off = abs(trace.x[None, 1:] - points.middle)
    units = jnp.where(points.radius > 0, points.radius, 1e-300)
    away = jnp.where(off > 0, off / units, 0).max(axis=-1)
    nearest = jnp.where(admissible, jnp.minimum(away, 1e300), jnp.inf).argmin(axis=0)
    wanted = jax.tree.map(
        lambda leaf: jnp.take_along_axis(leaf, nearest[None, :, None], axis=0)[0], points
    )
    decided = admissible.sum(axis=0) == 1
    return Evidence(ball(trace.x[1:]), ball(wanted.middle), wanted.radius, decided[:, None])


def _of_the_test(model, f: Ball, promised: Ball, reached: Ball):
    """Return how far the test ``reached <= f - promised`` may be off by its own arithmetic."""
    sizes = abs(f.middle) + abs(promised.middle) + abs(reached.middle)
    return model.gamma(12) * abs(promised.middle) + 2 * model.unit_roundoff * sizes


def _sufficient_decrease(trace: Trace, rule) -> Evidence:
    x, g = _seen(trace)
    before, after, model = x.middle, trace.x[1:], trace.model
    # What is tested is a step: the move and the point it leads to are rounded, each in its way.
    sizes = abs(before) + abs(after) + abs(after - before)
    off = 2 * model.unit_roundoff * sizes + 4 * model.least_normal
    move = Ball(trace.move.middle, trace.move.radius + off)
    promised = _inner(trace, g, move) * -_number(rule.decrease)
    f, reached = _value_within(trace, x), _value_within(trace, Ball(after, off))
    bound = f - promised
    allowed = _of_the_test(model, f, promised, reached)
    drowned = reached.radius + bound.radius + allowed
    return Evidence(reached, bound, allowed, promised.middle > drowned)


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
            made = instances.instance(recipe, jnp.float64, _number(rule.step_size))
            return made if isinstance(make, Always) else replace(made, step_size=eta)

        return parabola

    return of


# The first trial ends as high as it began, and who demands no decrease takes it: the sign of c
# matters within c of this edge alone, which is one random instance in ten thousand.
_edge = _parabolas(lambda rule: 2.0)

# Even the last trial ends higher than it began: none is taken. Steeper than 2^32 would overflow.
_exhausting = _parabolas(
    lambda rule: jnp.minimum(4.0 / _number(rule.shrink) ** int(rule.max_backtracks), 2.0**32)
)


# -- as data ---------------------------------------------------------------------------------------


def _theorem(name, evidence, statement, source, hard=(), family="monotone descent", **known):
    """Return a function of ``make``, a function step_size -> rule, that returns the theorem."""

    def theorem(make):
        return Theorem(
            name,
            family,
            statement,
            source,
            lambda trace: evidence(trace, make(trace.eta)),
            methods="any",
            needs=("restart",),
            hard=tuple(of(make) for of in hard),
            **known,
        )

    return theorem


def _recurrence(evidence, statement, source, **known):
    return (_theorem("recurrence", evidence, statement, source, equality=True, **known),)


_POLYAK = "Polyak, USSR Comput. Math. Math. Phys. 9, 1969"
_BARZILAI = "Barzilai and Borwein, IMA J. Numer. Anal. 8, 1988"
_ARMIJO = "Armijo, Pacific J. Math. 16, 1966"
_NESTEROV = "Nesterov, Lectures on Convex Optimization, 2nd ed., 2018"

_THEOREMS: dict[type, tuple[Callable[..., Theorem], ...]] = {
    gd.Constant: _recurrence(
        _gradient_descent, "x[k+1] = x[k] - eta g[k]", f"{_NESTEROV}, section 1.2.3"
    ),
    gd.ExactLineSearch: (
        *_recurrence(
            _exact_line_search,
            "x[k+1] = x[k] - eta g,  eta = <g, g> / <g, H g>",
            "definition of exact line search",
            assumes=("f quadratic",),
        ),
        _theorem(
            "orthogonal-gradients",
            _orthogonal_gradients,
            "<g[k], g[k+1]> = 0",
            "definition of exact line search",
            assumes=("f quadratic",),
            equality=True,
        ),
        _theorem(
            "line-search-rate",
            _line_search_rate,
            "f(x[k+1]) - f* <= ((L - mu) / (L + mu))^2 (f(x[k]) - f*)",
            "de Klerk, Glineur and Taylor, Optim. Lett. 11, 2017, Theorem 1.2",
            assumes=("f quadratic", "f mu-strongly convex"),
            family="convergence",
        ),
    ),
    gd.Polyak: (
        *_recurrence(
            _polyak,
            "x[k+1] = x[k] - eta g,  eta = r (f - f*) / |g|^2",
            _POLYAK,
        ),
        _theorem(
            "polyak-distance",
            _polyak_distance,
            "|x[k+1] - x*|^2 <= |x[k] - x*|^2 - r (2 - r) (f(x[k]) - f*)^2 / |g|^2",
            _POLYAK,
            assumes=("f convex",),
            family="convergence",
        ),
    ),
    gd.BarzilaiBorwein: (
        *_recurrence(
            _barzilai_borwein,
            "x[k+1] = x[k] - eta g,  eta = <s, s> / <s, y> or <s, y> / <y, y>",
            _BARZILAI,
        ),
        _theorem(
            "between-curvatures",
            _between_curvatures,
            "1/L <= |x[k+1] - x[k]| / |g[k]| <= 1/mu   from the second step on",
            _BARZILAI,
            assumes=("f convex", "f L-smooth"),
            family="convergence",
        ),
    ),
    gd.HeavyBall: _recurrence(
        _heavy_ball,
        "x[k+1] = x[k] - eta g[k] + beta (x[k] - x[k-1])",
        "Polyak, USSR Comput. Math. Math. Phys. 4, 1964",
    ),
    gd.Nesterov: _recurrence(
        _nesterov,
        "y[k+1] = x[k+1] + beta (x[k+1] - x[k]),  x[k+1] = y[k] - eta g(y[k])",
        f"{_NESTEROV}, section 2.2",
    ),
    gd.Backtracking: (
        _theorem(
            "armijo-step",
            _armijo_step,
            "the step is the first of t, t beta, t beta^2, ... that descends enough, or none",
            _ARMIJO,
            hard=(_edge, _exhausting),
            equality=True,
        ),
        _theorem(
            "sufficient-decrease",
            _sufficient_decrease,
            "f(x+) <= f(x) + c <g(x), x+ - x>",
            _ARMIJO,
        ),
    ),
}
