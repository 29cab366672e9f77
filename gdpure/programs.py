"""Programs: a function is what it is now, equal programs are compiled once, none is kept for ever.

A function of a user's may read what is around it, and that may change: arrays are bound anew or
written in place. So a plain function is *traced* at each call, a few milliseconds: the arrays that
it read become arguments, and what is left, its program, is what compiled code is found by. What
holds its data as leaves, as an `Objective` does, and reads nothing else, needs no trace.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import lru_cache, partial, wraps
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var, jaxpr_as_fun

from gdpure import trees

_MOST = 256  # compiled functions; a program takes regions of memory, of which a process has 65,530
_TRUSTED = ("builtins", "gdpure", "jax", "numpy")  # what their functions read does not change

# -- traced functions ------------------------------------------------------------------------------


class _Code:
    """A jaxpr without constants and the tree of its outputs; equal codes are one object."""

    def __init__(self, jaxpr, tree):
        self.jaxpr, self.tree = jaxpr, tree


_codes: WeakValueDictionary[Any, _Code] = WeakValueDictionary()


@trees.pytree
class Program:
    """What a function did when it was traced: its code is static, what it read are leaves."""

    constants: Any
    code: _Code = trees.static()

    def __call__(self, *args: Any) -> Any:
        """Return what the function returns for arguments of the shapes it was traced with."""
        run = jaxpr_as_fun(ClosedJaxpr(self.code.jaxpr, self.constants))
        return jax.tree.unflatten(self.code.tree, run(*jax.tree.leaves(args)))


def traced(function: Callable, *args: Any) -> Program:
    """Return the program of a function as it is now, for arguments of these shapes and dtypes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> y = np.array([1.0, 2.0])
    >>> one = traced(lambda x: x * y, jnp.ones(2))
    >>> y = np.array([3.0, 4.0])
    >>> other = traced(lambda x: x * y, jnp.ones(2))
    >>> assert one.code is other.code and other(jnp.ones(2)).tolist() == [3.0, 4.0]
    """
    # A new function each time, for JAX remembers the traces of one that it has seen.
    closed, shapes = jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*args)
    jaxpr, constants = _spliced(closed)
    tree = jax.tree.structure(shapes)
    outline = _outline(jaxpr), jax.tree.structure(args), tree
    code = _codes.setdefault(outline, _Code(jaxpr, tree))
    return Program([x if isinstance(x, jax.Array) else np.asarray(x) for x in constants], code)


def _spliced(closed):
    """Return a jaxpr and its constants, those of jitted functions that it calls among them."""
    constvars, constants = list(closed.jaxpr.constvars), list(closed.consts)

    def equations(jaxpr, names):
        def named(x):
            return x if isinstance(x, Literal) else names.setdefault(x, Var(x.aval))

        for equation in jaxpr.eqns:
            inner = equation.params.get("jaxpr")
            invars = [named(x) for x in equation.invars]
            if equation.primitive.name == "jit" and inner.consts:
                fresh = [Var(x.aval) for x in inner.jaxpr.constvars]
                constvars.extend(fresh)
                constants.extend(inner.consts)
                heads = [*inner.jaxpr.constvars, *inner.jaxpr.invars]
                names_of_inner = dict(zip(heads, [*fresh, *invars], strict=True))
                yield from equations(inner.jaxpr, names_of_inner)
                for x, y in zip(equation.outvars, inner.jaxpr.outvars, strict=True):
                    names[x] = y if isinstance(y, Literal) else names_of_inner[y]
            else:
                yield equation.replace(invars=invars, outvars=[named(x) for x in equation.outvars])

    names = {x: x for x in [*closed.jaxpr.constvars, *closed.jaxpr.invars]}
    spliced = list(equations(closed.jaxpr, names))
    outvars = [x if isinstance(x, Literal) else names[x] for x in closed.jaxpr.outvars]
    return closed.jaxpr.replace(constvars=constvars, eqns=spliced, outvars=outvars), constants


# -- when two programs are equal -------------------------------------------------------------------


class _Same:
    """An object that is equal to itself alone."""

    def __init__(self, x):
        self.x = x

    def __hash__(self):
        return id(self.x)

    def __eq__(self, other):
        return isinstance(other, _Same) and self.x is other.x


def _outline(jaxpr):
    """Return a jaxpr as tuples: equal for equal programs, whatever its variables are called."""
    places: dict[Any, int] = {}

    def place(x):
        if isinstance(x, Literal):  # to the bit: a nan is itself, and -0.0 is not 0.0
            return x.aval, np.asarray(x.val).tobytes()
        return places.setdefault(x, len(places))

    def shapes(variables):
        return tuple((place(x), x.aval) for x in variables)

    heads = shapes([*jaxpr.constvars, *jaxpr.invars])
    body = tuple(
        (
            equation.primitive,
            tuple(map(place, equation.invars)),
            shapes(equation.outvars),
            tuple((k, _plain(x)) for k, x in equation.params.items() if k != "out_trees"),
        )
        for equation in jaxpr.eqns
    )
    return heads, body, tuple(map(place, jaxpr.outvars))


def _plain(x: Any, within=()):
    """Return a parameter of an equation as something to compare by what it says."""
    if isinstance(x, ClosedJaxpr):
        return _outline(x.jaxpr), tuple(map(_Same, x.consts))
    if isinstance(x, Jaxpr):
        return _outline(x)
    if isinstance(x, (tuple, list)):
        return type(x), tuple(_plain(part, within) for part in x)
    if isinstance(x, dict):
        return tuple((k, _plain(part, within)) for k, part in x.items())
    if hasattr(x, "call_wrapped"):  # a custom derivative, which a trace of the gradient has used
        return x.debug_info.func_src_info
    if isinstance(x, FunctionType) and id(x) not in within:  # a trace may make it anew
        read = [x.__defaults__, *_contents(x)]
        if not x.__module__.startswith("jax."):  # a list of a user's is that list
            read = [part if isinstance(part, FunctionType) else _Same(part) for part in read]
        read = tuple(_plain(part, (*within, id(x))) for part in read)
        return x.__code__, _Same(x.__globals__), read
    if dataclasses.is_dataclass(x) and type(x).__module__.startswith("jax."):
        fields = [getattr(x, field.name) for field in dataclasses.fields(x)]
        return type(x), tuple(_plain(part, within) for part in fields)
    try:
        hash(x)
    except TypeError:
        return _Same(x)
    return x


def _contents(function: FunctionType) -> Iterable[Any]:
    """Return what the free variables of a function are bound to now."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not bound yet
            yield None


# -- functions that need no trace ------------------------------------------------------------------


def is_closed(*functions: Any) -> bool:
    """Whether all that functions read besides their arguments are modules, and functions like them.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> def loss(y):
    ...     return lambda x: jnp.sum(x - y)
    >>> assert is_closed(loss) and not is_closed(loss(jnp.ones(2)))
    """
    seen: set[int] = set()

    def closed(x):
        if id(x) in seen or x is None or isinstance(x, (str, ModuleType, BuiltinFunctionType)):
            return True
        seen.add(id(x))
        if isinstance(x, partial):
            return closed(x.func) and all(map(closed, (*x.args, *x.keywords.values())))
        if dataclasses.is_dataclass(x) and not isinstance(x, type):
            fields = (getattr(x, field.name) for field in dataclasses.fields(x))
            return closed(type(x).__call__) and all(map(closed, fields))
        bare = not isinstance(x, FunctionType) or not (x.__closure__ or x.__defaults__)
        if (getattr(x, "__module__", None) or "").partition(".")[0] in _TRUSTED:
            return bare
        if not isinstance(x, FunctionType):
            return hasattr(x, "__wrapped__") and closed(x.__wrapped__)
        named = (x.__globals__[name] for name in _names(x.__code__) if name in x.__globals__)
        rest = (*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values())
        return all(map(closed, (*named, *_contents(x), *rest)))

    return all(map(closed, functions))


def _names(code: CodeType) -> Iterable[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


# -- compiled functions ----------------------------------------------------------------------------


def compiled(function: Callable) -> Callable:
    """Compile a function of trees; its keyword arguments are static.

    Unlike those of a `jax.jit` of the whole module, its programs are dropped with all that they
    hold when many others have been asked for since.
    """

    @wraps(function)
    def call(*args, **static):
        leaves, structure = jax.tree.flatten(args)
        return _jitted(function, structure, tuple(static.items()))(*leaves)

    return call


# A dictionary compares hashes first: classes that others register are told apart (`trees.pytree`).
@lru_cache(maxsize=_MOST)
def _jitted(function, structure, static):
    def run(*leaves):
        return function(*structure.unflatten(leaves), **dict(static))

    return jax.jit(run)
