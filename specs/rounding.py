"""Derived bounds of rounding errors: what floating-point evaluation may be off by, and no more.

Every function computes in extended precision, from the exact numbers that the data in their dtype
stand for. The bounds hold for any order of summation, blocking and fused multiply-add, and allow
for results below the least normal number being flushed to zero, as XLA does. They are absolute and
belong to one instance: a relative tolerance that fits all instances does not exist.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

_EXTENDED = np.longdouble


class Evaluation(NamedTuple):
    """Exact value and gradient, and how far any evaluation in the dtype may be from them."""

    value: np.ndarray | np.floating
    gradient: np.ndarray
    value_error: np.ndarray | np.floating
    gradient_error: np.ndarray


def unit_roundoff(dtype) -> float:
    """Return u, half the distance from 1 to the next number: 2^-24 in float32."""
    return float(jnp.finfo(dtype).eps) / 2


def _model(dtype):
    """Return the unit roundoff, gamma, and the least normal number."""
    u = _EXTENDED(unit_roundoff(dtype))
    return u, lambda k: k * u / (1 - k * u), _EXTENDED(float(jnp.finfo(dtype).tiny))


def _exact(*arrays):
    return [np.asarray(a).astype(_EXTENDED) for a in arrays]


def least_squares(X, y, theta, dtype) -> Evaluation:
    """Evaluate ``mean((X theta - y)^2)`` and its gradient, with bounds of their rounding errors.

    Valid for the hand-derived gradient, for both modes of differentiation, and for the mean of
    per-sample gradients. The derivation is that of inner products, Higham, "Accuracy and Stability
    of Numerical Algorithms", 2nd ed., section 3.1.

    Parameters
    ----------
    X, y, theta
        Shapes (n, d), (n,), (d,).
    dtype
        The dtype of the evaluation that is judged.
    """
    u, gamma, tiny = _model(dtype)
    X, y, theta = _exact(X, y, theta)
    n, d = X.shape
    r = X @ theta - y
    delta = (1 + u) * gamma(d) * (np.abs(X) @ np.abs(theta)) + u * np.abs(r) + 2 * d * tiny
    square_error = 2 * np.abs(r) @ delta + delta @ delta
    value_error = (gamma(n + 2) * np.sum((np.abs(r) + delta) ** 2) + square_error) / n
    columns = np.abs(X).T
    gradient_error = (
        2 / _EXTENDED(n) * (gamma(n + 2) * (columns @ (np.abs(r) + delta)) + columns @ delta)
    )
    return Evaluation(
        np.mean(r**2),
        2 / _EXTENDED(n) * (X.T @ r),
        value_error + 2 * n * tiny,
        gradient_error + 2 * (n + 1 + np.sum(columns, axis=1)) * tiny,
    )


def quadratic(hessian, minimizer, minimum, x, dtype) -> Evaluation:
    """Evaluate ``f* + 1/2 <x - x*, H (x - x*)>`` and its gradient, with rounding-error bounds.

    Parameters
    ----------
    hessian, minimizer, minimum, x
        Shapes (d, d), (d,), (), (d,).
    dtype
        The dtype of the evaluation that is judged.
    """
    u, gamma, tiny = _model(dtype)
    hessian, minimizer, minimum, x = _exact(hessian, minimizer, minimum, x)
    d = x.size
    r = x - minimizer
    delta = u * np.abs(r) + tiny
    slope = hessian @ r
    weights = np.abs(hessian)
    slope_error = gamma(d + 1) * (weights @ (np.abs(r) + delta)) + weights @ delta + 2 * d * tiny
    half = r @ slope / 2
    sizes = (np.abs(r) + delta) @ (np.abs(slope) + slope_error)
    half_error = (
        gamma(d + 1) * sizes + np.abs(r) @ slope_error + delta @ (np.abs(slope) + slope_error)
    ) / 2 + 2 * (d + 1) * tiny
    value = minimum + half
    return Evaluation(value, slope, half_error + u * (np.abs(value) + half_error), slope_error)


def step(evaluation: Evaluation, theta, step_size, dtype) -> np.ndarray:
    """Return how far one step ``theta - eta g`` in the dtype may be from the exact one.

    Parameters
    ----------
    evaluation
        The exact evaluation at theta.
    theta, step_size
        Shapes (d,) and (); the step size as the run uses it, rounded to the dtype.
    """
    u, _, tiny = _model(dtype)
    theta, eta = _exact(theta, step_size)
    moved = eta * evaluation.gradient_error * (1 + u) ** 2 + (1 + u) * u * eta * np.abs(
        evaluation.gradient
    )
    return moved + u * (np.abs(theta - eta * evaluation.gradient) + moved) + 2 * tiny


def descent_floor(smoothness, step_size, now: Evaluation, step_error) -> np.ndarray:
    """Return by how much an exact f may rise over a step that promises to descend, by rounding.

    ``f(x+) <= f(x) - h (2 - h) |g|^2 / 2L + |1 - h| |g| |e| + L |e|^2 / 2`` for a step that is off
    by e, h = eta L.
    """
    L, eta = _exact(smoothness, step_size)
    h, e = eta * L, np.linalg.norm(step_error.astype(float))
    return np.abs(1 - h) * np.linalg.norm(now.gradient.astype(float)) * e + L * e**2 / 2


def drift(contraction, step_errors) -> np.ndarray:
    """Return how far rounded iterates may be from exact ones after all steps.

    One step of the exact method brings two points together by the factor rho, so errors e_k of
    single steps add up to at most ``sum_k rho^(N-1-k) |e_k|``.

    Parameters
    ----------
    contraction
        rho, at most 1 for a step of at most 2/L.
    step_errors
        The norms |e_k|, shape (N,).
    """
    sizes = np.asarray(step_errors, float)
    return np.sum(np.power(float(contraction), np.arange(sizes.size)[::-1]) * sizes)
