"""Convergence: the values of runs against iterations, and what is proven about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gdpure import guards

from .. import marks
from ..layout import plane
from ..levels import number
from ..palette import Theme
from ..style import DASHED, DOTTED, axes_level
from ..views import convergence as views
from ..views.fits import modes as split
from .modes import draw_modes, least_shown, split_in_words

_SIZE = (7.2, 2.4)  # inches
FEW = 60  # rows of a run get a dot each
_MARKERS = ("o", "s", "^")
FAR = 1e-9  # of all that is proven: what lies below would flatten the rest
_LEAST = np.finfo(np.float64).eps ** 2  # of the first: below it there is nothing to be seen
_DASHDOT = (0, (6, 2, 1, 2))
_DASHES = {"convex": DOTTED, "strongly convex": _DASHDOT, "quadratic": _DASHDOT}


@axes_level
def convergence(
    f: Callable | None,
    run: Any,
    *,
    step_size: ArrayLike | None = None,
    minimum: ArrayLike | None = None,
    bounds: Mapping[str, ArrayLike] | None = None,
    modes: bool = False,
    yscale: str | None = None,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw the values of a run against its iterations, or its gap, beside what is proven.

    The gap is ``f(x_k) - f*``, drawn where f* is known: from `minimum`, or from ``gd.facts(f)``,
    then in float64 at the recorded points. Beside the gap of one run with one step size is what
    `views.convergence.proven` tells of it. What is not positive on a logarithmic axis is a mark at
    its foot, and counted.

    Parameters
    ----------
    f
        The objective, or None where nothing is known of what was minimized.
    run
        What `gd.descend` returned, values (steps + 1,), or a mapping of up to three names to such.
    step_size
        eta, shape () or (steps,), by default the one that the rows show.
    minimum
        f*, shape (), and where it comes from is up to you.
    bounds
        What else the drawn numbers should be under: a mapping of names to arrays (steps + 1,).
    modes
        Whether to draw, instead of what is proven, the parts that the eigenvalues of a quadratic
        have in the gap, ``1/2 lambda_i c_i^2 (1 - eta lambda_i)^(2k)``: each falls on a line of its
        own, and the slowest is soon all that is left (`views.modes`). Of more than three the
        fastest and the slowest are named.
    yscale
        "linear" or "log", by default "log" unless there are negative values.
    title
        By default how far the run falls, in how many steps, and their size where it is seen.
    theme, size
        The look, and the size (see `level_sets`).
    ax
        Axes to draw on, by default in a figure of their own.

    Raises
    ------
    TypeError, ValueError
        If f or a run is none, there are more than three, bounds do not fit, or `yscale` is another;
        with `modes`, if f is no quadratic or the run none of one constant step size.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> ax = convergence(gd.landscapes.bowl, run)
    >>> [line] = [line for line in ax.lines if line.get_gid() == "gd:measured"]
    >>> assert ax.get_yscale() == "log" and line.get_xydata()[0].tolist() == [0.0, 5.0]
    """
    if yscale not in (None, "linear", "log"):
        raise ValueError(f"convergence: yscale must be 'linear', 'log' or None, got {yscale!r}")
    if f is not None:
        guards.function("convergence", "the objective", f)
    runs = runs_of("convergence", run)
    parts = split(f, run) if modes else None
    lines = {name: views.series("convergence", one, f, minimum) for name, one in runs.items()}
    gap, alone = all(line.gap for line in lines.values()), len(runs) == 1
    if not gap:  # values and gaps share no axis
        lines = {name: views.series("convergence", one) for name, one in runs.items()}
    proven = {}
    if f is not None and minimum is None and alone and parts is None:
        proven = views.proven_of(f, next(iter(runs.values())), step_size)
    proven |= _given(bounds, max(line.rows for line in lines.values()))
    longest = max(len(line.values) for line in lines.values())

    ax, look = plane(ax, _SIZE, theme, "convergence")
    seen = [line.values for line in (*lines.values(), *proven.values())]
    least = FAR * min((bound.values.min() for bound in proven.values()), default=0.0)
    if parts is not None:
        seen, least = [*seen, *parts.measured, *parts.theory], least_shown(parts)
    frame(ax, longest - 1, seen, gap, least=max(least, 0.0), yscale=yscale)
    labels, notes = draw_bounds(ax, proven, look), []
    for (name, line), color, marker in zip(
        lines.items(), colors_of_runs(look), _MARKERS, strict=False
    ):
        role = "measured" if alone else f"measured, {name}"
        height = draw_measured(ax, line.values, color, marker, look, role)
        labels.append((height, name, color))
        notes += [said if alone else f"{name}: {said}" for said in _said(ax, line, color, look)]
    if parts is not None:
        of_parts, about_parts = draw_modes(ax, parts, look)
        labels, notes = [*labels, *of_parts], [*about_parts, *notes]
    ax.set_xlabel("iteration $k$")
    ax.set_ylabel(r"gap $f(x_k) - f^\ast$" if gap else "value $f(x_k)$")
    if len(labels) > 1:
        marks.side_labels(ax, labels, look)
    marks.note_below(ax, notes, look)
    finding = _fall(runs, lines, gap) if parts is None else split_in_words(parts)
    ax.set_title(finding if title is None else title)
    return ax


def runs_of(caller, run):
    """Return runs by name; one that has none is "measured"."""
    if not isinstance(run, Mapping):
        return {"measured": run}
    if not 1 <= len(run) <= len(_MARKERS):
        raise ValueError(
            f"{caller}: a mapping of names to runs may hold one to three, got {len(run)}; draw "
            "more of them on several axes"
        )
    return {str(name): one for name, one in run.items()}


def colors_of_runs(look):
    """Return the colors of up to three runs."""
    return look.gd, look.sgd, look.third


def _given(bounds, count):
    """Return bounds that somebody brings."""
    if bounds is None:
        return {}
    if not isinstance(bounds, Mapping):
        raise TypeError(
            "convergence: bounds must be a mapping of names to arrays (steps + 1,), got "
            f"{guards.describe(bounds)}"
        )
    found = {}
    for name, values in bounds.items():
        values = np.asarray(values, np.float64)
        if values.shape != (count,):
            raise ValueError(
                f"convergence: the bound {name!r} must have shape ({count},), one number a row of "
                f"the run, got {guards.describe(values)}"
            )
        found[str(name)] = views.Bound(values)
    return found


# -- what a certificate draws, too ----------------------------------------------------------------


def frame(ax, last, shown, gap, most=6, least=0.0, yscale=None):
    """Set the scales for rows 0 to `last`, and on a logarithmic one all heights above `least`."""
    heights = np.concatenate(shown)
    heights = heights[np.isfinite(heights)]
    ax.set_xlim(0, max(last, 1))
    marks.few_ticks(ax.xaxis, most=9, whole=True)
    ax.grid(axis="y")
    negative = not gap and (heights < 0).any()
    if yscale == "linear" or (yscale is None and negative):
        room = 0.05 * (np.ptp(heights) or 1)
        ax.set_ylim(heights.min() - room, heights.max() + room)
        return
    heights = heights[heights > max(least, _LEAST * heights[:1].max(initial=0.0))]
    low, high = (heights.min(), heights.max()) if len(heights) else (0.1, 1)
    room = max((high / low) ** 0.06, 1.1)
    most_of_all = np.finfo(np.float64).max / 10
    ax.set_ylim(low / room, high * min(room, max(most_of_all / high, 1)))
    if high / low >= 30:
        marks.log_axis(ax, "y", most)
        return
    ax.set_yscale("log")
    few = MaxNLocator(5, steps=[1, 2, 5, 10])
    ax.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)) if high / low > 4 else few)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda x, _: number(x))


def draw_bounds(ax, bounds, look, tightest=None):
    """Draw bounds, tint what the tightest excludes, and return their labels."""
    labels, spare = [], iter((DASHED, DOTTED, _DASHDOT))
    if bounds and tightest is None:
        tightest = min(reversed(bounds), key=lambda name: bounds[name].values[-1])
    for name, (values, formula, _) in bounds.items():
        k, solid = np.arange(len(values)), name == tightest
        dashes = "-" if solid else _DASHES.get(name) or next(spare, DASHED)
        drawn = np.where(values > 0, values, np.nan)
        ax.plot(k, drawn, c=look.bound, ls=dashes, lw=1.8 if solid else 1.4, zorder=3,
                gid=f"gd:proven, {name}")  # fmt: skip
        if solid:
            ax.fill_between(k, values, ax.get_ylim()[1], color=marks.tint(look), lw=0, zorder=0,
                            gid="gd:excluded")  # fmt: skip
        labels.append((last_height(values), f"{name}   {formula}".rstrip(), look.bound))
    return labels


def draw_measured(ax, values, color, marker, look, role, size=4.4):
    """Draw what was measured, and return the last height that can be seen."""
    k = np.arange(len(values))
    shown = values if ax.get_yscale() == "linear" else np.where(values > 0, values, np.nan)
    every = 1 if len(k) <= FEW else max(1, len(k) // 20)
    begin = {"o": 0, "s": every // 2, "^": every // 4}[marker] if every > 1 else 0
    order = 0.1 * _MARKERS.index(marker)
    # A few dots need no line, only a guide: where they meet a bound, both are seen.
    ax.plot(k, shown, c=color, lw=0.9 if every == 1 else 1.8, zorder=5 - order, gid=f"gd:{role}")
    # Above all lines, so that two runs that coincide are both seen.
    ax.plot(k[begin::every], shown[begin::every], marker, c=color, ms=size, mec=look.paper,
            mew=0.5, zorder=5.5 - order, gid=f"gd:marks of {role}")  # fmt: skip
    return last_height(values)


def foot(ax, k, values, color):
    """Mark what is finite and below a logarithmic axis at its foot, and return how many."""
    finite = np.isfinite(values)
    return marks.foot_marks(
        ax, k[finite], np.where(values > ax.get_ylim()[0], values, 0)[finite], color
    )


def last_height(values):
    """Return the last finite number, where a label belongs."""
    finite = values[np.isfinite(values)]
    return finite[-1] if len(finite) else 1.0


def _said(ax, line, color, look):
    """Mark what has no place on the axis and where a run diverged; return it in words."""
    values, said, low = line.values, [], ax.get_ylim()[0]
    kinds = {"not finite": ~np.isfinite(values)}
    if ax.get_yscale() == "log":
        kinds |= {"not positive": values <= 0, "too small": (values > 0) & (values < low)}
    lost = np.any(list(kinds.values()), axis=0)
    if lost.any():
        marks.foot_marks(ax, np.arange(len(values))[lost], np.zeros(lost.sum()), color)
        kind = " or ".join(name for name, those in kinds.items() if those.any())
        said.append(f"{lost.sum()} of {len(values)} {kind}: marks at the foot")
    if line.diverged is not None:
        ax.plot([line.diverged], [last_height(values)], "X", ms=7, c=look.warn, mec=look.paper,
                zorder=8, clip_on=False, gid="gd:diverged")  # fmt: skip
        said.append(f"diverged after iteration {line.diverged}")
    return said


def _few(x):
    """Return three digits of a number, two of what is read off a logarithmic axis."""
    return number(x, 3 if 1e-3 <= abs(x) < 1e5 else 2)


def _fall(runs, lines, gap):
    """Return how far runs fall, in a sentence."""
    what = "gap" if gap else "value"
    if len(lines) > 1:
        ends = {name: line.values[-1] for name, line in lines.items() if line.diverged is None}
        ends = {name: end for name, end in ends.items() if np.isfinite(end)}
        if not ends:
            return "all runs diverge"
        best = min(ends, key=lambda name: ends[name])
        return f"{best} ends lowest, at a {what} of {_few(ends[best])}"
    [run], [line] = runs.values(), lines.values()
    first, last = line.values[0], line.values[-1]
    goes = "falls" if last < first else "rises" if last > first else "stays"
    after = views.steps_in_words(run, len(line.values) - 1)
    return f"the {what} {goes} from {_few(first)} to {_few(last)} in {after}"
