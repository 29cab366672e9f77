"""Basins: to which minimizer gradient descent comes from everywhere, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, NoNorm, to_rgb
from matplotlib.patches import Rectangle

from .. import marks
from ..layout import plane
from ..levels import number, set_sides
from ..palette import Theme
from ..style import NAMES, axes_level
from ..views import attraction as views
from ..views import inside

_SIZE = (5.3, None)  # inches
_BANDS = 6  # of the number of steps
_ROW = 0.062  # of the height of the map, a row of the key
_STRONGEST, _PALEST = 0.88, 0.2  # share of the hue where descent is fastest, and slowest


@axes_level
def basins(
    f: Callable,
    window: ArrayLike | None = None,
    *,
    step_size: float | None = None,
    steps: int = 200,
    minima: ArrayLike | None = None,
    tolerance: float = 1e-3,
    n: tuple[int, int] = (241, 193),
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw to which minimizer gradient descent comes from each start of a grid, and how fast.

    The hue is the minimizer, which has a number; the paler, the more steps it takes. Filled stars
    were known, hollow ones are found: runs end there, and the Hessian is positive. Hatched starts
    do not come to rest at a minimizer within the steps, gray ones leave the floating-point numbers.
    The key is right of the axes, and as wide as a third of them.

    Parameters
    ----------
    f
        The objective, of params (2,).
    window
        [[left, right], [bottom, top]], shape (2, 2); by default around the minimizers.
    step_size
        By default 1/L; where L is unknown, the least of 1/L, 2/L, 4/L, ... with which nearly as
        many starts as possible come to rest, L being the largest curvature on the grid.
    steps
        How many, at most.
    minima
        Known minimizers, shape (m, 2); by default those of a classic of `gd.landscapes`, or that of
        ``gd.facts(f)``.
    tolerance
        The largest ``|gradient|`` at which a run stops.
    n
        How many columns and rows of starts.
    names
        Of the two parameters, with their units if they have any.
    title, theme, size
        The words above, "light" or "dark" or colors by role, and the size (see `level_sets`).
    ax
        Where to draw, by default in a figure of its own.

    Raises
    ------
    TypeError, ValueError
        If f does not take two parameters, its minimizers fill a line, or a number is none.

    Examples
    --------
    >>> ax = basins(gd.landscapes.double_well, n=(31, 21))
    >>> stars = [line for line in ax.lines if line.get_gid() == "gd:minimizer"]
    >>> assert [tuple(star.get_xydata()[0]) for star in stars] == [(1.0, 0.0), (-1.0, 0.0)]
    """
    found = views.basins(
        f, window, step_size=step_size, steps=steps, minima=minima, tolerance=tolerance, n=n
    )
    ax, look = plane(ax, _SIZE, theme, "basins")
    x, y = np.asarray(found.x, np.float64), np.asarray(found.y, np.float64)
    edges = _edges(found)
    colors = _colors(look, len(edges) - 1)
    _cells(ax, x, y, found, edges, colors)
    nowhere, diverged = found.label == views.NOWHERE, found.label == views.DIVERGED
    _region(ax, x, y, nowhere, "does not come to rest", facecolor=look.faint, hatch="/////")
    _region(ax, x, y, diverged, "diverged", facecolor=look.rule)
    for i in range(len(found.minima)):
        here = found.label == i
        if here.any() and not here.all():
            ax.contour(x, y, here, levels=[0.5], colors=look.paper, linewidths=0.9,
                       zorder=3).set_gid(f"gd:edge of basin {i + 1}")  # fmt: skip
    window = np.array([x[[0, -1]], y[[0, -1]]])
    ax.set(xlim=window[0], ylim=window[1])
    set_sides(ax, window, look)
    marks.few_ticks(ax.xaxis, ax.yaxis)
    marks.name_axes(ax, names)
    lost = _minima(ax, found, window, look)
    tried = rf"$\eta = {number(float(found.step_size), 3)}$, {steps} steps"
    told = [tried, rf"until $\|g\|_\infty \leq {number(float(tolerance), 3)}$"]
    _key(ax, edges, colors, found, look)
    hollow = "\N{WHITE STAR} found: runs end there" * bool((~found.known).any())
    for said in ("\N{BLACK STAR} known" * bool(found.known.any()), hollow):
        marks.key(ax, said, look)
    beyond = f"minimizers outside: {lost}" * (lost > 0)
    marks.note_below(ax, [*told, beyond], look)
    ax.set_title(_finding(found, steps) if title is None else title)
    return ax


def _edges(found):
    """Return numbers of steps, equally spaced on a logarithmic scale, that part the bands.

    A number belongs to the band below it; the few fastest starts share the first band.
    """
    counts = found.count[found.label >= 0]
    if not counts.size:
        return np.array([0, 1])
    low, high = np.percentile(counts, 5), max(counts.max(), 1)
    inner = np.geomspace(max(low, 1), high, _BANDS + 1)[1:]
    return np.unique(np.array([counts.min() - 1, *inner.round()]).astype(int))


def _colors(look, bands):
    """Return the colors (hues, bands, 3): paler from band to band."""
    hues = np.array([to_rgb(role) for role in (look.gd, look.bound, look.third, look.sgd)])
    share = np.linspace(_STRONGEST, _PALEST, bands)[None, :, None]
    return share * hues[:, None] + (1 - share) * np.array(to_rgb(look.paper))


def _cells(ax, x, y, found, edges, colors):
    """Draw the starts: the number of a cell is label times number of bands, plus band."""
    bands = colors.shape[1]
    band = np.clip(np.searchsorted(edges, found.count, "left") - 1, 0, bands - 1)
    code = np.ma.masked_where(found.label < 0, found.label * bands + band)
    each = [colors[i % len(colors)] for i in range(max(1, len(found.minima)))]
    ax.pcolormesh(x, y, code, cmap=ListedColormap(np.concatenate(each)), norm=NoNorm(),
                  shading="nearest", rasterized=True, gid="gd:basins")  # fmt: skip


def _region(ax, x, y, where, role, facecolor, hatch=""):
    if where.any():
        ax.contourf(x, y, where, levels=[0.5, 1.5], colors=[facecolor], hatches=[hatch],
                    zorder=2).set_gid(f"gd:{role}")  # fmt: skip


def _minima(ax, found, window, look):
    """Draw the minimizers with their numbers; return how many the window does not show."""
    seen = np.asarray(inside(found.minima, window)) if len(found.minima) else np.zeros(0, bool)
    for i in np.flatnonzero(seen):
        marks.star(ax, found.minima[i], look, proven=bool(found.known[i]), size=11)
        marks.label(ax, str(i + 1), found.minima[i], (6, 5), look, va="baseline", clip_on=True,
                    fontweight="bold", gid="gd:number")  # fmt: skip
    return marks.edge_marks(ax, np.asarray(found.minima)[~seen], window, look.ink, look)


def _key(ax, edges, colors, found, look):
    """Draw the key right of the map: minimizers across, steps upwards, then what comes to none."""
    m, (hues, bands) = min(len(found.minima), len(colors)), colors.shape[:2]
    names = [str(edge) for edge in edges[1:]] if m else []
    places = list(range(bands)) if m else []
    regions = []
    for label, what, options in (
        (views.NOWHERE, "not converged", {"fc": look.faint, "ec": look.muted, "hatch": "/////"}),
        (views.DIVERGED, "diverged", {"fc": look.rule}),
    ):
        share = (found.label == label).mean()
        if share:
            regions.append((-1.7 - len(regions) * 2.0, options))
            places.append(regions[-1][0])
            names.append(f"{what},\n{_percent(share)}")
    lowest = min(places, default=0) - 0.7
    rows = bands - 0.5 - lowest
    bounds = (1.04, 0.78 - _ROW * rows, 0.05 * max(m, 1), _ROW * rows)
    shown = marks.key_beside(ax, bounds, "key")
    if m:
        shown.imshow(colors[:m].swapaxes(0, 1), origin="lower", aspect="auto")
    for y, options in regions:
        shown.add_patch(Rectangle((-0.5, y - 0.5), max(m, 1), 1, lw=0, **options))
    shown.set(xlim=(-0.5, max(m, 1) - 0.5), ylim=(lowest, bands - 0.5))
    numbered = 0 < len(found.minima) <= hues
    shown.set_xticks(range(m) if numbered else [], [str(i + 1) for i in range(m * numbered)])
    shown.set_yticks(places, names)
    shown.xaxis.tick_top()
    if m:
        shown.annotate("at most so\nmany steps", (0, 1), (0, 14), "axes fraction", color=look.ink,
                       textcoords="offset points", fontsize=marks.small())  # fmt: skip


def _percent(share):
    return "< 1 %" if share < 0.01 else f"{min(100 * share, 99):.0f} %" if share < 1 else "all"


def _finding(found, steps):
    reached = [i for i in range(len(found.minima)) if (found.label == i).any()]
    if not reached:
        return f"no start reaches a minimizer in {steps} steps"
    share = float((found.label >= 0).mean())
    goal = "the minimizer" if len(reached) == 1 else f"one of {len(reached)} minimizers"
    return f"{_percent(share)}{' of all' * (share < 1)} starts reach {goal}"
