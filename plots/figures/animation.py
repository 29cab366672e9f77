"""An animation: a path on the map and its gap grow together; its figure is the last frame."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from jax.typing import ArrayLike
from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.figure import Figure

import gdpure as gd
from gdpure import guards

from ...specs.screen import progress
from .. import marks, views
from ..files import without_ending, write
from ..layout import Plan, canvas, drawing
from ..palette import Theme
from ..reading import role_of
from ..sizes import grow, size_of, titles
from ..style import NAMES, figure_level, style
from ..wording import alt_text
from .maps import descent

_TALL = 3.3  # inches
_ANEW = ("outside the window", "not positive")  # are marks that every frame has of its own
_FEW = 60  # steps get a dot each
_REACH = 1e9  # first gaps are as much as the axis shows of a run that diverges


class Film(FuncAnimation):
    """An animation that knows its `figure`, and how it is to be saved and shown.

    The figure is the last frame from the beginning: it is what to show where nothing may move. So
    an animation may be dropped without being played, and nothing warns.
    """

    def __init__(self, figure, show, frames, fps, look):
        self.figure, self.fps, self.look = figure, fps, look
        options = {"interval": 1000 / fps, "cache_frame_data": False}
        # To draw the figure is to begin to play it; where nothing may move it stays as it is.
        super().__init__(figure, show, frames, lambda: show(frames[-1]), **options)

    def __del__(self):
        """Say nothing."""

    def _repr_mimebundle_(self, **_):
        """Show the film in a notebook, with words for those who do not see it."""
        said = alt_text(self.figure)
        film = b64encode(_filmed(self, "gif", 100)).decode()
        shown = f'<img alt="{escape(said)}" src="data:image/gif;base64,{film}">'
        return {"text/html": shown, "text/plain": said}


@figure_level
def animate(
    f: Callable,
    run: Any,
    *,
    window: ArrayLike | None = None,
    every: int = 1,
    fps: float = 6,
    hold: float = 1.5,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> Film:
    """Let a path grow on the level sets of its objective, and beside it the gap f(x_k) - f*.

    Where f* is unknown it is the value. ``animate(...).figure`` is the last frame, and
    `save_animation` writes the file.

    Parameters
    ----------
    f
        The objective, of params (2,).
    run
        What `gd.descend` returned, or points (steps + 1, 2).
    window
        [[left, right], [bottom, top]], shape (2, 2); by default it shows path and minimizer. Points
        outside are triangles at its edge, from the frame on in which they are reached.
    every
        How many steps lie between two frames; the last step has a frame in any case.
    fps, hold
        Frames of a second, and for how many seconds the last one stays.
    names
        Of the two parameters, with their units if they have any.
    title, theme, size
        The words above the map, by default the number of steps; "light" or "dark" or colors by
        role; and the size (see `level_sets`).
    fig
        A Figure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If f does not take two parameters, the path is none, or a number is out of range.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> animation = animate(gd.landscapes.bowl, run)
    >>> left, right = animation.figure.axes
    >>> assert left.get_title(loc="left") == "10 steps" and right.get_yscale() == "log"
    """
    every = guards.whole("animate", "every", every, 1)
    guards.in_range("animate", "fps", fps, guards.Range(0, open=True))
    guards.in_range("animate", "hold", hold, guards.Range(0))
    if fig is not None and not isinstance(fig, Figure):
        raise TypeError(f"animate: fig must be a Figure, got {type(fig).__name__}")
    points = views.points_of("animate", run)
    wide = Plan([["map", "gap"]], (None,), (1, 1.2))
    narrow = Plan([["map"], ["gap"]], (None, 1.7))
    fig, look, axes = canvas(fig, theme, "animate", wide, narrow)
    left, right = axes["map"], axes["gap"]
    descent(f, points, window=window, names=names, theme=theme, ax=left)
    window = np.array([left.get_xlim(), left.get_ylim()])
    heights = _gap(right, f, run, points)
    [path] = [line for line in left.lines if role_of(line) == "path"]
    dots = np.asarray(path.get_markevery())
    every_dot = 1 if len(points) <= _FEW else [0]
    [curve] = right.plot([], [], color=look.gd, marker="o", ms=3.6, mec=look.paper, mew=0.45,
                         lw=1.4, markevery=every_dot, gid="gd:measured")  # fmt: skip

    marks.key(right, " ", look)
    [head], [noted] = (
        [text for text in titles(ax) if text.get_ha() == side]
        for ax, side in ((left, "left"), (right, "right"))
    )
    growth = size_of("animate", size).growth
    last = len(points) - 1
    gone = isinstance(run, gd.Descent) and int(run.final.status) == gd.Status.DIVERGED
    end = int(run.final.count) if gone else last  # later rows repeat it

    def show(k):
        seen, steps = points[: k + 1], np.arange(k + 1)
        for mark in (*left.lines, *right.lines):
            if role_of(mark) in _ANEW:
                mark.remove()
        path.set_data(*seen.T)
        path.set_markevery(dots[dots <= k].tolist())
        outside = marks.edge_marks(left, seen, window, look.gd, look)
        drawn, lost = heights[: k + 1], 0
        if right.get_yscale() == "log":
            lost = marks.foot_marks(right, steps, drawn, look.gd)
            drawn = np.where(drawn > 0, drawn, np.nan)
            limits = [right.get_xlim(), right.get_ylim()]
            marks.edge_marks(right, np.stack([steps, drawn], 1), limits, look.gd, look)
        curve.set_data(steps, drawn)
        head.set_text(f"{k} step{'s' * (k != 1)}" if title is None else title)
        said = [f"{outside} outside the map" * (outside > 0), f"{lost} not above 0" * (lost > 0),
                f"diverged after {end}" * (k > end)]  # fmt: skip
        noted.set_text(", ".join(filter(None, said)))
        if not drawing():  # what is drawn by now has grown already
            grow((m for m in (*left.lines, *right.lines) if role_of(m) in _ANEW), growth)
        return path, curve

    frames = [*range(0, last, every), *[last] * (1 + round(hold * fps))]
    animation = Film(fig, show, frames, fps, look)
    show(last)
    return animation


def _gap(ax, f, run, points):
    """Return what the curve is of, the gap or the value, and prepare its axes for all of it."""
    evaluated = jax.vmap(f)(jnp.asarray(points, views.precision(f)))
    values = np.asarray(run.history.value if isinstance(run, gd.Descent) else evaluated, np.float64)
    minimum = gd.facts(f).minimum
    lowest = np.nan if minimum is None else float(minimum)
    known = np.isfinite(lowest)
    heights = values - lowest if known else values
    shown = heights[np.isfinite(heights)]
    last = max(len(points) - 1, 1)
    ax.set(xlim=(-0.02 * last, 1.02 * last), xlabel="iteration $k$")
    marks.few_ticks(ax.xaxis, most=6, whole=True)
    if known and (shown > 0).any():
        first = heights[0] if heights[0] > 0 else shown.max()
        ax.set_ylim(shown[shown > 0].min() / 1.6, 1.6 * min(shown.max(), _REACH * first))
        marks.log_axis(ax, "y")
    elif shown.size:
        room = 0.06 * (np.ptp(shown) or 1)
        ax.set_ylim(shown.min() - room, shown.max() + room)
    ax.grid(axis="y")
    ax.set_title(r"gap  $f(x_k) - f^\ast$" if known else "value  $f(x_k)$")
    return heights


# -- the file --------------------------------------------------------------------------------------

_WRITERS = {"gif": PillowWriter, "mp4": FFMpegWriter}


def save_animation(animation: Film, path: str | Path, dpi: float = 100) -> Path:
    """Write an animation as a GIF, or as an MP4 where ffmpeg is: whole or not at all.

    A GIF has the same bytes each time. The figure shows the last frame before and after.

    Parameters
    ----------
    animation
        What `animate` returned.
    path
        Ends in .gif or .mp4, otherwise ".gif" is added; the folder is made if it is not there.
    dpi
        Pixels of an inch.

    Raises
    ------
    TypeError
        If the animation is none of `animate`.
    ValueError
        If the path ends in .mp4 and there is no ffmpeg.
    OSError
        If the place cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_animation(animate(gd.landscapes.bowl, run), f"{folder}/bowl", dpi=30)
    ...     assert path.name == "bowl.gif" and path.read_bytes()[:4] == b"GIF8"
    """
    if not isinstance(animation, Film):
        raise TypeError(
            f"save_animation: animation must come from animate, got {type(animation).__name__}"
        )
    stem, ending = without_ending(path, _WRITERS)
    path = Path(f"{stem}.{ending or 'gif'}")
    write(path, _filmed(animation, ending or "gif", dpi))
    return path


def _filmed(animation, form, dpi):
    """Return the bytes of an animation in a format."""
    if not _WRITERS[form].isAvailable():
        raise ValueError(
            f"save_animation: a path that ends in .{form} needs ffmpeg, which is not installed "
            "here; one that ends in .gif does not"
        )
    ffmpeg = matplotlib.rcParams["animation.ffmpeg_path"]
    fig, size = animation.figure, animation.figure.get_size_inches()
    with tempfile.TemporaryDirectory() as folder, style(animation.look):
        film = Path(folder, f"film.{form}")
        matplotlib.rcParams["animation.ffmpeg_path"] = ffmpeg
        try:
            with progress("filming") as say:
                animation.save(
                    film,
                    writer=_WRITERS[form](fps=animation.fps),
                    dpi=dpi,
                    progress_callback=lambda i, n: say((i + 1) / n, f"frame {i + 1} of {n}"),
                )
        finally:
            fig.set_size_inches(size)  # MP4 has even numbers of pixels
        return film.read_bytes()
