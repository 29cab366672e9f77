"""Samples: the examples of a finite sum one by one, and where they disagree."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from matplotlib.figure import FigureBase
from matplotlib.patches import Polygon, Rectangle

import gdpure as gd
from gdpure import guards
from gdpure.objectives import number_of_examples

from .. import marks, views
from ..layout import Plan, canvas, in_rows, placed
from ..levels import bands_of, draw_levels, number
from ..palette import Theme, legible
from ..style import NAMES, figure_level
from ..views.disagreement import HALF_TURN, Confusion, closeup, confusion, lines, roses
from ..views.examples import arrow_scale, gradients, probes, samples

_MOST = 12  # examples have a panel each


@figure_level
def per_sample(
    f: gd.Objective,
    at: ArrayLike | None = None,
    *,
    window: ArrayLike | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    fig: Any = None,
) -> FigureBase:
    """Draw the cost of each example alone, the steps their gradients ask for, and where they agree.

    Above, one map an example with its line of minimizers, if it has one, and the arrow ``-s g_i``
    at the first point. Below, their mean: the thick arrow is the mean of the thin ones, at all
    points, with one s for the figure. Beside it, enlarged, the region of confusion: inside of it no
    direction lowers all costs, outside one does (Gordan). All maps share one scale of colors, and
    all but the enlarged one share limits and levels.

    Parameters
    ----------
    f
        A finite sum of two parameters and at most twelve examples.
    at
        Where the gradients are taken, shape (2,) or (m, 2); by default three points of the window.
    window
        [[left, right], [bottom, top]], shape (2, 2); by default around the minimizer and `at`.
    names
        Of the two parameters, with their units if they have any.
    title, theme, size
        The words above the mean, "light" or "dark" or colors by role, and the size (see
        `level_sets`).
    fig
        A Figure or SubFigure to draw on, by default a new one.

    Raises
    ------
    TypeError, ValueError
        If f is no finite sum of two parameters, if it has more examples than panels, or if there
        are no points.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([-1.0, 0.0, 1.0]), [1.0, 2.2, 2.8])
    >>> fig = per_sample(f, jnp.array([0.45, 0.2]))
    >>> assert [ax.get_label() for ax in fig.axes][:3] == ["example 1", "example 2", "example 3"]
    """
    n = number_of_examples("per_sample", f)
    views.of_two_parameters("per_sample", f, views.precision(f))
    if n > _MOST:
        raise ValueError(
            f"per_sample: at most {_MOST} examples have a panel, f has {n}; take some of them"
        )
    at, window = _where("per_sample", f, at, window)
    fig, look, axes = canvas(fig, theme, "per_sample", *_plans(n))
    drawn = _Drawn(f, at, window, names, look)
    columns = len({axes[f"example {i + 1}"].get_subplotspec().colspan.start for i in range(n)})
    for i in range(n):
        ax = axes[f"example {i + 1}"]
        drawn.example(ax, i)
        _name(ax, names, first=i % columns == 0, last=i + columns >= n)
    below = axes["mean"]
    drawn.mean(below)
    _name(below, names, first=True, last=True)
    many = {2: "both", 3: "three"}.get(n, str(n))
    said = f"mean cost: thick arrow = mean of {many}" if n > 1 else "mean cost: that of the example"
    below.set_title(said if title is None else title, pad=5)
    if n > 1:
        beside = axes["confusion"]
        drawn.confusion(beside, below)
        _name(beside, names, first=True, last=True)
    marks.note(fig, drawn.notes, look)
    return fig


def _plans(n):
    """Return where n maps of examples stand: above their mean, and left of it, and in a column."""
    names = [f"example {i + 1}" for i in range(n)]
    if n == 1:  # the mean of one is itself, and there is nobody to disagree
        return Plan([[*names, "mean"]], (None,)), Plan([names, ["mean"]], (None, None))
    rows = -(-n // 6)
    plans = [_stacked(names, -(-n // rows), [["mean", "confusion"]])]
    if n <= 3:
        rows = [[name, *["mean"] * n, *["confusion"] * n] for name in names]
        plans.append(Plan(rows, (1.0,) * n))
    return [*plans, _stacked(names, 3 if n > 2 else 2, [["mean"], ["confusion"]])]


def _stacked(names, columns, below):
    """Return a plan of rows of names, so many in each, and below them others."""
    rows = in_rows(names, columns)
    whole = int(np.lcm.reduce([columns, *map(len, below)]))
    spread = [[name for name in row for _ in range(whole // len(row))] for row in rows + below]
    return Plan(spread, (None,) * len(spread))


class _Drawn:
    """What all maps of one figure share: window, bands, lines, arrows and their colors."""

    def __init__(self, f, at, window, names, look):
        self.f, self.at, self.window, self.names = f, np.asarray(at), window, names
        self.samples, self.whole = samples(f, at, window), views.field(f, window, (81, 81))
        self.scale = arrow_scale(at, self.samples.gradients, window)
        self.steps = -self.scale * np.asarray(self.samples.gradients, np.float64)
        self.lines, self.region, self.balance = lines(f), confusion(f, window), None
        self.bands = bands_of(np.stack([*self.samples.field.z, self.whole.z]), look.mist)
        self.n = len(self.samples.field.z)
        self.few = self.n <= len(look.samples)  # then each has a color
        self.colors = look.samples[: self.n] if self.few else [look.muted] * self.n
        self.width, self.look, self.lost = 1.6 if self.few else 0.9, look, 0

    def example(self, ax, i):
        """Draw the cost of one example, its line, and the step it asks for at the first point."""
        look, color = self.look, self.colors[i]
        one = views.Field(*self.samples.field[:2], self.samples.field.z[i])
        draw_levels(ax, one, self.window, self.bands, look)
        self._line(ax, i, self.window, 2.0)
        self._arrow(ax, self.at[0], self.steps[0, i], color, "step", 1.25 * self.width)
        marks.dot(ax, self.at[0], look, "at")
        head = f"example {i + 1}"
        if self.lines is not None and self.few and all(map(marks.is_short, self.names)):
            head += f":  {_equation(self.lines.point[i], self.lines.normal[i], self.names)}"
        size = ax.xaxis.label.get_size()
        ax.set_title(head, color=legible(color, look), pad=4, fontweight="normal", fontsize=size)

    def mean(self, ax):
        """Draw the mean cost, all lines, and at all points the steps and their mean."""
        look = self.look
        draw_levels(ax, self.whole, self.window, self.bands, look)
        draw_region(ax, self.region, look)
        for i in range(self.n):
            self._line(ax, i, self.window, 1.2)
        for k, point in enumerate(self.at):
            for i, color in enumerate(self.colors):
                role = f"step {i + 1} at {k + 1}"
                self._arrow(ax, point, self.steps[k, i], color, role, self.width)
            role = f"mean step at {k + 1}"
            self._arrow(ax, point, self.steps[k].mean(0), look.ink, role, 2.4, zorder=8)
            marks.dot(ax, point, look, "at")
        self.lost = marks.edge_marks(ax, self.at, self.window, look.ink, look)
        self._goal(ax, 8)
        tips = self.at[:, None] + self.steps
        self._numbers(ax, self.window, [*self.at, *tips.reshape(-1, 2)])

    def confusion(self, ax, outside):
        """Draw the region of confusion enlarged, and around it what helps."""
        look, near = self.look, closeup(self.f, self.region, self.window)
        near = near.astype(self.window.dtype)
        field = views.field(self.f, near, (81, 81))
        own = bands_of(field.z, look.mist)
        middles = (own.edges[:-1] + own.edges[1:]) / 2
        # Finer levels, but one color means one value in the whole figure.
        bands = own._replace(norm=self.bands.norm, colors=look.mist(self.bands.norm(middles)))
        draw_levels(ax, field, near, bands, look)
        draw_region(ax, confusion(self.f, near), look)
        for i in range(self.n):
            self._line(ax, i, near, 1.7)
        (left, right), (bottom, top) = np.asarray(near, np.float64)
        shown = roses(self.f, near)
        reach = 0.1 * (right - left)
        for k, point in enumerate(shown.at):
            helped = np.isfinite(shown.common[k]).all()
            if self.few and helped:
                for i, color in enumerate(self.colors):
                    step = reach * np.asarray(shown.steps[k, i], np.float64)
                    self._arrow(ax, point, step, color, f"direction {i + 1} at {k + 1}", 1.6)
            elif helped:
                step = reach * np.asarray(shown.common[k], np.float64)
                self._arrow(ax, point, step, look.ink, f"helps all at {k + 1}", 1.6)
            if helped:
                marks.dot(ax, point, look, "at", 3.6)
        self._balance(ax, near)
        self._goal(ax, 11)
        self._numbers(ax, near, [*shown.at, np.mean(near, 1)])
        many = {2: "both", 3: "all three"}.get(self.n, f"all {self.n}")
        place = "outside,"
        if not len(self.region.points):
            place = "everywhere"
        elif not np.isfinite(np.asarray(shown.common)).any():
            place = "nowhere"
        ax.set_title(f"{place} one direction helps {many}", pad=5)
        if not np.array_equal(near, self.window):
            frame = Rectangle((left, bottom), right - left, top - bottom, fc="none", ec=look.ink)
            outside.add_patch(frame).set(lw=0.7, zorder=4.5, gid="gd:enlarged")

    def _balance(self, ax, near):
        """Draw the steps at the minimizer, which have no sum."""
        found = views.minimizers(self.f)
        shown = bool(np.asarray(views.inside(found.point[None], near)).all())
        if shown and not np.asarray(found.flat).any():
            g = np.asarray(gradients(self.f, found.point), np.float64)
            if np.linalg.norm(g, axis=1).max() > 1e-6 * np.linalg.norm(self.steps, axis=2).max():
                self.balance = arrow_scale(found.point[None], g[None], near, 0.3)
                for i, color in enumerate(self.colors):
                    role = f"step {i + 1} at the minimizer"
                    step = -self.balance * g[i]
                    self._arrow(ax, found.point, step, color, role, 1.25 * self.width)

    def _arrow(self, ax, start, vector, color, role, width, **options):
        """Draw an arrow whose head is no longer than itself; one that has no length is none."""
        share = np.linalg.norm(vector) / np.ptp(ax.get_xlim())
        if share > 1e-5:
            drawn = marks.arrow(ax, start, vector, color, self.look, role, width, **options)

            def place():
                length = share * ax.bbox.width / ax.figure.dpi * 72
                drawn.set_mutation_scale(5 * min(width, 0.35 * length))

            placed(place)

    def _line(self, ax, i, window, width):
        if self.lines is not None:
            width = width if self.few else 0.6 * width
            ax.plot(*_ends(self.lines, i, window).T, color=self.colors[i], lw=width, zorder=4,
                    solid_capstyle="butt", gid=f"gd:minimizers {i + 1}")  # fmt: skip

    def _goal(self, ax, size):
        found = views.minimizers(self.f)
        if np.isfinite(np.asarray(found.point)).all() and not np.asarray(found.flat).any():
            marks.star(ax, found.point, self.look, proven=True, size=size)

    def _numbers(self, ax, window, taken):
        """Write the number of each line at that end of it which is farther from all other marks."""
        if self.lines is None:
            return
        window = np.asarray(window, np.float64)
        width, taken = window[0, 1] - window[0, 0], [*np.asarray(taken, np.float64)]
        inner = window + 0.03 * width * np.array([1, -1])
        for i, color in enumerate(self.colors):
            ends = _ends(self.lines, i, window)
            length = np.linalg.norm(ends[1] - ends[0])
            if not length > 0:
                continue  # the window shows nothing of it
            along = (ends[1] - ends[0]) / length
            aside = 0.032 * width * np.array([-along[1], along[0]])
            inset = 0.09 * width * along
            places = [at + t * aside for at in (ends[0] + inset, ends[1] - inset) for t in (1, -1)]
            room = [min(np.linalg.norm(p - q) for q in taken) for p in places]
            inside = np.asarray(views.inside(np.stack(places), inner))
            x, y = places[int(np.argmax(np.where(inside, room, -1)))]
            taken.append(np.array([x, y]))
            marks.label(ax, str(i + 1), (x, y), (0, 0), self.look, color, ha="center",
                        clip_on=True, gid="gd:number")  # fmt: skip

    @property
    def notes(self):
        """What has to be said: the scales of the arrows, and the levels."""
        minus, times = "\N{MINUS SIGN}", " \N{MULTIPLICATION SIGN} gradient"
        there = f", {minus}{number(self.balance)}{times} at the minimizer" if self.balance else ""
        here = f"enlarged: direction alone{there}" if self.n > 1 else ""
        lost = outside(self.lost)
        levels = ", ".join(number(level) for level in self.bands.levels)
        finer = ", enlarged finer; one scale of colors" if self.n > 1 else ""
        return [
            f"arrows: {minus}{number(self.scale)}{times}",
            here,
            lost,
            f"level lines at {levels}{finer}",
        ]


def outside(count: int) -> str:
    """Return in words how many points a window does not show."""
    return f"{count} point{'s' * (count != 1)} outside the window" if count else ""


def _ends(lines, i, window):
    """Return the ends of what a window shows of line i."""
    along = np.array([-lines.normal[i, 1], lines.normal[i, 0]])
    return np.asarray(views.line(lines.point[i], along, np.asarray(window, np.float64)))


def draw_region(ax: Any, region: Confusion, look: Any) -> None:
    """Draw a region of confusion on a map: pale, within an edge."""
    pale = {"alpha": 0.85, "zorder": 2.5}
    for polygon in region.polygons:
        shape = Polygon(polygon, closed=True, fc=look.paper, ec="none", lw=0, **pale)
        ax.add_patch(shape).set_gid("gd:region of confusion")
    for edge in region.edges:
        ax.plot(*edge.T, color=look.muted, lw=0.8, zorder=2.6, gid="gd:edge of confusion")
    if region.gap is not None:
        x, y, z = map(np.asarray, region.gap)
        shown = {"levels": [-1, HALF_TURN], "colors": [look.paper], **pale}
        ax.contourf(x, y, np.ma.masked_invalid(z), **shown).set_gid("gd:region of confusion")


def _where(caller, f, at, window):
    """Return the points and the window, as they were given or as they suit the objective."""
    dtype = views.precision(f)
    if at is not None:
        at = np.asarray(at, np.float64)
        if at.ndim not in (1, 2) or at.shape[-1] != 2 or not at.size or not np.isfinite(at).all():
            raise ValueError(
                f"{caller}: at must be finite points of shape (2,) or (m, 2), got "
                f"{guards.describe(at) if np.isfinite(at).all() else at.tolist()}"
            )
        at = at.reshape(-1, 2)
    if window is None:
        goal = np.asarray(views.minimizers(f).point, np.float64)[None]
        shown = goal[np.isfinite(goal).all(1)]
        window = (
            views.window_of(f)
            if at is None
            else views.window(np.concatenate([at, shown]), margin=1.6)
        )
    window = views.checked_window(caller, np.asarray(window)).astype(dtype)
    return (probes(window) if at is None else jnp.asarray(at, dtype)), window


def _equation(point, normal, names):
    """Return the equation of a line, with 1 before the first name that is in it."""
    normal = np.where(abs(normal) < 1e-6, 0, normal)
    normal = normal / normal[np.flatnonzero(normal)[0]]
    terms = ""
    for factor, name in zip(normal, names, strict=True):
        if factor:
            size = number(abs(factor), 3) if abs(abs(factor) - 1) > 5e-4 else ""
            sign = "-" if factor < 0 else "+" if terms else ""
            terms += f"{sign}{size}{name.strip('$')}"
    right = f"{normal @ point:.3g}"
    return f"${terms}={right}$"


def _name(ax, names, first, last):
    marks.name_axes(ax, names, pad=5)
    if not first:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    if not last:
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)
