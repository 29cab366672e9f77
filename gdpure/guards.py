"""The boundary: every check of shapes, dtypes, trees, ranges and devices, in one room.

A guard states its condition through chex and answers a mistake with one sentence: the function and
the argument it concerns, what was wanted, what came. Shapes and dtypes are known while JAX traces,
so their guards run once and cost nothing in compiled code. Values are refused only where the host
already knows them (Python and NumPy numbers); inside compiled code they are `checkify.debug_check`,
free until somebody functionalizes it with `checkify.checkify`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental import checkify
from jax.tree_util import keystr

from gdpure.arrays import (
    array,
    describe,
    dtype_of,
    exact,
    finite,
    holds_no_numbers,
    is_array,
    is_number,
    is_plain,
    remedy,
)


def _demand(error: type[Exception], sentence: str, assertion: Callable, *args: Any, **kwargs: Any):
    """Raise ``error(sentence)`` where a chex assertion does not hold."""
    try:
        inspect.unwrap(assertion)(*args, **kwargs)  # what wraps it, chex.disable_asserts silences
    except AssertionError:
        raise error(sentence) from None


# -- trees of parameters ---------------------------------------------------------------------------

_LISTED = "; a list is a tree of its entries, jnp.array makes it one array"


def arrays(caller: str, name: str, tree: Any) -> Any:
    """Return a tree with its Python floats as strong NumPy scalars; refuse what is not an array."""

    def leaf(path, x):
        x = array(caller, f"{name}{keystr(path)}", x)
        if isinstance(x, float) and not isinstance(x, np.generic):
            return np.asarray(x, jnp.result_type(float))
        if holds_no_numbers(x):
            raise TypeError(
                f"{caller}: {name}{keystr(path)} must be an array of numbers, got {describe(x)}"
                f"{remedy(x)}"
            )
        if is_array(x) or isinstance(x, (int, complex)):
            return x
        advice = "; a module that also holds functions has to be split, its arrays alone are the "
        raise TypeError(
            f"{caller}: {name}{keystr(path)} must be an array, got {describe(x)}"
            f"{remedy(x) or advice + 'parameters'}"
        )

    plain = all(map(is_plain, jax.tree.leaves(tree)))
    return tree if plain else jax.tree_util.tree_map_with_path(leaf, tree)


def parameters(caller: str, name: str, tree: Any) -> Any:
    """Return a tree of floating-point arrays, at least one and none of them empty."""
    leaves = jax.tree.leaves(tree)
    if not all(map(is_plain, leaves)):
        for path, x in jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_listed):
            if _is_listed(x):
                where = f"{caller}: {name}{keystr(path)}"
                raise TypeError(f"{where} must be an array, got {describe(x)}{_LISTED}")
        tree = arrays(caller, name, tree)
        leaves = jax.tree.leaves(tree)
    if leaves and all(_is_floating(x) and np.size(x) for x in leaves):
        return tree
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        where = f"{caller}: {name}{keystr(path)}"
        if not _is_floating(leaf):
            advice = (
                "split it into its real and imaginary parts"
                if jnp.iscomplexobj(leaf)
                else "gradient descent moves by fractions: write 2.0 for 2, or use .astype(float)"
            )
            raise TypeError(f"{where} must be floating point, got {describe(leaf)}; {advice}")
        if np.size(leaf) == 0:
            raise ValueError(f"{where} must not be empty, got {describe(leaf)}")
    raise ValueError(f"{caller}: {name} must hold at least one array, got {describe(tree)}")


def _is_listed(x: Any) -> bool:
    """Whether x is a list of numbers, or of such lists: what NumPy would take for an array."""
    if type(x) is not list:
        return False
    return bool(x) and all(isinstance(y, (int, float, np.generic)) or _is_listed(y) for y in x)


def _is_floating(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)


def same_form(caller: str, name: str, tree: Any, like: Any, like_name: str) -> None:
    """Demand that two trees agree in structure and, leaf by leaf, in shape and dtype."""
    got, wanted = jax.tree.structure(tree), jax.tree.structure(like)
    if got != wanted:
        raise ValueError(
            f"{caller}: {name} must have the structure of {like_name}, {wanted}, got {got}"
        )
    pairs = zip(jax.tree_util.tree_leaves_with_path(tree), jax.tree.leaves(like), strict=True)
    for (path, leaf), model in pairs:
        if not is_array(leaf):
            raise TypeError(
                f"{caller}: {name}{keystr(path)} must be an array, got {describe(leaf)}"
            )
        message = (
            f"{caller}: {name}{keystr(path)} must be {describe(model)} like {like_name}, "
            f"got {describe(leaf)}"
        )
        _demand(ValueError, message, chex.assert_shape, leaf, jnp.shape(model))
        if dtype_of(leaf) != dtype_of(model):
            raise TypeError(message)


def memory(caller: str, given: Any, wanted: Any) -> None:
    """Demand of a state to go on from the memory of the rule that shall go on."""
    forms = [
        (jax.tree.structure(tree), [(jnp.shape(x), x.dtype) for x in jax.tree.leaves(tree)])
        for tree in (given, wanted)
    ]
    if forms[0] != forms[1]:
        raise ValueError(
            f"{caller}: the state must hold the memory of this rule, {_outline(wanted)}, got "
            f"{_outline(given)}; a run goes on with the rule it began with, another rule begins at "
            "the point of the state"
        )


def _outline(tree: Any) -> str:
    return str(jax.tree.map(describe, tree)).replace("'", "")


def vector(caller: str, x: Any, like: Any) -> Any:
    """Return parameters of the shape and dtype that the data of a linear model ask for."""
    x = array(caller, "the parameters", x)
    message = f"{caller}: the parameters must be one vector, {describe(like)} as the data ask, "
    message += f"got {describe(x)}"
    if not is_array(x):
        raise TypeError(f"{message}{_LISTED if _is_listed(x) else remedy(x)}")
    _demand(ValueError, message, chex.assert_shape, x, like.shape)
    if dtype_of(x) != like.dtype:
        raise TypeError(message)
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def real(caller: str, name: str, x: Any, dtype: Any = None) -> jax.Array:
    """Return data as a floating-point array; integers only where the dtype holds them exactly."""
    given = array(caller, name, x)
    listed = not is_array(given)
    if listed or isinstance(given, np.generic):
        try:
            given = np.asarray(given)
        except (TypeError, ValueError):  # ragged lists
            given = np.asarray(None)
    floating = jnp.issubdtype(given.dtype, jnp.floating)
    if not floating and given.dtype != bool and not jnp.issubdtype(given.dtype, jnp.integer):
        raise TypeError(
            f"{caller}: {name} must be an array of real numbers, got {describe(x)}{remedy(x)}"
        )
    if not floating:
        dtype = jnp.result_type(float) if dtype is None else dtype
        if not isinstance(given, Tracer) and given.size and given.dtype != bool:
            exact(caller, name, given, dtype)
        return jnp.asarray(given, dtype)
    if isinstance(given, np.ndarray):
        own = dtype_of(given) if dtype is None or not listed else dtype
        given = finite(caller, name, given, own)
    if dtype is not None and given.dtype != dtype:
        raise TypeError(
            f"{caller}: {name} must be {np.dtype(dtype).name} like the rest of the data, "
            f"got {describe(given)}"
        )
    return given if isinstance(given, jax.Array) else jnp.asarray(given)


def shape(
    caller: str, name: str, x: Any, wanted: tuple, advice: str = "", *, empty: bool = False
) -> None:
    """Demand a shape, in which letters stand for any size, and an array that is not empty."""
    text = f"({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''})"
    message = f"{caller}: {name} must have shape {text}, got {describe(x)}{advice}"
    sizes = tuple(None if isinstance(n, str) else n for n in wanted)
    _demand(ValueError, message, chex.assert_shape, x, sizes)
    if x.size == 0 and not empty:
        raise ValueError(f"{caller}: {name} must not be empty, got {describe(x)}")


def numbers(caller: str, name: str, tree: Any) -> Any:
    """Return a tree of data as JAX arrays; refuse text, objects, and what is not finite."""

    def leaf(path, x):
        where = f"{name}{keystr(path)}"
        given = array(caller, where, x)
        host = isinstance(given, (np.ndarray, np.generic))
        real = not host or given.dtype == bool or jnp.issubdtype(given.dtype, np.number)
        if not is_number(given) or not real:
            raise TypeError(
                f"{caller}: {where} must be an array of numbers, got {describe(x)}{remedy(x)}"
            )
        if host and jnp.issubdtype(given.dtype, np.inexact):
            given = finite(caller, where, np.asarray(given), dtype_of(given))
        return given if isinstance(given, jax.Array) else jnp.asarray(given)

    return jax.tree_util.tree_map_with_path(leaf, tree)


def leading_axis(caller: str, name: str, tree: Any) -> int:
    """Return the length of the axis that all arrays of a tree begin with."""
    lengths = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.ndim(leaf) == 0:
            raise ValueError(
                f"{caller}: {name} must have a leading axis, got {describe(leaf)}{_at(path)}"
                f"{_LISTED}"
            )
        lengths.setdefault(jnp.shape(leaf)[0], _at(path))
    if len(lengths) != 1:
        got = ", ".join(f"{n}{at}" for n, at in lengths.items()) or "no array"
        raise ValueError(f"{caller}: {name} must have one leading axis in common, got {got}")
    if 0 in lengths:
        raise ValueError(f"{caller}: {name} must not be empty, the leading axis is 0")
    return next(iter(lengths))


def axes(caller: str, given: Any, data: Any) -> Any:
    """Return the axes of the examples as abstract arrays; demand such as `jax.vmap` takes."""

    def of_leaf(where, axis, x):
        if _is_held(x):
            raise TypeError(
                f"{where} must be an array to take examples from, got {describe(x)}{remedy(x)}"
            )
        if not -np.ndim(x) <= axis < np.ndim(x):
            hint = "" if np.ndim(x) else _LISTED
            raise ValueError(f"{where} must have an axis {axis}, got {describe(x)}{hint}")
        return jax.ShapeDtypeStruct(np.shape(x)[axis:][:1], bool)

    def of_part(path, axis, part):
        if axis is None:
            return None
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            raise TypeError(
                f"{caller}: axes{keystr(path)} must be a whole number or None, as in "
                f"jax.vmap(in_axes=axes), got {describe(axis)}"
            )
        name = f"{caller}: the data{keystr(path)}"
        return jax.tree_util.tree_map_with_path(
            lambda path, x: of_leaf(name + keystr(path), axis, x), part, is_leaf=_is_held
        )

    pairs = jax.tree.structure(given, is_leaf=_is_none), jax.tree.structure(data)
    try:
        pairs[0].flatten_up_to(data)
    except (TypeError, ValueError):
        raise ValueError(
            f"{caller}: axes must be a tree that the data begin with, as in "
            f"jax.vmap(in_axes=axes), got {pairs[0]} for {pairs[1]}"
        ) from None
    return jax.tree_util.tree_map_with_path(of_part, given, data, is_leaf=_is_none)


def _is_none(x: Any) -> bool:
    return x is None


def _is_held(x: Any) -> bool:
    """Whether x is an array that is held as a tree of others, as a sparse one is."""
    if is_array(x) or not hasattr(x, "shape"):
        return False
    return any(np.shape(leaf) != x.shape for leaf in jax.tree.leaves(x))


def _at(path) -> str:
    return f" at {keystr(path)}" if path else ""


# -- objectives and gradients ----------------------------------------------------------------------


def function(caller: str, name: str, f: Any) -> None:
    """Demand a callable."""
    if not callable(f):
        raise TypeError(f"{caller}: {name} must be callable, got {describe(f)}")


def coordinates(caller: str, params: Any, d: int | None = None) -> Any:
    """Return one vector, whose entries can be handed over one by one; demand d of them."""
    params = array(caller, "the parameters", params)
    message = f"{caller}: the parameters must be one vector, shape ({d or 'd'},), got "
    if not is_array(params):
        raise TypeError(message + describe(params))
    _demand(ValueError, message + describe(params), chex.assert_shape, params, (d,))
    return params


def arguments(caller: str, name: str, f: Any, given: tuple, called: str) -> None:
    """Demand a function of as many arguments as there are, and say what they are called."""
    function(caller, name, f)
    try:
        form = inspect.signature(f, follow_wrapped=False)  # what wraps may add arguments
    except ValueError:  # some built-in functions have none
        return
    try:
        form.bind(*given)
    except TypeError:
        own = getattr(f, "func", f)
        raise TypeError(
            f"{caller}: {name} must take {len(given)} argument{'s' * (len(given) > 1)}, {called}, "
            f"got {getattr(own, '__name__', own)}{form}"
        ) from None


def labels(caller: str, given: jax.Array) -> None:
    """Demand labels 0 and 1, where the values are known; each process looks at its own."""
    if not isinstance(given, Tracer):
        here = np.concatenate([np.asarray(part.data) for part in given.addressable_shards])
        others = np.unique(here[(here != 0) & (here != 1)])
        if others.size:
            advice = "; (labels + 1) / 2 maps -1 and 1" if set(others) == {-1} else ""
            raise ValueError(f"{caller}: labels must be 0 or 1, got {others[0]:g}{advice}")


def losses(caller: str, given: Any) -> None:
    """Demand one number an example."""
    message = f"{caller}: loss(params, example) must return one scalar, shape (), got "
    if not hasattr(given, "shape"):
        raise TypeError(message + describe(given))
    wanted = message + f"shape {given.shape[1:]}"
    _demand(ValueError, wanted, chex.assert_rank, given, 1)


def scalar(caller: str, out: Any) -> Any:
    """Return the value of an objective, or its abstract form; demand one real number."""
    if isinstance(out, tuple | list | dict):
        raise TypeError(
            f"{caller}: the objective must return one scalar, got a {type(out).__name__} of "
            f"{len(out)}; auxiliary outputs are not carried, return the value alone"
        )
    message = f"{caller}: the objective must return one floating-point scalar, got {describe(out)}"
    if not hasattr(out, "shape"):
        raise TypeError(f"{message}, which is no array and depends on no parameter")
    _demand(ValueError, message, chex.assert_shape, out, ())
    _demand(TypeError, message, chex.assert_type, out, float)
    return out


def differentiated(gradient: Callable, f: Callable) -> Callable:
    """Return ``gradient(f)``; say so where it is the gradient of a point, not of an objective."""
    try:
        evaluate = gradient(f)
        function("gradient", "gradient(objective)", evaluate)
    except Exception as error:
        raise TypeError(
            "gradient: gradient= takes a way to differentiate an objective, such as gd.reverse, "
            "but what came failed on one; a gradient derived by hand goes into "
            "gd.Objective(value, gradient=...)"
        ) from error
    return evaluate


def evaluation(out: Any, params: Any) -> None:
    """Demand of ``gradient(f)(params)`` a scalar value and a gradient of the parameters' form."""
    if not isinstance(out, tuple) or len(out) != 2 or jnp.shape(out[0]) != ():
        raise TypeError(
            "gradient: gradient(objective)(params) must return (value, gradient), got "
            f"{jax.tree.map(describe, out)}; jax.grad gives the gradient alone, use gd.reverse"
        )
    same_form("gradient", "the gradient", out[1], params, "the parameters")


def update(updates: Any, params: Any, memory: Any, old_memory: Any) -> None:
    """Demand of ``rule.update`` updates and a memory of the forms of the old ones."""
    for name, new, old in (("updates", updates, params), ("memory", memory, old_memory)):
        got, wanted = jax.tree.structure(new), jax.tree.structure(old)
        if got != wanted:
            raise ValueError(f"rule.update: {name} must have the structure {wanted}, got {got}")
        for (path, x), y in zip(
            jax.tree_util.tree_leaves_with_path(new), jax.tree.leaves(old), strict=True
        ):
            message = f"rule.update: {name}{keystr(path)} must have shape {jnp.shape(y)}, got "
            _demand(ValueError, message + describe(x), chex.assert_shape, x, jnp.shape(y))


# -- numbers ---------------------------------------------------------------------------------------


def whole(caller: str, name: str, n: Any, least: int = 0, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`; it decides shapes, so it cannot be traced."""
    limits = f"at least {least}" if most is None else f"from {least} to {most}"
    wanted = f"{caller}: {name} must be a whole number, {limits}"
    if isinstance(n, Tracer):
        raise TypeError(f"{wanted}, known before tracing (it decides shapes), got a traced value")
    try:
        number = operator.index(n)
    except TypeError:
        number = None
    if number is None or isinstance(n, (bool, np.bool_)):
        raise TypeError(f"{wanted}, got {describe(n)}")
    if number < least or (most is not None and number > most):
        raise ValueError(f"{wanted}, got {number}")
    return number


def rows(caller: str, name: str, n: Any) -> Any:
    """Return which rows of a history are wanted: 0 to n, or those that an array (m,) names."""
    if not isinstance(n, (list, tuple)) and np.ndim(n) == 0:
        return np.arange(whole(caller, name, n) + 1)
    wanted = f"{caller}: {name} must be a whole number, or an array (m,) of them, at least 0"
    try:
        given = array(caller, name, n)
        k: Any = given if is_array(given) else np.asarray(given)
    except ValueError:
        raise TypeError(f"{wanted}, got {describe(n)}") from None
    if not jnp.issubdtype(k.dtype, jnp.integer):
        raise TypeError(f"{wanted}, got {describe(k)}")
    shape(caller, name, k, ("m",))
    if isinstance(k, Tracer):
        checkify.debug_check((k >= 0).all(), f"{wanted}, got {{least}}", least=k.min())
    elif k.min() < 0:
        raise ValueError(f"{wanted}, got {k.min()}")
    return k


def key(caller: str, given: Any) -> None:
    """Demand one key of `jax.random`."""
    typed = is_array(given) and jnp.issubdtype(given.dtype, jax.dtypes.prng_key)
    raw = is_array(given) and given.dtype == jnp.uint32 and given.shape == (2,)
    if not raw and not (typed and given.shape == ()):
        raise TypeError(f"{caller}: key must be one jax.random.key(seed), got {describe(given)}")


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of allowed numbers, in the metadata of the field of a rule that it concerns."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def __str__(self):
        """Return the words that follow "must be" in an error."""
        if self.high == math.inf:
            sign = ">" if self.open else ">="
            return "finite" if self.low == -math.inf else f"finite and {sign} {self.low:g}"
        return (
            f"in {'(' if self.open else '['}{self.low:g}, {self.high:g}{')' if self.open else ']'}"
        )

    def holds(self, x: Any) -> Any:
        """Whether a number lies in the interval, entry by entry."""
        inside = (
            (x > self.low) & (x < self.high) if self.open else (x >= self.low) & (x <= self.high)
        )
        return inside & (abs(x) < math.inf)


_ORDINARY = 2.0**15  # no floating-point dtype ends below


def in_range(caller: str, name: str, x: Any, allowed: Range, dtype: Any = None) -> None:
    """Refuse numbers outside a range, in the dtype that they are computed with, if it is known.

    At once if the host knows them, by checkify if they are traced.
    """
    if type(x) in (float, np.float32, np.float64) and abs(x) < _ORDINARY:  # at no cost
        if allowed.holds(float(x if dtype is None else np.dtype(dtype).type(x))):
            return
    if not is_number(x) or isinstance(x, (bool, np.bool_)) or jnp.iscomplexobj(x):
        hint = " (None stands for a fact that is not known)" if x is None else ""
        raise TypeError(f"{caller}: {name} must be a real number, got {describe(x)}{hint}")
    if isinstance(x, Tracer):
        message = f"{caller}: {name} must be {allowed}, got {{got}}"
        checkify.debug_check(allowed.holds(x).all(), message, got=x)
    elif not isinstance(x, jax.Array):
        numbers = np.asarray(x)
        with np.errstate(over="ignore"):
            rounded = numbers if dtype is None else numbers.astype(dtype)
        wrong = ~allowed.holds(rounded)
        if wrong.any():
            got, is_then = numbers[wrong][0], rounded[wrong][0]
            hint = f"; as a {np.dtype(dtype).name} it is {is_then:g}" if allowed.holds(got) else ""
            raise ValueError(f"{caller}: {name} must be {allowed}, got {got}{hint}")


def ordered(caller: str, low_name: str, low: Any, high_name: str, high: Any) -> None:
    """Demand of two numbers that the host knows that the first is not above the second."""
    if not isinstance(low, jax.Array) and not isinstance(high, jax.Array) and low > high:
        raise ValueError(f"{caller}: {low_name} must be at most {high_name}, got {low} and {high}")


def hyperparameters(caller: str, rule: Any, dtype: Any = None) -> None:
    """Demand of every field of a rule that states a range numbers in it."""
    for name, x, allowed in ranged(rule):
        in_range(caller, name, x, allowed, dtype)


def scalar_hyperparameters(caller: str, rule: Any) -> None:
    """Demand single numbers of the fields of a rule that state a range."""
    for name, x, _ in ranged(rule):
        if jnp.ndim(x) != 0:
            raise ValueError(
                f"{caller}: {name} must be one number, got {describe(x)}; gd.sweep tries many "
                "rules, a plain array of step sizes is a schedule"
            )


def ranged(rule: Any = None) -> Iterator[tuple[str, Any, Range]]:
    """Yield name, value and range of the fields of a rule, and of rules in its fields."""
    for field in dataclasses.fields(rule) if dataclasses.is_dataclass(rule) else ():
        x = getattr(rule, field.name)
        if "range" in field.metadata:
            yield f"{type(rule).__name__}.{field.name}", x, field.metadata["range"]
        else:
            yield from ranged(x)


# -- devices ---------------------------------------------------------------------------------------


def same_devices(caller: str, **trees: Any) -> None:
    """Demand that concrete arrays which were put on devices on purpose are on the same ones."""
    seen: dict[frozenset, str] = {}
    for name, tree in trees.items():
        for leaf in jax.tree.leaves(tree):
            if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer):
                if leaf.committed:
                    seen.setdefault(frozenset(leaf.devices()), name)
    if len(seen) > 1:
        places = ", ".join(f"{name} on {sorted(map(str, at))}" for at, name in seen.items())
        raise ValueError(
            f"{caller}: all arrays must be on the same devices, got {places}; jax.device_put moves "
            "them"
        )
