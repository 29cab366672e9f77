"""The style of all figures, and what it means to draw one axes or a whole figure in it.

Layouts are fixed fractions of the figure and fonts come with matplotlib, so that no mark moves when
a font or its renderer does.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from .palette import Look, Theme, look_of

WIDTH = 7.2  # inches, the full width of a page of text
NAMES = ("a", "b")  # of two parameters
_OFF = 0.002  # inches
DASHED, DOTTED = (0, (5, 2)), (0, (1, 1.6))


def _settings(look, scale) -> dict[Any, Any]:
    return {
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "figure.facecolor": look.paper,
        "savefig.facecolor": look.paper,
        "axes.facecolor": look.paper,
        "font.family": ["DejaVu Sans"],
        "mathtext.fontset": "dejavusans",
        "font.size": 8.5 * scale,
        "text.color": look.ink,
        "text.hinting": "none",
        "axes.titlesize": 9.5 * scale,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 7,
        "axes.titlecolor": look.ink,
        "axes.labelsize": 8.5 * scale,
        "axes.labelcolor": look.ink,
        "axes.labelpad": 3,
        "axes.edgecolor": look.muted,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "axes.formatter.use_mathtext": True,
        "grid.color": look.rule,
        "grid.linewidth": 0.5,
        "grid.alpha": 0.8,
        "xtick.color": look.muted,
        "ytick.color": look.muted,
        "xtick.labelcolor": look.ink,
        "ytick.labelcolor": look.ink,
        "xtick.labelsize": 7.5 * scale,
        "ytick.labelsize": 7.5 * scale,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "lines.linewidth": 1.8,
        "lines.markersize": 4.0,
        "lines.markeredgewidth": 0.6,
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
        "legend.frameon": False,
        "legend.fontsize": 7.8 * scale,
        "hatch.linewidth": 0.7,
        "hatch.color": look.muted,
        "image.interpolation": "nearest",
        "image.origin": "lower",
        "contour.algorithm": "serial",
        "contour.negative_linestyle": "solid",
        "path.simplify": False,
        "svg.hashsalt": "gdpure",
        "svg.id": "gdpure",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }


@contextlib.contextmanager
def style(theme: Theme = "light", scale: float = 1.0) -> Iterator[Look]:
    """Draw and save in this context: no setting of the user's reaches the figure.

    Parameters
    ----------
    theme
        "light", "dark", or a mapping from roles to colors; see `gdpure.plots.palette.Look`.
    scale
        Of all text.

    Examples
    --------
    >>> import matplotlib
    >>> before = dict(matplotlib.rcParams)
    >>> with style("dark") as look:
    ...     assert matplotlib.rcParams["axes.facecolor"] == look.paper
    >>> assert dict(matplotlib.rcParams) == before
    """
    look = look_of(theme)
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < 100:
        raise ValueError(f"scale must be a positive number, the size of all text, got {scale!r}")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings = _settings(look, scale).items()
        matplotlib.rcParams.update({k: v for k, v in settings if k in matplotlib.rcParams})
        yield look


def figure_level(draw: Callable) -> Callable:
    """Make a function of ``theme, scale, fig`` draw in the style, and refuse an ``ax``."""
    return _styled(draw, "ax", "draws a whole figure: pass fig=, a Figure or a SubFigure, not ax=")


def axes_level(draw: Callable) -> Callable:
    """Make a function of ``theme, scale, ax`` draw in the style, and refuse a ``fig``."""
    return _styled(draw, "fig", "draws one axes: pass ax=, an Axes, not fig=")


def _styled(draw, refused, reason):
    @functools.wraps(draw)
    def drawn(*args, **options):
        if refused in options:
            raise TypeError(f"{draw.__name__}: {reason}")
        with style(options.get("theme", "light"), options.get("scale", 1.0)):
            result = draw(*args, **options)
        own = options.get("ax") is options.get("fig") is None and hasattr(result, "figure")
        if own and not hasattr(type(result), "_repr_mimebundle_"):
            result._repr_mimebundle_ = functools.partial(_shown, result.figure)  # nobody else would
        return result

    return drawn


def _shown(fig, **asked):
    from .files import shown  # it draws in this style itself

    return shown(fig, **asked)


def canvas(fig: Any, height: float, theme: Theme, caller: str) -> tuple[FigureBase, Look]:
    """Return the figure to draw on, a new one of full width if there is none, and the look.

    Positions in it are fractions of WIDTH and `height`, in inches.
    """
    look = look_of(theme)
    if fig is None:
        fig = Figure(figsize=(WIDTH, height))
    elif not isinstance(fig, FigureBase):
        raise TypeError(f"{caller}: fig must be a Figure or a SubFigure, got {type(fig).__name__}")
    fig.set_facecolor(look.paper)
    return fig, look


def plane(
    ax: Any, size: tuple[float, float], box: tuple, theme: Theme, caller: str, **options: Any
) -> tuple[Any, Look]:
    """Return the axes to draw on, and the look: those that are given, dressed, or new ones.

    New ones are alone in a figure of `size` inches, at ``box = (left, bottom, width, height)``.
    """
    look = look_of(theme)
    if ax is None:
        return Figure(figsize=size).add_axes(box, **options), look
    if not isinstance(ax, Axes):
        raise TypeError(f"{caller}: ax must be an Axes, got {type(ax).__name__}")
    wanted = options.get("projection", "rectilinear")
    if ax.name != wanted:
        raise ValueError(
            f"{caller}: ax must be made with projection={wanted!r}, got projection={ax.name!r}"
        )
    _dress(ax, look)
    return ax, look


def _dress(ax, look):
    """Give axes that were made outside of the style what it would have given them."""
    rc: Any = matplotlib.rcParams
    ax.set_facecolor(look.paper)
    ax.set_axisbelow(True)
    for name in ("x", "y"):
        size, width, pad = (rc[f"{name}tick.major.{what}"] for what in ("size", "width", "pad"))
        labels = {"labelsize": rc[f"{name}tick.labelsize"], "labelcolor": look.ink}
        ax.tick_params(axis=name, color=look.muted, length=size, width=width, pad=pad, **labels)
        getattr(ax, f"{name}axis").label.set(color=look.ink, size=rc["axes.labelsize"])
    if ax.name != "3d":
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set(color=look.muted, linewidth=rc["axes.linewidth"])


def box(left: float, bottom: float, width: float, height: float, of: float) -> tuple:
    """Return a place given in inches as fractions of WIDTH and of a figure's height.

    It is moved by a fifth of a pixel, so that the middle of a window is not half-way between two
    pixels: there the last digit decides to which of them a mark is rounded.
    """
    return ((left + _OFF) / WIDTH, (bottom + _OFF) / of, width / WIDTH, height / of)
