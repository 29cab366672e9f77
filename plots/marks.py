"""Marks that many figures share: arrows, stars, labels beside lines, what has no place in a window.

Everything drawn has a gid, "gd:path" and the like: by it the numbers are read back (`record`), and
in an SVG it is the id.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from .layout import folded, placed
from .palette import legible
from .sizes import Halo

_SIDE = 0.3  # of the width of a figure is for what stands beside its axes


def halo(look: Any, width: float) -> list:
    """Return the effect that keeps crossing marks apart: a border of paper."""
    return [Halo(width, look.paper)]


class Arrow(FancyArrowPatch):
    """An arrow in data coordinates that remembers its `start` (2,) and its `vector` (2,)."""

    def __init__(self, start, vector, **options):
        self.start, self.vector = np.asarray(start, float), np.asarray(vector, float)
        head = "-|>,head_length=0.5,head_width=0.24"
        tip = self.start + self.vector
        super().__init__(tuple(self.start), tuple(tip), arrowstyle=head, **options)


def arrow(
    ax: Any, start: Any, vector: Any, color: Any, look: Any, role: str, width: float = 1.6, **more
) -> Arrow:
    """Draw an arrow from `start` along `vector`, both shape (2,)."""
    options = {"mutation_scale": 5 * width, "zorder": 7} | more
    drawn = Arrow(start, vector, color=color, lw=width, shrinkA=0, shrinkB=0, **options)
    drawn.set(gid=f"gd:{role}", joinstyle="miter", path_effects=halo(look, width + 1.4))
    return ax.add_patch(drawn)


def star(ax: Any, point: Any, look: Any, *, proven: bool, size: float = 10) -> None:
    """Mark a minimizer, shape (2,) or (3,): filled where it is proven, else hollow: lowest found.

    What is hollow and filled has another gid, "gd:minimizer" and "gd:lowest found".
    """
    ax.plot(
        *np.asarray(point, float)[:, None],
        marker="*",
        ms=size,
        mfc=look.ink if proven else look.paper,
        mec=look.paper if proven else look.ink,
        mew=0.8,
        ls="none",
        zorder=9,
        gid="gd:minimizer" if proven else "gd:lowest found",
    )


def cross(ax: Any, points: Any, look: Any) -> None:
    """Mark where a solver stopped, shape (m, 2) or (m, 3)."""
    ax.plot(*np.asarray(points, float).T, "x", ms=11, mew=1.6, c=look.warn, zorder=8.5,
            path_effects=halo(look, 3.0), gid="gd:found")  # fmt: skip


def dot(ax: Any, point: Any, look: Any, role: str, size: float = 4.8) -> None:
    """Mark the point (2,) where something begins or is taken."""
    ax.plot(*np.asarray(point, float)[:, None], "o", ms=size, c=look.ink, mec=look.paper, zorder=9,
            gid=f"gd:{role}")  # fmt: skip


def edge_marks(ax: Any, points: Any, window: Any, color: Any, look: Any) -> int:
    """Mark points (n, 2) outside a window by triangles at its edge, and return how many there are.

    A triangle stands where the edge is nearest and points outwards.
    """
    points, window = np.asarray(points, float), np.asarray(window, float)
    low, high = window[:, 0], window[:, 1]
    outside = ((points < low) | (points > high)).any(1) & np.isfinite(points).all(1)
    out = points[outside]
    nearest = np.clip(out, low, high)
    beyond = (out - nearest) / (high - low)
    axis = np.abs(beyond).argmax(1) if len(out) else np.zeros(0, int)
    side = np.sign(beyond[np.arange(len(out)), axis])
    for which, sign, marker in ((0, -1, "<"), (0, 1, ">"), (1, -1, "v"), (1, 1, "^")):
        here = nearest[(axis == which) & (side == sign)]
        if len(here):
            ax.plot(*here.T, marker, ms=5.5, color=color, mec=look.paper, mew=0.4, zorder=8,
                    clip_on=False, gid="gd:outside the window")  # fmt: skip
    return int(outside.sum() + (~np.isfinite(points)).any(1).sum())


def foot_marks(ax: Any, x: Any, heights: Any, color: Any) -> int:
    """Mark values that have no place on a logarithmic axis at its foot; return how many."""
    x, heights = np.asarray(x), np.asarray(heights)
    lost = ~(heights > 0) | ~np.isfinite(heights)
    if lost.any():
        at = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 6}
        ax.plot(x[lost], np.zeros(lost.sum()), "|", c=color, ms=8, gid="gd:not positive", **at)
    return int(lost.sum())


def side_labels(ax: Any, items: Any, look: Any, x: float = 1.015) -> None:
    """Write labels right of the axes, at the heights of what they name, pushed apart.

    Parameters
    ----------
    items
        Triples (height in data coordinates, text, color).
    """
    written = [
        ax.text(x, 0, text, color=legible(color, look), transform=ax.transAxes, va="center",
                fontsize=small(), gid="gd:label")
        for _, text, color in items
    ]  # fmt: skip

    def place():
        low, high = sorted(ax.get_ylim())
        right, frame = ax.get_xlim()[1], ax.bbox
        to_axes = ax.transData + ax.transAxes.inverted()
        inside = [(right, np.clip(y, low, high)) for y, *_ in items]
        # What coincides but for rounding is written in the order of the items.
        heights = np.round([to_axes.transform(at)[1] for at in inside], 3)
        for label, (_, text, _) in zip(written, items, strict=True):
            label.set_text(folded(label, text, _SIDE * ax.figure.bbox.width))
        tall = np.array([label.get_window_extent().height for label in written]) / frame.height
        order = np.argsort(heights, kind="stable")
        for i, y in zip(order, _apart(heights[order], tall[order]), strict=True):
            written[i].set_y(y)

    if items:
        placed(place)


def if_room(texts: list[Any]) -> None:
    """Hide each of some labels that would touch one before it."""

    def place():
        taken = []
        for text in texts:
            text.set_visible(True)  # what is hidden has no size
            box = text.get_window_extent()
            text.set_visible(not any(box.overlaps(other) for other in taken))
            taken += [box] * text.get_visible()

    placed(place)


def top_labels(ax: Any, items: Any, look: Any) -> None:
    """Write labels above the axes over what they name, the second of two that touch a line higher.

    Items are triples (x in data coordinates, text, color).
    """
    at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom"}
    written = [
        ax.annotate(text, (x, 1), (0, 4), ha="center", fontsize=small(), gid="gd:label",
                    color=legible(color, look), **at)
        for x, text, color in items
    ]  # fmt: skip

    def place():
        dots, frame, lines = ax.figure.dpi / 72, ax.bbox, []
        for label, (x, *_) in zip(written, items, strict=True):
            half = label.get_window_extent().width / 2
            at = ax.transData.transform((x, 1))[0]
            middle = np.clip(at, frame.x0 + half, max(frame.x1 - half, frame.x0 + half))
            ends = middle - half - 3 * dots, middle + half + 3 * dots
            line = next((i for i, right in enumerate(lines) if right < ends[0]), len(lines))
            lines[line : line + 1] = [ends[1]]
            label.xyann = ((middle - at) / dots, 4 + 11 * line)

    if items:
        placed(place)


def _apart(places, tall):
    """Return sorted middles moved as little as needed so that what is so tall does not touch.

    They stay within 0 and 1, or reach above it if there is no room.
    """
    below = np.cumsum(tall) - tall / 2  # of each, if all of them were stacked from 0 on
    groups = []  # what touches stands around its mean: (its shifts, from where it is stacked)
    for shift in np.asarray(places) - below:
        groups.append(([shift], shift))
        while len(groups) > 1 and groups[-1][1] < groups[-2][1]:
            both = groups[-2][0] + groups[-1][0]
            groups[-2:] = [(both, float(np.mean(both)))]
    least, most = -tall[0] / 2, 1 + tall[-1] / 2 - tall.sum()
    shifts = [max(min(start, most), least) for members, start in groups for _ in members]
    return np.array(shifts) + below


def small() -> float:
    """Return the size of labels and notes: 7.6 points where text has 8.5."""
    return 0.894 * matplotlib.rcParams["font.size"]


def tint(look: Any) -> tuple:
    """Return the color of what is excluded: paper with some of the color of bounds.

    Examples
    --------
    >>> from gdpure.plots.palette import look_of
    >>> assert 0.8 < min(tint(look_of("light"))) < 1
    """
    ink, paper = (np.array(to_rgba(color)) for color in (look.bound, look.paper))
    return tuple(0.89 * paper + 0.11 * ink)


def on_paper(ax: Any, places: Any) -> np.ndarray:
    """Return places (n, 2) of axes in typographic points."""
    return ax.transData.transform(np.asarray(places, np.float64)) / ax.figure.dpi * 72


def filled(points: Any) -> np.ndarray:
    """Return the finite ones of points (n, 2), with others between two of them.

    Examples
    --------
    >>> assert len(filled([[0.0, 0.0], [7.0, 0.0], [np.nan, 0.0]])) == 9
    """
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(1)]
    between = points[:-1] + np.linspace(0, 1, 8)[:, None, None] * np.diff(points, axis=0)
    return np.concatenate([between.reshape(-1, 2), points[-1:]])


def spaced(ax: Any, points: Any, least: float) -> list[int]:
    """Return which points (n, 2) are so many typographic points from the last one returned."""
    kept = [0]
    with np.errstate(over="ignore", invalid="ignore"):  # of runs that diverge
        places = on_paper(ax, points)
        for k, place in enumerate(places):
            if np.linalg.norm(place - places[kept[-1]]) >= least:
                kept.append(k)
    return kept


def write(ax: Any, x: float, y: float, text: str, color: Any, look: Any, **options: Any) -> Any:
    """Write a small legible text at a place in data coordinates."""
    options = {"fontsize": small(), "zorder": 10} | options
    return ax.text(x, y, text, color=legible(color, look), **options)


def label(
    ax: Any, text: str, point: Any, offset: Any, look: Any, color: Any = None, **options: Any
) -> Any:
    """Write a small legible text on a border of paper, so many points from a point (2,)."""
    options = {"va": "center", "zorder": 10, "gid": "gd:label"} | options
    return ax.annotate(text, point, offset, textcoords="offset points", fontsize=small(),
                       color=legible(color or look.ink, look), path_effects=halo(look, 2.2),
                       **options)  # fmt: skip


def key_beside(ax: Any, bounds: Any, name: str) -> Any:
    """Return axes right of others, within bounds (4,) in fractions of them, for a scale or a key.

    Their ticks are on the right; a theme's colors touch no line.
    """
    beside = ax.inset_axes(bounds, label=name)
    beside.yaxis.tick_right()
    beside.tick_params(length=0, pad=3)
    beside.spines[:].set_visible(False)
    return beside


def write_beside(ax: Any, x: Any, y: Any, share: float, text: str, color: Any, look: Any) -> None:
    """Write right of a falling line, where it crosses a share of the height of log axes."""
    low, high = np.log(ax.get_ylim())
    level = low + share * (high - low)
    heights = np.log(np.maximum(np.asarray(y, np.float64), 1e-300))
    after = int(np.argmax(heights < level))
    step = (heights[after - 1] - level) / (heights[after - 1] - heights[after])
    at = x[after - 1] + step * (x[after] - x[after - 1])
    label(ax, text, (at, np.exp(level)), (7, 0), look, color)


def headline(fig: Any, sentence: str) -> None:
    """Write what a whole figure shows above it."""
    size = matplotlib.rcParams["axes.titlesize"]
    fig.suptitle(sentence, fontsize=size, fontweight="bold", gid="gd:title")


def note(fig: Any, sentences: Any, look: Any) -> None:
    """Write below a figure what has to be said of what is drawn: all that is not empty, in gray."""
    said = "; ".join(sentence for sentence in sentences if sentence)
    if said:
        fig.supxlabel(said, fontsize=small(), color=look.muted, gid="gd:notes")


def note_below(ax: Any, sentences: Any, look: Any) -> None:
    """Write what must be said below the right end of the axes, beside what is there already."""
    said = "; ".join(sentence for sentence in sentences if sentence)
    if not said:
        return
    before = [text for text in ax.texts if text.get_gid() == "gd:notes"]
    if before:
        said = f"{before[0].get_text()}; {said}"
        before[0].remove()
    written = ax.annotate(said, (1, 0), (0, 0), "axes fraction", textcoords="offset points",
                          ha="right", va="top", color=look.muted, fontsize=small(),
                          gid="gd:notes")  # fmt: skip

    def place():
        if written.axes is None:  # joined by another one since
            return
        frame, ticks = ax.bbox, ax.xaxis.get_tightbbox()  # this moves the name
        bottom = frame.y0 if ticks is None else ticks.y0
        name, named = ax.xaxis.label.get_window_extent(), bool(ax.get_xlabel())
        written.set_text(folded(written, said, frame.width))
        beside = named and frame.x1 - written.get_window_extent().width > name.x1 + 6
        top = name.y1 if beside else bottom - 2
        written.xyann = (0, (top - frame.y0) / ax.figure.dpi * 72)

    placed(place)


def key(ax: Any, said: str, look: Any) -> None:
    """Say above the axes on the right what its marks are, beside what is said there already."""
    before = ax.get_title(loc="right").strip()
    parts = [part for part in (before, said) if part]
    size = 0.92 * ax.xaxis.label.get_size()
    ax.set_title(", ".join(dict.fromkeys(parts)), loc="right", fontsize=size, color=look.muted,
                 fontweight="normal")  # fmt: skip


def name_axes(ax: Any, names: Any, pad: float = 6) -> None:
    """Name the axes of a map; a short vertical name stands upright."""
    first, second = two_names(names)
    ax.set_xlabel(in_math(first), labelpad=1)
    if is_short(second):
        ax.set_ylabel(in_math(second), rotation=0, labelpad=pad, va="center")
    else:
        ax.set_ylabel(second, labelpad=2)


def two_names(names: Any) -> tuple[str, str]:
    """Return the names of two parameters, or say that they are none."""
    if isinstance(names, str) or len(names) != 2 or not all(isinstance(n, str) for n in names):
        raise ValueError(f"names must be two, of the two parameters, got {names!r}")
    return tuple(names)


def in_math(name: str) -> str:
    """Return the name of a parameter, a single letter as a symbol."""
    return f"${name}$" if len(name) == 1 else name


def is_short(name: str) -> bool:
    """Whether the name of a parameter is a symbol, and no word."""
    return len(name) == 1 or (name[:1] == name[-1:] == "$" and " " not in name)


def few_ticks(*axes: Any, most: int = 5, whole: bool = False) -> None:
    """Give each axis at most so many round ticks, and no more than it has room for."""

    def place():
        for axis in axes:
            n = max(1, int(min(most, _ticks_in(axis))))
            axis.set_major_locator(MaxNLocator(n, integer=whole, steps=[1, 2, 5, 10]))

    placed(place)


def log_axis(ax: Any, axis: str, most: int = 6) -> None:
    """Make an axis logarithmic: so many ticks at most, no more than it has room for, on decades."""
    getattr(ax, f"set_{axis}scale")("log")
    which = getattr(ax, f"{axis}axis")
    which.set_minor_locator(NullLocator())

    def place():
        low, high = sorted(np.log10(which.get_view_interval()))
        every = max(1, np.ceil((high - low) / min(most, _ticks_in(which))))
        decades = np.arange(np.ceil(low / every) * every, high + 1e-9, every)
        which.set_major_locator(FixedLocator(10.0**decades))

    placed(place)


def _ticks_in(axis):
    """Return how many labels of ticks an axis has room for."""
    width, height = axis.axes.bbox.size / axis.axes.figure.dpi * 72
    return max(width / 24 if axis.axis_name == "x" else height / 12, 1)
