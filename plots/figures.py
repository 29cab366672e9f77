"""Figures: what an objective and its runs look like.

Each function computes its numbers by `views`, draws them and returns the figure. What it draws has
a gid, "gd:path" and the like, by which it can be found and read back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import MaxNLocator

import gdpure as gd

from . import views
from .save import INK, MUTED, PAPER, RULE, style

if TYPE_CHECKING:
    from jaxtyping import ArrayLike

MEASURED, PROMISED = "#b3340a", "#123f8f"
_WIDTH = 7.2
_MOST_EXAMPLES = 12
_COLORS = colormaps["YlGnBu_r"]
_NAMES = (r"$\theta_0$", r"$\theta_1$")
_DASHED = (0, (4.5, 2.2))
_FEW = 40


@style()
def landscape(
    f: Callable,
    run: gd.Descent | None = None,
    *,
    window: ArrayLike | None = None,
    names: tuple[str, str] = _NAMES,
    title: str = "surface",
) -> Figure:
    """Draw an objective of two parameters as a surface and as a map, with its set of minimizers.

    The minimizers are those that ``gd.facts(f)`` knows: a star for a point, a dashed line for a
    line. The window is a square around the minimizer that shows the whole run, if none is given.

    Parameters
    ----------
    f
        The objective, of params (2,).
    run
        What `gd.descend` returned; its path is drawn. Points outside the window are counted.
    window
        [[left, right], [bottom, top]], shape (2, 2).
    names
        Of the two parameters, with their units if they have any.
    title
        Above the surface.

    Raises
    ------
    ValueError
        If there is no window, no run and no known minimizer to choose one from.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> left, right, bar = landscape(gd.landscapes.bowl, run).axes
    >>> assert right.get_xlim() == right.get_ylim()
    """
    path = None if run is None else np.asarray(run.history.point)
    found = views.minimizers(f)
    point, known = np.asarray(found.point), bool(np.isfinite(found.point).all())
    if window is None:
        window = _chosen_window(point if known else None, path)
    # In the precision of the run or of the data: objectives take no other.
    window = jnp.asarray(window, (path if path is not None else point).dtype)
    grid = jax.tree.map(np.asarray, views.field(f, window))
    bands = _bands(grid.z, float(f(found.point)) if known else np.inf)

    fig = Figure(figsize=(_WIDTH, 3.5))
    space = fig.add_axes((-0.01, 0.04, 0.5, 0.86), projection="3d", computed_zorder=False)
    plane = fig.add_axes((0.585, 0.155, 0.33, 0.33 * _WIDTH / 3.5))
    bar = fig.add_axes((0.93, 0.155, 0.014, 0.33 * _WIDTH / 3.5))
    _surface(space, f, grid, window, bands)
    _map(plane, grid, window, bands)
    _band_bar(bar, bands)

    seen = None
    if run is not None:
        path = np.asarray(run.history.point)
        seen = np.asarray(views.inside(path, window))
        values = np.where(seen, run.history.value, np.nan)
        look = {"color": MEASURED, "marker": "o", "ms": 3.4, "mec": PAPER, "mew": 0.4, "lw": 1.5}
        look["markevery"] = 1 if len(path) <= _FEW else [0]
        plane.plot(*path.T, **look, gid="gd:path", zorder=5)
        shown = np.where(seen[:, None], path, np.nan)
        space.plot(*shown.T, values, **look, gid="gd:path", zorder=7)
    key = _mark_minimizers(plane, space, f, found, window) if known else "no known minimizer"

    for axes, pad in ((plane, 3), (space, -5)):
        axes.set_xlabel(names[0], labelpad=pad)
        axes.set_ylabel(names[1], labelpad=pad)
    fig.text(0.03, 0.93, title, fontsize=9.5, fontweight="bold")
    fig.text(0.585, 0.93, "map", fontsize=9.5, fontweight="bold")
    fig.text(0.915, 0.93, key, fontsize=7.8, color=MUTED, ha="right")
    notes = _notes(grid.z, seen)
    fig.text(0.03, 0.02, notes, fontsize=7.5, color=MUTED, gid="gd:notes")
    return fig


@style()
def convergence(
    run: gd.Descent,
    *,
    minimum: Any = None,
    promised: ArrayLike | None = None,
    title: str = "cost against iterations",
) -> Figure:
    """Draw the values of a run against its iterations on a logarithmic axis.

    Parameters
    ----------
    run
        What `gd.descend` returned; the first row is iteration 0.
    minimum
        If it is given, the gap to it is drawn. Numbers that are not positive have no place on the
        axis: they are marks at its foot, and counted.
    promised
        What theory says the drawn numbers are at most, shape (steps + 1,).
    title
        Above the axes.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> [axes] = convergence(run).axes
    >>> assert axes.get_yscale() == "log"
    """
    heights = np.asarray(run.history.value)
    heights = heights if minimum is None else heights - np.asarray(minimum)
    k = np.arange(len(heights))
    drawn = heights > 0

    fig = Figure(figsize=(_WIDTH, 3.2))
    axes = fig.add_axes((0.115, 0.155, 0.86, 0.745))
    axes.set_yscale("log")
    axes.set_title(title)
    axes.set_xlabel("iteration $k$")
    axes.set_ylabel("$f(x_k)$" if minimum is None else "gap $f(x_k) - f^*$")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlim(-0.02 * max(len(k), 2), len(k) - 1 + 0.02 * max(len(k), 2))
    axes.grid(axis="y")
    few = len(k) <= _FEW
    axes.plot(
        k,
        np.where(drawn, heights, np.nan),
        color=MEASURED,
        ls="none" if few and promised is not None else "-",
        marker="o" if few else "",
        ms=5,
        mec=PAPER,
        label="measured",
        gid="gd:measured",
        zorder=4,
    )
    if promised is not None:
        axes.plot(
            k, promised, color=PROMISED, lw=1.4, ls=_DASHED, label="promised", gid="gd:promised"
        )
        axes.legend(loc="upper right" if heights[-1] < heights[0] else "upper left")
    if not drawn.all():
        foot = axes.get_xaxis_transform()
        axes.plot(k[~drawn], np.zeros((~drawn).sum()), "|", c=MEASURED, ms=9, transform=foot)
    notes = _sentences(
        (f"{(~drawn).sum()} of {len(k)} values are not positive: marks at the foot", ~drawn.all()),
        (
            f"diverged after iteration {run.final.count}: the later rows repeat it",
            run.final.status == gd.Status.DIVERGED,
        ),
    )
    fig.text(0.975, 0.94, notes, fontsize=7.5, color=MUTED, ha="right", gid="gd:notes")
    return fig


@style()
def per_sample(
    f: gd.Objective,
    at: ArrayLike,
    *,
    names: tuple[str, str] = _NAMES,
) -> Figure:
    """Draw the cost of each example alone, its minimizers, and the step its gradient asks for.

    All maps share the window, the levels and the scale of the arrows.

    Parameters
    ----------
    f
        A finite sum of two parameters and at most twelve examples.
    at
        Where the gradients are taken, shape (2,).
    names
        Of the two parameters.

    Raises
    ------
    ValueError
        If there are more examples than panels.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
    >>> assert len(per_sample(f, jnp.array([2.0, 2.0])).axes) == 4  # three maps and their scale
    """
    at = jnp.asarray(at)
    _, gradients = gd.per_sample(f)(at)
    n = len(gradients)
    if n > _MOST_EXAMPLES:
        raise ValueError(f"per_sample: at most {_MOST_EXAMPLES} examples have a panel, got {n}")
    window, step_size = _sample_window(f, at, gradients)
    shown = jax.tree.map(np.asarray, views.samples(f, at, window))
    known = np.isfinite(shown.minimizers.point).all(1)
    bands = _bands(shown.field.z)

    columns = min(n, 3)
    rows = -(-n // columns)
    side, left, gap, below = 1.83, 0.55, 0.28, 0.62
    height = rows * (side + below) + 0.45
    fig = Figure(figsize=(_WIDTH, height))
    for i in range(n):
        row, column = divmod(i, columns)
        x, y = left + column * (side + gap), height - 0.62 - side - row * (side + below)
        axes = fig.add_axes((x / _WIDTH, y / height, side / _WIDTH, side / height))
        _map(axes, views.Field(shown.field.x, shown.field.y, shown.field.z[i]), window, bands)
        axes.set_title(f"example {i + 1}", fontsize=8.5)
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1] if column == 0 else "")
        axes.tick_params(labelleft=column == 0)
        if known[i]:
            one = jax.tree.map(lambda leaf, i=i: leaf[i], shown.minimizers)
            _draw_minimizers([axes], one, window)
        _arrow(axes, np.asarray(at), -step_size * shown.gradients[i])
    top, width = height - 0.62 - side, 0.016 * _WIDTH
    x = left + columns * (side + gap) - gap + 0.12
    _band_bar(fig.add_axes((x / _WIDTH, top / height, width / _WIDTH, side / height)), bands)
    place = ", ".join(f"{number:g}" for number in np.asarray(at).tolist())
    notes = _sentences(
        ("dashed: minimizers", shown.minimizers.flat.any()),
        (f"arrow: \N{MINUS SIGN}{step_size:g} \N{MULTIPLICATION SIGN} gradient at ({place})", True),
    )
    high = 1 - 0.24 / height
    title = "the cost of each example alone"
    fig.text(left / _WIDTH, high, title, fontsize=9.5, fontweight="bold")
    fig.text(0.985, high, notes, fontsize=7.8, color=MUTED, ha="right", gid="gd:notes")
    return fig


# -- what is shown ---------------------------------------------------------------------------------


def _chosen_window(minimizer, path):
    if path is not None:
        return views.window(path, minimizer)
    if minimizer is None:
        raise ValueError(
            "landscape: window must be given, [[left, right], [bottom, top]], where there is "
            "neither a run nor a known minimizer to choose one from"
        )
    return views.window(minimizer[None] + 2 * max(1, np.abs(minimizer).max()), minimizer)


def _sample_window(f, at, gradients):
    """Return the window and the scale of the arrows, the longest not quite half of it."""
    alone = views.samples(f, at, jnp.stack([at - 1, at + 1], 1), n=3).minimizers.point
    goals = [p for p in (views.minimizers(f).point, *alone) if jnp.isfinite(p).all()]
    window = views.window(jnp.stack([at, *goals]), margin=1.6)
    longest = float(jnp.linalg.norm(gradients, axis=1).max())
    step_size = float(f"{0.45 * float(window[0, 1] - window[0, 0]) / (longest or 1):.0e}")
    tips = at[None] - step_size * gradients
    return views.window(jnp.concatenate([jnp.stack([at, *goals]), tips]), margin=1.6), step_size


def _notes(z, seen):
    finite = np.isfinite(z)
    return _sentences(
        (f"{(~finite).sum()} of {z.size} grid values are not finite: blank", ~finite.all()),
        (
            f"{0 if seen is None else (~seen).sum()} iterates lie outside the window",
            seen is not None and ~seen.all(),
        ),
    )


def _sentences(*said):
    return "; ".join(sentence for sentence, true in said if true)


def _viewpoint(f, window):
    """Return the azimuth, in degrees, from which one looks along the least curvature."""
    center, radius = window.mean(1), (window[:, 1] - window[:, 0]) / 2
    curvatures, axes = np.linalg.eigh(np.asarray(jax.hessian(f)(center), np.float64))
    if not np.isfinite(curvatures).all() or np.ptp(curvatures) <= 1e-3 * np.abs(curvatures).max():
        return -75.0
    along = axes[:, 0] * (1 if axes[0, 0] >= 0 else -1)
    ahead = radius * jnp.asarray(along, window.dtype)
    rise = np.diff([f(center - ahead), f(center), f(center + ahead)])
    near = -along if rise.sum() > 0.01 * np.abs(rise).max() else along
    return float(np.degrees(np.arctan2(near[1], near[0]))) - 13


# -- how it is drawn -------------------------------------------------------------------------------


class _Bands(NamedTuple):
    """Levels with one flat color between two of them, the same in all parts of a figure."""

    norm: Any
    levels: Any
    edges: Any
    colors: Any


def _bands(z, lowest=np.inf):
    """Levels ``lowest + c k^2`` with a round c: equally spaced rings on a bowl."""
    finite = z[np.isfinite(z)].astype(np.float64)
    lowest, highest = min(lowest, finite.min()), finite.max()
    highest = highest if highest > lowest else lowest + 1
    rough = (highest - lowest) / 8.5**2
    size = 10.0 ** np.floor(np.log10(rough))
    unit = size * min((1, 2, 5, 10), key=lambda digit: abs(np.log(digit * size / rough)))
    rings = unit * (np.floor(lowest / unit) + np.arange(1, 40) ** 2)
    norm = PowerNorm(0.5, vmin=lowest, vmax=highest)
    room = 0.04  # of the scale: closer levels leave no place for their labels
    levels = rings[(rings < highest) & (norm(rings) > room) & (norm(rings) < 1 - room)]
    edges = np.array([lowest, *levels, highest])
    places = np.asarray(norm(edges))
    return _Bands(norm, levels, edges, _COLORS((places[:-1] + places[1:]) / 2))


def _map(axes, grid, window, bands):
    # The outer edges are moved by nothing visible, so that extreme values are inside.
    edges, slack = bands.edges.copy(), 1e-6 * np.ptp(bands.edges)
    edges[0], edges[-1] = edges[0] - slack, edges[-1] + slack
    axes.contourf(grid.x, grid.y, grid.z, levels=edges, colors=bands.colors).set_gid("gd:bands")
    rings = axes.contour(grid.x, grid.y, grid.z, levels=bands.levels, colors=PAPER, linewidths=0.6)
    rings.set_gid("gd:levels")
    axes.set(xlim=np.asarray(window)[0], ylim=np.asarray(window)[1], aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _surface(axes, f, grid, window, bands):
    z, step = grid.z, 2  # every second row and column: still an odd number, still the center
    x, y, z = grid.x[::step], grid.y[::step], z[::step, ::step]
    cells = (z[:-1, :-1] + z[1:, :-1] + z[:-1, 1:] + z[1:, 1:]) / 4
    colors = _COLORS(bands.norm(cells))
    surface = axes.plot_surface(
        *np.meshgrid(x, y),
        z,
        facecolors=colors,
        rstride=1,
        cstride=1,
        lw=0.3,
        shade=False,
        zorder=3,
    )
    surface.set_edgecolor(colors.reshape(-1, 4))
    surface.set_gid("gd:surface")
    low, high = bands.edges[0], bands.edges[-1]
    axes.contour(
        grid.x, grid.y, grid.z, levels=bands.levels, colors=PAPER, linewidths=0.5, zorder=4
    )
    axes.set(xlim=np.asarray(window)[0], ylim=np.asarray(window)[1], zlim=(low, high))
    axes.set_proj_type("persp", focal_length=1.0)
    axes.set_box_aspect((1, 1, 0.72), zoom=0.93)
    axes.view_init(36, _viewpoint(f, window))
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color(RULE)
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for axis, (low, high) in zip((axes.xaxis, axes.yaxis), np.asarray(window), strict=True):
        ticks, room = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high), (high - low) / 9
        axis.set_ticks([t for t in ticks if low + room < t < high - room])  # corners are crowded
    axes.tick_params(pad=-2, labelsize=7)
    axes.tick_params(axis="z", pad=1)
    longest = max(len(f"{tick:g}") for tick in axes.get_zticks())
    axes.set_zlabel("$f$", labelpad=2 * longest - 9)


def _band_bar(axes, bands):
    places = np.asarray(bands.norm(bands.edges))
    for below, above, color in zip(places[:-1], places[1:], bands.colors, strict=True):
        axes.axhspan(below, above, color=color, lw=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[])
    axes.set_yticks(
        places[1:-1], [f"{level:.6g}".replace("-", "\N{MINUS SIGN}") for level in bands.levels]
    )
    axes.yaxis.tick_right()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("$f$", loc="center", fontsize=8.5, pad=4)


def _mark_minimizers(plane, space, f, found, window):
    """Draw the set of minimizers on both axes and return its key."""
    height = float(f(found.point))
    if not np.asarray(found.flat).any():
        at = np.asarray(found.point)
        look = {"marker": "*", "ms": 10, "color": INK, "mec": PAPER, "mew": 0.8, "ls": "none"}
        plane.plot(*at[:, None], **look, gid="gd:minimizer", zorder=6)
        space.plot(*at[:, None], [height], **look, gid="gd:minimizer", zorder=8)
        only = (gd.facts(f).strong_convexity or 0) > 0
        return "\N{BLACK STAR} the only minimizer" if only else "\N{BLACK STAR} a minimizer"
    return _draw_minimizers([plane, space], found, window, height)


def _draw_minimizers(all_axes, found, window, height=0.0):
    """Draw the line of minimizers, or the point."""
    directions = [d for d in np.asarray(found.flat) if d.any()]
    if len(directions) == 2:
        return "every point is a minimizer"
    if not directions:
        for axes in all_axes:
            axes.plot(*np.asarray(found.point)[:, None], "*", c=INK, ms=9, mec=PAPER, zorder=6)
        return ""
    ends = np.asarray(views.line(found.point, directions[0], window))
    for axes in all_axes:
        where = (*ends.T, [height, height]) if axes.name == "3d" else ends.T
        axes.plot(*where, color=PAPER, lw=1.8, ls=_DASHED, gid="gd:minimizers", zorder=6)
    return "dashed: the line of minimizers"


def _arrow(axes, start, move):
    arrow = FancyArrowPatch(
        start,
        start + move,
        arrowstyle="-|>,head_length=0.5,head_width=0.24",
        mutation_scale=9,
        lw=1.8,
        color=MEASURED,
        shrinkA=0,
        shrinkB=0,
        zorder=7,
        gid="gd:arrow",
    )
    arrow.set_path_effects([patheffects.withStroke(linewidth=3.2, foreground=PAPER)])
    axes.add_patch(arrow)
    axes.plot(*np.asarray(start)[:, None], "o", ms=4.8, color=INK, mec=PAPER, gid="gd:at", zorder=8)
