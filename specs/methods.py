"""Methods beside gradient descent: the recurrence of each gdpure rule, as a theorem.

A recurrence predicts the next point from the rows before it, with exact values and gradients. The
subject computes with rounded ones: a step size that depends on them is a ball around the exact one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import gdpure as gd
from gdpure import rules
from gdpure.specs.balls import Ball, ball, dot, most, norm
from gdpure.specs.theorem import Evidence, Theorem, Trace, evaluations

_FAMILY = "monotone descent"


def theorems_of(make: Callable[[Any], Any]) -> tuple[Theorem, ...]:
    """Return the theorems of a function step_size -> gdpure rule.

    Examples
    --------
    >>> [theorem] = theorems_of(lambda step_size: gd.HeavyBall(step_size, 0.9))
    >>> assert theorem.statement == "x[k+1] = x[k] - eta g[k] + beta (x[k] - x[k-1])"
    """
    return tuple(theorem(make) for theorem in _THEOREMS[type(make(0.125))])


def is_known(rule) -> bool:
    """Return whether there is a theorem of this rule."""
    return type(rule) in _THEOREMS


def _number(x):
    return jnp.asarray(x, jnp.float64)


def _rounded(trace, point: Ball, step: Ball, extra=0.0) -> Evidence:
    """Return evidence that rows 1, 2, ... are `point + step`, computed as the subject computes.

    A dozen operations beside inner products make a step from values and gradients.
    """
    bound = point + step
    u, d = trace.model.unit_roundoff, trace.x.shape[1]
    size = abs(step.middle) + step.radius
    allowed = trace.model.gamma(d + 12) * size + u * (abs(bound.middle) + size) + extra
    allowed = jnp.nan_to_num(allowed + bound.radius + 2 * trace.model.least_normal, nan=jnp.inf)
    bound = Ball(jnp.nan_to_num(bound.middle), jnp.zeros_like(bound.middle))
    return Evidence(ball(trace.x[1:]), bound, allowed, abs(step.middle) > allowed)


def _seen(trace):
    """Return values and gradients as the subject may have computed them, at rows 0, 1, ..., N-1."""
    f = Ball(trace.f.middle, trace.f.radius + trace.value_error)
    g = Ball(trace.g.middle, trace.g.radius + trace.gradient_error)
    return f[:-1], g[:-1]


def _along(trace, g, step_size: Ball) -> Evidence:
    column = Ball(step_size.middle[:, None], step_size.radius[:, None])
    return _rounded(trace, ball(trace.x[:-1]), -(g * column))


# -- one recurrence a rule -------------------------------------------------------------------------


def _exact_line_search(trace: Trace, rule) -> Evidence:
    _, g = _seen(trace)
    features = trace.instance.features
    bent = (dot(g[:, None, :], features[None]) ** 2).sum() * (1 / len(features))
    return _along(trace, g, dot(g, g) / bent)


def _polyak(trace: Trace, rule) -> Evidence:
    f, g = _seen(trace)
    gap = f - _number(rule.minimum)
    gap = Ball(jnp.maximum(gap.middle, 0), gap.radius)
    return _along(trace, g, gap * _number(rule.relaxation) / dot(g, g))


def _barzilai_borwein(trace: Trace, rule) -> Evidence:
    _, g = _seen(trace)
    move, change = ball(trace.x[1:-1]) - trace.x[:-2], g[1:] - g[:-1]
    numerator, denominator = (
        (dot(move, move), dot(move, change))
        if rule.quotient is rules.long_step
        else (dot(move, change), dot(change, change))
    )
    # Where the curvature along the move may not be positive, the last step size is kept.
    bent = dot(move, change)
    later = numerator / denominator
    unsure = bent.middle <= bent.radius
    later = Ball(later.middle, jnp.where(unsure, jnp.inf, later.radius))
    first = _number(rule.step_size)[None]
    steps = Ball(
        jnp.concatenate([first, later.middle]),
        jnp.concatenate([jnp.zeros_like(first), later.radius]),
    )
    return _along(trace, g, steps)


def _moves(trace):
    """Return the move that led to each of the rows 0, 1, ..., N-1: none led to the start."""
    zero = jnp.zeros_like(trace.x[:1])
    return jnp.concatenate([zero, trace.x[1:-1] - trace.x[:-2]])


def _heavy_ball(trace: Trace, rule) -> Evidence:
    _, g = _seen(trace)
    momentum, move = _number(rule.momentum), _moves(trace)
    # A remembered move differs from that of the rows by the rounding of the row it led to.
    memory = abs(momentum) * trace.model.unit_roundoff * (abs(trace.x[:-1]) + abs(move))
    step = ball(move) * momentum - g * _number(rule.step_size)
    return _rounded(trace, ball(trace.x[:-1]), step, 2 * memory)


def _nesterov(trace: Trace, rule) -> Evidence:
    _, g = _seen(trace)
    momentum, eta = _number(rule.momentum), _number(rule.step_size)
    after = ball(trace.x[:-1]) - g * eta
    before = Ball(
        jnp.concatenate([trace.x[:1], after.middle[:-1]]),
        jnp.concatenate([jnp.zeros_like(trace.x[:1]), after.radius[:-1]]),
    )
    u = trace.model.unit_roundoff
    sizes = abs(trace.x[:-1]) + jnp.concatenate([abs(trace.x[:1]), abs(trace.x[:-2])])
    slopes = abs(eta) * (abs(g.middle) + jnp.concatenate([abs(g.middle[:1]), abs(g.middle[:-1])]))
    memory = 4 * abs(momentum) * u * (sizes + slopes)
    step = (after - before) * momentum - g * eta
    return _rounded(trace, ball(trace.x[:-1]), step, memory)


# -- Armijo's rule ---------------------------------------------------------------------------------


def _armijo(trace: Trace, rule) -> Evidence:
    """Measure the way to the nearest step that Armijo's rule may take, in what rounding allows."""
    f, g = _seen(trace)
    x, model = trace.x[:-1], trace.model
    powers = jnp.arange(int(rule.max_backtracks) + 1, dtype=jnp.float64)
    steps = _number(rule.step_size) * _number(rule.shrink) ** powers
    # A power in floating point is off by as many roundings as it has factors.
    spread = steps * model.unit_roundoff * (powers + 1)
    steps = Ball(steps, spread)
    trial = ball(x)[None] - g[None] * Ball(steps.middle[:, None, None], steps.radius[:, None, None])
    reached = jax.vmap(jax.vmap(trace.f_at))(trial.middle)
    errors = jax.vmap(lambda points: evaluations(trace.instance, points, model))(trial.middle)
    slope = norm(Ball(trace.g.middle[:-1], trace.g.radius[:-1]))
    way = most(norm(ball(trial.radius)))
    doubt = way * (most(slope)[None] + trace.L * (most(norm(trial - x[None])) + way))
    reached = Ball(reached.middle, reached.radius + doubt + errors.value_error)
    column = Ball(steps.middle[:, None], steps.radius[:, None])
    promised = dot(g, g)[None] * _number(rule.decrease) * column
    margin = f[None] - promised - reached
    # The condition itself is evaluated in the dtype of the run.
    noise = margin.radius + model.gamma(x.shape[1] + 12) * (
        abs(f.middle)[None] + abs(promised.middle) + abs(reached.middle)
    )
    passes, fails = margin.middle > noise, margin.middle < -noise
    none_before = jnp.cumsum(passes.astype(jnp.int32), axis=0) - passes.astype(jnp.int32) == 0
    may_take = ~fails & none_before
    may_stand = ~passes.any(axis=0)
    u = model.unit_roundoff
    allowed = trial.radius + 4 * u * (abs(trial.middle) + abs(trial.middle - x[None]))
    allowed = allowed + 2 * model.least_normal
    off = (abs(trace.x[1:][None] - trial.middle) / allowed).max(axis=-1)
    nearest = jnp.where(may_take, off, jnp.inf).min(axis=0)
    stands = jnp.where(may_stand & (trace.x[1:] == x).all(axis=-1), 0.0, jnp.inf)
    one = jnp.ones_like(nearest)
    return Evidence(ball(jnp.minimum(nearest, stands)), ball(one), 0.0 * one, most(slope) > 0)


def _sufficient_decrease(trace: Trace, rule) -> Evidence:
    f, g = _seen(trace)
    after = Ball(trace.f.middle[1:], trace.f.radius[1:] + trace.value_error[1:])
    bound = f + dot(g, trace.move) * _number(rule.decrease)
    u = trace.model.unit_roundoff
    # The condition itself is evaluated in the dtype of the run.
    allowed = 8 * u * (abs(after.middle) + abs(bound.middle) + abs(f.middle))
    moved = abs(trace.move.middle).max(axis=-1) > 0
    return Evidence(after, bound, allowed, moved)


# -- as data ---------------------------------------------------------------------------------------


def _recurrence(evidence, statement, source, **known):
    def theorem(make):
        return Theorem(
            "recurrence",
            _FAMILY,
            statement,
            source,
            lambda trace: evidence(trace, make(trace.eta)),
            methods="any",
            needs=("restart",),
            equality=True,
            **known,
        )

    return theorem


def _inequality(name, evidence, statement):
    def theorem(make):
        return Theorem(
            name,
            _FAMILY,
            statement,
            "Armijo, Pacific J. Math. 16, 1966",
            lambda trace: evidence(trace, make(trace.eta)),
            methods="any",
            needs=("restart",),
        )

    return theorem


_THEOREMS: dict[type, tuple[Callable[..., Theorem], ...]] = {
    gd.ExactLineSearch: (
        _recurrence(
            _exact_line_search,
            "x[k+1] = x[k] - eta g,  eta = <g, g> / <g, H g>",
            "definition of exact line search",
            assumes=("f quadratic",),
        ),
    ),
    gd.Polyak: (
        _recurrence(
            _polyak,
            "x[k+1] = x[k] - eta g,  eta = r (f - f*) / |g|^2",
            "Polyak, USSR Comput. Math. Math. Phys. 9, 1969",
        ),
    ),
    gd.BarzilaiBorwein: (
        _recurrence(
            _barzilai_borwein,
            "x[k+1] = x[k] - eta g,  eta = <s, s> / <s, y> or <s, y> / <y, y>",
            "Barzilai and Borwein, IMA J. Numer. Anal. 8, 1988",
        ),
    ),
    gd.HeavyBall: (
        _recurrence(
            _heavy_ball,
            "x[k+1] = x[k] - eta g[k] + beta (x[k] - x[k-1])",
            "Polyak, USSR Comput. Math. Math. Phys. 4, 1964",
        ),
    ),
    gd.Nesterov: (
        _recurrence(
            _nesterov,
            "y[k+1] = x[k+1] + beta (x[k+1] - x[k]),  x[k+1] = y[k] - eta g(y[k])",
            "Nesterov, Lectures on Convex Optimization, 2nd ed., 2018, section 2.2",
        ),
    ),
    gd.Backtracking: (
        _inequality(
            "armijo-step",
            _armijo,
            "the step is the first of t, t beta, t beta^2, ... that descends enough, or none",
        ),
        _inequality(
            "sufficient-decrease", _sufficient_decrease, "f(x+) <= f(x) + c <g(x), x+ - x>"
        ),
    ),
}
