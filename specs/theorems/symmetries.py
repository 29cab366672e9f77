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

import numpy as np

from .. import instances, rounding
from ..balls import Ball, ball, dot, most, norm, where, widened
from ..instances import Instance
from ..rows import Trace, evaluations
from ..theorem import Theorem

# -- the same bits ---------------------------------------------------------------------------------


def _no_underflow(t: Trace):
    """Return whether all terms of the gradients are far from where an arithmetic flushes to zero.

    What cancels in a sum is zero or not below the last bit of a term; 40 binary digits are spare
    for that and for a few factors such as 1/n.
    """
    features, offset = t.instance.features, (t.x - t.center)[:, None]
    stretch = (features * offset).sum(axis=2)
    terms = (offset, features * offset, stretch, features * stretch[:, :, None], t.x)
    least = np.stack(
        [np.where(x == 0, 1, abs(x)).min(axis=tuple(range(x.ndim - 1))) for x in terms]
        + [np.where(t.rows.g.middle == 0, 1, abs(t.rows.g.middle)).min(axis=(0, 1))]
    ).min(axis=0)
    return least * np.minimum(t.eta, 1) > np.ldexp(t.model.least_normal, 40)


def _same_bits(carry: Callable):
    def law(t: Trace, image: Trace):
        bound = where(_no_underflow(t), carry(t.instance, t.x))
        return ball(image.x), bound, np.where(t.x != t.x[:1], np.inf, 0)

    return law


def _signs(instance: Instance):
    """Return signs that alternate, times 4."""
    return np.where(np.arange(len(instance.start)) % 2 == 0, -4.0, 4.0)[:, None]


def _mirrored(t: Trace) -> Instance:
    instance = t.instance
    s = _signs(instance)
    return replace(
        instance,
        features=instance.features * np.sign(s),
        center=instance.center * s,
        bend=instance.bend * 4,
        start=instance.start * s,
        probe=instance.probe * s,
        tolerance=instance.tolerance * 4,
    )


def _steeper(t: Trace) -> Instance:
    instance = t.instance
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


def _raised(t: Trace) -> Instance:
    return replace(t.instance, minimum=t.minimum + 8)


# -- the same points -------------------------------------------------------------------------------


def _carried(carry: Callable[[Instance, Ball], Ball]):
    def law(t: Trace, image: Trace):
        there = carry(t.instance, ball(t.x))
        own = rounding.arithmetic(np.float64)
        g = evaluations(image.instance, there.middle[:-1], own)
        step = there[:-1] - Ball(g.gradient, g.gradient_error) * image.eta
        # T' brings points no further apart than this, and `there` is known up to its radius.
        wide = np.maximum(1.0, most(image.contraction))
        astray = most(norm(step - carry(t.instance, t.target)))
        astray += wide * (there.radius[:-1] ** 2).sum(axis=1) ** 0.5
        begin = most(norm(there[0] - image.instance.start))[None]
        errors = np.concatenate([begin, astray + t.stray + image.stray])
        return _near(image.x, there, rounding.drift_as_given(wide, errors)[1:])

    return law


def _near(measured, bound: Ball, apart):
    """State that points are near others, (N + 1, B) apart: by coordinates, as far as a norm is."""
    return ball(measured), widened(bound, apart[:, None]), bound.middle - bound.middle[:1]


def _kept(t: Trace, x):
    """Return numbers as the arithmetic of the run can hold them."""
    return x if t.model.unit_roundoff < 2.0**-30 else instances.rounded(x, np.float32)


def _reordered(t: Trace) -> Instance:
    instance = t.instance
    return replace(
        instance,
        features=instance.features[:, ::-1],
        center=instance.center[::-1],
        start=instance.start[::-1],
        probe=instance.probe[::-1],
    )


def _shift(instance: Instance):
    """Return a way as long as those the run goes, with no symmetry of its own."""
    spread = abs(instance.start - instance.center).max(axis=0)
    way = 1 + np.arange(len(instance.start))[:, None] / 3
    return instances.rounded(spread * way, np.float32)


def _moved(t: Trace) -> Instance:
    instance, way = t.instance, _shift(t.instance)
    return replace(
        instance,
        center=_kept(t, instance.center + way),
        start=_kept(t, instance.start + way),
        probe=_kept(t, instance.probe + way),
    )


def _reflected(_, x) -> Ball:
    """Return points (..., d, B), reflected in a plane that no axis lies in."""
    x = ball(x)
    normal = np.arange(1.0, x.middle.shape[-2] + 1)
    outer = ball(2 * normal[:, None] * normal) / (normal**2).sum()
    reflection = (np.eye(len(normal)) - outer)[..., None]
    return dot(x[..., None, :, :], reflection)


def _turned(t: Trace) -> Instance:
    instance = t.instance
    features, center, start, probe = (
        _kept(t, _reflected(None, x).middle)
        for x in (instance.features, instance.center, instance.start, instance.probe)
    )
    # Rounding moves singular values by no more than the norm of what it adds to the features.
    added = most(norm(features - _reflected(None, instance.features))) ** 2
    spread = np.sqrt(2 * added.sum(axis=0) / len(features))
    steep = np.sqrt(t.L) * (1 + 1e-15) + spread
    curved = np.maximum(np.sqrt(t.mu) * (1 - 1e-15) - spread, 0)
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


def _next(t: Trace) -> Instance:
    return replace(t.instance, start=t.x[1])


def _one_later(t: Trace, later: Trace):
    return _near(later.x[:-1], ball(t.x[1:]), t.drift(1) + later.drift()[:-1])


def _at_rest(t: Trace) -> Instance:
    return replace(t.instance, start=t.center)


def _stays(t: Trace, still: Trace):
    move = (t.rows.g.middle * t.eta)[:1]
    return still.exact.x, ball(t.center[None]), move


def _joined(t: Trace) -> Instance:
    """Return (f(x) + f(y)) / 2, x from the start and y from the probe, at twice the step size.

    Each example is there twice, so that one of one parameter has the shape of another instance.
    """
    instance = t.instance
    zero = np.zeros_like(instance.features)
    return replace(
        instance,
        features=np.concatenate(
            [
                np.concatenate(2 * [instance.features, zero]),
                np.concatenate(2 * [zero, instance.features]),
            ],
            axis=1,
        ),
        center=np.concatenate([instance.center, instance.center]),
        start=np.concatenate([instance.start, instance.probe]),
        probe=np.concatenate([instance.probe, instance.start]),
        step_size=2 * instance.step_size,
        smoothness=instance.smoothness / 2,
        strong_convexity=instance.strong_convexity / 2,
    )


def _alone(t: Trace, joined: Trace):
    """Compare as many steps as both make; of later ones nothing is said."""
    part, apart = t.x.copy(), np.full_like(t.x[:, 0], np.inf)
    rows = len(joined.x)
    part[:rows], apart[:rows] = joined.x[:, : t.x.shape[1]], t.drift()[:rows] + joined.drift()
    return _near(part, ball(t.x), apart)


def _null_space(t: Trace):
    """Compare a part of x that no gradient has with the same part of the start.

    Any direction q will do: what the gradients have of it is computed. It is informative where that
    is next to nothing.
    """
    features, (n, d) = t.instance.features, t.instance.features.shape[:2]
    if d == 1:
        q = np.zeros_like(t.center)  # the only direction is that of the gradients
    elif n < d:
        rows = np.moveaxis(features, -1, 0).swapaxes(1, 2)
        q = np.linalg.qr(rows, mode="complete")[0][..., -1].T
    else:
        across = np.concatenate([-features[0, 1:2], features[0, :1], 0 * features[0, 2:]])
        q = across / np.maximum((across**2).sum(axis=0) ** 0.5, 1e-300)
    along = dot(t.now.g, q) * t.eta
    far = ((t.x[1:] - t.x[:1]) ** 2).sum(axis=1) ** 0.5
    null = most(abs(along)).cumsum(axis=0) < far / 256
    lost = (np.tri(len(far))[..., None] * along[None]).sum(axis=1)
    errors = t.stray.cumsum(axis=0) * most(norm(q))
    measured = dot(ball(t.x[1:]) - t.x[:1], q)
    seen = np.where(null & (errors < far / 64), np.inf, 0)
    return measured, where(null, widened(-lost, errors)), seen


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
            "law": _same_bits(lambda instance, x: x * _signs(instance)),
            "needs": _RERUN,
            "twin": _mirrored,
        },
        {
            "name": "value-scale",
            "statement": "f times 4, eta over 4: the same points, bit for bit",
            "law": _same_bits(lambda instance, x: x),
            "needs": ("restart", "free step size"),
            "twin": _steeper,
        },
        {
            "name": "constants",
            "statement": "f + 8 instead of f: the same points, bit for bit",
            "law": _same_bits(lambda instance, x: x),
            "needs": _RERUN,
            "twin": _raised,
        },
        {
            "name": "permutation",
            "statement": "coordinates in another order: the same points, reordered",
            "law": _carried(lambda instance, x: x[..., ::-1, :]),
            "needs": _KNOWN,
            "twin": _reordered,
        },
        {
            "name": "translation",
            "statement": "f(x - v) from x[0] + v: the same points, moved by v",
            "law": _carried(lambda instance, x: x + _shift(instance)),
            "needs": _KNOWN,
            "twin": _moved,
        },
        {
            "name": "rotation",
            "statement": "f(Qx) from Q'x[0], Q orthogonal: the same points, turned by Q'",
            "law": _carried(_reflected),
            "needs": _KNOWN,
            "twin": _turned,
        },
        {
            "name": "null-space",
            "statement": "what is orthogonal to every example stays as it was",
            "source": "gradients lie in the span of the examples",
            "law": _null_space,
            "needs": _KNOWN,
        },
        {
            "name": "direct-sum",
            "statement": "in (f(x) + f(y)) / 2 at step size 2 eta, x moves as it does alone",
            "law": _alone,
            "assumes": ("f of one parameter",),
            "needs": _FREE,
            "twin": _joined,
        },
        {
            "name": "fixed-point",
            "statement": "a minimizer stays where it is",
            "source": "the gradient of a minimizer is 0",
            "law": _stays,
            "needs": _KNOWN,
            "twin": _at_rest,
        },
        {
            "name": "time-shift",
            "statement": "begun at x[1], row k is x[k + 1]",
            "source": "the step depends on nothing but the point",
            "law": _one_later,
            "needs": _KNOWN,
            "twin": _next,
        },
    )
)
