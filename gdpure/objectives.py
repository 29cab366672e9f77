"""Objectives: a pure function of parameters and data, its data, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial, register_dataclass

from gdpure import guards

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike, Float

_STATIC = {"static": True}
_FEW_COLUMNS = 8


@register_dataclass
@dataclass(frozen=True, eq=False)
class Facts:
    """What is known about an objective; None stands for what is not known.

    Attributes
    ----------
    smoothness
        L, the Lipschitz constant of the gradient: ``|g(x) - g(y)| <= L |x - y|``.
    strong_convexity
        mu, a lower bound of the curvature: ``f(x) - mu/2 |x|^2`` is convex. 0 says convex,
        a negative number says how far from convex.
    growth
        The Polyak-Lojasiewicz constant: ``|g(x)|^2 >= 2 growth (f(x) - f*)``.
    minimizer
        A point where f is least, of the form of the parameters; of several, the one of least norm.
    minimum
        f*, the infimum of f.
    flat
        Projector (d, d) onto the directions along which the minimizer is not unique.

    Examples
    --------
    >>> import gdpure as gd
    >>> assert gd.Facts(smoothness=4.0).minimum is None
    """

    smoothness: Any = None
    strong_convexity: Any = None
    growth: Any = None
    minimizer: Any = None
    minimum: Any = None
    flat: Any = None


@register_dataclass
@dataclass(frozen=True, eq=False)
class Objective:
    """A function to minimize: ``f(params) = value(params, data)``.

    The functions are static, the data are leaves: an objective goes through `jax.jit`, `jax.vmap`
    and `jax.grad` as an argument, and new data of the same shapes compile nothing anew.

    Parameters
    ----------
    value
        ``value(params, data) -> ()``, pure.
    data
        Any tree of arrays.
    gradient
        The hand-derived gradient, ``gradient(params, data)`` of the form of `params`, or None.
    facts
        `Facts`, or a function ``data -> Facts`` that is called when somebody asks.
    axes
        For a finite sum, where the examples lie in `data`, as in ``jax.vmap(in_axes=axes)``: 0
        for leaves with one row an example, None for what all examples share. `value` must then
        be the mean over the examples. None says that f is not a finite sum.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.Objective(lambda x, c: jnp.sum((x - c) ** 2), data=jnp.array([1.0, 2.0]))
    >>> assert f(jnp.array([1.0, 4.0])) == 4.0
    """

    value: Callable[[Any, Any], Any] = field(metadata=_STATIC)
    data: Any = None
    gradient: Callable[[Any, Any], Any] | None = field(default=None, metadata=_STATIC)
    facts: Any = Facts()
    axes: Any = field(default=None, metadata=_STATIC)

    def __post_init__(self):
        # JAX rebuilds objectives with placeholders for leaves: convert a function, touch no leaf.
        if callable(self.facts) and not isinstance(self.facts, Partial):
            object.__setattr__(self, "facts", Partial(self.facts))

    def __call__(self, params: Any) -> Float[Array, ""]:
        """Return the value at `params`, shape ()."""
        return self.value(params, self.data)


def as_objective(caller: str, f: Any) -> Any:
    """Return f as something that JAX passes as an argument: a plain function becomes a Partial."""
    if not callable(f):
        raise TypeError(
            f"{caller}: the objective must be callable, f(params) -> (), got {guards.describe(f)}"
        )
    if isinstance(f, Objective):
        f = Objective(f.value, f.data, f.gradient, axes=f.axes)  # no loop needs the facts
    elif jax.tree_util.all_leaves([f]):
        return Partial(f)
    return guards.arrays(caller, "objective", f)


def facts(f: Callable) -> Facts:
    """Return what is known about an objective, computed from its data now, not before.

    Parameters
    ----------
    f
        An `Objective`; of any other function nothing is known.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> known = gd.facts(gd.least_squares(jnp.array([[2.0], [0.0]]), jnp.array([2.0, 3.0])))
    >>> assert known.smoothness == 4.0 and known.minimizer == 1.0 and known.minimum == 4.5
    """
    guards.function("facts", "the objective", f)
    known = getattr(f, "facts", None)
    if not isinstance(f, Objective) or known is None:
        return Facts()
    return known(f.data) if isinstance(known, Partial) else known


# -- quadratics and linear models --------------------------------------------------------------------


def _times(hessian, r):
    # Under vmap a sum of few columns is 17 times faster than a matrix product (core-loop.md).
    d = r.shape[0]
    return sum(hessian[:, j] * r[j] for j in range(d)) if d <= _FEW_COLUMNS else hessian @ r


def _quadratic(x, data):
    hessian, minimizer, minimum = data
    guards.vector("quadratic", x, minimizer)
    r = x - minimizer
    return minimum + jnp.sum(r * _times(hessian, r)) / 2


def _quadratic_gradient(x, data):
    hessian, minimizer, _ = data
    guards.vector("quadratic", x, minimizer)
    return _times(hessian, x - minimizer)


@jax.jit
@jax.default_matmul_precision("highest")
def _quadratic_facts(data):
    hessian, minimizer, minimum = data
    wide = _wide(hessian.dtype)
    curvatures, axes = jnp.linalg.eigh(hessian.astype(wide))
    size = jnp.max(jnp.abs(curvatures))
    known = jnp.abs(curvatures) > len(minimizer) * jnp.finfo(hessian.dtype).eps * size
    least = jnp.min(jnp.where(known, curvatures, 0))
    convex = least >= 0
    found = Facts(
        smoothness=size,
        strong_convexity=jnp.where(known.all(), curvatures[0], least),
        growth=jnp.where(convex, _least_positive(curvatures, known), 0),
        minimizer=jnp.where(convex, minimizer, jnp.nan),
        minimum=jnp.where(convex, minimum, -jnp.inf),
        flat=_projector(axes.T, ~known),
    )
    return jax.tree.map(lambda x: x.astype(hessian.dtype), found)


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


def _least_squares(theta, data):
    X, y = data
    guards.vector("least_squares", theta, jax.ShapeDtypeStruct(X.shape[1:], X.dtype))
    return jnp.mean((X @ theta - y) ** 2)


def _least_squares_gradient(theta, data):
    X, y = data
    guards.vector("least_squares", theta, jax.ShapeDtypeStruct(X.shape[1:], X.dtype))
    return (X @ theta - y) @ X * (2 / y.size)


@jax.jit
@jax.default_matmul_precision("highest")
def _least_squares_facts(data):
    X, y = data
    (n, d), wide = X.shape, _wide(X.dtype)
    # Singular values of X, not eigenvalues of X'X, which lose half of the digits.
    left, stretches, right = jnp.linalg.svd(X.astype(wide), full_matrices=False)
    known = stretches > max(n, d) * jnp.finfo(X.dtype).eps * stretches[0]
    full = known.sum() == d
    along = jnp.where(known, y.astype(wide) @ left, 0)
    growth = 2 / n * _least_positive(stretches, known) ** 2
    found = Facts(
        smoothness=2 / n * stretches[0] ** 2,
        strong_convexity=jnp.where(full, growth, 0),
        growth=growth,
        minimizer=(along / jnp.where(known, stretches, 1)) @ right,
        minimum=jnp.mean((y - left @ along) ** 2),
        flat=jnp.where(full, 0, jnp.eye(d, dtype=wide) - _projector(right, known)),
    )
    return jax.tree.map(lambda x: x.astype(X.dtype), found)


def least_squares(X: ArrayLike, y: ArrayLike) -> Objective:
    """Return ``f(theta) = mean((X theta - y)^2)``, a finite sum over the rows of X.

    The facts come from the singular values s of X: L = 2/n max s^2, mu = 2/n min s^2 (0 if X is
    rank-deficient), growth = 2/n times the smallest non-zero s^2; the minimizer is the one of least
    norm, and `flat` projects onto the null space of X.

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
    guards.vector("logistic", theta, jax.ShapeDtypeStruct(X.shape[1:], X.dtype))
    margins = (2 * labels - 1) * (X @ theta)
    return jnp.mean(jax.nn.softplus(-margins)) + ridge / 2 * jnp.sum(theta**2)


def _logistic_gradient(theta, data):
    X, labels, ridge = data
    guards.vector("logistic", theta, jax.ShapeDtypeStruct(X.shape[1:], X.dtype))
    signs = 2 * labels - 1
    errors = -signs * jax.nn.sigmoid(-signs * (X @ theta))
    return errors @ X / labels.size + ridge * theta


@jax.jit
def _logistic_facts(data):
    X, labels, ridge = data
    norm = jnp.linalg.svd(X.astype(_wide(X.dtype)), compute_uv=False)[0].astype(X.dtype)
    return Facts(norm**2 / (4 * labels.size) + ridge, strong_convexity=ridge, growth=ridge)


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


def _projector(rows, chosen):
    """The projector onto the span of some of the orthonormal rows."""
    return rows.T @ jnp.where(chosen[:, None], rows, 0)


def _wide(dtype):
    """The dtype for decompositions, which JAX has for float32 and float64 only."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


def _least_positive(values, known):
    """The least of the values that are known not to be zero; 0 if all are zero."""
    return jnp.where(known.any(), jnp.min(jnp.where(known, values, jnp.inf)), 0)


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


# -- finite sums -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _MeanLoss:
    """The mean of a loss over the examples, equal to any other mean of the same loss."""

    loss: Callable[[Any, Any], Any]

    def __call__(self, params, examples):
        losses = jax.vmap(self.loss, in_axes=(None, 0))(params, examples)
        guards.losses("empirical_risk", losses)
        return jnp.mean(losses)


def empirical_risk(loss: Callable[[Any, Any], Any], examples: Any) -> Objective:
    """Return ``f(params) = mean_i loss(params, example_i)``, a finite sum over the examples.

    Parameters
    ----------
    loss
        ``loss(params, example) -> ()``, pure; it sees one example, without the leading axis.
    examples
        A tree of arrays with a common leading axis n, such as ``(X, y)``.

    Raises
    ------
    ValueError
        If the leading axes differ, or the loss is not a scalar.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.empirical_risk(lambda theta, x: (theta - x) ** 2, jnp.array([1.0, 3.0]))
    >>> assert f(jnp.array(2.0)) == 1.0
    """
    guards.function("empirical_risk", "loss", loss)
    f = Objective(_MeanLoss(loss), data=jax.tree.map(jnp.asarray, examples), axes=0)
    number_of_examples("empirical_risk", f)
    return f


def number_of_examples(caller: str, f: Any) -> int:
    """Return n of a finite sum of n examples; refuse what is not one."""
    if not isinstance(f, Objective) or f.axes is None:
        raise TypeError(
            f"{caller}: the objective must be a finite sum (least_squares, logistic, "
            "empirical_risk, or an Objective with axes=)"
        )
    rows: list[Any] = []
    _over_examples(lambda part: rows.append(part), f)
    return guards.leading_axis(caller, "the examples", rows if len(rows) > 1 else rows[0])


def restrict(f: Objective, rows: Any) -> Objective:
    """Return the finite sum over some of its examples: the same functions of fewer rows."""
    data = _over_examples(lambda part: jax.tree.map(lambda leaf: leaf[rows], part), f)
    return replace(f, data=data, facts=f.facts if isinstance(f.facts, Partial) else Facts())


def _over_examples(change, f):
    def part(axis, data):
        return data if axis is None else change(data)

    return jax.tree.map(part, f.axes, f.data, is_leaf=lambda axis: axis is None)


@register_dataclass
@dataclass(frozen=True)
class _Unpacked:
    """A function of coordinates as a function of one vector."""

    function: Callable[..., Any] = field(metadata=_STATIC)

    def __call__(self, params, *data):
        guards.coordinates("unpack", params)
        out = self.function(*params, *data)
        return jnp.stack(out) if isinstance(out, tuple | list) else out


def unpack(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adapt ``cost(theta_0, theta_1, ...)`` to one vector of parameters.

    A gradient written the same way, which returns a tuple, becomes one that returns a vector. Both
    may take data after the coordinates, as the functions of an `Objective` do.

    Parameters
    ----------
    function
        A function of scalars that returns a scalar, or a tuple with one scalar a coordinate.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.unpack(lambda theta_0, theta_1: theta_0**2 + theta_1**2)
    >>> assert f(jnp.array([2.0, 1.0])) == 5.0
    """
    guards.function("unpack", "the function", function)
    return _Unpacked(function)
