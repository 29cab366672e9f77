"""Tangents, drawn: a curve, lines that touch it, and an arrow for each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes

from .. import marks
from ..layout import plane, redrawn
from ..levels import number
from ..palette import Theme
from ..style import DASHED, DOTTED, axes_level
from ..views import tangents as views

_SIZE = 7.2, 2.7  # inches
_TANGENTS = 3  # at most; more of them hide the curve
_HALF = 62  # typographic points, of a tangent


@axes_level
def tangents(
    f: Callable,
    run: Any,
    *,
    window: ArrayLike | None = None,
    name: str = "x",
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw a path of one parameter on its curve: tangents dashed, steps as arrows.

    A step is the slope times -eta: an arrow from its point, at that height, to the next parameter,
    and dotted from there to the curve. Points are numbered where there is room. A known minimizer
    is a filled star; where none is known, a hollow star is the lowest point of the curve.

    Parameters
    ----------
    f
        The objective, of a number or of params (1,).
    run
        What `gd.descend` returned, or points (steps + 1,) or (steps + 1, 1).
    window
        [left, right]; by default it shows the path, and the minimizer where it is known.
    name
        Of the parameter, with its unit if it has one.
    title
        By default whether f falls at each step, and how.
    theme, size
        The look, and the size (see `level_sets`).
    ax
        Axes to draw on, by default in a figure of their own.

    Raises
    ------
    TypeError, ValueError
        If the path is none of one parameter, f does not take it, or the window is empty.

    Examples
    --------
    >>> f = gd.Objective(lambda x, _: x**2, facts=gd.Facts(smoothness=2.0))
    >>> ax = tangents(f, gd.descend(f, jnp.array(2.0), 0.9, steps=5))
    >>> assert ax.get_title(loc="left") == "$f$ falls at each of 5 steps, from side to side"
    """
    shown = views.tangents(f, run, window)
    ax, look = plane(ax, _SIZE, theme, "tangents")
    points = np.stack([shown.point, shown.value], 1)
    _frame(ax, shown, points)
    ax.plot(shown.x, shown.height, c=look.ink, lw=1.6, zorder=3, gid="gd:f")
    limits = np.array([ax.get_xlim(), ax.get_ylim()])
    inside = ((points >= limits[:, 0]) & (points <= limits[:, 1])).all(1)
    ax.plot(*points.T, "o", ms=4.8, c=look.gd, mec=look.paper, mew=0.6, zorder=8, gid="gd:path")
    marks.dot(ax, points[0], look, "start")
    redrawn(ax, lambda: _draw_steps(ax, points, inside, look))
    redrawn(ax, lambda: _draw_some(ax, shown, points, np.flatnonzero(inside), look))
    said = _mark_minimizer(ax, shown, look)
    outside = marks.edge_marks(ax, points, limits, look.gd, look)
    ax.set_xlabel(marks.in_math(name), labelpad=1)
    ax.set_ylabel(f"$f({name})$" if len(name) == 1 else "$f$")
    ax.set_title(_finding(shown) if title is None else title)
    marks.key(ax, ",  ".join(filter(None, (_size_in_words(shown), said))), look)
    marks.note_below(ax, [f"{outside} outside the window" * (outside > 0)], look)
    return ax


def _draw_some(ax, shown, points, seen, look):
    """Draw the tangents at some points, and number those that have room for it."""
    some = seen[marks.spaced(ax, points[seen], 20)].tolist() if len(seen) else []
    for k in [k for k in some if shown.slope[k]][:_TANGENTS]:
        _draw_tangent(ax, points[k], shown.slope[k], k, look)
    star_at = np.array([shown.minimizer, shown.minimum])
    for k in [k for k in some if k == 0 or len(marks.spaced(ax, [star_at, points[k]], 14)) > 1]:
        side = 1 if shown.slope[k] >= 0 else -1
        marks.label(ax, str(k), points[k], (7 * side, -1), look, gid="gd:number",
                    ha="left" if side > 0 else "right")  # fmt: skip


def _frame(ax, shown, points):
    """Show the path as far as it lies in the window, and the curve around it."""
    ax.set_xlim(shown.x[0], shown.x[-1])
    finite = shown.height[np.isfinite(shown.height)]
    if not finite.size:
        raise ValueError("tangents: no value in the window is finite: there is no curve to draw")
    there = (points[:, 0] >= shown.x[0]) & (points[:, 0] <= shown.x[-1])
    seen = points[there & np.isfinite(points[:, 1]), 1]
    low, high = finite.min(), seen.max() if len(seen) else finite.max()
    room = (high - low) or np.ptp(finite) or 1.0
    ax.set_ylim(low - 0.08 * room, high + 0.16 * room)
    marks.few_ticks(ax.xaxis, ax.yaxis, most=6)


def _draw_steps(ax, points, inside, look):
    """Draw each step along the axis of the parameter, and from its end to the curve."""
    drops, first = [], True
    for k in range(len(points) - 1):
        (x, y), (end, height) = points[k], points[k + 1]
        if not inside[k] or end == x or not np.isfinite([end, height]).all():
            continue
        if np.ptp(marks.on_paper(ax, [(x, y), (end, y)])[:, 0]) < 7:
            continue  # no longer than its head
        marks.arrow(ax, (x, y), (end - x, 0.0), look.gd, look, f"step {k + 1}", 1.3)
        drops += [(end, y), (end, height), (np.nan, np.nan)]
        if first:
            up = 4 if height < y else -4  # where the next step is not
            said, side = rf"$-\eta\,f\,'(x_{{{k}}})$", "bottom" if up > 0 else "top"
            middle = (x + end) / 2, y
            marks.label(ax, said, middle, (0, up), look, look.gd, ha="center", va=side)
            first = False
    if drops:
        ax.plot(*np.transpose(drops), c=look.gd, lw=1.1, ls=DOTTED, zorder=4, gid="gd:to the curve")


def _draw_tangent(ax, point, slope, k, look):
    """Draw a tangent, as long on the paper as any other."""
    there = marks.on_paper(ax, [point, point + [1.0, slope]])
    reach = _HALF / np.linalg.norm(there[1] - there[0])
    ends = point + np.array([[-reach], [reach]]) * [1.0, slope]
    ax.plot(*ends.T, c=look.bound, lw=1.2, ls=DASHED, zorder=5, gid=f"gd:tangent {k}")


def _mark_minimizer(ax, shown, look):
    """Mark where f is least, and return in words what is marked."""
    inside = shown.x[0] < shown.minimizer < shown.x[-1]
    if not shown.proven and shown.minimizer in (shown.x[0], shown.x[-1]):
        return "lowest at the edge of the window"
    if not inside:
        return ""
    marks.star(ax, (shown.minimizer, shown.minimum), look, proven=shown.proven)
    if shown.proven:
        return "\N{BLACK STAR} a minimizer"
    return "\N{WHITE STAR} lowest found"


def _size_in_words(shown):
    """Return how long steps are, beside 2/L where L is known."""
    if shown.step_size is None:
        return ""
    if shown.smoothness is None:
        return f"$\\eta = {number(shown.step_size, 3)}$"
    h = shown.step_size * shown.smoothness
    beside = "<" if h < 2 * (1 - 1e-6) else ">" if h > 2 * (1 + 1e-6) else "="
    if beside == "=":
        return "$\\eta = 2/L$"
    return f"$\\eta = {number(h, 3)}/L {beside} 2/L$"


def _finding(shown):
    """Return whether f falls at each step, and on which sides of a minimum."""
    finite = np.isfinite(shown.value) & np.isfinite(shown.slope)
    moving = (finite[:-1] & finite[1:]) & (shown.slope[:-1] != 0)
    steps, change = int(moving.sum()), np.diff(shown.value)[moving]
    if not steps:
        return "a point and its tangent"
    each, rises = (
        f"at each of {steps} steps" if steps > 1 else "in one step",
        int((change > 0).sum()),
    )
    if rises:
        return f"$f$ rises {each if rises == steps else f'at {rises} of {steps} steps'}"
    turned = (shown.slope[:-1] * shown.slope[1:] < 0)[moving]
    sides = ", from side to side" if turned.all() else "" if turned.any() else ", from one side"
    return f"$f$ falls {each}{sides if steps > 1 else ''}"
