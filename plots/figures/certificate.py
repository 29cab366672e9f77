"""The certificate: what is measured below what is proven, where it is attained, and rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes

from .. import marks
from ..layout import plane
from ..palette import Theme
from ..style import DASHED, axes_level
from ..views import certified as views
from .convergence import (
    FAR,
    FEW,
    draw_bounds,
    draw_measured,
    foot,
    frame,
    last_height,
)

_SIZE = (7.2, 2.4)  # inches


@axes_level
def certificate(
    f: Callable,
    run: Any,
    *,
    step_size: ArrayLike | None = None,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw the gap of a descent below what is proven, where it is attained, and what rounding does.

    It is the gap in float64 and in a narrower arithmetic, each on the function that its own data
    stand for; the bounds of `views.convergence.proven`, the tightest of them solid, and what it
    excludes; in hollow circles the worst case, which attains it; and the bound of the narrower
    arithmetic, with all that rounding may add. Where a gap leaves the bound of real numbers, it has
    a larger mark.

    The worst case of a quadratic is the start with the same first gap along the slowest direction:
    it is farther away, so that the convex bound, in R, is not about it. Of other strongly convex
    functions it is a parabola of one parameter. Where convexity alone says most, as it does early,
    it is Huber's function, another one for each circle; of other bounds none is known.

    Parameters
    ----------
    f
        An objective that knows its smoothness and its minimum: `gd.least_squares`, `gd.quadratic`,
        or a `gd.Objective` with facts.
    run
        What `gd.descend` returned with one step size, or its points (steps + 1, d); a run in
        float64 is repeated in float32, any other in float64.
    step_size
        eta, shape () or (steps,), by default the one that the rows show.
    title
        By default whether the run stays under what is proven.
    theme, size
        The look, and the size (see `level_sets`).
    ax
        Axes to draw on, by default in a figure of their own.

    Raises
    ------
    TypeError, ValueError
        If the run is none, has no one step size in (0, 2/L), or too little is known of f.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
    >>> ax = certificate(f, gd.descend(f, jnp.array([2.0, 2.0]), 0.09, steps=50))
    >>> assert ax.get_title(loc="left") == "float64 and float32 stay under what is proven"
    """
    shown = views.certificate(f, run, step_size)
    ax, look = plane(ax, _SIZE, theme, "certificate")
    marks.note_below(ax, _gaps(ax, shown, look), look)
    ax.set_title(_verdict(shown) if title is None else title)
    return ax


def _gaps(ax, shown, look):
    """Draw gaps and bounds; return what must be said of gaps that are too small."""
    wide, narrow, worst = shown.wide, shown.narrow, shown.worst
    k = np.arange(len(wide.gap))
    worst = views.Worst(k[:0], wide.gap[:0], "") if worst is None else worst
    seen = [wide.gap, narrow.gap, worst.gap, *(b.values[:1] for b in wide.bounds.values())]
    frame(ax, len(k) - 1, seen, True, least=FAR * wide.bound.min())
    labels = draw_bounds(ax, wide.bounds, look, wide.tightest)
    ax.plot(k, narrow.rounded, c=look.sgd, ls=DASHED, lw=1.3, zorder=4, gid="gd:proven, rounded")
    labels.append((last_height(narrow.rounded), f"{narrow.tightest} + rounding", look.sgd))
    lost = []
    for one, color, marker, size in ((wide, look.gd, "o", 4.4), (narrow, look.sgd, "s", 6.6)):
        size = size if len(k) <= FEW else 4.4  # a few squares are seen around the dots
        height = draw_measured(ax, one.gap, color, marker, look, f"measured, {one.dtype}", size)
        labels.append((height, f"measured, {one.dtype}", color))
        lost.append((foot(ax, k, one.gap, color), f"gaps of {one.dtype}"))
        if one.leaves is not None:
            ax.plot(one.leaves, one.gap[one.leaves], marker, ms=6.6, c=color, mec=look.paper,
                    zorder=8, gid=f"gd:{one.dtype} leaves")  # fmt: skip
    if len(worst.k):
        seen = np.where(worst.gap > ax.get_ylim()[0], worst.gap, np.nan)
        ax.plot(worst.k, seen, "o", ms=6, mfc=look.paper, mec=look.gd, mew=1.4, zorder=6,
                clip_on=False, gid="gd:worst case")  # fmt: skip
        lost.append((foot(ax, worst.k, worst.gap, look.gd), "worst cases"))
        labels.append(
            (last_height(worst.gap), f"\N{WHITE CIRCLE} attained by {worst.what}", look.gd)
        )
    ax.set_xlabel("iteration $k$")
    ax.set_ylabel(r"gap $f(x_k) - f^\ast$")
    marks.write(ax, 0.985, 0.93, "excluded", look.bound, look, transform=ax.transAxes, ha="right",
                va="center", style="italic")  # fmt: skip
    marks.side_labels(ax, labels, look)
    smaller = [f"{many} {what}" for many, what in lost if many]
    return [f"{', '.join(smaller)} are smaller: marks at the foot"] * bool(smaller)


def _verdict(shown):
    """Return what is seen, in one sentence."""
    for one in (shown.wide, shown.narrow):
        over = np.flatnonzero(one.gap > one.rounded * (1 + 1e-12))
        if len(over):
            return f"{one.dtype} breaks what is proven at $k = {over[0]}$, rounding included"
    both = (shown.wide, shown.narrow)
    left = [one for one in both if one.leaves is not None]
    stay = [one for one in both if one.leaves is None]
    names = " and ".join(one.dtype for one in stay)
    s = "s" * (len(stay) == 1)
    attained = stay and all(one.gap[-1] > 0.99 * one.bound[-1] > 0 for one in stay)
    what = f"attain{s} what is proven" if attained else f"stay{s} under what is proven"
    if len(left) == 2:
        ends = ", ".join(f"{one.dtype} at $k = {one.leaves}$" for one in left)
        return f"rounding ends what is proven in real numbers: {ends}"
    leaves = [f"{one.dtype} leaves it at $k = {one.leaves}$" for one in left]
    return ", ".join([f"{names} {what}", *leaves])
