"""Confusion: where the examples of a finite sum disagree, and what helps them elsewhere.

One direction lowers the cost of all examples at once where their gradients lie in an open half
plane, and only there (Gordan, "Über die Auflösung linearer Gleichungen mit reellen Coefficienten",
Math. Ann. 6, 1873). Elsewhere 0 is a mean of gradients, with some weights: the region of confusion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from .examples import fact_of_each, gradients, minimizers_of_each
from .fields import Field, checked_window, field, minimizers

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike, Float

HALF_TURN = np.pi * (1 + 1e-6)  # a half turn, as float32 knows it
_MOST_LINES = 24  # n of them make up to n (n + 1) / 2 + 1 cells
_LEAST_ROOM = 0.05  # around a rose, of the window


class Lines(NamedTuple):
    """Lines of minimizers: `point` (n, 2) on each, and its unit `normal` (n, 2)."""

    point: Any
    normal: Any


class Confusion(NamedTuple):
    """The region of confusion: no direction lowers the costs of all examples.

    `polygons` (k, 2) are the cells it is made of, where the examples have lines of minimizers;
    elsewhere it is where the widest `gap` between directions of gradients, on a grid, is at most a
    half turn.
    """

    polygons: tuple
    gap: Field | None

    @property
    def points(self):
        """All that is known to be in it, shape (k, 2): corners, or points of the grid."""
        if self.gap is None:
            return np.concatenate([np.zeros((0, 2)), *self.polygons])
        x, y, z = (np.asarray(leaf, np.float64) for leaf in self.gap)
        rows, columns = np.nonzero(z <= HALF_TURN)
        return np.stack([x[columns], y[rows]], 1)

    @property
    def edges(self):
        """The sides (k, 2, 2) of polygons that no two of them share."""
        none = np.zeros((0, 2, 2))
        sides = [np.stack([p, np.roll(p, -1, axis=0)], 1) for p in self.polygons]
        sides = np.concatenate([none, *sides])
        middle = sides.mean(1)
        apart = np.linalg.norm(middle[:, None] - middle, axis=-1)
        alone = (apart > 1e-9 * (1 + abs(middle).max(initial=0))).sum(1) == len(sides) - 1
        return sides[alone]


class Roses(NamedTuple):
    """What helps at some points: `at` (k, 2), `steps` (k, n, 2) the unit vectors along ``-g_i``.

    `common` (k, 2) is the unit direction that is farthest from all gradients, nan where it does not
    lower all costs.
    """

    at: Any
    steps: Any
    common: Any


def lines(f: gd.Objective) -> Lines | None:
    """Return the line of minimizers of every example, None where one has no line.

    A convex example with a line of minimizers is constant along it: its gradients are normal to it.

    Examples
    --------
    >>> point, normal = lines(gd.least_squares(jnp.eye(2), jnp.ones(2)))
    >>> assert np.allclose(point, np.eye(2), atol=1e-6) and np.allclose(abs(normal), np.eye(2))
    """
    found = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), minimizers_of_each(f))
    straight = (found.flat.any(2).sum(1) == 1) & np.isfinite(found.point).all(1)
    convexity = fact_of_each(f, "strong_convexity")
    if convexity is None or not (straight & (np.asarray(convexity) >= 0)).all():
        return None
    along = found.flat[:, 0]
    return Lines(found.point, np.stack([-along[:, 1], along[:, 0]], 1))


def widest_gap(gradients: ArrayLike) -> tuple[Float[Array, " *m"], Float[Array, "*m 2"]]:
    """Return the widest angle that no gradient is in, and the unit vector in its middle.

    Gradients lie in an open half plane where the angle is larger than pi; a step along the middle
    then lowers all costs. Where a gradient is 0, so is the angle.

    Parameters
    ----------
    gradients
        Shape (..., n, 2).

    Examples
    --------
    >>> angle, middle = widest_gap(jnp.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> assert jnp.allclose(angle, 1.5 * jnp.pi) and jnp.allclose(middle, -jnp.sqrt(0.5), atol=1e-6)
    """
    g = jnp.asarray(gradients)
    turned = jnp.sort(jnp.arctan2(g[..., 1], g[..., 0]), axis=-1)
    gaps = jnp.diff(turned, axis=-1, append=turned[..., :1] + 2 * jnp.pi)
    widest = jnp.argmax(gaps, axis=-1)[..., None]
    gap, first = (jnp.take_along_axis(a, widest, -1)[..., 0] for a in (gaps, turned))
    middle = jnp.stack([jnp.cos(first + gap / 2), jnp.sin(first + gap / 2)], -1)
    gap = jnp.where((g == 0).all(-1).any(-1), 0, gap)
    return jnp.where(jnp.isfinite(g).all((-1, -2)), gap, jnp.nan), middle


def _gap(point, f):
    return widest_gap(gd.per_sample(f)(point)[1])[0]


def confusion(f: gd.Objective, window: ArrayLike, n: tuple[int, int] = (161, 161)) -> Confusion:
    """Return the region of a window in which no direction lowers the costs of all examples.

    Where the examples have lines of minimizers, it is exact: the gradients change their directions
    at the lines alone, and the region is made of cells between them, those which are bounded. Three
    lines make a triangle. Elsewhere, and where there are more than 24 lines, it is known at the
    points of a grid.

    Parameters
    ----------
    f
        A finite sum of two parameters.
    window, n
        As for `field`; n is used where there are no lines.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([-1.0, 0.0, 1.0]), [1.0, 2.2, 2.8])
    >>> [triangle], _ = confusion(f, jnp.array([[-0.2, 4.0], [-1.2, 3.0]]))
    >>> assert np.allclose(sorted(triangle.tolist()), [[1.9, 0.9], [2.2, 0.6], [2.2, 1.2]])
    """
    found = lines(f)
    if found is None or len(found.point) > _MOST_LINES:
        return Confusion((), field(gd.Objective(_gap, f), window, n))
    confused = []
    for polygon in cells(found, window):
        side = np.einsum("nc,nc->n", found.normal, polygon.mean(0) - found.point)
        if widest_gap(np.sign(side)[:, None] * found.normal)[0] <= HALF_TURN:
            confused.append(polygon)
    return Confusion(tuple(confused), None)


def cells(lines: Lines, window: ArrayLike) -> list[np.ndarray]:
    """Return the convex polygons (k, 2) into which lines cut a window.

    Examples
    --------
    >>> cross = Lines(np.zeros((2, 2)), np.eye(2))
    >>> assert len(cells(cross, [[-1, 1], [-1, 1]])) == 4
    """
    (left, right), (bottom, top) = np.asarray(window, np.float64)
    corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    found = [corners]
    for point, normal in zip(*lines, strict=True):
        found = [half for polygon in found for half in _halves(polygon, point, normal)]
    least = 1e-12 * (right - left) * (top - bottom)
    return [polygon for polygon in found if _area(polygon) > least]


def _halves(polygon, point, normal):
    """Yield the parts of a convex polygon on both sides of a line."""
    height, after = (polygon - point) @ normal, np.roll(polygon, -1, axis=0)
    crossed = height * np.roll(height, -1) < 0
    share = np.where(crossed, height, 0) / np.where(crossed, height - np.roll(height, -1), 1)
    both = np.stack([polygon, polygon + share[:, None] * (after - polygon)], 1).reshape(-1, 2)
    for side in (1, -1):
        half = both[np.stack([side * height >= 0, crossed], 1).ravel()]
        if len(half) > 2:
            yield half


def _area(polygon):
    x, y = polygon.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def roses(f: gd.Objective, window: ArrayLike) -> Roses:
    """Return in which directions the costs fall, once in each cell of a window.

    A rose stands where the lines of minimizers and the edges are farthest away; cells without room
    for one have none. Without lines, roses stand on a lattice.

    Parameters
    ----------
    f
        A finite sum of two parameters.
    window
        [[left, right], [bottom, top]], shape (2, 2).

    Examples
    --------
    >>> shown = roses(gd.least_squares(jnp.eye(2), jnp.ones(2)), [[0.0, 2.0], [0.0, 2.0]])
    >>> assert shown.steps.shape == (4, 2, 2)  # two lines make four cells
    """
    window = checked_window("roses", window)
    found, (low, high) = lines(f), np.asarray(window, np.float64).T
    count = 89 if found is not None else 4
    # Where there are lines, the edges of the window are lines as well.
    margin = 0 if found is not None else 0.5 / count
    shares = np.linspace(margin, 1 - margin, count)
    points = low + np.stack(np.meshgrid(shares, shares), -1).reshape(-1, 2) * (high - low)
    if found is not None:
        side = np.einsum("knc,nc->kn", points[:, None] - found.point, found.normal)
        edges = np.concatenate([points - low, high - points], 1)
        room = np.concatenate([abs(side), edges], 1).min(1)
        _, cell = np.unique(side > 0, axis=0, return_inverse=True)
        poles = [members[room[members].argmax()] for members in _members(cell.ravel())]
        points = points[[k for k in poles if room[k] > _LEAST_ROOM * (high - low).min()]]
    g = gradients(f, jnp.asarray(points, window.dtype))
    gap, middle = widest_gap(g)
    size = jnp.linalg.norm(g, axis=-1, keepdims=True)
    common = jnp.where((gap > HALF_TURN)[:, None], middle, jnp.nan)
    return Roses(points, -g / jnp.where(size > 0, size, 1), common)


def _members(groups):
    return [np.flatnonzero(groups == group) for group in np.unique(groups)]


def closeup(f: gd.Objective, region: Confusion, window: ArrayLike) -> Float[Array, "2 2"]:
    """Return a square window, within another, that shows the region of confusion enlarged.

    Without a region, it is around the minimizer. Where enlarging would show nothing more, it is the
    window itself.

    Parameters
    ----------
    f
        The finite sum.
    region
        In `window`, as `confusion` returned it.
    window
        [[left, right], [bottom, top]], shape (2, 2).

    Examples
    --------
    >>> f, whole = gd.least_squares(jnp.eye(2), jnp.ones(2)), jnp.array([[-3.0, 5.0], [-3.0, 5.0]])
    >>> near = closeup(f, confusion(f, whole), whole)
    >>> assert jnp.allclose(near.mean(1), jnp.ones(2)) and near[0, 1] < 5
    """
    window = np.asarray(window, np.float64)
    goal, width = np.asarray(minimizers(f).point, np.float64), np.diff(window).max()
    points = region.points
    if np.isfinite(goal).all() and (window[:, 0] < goal).all() and (goal < window[:, 1]).all():
        points = np.concatenate([points, goal[None]])
    if not len(points):
        return jnp.asarray(window)
    middle = (points.min(0) + points.max(0)) / 2
    reach = abs(points - middle).max()
    radius = np.clip(0.35 * width, 1.3 * reach, 2.2 * reach if len(region.points) else 0.2 * width)
    if not 0 < radius < 0.45 * width:
        return jnp.asarray(window)
    return jnp.asarray(np.stack([middle - radius, middle + radius], 1))
