"""Fields: an objective of two parameters over a window, and where it is least.

A window is an array [[left, right], [bottom, top]] of shape (2, 2); a grid over it is indexed
[row = second parameter, column = first parameter].
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial

import gdpure as gd
from gdpure import guards

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike, Float

GRID = (161, 129)  # columns and rows


_UNITS = 50.0  # times as far along one parameter as along the other, a path has two units


class Field(NamedTuple):
    """Values over a window: ``z[..., i, j]`` is the one at ``(x[j], y[i])``."""

    x: Any
    y: Any
    z: Any


class Minimizers(NamedTuple):
    """Where an objective of two parameters is least.

    `point` (2,) is the minimizer of least norm, nan where none is known; `flat` (2, 2) holds a
    basis of the directions along which the minimum stays, one a row, zero where there is none.
    """

    point: Any
    flat: Any


def window(
    points: ArrayLike, center: ArrayLike | None = None, margin: float = 1.15
) -> Float[Array, "2 2"]:
    """Return the smallest square window around a center that shows all points, with a margin.

    Parameters
    ----------
    points
        What must be seen, shape (n, 2).
    center
        Shape (2,); by default the middle of the points.
    margin
        How many times wider than needed the window is; a single point gets a radius of 1.

    Examples
    --------
    >>> seen = window(jnp.array([[2.0, 1.0], [0.0, 0.5]]), center=jnp.zeros(2), margin=1.5)
    >>> assert seen.tolist() == [[-3.0, 3.0], [-3.0, 3.0]]
    """
    points = jnp.asarray(points)
    middle = (points.min(0) + points.max(0)) / 2 if center is None else jnp.asarray(center)
    radius = margin * jnp.abs(points - middle[None]).max()
    radius = jnp.where(radius > 0, radius, 1)
    return jnp.stack([middle - radius, middle + radius], axis=1)


def checked_window(caller: str, given: ArrayLike) -> Float[Array, "2 2"]:
    """Return a window that somebody chose, or say what is wrong with it.

    Raises
    ------
    ValueError
        If it is not of shape (2, 2), not finite, or if a side is empty.

    Examples
    --------
    >>> assert checked_window("field", [[0, 2], [0.0, 1.0]]).shape == (2, 2)
    """
    wanted = f"{caller}: window must be [[left, right], [bottom, top]]"
    if isinstance(given, Tracer):
        return given  # its numbers are known at run time only
    try:
        numbers = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{wanted}, four numbers, got {given!r}") from error
    if numbers.shape != (2, 2):
        raise ValueError(f"{wanted}, shape (2, 2), got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{wanted}, four finite numbers, got {numbers.tolist()}")
    for (low, high), first, last in zip(numbers, ("left", "bottom"), ("right", "top"), strict=True):
        if not low < high:
            raise ValueError(f"{wanted} with {first} < {last}, got {low:g} and {high:g}")
    dtype = given.dtype if isinstance(given, jax.Array) else None
    return jnp.asarray(numbers, dtype or jnp.zeros(()).dtype)


def field(f: Callable, window: ArrayLike, n: tuple[int, int] = GRID) -> Field:
    """Return an objective on a grid over a window.

    Parameters
    ----------
    f
        The objective, ``f(params) -> (...)`` with params (2,).
    window
        [[left, right], [bottom, top]], shape (2, 2).
    n
        How many columns and rows; odd, so that the center is on the grid.

    Raises
    ------
    TypeError, ValueError
        If n is even, the window is no window, or the objective takes no two parameters.

    Examples
    --------
    >>> grid = field(lambda p: 10 * p[0] + p[1], jnp.array([[0.0, 2.0], [0.0, 1.0]]), n=(3, 3))
    >>> assert grid.z.tolist() == [[0.0, 10.0, 20.0], [0.5, 10.5, 20.5], [1.0, 11.0, 21.0]]
    """
    window = checked_window("field", window)
    for count in n:
        if guards.whole("field", "n", count, 3) % 2 == 0:
            raise ValueError(f"field: n must be odd, so that the center is on the grid, got {n}")
    _returned("field", f, window.dtype)
    # From the center outwards, so that it is hit exactly.
    x, y = (
        middle + jnp.arange(-(count // 2), count // 2 + 1, dtype=window.dtype) / (count // 2) * half
        for middle, half, count in zip(
            window.mean(1), (window[:, 1] - window[:, 0]) / 2, n, strict=True
        )
    )
    return Field(x, y, _values(as_argument(f), x, y))


def as_argument(f: Callable) -> Any:
    """Return an objective as something that JAX passes as an argument; it keeps its facts."""
    return f if isinstance(f, gd.Objective) else Partial(f)


@jax.jit
def values_along(f: Any, points: Any) -> Array:
    """Return an objective at points, any tree of parameters with a leading axis n, shape (n,)."""
    return jax.vmap(f)(points)


@jax.jit
def _values(f, x, y):
    # Row by row: a finite sum of many examples needs room for all of them at every point.
    row = jax.vmap(lambda a, b: f(jnp.stack([a, b])), (0, None), -1)
    return jnp.moveaxis(jax.lax.map(lambda b: row(x, b), y), 0, -2)


def of_two_parameters(caller: str, f: Callable, dtype: Any = None) -> None:
    """Demand of an objective that it takes two parameters, one vector of shape (2,).

    Examples
    --------
    >>> of_two_parameters("field", lambda p: p[0] + p[1])
    """
    returned = _returned(caller, f, dtype)
    if getattr(returned, "shape", None) != ():
        raise _no_map(caller, f, f"returns {guards.describe(returned)} and not one number")


def _returned(caller, f, dtype):
    """Return the outline of what an objective returns for two parameters."""
    guards.function(caller, "the objective", f)
    try:
        return jax.eval_shape(f, jax.ShapeDtypeStruct((2,), dtype or precision(f)))
    except Exception as error:  # whatever a stranger's function may raise
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise _no_map(caller, f, f"says: {said}") from error


def _no_map(caller, f, does):
    return ValueError(
        f"{caller}: a map needs an objective of two parameters, f(theta) with theta of shape (2,); "
        f"this one {does}{_remedy(f)}"
    )


def _remedy(f):
    """Return what may help an objective that does not take a vector of two parameters."""

    def takes(params):
        with contextlib.suppress(Exception):
            return np.shape(f(params)) == ()
        return False

    if takes(np.zeros(2)):
        return "; Python's math and NumPy do not take JAX's arrays, jax.numpy does"
    if takes(np.zeros(1)) or takes(0.0):
        return "; plots.tangents draws an objective of one parameter"
    try:
        inspect.signature(f).bind(0.0, 0.0)
    except (TypeError, ValueError):
        return ""
    return "; gd.unpack(f) is f(theta) of f(a, b)"


def precision(f: Callable) -> Any:
    """Return the dtype that an objective computes in: that of its data, else JAX's default.

    Examples
    --------
    >>> assert precision(lambda p: p[0]) == jnp.float32
    """
    known = gd.facts(f).minimizer
    leaves = [leaf for leaf in jax.tree.leaves((getattr(f, "data", None), known)) if _real(leaf)]
    return jnp.asarray(leaves[0]).dtype if leaves else jnp.zeros(()).dtype


def _real(leaf):
    return jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)


def window_of(f: Callable, path: ArrayLike | None = None) -> Float[Array, "2 2"]:
    """Return a window that suits an objective and a path, if there is one.

    It shows the known minimizer and the path; of a path that runs away, the points that are not ten
    times as far off as the start is, or where no minimizer is known, ten times as far from the
    start as the path was until it was lowest. Where nothing is known it is the lesson's window,
    [-2, 2] x [-2, 2].

    Parameters
    ----------
    f
        The objective, of params (2,).
    path
        Points (steps + 1, 2).

    Examples
    --------
    >>> assert window_of(lambda p: p[0] * p[1]).tolist() == [[-2.0, 2.0], [-2.0, 2.0]]
    """
    of_two_parameters("window", f, dtype := precision(f))
    goal, goals = (np.asarray(found, np.float64) for found in (minimizers(f).point, minima(f)))
    known = np.isfinite(goal).all()
    if path is None:
        if len(goals) > 1:
            return jnp.asarray(np.asarray(window(goals, margin=1.5)), dtype)
        radius = 2 * max(1, np.abs(goal).max()) if known else 2.0
        center = goal if known else np.zeros(2)
        return jnp.asarray(np.stack([center - radius, center + radius], 1), dtype)
    points = np.asarray(path, np.float64)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        raise ValueError("window: no point of the path is finite")
    if known:
        reach, usual = np.abs(points - goal).max(1), np.abs(points[0] - goal).max()
    else:
        reach = np.abs(points - points[0]).max(1)
        values = np.asarray(values_along(as_argument(f), jnp.asarray(points, dtype)), np.float64)
        least = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
        usual = reach[: max(least, 1) + 1].max()
    points = points[reach <= 10 * usual]
    shown = np.concatenate([points, goal[None]]) if known else points
    sides = np.ptp(shown, axis=0)
    if 0 < _UNITS * sides.min() < sides.max():  # then each axis has a scale of its own
        middle = (shown.min(0) + shown.max(0)) / 2
        return jnp.asarray(np.stack([middle - 0.625 * sides, middle + 0.625 * sides], 1), dtype)
    return jnp.asarray(np.asarray(window(shown, margin=1.25)), dtype)


def points_of(caller: str, path: Any) -> np.ndarray:
    """Return the points (steps + 1, 2) of a run, or of an array of them.

    Raises
    ------
    ValueError
        If they are not points of two parameters.

    Examples
    --------
    >>> assert points_of("descent", [[1.0, 2.0]]).shape == (1, 2)
    """
    given = path.history.point if isinstance(path, gd.Descent) else path
    if isinstance(given, dict):
        raise ValueError(
            f"{caller}: a map needs parameters that are one vector of shape (2,), got a dict; "
            "jax.flatten_util.ravel_pytree makes a vector of it, and of it the dict again"
        )
    points = np.asarray(given)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        one = points.shape[1:] in ((), (1,)) and points.dtype != object
        raise ValueError(
            f"{caller}: the path must be a run of two parameters or points of shape (steps + 1, 2),"
            f" got {guards.describe(points)}{'; plots.tangents draws one parameter' * one}"
        )
    return points


def minimizers(f: Callable) -> Minimizers:
    """Return the set of minimizers that an objective of two parameters knows of.

    Parameters
    ----------
    f
        The objective; what it knows is in ``gd.facts(f)``.

    Examples
    --------
    >>> found = minimizers(gd.least_squares(jnp.array([[0.0, 2.0]]), jnp.array([2.0])))
    >>> assert found.point.tolist() == [0.0, 1.0] and jnp.abs(found.flat[0]).tolist() == [1.0, 0.0]
    """
    known = gd.facts(f)
    point = jnp.full(2, jnp.nan) if known.minimizer is None else jnp.asarray(known.minimizer)
    flat = jnp.zeros((2, 2), point.dtype) if known.flat is None else jnp.asarray(known.flat)
    kept, axes = jnp.linalg.eigh(flat)
    basis = axes.T * jnp.round(kept)[:, None]
    return Minimizers(point, basis[::-1])


def minima(f: Callable) -> Float[Array, "m 2"]:
    """Return the minimizers of an objective that are known one by one, shape (m, 2).

    Those of `gdpure.landscapes`, or the one of ``gd.facts(f)`` if it is the only one around.

    Examples
    --------
    >>> assert minima(gd.landscapes.himmelblau).shape == (4, 2)
    >>> assert minima(lambda p: p[0]).shape == (0, 2)
    """
    for name, points in gd.landscapes.MINIMIZERS.items():
        if f is getattr(gd.landscapes, name):
            return jnp.asarray(points, precision(f)).reshape(-1, 2)
    known = gd.facts(f)
    if known.minimizer is None or (known.flat is not None and jnp.asarray(known.flat).any()):
        return jnp.zeros((0, 2), precision(f))
    return jnp.asarray(known.minimizer)[None]


def lowest(field: Field) -> tuple[Float[Array, " 2"], Float[Array, ""]]:
    """Return where a field is lowest, shape (2,), and how low, shape (): found, and not proven.

    Examples
    --------
    >>> where, value = lowest(Field(jnp.arange(3.0), jnp.arange(2.0), jnp.array([[3, 1, 2.0]] * 2)))
    >>> assert where.tolist() == [1.0, 0.0] and value == 1
    """
    finite = jnp.where(jnp.isfinite(field.z), field.z, jnp.inf)
    i, j = jnp.unravel_index(jnp.argmin(finite), field.z.shape)
    return jnp.stack([field.x[j], field.y[i]]), field.z[i, j]


def line(point: ArrayLike, direction: ArrayLike, window: ArrayLike) -> Float[Array, "2 2"]:
    """Return the two ends of the part of a line that a window shows; nan if it shows none.

    Parameters
    ----------
    point, direction
        The line ``point + t direction``, shapes (2,).
    window
        [[left, right], [bottom, top]], shape (2, 2).

    Examples
    --------
    >>> ends = line(jnp.array([0.0, 1.0]), jnp.array([2.0, 0.0]), jnp.array([[-1.0, 3.0], [0, 2]]))
    >>> assert ends.tolist() == [[-1.0, 1.0], [3.0, 1.0]]
    """
    point, direction, window = map(jnp.asarray, (point, direction, window))
    along = direction != 0
    t = (window - point[:, None]) / jnp.where(along, direction, 1)[:, None]
    within = (window[:, 0] <= point) & (point <= window[:, 1])
    start = jnp.where(along, t.min(1), jnp.where(within, -jnp.inf, jnp.nan)).max()
    end = jnp.where(along, t.max(1), jnp.where(within, jnp.inf, jnp.nan)).min()
    t = jnp.where(start <= end, jnp.stack([start, end]), jnp.nan)
    return point[None] + t[:, None] * direction[None]


def inside(points: ArrayLike, window: ArrayLike) -> Float[Array, " n"]:
    """Return which points a window shows, booleans (n,).

    Parameters
    ----------
    points
        Shape (n, 2).
    window
        [[left, right], [bottom, top]], shape (2, 2).

    Examples
    --------
    >>> seen = inside(jnp.array([[0.0, 1.0], [5.0, 0.0]]), jnp.array([[-1.0, 1.0], [-1.0, 1.0]]))
    >>> assert seen.tolist() == [True, False]
    """
    points, window = jnp.asarray(points), jnp.asarray(window)
    return ((window[None, :, 0] <= points) & (points <= window[None, :, 1])).all(1)
