"""Proven constants of gradient descent, as plain functions of numbers.

L is the smoothness, mu the strong convexity, eta the step size, N the number of steps. All
functions take floats or arrays, which broadcast; inside a traced function they compute with JAX.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .rounding import traced


def _library(*numbers):
    return jnp if traced(*numbers) else np


def contraction(smoothness, strong_convexity, step_size):
    """Return rho with ``|x+ - x*| <= rho |x - x*|`` for every mu-strongly convex L-smooth function.

    ``rho = max(|1 - eta L|, |1 - eta mu|)``; gradient norms contract by rho as well, gaps
    ``f - f*`` by rho^2. Attained by ``L/2 x^2`` or ``mu/2 x^2``.

    References
    ----------
    Taylor, Hendrickx and Glineur, "Exact worst-case convergence rates of the proximal gradient
    method for composite convex minimization", JOTA 178, 2018.

    Examples
    --------
    >>> assert contraction(2.0, 2.0, 0.25) == 0.5
    """
    xp = _library(smoothness, strong_convexity, step_size)
    fastest = xp.abs(1 - xp.multiply(step_size, smoothness))
    return xp.maximum(fastest, xp.abs(1 - xp.multiply(step_size, strong_convexity)))


def value_rate(smoothness, strong_convexity, step_size, steps):
    """Return c with ``f(x_N) - f* <= c |x_0 - x*|^2`` for 0 < eta < 2/L.

    With h = eta L and q = mu/L it is ``c = L/2 max(A, (1 - h)^(2N))``, where A is ``1/(2Nh + 1)``
    for q = 0 and ``q / (q - 1 + (1 - q h)^(-2N))`` otherwise. No smaller constant is true: Huber's
    function, with a tail of curvature mu, or ``L/2 x^2`` attains it.

    References
    ----------
    Drori and Teboulle, "Performance of first-order methods for smooth convex minimization", Math.
    Program. 145, 2014 (h <= 1); Kim, "A proof of the exact convergence rate of gradient descent",
    arXiv 2412.04427, 2024.

    Examples
    --------
    >>> assert value_rate(1.0, 0.0, 1.0, 5) == 0.5 / 11
    """
    xp = _library(smoothness, strong_convexity, step_size, steps)
    h = xp.multiply(step_size, smoothness)
    steepest = xp.multiply(1.0, smoothness) / 2
    slow = bend(smoothness, strong_convexity, step_size, steps)
    return steepest * xp.maximum(slow, (1 - h) ** (2 * xp.multiply(1.0, steps)))


def bend(smoothness, strong_convexity, step_size, steps):
    """Return A, the bend of the slowest Huber function over the distance |x_0 - x*|.

    Descent on it ends N steps after it began just where the function bends; see `value_rate`.

    Examples
    --------
    >>> assert bend(1.0, 0.0, 1.0, 5) == 1 / 11
    """
    xp = _library(smoothness, strong_convexity, step_size, steps)
    h = xp.multiply(step_size, smoothness)
    q = xp.true_divide(strong_convexity, smoothness)
    # (1 - q h)^(-2N) - 1 without the difference of numbers near 1.
    near = xp.abs(q * h) < 0.5
    with np.errstate(divide="ignore", over="ignore"):
        logarithm = xp.where(near, xp.log1p(-xp.where(near, q * h, 0)), xp.log(xp.abs(1 - q * h)))
        growth = xp.expm1(-2 * xp.multiply(1.0, steps) * logarithm)
        curved = q / xp.where(q > 0, q + growth, 1)
    return xp.where(q > 0, curved, 1 / (2 * xp.multiply(steps, h) + 1))
