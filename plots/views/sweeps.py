"""Sweeps: descents with many step sizes, and the heavy ball over its whole plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards

from .fields import precision

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike

_SAMPLES, _REACH = 230, 2.3  # step sizes up to 2.3/L, in the middle of cells that begin at 0
_ORDERS = np.arange(-40, 21)  # of magnitude, where nothing is known, as powers of two
_FINE = 1200  # step sizes of the curve of theory


class StepSweep(NamedTuple):
    """Descents from one start with many step sizes, and what is left after each step.

    `ratio` (r, steps + 1) is the gap ``f(x_k) - f*`` over the first one where f* is known, else
    ``|g_k| / |g_0|``, which needs no f*; it is inf where a run had diverged. `fine` (m,) and
    `theory` (m,) are step sizes and the closed form after the last step, empty where there is none.
    `smoothness`, `strong_convexity` and `minimum` are nan where they are unknown. `edge` is 2/L, or
    where L is unknown the middle between the last step size up to which no run ends higher than it
    began and the next one, nan if there is none.
    """

    step_sizes: Any
    ratio: Any
    diverged: Any
    fine: Any
    theory: Any
    smoothness: Any
    strong_convexity: Any
    minimum: Any
    edge: Any


def step_sweep(
    f: Callable, start: Any, *, steps: int = 80, step_sizes: ArrayLike | None = None
) -> StepSweep:
    """Return descents from one start with many step sizes.

    Parameters
    ----------
    f
        The objective, of any parameters.
    start
        The parameters to start from.
    steps
        How many steps, at least 1.
    step_sizes
        Rising, shape (r,); by default up to 2.3/L, or where L is unknown a little beyond the first
        with which the run ends higher than it began.

    Raises
    ------
    TypeError, ValueError
        If the step sizes do not rise from 0, or the start cannot be left.

    Examples
    --------
    >>> swept = step_sweep(gd.landscapes.bowl, jnp.array([2.0, 1.0]), step_sizes=[0.25, 0.5, 1.5])
    >>> assert swept.ratio[0, 1] == 0.25 and swept.ratio[1, 1] == 0 and swept.edge == 1
    """
    steps = guards.whole("step_sweep", "steps", steps, 1)
    first = gd.begin(f, start, 0.0)
    known, dtype = gd.facts(f), precision(f)
    smoothness, convexity, minimum = (
        jnp.asarray(jnp.nan if x is None else x, dtype)
        for x in (known.smoothness, known.strong_convexity, known.minimum)
    )
    minimum = jnp.where(jnp.isfinite(minimum), minimum, jnp.nan)
    norm = _norm(first.gradient)
    if not (jnp.isfinite(first.value) & jnp.isfinite(norm)):
        raise ValueError("step_sweep: value and gradient at the start must be finite")
    if norm == 0 or first.value <= minimum:
        raise ValueError("step_sweep: the start must not be stationary: no step leads away from it")
    if step_sizes is None:
        top = _REACH / smoothness if smoothness > 0 else 1.15 * _held(f, first, steps)
        step_sizes = (jnp.arange(_SAMPLES, dtype=dtype) + 0.5) / _SAMPLES * top
    step_sizes = _rising(step_sizes, dtype)
    final, values, norms = _runs(f, first.point, step_sizes, steps)
    diverged = final.status == gd.Status.DIVERGED
    k = jnp.arange(steps + 1, dtype=final.count.dtype)
    reached = (k[None] <= final.count[:, None]) | ~diverged[:, None]
    left = norms / norm if jnp.isnan(minimum) else (values - minimum) / (first.value - minimum)
    fine = jnp.linspace(0, step_sizes[-1] + (step_sizes[-1] - step_sizes[-2]) / 2, _FINE)
    theory = _theory(f, first, minimum, fine, steps)
    edge = 2 / smoothness if smoothness > 0 else _first_rise(step_sizes, final, values)
    return StepSweep(
        step_sizes, jnp.where(reached, left, jnp.inf), diverged,
        fine[: len(theory)], theory, smoothness, convexity, minimum, edge,
    )  # fmt: skip


def _rising(step_sizes, dtype):
    given = guards.real("step_sweep", "step_sizes", step_sizes).astype(dtype)
    if given.ndim != 1 or len(given) < 2:
        raise ValueError(
            f"step_sweep: step_sizes must be two or more, shape (r,), got {guards.describe(given)}"
        )
    if not (jnp.isfinite(given).all() & (given[0] >= 0) & (jnp.diff(given) > 0).all()):
        raise ValueError("step_sweep: step_sizes must rise from 0 or more and be finite")
    return given


def _row(state):
    return state.value, _norm(state.gradient)


def _norm(tree):
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(tree)))


def _runs(f, point, step_sizes, steps):
    starts = jax.tree.map(lambda leaf: leaf[None], point)
    runs = gd.sweep(f, starts, step_sizes, steps=steps, record=_row)
    final, (values, norms) = jax.tree.map(lambda leaf: leaf[:, 0], runs)
    return final, values, norms


def _first_rise(step_sizes, final, values):
    """Return the edge below which no run ends higher than it began, but for a rounding of f."""
    slack = 4 * jnp.finfo(values.dtype).eps * jnp.abs(values[:, 0])
    rose = (final.status == gd.Status.DIVERGED) | (values[:, -1] > values[:, 0] + slack)
    first = jnp.argmax(rose)
    before = jnp.where(first > 0, step_sizes[first - 1], 0)
    return jnp.where(rose.any(), (before + step_sizes[first]) / 2, jnp.nan)


def _held(f, first, steps):
    """Return about the largest step size with which no run ends higher than it began."""
    dtype = first.value.dtype
    size = sum(jnp.abs(leaf).max() for leaf in jax.tree.leaves(first.point))
    unit = ((1 + size) / _norm(first.gradient)).astype(dtype)
    orders = unit * jnp.asarray(2.0**_ORDERS, dtype)
    edge = _first_rise(orders, *_runs(f, first.point, orders, steps)[:2])
    if jnp.isnan(edge):
        return unit
    between = jnp.linspace(edge * 2 / 3, edge * 4 / 3, 65)  # of two neighbors
    refined = _first_rise(between, *_runs(f, first.point, between, steps)[:2])
    return jnp.where(jnp.isnan(refined), edge, refined)


def _theory(f, first, minimum, step_sizes, steps):
    try:
        rows = gd.closed_form(f, first.point, step_sizes, steps)
    except TypeError:  # the objective is no quadratic
        return step_sizes[:0]
    gap = (rows.value - minimum) / (first.value - minimum)
    return step_sizes[:0] if jnp.isnan(minimum) else gap[:, -1]


# -- the heavy ball --------------------------------------------------------------------------------


class MomentumPlane(NamedTuple):
    """How fast the heavy ball converges on a curvature lambda, by ``s = eta lambda`` and momentum.

    `rate` (rows, columns) is the spectral radius of ``[[1 + beta - s, -beta], [1, 0]]`` at
    ``s = steps[column]``, ``beta = momenta[row]``. `runs` (m, 2) are places (s, beta) at which the
    heavy ball was run, and `measured` (m,) is what a step of it multiplies the error by.
    """

    steps: Any
    momenta: Any
    rate: Any
    runs: Any
    measured: Any


def momentum_plane(
    runs: ArrayLike, reach: tuple[float, float] = (4.4, 1.1), n: tuple[int, int] = (201, 121)
) -> MomentumPlane:
    """Return the rate of the heavy ball in the middle of n cells from (0, 0) to `reach`.

    Parameters
    ----------
    runs
        Places (eta lambda, beta) at which the heavy ball is really run, shape (m, 2).
    reach
        The largest eta lambda and the largest beta.
    n
        How many columns and rows.

    Examples
    --------
    >>> plane = momentum_plane([[1.0, 0.25]], n=(4, 3))
    >>> assert plane.rate.shape == (3, 4) and abs(plane.measured[0] - 0.5) < 1e-3
    """
    columns, rows = (guards.whole("momentum_plane", "n", count, 2) for count in n)
    runs = guards.real("momentum_plane", "runs", runs).astype(jnp.zeros(()).dtype)
    if runs.ndim != 2 or runs.shape[1] != 2 or not len(runs) or not jnp.isfinite(runs).all():
        raise ValueError(
            "momentum_plane: runs must be finite places (eta lambda, beta), shape (m, 2), got "
            f"{guards.describe(runs)}"
        )
    if not (runs[:, 0] >= 0).all():
        raise ValueError("momentum_plane: runs must have an eta lambda of at least 0")
    steps, momenta = (
        (jnp.arange(count, dtype=runs.dtype) + 0.5) / count * most
        for count, most in zip((columns, rows), reach, strict=True)
    )
    rate = momentum_rate(steps[None, :], momenta[:, None])
    return MomentumPlane(steps, momenta, rate, runs, measured_rate(runs))


@jax.jit
def momentum_rate(step: ArrayLike, momentum: ArrayLike) -> Array:
    """Return the spectral radius of a step of the heavy ball, with s = eta lambda.

    The larger root of ``z^2 - (1 + beta - s) z + beta``, in absolute value.

    Examples
    --------
    >>> assert momentum_rate(1.0, 0.25) == 0.5 and momentum_rate(0.5, 0.0) == 0.5
    """
    step, momentum = jnp.asarray(step), jnp.asarray(momentum)
    half = (1 + momentum - step) / 2
    square = half * half - momentum
    real = jnp.abs(half) + jnp.sqrt(jnp.maximum(square, 0))
    return jnp.where(square < 0, jnp.sqrt(jnp.maximum(momentum, 0)), real)


def measured_rate(runs: ArrayLike, steps: int = 40) -> np.ndarray:
    """Return what a step multiplies the error by, read off runs of `gd.HeavyBall` (m,).

    Three points in a row satisfy ``x_(k+1) = p x_k - q x_(k-1)``; p and q are fitted to all threes
    of a run, each at its own size, and the rate is the larger root of ``z^2 - p z + q``. It is inf
    for a run that leaves the floating-point numbers before there are three.

    Parameters
    ----------
    runs
        Places (eta lambda, beta), shape (m, 2).
    steps
        Of each run.

    Examples
    --------
    >>> assert abs(measured_rate(jnp.array([[0.5, 0.0]]))[0] - 0.5) < 1e-3
    """
    runs = jnp.asarray(runs)
    f = gd.quadratic(jnp.ones((1, 1), runs.dtype), jnp.zeros(1, runs.dtype))
    rules = gd.HeavyBall(runs[:, 0], runs[:, 1])
    swept = gd.sweep(f, jnp.ones((1, 1), runs.dtype), rules, steps=steps)
    points = np.asarray(swept.history.point[:, 0, :, 0], np.float64)
    counts = np.asarray(swept.final.count[:, 0])
    least = float(jnp.finfo(runs.dtype).tiny / jnp.finfo(runs.dtype).eps)
    return np.array([_fitted(row[: n + 1], least) for row, n in zip(points, counts, strict=True)])


def _fitted(x, least):
    if len(x) < 3:
        return np.inf
    threes = np.stack([x[:-2], x[1:-1], x[2:]], 1)
    sizes = np.abs(threes).max(1, keepdims=True)
    threes = (threes / np.where(sizes > 0, sizes, 1))[(sizes > least)[:, 0]]
    (p, q), *_ = np.linalg.lstsq(threes[:, [1, 0]] * [1, -1], threes[:, 2], rcond=None)
    return np.abs(np.roots([1, -p, q])).max()
