"""Schedules: what is proven of step sizes that are fixed before the run begins.

A schedule is a function n -> (n,), step sizes in units of the one that a subject is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from .. import bounds, extremal, rounding
from ..balls import Ball, dot, norm
from ..theorem import Evidence, Theorem, Trace
from . import recurrences
from .promises import promised, strays

_U = rounding.unit_roundoff(jnp.float64)


@lru_cache(maxsize=64)  # the same theorems are compiled once
def theorems_of(schedule: Callable[[int], Any]) -> tuple[Theorem, ...]:
    """Return the theorems of a schedule.

    Examples
    --------
    >>> names = [theorem.name for theorem in theorems_of(gd.schedules.silver)]
    >>> assert names == ["recurrence", "silver-values", "silver-gradient"]
    """
    kind = getattr(schedule, "func", schedule)
    return tuple(
        Theorem(methods="any", evidence=partial(evidence, schedule=schedule), **known)
        for evidence, known in (*_ANY, *_OF.get(kind, ()))
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


def _steps(trace: Trace, schedule) -> Ball:
    """Return the step sizes as the subject may compute them, (N,).

    A step size is the inverse of a number that is a sum of a few, none of them larger than twice
    the inverse of the shortest step: it may be off by as much as those are rounded.
    """
    with jax.ensure_compile_time_eval():
        h = np.asarray(schedule(len(trace.x) - 1), np.float64)
    lost = trace.model.gamma(8) * h * (1 + 2 * h / h.min())
    return Ball(jnp.asarray(h), lost) * trace.eta


def _recurrence(trace: Trace, *, schedule) -> Evidence:
    return recurrences.along(trace, _steps(trace, schedule))


# -- silver ----------------------------------------------------------------------------------------


def _at_ends(trace, bound_of):
    """Return a constant after N = 2^k - 1 steps, (N + 1,), and where that is."""
    ends = [n & (n + 1) == 0 for n in range(len(trace.x))]
    rates = jnp.array([bound_of(1.0, n) if end else 0.0 for n, end in enumerate(ends)])
    return Ball(rates, 16 * _U * rates) / trace.eta, jnp.array(ends)


def _drift(trace, schedule):
    """Return how far rows may be from the exact run, on any convex function, (N + 1,)."""
    steps = _steps(trace, schedule).middle
    widest = jnp.maximum(1, abs(1 - steps * trace.L)) + 8 * _U * (1 + steps * trace.L)

    def step(far, now):
        spread, error = now
        return far * spread + error, far

    errors = strays(_recurrence(trace, schedule=schedule))
    last, drifts = jax.lax.scan(step, jnp.zeros(()), (widest, errors))
    return jnp.append(drifts, last)


def _silver_values(trace: Trace, *, schedule) -> Evidence:
    rate, ends = _at_ends(trace, bounds.silver_value_rate)
    bound = (rate * dot(trace.offset[0], trace.offset[0])).sqrt()
    # The slopes of the root of f - f* are at most sqrt(L/2).
    allowed = jnp.sqrt(trace.L / 2) * (1 + 4 * _U) * _drift(trace, schedule)
    return promised(trace.gap.sqrt(), bound, jnp.where(ends, allowed, jnp.inf))


def _silver_gradient(trace: Trace, *, schedule) -> Evidence:
    rate, ends = _at_ends(trace, bounds.silver_gradient_rate)
    allowed = trace.L * (1 + 4 * _U) * _drift(trace, schedule)
    bound = (rate * trace.gap[0]).sqrt()
    return promised(norm(trace.g), bound, jnp.where(ends, allowed, jnp.inf))


# -- Chebyshev's -----------------------------------------------------------------------------------


def _interval(schedule):
    """Return mu and L of a schedule ``partial(gd.schedules.chebyshev, mu=mu, L=L)``."""
    known = inspect.signature(schedule.func).bind(1, *schedule.args, **schedule.keywords)
    return known.arguments["mu"], known.arguments["L"]


def _chebyshev_distance(trace: Trace, *, schedule) -> Evidence:
    """Compare the last row, if all curvatures are among those that the steps were made for."""
    features, (n, d) = trace.instance.features, trace.instance.features.shape
    low, high = _interval(schedule)
    within = trace.instance.strong_convexity * trace.eta >= low
    within &= trace.L * trace.eta <= high
    # An error of a step is spread by the later ones, in each direction by its curvature.
    curvatures = jnp.linalg.eigvalsh(features.T @ features / n)
    h = _steps(trace, schedule).middle[:, None] * curvatures[None]
    spreads = abs(1 - h) + 32 * d * _U * (1 + h.max(axis=1, keepdims=True))
    later = jnp.cumprod(spreads[::-1], axis=0)[::-1].max(axis=1)
    drift = (jnp.append(later[1:], 1.0) * strays(_recurrence(trace, schedule=schedule))).sum()
    # At the ends of the interval the slope of T_N is N^2 times its value, and they are rounded.
    steps = len(trace.x) - 1
    rate = bounds.chebyshev_rate(high, low, steps)
    distance = norm(trace.offset)
    bound = distance[0] * Ball(jnp.asarray(rate), jnp.asarray(16 * _U * (steps + 1) ** 2 * rate))
    said = (jnp.arange(steps + 1) == steps) & within
    return promised(distance, bound + jnp.zeros(steps + 1), jnp.where(said, drift, jnp.inf))


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
