"""Gradient agreement: recorded values and gradients against float64, and against each other.

Both are allowed what `rounding` derives for any evaluation in the dtype of the run. The theorems of
smooth convex functions need no oracle: they hold the recorded numbers against each other.
"""

from __future__ import annotations

from ..balls import Ball, ball, concatenate, dot, library, widened
from ..rows import Pairs, Rows, Trace, pairs
from ..theorem import Theorem

NESTEROV = "Nesterov, Lectures on Convex Optimization, 2nd ed., Springer, 2018"


def _value(t: Trace):
    return ball(t.run.value), widened(t.rows.f, t.value_error)


def _gradient(t: Trace):
    return ball(t.run.gradient), widened(t.rows.g, t.gradient_error)


# -- pairs of rows: of a run, of a record, of points that attack an objective ----------------------


def _taylor_identity(t: Trace):
    moves, features = t.noted.x[:, None] - t.noted.x[None], t.instance.features
    curved = (dot(moves[:, :, None], features) ** 2).sum() * (0.5 / len(features))
    return t.pairs.rise - t.pairs.along, curved, curved.middle


def _taylor_remainder(t: Trace):
    bound = t.pairs.apart * (t.L / 2)
    return abs(t.pairs.rise - t.pairs.along), bound, bound.middle


def lipschitz(t):
    """Return both sides of the definition of L."""
    bound = t.pairs.apart.sqrt() * t.L
    return t.pairs.change.sqrt(), bound, bound.middle


def _cocoercive(t: Trace):
    bound = t.pairs.bent * t.L
    return t.pairs.change, bound, bound.middle


def strongly_convex(t):
    """Return both sides of the definition of mu by gradients."""
    return t.pairs.apart * t.mu, t.pairs.bent, t.pairs.bent.middle


def convex(t):
    """Return both sides of the definition of mu by values."""
    return t.pairs.along + t.pairs.apart * (ball(t.mu) / 2), t.pairs.rise, t.pairs.rise.middle


def interpolated(t):
    """State that some function of the class has both rows of each pair."""
    return _interpolated(t.pairs, ball(t.L), ball(t.mu))


def _interpolated(of: Pairs, L, mu):
    # Any smaller mu is true as well, and far from L nothing is divided by 1 - mu / L = 0.
    xp = library(L.middle)
    least = xp.minimum(xp.maximum(mu.middle, -L.middle), L.middle / 2)
    mu = Ball(least, mu.radius + L.radius)
    bent = of.change / L + mu * (of.apart - of.bent * 2.0 / L)
    return of.along + bent / (2.0 * (1.0 - mu / L)), of.rise, of.rise.middle


def _interpolation(t: Trace):
    """State that some function of the class has these rows, and x*."""
    minimizer = Rows(ball(t.center)[None], ball(t.minimum)[None], ball(0 * t.center)[None])
    return _interpolated(pairs(t.noted.beside(minimizer)), ball(t.L), ball(t.mu))


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
            "law": lipschitz,
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
