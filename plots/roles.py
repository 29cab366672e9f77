"""Roles: which of a theme's colors each mark of a figure has, whatever the theme."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import Collection
from matplotlib.colors import Colormap, to_hex, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from .marks import tint
from .palette import Theme, legible, look_of
from .reading import axes_of, role_of


def roles(fig: Figure, theme: Theme) -> list[str]:
    """Return which roles of a theme the colors of each mark and each text of a figure have.

    The colors of a mark stand between commas. One that is that of several roles has " or " between
    them, and what is mixed has none: so a figure has nearly the same list in two themes.

    Examples
    --------
    >>> fig = Figure()
    >>> _ = fig.add_subplot().plot([0, 1], c=look_of("light").gd, gid="gd:path")
    >>> assert roles(fig, "light")[0] == "path: gd"
    """
    known, found = _colors(look_of(theme)), []
    of_texts = {role: those for role, those in known.items() if len(those) < 9}  # no maps: mixed
    for ax in axes_of(fig):
        for artist in (*ax.get_children(), ax.xaxis.label, ax.yaxis.label):
            name = "text" if isinstance(artist, Text) else role_of(artist)
            colors = set() if name is None else set(map(to_hex, _colors_of(artist)))
            these = (of_texts if name == "text" else known).items()
            named = {" or ".join(r for r, those in these if c in those) for c in colors}
            if named:
                found.append(f"{name}: {', '.join(sorted(named))}")
    return found


def _colors(look):
    """Return the colors of each role: its own, the legible one, and all of a map."""
    found = {}
    for role, given in look._asdict().items():
        if isinstance(given, Colormap):
            found[role] = set(map(to_hex, given(np.arange(given.N))))
        else:
            own = [given] if isinstance(given, str) else given
            found[role] = {to_hex(c) for color in own for c in (color, legible(color, look))}
    return found | {"tint": {to_hex(tint(look))}}


def _colors_of(artist):
    """Return the colors of an artist that are seen, one by one."""
    if isinstance(artist, Line2D):
        line, mark = artist.get_linestyle() != "None", artist.get_marker() not in ("None", "")
        edge = [artist.get_markerfacecolor(), artist.get_markeredgecolor()] if mark else []
        return [artist.get_color()] * line + edge
    if isinstance(artist, Text):
        return [artist.get_color()] if artist.get_text() else []
    if isinstance(artist, Collection | Patch) and artist.get_visible():
        both = [to_rgba_array(artist.get_facecolor()), to_rgba_array(artist.get_edgecolor())]
        return [color for color in np.concatenate(both) if color[3] > 0]
    return []


def recolored(now: Any, then: Any) -> list[str]:
    """Return the marks and texts that have the colors of other roles than they had."""
    if len(now) != len(then):
        return sorted(set(now) ^ set(then))
    return [a for a, b in zip(now, then, strict=True) if not _may_be(a, b) or not _may_be(b, a)]


def _may_be(one, other):
    """Whether each color of a mark may be of the same role as one of the other's colors."""
    ours, theirs = (
        [set(color.split(" or ")) for color in mark.rpartition(": ")[2].split(", ")]
        for mark in (one, other)
    )
    return all(any(color & that for that in theirs) for color in ours)
