"""Programs: a function is what it is now, equal programs are compiled once, none is kept for ever.

A function of a user's may read what is around it, and that may change: arrays are bound anew or
written in place. So it is *traced* at each call, a few milliseconds: the arrays that it read become
arguments, and what is left, its program, is what compiled code is found by. What holds its data as
leaves, as an `Objective` does, and reads nothing else, needs no trace.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import chain
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

import jax
import numpy as np
from jax.extend.core import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    Var,
    jaxpr_as_fun,
    jaxprs_in_params,
)
from jax.interpreters.partial_eval import dce_jaxpr

from gdpure import trees

_MOST = 256  # compiled functions; a program takes regions of memory, of which a process has 65,530
_LIBRARIES = ("gdpure", "jax", "math", "numpy")  # modules that stay what they are

# -- traced functions ------------------------------------------------------------------------------


class _Code:
    """A jaxpr without constants and the tree of its outputs; equal codes are one object."""

    def __init__(self, jaxpr, tree):
        self.jaxpr, self.tree = jaxpr, tree


_known: WeakValueDictionary[Any, Any] = WeakValueDictionary()


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
    whole, shapes = jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*args)
    jaxpr, constants = _spliced(whole)
    tree = jax.tree.structure(shapes)
    outline = _outline(jaxpr), jax.tree.structure(args), tree
    code = _known.setdefault(outline, _Code(jaxpr, tree))
    return Program([_own(x) for x in constants], code)


def _own(constant):
    """Return a constant, if it is NumPy's a copy: it may be written to before a call is over."""
    ours = isinstance(constant, jax.Array) or not hasattr(constant, "__array__")
    return constant if ours else np.array(constant)


def _spliced(whole):
    """Return a jaxpr and its constants, those of jitted functions that it calls among them."""
    constvars, constants = list(whole.jaxpr.constvars), list(whole.consts)

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

    names = {x: x for x in [*whole.jaxpr.constvars, *whole.jaxpr.invars]}
    spliced = list(equations(whole.jaxpr, names))
    outvars = [x if isinstance(x, Literal) else names[x] for x in whole.jaxpr.outvars]
    return whole.jaxpr.replace(constvars=constvars, eqns=spliced, outvars=outvars), constants


# -- when two programs are equal -------------------------------------------------------------------


class _Same:
    """An object that is equal to itself alone."""

    def __init__(self, x):
        self.x = x

    def __hash__(self):
        return id(self.x)

    def __eq__(self, other):
        return isinstance(other, _Same) and self.x is other.x


_CONTEXT = ("compute_type", "threefry_partitionable", "xla_metadata")


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
            # The trees of a custom derivative are those of its functions, which are compared.
            tuple((k, _plain(x)) for k, x in equation.params.items() if k != "out_trees"),
            tuple(_plain(getattr(equation.ctx, name, None)) for name in _CONTEXT),
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
    if isinstance(x, JaxprEqn):  # of which a custom derivative was taken
        return x.primitive, _plain(x.params, within)
    if isinstance(x, (tuple, list)):
        return type(x), tuple(_plain(part, within) for part in x)
    if isinstance(x, dict):
        return tuple((k, _plain(part, within)) for k, part in x.items())
    if hasattr(x, "call_wrapped"):  # a custom derivative
        return tuple(_plain(rule, within) for rule in _rules(x.f))
    if isinstance(x, FunctionType) and id(x) not in within:  # a trace may make it anew
        read = [*_bound(x)]
        if not (x.__module__ or "").startswith("jax."):  # a list of a user's is that list
            read = [y if isinstance(y, FunctionType) else _Same(y) for y in (*read, *_globals(x))]
        return x.__code__, tuple(_plain(part, (*within, id(x))) for part in read)
    if dataclasses.is_dataclass(x) and type(x).__module__.startswith("jax."):
        fields = [getattr(x, field.name) for field in dataclasses.fields(x)]
        return type(x), tuple(_plain(part, within) for part in fields)
    try:
        hash(x)
    except TypeError:
        return _Same(x)
    return x


def _rules(function):
    """Yield what a user wrote of a custom derivative, below what JAX wraps it in."""
    if hasattr(function, "call_wrapped"):
        yield from _rules(function.f)
    elif getattr(function, "__module__", "") == "jax._src.interpreters.partial_eval":
        for part in _bound(function):
            if isinstance(part, FunctionType) or hasattr(part, "call_wrapped"):
                yield from _rules(part)
    else:
        yield function


def _bound(function: FunctionType) -> Iterable[Any]:
    """Yield the defaults of a function and what its free variables are bound to now."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not bound yet
            yield None


def _globals(function: FunctionType) -> Iterable[Any]:
    """Yield what the names of a function are globally bound to now."""
    names, around = _names(function.__code__), function.__globals__
    yield from (around[name] for name in names if name in around)


@lru_cache(maxsize=1024)
def _names(code: CodeType) -> tuple[str, ...]:
    inner = [_names(part) for part in code.co_consts if isinstance(part, CodeType)]
    return tuple(dict.fromkeys(chain(code.co_names, *inner)))


# -- functions that need no trace ------------------------------------------------------------------


def closed(x: Any) -> Any:
    """Return a function that reads nothing but arguments and libraries, or its equal; else None.

    Functions of equal code are one, so that a fresh one compiles nothing.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> def loss(y):
    ...     return lambda x: jnp.sum(x - y)
    >>> assert closed(loss) is loss and closed(loss(jnp.ones(2))) is None
    """
    if type(x) is FunctionType:
        if x.__closure__ or x.__defaults__ or x.__kwdefaults__:
            return None
        if _is_ours(x) or all(map(_is_library, _globals(x))):
            return _known.setdefault((x.__code__, id(x.__globals__)), x)
    elif dataclasses.is_dataclass(x) and type(x).__module__.startswith("gdpure."):
        fields = vars(x)
        parts = {k: y if isinstance(y, (str, int)) else closed(y) for k, y in fields.items()}
        if None not in parts.values():
            return x if parts == fields else type(x)(**parts)
    return None


def lasts(x: Any) -> bool:
    """Whether a closed function is so for ever: all of it is gdpure's own.

    Examples
    --------
    >>> assert lasts(lasts) and not lasts(FunctionType(lasts.__code__, {}))
    """
    if type(x) is FunctionType:
        return _is_ours(x)
    return all(isinstance(y, (str, int)) or lasts(y) for y in vars(x).values())


def _is_ours(function):
    return str(function.__globals__.get("__name__")).partition(".")[0] == "gdpure"


def _is_library(x):
    return isinstance(x, ModuleType) and x.__name__.partition(".")[0] in _LIBRARIES


# -- compiled functions ----------------------------------------------------------------------------


def jitted(call: partial) -> tuple[Callable, list[Any]]:
    """Return a call as a compiled function, found by what is not an array, and its arrays.

    Unlike those of a `jax.jit` of the whole module, its programs are dropped with all that they
    hold when many others have been asked for since.

    Examples
    --------
    >>> run, leaves = jitted(partial(lambda x, *, power: x["a"] ** power, {"a": 3.0}, power=2))
    >>> assert run(*leaves) == 9.0 and leaves == [3.0]
    """
    leaves, structure = jax.tree.flatten(call.args)
    return _jitted(call.func, structure, tuple(call.keywords.items())), leaves


# A dictionary compares hashes first: classes that others register are told apart (`trees.pytree`).
@lru_cache(maxsize=_MOST)
def _jitted(function, structure, static):
    def run(*leaves):
        return function(*structure.unflatten(leaves), **dict(static))

    return jax.jit(run)


# -- repeated programs -----------------------------------------------------------------------------

_REPETITIONS = 8  # after which a GPU gains little
_EQUATIONS = 1000  # of one program, whose compilation takes about a second
CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "remat2")
ARITHMETIC = frozenset(  # entry by entry, each in about one instruction
    "abs add add_any and convert_element_type copy div eq ge gt integer_pow le lt max min mul ne "
    "neg not or pvary select_n sign sqrt square stop_gradient sub".split()
)


def repetitions(platform: str, body: Callable, carry: Any, turn: Any) -> int:
    """Return how many repetitions of the body of a scan make one program; 0 if it has effects.

    What XLA fuses on a CPU it computes anew for each result, and slowly where entries are moved: it
    has to be arithmetic there, in which no result needs many others.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> x = jnp.ones(3)
    >>> assert repetitions("cpu", lambda x, _: (x - 0.1 * x, None), x, None) == 8
    >>> assert repetitions("cpu", lambda x, _: (x[::-1], None), x, None) == 1
    >>> assert repetitions("gpu", lambda x, _: (x[::-1], None), x, None) == 8
    """
    whole = jax.make_jaxpr(body)(carry, turn).jaxpr
    jaxpr, _ = dce_jaxpr(whole, [True] * len(whole.outvars), instantiate=True)
    equations = list(_equations(jaxpr))
    called = any("call" in equation.primitive.name for equation in equations)
    if jaxpr.effects:
        return 0
    if called or any([*jaxprs_in_params(x.params)] for x in equations):
        return 1
    many = min(_REPETITIONS, _EQUATIONS // max(len(equations), 1))
    if platform == "cpu":
        names = {equation.primitive.name for equation in equations}
        plain = names <= ARITHMETIC | {"broadcast_in_dim"}
        many = plain and many // max(_coupled(jaxpr, len(jax.tree.leaves(carry))), 1)
    return max(many, 1)


def _equations(jaxpr):
    """Yield what is computed, in functions that are called, too."""
    for equation in jaxpr.eqns:
        inner = [*jaxprs_in_params(equation.params)]
        if equation.primitive.name in CALLS and inner:
            yield from _equations(inner[0])
        else:
            yield equation


def _coupled(jaxpr, n):
    """Return how many of the first n arguments the result needs that needs most of them."""
    needs = {x: {k} for k, x in enumerate(jaxpr.invars[:n])}

    def needed(variables):
        return set().union(*(needs.get(x, ()) for x in variables if isinstance(x, Var)))

    for equation in jaxpr.eqns:
        needs |= dict.fromkeys(equation.outvars, needed(equation.invars))
    return max((len(needed([x])) for x in jaxpr.outvars), default=0)
