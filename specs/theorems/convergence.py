"""Convergence: what N steps of gradient descent promise, and the functions that keep them to it.

A run drifts from the exact one by at most ``D_k`` (`Trace.drift`), since a step brings points
closer together, or spreads them by a known factor: the exact run is in the balls of `exact`.
"""

from __future__ import annotations

import numpy as np

from .. import bounds, extremal, instances, rounding
from ..balls import Ball, ball, dot, library, most, norm, widened
from ..theorem import Theorem, Trace, exact_run, step_errors

_U = rounding.unit_roundoff(np.float64)


def _gap(t):
    """Return ``f(x_k) - f*`` of the exact run."""
    return t.exact.f - t.minimum


def _distance(t):
    return norm(t.exact.x - t.center)


# -- quadratics ------------------------------------------------------------------------------------


def _closed_form(t: Trace):
    """Compare with powers of ``I - eta H`` applied to ``x_0 - x*``, in float64."""
    # The powers are applied one by one: each of them rounds as a step in float64 does.
    points = exact_run(t.instance, t.x[0], len(t.x) - 1)
    own = t.drift_of(most(norm(ball(step_errors(t.instance, points[:-1], np.float64)))))
    return t.exact.x, widened(points, own[:, None]), points - t.x[:1]


def _hankel(t: Trace):
    now, after = t.now.g, t.after.g
    return dot(now[:-1], after[1:]), dot(after[:-1], now[1:])


def _divergence(t: Trace):
    return _distance(t), norm(t.rows.x[0] - t.center) * abs(1.0 - t.h) ** t.counts


# -- rates -----------------------------------------------------------------------------------------


def _slowest(t: Trace) -> Ball:
    """Return the constant of the value rate."""
    k = t.counts
    rate = bounds.value_rate(t.L, t.mu, t.eta, k)
    # h is rounded, powers magnify that 2k times; A is a quotient of such numbers.
    slowest = t.contraction.middle + 4 * _U
    magnified = t.L * k * slowest ** np.maximum(2 * k - 1, 0) * (4 * _U)
    return Ball(rate, (4 * k + 16) * 2 * _U * rate + magnified)


def _squared_distance(t):
    offset = t.rows.x[0] - t.center
    return dot(offset, offset)


def _value_rate(t: Trace):
    return _gap(t), _slowest(t) * _squared_distance(t)


def _quadratic_value_rate(t: Trace):
    k = t.counts
    rate = bounds.quadratic_value_rate(t.L, t.mu, t.eta, k)
    # Both powers are at most max(1, |1 - h|)^(2k), and magnify what h is off 2k times.
    widest = library(t.L).maximum(t.contraction.middle + 4 * _U, 1)
    spread = t.L * (2 * k + 4) * 4 * _U * widest ** (2 * k)
    return _gap(t), Ball(rate, spread) * _squared_distance(t)


def _gradient_rate(t: Trace):
    """Compare roots, of which less is lost."""
    return norm(t.exact.g), (_slowest(t) * 4.0 * (t.rows.f[0] - t.minimum)).sqrt()


def _gradient_rate_from_decrease(t: Trace):
    k, xp = t.counts, library(t.L)
    rate = bounds.gradient_rate_from_decrease(t.L, t.mu, t.eta, k)
    # 1/B is A / (1 - A), where A is twice the constant of values over L.
    slowest = _slowest(t)
    spread = 4 * slowest.radius / (1 - 2 * slowest.middle / t.L) ** 2 + 8 * _U * rate
    rate = Ball(xp.where(k > 0, rate, 0), xp.where(k > 0, spread, xp.inf))
    decrease = t.rows.f[0] - t.exact.f
    decrease = Ball(xp.maximum(decrease.middle, 0), decrease.radius)
    return norm(t.exact.g), (rate * decrease).sqrt()


def _nonconvex_gradient(t: Trace):
    rate = bounds.nonconvex_gradient_rate(t.L, t.eta, t.counts)
    # A least value is off by no more than the one that is off most.
    least = _least_so_far(norm(t.exact.g))
    return least, (Ball(rate, 32 * _U * rate) * (t.rows.f[0] - t.minimum)).sqrt()


def _least_so_far(x: Ball) -> Ball:
    xp = library(x.middle)
    rows = [
        (x.middle[: k + 1].min(axis=0), x.radius[: k + 1].max(axis=0)) for k in range(len(x.middle))
    ]
    return Ball(*(xp.stack(part) for part in zip(*rows, strict=True)))


def _more_parameters(t: Trace):
    """Compare with the rate of the least curvature that is not zero, that of ``A A' / n``."""
    features, (n, d) = t.instance.features, t.instance.features.shape[:2]
    least = instances.curvatures(features.swapaxes(0, 1))[0] * (d / n) * (1 - 8 * _U)
    factor = abs(1.0 - ball(library(t.L).stack([t.L, least])) * t.eta).max(axis=0)
    return _gap(t), (t.rows.f[0] - t.minimum) * factor ** (2 * t.counts)


def _linear_distance(t: Trace):
    return _distance(t), norm(t.rows.x[0] - t.center) * t.contraction**t.counts


def _linear_gradient(t: Trace):
    return norm(t.exact.g), norm(t.rows.g[0]) * t.contraction**t.counts


def _linear_value(t: Trace):
    return _gap(t), (t.rows.f[0] - t.minimum) * t.contraction ** (2 * t.counts)


THEOREMS = tuple(
    Theorem(family="convergence", needs=("step size",), **known)
    for known in (
        {
            "name": "closed-form",
            "statement": "x[k] = x* + (I - eta H)^k (x[0] - x*)",
            "source": "induction on the step identity",
            "law": _closed_form,
            "assumes": ("f quadratic",),
            "equality": True,
        },
        {
            "name": "hankel",
            "statement": "<g[k-1], g[k+1]> = |g[k]|^2",
            "source": "g[k] = (I - eta H)^k g[0], with H symmetric",
            "law": _hankel,
            "assumes": ("f quadratic",),
            "equality": True,
        },
        {
            "name": "value-rate",
            "statement": "f(x[k]) - f* <= L/2 |x[0] - x*|^2 max(A, (1 - eta L)^(2k)),  "
            "A = 1/(2k eta L + 1) if mu = 0",
            "source": "Drori and Teboulle, 2014 (eta <= 1/L); Kim, arXiv 2412.04427, 2024",
            "law": _value_rate,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.huber, extremal.tailed_huber),
        },
        {
            "name": "quadratic-value-rate",
            "statement": "f(x[k]) - f* <= |x[0] - x*|^2 max l/2 (1 - eta l)^(2k),  mu <= l <= L",
            "source": "spectral; Bousselmi, Hendrickx and Glineur, 2023, eq. 4.17",
            "law": _quadratic_value_rate,
            "assumes": ("f quadratic", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.slowest_quadratic,),
        },
        {
            "name": "gradient-rate",
            "statement": "|g[k]|^2 <= 2L (f(x[0]) - f*) max(A, (1 - eta L)^(2k)),  "
            "A = 1/(2k eta L + 1) if mu = 0",
            "source": "Rotaru, Glineur and Patrinos, arXiv 2406.17506; Kim, arXiv 2412.04435, 2024",
            "law": _gradient_rate,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.gradient_huber, extremal.gradient_tailed_huber),
        },
        {
            "name": "gradient-rate-from-decrease",
            "statement": "|g[k]|^2 <= 2L (f(x[0]) - f(x[k])) / B, B = 2 k eta L if mu = 0",
            "source": "Rotaru, Glineur and Patrinos, arXiv 2406.17506, 2024",
            "law": _gradient_rate_from_decrease,
            "assumes": ("f convex", "f L-smooth", "eta > 0", "eta < 2/L"),
            "extremal": (extremal.gradient_huber, extremal.gradient_tailed_huber),
        },
        {
            "name": "nonconvex-gradient",
            "statement": "min |g[j]|^2 up to k <= 4L (f(x[0]) - f*) / (k h (4 - h) + 2),  "
            "h = eta L",
            "source": "Abbaszadehpeivasti, de Klerk and Zamani, Optim. Lett. 16, 2022",
            "law": _nonconvex_gradient,
            "assumes": ("f L-smooth", "eta > 0", "eta <= 1/L"),
        },
        {
            "name": "more-parameters",
            "statement": "f(x[k]) - f* <= max |1 - eta l|^(2k) (f(x[0]) - f*),  l > 0 a curvature",
            "source": "spectral: what no example sees adds nothing to f",
            "law": _more_parameters,
            "assumes": ("f quadratic", "fewer examples than parameters", "eta < 2/L"),
        },
        {
            "name": "linear-distance",
            "statement": "|x[k] - x*| <= max(|1 - eta L|, |1 - eta mu|)^k |x[0] - x*|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "law": _linear_distance,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (extremal.slowest_parabola,),
        },
        {
            "name": "linear-gradient",
            "statement": "|g[k]| <= max(|1 - eta L|, |1 - eta mu|)^k |g[0]|",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "law": _linear_gradient,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (extremal.slowest_parabola,),
        },
        {
            "name": "linear-value",
            "statement": "f(x[k]) - f* <= max(|1 - eta L|, |1 - eta mu|)^(2k) (f(x[0]) - f*)",
            "source": "Taylor, Hendrickx and Glineur, JOTA 178, 2018",
            "law": _linear_value,
            "assumes": ("f mu-strongly convex", "f L-smooth", "eta < 2/L"),
            "extremal": (extremal.slowest_parabola,),
        },
        {
            "name": "divergence",
            "statement": "|x[k] - x*| = (eta L - 1)^k |x[0] - x*|   beyond eta = 2/L",
            "source": "the step identity on L/2 x^2",
            "law": _divergence,
            "assumes": ("f quadratic", "f of one parameter", "eta > 2/L"),
            "extremal": (extremal.diverging_parabola,),
            "equality": True,
        },
    )
)
