"""Monotone descent: what one step of gradient descent promises, whatever came before it.

Every theorem is exact about the step ``T = x - eta g(x)`` from the point that was recorded. The
point that follows is T + e, where rounding explains no more than ``|e| <= Trace.stray``; each
theorem adds what e does to it. L may be any number that is not too small, and where a theorem
speaks of h = 1, ``L = 1/eta`` is such a number for every eta <= 1/L.
"""

from __future__ import annotations

import jax.numpy as jnp

from .. import extremal, rounding
from ..balls import ball, dot, most, norm, stack
from ..instances import SHAPES
from ..theorem import (
    Evidence,
    Theorem,
    Trace,
    evaluations,
    exact_run,
    inequality,
    step_errors,
)

_NESTEROV = "Nesterov, Lectures on Convex Optimization, 2nd ed., Springer, 2018"


def _rise(trace):
    """Return how much e may add to f(x+): f is convex, ``f(x+ - e) >= f(x+) - <g(x+), e>``."""
    return most(norm(trace.g[1:])) * trace.stray


def _nearer(trace):
    """Return ``|x+ - x*|^2 - |x - x*|^2``, and what e may add to it."""
    offset = trace.offset
    change = dot(trace.move, offset[1:] + offset[:-1])
    return change, 2 * most(norm(offset[1:])) * trace.stray + trace.stray**2


# -- the step itself -------------------------------------------------------------------------------


def _step_identity(trace: Trace) -> Evidence:
    moves = abs((trace.g[:-1] * trace.eta).middle)
    return Evidence(ball(trace.x[1:]), trace.target, trace.strays, moves > trace.strays)


def _exact_decrease(trace: Trace) -> Evidence:
    features, g, e = trace.instance.features, trace.g[:-1], trace.stray
    curvature = (dot(g[:, None, :], features[None]) ** 2).sum() * (1 / len(features))
    decrease = dot(g, g) * trace.eta - curvature * (ball(trace.eta) ** 2 * 0.5)
    # <g(T), e> + e'He / 2, where g(T) = (I - eta H) g.
    shrink = jnp.maximum(1.0, most(abs(1.0 - trace.h)))
    allowed = shrink * most(norm(g)) * e + trace.L * e**2 / 2
    return inequality(trace.f[1:], trace.f[:-1] - decrease, allowed, decrease)


# -- values ----------------------------------------------------------------------------------------


def _decrease(trace: Trace) -> Evidence:
    """Compare values, as the subject may have seen them, and after a step that was rounded."""
    seen = trace.value_error[1:] + trace.value_error[:-1]
    allowed = seen + (most(norm(trace.g[1:])) + trace.L * trace.stray) * trace.stray
    return inequality(trace.f[1:], trace.f[:-1], allowed, trace.f[1:] - trace.f[:-1])


def _descent_lemma(trace: Trace) -> Evidence:
    g, e = trace.g[:-1], trace.stray
    promised = dot(g, g) * ((1.0 - trace.h * 0.5) * trace.eta)
    allowed = most(abs(1.0 - trace.h)) * most(norm(g)) * e + trace.L * e**2 / 2
    return inequality(trace.f[1:], trace.f[:-1] - promised, allowed, promised)


def _sharp_decrease(trace: Trace) -> Evidence:
    squares = dot(trace.g, trace.g)
    promised = (squares[:-1] + squares[1:]) * (trace.eta / 2)
    # |g(x+)|^2 instead of |g(T)|^2: the gradient changes by at most |e| / eta.
    slope = most(norm(trace.g[1:]))
    allowed = _rise(trace) + slope * trace.stray + trace.stray**2 / (2 * trace.eta)
    return inequality(trace.f[1:], trace.f[:-1] - promised, allowed, promised)


def _comparator(trace: Trace) -> Evidence:
    instance, e = trace.instance, trace.stray
    measured, bound, allowed = [], [], []
    for z in (instance.probe, instance.center, instance.start):
        here, there = ball(trace.x[:-1]) - z[None], ball(trace.x[1:]) - z[None]
        measured.append(trace.f[1:] - trace.f_at(z))
        bound.append(dot(-trace.move, here + there) / (2 * trace.eta))
        allowed.append(_rise(trace) + (2 * most(norm(there)) * e + e**2) / (2 * trace.eta))
    return inequality(stack(measured), stack(bound), jnp.stack(allowed, -1))


# -- distances and gradients -----------------------------------------------------------------------


def _fejer(trace: Trace) -> Evidence:
    change, allowed = _nearer(trace)
    g = trace.g[:-1]
    return inequality(change, dot(g, g) * ((trace.eta - 2.0 / ball(trace.L)) * trace.eta), allowed)


def _fejer_with_values(trace: Trace) -> Evidence:
    change, allowed = _nearer(trace)
    g = trace.g[:-1]
    bound = trace.gap[:-1] * (-2 * trace.eta) + dot(g, g) * (
        (trace.eta - 1.0 / ball(trace.L)) * trace.eta
    )
    return inequality(change, bound, allowed)


def _gradient_monotone(trace: Trace) -> Evidence:
    g, after = trace.g[:-1], trace.g[1:]
    bound = dot(after, g) * (2.0 - trace.h) - dot(g, g) * (1.0 - trace.h)
    # The gradient at x+ differs from that at T by at most w = L |e|.
    w = trace.L * trace.stray
    allowed = 2 * most(norm(after)) * w + w**2 + most(2.0 - trace.h) * w * most(norm(g))
    return inequality(dot(after, after), bound, allowed)


def _nonexpansive(trace: Trace) -> Evidence:
    moves = norm(trace.move)
    return inequality(moves[1:], moves[:-1], trace.stray[1:] + trace.stray[:-1])


def _contraction(trace: Trace) -> Evidence:
    distance = norm(trace.offset)
    factor = trace.factors.max()
    return inequality(distance[1:], distance[:-1] * factor, trace.stray)


# -- potentials ------------------------------------------------------------------------------------


def _counts(trace):
    return jnp.arange(len(trace.x), dtype=jnp.float64)


def _potential(trace: Trace) -> Evidence:
    change, spread = _nearer(trace)
    weights = ball(_counts(trace)) * trace.eta
    weighted = trace.gap * weights
    allowed = most(weights[1:]) * _rise(trace) + spread / 2
    return inequality(weighted[1:] + change * 0.5, weighted[:-1], allowed)


def _potential_with_gradients(trace: Trace) -> Evidence:
    change, spread = _nearer(trace)
    k, eta = _counts(trace), ball(trace.eta)
    of_gap, of_slope = (2 * k + 1) * eta, k * (k + 2) * eta**2
    weighted = trace.gap * of_gap + dot(trace.g, trace.g) * of_slope
    slope, w = most(norm(trace.g[1:])), trace.stray / trace.eta
    allowed = most(of_gap[1:]) * _rise(trace) + most(of_slope[1:]) * (2 * slope * w + w**2) + spread
    return inequality(weighted[1:] + change, weighted[:-1], allowed)


# -- stopping --------------------------------------------------------------------------------------


def _flatness(trace):
    """Return max |g| where a method stopped, shape (1,), and what rounding may add to it."""
    return ball(abs(trace.g[1:].middle).max(-1)), (
        (trace.g.radius + trace.gradient_error)[1:].max(-1)
    )


def _stops_flat(trace: Trace) -> Evidence:
    steepest, allowed = _flatness(trace)
    converged = trace.run.converged
    measured = ball(jnp.where(converged, steepest.middle, 0.0))
    allowed = jnp.where(converged, allowed, 0.0)
    return Evidence(measured, ball(trace.instance.tolerance[None]), allowed, converged[None])


def _stops_when_flat(trace: Trace) -> Evidence:
    steepest, allowed = _flatness(trace)
    # A run that was lost may say so: what is not a number is steep.
    steepest = ball(jnp.where(jnp.isnan(steepest.middle), jnp.inf, steepest.middle))
    still = jnp.where(trace.run.converged, 0.0, trace.instance.tolerance)
    return Evidence(
        ball(still[None]), steepest, jnp.nan_to_num(allowed), ~trace.run.converged[None]
    )


def _stops_first(trace: Trace) -> Evidence:
    """Compare the point with the first of the exact run that is flat, or with its last."""
    instance, most_steps = trace.instance, max(shape.steps for shape in SHAPES)
    points = exact_run(instance, instance.start, most_steps)
    errors = sum(
        most(norm(step_errors(instance, points[:-1], model)))
        for model in (trace.model, rounding.arithmetic(jnp.float64))
    )
    drift = trace.drift_of(errors)
    exact = evaluations(instance, points, trace.model)
    steepest = abs(exact.gradient).max(axis=-1)
    unsure = exact.gradient_error.max(axis=-1) + trace.L * drift
    counts = jnp.arange(most_steps + 1, dtype=jnp.float64)
    over = (steepest <= instance.tolerance) | (counts >= trace.run.limit)
    k = jnp.argmax(over)
    doubtful = (abs(steepest - instance.tolerance) <= unsure) & (counts < trace.run.limit)
    known = ~jnp.any(doubtful & (counts <= k.astype(jnp.float64)))
    allowed = jnp.where(known, drift[k], jnp.inf)
    return Evidence(
        ball(trace.x[1:]),
        ball(points[k][None]),
        jnp.broadcast_to(allowed, trace.x[1:].shape),
        jnp.broadcast_to(known, trace.x[1:].shape),
    )


_HARD_TO_STOP = (extremal.runaway_parabola, extremal.flat_start, extremal.last_moment)

THEOREMS = tuple(
    Theorem(family="monotone descent", **known)
    for known in (
        {
            "name": "step-identity",
            "statement": "x[k+1] = x[k] - eta grad f(x[k])",
            "source": "definition of gradient descent",
            "evidence": _step_identity,
            "needs": ("step size",),
            "equality": True,
        },
        {
            "name": "exact-decrease",
            "statement": "f(x+) = f(x) - eta |g|^2 + eta^2/2 <g, H g>",
            "source": "Taylor's theorem, exact for quadratics",
            "evidence": _exact_decrease,
            "assumes": ("f quadratic",),
            "needs": ("step size",),
            "equality": True,
        },
        {
            "name": "decrease",
            "statement": "f(x+) <= f(x)",
            "source": "definition of a descent method",
            "evidence": _decrease,
            "assumes": ("f convex", "eta <= 2/L"),
            "needs": ("restart",),
            "methods": "descent",
        },
        {
            "name": "descent-lemma",
            "statement": "f(x+) <= f(x) - eta (1 - eta L / 2) |g|^2",
            "source": f"{_NESTEROV}, proof of Theorem 2.1.14",
            "evidence": _descent_lemma,
            "assumes": ("f L-smooth",),
            "needs": ("step size",),
        },
        {
            "name": "sharp-decrease",
            "statement": "f(x+) <= f(x) - eta/2 (|g|^2 + |g+|^2)",
            "source": "interpolation of convex functions of smoothness 1/eta, between x and x+",
            "evidence": _sharp_decrease,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1/L"),
            "needs": ("step size",),
        },
        {
            "name": "comparator",
            "statement": "f(x+) - f(z) <= (|x - z|^2 - |x+ - z|^2) / (2 eta)   for all z",
            "source": "optlib (Lean), point_descent_for_convex",
            "evidence": _comparator,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1/L"),
            "needs": ("step size",),
        },
        {
            "name": "fejer",
            "statement": "|x+ - x*|^2 <= |x - x*|^2 - eta (2/L - eta) |g|^2",
            "source": f"{_NESTEROV}, Theorem 2.1.5 (cocoercivity)",
            "evidence": _fejer,
            "assumes": ("f convex", "f L-smooth", "eta <= 2/L"),
            "needs": ("step size",),
        },
        {
            "name": "fejer-with-values",
            "statement": "|x+ - x*|^2 <= |x - x*|^2 - 2 eta (f - f*) - eta (1/L - eta) |g|^2",
            "source": "interpolation of convex L-smooth functions, between x* and x",
            "evidence": _fejer_with_values,
            "assumes": ("f convex", "f L-smooth"),
            "needs": ("step size",),
        },
        {
            "name": "gradient-monotone",
            "statement": "|g+|^2 <= (2 - eta L) <g+, g> - (1 - eta L) |g|^2",
            "source": "cocoercivity between x and x+",
            "evidence": _gradient_monotone,
            "assumes": ("f convex", "f L-smooth", "eta <= 2/L"),
            "needs": ("step size",),
        },
        {
            "name": "nonexpansive",
            "statement": "|x[k+2] - x[k+1]| <= |x[k+1] - x[k]|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _nonexpansive,
            "assumes": ("f convex", "f L-smooth", "eta <= 2/L"),
            "needs": ("step size",),
        },
        {
            "name": "contraction",
            "statement": "|x+ - x*| <= max(|1 - eta L|, |1 - eta mu|) |x - x*|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _contraction,
            "assumes": ("f mu-strongly convex", "f L-smooth"),
            "needs": ("step size",),
        },
        {
            "name": "potential",
            "statement": "eta k (f(x[k]) - f*) + |x[k] - x*|^2 / 2   never rises",
            "source": "Bansal and Gupta, Theory of Computing 15, 2019, Theorem 3.3 (eta = 1/L)",
            "evidence": _potential,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1.618/L"),
            "needs": ("step size",),
        },
        {
            "name": "potential-with-gradients",
            "statement": "(2k+1) eta (f - f*) + k (k+2) eta^2 |g|^2 + |x - x*|^2   never rises",
            "source": "Taylor and Bach, COLT 2019, Theorem 3",
            "evidence": _potential_with_gradients,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1/L"),
            "needs": ("step size",),
        },
        {
            "name": "stops-flat",
            "hard": _HARD_TO_STOP,
            "statement": "converged: no entry of the gradient exceeds the tolerance",
            "source": "definition of the tolerance",
            "evidence": _stops_flat,
            "needs": ("stopping",),
            "methods": "any",
        },
        {
            "name": "stops-when-flat",
            "hard": _HARD_TO_STOP,
            "statement": "not converged: some entry of the gradient exceeds the tolerance",
            "source": "definition of the tolerance",
            "evidence": _stops_when_flat,
            "needs": ("stopping",),
            "methods": "any",
        },
        {
            "name": "stops-first",
            "hard": (extremal.flat_start, extremal.last_moment),
            "statement": "the point returned is the first that is flat, or that of the last step",
            "source": "definition of the tolerance",
            "evidence": _stops_first,
            "assumes": ("eta <= 2/L",),
            "needs": ("stopping", "step size"),
            "equality": True,
        },
    )
)
