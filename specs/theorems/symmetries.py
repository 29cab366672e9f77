"""Symmetries: problems that are one problem in other coordinates have the same descent in them.

Each theorem runs the subject twice, on an instance and on its image, and carries the first run over
to the second. Signs, powers of two and constants change no bit of it. Every other map is an
isometry up to the rounding of the image's numbers: with ``T`` the exact step, and ``z = map(x)``,

    |z_{k+1} - map(x_{k+1})| <= |z_k - map(x_k)| + |T' map(x_k) - map(T x_k)| + rounding of both,

where the middle term is computed, not estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp

from .. import instances, rounding
from ..balls import Ball, ball, dot, most, norm
from ..instances import Instance
from ..theorem import Evidence, Theorem, Trace, evaluations

# -- the same bits ---------------------------------------------------------------------------------


def _no_underflow(trace: Trace):
    """Return whether all terms of the gradients are far from where an arithmetic flushes to zero.

    What cancels in a sum is zero or not below the last bit of a term; 40 binary digits are spare
    for that and for a few factors such as 1/n.
    """
    features, center = trace.instance.features[None], trace.instance.center
    offset = (trace.x - center[None])[:, None]
    t = (features * offset).sum(-1)
    terms = (offset, features * offset, t, features * t[..., None], trace.x, trace.g.middle)
    least = jnp.stack([jnp.where(x == 0, 1, abs(x)).min() for x in terms]).min()
    return least * jnp.minimum(trace.eta, 1) > jnp.ldexp(trace.model.least_normal, 40)


def _same_bits(carry: Callable[..., Ball]):
    def evidence(trace: Trace, image: Trace) -> Evidence:
        bound = carry(trace.instance, trace.x)
        allowed = jnp.where(_no_underflow(trace), jnp.zeros_like(image.x), jnp.inf)
        moved = (trace.x != trace.x[:1]) & (allowed == 0)
        return Evidence(ball(image.x), ball(bound), allowed, moved)

    return evidence


def _signs(instance: Instance):
    """Return signs that alternate, times 4."""
    return jnp.where(jnp.arange(len(instance.start)) % 2 == 0, -4.0, 4.0)


def _mirrored(trace: Trace) -> Instance:
    instance = trace.instance
    s = _signs(instance)
    return replace(
        instance,
        features=instance.features * jnp.sign(s)[None],
        center=instance.center * s,
        bend=instance.bend * 4,
        start=instance.start * s,
        probe=instance.probe * s,
        tolerance=instance.tolerance * 4,
    )


def _steeper(trace: Trace) -> Instance:
    instance = trace.instance
    return replace(
        instance,
        features=instance.features * 2,
        bend=instance.bend * 2,
        minimum=instance.minimum * 4,
        step_size=instance.step_size / 4,
        smoothness=instance.smoothness * 4,
        strong_convexity=instance.strong_convexity * 4,
        tolerance=instance.tolerance * 4,
    )


def _raised(trace: Trace) -> Instance:
    return replace(trace.instance, minimum=trace.instance.minimum + 8)


# -- the same points -------------------------------------------------------------------------------


def _carried(carry: Callable[[Instance, Ball], Ball]):
    def evidence(trace: Trace, image: Trace) -> Evidence:
        there = carry(trace.instance, ball(trace.x))
        own = rounding.arithmetic(jnp.float64)
        g = evaluations(image.instance, there.middle[:-1], own)
        step = there[:-1] - Ball(g.gradient, g.gradient_error) * image.eta
        # T' brings points no further apart than `factors`, and `there` is known up to its radius.
        wide = jnp.maximum(1.0, most(image.factors).max())
        astray = most(norm(step - carry(trace.instance, trace.target)))
        astray += wide * jnp.linalg.norm(there.radius[:-1], axis=-1)
        begin = most(norm(there[0] - image.instance.start))
        errors = jnp.append(begin, astray + trace.stray + image.stray)
        return _near(image.x, there, rounding.drift(wide, errors)[1:])

    return evidence


def _near(measured, bound: Ball, allowed) -> Evidence:
    """Return evidence that points are near others: by coordinates, as far apart as a norm is."""
    allowed = jnp.broadcast_to(allowed[:, None], measured.shape)
    moved = abs(bound.middle - bound.middle[:1]) > allowed
    return Evidence(ball(measured), bound, allowed, moved)


def _kept(trace: Trace, x):
    """Return numbers as the arithmetic of the run can hold them."""
    fine = trace.model.unit_roundoff < 2.0**-30
    return jnp.where(fine, x, instances.rounded(x, jnp.float32))


def _reordered(trace: Trace) -> Instance:
    instance = trace.instance
    return replace(
        instance,
        features=instance.features[:, ::-1],
        center=instance.center[::-1],
        start=instance.start[::-1],
        probe=instance.probe[::-1],
    )


def _shift(instance: Instance):
    """Return a way as long as those the run goes, with no symmetry of its own."""
    spread = jnp.max(abs(instance.start - instance.center))
    return instances.rounded(spread * (1 + jnp.arange(len(instance.start)) / 3), jnp.float32)


def _moved(trace: Trace) -> Instance:
    instance, way = trace.instance, _shift(trace.instance)
    return replace(
        instance,
        center=_kept(trace, instance.center + way),
        start=_kept(trace, instance.start + way),
        probe=_kept(trace, instance.probe + way),
    )


def _reflected(_, x) -> Ball:
    """Return points (..., d), reflected in a plane that no axis lies in."""
    x = ball(x)
    normal = jnp.arange(1.0, x.middle.shape[-1] + 1)
    outer = ball(2 * normal[:, None] * normal[None]) / (normal**2).sum()
    reflection = jnp.eye(len(normal)) - outer
    return dot(x[..., None, :], reflection[(None,) * (x.middle.ndim - 1)])


def _turned(trace: Trace) -> Instance:
    instance = trace.instance
    features, center, start, probe = (
        _kept(trace, _reflected(None, x).middle)
        for x in (instance.features, instance.center, instance.start, instance.probe)
    )
    # Rounding moves singular values by no more than the norm of what it adds to the features.
    added = most(norm(features - _reflected(None, instance.features))) ** 2
    spread = jnp.sqrt(2 * added.sum() / len(features))
    root = jnp.sqrt(jnp.stack([instance.smoothness, instance.strong_convexity]))
    steep, curved = root[0] * (1 + 1e-15) + spread, jnp.maximum(root[1] * (1 - 1e-15) - spread, 0)
    return replace(
        instance,
        features=features,
        center=center,
        start=start,
        probe=probe,
        smoothness=steep**2,
        strong_convexity=curved**2,
    )


# -- parts -----------------------------------------------------------------------------------------


def _next(trace: Trace) -> Instance:
    return replace(trace.instance, start=trace.x[1])


def _one_later(trace: Trace, later: Trace) -> Evidence:
    allowed = trace.drift(1) + later.drift()[:-1]
    return _near(later.x[:-1], ball(trace.x[1:]), allowed)


def _at_rest(trace: Trace) -> Instance:
    return replace(trace.instance, start=trace.instance.center)


def _stays(trace: Trace, still: Trace) -> Evidence:
    allowed = jnp.broadcast_to(still.drift()[:, None], still.x.shape)
    seen = abs((trace.g.middle * trace.eta)[:1]) > allowed
    return Evidence(ball(still.x), ball(trace.instance.center[None]), allowed, seen)


def _joined(trace: Trace) -> Instance:
    """Return (f(x) + f(y)) / 2, x from the start and y from the probe, at twice the step size."""
    instance = trace.instance
    zero = jnp.zeros_like(instance.features)
    return replace(
        instance,
        features=jnp.block([[instance.features, zero], [zero, instance.features]]),
        center=jnp.concatenate([instance.center, instance.center]),
        start=jnp.concatenate([instance.start, instance.probe]),
        probe=jnp.concatenate([instance.probe, instance.start]),
        step_size=2 * instance.step_size,
        smoothness=instance.smoothness / 2,
        strong_convexity=instance.strong_convexity / 2,
    )


def _alone(trace: Trace, joined: Trace) -> Evidence:
    part = joined.x[:, : trace.x.shape[1]]
    return _near(part, ball(trace.x), trace.drift() + joined.drift())


def _null_space(trace: Trace) -> Evidence:
    """Compare a part of x that no gradient has with the same part of the start.

    Any direction q will do: what the gradients have of it is computed. It is informative where that
    is next to nothing.
    """
    features, (n, d) = trace.instance.features, trace.instance.features.shape
    if d == 1:
        q = jnp.zeros(1)  # the only direction is that of the gradients
    elif n < d:
        q = jnp.linalg.qr(features.T, mode="complete")[0][:, -1]
    else:
        across = jnp.zeros(d).at[0].set(-features[0, 1]).at[1].set(features[0, 0])
        q = across / jnp.maximum(jnp.linalg.norm(across), 1e-300)
    along = dot(trace.g[:-1], q[None]) * trace.eta
    far = jnp.linalg.norm(trace.x[1:] - trace.x[:1], axis=-1)
    null = jnp.cumsum(most(abs(along))) < far / 256
    measured = dot(ball(trace.x[1:]) - trace.x[:1], q[None])
    bound = -dot(jnp.tril(jnp.ones((len(far), len(far)))), along[None])
    errors = jnp.cumsum(trace.stray) * most(norm(q))
    return Evidence(measured, bound, jnp.where(null, errors, jnp.inf), null & (errors < far / 64))


_RERUN = ("restart",)
_KNOWN = ("restart", "step size")
_FREE = ("restart", "step size", "free step size")
_SAME = "the step identity, in other coordinates"

THEOREMS = tuple(
    Theorem(**{"family": "symmetries", "equality": True, "source": _SAME} | known)
    for known in (
        {
            "name": "signs",
            "statement": "axes flipped, lengths times 4: the run, flipped, times 4, bit for bit",
            "evidence": _same_bits(lambda instance, x: x * _signs(instance)[None]),
            "needs": _RERUN,
            "twin": _mirrored,
        },
        {
            "name": "value-scale",
            "statement": "f times 4, eta over 4: the same points, bit for bit",
            "evidence": _same_bits(lambda instance, x: x),
            "needs": ("restart", "free step size"),
            "twin": _steeper,
        },
        {
            "name": "constants",
            "statement": "f + 8 instead of f: the same points, bit for bit",
            "evidence": _same_bits(lambda instance, x: x),
            "needs": _RERUN,
            "twin": _raised,
        },
        {
            "name": "permutation",
            "statement": "coordinates in another order: the same points, reordered",
            "evidence": _carried(lambda instance, x: x[..., ::-1]),
            "needs": _KNOWN,
            "twin": _reordered,
        },
        {
            "name": "translation",
            "statement": "f(x - v) from x[0] + v: the same points, moved by v",
            "evidence": _carried(lambda instance, x: x + _shift(instance)[None]),
            "needs": _KNOWN,
            "twin": _moved,
        },
        {
            "name": "rotation",
            "statement": "f(Qx) from Q'x[0], Q orthogonal: the same points, turned by Q'",
            "evidence": _carried(_reflected),
            "needs": _KNOWN,
            "twin": _turned,
        },
        {
            "name": "null-space",
            "statement": "what is orthogonal to every example stays as it was",
            "source": "gradients lie in the span of the examples",
            "evidence": _null_space,
            "needs": _KNOWN,
        },
        {
            "name": "direct-sum",
            "statement": "in (f(x) + f(y)) / 2 at step size 2 eta, x moves as it does alone",
            "evidence": _alone,
            "needs": _FREE,
            "twin": _joined,
        },
        {
            "name": "fixed-point",
            "statement": "a minimizer stays where it is",
            "source": "the gradient of a minimizer is 0",
            "evidence": _stays,
            "needs": _KNOWN,
            "twin": _at_rest,
        },
        {
            "name": "time-shift",
            "statement": "begun at x[1], row k is x[k + 1]",
            "source": "the step depends on nothing but the point",
            "evidence": _one_later,
            "needs": _KNOWN,
            "twin": _next,
        },
    )
)
