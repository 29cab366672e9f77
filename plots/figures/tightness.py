"""Tightness: what is proven, and that nothing better could be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

import gdpure as gd

from .. import marks
from ..layout import folded, is_narrow, placed, plane
from ..palette import Theme
from ..style import axes_level
from ..views import tightness as views

_ROW, _MORE = 0.47, 0.26  # inches, of a row, and where its statement has more lines
_STRIP = 0.08, 0.46  # of a row, where its marks are; the statement is above


@axes_level
def tightness(
    theorems: Iterable[Any] | None = None,
    subject: Any = gd.Constant,
    *,
    steps: int = 10,
    instances: int = 200,
    seed: int = 0,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw how close descent comes to what is proven, at random and on the worst functions.

    A row is a theorem of which it is known that no smaller bound is true, below its statement:
    measured over proven after N steps of 1/L. A dot is a random instance, a diamond a function that
    is named on the right: it attains the bound, at 1.

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
    theme, size
        The look, and the size (see `level_sets`).
    ax
        Axes to draw on, by default in a figure of their own.

    Raises
    ------
    TypeError, ValueError
        If a theorem is unknown or not tight, or the subject brings less than it needs.

    Examples
    --------
    >>> ax = tightness(["linear-value"])
    >>> assert ax.get_title(loc="left").startswith("gradient descent attains the bound")
    """
    shown = views.tightness(theorems, subject, steps=steps, instances=instances, seed=seed)
    narrow = is_narrow(ax)
    tall = (_ROW + _MORE * narrow) * len(shown.rows)
    ax, look = plane(ax, (7.2, tall), theme, "tightness")
    ratios = np.concatenate([np.append(row.random.ratio, row.extremal.ratio) for row in shown.rows])
    ax.set(xlim=(0, np.clip(1.04 * ratios.max(), 1.12, 2.0)), ylim=(len(shown.rows), 0))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    beyond = sum(_draw_row(ax, row, y, look) for y, row in enumerate(shown.rows))
    ax.set_xlabel(f"measured / proven, after {steps} step{'s' * (steps != 1)} of $1/L$")
    ax.set_title(_finding(shown) if title is None else title, pad=20 + 12 * narrow)
    _name_marks(ax, look)
    drowned = max(row.drowned for row in shown.rows)
    said = (
        f"{beyond} ratio{'s' * (beyond > 1)} beyond the window: triangles" * (beyond > 0),
        f"of a row, up to {drowned} random instances are left out: rounding hides their bound"
        * (drowned > 0),
    )
    marks.note_below(ax, [sentence for sentence in said if sentence], look)
    return ax


def _draw_row(ax, row, top, look):
    """Draw what a theorem comes to below its statement; return how much lies beyond the window."""
    right, bottom = ax.get_xlim()[1], top + 1
    low, high = bottom - _STRIP[0], bottom - _STRIP[1]
    ax.fill_between([1, right], low, high, color=marks.tint(look), lw=0, zorder=0)
    ax.plot([1, 1], [low, high], c=look.bound, lw=1.6, zorder=3, gid=f"gd:proven, {row.theorem}")
    heights = _scattered(len(row.random.ratio), low, high)
    ax.plot(row.random.ratio, heights, "o", ms=2.2, c=look.gd, alpha=0.55, mew=0, zorder=4,
            clip_on=True, gid=f"gd:random, {row.theorem}")  # fmt: skip
    stacked = np.linspace(low, high, len(row.extremal.ratio) + 2)[1:-1]
    ax.plot(row.extremal.ratio, stacked, "D", ms=4.6, c=look.ink, mec=look.paper, zorder=6,
            clip_on=True, gid=f"gd:extremal, {row.theorem}")  # fmt: skip
    said = marks.write(
        ax, 0, top + 0.28, breakable(in_math(row.statement)), look.ink, look, va="center"
    )
    words = said.get_text()
    edge = ax.figure.bbox
    placed(lambda: said.set_text(folded(said, words, 0.97 * edge.x1 - ax.bbox.x0)))
    ax.text(1.015, (low + high) / 2, ",\n".join(row.functions), color=look.muted, va="center",
            fontsize=marks.small(), transform=ax.get_yaxis_transform(), gid="gd:label")  # fmt: skip
    window = np.array([ax.get_xlim(), sorted(ax.get_ylim())])
    points = (np.append(row.random.ratio, row.extremal.ratio), np.append(heights, stacked))
    return marks.edge_marks(ax, np.stack(points, 1), window, look.warn, look)


def _scattered(count, low, high):
    """Return heights between two, so that few dots hide each other."""
    golden = (5**0.5 - 1) / 2
    return low + (high - low) * (0.1 + 0.8 * (np.arange(count) * golden % 1))


def _name_marks(ax, look):
    """Say beside the axis what is what: what no theorem allows, and which marks there are."""
    at = {"transform": ax.get_xaxis_transform(), "va": "bottom"}
    marks.write(ax, 0, 1.01, "\N{BLACK CIRCLE} random", look.gd, look, **at)
    before = marks.write(ax, 1.01, 1.01, "excluded", look.bound, look, style="italic", **at)
    at = {"transform": ax.transAxes, "va": "bottom", "gid": "gd:label"}
    last = marks.write(ax, 1.015, 1.01, "\N{BLACK DIAMOND} attained by", look.ink, look, **at)

    def place():
        touches = before.get_window_extent().x1 > last.get_window_extent().x0
        tall = last.get_window_extent().height / ax.bbox.height
        last.set_y(1.01 + tall * touches)

    placed(place)


_SYMBOLS = (
    (r"\^\(([^()]*)\)", r"^{\1}"),
    (r"\[([^]]*)\]", r"_{\1}"),
    (r"([fx])\*", r"\1^\\ast"),
    (r"<=", r"\\leq "),
    (r"max \b", r"\\max\\ "),
    (r"\b(?<!\\)(eta|mu|max)\b", r"\\\1 "),
    (r"\bl\b", r"\\lambda "),
    (r" if ", r"\\ \\mathrm{if}\\ "),
    (r",  +", r",\\quad "),
    (r", ", r",\\ "),
)


def in_math(statement: str) -> str:
    r"""Return the statement of a theorem as a formula.

    Examples
    --------
    >>> assert in_math("|g[k]|^2 <= 2L f*") == r"$|g_{k}|^2 \leq  2L f^\ast$"
    """
    for pattern, symbol in _SYMBOLS:
        statement = re.sub(pattern, symbol, statement)
    return f"${statement}$"


def breakable(formula: str) -> str:
    r"""Return a formula in pieces between which a line may end.

    Examples
    --------
    >>> assert breakable(r"$a,\ b$") == "$a,$ $b$"
    """
    for end, start in (
        (r",\quad ", ",$ $"),
        (r",\ ", ",$ $"),
        (r"\ \mathrm{if}\ ", r"$ $\mathrm{if}\ "),
    ):
        formula = formula.replace(end, start)
    return formula


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
