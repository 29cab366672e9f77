"""Maps: an objective of two parameters as level sets, and a path on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

import gdpure as gd

from .. import views
from ..levels import bands_of, draw_levels, labels_of, ray_labels, relative
from ..marks import (
    arrow,
    dot,
    edge_marks,
    key,
    name_axes,
    note_below,
    spaced,
    star,
)
from ..palette import Theme
from ..style import DASHED, NAMES, axes_level, plane
from ..views.convergence import steps_in_words
from ..views.grounds import Ground

if TYPE_CHECKING:
    from jaxtyping import ArrayLike
    from matplotlib.axes import Axes

SQUARE, PLACE = (3.9, 3.7), (0.14, 0.12, 0.76, 0.801)  # of a map that is alone


@axes_level
def level_sets(
    f: Callable | views.Field,
    window: ArrayLike | None = None,
    *,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    scale: float = 1.0,
    ax: Any = None,
) -> Axes:
    """Draw the level sets of an objective of two parameters, and the set of its minimizers.

    A level is a round number, at equal distances on a bowl, written where one ray crosses it. A
    known minimizer is a filled star, a line of them dashed; where none is known, a hollow star is
    the lowest point of the grid. What is not finite is hatched.

    Parameters
    ----------
    f
        The objective, of params (2,), or a field of it.
    window
        [[left, right], [bottom, top]], shape (2, 2); by default around what is known.
    names
        Of the two parameters, with their units if they have any.
    title, theme, scale
        The words above, "light" or "dark" or colors by role, and the size of all text.
    ax
        Where to draw, by default in a figure of its own.

    Raises
    ------
    TypeError, ValueError
        If f does not take two parameters, the window is empty, or no value in it is finite.

    Examples
    --------
    >>> ax = level_sets(gd.landscapes.bowl)
    >>> assert ax.get_xlim() == (-2.0, 2.0)
    """
    ax, look = plane(ax, SQUARE, PLACE, theme, "level_sets")
    shown = views.ground("level_sets", f, window)
    bands = bands_of(shown.field.z, look.depth, shown.minimum)
    draw_ground(ax, shown, bands, look, names)
    ax.set_title("level sets" if title is None else title)
    return ax


@axes_level
def descent(
    f: Callable,
    path: Any,
    *,
    window: ArrayLike | None = None,
    arrows: str | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    scale: float = 1.0,
    ax: Any = None,
) -> Axes:
    """Draw the path of a run on the level sets of its objective, which it crosses at right angles.

    Points outside the window are triangles at its edge, and counted.

    Parameters
    ----------
    f
        The objective, of params (2,).
    path
        What `gd.descend` returned, or points (steps + 1, 2).
    window
        [[left, right], [bottom, top]], shape (2, 2); by default it shows path and minimizer.
    arrows
        "step" draws each step as an arrow, "-grad" the direction of the gradient at each point.
    names, title, theme, scale, ax
        As for `level_sets`.

    Raises
    ------
    TypeError, ValueError
        As `level_sets`, or if the path is none, or `arrows` is neither of the two.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> ax = descent(gd.landscapes.bowl, run)
    >>> [path] = [line for line in ax.lines if line.get_gid() == "gd:path"]
    >>> assert path.get_xydata()[0].tolist() == [2.0, 1.0]
    """
    if arrows not in (None, "step", "-grad"):
        raise ValueError(f"descent: arrows must be 'step', '-grad' or None, got {arrows!r}")
    points = views.points_of("descent", path)
    ax, look = plane(ax, SQUARE, PLACE, theme, "descent")
    window = views.window_of(f, points) if window is None else window
    shown = views.ground("descent", f, window)
    bands = bands_of(shown.field.z, look.mist, shown.minimum)
    draw_ground(ax, shown, bands, look, names, labels=False)
    outside = draw_path(ax, points, shown.window, look)
    if arrows == "step":
        for start, vector in zip(points[:-1], np.diff(points, axis=0), strict=True):
            if np.isfinite(vector).all() and vector.any():
                arrow(ax, start, vector, look.gd, look, "step", 1.4)
    elif arrows == "-grad":
        reach = 0.12 * np.ptp(np.asarray(shown.window)[0])
        seen = points[np.asarray(views.inside(points, shown.window))]
        for at in seen[spaced(ax, seen, 36)] if len(seen) else seen:
            gradient = np.asarray(gd.reverse(f)(jnp.asarray(at, shown.window.dtype))[1])
            length = np.linalg.norm(gradient)
            if length > 0 and np.isfinite(length):
                arrow(ax, at, -reach * gradient / length, look.ink, look, "-grad", 1.4)
    ax.set_title(steps_in_words(path, len(points) - 1) if title is None else title)
    if outside:
        note_below(ax, [f"{outside} outside the window"], look, 16)
    return ax


# -- what other figures draw, too ------------------------------------------------------------------


def draw_ground(
    ax: Any, shown: Ground, bands: Any, look: Any, names: Any, labels: bool = True, path: Any = None
) -> None:
    """Draw the map, the set of minimizers, and above it on the right what it is.

    Levels are labeled, if they are, where there will be no path.
    """
    draw_levels(ax, shown.field, shown.window, bands, look)
    name_axes(ax, names)
    if labels:
        middle = shown.lowest if shown.line is None else np.mean(shown.line, 0)
        ray_labels(ax, shown.field, bands, middle, look, path)
    said = shown.said
    if shown.line is not None:
        color = look.paper if bands.map is look.depth else look.ink
        ax.plot(*np.transpose(shown.line), c=color, lw=1.7, ls=DASHED, zorder=5,
                gid="gd:minimizers")  # fmt: skip
        said = f"dashed: {said}"
    elif np.isinf(shown.minimum):
        star(ax, shown.lowest, look, proven=False)
        said = f"\N{WHITE STAR} {said}"
    for point in shown.minima:
        star(ax, point, look, proven=True)
    if len(shown.minima):
        said = f"\N{BLACK STAR} {said}"
    key(ax, said, look)
    lost = 100 * np.mean(~np.isfinite(np.asarray(shown.field.z)))
    offset = labels_of(bands)[0] if labels else 0.0
    notes = [f"levels of $f${relative(offset)}"] * bool(offset)
    note_below(ax, notes + [f"not finite: {lost:.0f} %"] * bool(lost), look, 16)


def draw_path(ax: Any, points: Any, window: Any, look: Any, width: float = 1.6) -> int:
    """Draw a path, with dots where there is room for them; return how many points are outside."""
    size = 3.2 + (width - 1) * 5 / 3  # a thin line, for a path that crosses itself, has small dots
    ax.plot(*points.T, color=look.gd, marker="o", ms=size, mec=look.paper, mew=size / 9, lw=width,
            zorder=6, markevery=spaced(ax, points, 0.75 * size), gid="gd:path")  # fmt: skip
    dot(ax, points[0], look, "start", size + 1.6)
    return edge_marks(ax, points, window, look.gd, look)
