"""Constants of gradient descent, and of its neighbors, as plain functions of numbers.

L is the smoothness, mu the strong convexity, eta the step size, N the number of steps; in formulas
q = mu/L and h = eta L. All functions take floats or arrays, which broadcast; inside a traced
function they compute with JAX. Where N is said to be a whole number it is one, and not traced.

A name says what its constant is. What ends in `_upper_bound` is proven, but not attained; what ends
in `_lower_bound` is attained, but larger numbers may be, too; what ends in `_conjecture` is
attained, and not proven. All others are exact: proven, and attained by a function of the class.

References
----------
.. [AdKZ22] Abbaszadehpeivasti, de Klerk and Zamani, Optim. Lett. 16, 2022 (arXiv 2104.05468).
.. [AP24] Altschuler and Parrilo, "Acceleration by stepsize hedging II", arXiv 2309.16530.
.. [BTA20] Barre, Taylor and d'Aspremont, "Complexity guarantees for Polyak steps", COLT 2020.
.. [BV04] Boyd and Vandenberghe, "Convex Optimization", section 9.3, Cambridge, 2004.
.. [DT14] Drori and Teboulle, Math. Program. 145, 2014 (arXiv 1206.3209).
.. [GSW24] Grimmer, Shu and Wang, "Composing optimized stepsize schedules", arXiv 2410.16249.
.. [KGT17] de Klerk, Glineur and Taylor, Optim. Lett. 11, 2017 (arXiv 1606.09365).
.. [HK19] Hazan and Kakade, "Revisiting the Polyak step size", arXiv 1905.00313.
.. [Kim24] Kim, "A proof of the exact convergence rate of gradient descent", arXiv 2412.04427.
.. [KF16] Kim and Fessler, "Optimized first-order methods", Math. Program. 159, 2016.
.. [RGP24] Rotaru, Glineur and Patrinos, "Exact worst-case convergence rates", arXiv 2406.17506.
.. [THG17] Taylor, Hendrickx and Glineur, Math. Program. 161, 2017.
.. [THG17b] Taylor, Hendrickx and Glineur, SIAM J. Optim. 27, 2017.
.. [THG18] Taylor, Hendrickx and Glineur, J. Optim. Theory Appl. 178, 2018.
.. [TV23] Teboulle and Vaisbourd, Math. Program. 201, 2023.
.. [Y53] Young, J. Math. and Phys. 32, 1953.
.. [ZJ24] Zhang and Jiang, "Concatenation of stepsize schedules", arXiv 2410.12395.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from gdpure import guards

from .rounding import traced


def _library(*numbers):
    return jnp if traced(*numbers) else np


# -- constant steps --------------------------------------------------------------------------------


def contraction(smoothness, strong_convexity, step_size):
    """Return rho with ``|x+ - x*| <= rho |x - x*|`` for every mu-strongly convex L-smooth function.

    ``rho = max(|1 - eta L|, |1 - eta mu|)``; gradient norms contract by rho as well, gaps
    ``f - f*`` by rho^2 [THG18]_. Attained by ``L/2 x^2`` or ``mu/2 x^2``.

    >>> assert contraction(2.0, 2.0, 0.25) == 0.5
    """
    xp = _library(smoothness, strong_convexity, step_size)
    fastest = xp.abs(1 - xp.multiply(step_size, smoothness))
    return xp.maximum(fastest, xp.abs(1 - xp.multiply(step_size, strong_convexity)))


def value_rate(smoothness, strong_convexity, step_size, steps):
    """Return c with ``f(x_N) - f* <= c |x_0 - x*|^2`` for 0 < eta < 2/L.

    ``c = L/2 max(A, (1 - h)^(2N))`` with the `bend` A; [DT14]_ (h <= 1), [Kim24]_. Attained by
    Huber's function, with a tail of curvature mu, or by ``L/2 x^2``.

    >>> assert value_rate(1.0, 0.0, 1.0, 5) == 0.5 / 11
    """
    xp = _library(smoothness, strong_convexity, step_size, steps)
    h = xp.multiply(step_size, smoothness)
    steepest = xp.multiply(1.0, smoothness) / 2
    slow = bend(smoothness, strong_convexity, step_size, steps)
    return steepest * xp.maximum(slow, xp.abs(1 - h) ** (2 * xp.multiply(1.0, steps)))


def bend(smoothness, strong_convexity, step_size, steps):
    """Return A, the bend of the slowest Huber function over the distance |x_0 - x*|.

    ``A = q / (q - 1 + (1 - q h)^(-2N))``, and ``1/(2Nh + 1)`` for q = 0. Descent on it ends N steps
    after it began just where the function bends; see `value_rate`.

    >>> assert bend(1.0, 0.0, 1.0, 5) == 1 / 11
    """
    xp = _library(smoothness, strong_convexity, step_size, steps)
    h = xp.multiply(step_size, smoothness)
    return 1 / (1 + _growth(xp.true_divide(strong_convexity, smoothness), h, steps))


def _growth(q, h, steps):
    """Return ``((1 - q h)^(-2N) - 1) / q``, and its limit 2Nh for q = 0."""
    xp = _library(q, h, steps)
    qh, twice = xp.multiply(q, h), 2 * xp.multiply(1.0, steps)
    # (1 - q h)^(-2N) - 1 without the difference of numbers near 1.
    near = xp.abs(qh) < 0.5
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        logarithm = xp.where(near, xp.log1p(-xp.where(near, qh, 0)), xp.log(xp.abs(1 - qh)))
        curved = xp.expm1(xp.where(twice == 0, 0, -twice * logarithm)) / xp.where(q == 0, 1, q)
    return xp.where(q == 0, twice * h, curved)


def gradient_rate(smoothness, strong_convexity, step_size, steps):
    """Return c with ``|g_N|^2 <= c (f(x_0) - f*)`` for 0 < eta < 2/L.

    ``c = 2L max(A, (1 - h)^(2N))``, four times the `value_rate` [RGP24]_.

    >>> assert gradient_rate(1.0, 0.0, 1.0, 5) == 2 / 11
    """
    return 4 * value_rate(smoothness, strong_convexity, step_size, steps)


def gradient_rate_from_decrease(smoothness, strong_convexity, step_size, steps):
    """Return c with ``|g_N|^2 <= c (f(x_0) - f(x_N))`` for 0 < eta < 2/L, whatever f* is.

    ``c = 2L / min(((1 - q h)^(-2N) - 1)/q, (1 - h)^(-2N) - 1)``, the first 2Nh for q = 0 [RGP24]_.

    >>> assert gradient_rate_from_decrease(1.0, 0.0, 1.0, 5) == 2 / 10
    """
    xp = _library(smoothness, strong_convexity, step_size, steps)
    h, q = xp.multiply(step_size, smoothness), xp.true_divide(strong_convexity, smoothness)
    least = xp.minimum(_growth(q, h, steps), _growth(xp.ones_like(q), h, steps))
    with np.errstate(divide="ignore"):
        return xp.true_divide(2 * smoothness, least)


def gradient_from_distance_conjecture(smoothness, strong_convexity, step_size, steps):
    """Return c with, supposedly, ``|g_N|^2 <= c |x_0 - x*|^2`` for 0 < eta < 2/L.

    ``c = L^2 max(A, |1 - h|^N)^2``, with the `bend` A of N/2 steps. Conjectured by [THG17]_; no
    smaller constant is true.

    >>> assert gradient_from_distance_conjecture(1.0, 0.0, 1.0, 5) == (1 / 6) ** 2
    """
    xp = _library(smoothness, strong_convexity, step_size, steps)
    half = xp.multiply(0.5, steps)
    return (2 * value_rate(smoothness, strong_convexity, step_size, half)) ** 2


def quadratic_value_rate(smoothness, strong_convexity, step_size, steps):
    """Return c with ``f(x_N) - f* <= c |x_0 - x*|^2`` on quadratics, for eta > 0.

    ``c = L/2 max(a (1 - a h)^(2N), (1 - h)^(2N))``, a = 1/(h (2N + 1)) brought into [q, 1]: the
    most that ``lambda/2 (1 - eta lambda)^(2N)`` is on [mu, L].

    >>> assert quadratic_value_rate(1.0, 0.0, 0.5, 0) == 0.5
    """
    xp = _library(smoothness, strong_convexity, step_size, steps)
    h, q = xp.multiply(step_size, smoothness), xp.true_divide(strong_convexity, smoothness)
    twice = 2 * xp.multiply(1.0, steps)
    a = xp.minimum(xp.maximum(1 / (h * (twice + 1)), q), 1)
    steepest = xp.multiply(1.0, smoothness) / 2
    return steepest * xp.maximum(a * xp.abs(1 - a * h) ** twice, xp.abs(1 - h) ** twice)


def nonconvex_gradient_rate(smoothness, step_size, steps):
    """Return c with ``min |g_k|^2 <= c (f(x_0) - f*)``, f L-smooth and eta <= sqrt(3)/L.

    ``c = 4L / (N min(4h - h^2, 4h - h^3) + 2)``, least for h = 2/sqrt(3) [AdKZ22]_. See
    `hypoconvex_gradient_rate` for longer steps.

    >>> assert nonconvex_gradient_rate(1.0, 1.0, 2) == 0.5
    """
    xp = _library(smoothness, step_size, steps)
    h = xp.multiply(step_size, smoothness)
    return 4 * smoothness / (xp.multiply(1.0, steps) * h * (4 - h * xp.maximum(h, 1)) + 2)


def hypoconvex_gradient_rate(smoothness, strong_convexity, step_size, steps):
    """Return c with ``min |g_k|^2 <= c (f(x_0) - f*)`` for -L <= mu <= 0 and 0 < eta < 2/L.

    ``c = 2L / (1 + D)`` [RGP24]_. Let G_n(t) be ((1 - t h)^(-2n) - 1)/t, and n <= N the last step
    with G_n(q) >= G_n(1): up to it ``L/2 x^2`` is the slowest, and every later one adds to D

        h min(2 + q h/(1 - q), (2 - h) (2 - q h)/(2 - h - q h)),

    D beginning with ``G_n(1) + (G_n(q) - G_n(1)) (1 - (1 - h)^2)/((1 - q h)^2 - (1 - h)^2)`` and
    being at most G_N(1). N is a whole number.

    >>> assert hypoconvex_gradient_rate(1.0, -1.0, 1.0, 2) == 0.5
    """
    steps = guards.whole("bounds.hypoconvex_gradient_rate", "steps", steps)
    xp = _library(smoothness, strong_convexity, step_size)
    h, q = xp.multiply(step_size, smoothness), xp.true_divide(strong_convexity, smoothness)
    one = xp.ones_like(q)
    n = sum(xp.where(_growth(q, h, k) >= _growth(one, h, k), 1.0, 0.0) for k in range(1, steps + 1))
    steep = _growth(one, h, n)
    lead = (_growth(q, h, n) - steep) * (1 - (1 - h) ** 2) / ((1 - q * h) ** 2 - (1 - h) ** 2)
    later = h * xp.minimum(2 + q * h / (1 - q), (2 - h) * (2 - q * h) / (2 - h - q * h))
    decrease = xp.minimum(steep + lead + (steps - n) * later, _growth(one, h, steps))
    return 2 * smoothness / (1 + decrease)


# -- the best constant step ------------------------------------------------------------------------


def optimal_step_size_for_values(smoothness, strong_convexity, steps):
    """Return the eta of the least `value_rate` after N >= 1 steps, and of the `gradient_rate`.

    The h in (1, 2/(1 + q)] where ``A = (1 - h)^(2N)``, over L: both functions that attain the rate
    are equally slow [DT14]_, [Kim24]_. Found by bisection; nothing may be traced. N is a whole
    number.

    >>> assert abs(optimal_step_size_for_values(1.0, 0.0, 1) - 1.5) < 1e-15
    """
    steps = guards.whole("bounds.optimal_step_size_for_values", "steps", steps, least=1)
    q = np.true_divide(strong_convexity, smoothness)
    low, high = np.ones_like(q), 2 / (1 + q)
    # As many halvings as a number has digits.
    for _ in range(np.finfo(float).nmant):
        h = (low + high) / 2
        longer = _growth(q, h, steps) < _growth(1.0, h, steps)
        low, high = np.where(longer, h, low), np.where(longer, high, h)
    return high / smoothness


def optimal_step_size_for_distance(smoothness, strong_convexity):
    """Return the eta of the least `contraction`, ``2/(L + mu)``, which is (L - mu)/(L + mu).

    >>> assert contraction(3.0, 1.0, optimal_step_size_for_distance(3.0, 1.0)) == 0.5
    """
    return 2 / (smoothness + strong_convexity)


# -- steps that look at the function ---------------------------------------------------------------


def exact_line_search_rate(smoothness, strong_convexity, steps):
    """Return c with ``f(x_N) - f* <= c (f(x_0) - f*)`` for descent with exact line search.

    ``c = ((L - mu)/(L + mu))^(2N)`` [KGT17]_. Attained by ``(mu x_1^2 + L x_2^2)/2`` from
    ``(1/mu, 1/L)``, at every step.

    >>> assert exact_line_search_rate(3.0, 1.0, 1) == 0.25
    """
    xp = _library(smoothness, strong_convexity, steps)
    worst = xp.true_divide(smoothness - strong_convexity, smoothness + strong_convexity)
    return worst ** (2 * xp.multiply(1.0, steps))


def most_backtracks(smoothness, step_size, decrease, shrink):
    """Return how often Armijo's rule, as in `gdpure.Backtracking`, shrinks its step t at most.

    ``n = max(0, ceil(log(2 (1 - c)/(L t)) / log beta))``, c the decrease asked for and beta the
    shrinkage: a step of at most 2 (1 - c)/L descends enough [BV04]_, and on ``L/2 x^2`` no other.

    >>> assert most_backtracks(1.0, 8.0, 0.5, 0.5) == 3
    """
    xp = _library(smoothness, step_size, decrease, shrink)
    enough = xp.true_divide(2 * (1 - decrease), xp.multiply(smoothness, step_size))
    return xp.maximum(0, xp.ceil(xp.log2(enough) / xp.log2(shrink)))


def least_armijo_step(smoothness, step_size, decrease, shrink):
    """Return the least step that Armijo's rule may come out at; see `most_backtracks`.

    ``t beta^n``, which is at least ``min(t, 2 beta (1 - c)/L)``.

    >>> assert least_armijo_step(1.0, 8.0, 0.5, 0.5) == 1.0
    """
    return step_size * shrink ** most_backtracks(smoothness, step_size, decrease, shrink)


def polyak_value_upper_bound(smoothness, steps):
    """Return c with ``min f(x_k) - f* <= c |x_0 - x*|^2`` over k < N, for Polyak's steps.

    ``c = 2L/N``, for steps ``(f - f*)/|g|^2`` [HK19]_.

    >>> assert polyak_value_upper_bound(1.0, 4) == 0.5
    """
    return _library(smoothness, steps).true_divide(2 * smoothness, steps)


def polyak_contraction(smoothness, strong_convexity, step_size):
    """Return c with ``|x+ - x*|^2 <= c |x - x*|^2`` for Polyak's step ``2 (f - f*)/|g|^2``, mu > 0.

    ``c = (h - 1) (1 - q h) / (h (1 + q) - 1)``, h in [1, 1/q] being what the step was [BTA20]_.
    Attained by ``(mu x_1^2 + L x_2^2)/2``; the worst, ((1 - q)/(1 + q))^2 for h = 2/(1 + q), from
    ``(1, sqrt(q))`` at every step.

    >>> assert polyak_contraction(3.0, 1.0, 0.5) == 0.25
    """
    xp = _library(smoothness, strong_convexity, step_size)
    h, q = xp.multiply(step_size, smoothness), xp.true_divide(strong_convexity, smoothness)
    return (h - 1) * (1 - q * h) / (h * (1 + q) - 1)


# -- schedules -------------------------------------------------------------------------------------


def any_schedule_lower_bound(smoothness, step_sizes):
    """Return c such that ``f(x_N) - f* >= c |x_0 - x*|^2`` for some convex f, steps of any sizes.

    ``c = L/2 max(1/(1 + 2 sum h_k), prod (1 - h_k)^2)``: Huber's function and ``L/2 x^2`` keep any
    descent from being faster. Step sizes of shape (..., N), all at least 0; L of shape (...).

    >>> assert any_schedule_lower_bound(1.0, np.array([1.5])) == 0.125
    """
    xp = _library(smoothness, step_sizes)
    h = xp.multiply(xp.expand_dims(smoothness, -1), step_sizes)
    steepest = xp.multiply(1.0, smoothness) / 2
    return steepest * xp.maximum(1 / (1 + 2 * h.sum(-1)), ((1 - h) ** 2).prod(-1))


def short_steps_value_rate(smoothness, step_sizes):
    """Return c with ``f(x_N) - f* <= c |x_0 - x*|^2`` for steps of any sizes in (0, 1/L].

    ``c = L / (2 (1 + 2 sum h_k))`` [TV23]_. Step sizes of shape (..., N), L of shape (...).

    >>> assert short_steps_value_rate(1.0, np.array([1.0, 0.5])) == 0.125
    """
    xp = _library(smoothness, step_sizes)
    return smoothness / (2 + 4 * smoothness * xp.asarray(step_sizes).sum(-1))


def silver_value_rate(smoothness, steps):
    """Return c with ``f(x_N) - f* <= c |x_0 - x*|^2`` for the silver schedule of N = 2^k - 1 steps.

    ``c = L / (4 r^k - 2)``, r = 1 + sqrt(2) [GSW24]_, [ZJ24]_. Attained by Huber's function. N is a
    whole number.

    >>> assert abs(silver_value_rate(1.0, 1) - 1 / (2 + 4 * 2**0.5)) < 1e-16
    """
    return smoothness / (4 * _silver_power("bounds.silver_value_rate", steps) - 2)


def silver_gradient_rate(smoothness, steps):
    """Return c with ``|g_N|^2 <= c (f(x_0) - f*)`` for the silver schedule of N = 2^k - 1 steps.

    ``c = 2L / (2 r^k - 1)``, four times the `silver_value_rate` [GSW24]_, [ZJ24]_. N is a whole
    number.

    >>> assert silver_gradient_rate(1.0, 3) == 4 * silver_value_rate(1.0, 3)
    """
    return 2 * smoothness / (2 * _silver_power("bounds.silver_gradient_rate", steps) - 1)


def silver_value_upper_bound(smoothness, steps):
    """Return the c of `silver_value_rate` as first published, 1.4 to 2 times as large.

    ``c = L / (1 + sqrt(4 r^(2k) - 3))`` [AP24]_. N is a whole number.

    >>> assert silver_value_upper_bound(1.0, 7) > 1.8 * silver_value_rate(1.0, 7)
    """
    power = _silver_power("bounds.silver_value_upper_bound", steps)
    return smoothness / (1 + (4 * power**2 - 3) ** 0.5)


def _silver_power(caller, steps):
    """Return ``r^k``, which is one more than the sum of the N = 2^k - 1 silver steps."""
    steps = guards.whole(caller, "steps", steps)
    if steps & (steps + 1):
        raise ValueError(f"{caller}: steps must be 2^k - 1, one of 0, 1, 3, 7, ..., got {steps}")
    return (1 + 2**0.5) ** steps.bit_length()


def chebyshev_rate(smoothness, strong_convexity, steps):
    """Return c with ``|x_N - x*| <= c |x_0 - x*|`` on quadratics, for Chebyshev's schedule.

    ``c = 1/T_N((1 + q)/(1 - q)) = 2 z^N / (1 + z^(2N))``, z = (1 - sqrt(q))/(1 + sqrt(q)) [Y53]_.
    Attained at both ends of the spectrum.

    >>> assert chebyshev_rate(4.0, 1.0, 1) == 0.6
    """
    power = _root_rate(smoothness, strong_convexity) ** _library(steps).multiply(1.0, steps)
    return 2 * power / (1 + power**2)


# -- neighbors: what plain descent is not ----------------------------------------------------------


def _root_rate(smoothness, strong_convexity):
    """Return ``z = (1 - sqrt(q))/(1 + sqrt(q))``."""
    xp = _library(smoothness, strong_convexity)
    root = xp.sqrt(xp.true_divide(strong_convexity, smoothness))
    return (1 - root) / (1 + root)


def heavy_ball_on_quadratics(smoothness, strong_convexity, steps):
    """Return c with ``|x_N - x*| <= c |x_0 - x*|`` for the heavy ball on quadratics, from rest.

    ``c = z^N (1 + N (1 + z))``, z = (1 - sqrt(q))/(1 + sqrt(q)), for eta = 4/(sqrt(L) + sqrt(mu))^2
    and momentum z^2. The error is z^N (U_N - z U_(N-1)) with Chebyshev's U, largest at L.

    >>> assert heavy_ball_on_quadratics(4.0, 0.0, 1) == 3.0
    """
    xp = _library(smoothness, strong_convexity, steps)
    z, N = _root_rate(smoothness, strong_convexity), xp.multiply(1.0, steps)
    return z**N * (1 + N * (1 + z))


def nesterov_on_quadratics(smoothness, strong_convexity, steps):
    """Return c with ``|y_N - x*| <= c |y_0 - x*|`` for Nesterov's method on quadratics, from rest.

    ``c = (1 - s)^N (1 + N s/(1 + s))``, s = sqrt(q), for eta = 1/L and momentum (1 - s)/(1 + s); y
    are the points where gradients are taken. With p = 1 - s, t = 1 - lambda/L and a cosine v in
    [0, 1] that falls with lambda, the error is (p v)^(N+1) (T_(N+1)(v) + s v U_N(v))/t, largest at
    v = 1, which is mu, as |T| <= 1 and |v U_N| <= N + 1.

    >>> assert nesterov_on_quadratics(4.0, 1.0, 1) == 2 / 3
    """
    xp = _library(smoothness, strong_convexity, steps)
    s, N = xp.sqrt(xp.true_divide(strong_convexity, smoothness)), xp.multiply(1.0, steps)
    return (1 - s) ** N * (1 + N * s / (1 + s))


def optimized_gradient_value_rate(smoothness, steps):
    """Return c with ``f(x_N) - f* <= c |x_0 - x*|^2`` for the optimized gradient method.

    ``c = L / (2 theta_N^2)``, theta_0 = 1, theta_k = (1 + sqrt(1 + 4 theta_(k-1)^2))/2, with 8 for
    the 4 at the last step [KF16]_: no first-order method has a smaller one. N is a whole number.

    >>> assert optimized_gradient_value_rate(1.0, 1) == 0.125
    """
    steps = guards.whole("bounds.optimized_gradient_value_rate", "steps", steps)
    theta = 1.0
    for k in range(1, steps + 1):
        theta = (1 + (1 + (8 if k == steps else 4) * theta**2) ** 0.5) / 2
    return smoothness / (2 * theta**2)


def fast_gradient_value_rate_conjecture(smoothness, steps):
    """Return c with, supposedly, ``f(x_N) - f* <= c |x_0 - x*|^2`` for Nesterov's fast gradient.

    ``c = 2L / ((N + 2) (N + 3))`` for ``x_k = y_(k-1) - g/L``, ``y_k = x_k + (k - 1)/(k + 2) (x_k -
    x_(k-1))`` [THG17b]_.

    >>> assert fast_gradient_value_rate_conjecture(1.0, 1) == 1 / 6
    """
    N = _library(smoothness, steps).multiply(1.0, steps)
    return 2 * smoothness / ((N + 2) * (N + 3))
