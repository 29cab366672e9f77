"""Level sets: bands of one flat color, the same in all parts of a figure, and what labels them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import ListedColormap, Normalize, PowerNorm

from .layout import placed
from .marks import few_ticks, filled, halo, key_beside, note_below, on_paper

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_APART = 4.0  # times as long, a side of a window has another unit than the other one


class Bands(NamedTuple):
    """Levels, `edges` that add the lowest and the highest value, and a color between two edges."""

    norm: Any
    levels: Any
    edges: Any
    colors: Any
    map: Any


def bands_of(z: Any, colormap: Any, lowest: float = np.inf) -> Bands:
    """Return levels ``lowest + c k^2`` with a round c: equally spaced rings on a bowl.

    Parameters
    ----------
    z
        Values of any shape; those that are not finite are left out.
    colormap
        From low to high.
    lowest
        What the values are known to be at least, such as the minimum.
    """
    finite = np.asarray(z, np.float64)[np.isfinite(z)]
    if not finite.size:
        raise ValueError("no value in the window is finite: there is no level to draw")
    lowest, highest = min(lowest, finite.min()), finite.max()
    if not highest > lowest:  # a constant: one color, and no level
        edges = np.array([lowest, lowest + 1])
        norm = Normalize(lowest - 1, lowest + 1)
        return Bands(norm, edges[:0], edges, colormap([0.5]), colormap)
    rough = (highest - lowest) / 8.5**2
    size = 10.0 ** np.floor(np.log10(rough))
    unit = size * min((1, 2, 5, 10), key=lambda digit: abs(np.log(digit * size / rough)))
    rings = unit * (np.floor(lowest / unit) + np.arange(1, 40) ** 2)
    norm = PowerNorm(0.5, vmin=lowest, vmax=highest)
    room = 0.04  # of the scale: closer levels leave no place for their labels
    levels = rings[(rings < highest) & (norm(rings) > room) & (norm(rings) < 1 - room)]
    edges = np.array([lowest, *levels, highest])
    places = np.asarray(norm(edges))
    return Bands(norm, levels, edges, colormap((places[:-1] + places[1:]) / 2), colormap)


def draw_levels(ax: Any, field: Any, window: Any, bands: Bands, look: Any) -> None:
    """Draw bands and level lines on a square-scaled axes; what is not finite is hatched."""
    x, y, z = (np.asarray(leaf) for leaf in field)
    # The outer edges are moved by nothing visible, so that extreme values are inside.
    edges, slack = bands.edges.copy(), 1e-6 * np.ptp(bands.edges)
    edges[0], edges[-1] = edges[0] - slack, edges[-1] + slack
    shown = np.ma.masked_invalid(z)
    ax.contourf(x, y, shown, levels=edges, colors=bands.colors).set_gid("gd:bands")
    if len(bands.levels):
        lines = {"colors": look.paper, "linewidths": 0.6}
        ax.contour(x, y, shown, levels=bands.levels, **lines).set_gid("gd:levels")
    hatch(ax, x, y, ~np.isfinite(z), look)
    ax.set(xlim=np.asarray(window)[0], ylim=np.asarray(window)[1])
    set_sides(ax, window, look)
    few_ticks(ax.xaxis, ax.yaxis)


def set_sides(ax: Any, window: Any, look: Any) -> None:
    """Show both axes of a map in one scale, or say that it cannot be."""
    across, up = np.ptp(np.asarray(window, np.float64), 1)
    if 1 / _APART <= up / across <= _APART:
        ax.set_aspect("equal", adjustable="box")
    else:
        ax.set_aspect("auto")
        ax.set_box_aspect(0.8)
        note_below(ax, ["each axis has its own scale: angles are not kept"], look)


def hatch(ax: Any, x: Any, y: Any, where: Any, look: Any) -> None:
    """Hatch the cells of a grid in which the values at its points are not finite."""
    if not where.any():
        return
    shown = np.ma.masked_where(~where, np.ones(where.shape))
    ground = ListedColormap([look.faint])
    ax.pcolormesh(*_cells(x, y), shown, cmap=ground, gid="gd:not finite", rasterized=True)
    lines = {"colors": "none", "hatches": ["/////"]}
    ax.contourf(x, y, where.astype(float), levels=[0.5, 1.5], **lines).set(
        edgecolor=look.rule, linewidth=0
    )


def _cells(x, y):
    """Return the corners of the cells around the points of an even grid."""
    middles = [np.convolve(a, [0.5, 0.5], "valid") for a in map(np.asarray, (x, y))]
    return [np.concatenate([[2 * m[0] - m[1]], m, [2 * m[-1] - m[-2]]]) for m in middles]


def band_bar(beside: Any, bands: Bands, look: Any, label: str = "$f$") -> Any:
    """Draw the bands of a map right of it as its scale, labeled at the levels that have room."""
    ax = key_beside(beside, (1.05, 0, 0.05, 1), "scale")
    places = np.asarray(bands.norm(bands.edges))
    for below, above, color in zip(places[:-1], places[1:], bands.colors, strict=True):
        ax.axhspan(below, above, color=color, lw=0)
    for place in places[1:-1]:
        ax.axhline(place, color=look.paper, lw=0.6)
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[])
    offset, labels = labels_of(bands)
    if len(labels):
        ax.annotate(f"{label}{relative(offset)}", (0, 1), (0, 5), "axes fraction",
                    textcoords="offset points", gid="gd:label")  # fmt: skip

    def place():
        tall = 1.4 * ax.yaxis.get_ticklabels()[0].get_fontsize() / 72 * ax.figure.dpi
        least, last, kept = tall / beside.bbox.height, -1.0, []
        for at, text in zip(places[1:-1], labels, strict=True):
            kept.append(text if at - last >= least else "")
            last = at if kept[-1] else last
        ax.set_yticks(places[1:-1], kept)

    if len(labels):
        ax.set_yticks(places[1:-1], labels)
        placed(place)
    else:
        ax.set_yticks([0.5], [number(bands.edges[0])])
    return ax


def number(x: float, digits: int = 6) -> str:
    """Return a number as it is written in figures.

    Examples
    --------
    >>> assert number(-0.5) == "\N{MINUS SIGN}0.5" and number(1.5e-7) == "1.5·10⁻⁷"
    """
    written, _, power = f"{x:.{digits}g}".partition("e")
    written = written.replace("-", "\N{MINUS SIGN}")
    if not power:
        return written
    ten = f"10{str(int(power)).translate(_RAISED)}"
    return ten if written == "1" else f"{written}·{ten}"


def labels_of(bands: Bands) -> tuple[float, list[str]]:
    """Return a number and the labels of levels less that number: 0, unless digits do not suffice.

    Examples
    --------
    >>> offset, labels = labels_of(bands_of([0.0, 9.0], lambda places: places))
    >>> assert offset == 0.0 and labels[:3] == ["0.1", "0.4", "0.9"]
    """
    labels = [number(level) for level in bands.levels]
    if len(set(labels)) == len(labels):
        return 0.0, labels
    offset = float(f"{bands.levels[0]:.6g}")
    return offset, [number(level - offset) for level in bands.levels]


def relative(offset: float) -> str:
    """Return what is to be written behind an f that is meant less an offset.

    Examples
    --------
    >>> assert relative(0.0) == "" and relative(-2.0) == " + 2"
    """
    sign = "+" if offset < 0 else "\N{MINUS SIGN}"
    return f" {sign} {number(abs(offset), 12)}" if offset else ""


def ray_labels(ax: Any, field: Any, bands: Bands, origin: Any, look: Any, path: Any = None) -> None:
    """Label levels where one ray from `origin` (2,) crosses them: they cannot overlap.

    Of the rays to the corners of the window, the one on which most labels have room, and are not in
    the way of a path (n, 2). A label is whole inside the map, or there is none.
    """
    window = np.array([ax.get_xlim(), ax.get_ylim()])
    origin = np.clip(np.asarray(origin, float), *window.T)
    corners = [np.array([x, y]) for x in window[0] for y in window[1]]
    labels = labels_of(bands)[1]
    size = 0.78 * ax.xaxis.label.get_size()
    written = [
        ax.text(*origin, label, fontsize=size, ha="center", va="center", zorder=4,
                path_effects=halo(look, 2.0), gid="gd:level label")
        for label in labels
    ]  # fmt: skip

    def place():
        ax.apply_aspect()
        for text in written:
            text.set_visible(True)  # what is hidden has no size
        room = np.array([text.get_window_extent().size for text in written]).reshape(-1, 2)
        taken = np.zeros((0, 2)) if path is None else on_paper(ax, filled(path))
        room = room / ax.figure.dpi * 72

        def free(ray):
            places = on_paper(ax, np.array([place for _, place in ray]).reshape(-1, 2))
            half = room[[i for i, _ in ray]] / 2 + 4  # a mark may not hide a minus sign
            covered = (np.abs(places[:, None] - taken) <= half[:, None]).all(2).any(1)
            return [one for one, hidden in zip(ray, covered, strict=True) if not hidden]

        rays = [_crossings(ax, field, bands, origin, corner, room) for corner in corners]
        chosen = dict(max(map(free, rays), key=len))
        for i, text in enumerate(written):
            text.set_visible(i in chosen)
            text.set_position(chosen.get(i, origin))

    placed(place)


def _crossings(ax, field, bands, origin, corner, room):
    """Return which levels a ray crosses where their labels, of sizes (n, 2), have room, and where.

    In points: two labels do not touch, and none comes near the edge of the map.
    """
    path = origin + np.linspace(0, 1, 2001)[:, None] * (corner - origin)
    values = _interpolated(field, path)
    points = on_paper(ax, path)
    low, high = ax.bbox.get_points() / ax.figure.dpi * 72
    last, size, found = points[0], np.array([3.0, 3.0]), []
    for i, level in enumerate(bands.levels):
        for crossed in np.flatnonzero((values[:-1] < level) & (values[1:] >= level))[:1]:
            at, half = points[crossed], room[i] / 2 + 1.5
            inside = (at - half > low).all() and (at + half < high).all()
            if inside and (np.abs(at - last) > half + size).any():
                last, size = at, half
                found.append((i, path[crossed]))
    return found


def _interpolated(field, points):
    """Return the values of a field at points (n, 2) of its window, linear between the grid's."""
    x, y, z = (np.asarray(leaf, np.float64) for leaf in field)
    across = np.array([np.interp(points[:, 0], x, row) for row in z])
    rows = np.interp(points[:, 1], y, np.arange(len(y)))
    below = np.clip(rows.astype(int), 0, len(y) - 2)
    share, column = rows - below, np.arange(len(points))
    with np.errstate(invalid="ignore"):  # beside what is not finite nothing is crossed
        return (1 - share) * across[below, column] + share * across[below + 1, column]
