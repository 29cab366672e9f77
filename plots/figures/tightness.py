"""Tightness: what is proven, and that nothing better could be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import NullLocator

import gdpure as gd

from ..marks import edge_marks, note, small, tint, write
from ..palette import Theme
from ..style import box, canvas, figure_level
from ..views import tightness as views

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

_ROW, _HEAD = 0.33, 0.24  # inches
_ZERO = 1e-19  # where 0 stands on the logarithmic axis; no other number of float64 is near


@figure_level
def tightness(
    theorems: Iterable[Any] | None = None,
    subject: Any = gd.Constant,
    *,
    steps: int = 10,
    instances: int = 200,
    seed: int = 0,
    title: str | None = None,
    theme: Theme = "light",
    scale: float = 1.0,
    fig: Any = None,
) -> FigureBase:
    """Draw how close descent comes to each theorem: at random, and on its extremal functions.

    A row is a theorem of which it is known that no smaller bound is true. On the left, measured
    over proven after N steps of 1/L: a dot is a random instance, a diamond the extremal function,
    which lies on the line at 1. On the right, how far both are from 1, on a logarithmic axis, and
    in blue how much of that rounding explains; a dot is no nearer than rounding can tell.

    Parameters
    ----------
    theorems
        Of `gdpure.specs.THEOREMS`, or their names; by default all inequalities that are tight.
    subject
        Your optimizer instead of gradient descent: a function of the step size that returns a
        gdpure rule or an optax transformation, or whatever else `specs.check_optimizer` takes.
    steps, instances, seed
        N, how many random instances, and what they are drawn from.
    title
        By default how many bounds are attained.
    theme, scale
        The look, and the size of all text.
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If a theorem is unknown or not tight, or the subject brings less than it needs.

    Examples
    --------
    >>> fig = tightness(["linear-value"])
    >>> assert [ax.get_label() for ax in fig.axes] == ["ratio", "distance to 1"]
    """
    shown = views.tightness(theorems, subject, steps=steps, instances=instances, seed=seed)
    groups = list(dict.fromkeys(row.bounded for row in shown.rows))
    body = _ROW * len(shown.rows) + _HEAD * len(groups)
    height = body + 1.1
    fig, look = canvas(fig, height, theme, "tightness")
    left = fig.add_axes(box(2.0, 0.68, 3.2, body, height), label="ratio")
    right = fig.add_axes(box(5.4, 0.68, 1.6, body, height), label="distance to 1")
    places = _places(shown.rows, groups, body)
    for ax in (left, right):
        ax.set_ylim(0, body)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    beyond = _draw_ratios(left, shown, places, look)
    _draw_distances(right, shown, places, look)
    _name_rows(left, shown.rows, places, look)
    left.set_xlabel(f"measured / proven, after {steps} step{'s' * (steps != 1)} of $1/L$")
    right.set_xlabel(r"$|1 - \mathrm{ratio}|$")
    left.set_title(_finding(shown) if title is None else title, x=-1.85 / 3.2)
    drowned = max(row.drowned for row in shown.rows)
    said = (
        f"{beyond} ratio{'s' * (beyond > 1)} beyond the window: triangles" * (beyond > 0),
        f"of a row, up to {drowned} random instances are left out: rounding hides their bound"
        * (drowned > 0),
    )
    note(fig, 0.03, 0.06 / height, said, look)
    return fig


def _places(rows, groups, body):
    """Return the heights, in inches, of rows by theorem and of the heads of groups."""
    places, y = {}, body
    for group in groups:
        y -= _HEAD
        places[group] = y + 0.04
        for row in rows:
            if row.bounded == group:
                y -= _ROW
                places[row.theorem] = y + _ROW / 2
    return places


def _scattered(count, place):
    """Return heights around that of a row, so that few dots hide each other."""
    golden = (5**0.5 - 1) / 2
    return place + 0.62 * _ROW * (np.arange(count) * golden % 1 - 0.5)


def _stacked(count, place):
    return place + 0.3 * _ROW * (np.arange(count) - (count - 1) / 2)


def _draw_ratios(ax, shown, places, look):
    """Draw measured over proven, and return how many ratios lie beyond the window."""
    ratios = np.concatenate([np.append(row.random.ratio, row.extremal.ratio) for row in shown.rows])
    ax.set_xlim(0, np.clip(1.04 * ratios.max(), 1.2, 2.0))
    window = np.array([ax.get_xlim(), ax.get_ylim()])
    ax.axvspan(1, window[0, 1], color=tint(look), lw=0, zorder=0)
    ax.plot([1, 1], window[1], c=look.bound, lw=1.6, zorder=3, gid="gd:proven")
    beyond = 0
    for row in shown.rows:
        place = places[row.theorem]
        both = (_dots, _scattered, row.random), (_diamonds, _stacked, row.extremal)
        for draw, around, ratios in both:
            heights = around(len(ratios.ratio), place)
            draw(ax, ratios.ratio, heights, row.theorem, look)
            points = np.column_stack([ratios.ratio, heights])
            beyond += edge_marks(ax, points, window, look.warn, look)
    top = places[shown.rows[0].bounded] + 0.06
    write(ax, 0.0, top, "random", look.gd, look, va="center")
    write(ax, 0.985, top, "extremal", look.ink, look, va="center", ha="right")
    write(ax, 1.015, top, "excluded", look.bound, look, va="center", style="italic")
    return beyond


def _draw_distances(ax, shown, places, look):
    """Draw how far ratios are from 1, and how much of that rounding explains."""
    ax.set_xscale("log")
    ax.set_xlim(3, _ZERO)
    ax.set_xticks([1, 1e-5, 1e-10, 1e-15, _ZERO], ["1", *_powers(-5, -10, -15), "0"])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="x")
    for row in shown.rows:
        place = places[row.theorem]
        explained = row.extremal.rounding.max()
        ax.fill_betweenx([place - 0.4 * _ROW, place + 0.4 * _ROW], explained, _ZERO,
                         color=tint(look), lw=0, gid=f"gd:rounding, {row.theorem}")  # fmt: skip
        random = np.maximum(abs(1 - row.random.ratio), row.random.rounding)  # what can be told
        extremal = np.maximum(abs(1 - row.extremal.ratio), _ZERO)
        _dots(ax, random, _scattered(len(random), place), row.theorem, look)
        _diamonds(ax, extremal, _stacked(len(extremal), place), row.theorem, look, 3.6)
    top = places[shown.rows[0].bounded] + 0.06
    write(ax, _ZERO, top, "rounding", look.bound, look, va="center", ha="right", style="italic")


def _powers(*exponents):
    return [f"$10^{{{k}}}$" for k in exponents]


def _dots(ax, x, y, name, look):
    ax.plot(x, y, "o", ms=2.2, c=look.gd, alpha=0.55, mew=0, zorder=4, clip_on=True,
            gid=f"gd:random, {name}")  # fmt: skip


def _diamonds(ax, x, y, name, look, size=5.0):
    clip = ax.get_xscale() != "log"
    ax.plot(x, y, "D", ms=size, c=look.ink, mec=look.paper, zorder=6, clip_on=clip,
            gid=f"gd:extremal, {name}")  # fmt: skip


def _name_rows(ax, rows, places, look):
    """Write left of the axes what each row is, and where its bound is attained."""
    size = small()
    heads = {"value": "value", "gradient": "gradient norm", "distance": "distance"}
    at = {"transform": ax.get_yaxis_transform(), "ha": "left", "va": "center"}
    for group in dict.fromkeys(row.bounded for row in rows):
        ax.text(-1.85 / 3.2, places[group] + 0.06, heads[group], size=size, weight="bold", **at)
    for row in rows:
        place = places[row.theorem]
        ax.text(-1.78 / 3.2, place + 0.065, row.theorem, size=size, **at)
        ax.text(-1.78 / 3.2, place - 0.075, ", ".join(row.functions), size=0.86 * size,
                color=look.muted, **at)  # fmt: skip


def _finding(shown):
    """Return what is seen, in a sentence."""
    total = len(shown.rows)
    off = [row.extremal.ratio - 1 for row in shown.rows]
    most = [abs(row.extremal.rounding) for row in shown.rows]
    broken = sum(
        bool((x > e).any() or (row.random.ratio - 1 > row.random.rounding).any())
        for x, e, row in zip(off, most, shown.rows, strict=True)
    )
    missed = sum(bool((abs(x) > e).any()) for x, e in zip(off, most, strict=True))
    name = "gradient descent" if shown.plain else shown.subject.split(":")[-1].split(".")[-1]
    name = "the subject" if "<" in name else name
    if broken:
        return f"{name} breaks {broken} of {total} bounds"
    if missed:
        return f"{name} breaks no bound, and misses {missed} of {total} that descent attains"
    attains = f"{name} attains {'the bound' if total == 1 else f'all {total} bounds'}"
    if not shown.plain:
        return attains
    near = np.mean(np.concatenate([row.random.ratio for row in shown.rows]) > 0.99)
    return f"{attains}; of random instances {100 * near:.2g} % come within 1 %"
