"""What `check_gradient` is given: a function, the gradient it is said to have, and a point."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial, keystr

from gdpure import guards
from gdpure.objectives import Objective

from ..rounding import unit_roundoff
from .refined import Refined, Unrefined, refined


@contextlib.contextmanager
def wide():
    """Make JAX compute in float64, with whatever data in float32 a function brings along."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def flat(tree) -> np.ndarray:
    """Return all numbers of a tree as one vector of float64."""
    leaves = [np.asarray(leaf).astype(np.float64).ravel() for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves)


# -- the point -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """What the parameters look like, and how they become one vector of float64 and back.

    Attributes
    ----------
    structure, paths, shapes, dtypes
        Of the tree, and leaf by leaf.
    modules
        numpy or jax.numpy, whose array each leaf is.
    """

    structure: Any
    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    modules: tuple[Any, ...]

    @property
    def sizes(self):
        """How many numbers are in each leaf."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def dtype(self):
        """The name of the dtype, or the names of all of them."""
        return ", ".join(dict.fromkeys(dtype.name for dtype in self.dtypes))

    @property
    def unit(self):
        """The unit roundoff of the coarsest dtype."""
        return max(map(unit_roundoff, self.dtypes))

    @property
    def double(self):
        """Whether a dtype is float64."""
        return np.dtype(np.float64) in self.dtypes

    @property
    def narrow(self):
        """The same in the dtypes that JAX has without ``enable_x64``."""
        with jax.enable_x64(False):
            dtypes = tuple(map(jax.dtypes.canonicalize_dtype, self.dtypes))
        return replace(self, dtypes=dtypes)

    def parts(self, vectors):
        """Return the numbers of each leaf; any leading axes of the vectors stay in front."""
        ends, lead = itertools.accumulate(self.sizes), vectors.shape[:-1]
        parts = zip(ends, self.sizes, self.shapes, strict=True)
        return [vectors[..., end - n : end].reshape(lead + shape) for end, n, shape in parts]

    def built(self, vector, dtype=None):
        """Return fresh parameters, in their own dtypes unless one is given; or many, in rows."""
        leaves = zip(self.parts(vector), self.dtypes, self.modules, strict=True)
        arrays = [module.asarray(part.astype(dtype or own)) for part, own, module in leaves]
        return jax.tree.unflatten(self.structure, arrays)

    def label(self, name, j):
        """Return what coordinate j is called: ``gradient['w'][2]``."""
        for path, shape, size in zip(self.paths, self.shapes, self.sizes, strict=True):
            if j < size:
                index = ", ".join(map(str, np.unravel_index(j, shape)))
                return f"{name}{path}{f'[{index}]' if shape else ''}"
            j -= size
        raise IndexError(j)

    def number(self, j):
        """Return what number j of a value and a gradient is called."""
        return self.label("gradient", j - 1) if j else "the value"


def form_of(caller: str, at: Any) -> tuple[Form, np.ndarray]:
    """Return the form of a point and its numbers, shape (d,); refuse what is no point.

    Examples
    --------
    >>> form, x = form_of("f", {"w": np.array([1.0, 2.0]), "b": np.array(3.0)})
    >>> assert x.tolist() == [3.0, 1.0, 2.0] and form.label("at", 2) == "at['w'][1]"
    """
    at = guards.parameters(caller, "at", at)
    found = jax.tree_util.tree_leaves_with_path(at)
    leaves = [leaf for _, leaf in found]
    form = Form(
        jax.tree.structure(at),
        tuple(keystr(path) for path, _ in found),
        tuple(np.shape(leaf) for leaf in leaves),
        tuple(np.dtype(leaf.dtype) for leaf in leaves),
        tuple(jnp if isinstance(leaf, jax.Array) else np for leaf in leaves),
    )
    x = flat(at)
    for j in np.flatnonzero(~np.isfinite(x))[:1]:
        raise ValueError(f"{caller}: {form.label('at', j)} must be finite, got {x[j]}")
    return form, x


def precision_of(form: Form):
    """Let JAX compute in the dtypes of the parameters: in another a function may be another one."""
    return jax.enable_x64(form.double or jnp.result_type(float) == jnp.float64)


def scalar(name: str, value: Any) -> float:
    """Return a value of f as a float; demand one real and finite number."""
    wanted = f"{name} must be one real number, shape (), got {guards.describe(value)}"
    if guards.is_number(value) and np.shape(value) != ():
        raise ValueError(wanted)
    if not guards.is_number(value) or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise TypeError(wanted)
    if not math.isfinite(float(value)):
        raise ValueError(f"{name} must be finite, got {float(value)}")
    return float(value)


# -- the function and its gradient -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Function:
    """A function and the gradient it is said to have.

    Attributes
    ----------
    f, gradient
        As they came; the gradient is a function of the parameters.
    form
        Of the parameters.
    seed
        Of all that is random.
    traced
        f as something that JAX differentiates in float64, or None.
    reason
        Why there is none, or "".
    """

    f: Callable
    gradient: Callable
    form: Form
    seed: int
    traced: Any
    reason: str

    @property
    def random(self):
        """A generator, the same one every time."""
        return np.random.default_rng(self.seed)


def traced(f: Callable, form: Form) -> tuple[Refined | None, str]:
    """Return f in float64, as a compiled function takes it; or None, and why there is none.

    It is traced as JAX traces it for whoever asks: under its ``enable_x64``, or in float64 where
    the parameters are.

    Examples
    --------
    >>> form, _ = form_of("f", np.ones(2))
    >>> f, reason = traced(lambda x: float(np.exp(x).sum()), form)
    >>> assert f is None and reason == "f computes in NumPy: JAX cannot trace it"
    """
    x64 = form.double or jnp.result_type(float) == jnp.float64
    try:
        double = refined(passed(f), form, x64)
        hash(jax.tree.structure(double))
        closed = double.program(lambda f: f)
        with wide():
            x = form.built(np.ones(sum(form.sizes)), np.float64)
            jax.eval_shape(lambda f, x: f(x), double, x)
    except jax.errors.TracerArrayConversionError:
        return None, "f computes in NumPy: JAX cannot trace it"
    except Unrefined as error:
        return None, f"{error}: JAX cannot refine it"
    except Exception as error:  # whatever a stranger's code makes of a tracer
        return None, f"JAX cannot trace f: {first_line(error)}"
    if not all(jnp.issubdtype(out.dtype, jnp.floating) for out in closed.out_avals):
        return None, f"f gives {closed.out_avals[0].str_short()}: JAX cannot refine it"
    return double, ""


def passed(f):
    """Return f as an argument of a compiled function, which new data do not compile anew."""
    if isinstance(f, Objective):
        return Objective(f.value, f.data, axes=f.axes)  # nobody asks for its facts
    return Partial(f) if jax.tree_util.all_leaves([f]) else f


def data_of(f: Any, depth: int = 3) -> list:
    """Return the arrays that a function brings along, as far as Python shows them.

    Examples
    --------
    >>> X = np.ones((5, 2))
    >>> [found] = data_of(lambda theta: X @ theta)
    >>> assert found is X
    """
    plain = inspect.unwrap(f) if callable(f) else f
    if isinstance(f, jax.Array | np.ndarray):
        return [f]
    if depth == 0 or isinstance(f, type | ModuleType):
        return []
    if not jax.tree_util.all_leaves([f]):
        parts = jax.tree.leaves(f)
    elif isinstance(f, functools.partial):
        parts = [f.func, *f.args, *f.keywords.values()]
    elif inspect.ismethod(f):
        parts = [f.__self__, f.__func__]
    elif inspect.isfunction(plain):
        known = inspect.getclosurevars(plain)
        parts = [*known.nonlocals.values(), *known.globals.values()]
        # Functions of other modules are libraries, for the most part.
        here = plain.__module__
        parts = [p for p in parts if not callable(p) or getattr(p, "__module__", here) == here]
    else:
        parts = list(getattr(f, "__dict__", {}).values())
    return [array for part in parts for array in data_of(part, depth - 1)]


def first_line(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# -- what the gradient returns ---------------------------------------------------------------------


class Formless(Exception):
    """A gradient that is none, in a sentence; or that raised."""

    def __init__(self, sentence, raised=False):
        super().__init__(sentence)
        self.raised = raised


class Came(NamedTuple):
    """What came from the gradient: in float64 the value, or None, and the gradient, (d,)."""

    value: float | None
    gradient: np.ndarray

    @property
    def numbers(self):
        """All of them, shape (1 + d,); 0 for a value that did not come."""
        return np.append(self.value or 0.0, self.gradient)


def returned(function: Function, x) -> Came:
    """Call the gradient twice; demand the form of the parameters, finite numbers, the same bits.

    Raises
    ------
    Formless
        With one sentence: what is wrong, what was wanted, what came.
    """
    form, first, again = function.form, _called(function, x), _called(function, x)
    for j in np.flatnonzero(~np.isfinite(first.gradient))[:1]:
        where = form.label("gradient", j)
        raise Formless(f"{where} must be finite where f is, got {first.gradient[j]}")
    for j in np.flatnonzero(first.numbers != again.numbers)[:1]:
        raise Formless(
            f"{form.number(j)} must be the same when it is asked for twice, got "
            f"{first.numbers[j]:.9g}, then {again.numbers[j]:.9g}"
        )
    return first


def _called(function, x):
    form, given = function.form, function.form.built(x)
    try:
        out = function.gradient(given)
    except Exception as error:  # whatever a stranger's code may raise
        raise Formless(f"the gradient raised {first_line(error)}", raised=True) from error
    value = None
    if jax.tree.structure(out) != form.structure and isinstance(out, tuple) and len(out) == 2:
        try:
            value, out = scalar("the value of (value, gradient)", out[0]), out[1]
        except (TypeError, ValueError) as error:
            raise Formless(str(error)) from error
    _demand_form(form, out)
    for j in np.flatnonzero(flat(given) != x)[:1]:
        raise Formless(
            f"the gradient must not change its argument: {form.label('at', j)} was {x[j]:.9g}, and "
            f"is {flat(given)[j]:.9g} afterwards"
        )
    return Came(value, flat(out))


def _demand_form(form, out):
    if jax.tree.structure(out) != form.structure:
        got, leaf = guards.describe(out), jax.tree.structure(0)
        if isinstance(out, list) and form.structure == leaf:
            got += "; a list is a tree of its entries, np.array makes it one array"
        wanted = "one array" if form.structure == leaf else f"the structure {form.structure}"
        raise Formless(f"the gradient must be {wanted} like the parameters, got {got}")
    leaves = zip(form.paths, form.shapes, form.dtypes, jax.tree.leaves(out), strict=True)
    for path, shape, dtype, leaf in leaves:
        if np.shape(leaf) != shape or np.asarray(leaf).dtype != dtype:  # a Python float is float64
            wanted = guards.describe(jax.ShapeDtypeStruct(shape, dtype))
            got = guards.describe(leaf)
            raise Formless(f"gradient{path} must be {wanted} like the parameters, got {got}")
