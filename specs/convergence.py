"""Convergence: what N steps of gradient descent promise, and the functions that keep them to it.

A run drifts from the exact one by at most ``D_k`` (`Trace.drift`), since a step brings points
closer together, or spreads them by a known factor. Gaps are compared by their roots:
``sqrt(f - f*)`` has slopes of at most ``sqrt(L/2)``.
"""

from __future__ import annotations

import jax.numpy as jnp

from . import bounds, extremal, rounding
from .balls import Ball, ball, dot, most, norm
from .theorem import Evidence, Theorem, Trace, exact_run, step_errors

_U = rounding.unit_roundoff(jnp.float64)


def _counts(trace):
    return jnp.arange(len(trace.x), dtype=jnp.float64)


def _gaps(trace, bound):
    """Return evidence about ``f(x_k) - f* <= bound``."""
    drift = trace.drift()
    rounding = jnp.sqrt(2 * trace.L * most(bound)) * drift + trace.L / 2 * drift**2
    drowned = bound.middle <= rounding + trace.gap.radius
    return Evidence(trace.gap, bound, rounding, ~drowned)


# -- quadratics ------------------------------------------------------------------------------------


def _closed_form(trace: Trace) -> Evidence:
    """Compare with powers of ``I - eta H`` applied to ``x_0 - x*``, in float64."""
    # The powers are applied one by one: each of them rounds as a step in float64 does.
    points = exact_run(trace.instance, trace.x[0], len(trace.x) - 1)
    own = trace.drift_of(most(norm(step_errors(trace.instance, points[:-1], jnp.float64))))
    allowed = jnp.broadcast_to((trace.drift() + own)[:, None], points.shape)
    moved = abs(points - trace.x[:1]) > allowed
    return Evidence(ball(trace.x), ball(points), allowed, moved)


def _hankel(trace: Trace) -> Evidence:
    g, e = trace.g, trace.L * trace.stray
    measured, bound = dot(g[:-2], g[2:]), dot(g[1:-1], g[1:-1])
    allowed = e[:-1] * most(norm(g[1:-1])) + e[1:] * most(norm(g[:-2]))
    return Evidence(measured, bound, allowed, bound.middle > allowed)


def _divergence(trace: Trace) -> Evidence:
    distance = norm(trace.offset)
    bound = distance[0] * abs(1.0 - trace.h) ** _counts(trace)
    allowed = trace.drift()
    return Evidence(distance, bound, allowed, bound.middle > allowed)


# -- rates -----------------------------------------------------------------------------------------


def _value_rate(trace: Trace) -> Evidence:
    instance, k = trace.instance, _counts(trace)
    mu = instance.strong_convexity
    rate = bounds.value_rate(trace.L, mu, trace.eta, k)
    # h is rounded, powers magnify that 2k times; A is a quotient of such numbers.
    slowest = trace.factors.max().middle + 4 * _U
    spread = (4 * k + 16) * 2 * _U * rate + trace.L * k * slowest ** jnp.maximum(2 * k - 1, 0) * (
        4 * _U
    )
    return _gaps(trace, Ball(rate, spread) * dot(trace.offset[0], trace.offset[0]))


def _linear_distance(trace: Trace) -> Evidence:
    distance = norm(trace.offset)
    bound, allowed = distance[0] * trace.factors.max() ** _counts(trace), trace.drift()
    return Evidence(distance, bound, allowed, bound.middle > allowed)


def _linear_gradient(trace: Trace) -> Evidence:
    slope = norm(trace.g)
    bound, allowed = slope[0] * trace.factors.max() ** _counts(trace), trace.L * trace.drift()
    return Evidence(slope, bound, allowed, bound.middle > allowed)


def _linear_value(trace: Trace) -> Evidence:
    return _gaps(trace, trace.gap[0] * trace.factors.max() ** (2 * _counts(trace)))


THEOREMS = tuple(
    Theorem(family="convergence", needs=("step size",), **known)
    for known in (
        {
            "name": "closed-form",
            "statement": "x[k] = x* + (I - eta H)^k (x[0] - x*)",
            "source": "induction on the step identity",
            "evidence": _closed_form,
            "assumes": ("f quadratic",),
            "equality": True,
        },
        {
            "name": "hankel",
            "statement": "<g[k-1], g[k+1]> = |g[k]|^2",
            "source": "g[k] = (I - eta H)^k g[0], with H symmetric",
            "evidence": _hankel,
            "assumes": ("f quadratic",),
            "equality": True,
        },
        {
            "name": "value-rate",
            "statement": "f(x[k]) - f* <= L/2 |x[0] - x*|^2 max(A, (1 - eta L)^(2k))",
            "source": "Drori and Teboulle, 2014 (eta <= 1/L); Kim, arXiv 2412.04427, 2024",
            "evidence": _value_rate,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.huber, extremal.tailed_huber),
        },
        {
            "name": "linear-distance",
            "statement": "|x[k] - x*| <= max(|1 - eta L|, |1 - eta mu|)^k |x[0] - x*|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _linear_distance,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (extremal.slowest_parabola,),
        },
        {
            "name": "linear-gradient",
            "statement": "|g[k]| <= max(|1 - eta L|, |1 - eta mu|)^k |g[0]|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _linear_gradient,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (extremal.slowest_parabola,),
        },
        {
            "name": "linear-value",
            "statement": "f(x[k]) - f* <= max(|1 - eta L|, |1 - eta mu|)^(2k) (f(x[0]) - f*)",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _linear_value,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (extremal.slowest_parabola,),
        },
        {
            "name": "divergence",
            "statement": "|x[k] - x*| = (eta L - 1)^k |x[0] - x*|   beyond eta = 2/L",
            "source": "the step identity on L/2 x^2",
            "evidence": _divergence,
            "assumes": ("f quadratic", "f of one parameter", "eta > 2/L"),
            "extremal": (extremal.diverging_parabola,),
            "equality": True,
        },
    )
)
