"""Record: the numbers of a figure, read back from what is drawn; and the sentence they make."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PathCollection, PolyCollection, QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.figure import FigureBase
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from .marks import Arrow

_MARK = "gd:"


def record(fig: FigureBase) -> dict[str, np.ndarray]:
    """Return everything that is drawn under a gid, by role, as float64 arrays.

    The key of a mark is "label/role", with the label of its axes if they have one; the second of
    the same key ends in " 2". Beside them are the limits of all axes, "label/limits" (2, 2).

    ==============================  ==============================================
    lines, points                   their coordinates (n, 2), in space (n, 3)
    arrows                          start and vector (2, 2)
    level lines                     level and coordinates of each vertex (n, 3)
    bands                           their edges (n,)
    areas, polygons                 their vertices (n, 2)
    meshes, images                  their values; of a mesh the corners (2, 2), too
    ==============================  ==============================================

    Parameters
    ----------
    fig
        A Figure or SubFigure.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> from gdpure import plots
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> drawn = record(plots.descent(gd.landscapes.bowl, run).figure)
    >>> assert np.array_equal(drawn["path"], run.history.point)
    """
    found = {}
    for ax in _all_axes(fig):
        label = f"{ax.get_label()}/" if ax.get_label() else ""
        for artist in ax.get_children():
            role = role_of(artist)
            if role is not None and not isinstance(artist, Text) and not _is_surface(artist):
                _put(found, label + role, _numbers(artist))
                if isinstance(artist, QuadMesh):
                    corners = np.asarray(artist.get_coordinates())
                    _put(found, f"{label}{role}, corners", corners[[0, -1], [0, -1]])
        _put(found, label + "limits", np.array([ax.get_xlim(), ax.get_ylim()]))
    return found


def _all_axes(fig: FigureBase) -> list[Axes]:
    """Return the axes of a figure, or of one of its parts."""
    axes: Any = fig.axes
    return list(axes)


def role_of(artist: Any) -> str | None:
    """Return the role that the gid of an artist names, or None."""
    gid = artist.get_gid()
    return gid.removeprefix(_MARK) if isinstance(gid, str) and gid.startswith(_MARK) else None


def _is_surface(artist):
    """Whether it is a surface in space, whose corners have no public getter."""
    return isinstance(artist, PolyCollection) and hasattr(artist, "do_3d_projection")


def _put(found, key, numbers):
    name, count = key, 1
    while name in found:
        count += 1
        name = f"{key} {count}"
    found[name] = np.asarray(numbers, np.float64)


def _numbers(artist):
    if hasattr(artist, "get_data_3d"):
        return np.transpose(np.asarray(artist.get_data_3d(), np.float64))
    if isinstance(artist, Line2D):
        return np.asarray(artist.get_xydata(), np.float64)
    if isinstance(artist, Arrow):
        return np.stack([artist.start, artist.vector])
    if isinstance(artist, ContourSet):
        return artist.levels if artist.filled else _vertices(artist)
    if isinstance(artist, PathCollection):
        return artist.get_offsets()
    if isinstance(artist, AxesImage):
        return np.ma.filled(np.ma.asarray(artist.get_array(), np.float64), np.nan)
    if isinstance(artist, Patch):
        path = artist.get_path()
        return artist.get_patch_transform().transform(path.vertices)
    if isinstance(artist, Collection):
        if artist.get_array() is not None:
            return np.ma.filled(np.ma.asarray(artist.get_array(), np.float64), np.nan)
        return np.concatenate([path.vertices for path in artist.get_paths()])
    raise TypeError(f"record: nothing can be read back from a {type(artist).__name__}")


def _vertices(contours):
    lines = zip(contours.levels, contours.get_paths(), strict=True)
    rows = [np.column_stack([np.full(len(p.vertices), z), p.vertices]) for z, p in lines]
    return np.concatenate(rows) if rows else np.zeros((0, 3))


# -- in words --------------------------------------------------------------------------------------


def alt_text(fig: FigureBase) -> str:
    """Return what a figure shows, in sentences made of what is drawn.

    Title, axes with their ranges, and of each line or set of points how many there are, and the
    first and the last; of cells how many, and their range.

    Parameters
    ----------
    fig
        A Figure or SubFigure.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> from gdpure import plots
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> said = alt_text(plots.descent(gd.landscapes.bowl, run).figure)
    >>> assert "path: 11 points from (2, 1) to (0.2147, 0.1074)" in said
    """
    said = [f"{plain(text.get_text())}." for text in fig.texts if plain(text.get_text())]
    for ax in _all_axes(fig):
        if any(map(role_of, ax.get_children())) or ax.get_xlabel() or ax.get_ylabel():
            said.append(_axes_in_words(ax))
    return " ".join(said) or "An empty figure."


def _axes_in_words(ax):
    title = " ".join(plain(ax.get_title(loc=loc)) for loc in ("left", "right")).strip()
    names = [
        f"{plain(name) or which} from {_short(low)} to {_short(high)}"
        + (", logarithmic" if scale == "log" else "")
        for which, name, (low, high), scale in (
            ("horizontal", ax.get_xlabel(), ax.get_xlim(), ax.get_xscale()),
            ("vertical", ax.get_ylabel(), ax.get_ylim(), ax.get_yscale()),
        )
    ]
    marks = []
    for artist in ax.get_children():
        role = role_of(artist)
        if role is not None and isinstance(artist, Line2D | Arrow | PathCollection):
            marks.append(f"{role}: {_points_in_words(_numbers(artist), artist)}")
        elif role is not None and isinstance(artist, QuadMesh | AxesImage):
            marks.append(f"{role}: {_cells_in_words(_numbers(artist))}")
    return f"{title or ax.get_label() or 'axes'}: {'; '.join([*names, *marks])}."


def _cells_in_words(values):
    seen = values[np.isfinite(values)]
    rows, columns = values.shape
    span = f" from {_short(seen.min())} to {_short(seen.max())}" if seen.size else ""
    return f"{columns} x {rows} cells{span}"


def _points_in_words(points, artist):
    if isinstance(artist, Arrow):
        return f"arrow from {_place(points[0])} by {_place(points[1])}"
    points = points[np.isfinite(points).all(1)]
    if len(points) == 0:
        return "none"
    if len(points) == 1:
        return f"at {_place(points[0])}"
    return f"{len(points)} points from {_place(points[0])} to {_place(points[-1])}"


def _place(point):
    return f"({', '.join(map(_short, point))})"


def _short(x):
    return f"{x:.4g}"


_SYMBOLS = {
    r"\bigstar": "star", r"\eta": "eta", r"\mu": "mu", r"\lambda": "lambda", r"\beta": "beta",
    r"\kappa": "kappa", r"\theta": "theta", r"\ast": "*", r"\cdot": " x ", r"\sim": "~",
    r"\leq": "<=", r"\le": "<=", r"\nabla": "grad ", r"\Vert": "|", r"\|": "|", r"\,": " ",
}  # fmt: skip


def plain(text: str) -> str:
    r"""Return a text without mathematical markup.

    Examples
    --------
    >>> assert plain(r"gap $f(x_k) - f^\ast$,  $\eta = 1/L$") == "gap f(x_k) - f^*, eta = 1/L"
    """
    for markup in sorted(_SYMBOLS, key=len, reverse=True):
        text = text.replace(markup, _SYMBOLS[markup])
    text = re.sub(r"\\[a-zA-Z]+|[${}]", "", text)
    return re.sub(r"\s+", " ", text).strip()
