"""Monotone descent: what one step of gradient descent promises, whatever came before it.

Every theorem is exact about the step ``T = x - eta g(x)`` from the point that was recorded (`now`);
the point that follows is T - e, where rounding explains e (`_astray`), so that T is in the balls of
`after`. L may be any number that is not too small, and where a theorem speaks of h = 1, ``L =
1/eta`` is such a number for every eta <= 1/L.
"""

from __future__ import annotations

import numpy as np

from .. import extremal, rounding
from ..balls import Ball, ball, dot, most, norm, stack, where, widened
from ..instances import SHAPES
from ..rows import Trace, evaluations, exact_run, step_errors
from ..theorem import Theorem
from .gradient_agreement import NESTEROV


def _astray(t):
    """Return e, what the point that follows lacks to T: balls around 0, (N, d, B)."""
    return t.after.x - t.rows.x[1:]


def _value_after(t):
    """Return ``f(x+) + <g+, e>``, which is no more than f(T): f is convex."""
    return t.rows.f[1:] + dot(t.rows.g[1:], _astray(t))


def _nearer(t, z):
    """Return ``|T - z|^2 - |x - z|^2``: one product at x+, and what the square of e adds to it."""
    here, there, e = t.now.x - z, t.rows.x[1:] - z, _astray(t)
    return dot(t.rows.x[1:] - t.now.x, here + there) + dot(e, there + there + e)


# -- the step itself -------------------------------------------------------------------------------


def _step_identity(t: Trace):
    return t.rows.x[1:], widened(t.target, t.strays), t.now.g.middle * t.eta


def _exact_decrease(t: Trace):
    g, features = t.now.g, t.instance.features
    curvature = (dot(g[:, None], features) ** 2).sum() * (1 / len(features))
    return t.after.f - t.now.f, curvature * (ball(t.eta) ** 2 * 0.5) - dot(g, g) * t.eta


# -- values ----------------------------------------------------------------------------------------


def _decrease(t: Trace):
    """Compare values as the subject may have seen them, and after a step that was rounded."""
    seen = t.value_error[1:] + t.value_error[:-1]
    rise = t.after.f - t.now.f
    return widened(rise, seen), ball(0 * t.eta)[None]


def _descent_lemma(t: Trace):
    """Compare at x+ itself: the lemma holds of every step, and of ``x - eta g - e`` it says so."""
    g, e = t.now.g, _astray(t)
    promised = -dot(g, g) * ((1.0 - t.h * 0.5) * t.eta)
    return t.rows.f[1:] - t.now.f, promised + dot(e, g * (1.0 - t.h) + e * (t.L / 2))


def _sharp_decrease(t: Trace):
    g, after = t.now.g, t.after.g
    return _value_after(t) - t.now.f, -(dot(g, g) + dot(after, after)) * (t.eta / 2)


def _comparator(t: Trace):
    others = t.instance.probe, t.center, t.instance.start
    rises = stack([_value_after(t) - t.f_at(z) for z in others])
    return rises, stack([-_nearer(t, z) / (2 * t.eta) for z in others])


# -- distances and gradients -----------------------------------------------------------------------


def _fejer(t: Trace):
    return _nearer(t, t.center), dot(t.now.g, t.now.g) * ((t.eta - 2.0 / ball(t.L)) * t.eta)


def _fejer_with_values(t: Trace):
    squares = dot(t.now.g, t.now.g) * ((t.eta - 1.0 / ball(t.L)) * t.eta)
    return _nearer(t, t.center), (t.now.f - t.minimum) * (-2 * t.eta) + squares


def _gradient_monotone(t: Trace):
    g, after = t.now.g, t.after.g
    return dot(after, after), dot(after, g) * (2.0 - t.h) - dot(g, g) * (1.0 - t.h)


def _nonexpansive(t: Trace):
    move, e = t.rows.x[1:] - t.rows.x[:-1], _astray(t)
    return norm(move[1:] + e[1:] - e[:-1]), norm(move[:-1])


def _contraction(t: Trace):
    return t.distance(t.after), t.distance(t.now) * t.contraction


# -- potentials ------------------------------------------------------------------------------------


def _potential(t: Trace):
    weights = ball(t.counts) * t.eta
    after, now = _value_after(t) - t.minimum, t.now.f - t.minimum
    return after * weights[1:] + _nearer(t, t.center) * 0.5, now * weights[:-1]


def _potential_with_gradients(t: Trace):
    def weighted(value, slope, k):
        of_slope = ball(k * (k + 2)) * ball(t.eta) ** 2
        return (value - t.minimum) * (ball(2 * k + 1) * t.eta) + dot(slope, slope) * of_slope

    after = weighted(_value_after(t), t.after.g, t.counts[1:])
    return after + _nearer(t, t.center), weighted(t.now.f, t.now.g, t.counts[:-1])


# -- stopping --------------------------------------------------------------------------------------


def _flatness(t):
    """Return max |g| where a method stopped, as it may have seen it, a ball (1, B)."""
    return abs(widened(t.rows.g, t.gradient_error)[1:]).max()


def _stops_flat(t: Trace):
    return where(t.run.converged, _flatness(t)), ball(t.instance.tolerance)[None]


def _stops_when_flat(t: Trace):
    steepest = _flatness(t)
    # A run that was lost may say so: what is not a number is steep.
    lost = ~np.isfinite(steepest.middle)
    steepest = Ball(np.where(lost, np.inf, steepest.middle), np.where(lost, 0, steepest.radius))
    return where(~t.run.converged, t.instance.tolerance)[None], steepest


def _stops_first(t: Trace):
    """Compare the point with the first of the exact run that is flat, or with its last."""
    instance, most_steps = t.instance, max(shape.steps for shape in SHAPES)
    points = exact_run(instance, instance.start, most_steps)
    errors = sum(
        most(norm(ball(step_errors(instance, points[:-1], model))))
        for model in (t.model, rounding.arithmetic(np.float64))
    )
    drift = t.drift_of(errors)
    exact = evaluations(instance, points, t.model)
    steepest = abs(exact.gradient).max(axis=1)
    unsure = exact.gradient_error.max(axis=1) + t.L * drift
    counts = np.arange(most_steps + 1)[:, None]
    over = (steepest <= instance.tolerance) | (counts >= t.run.limit)
    k = over.argmax(axis=0)
    doubtful = (abs(steepest - instance.tolerance) <= unsure) & (counts < t.run.limit)
    known = ~(doubtful & (counts <= k)).any(axis=0)
    stop = np.take_along_axis(points, k[None, None], axis=0)
    spread = np.take_along_axis(drift, k[None], axis=0)[:, None]
    return t.rows.x[1:], where(known, widened(stop, spread))


_HARD_TO_STOP = (extremal.runaway_parabola, extremal.flat_start, extremal.last_moment)

THEOREMS = tuple(
    Theorem(family="monotone descent", **known)
    for known in (
        {
            "name": "step-identity",
            "statement": "x[k+1] = x[k] - eta grad f(x[k])",
            "source": "definition of gradient descent",
            "law": _step_identity,
            "needs": ("step size",),
            "equality": True,
        },
        {
            "name": "exact-decrease",
            "statement": "f(x+) = f(x) - eta |g|^2 + eta^2/2 <g, H g>",
            "source": "Taylor's theorem, exact for quadratics",
            "law": _exact_decrease,
            "assumes": ("f quadratic",),
            "needs": ("step size",),
            "equality": True,
        },
        {
            "name": "decrease",
            "statement": "f(x+) <= f(x)",
            "source": "definition of a descent method",
            "law": _decrease,
            "assumes": ("f convex", "eta <= 2/L"),
            "needs": ("restart",),
            "methods": "descent",
        },
        {
            "name": "descent-lemma",
            "statement": "f(x+) <= f(x) - eta (1 - eta L / 2) |g|^2",
            "source": f"{NESTEROV}, proof of Theorem 2.1.14",
            "law": _descent_lemma,
            "assumes": ("f L-smooth",),
            "needs": ("step size",),
        },
        {
            "name": "sharp-decrease",
            "statement": "f(x+) <= f(x) - eta/2 (|g|^2 + |g+|^2)",
            "source": "interpolation of convex functions of smoothness 1/eta, between x and x+",
            "law": _sharp_decrease,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1/L"),
            "needs": ("step size",),
        },
        {
            "name": "comparator",
            "statement": "f(x+) - f(z) <= (|x - z|^2 - |x+ - z|^2) / (2 eta)   for all z",
            "source": "optlib (Lean), point_descent_for_convex",
            "law": _comparator,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1/L"),
            "needs": ("step size",),
        },
        {
            "name": "fejer",
            "statement": "|x+ - x*|^2 <= |x - x*|^2 - eta (2/L - eta) |g|^2",
            "source": f"{NESTEROV}, Theorem 2.1.5 (cocoercivity)",
            "law": _fejer,
            "assumes": ("f convex", "f L-smooth", "eta <= 2/L"),
            "needs": ("step size",),
        },
        {
            "name": "fejer-with-values",
            "statement": "|x+ - x*|^2 <= |x - x*|^2 - 2 eta (f - f*) - eta (1/L - eta) |g|^2",
            "source": "interpolation of convex L-smooth functions, between x* and x",
            "law": _fejer_with_values,
            "assumes": ("f convex", "f L-smooth"),
            "needs": ("step size",),
        },
        {
            "name": "gradient-monotone",
            "statement": "|g+|^2 <= (2 - eta L) <g+, g> - (1 - eta L) |g|^2",
            "source": "cocoercivity between x and x+",
            "law": _gradient_monotone,
            "assumes": ("f convex", "f L-smooth", "eta <= 2/L"),
            "needs": ("step size",),
        },
        {
            "name": "nonexpansive",
            "statement": "|x[k+2] - x[k+1]| <= |x[k+1] - x[k]|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "law": _nonexpansive,
            "assumes": ("f convex", "f L-smooth", "eta <= 2/L"),
            "needs": ("step size",),
        },
        {
            "name": "contraction",
            "statement": "|x+ - x*| <= max(|1 - eta L|, |1 - eta mu|) |x - x*|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "law": _contraction,
            "assumes": ("f mu-strongly convex", "f L-smooth"),
            "needs": ("step size",),
        },
        {
            "name": "potential",
            "statement": "eta k (f(x[k]) - f*) + |x[k] - x*|^2 / 2   never rises",
            "source": "Bansal and Gupta, Theory of Computing 15, 2019, Theorem 3.3 (eta = 1/L)",
            "law": _potential,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1.618/L"),
            "needs": ("step size",),
        },
        {
            "name": "potential-with-gradients",
            "statement": "(2k+1) eta (f - f*) + k (k+2) eta^2 |g|^2 + |x - x*|^2   never rises",
            "source": "Taylor and Bach, COLT 2019, Theorem 3",
            "law": _potential_with_gradients,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta <= 1/L"),
            "needs": ("step size",),
        },
        {
            "name": "stops-flat",
            "hard": _HARD_TO_STOP,
            "statement": "converged: no entry of the gradient exceeds the tolerance",
            "source": "definition of the tolerance",
            "law": _stops_flat,
            "needs": ("stopping",),
            "methods": "any",
        },
        {
            "name": "stops-when-flat",
            "hard": _HARD_TO_STOP,
            "statement": "not converged: some entry of the gradient exceeds the tolerance",
            "source": "definition of the tolerance",
            "law": _stops_when_flat,
            "needs": ("stopping",),
            "methods": "any",
        },
        {
            "name": "stops-first",
            "hard": (extremal.flat_start, extremal.last_moment),
            "statement": "the point returned is the first that is flat, or that of the last step",
            "source": "definition of the tolerance",
            "law": _stops_first,
            "assumes": ("eta <= 2/L",),
            "needs": ("stopping", "step size"),
            "equality": True,
        },
    )
)
