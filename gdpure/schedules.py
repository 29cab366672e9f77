"""Schedules: sequences of step sizes, as plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from gdpure import guards

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike, Float


def silver(n: int) -> Float[Array, " n"]:
    """Return the silver steps ``h_i = 1 + r^(v(i) - 1)``, r = 1 + sqrt 2, for i = 1..n.

    v(i) counts how often 2 divides i. The steps are in units of 1/L: divide by the smoothness. On
    convex functions and for n = 2^k - 1 they reach ``f_n - f* <= L |x_0 - x*|^2 / (4 r^k - 2)``,
    though single steps are far longer than 2/L and the values rise on the way.

    Parameters
    ----------
    n
        The number of steps.

    References
    ----------
    Altschuler and Parrilo, "Acceleration by stepsize hedging II", arXiv 2309.16530, 2023.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> root = jnp.sqrt(2.0)
    >>> assert jnp.allclose(gd.schedules.silver(3), jnp.array([root, 2.0, root]))
    """
    i = np.arange(1, guards.whole("schedules.silver", "n", n) + 1)
    twos = np.log2(i & -i)
    return jnp.asarray(1 + (1 + np.sqrt(2)) ** (twos - 1), jnp.result_type(float))


def chebyshev(n: int, mu: ArrayLike, L: ArrayLike) -> Float[Array, " n"]:
    """Return the n step sizes that are best for quadratics with curvatures in [mu, L].

    ``eta_k = 2 / ((L + mu) - (L - mu) cos((2 k - 1) pi / 2n))``, after which ``|x_n - x*| <=
    |x_0 - x*| / T_n((L + mu) / (L - mu))`` with the Chebyshev polynomial T_n. In exact arithmetic
    any order will do; they come in Leja's order, in which rounding errors do not grow.

    Parameters
    ----------
    n
        The number of steps.
    mu, L
        The least and the largest curvature, ``0 < mu <= L``.

    References
    ----------
    Young, "On Richardson's method for solving linear systems with positive definite matrices",
    J. Math. and Phys. 32, 1953.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> steps = gd.schedules.chebyshev(1, 1.0, 3.0)
    >>> assert steps.tolist() == [0.5]
    """
    n = guards.whole("schedules.chebyshev", "n", n)
    guards.in_range("schedules.chebyshev", "mu", mu, guards.Range(0, open=True))
    guards.in_range("schedules.chebyshev", "L", L, guards.Range(0, open=True))
    guards.ordered("schedules.chebyshev", "mu", mu, "L", L)
    nodes = _leja(np.cos((2 * np.arange(1, n + 1) - 1) * np.pi / (2 * n))) if n else np.zeros(0)
    mu, L = jnp.asarray(mu), jnp.asarray(L)
    dtype = jnp.result_type(mu, L, float)
    mu, L = mu.astype(dtype), L.astype(dtype)
    return 2 / ((L + mu) - (L - mu) * jnp.asarray(nodes, dtype))


def _leja(nodes):
    """Nodes reordered so that each is as far as can be from all before it."""
    order, spread, distances = np.zeros(len(nodes), int), np.abs(nodes), np.empty(len(nodes))
    wide = 2 * nodes  # in an interval of length 4 products of many distances stay in range
    for k in range(len(nodes)):
        order[k] = last = np.argmax(spread)
        np.subtract(wide, wide[last], out=distances)
        spread *= np.abs(distances, out=distances)
        spread[last] = -1
    return nodes[order]
