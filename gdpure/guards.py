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


def _demand(error: type[Exception], sentence: str, assertion: Callable, *args: Any, **kwargs: Any):
    """Raise ``error(sentence)`` where a chex assertion does not hold."""
    try:
        assertion(*args, **kwargs)
    except AssertionError:
        raise error(sentence) from None


def describe(x: Any) -> str:
    """Return what an error says of a value: its dtype and shape, or its type and text."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"{x.dtype}[{','.join(map(str, x.shape))}]"
    text = repr(x)
    if callable(x) and hasattr(x, "__name__"):
        return f"the function {x.__name__}"
    if len(text) <= 40:
        return f"{type(x).__name__} {text}"
    if isinstance(x, (list, tuple, dict)):
        return f"a {type(x).__name__} of {len(x)}"
    return f"an object of type {_kind(x)}"


def _kind(x: Any) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")


def is_number(x: Any) -> bool:
    """Whether x is a number or an array of numbers."""
    return _is_array(x) or isinstance(x, (int, float, complex))


def _is_array(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray, np.generic)) or hasattr(x, "__jax_array__")


# -- trees of parameters ---------------------------------------------------------------------------


def arrays(caller: str, name: str, tree: Any) -> Any:
    """Return a tree with its Python floats as strong NumPy scalars; refuse what is not an array."""

    def leaf(path, x):
        if isinstance(x, float) and not isinstance(x, np.generic):
            return np.asarray(x, jnp.result_type(float))
        if _is_array(x) or isinstance(x, (int, complex)):
            return x
        raise TypeError(
            f"{caller}: {name}{keystr(path)} must be an array, got {describe(x)}; a module that "
            "also holds functions has to be split, its arrays alone are the parameters"
        )

    if all(isinstance(x, (jax.Array, np.ndarray)) for x in jax.tree.leaves(tree)):
        return tree
    return jax.tree_util.tree_map_with_path(leaf, tree)


def parameters(caller: str, name: str, tree: Any) -> Any:
    """Return a tree of floating-point arrays, at least one and none of them empty."""
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
        if not _is_array(leaf):
            raise TypeError(
                f"{caller}: {name}{keystr(path)} must be an array, got {describe(leaf)}"
            )
        message = (
            f"{caller}: {name}{keystr(path)} must be {describe(model)} like {like_name}, "
            f"got {describe(leaf)}"
        )
        same_shape = jnp.shape(leaf) == jnp.shape(model)
        assertion = chex.assert_trees_all_equal_shapes_and_dtypes
        _demand(TypeError if same_shape else ValueError, message, assertion, leaf, model)


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


def vector(caller: str, x: Any, like: Any) -> None:
    """Demand parameters of the shape and dtype that the data of a linear model ask for."""
    wanted = f"{caller}: the parameters must be one vector, {describe(like)} as the data ask"
    if not _is_array(x):
        raise TypeError(f"{wanted}, got {describe(x)}")
    _demand(ValueError, f"{wanted}, got {describe(x)}", chex.assert_shape, x, like.shape)
    _demand(TypeError, f"{wanted}, got {describe(x)}", chex.assert_type, x, like.dtype)


def real(caller: str, name: str, x: Any, dtype: Any = None) -> jax.Array:
    """Return data as a floating-point array; integers only where the dtype holds them exactly."""
    if isinstance(x, (str, bytes)) or (not _is_array(x) and isinstance(x, (dict, set))):
        raise TypeError(f"{caller}: {name} must be an array of numbers, got {describe(x)}")
    try:
        given = x if _is_array(x) else np.asarray(x)
        kind = jnp.issubdtype(given.dtype, jnp.floating)
        numbers = kind or given.dtype == bool or jnp.issubdtype(given.dtype, jnp.integer)
    except (TypeError, ValueError):  # ragged lists
        numbers = False
    if not numbers:
        hint = "; .astype(float) if it holds numbers" if _is_array(x) and x.dtype == object else ""
        raise TypeError(
            f"{caller}: {name} must be an array of real numbers, got {describe(x)}{hint}"
        )
    if isinstance(given, np.ndarray) and kind and not np.isfinite(given).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(given))[0]))
        raise ValueError(f"{caller}: {name} must be finite, got {given[where]} at {where}")
    if kind:
        listed = not _is_array(x) and dtype is not None
        given = jnp.asarray(given, dtype if listed else None)
        if dtype is not None and given.dtype != dtype:
            raise TypeError(
                f"{caller}: {name} must be {np.dtype(dtype).name} like the rest of the data, "
                f"got {describe(given)}"
            )
        return given
    dtype = jnp.result_type(float) if dtype is None else dtype
    exact = 2 ** (jnp.finfo(dtype).nmant + 1)
    if not isinstance(x, Tracer) and given.size and given.dtype != bool:
        largest = max(abs(int(given.min())), abs(int(given.max())))
        if largest > exact:
            raise ValueError(
                f"{caller}: {name} holds the integer {largest}, which {np.dtype(dtype).name} does "
                "not represent exactly; scale it, or convert it to floating point yourself"
            )
    return jnp.asarray(given, dtype)


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
    """Return a tree of data as JAX arrays; refuse text and objects."""

    def leaf(path, x):
        if not is_number(x) or getattr(getattr(x, "dtype", None), "kind", "f") in "OSU":
            raise TypeError(
                f"{caller}: {name}{keystr(path)} must be an array of numbers, got {describe(x)}"
            )
        return jnp.asarray(x)

    return jax.tree_util.tree_map_with_path(leaf, tree)


def leading_axis(caller: str, name: str, tree: Any) -> int:
    """Return the length of the axis that all arrays of a tree begin with."""
    lengths = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.ndim(leaf) == 0:
            raise ValueError(
                f"{caller}: {name} must have a leading axis, got {describe(leaf)}{_at(path)}; a "
                "list is a tree of its entries, jnp.array makes it one array"
            )
        lengths.setdefault(jnp.shape(leaf)[0], _at(path))
    if len(lengths) != 1:
        got = ", ".join(f"{n}{at}" for n, at in lengths.items()) or "no array"
        raise ValueError(f"{caller}: {name} must have one leading axis in common, got {got}")
    if 0 in lengths:
        raise ValueError(f"{caller}: {name} must not be empty, the leading axis is 0")
    return next(iter(lengths))


def _at(path) -> str:
    return f" at {keystr(path)}" if path else ""


# -- objectives and gradients ----------------------------------------------------------------------


def function(caller: str, name: str, f: Any) -> None:
    """Demand a callable."""
    if not callable(f):
        raise TypeError(f"{caller}: {name} must be callable, got {describe(f)}")


def coordinates(caller: str, params: Any, d: int | None = None) -> Any:
    """Return one vector, whose entries can be handed over one by one; demand d of them."""
    message = f"{caller}: the parameters must be one vector, shape ({d or 'd'},), got "
    if not _is_array(params):
        raise TypeError(message + describe(params))
    _demand(ValueError, message + describe(params), chex.assert_shape, params, (d,))
    return params


def arguments(caller: str, f: Callable, given: tuple) -> None:
    """Demand a function of as many arguments as there are."""
    try:
        form = inspect.signature(f)
    except ValueError:  # some built-in functions have none
        return
    try:
        form.bind(*given)
    except TypeError:
        raise TypeError(
            f"{caller}: the function must take {len(given)} arguments, the coordinates and the "
            f"data, got {getattr(f, '__name__', f)}{form}"
        ) from None


def labels(caller: str, given: jax.Array) -> None:
    """Demand labels 0 and 1, where the values are known."""
    if not isinstance(given, Tracer):
        others = np.unique(np.asarray(given[(given != 0) & (given != 1)]))
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
    if not isinstance(n, list | tuple) and np.ndim(n) == 0:
        return np.arange(whole(caller, name, n) + 1)
    wanted = f"{caller}: {name} must be a whole number, or an array (m,) of them, at least 0"
    try:
        k: Any = n if _is_array(n) else np.asarray(n)
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
    typed = _is_array(given) and jnp.issubdtype(given.dtype, jax.dtypes.prng_key)
    raw = _is_array(given) and given.dtype == jnp.uint32 and given.shape == (2,)
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


def in_range(caller: str, name: str, x: Any, allowed: Range) -> None:
    """Refuse numbers outside a range: at once if the host knows them, by checkify if traced."""
    if not is_number(x) or isinstance(x, (bool, np.bool_)) or jnp.iscomplexobj(x):
        hint = " (None stands for a fact that is not known)" if x is None else ""
        raise TypeError(f"{caller}: {name} must be a real number, got {describe(x)}{hint}")
    if isinstance(x, Tracer):
        message = f"{caller}: {name} must be {allowed}, got {{got}}"
        checkify.debug_check(allowed.holds(x).all(), message, got=x)
    elif not isinstance(x, jax.Array):
        numbers = np.asarray(x)
        wrong = numbers[~allowed.holds(numbers)]
        if wrong.size:
            raise ValueError(f"{caller}: {name} must be {allowed}, got {wrong.flat[0]}")


def ordered(caller: str, low_name: str, low: Any, high_name: str, high: Any) -> None:
    """Demand of two numbers that the host knows that the first is not above the second."""
    if not isinstance(low, jax.Array) and not isinstance(high, jax.Array) and low > high:
        raise ValueError(f"{caller}: {low_name} must be at most {high_name}, got {low} and {high}")


def hyperparameters(caller: str, rule: Any) -> None:
    """Demand of every field of a rule that states a range numbers in it."""
    for name, x, allowed in _ranged(rule):
        in_range(caller, name, x, allowed)


def scalar_hyperparameters(caller: str, rule: Any) -> None:
    """Demand single numbers of the fields of a rule that state a range."""
    for name, x, _ in _ranged(rule):
        if jnp.ndim(x) != 0:
            raise ValueError(
                f"{caller}: {name} must be one number, got {describe(x)}; gd.sweep tries many "
                "rules, a plain array of step sizes is a schedule"
            )


def _ranged(rule: Any) -> Iterator[tuple[str, Any, Range]]:
    """Yield name, value and range of the fields of a rule, and of rules in its fields."""
    for field in dataclasses.fields(rule) if dataclasses.is_dataclass(rule) else ():
        x = getattr(rule, field.name)
        if "range" in field.metadata:
            yield f"{type(rule).__name__}.{field.name}", x, field.metadata["range"]
        else:
            yield from _ranged(x)


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
