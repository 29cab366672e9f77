"""Gradients: five ways to the same numbers, interchangeable by construction.

A gradient is ``objective -> (params -> (value, gradient))``, compiled where it is called. Any of
them is the `gradient=` of `descend` and its relatives; the Hessian is `jax.hessian`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gdpure import calls, evaluations, guards, sharding
from gdpure.blocks import InBlocks
from gdpure.objectives import Objective, examples, number_of_examples, parts

Gradient = Callable[[Any], Callable[[Any], tuple[Any, Any]]]

_BLOCK = 64


def reverse(f: Callable) -> Callable[[Any], tuple[Any, Any]]:
    """Return ``params -> (value, gradient)`` by reverse-mode differentiation.

    One evaluation costs a few times the objective, whatever the number of parameters is.

    Parameters
    ----------
    f
        An objective, ``f(params) -> ()``.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> value, gradient = gd.reverse(lambda x: x[0] ** 2 + x[1] ** 2)(jnp.array([2.0, 1.0]))
    >>> assert value == 5.0 and gradient.tolist() == [4.0, 2.0]
    """
    return _compiled("reverse", f, reverse)


def forward(f: Callable) -> Callable[[Any], tuple[Any, Any]]:
    """Return ``params -> (value, gradient)`` by forward-mode differentiation.

    One evaluation costs about as many objectives as there are parameters, all at once: d parameters
    take the memory of d x d.

    Parameters
    ----------
    f
        An objective, ``f(params) -> ()``.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> value, gradient = gd.forward(lambda x: x[0] ** 2 + x[1] ** 2)(jnp.array([2.0, 1.0]))
    >>> assert value == 5.0 and gradient.tolist() == [4.0, 2.0]
    """
    return _compiled("forward", f, forward)


def analytic(f: Callable) -> Callable[[Any], tuple[Any, Any]]:
    """Return ``params -> (value, gradient)`` by the gradient that was derived by hand.

    Parameters
    ----------
    f
        An `Objective` with ``gradient=``.

    Raises
    ------
    TypeError
        If the objective brings no gradient, or one of another form than the parameters.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.least_squares(jnp.array([[1.0], [2.0]]), jnp.array([1.0, 0.0]))
    >>> value, gradient = gd.analytic(f)(jnp.array([1.0]))
    >>> assert value == 2.0 and gradient == 4.0
    """
    _hand_derived(f)
    return _compiled("analytic", f, analytic)


def central(f: Callable) -> Callable[[Any], tuple[Any, Any]]:
    """Return ``params -> (value, gradient)`` by central differences.

    ``(f(x + h e) - f(x - h e)) / 2h`` in every coordinate e, with ``h = eps^(1/3) max(1, |x|)`` in
    the machine epsilon of the parameter's own dtype: the error is of the order ``eps^(2/3)``, about
    2e-5 in float32 and 4e-11 in float64, times third derivatives and values.

    Parameters
    ----------
    f
        An objective, ``f(params) -> ()``, that JAX can trace; it need not be differentiable.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> value, gradient = gd.central(lambda x: x[0] ** 2 + x[1] ** 2)(jnp.array([2.0, 1.0]))
    >>> assert value == 5.0 and jnp.allclose(gradient, jnp.array([4.0, 2.0]), rtol=1e-3)
    """
    return _compiled("central", f, central)


def default(f: Callable) -> Callable[[Any], tuple[Any, Any]]:
    """Return the `analytic` gradient where the objective has one, the `reverse` one otherwise."""
    return _compiled("gradient", f, default)


def per_sample(
    f: Objective, *, gradient: Gradient = default, chunk_size: int | None = None
) -> Callable[[Any], tuple[Any, Any]]:
    """Return ``params -> (values, gradients)``, one row an example.

    Row i is the value and the gradient of the objective on example i alone; the mean of the rows is
    the value and the gradient of the whole.

    Parameters
    ----------
    f
        A finite sum of n examples: `least_squares`, `logistic`, `empirical_risk`, or an
        `Objective` with ``axes=``.
    gradient
        How each row is differentiated, such as `reverse`.
    chunk_size
        How many examples are evaluated at a time; bounds the memory. None is all of them.

    Returns
    -------
    callable
        ``params -> (values (n,), gradients)``, the gradients with leaves of shape (n, *leaf).

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.least_squares(jnp.array([[1.0], [2.0]]), jnp.array([1.0, 0.0]))
    >>> values, gradients = gd.per_sample(f)(jnp.array([1.0]))
    >>> assert values.tolist() == [0.0, 4.0] and gradients.tolist() == [[0.0], [8.0]]
    """
    n = number_of_examples("per_sample", f)
    if chunk_size is not None:
        chunk_size = min(guards.whole("per_sample", "chunk_size", chunk_size, 1), n)

    way = _way("per_sample", f, gradient)

    def values_and_gradients(params):
        def call():
            given, rows = guards.parameters("per_sample", "params", params), examples(f)
            of_rows = evaluations.of("per_sample", f, way, given, _shapes(rows, 1))
            guards.same_devices("per_sample", objective=(of_rows, rows), params=given)
            return partial(_rows, of_rows, given, rows, chunk_size=chunk_size, spread=parts(f))

        return calls.made(call, "per_sample", f, params, None, way, chunk_size)

    return values_and_gradients


def _rows(of_rows, params, rows, *, chunk_size, spread):
    def row(example):
        return of_rows(params, [x[None] for x in example])

    # Each where it lies, on the device that has it: an index would fetch it from anywhere.
    if chunk_size is None:
        return jax.vmap(row)(rows)

    def in_chunks(rows):
        return jax.lax.map(row, rows, batch_size=max(1, chunk_size // many))

    if (many := sharding.cut(rows, spread)) == 1:
        return in_chunks(rows)
    split = sharding.each_part(in_chunks, rows, many)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), split)


# -- what a loop asks for --------------------------------------------------------------------------


def evaluation(caller: str, f: Any, gradient: Gradient, params: Any, rows: Any = None) -> Any:
    """Return the evaluation of an objective in the way that `gradient` names: see `evaluations`.

    With the shape of indices of examples it is that of a finite sum, ``(params, rows) -> ...``.
    """
    way = _way(caller, f, gradient)
    if rows is None:
        return evaluations.of(caller, f, way, params)
    every = examples(f)
    some = evaluations.of(caller, f, way, params, _shapes(every, len(rows)))
    return evaluations.OfRows(some, every)


def _shapes(rows, n):
    return [jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype) for x in rows]


def _way(caller, f, gradient):
    guards.function(caller, "gradient", gradient)
    way = _WAYS.get(gradient) or _OfOthers(gradient)
    return replace(way, parts=many) if isinstance(way, InBlocks) and (many := parts(f)) else way


def _compiled(caller, f, gradient):
    guards.function(caller, "the objective", f)
    way = _way(caller, f, gradient)

    def value_and_gradient(params):
        def call():
            given = guards.parameters(caller, "params", params)
            evaluate = evaluations.of(caller, f, way, given)
            guards.same_devices(caller, objective=evaluate, params=given)
            return partial(_evaluated, evaluate, given)

        return calls.made(call, caller, f, params, None, way)

    return value_and_gradient


def _evaluated(evaluate, params):
    return evaluate(params)


# -- the ways, for traced parameters ---------------------------------------------------------------


def _reverse(f, params):
    return jax.value_and_grad(f)(params)


def _forward(f, params):
    def twice(x):
        return (f(x),) * 2

    gradient, value = jax.jacfwd(twice, has_aux=True)(params)
    return value, jax.tree.map(lambda g, x: g.astype(jnp.result_type(x)), gradient, params)


def _analytic(f, params):
    value, gradient = f(params), _hand_derived(f)(params, f.data)
    guards.same_form("analytic", "the hand-derived gradient", gradient, params, "params")
    return value, gradient


def _hand_derived(f):
    if not isinstance(f, Objective) or f.gradient is None:
        raise TypeError(
            "analytic: the objective brings no hand-derived gradient; give it one, "
            "Objective(value, data, gradient=...), or use gd.reverse"
        )
    return f.gradient


def _central(f, params):
    leaves, tree = jax.tree.flatten(jax.tree.map(jnp.asarray, params))

    def slopes(j, leaf):
        def moved(i, x):
            changed = leaf.ravel().at[i].set(x).reshape(leaf.shape)
            return f(tree.unflatten([*leaves[:j], changed, *leaves[j + 1 :]]))

        def slope(i):
            x = leaf.ravel()[i]
            h = jnp.cbrt(jnp.finfo(leaf.dtype).eps).astype(leaf.dtype) * jnp.maximum(1, abs(x))
            above, below = x + h, x - h
            return ((moved(i, above) - moved(i, below)) / (above - below)).astype(leaf.dtype)

        # In blocks: all coordinates at once would hold d copies of the parameters.
        return jax.lax.map(slope, jnp.arange(leaf.size), batch_size=_BLOCK).reshape(leaf.shape)

    return f(params), tree.unflatten([slopes(j, leaf) for j, leaf in enumerate(leaves)])


def _default(f, params):
    hand_derived = isinstance(f, Objective) and f.gradient is not None
    return (_analytic if hand_derived else _reverse)(f, params)


@dataclass(frozen=True)
class _OfOthers:
    """A gradient of somebody else's, as a way."""

    gradient: Callable[[Any], Any]

    def __call__(self, f, params):
        return guards.differentiated(self.gradient, f)(params)


_WAYS: dict[Gradient, Callable] = {
    reverse: InBlocks(_reverse),
    forward: InBlocks(_forward),
    analytic: InBlocks(_analytic),
    central: InBlocks(_central),
    default: InBlocks(_default),
}
MODES = tuple(_WAYS)
