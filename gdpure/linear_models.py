"""Linear models: least squares and logistic regression, with all that is known about them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from gdpure import guards, spectra
from gdpure.objectives import Facts, Objective

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike, Float


_product = partial(jnp.matmul, precision="highest")  # in TF32, a GPU's own choice, off by 3e-4


def _vector(caller, theta, X):
    return guards.vector(caller, theta, jax.ShapeDtypeStruct(X.shape[1:], X.dtype))


def _least_squares(theta, data):
    X, y = data
    theta = _vector("least_squares", theta, X)
    return jnp.mean((_product(X, theta) - y) ** 2)


def _least_squares_gradient(theta, data):
    X, y = data
    theta = _vector("least_squares", theta, X)
    # X' as JAX transposes X: where rows lie on an explicit mesh, a product with X' has to be told.
    products, transposed = jax.vjp(partial(_product, X), theta)
    return transposed(products - y)[0] * (2 / y.size)


@spectra.precisely
def _least_squares_facts(data, dtype):
    X, y = data
    return spectra.facts_of(spectra.of_least_squares(X, y, dtype))


def least_squares(X: ArrayLike, y: ArrayLike) -> Objective:
    """Return ``f(theta) = mean((X theta - y)^2)``, a finite sum over the rows of X.

    The facts come from the singular values s of X: L = 2/n max s^2, mu = 2/n min s^2 (0 if X is
    rank-deficient), growth = 2/n times the smallest non-zero s^2; the minimizer is the one of least
    norm, and `flat` projects onto the null space of X. Columns count as dependent if rounding their
    entries to their dtype may have made the difference, however many rows there are. Rows are read
    in blocks, where they lie; the facts of a million need little memory beside them.

    Parameters
    ----------
    X
        Features, shape (n, d); `with_intercept` prepends a column of ones.
    y
        Targets, shape (n,).

    Raises
    ------
    ValueError
        If y is not one number a row of X; a column (n, 1) is not taken for (n,).

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
    >>> assert jnp.allclose(gd.facts(f).minimizer, jnp.array([0.2, 0.9]), atol=1e-6)
    """
    return Objective(
        _least_squares,
        _examples("least_squares", X, y, "y"),
        _least_squares_gradient,
        _least_squares_facts,
        axes=(0, 0),
    )


def _logistic(theta, data):
    X, labels, ridge = data
    theta = _vector("logistic", theta, X)
    # The square of a coefficient may overflow, which is nothing to a ridge of 0.
    penalty = jnp.sum(ridge * theta * theta) / 2
    return jnp.mean(jax.nn.softplus((1 - 2 * labels) * _product(X, theta))) + penalty


def _logistic_gradient(theta, data):
    X, labels, ridge = data
    theta = _vector("logistic", theta, X)
    products, transposed = jax.vjp(partial(_product, X), theta)
    signs = 1 - 2 * labels
    slopes = signs * jax.nn.sigmoid(signs * products)
    return transposed(slopes)[0] / labels.size + ridge * theta


@spectra.precisely
def _logistic_facts(data, dtype):
    X, labels, ridge = data
    return Facts(
        spectra.norm(X, dtype) ** 2 / (4 * labels.size) + ridge,
        strong_convexity=ridge,
        growth=ridge,
    )


def logistic(X: ArrayLike, labels: ArrayLike, ridge: ArrayLike = 0.0) -> Objective:
    """Return ``f(theta) = mean(log(1 + exp(-s X theta))) + ridge/2 |theta|^2``, s = 2 labels - 1.

    A finite sum over the rows of X. It is evaluated without overflow, and without loss of digits
    where the margins are large. L = |X|^2 / (4 n) + ridge with the spectral norm of X; the
    minimizer has no closed form, hence None.

    Parameters
    ----------
    X
        Features, shape (n, d).
    labels
        0 or 1, shape (n,).
    ridge
        Weight of the penalty, at least 0. It covers every coefficient, that of an intercept
        column too.

    Raises
    ------
    ValueError
        If labels hold anything but 0 and 1, or the shapes do not fit.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.logistic(jnp.array([[1.0], [-1.0]]), jnp.array([1, 0]))
    >>> assert jnp.allclose(f(jnp.array([0.0])), jnp.log(2.0))
    >>> assert jnp.allclose(gd.facts(f).smoothness, 0.25)
    """
    X, labels = _examples("logistic", X, labels, "labels")
    guards.labels("logistic", labels)
    guards.in_range("logistic", "ridge", ridge, guards.Range(0))
    ridge = guards.real("logistic", "ridge", ridge, X.dtype)
    guards.shape("logistic", "ridge", ridge, ())
    data = (X, labels, ridge)
    return Objective(_logistic, data, _logistic_gradient, _logistic_facts, axes=(0, 0, None))


def _examples(caller, X, y, name):
    X = guards.real(caller, "X", X)
    advice = "; one feature is the column X[:, None]" if X.ndim == 1 else ""
    guards.shape(caller, "X", X, ("n", "d"), advice)
    y = guards.real(caller, name, y, X.dtype)
    advice = f"; {name}.ravel() makes a column one axis" if y.size == len(X) else ""
    guards.shape(caller, name, y, (len(X),), advice)
    return X, y


def with_intercept(X: ArrayLike) -> Float[Array, "n d+1"]:
    """Return X with a column of ones before the others: the first parameter is the intercept.

    Parameters
    ----------
    X
        Features, shape (n, d), or one feature, shape (n,).

    Examples
    --------
    >>> import gdpure as gd
    >>> assert gd.with_intercept([3.0, 5.0]).tolist() == [[1.0, 3.0], [1.0, 5.0]]
    """
    X = guards.real("with_intercept", "X", X)
    X = X[:, None] if X.ndim == 1 else X
    guards.shape("with_intercept", "X", X, ("n", "d"))
    return jnp.concatenate([jnp.ones_like(X[:, :1]), X], axis=1)
