"""Differences: how good difference quotients can be, and whether a gradient is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from matplotlib.figure import FigureBase

from .. import marks
from ..layout import Plan, canvas
from ..levels import number
from ..palette import Theme
from ..style import DASHED, DOTTED, figure_level
from ..views.quotients import differences


@figure_level
def gradient_check(
    f: Callable,
    at: Any,
    *,
    direction: ArrayLike | None = None,
    gradient: Callable | None = None,
    steps: ArrayLike | None = None,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    r"""Draw the errors of difference quotients against their step, and those of gradients.

    Large steps cut off ``h |f''| / 2`` of the forward, ``h^2 |f'''| / 6`` of the central quotient
    (dashed); small ones enlarge the rounding of the values to ``2 u |f| / h`` (dotted): a V. The
    automatic derivative has no step. Errors are measured against the one in float64; below what
    that may be off by itself nothing can be seen.

    Parameters
    ----------
    f
        ``f(params) -> ()`` of any parameters, which JAX can trace.
    at
        The point, any tree of floating-point numbers.
    direction
        As many numbers as there are parameters, by default drawn by a fixed generator.
    gradient
        Another gradient, ``gradient(params)`` of the form of `params`: one written by hand.
    steps
        h, positive, shape (m,).
    title, theme, size
        The words above, "light" or "dark" or colors by role, and the size (see `level_sets`).
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If JAX cannot differentiate f, f is not finite, or point, direction or steps are none.

    Examples
    --------
    >>> fig = gradient_check(lambda t: jnp.sin(3 * t), 0.5)
    >>> single, double = fig.axes
    >>> assert single.get_ylim() == double.get_ylim() and single.get_xlim() == double.get_xlim()
    """
    shown = [
        differences(f, at, dtype, direction, gradient, steps) for dtype in (np.float32, np.float64)
    ]
    wide = Plan([["float32", "float64"]], (2.35,))
    narrow = Plan([["float32"], ["float64"]], (2.2, 2.2))
    fig, look, axes = canvas(fig, theme, "gradient_check", wide, narrow)
    limits, feet = _limits(shown), 0
    for k, (found, name) in enumerate(zip(shown, ("float32", "float64"), strict=True)):
        ax = axes[name]
        ax.set(xlim=limits[0], ylim=limits[1])
        for axis in "xy":
            marks.log_axis(ax, axis)
        ax.grid()
        _draw_theory(ax, found, look)
        feet += _draw_errors(ax, found, look)
        _draw_gradients(ax, found, gradient is not None, look)
        ax.set_title(name, pad=5, fontsize=0.95 * ax.title.get_size())
        ax.set_xlabel("finite-difference step $h$")
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("error of the derivative", labelpad=2)
        else:
            ax.tick_params(labelleft=False)
        if k:
            _label(ax, found, look)
    words = _finding(*shown) if title is None else title
    marks.headline(fig, words)
    marks.note(fig, _notes(shown, at, direction, gradient, feet), look)
    return fig


def _limits(shown):
    """Return the limits of both axes, h from large to small, that all errors fit into."""
    errors = np.concatenate([np.r_[v.forward, v.central, v.automatic, v.by_hand] for v in shown])
    errors = errors[np.isfinite(errors) & (errors > 0)]
    floor = min([v.uncertain for v in shown if v.uncertain > 0], default=1e-16) / 100
    top = max([*errors, 100 * floor])
    h = shown[0].step
    return (4 * h.max(), h.min() / 4), (floor, 10 * top)


def _draw_theory(ax, found, look):
    """Draw what is cut off, what rounding adds, where nothing moves, and where nothing is known."""
    line = {"color": look.bound, "lw": 1.0, "zorder": 3}
    names = ("truncation of forward", "truncation of central")
    for cut, name in zip(found.truncation, names, strict=True):
        if cut.any():
            ax.plot(found.step, cut, ls=DASHED, gid=f"gd:{name}", **line)
    if found.value:
        ax.plot(found.step, found.noise, ls=DOTTED, gid="gd:rounding", **line)
    ax.axhspan(ax.get_ylim()[0], found.uncertain, color=look.bound, alpha=0.08, lw=0,
               gid="gd:reference uncertain")  # fmt: skip
    still = found.step[~np.isfinite(found.forward)]
    if still.size:
        small = ax.get_xlim()[1]
        ax.axvspan(still.max(), small, color=look.muted, alpha=0.1, lw=0, gid="gd:no step")
        if np.log10(still.max() / small) > 0.2 * abs(np.diff(np.log10(ax.get_xlim()))[0]):
            low, high = ax.get_ylim()
            place, said = (
                (np.sqrt(still.max() * small), low**0.35 * high**0.65),
                "$x+h$ rounds\nto $x$",
            )
            marks.write(ax, *place, said, look.muted, look, ha="center", va="center")


def _draw_errors(ax, found, look):
    """Draw the errors of both quotients; return how many are 0."""
    feet = 0
    for errors, color, marker, name in (
        (found.forward, look.sgd, "o", "forward"),
        (found.central, look.gd, "s", "central"),
    ):
        moved = np.isfinite(errors)
        ax.plot(found.step, np.where(errors > 0, errors, np.nan), marker, color=color, ms=3.2,
                mec=look.paper, mew=0.35, zorder=5, gid=f"gd:{name}")  # fmt: skip
        feet += marks.foot_marks(ax, found.step[moved], errors[moved], color)
    return feet


def _draw_gradients(ax, found, given, look):
    """Draw the errors of the automatic derivative and of the other one; what is 0 is at a limit.

    Where the reference is exact 0 has no place on the axis: its name stands at the foot.
    """
    low, high = ax.get_ylim()
    for error, name, color, side in (
        (found.automatic, "automatic", look.third, -1),
        (found.by_hand if given else np.nan, "by hand", look.warn, 1),
    ):
        if np.isfinite(error):
            seen = error > found.uncertain
            height = error if seen else found.uncertain
            diamonds = {"marker": "D", "ms": 4, "mec": look.paper, "mew": 0.5, "markevery": 13}
            ax.plot(found.step, np.full_like(found.step, height), color=color, lw=1.5, zorder=4,
                    gid=f"gd:{name}", **(diamonds if side > 0 else {}))  # fmt: skip
            text = f"{name}  {'≤' * bool(height and not seen)}{number(height, 2)}"
            place = {"transform": ax.get_yaxis_transform(), "ha": "right"}
            place["va"] = "top" if side < 0 < height else "bottom"
            marks.write(
                ax,
                0.985,
                height * 3.0**side if height else low * (high / low) ** (0.1 + 0.05 * side),
                text,
                color,
                look,
                path_effects=marks.halo(look, 2),
                **place,
            )


def _label(ax, found, look):
    """Name both quotients and the theory of them beside their marks."""
    low, high = found.step.min(), found.step.max()
    across = np.sqrt(low * high)
    first, second = (h if low < h < high else across for h in found.best_steps)
    noise = 2 * found.unit * abs(found.value)
    written = []

    def say(h, height, text, color, move, va="baseline", **options):
        if ax.get_ylim()[0] < height < ax.get_ylim()[1]:
            written.append(marks.label(ax, text, (h, height), move, look, color, va=va, **options))

    def cut_forward(h):
        return h * abs(found.second) / 2

    def cut_central(h):
        return h**2 * abs(found.third) / 6

    if found.second:
        middle, far = np.sqrt(high * first), first * (low / first) ** 0.35
        say(middle, cut_forward(middle), "forward", look.sgd, (7, 5))
        say(far, cut_forward(far), "$h|f''|/2$", look.bound, (3, 5))
    else:
        say(across, noise / across, "forward", look.sgd, (-9, 14), ha="right")
    if found.third:
        middle = np.sqrt(high * second)
        far = np.sqrt(6 * found.uncertain / abs(found.third))
        say(middle, cut_central(middle), "central", look.gd, (-9, -5), ha="right", va="top")
        say(far, cut_central(far), "$h^2|f'''|/6$", look.bound, (6, 4))
    else:
        far = np.sqrt(across * low)
        say(far, noise / far, "central", look.gd, (0, -26))
    if noise:
        far = first * (low / first) ** 0.4
        say(far, noise / far, "$2u|f|/h$", look.bound, (-12, 8), ha="right")
    marks.if_room(written)


def _finding(single, double):
    """Return in words what both panels show."""
    if any(v.by_hand > v.explained for v in (single, double)):
        return f"the gradient by hand is off by {np.fmax(single.by_hand, double.by_hand):.2g}"
    if np.isfinite([single.by_hand, double.by_hand]).any():
        return "the gradient by hand is right, up to rounding"
    best = [np.fmin.reduce([*v.forward, *v.central, np.inf]) for v in (single, double)]
    if best[0] > single.automatic and best[1] > double.uncertain:
        return "no step makes a difference quotient as good as the automatic derivative"
    return "a difference quotient needs a good step, the automatic derivative needs none"


def _notes(shown, at, direction, gradient, feet):
    """Return what has to be said, for the foot."""
    single, double = shown
    drawn = direction is None and sum(map(np.size, jax.tree.leaves(at))) > 1
    named = ((single, "float32"), (double, "float64"))
    alone = [name for v, name in named if gradient is not None and np.isfinite(v.by_hand)]
    return [
        "shaded below: what the derivative in float64 may be off itself",
        "a direction at random" if drawn else "",
        "" if double.third else "$f''' = 0$: the central quotient cuts nothing off",
        f"{feet} errors are 0: marks at the foot" if feet else "",
        f"by hand in {alone[0]} alone" if len(alone) == 1 else "",
    ]
