"""Sizes: how wide a figure is, and how everything that is measured in points grows with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.collections import Collection
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch
from matplotlib.text import Annotation, Text

TEXT = 8.5  # points, what is drawn before it grows


class Size(NamedTuple):
    """Inches, the height None where what is drawn decides about it, and the text in points."""

    width: float
    height: float | None
    text: float

    @property
    def growth(self) -> float:
        """How many times as large everything is as it is drawn."""
        return self.text / TEXT


SIZES = {
    "column": Size(3.3, None, 7.0),
    "page": Size(7.2, None, TEXT),
    "slide": Size(13.3, 7.5, 18.0),
}


def size_of(caller: str, name: Any) -> Size:
    """Return a size by its name.

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> assert size_of("descent", "slide").width == 13.3
    """
    if not isinstance(name, str) or name not in SIZES:
        raise ValueError(f"{caller}: size must be {', '.join(map(repr, SIZES))}, got {name!r}")
    return SIZES[name]


class Halo(patheffects.withStroke):
    """A border of paper that knows how wide it is."""

    def __init__(self, width: float, paper: Any):
        self.width, self.paper = width, paper
        super().__init__(linewidth=width, foreground=paper)


def grow(artists: Iterable[Any], factor: float) -> None:
    """Multiply all that is measured in points: text, lines, marks, and how far they are apart.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> [line] = Figure().add_subplot().plot([1, 2], lw=1.5)
    >>> grow([line], 2)
    >>> assert line.get_linewidth() == 3
    """
    for artist in artists:
        for kind, enlarge in _KINDS:
            if isinstance(artist, kind):
                enlarge(artist, factor)
        halos: Any = artist.get_path_effects() or []
        if halos and all(isinstance(halo, Halo) for halo in halos):
            artist.set_path_effects([Halo(factor * h.width, h.paper) for h in halos])


def grow_axes(ax: Any, factor: float) -> None:
    """Multiply what axes have before anything is drawn: names, ticks, spines, titles."""
    # matplotlib keeps names and ticks of axes in space these points away, whatever the text is.
    away, off = (21, 8) if ax.name == "3d" else (0, 0)
    grow(ax.spines.values(), factor)
    grow(titles(ax), factor)
    raise_title(ax, factor=factor)
    for name, axis in ax._axis_map.items():
        grow([axis.label, axis.get_offset_text()], factor)
        axis.labelpad = factor * (axis.labelpad + away) - away
        if ax.name == "3d":
            grow([axis.line], factor)
        tick = axis.get_major_ticks(1)[0]
        mark, label = tick.tick1line, tick.label1
        ax.tick_params(
            axis=name,
            length=factor * mark.get_markersize(),
            width=factor * mark.get_markeredgewidth(),
            pad=factor * (tick.get_pad() + off) - off,
            labelsize=factor * label.get_fontsize(),
            grid_linewidth=factor * tick.gridline.get_linewidth(),
        )


def raise_title(ax: Any, y: float | None = None, factor: float = 1.0) -> None:
    """Move the left title of axes to a height, or multiply the distance of all three from them.

    `Axes.set_title` alone can do either, and would make it look as it did at first.
    """
    [first] = [text for text in titles(ax) if text.get_ha() == "left"]
    pad = ax.titleOffsetTrans.get_matrix()[1, 2] / ax.figure.dpi * 72
    height = first.get_position()[1] if y is None else y
    ax.set_title(
        first.get_text(),
        loc="left",
        pad=factor * pad,
        y=None if height == 1 else height,
        fontsize=first.get_fontsize(),
        fontweight=first.get_fontweight(),
        color=first.get_color(),
    )


def titles(ax: Any) -> list[Any]:
    """Return the three titles of axes."""
    return [t for t in ax.get_children() if isinstance(t, Text) and t not in list(ax.texts)]


def _text(text, factor):
    text.set_fontsize(factor * text.get_fontsize())


def _annotation(text, factor):
    if text.anncoords == "offset points":
        text.xyann = tuple(factor * np.asarray(text.xyann))


def _line(line, factor):
    line.set_linewidth(factor * line.get_linewidth())
    line.set_markersize(factor * line.get_markersize())
    line.set_markeredgewidth(factor * line.get_markeredgewidth())


def _collection(drawn, factor):
    drawn.set_linewidth(factor * np.asarray(drawn.get_linewidth()))
    drawn.set_hatch_linewidth(factor * drawn.get_hatch_linewidth())
    if hasattr(drawn, "get_sizes"):
        drawn.set_sizes(factor**2 * np.asarray(drawn.get_sizes()))


def _patch(patch, factor):
    patch.set_linewidth(factor * patch.get_linewidth())
    patch.set_hatch_linewidth(factor * patch.get_hatch_linewidth())


def _arrow(arrow, factor):
    arrow.set_mutation_scale(factor * arrow.get_mutation_scale())


_KINDS = (
    (Text, _text), (Annotation, _annotation), (Line2D, _line), (Collection, _collection),
    (Patch, _patch), (FancyArrowPatch, _arrow),
)  # fmt: skip
