"""Words: what is written in a figure, and the sentences that say what is drawn."""

from __future__ import annotations

import re

import numpy as np
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import FigureBase
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from .marks import Arrow
from .reading import axes_of, numbers_of, role_of, sides


def words(fig: FigureBase) -> list[str]:
    """Return every text of a figure that is no label of a tick, in the order of its parts.

    Parameters
    ----------
    fig
        A Figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> assert words(Figure().add_subplot(title="one", xlabel="x").figure) == ["one", "x"]
    """
    said = [text.get_text() for text in fig.texts]
    for ax in axes_of(fig):
        said += [ax.get_title(loc=loc) for loc in ("left", "center", "right")]
        said += [ax.get_xlabel(), ax.get_ylabel()]
        said += [text.get_text() for text in ax.texts if text.get_visible()]
    return [re.sub(r"\s*\n\s*", " ", text.strip()) for text in said if text.strip()]


def of_name(f: object) -> str:
    """Return " of " and the name of an objective, as far as somebody gave it one.

    Examples
    --------
    >>> import gdpure as gd
    >>> assert of_name(gd.landscapes.double_well) == " of double well"
    >>> assert of_name(lambda theta: 0.0) == of_name(gd.least_squares([[1.0]], [1.0])) == ""
    """
    for inside in ("value", "function"):  # of an objective, of gd.unpack
        f = getattr(f, inside, f)
    name = str(getattr(f, "name", getattr(f, "__name__", "<")))
    return "" if name.startswith(("<", "_")) else f" of {name.replace('_', ' ')}"


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
    for ax in axes_of(fig):
        if any(map(role_of, ax.get_children())) or ax.get_xlabel() or ax.get_ylabel():
            said.append(_axes_in_words(ax))
    return " ".join(said) or "An empty figure."


def _axes_in_words(ax):
    title = " ".join(plain(ax.get_title(loc=loc)) for loc in ("left", "right")).strip()
    # More cannot be read off a logarithmic axis, and of what is small more may be rounding.
    digits = [2 if axis.get_scale() == "log" else 4 for axis in sides(ax)]
    ranges = (("horizontal", ax.xaxis, ax.get_xlim()), ("vertical", ax.yaxis, ax.get_ylim()))
    names = [
        f"{plain(axis.get_label_text()) or which} from {low:.{n}g} to {high:.{n}g}"
        + (", logarithmic" if axis.get_scale() == "log" else "")
        for (which, axis, (low, high)), n in zip(ranges, digits, strict=False)
    ]
    marks = []
    for artist in ax.get_children():
        role = role_of(artist)
        if role is not None and isinstance(artist, Line2D | Arrow | PathCollection):
            marks.append(f"{role}: {_points_in_words(numbers_of(artist), artist, digits)}")
        elif role is not None and isinstance(artist, QuadMesh | AxesImage):
            marks.append(f"{role}: {_cells_in_words(numbers_of(artist))}")
    return f"{title or ax.get_label() or 'axes'}: {'; '.join([*names, *marks])}."


def _cells_in_words(values):
    seen = values[np.isfinite(values)]
    rows, columns = values.shape
    span = f" from {seen.min():.4g} to {seen.max():.4g}" if seen.size else ""
    return f"{columns} x {rows} cells{span}"


def _points_in_words(points, artist, digits):
    if isinstance(artist, Arrow):
        return f"arrow from {_place(points[0], digits)} by {_place(points[1], digits)}"
    points = points[np.isfinite(points).all(1)]
    if len(points) == 0:
        return "none"
    first, last = _place(points[0], digits), _place(points[-1], digits)
    return f"at {first}" if len(points) == 1 else f"{len(points)} points from {first} to {last}"


def _place(point, digits):
    return f"({', '.join(f'{x:.{n}g}' for x, n in zip(point, digits, strict=False))})"


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
