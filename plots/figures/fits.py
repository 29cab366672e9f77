"""Fits: a path beside the lines it stands for, and the gap of a run mode by mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from .. import views
from ..levels import bands_of, number
from ..marks import (
    edge_marks,
    few_ticks,
    foot_marks,
    halo,
    key,
    log_axis,
    name_axes,
    note_below,
    side_labels,
    write,
    write_beside,
)
from ..palette import Theme
from ..style import (
    DASHED,
    DOTTED,
    NAMES,
    WIDTH,
    axes_level,
    box,
    canvas,
    figure_level,
    plane,
)
from ..views.convergence import step_size_seen
from ..views.fits import Modes, fitted
from ..views.fits import modes as split
from .maps import draw_ground

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    import gdpure as gd

_NEARLY = 0.99  # of the gap is all of it
_LEAST = 1e-18  # of the first gap, below which no axis reaches
_STYLES = ((DASHED, "s"), ((0, (6, 1.5, 1.5, 1.5)), "D"), (DOTTED, "^"))
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
    scale: float = 1.0,
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
    title, theme, scale
        The words above, "light" or "dark" or colors by role, and the size of all text.
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
    fig, look = canvas(fig, 3.3, theme, "fit_and_parameters")
    colors = _ramp(look, len(shown.k))

    ax = fig.add_axes(box(0.56, 0.46, 2.46, 2.46, 3.3), label="parameters")
    bands = bands_of(ground.field.z, look.mist, ground.minimum)
    draw_ground(ax, ground, bands, look, names, labels=False)
    ax.plot(*points.T, color=look.ink, lw=0.9, zorder=5, gid="gd:path")
    outside = edge_marks(ax, points, ground.window, look.ink, look)
    for k, point, color in zip(shown.k, shown.points, colors, strict=True):
        ax.plot(*point[:, None], "o", ms=7, color=color, mec=look.paper, mew=0.8, zorder=7,
                gid=f"gd:iterate {k}")  # fmt: skip
    _number_points(ax, shown, ground.window, look)
    if outside:
        note_below(ax, [f"{outside} outside the window"], look, 16)
    eta, steps = step_size_seen(run), len(points) - 1
    said = f"{steps} step{'s' * (steps != 1)}" if eta is None else f"$\\eta = {eta:.3g}$"
    ax.set_title(said if title is None else title)

    ax = fig.add_axes(box(3.7, 0.46, 2.17, 2.46, 3.3), label="fits")
    _draw_fits(ax, shown, colors, look)
    return fig


def _ramp(look, n):
    """Return n colors from early to late: the arm of `verdict` that has the hue of `gd`."""
    return look.verdict(np.linspace(0.68, 1.0, n) if n > 1 else [1.0])


def _number_points(ax, shown, window, look):
    """Write k beside the points that are far enough from those that have their number already."""
    places = ax.transData.transform(shown.points) / ax.figure.dpi * 72
    seen = np.asarray(views.inside(shown.points, window))
    taken = np.zeros((0, 2))
    for k, place, point, visible in zip(shown.k, places, shown.points, seen, strict=True):
        if visible and (np.linalg.norm(taken - place, axis=1) > 15).all():
            left = point[0] > 0.15 * window[0][0] + 0.85 * window[0][1]
            ax.annotate(str(k), point, xytext=(-6 if left else 6, 5), textcoords="offset points",
                        ha="right" if left else "left", fontsize=0.9 * ax.xaxis.label.get_size(),
                        path_effects=halo(look, 2.2), zorder=10, gid="gd:number")  # fmt: skip
            taken = np.vstack([taken, place])


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
    side_labels(ax, labels, look)
    few_ticks(ax)
    name_axes(ax, ("$x$", "$y$"))
    lost = int((~near).sum())
    ax.set_title(f"as lines, {lost} out of sight" if lost else "the same points as lines")


# -- modes -----------------------------------------------------------------------------------------


@axes_level
def modes(
    f: gd.Objective | Modes,
    run: gd.Descent | None = None,
    *,
    title: str | None = None,
    theme: Theme = "light",
    scale: float = 1.0,
    ax: Any = None,
) -> Axes:
    """Draw the gap of descent on a quadratic, and the parts that its eigenvalues have in it.

    ``f(x_k) - f* = sum_i 1/2 lambda_i c_i^2 (1 - eta lambda_i)^(2k)``: each part falls on a line of
    its own, and the slowest is soon all that is left. Points are measured, lines theory. Of more
    than three curvatures the fastest and the slowest part are named. What rounding has drowned is a
    mark at the foot.

    Parameters
    ----------
    f
        `gd.quadratic`, `gd.least_squares`, or the mean squared error of a line, of any number of
        parameters; or a view, `views.modes`.
    run
        What `gd.descend` returned for a constant step size; at least one step.
    title, theme, scale
        The words above, "light" or "dark" or colors by role, and the size of all text.
    ax
        Where to draw, by default in a figure of its own.

    Raises
    ------
    TypeError, ValueError
        If f is no quadratic with a minimizer, or the run is none of a constant step size on it.

    Examples
    --------
    >>> f = gd.quadratic(jnp.diag(jnp.array([4.0, 1.0])), jnp.zeros(2))
    >>> ax = modes(f, gd.descend(f, jnp.array([1.0, 2.0]), 0.1, steps=20))
    >>> assert ax.get_yscale() == "log"
    """
    shown = f if isinstance(f, Modes) else split(f, run)
    ax, look = plane(ax, (WIDTH, 3.3), (0.095, 0.135, 0.72, 0.775), theme, "modes")
    steps = len(shown.gap) - 1
    k = np.arange(steps + 1)
    factors = np.abs(1 - shown.step_size * shown.curvatures)
    order = np.argsort(factors, kind="stable")  # from the fastest to the slowest
    named = [*order] if len(order) <= 3 else [order[0], order[-1]]
    first, last = float(shown.gap[0]), float(shown.theory[named, -1].min())
    floor = max(float(shown.floor), _LEAST * first, 0.1 * last)
    ax.set(xlim=(-0.015 * steps, steps * 1.015), ylim=(floor, 3 * float(shown.gap.max())))
    log_axis(ax, "y")
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    ax.grid(axis="y")
    ax.set_xlabel("iteration $k$", labelpad=1)

    apart = max(1, -(-steps // 40))
    between, at = slice(apart // 2, None, apart), slice(0, None, apart)
    lost, labels = 0, []
    for i in (i for i in order if i not in named):
        ax.plot(k, shown.theory[i], color=look.muted, lw=0.6, zorder=3, gid=f"gd:theory {i + 1}")
        lost += _marks(ax, shown.measured[i], ".", 3.4, look.muted, floor, between, look, i + 1)
    for (dash, marker), i in zip(_STYLES, named, strict=False):
        heights = shown.theory[i]
        ax.plot(k, heights, c=look.bound, ls=dash, lw=1.3, zorder=4, gid=f"gd:theory {i + 1}")
        lost += _marks(ax, shown.measured[i], marker, 3.8, look.gd, floor, between, look, i + 1)
        which = ""
        if len(order) > 1 and i in (order[0], order[-1]):
            which = "fastest " if i == order[0] else "slowest " if factors[i] < 1 else "growing "
        labels.append(
            (heights, f"{which}$\\lambda = ${number(shown.curvatures[i], 3)}", look.bound)
        )
    ax.plot(k, shown.theory.sum(0), color=look.bound, lw=1.6, zorder=5, gid="gd:theory gap")
    lost += _marks(ax, shown.gap, "o", 4.6, look.gd, floor, at, look, "gap")
    labels.append((shown.theory.sum(0), "gap", look.gd))
    leaving = [item for item in labels if not item[0][-1] > floor]
    for rank, (heights, text, color) in enumerate(leaving):
        write_beside(ax, k, heights, 0.16 + 0.22 * rank, text, color, look)
    side_labels(ax, [(h[-1], *rest) for h, *rest in labels if h[-1] > floor], look)
    ax.set_title(_split_in_words(shown, order[-1]) if title is None else title)
    key(ax, f"$\\eta L = {number(float(shown.step_size * shown.curvatures.max()), 3)}$", look)
    if lost:
        write(ax, 1.015, 0, f"{lost} below {number(floor, 1)}", look.muted, look, va="center",
              transform=ax.transAxes, gid="gd:notes")  # fmt: skip
    return ax


def _marks(ax, heights, marker, size, color, floor, some, look, which):
    """Draw what is measured, and what is below the floor at the foot; return how much that is."""
    k, above = np.arange(len(heights)), heights > floor
    seen = np.where(above, heights, np.nan)
    ax.plot(k, seen, ls="none", marker=marker, ms=size, color=color, mec=look.paper, mew=0.4,
            markevery=some, zorder=6, gid=f"gd:measured {which}")  # fmt: skip
    foot_marks(ax, k[some], np.where(above, heights, 0)[some], color)
    return int((~above).sum())


def _split_in_words(shown, slowest):
    """Return from when on the slowest part is nearly all of the gap."""
    if shown.step_size * shown.curvatures.max() > 2:
        return "the steepest part grows: the step is longer than $2/L$"
    if len(shown.curvatures) == 1:
        return "one curvature: the gap falls on a line"
    share = shown.measured[slowest] / np.where(shown.gap > 0, shown.gap, np.inf)
    short = np.flatnonzero(share < _NEARLY)
    if not len(short):
        return "the slowest part is all of the gap"
    if short[-1] == len(share) - 1:
        return f"the gap, split into {len(shown.curvatures)} parts"
    return f"from $k = {short[-1] + 1}$ on the slowest part is {100 * _NEARLY:.0f} % of the gap"
