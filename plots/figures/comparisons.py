"""Comparisons: scalings of one problem, and rules of the step size, in the same axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from matplotlib.colors import PowerNorm
from matplotlib.figure import FigureBase

import gdpure as gd
from gdpure import guards

from .. import marks, views
from ..layout import Plan, canvas, in_rows
from ..levels import Bands, bands_of, draw_levels, number
from ..palette import Theme
from ..style import DASHED, NAMES, figure_level
from ..views.comparisons import checked_rules, conditioned, drop, rules_for, scalings, stepped
from ..views.fits import line_data
from .maps import draw_ground, draw_path

_MARKERS = ("o", "s", "D", "^")
_RINGS = 12  # level lines at most, two up to the start
_LOW = 1e-17  # of the first gap, below which no axis reaches


# -- conditioning ----------------------------------------------------------------------------------


@figure_level
def conditioning(
    problems: Mapping[str, Callable] | Any,
    *,
    steps: int = 25,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    """Draw descent on problems of different condition number, and the rates that these allow.

    The step is ``2/(L + mu)``, the gap at most ``((kappa - 1)/(kappa + 1))^(2k)`` of the first, an
    equality on quadratics. All runs start at the same gap, between the axes of the level sets. All
    maps have the same levels, and are as wide as the level set of the start is long: what differs
    is how round it is. The cross are its axes, of length proportional to 1/sqrt(lambda).

    Parameters
    ----------
    problems
        A mapping from names to two to four objectives of params (2,) that know L, mu and their
        minimizer; or the mean squared error of a line a + b x, of which `views.scalings` are drawn.
    steps
        How many, at least 1.
    names, title, theme, size
        Of the two parameters, the words above, "light" or "dark" or colors by role, and the size
        (see `level_sets`).
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If there are not two to four problems, or one does not know its constants.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
    >>> fig = conditioning(f)
    >>> assert [ax.get_label() for ax in fig.axes] == ["raw", "centered", "standardized", "gap"]
    """
    steps = guards.whole("conditioning", "steps", steps, 1)
    problems = _problems(problems)
    height = max(drop(f) for f in problems.values())
    shown = {name: conditioned(f, steps, height) for name, f in problems.items()}
    plans = [
        Plan([*in_rows(list(shown), columns), ["gap"] * columns], (*[None] * rows, 1.34))
        for columns, rows in ((len(shown), 1), (2, -(-len(shown) // 2)))
    ]
    fig, look, axes = canvas(fig, theme, "conditioning", *plans)
    bands = _rings(shown.values(), height, look)
    for i, (name, one) in enumerate(shown.items()):
        ax = axes[name]
        draw_levels(ax, one.field, one.window, bands, look)
        marks.name_axes(ax, names, pad=4)
        if i:
            ax.set_ylabel("")
        marks.few_ticks(ax.xaxis, ax.yaxis, most=4)
        for k, (axis, reach) in enumerate(zip(one.axes, one.reach, strict=True)):
            ends = np.asarray(one.minimizer, np.float64) + np.outer([-reach, reach], axis)
            role = ("flat axis", "steep axis")[k]
            ax.plot(*ends.T, color=look.ink, lw=1.0, ls=(0, (3, 2)), zorder=5, gid=f"gd:{role}")
        outside = draw_path(ax, one.points, one.window, look, width=1.0)
        marks.star(ax, one.minimizer, look, proven=True, size=8)
        size = ax.xaxis.label.get_size()
        kappa = f"$\\kappa = {number(one.smoothness / one.strong_convexity, 3)}$"
        ax.set_title(name, fontsize=size)
        lost = f", {outside} outside" * (outside > 0)
        ax.set_title(f"{kappa}{lost}", loc="right", fontsize=size, fontweight="normal")
    sentence = "the rounder the level sets, the faster the descent" if title is None else title
    marks.headline(fig, sentence)
    _draw_gaps(axes["gap"], shown, steps, look)
    return fig


def _problems(given):
    if not isinstance(given, Mapping):
        given = scalings(*line_data("conditioning", given))
    if not 2 <= len(given) <= 4:
        raise ValueError(f"conditioning: problems must be two to four, got {len(given)}")
    for name, f in given.items():
        if not isinstance(name, str):
            raise TypeError(f"conditioning: problems must have names, got {guards.describe(name)}")
        guards.function("conditioning", f"the objective {name!r}", f)
    return given


def _rings(shown, height, look):
    """Return levels ``height (j/2)^2``: the second is that of the start, in all maps."""
    highest = max(float(np.nanmax(one.field.z)) for one in shown)
    levels = height * (np.arange(1, _RINGS + 1) / 2) ** 2
    levels = levels[levels < highest]
    norm = PowerNorm(0.5, vmin=0, vmax=12 * height, clip=True)
    lowest = min(0.0, *(float(np.nanmin(one.field.z)) for one in shown))
    edges = np.array([lowest, *levels, highest])
    places = np.asarray(norm(edges))
    return Bands(norm, levels, edges, look.mist((places[:-1] + places[1:]) / 2), look.mist)


def _draw_gaps(ax, shown, steps, look):
    k = np.arange(steps + 1)
    first = max(float(one.gap[0]) for one in shown.values())
    floor = max(_LOW * first, *(one.floor for one in shown.values()))
    ax.set(xlim=(-0.012 * steps, steps * 1.012), ylim=(floor, first * 3))
    marks.log_axis(ax, "y")
    marks.few_ticks(ax.xaxis, most=10, whole=True)
    ax.grid(axis="y")
    ax.set_xlabel("iteration $k$", labelpad=1)
    labels, lost, leaving = [], 0, 0
    for (name, one), marker in zip(shown.items(), _MARKERS, strict=False):
        ax.plot(k, one.rate, color=look.bound, lw=1.3, zorder=4, gid=f"gd:rate {name}")
        above = one.gap > floor
        every = max(1, steps // 50)
        ax.plot(k, np.where(above, one.gap, np.nan), marker, ms=4.6, color=look.gd, mec=look.paper,
                mew=0.5, zorder=6, markevery=every, gid=f"gd:measured {name}")  # fmt: skip
        marks.foot_marks(ax, k[::every], np.where(above, one.gap, 0)[::every], look.gd)
        lost += int((~above).sum())
        seen = np.flatnonzero(one.rate > floor)
        if len(seen) > steps:
            labels.append((one.rate[-1], name, look.gd))
        else:
            marks.write_beside(ax, k, one.rate, 0.2 + 0.26 * leaving, name, look.gd, look)
            leaving += 1
    marks.side_labels(ax, labels, look)
    size = ax.xaxis.label.get_size()
    ax.set_title("gap $f(x_k) - f^\\ast$, measured and proven", fontsize=size)
    marks.key(ax, f"at the foot: {lost} below {number(floor, 1)}" * (lost > 0), look)


# -- rules -----------------------------------------------------------------------------------------


@figure_level
def step_rules(
    f: Callable,
    start: ArrayLike,
    rules: Mapping[str, Any] | None = None,
    *,
    steps: int = 30,
    window: ArrayLike | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    """Draw one run of each rule from the same start, and below or beside it the steps it took.

    A step size is measured, ``|x_{k+1} - x_k| / |g_k|``, in units of 1/L where L is known: then 1
    and the edge 2 are lines. Where rounding leaves nothing to measure, a mark stands at the foot.
    All maps share window and levels, all strips their axes.

    Parameters
    ----------
    f
        The objective, of params (2,).
    start
        Where all runs begin, shape (2,).
    rules
        A mapping from one to six names to numbers, gdpure rules, schedules (steps,) or optax
        transformations; by default those that what is known about f allows, see
        `views.rules_for`.
    steps
        How many, the same for all, at least 1.
    window
        [[left, right], [bottom, top]], shape (2, 2); by default it shows the paths.
    names, title, theme, size
        Of the two parameters, the words above, "light" or "dark" or colors by role, and the size
        (see `level_sets`).
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If f does not take two parameters, the window is empty, or a rule is none.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
    >>> fig = step_rules(f, jnp.array([2.0, 2.0]), {"short": 0.01, "long": 0.1}, steps=5)
    >>> assert [ax.get_label() for ax in fig.axes] == ["short", "long", "short steps", "long steps"]
    """
    steps = guards.whole("step_rules", "steps", steps, 1)
    views.of_two_parameters("step_rules", f, views.precision(f))
    start = _start(start, views.precision(f))
    rules = rules_for(f, start) if rules is None else checked_rules(rules)
    runs = {name: stepped(f, start, rule, steps) for name, rule in rules.items()}
    if window is None:
        window = views.window_of(f, np.concatenate([run.points for run in runs.values()]))
    shown = views.ground("step_rules", f, window, (81, 65))
    known = gd.facts(f).smoothness
    unit = None if known is None else 1 / float(known)

    n, of = len(runs), list(runs)
    plans = [_grid(of, columns) for columns in (min(n, 4) if n != 6 else 3, n, min(n, 2))]
    if n > 4:  # in one row, names are wider than maps
        plans.insert(1, _grid(of, 3, beside=True))
    fig, look, axes = canvas(fig, theme, "step_rules", *plans)
    bands = bands_of(shown.field.z, look.mist, shown.minimum)
    limits = _limits(np.concatenate([run.step_sizes for run in runs.values()]), unit)
    for i, (name, run) in enumerate(runs.items()):
        ax, below = axes[name], axes[f"{name} steps"]
        first = ax.get_subplotspec().is_first_col()
        last = below.get_subplotspec().is_last_row()
        draw_ground(ax, shown, bands, look, names, labels=False)
        outside = draw_path(ax, run.points, shown.window, look, width=1.0)
        marks.few_ticks(ax.xaxis, ax.yaxis, most=4)
        marks.few_ticks(below.xaxis, most=4, whole=True)
        _name_panel(ax, name, _outcome(run, shown.minimum, outside), look)
        _draw_steps(below, run.step_sizes, limits, unit, look)
        if unit is not None and i == 0:
            marks.write(below, -0.4, 2.3, "$2/L$", look.warn, look, va="bottom", gid="gd:label")
        for part in (ax, below):
            part.tick_params(labelleft=first, labelbottom=last)
            if not first:
                part.set_ylabel("")
            if not last:
                part.set_xlabel("")
    sentence = _best(runs, steps) if title is None else title
    marks.headline(fig, sentence)
    return fig


def _grid(names, columns, beside=False):
    """Return a plan of maps, each with its steps below, or beside it."""
    rows, plan = in_rows(names, columns), []
    for row in rows:
        below = [name if name == "." else f"{name} steps" for name in row]
        pairs = [part for pair in zip(row, below, strict=True) for part in pair]
        plan += [pairs] if beside else [row, below]
    if beside:
        return Plan(plan, (None,) * len(rows), (2, 1) * columns)
    return Plan(plan, (None, 0.46) * len(rows))


def _start(given, dtype):
    start = guards.real("step_rules", "start", given)
    guards.shape("step_rules", "start", start, (2,))
    return jnp.asarray(start, dtype)


def _outcome(run, minimum, outside):
    """Return in words how far a run got, and how much of it is not in the window."""
    lost = f", {outside} outside" * (outside > 0)
    if run.status == gd.Status.DIVERGED:
        return f"diverged after {run.count} steps{lost}"
    value = float(run.values[-1])
    if not np.isfinite(minimum):
        return f"$f = ${number(value, 4)}{lost}"
    gap = value - minimum
    # The value and the minimum are a few operations off, of one unit roundoff each.
    hidden = 16 * float(np.finfo(run.values.dtype).eps) * max(abs(value), abs(minimum))
    return f"gap {number(gap, 2) if gap > hidden else '0 to rounding'}{lost}"


def _best(runs, steps):
    """Return which run is lowest, if one is."""
    ends = {name: float(run.values[-1]) for name, run in runs.items()}
    least = min(ends.values())
    eps = max(float(np.finfo(run.values.dtype).eps) for run in runs.values())
    lowest = [name for name, end in ends.items() if end <= least + 4 * eps * abs(least)]
    if len(runs) == 1:
        return f"{steps} steps of one rule"
    if len(lowest) == len(runs):
        return f"all {len(runs)} rules are equally low after {steps} steps"
    if len(lowest) > 2:
        return f"{len(lowest)} of {len(runs)} rules are equally low after {steps} steps"
    return f"lowest after {steps} steps: {' and '.join(lowest)}"


def _name_panel(ax, name, outcome, look):
    size = ax.xaxis.label.get_size()
    ax.set_title("", loc="right")
    ax.set_title(name, fontsize=size, pad=18)
    ax.annotate(outcome, (0, 1), xytext=(0, 5), va="bottom", xycoords="axes fraction",
                textcoords="offset points", fontsize=0.9 * size, color=look.muted,
                gid="gd:outcome")  # fmt: skip


def _limits(step_sizes, unit):
    """Return limits with room for all step sizes, and for 1/L and 2/L where L is known."""
    sizes = step_sizes / (unit or 1)
    seen = sizes[np.isfinite(sizes) & (sizes > 0)]
    seen = np.concatenate([seen, [1.0, 2.0]]) if unit or not len(seen) else seen
    low, high = np.log10(seen.min()), np.log10(seen.max())
    room = max(0.12 * (high - low), 0.15)
    return 10 ** (low - room), 10 ** (high + room)


def _draw_steps(ax, step_sizes, limits, unit, look):
    sizes, n = step_sizes / (unit or 1), len(step_sizes)
    ax.set(xlim=(-0.02 * n - 0.4, 1.02 * n - 0.6), ylim=limits)
    marks.log_axis(ax, "y", 3)
    if unit is not None:
        ax.axhline(1, color=look.rule, lw=0.8, zorder=1, gid="gd:1/L")
        ax.axhline(2, color=look.warn, lw=1.0, ls=DASHED, zorder=2, gid="gd:2/L")
    seen = np.where(sizes > 0, sizes, np.nan)
    ax.plot(np.arange(n), seen, color=look.gd, marker="o", ms=2.8, mec=look.paper, mew=0.3, lw=0.9,
            zorder=5, markevery=max(1, n // 40), gid="gd:step sizes")  # fmt: skip
    marks.foot_marks(ax, np.arange(n), sizes, look.gd)
    ax.set_xlabel("step $k$", labelpad=1)
    name = "$\\eta_k$" if unit is None else "$\\eta_k L$"
    ax.set_ylabel(name, rotation=0, labelpad=12, va="center")
