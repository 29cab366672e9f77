"""Sweeps: which step sizes converge, and how momentum changes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import FigureBase

import gdpure as gd

from .. import marks
from ..layout import Plan, canvas, plane
from ..levels import number
from ..palette import Theme, contrast
from ..style import DASHED, axes_level, figure_level
from ..views import sweeps
from ..wording import plain

_DECADES = 6.0  # of the colors, up and down
_NEARLY = 3.0  # times as much left as the least is as good: less may be rounding
_DOTS = 46  # runs get a dot each, evenly chosen


@figure_level
def step_sweep(
    f: Callable,
    start: Any,
    *,
    steps: int = 80,
    step_sizes: ArrayLike | None = None,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    """Draw with which step sizes gradient descent converges from a start, and where that ends.

    Below, the color of a cell is what is left of the gap ``f(x_k) - f*`` after k steps, white where
    it is as large as at the start; above, what is left after the last step. Where f* is unknown it
    is the norm of the gradient instead, which needs no f*. The edge is 2/L; where L is unknown it
    is measured, dashed, and lies between the last step size up to which no run ends higher than it
    began and the next.

    Parameters
    ----------
    f
        The objective, of any parameters; that of `gd.least_squares` or `gd.quadratic` is compared
        with its closed form.
    start
        The parameters to start from.
    steps
        How many steps, at least 1.
    step_sizes
        Rising, shape (r,); by default 230 up to 2.3/L, or a little beyond the measured edge.
    title, theme, size
        The words above, "light" or "dark" or colors by role, and the size (see `level_sets`).
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If the step sizes do not rise, or the start is stationary or not finite.

    Examples
    --------
    >>> fig = step_sweep(gd.landscapes.bowl, jnp.array([2.0, 1.0]), steps=10)
    >>> last, cells = fig.axes
    >>> assert cells.get_ylim() == (-0.5, 10.5)
    """
    swept = sweeps.step_sweep(f, start, steps=steps, step_sizes=step_sizes)
    plan = Plan([["last step"], ["cells"]], (0.97, 2.05))
    fig, look, axes = canvas(fig, theme, "step_sweep", plan)
    unit = float(swept.smoothness) if swept.smoothness > 0 else 1.0
    x, ratio = (np.asarray(leaf, np.float64) for leaf in (swept.step_sizes, swept.ratio))
    what = "gradient norm" if np.isnan(swept.minimum) else "gap"
    cells, left = axes["cells"], axes["last step"]
    left.sharex(cells)
    mesh = _cells(cells, unit * x, ratio, look)
    cells.set_xlabel(r"step size  $\eta L$" if swept.smoothness > 0 else r"step size  $\eta$")
    cells.set_ylabel("iteration $k$")
    lost = _last(left, unit, swept, x, ratio, look)
    _lines(left, cells, unit, swept, look)
    _bar(cells, mesh, f"{what} / first {what}" if what == "gap" else r"$\|g_k\| / \|g_0\|$", look)
    _say(cells, unit * x, ratio, unit * float(swept.edge), mesh, look, bool(len(swept.theory)))
    marks.headline(fig, _finding(what, swept, unit, x, ratio) if title is None else title)
    gone = int(np.asarray(swept.diverged).sum())
    notes = [f"{gone} of {len(x)} runs leave the floating-point numbers" * (gone > 0),
             f"{lost} at the foot: 0 within rounding" * (lost > 0)]  # fmt: skip
    marks.note(fig, notes, look)
    return fig


def _cells(ax, x, ratio, look):
    """Draw what is left, one cell a run and a step; the runs are in the middle of their cells."""
    k = np.arange(ratio.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.clip(np.log10(np.maximum(ratio, 0)), -30, 30).T
    norm = TwoSlopeNorm(0, -_DECADES, _DECADES)
    shown = np.clip(decades, -_DECADES, _DECADES)
    mesh = ax.pcolormesh(x, k, shown, norm=norm, cmap=look.verdict, shading="nearest",
                         rasterized=True, gid="gd:decades")  # fmt: skip
    levels = [z for z in (-4, -3, -2, -1, 1, 2, 3, 4) if decades.min() < z < decades.max()]
    if levels:
        # Level lines of a run that swings would be noise.
        near = np.clip(decades, -_DECADES, _DECADES)
        swings = np.abs(np.diff(near, axis=0)).sum(0) > 2.5 * np.ptp(near, axis=0)
        known = np.ma.masked_where(np.isinf(ratio.T) | swings, decades)
        lines = ax.contour(x, k, known, levels=levels, colors=look.paper, linewidths=0.6)
        lines.set_gid("gd:levels")
    corners = mesh.get_coordinates()[0, :, 0]
    ax.set(xlim=(max(corners[0], 0), corners[-1]), ylim=(-0.5, len(k) - 0.5))
    marks.few_ticks(ax.yaxis, whole=True)
    marks.few_ticks(ax.xaxis, most=6)
    return mesh


def _last(ax, unit, swept, x, ratio, look):
    """Draw what is left after the last step, measured and by theory; return what has no place."""
    last = ratio[:, -1]
    positive = last[(last > 0) & np.isfinite(last)]
    lowest = np.log10(min(positive.min(), 1.0)) if len(positive) else -3.0
    low, high = max(10.0 ** (3 * np.floor(lowest / 3 - 1e-9)), 1e-18), 1e3
    ax.set_ylim(low, high)
    marks.log_axis(ax, "y", 4)
    ax.grid(axis="y")
    ax.tick_params(labelbottom=False)
    ax.axhline(1, color=look.muted, lw=0.7, zorder=1.5, gid="gd:as at the start")
    labels = [(10.0 ** (0.62 * np.log10(low)), "\N{BLACK CIRCLE} measured", look.gd)]
    if len(swept.theory):
        theory = np.asarray(swept.theory, np.float64)
        theory = np.where(theory > 0, theory, np.nan)
        ax.plot(unit * np.asarray(swept.fine, np.float64), theory, color=look.bound, lw=1.3,
                zorder=3, gid="gd:theory")  # fmt: skip
        labels.append((10.0 ** (0.15 * np.log10(low)), "\N{EM DASH} theory", look.bound))
    every = max(1, len(x) // _DOTS)
    chosen = slice((every - 1) // 2, None, every)
    at, shown = unit * x[chosen], last[chosen]
    dots = np.stack([at, np.where(shown > 0, shown, np.nan)], 1)
    ax.plot(*dots.T, "o", color=look.gd, ms=3.4, mec=look.paper, mew=0.45, zorder=5,
            gid="gd:measured")  # fmt: skip
    marks.side_labels(ax, labels, look)
    beyond = np.where(shown > 0, np.minimum(shown, 10 * high), 1.0)
    marks.edge_marks(ax, np.stack([at, beyond], 1), [ax.get_xlim(), (low, high)], look.gd, look)
    return marks.foot_marks(ax, at, np.where(np.isfinite(shown), shown, 1.0), look.gd)


def _lines(left, cells, unit, swept, look):
    """Draw the step sizes that theory knows through both axes, and name them."""
    known, convexity = swept.smoothness > 0, float(swept.strong_convexity)
    edge = unit * float(swept.edge)
    lines = []
    if known:
        far = 2 / (1 + convexity / unit) if convexity > 0 else np.nan
        lines.append((1.0, "$1/L$", look.ink))
        lines.append((far, r"$2/(L+\mu)$", look.ink))
        name = "edge of stability" if len(swept.theory) else "descent proven below"
        lines.append((edge, f"$2/L$ {name}", look.warn))
    else:
        lines.append((edge, "measured edge: $f$ ends higher", look.warn))
    low, high = cells.get_xlim()
    lines = [line for line in lines if low <= line[0] <= high]  # and not where it is unknown
    for place, name, color in lines:
        solid = known and color == look.warn
        kind = {"lw": 1.2, "ls": "-"} if solid else {"lw": 0.9, "ls": (0, (3, 2))}
        for ax in (left, cells):
            ax.axvline(place, color=color, zorder=4, gid=f"gd:{plain(name)}", **kind)
    marks.top_labels(left, lines, look)


def _bar(beside, mesh, label, look):
    ax = marks.key_beside(beside, (1.02, 0, 0.02, 1), "key")
    edges = np.linspace(-_DECADES, _DECADES, 257)
    ax.pcolormesh([0, 1], edges, (edges[:-1, None] + edges[1:, None]) / 2, norm=mesh.norm,
                  cmap=mesh.cmap, rasterized=True)  # fmt: skip
    names = [r"$\leq 10^{-6}$", "$10^{-3}$", "$1$", "$10^{3}$", r"$\geq 10^{6}$"]
    ax.set(xlim=(0, 1), ylim=(-_DECADES, _DECADES), xticks=[])
    ax.set_yticks([-6, -3, 0, 3, 6], names)
    ax.yaxis.set_label_position("right")
    ax.set_ylabel(label, fontsize=marks.small())


def _say(ax, x, ratio, edge, mesh, look, proven):
    """Write on the map what its two sides are, where there is room and where it is true."""
    falls, rises = ("converges", "diverges") if proven else ("falls", "rises")
    low, high = ax.get_xlim()
    steps = ratio.shape[1] - 1
    size = ax.xaxis.label.get_size()
    for place, k, word, turn, (least, most) in (
        (low + 0.25 * (edge - low), 0.82 * steps, falls, 0, (-np.inf, 0.5)),
        ((edge + 3 * high) / 4, 0.6 * steps, rises, 90, (2, np.inf)),
    ):
        here = ratio[np.nanargmin(np.abs(x - np.nan_to_num(place))), round(k)]
        if low < place < high and least <= here <= most:
            decades = np.clip(np.log10(max(here, 1e-30)), -_DECADES, _DECADES)
            color = _readable(mesh.cmap(mesh.norm(decades)), look)
            ax.text(place, k, word, color=color, rotation=turn, ha="center", va="center",
                    fontsize=size, zorder=5)  # fmt: skip


def _readable(ground, look):
    """Return the ink or the paper, whichever can be read on a color."""
    return max((look.ink, look.paper), key=lambda color: contrast(color, ground))


def _finding(what, swept, unit, x, ratio):
    """Return where the least is left after the last step, in the words of the axis."""
    last = ratio[:, -1]
    steps = f"{ratio.shape[1] - 1} step{'s' * (ratio.shape[1] > 2)}"
    if not last.min() < 0.999:
        return f"no step size lowers the {what} in {steps}"
    best = _best(unit * x, last, bool(swept.smoothness > 0))
    below = unit * x < unit * float(swept.edge)
    if swept.smoothness > 0 and below.any() and ((last < 1) == below).all():
        return rf"{steps} lower the {what} wherever $\eta < 2/L$, most {best}"
    return f"{steps} lower the {what} most {best}"


def _best(x, last, known):
    """Return in words with which step sizes nearly the least is left: a third more is no more."""
    near = last <= _NEARLY * last.min()
    least = int(last.argmin())
    far = np.flatnonzero(~near)
    first = far[far < least].max(initial=-1) + 1
    end = far[far > least].min(initial=len(x)) - 1
    if end == len(x) - 1:
        return "with the longest steps: the best are beyond"
    per = "/L" * known
    low, high = (number(x[i], 2) for i in (first, end))
    if low == high:
        return rf"at $\eta = {low}{per}$"
    return rf"from $\eta = {low}{per}$ to ${high}{per}$"


# -- the heavy ball --------------------------------------------------------------------------------

_REACH = (4.4, 1.1)
_GRID = tuple((s, b) for b in (0.16, 0.38, 0.565, 0.9) for s in np.arange(0.22, 4.4, 0.44))
_RINGS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.5, 2)


@axes_level
def momentum_plane(
    curvatures: Any = None,
    *,
    runs: ArrayLike | None = None,
    n: tuple[int, int] = (201, 121),
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw how fast the heavy ball converges, by step size times curvature and by momentum.

    The ground is the spectral radius of ``[[1 + beta - eta lambda, -beta], [1, 0]]``: what a step
    multiplies the error by. It is least on the curve of critical damping and 1 on the edge of the
    triangle ``0 < eta lambda < 2 + 2 beta, beta < 1``. A dot has the color of what was measured in
    a run at its place: where theory and run agree, its inside vanishes in the ground.

    Parameters
    ----------
    curvatures
        Eigenvalues (d,) of a Hessian, or an objective that knows L and mu: they are drawn, and run,
        at the step size and the momentum that suit them best,
        ``eta = 4/(sqrt L + sqrt mu)^2, sqrt beta = (sqrt L - sqrt mu)/(sqrt L + sqrt mu)``.
    runs
        Places (eta lambda, beta) at which the heavy ball is run, shape (m, 2); by default a
        grid, and the curvatures.
    n
        How many columns and rows the ground has.
    title, theme, size
        The words above, "light" or "dark" or colors by role, and the size (see `level_sets`).
    ax
        Where to draw, by default in a figure of its own.

    Raises
    ------
    TypeError, ValueError
        If the runs are no places, or the curvatures are unknown or not positive.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Comput. Math.
    Math. Phys. 4, 1964.

    Examples
    --------
    >>> ax = momentum_plane(jnp.array([1.0, 9.0]), n=(21, 11))
    >>> [spectrum] = [line for line in ax.lines if line.get_gid() == "gd:curvatures"]
    >>> assert np.allclose(spectrum.get_xydata(), [[0.25, 0.25], [2.25, 0.25]])
    """
    tuned = None if curvatures is None else _tuned(curvatures)
    grid = np.array(_GRID)
    if tuned is not None:  # and not what would hide them
        grid = np.concatenate([grid[np.abs(grid[:, 1] - tuned[0, 1]) > 0.06], tuned])
    shown = sweeps.momentum_plane(grid if runs is None else runs, _REACH, n)
    ax, look = plane(ax, (7.2, 2.75), theme, "momentum_plane")
    norm = TwoSlopeNorm(1, 0, 2)
    ground = np.clip(np.asarray(shown.rate, np.float64), 0, 2)
    ax.pcolormesh(np.asarray(shown.steps), np.asarray(shown.momenta), ground, norm=norm,
                  cmap=look.verdict, shading="nearest", rasterized=True, gid="gd:rate")  # fmt: skip
    ax.set(xlim=(0, _REACH[0]), ylim=(0, _REACH[1]))
    ax.set_xlabel(r"step size times curvature  $\eta\,\lambda$")
    ax.set_ylabel(r"momentum  $\beta$")
    ax.set_xticks(np.arange(5))
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    _regimes(ax, norm, look)
    points, measured = np.asarray(shown.runs, np.float64), shown.measured
    seen = (points <= np.array(_REACH)).all(1) & np.isfinite(measured) & (points[:, 1] >= 0)
    colors = np.clip(measured[seen], 0, 2)
    edges = [_readable(color, look) for color in look.verdict(norm(colors))]
    ax.scatter(*points[seen].T, c=colors, norm=norm, cmap=look.verdict, s=26, edgecolors=edges,
               linewidths=0.8, zorder=6, gid="gd:measured")  # fmt: skip
    marks.edge_marks(ax, points[~seen], np.array([(0, _REACH[0]), (0, _REACH[1])]), look.gd, look)
    if tuned is not None:
        ax.plot(*tuned.T, color=look.ink, lw=1.6, marker="|", ms=13, mew=1.6, zorder=5,
                gid="gd:curvatures", path_effects=marks.halo(look, 3.2))  # fmt: skip
    off = np.abs(measured - np.asarray(sweeps.momentum_rate(*points.T)))[seen]
    said = r"what a step of the heavy ball multiplies the error by, $\rho$"
    ax.set_title(said if title is None else title)
    lost = f", {(~seen).sum()} outside" * bool((~seen).sum())
    # At critical damping the roots coincide, and move by the square root of a rounding.
    least = np.sqrt(np.finfo(shown.runs.dtype).eps)
    most = 10.0 ** np.ceil(np.log10(off.max(initial=least)))
    marks.key(ax, f"\N{WHITE CIRCLE} {seen.sum()} runs, off by less than {most:.0e}{lost}", look)
    return ax


def _tuned(curvatures):
    """Return where the curvatures lie (d, 2) with the step size and momentum that suit them."""
    if callable(curvatures):
        known = gd.facts(curvatures)
        if known.smoothness is None or not (known.strong_convexity or 0) > 0:
            raise ValueError(
                "momentum_plane: the objective must know its smoothness L and a strong convexity "
                "mu > 0: gd.Objective(value, facts=gd.Facts(smoothness=L, strong_convexity=mu))"
            )
        curvatures = [known.strong_convexity, known.smoothness]
    try:
        values = np.sort(np.asarray(curvatures, np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"momentum_plane: curvatures must be numbers, got {curvatures!r}"
        ) from error
    if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            f"momentum_plane: curvatures must be positive and finite, shape (d,), got {values}"
        )
    least, most = np.sqrt(values[[0, -1]])
    step_size, momentum = 4 / (most + least) ** 2, ((most - least) / (most + least)) ** 2
    return np.stack([step_size * values, np.full(len(values), momentum)], 1)


def _regimes(ax, norm, look):
    """Draw levels of the rate, the curve of critical damping and the edge, and name what they part.

    Where the roots are complex a level is ``beta = rho^2``; where they are real it is the straight
    line from its ends to beta = 0, at 1 - rho and at 1 + rho.
    """
    at = {"ha": "center", "va": "center", "path_effects": marks.halo(look, 1.8)}
    for rho in _RINGS:
        corners = [(1 - rho, 0), ((1 - rho) ** 2, rho**2), ((1 + rho) ** 2, rho**2), (1 + rho, 0)]
        place = (1 + rho**2, rho**2) if rho < 1 else (1.06 + rho + 0.06 / rho, 0.06)
        ax.plot(*np.transpose(corners), color=look.paper, lw=0.6, zorder=2, gid=f"gd:level {rho:g}")
        marks.write(ax, *place, rf"$\rho={rho:g}$", look.ink, look, zorder=3, **at)
    root = np.linspace(-1, 1, 201)
    ax.plot((1 - root) ** 2, root**2, color=look.bound, lw=1.4, ls=DASHED, zorder=4,
            gid="gd:critical damping")  # fmt: skip
    ax.plot([0, 0, 4, 2], [0, 1, 1, 0], color=look.warn, lw=1.4, zorder=4, gid="gd:edge")
    size = ax.xaxis.label.get_size()
    for s, beta, text, share in (
        (0.32, 0.042, "monotone", 0.82),
        (2.1, 0.725, "oscillating", 1),
        (1.82, 0.04, "alternating", 0.8),
        (3.8, 0.27, "diverging", 1),
        (2.1, 1.05, "diverging", 1),
    ):
        ground = look.verdict(norm(float(sweeps.momentum_rate(s, beta))))
        ax.text(s, beta, text, color=_readable(ground, look), fontsize=share * size,
                ha="center", va="center", zorder=7)  # fmt: skip
    at["ha"] = "left"
    curve, edge = r"$\eta\,\lambda = (1 \pm \sqrt{\beta})^2$", r"$\eta\,\lambda = 2 + 2\beta$"
    marks.write(ax, 0.2, 0.437, f"critical damping  {curve}", look.ink, look, **at)
    along = {"rotation": np.degrees(np.arctan(0.5)), "transform_rotates_text": True}
    marks.write(
        ax, 3.33, 0.605, f"edge  {edge}", look.ink, look, rotation_mode="anchor", **at, **along
    )
