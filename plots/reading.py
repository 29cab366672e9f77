"""Record: the numbers of a figure, read back from what is drawn, and where the eye sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
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
    return {key: np.asarray(numbers, np.float64) for key, numbers, _ in _marks(fig)}


def fractions(fig: FigureBase) -> dict[str, Callable]:
    """Return functions, by the keys of `record`, that make of numbers what the eye compares.

    Coordinates become fractions of the axes, through their scales; values of cells places in the
    range of the colors, and levels places in the range of the values.

    Parameters
    ----------
    fig
        A Figure or SubFigure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot(xscale="log", xlim=(1, 100))
    >>> [dot] = ax.plot([10], [0.5], gid="gd:dot")
    >>> assert np.allclose(fractions(ax.figure)["dot"](dot.get_xydata()), 0.5)
    """
    return {key: seen for key, _, seen in _marks(fig)}


def _marks(fig: FigureBase) -> Iterator[tuple[str, Any, Callable]]:
    """Yield the key of everything that is drawn, its numbers, and what makes fractions of them."""
    count = Counter()
    for ax in axes_of(fig):
        label = f"{ax.get_label()}/" if ax.get_label() else ""
        for role, numbers, seen in _marks_of(ax):
            key = label + role
            count[key] += 1
            yield (f"{key} {count[key]}" if count[key] > 1 else key), numbers, seen


def _marks_of(ax):
    for artist in ax.get_children():
        role = role_of(artist)
        if role is not None and not isinstance(artist, Text) and not _is_surface(artist):
            yield role, numbers_of(artist), _seen(artist, ax)
            if isinstance(artist, QuadMesh):
                corners = np.asarray(artist.get_coordinates())[[0, -1], [0, -1]]
                yield f"{role}, corners", corners, partial(_along, ax)
    limits = np.array([ax.get_xlim(), ax.get_ylim()])
    yield "limits", limits, lambda limits: _along(ax, limits.T)


def axes_of(fig: FigureBase) -> list[Axes]:
    """Return the axes of a figure, or of one of its parts, with those that stand in others."""
    axes: Any = fig.axes
    return [ax for whole in axes for ax in (whole, *whole.child_axes)]


def sides(ax: Any) -> list:
    """Return the two axis of axes, or the three."""
    return [getattr(ax, f"{name}axis") for name in "xyz" if hasattr(ax, f"{name}axis")]


def role_of(artist: Any) -> str | None:
    """Return the role that the gid of an artist names, or None."""
    gid = artist.get_gid()
    return gid.removeprefix(_MARK) if isinstance(gid, str) and gid.startswith(_MARK) else None


def _is_surface(artist):
    """Whether it is a surface in space, whose corners have no public getter."""
    return isinstance(artist, PolyCollection) and hasattr(artist, "do_3d_projection")


def numbers_of(artist: Any) -> Any:
    """Return the numbers of an artist, as `record` lists them."""
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


def _seen(artist: Any, ax: Any) -> Callable:
    """Return what makes fractions of the numbers of an artist."""
    if isinstance(artist, QuadMesh | AxesImage):
        return artist.norm
    if ax.name == "3d":
        places = partial(_along, ax)
    else:
        places = (transform_of(artist) - ax.transAxes).transform
    if isinstance(artist, Arrow):
        return lambda arrow: places(np.cumsum(arrow, 0))  # to the tip
    if isinstance(artist, ContourSet):
        height = _share_of_heights(artist)
        if artist.filled:
            return height
        return lambda rows: np.column_stack([height(rows[:, 0]), places(rows[:, 1:])])
    return places


def _share_of_heights(contours: Any) -> Callable:
    low, size = contours.zmin, (contours.zmax - contours.zmin) or 1.0
    return lambda levels: (levels - low) / size


def transform_of(artist: Any) -> Any:
    """Return what brings the coordinates of an artist to the screen."""
    if isinstance(artist, PathCollection):
        return artist.get_offset_transform()
    return artist.get_data_transform() if isinstance(artist, Patch) else artist.get_transform()


def _along(ax, points):
    """Return points (n, 2), in space (n, 3), as fractions of the axes."""
    shares = []
    for axis, column in zip(sides(ax), points.T, strict=False):
        scale = axis.get_transform()
        low, high = scale.transform(np.array(axis.get_view_interval()))
        shares.append((scale.transform(column) - low) / (high - low))
    return np.stack(shares, -1)
