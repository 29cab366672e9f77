"""Quadratics: the objectives of which everything is known in closed form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gdpure import guards, spectra
from gdpure.linear_models import _least_squares
from gdpure.objectives import Objective
from gdpure.states import History

if TYPE_CHECKING:
    from jaxtyping import ArrayLike

_FEW_COLUMNS = 8
_BLOCK = 2**18  # bytes


def _times(hessian, r):
    # Under vmap a sum of few columns is 17 times faster than a matrix product (core-loop.md).
    d = r.shape[0]
    if d <= _FEW_COLUMNS:
        return sum(hessian[:, j] * r[j] for j in range(d))
    return jnp.matmul(hessian, r, precision="highest")


def _quadratic(x, data):
    hessian, minimizer, minimum = data
    r = guards.vector("quadratic", x, minimizer) - minimizer
    return minimum + jnp.sum(r * _times(hessian, r)) / 2


def _quadratic_gradient(x, data):
    hessian, minimizer, _ = data
    return _times(hessian, guards.vector("quadratic", x, minimizer) - minimizer)


@spectra.precisely
def _quadratic_facts(data, dtype):
    hessian, minimizer, minimum = data
    return spectra.facts_of(spectra.of_quadratic(hessian, minimizer, minimum, dtype))


def quadratic(hessian: ArrayLike, minimizer: ArrayLike, minimum: ArrayLike = 0.0) -> Objective:
    """Return ``f(x) = f* + 1/2 <x - x*, H (x - x*)>``.

    Only the symmetric part of H enters f, and it is what is kept. The facts are the eigenvalues of
    H. If one of them is negative, x* is no minimizer: the facts say minimum -inf, minimizer nan.

    Parameters
    ----------
    hessian
        H, shape (d, d).
    minimizer
        x*, shape (d,).
    minimum
        f*, shape ().

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.quadratic(jnp.diag(jnp.array([2.0, 4.0])), jnp.array([1.0, 0.0]))
    >>> assert f(jnp.array([2.0, 1.0])) == 3.0 and gd.facts(f).smoothness == 4.0
    """
    hessian = guards.real("quadratic", "hessian", hessian)
    minimizer = guards.real("quadratic", "minimizer", minimizer, hessian.dtype)
    minimum = guards.real("quadratic", "minimum", minimum, hessian.dtype)
    guards.shape("quadratic", "minimizer", minimizer, ("d",))
    guards.shape("quadratic", "hessian", hessian, (minimizer.size, minimizer.size))
    guards.shape("quadratic", "minimum", minimum, ())
    data = ((hessian + hessian.T) / 2, minimizer, minimum)
    return Objective(_quadratic, data, _quadratic_gradient, _quadratic_facts)


def as_quadratic(f: Objective) -> Objective:
    """Return least squares through its sufficient statistics: the same function, d x d data.

    ``f(theta) = f* + 1/2 <theta - theta*, H (theta - theta*)>`` with H = 2/n X'X. Centred at the
    minimizer, no value is a difference of large numbers, and near the minimum it is off by a
    rounding of f*. The facts are those of f, computed from X: the eigenvalues of H in the same
    precision know only half as much. X is read as for the facts alone, and a step costs d^2,
    whatever n is.

    Parameters
    ----------
    f
        A `least_squares` objective; a `quadratic` comes back as it is.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.least_squares(jnp.array([[1.0], [2.0]]), jnp.array([1.0, 0.0]))
    >>> assert jnp.allclose(gd.as_quadratic(f)(jnp.array([1.0])), f(jnp.array([1.0])))
    """
    _demand_quadratic("as_quadratic", f)
    if f.value is _quadratic:
        return f
    hessian, known = _statistics(*f.data)
    return replace(quadratic(hessian, known.minimizer, known.minimum), facts=known)


@spectra.precisely
def _statistics(X, y, dtype):
    few, targets = spectra.condensed(X, y, dtype)
    known = spectra.facts_of(spectra.of_rows(few, targets, len(y), dtype))
    return few.T @ few * (2 / len(y)), known


def _demand_quadratic(caller, f):
    value = getattr(f, "value", None)
    if value not in (_least_squares, _quadratic):
        raise TypeError(
            f"{caller}: the objective must be gd.least_squares or gd.quadratic, got "
            f"{guards.describe(f if value is None else value)}"
        )


def closed_form(
    objective: Objective, start: ArrayLike, step_size: ArrayLike, steps: int | ArrayLike
) -> History:
    """Return the exact trajectory of gradient descent on a quadratic, without a loop.

    In the eigenbasis of the Hessian every coordinate of the error decays on its own,
    ``x_k - x* = V diag((1 - eta lambda)^k) V' (x_0 - x*)``, for all k at once. It is computed in
    float64 and rounded once, or, inside a traced function, in JAX's default dtype. What is at rest
    in one coordinate stays there, however far another one diverges. It is no way to derivatives:
    those of an eigenbasis are nan where curvatures repeat, those of `descend` not.

    Parameters
    ----------
    objective
        `quadratic` or `least_squares`.
    start
        x_0, shape (d,).
    step_size
        eta, shape (), or many of them, any shape (...).
    steps
        The number of steps, of which there is a row each and one for the start; or the rows that
        are wanted, an array (m,) of whole numbers k.

    Returns
    -------
    History
        ``point`` (..., steps + 1, d), ``value`` (..., steps + 1), ``gradient`` like the point; or
        with m for steps + 1, in the order of the k.

    Raises
    ------
    TypeError, ValueError
        If the steps are not whole numbers, at least 0, or the shapes do not fit.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f, start = gd.quadratic(jnp.array([[2.0]]), jnp.array([0.0])), jnp.array([1.0])
    >>> assert gd.closed_form(f, start, 0.25, 3).value.tolist() == [1, 1/4, 1/16, 1/64]
    >>> assert gd.closed_form(f, start, 0.25, [3, 0]).point.tolist() == [[1/8], [1]]
    """
    _demand_quadratic("closed_form", objective)
    k = guards.rows("closed_form", "steps", steps)
    d, dtype = objective.data[0].shape[1], objective.data[0].dtype
    start = guards.real("closed_form", "start", start, dtype)
    guards.shape("closed_form", "start", start, (d,))
    step_size = guards.array("closed_form", "step_size", step_size)
    guards.in_range("closed_form", "step_size", step_size, guards.Range(0), dtype)
    rows = _rows_of_least_squares if objective.value is _least_squares else _rows_of_quadratic
    # Row by row, k = 32 a + b; of rows that are chosen each is a power of its own.
    low = np.arange(32 if np.ndim(steps) == 0 else 1)
    return rows(objective.data, start, jnp.asarray(step_size).astype(dtype), k, low)


@spectra.precisely
def _rows_of_least_squares(data, start, step_size, k, low, dtype):
    X, y = data
    return _rows(spectra.of_least_squares(X, y, dtype), start, step_size, k, low, dtype)


@spectra.precisely
def _rows_of_quadratic(data, start, step_size, k, low, dtype):
    hessian, minimizer, minimum = data
    spectrum = spectra.of_quadratic(hessian, minimizer, minimum, dtype)
    return _rows(spectrum, start, step_size, k, low, dtype)


def _rows(spectrum, start, step_size, k, low, dtype):
    curvatures, axes, minimizer, minimum = spectrum
    along = axes @ (start - minimizer)
    # What no axis spans stands still; where they span all, that would be nothing but rounding.
    still = minimizer if len(axes) == len(start) else start - axes.T @ along
    # What is at rest stays there, also where its factor overflows.
    at_rest, many = along[None] == 0, step_size.reshape(-1, 1)
    factors = jnp.where(at_rest, 1, 1 - many * curvatures[None])
    largest = jnp.abs(factors) ** jnp.max(k) * jnp.abs(along)[None]
    overflows = ~(largest < jnp.finfo(largest.dtype).max / 4).all()

    def rows(factors):
        high, small = (factors[None] ** k[:, None] for k in (k[:: len(low)], low))
        error = ((high * along[None])[:, None] * small[None]).reshape(-1, len(along))[: len(k)]
        slope = curvatures[None] * error
        value = minimum + jnp.sum(slope * error, axis=1) / 2
        point, gradient = (_combined(sizes, axes, overflows) for sizes in (error, slope))
        return jax.tree.map(
            lambda x: x.astype(dtype), History(still[None] + point, value, gradient)
        )

    # A CPU keeps the powers of some step sizes at hand; elsewhere all are computed at once.
    size = _BLOCK // (k.size * along.size * along.dtype.itemsize)
    blocks = jax.default_backend() == "cpu" and size < many.size
    found = lax.map(rows, factors, batch_size=max(1, size)) if blocks else jax.vmap(rows)(factors)
    return jax.tree.map(lambda x: x.reshape(*step_size.shape, *x.shape[1:]), found)


def _combined(sizes, axes, overflows):
    """Return ``sizes @ axes``; a size that overflows shows in entries that its axis has, alone."""

    def with_care():
        large = jnp.isinf(sizes)
        beyond = jnp.where(large, jnp.sign(sizes), 0) @ axes
        return jnp.where(large, 0, sizes) @ axes + jnp.where(beyond == 0, 0, jnp.inf * beyond)

    return lax.cond(overflows, with_care, lambda: sizes @ axes)
