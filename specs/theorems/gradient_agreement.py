"""Gradient agreement: recorded values and gradients against float64, and against each other.

Both are allowed what `rounding` derives for any evaluation in the dtype of the run. The theorems of
smooth convex functions need no oracle: they hold the recorded numbers against each other.
"""

from __future__ import annotations

from ..balls import Ball, ball, concatenate, dot, library, norm, widened
from ..theorem import Theorem, Trace

NESTEROV = "Nesterov, Lectures on Convex Optimization, 2nd ed., Springer, 2018"


def _pairs(rows: Ball):
    """Return all differences of rows, first axis i, second j, a ball."""
    return rows[:, None] - rows[None]


def _value(t: Trace):
    return ball(t.run.value), widened(t.rows.f, t.value_error)


def _gradient(t: Trace):
    return ball(t.run.gradient), widened(t.rows.g, t.gradient_error)


def _above(t):
    """Return f(y) - f(x) - <g(x), y - x> for all pairs, and y - x: from row j to row i."""
    move = _pairs(t.noted.x)
    return _pairs(t.noted.f) - dot(move, t.noted.g), move


def _taylor_identity(t: Trace):
    above, move = _above(t)
    features = t.instance.features
    curved = (dot(move[:, :, None], features) ** 2).sum() * (0.5 / len(features))
    return above, curved, curved.middle


def _taylor_remainder(t: Trace):
    above, move = _above(t)
    bound = dot(move, move) * (t.L / 2)
    return abs(above), bound, bound.middle


def _lipschitz(t: Trace):
    bound = norm(_pairs(t.noted.x)) * t.L
    return norm(_pairs(t.noted.g)), bound, bound.middle


def _cocoercive(t: Trace):
    change, move = _pairs(t.noted.g), _pairs(t.noted.x)
    bound = dot(change, move) * t.L
    return dot(change, change), bound, bound.middle


def _interpolation(t: Trace):
    """State that some function of the class has these rows, and x*."""
    x = concatenate([t.noted.x, t.center[None]])
    f = concatenate([t.noted.f, t.minimum[None]])
    g = concatenate([t.noted.g, 0 * t.center[None]])
    move, change, bound = _pairs(x), _pairs(g), _pairs(f)
    # Any smaller mu is true as well, and far from L nothing is divided by 1 - mu / L = 0.
    mu = library(t.L).minimum(t.mu, t.L / 2)
    steep = ball(mu / 2) / (1.0 - ball(mu) / t.L)
    rest = move - change / t.L
    needed = dot(move, g) + dot(change, change) / (2 * t.L)
    return needed + dot(rest, rest) * steep, bound, bound.middle


def examples(t: Trace) -> tuple[Ball, Ball]:
    """Return the exact values (N + 1, n, B) and gradients (N + 1, n, d, B) of the examples."""
    instance = t.instance
    stretch = dot((t.rows.x - t.center)[:, None], instance.features)
    xp = library(stretch.middle)
    bounded = Ball(
        xp.minimum(xp.maximum(stretch.middle, -instance.bend), instance.bend), stretch.radius
    )
    beyond = stretch - bounded
    value = bounded * (stretch - bounded * 0.5) + beyond * beyond * (instance.tail / 2)
    slope = bounded + beyond * instance.tail
    return value + instance.minimum, slope[:, :, None] * instance.features


def _examples(t: Trace):
    """Compare value and gradient of example i with those of the function of row i alone."""
    (value, pull), (values, gradients) = examples(t), t.run.rows
    # Both are means over n examples: one of them is off by n times as much, at most.
    n = len(t.instance.features)
    values_off, gradients_off = n * t.value_error[:, None], n * t.gradient_error[:, None]
    bound = concatenate([widened(value, values_off)[:, :, None], widened(pull, gradients_off)], 2)
    return concatenate([values[:, :, None], gradients], 2), bound


_TRIPLES = ("values and gradients",)

THEOREMS = tuple(
    Theorem(family="gradient agreement", methods="any", **known)
    for known in (
        {
            "name": "value",
            "statement": "each row's value is f at the point of that row",
            "source": "float64, and the rounding of inner products: Higham, 2nd ed., 3.1",
            "law": _value,
            "needs": _TRIPLES,
            "equality": True,
        },
        {
            "name": "gradient",
            "statement": "each row's gradient is that of f at the point of that row",
            "source": "float64, and the rounding of inner products: Higham, 2nd ed., 3.1",
            "law": _gradient,
            "needs": _TRIPLES,
            "equality": True,
        },
        {
            "name": "per-sample",
            "statement": "row i is the gradient on example i alone",
            "source": "definition of a finite sum",
            "law": _examples,
            "needs": ("values and gradients", "rows"),
            "equality": True,
        },
        {
            "name": "taylor-identity",
            "statement": "f(y) = f(x) + <g(x), y - x> + 1/2 <y - x, H (y - x)>",
            "source": "Taylor's theorem, exact for quadratics",
            "law": _taylor_identity,
            "assumes": ("f quadratic",),
            "needs": _TRIPLES,
            "equality": True,
        },
        {
            "name": "taylor-remainder",
            "statement": "|f(y) - f(x) - <g(x), y - x>| <= L/2 |y - x|^2",
            "source": f"{NESTEROV}, Lemma 1.2.3",
            "law": _taylor_remainder,
            "assumes": ("f L-smooth",),
            "needs": _TRIPLES,
        },
        {
            "name": "lipschitz",
            "statement": "|g(x) - g(y)| <= L |x - y|",
            "source": "definition of L",
            "law": _lipschitz,
            "assumes": ("f L-smooth",),
            "needs": _TRIPLES,
        },
        {
            "name": "cocoercivity",
            "statement": "|g(x) - g(y)|^2 <= L <g(x) - g(y), x - y>",
            "source": f"{NESTEROV}, Theorem 2.1.5",
            "law": _cocoercive,
            "assumes": ("f convex", "f L-smooth"),
            "needs": _TRIPLES,
        },
        {
            "name": "interpolation",
            "statement": "an L-smooth mu-strongly convex f has all rows (x, g, f) and (x*, 0, f*)",
            "source": "Taylor, Hendrickx and Glineur, Math. Program. 161, 2017, Theorem 4",
            "law": _interpolation,
            "assumes": ("f convex", "f L-smooth"),
            "needs": _TRIPLES,
        },
    )
)
