"""Coordinates: a function of few numbers as arithmetic on each of them.

XLA keeps the axis of a vector of two entries innermost, under `jax.vmap` too, and computes what
takes such vectors apart and puts them together in programs of their own. Of single numbers the axis
of the runs is the only one, and many steps are one program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal, jaxprs_in_params

from gdpure.programs import ARITHMETIC, CALLS

_MOST, _OPERATIONS = 16, 300  # entries of an array, and of all that is computed
_ENTRYWISE = ARITHMETIC.union(
    "acos acosh asin asinh atan atan2 atanh bitcast_convert_type cbrt ceil clamp cos cosh erf "
    "exp exp2 expm1 floor is_finite log log1p logistic pow rem round rsqrt sin sinh tan tanh "
    "xor".split()
)


def split(tree: Any) -> Any:
    """Return a tree with the entries of each array as a list of numbers."""
    return jax.tree.map(lambda x: _entries(x).tolist(), tree)


def joined(tree: Any, like: Any) -> Any:
    """Return a tree that was split, in the shapes that it had."""
    numbers = iter(jax.tree.leaves(tree))

    def join(x):
        return jnp.stack([next(numbers) for _ in range(x.size)]).reshape(x.shape)

    return jax.tree.map(join, like)


def of(*calls: tuple) -> list[Callable] | None:
    """Return functions of trees as such of split trees, if all are arithmetic on few numbers.

    Parameters
    ----------
    calls
        A function, followed by arguments of the shapes that it will get; each as one tuple.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> x = jnp.array([2.0, 1.0])
    >>> (flipped,) = of((lambda x: x[::-1] * x.sum(), x))
    >>> assert flipped([2.0, 1.0]) == [3.0, 6.0] and of((jnp.sort, x)) is None
    """
    traces = [jax.make_jaxpr(function, return_shape=True)(*args) for function, *args in calls]
    if all(_simple(whole.jaxpr) for whole, _ in traces):
        return [partial(_run, whole.jaxpr, split(whole.consts), shapes) for whole, shapes in traces]
    return None


def _run(jaxpr, constants, shapes, *args):
    numbers = iter(jax.tree.leaves((constants, args)))
    given = [
        _array([next(numbers) for _ in range(x.aval.size)], x.aval.shape)
        for x in [*jaxpr.constvars, *jaxpr.invars]
    ]
    found = [x.tolist() for x in _evaluated(jaxpr, given)]
    return jax.tree.unflatten(jax.tree.structure(shapes), found)


def _simple(jaxpr):
    def simple(equation):
        name = equation.primitive.name
        if name in CALLS and (inner := [*jaxprs_in_params(equation.params)]):
            return not inner[0].constvars and _simple(inner[0])
        return name in _ENTRYWISE or name in _MOVES or name in _REDUCED

    found = [x.aval.size for equation in jaxpr.eqns for x in equation.outvars]
    sizes = [*(x.aval.size for x in [*jaxpr.constvars, *jaxpr.invars]), *found]
    few = all(0 < size <= _MOST for size in sizes) and sum(found) <= _OPERATIONS
    return few and not jaxpr.effects and all(map(simple, jaxpr.eqns))


def _evaluated(jaxpr, arrays):
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], arrays, strict=True))

    def read(x):
        return _array([x.val], ()) if isinstance(x, Literal) else known[x]

    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        given = [read(x) for x in equation.invars]
        if name in CALLS:
            found = _evaluated(next(iter(jaxprs_in_params(params))), given)
        elif name in _MOVES:
            found = [_MOVES[name](*given, **params)]
        elif name in _REDUCED:
            found = [_reduced(_REDUCED[name], *given, params["axes"])]
        else:
            found = [_each(partial(equation.primitive.bind, **params), *given)]
        known |= zip(equation.outvars, found, strict=True)
    return [read(x) for x in jaxpr.outvars]


# -- arrays of numbers -----------------------------------------------------------------------------


def _entries(x):
    return _array([x[k] for k in np.ndindex(jnp.shape(x))] if jnp.ndim(x) else [x], jnp.shape(x))


def _array(numbers, shape):
    made = np.empty(len(numbers), object)
    for k, number in enumerate(numbers):  # one by one, for NumPy would look into them
        made[k] = number
    return made.reshape(shape)


def _each(function, *arrays):
    arrays = np.broadcast_arrays(*arrays)
    numbers = zip(*(x.flat for x in arrays), strict=True)
    return _array([function(*each) for each in numbers], arrays[0].shape)


def _reduced(function, x, axes):
    rest = [k for k in range(x.ndim) if k not in axes]
    rows = x.transpose(*axes, *rest).reshape(-1, *(x.shape[k] for k in rest))
    return reduce(partial(_each, function), (rows[k, ...] for k in range(len(rows))))


def _broadcast(x, shape, broadcast_dimensions, **_):
    sizes = dict(zip(broadcast_dimensions, x.shape, strict=True))
    return np.broadcast_to(x.reshape([sizes.get(k, 1) for k in range(len(shape))]), shape)


def _padded(x, value, padding_config):
    sizes = [
        low + n + (n - 1) * inside + high
        for n, (low, high, inside) in zip(x.shape, padding_config, strict=True)
    ]
    made = np.broadcast_to(value, sizes).copy()
    places = zip(sizes, padding_config, strict=True)
    made[tuple(slice(low, n - high, inside + 1) for n, (low, high, inside) in places)] = x
    return made


def _sliced(x, start_indices, limit_indices, strides):
    strides = strides or [None] * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, strides))]


_MOVES = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda *arrays, dimension: np.concatenate(arrays, dimension),
    "pad": _padded,
    "reshape": lambda x, new_sizes, **_: x.reshape(new_sizes),
    "rev": lambda x, dimensions: np.flip(x, dimensions),
    "slice": _sliced,
    "squeeze": lambda x, dimensions: x.squeeze(dimensions),
    "transpose": lambda x, permutation: x.transpose(permutation),
}
_REDUCED = {
    "reduce_and": lax.bitwise_and,
    "reduce_max": lax.max,
    "reduce_min": lax.min,
    "reduce_or": lax.bitwise_or,
    "reduce_prod": lax.mul,
    "reduce_sum": lax.add,
}
