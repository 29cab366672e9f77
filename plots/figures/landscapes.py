"""Landscapes: an objective of two parameters as a surface, alone and beside its map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

import gdpure as gd
from gdpure import guards

from .. import marks, views
from ..layout import Plan, canvas, placed, plane
from ..levels import band_bar, bands_of
from ..palette import Theme
from ..style import DASHED, NAMES, axes_level, figure_level
from ..wording import of_name
from .maps import draw_ground, draw_path

_SKY = -75.0  # degrees, the azimuth where no direction is flatter than another


@axes_level
def surface(
    f: Callable | views.Field,
    window: ArrayLike | None = None,
    *,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw an objective of two parameters as a surface over its level sets.

    One looks along the direction in which the objective is flattest.

    Parameters
    ----------
    f, window, names, title, theme, size
        As for `level_sets`.
    ax
        Axes with ``projection="3d", computed_zorder=False``, by default in a figure of their own.

    Raises
    ------
    TypeError, ValueError
        As `level_sets`, or if the axes are not of three dimensions.

    Examples
    --------
    >>> ax = surface(gd.landscapes.bowl)
    >>> assert ax.name == "3d"
    """
    space = {"projection": "3d", "computed_zorder": False}
    ax, look = plane(ax, (3.9, 3.0), theme, "surface", **space)
    shown = views.ground("surface", f, window)
    bands = bands_of(shown.field.z, look.depth, shown.minimum)
    _relief(ax, shown, bands, look, names)
    ax.set_title("" if title is None else title, loc="left")  # in space it would be centered
    return ax


@figure_level
def landscape(
    f: Callable,
    window: ArrayLike | None = None,
    *,
    path: Any = None,
    found: ArrayLike | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    """Draw an objective of two parameters once as a surface and once as a map, in the same bands.

    Parameters
    ----------
    f, window, names, title, theme, size
        As for `level_sets`.
    path
        What `gd.descend` returned, or points (steps + 1, 2): drawn on both.
    found
        Where a solver stopped, shape (2,) or (m, 2): crosses, beside what is proven.
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        As `level_sets`, or if the path is none, or what was found are no points.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> space, plane = landscape(gd.landscapes.bowl, path=run).axes
    >>> assert space.name == "3d" and plane.get_label() == "map"
    """
    views.of_two_parameters("landscape", f)
    points = None if path is None else views.points_of("landscape", path)
    stops = None if found is None else _stops(found)
    shown = views.ground("landscape", f, views.window_of(f, points) if window is None else window)
    space = {"surface": {"projection": "3d", "computed_zorder": False}}
    wide = Plan([["surface", "map"]], (None,), (1.2, 1), space)
    narrow = Plan([["surface"], ["map"]], (2.7, None), None, space)
    fig, look, axes = canvas(fig, theme, "landscape", wide, narrow)
    space, plane = axes["surface"], axes["map"]
    bands = bands_of(shown.field.z, look.depth, shown.minimum)
    _relief(space, shown, bands, look, names)
    draw_ground(plane, shown, bands, look, names, path=points)
    band_bar(plane, bands, look)
    lost = 0
    if points is not None:
        lost = draw_path(plane, points, shown.window, look)
        above = np.asarray(_heights(f, path, points), np.float64)
        seen = np.asarray(views.inside(points, shown.window))
        above = np.where(seen, above, np.nan)
        [line] = space.plot(*points.T, above, color=look.gd, marker="o", ms=3.4, mec=look.paper,
                            mew=0.4, lw=1.5, zorder=7, gid="gd:path")  # fmt: skip
        placed(lambda: line.set_markevery(marks.spaced(plane, points, 4)))
    if stops is not None:
        marks.cross(plane, stops, look)
        marks.cross(space, np.column_stack([stops, _heights(f, None, stops)]), look)
        marks.key(plane, "\N{MULTIPLICATION SIGN} found", look)
    marks.headline(fig, f"surface and level sets{of_name(f)}" if title is None else title)
    marks.note_below(plane, [f"{lost} outside the window" * (lost > 0)], look)
    return fig


def _stops(found):
    stops = np.atleast_2d(np.asarray(found))
    if stops.ndim != 2 or stops.shape[1] != 2:
        raise ValueError(
            "landscape: found must be a point of shape (2,) or points (m, 2), got "
            f"{guards.describe(found)}"
        )
    return stops


def _heights(f, path, points):
    """Return the values of a path: those that its run recorded, or else those of f."""
    if isinstance(path, gd.Descent):
        return path.history.value
    return jax.vmap(f)(jnp.asarray(points, views.precision(f)))


# -- the surface -----------------------------------------------------------------------------------


def _viewpoint(z):
    """Return the azimuth, in degrees, from which one looks along the flattest direction.

    By the moments of the gradient over the whole field, which need no second derivative.
    """
    z = np.asarray(z, np.float64)  # sums of what float32 just holds are too large for it
    rise = np.gradient(np.where(np.isfinite(z), z, z[np.isfinite(z)].mean()))
    moments = np.cov(np.stack([rise[1].ravel(), rise[0].ravel()]))
    least, axes = np.linalg.eigh(moments)
    if np.ptp(least) <= 1e-3 * np.abs(least).max():
        return _SKY
    along = axes[:, 0] * (1 if axes[0, 0] >= 0 else -1)
    rows, columns = z.shape
    ends = [
        z[int(round((rows - 1) * (0.5 + s * along[1] / 2)))][
            int(round((columns - 1) * (0.5 + s * along[0] / 2)))
        ]
        for s in (-1, 1)
    ]
    near = along if not ends[1] > ends[0] else -along  # from the lower end
    return float(np.degrees(np.arctan2(near[1], near[0]))) - 13


def _relief(ax, shown, bands, look, names):
    x, y, z = (np.asarray(leaf, np.float64) for leaf in shown.field)
    z = np.where(np.isfinite(z), z, np.nan)
    low, high = bands.edges[0], bands.edges[-1]
    floor = low - 0.34 * (high - low)
    lines = {"levels": bands.levels}
    if len(bands.levels):
        floored = bands.map(bands.norm(bands.levels))
        ax.contour(x, y, np.ma.masked_invalid(z), zdir="z", offset=floor, colors=floored,
                   linewidths=0.9, zorder=1, **lines)  # fmt: skip
    step = 2  # every second row and column: still an odd number, still the center
    a, b, c = x[::step], y[::step], z[::step, ::step]
    cells = (c[:-1, :-1] + c[1:, :-1] + c[:-1, 1:] + c[1:, 1:]) / 4
    colors = bands.map(bands.norm(cells))
    colors[~np.isfinite(cells)] = 0
    drawn = ax.plot_surface(
        *np.meshgrid(a, b),
        c,
        facecolors=colors,
        rstride=1,
        cstride=1,
        lw=0.3,
        shade=False,
        zorder=3,
    )
    drawn.set_edgecolor(colors.reshape(-1, 4))
    drawn.set(gid="gd:surface", rasterized=True)  # thousands of cells: smaller as an image
    if len(bands.levels):
        ax.contour(
            x, y, np.ma.masked_invalid(z), colors=look.paper, linewidths=0.5, zorder=4, **lines
        )
    _stand(ax, shown, (low, high, floor), look, names)
    if shown.line is not None:
        for height, color, order in ((shown.minimum, look.paper, 6), (floor, look.ink, 2)):
            ends = np.transpose(shown.line)
            ax.plot(*ends, [height] * 2, c=color, lw=1.6, ls=DASHED, zorder=order,
                    gid="gd:minimizers")  # fmt: skip
    for point in shown.minima:
        marks.star(ax, (*np.asarray(point), shown.minimum), look, proven=True, size=9)


def _stand(ax, shown, levels, look, names):
    """Set the box, the camera and the ticks of a surface."""
    low, high, floor = levels
    window = np.asarray(shown.window)
    ax.set(xlim=window[0], ylim=window[1], zlim=(floor, high))
    ax.set_proj_type("persp", focal_length=1.0)
    ax.view_init(32, _viewpoint(np.asarray(shown.field.z)))
    placed(lambda: _zoom(ax))
    for axis, (left, right) in zip((ax.xaxis, ax.yaxis), window, strict=True):
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(left, right)
        room = (right - left) / 9
        axis.set_ticks([t for t in ticks if left + room < t < right - room])  # corners are crowded
    ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high)
    ax.set_zticks([t for t in ticks if low - 0.02 * (high - low) <= t <= high])
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set(color=look.rule, linewidth=0.7)
    ax.tick_params(pad=-3, labelsize=0.82 * ax.xaxis.label.get_size())
    ax.tick_params(axis="z", pad=1)
    for axis, name in zip((ax.xaxis, ax.yaxis), marks.two_names(names), strict=True):
        axis.set_rotate_label(not marks.is_short(name))  # a letter stands upright
        axis.set_label_text(marks.in_math(name), rotation=0)
        axis.labelpad = -6


def _zoom(ax):
    """Make the box as large as its axes are, with all that is written around it."""
    for zoom in (1.4, 1.3, 1.2, 1.1, 1.0, 0.9):
        ax.set_box_aspect((1, 1, 0.72), zoom=zoom)
        ax.M = ax.get_proj()  # what is written is where it was drawn last
        seen, frame = ax.get_tightbbox(), ax.bbox
        if seen.x0 > frame.x0 - 1 and seen.x1 < frame.x1 + 1 and seen.y0 > frame.y0 - 1:
            return
