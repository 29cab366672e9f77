"""A gradient against the function it claims to differentiate: its form, autodiff, Taylor.

What is right is decided in float64, at the very numbers that the point stands for. How far a right
gradient may be from it is measured on f itself, coordinate by coordinate: there is no tolerance to
choose, and none that grows with the number of parameters.

**Autodiff.** The derivative of f, traced in float64, is run again and again with errors put into
it: into the point, and into the result of every operation, up to u times its size, where u is that
of the dtype of the point; into a sum of n terms up to n u times the sum of their sizes, so that any
order of summation is allowed for (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd
ed., section 3.1). What the worst of such errors do to coordinate j is, to first order, the sum of
``|a_jv|`` over all operations v, and nobody can write down all the a_jv. But if the errors xi_v are
drawn from a Cauchy distribution, ``sum_v a_jv xi_v`` has a Cauchy distribution of just that scale,
however many operations there are, and a few draws show the scale in all coordinates at once
(Kreinovich and Ferson, "A new Cauchy-based black-box technique for uncertainty in risk analysis",
Reliability Engineering and System Safety 85, 2004). The third quartile of 64 draws is 2.4 times the
scale, and below the scale with probability 4e-5. A gradient that is computed by another formula is
explained as long as it adds up no larger numbers than f and its derivative do. If it cancels what
they do not cancel, the numbers it returns are wrong, and the report says why. Whatever f's own
gradient is off by in the dtype is allowed for as well: compiled kernels are not looked into.

The same errors, none of them larger than rounding is, show whether f has a kink: its derivative
then changes by more than twice the worst case to first order. That change is allowed for.

**Taylor.** Along a direction d, with steps s from the size of x downwards, a quarter each time,

    (f(x + s d) - f(x - s d)) / 2s - <g, d>   =  w + O(s^2),     w = <grad f - g, d>
    (f(x + s d) + f(x - s d) - 2 f(x)) / 2s   =  k + O(s),       k = 0 unless f has a kink

so that the remainder is O(s^2) for the right gradient and O(s) for a wrong one. Two steps give w
and k in the limit s -> 0. How far off w may be is bounded by what the next two steps make of it,
by k, and by the rounding of f over s. The least of these bounds counts, unless what a finer step
says contradicts it: f then varies within the steps. The rounding of f is measured: how much f
changes within a unit in the last place of x, but at least u |f|, and at least the least change it
shows at all, which is a large one if f computes in float32 whatever it is given.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial, keystr

from gdpure import gradients, guards
from gdpure.objectives import Objective
from gdpure.specs.checks import versions
from gdpure.specs.report import Counterexample, Report, Row, Verdict
from gdpure.specs.rounding import unit_roundoff
from gdpure.specs.subjects import name_of

FORM, AUTODIFF, TAYLOR = "gradient-form", "gradient-matches-autodiff", "taylor-remainder"

_U = unit_roundoff(jnp.float64)
_FEW = 6  # so many numbers are shown one by one


def check_gradient(
    f: Callable[[Any], Any], gradient: Callable[[Any], Any], at: Any, *, seed: int = 0
) -> Report:
    """Check a gradient, written by hand or not, against the function it claims to differentiate.

    Three theorems: the gradient has the form of the parameters; where JAX can trace f, it is the
    derivative of f, coordinate by coordinate; and the Taylor remainder
    ``f(x + s d) - f(x) - s <g, d>`` is O(s^2), whatever f is written in. What rounding explains is
    measured on f.

    Parameters
    ----------
    f
        ``f(params) -> ()``, a function of JAX or NumPy, or a `gdpure.Objective`.
    gradient
        ``gradient(params)``, of the form of `params`, or a pair (value, gradient); or a way to
        differentiate f, such as `gdpure.reverse`.
    at
        The point, any tree of floating-point arrays. Their dtype is the one that is checked.
    seed
        Of the directions, and of the errors by which rounding is measured.

    Returns
    -------
    Report
        True if nothing is violated and something was really tested. A theorem is inconclusive where
        rounding, or a kink of f, hides what it says.

    Raises
    ------
    TypeError, ValueError
        If f is not a real, scalar and finite function at the point, or the point is not made of
        finite floating-point numbers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> assert check_gradient(f, lambda x: x, jnp.array([1.0, 2.0]))
    >>> assert not check_gradient(f, lambda x: 2 * x, jnp.array([1.0, 2.0]))
    """
    guards.function("check_gradient", "f", f)
    guards.function("check_gradient", "gradient", gradient)
    form, x = _form_of(at)
    name = name_of(f)
    mode = any(gradient is known for known in gradients.MODES)
    with jax.default_matmul_precision("highest"), jax.enable_x64(form.double or _x64()):
        _scalar(f(form.built(x)))
        subject = Subject(f, gradient(f) if mode else gradient, form, seed, mode, *_traced(f, form))
        rows = _rows(subject, x)
    return Report(
        f"{name_of(gradient)} of {name}" if mode else name_of(gradient),
        f"the derivative of {name}",
        jax.default_backend(),
        versions(),
        seed,
        tuple(rows),
    )


def _x64():
    return jnp.result_type(float) == jnp.float64


@contextlib.contextmanager
def _wide():
    """Make JAX compute in float64, with whatever data in float32 a function brings along."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def _rows(subject, x):
    try:
        came = _returned(subject, x)
    except _Formless as found:
        verdict = Verdict.ERROR if found.raised else Verdict.VIOLATED
        first = _row(subject, FORM, verdict, str(found), instances=1, violated=1)
        reason = f"rests on {FORM}, which is {'not met' if found.raised else 'violated'}"
        blocked = [_row(subject, name, Verdict.BLOCKED, reason) for name in (AUTODIFF, TAYLOR)]
        return [first, *blocked]
    derivative, reason = _derivative(subject, x)
    remainder = _remainder(subject, x, came, derivative)
    numbers = [
        _autodiff_row(subject, x, came, derivative, reason, remainder),
        _taylor_row(subject, x, came, derivative, remainder),
    ]
    if any(row.verdict in (Verdict.HOLDS, Verdict.VIOLATED) for row in numbers):
        return [_row(subject, FORM, Verdict.HOLDS, instances=1, informative=1), *numbers]
    # Or else a report would be true of a gradient whose numbers were never tested.
    reason = "of the right form, but nothing shows whether its numbers are right"
    return [_row(subject, FORM, Verdict.VACUOUS, reason, instances=1), *numbers]


def _row(subject, theorem, verdict, reason="", **known):
    return Row(theorem, "gradient agreement", subject.form.dtype, verdict, reason, **known)


# -- the point -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """What the parameters look like, and how they become one vector of float64 and back."""

    structure: Any
    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    modules: tuple[Any, ...]  # numpy or jax.numpy, leaf by leaf

    @property
    def sizes(self):
        """How many numbers are in each leaf."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def dtype(self):
        """The dtype, or all of them."""
        return ", ".join(dict.fromkeys(dtype.name for dtype in self.dtypes))

    @property
    def unit(self):
        """The unit roundoff of the coarsest dtype."""
        return max(map(unit_roundoff, self.dtypes))

    @property
    def double(self):
        """Whether a dtype is float64."""
        return np.dtype(np.float64) in self.dtypes

    def parts(self, vector):
        """Return the numbers of each leaf, as an array of its shape."""
        cuts = np.cumsum(self.sizes)[:-1]
        lead = vector.shape[:-1]
        return [
            part.reshape(lead + shape)
            for part, shape in zip(np.split(vector, cuts, axis=-1), self.shapes, strict=True)
        ]

    def built(self, vector, dtype=None):
        """Return parameters of this form, fresh ones; in the dtype, if one is given."""
        leaves = [
            module.asarray(part.astype(dtype or own))
            for part, own, module in zip(self.parts(vector), self.dtypes, self.modules, strict=True)
        ]
        return jax.tree.unflatten(self.structure, leaves)

    def stacked(self, vectors):
        """Return parameters with a leading axis, in float64, for JAX."""
        return jax.tree.unflatten(self.structure, [jnp.asarray(p) for p in self.parts(vectors)])

    def label(self, name, j):
        """Return how one coordinate is called: ``gradient['w'][2]``."""
        for path, shape, size in zip(self.paths, self.shapes, self.sizes, strict=True):
            if j < size:
                index = ", ".join(map(str, np.unravel_index(j, shape)))
                return f"{name}{path}{f'[{index}]' if shape else ''}"
            j -= size
        raise IndexError(j)


def _flat(tree):
    leaves = [np.asarray(leaf).astype(np.float64).ravel() for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves)


def _form_of(at):
    at = guards.parameters("check_gradient", "at", at)
    found = jax.tree_util.tree_leaves_with_path(at)
    leaves = [leaf for _, leaf in found]
    form = Form(
        jax.tree.structure(at),
        tuple(keystr(path) for path, _ in found),
        tuple(np.shape(leaf) for leaf in leaves),
        tuple(np.dtype(leaf.dtype) for leaf in leaves),
        tuple(jnp if isinstance(leaf, jax.Array) else np for leaf in leaves),
    )
    x = _flat(at)
    for j in np.flatnonzero(~np.isfinite(x))[:1]:
        raise ValueError(f"check_gradient: {form.label('at', j)} must be finite, got {x[j]}")
    return form, x


def _scalar(value):
    """Return the value of f as a float; demand one real and finite number."""
    message = "check_gradient: f(at) must be one real number, shape (), got "
    if not guards.is_number(value):
        raise TypeError(message + guards.describe(value))
    if np.shape(value) != ():
        raise ValueError(message + guards.describe(value))
    if not isinstance(value, float) and not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise TypeError(message + guards.describe(value))
    if not np.isfinite(float(value)):
        raise ValueError(f"check_gradient: f(at) must be finite, got {float(value)}")
    return float(value)


# -- what is checked -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Subject:
    """A function and the gradient it is said to have.

    Attributes
    ----------
    f, gradient
        As they came; the gradient is a function of the parameters.
    form
        Of the parameters.
    seed
        Of all that is random.
    mode
        Whether the gradient was made from f by gdpure.
    traced
        f as something that JAX differentiates in float64, or None.
    reason
        Why it cannot, or "".
    """

    f: Callable
    gradient: Callable
    form: Form
    seed: int
    mode: bool
    traced: Any
    reason: str

    def random(self):
        """Return a generator, the same one every time."""
        return np.random.default_rng(self.seed)


def _traced(f, form):
    """Return f in float64 as JAX passes it to a compiled function; or None, and why not."""

    def wide(leaf):
        floating = guards.is_number(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jnp.asarray(leaf, jnp.float64) if floating else leaf

    with _wide():
        try:
            double = jax.tree.map(wide, _passed(f))
            hash(jax.tree.structure(double))
            out = jax.eval_shape(double, form.built(np.ones(sum(form.sizes)), np.float64))
        except jax.errors.TracerArrayConversionError:
            return None, "f computes in NumPy: JAX cannot trace it"
        except Exception as error:  # whatever a stranger's code makes of a tracer
            return None, f"JAX cannot trace f: {_first_line(error)}"
    if getattr(out, "dtype", None) != jnp.float64:
        return None, f"f gives {guards.describe(out)}, whatever it is given: JAX cannot refine it"
    return double, ""


def _passed(f):
    """Return f as an argument of a compiled function, which new data do not compile anew."""
    if isinstance(f, Objective):
        return Objective(f.value, f.data, axes=f.axes)  # nobody asks for its facts
    return Partial(f) if jax.tree_util.all_leaves([f]) else f


def _first_line(error):
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# -- what it returns -------------------------------------------------------------------------------


class _Formless(Exception):
    """A gradient that is none, in a sentence; or that raised."""

    def __init__(self, sentence, raised=False):
        super().__init__(sentence)
        self.raised = raised


class Came(NamedTuple):
    """What came from the gradient: in float64 the value, or None, and the gradient, (d,)."""

    value: float | None
    gradient: np.ndarray


def _returned(subject, x) -> Came:
    """Call the gradient twice; demand the form of the parameters, and the same bits."""
    form = subject.form
    first = _called(subject, x)
    again = _called(subject, x)
    for j in np.flatnonzero(~np.isfinite(first.gradient))[:1]:
        where = form.label("gradient", j)
        raise _Formless(f"{where} must be finite where f is, got {first.gradient[j]}")
    for j in np.flatnonzero(first.gradient != again.gradient)[:1]:
        raise _Formless(
            f"{form.label('gradient', j)} must be the same when it is asked for twice, got "
            f"{first.gradient[j]:.9g}, then {again.gradient[j]:.9g}"
        )
    if first.value != again.value:
        raise _Formless(
            "the value that comes with the gradient must be the same when it is asked for twice, "
            f"got {first.value:.9g}, then {again.value:.9g}"
        )
    return first


def _called(subject, x):
    form, given = subject.form, subject.form.built(x)
    try:
        out = subject.gradient(given)
    except Exception as error:  # whatever a stranger's code may raise
        raise _Formless(f"the gradient raised {_first_line(error)}", raised=True) from error
    value = None
    if jax.tree.structure(out) != form.structure and isinstance(out, tuple) and len(out) == 2:
        try:
            value = _scalar(out[0])
        except (TypeError, ValueError) as error:
            sentence = str(error).replace("check_gradient: f(at)", "the value of (value, gradient)")
            raise _Formless(sentence) from None
        out = out[1]
    _demand_form(form, out)
    if np.any(_flat(given) != x):
        j = np.flatnonzero(_flat(given) != x)[0]
        raise _Formless(
            f"the gradient must not change its argument: {form.label('at', j)} was {x[j]:.9g}, and "
            f"is {_flat(given)[j]:.9g} afterwards"
        )
    return Came(value, _flat(out))


def _demand_form(form, out):
    if jax.tree.structure(out) != form.structure:
        raise _Formless(
            f"the gradient must have the structure of the parameters, {form.structure}, got "
            f"{guards.describe(out)}, {jax.tree.structure(out)}"
        )
    leaves = jax.tree.leaves(out)
    for path, shape, dtype, leaf in zip(form.paths, form.shapes, form.dtypes, leaves, strict=True):
        if np.shape(leaf) != shape:
            raise _Formless(f"gradient{path} must have shape {shape}, got {guards.describe(leaf)}")
        if getattr(leaf, "dtype", None) != dtype:
            raise _Formless(
                f"gradient{path} must be {dtype.name} like the parameters, got "
                f"{guards.describe(leaf)}"
            )


# -- the derivative in float64, and what rounding makes of it --------------------------------------

_DRAWS, _LEAST, _TRIALS = 64, 48, 16
_LEVEL = 2.0**-43  # well above the rounding of float64, and small enough to be linear
_FLUSH = (2.0**-126, 2.0**-252)  # what is smaller may be flushed to zero


class Derivative(NamedTuple):
    """Value and gradient of f as float64 has them, the value first, shape (1 + d,) each.

    Attributes
    ----------
    exact
        In float64.
    rounding
        How far any evaluation in the dtype may be off.
    jump
        By how much more they change within rounding, where f has a kink.
    """

    exact: np.ndarray
    rounding: np.ndarray
    jump: np.ndarray


class _Narrow(Exception):
    """A function that computes in less than float64, whatever it is given."""


def _derivative(subject, x) -> tuple[Derivative | None, str]:
    """Return the derivative of f by autodiff, or None and why there is none."""
    form = subject.form
    if subject.traced is None:
        return None, subject.reason
    draws = 1 + _DRAWS + 2 * _TRIALS
    salts = subject.random().integers(0, 2**32, draws, dtype=np.uint32)
    heavy = np.arange(draws) <= _DRAWS
    level = np.where(heavy, _LEVEL, form.unit)
    level[0] = 0.0
    flush = np.where(heavy, 0.0, np.repeat(_FLUSH, [draws - _TRIALS, _TRIALS]))
    try:
        with _wide():
            errors = _Errors(*map(jnp.asarray, (salts, level, flush, heavy)))
            out = _with_errors(subject.traced, form.built(x, np.float64), errors)
            found = np.concatenate(
                [np.reshape(leaf, (draws, -1)) for leaf in jax.tree.leaves(out)], 1
            )
            found = np.asarray(found, np.float64)
    except _Narrow as error:
        return None, str(error)
    except Exception as error:  # whatever a stranger's code may raise when it is differentiated
        return None, f"JAX cannot differentiate f: {_first_line(error)}"
    exact = found[0]
    with np.errstate(invalid="ignore"):
        off = abs(found[1:] - exact)
    off = np.where(np.isnan(off), np.inf, off)
    # Both evaluations that are compared are rounded, one in the dtype, one in float64.
    unit = form.unit + _U
    worst = np.sort(off[:_DRAWS], axis=0)[_LEAST - 1] * (unit / _LEVEL)
    small, tiny = off[_DRAWS : _DRAWS + _TRIALS], off[_DRAWS + _TRIALS :]
    # What only flushing to zero moves is no kink: it moves less if less is flushed.
    jump = np.minimum(small.max(axis=0), tiny.max(axis=0))
    jump = np.where(jump > 2 * worst + _FLUSH[0], jump, 0.0)
    rounding = np.maximum(worst, _own_error(subject, x, exact)) + unit * abs(exact)
    return Derivative(exact, rounding, jump), ""


def _own_error(subject, x, exact):
    """Return how far the derivative of f is off if it is evaluated in the dtype itself."""
    form = subject.form
    if set(form.dtypes) == {np.dtype(np.float64)}:
        return 0.0
    try:
        value, gradient = _differentiated(_passed(subject.f), form.built(x))
        off = abs(np.append(float(value), _flat(gradient)) - exact)
    except Exception:  # it may demand what the point is not: float64 is what counts
        return 0.0
    return np.where(np.isfinite(off), off, 0.0)


@jax.jit
def _differentiated(f, x):
    return jax.value_and_grad(f)(x)


class _Errors(NamedTuple):
    """Errors to be put into a computation, drawn from a Cauchy or a uniform distribution."""

    salt: Any
    level: Any
    flush: Any
    heavy: Any

    def into(self, x, size, k):
        """Return x with an error of the order of `level` times the size, and of `flush`."""
        uniform = _uniform(self.salt ^ jnp.uint32(2654435761 * (k + 1) % 2**32), x.shape)
        drawn = jnp.where(self.heavy, jnp.tan(math.pi * uniform), 2 * uniform)
        return x + drawn * (self.level * size + self.flush)

    def below(self, k):
        """Return other errors of the same kind, for the inside of an operation."""
        return self._replace(salt=_mixed(self.salt + jnp.asarray(2 * k + 1).astype(jnp.uint32)))


def _mixed(bits):
    """Return other bits, by the finalizer of MurmurHash3: `jax.random` takes long to compile."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def _uniform(salt, shape):
    """Return numbers in (-1/2, 1/2)."""
    count = jax.lax.iota(jnp.uint32, math.prod(shape)) * jnp.uint32(0x9E3779B1)
    bits = _mixed(_mixed(count + salt) ^ salt)
    return ((bits.astype(jnp.float64) + 0.5) * 2.0**-32 - 0.5).reshape(shape)


@jax.jit
def _with_errors(f, x, errors):
    """Return value and gradient of f, once for every row of the errors."""
    closed, form = jax.make_jaxpr(jax.value_and_grad(f), return_shape=True)(x)
    leaves = jax.tree.leaves(x)

    def once(errors):
        given = [errors.into(leaf, abs(leaf), k) for k, leaf in enumerate(leaves)]
        return _run(closed, given, errors.below(0))

    return jax.tree.unflatten(jax.tree.structure(form), jax.lax.map(once, errors))


def _run(closed, args, errors):
    """Evaluate a jaxpr, with an error in the result of every operation that rounds."""
    jaxpr = closed.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args], strict=True))

    def read(atom):
        return atom.val if isinstance(atom, jex.Literal) else known[atom]

    for k, eqn in enumerate(jaxpr.eqns):
        given = [read(atom) for atom in eqn.invars]
        known.update(zip(eqn.outvars, _operation(eqn, given, errors, k), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"} | {
    "checkpoint",
    "remat",
    "remat2",
    "custom_vjp_call_jaxpr",
}
_EXACT = {
    *("neg", "abs", "sign", "max", "min", "clamp", "reduce_max", "reduce_min", "cummax", "cummin"),
    *("select_n", "gather", "dynamic_slice", "dynamic_update_slice", "slice", "concatenate", "pad"),
    *("reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims", "rev", "copy", "sort"),
    *("floor", "ceil", "round", "copy_p", "optimization_barrier", "convert_element_type", "split"),
    *("iota", "empty", "empty2", "zeros_like", "stop_gradient", "device_put", "top_k", "scatter"),
}
_ROUNDED_ONCE = {"add", "add_any", "sub", "mul", "div", "sqrt", "square", "convert_element_type"}
# NumPy and XLA give the other functions to 4 units in the last place (NumPy's notes on 1.17).
_FUNCTION = 8


def _operation(eqn, given, errors, k):
    """Return the results of one operation, with their errors."""
    name, params = eqn.primitive.name, eqn.params
    inside = errors.below(k)
    if name in _CALLS:
        return _run(_inner(params), given, inside)
    if name == "scan":
        return _scan(params, given, inside)
    if name == "while":
        return _while(params, given, inside)
    if name == "cond":
        branches = [functools.partial(_branch, branch, inside) for branch in params["branches"]]
        return jax.lax.switch(given[0], branches, *given[1:])
    bind = functools.partial(_bind, eqn)
    out = bind(*given)
    entered = [x.dtype for x in given if jnp.issubdtype(jnp.result_type(x), jnp.floating)]
    for result in out:
        if not jnp.issubdtype(result.dtype, jnp.floating):
            continue
        if result.dtype != jnp.float64 and jnp.dtype(jnp.float64) in entered:
            raise _Narrow(
                f"f computes in {result.dtype}, whatever it is given: there is no derivative in "
                "float64 to compare with"
            )
    terms = _terms(eqn)
    if terms > 1:
        sizes = bind(*(abs(x) if jnp.issubdtype(x.dtype, jnp.floating) else x for x in given))
        scales = [terms * size for size in sizes]
    elif name in _EXACT and (name != "convert_element_type" or entered[:1] == [jnp.float64]):
        return out
    else:
        products = abs(params["y"]) if name == "integer_pow" else _FUNCTION
        weight = 1 if name in _ROUNDED_ONCE else products
        scales = [weight * abs(x) for x in out]
    return [
        errors.into(x, scale, k) if x.dtype == jnp.float64 else x
        for x, scale in zip(out, scales, strict=True)
    ]


def _bind(eqn, *given):
    out = eqn.primitive.bind(*given, **eqn.primitive.get_bind_params(eqn.params))
    return out if eqn.primitive.multiple_results else [out]


def _terms(eqn):
    """Return how many terms an operation adds up for one number of its result."""
    name, params = eqn.primitive.name, eqn.params
    shapes = [atom.aval.shape for atom in eqn.invars]
    if name == "dot_general":
        (left, _), _ = params["dimension_numbers"]
        return math.prod(shapes[0][axis] for axis in left)
    if name in ("reduce_sum", "reduce_prod"):
        return math.prod(shapes[0][axis] for axis in params["axes"])
    if name in ("cumsum", "cumprod", "cumlogsumexp"):
        return shapes[0][params["axis"]]
    if name == "reduce_window_sum":
        return math.prod(params["window_dimensions"])
    if name == "conv_general_dilated":
        return math.prod(shapes[1]) // shapes[1][params["dimension_numbers"].rhs_spec[0]]
    if name in ("scatter-add", "scatter_add"):
        return math.prod(shapes[2])
    return 1


def _inner(params):
    found = next(params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params)
    return found if isinstance(found, jex.ClosedJaxpr) else jex.ClosedJaxpr(found, ())


def _branch(closed, errors, *args):
    return _run(closed, args, errors)


def _scan(params, given, errors):
    fixed, carried = params["num_consts"], params["num_carry"]
    constants, carry, rows = (
        given[:fixed],
        given[fixed : fixed + carried],
        given[fixed + carried :],
    )

    def body(carry, row):
        k, row = row
        out = _run(params["jaxpr"], [*constants, *carry, *row], errors.below(k))
        return out[:carried], out[carried:]

    steps = jnp.arange(params["length"], dtype=jnp.uint32)
    carry, out = jax.lax.scan(
        body, carry, (steps, rows), length=params["length"], reverse=params["reverse"]
    )
    return [*carry, *out]


def _while(params, given, errors):
    ahead, inside = params["cond_nconsts"], params["body_nconsts"]
    asked, constants, carry = given[:ahead], given[ahead : ahead + inside], given[ahead + inside :]

    def goes_on(state):
        return _run(params["cond_jaxpr"], [*asked, *state[1]], errors.below(state[0]))[0]

    def body(state):
        k, carry = state
        return k + 1, _run(params["body_jaxpr"], [*constants, *carry], errors.below(k))

    return jax.lax.while_loop(goes_on, body, (jnp.uint32(0), carry))[1]


# -- the remainder ---------------------------------------------------------------------------------

_RANDOM = 8  # random directions
_EVERY, _AT_MOST = 64, 1024  # so many coordinates are tried at every step, and at a few steps
_STEPS = 4.0 ** -np.arange(26)


class Slope(NamedTuple):
    """What f says of ``<g, d>`` along one direction, or of the value that came with g.

    Attributes
    ----------
    coordinate
        j if d is along a coordinate, None if it is not, -1 for the value.
    length
        Of d, if it is along a coordinate.
    returned, slope
        ``<g, d>``, and what f says it is.
    bound, rounding
        How far the slope may be off, and how far ``<g, d>``.
    why
        Why f does not tell, or "".
    steps, remainders
        Three steps, and ``R(s) / 2s`` for them.
    """

    coordinate: int | None
    length: float
    returned: float
    slope: float
    bound: float
    rounding: float
    why: str = ""
    steps: Any = ()
    remainders: Any = ()

    @property
    def excess(self):
        """How far apart the two are, in units of what is explained."""
        explained, off = self.bound + self.rounding, abs(self.returned - self.slope)
        return off / explained if explained else math.inf if off else 0.0

    @property
    def wrong(self):
        """Whether nothing explains how far apart they are."""
        return not self.why and self.excess > 1


def _remainder(subject, x, came, derivative) -> list[Slope]:
    """Return what f says of the gradient, along coordinates and random directions."""
    d, random = len(x), subject.random()
    if derivative is None:
        rounding = _own_rounding(subject, x, came)
    else:
        rounding = (derivative.rounding + derivative.jump)[1:]
        rounding = np.where(np.isnan(rounding), np.inf, rounding)
    sizes = _natural(subject.form, x)
    signs = random.choice([-1.0, -0.5, 0.5, 1.0], (_RANDOM if d > 1 else 0, d)) * sizes
    ask = _Asked(subject, x, came.gradient, rounding)
    if d <= _EVERY:
        each = np.eye(d) * sizes
        slopes = ask.slopes(np.concatenate([each, signs]), [*range(d), *[None] * len(signs)])
    else:
        slopes = ask.slopes(signs, [None] * len(signs))
        best = [slope.steps[1] for slope in slopes if not slope.why]
        if best and d <= _AT_MOST and derivative is None:
            steps = np.median(best) * 4.0 ** np.arange(2, -3, -1)
            slopes += ask.slopes(np.eye(d) * sizes, range(d), steps)
    if came.value is not None and derivative is None:
        slopes.append(_value(subject, x, came))
    return slopes


def _natural(form, x):
    """Return powers of two of the size of each coordinate, or of its array, or 1."""
    parts = [np.where(part == 0, abs(part).max(), abs(part)).ravel() for part in form.parts(x)]
    sizes = np.concatenate(parts)
    return 2.0 ** np.floor(np.log2(np.where(sizes == 0, 1.0, sizes)))


def _nearby(subject, x, dtype):
    """Return points within a unit in the last place of the dtype, (8, d)."""
    unit = _U if dtype is np.float64 else subject.form.unit
    signs = np.random.default_rng(subject.seed + 1).choice([-1.0, 1.0], (_RANDOM, len(x)))
    return x + signs * (2 * unit) * abs(x)


def _own_rounding(subject, x, came):
    """Return how much rounding shows in a gradient of which nothing else is known.

    What a unit in the last place of the point changes in it, and how far it is from what the same
    function returns in float64.
    """
    form, found = subject.form, []
    for dtype, points in ((None, _nearby(subject, x, None)), (np.float64, [x])):
        with _wide() if dtype else contextlib.nullcontext():
            for point in points:
                with contextlib.suppress(Exception):  # a stranger's code; it does what it can
                    out = subject.gradient(form.built(point, dtype))
                    out = _flat(out[1] if came.value is not None else out)
                    found.append(abs(out - came.gradient))
    worst = np.max([value for value in found if np.isfinite(value).all()] or [0 * x], axis=0)
    return worst + form.unit * abs(came.gradient)


def _value(subject, x, came):
    """Return what f says of the value that came with the gradient: the remainder for s = 0."""
    form, f = subject.form, subject.f
    value, found = float(f(form.built(x))), []
    for dtype, points in ((None, _nearby(subject, x, None)), (np.float64, [x])):
        for point in points:
            with contextlib.suppress(Exception):
                found.append(abs(float(f(form.built(point, dtype))) - value))
    rounding = max(filter(math.isfinite, found), default=0.0) + 2 * form.unit * abs(value)
    return Slope(-1, 1.0, came.value, value, 0.0, rounding)


class _Asked:
    """A function that is asked for its slopes; what it says first tells how far to trust it."""

    def __init__(self, subject, x, gradient, rounding):
        self.gradient, self.rounding = gradient, rounding
        self.along, unit = _sampler(subject, x, gradient)
        [[self.here]], _ = self.along(np.zeros((1, len(x))), np.zeros(1))
        near = _nearby(subject, x, None if unit > _U else np.float64) - x
        moved, _ = self.along(near, np.ones(1))
        varied = np.nanmax(abs(moved - self.here), initial=0.0)
        self.noise, self.known = max(unit * abs(self.here), varied), False
        self.coarsest = subject.form.unit * abs(self.here)

    def slopes(self, directions, coordinates, steps=_STEPS):
        """Return what f says of ``<g, d>`` for each of the directions, shape (q, d)."""
        values, predicted = self.along(directions, np.concatenate([steps, -steps]))
        if not self.known:
            changes = abs(values - self.here)
            seen = changes[(changes > 0) & np.isfinite(changes)]
            # What f shows no finer change than, it is not known any finer than.
            self.noise = max(self.noise, seen.min() if seen.size else self.coarsest)
            self.known = True
        above, below = np.split(values - self.here, 2, axis=1)
        ahead, behind = np.split(predicted, 2, axis=1)
        odd = ((above - below) - (ahead - behind)) / (2 * steps)
        even = ((above + below) - (ahead + behind)) / (2 * steps)
        change = np.fmax(abs(above), abs(below))
        found = []
        for k, (j, direction) in enumerate(zip(coordinates, directions, strict=True)):
            returned = float(self.gradient @ direction)
            apart = direction != 0  # what is not known elsewhere does not matter
            explained = float(self.rounding[apart] @ abs(direction[apart]))
            size = float(abs(self.gradient) @ abs(direction))
            rows = odd[k], even[k], change[k]
            error, bound, why, *evidence = _limit(steps, *rows, self.noise, explained, size)
            length = 1.0 if j is None else float(direction[j])
            slope = returned + error
            found.append(Slope(j, length, returned, slope, bound, explained, why, *evidence))
        return found


def _limit(steps, odd, even, change, noise, explained, size):
    """Return w in the limit s -> 0, a bound of its error, why it is none, and three remainders."""
    usable = np.isfinite(odd) & np.isfinite(even)
    moved = np.flatnonzero(usable & (change > 0))
    if moved.size:
        usable[moved[-1] + 1 :] = False  # f does not see so small a step
    k = np.array([k for k in range(2, len(odd)) if usable[k - 2 : k + 1].all()], int)
    if not k.size:
        return 0.0, math.inf, "f has values for less than three steps of use", (), ()
    slopes = odd[1:] + np.diff(odd) / 15  # O(s^4)
    kinks = (4 * even[1:] - even[:-1]) / 3  # O(s^3)
    error, kink = slopes[k - 1], abs(kinks[k - 1])
    spread = abs(slopes[k - 1] - slopes[k - 2]) + kink + abs(kinks[k - 2])
    bound = spread + 2 * noise / steps[k]
    best, contradicted = int(np.argmin(bound)), False
    while True:
        apart = abs(error - error[best]) > bound + bound[best]
        finer = np.flatnonzero(apart & (np.arange(len(k)) > best))
        if not finer.size:
            break
        contradicted, best = True, int(finer[-1] + np.argmin(bound[finer[-1] :]))
    off, allowed, place = float(error[best]), float(bound[best]), k[best]
    first = int(np.flatnonzero(usable)[0])
    scale = max(size, abs(off), change[first] / steps[first])
    accused = abs(off) > allowed + explained
    why = ""
    if contradicted and accused:
        why = "f varies on the scale of the steps, and does not tell"
    elif 0 < change[usable].max() <= 2 * noise:
        why = "what f changes is no more than its rounding"
    elif not accused and allowed + explained > scale / 2:
        why = "rounding of f hides its slope"
        if kink[best] > max(noise / steps[place], allowed / 8):
            why = "f has a kink at the point"
        elif not change[usable].any():
            why = "f does not change at all"
    shown = slice(place - 2, place + 1)
    return off, allowed, why, steps[shown], odd[shown]


def _sampler(subject, x, gradient):
    """Return f along directions, and the unit roundoff in which it is evaluated.

    ``along(directions (q, d), steps (m,))`` returns two arrays (q, m), f and ``<g, y - x>`` at the
    points y; f is NaN where it has no value.
    """
    form, f = subject.form, subject.f
    if subject.traced is not None:

        def compiled(directions, steps):
            with _wide():
                start, trees = form.built(x, np.float64), form.stacked(directions)
                values = _along(subject.traced, start, trees, jnp.asarray(steps))
            return np.asarray(values, np.float64), np.outer(directions @ gradient, steps)

        return compiled, _U

    dtype = np.float64
    try:
        with _wide(), np.errstate(all="ignore"):
            float(f(form.built(x, dtype)))
    except Exception:  # it may demand the dtype of the parameters
        dtype = None

    def one_by_one(directions, steps):
        values = np.full((len(directions), len(steps)), np.nan)
        predicted = np.zeros_like(values)
        # Far from the point anything may overflow.
        with np.errstate(all="ignore"), warnings.catch_warnings(), _wide():
            warnings.simplefilter("ignore")
            for k, direction in enumerate(directions):
                for m, step in enumerate(steps):
                    point = form.built(x + step * direction, dtype)
                    predicted[k, m] = gradient @ (_flat(point) - x)
                    with contextlib.suppress(ArithmeticError, ValueError, np.linalg.LinAlgError):
                        values[k, m] = float(f(point))
        return values, predicted

    return one_by_one, _U if dtype is np.float64 else form.unit


@jax.jit
def _along(f, x, directions, steps):
    count = jax.tree.leaves(directions)[0].shape[0]

    def at(k):
        row, step = k // len(steps), steps[k % len(steps)]
        return f(jax.tree.map(lambda leaf, moves: leaf + step * moves[row], x, directions))

    return jax.lax.map(at, jnp.arange(count * len(steps))).reshape(count, len(steps))


# -- rows ------------------------------------------------------------------------------------------


class Finding(NamedTuple):
    """Coordinates that were compared, each name beside its numbers; the value is called "value"."""

    x: np.ndarray
    labels: list[str]
    returned: np.ndarray
    truth: np.ndarray
    allowed: np.ndarray

    @property
    def wrong(self):
        """Which of them are wrong; a truth that is not known accuses nobody."""
        return abs(self.returned - self.truth) > self.allowed


def _compared(subject, x, came, derivative) -> Finding:
    """Return what came beside the derivative of f."""
    d, least = len(x), max(float(jnp.finfo(dtype).tiny) for dtype in subject.form.dtypes)
    labels = [subject.form.label("gradient", j) for j in range(d)]
    allowed = derivative.rounding + derivative.jump + least
    value = 0.0 if came.value is None else came.value
    whole = Finding(
        x, ["value", *labels], np.append(value, came.gradient), derivative.exact, allowed
    )
    return whole if came.value is not None else _part(whole, slice(1, None))


def _part(found, which):
    return Finding(
        found.x,
        found.labels[which],
        found.returned[which],
        found.truth[which],
        found.allowed[which],
    )


def _autodiff_row(subject, x, came, derivative, reason, remainder):
    if derivative is None:
        return _row(subject, AUTODIFF, Verdict.NOT_APPLICABLE, reason)
    found = _compared(subject, x, came, derivative)
    first = 1 - (came.value is not None)
    jump, rounding = derivative.jump[first:], derivative.rounding[first:]
    clear = rounding + jump <= abs(found.truth) / 2
    known = {
        "instances": len(found.truth),
        "informative": int(clear.sum()),
        "violated": int(found.wrong.sum()),
        "excess": float(np.nanmax(abs(found.returned - found.truth) / found.allowed, initial=0.0)),
    }
    if found.wrong.any():
        case = _counterexample(subject, AUTODIFF, found, remainder, _again_autodiff)
        return _row(subject, AUTODIFF, Verdict.VIOLATED, counterexample=case, **known)
    if clear.any():
        return _row(subject, AUTODIFF, Verdict.HOLDS, **known)
    why = "rounding explains as much as the gradient is: f is stationary here, or cancels"
    for j in np.flatnonzero(jump)[:1]:
        changed = f"{found.labels[j]} changes by {jump[j]:.2g} within rounding of the point"
        why = f"{changed}: f has a kink here, or is stationary"
    for j in np.flatnonzero(~np.isfinite(found.truth))[:1]:
        why = f"JAX differentiates f to {found.truth[j]} for {found.labels[j]}"
    return _row(subject, AUTODIFF, Verdict.INCONCLUSIVE, why, **known)


def _taylor_row(subject, x, came, derivative, slopes):
    told = [slope for slope in slopes if not slope.why]
    known = {
        "instances": len(slopes),
        "informative": len(told),
        "violated": sum(slope.wrong for slope in slopes),
        "excess": max((slope.excess for slope in told), default=0.0),
    }
    if known["violated"]:
        found = _told(subject, x, came, derivative, slopes)
        case = _counterexample(subject, TAYLOR, found, slopes, _again_taylor)
        return _row(subject, TAYLOR, Verdict.VIOLATED, counterexample=case, **known)
    if told:
        return _row(subject, TAYLOR, Verdict.HOLDS, **known)
    reasons = list(dict.fromkeys(slope.why for slope in slopes))
    return _row(subject, TAYLOR, Verdict.INCONCLUSIVE, "; ".join(reasons), **known)


def _told(subject, x, came, derivative, slopes) -> Finding:
    """Return what came beside the slopes of f along coordinates."""
    each = [slope for slope in slopes if slope.coordinate is not None]
    if not any(slope.wrong for slope in each) and derivative is not None:
        # Too many coordinates to look at one by one: autodiff knows which.
        return _compared(subject, x, came, derivative)
    labels = [
        "value" if s.coordinate < 0 else subject.form.label("gradient", s.coordinate) for s in each
    ]
    each = each or [slope for slope in slopes if slope.wrong][:1]
    labels = labels or ["<gradient, d>"]
    allowed = [math.inf if s.why else (s.bound + s.rounding) / abs(s.length) for s in each]
    return Finding(
        x,
        labels,
        np.array([slope.returned / slope.length for slope in each]),
        np.array([slope.slope / slope.length for slope in each]),
        np.array(allowed),
    )


def _again_autodiff(subject, x):
    """Return the comparison at another point, and what f says there; or None."""
    came = _returned(subject, x)
    derivative, _ = _derivative(subject, x)
    if derivative is None:
        return None
    return _compared(subject, x, came, derivative), _remainder(subject, x, came, derivative)


def _again_taylor(subject, x):
    """Return what f says of the gradient at another point, in short and in full."""
    came = _returned(subject, x)
    derivative, _ = _derivative(subject, x)
    slopes = _remainder(subject, x, came, derivative)
    return _told(subject, x, came, derivative, slopes), slopes


# -- in words --------------------------------------------------------------------------------------

_SAYS = {
    AUTODIFF: (
        "gradient(x)[i] = d f(x) / d x[i]\tby autodiff in float64",
        "JAX can trace f\tthe allowance is measured on f",
    ),
    TAYLOR: (
        "f(x + s d) - f(x) - s <g, d> = O(s^2)\tTaylor's theorem",
        "f differentiable at x\tthe floor is measured on f",
    ),
}


def _counterexample(subject, theorem, found, slopes, again) -> Counterexample:
    """Return a violation in words, at the simplest point that shows it in the same way."""
    cause = likely_cause(subject, found, slopes if theorem == AUTODIFF else [])
    for x in _simpler(subject.form, found.x):
        try:
            other = again(subject, x)
        except Exception:  # the form is violated there, or a stranger's code raises
            continue
        if other is None:
            continue
        same = likely_cause(subject, other[0], other[1] if theorem == AUTODIFF else [])
        if other[0].wrong.any() and same.kind == cause.kind:
            found, slopes, cause = *other, same
            break
    worst = int(np.nanargmax(np.where(found.wrong, _excess(found), -1)))
    label, off = found.labels[worst], abs(found.returned - found.truth)[worst]
    must, returned = _sides(subject, found, worst)
    explained = float(found.allowed[worst])
    says, assumes = _SAYS[theorem]
    lines = [
        ("theorem", says),
        ("assumes", assumes),
        ("smallest", f"x = {_point_text(subject.form, found.x)}"),
        (
            label if len(found.truth) > _FEW else "gradient",
            f"must be    {must}\nreturned   {returned}\noff by     {off:.3g} in {label}; rounding "
            f"explains at most {explained:.2g}",
        ),
    ]
    if theorem == TAYLOR:
        lines += _remainder_lines(found, slopes, worst)
    return Counterexample(
        tuple(lines),
        f"x = {_point_text(subject.form, found.x)}",
        must,
        returned,
        float(off),
        explained,
        cause.text,
        _reproduction(subject, found, worst),
    )


def _excess(found):
    return abs(found.returned - found.truth) / np.where(found.allowed > 0, found.allowed, 1e-300)


def _simpler(form, x):
    """Return points that read more easily, the simplest first."""
    d = len(x)
    if d > _EVERY:
        return []
    unit = np.eye(1, d)[0]
    points = [np.zeros(d), unit, np.ones(d), 0.5 * np.ones(d), np.arange(1.0, d + 1)]
    points += [(-1.0) ** np.arange(d), (-0.5) ** np.arange(d)]
    return points[: next((k for k, y in enumerate(points) if (y == x).all()), None)]


def _remainder_lines(found, slopes, worst):
    names = [slope for slope in slopes if slope.coordinate is not None]
    slope = names[worst] if len(names) == len(found.truth) else None
    wrong = [s for s in slopes if s.wrong and len(s.remainders)]
    slope = slope if slope is not None and slope.wrong else next(iter(wrong), None)
    if slope is None or not len(slope.remainders):
        return []
    along = "coordinate" if slope.coordinate is not None else "random direction"
    steps = ", ".join(_power(step * slope.length) for step in slope.steps)
    parts = ", ".join(f"{part / slope.length:.6g}" for part in slope.remainders)
    text = f"(f(x + s d) - f(x - s d)) / 2s - <g, d> = {parts}\nat s = {steps} along "
    where = found.labels[worst] if along == "coordinate" else "a random direction"
    return [("remainder", f"{text}{where.replace('gradient', 'x')}: must fall like s^2")]


def _power(step):
    exponent = math.log2(step)
    if exponent == int(exponent) and not -4 <= exponent <= 10:
        return f"2^{int(exponent)}"
    return f"{step:g}"


# -- numbers ---------------------------------------------------------------------------------------


def _shown(x, error):
    """Return a number with the digits that are known of it."""
    if abs(x) <= error:
        return "0"
    digits = 9 if not error else math.floor(math.log10(abs(x) / error)) + 1
    return f"{x:.{min(max(digits, 1), 9)}g}"


def _sides(subject, found, worst):
    """Return both sides: all coordinates if they are few, else the worst."""
    which = range(len(found.truth)) if len(found.truth) <= _FEW else [worst]
    errors = np.where(np.isfinite(found.allowed), found.allowed, 0.0)
    must = [_shown(found.truth[j], errors[j]) for j in which]
    returned = [f"{found.returned[j]:.9g}" for j in which]
    if len(found.truth) == 1 or len(found.truth) > _FEW:
        return must[0], returned[0]
    return f"({', '.join(must)})", f"({', '.join(returned)})"


def _numbers(part):
    texts = [f"{x:.9g}" for x in part.ravel()]
    if part.shape == ():
        return texts[0]
    if part.size > _FEW:
        return f"({', '.join(texts[:3])}, ..., {texts[-1]}), {part.size} numbers"
    inside = ", ".join(texts)
    if part.ndim > 1:
        rows = [", ".join(f"{x:.9g}" for x in row) for row in part.reshape(len(part), -1)]
        inside = "; ".join(rows)
    return f"({inside})"


def _point_text(form, x):
    parts = form.parts(x)
    if len(parts) == 1 and not form.paths[0]:
        return _numbers(parts[0])
    named = zip(form.paths, parts, strict=True)
    return ", ".join(f"x{path}: {_numbers(part)}" for path, part in named).removeprefix("x")


# -- a reproduction --------------------------------------------------------------------------------


class _Source:
    """Text that shows itself as it is: a tree of them shows itself as Python."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def _source(form, x, dtype=None):
    """Return the Python that makes parameters."""
    leaves = []
    for part, own, module in zip(form.parts(x), form.dtypes, form.modules, strict=True):
        name = "jnp" if module is jnp or own == jnp.bfloat16 else "np"
        numbers = str(part.astype(own).astype(np.float64).tolist())
        leaves.append(_Source(f'{name}.array({numbers}, "{own.name}")'))
    return repr(jax.tree.unflatten(form.structure, leaves))


def _reproduction(subject, found, worst):
    """Return Python that shows the violation: it leaves what came in `returned`."""
    form, x = subject.form, found.x
    source = _source(form, x)
    lines = ["import numpy as np"]
    lines += ["import jax.numpy as jnp"] if "jnp." in source else []
    if form.double and "jnp." in source:
        lines = ["import jax", 'jax.config.update("jax_enable_x64", True)', *lines]
    names = {}
    for role, target in (("f", subject.f), ("gradient", subject.gradient)):
        named = name_of(target)
        module, _, attribute = named.partition(":")
        if _importable(target, module, attribute):
            names[role] = attribute
            lines.append(f"from {module} import {attribute.split('.')[0]}")
        else:
            names[role] = role
            lines.append(f"# {role}: {named} has no name to import it by; put it here")
    lines += [f"x = {source}", f"returned = {names['gradient']}(x)"]
    pair = jax.tree.structure(subject.gradient(form.built(x))) != form.structure
    returned = "returned[1]" if pair else "returned"
    if found.labels[worst] == "value":
        return "\n".join([*lines, f"print(returned[0], 'must be', {names['f']}(x))"])
    wanted = _shown(found.truth[worst], found.allowed[worst])
    accessor = returned + found.labels[worst].removeprefix("gradient")
    j = next((j for j in range(len(x)) if form.label("gradient", j) == found.labels[worst]), None)
    if j is None:
        return "\n".join([*lines, f"print({returned})"])
    lines.append(f"print({accessor}, 'must be', {wanted})")
    step = _plain_step(subject, x, j, found.truth[worst], abs(found.returned - found.truth)[worst])
    if step:
        above, below = (x + sign * step * np.eye(1, len(x), j)[0] for sign in (1, -1))
        lines += [
            f"above = {_source(form, above)}",
            f"below = {_source(form, below)}",
            f"print('f rises by', ({names['f']}(above) - {names['f']}(below)) / {2 * step!r})",
        ]
    return "\n".join(lines)


def _plain_step(subject, x, j, slope, off):
    """Return a step at which a plain difference quotient shows which side is right, or None."""
    form = subject.form
    for step in 2.0 ** -np.arange(12):
        move = step * np.eye(1, len(x), j)[0]
        with np.errstate(all="ignore"), contextlib.suppress(Exception):
            above, below = (float(subject.f(form.built(x + sign * move))) for sign in (1, -1))
            if abs((above - below) / (2 * step) - slope) <= off / 4:
                return float(step)
    return None


def _importable(target, module, attribute):
    """Whether ``from module import attribute`` gives it."""
    if not attribute or module == "__main__" or module not in sys.modules:
        return False
    found = functools.reduce(
        lambda place, name: getattr(place, name, None), attribute.split("."), sys.modules[module]
    )
    return found is target


# -- the likeliest cause ---------------------------------------------------------------------------


class Cause(NamedTuple):
    """The pattern of what is wrong, and a sentence with its evidence."""

    kind: str
    text: str


def likely_cause(subject: Subject, found: Finding, slopes: list[Slope]) -> Cause:
    """Return what is wrong with a gradient, as far as the numbers show it.

    Parameters
    ----------
    subject, found
        What was checked, and what came beside what must be.
    slopes
        What f itself says, where `found` is what autodiff says.
    """
    wrong = found.wrong
    if not wrong.any():
        return Cause("", "")
    if found.labels == ["<gradient, d>"]:
        return Cause("", "")
    if found.labels[0] == "value":
        if wrong[0] and not wrong[1:].any():
            return Cause("value", "the value that comes with the gradient is not f(x)")
        found, wrong = _part(found, slice(1, None)), wrong[1:]
    told = [slope for slope in slopes if not slope.why]
    if told and not any(slope.wrong for slope in told):
        text = "f itself agrees with the gradient, autodiff does not: f has a stop_gradient"
        return Cause("rule", f"{text}, or a derivative rule of its own that is wrong")
    for pattern in (_factor, _moved, _penalty, _unstable, _some):
        cause = pattern(subject, found, wrong)
        if cause is not None:
            return cause
    return Cause("", "")


def _fits(found, candidate, which, scale=1.0):
    off = abs(found.returned - candidate)[which]
    return bool((off <= (1 + abs(scale)) * found.allowed[which]).all())


def _factor(subject, found, wrong):
    """Recognise a gradient that is a multiple of what it must be, all of it or some leaves."""
    large = wrong & (abs(found.truth) > found.allowed)
    if not large.any():
        return None
    every = np.ones(len(wrong), bool)
    which, where, verb = every, "every coordinate is", "it"
    known = large & (abs(found.truth) >= abs(found.truth[large]).max())
    c = float((found.returned / np.where(found.truth, found.truth, 1))[known][0])
    if not _fits(found, c * found.truth, every, c) or len(wrong) == 1:
        block = _block(subject.form, wrong)
        mine = block if block is not None and _fits(found, c * found.truth, block, c) else wrong
        if not _fits(found, c * found.truth, mine, c):
            return None
        which = mine
        where = f"{_names(subject.form, found, mine)} {'is' if mine.sum() == 1 else 'are'}"
    error = (1 + abs(c)) * float(found.allowed[known][0] / abs(found.truth[known][0]))
    meaning = _meaning(c, error, _lengths(subject))
    one = int(which.sum()) == 1 and len(wrong) > 1
    if one and not meaning:
        return None
    size = f"{c:.{min(9, max(1, math.ceil(-math.log10(error / max(abs(c), error)))))}g}"
    times = "zero" if c == 0 else f"{size} times what {'it' if one else verb} must be"
    agree = len(wrong) - int(which.sum())
    rest = f"; the other {agree} agree" if agree else ""
    kind = "factor" if meaning else "some factor"
    return Cause(f"{kind} {meaning}", f"{where} {times}{': ' if meaning else ''}{meaning}{rest}")


def _meaning(c, error, lengths):
    """Return what is known to multiply gradients by c, or ""."""
    known = {
        0.0: "as of a stop_gradient",
        -1.0: "the sign",
        2.0: "a factor 2, as of a missing 1/2",
        0.5: "a factor 1/2, as of a square whose 2 was forgotten, or half of it under stop_gradient",
    }
    for n, what in lengths.items():
        if n > 2:
            known.setdefault(float(n), f"{n} is {what}: the gradient of a sum instead of a mean")
            known.setdefault(1 / n, f"1/{n}, and {n} is {what}: divided by it once too often")
    for n, what in lengths.items():
        for m, other in lengths.items():
            if n != m and m > 1:
                known.setdefault(n / m, f"divided by {m}, {other}, instead of {n}, {what}")
    near = [value for value in known if abs(c - value) <= error]
    return known[min(near, key=lambda value: abs(c - value))] if near else ""


def _lengths(subject):
    """Return the lengths of axes: of the data of f, and of the parameters, and whose they are."""
    if isinstance(subject.f, Objective) or not jax.tree_util.all_leaves([subject.f]):
        data = jax.tree.leaves(subject.f)
    else:
        data = []
        with contextlib.suppress(TypeError, ValueError):  # not a plain function
            known = inspect.getclosurevars(inspect.unwrap(subject.f))
            data = [*known.nonlocals.values(), *known.globals.values()]
    found = {}
    for x in jax.tree.leaves(data):
        if isinstance(x, jax.Array | np.ndarray) and x.ndim:
            found.setdefault(x.shape[0], "the length of the data")
    for shape in subject.form.shapes:
        for n in shape:
            found.setdefault(n, "the number of parameters")
    return found


def _block(form, wrong):
    """Return the leaves of the parameters in which something is wrong; None if that is all."""
    parts = [np.full(part.size, part.any()) for part in form.parts(wrong)]
    block = np.concatenate(parts)
    return None if block.all() or len(block) != len(wrong) else block


def _names(form, found, which):
    parts = form.parts(which) if len(which) == sum(form.sizes) else []
    if len(parts) > 1 and all(part.all() or not part.any() for part in parts):
        paths = [f"gradient{path}" for path, p in zip(form.paths, parts, strict=True) if p.any()]
        return f"only {' and '.join(paths)}"
    named = [label for label, mine in zip(found.labels, which, strict=True) if mine]
    if len(named) > 3:
        return f"{len(named)} of {len(which)} coordinates"
    return f"only {' and '.join(named)}"


def _moved(subject, found, wrong):
    """Recognise the right numbers at the wrong places."""
    form = subject.form
    if len(found.truth) != sum(form.sizes) or wrong.sum() < 2:
        return None
    for transposed in (False, True):
        parts = [
            part.T.reshape(part.shape) if transposed else part[::-1] if part.ndim == 1 else part
            for part in form.parts(found.truth)
        ]
        candidate = np.concatenate([part.ravel() for part in parts])
        if _fits(found, candidate, slice(None)):
            name = "transposed" if transposed else "in reverse order"
            return Cause(name, f"the right numbers, {name}")
    loose = np.full(len(wrong), found.allowed.max())
    if (abs(np.sort(found.returned) - np.sort(found.truth)) <= loose).all():
        places = [found.labels[j] for j in np.flatnonzero(wrong)[:3]]
        return Cause("permuted", f"the right numbers, permuted: see {', '.join(places)}")
    return None


def _penalty(subject, found, wrong):
    """Recognise a gradient that is off by a multiple of the point."""
    x, off = found.x, found.returned - found.truth
    if len(x) != len(off) or np.count_nonzero(x) < 2 or wrong.sum() < 2:
        return None
    far = int(np.argmax(abs(x)))
    c = off[far] / x[far]
    if c and (abs(off - c * x) <= 2 * found.allowed).all():
        return Cause(
            "penalty", f"off by {c:.6g} x: as of a penalty on |x|^2 in one of f and gradient"
        )
    return None


def _unstable(subject, found, wrong):
    """Recognise a formula that is right, but loses its digits in the dtype."""
    form = subject.form
    if form.double or len(found.truth) != len(found.x):
        return None
    try:
        with _wide():
            out = subject.gradient(form.built(found.x, np.float64))
            out = _flat(out if jax.tree.structure(out) == form.structure else out[1])
    except Exception:  # a stranger's code, which may demand the dtype of the parameters
        return None
    if len(out) == len(found.truth) and (abs(out - found.truth) <= found.allowed).all():
        return Cause(
            "unstable",
            f"rounding: the same formula is right in float64, but cancels in {form.dtype}",
        )
    return None


def _some(subject, found, wrong):
    """Say which coordinates are wrong, where not all are."""
    agree = int((~wrong & np.isfinite(found.allowed)).sum())
    if not agree:
        return None
    be = "is" if wrong.sum() == 1 else "are"
    ratio = ""
    if wrong.sum() == 1:
        j = int(np.flatnonzero(wrong)[0])
        if abs(found.truth[j]) > found.allowed[j]:
            ratio = f", {found.returned[j] / found.truth[j]:.6g} times what it must be"
    text = f"{_names(subject.form, found, wrong)} {be} wrong{ratio}; the other {agree} agree"
    return Cause("some", text)
