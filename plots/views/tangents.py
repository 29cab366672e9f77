"""Tangents, computed: values of an objective of one parameter, and its slopes along a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards

from .convergence import points_recorded, step_size_seen
from .fields import as_argument, precision, values_along

if TYPE_CHECKING:
    from jaxtyping import ArrayLike

_FINE = 401  # points of the curve
_FAR = 4.0  # times as far as the path begins, a point is out of sight


class Tangents(NamedTuple):
    """A curve, and a path on it with its slopes.

    `x`, `height` (n,) are the curve; `point`, `value`, `slope` (steps + 1,) the path. `minimizer`
    and its height `minimum` are the known ones, or where the curve is lowest if they are not
    `proven`. `step_size` and `smoothness` are numbers, or None where they are not known.
    """

    x: Any
    height: Any
    point: Any
    value: Any
    slope: Any
    minimizer: float
    minimum: float
    proven: bool
    step_size: float | None
    smoothness: float | None


def tangents(f: Callable, run: Any, window: ArrayLike | None = None) -> Tangents:
    """Return an objective of one parameter at 401 points, and its slopes at those of a path.

    Parameters
    ----------
    f
        The objective, of a number or of params (1,).
    run
        What `gd.descend` returned, or points (steps + 1,) or (steps + 1, 1).
    window
        [left, right]; by default it shows the path, and the minimizer where it is known.

    Raises
    ------
    TypeError, ValueError
        If the path is none of one parameter, f does not take it, or the window is empty.

    Examples
    --------
    >>> shown = tangents(lambda x: x**2, jnp.array([2.0, 1.0]))
    >>> assert shown.slope.tolist() == [4.0, 2.0] and shown.value.tolist() == [4.0, 1.0]
    """
    guards.function("tangents", "the objective", f)
    points = _points_of(run)
    dtype, shape = precision(f), points.shape[1:]
    try:
        found = jax.eval_shape(f, jax.ShapeDtypeStruct(shape, dtype))
        said = "" if found.shape == () else f"it returns {guards.describe(found)}"
    except Exception as error:  # whatever a stranger's function may raise
        said = f"this one says: {(str(error) or type(error).__name__).splitlines()[0]}"
    if said:
        raise ValueError(
            "tangents: the objective must return one number for one parameter, here of shape "
            f"{shape}; {said}"
        )
    value, slope = jax.vmap(gd.reverse(f))(jnp.asarray(points, dtype))
    known = gd.facts(f)
    goal = None if known.minimizer is None else float(np.ravel(known.minimizer)[0])
    goal = goal if goal is not None and np.isfinite(goal) else None
    point = np.asarray(points, np.float64).ravel()
    left, right = _around(point, goal) if window is None else _checked(window)
    x = np.linspace(left, right, _FINE).astype(dtype)
    height = values_along(as_argument(f), jnp.asarray(x).reshape(-1, *shape))
    x, height = np.asarray(x, np.float64), np.asarray(height, np.float64)
    lowest = int(np.argmin(np.where(np.isfinite(height), height, np.inf)))
    best = x[lowest] if goal is None else goal
    least = height[lowest] if goal is None else float(f(jnp.full(shape, goal, dtype)))
    curved = known.smoothness
    return Tangents(
        x,
        height,
        point,
        np.asarray(value, np.float64),
        np.asarray(slope, np.float64).ravel(),
        best,
        least,
        goal is not None,
        step_size_seen(run),
        None if curved is None or not np.isfinite(curved) else float(curved),
    )


def _points_of(run):
    points = points_recorded(run) if isinstance(run, gd.Descent) else np.asarray(run)
    if points is None or points.shape[1:] not in ((), (1,)) or not points.size:
        got = run.history if points is None else points
        raise ValueError(
            "tangents: the path must be a run of one parameter or points of shape (steps + 1,), "
            f"got {guards.describe(got)}; plots.descent draws two parameters"
        )
    if not np.isfinite(points[0]).all():
        raise ValueError("tangents: the path must start at a finite point")
    return points.reshape(len(points), *points.shape[1:])


def _around(points, goal):
    """Return the ends of a window that shows a path, as far as it does not run away."""
    points = points[np.isfinite(points)]
    center = points[0] if goal is None else goal
    usual = np.abs(points[:2] - center).max()
    points = points[np.abs(points - center) <= _FAR * usual]
    low, high = points.min(), points.max()
    if goal is not None:  # a bowl is seen as one
        radius = 1.15 * np.abs(points - goal).max() or 1.0
        return goal - radius, goal + radius
    room = 0.3 * (high - low) or 1.0
    return low - room, high + room


def _checked(window):
    try:
        ends = np.asarray(window, np.float64)
    except (TypeError, ValueError):
        ends = np.zeros(0)
    if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] < ends[1]:
        raise ValueError(
            f"tangents: window must be [left, right] with left < right, got {window!r}"
        )
    return ends
