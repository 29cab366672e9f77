"""Schedules: what is proven of step sizes that are fixed before the run begins.

A schedule is a function n -> (n,), step sizes in units of the one that a subject is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

import gdpure as gd

from .. import bounds, extremal, rounding
from ..balls import Ball, ball, dot, norm, where, widened
from ..rows import Trace
from ..theorem import Theorem
from . import recurrences
from .promises import strays

_U = rounding.unit_roundoff(np.float64)


@lru_cache(maxsize=64)  # the same theorems are the same objects
def theorems_of(schedule: Callable[[int], Any]) -> tuple[Theorem, ...]:
    """Return the theorems of a schedule.

    Examples
    --------
    >>> names = [theorem.name for theorem in theorems_of(gd.schedules.silver)]
    >>> assert names == ["recurrence", "silver-values", "silver-gradient"]
    """
    kind = getattr(schedule, "func", schedule)
    return tuple(
        Theorem(methods="any", law=partial(law, schedule=schedule), **known)
        for law, known in (*_ANY, *_OF.get(kind, ()))
    )


def refuse_what_is_none(caller: str, name: str, schedule: Callable[[int], Any]):
    """Refuse what is no function n -> n step sizes, with one sentence."""
    try:
        steps = np.asarray(schedule(3))
    except Exception as error:  # whatever a stranger's function may raise
        raise TypeError(
            f"{caller}: {name}(3) raised {type(error).__name__}: {error}; a schedule is a "
            "function n -> n step sizes, and nothing else"
        ) from error
    if steps.shape != (3,):
        raise TypeError(f"{caller}: {name}(3) must return 3 step sizes, got shape {steps.shape}")
    if not np.isfinite(steps.astype(float)).all():
        raise ValueError(f"{caller}: {name}(3) must return finite step sizes, got {steps}")


def _steps(t: Trace, schedule) -> Ball:
    """Return the step sizes as the subject may compute them, (N, B).

    A step size is the inverse of a number that is a sum of a few, none of them larger than twice
    the inverse of the shortest step: it may be off by as much as those are rounded.
    """
    h = _numbers(schedule, len(t.x) - 1)[:, None]
    return widened(ball(h), t.model.gamma(8) * h * (1 + 2 * h / h.min())) * t.eta


def _numbers(schedule, n):
    """Return the n step sizes of a schedule in units of eta, in float64."""
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        return np.asarray(schedule(n), np.float64)


def _wanted(t: Trace, schedule) -> Ball:
    return recurrences.along(t, _steps(t, schedule))


def _recurrence(t: Trace, *, schedule):
    return recurrences.follows(t, _wanted(t, schedule))


# -- silver ----------------------------------------------------------------------------------------


def _at_ends(t, bound_of):
    """Return a constant after N = 2^k - 1 steps, (N + 1, B), of other N nothing."""
    ends = np.array([n & (n + 1) == 0 for n in range(len(t.x))])[:, None]
    rates = np.array([[bound_of(1.0, n) if end else 0.0] for n, end in enumerate(ends[:, 0])])
    return where(ends, Ball(rates, 16 * _U * rates) / t.eta)


def _exact(t, schedule):
    """Return the exact run, on any convex function, as rows that hold it."""
    steps = _steps(t, schedule).middle
    widest = np.maximum(1, abs(1 - steps * t.L)) + 8 * _U * (1 + steps * t.L)
    far = [0 * t.eta]
    for spread, error in zip(widest, strays(_wanted(t, schedule)), strict=True):
        far.append(far[-1] * spread + error)
    return t.rows.strayed(np.stack(far), t.L)


def _silver_values(t: Trace, *, schedule):
    rate, offset = _at_ends(t, bounds.silver_value_rate), t.rows.x[0] - t.center
    return _exact(t, schedule).f - t.minimum, rate * dot(offset, offset)


def _silver_gradient(t: Trace, *, schedule):
    rate = _at_ends(t, bounds.silver_gradient_rate)
    return norm(_exact(t, schedule).g), (rate * (t.rows.f[0] - t.minimum)).sqrt()


# -- Chebyshev's -----------------------------------------------------------------------------------


def _interval(schedule):
    """Return mu and L of a schedule ``partial(gd.schedules.chebyshev, mu=mu, L=L)``."""
    known = inspect.signature(schedule.func).bind(1, *schedule.args, **schedule.keywords)
    return known.arguments["mu"], known.arguments["L"]


def _chebyshev_distance(t: Trace, *, schedule):
    """Compare the last row, if all curvatures are among those that the steps were made for."""
    features, (n, d) = t.instance.features, t.instance.features.shape[:2]
    low, high = _interval(schedule)
    within = (t.mu * t.eta >= low) & (t.L * t.eta <= high)
    # An error of a step is spread by the later ones, in each direction by its curvature.
    gram = np.einsum("ni...,nj...->...ij", features, features) / n
    curvatures = np.linalg.eigvalsh(gram).T
    h = _steps(t, schedule).middle[:, None] * curvatures
    spreads = abs(1 - h) + 32 * d * _U * (1 + h.max(axis=1, keepdims=True))
    later = spreads[::-1].cumprod(axis=0)[::-1].max(axis=1)
    later = np.concatenate([later[1:], 1 + 0 * later[:1]])
    drift = (later * strays(_wanted(t, schedule))).sum(axis=0)
    # At the ends of the interval the slope of T_N is N^2 times its value, and they are rounded.
    steps = len(t.x) - 1
    rate = bounds.chebyshev_rate(high, low, steps)
    start, end = (norm(t.rows.x[k] - t.center)[None] for k in (0, -1))
    bound = start * Ball(np.asarray(rate), np.asarray(16 * _U * (steps + 1) ** 2 * rate))
    return end, where(within, widened(bound, drift))


# -- as data ---------------------------------------------------------------------------------------

_ANY = (
    (
        _recurrence,
        {
            "name": "recurrence",
            "family": "monotone descent",
            "statement": "x[k+1] = x[k] - eta h[k] g[k]",
            "source": "definition of a schedule",
            "equality": True,
        },
    ),
)

_OF: dict[Callable, tuple] = {
    gd.schedules.silver: (
        (
            _silver_values,
            {
                "name": "silver-values",
                "family": "convergence",
                "statement": "f(x[k]) - f* <= |x[0] - x*|^2 / (eta (4 r^j - 2)),  k = 2^j - 1",
                "source": "Grimmer, Shu and Wang, arXiv 2410.16249, 2024",
                "assumes": ("f convex", "eta <= 1/L"),
                "extremal": (extremal.silver_huber,),
            },
        ),
        (
            _silver_gradient,
            {
                "name": "silver-gradient",
                "family": "convergence",
                "statement": "|g[k]|^2 <= 2 (f(x[0]) - f*) / (eta (2 r^j - 1)),  k = 2^j - 1",
                "source": "Grimmer, Shu and Wang, arXiv 2410.16249, 2024",
                "assumes": ("f convex", "eta <= 1/L"),
                "extremal": (extremal.silver_gradient_huber,),
            },
        ),
    ),
    gd.schedules.chebyshev: (
        (
            _chebyshev_distance,
            {
                "name": "chebyshev-distance",
                "family": "convergence",
                "statement": "|x[N] - x*| <= |x[0] - x*| / T_N((L + mu) / (L - mu))",
                "source": "Young, J. Math. and Phys. 32, 1953",
                "assumes": ("f quadratic",),
            },
        ),
    ),
}
