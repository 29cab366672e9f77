"""Proven constants of gradient descent, as plain functions of numbers.

L is the smoothness, mu the strong convexity, eta the step size, N the number of steps. All
functions take floats or NumPy arrays, which broadcast.
"""

from __future__ import annotations

import numpy as np


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
    slowest = np.abs(1 - np.multiply(step_size, strong_convexity))
    return np.maximum(np.abs(1 - np.multiply(step_size, smoothness)), slowest)


def value_rate(smoothness, strong_convexity, step_size, steps):
    """Return c with ``f(x_N) - f* <= c |x_0 - x*|^2`` for 0 < eta < 2/L.

    With h = eta L and q = mu/L it is ``c = L/2 max(A, (1 - h)^(2N))``, where A is ``1/(2Nh + 1)``
    for q = 0 and ``q / (q - 1 + (1 - q h)^(-2N))`` otherwise. No smaller constant is true.

    References
    ----------
    Drori and Teboulle, "Performance of first-order methods for smooth convex minimization", Math.
    Program. 145, 2014 (h <= 1); Kim, "A proof of the exact convergence rate of gradient descent",
    arXiv 2412.04427, 2024.

    Examples
    --------
    >>> assert value_rate(1.0, 0.0, 1.0, 5) == 0.5 / 11
    """
    h = np.multiply(step_size, smoothness)
    q = np.divide(strong_convexity, smoothness)
    with np.errstate(divide="ignore", over="ignore"):
        curved = q / np.where(q > 0, q - 1 + np.abs(1 - q * h) ** np.multiply(-2.0, steps), 1)
    plain = 1 / (2 * np.multiply(steps, h) + 1)
    return smoothness / 2 * np.maximum(np.where(q > 0, curved, plain), (1 - h) ** (2 * steps))
