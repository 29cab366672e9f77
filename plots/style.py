"""The style of all figures, and what it means to draw one axes or a whole figure in it.

Fonts come with matplotlib, so that no mark moves with those of a machine.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from .layout import drawing, sheet
from .palette import Look, Theme, look_of
from .sizes import TEXT, size_of, titles

NAMES = ("a", "b")  # of two parameters
DASHED, DOTTED = (0, (5, 2)), (0, (1, 1.6))


def _settings(look) -> dict[Any, Any]:
    ticks = {"color": look.muted, "labelcolor": look.ink, "labelsize": 7.5, "major.size": 3}
    ticks["major.width"] = 0.7
    return {f"{axis}tick.{name}": value for axis in "xy" for name, value in ticks.items()} | {
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "figure.facecolor": look.paper,
        "savefig.facecolor": look.paper,
        "axes.facecolor": look.paper,
        "font.family": ["DejaVu Sans"],
        "mathtext.fontset": "dejavusans",
        "font.size": TEXT,
        "text.color": look.ink,
        "text.hinting": "none",
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 7,
        "axes.titlecolor": look.ink,
        "axes.labelsize": 8.5,
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
        "lines.linewidth": 1.8,
        "lines.markersize": 4.0,
        "lines.markeredgewidth": 0.6,
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
        "legend.frameon": False,
        "legend.fontsize": 7.8,
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
def style(theme: Theme = "light") -> Iterator[Look]:
    """Draw and save in this context: no setting of the user's reaches the figure.

    Parameters
    ----------
    theme
        "light", "dark", or a mapping from roles to colors; see `gdpure.plots.palette.Look`.

    Examples
    --------
    >>> import matplotlib
    >>> before = dict(matplotlib.rcParams)
    >>> with style("dark") as look:
    ...     assert matplotlib.rcParams["axes.facecolor"] == look.paper
    >>> assert dict(matplotlib.rcParams) == before
    """
    look = look_of(theme)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings = _settings(look).items()
        matplotlib.rcParams.update({k: v for k, v in settings if k in matplotlib.rcParams})
        yield look


def figure_level(draw: Callable) -> Callable:
    """Make a function of ``theme, size, fig`` draw in the style, and refuse an ``ax``."""
    return _styled(draw, "ax", "draws a whole figure: pass fig=, a Figure or a SubFigure, not ax=")


def axes_level(draw: Callable) -> Callable:
    """Make a function of ``theme, size, ax`` draw in the style, and refuse a ``fig``."""
    return _styled(draw, "fig", "draws one axes: pass ax=, an Axes, not fig=")


def _styled(draw, refused, reason):
    @functools.wraps(draw)
    def drawn(*args, **options):
        if refused in options:
            raise TypeError(f"{draw.__name__}: {reason}")
        if drawing():  # a part of another figure
            return draw(*args, **options)
        size = size_of(draw.__name__, options.get("size", "page"))
        given = options.get("ax", options.get("fig"))
        look, named = options.get("theme", "light"), f"gdpure: drawing {draw.__name__} ..."
        with style(look) as look, sheet(size, given) as finish, said_if_slow(named):
            if isinstance(given, Axes):
                _dress(given, look)
            result: Any = draw(*args, **options)
            finish(result if isinstance(result, Axes | FigureBase) else result.figure)
        if given is None:
            _by_itself(result, look)
        return result

    return drawn


@contextlib.contextmanager
def said_if_slow(words: str) -> Iterator[None]:
    """Say on a terminal what is done, once it has taken a second: JAX compiles what is new.

    Examples
    --------
    >>> with said_if_slow("drawing ..."):
    ...     pass
    """
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(1.0, lambda: print(words, end="", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _by_itself(result, look):
    """Make a figure of ours draw in its style, whoever saves it, and show itself in a notebook."""
    result.figure.draw = functools.partial(_drawn, result.figure, look)
    if not hasattr(type(result), "_repr_mimebundle_"):
        result._repr_mimebundle_ = functools.partial(_shown, result.figure)


def _drawn(fig, look, renderer):
    with style(look):  # text is as wide as it was measured
        type(fig).draw(fig, renderer)


def _shown(fig, **asked):
    from .files import shown  # it draws in this style itself

    return shown(fig, **asked)


def _dress(ax, look):
    """Give axes that were made outside of the style what it would have given them."""
    rc: Any = matplotlib.rcParams
    ax.figure.set_facecolor(look.paper)
    ax.set_facecolor(look.paper)
    ax.set_axisbelow(True)
    ax.grid(False)
    ax.minorticks_off()
    font = {"family": rc["font.family"], "math_fontfamily": rc["mathtext.fontset"]}
    size, width, pad = (rc[f"xtick.major.{what}"] for what in ("size", "width", "pad"))
    for name, axis in ax._axis_map.items():
        axis.reset_ticks()  # their fonts are those of the user
        ax.tick_params(
            axis=name, color=look.muted, length=size, width=width, pad=pad, direction="out",
            labelsize=rc["xtick.labelsize"], labelcolor=look.ink, labelfontfamily="DejaVu Sans",
            grid_color=look.rule, grid_linewidth=rc["grid.linewidth"], grid_alpha=rc["grid.alpha"],
        )  # fmt: skip
        axis.label.set(color=look.ink, size=rc["axes.labelsize"], weight="normal", **font)
        axis.labelpad = rc["axes.labelpad"]
        axis.get_offset_text().set(color=look.ink, size=rc["xtick.labelsize"], **font)
    for text in titles(ax):
        text.set(color=look.ink, size=rc["axes.titlesize"], weight="bold", **font)
    if ax.name == "rectilinear":
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set(
            color=look.muted, linewidth=rc["axes.linewidth"], visible=True
        )
