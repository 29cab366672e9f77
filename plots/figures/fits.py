"""Fits: a path of intercept and slope beside the lines that its points stand for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase

from .. import marks, views
from ..layout import Plan, canvas, placed
from ..levels import bands_of, number
from ..palette import Theme
from ..style import NAMES, figure_level
from ..views.convergence import step_size_seen
from ..views.fits import fitted
from .maps import draw_ground

_FAR = 10.0  # times as far from the data as the first line, a line is out of sight


@figure_level
def fit_and_parameters(
    f: Any,
    run: Any,
    *,
    ks: Iterable[int] | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    """Draw a path of (intercept, slope), and some of its points as lines over the data.

    A point and its line have one color and one number k. The residuals of the last line are drawn,
    for the height f(x_k) of a point is the mean of the squared residuals of its line.

    Parameters
    ----------
    f
        The mean squared error of a line a + b x, such as
        ``gd.least_squares(gd.with_intercept(x), y)``.
    run
        What `gd.descend` returned, or points (steps + 1, 2).
    ks
        Which iterates are lines; by default eight, evenly spaced on a logarithmic scale.
    names
        Of intercept and slope.
    title, theme, size
        The words above, "light" or "dark" or colors by role, and the size (see `level_sets`).
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If f is something else, the run none of two parameters, or an iterate is not in it.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
    >>> fig = fit_and_parameters(f, gd.descend(f, jnp.array([2.0, 2.0]), 0.1, steps=20))
    >>> assert [ax.get_label() for ax in fig.axes] == ["parameters", "fits"]
    """
    shown = fitted(f, run, ks)
    points = views.points_of("fit_and_parameters", run)
    ground = views.ground("fit_and_parameters", f, views.window_of(f, points))
    wide = Plan([["parameters", "fits"]], (None,))
    narrow = Plan([["parameters"], ["fits"]], (None, 2.4))
    fig, look, axes = canvas(fig, theme, "fit_and_parameters", wide, narrow)
    colors = _ramp(look, len(shown.k))

    ax = axes["parameters"]
    bands = bands_of(ground.field.z, look.mist, ground.minimum)
    draw_ground(ax, ground, bands, look, names, labels=False)
    ax.plot(*points.T, color=look.ink, lw=0.9, zorder=5, gid="gd:path")
    outside = marks.edge_marks(ax, points, ground.window, look.ink, look)
    for k, point, color in zip(shown.k, shown.points, colors, strict=True):
        ax.plot(*point[:, None], "o", ms=7, color=color, mec=look.paper, mew=0.8, zorder=7,
                gid=f"gd:iterate {k}")  # fmt: skip
    _number_points(ax, shown, ground.window, look)
    marks.note_below(ax, [f"{outside} outside the window" * (outside > 0)], look)
    eta, steps = step_size_seen(run), len(points) - 1
    said = f"{steps} step{'s' * (steps != 1)}" if eta is None else f"$\\eta = {eta:.3g}$"
    ax.set_title(said if title is None else title)

    _draw_fits(axes["fits"], shown, colors, look)
    return fig


def _ramp(look, n):
    """Return n colors from early to late: the arm of `verdict` that has the hue of `gd`."""
    return look.verdict(np.linspace(0.68, 1.0, n) if n > 1 else [1.0])


def _number_points(ax, shown, window, look):
    """Write k beside the points that are far enough from those that have their number already."""
    seen = np.asarray(views.inside(shown.points, window))
    written = []
    for k, point in zip(np.asarray(shown.k)[seen], shown.points[seen], strict=True):
        left = point[0] > 0.15 * window[0][0] + 0.85 * window[0][1]
        written.append(marks.label(ax, str(k), point, (-6 if left else 6, 5), look, gid="gd:number",
                                   ha="right" if left else "left", va="baseline"))  # fmt: skip

    def place():
        ax.apply_aspect()
        taken = np.zeros((0, 2))
        for text in written:
            at = marks.on_paper(ax, text.xy)
            text.set_visible(bool((np.linalg.norm(taken - at, axis=1) > 15).all()))
            if text.get_visible():
                taken = np.vstack([taken, at])

    placed(place)


def _draw_fits(ax, shown, colors, look):
    parts = shown.x, shown.y, shown.fitted[-1], shown.heights
    x, y, fitted, heights = (np.asarray(part, np.float64) for part in parts)
    away = np.abs(heights - np.median(y)).max(1)
    near = away <= _FAR * max(away[0], np.ptp(y))
    low, high = (pick([y.min(), y.max(), *heights[near].ravel()]) for pick in (min, max))
    room = 0.05 * (high - low or 1)
    ax.set(xlim=shown.ends, ylim=(low - room, high + room))
    if near[-1]:
        gaps = np.full_like(y, np.nan)  # one stem ends, the next begins
        stems = np.repeat(x, 3), np.stack([y, fitted, gaps], 1).ravel()
        ax.plot(*stems, color=look.muted, lw=0.9, zorder=3, gid="gd:residuals")
    for k, ends, color in zip(shown.k, heights, colors, strict=True):
        ax.plot(shown.ends, ends, color=color, lw=1.5, zorder=4, gid=f"gd:line {k}")
    ax.plot(x, y, "o", ms=5.5, color=look.ink, mec=look.paper, mew=0.8, zorder=8, gid="gd:data")
    labels = []
    for k, value, end, seen, color in zip(
        shown.k, shown.values, heights[:, 1], near, colors, strict=True
    ):
        away = "" if seen else " \N{UPWARDS ARROW}" if end > high else " \N{DOWNWARDS ARROW}"
        written = number(float(f"{value:.3g}")) if value < 1e6 else number(value, 2)
        labels.append((end, f"$k = {k}$,  $f = ${written}{away}", color))
    marks.side_labels(ax, labels, look)
    marks.few_ticks(ax.xaxis, ax.yaxis)
    marks.name_axes(ax, ("$x$", "$y$"))
    lost = int((~near).sum())
    ax.set_title(f"as lines, {lost} out of sight" if lost else "the same points as lines")
