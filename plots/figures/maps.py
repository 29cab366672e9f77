"""Maps: an objective of two parameters as level sets, and a path on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes

import gdpure as gd

from .. import marks, views
from ..layout import placed, plane, redrawn
from ..levels import bands_of, draw_levels, labels_of, ray_labels, relative
from ..palette import Theme
from ..style import DASHED, NAMES, axes_level
from ..views.convergence import steps_in_words
from ..views.grounds import FOUND, Ground
from ..wording import of_name
from .convergence import colors_of_runs, runs_of

_SIDES = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]  # of a mark
SQUARE = (3.9, None)  # inches, of a map that is alone


@axes_level
def level_sets(
    f: Callable | views.Field,
    window: ArrayLike | None = None,
    *,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
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
    title, theme, size
        The words above; "light" or "dark" or colors by role; "column", "page" or "slide", 3.3, at
        most 7.2, and 13.3 x 7.5 inches, with text of 7, 8.5 and 18 points.
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
    ax, look = plane(ax, SQUARE, theme, "level_sets")
    shown = views.ground("level_sets", f, window)
    bands = bands_of(shown.field.z, look.depth, shown.minimum)
    draw_ground(ax, shown, bands, look, names)
    ax.set_title(f"level sets{of_name(f)}" if title is None else title)
    return ax


@axes_level
def descent(
    f: Callable,
    run: Any,
    *,
    window: ArrayLike | None = None,
    arrows: str | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw the path of a run on the level sets of its objective, which it crosses at right angles.

    Several runs have their names beside their paths. Points outside the window are triangles at its
    edge, and counted.

    Parameters
    ----------
    f
        The objective, of params (2,).
    run
        What `gd.descend` returned, points (steps + 1, 2), or a mapping of up to three names to
        such.
    window
        [[left, right], [bottom, top]], shape (2, 2); by default it shows paths and minimizer.
    arrows
        "step" draws each step as an arrow, "-grad" the direction of the gradient at each point.
    names, title, theme, size, ax
        As for `level_sets`.

    Raises
    ------
    TypeError, ValueError
        As `level_sets`, or if a run is none, there are more than three, or `arrows` is neither of
        the two.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> ax = descent(gd.landscapes.bowl, run)
    >>> [path] = [line for line in ax.lines if line.get_gid() == "gd:path"]
    >>> assert path.get_xydata()[0].tolist() == [2.0, 1.0]
    """
    if arrows not in (None, "step", "-grad"):
        raise ValueError(f"descent: arrows must be 'step', '-grad' or None, got {arrows!r}")
    views.of_two_parameters("descent", f)
    runs = runs_of("descent", run)
    paths = {name: views.points_of("descent", one) for name, one in runs.items()}
    ax, look = plane(ax, SQUARE, theme, "descent")
    if window is None:
        around = [views.window_of(f, points) for points in paths.values()]
        whole = views.window(jnp.concatenate(around, 1).T, margin=1.0)
        window = whole if len(around) > 1 else around[0]
    shown = views.ground("descent", f, window)
    bands = bands_of(shown.field.z, look.mist, shown.minimum)
    draw_ground(ax, shown, bands, look, names, labels=False)
    outside, alone = 0, not isinstance(run, Mapping)
    for (name, points), color in zip(paths.items(), colors_of_runs(look), strict=False):
        role = "path" if alone else f"path, {name}"
        outside += draw_path(ax, points, shown.window, look, color=color, role=role)
        _draw_arrows(ax, f, points, shown.window, arrows, color, look)
    if not alone:
        redrawn(ax, lambda: _name_paths(ax, paths, shown, look))
    ax.set_title(_finding(f, runs, paths) if title is None else title)
    marks.note_below(ax, [f"{outside} outside the window" * (outside > 0)], look)
    return ax


def _draw_arrows(ax, f, points, window, arrows, color, look):
    """Draw the steps of a path, or the direction of -grad where there is room for it."""
    if arrows == "step":
        for start, vector in zip(points[:-1], np.diff(points, axis=0), strict=True):
            if np.isfinite(vector).all() and vector.any():
                marks.arrow(ax, start, vector, color, look, "step", 1.4)
    elif arrows == "-grad":
        reach = 0.12 * np.ptp(np.asarray(window)[0])
        seen = points[np.asarray(views.inside(points, window))]

        def draw():
            for at in seen[marks.spaced(ax, seen, 36)] if len(seen) else seen:
                gradient = np.asarray(gd.reverse(f)(jnp.asarray(at, window.dtype))[1])
                length = np.linalg.norm(gradient)
                if length > 0 and np.isfinite(length):
                    marks.arrow(ax, at, -reach * gradient / length, look.ink, look, "-grad", 1.4)

        redrawn(ax, draw)


def _name_paths(ax, paths, shown, look):
    """Write the name of each path beside it, where no path is and others are farther."""
    lines = {name: marks.on_paper(ax, marks.filled(points)) for name, points in paths.items()}
    stars = marks.on_paper(ax, np.concatenate([shown.minima, shown.lowest[None]]))
    low, high = marks.on_paper(ax, np.asarray(shown.window).T)
    for (name, points), color in zip(paths.items(), colors_of_runs(look), strict=False):
        seen = points[np.asarray(views.inside(points, shown.window))]
        if not len(seen):
            continue
        half = marks.small() * np.array([0.31 * len(name), 0.6])  # of the text, about
        places = marks.on_paper(ax, seen[np.linspace(0, len(seen) - 1, 60).astype(int)])
        middles = np.concatenate([places + (half + 4) * side for side in _SIDES])
        middles = middles[((middles - half > low) & (middles + half < high)).all(1)]
        if not len(middles):
            continue
        others = np.concatenate([stars, *(line for of, line in lines.items() if of != name)])
        own, away = (_least_distance(middles, half, those) for those in (lines[name], others))
        free = np.minimum(np.minimum(own, away), 6) + np.minimum(away - own, 40) / 10
        middle, lines[f"name of {name}"] = middles[free.argmax()], middles[free.argmax(), None]
        x, y = ax.transData.inverted().transform(middle / 72 * ax.figure.dpi)
        marks.write(ax, x, y, name, color, look, ha="center", va="center",
                    path_effects=marks.halo(look, 2.2), gid="gd:label")  # fmt: skip


def _least_distance(middles, half, points):
    """Return how far rectangles around middles (m, 2) are from the nearest of points (n, 2)."""
    beside = np.maximum(np.abs(middles[:, None] - points) - half, 0)
    return np.linalg.norm(beside, axis=2).min(1)


def _finding(f, runs, paths):
    """Return how many steps there are, or which of several runs ends lowest."""
    if len(runs) == 1:
        [run], [points] = runs.values(), paths.values()
        return steps_in_words(run, len(points) - 1)
    ends = jnp.asarray(np.stack([path[-1] for path in paths.values()]), views.precision(f))
    values = np.asarray(jax.vmap(f)(ends), np.float64)
    if not np.isfinite(values).any():
        return "all runs diverge"
    best = int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))
    return f"{list(runs)[best]} ends lowest"


# -- what other figures draw, too ------------------------------------------------------------------


def draw_ground(
    ax: Any, shown: Ground, bands: Any, look: Any, names: Any, labels: bool = True, path: Any = None
) -> None:
    """Draw the map, the set of minimizers, and above it on the right what it is.

    Levels are labeled, if they are, where there will be no path.
    """
    draw_levels(ax, shown.field, shown.window, bands, look)
    marks.name_axes(ax, names)
    if labels:
        middle = shown.lowest if shown.line is None else np.mean(shown.line, 0)
        ray_labels(ax, shown.field, bands, middle, look, path)
    said = shown.said
    if shown.line is not None:
        color = look.paper if bands.map is look.depth else look.ink
        ax.plot(*np.transpose(shown.line), c=color, lw=1.7, ls=DASHED, zorder=5,
                gid="gd:minimizers")  # fmt: skip
        said = f"dashed: {said}"
    elif shown.said == FOUND:
        marks.star(ax, shown.lowest, look, proven=False)
        said = f"\N{WHITE STAR} {said}"
    for point in shown.minima:
        marks.star(ax, point, look, proven=True)
    if len(shown.minima):
        said = f"\N{BLACK STAR} {said}"
    marks.key(ax, said, look)
    lost = 100 * np.mean(~np.isfinite(np.asarray(shown.field.z)))
    offset = labels_of(bands)[0] if labels else 0.0
    notes = [f"levels of $f${relative(offset)}"] * bool(offset)
    marks.note_below(ax, notes + [f"not finite: {lost:.0f} %"] * bool(lost), look)


def draw_path(
    ax: Any,
    points: Any,
    window: Any,
    look: Any,
    width: float = 1.6,
    color: Any = None,
    role: str = "path",
) -> int:
    """Draw a path, with dots where there is room for them; return how many points are outside."""
    size = 3.2 + (width - 1) * 5 / 3  # a thin line, for a path that crosses itself, has small dots
    color = look.gd if color is None else color
    [line] = ax.plot(*points.T, color=color, marker="o", ms=size, mec=look.paper, mew=size / 9,
                     lw=width, zorder=6, gid=f"gd:{role}")  # fmt: skip
    placed(lambda: line.set_markevery(marks.spaced(ax, points, 0.75 * size)))
    marks.dot(ax, points[0], look, "start", size + 1.6)
    return marks.edge_marks(ax, points, window, color, look)
