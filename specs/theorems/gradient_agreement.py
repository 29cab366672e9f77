"""Gradient agreement: recorded values and gradients against float64, and against each other.

Both are allowed what `rounding` derives for any evaluation in the dtype of the run. The theorems of
smooth convex functions need no oracle: they hold the recorded numbers against each other.
"""

from __future__ import annotations

import jax.numpy as jnp

from ..balls import Ball, ball, dot, norm
from ..theorem import Evidence, Theorem, Trace

NESTEROV = "Nesterov, Lectures on Convex Optimization, 2nd ed., Springer, 2018"


def _recorded(trace):
    """Return what was recorded as balls that hold the exact values and gradients."""
    run = trace.run
    return Ball(run.value, trace.value_error), Ball(run.gradient, trace.gradient_error)


def _pairs(rows):
    """Return all differences of rows, first axis i, second j, a ball."""
    rows = rows if isinstance(rows, Ball) else ball(rows)
    return rows[:, None] - rows[None]


def _value(trace: Trace) -> Evidence:
    informative = abs(trace.f.middle) > trace.value_error
    return Evidence(ball(trace.run.value), trace.f, trace.value_error, informative)


def _gradient(trace: Trace) -> Evidence:
    informative = abs(trace.g.middle) > trace.gradient_error
    return Evidence(ball(trace.run.gradient), trace.g, trace.gradient_error, informative)


def _taylor_identity(trace: Trace) -> Evidence:
    """Compare f(y) - f(x) - <g(x), y - x> with the exact second-order term, for all pairs."""
    f, g = _recorded(trace)
    # The step from row j to row i.
    move = _pairs(trace.x)
    measured = _pairs(f) - dot(move, g[None])
    features = trace.instance.features
    bent = dot(move[:, :, None, :], features[None, None]) ** 2
    bound = bent.sum() * (0.5 / len(features))
    return Evidence(measured, bound, 0.0, bound.middle > measured.radius + bound.radius)


def _taylor_remainder(trace: Trace) -> Evidence:
    """Compare the same with what smoothness allows."""
    f, g = _recorded(trace)
    move = _pairs(trace.x)
    measured = abs(_pairs(f) - dot(move, g[None]))
    bound = dot(move, move) * (trace.L / 2)
    return Evidence(measured, bound, 0.0, bound.middle > measured.radius + bound.radius)


def _lipschitz(trace: Trace) -> Evidence:
    _, g = _recorded(trace)
    measured, bound = norm(_pairs(g)), norm(_pairs(trace.x)) * trace.L
    return Evidence(measured, bound, 0.0, bound.middle > measured.radius + bound.radius)


def _cocoercive(trace: Trace) -> Evidence:
    _, g = _recorded(trace)
    change, move = _pairs(g), _pairs(trace.x)
    measured, bound = dot(change, change), dot(change, move) * trace.L
    return Evidence(measured, bound, 0.0, abs(bound.middle) > measured.radius + bound.radius)


def _interpolation(trace: Trace) -> Evidence:
    """Compare with the condition that some function of the class has these rows, and x*."""
    instance = trace.instance
    f, g = _recorded(trace)
    f = Ball(jnp.append(f.middle, instance.minimum), jnp.append(f.radius, 0.0))
    zero = jnp.zeros_like(instance.center)[None]
    g = Ball(jnp.concatenate([g.middle, zero]), jnp.concatenate([g.radius, zero]))
    move = _pairs(jnp.concatenate([trace.x, instance.center[None]]))
    change = _pairs(g)
    # Any smaller mu is true as well, and far from L nothing is divided by 1 - mu / L = 0.
    L, mu = instance.smoothness, jnp.minimum(instance.strong_convexity, instance.smoothness / 2)
    steep = ball(mu / 2) / (1.0 - ball(mu) / L)
    rest = move - change / L
    needed = dot(move, g[None]) + dot(change, change) / (2 * L)
    measured, bound = needed + dot(rest, rest) * steep, _pairs(f)
    informative = abs(bound.middle) > measured.radius + bound.radius
    return Evidence(measured, bound, 0.0, informative)


def examples(trace: Trace) -> tuple[Ball, Ball]:
    """Return the exact values (N + 1, n) and gradients (N + 1, n, d) of the examples."""
    instance = trace.instance
    t = dot(trace.offset[:, None, :], instance.features[None])
    bounded = Ball(jnp.clip(t.middle, -instance.bend, instance.bend), t.radius)
    beyond = t - bounded
    value = bounded * (t - bounded * 0.5) + beyond * beyond * (instance.tail / 2)
    slope = bounded + beyond * instance.tail
    return value + instance.minimum, slope[..., None] * instance.features[None]


def _examples(trace: Trace) -> Evidence:
    """Compare value and gradient of example i with those of the function of row i alone."""
    value, pull = examples(trace)
    bound = Ball(
        *(
            jnp.concatenate([one[..., None], many], -1)
            for one, many in ((value.middle, pull.middle), (value.radius, pull.radius))
        )
    )
    values, gradients = trace.run.rows
    # Both are means over n examples: one of them is off by n times as much, at most.
    error = jnp.concatenate([trace.value_error[:, None], trace.gradient_error], -1)
    allowed = len(trace.instance.features) * error[:, None, :]
    measured = ball(jnp.concatenate([values[..., None], gradients], -1))
    return Evidence(measured, bound, allowed, abs(bound.middle) > allowed)


_TRIPLES = ("values and gradients",)

THEOREMS = tuple(
    Theorem(family="gradient agreement", methods="any", **known)
    for known in (
        {
            "name": "value",
            "statement": "each row's value is f at the point of that row",
            "source": "float64, and the rounding of inner products: Higham, 2nd ed., 3.1",
            "evidence": _value,
            "needs": _TRIPLES,
            "equality": True,
        },
        {
            "name": "gradient",
            "statement": "each row's gradient is that of f at the point of that row",
            "source": "float64, and the rounding of inner products: Higham, 2nd ed., 3.1",
            "evidence": _gradient,
            "needs": _TRIPLES,
            "equality": True,
        },
        {
            "name": "per-sample",
            "statement": "row i is the gradient on example i alone",
            "source": "definition of a finite sum",
            "evidence": _examples,
            "needs": ("values and gradients", "rows"),
            "equality": True,
        },
        {
            "name": "taylor-identity",
            "statement": "f(y) = f(x) + <g(x), y - x> + 1/2 <y - x, H (y - x)>",
            "source": "Taylor's theorem, exact for quadratics",
            "evidence": _taylor_identity,
            "assumes": ("f quadratic",),
            "needs": _TRIPLES,
            "equality": True,
        },
        {
            "name": "taylor-remainder",
            "statement": "|f(y) - f(x) - <g(x), y - x>| <= L/2 |y - x|^2",
            "source": f"{NESTEROV}, Lemma 1.2.3",
            "evidence": _taylor_remainder,
            "assumes": ("f L-smooth",),
            "needs": _TRIPLES,
        },
        {
            "name": "lipschitz",
            "statement": "|g(x) - g(y)| <= L |x - y|",
            "source": "definition of L",
            "evidence": _lipschitz,
            "assumes": ("f L-smooth",),
            "needs": _TRIPLES,
        },
        {
            "name": "cocoercivity",
            "statement": "|g(x) - g(y)|^2 <= L <g(x) - g(y), x - y>",
            "source": f"{NESTEROV}, Theorem 2.1.5",
            "evidence": _cocoercive,
            "assumes": ("f convex", "f L-smooth"),
            "needs": _TRIPLES,
        },
        {
            "name": "interpolation",
            "statement": "an L-smooth mu-strongly convex f has all rows (x, g, f) and (x*, 0, f*)",
            "source": "Taylor, Hendrickx and Glineur, Math. Program. 161, 2017, Theorem 4",
            "evidence": _interpolation,
            "assumes": ("f convex", "f L-smooth"),
            "needs": _TRIPLES,
        },
    )
)
