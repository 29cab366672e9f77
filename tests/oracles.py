"""Oracles in extended precision and the tolerances derived with them; nothing of gdpure's core."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from gdpure.specs import bounds, rounding


def exact(*arrays):
    """The numbers that arrays of any dtype stand for, in extended precision."""
    wide = [np.asarray(a).astype(np.longdouble) for a in arrays]
    return wide if len(wide) > 1 else wide[0]


def near(found, wanted, allowed):
    """Whether two arrays are apart, in norm, by no more than is allowed; NaN is near nothing."""
    return np.linalg.norm(np.ravel(np.asarray(found).astype(float) - wanted)) <= allowed


def check_evaluation(found, allowed):
    """A value and a gradient lie where a `rounding.Evaluation` allows; NaN lies nowhere."""
    value, gradient = exact(*found)
    assert value.shape == () and gradient.shape == allowed.gradient.shape
    assert abs(value - allowed.value) <= allowed.value_error
    assert (abs(gradient - allowed.gradient) <= allowed.gradient_error).all()


def exact_run(X, y, start, step_size, steps):
    """The points of gradient descent on least squares, by definition: shape (steps + 1, d)."""
    X, y, x, step_size = exact(X, y, start, step_size)
    points = [x]
    for _ in range(steps):
        x = x - step_size * (2 / np.longdouble(len(y))) * (X.T @ (X @ x - y))
        points.append(x)
    return np.array(points)


class Solution(NamedTuple):
    """What is known about least squares, and how far a decomposition in a dtype may be from it."""

    stretches: np.ndarray
    rank: int
    flat: np.ndarray
    minimizer: np.ndarray
    minimum: float
    eps: float
    turned: float
    minimizer_error: float
    minimum_error: float


def solution(X, y, dtype, rank=None):
    """Least squares by NumPy in float64, and what a backward error eps |X| does to it.

    eps = 4 sqrt(d) roundoffs: rounding the entries makes a quarter of it (see `spectra.of_rows`),
    however many rows there are. Singular values move by eps s_1 (Weyl); the spaces of their vectors
    turn by t = eps kappa (Wedin), kappa = s_1 / s_r; residuals move by (eps + 2 t) |y|, the
    minimizer by t (3 |x*| + (kappa + 1) |r| / s_1), and by t (|x*| + |r| / s_1) more in the
    products that make it (Higham, 2nd ed., Theorem 20.1).
    """
    X, y = np.asarray(X, float), np.asarray(y, float)
    (n, d), rank = X.shape, int(np.linalg.matrix_rank(X)) if rank is None else rank
    _, s, axes = np.linalg.svd(np.linalg.qr(X, mode="r") if n > d else X, full_matrices=True)
    along, across = axes[:rank], axes[rank:]
    flat = across.T @ across
    minimizer = along.T @ np.linalg.lstsq(X @ along.T, y, rcond=0)[0] if rank else np.zeros(d)
    left, size = np.linalg.norm(X @ minimizer - y), np.linalg.norm(minimizer)
    eps = 4 * np.sqrt(d) * rounding.unit_roundoff(dtype)
    if rank == 0:
        return Solution(s, rank, flat, minimizer, left**2 / n, eps, 0, 0, eps * left**2 / n)
    kappa = s[0] / s[rank - 1]
    turned = eps * kappa / (1 - eps * kappa)
    off = turned * (4 * size + (kappa + 2) * left / s[0])
    bent = (eps + 2 * turned) * np.linalg.norm(y)
    spread = (2 * left * bent + bent**2 + eps * (left + bent) ** 2) / n
    return Solution(s, rank, flat, minimizer, left**2 / n, eps, turned, off, spread)


def check_least_squares_facts(known, X, y, rank=None):
    """Facts are those of a decomposition in float64, up to a backward error in their own dtype."""
    true = solution(X, y, known.smoothness.dtype, rank)
    (n, d), s, spare = X.shape, true.stretches, true.eps * true.stretches[0]
    s_r = s[true.rank - 1] if true.rank else 0.0
    assert near(known.smoothness, 2 / n * s[0] ** 2, 2 / n * 3 * spare * s[0])
    assert near(known.growth, 2 / n * s_r**2, 2 / n * (3 * spare * s_r + spare**2))
    assert known.strong_convexity == (known.growth if true.rank == d else 0)
    assert near(known.minimizer, true.minimizer, true.minimizer_error)
    assert near(known.minimum, true.minimum, true.minimum_error)
    turned = (2 * true.turned + true.eps) * d if 0 < true.rank < d else 0
    assert near(known.flat, true.flat, turned)


def spectrum(X):
    """L and mu of least squares with these features; mu is exactly 0 if the rank is deficient."""
    X = np.asarray(X, float)
    stretches = np.linalg.svd(X, compute_uv=False)
    full = np.linalg.matrix_rank(X) == X.shape[1]
    return 2 / len(X) * stretches[0] ** 2, 2 / len(X) * stretches[-1] ** 2 if full else 0.0


def drifts(X, y, points, step_size, dtype):
    """How far each computed point of a run may be from the exact one, by rounding: (steps + 1,)."""
    rho = bounds.contraction(*spectrum(X), float(step_size))
    errors = [
        np.linalg.norm(
            rounding.step(
                rounding.least_squares(X, y, x, dtype), x, np.asarray(step_size, dtype), dtype
            ).astype(float)
        )
        for x in np.asarray(points)[:-1]
    ]
    return rounding.drift(rho, errors).astype(float)


def check_run(X, y, points, step_size, dtype):
    """The points are gradient descent on least squares, up to the drift of rounded steps."""
    step_size = np.asarray(step_size, dtype)
    true = exact_run(X, y, points[0], step_size, len(points) - 1)
    off = np.linalg.norm((exact(points) - true).astype(float), axis=1)
    assert (off <= drifts(X, y, points, step_size, dtype)).all()


def logistic_rounding(X, labels, ridge, theta, dtype):
    """The exact logistic objective, and how far an evaluation may be from it.

    A margin is off by at most delta. The slope of the loss, sigmoid(-m), is increasing in -m and so
    is its own slope: both are off by at most delta times the largest slope on the way. The rest is
    relative: sums of n and d + 1 terms, and 20 units for exp and log1p (4 ulps each, taken twice);
    reverse mode takes exp of a rounded -m - loss, which adds |m| u.
    """
    u, tiny = rounding.unit_roundoff(dtype), float(jnp.finfo(dtype).tiny)
    X, s, ridge, theta = exact(X, 2 * np.asarray(labels) - 1, ridge, theta)
    (n, d), margins = X.shape, s * (X @ theta)
    delta = d * u / (1 - d * u) * np.abs(X) @ np.abs(theta) + 2 * d * tiny
    loss, k = np.logaddexp(0, -margins), (n + d + 21) * u
    slope = np.exp(-margins - loss)
    steepest = np.exp(delta - margins - np.logaddexp(0, delta - margins))
    slope_error = (delta + 2 * u * np.abs(margins) + k) * steepest + tiny
    penalty = ridge / 2 * theta @ theta
    return rounding.Evaluation(
        loss.mean() + penalty,
        -(s * slope) @ X / n + ridge * theta,
        np.mean(delta * steepest + 2 * k * loss + n * tiny) + 2 * k * penalty + d * tiny,
        2 * (slope_error @ np.abs(X)) / n + 2 * k * ridge * np.abs(theta) + 2 * (n + 1) * tiny,
    )
