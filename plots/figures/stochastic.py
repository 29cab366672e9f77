"""A race: descent by full gradients beside descent by single examples, at equal cost."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from matplotlib.figure import FigureBase

import gdpure as gd
from gdpure import guards
from gdpure.objectives import number_of_examples

from .. import marks, views
from ..layout import Plan, canvas
from ..levels import bands_of, draw_levels, number
from ..palette import Theme
from ..style import DASHED, NAMES, figure_level
from ..views.disagreement import confusion
from ..views.grounds import FOUND, lowest_in_words
from ..views.stochastic import ORDERS, race
from .samples import draw_region, outside


@figure_level
def gd_vs_sgd(
    f: gd.Objective,
    start: ArrayLike,
    *,
    step_size: float | None = None,
    epochs: int = 24,
    key: Any = None,
    window: ArrayLike | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    """Draw descent by single examples beside descent by full gradients, at equal cost.

    The cost is the number of gradients of examples that were evaluated, over n: the epochs. Each
    epoch takes the examples one by one in a new random order (`gd.stochastic_descend`); once with a
    constant step, which ends in noise about the region of confusion, once with steps like 1/k.

    Parameters
    ----------
    f
        A finite sum. Of two parameters there is a map, of others the gap alone.
    start
        Shape (d,).
    step_size
        Of full and of single steps; by default half of 1/L each, with L of the mean and with the
        largest L of an example.
    epochs
        How many full gradients; n times as many steps see one example.
    key
        A `jax.random.key`, by default ``jax.random.key(0)``.
    window
        [[left, right], [bottom, top]], shape (2, 2); by default it shows the paths.
    names
        Of the two parameters, with their units if they have any.
    title, theme, size
        The words above the map, "light" or "dark" or colors by role, and the size (see
        `level_sets`).
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If f is no finite sum, start is no vector, or f does not know its smoothness and no
        `step_size` is given.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([-1.0, 0.0, 1.0]), [1.0, 2.2, 2.8])
    >>> plane, cost = gd_vs_sgd(f, jnp.array([0.1, -0.55]), epochs=4).axes
    >>> assert cost.get_yscale() == "log" and cost.get_xlim() == (0.0, 4.0)
    """
    n = number_of_examples("gd_vs_sgd", f)
    epochs = guards.whole("gd_vs_sgd", "epochs", epochs, 1)
    start = guards.real("gd_vs_sgd", "start", start, views.precision(f))
    guards.shape("gd_vs_sgd", "start", start, ("d",))
    if not np.isfinite(start).all():
        raise ValueError(f"gd_vs_sgd: start must be finite, got {np.asarray(start).tolist()}")
    shown = race(f, start, step_size, epochs, jax.random.key(0) if key is None else key)
    full, single = map(number, shown.sizes)
    of = (" = 1/2L", " = 1/2L of the steepest") if step_size is None else ("", "")
    said = [
        f"step size of full gradients {full}{of[0]}",
        f"of single examples {single}{of[1]}, shrinking as 1/(1 + k/{shown.halved})",
        f"each run: {n * epochs} gradients of examples, in a new random order each epoch",
        f"line: median of {ORDERS} runs, band: from 10 to 90 %",
        f"f* known to {shown.uncertain:.0e}" if shown.uncertain else "",
    ]
    both = start.size == 2
    plans = [Plan([["cost"]], (2.4,))]
    if both:
        plans = Plan([["map", "cost"]], (None,), (1.2, 1)), Plan([["map"], ["cost"]], (None, 2.0))
    fig, look, axes = canvas(fig, theme, "gd_vs_sgd", *plans)
    lost = 0
    if start.size == 2:
        if window is None:
            window = views.window_of(f, np.concatenate([shown.full.point, shown.single.point]))
        window = views.checked_window("gd_vs_sgd", np.asarray(window)).astype(start.dtype)
        plane = axes["map"]
        lost = _draw_race(plane, f, shown, window, names, look)
        said.append("pale: no direction lowers all examples")
        plane.set_title(f"{epochs} epochs" if title is None else title)
    cost = axes["cost"]
    feet = _draw_gaps(cost, shown, epochs, n, look)
    lacking = f"{feet} gaps not positive or not finite: marks at the foot" if feet else ""
    marks.note(fig, [*said, outside(lost), lacking], look)
    return fig


def _draw_race(ax, f, shown, window, names, look):
    """Draw both paths on the map of the mean; return how many points are outside."""
    field = views.field(f, window)
    draw_levels(ax, field, window, bands_of(field.z, look.mist, shown.minimum or np.inf), look)
    draw_region(ax, confusion(f, window), look)
    lost, single = 0, shown.single.point
    every = (len(single) - 1) // (len(shown.full.point) - 1)  # a mark an epoch
    crowd = min(1.0, 20 / every)  # steps of an epoch that many are a cloud
    for points, role, color, marker, size, width, order, marked in (
        (single, "single examples", look.sgd, "s", 3.4, 0.4 + 0.4 * crowd, 5, every),
        (shown.full.point, "full gradients", look.gd, "o", 4.4, 1.6, 6, 1),
    ):
        ax.plot(*points.T, color=color, lw=width, zorder=order, gid=f"gd:{role}",
                alpha=1 if marked == 1 else 0.35 + 0.65 * crowd)  # fmt: skip
        ends = points[::marked]
        ax.plot(*ends.T, marker, color=color, ms=size, mec=look.paper, mew=0.5, zorder=order + 0.5,
                gid=f"gd:epochs of {role}")  # fmt: skip
        lost += marks.edge_marks(ax, ends, window, color, look)
    along = np.asarray(views.minimizers(f).flat)[0]
    if shown.minimizer is None:
        if lowest_in_words(field) == FOUND:
            marks.star(ax, views.lowest(field)[0], look, proven=False)
    elif along.any():
        ends = np.asarray(views.line(shown.minimizer, along, window))
        ax.plot(*ends.T, c=look.ink, lw=1.4, ls=DASHED, zorder=4, gid="gd:minimizers")
    else:
        marks.star(ax, shown.minimizer, look, proven=True)
    marks.dot(ax, shown.full.point[0], look, "start", 6.0)
    marks.label(ax, "start", shown.full.point[0], (7, -3), look, va="baseline")
    marks.name_axes(ax, names, pad=5)
    return lost


def _draw_gaps(ax, shown, epochs, n, look):
    """Draw the gaps against the epochs; return how many have no place on the axis."""
    at, every = np.arange(epochs + 1), max(1, epochs // 12)
    rows = (
        (shown.full.gap, None, "full gradient", look.gd, "o", 1.6),
        (shown.constant.median, shown.constant, "one example, constant step", look.sgd, "s", 1.3),
        (shown.shrinking.median, shown.shrinking, "one example, steps like $1/k$", look.third, "^",
         1.3),
    )  # fmt: skip
    gaps = np.concatenate([np.r_[gap, gap if band is None else band.low] for gap, band, *_ in rows])
    gaps = gaps[np.isfinite(gaps)]
    certain = shown.minimum is not None
    if certain and not (gaps > 0).any():
        raise ValueError("gd_vs_sgd: no gap is positive: the start is a minimizer")
    low, high = (gaps[gaps > 0] if certain else gaps).min(), gaps.max()
    room = 0.05 * (high - low)
    limits = (low / 2, 2 * high) if certain else (low - room, high + room)
    ax.set(xlim=(0, epochs), ylim=limits)
    if certain:
        marks.log_axis(ax, "y")
    labels, feet = [], 0
    for gap, band, label, color, marker, width in rows:
        seen = np.isfinite(gap) & ((gap > 0) | (not certain))
        role = label.replace("$", "")
        if band is not None:
            least = np.clip(band.low, *limits) if certain else band.low
            ax.fill_between(at, least, band.high, color=color, alpha=0.2, lw=0, zorder=2,
                            gid=f"gd:orders, {role}")  # fmt: skip
        ax.plot(at, np.where(seen, gap, np.nan), color=color, lw=width, ms=3.4, marker=marker,
                mec=look.paper, mew=0.4, markevery=every, zorder=5 if band is None else 4,
                gid=f"gd:{role}")  # fmt: skip
        feet += marks.foot_marks(ax, at, np.where(seen, 1.0, np.nan), color)
        labels.append((gap[seen][-1] if seen.any() else low, label, color))
    marks.few_ticks(ax.xaxis, whole=True)
    ax.grid(axis="y")
    ax.set_xlabel(f"epochs (gradients of examples / {n})")
    ax.set_ylabel(r"gap $f(x) - f^\ast$" if certain else "value $f(x)$")
    ax.set_title(_leader(shown.full.gap, shown.constant.median))
    marks.side_labels(ax, labels, look)
    return feet


def _leader(full, single):
    """Return for how long single examples are lower than full gradients at equal cost."""
    ahead = (single < full)[1:]
    if ahead.all():
        return "single examples are ahead to the end"
    led = int(np.argmin(ahead))
    return f"single examples lead for {led} epoch{'s' * (led != 1)}" if led else (
        "full gradients are ahead from the first epoch"
    )  # fmt: skip
