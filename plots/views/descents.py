"""Descents: a grid of step sizes and momenta, from a few starts, and what is proven of all of them.

What `gdpure.plots.page` shows: in float64, and no number is left for the page to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from .convergence import distance_to_minimizers, gaps, in_float64, proven

if TYPE_CHECKING:
    from jaxtyping import ArrayLike

_TOUCHING = 1e-9  # of the limit of convergence, by which a step size of just that may be rounded


class Descents(NamedTuple):
    """Runs of `gd.HeavyBall` with r step sizes and b momenta from s starts.

    `points` (r, b, s, steps + 1, 2) and their `gaps` (r, b, s, steps + 1) are nan after a run left
    the floating-point numbers. `proven` holds by name what the gaps are at most, in the shape of
    the gaps and nan where nothing is proven: "strongly convex" and "convex" for momentum 0,
    "quadratic" for any other.
    """

    points: Any
    gaps: Any
    proven: dict[str, Any]


def curvature(f: Callable) -> float:
    """Return L: the smoothness of f, or where it has none the largest curvature at its minimizer.

    Examples
    --------
    >>> assert curvature(gd.landscapes.bowl) == 2
    >>> assert 1001 < curvature(gd.landscapes.rosenbrock) < 1002
    """
    with jax.enable_x64(True):
        f = in_float64(f)
        known = gd.facts(f)
        if known.smoothness is not None:
            return float(known.smoothness)
        hessian = jax.hessian(f)(jnp.asarray(known.minimizer, jnp.float64))
    return float(np.linalg.eigvalsh(hessian)[-1])


def descents(
    f: Callable, starts: ArrayLike, step_sizes: ArrayLike, momenta: ArrayLike, steps: int
) -> Descents:
    """Return descents with every step size and momentum from every start.

    Parameters
    ----------
    f
        The objective, of params (2,), its minimum known.
    starts
        Shape (s, 2).
    step_sizes, momenta
        Shapes (r,) and (b,).
    steps
        Of each run.

    Examples
    --------
    >>> found = descents(gd.landscapes.bowl, [[2.0, 1.0]], [0.25], [0.0, 0.5], steps=2)
    >>> assert found.points[0, 0, 0].tolist() == [[2.0, 1.0], [1.0, 0.5], [0.5, 0.25]]
    >>> assert found.proven["strongly convex"][0, 0, 0].tolist() == [5.0, 1.25, 0.3125]
    """
    starts, step_sizes, momenta = (np.asarray(x, np.float64) for x in (starts, step_sizes, momenta))
    eta, beta = (x.ravel() for x in np.meshgrid(step_sizes, momenta, indexing="ij"))
    with jax.enable_x64(True):
        rules = gd.HeavyBall(jnp.asarray(eta), jnp.asarray(beta))
        runs = gd.sweep(in_float64(f), jnp.asarray(starts), rules, steps=steps)
    shape = (len(step_sizes), len(momenta), len(starts))
    points = np.asarray(runs.history.point).reshape(*shape, steps + 1, -1)
    found = gaps(f, points.reshape(-1, points.shape[-1]))
    if found is None:
        raise ValueError("descents: the minimum of the objective must be known, gd.Facts(minimum=)")
    found, last = found.reshape(*shape, steps + 1), np.asarray(runs.final.count).reshape(shape)
    lost = np.arange(steps + 1) > last[..., None]
    found = np.where(lost, np.nan, found)
    return Descents(
        np.where(lost[..., None], np.nan, points),
        found,
        _proven(f, starts, step_sizes, momenta, found),
    )


def _proven(f, starts, step_sizes, momenta, found):
    with jax.enable_x64(True):
        known = jax.device_get(gd.facts(in_float64(f)))
    L, mu = known.smoothness, known.strong_convexity
    if L is None or mu is None or mu <= 0:
        return {}
    first, k = found[0, 0, :, :1], np.arange(found.shape[-1])
    held = {
        name: np.full(found.shape, np.nan) for name in ("strongly convex", "convex", "quadratic")
    }
    for i, eta in enumerate(step_sizes):
        for j, beta in enumerate(momenta):
            if eta * L > 2 * (1 + beta) * (1 - _TOUCHING):
                continue
            if beta > 0:
                held["quadratic"][i, j] = first * heavy_ball_rate(eta * L, eta * mu, beta, k)
            for s, start in enumerate(starts if beta == 0 else ()):
                distance = distance_to_minimizers(known, start)
                bounds = proven(known, found[i, j, s, 0], distance, eta, len(k) - 1)
                for name in held.keys() & bounds.keys():
                    held[name][i, j, s] = bounds[name].values
    return held


def heavy_ball_rate(
    fastest: ArrayLike, slowest: ArrayLike, momentum: float, steps: ArrayLike
) -> np.ndarray:
    """Return c with ``f(x_k) - f* <= c (f(x_0) - f*)`` for the heavy ball from rest, k = `steps`.

    For quadratics of two curvatures, mu and L: the error along each is p_k times the first one,
    ``p_(k+1) = (1 + beta - s) p_k - beta p_(k-1)`` with s = eta mu or eta L, and the gap is a sum
    of squares of both. p_k is read off the k-th power of ``[[1 + beta - s, -beta], [1, 0]]``.

    Parameters
    ----------
    fastest, slowest
        eta L and eta mu.
    momentum
        beta.
    steps
        k, whole numbers, shape (n,).

    Examples
    --------
    >>> assert heavy_ball_rate(0.5, 0.5, 0.0, [0, 1, 2]).tolist() == [1.0, 0.25, 0.0625]
    """
    factors = []
    for s in (fastest, slowest):
        step = np.array([[1 + momentum - s, -momentum], [1.0, 0.0]])
        powers = [np.linalg.matrix_power(step, int(k)) for k in np.asarray(steps)]
        factors.append([(power @ [1.0, 1.0])[0] for power in powers])
    return (np.array(factors) ** 2).max(0)
