"""Convergence: what N steps of gradient descent promise, and the functions that keep them to it.

A run drifts from the exact one by at most ``D_k`` (`Trace.drift`), since a step brings points
closer together, or spreads them by a known factor. Gaps are compared by their roots:
``sqrt(f - f*)`` has slopes of at most ``sqrt(L/2)``.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

from . import bounds, instances, rounding
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


# -- the functions that attain them ----------------------------------------------------------------


def _numbers(key):
    """Return h, q, s and R: sixteenths, a power of four, powers of two; all short."""
    keys = jax.random.split(key, 4)
    h = jax.random.randint(keys[0], (), 1, 32).astype(jnp.float64) / 16
    powers = [_power_of_two(jax.random.randint(k, (), -3, 4)) for k in keys[1:3]]
    q = _power_of_two(-2 * jax.random.randint(keys[3], (), 1, 4))
    return h, q, *powers


def _power_of_two(k):
    return jnp.ldexp(jnp.ones((), jnp.float64), k)


def _one_parameter(stretch, bend, tail, distance, step_size, smoothness, strong_convexity):
    """Return ``phi(stretch x)`` from `distance`, with claims of a whole class of functions."""

    def row(x):
        return jnp.reshape(x, (1,))

    recipe = instances.Recipe(
        jnp.reshape(stretch, (1, 1)), row(0.0), bend, tail, 0.0, row(distance), row(0.0), 1.0
    )
    made = instances.instance(recipe, jnp.float64)
    return replace(
        made, step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity
    )


def huber(key, steps):
    """Return the slowest convex function for values after N steps: Huber's, or a parabola."""
    h, _, s, distance = _numbers(key)
    return _slowest(steps, h, 0.0, s, distance)


def tailed_huber(key, steps):
    """Return the slowest mu-strongly convex function for values after N steps."""
    h, q, s, distance = _numbers(key)
    return _slowest(steps, h, q, s, distance)


def _slowest(steps, h, q, s, distance):
    L = s**2
    slow = bounds.bend(L, q * L, h / L, float(steps))
    bent = slow >= (1 - h) ** (2 * steps)
    bend = jnp.where(bent, s * distance * slow, jnp.inf)
    return _one_parameter(s, bend, q, distance, h / L, L, q * L)


def steepest_parabola(key, steps):
    """Return ``L/2 x^2``, on which one step promises no more than it keeps."""
    h, q, s, distance = _numbers(key)
    return _one_parameter(s, jnp.inf, 0.0, distance, h / s**2, s**2, q * s**2)


def diverging_parabola(key, steps):
    """Return ``L/2 x^2`` with a step beyond 2/L, from which every run diverges."""
    h, q, s, distance = _numbers(key)
    return _one_parameter(s, jnp.inf, 0.0, distance, (2 + h) / s**2, s**2, q * s**2)


def slowest_parabola(key, steps):
    """Return ``L/2 x^2`` or ``mu/2 x^2``, whichever gradient descent contracts less."""
    h, q, s, distance = _numbers(key)
    steep = abs(1 - h) >= abs(1 - q * h)
    stretch = jnp.where(steep, s, s * jnp.sqrt(q))
    return _one_parameter(stretch, jnp.inf, 0.0, distance, h / s**2, s**2, q * s**2)


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
            "extremal": (huber, tailed_huber),
        },
        {
            "name": "linear-distance",
            "statement": "|x[k] - x*| <= max(|1 - eta L|, |1 - eta mu|)^k |x[0] - x*|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _linear_distance,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (slowest_parabola,),
        },
        {
            "name": "linear-gradient",
            "statement": "|g[k]| <= max(|1 - eta L|, |1 - eta mu|)^k |g[0]|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _linear_gradient,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (slowest_parabola,),
        },
        {
            "name": "linear-value",
            "statement": "f(x[k]) - f* <= max(|1 - eta L|, |1 - eta mu|)^(2k) (f(x[0]) - f*)",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "evidence": _linear_value,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (slowest_parabola,),
        },
        {
            "name": "divergence",
            "statement": "|x[k] - x*| = (eta L - 1)^k |x[0] - x*|   beyond eta = 2/L",
            "source": "the step identity on L/2 x^2",
            "evidence": _divergence,
            "assumes": ("f quadratic", "f of one parameter", "eta > 2/L"),
            "extremal": (diverging_parabola,),
            "equality": True,
        },
    )
)
