"""Convergence: what N steps of gradient descent promise, and the functions that keep them to it.

A run drifts from the exact one by at most ``D_k`` (`Trace.drift`), since a step brings points
closer together, or spreads them by a known factor. Gaps are compared by their roots:
``sqrt(f - f*)`` has slopes of at most ``sqrt(L/2)``.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from .. import bounds, extremal, instances, rounding
from ..balls import Ball, ball, dot, most, norm
from ..theorem import Evidence, Theorem, Trace, exact_run, step_errors

_U = rounding.unit_roundoff(jnp.float64)


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
    bound = distance[0] * abs(1.0 - trace.h) ** trace.counts
    allowed = trace.drift()
    return Evidence(distance, bound, allowed, bound.middle > allowed)


# -- rates -----------------------------------------------------------------------------------------


def _slowest(trace: Trace) -> Ball:
    """Return the constant of the value rate."""
    k = trace.counts
    rate = bounds.value_rate(trace.L, trace.instance.strong_convexity, trace.eta, k)
    # h is rounded, powers magnify that 2k times; A is a quotient of such numbers.
    slowest = trace.factors.max().middle + 4 * _U
    magnified = trace.L * k * slowest ** jnp.maximum(2 * k - 1, 0) * (4 * _U)
    return Ball(rate, (4 * k + 16) * 2 * _U * rate + magnified)


def _value_rate(trace: Trace) -> Evidence:
    return _gaps(trace, _slowest(trace) * dot(trace.offset[0], trace.offset[0]))


def _quadratic_value_rate(trace: Trace) -> Evidence:
    instance, k = trace.instance, trace.counts
    rate = bounds.quadratic_value_rate(trace.L, instance.strong_convexity, trace.eta, k)
    # Both powers are at most max(1, |1 - h|)^(2k), and magnify what h is off 2k times.
    widest = jnp.maximum(trace.factors.max().middle + 4 * _U, 1)
    spread = trace.L * (2 * k + 4) * 4 * _U * widest ** (2 * k)
    return _gaps(trace, Ball(rate, spread) * dot(trace.offset[0], trace.offset[0]))


def _slopes(trace, bound, promised=0.0):
    """Return evidence about ``|g_k|^2 <= bound``, by roots; what rounding moves the bound is extra.

    Gradients drift by L times as much as points.
    """
    slope, root = norm(trace.g), bound.sqrt()
    allowed = trace.L * trace.drift() + promised
    return Evidence(slope, root, allowed, root.middle > allowed + slope.radius)


def _gradient_rate(trace: Trace) -> Evidence:
    return _slopes(trace, _slowest(trace) * 4.0 * trace.gap[0])


def _gradient_rate_from_decrease(trace: Trace) -> Evidence:
    instance, k = trace.instance, trace.counts
    rate = bounds.gradient_rate_from_decrease(trace.L, instance.strong_convexity, trace.eta, k)
    # 1/B is A / (1 - A), where A is twice the constant of values over L.
    slowest = _slowest(trace)
    spread = 4 * slowest.radius / (1 - 2 * slowest.middle / trace.L) ** 2 + 8 * _U * rate
    rate = Ball(jnp.where(k > 0, rate, 0), jnp.where(k > 0, spread, jnp.inf))
    drift = trace.drift()
    lower = most(norm(trace.g)) * drift + trace.L / 2 * drift**2
    decrease = trace.f[0] - trace.f
    decrease = Ball(jnp.maximum(decrease.middle, 0), decrease.radius + lower)
    return _slopes(trace, rate * decrease)


def _nonconvex_gradient(trace: Trace) -> Evidence:
    k, slope = trace.counts, norm(trace.g)
    least = Ball(lax.cummin(slope.middle), lax.cummax(slope.radius))
    rate = bounds.nonconvex_gradient_rate(trace.L, trace.eta, k)
    bound = (Ball(rate, 32 * _U * rate) * trace.gap[0]).sqrt()
    # A least value moves no more than what moves most.
    allowed = trace.L * lax.cummax(trace.drift())
    return Evidence(least, bound, allowed, bound.middle > allowed + least.radius)


def _more_parameters(trace: Trace) -> Evidence:
    """Compare with the rate of the least curvature that is not zero, that of ``A A' / n``."""
    features, (n, d) = trace.instance.features, trace.instance.features.shape
    least = instances.curvatures(features.T)[0] * (d / n) * (1 - 8 * _U)
    factors = abs(1.0 - ball(jnp.stack([trace.L, least])) * trace.eta)
    return _gaps(trace, trace.gap[0] * factors.max() ** (2 * trace.counts))


def _linear_distance(trace: Trace) -> Evidence:
    distance = norm(trace.offset)
    bound, allowed = distance[0] * trace.factors.max() ** trace.counts, trace.drift()
    return Evidence(distance, bound, allowed, bound.middle > allowed)


def _linear_gradient(trace: Trace) -> Evidence:
    slope = norm(trace.g)
    bound, allowed = slope[0] * trace.factors.max() ** trace.counts, trace.L * trace.drift()
    return Evidence(slope, bound, allowed, bound.middle > allowed)


def _linear_value(trace: Trace) -> Evidence:
    return _gaps(trace, trace.gap[0] * trace.factors.max() ** (2 * trace.counts))


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
            "statement": "f(x[k]) - f* <= L/2 |x[0] - x*|^2 max(A, (1 - eta L)^(2k)),  "
            "A = 1/(2k eta L + 1) if mu = 0",
            "source": "Drori and Teboulle, 2014 (eta <= 1/L); Kim, arXiv 2412.04427, 2024",
            "evidence": _value_rate,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.huber, extremal.tailed_huber),
        },
        {
            "name": "quadratic-value-rate",
            "statement": "f(x[k]) - f* <= |x[0] - x*|^2 max l/2 (1 - eta l)^(2k),  mu <= l <= L",
            "source": "spectral; Bousselmi, Hendrickx and Glineur, 2023, eq. 4.17",
            "evidence": _quadratic_value_rate,
            "assumes": ("f quadratic", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.slowest_quadratic,),
        },
        {
            "name": "gradient-rate",
            "statement": "|g[k]|^2 <= 2L (f(x[0]) - f*) max(A, (1 - eta L)^(2k)),  "
            "A = 1/(2k eta L + 1) if mu = 0",
            "source": "Rotaru, Glineur and Patrinos, arXiv 2406.17506; Kim, arXiv 2412.04435, 2024",
            "evidence": _gradient_rate,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.gradient_huber, extremal.gradient_tailed_huber),
        },
        {
            "name": "gradient-rate-from-decrease",
            "statement": "|g[k]|^2 <= 2L (f(x[0]) - f(x[k])) / B, B = 2 k eta L if mu = 0",
            "source": "Rotaru, Glineur and Patrinos, arXiv 2406.17506, 2024",
            "evidence": _gradient_rate_from_decrease,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.gradient_huber, extremal.gradient_tailed_huber),
        },
        {
            "name": "nonconvex-gradient",
            "statement": "min |g[j]|^2 up to k <= 4L (f(x[0]) - f*) / (k h (4 - h) + 2),  "
            "h = eta L",
            "source": "Abbaszadehpeivasti, de Klerk and Zamani, Optim. Lett. 16, 2022",
            "evidence": _nonconvex_gradient,
            "assumes": ("f L-smooth", "eta > 0", "eta <= 1/L"),
        },
        {
            "name": "more-parameters",
            "statement": "f(x[k]) - f* <= max |1 - eta l|^(2k) (f(x[0]) - f*),  l > 0 a curvature",
            "source": "spectral: what no example sees adds nothing to f",
            "evidence": _more_parameters,
            "assumes": ("f quadratic", "fewer examples than parameters", "eta < 2/L"),
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
