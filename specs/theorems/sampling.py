"""Sampling: what examples and mini-batches have to do with the function that is their mean.

Nothing is estimated: of the n examples of an instance all mini-batches of half as many are taken.
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp

from .. import rounding
from ..balls import Ball, ball, dot
from ..instances import Instance, minibatches
from ..theorem import Evidence, Theorem, Trace, inequality
from .gradient_agreement import examples

# -- examples --------------------------------------------------------------------------------------


def _mean_of_examples(trace: Trace) -> Evidence:
    gradients = trace.run.rows[1]
    mean = ball(gradients).sum(axis=1) * (1 / gradients.shape[1])
    # A gradient of one example of n is off by n times as much as their mean, at most.
    return inequality(mean, trace.g, gradients.shape[1] * trace.gradient_error)


def _reversed(trace: Trace) -> Instance:
    return replace(trace.instance, features=trace.instance.features[::-1])


def _doubled(trace: Trace) -> Instance:
    features = trace.instance.features
    return replace(trace.instance, features=jnp.concatenate([features, features]))


def _same_numbers(trace: Trace, image: Trace) -> Evidence:
    """Compare values and gradients in those rows whose points are the same; row 0 is one."""
    measured, bound, errors = (
        jnp.concatenate([value[:, None], gradient], axis=1)
        for value, gradient in (
            (image.run.value, image.run.gradient),
            (trace.run.value, trace.run.gradient),
            (
                trace.value_error + image.value_error + trace.f.radius + image.f.radius,
                trace.gradient_error + image.gradient_error + trace.g.radius + image.g.radius,
            ),
        )
    )
    there = jnp.all(trace.x == image.x, axis=1, keepdims=True)
    return inequality(ball(measured), ball(bound), jnp.where(there, errors, jnp.inf))


# -- mini-batches ----------------------------------------------------------------------------------


def _recorded(trace: Trace) -> tuple[Ball, Ball]:
    """Return the recorded gradients of all mini-batches as balls that hold the exact ones."""
    instance, recorded = trace.instance, trace.run.batches
    points = trace.x[:, None] + jnp.zeros_like(recorded)
    some = instance.features[minibatches(len(instance.features))]
    own = rounding.arithmetic(jnp.float64)

    def evaluated(model):
        bend, tail, minimum = (
            jnp.broadcast_to(leaf, points.shape[:2])
            for leaf in (instance.bend, instance.tail, instance.minimum)
        )
        center = jnp.broadcast_to(instance.center, points.shape)
        features = jnp.broadcast_to(some, (len(points), *some.shape))
        return rounding.huber(features, center, bend, tail, minimum, points, model)

    exact, allowed = evaluated(own), evaluated(trace.model)
    truth = Ball(exact.gradient, exact.gradient_error)
    return truth, Ball(recorded, allowed.gradient_error)


def _minibatch(trace: Trace) -> Evidence:
    truth, recorded = _recorded(trace)
    return inequality(ball(recorded.middle), truth, recorded.radius)


def _minibatch_mean(trace: Trace) -> Evidence:
    recorded = _recorded(trace)[1]
    return inequality(recorded.sum(axis=1) * (1 / recorded.middle.shape[1]), trace.g, 0.0)


def _minibatch_variance(trace: Trace) -> Evidence:
    n = len(trace.instance.features)
    count, b = minibatches(n).shape
    recorded, far = _recorded(trace)[1], examples(trace)[1] - trace.g[:, None]
    spread = recorded - trace.g[:, None]
    bound = dot(far, far).sum() * ((n - b) / (b * max(n - 1, 1) * n))
    return inequality(dot(spread, spread).sum() * (1 / count), bound, 0.0)


_GRADIENTS = ("examples", "values and gradients")
_BATCHES = ("examples", "mini-batches")

THEOREMS = tuple(
    Theorem(**{"family": "sampling", "methods": "any", "equality": True} | known)
    for known in (
        {
            "name": "mean-of-examples",
            "statement": "the gradients of the examples have the full gradient as their mean",
            "source": "definition of a finite sum",
            "evidence": _mean_of_examples,
            "needs": (*_GRADIENTS, "rows"),
        },
        {
            "name": "examples-reordered",
            "statement": "examples in another order have the same value and the same gradient",
            "source": "a mean has no order",
            "evidence": _same_numbers,
            "needs": _GRADIENTS,
            "twin": _reversed,
        },
        {
            "name": "examples-doubled",
            "statement": "every example twice: the same value, the same gradient",
            "source": "a mean is a mean",
            "evidence": _same_numbers,
            "needs": _GRADIENTS,
            "twin": _doubled,
        },
        {
            "name": "mini-batch",
            "statement": "the gradient of a mini-batch is the mean over its examples alone",
            "source": "definition of a mini-batch",
            "evidence": _minibatch,
            "needs": _BATCHES,
        },
        {
            "name": "mini-batch-mean",
            "statement": "over all mini-batches the mean is the full gradient",
            "source": "every example is in as many of them as any other",
            "evidence": _minibatch_mean,
            "needs": _BATCHES,
        },
        {
            "name": "mini-batch-variance",
            "statement": "mean |g_S - g|^2 = (n - b) / (b (n - 1)) mean |g_i - g|^2",
            "source": "Cochran, Sampling Techniques, 3rd ed., 1977, Theorem 2.2",
            "evidence": _minibatch_variance,
            "needs": _BATCHES,
        },
    )
)
