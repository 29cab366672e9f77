"""Derived bounds of rounding errors: what floating-point evaluation may be off by, and no more.

The bounds hold for any order of summation, blocking and fused multiply-add, and wherever numbers
below the least normal one, operands and results alike, are taken for zero, as XLA does; a step size
is none of them. They are absolute and belong to one instance: a relative tolerance that fits all
instances does not exist.

Every function computes from the exact numbers that the data in their dtype stand for, in extended
precision; inside a traced function, where it is mapped over thousands of instances, in float64.
Where `dtype` is asked for, an `Arithmetic` will do, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .balls import library


class Arithmetic(NamedTuple):
    """A model of floating-point arithmetic, shape () each.

    Attributes
    ----------
    unit_roundoff
        u, the largest relative error of one operation: 2^-24 in float32.
    least_normal
        Smaller numbers may be taken for zero: 2^-126 in float32.
    products
        The unit roundoff to which the factors of inner products are rounded before they are
        multiplied: 0, or 2^-11 where float32 products run in TF32 and 2^-8 where in bfloat16.
    """

    unit_roundoff: float
    least_normal: float
    products: float = 0.0

    def gamma(self, k):
        """Return the bound of the relative error of k operations."""
        return k * self.unit_roundoff / (1 - k * self.unit_roundoff)

    def inner(self, k):
        """Return the bound of k operations, one of them the product of an inner product."""
        return (1 + self.gamma(k)) * (1 + self.products) ** 2 - 1


class Evaluation(NamedTuple):
    """Exact value and gradient, and how far any evaluation in the dtype may be from them."""

    value: Any
    gradient: Any
    value_error: Any
    gradient_error: Any


def unit_roundoff(dtype) -> float:
    """Return u, half the distance from 1 to the next number: 2^-24 in float32."""
    return float(jnp.finfo(dtype).eps) / 2


def arithmetic(dtype, products: float = 0.0) -> Arithmetic:
    """Return the arithmetic of a dtype; what is one already comes back as it is.

    Examples
    --------
    >>> assert arithmetic("float32").unit_roundoff == 2.0**-24
    """
    if isinstance(dtype, Arithmetic):
        return dtype
    return Arithmetic(unit_roundoff(dtype), float(jnp.finfo(dtype).tiny), products)


def spacing(x, dtype) -> Any:
    """Return units in the last place: how far the numbers of a dtype are apart at x; 0 at 0.

    Examples
    --------
    >>> assert spacing(np.array([1.0, 3.0, 0.0]), "float32").tolist() == [2.0**-23, 2.0**-22, 0.0]
    """
    xp = library(x)
    return xp.where(x == 0, 0.0, xp.ldexp(arithmetic(dtype).unit_roundoff, xp.frexp(x)[1]))


def traced(*arrays) -> bool:
    """Return whether any of the arrays is being traced, so that NumPy cannot compute with it."""
    return any(isinstance(a, Tracer) for a in arrays)


def exact(*arrays):
    """Return the numbers that arrays stand for, in extended precision, or traced in float64."""
    if traced(*arrays):
        return [jnp.asarray(a).astype(jnp.float64) for a in arrays]
    return [np.asarray(a).astype(np.longdouble) for a in arrays]


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
    model = arithmetic(dtype)
    u, tiny, inner = model.unit_roundoff, model.least_normal, model.inner
    X, y, theta = exact(X, y, theta)
    n, d = X.shape
    r = X @ theta - y
    delta = (1 + u) * inner(d) * (abs(X) @ abs(theta)) + u * abs(r)
    # What is taken for zero: d products and as many sums; an entry of y, of X, of theta.
    delta += (2 * d + 1 + abs(X).sum(axis=1) + abs(theta).sum()) * tiny
    far = abs(r) + delta
    square_error = 2 * abs(r) @ delta + delta @ delta
    value_error = (inner(n + 2) * (far @ far) + square_error) / n
    columns = abs(X).T
    gradient_error = (inner(n + 2) * (columns @ far) + columns @ delta + tiny * far.sum()) * 2 / n
    return Evaluation(
        (r**2).mean(),
        X.T @ r * 2 / n,
        value_error + 2 * n * tiny,
        gradient_error + 2 * (n + 1 + columns.sum(axis=1)) * tiny,
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
    model = arithmetic(dtype)
    u, tiny, inner = model.unit_roundoff, model.least_normal, model.inner
    hessian, minimizer, minimum, x = exact(hessian, minimizer, minimum, x)
    d = len(x)
    r = x - minimizer
    # Two entries of x and x* may be taken for zero, or r and, in reverse mode, r / 2.
    delta = u * abs(r) + 2 * tiny
    slope = hessian @ r
    weights, far = abs(hessian), abs(r) + delta
    slope_error = inner(d + 1) * (weights @ far) + weights @ delta + (4 * d + far.sum()) * tiny
    half = r @ slope / 2
    sizes = far @ (abs(slope) + slope_error)
    half_error = (
        inner(d + 1) * sizes + abs(r) @ slope_error + delta @ (abs(slope) + slope_error)
    ) / 2 + 2 * (d + 1) * tiny
    value = minimum + half
    return Evaluation(value, slope, half_error + u * (abs(value) + half_error), slope_error)


def huber(features, center, bend, tail, minimum, x, dtype) -> Evaluation:
    """Evaluate ``f* + mean_i phi(a_i (x - c))`` and its gradient, with rounding-error bounds.

    phi is Huber's function with a tail: ``t^2 / 2`` up to ``|t| = bend``, from there on straight
    but for the curvature `tail`. An infinite bend makes it a quadratic. An error delta of t moves
    its slope by as much inside the bend, by `tail` times as much outside, and phi by that slope
    times delta. From t on nothing cancels: a term of the value is five operations away, and so is a
    slope, hand-derived or by either mode of differentiation; their errors are relative.

    Parameters
    ----------
    features, center, bend, tail, minimum, x
        Shapes (n, d), (d,), (), (), (), (..., d); tail in [0, 1]. Batches of problems are further
        axes, the last in all of them: (n, d, B), (d, B), (B,) and (..., d, B).
    dtype
        The dtype of the evaluation that is judged.
    """
    return huber_as_given(*exact(features, center, bend, tail, minimum, x), dtype=dtype)


def huber_as_given(features, center, bend, tail, minimum, x, dtype) -> Evaluation:
    """Evaluate as `huber` does, in the precision of the numbers that are given."""
    model, xp = arithmetic(dtype), library(x, features)
    u, tiny, gamma, inner = model.unit_roundoff, model.least_normal, model.gamma, model.inner
    n, d = features.shape[:2]
    axis = 1 - features.ndim  # of the coordinates; rows take the same place

    def row_sums(weights, r):
        return (weights * xp.expand_dims(r, axis - 1)).sum(axis)

    def column_sums(weights, slope):
        return (weights * xp.expand_dims(slope, axis)).sum(axis - 1)

    weights = abs(features)
    r = x - center
    off = u * abs(r) + 2 * tiny
    far = abs(r) + off
    t = row_sums(features, r)
    delta = inner(d) * row_sums(weights, far) + row_sums(weights, off)
    # What is taken for zero: d products and as many sums; an entry of the features.
    delta += (2 * d + far.sum(axis, keepdims=True)) * tiny
    bounded = xp.minimum(xp.maximum(t, -bend), bend)
    beyond = t - bounded
    # The bend or the tail may be taken for zero.
    reach = abs(t) + delta
    lost = (1 + reach) * tiny
    terms = bounded * (t - bounded / 2) + tail * beyond**2 / 2
    slope = bounded + tail * beyond
    outside = abs(beyond)
    moved = xp.maximum(delta - outside, 0) + tail * xp.minimum(delta, outside)
    spread = (abs(slope) + moved) * delta + reach * lost
    # Reverse mode divides by n first: whatever it loses, up to six times, counts n times.
    slope_error = moved + gamma(5) * (abs(slope) + moved) + lost + 6 * n * tiny
    value = minimum + terms.sum(axis) / n
    value_error = (gamma(n + 6) * (terms + spread) + spread).sum(axis) / n + (n + 8) * tiny
    # In a mean over examples the minimum is part of every term.
    value_error = value_error + gamma(n + 2) * abs(minimum)
    pulls = column_sums(weights, abs(slope) + slope_error)
    gradient_error = (inner(n + 2) * pulls + column_sums(weights, slope_error)) / n
    return Evaluation(
        value,
        column_sums(features, slope) / n,
        value_error + u * (abs(value) + value_error),
        gradient_error + (2 * n + 8 + 2 * reach.sum(axis, keepdims=True) / n) * tiny,
    )


def step(evaluation: Evaluation, theta, step_size, dtype) -> Any:
    """Return how far one step ``theta - eta g`` in the dtype may be from the exact one.

    Parameters
    ----------
    evaluation
        The exact evaluation at theta.
    theta, step_size
        Shapes (..., d) and (), or a batch of them, (..., d, B) and (B,); the step size as the run
        uses it, rounded to the dtype.
    """
    return step_as_given(evaluation, *exact(theta, step_size), dtype=dtype)


def step_as_given(evaluation: Evaluation, theta, step_size, dtype) -> Any:
    """Return as `step` does, in the precision of the numbers that are given."""
    model, eta = arithmetic(dtype), step_size
    u, tiny = model.unit_roundoff, model.least_normal
    moved = eta * evaluation.gradient_error * (1 + u) ** 2 + (1 + u) * u * eta * abs(
        evaluation.gradient
    )
    return moved + u * (abs(theta - eta * evaluation.gradient) + moved) + 2 * tiny


def drift(contraction, step_errors) -> Any:
    """Return how far rounded iterates may be from exact ones, after each step.

    One step of the exact method brings two points together by the factor rho, so errors e_k of
    single steps add up to at most ``D_k = sum_{i<k} rho^(k-1-i) |e_i|``.

    Parameters
    ----------
    contraction
        rho: at most 1 for a step of at most 2/L.
    step_errors
        The norms |e_k|, shape (N,); or a batch of them, (N, B), and rho (B,).

    Returns
    -------
    array
        D_0 = 0, D_1, ..., D_N, shape (N + 1,).
    """
    return drift_as_given(*exact(contraction, step_errors))


def drift_as_given(rho, sizes) -> Any:
    """Return as `drift` does, in the precision of the numbers that are given."""
    far = [0 * rho]
    for size in sizes:
        far.append(rho * far[-1] + size)
    return library(rho, sizes).stack(far)
