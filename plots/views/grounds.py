"""The ground of a map: an objective over a window, and what is known of where it is least."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import gdpure as gd

from . import fields

if TYPE_CHECKING:
    from jaxtyping import ArrayLike


FOUND = "lowest found"  # a point of the grid, and none of its border


class Ground(NamedTuple):
    """What lies under everything that is drawn on a map.

    Attributes
    ----------
    field, window
        The values of an objective, and [[left, right], [bottom, top]] (2, 2).
    minimum
        What is known of its least value, infinity where nothing is.
    minima
        The minimizers that are known one by one, (m, 2).
    line
        The ends of what the window shows of a line of minimizers, (2, 2), or None.
    lowest
        Where the grid is lowest, (2,).
    said
        What the minimizers are, in words; FOUND where they are not known.
    """

    field: fields.Field
    window: Any
    minimum: float
    minima: Any
    line: Any
    lowest: Any
    said: str


def ground(
    caller: str,
    f: Callable | fields.Field,
    window: ArrayLike | None = None,
    n: tuple[int, int] = fields.GRID,
) -> Ground:
    """Return an objective over a window, beside the set of its minimizers as far as it is known.

    Parameters
    ----------
    caller
        Which function refuses what cannot be drawn.
    f
        The objective, of params (2,), or a field of it.
    window
        [[left, right], [bottom, top]], shape (2, 2); by default around what is known.
    n
        How many columns and rows; a small panel needs fewer.

    Raises
    ------
    TypeError, ValueError
        If f does not take two parameters, or the window is empty.

    Examples
    --------
    >>> assert ground("descent", gd.landscapes.bowl).said == "the only minimizer"
    >>> assert ground("descent", lambda p: p[0]**2 + p[1]**4).said == "lowest found"
    """
    if isinstance(f, fields.Field):
        ends = np.array([[f.x[0], f.x[-1]], [f.y[0], f.y[-1]]], np.float64)
        window = fields.checked_window(caller, ends)
        nowhere = np.zeros((0, 2))
        return Ground(f, window, np.inf, nowhere, None, fields.lowest(f)[0], lowest_in_words(f))
    fields.of_two_parameters(caller, f)
    window = fields.window_of(f) if window is None else fields.checked_window(caller, window)
    # In the precision of the objective, which takes no other.
    window = window.astype(fields.precision(f))
    field, found, minima = fields.field(f, window, n), fields.minimizers(f), fields.minima(f)
    known = bool(jnp.isfinite(found.point).all())
    directions = [d for d in np.asarray(found.flat) if known and d.any()]
    line = fields.line(found.point, directions[0], window) if len(directions) == 1 else None
    if len(directions) == 2:
        said = "every point is a minimizer"
    elif line is not None:
        said = "all minimizers"
    elif len(minima) > 1:
        said = "minimizers"
    elif known:
        only = (gd.facts(f).strong_convexity or 0) > 0
        said = "the only minimizer" if only else "a minimizer"
    else:
        said = lowest_in_words(field)
    minimum = float(f(found.point)) if known else np.inf
    return Ground(field, window, minimum, minima, line, fields.lowest(field)[0], said)


def lowest_in_words(field: fields.Field) -> str:
    """Return what the lowest point of a grid is: nothing is found where it lies on the border.

    Examples
    --------
    >>> flat = fields.Field(jnp.arange(3.0), jnp.arange(3.0), jnp.ones((3, 3)))
    >>> assert lowest_in_words(flat) == "constant"
    """
    z = np.asarray(field.z, np.float64)
    seen = z[np.isfinite(z)]
    if seen.size and not np.ptp(seen) > 0:
        return "constant"
    i, j = np.unravel_index(np.argmin(np.where(np.isfinite(z), z, np.inf)), z.shape)
    inner = 0 < i < z.shape[0] - 1 and 0 < j < z.shape[1] - 1
    return FOUND if inner else "falls beyond the window"
