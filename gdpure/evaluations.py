"""Evaluations: an objective with its gradient, as it is now, as an argument of compiled code.

An evaluation is ``params -> (value, gradient)``, a tree whose leaves are all the arrays that the
objective has or reads: what a loop asks for at every point, and all that it knows of an objective.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero, zero_from_primal

from gdpure import guards, programs, trees
from gdpure.objectives import Objective, bare, of_examples
from gdpure.sharding import taken


def of(caller: str, f: Any, way: Callable, params: Any, rows: Any = None) -> Any:
    """Return the evaluation of an objective for parameters of a form.

    Parameters
    ----------
    caller
        The public function that errors name.
    f
        The objective. Its functions are traced now, unless it is an `Objective` whose functions
        read nothing but their arguments.
    way
        ``way(f, params) -> (value, gradient)``.
    params
        Parameters, or their shapes and dtypes.
    rows
        Some `examples` of a finite sum, or their shapes and dtypes: the evaluation is then
        ``(params, rows) -> (value, gradient)`` of the mean over these.

    Examples
    --------
    >>> def way(f, x):
    ...     return jax.value_and_grad(f)(x)
    >>> evaluate = of("descend", lambda x: jnp.sum(x**2), way, jnp.ones(2))
    >>> assert evaluate(jnp.ones(2))[0] == 2.0
    """
    if isinstance(f, Objective):
        value, gradient = programs.closed(f.value), f.gradient and programs.closed(f.gradient)
        known_way = programs.closed(way)
        if value and known_way and (gradient or not f.gradient):
            known = bare(caller, replace(f, value=value, gradient=gradient))
            return _Evaluation(known, caller, known_way)
    f = bare(caller, f)
    if not jax.tree_util.all_leaves([f]):
        f = jax.tree.map(jnp.asarray, f)  # a number among its leaves is data, too
    return programs.traced(_Evaluation(f, caller, way), params, *(() if rows is None else (rows,)))


@trees.pytree
class _Evaluation:
    f: Any
    caller: str = trees.static()
    way: Callable = trees.static()

    def __call__(self, params, rows=None):
        f = self.f if rows is None else of_examples(self.f, rows)
        out = self.way(_checked(self.caller, f), params)
        guards.evaluation(out, params)
        return out


@trees.pytree
class OfRows:
    """An evaluation on those examples that are asked for: ``(params, rows) -> ...``, by index."""

    evaluate: Any
    examples: Any

    def __call__(self, params: Any, rows: Any) -> tuple[Any, Any]:
        """Return value and gradient of the mean over the rows."""
        return self.evaluate(params, [taken(x, rows) for x in self.examples])


@trees.pytree
class OnRows:
    """An evaluation on some examples: ``params -> evaluate(params, rows)``."""

    evaluate: Any
    rows: Any

    def __call__(self, params: Any) -> tuple[Any, Any]:
        """Return value and gradient of the mean over the rows."""
        return self.evaluate(params, self.rows)


def _checked(caller, f):
    """Return f, held to return one scalar."""
    if isinstance(f, Objective):
        return replace(f, value=lambda *args: guards.scalar(caller, f.value(*args)))
    return lambda params: guards.scalar(caller, f(params))


@jax.custom_jvp
def value_of(evaluate: Any, params: Any) -> Any:
    """Return the value of an evaluation; its derivative is the gradient that comes beside it.

    Examples
    --------
    >>> def evaluate(x):
    ...     return x**2, 3 * x  # as wrong as it is
    >>> evaluate = jax.tree_util.Partial(evaluate)
    >>> assert jax.grad(lambda x: value_of(evaluate, x))(jnp.array(1.0)) == 3.0
    """
    return evaluate(params)[0]


def _moved(primals, tangents):
    (evaluate, params), (of_evaluate, of_params) = primals, tangents
    value, gradient = evaluate(params)
    along = trees.dot(gradient, jax.tree.map(_tangent, params, of_params))
    moved = jnp.asarray(along).astype(value.dtype)
    if not all(isinstance(x, SymbolicZero) for x in jax.tree.leaves(of_evaluate)):
        of_evaluate = jax.tree.map(_tangent, evaluate, of_evaluate)
        moved += jax.jvp(lambda evaluate: evaluate(params)[0], (evaluate,), (of_evaluate,))[1]
    return value, moved


def _tangent(x, tangent):
    return zero_from_primal(x) if isinstance(tangent, SymbolicZero) else tangent


value_of.defjvp(_moved, symbolic_zeros=True)
