"""Sampling: what examples and mini-batches have to do with the function that is their mean.

Nothing is estimated: of the n examples of an instance all mini-batches of half as many are taken.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import rounding
from ..balls import Ball, ball, concatenate, dot, where, widened
from ..instances import Instance, minibatches
from ..rows import Trace
from ..theorem import Theorem
from .gradient_agreement import examples

# -- examples --------------------------------------------------------------------------------------


def _mean_of_examples(t: Trace):
    gradients = t.run.rows[1]
    n = gradients.shape[1]
    # A gradient of one example of n is off by n times as much as their mean, at most.
    return ball(gradients).sum(axis=1) * (1 / n), widened(t.rows.g, n * t.gradient_error)


def _reversed(t: Trace) -> Instance:
    return replace(t.instance, features=t.instance.features[::-1])


def _doubled(t: Trace) -> Instance:
    features = t.instance.features
    return replace(t.instance, features=np.concatenate([features, features]))


def _same_numbers(t: Trace, image: Trace):
    """Compare values and gradients in those rows whose points are the same; row 0 is one."""
    there = (t.x == image.x).all(axis=1)[:, None]

    def numbers(trace):
        value = widened(trace.run.value, trace.value_error + trace.rows.f.radius)
        gradient = widened(trace.run.gradient, trace.gradient_error + trace.rows.g.radius)
        return concatenate([value[:, None], gradient], 1)

    return numbers(image), where(there, numbers(t))


# -- mini-batches ----------------------------------------------------------------------------------


def _recorded(t: Trace) -> tuple[Ball, Ball]:
    """Return the exact gradients of all mini-batches, and those recorded, which hold the exact."""

    def evaluated(batch, model):
        features, *rest = t.instance.data
        return rounding.huber_as_given(features[batch], *rest, x=t.x, dtype=model)

    batches = minibatches(len(t.instance.features))
    exact, allowed = (
        [evaluated(batch, model) for batch in batches]
        for model in (rounding.arithmetic(np.float64), t.model)
    )

    def together(part, found):
        return np.stack([getattr(one, part) for one in found], axis=1)

    truth = Ball(together("gradient", exact), together("gradient_error", exact))
    return truth, Ball(t.run.batches, together("gradient_error", allowed))


def _minibatch(t: Trace):
    truth, recorded = _recorded(t)
    return recorded, truth


def _minibatch_mean(t: Trace):
    recorded = _recorded(t)[1]
    return recorded.sum(axis=1) * (1 / recorded.middle.shape[1]), t.rows.g


def _minibatch_variance(t: Trace):
    n = len(t.instance.features)
    count, b = minibatches(n).shape
    mean = t.rows.g[:, None]
    spread, far = _recorded(t)[1] - mean, examples(t)[1] - mean
    bound = dot(far, far).sum() * ((n - b) / (b * max(n - 1, 1) * n))
    return dot(spread, spread).sum() * (1 / count), bound


_GRADIENTS = ("examples", "values and gradients")
_BATCHES = ("examples", "mini-batches")

THEOREMS = tuple(
    Theorem(**{"family": "sampling", "methods": "any", "equality": True} | known)
    for known in (
        {
            "name": "mean-of-examples",
            "statement": "the gradients of the examples have the full gradient as their mean",
            "source": "definition of a finite sum",
            "law": _mean_of_examples,
            "needs": (*_GRADIENTS, "rows"),
        },
        {
            "name": "examples-reordered",
            "statement": "examples in another order have the same value and the same gradient",
            "source": "a mean has no order",
            "law": _same_numbers,
            "needs": _GRADIENTS,
            "twin": _reversed,
        },
        {
            "name": "examples-doubled",
            "statement": "every example twice: the same value, the same gradient",
            "source": "a mean is a mean",
            "law": _same_numbers,
            "needs": _GRADIENTS,
            "twin": _doubled,
        },
        {
            "name": "mini-batch",
            "statement": "the gradient of a mini-batch is the mean over its examples alone",
            "source": "definition of a mini-batch",
            "law": _minibatch,
            "needs": _BATCHES,
        },
        {
            "name": "mini-batch-mean",
            "statement": "over all mini-batches the mean is the full gradient",
            "source": "every example is in as many of them as any other",
            "law": _minibatch_mean,
            "needs": _BATCHES,
        },
        {
            "name": "mini-batch-variance",
            "statement": "mean |g_S - g|^2 = (n - b) / (b (n - 1)) mean |g_i - g|^2",
            "source": "Cochran, Sampling Techniques, 3rd ed., 1977, Theorem 2.2",
            "law": _minibatch_variance,
            "needs": _BATCHES,
        },
    )
)
