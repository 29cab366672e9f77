"""Differences: how far difference quotients of an objective are from its derivative.

What is right is the derivative by autodiff in float64, at the very numbers that the point stands
for in the dtype; how far that may be off, and how far values are rounded, is measured on f by
`gdpure.specs.gradient`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdpure import guards

from ...specs.gradient.autodiff import derivative
from ...specs.gradient.functions import (
    Formless,
    Function,
    form_of,
    passed,
    returned,
    traced,
    wide,
)
from ...specs.rounding import unit_roundoff
from .fields import values_along

if TYPE_CHECKING:
    from jaxtyping import ArrayLike


class Differences(NamedTuple):
    """Errors of the derivative of f along a unit direction at a point, in one dtype.

    Attributes
    ----------
    step, forward, central
        Steps h, and the errors of the two quotients with them, shapes (m,); nan where a coordinate
        of the point is not moved by the step.
    automatic, by_hand
        The error of autodiff in the dtype, and that of another gradient; nan if there is none.
    slope, second, third
        The derivatives of f along the direction.
    value, unit, rounding
        f, the unit roundoff, and how far any evaluation of f in the dtype may be off.
    explained
        How far off any evaluation of the derivative in the dtype may be.
    uncertain
        How far off the derivative may be that errors are measured against.
    """

    step: Any
    forward: Any
    central: Any
    automatic: float
    by_hand: float
    slope: float
    second: float
    third: float
    value: float
    unit: float
    rounding: float
    explained: float
    uncertain: float

    @property
    def truncation(self):
        """What the first term that is cut off makes of both quotients, shapes (m,)."""
        return abs(self.second) / 2 * self.step, abs(self.third) / 6 * self.step**2

    @property
    def noise(self):
        """What a quotient is off by if both values are correctly rounded, shape (m,)."""
        return 2 * self.unit * abs(self.value) / self.step

    @property
    def best_steps(self):
        """Where truncation and noise have the least sum, forward, central; not finite: nowhere."""
        u = self.unit * abs(self.value)
        with np.errstate(divide="ignore", invalid="ignore"):
            forward = 2 * np.sqrt(u / np.abs(self.second))
            return float(forward), float(np.cbrt(6 * u / np.abs(self.third)))


def differences(
    f: Callable,
    at: Any,
    dtype: Any,
    direction: ArrayLike | None = None,
    gradient: Callable | None = None,
    steps: ArrayLike | None = None,
) -> Differences:
    """Return the errors of forward and central differences, and of gradients, in one dtype.

    ``|(f(x + h d) - f(x)) / h - <grad f, d>|`` and the same of ``(f(x + h d) - f(x - h d)) / 2h``,
    over the distance and along the direction of the points as they are rounded.

    Parameters
    ----------
    f
        ``f(params) -> ()``, which JAX can trace.
    at
        The point, any tree of floating-point arrays; it is rounded to the dtype.
    dtype
        In which f is evaluated: float32 or float64.
    direction
        All numbers of the parameters as one vector, shape (d,), of any length but 0; by default one
        that a fixed generator draws.
    gradient
        Another gradient, ``gradient(params)`` of the form of `params`.
    steps
        h, positive, shape (m,); by default from the size of x, but at least 1, down to the
        precision of float64, two for each power of two.

    Raises
    ------
    TypeError, ValueError
        If JAX cannot differentiate f, f is not finite, or point, direction or steps are none.

    Examples
    --------
    >>> found = differences(lambda x: jnp.sum(x**3), np.array([1.0, 2.0]), np.float64)
    >>> assert found.central[20] < found.forward[20] / 100  # the step is 1/512
    """
    guards.function("gradient_check", "f", f)
    form, x = form_of("gradient_check", at)
    d, h = _direction(direction, len(x)), _steps(steps, x)
    dtype = np.dtype(dtype)
    x = x.astype(dtype).astype(np.float64)
    own = replace(form, dtypes=(dtype,) * len(form.dtypes))
    # In another precision than its own f may be another function, as with random numbers inside.
    x64 = own.double or jnp.result_type(float) == jnp.float64
    with jax.enable_x64(x64), jax.numpy_dtype_promotion("standard"):
        rounded = jax.tree.map(lambda leaf: _as(leaf, dtype), passed(f))
        refined, reason = traced(rounded, own)
        known, why = derivative(Function(rounded, rounded, own, 0, refined, reason), x)
        if refined is None or known is None:
            raise ValueError(f"gradient_check: f must be a function of JAX: {why}")
        exact, rounding = known.exact, known.rounding
        if not np.isfinite(exact).all():
            raise ValueError(
                f"gradient_check: f and its derivative must be finite at the point, got f = "
                f"{exact[0]:g} and {exact[1:].tolist()}"
            )
        floor = rounding * (unit_roundoff(np.float64) / unit_roundoff(dtype))
        points = [(x + s * h[:, None] * d).astype(dtype) for s in (1, -1)]
        values = [values_along(rounded, _stacked(own, p)) for p in (*points, x[None].astype(dtype))]
        above, below, here = (np.asarray(v, np.float64) for v in values)
        automatic = np.concatenate(
            [np.ravel(leaf) for leaf in jax.tree.leaves(_slope(rounded, own.built(x)))]
        ).astype(np.float64)
        by_hand = np.full(len(x), np.nan) if gradient is None else _by_hand(gradient, own, form, x)
    with wide():
        along = (own.built(vector, np.float64) for vector in (x, d))
        second, third = map(float, _curvatures(refined, *along))
    slopes = exact[1:]
    above_x, below_x = (p.astype(np.float64) for p in points)
    return Differences(
        h,
        _error(above - here, above_x - x, slopes, d),
        _error(above - below, above_x - below_x, slopes, d),
        float(abs((automatic - slopes) @ d)),
        float(abs((by_hand - slopes) @ d)),
        float(slopes @ d),
        second,
        third,
        float(exact[0]),
        unit_roundoff(dtype),
        float(rounding[0]),
        float(abs(d) @ rounding[1:]),
        float(abs(d) @ floor[1:]),
    )


def _error(rise, moved, slopes, d):
    """Return ``|rise - <slopes, moved>| / |moved|``, nan where a coordinate did not move."""
    distance = np.linalg.norm(moved, axis=1)
    off = abs(rise - moved @ slopes)
    there = ((moved != 0) | (d == 0)).all(1)
    return np.where(there, off / np.where(there, distance, 1), np.nan)


def _as(leaf, dtype):
    floating = guards.is_number(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    return jnp.asarray(leaf, dtype) if floating else leaf


def _stacked(form, points):
    return jax.tree.unflatten(form.structure, [jnp.asarray(p) for p in form.parts(points)])


@jax.jit
def _slope(f, x):
    return jax.grad(f)(x)


@jax.jit
def _curvatures(f, x, d):
    """Return the second and third derivative of f at x along d."""

    def along(g):
        return lambda x: jax.jvp(g, (x,), (d,))[1]

    second = along(along(f))
    return second(x), along(second)(x)


def _by_hand(gradient, own, form, x):
    """Return another gradient at x in the dtype, nan where it does not take it."""
    try:
        return returned(Function(gradient, gradient, own, 0, None, ""), x).gradient
    except Formless as error:
        if own.dtypes == form.dtypes:
            raise ValueError(f"gradient_check: {error}") from error
        return np.full(len(x), np.nan)


def _direction(given, d):
    if given is None:
        given = np.random.default_rng(0).standard_normal(d) if d > 1 else np.ones(1)
    given = np.asarray(given, np.float64).reshape(-1)
    if given.shape != (d,) or not np.isfinite(given).all() or not given.any():
        raise ValueError(
            f"gradient_check: direction must be {d} finite numbers, not all 0, got {given.tolist()}"
        )
    return given / np.linalg.norm(given)


def _steps(given, x):
    if given is None:
        largest = 2.0 ** np.ceil(np.log2(max(1.0, abs(x).max())))
        return largest * 2.0 ** -np.arange(0, 52.5, 0.5)
    h = np.asarray(given, np.float64)
    if h.ndim != 1 or not h.size or not (np.isfinite(h) & (h > 0)).all():
        raise ValueError("gradient_check: steps must be positive finite numbers, shape (m,)")
    return np.sort(h)[::-1]
