"""Views: the numbers of a figure as plain arrays, computed by pure JAX functions.

A window is an array [[left, right], [bottom, top]] of shape (2, 2); a grid over it is indexed
[row = second parameter, column = first parameter].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

import gdpure as gd
from gdpure.objectives import restrict

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike, Float


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


class Samples(NamedTuple):
    """The examples of a finite sum, one by one.

    `field` has ``z`` of shape (n, rows, columns), `gradients` are those at a point (n, 2), and
    `minimizers` have leaves with a leading axis n.
    """

    field: Field
    gradients: Any
    minimizers: Minimizers


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


def field(f: Callable, window: ArrayLike, n: int = 129) -> Field:
    """Return an objective on a grid over a window; n is odd, so that the center is on the grid.

    Parameters
    ----------
    f
        The objective, ``f(params) -> (...)`` with params (2,).
    window
        [[left, right], [bottom, top]], shape (2, 2).
    n
        The number of rows and of columns.

    Raises
    ------
    ValueError
        If n is even or the window is no window.

    Examples
    --------
    >>> grid = field(lambda p: 10 * p[0] + p[1], jnp.array([[0.0, 2.0], [0.0, 1.0]]), n=3)
    >>> assert grid.z.tolist() == [[0.0, 10.0, 20.0], [0.5, 10.5, 20.5], [1.0, 11.0, 21.0]]
    """
    window = jnp.asarray(window)
    if window.shape != (2, 2):
        raise ValueError(
            "field: window must be [[left, right], [bottom, top]], shape (2, 2), got shape "
            f"{window.shape}"
        )
    if n % 2 == 0:
        raise ValueError(f"field: n must be odd, so that the center is on the grid, got {n}")
    # From the center outwards, so that it is hit exactly.
    offsets = jnp.arange(-(n // 2), n // 2 + 1, dtype=window.dtype) / (n // 2)
    x, y = window.mean(1)[:, None] + offsets[None] * (window[:, 1:] - window[:, :1]) / 2
    over_columns = jax.vmap(lambda a, b: f(jnp.stack([a, b])), (0, None), -1)
    return Field(x, y, jax.vmap(over_columns, (None, 0), -2)(x, y))


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


def samples(f: gd.Objective, at: ArrayLike, window: ArrayLike, n: int = 129) -> Samples:
    """Return each example of a finite sum alone: its field, its gradient, its minimizers.

    Parameters
    ----------
    f
        A finite sum of two parameters, such as `gd.least_squares`.
    at
        Where the gradients are taken, shape (2,).
    window, n
        As for `field`.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0]), [1.0, 2.2])
    >>> shown = samples(f, jnp.array([2.0, 2.0]), jnp.array([[0.0, 2.0], [0.0, 2.0]]), n=3)
    >>> assert shown.field.z.shape == (2, 3, 3) and shown.gradients[0].tolist() == [6.0, 6.0]
    """
    evaluate = gd.per_sample(f)
    _, gradients = evaluate(jnp.asarray(at))
    alone = jax.vmap(lambda i: minimizers(restrict(f, i[None])))(jnp.arange(len(gradients)))
    return Samples(field(lambda p: evaluate(p)[0], window, n), gradients, alone)
