"""One step of descent, explained: the gradient, the level it is perpendicular to, and the move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes

import gdpure as gd
from gdpure import guards

from .. import marks, views
from ..layout import plane
from ..levels import bands_of, draw_levels, number
from ..palette import Theme
from ..style import DASHED, NAMES, axes_level
from .maps import SQUARE

_AROUND = 2.4  # how many times the length of the step the window reaches, where it is our choice
_ANGLE = 0.05  # a side of the right angle, of the window


@axes_level
def one_step(
    f: Callable,
    at: ArrayLike,
    step_size: ArrayLike,
    *,
    window: ArrayLike | None = None,
    names: tuple[str, str] = NAMES,
    title: str | None = None,
    theme: Theme = "light",
    size: str = "page",
    ax: Any = None,
) -> Axes:
    """Draw one step ``x - eta g``: the gradient g is perpendicular to the level through x.

    The dashed tangent touches that level, at a right angle to the thin arrow: the direction of the
    gradient, as long as the step. The thick arrow is the step itself. What they are in numbers
    stands beside them.

    Parameters
    ----------
    f
        The objective, of params (2,).
    at
        The point x, shape (2,).
    step_size
        eta, shape ().
    window
        [[left, right], [bottom, top]], shape (2, 2); by default around the step.
    names, title, theme, size, ax
        As for `level_sets`.

    Raises
    ------
    TypeError, ValueError
        As `level_sets`, or if value, gradient or step at the point are not finite or the gradient
        is 0.

    Examples
    --------
    >>> ax = one_step(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1)
    >>> [step] = [mark for mark in ax.patches if mark.get_gid() == "gd:step"]
    >>> assert np.allclose(step.vector, [-0.4, -0.2])
    """
    views.of_two_parameters("one_step", f)
    start = gd.begin(f, jnp.asarray(at, views.precision(f)), step_size)
    end = gd.advance(f, start, step_size)
    point, gradient = (np.asarray(x, np.float64) for x in (start.point, start.gradient))
    if end.status == gd.Status.DIVERGED or not gradient.any():
        raise ValueError(
            "one_step: at must be a point with a finite gradient that is not 0, and a finite value "
            f"after the step; got {guards.describe(at)}, where the gradient is {gradient.tolist()}"
        )
    step = np.asarray(end.point, np.float64) - point
    ax, look = plane(ax, SQUARE, theme, "one_step")
    if window is None:
        middle, reach = point + step / 2, _AROUND * np.linalg.norm(step)
        window = np.stack([middle - reach, middle + reach], 1)
    window = views.checked_window("one_step", window).astype(views.precision(f))
    field = views.field(f, window)
    draw_levels(ax, field, window, bands_of(field.z, look.mist), look)
    marks.name_axes(ax, names)
    x, y, z = (np.asarray(leaf, np.float64) for leaf in field)
    level = {"levels": [float(start.value)], "colors": [look.ink], "linewidths": 1.2}
    ax.contour(x, y, np.ma.masked_invalid(z), **level).set_gid("gd:level of the start")

    width, up = np.ptp(np.asarray(window, np.float64)[0]), gradient / np.linalg.norm(gradient)
    along = np.array([-up[1], up[0]])
    tangent = point + np.array([[-1], [1]]) * 0.35 * width * along
    ax.plot(*tangent.T, c=look.ink, lw=1.0, ls=DASHED, zorder=5, gid="gd:tangent")
    corner = point + _ANGLE * width * np.array([along, along + up, up])
    ax.plot(*corner.T, c=look.ink, lw=0.8, zorder=6, gid="gd:right angle")
    uphill = np.linalg.norm(step) * up
    marks.arrow(ax, point, uphill, look.ink, look, "direction of the gradient", 1.2)
    marks.arrow(ax, point, step, look.gd, look, "step", 2.2)
    marks.dot(ax, point, look, "start")
    marks.dot(ax, point + step, look, "end")
    moved = "$ - \\eta\\,\\nabla f$\n$= $"
    beside = along if along[0] > 0 else -along
    for at, text, color in (
        (point, _vector(point), look.ink),
        (point + uphill, f"$\\nabla f = ${_vector(gradient)}", look.ink),
        (point + step, f"{_vector(point)}{moved}{_vector(point + step)}", look.gd),
    ):
        marks.label(ax, text, at, 8 * beside, look, color)
    before, after = (number(float(state.value), 4) for state in (start, end))
    end_of_tangent = min(tangent, key=lambda place: place[0])  # the labels are on the right
    marks.label(ax, f"level $f = {before}$", end_of_tangent, 8 * up, look, ha="center")
    goes = "falls" if end.value < start.value else "rises"
    ax.set_title(f"$f$ {goes} from {before} to {after}" if title is None else title)
    marks.key(ax, f"$\\eta = {number(float(np.asarray(step_size)), 3)}$", look)
    return ax


def _vector(numbers):
    return f"({', '.join(number(float(x), 4) for x in numbers)})"
