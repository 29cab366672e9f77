"""Basins: to which minimizer gradient descent comes from every start of a grid, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards

from . import fields

if TYPE_CHECKING:
    from jaxtyping import ArrayLike

NOWHERE, DIVERGED = -1, -2
_MOST = 64  # minimizers that are looked for
_DOUBLINGS, _FEW = 48, 500  # step sizes that are tried from some of the starts


class Basins(NamedTuple):
    """Where descent comes from each start of a grid: ``label[i, j]`` is that of ``(x[j], y[i])``.

    A label is a row of `minima` (m, 2), NOWHERE where the steps ran out or ended at a point that is
    no minimizer, and DIVERGED where a run left the floating-point numbers. `count` is how many
    steps it took to make the gradient small. `known` (m,) tells minimizers that somebody knew from
    those found here.
    """

    x: Any
    y: Any
    label: Any
    count: Any
    minima: Any
    known: Any
    step_size: Any


def basins(
    f: Callable,
    window: ArrayLike | None = None,
    *,
    step_size: float | None = None,
    steps: int = 200,
    minima: ArrayLike | None = None,
    tolerance: float = 1e-3,
    n: tuple[int, int] = (241, 193),
) -> Basins:
    """Return the basins of attraction of gradient descent with a constant step size.

    Parameters
    ----------
    f
        The objective, of params (2,).
    window
        [[left, right], [bottom, top]], shape (2, 2); by default around the minimizers.
    step_size
        By default 1/L; where L is unknown, the least of 1/L, 2/L, 4/L, ... with which nearly as
        many starts as possible come to rest, L being the largest curvature on the grid.
    steps
        How many, at most.
    minima
        Known minimizers, shape (m, 2); by default those of a classic of `gd.landscapes`, or that of
        ``gd.facts(f)``. Others are found: points where runs end, and the Hessian is positive.
    tolerance
        The largest ``|gradient|`` at which a run stops.
    n
        How many columns and rows.

    Raises
    ------
    TypeError, ValueError
        If f does not take two parameters, its minimizers fill a line, or a number is none.

    Examples
    --------
    >>> found = basins(gd.landscapes.double_well, [[-1.5, 1.6], [-1.0, 1.1]], n=(4, 3))
    >>> assert found.label.tolist() == [[1, 1, 0, 0]] * 3 and found.known.all()
    """
    dtype = fields.precision(f)
    fields.of_two_parameters("basins", f, dtype)
    steps = guards.whole("basins", "steps", steps, 1)
    columns, rows = (guards.whole("basins", "n", count, 2) for count in n)
    if np.asarray(fields.minimizers(f).flat).any():
        raise ValueError(
            "basins: the minimizers of this objective fill a line or the plane: each start has its "
            "own, and there are no basins"
        )
    known = _known(f, minima, dtype)
    if window is None:
        own = len(known) > 1
        window = fields.window(known, margin=1.5) if own else fields.window_of(f)
    left, right, bottom, top = fields.checked_window("basins", window).astype(dtype).ravel()
    # By NumPy: that of JAX depends on how it is compiled, in the last digit.
    x, y = (
        jnp.asarray(np.linspace(*ends, count), dtype)
        for ends, count in (((left, right), columns), ((bottom, top), rows))
    )
    starts = jnp.stack(jnp.meshgrid(x, y), -1).reshape(-1, 2)
    g = fields.as_argument(f)
    guards.in_range("basins", "tolerance", tolerance, guards.Range(0))
    small = jnp.asarray(tolerance, dtype)
    given = _suitable(g, starts, small, steps) if step_size is None else step_size
    eta = guards.real("basins", "step_size", given).astype(dtype)
    if eta.shape != () or not 0 < eta < jnp.inf:
        raise ValueError(f"basins: step_size must be a positive number, got {step_size}")
    final = _ends(g, starts, eta, small, steps=steps)
    apart = 0.01 * float(jnp.hypot(right - left, top - bottom))
    all_minima, label = _labels(g, final, np.asarray(known), apart, eta)
    return Basins(
        x, y, label.reshape(rows, columns), np.asarray(final.count).reshape(rows, columns),
        all_minima, np.arange(len(all_minima)) < len(known), eta,
    )  # fmt: skip


def _known(f, given, dtype):
    given = fields.minima(f) if given is None else given
    given = np.asarray(given, np.float64).reshape(-1, 2) if len(given) == 0 else given
    given = guards.real("basins", "minima", given).astype(dtype)
    if given.ndim != 2 or given.shape[1] != 2 or not jnp.isfinite(given).all():
        raise ValueError(
            f"basins: minima must be finite points, shape (m, 2), got {guards.describe(given)}"
        )
    return given


def _suitable(f, starts, tolerance, steps):
    """Return 1/L, or where L is unknown a step size with which most starts come to rest.

    It is the least of 1/L, 2/L, 4/L, ... that brings nearly as many to rest as the best of them,
    with the L that the window shows. Nothing is at rest above its start.
    """
    known = gd.facts(f).smoothness
    steepest = _curvature(f, starts) if known is None else jnp.asarray(known)
    if not 0 < steepest < jnp.inf:
        raise ValueError(
            "basins: step_size must be given where nothing curves the objective: its largest "
            f"curvature in the window is {steepest}"
        )
    if known is not None:
        return 1 / steepest
    candidates = jnp.asarray(2.0 ** np.arange(_DOUBLINGS), starts.dtype) / steepest
    few = starts[:: max(1, len(starts) // _FEW)]
    ends = jax.vmap(lambda step_size: _ends(f, few, step_size, tolerance, steps=steps))(candidates)
    lower = ends.value <= jax.vmap(f)(few)[None]  # far away f may be flat where it has no minimizer
    rest = np.asarray((ends.status == gd.Status.CONVERGED) & lower).sum(1)
    return candidates[np.argmax(rest >= 0.95 * rest.max())]


@jax.jit
def _curvature(f, starts):
    curvatures = jnp.abs(jnp.linalg.eigvalsh(jax.vmap(jax.hessian(f))(starts))).max(1)
    return jnp.max(jnp.where(jnp.isfinite(curvatures), curvatures, 0))


@partial(jax.jit, static_argnames="steps")
def _ends(f, starts, step_size, tolerance, *, steps):
    def end(start):
        return gd.minimize(f, start, step_size, tolerance=tolerance, max_steps=steps)

    return jax.vmap(end)(starts)


def _labels(f, final, known, apart, step_size):
    """Return all minimizers, the known ones first, and to which of them each run came."""
    ends, status = np.asarray(final.point, np.float64), np.asarray(final.status)
    label = np.where(status == gd.Status.DIVERGED, DIVERGED, NOWHERE)
    left = status == gd.Status.CONVERGED
    minima = []
    for candidate in known:
        here = left & _near(ends, candidate, apart)
        label[here], left = len(minima), left & ~here
        minima.append(candidate)
    flatness = np.abs(np.asarray(final.gradient, np.float64)).max(1)
    for _ in range(_MOST):
        if not left.any():
            break
        flattest = ends[np.flatnonzero(left)[flatness[left].argmin()]]
        here = left & _near(ends, flattest, apart)
        left &= ~here
        point = jnp.asarray(flattest, final.point.dtype)
        if _is_minimizer(f, point):
            label[here] = len(minima)
            rest = gd.minimize(f, point, step_size, tolerance=0.0, max_steps=1000).point
            rest = np.asarray(rest)
            minima.append(rest if _near(rest[None], flattest, apart)[0] else np.asarray(point))
    return np.array(minima, known.dtype).reshape(-1, 2), label


def _near(points, center, apart):
    return np.linalg.norm(points - center, axis=1) <= apart


def _is_minimizer(f, flat):
    """Return whether f curves upwards in all directions at a point where it is flat."""
    curvatures = _curvatures(f, flat)
    return curvatures.min() > 100 * jnp.finfo(curvatures.dtype).eps * jnp.abs(curvatures).max()


@jax.jit
def _curvatures(f, point):
    return jnp.linalg.eigvalsh(jax.hessian(f)(point))
