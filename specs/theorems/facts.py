"""Facts: what an objective claims of itself, at points that attack it.

Row 0 is the minimizer that it claims, if it claims one; the laws of pairs of points are those of
`gradient_agreement`. Whatever lies near a minimum is drowned: of a claim about it, what counts is
by how much the values of others differ.
"""

from __future__ import annotations

from ..balls import ball, dot
from ..theorem import Theorem
from .gradient_agreement import NESTEROV, convex, interpolated, lipschitz, strongly_convex


def _smooth(t):
    if t.L.middle.any():
        return lipschitz(t)
    # Of a gradient that does not change at all, it has to be seen that there is one.
    return t.pairs.change.sqrt(), ball(0.0), dot(t.noted.g, t.noted.g).sqrt().middle[:, None]


def _interpolates(t):
    if t.L.middle.any():
        return interpolated(t)
    return t.pairs.along, t.pairs.rise, abs(t.noted.f.middle)[:, None]  # f is linear


def _bounded(t):
    above = t.noted.f - t.minimum
    return ball(t.minimum), t.noted.f, above.middle


def _least(t):
    return t.noted.f[:1], t.noted.f, (t.noted.f - t.noted.f[:1]).middle


def _stationary(t):
    # Of a minimizer that is computed no more is known than how long the gradient may be there.
    slope = t.noted.g[:1]
    return dot(slope, slope).sqrt(), ball(0.0), abs(t.noted.g.middle).max()


def _attained(t):
    # Elsewhere, values must be seen to be others.
    others = t.noted.f - t.noted.f[:1]
    return abs(t.noted.f[:1] - t.minimum), ball(0.0), abs(others.middle).max()


def _grows(t):
    bound = dot(t.noted.g, t.noted.g) * 0.5
    return (t.noted.f - t.minimum) * t.growth, bound, bound.middle


def _flat(t):
    """Compare with what a step of the same length may change across the flat directions."""
    across = t.pairs.apart[:, 0] * (t.L / 2)
    return abs(t.noted.f - t.noted.f[:1]), ball(0.0), across.middle


FACTS = tuple(
    Theorem(**known)
    for known in (
        {
            "name": "smoothness",
            "family": "curvature",
            "statement": "|g(x) - g(y)| <= L |x - y|",
            "source": "definition",
            "law": _smooth,
        },
        {
            "name": "strong-convexity",
            "family": "curvature",
            "statement": "mu |x - y|^2 <= <g(x) - g(y), x - y>",
            "source": f"{NESTEROV}, Theorem 2.1.9",
            "law": strongly_convex,
        },
        {
            "name": "convexity",
            "family": "curvature",
            "statement": "f(y) + <g(y), x - y> + mu/2 |x - y|^2 <= f(x), with mu >= 0",
            "source": f"{NESTEROV}, Definition 2.1.3",
            "law": convex,
        },
        {
            "name": "interpolation",
            "family": "curvature",
            "statement": "an L-smooth mu-strongly convex f has (x, g(x), f(x)) and (y, g(y), f(y))",
            "source": "Taylor, Hendrickx and Glineur, Math. Program. 161, 2017, Theorem 4",
            "law": _interpolates,
        },
        {
            "name": "minimum",
            "family": "minimum",
            "statement": "f* <= f(x)",
            "source": "definition",
            "law": _bounded,
        },
        {
            "name": "minimizer",
            "family": "minimum",
            "statement": "f(x*) <= f(x)",
            "source": "definition",
            "law": _least,
        },
        {
            "name": "stationary",
            "family": "minimum",
            "statement": "g(x*) = 0",
            "source": "Fermat's theorem",
            "law": _stationary,
        },
        {
            "name": "attained",
            "family": "minimum",
            "statement": "f(x*) = f*",
            "source": "definition",
            "law": _attained,
        },
        {
            "name": "growth",
            "family": "growth",
            "statement": "growth (f(x) - f*) <= |g(x)|^2 / 2",
            "source": "Polyak 1963; Lojasiewicz 1963",
            "law": _grows,
        },
        {
            "name": "flat-directions",
            "family": "flat directions",
            "statement": "f(x* + flat v) = f(x*)",
            "source": "definition",
            "law": _flat,
        },
    )
)
