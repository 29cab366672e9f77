"""Objectives: a pure function of parameters and data, its data, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.tree_util import Partial

from gdpure import guards, sharding, trees

if TYPE_CHECKING:
    from jaxtyping import Array, Float


@trees.pytree
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
        Projector (d, d) onto the directions along which the minimizer is not unique: x* + flat v
        is a minimizer for every v. Curvatures that rounded data cannot tell from 0 count as 0.

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


@trees.pytree
class Objective:
    """A function to minimize: ``f(params) = value(params, data)``.

    The functions are static, the data are leaves: an objective goes through `jax.jit`, `jax.vmap`
    and `jax.grad` as an argument, and new data of the same shapes compile nothing anew. Functions
    that read nothing but their arguments and libraries are not traced again; others are, at each
    call, as plain functions are.

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
        For a finite sum, where the examples lie in `data`, as in ``jax.vmap(in_axes=axes)``: the
        axis of each leaf that has one entry an example, None for what all examples share. `value`
        must then be the mean over the examples, be they all or some: more than the cache of a CPU
        holds are evaluated in blocks. None says that f is not a finite sum.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.Objective(lambda x, c: jnp.sum((x - c) ** 2), data=jnp.array([1.0, 2.0]))
    >>> assert f(jnp.array([1.0, 4.0])) == 4.0
    """

    value: Callable[[Any, Any], Any] = trees.static()
    data: Any = None
    gradient: Callable[[Any, Any], Any] | None = trees.static(default=None)
    facts: Any = Facts()
    axes: Any = trees.static(default=None)

    def __post_init__(self):
        """Make of functions in `facts` and of `axes` what JAX passes along with an argument."""
        # JAX rebuilds objectives with placeholders for leaves: convert a function, touch no leaf.
        if callable(self.facts) and not isinstance(self.facts, Partial):
            object.__setattr__(self, "facts", Partial(self.facts))
        try:
            hash(self.axes)
        except TypeError:
            object.__setattr__(self, "axes", _Axes(self.axes))

    def __call__(self, params: Any) -> Float[Array, ""]:
        """Return the value at `params`, shape ()."""
        return self.value(params, self.data)


def bare(caller: str, f: Any) -> Any:
    """Return an objective without its facts, which no loop needs; refuse what is none."""
    if not callable(f):
        raise TypeError(
            f"{caller}: the objective must be callable, f(params) -> (), got {guards.describe(f)}"
        )
    if isinstance(f, Objective):
        f = Objective(f.value, f.data, f.gradient, facts=None, axes=f.axes)
    elif jax.tree_util.all_leaves([f]):
        return f
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
    if not isinstance(known, Facts | Partial):
        raise TypeError(
            "facts: facts= of an Objective must be gd.Facts or a function of its data, got "
            f"{guards.describe(known)}"
        )
    return known(f.data) if isinstance(known, Partial) else known


# -- finite sums -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _MeanLoss:
    """The mean of a loss over the examples, equal to any other mean of the same loss."""

    loss: Callable[[Any, Any], Any]

    def __call__(self, params, examples):
        leaves, structure = jax.tree.flatten(examples)
        examples = jax.tree.unflatten(structure, sharding.side_by_side(leaves))
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
        If the leading axes differ, NumPy arrays hold what is not finite, or the loss is not a
        scalar.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> f = gd.empirical_risk(lambda theta, x: (theta - x) ** 2, jnp.array([1.0, 3.0]))
    >>> assert f(jnp.array(2.0)) == 1.0
    """
    guards.function("empirical_risk", "loss", loss)
    f = Objective(_MeanLoss(loss), guards.numbers("empirical_risk", "examples", examples), axes=0)
    number_of_examples("empirical_risk", f)
    return f


class _Axes:
    """Axes in lists and dictionaries, which have no hash, as a constant of compiled code."""

    def __init__(self, tree):
        self.tree = tree
        leaves, structure = jax.tree.flatten(tree, is_leaf=lambda axis: axis is None)
        self._key = tuple(leaves), structure

    def __hash__(self):
        return hash(self._key)

    def __eq__(self, other):
        return isinstance(other, _Axes) and self._key == other._key

    def __repr__(self):
        return repr(self.tree)


def number_of_examples(caller: str, f: Any) -> int:
    """Return n of a finite sum of n examples; refuse what is not one."""
    if not isinstance(f, Objective) or f.axes is None:
        raise TypeError(
            f"{caller}: the objective must be a finite sum (least_squares, logistic, "
            "empirical_risk, or an Objective with axes=)"
        )
    lengths = guards.axes(caller, _tree(f.axes), f.data)
    return guards.leading_axis(caller, "the examples", lengths)


def examples(f: Objective) -> list[jax.Array]:
    """Return what the examples of a finite sum do not share: arrays with one row an example."""
    rows: list[jax.Array] = []

    def add(axis, x):
        x = x if isinstance(x, jax.Array) else jnp.asarray(guards.array("Objective", "data", x))
        rows.append(jnp.moveaxis(x, axis, 0) if axis else x)

    _over_examples(add, f)
    return sharding.side_by_side(rows)


def of_examples(f: Objective, rows: list[jax.Array]) -> Objective:
    """Return the same finite sum over other `examples`."""
    left = iter(rows)

    def put(axis, _):
        return jnp.moveaxis(next(left), 0, axis) if axis else next(left)

    known = f.facts if isinstance(f.facts, Partial) else Facts()
    return replace(f, data=_over_examples(put, f), facts=known)


def restrict(f: Objective, rows: Any) -> Objective:
    """Return the finite sum over some of its examples: the same functions of fewer rows."""
    return of_examples(f, [sharding.taken(x, rows) for x in examples(f)])


def parts(f: Any) -> int:
    """Return over how many devices the examples of an objective are spread; 0: not known."""
    if jax.device_count() == 1 or not isinstance(f, Objective):
        return 0
    counts = [1]

    def count(axis, x):
        if isinstance(x, jax.Array):
            counts.append(x.shape[axis] // max(x.sharding.shard_shape(x.shape)[axis], 1))

    if any(isinstance(x, Tracer) for x in jax.tree.leaves(f.data)):
        return 0
    _over_examples(count, f)
    return max(counts)


def _over_examples(change, f):
    def part(axis, data):
        return data if axis is None else jax.tree.map(partial(change, axis), data)

    return jax.tree.map(part, _tree(f.axes), f.data, is_leaf=lambda axis: axis is None)


def _tree(axes):
    return axes.tree if isinstance(axes, _Axes) else axes


@dataclass(frozen=True)
class _Unpacked:
    """A function of coordinates as a function of one vector."""

    function: Callable[..., Any]

    def __call__(self, params, *data):
        guards.coordinates("unpack", params)
        coordinates = (*params, *(part for part in data if part is not None))
        called = "the coordinates and the data"
        guards.arguments("unpack", "the function", self.function, coordinates, called)
        out = self.function(*coordinates)
        return jnp.stack(out) if isinstance(out, tuple | list) else out


def unpack(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adapt ``cost(theta_0, theta_1, ...)`` to one vector of parameters.

    A gradient written the same way, which returns a tuple, becomes one that returns a vector. Both
    may take data after the coordinates, as the functions of an `Objective` with data do.

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
