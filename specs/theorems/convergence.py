"""Convergence: what N steps of gradient descent promise, and the functions that keep them to it.

A run drifts from the exact one by at most ``D_k`` (`Trace.drift`), since a step brings points
closer together, or spreads them by a known factor: the exact run is in the balls of `exact`.
"""

from __future__ import annotations

import numpy as np

from .. import bounds, extremal, instances, rounding
from ..balls import Ball, ball, dot, library, most, norm, where, widened
from ..rows import Trace, exact_run, step_errors
from ..theorem import Theorem

_U = rounding.unit_roundoff(np.float64)


def _gap(rows, t):
    return rows.f - t.minimum


# -- constants: h is rounded, a power of k magnifies that k times ----------------------------------


def _value_rate_of(t) -> Ball:
    k, rate = t.counts, bounds.value_rate(t.L, t.mu, t.eta, t.counts)
    powers = (t.contraction.middle + 4 * _U) ** np.maximum(2 * k - 1, 0)
    return Ball(rate, (4 * k + 16) * 2 * _U * rate + t.L * k * powers * (4 * _U))


def _quadratic_value_rate_of(t) -> Ball:
    k, rate = t.counts, bounds.quadratic_value_rate(t.L, t.mu, t.eta, t.counts)
    # Both powers are at most max(1, |1 - h|)^(2k).
    powers = library(t.L).maximum(t.contraction.middle + 4 * _U, 1) ** (2 * k)
    return Ball(rate, t.L * (2 * k + 4) * 4 * _U * powers)


def _decrease_rate_of(t) -> Ball:
    k, values = t.counts, _value_rate_of(t)
    rate = bounds.gradient_rate_from_decrease(t.L, t.mu, t.eta, k)
    # 1/B is A / (1 - A), where A is twice the constant of values over L; nothing after no step.
    spread = 4 * values.radius / (1 - 2 * values.middle / t.L) ** 2 + 8 * _U * rate
    return where(k > 0, Ball(rate, spread))


def _nonconvex_rate_of(t) -> Ball:
    rate = bounds.nonconvex_gradient_rate(t.L, t.eta, t.counts)
    return Ball(rate, 32 * _U * rate)


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
    return t.distance(t.exact), t.distance(t.rows[0]) * abs(1.0 - t.h) ** t.counts


# -- rates -----------------------------------------------------------------------------------------


def _value_rate(t: Trace):
    return _gap(t.exact, t), _value_rate_of(t) * t.distance(t.rows[0]) ** 2


def _quadratic_value_rate(t: Trace):
    return _gap(t.exact, t), _quadratic_value_rate_of(t) * t.distance(t.rows[0]) ** 2


def _gradient_rate(t: Trace):
    """Compare roots, of which less is lost."""
    return norm(t.exact.g), (_value_rate_of(t) * 4.0 * _gap(t.rows[0], t)).sqrt()


def _gradient_rate_from_decrease(t: Trace):
    return norm(t.exact.g), (_decrease_rate_of(t) * (t.rows.f[0] - t.exact.f)).sqrt()


def _nonconvex_gradient(t: Trace):
    least = _least_so_far(norm(t.exact.g))
    return least, (_nonconvex_rate_of(t) * _gap(t.rows[0], t)).sqrt()


def _least_so_far(x: Ball) -> Ball:
    """Return the least of each row and those before it, off by no more than what is off most."""
    ends = range(1, len(x.middle) + 1)
    parts = [(x.middle[:k].min(axis=0), x.radius[:k].max(axis=0)) for k in ends]
    return Ball(*(library(x.middle).stack(part) for part in zip(*parts, strict=True)))


def _more_parameters(t: Trace):
    """Compare with the rate of the least curvature that is not zero, that of ``A A' / n``."""
    features, (n, d) = t.instance.features, t.instance.features.shape[:2]
    least = instances.curvatures(features.swapaxes(0, 1))[0] * (d / n) * (1 - 8 * _U)
    factor = abs(1.0 - ball(library(t.L).stack([t.L, least])) * t.eta).max(axis=0)
    return _gap(t.exact, t), _gap(t.rows[0], t) * factor ** (2 * t.counts)


def _linear_distance(t: Trace):
    return t.distance(t.exact), t.distance(t.rows[0]) * t.contraction**t.counts


def _linear_gradient(t: Trace):
    return norm(t.exact.g), norm(t.rows.g[0]) * t.contraction**t.counts


def _linear_value(t: Trace):
    return _gap(t.exact, t), _gap(t.rows[0], t) * t.contraction ** (2 * t.counts)


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
            "assumes": ("f quadratic", "f L-smooth", "eta > 0", "eta < 2/L"),
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
