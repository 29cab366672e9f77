"""The derivative of a function by autodiff in float64, and what rounding makes of it.

How far any evaluation in a coarser dtype may be off is measured on the derivative itself, one
coordinate at a time: there is no tolerance to choose, and none that grows with the number of
parameters. The derivative is traced in float64 and run again and again with errors put into it:
into the point, and into the result of every operation, up to u times its size, where u is that of
the dtype; into a sum of n terms up to n u times the sum of their sizes, so that any order of
summation is allowed for (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section
3.1); into an elementary function up to 4 units in the last place, as NumPy and XLA promise.

What the worst of such errors do to coordinate j is, to first order, the sum of ``|a_jv|`` over all
operations v, and nobody can write down all the a_jv. But if the errors xi_v are drawn from a Cauchy
distribution, ``sum_v a_jv xi_v`` has a Cauchy distribution of just that scale, however many
operations there are, and a few draws show the scale in all coordinates at once (Kreinovich and
Ferson, "A new Cauchy-based black-box technique for uncertainty in risk analysis", Reliability
Engineering and System Safety 85, 2004). The third quartile of 64 draws is 2.4 times the scale, and
below the scale with probability 4e-5.

A gradient that is computed by another formula is explained as long as it adds up no larger numbers
than f and its derivative do. If it cancels what they do not cancel, what it returns is wrong, and
it is the formula that has to change. Whatever f's own derivative is off by when it is evaluated in
the dtype is allowed for as well: compiled kernels are not looked into, nor are loops that run until
something is met, which with errors inside might never end.

The same errors, none of them larger than rounding is, show kinks: near one the derivative changes
by more than twice the worst case to first order.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from ..rounding import unit_roundoff
from .subjects import Subject, first_line, flat, passed, wide

_U = unit_roundoff(jnp.float64)
_DRAWS, _LEAST, _TRIALS = 64, 48, 16
_LEVEL = 2.0**-43  # well above the rounding of float64, and small enough to be linear
_FLUSH = (2.0**-126, 2.0**-252)  # smaller numbers may be flushed to zero


class Derivative(NamedTuple):
    """Value and gradient of f in float64; all shapes (1 + d,), the value comes first.

    Attributes
    ----------
    exact
        The numbers.
    rounding
        How far any evaluation in the dtype of the parameters may be from them.
    jump
        By how much more they change within rounding, where f has a kink.
    """

    exact: np.ndarray
    rounding: np.ndarray
    jump: np.ndarray


class _Narrow(Exception):
    """A function that computes in less than float64, whatever it is given."""


def derivative(subject: Subject, x) -> tuple[Derivative | None, str]:
    """Return the derivative of f at x, shape (d,); or None, and why there is none.

    Examples
    --------
    >>> from gdpure.specs.gradient.subjects import form_of, traced
    >>> f = lambda x: x[0] * x[1]
    >>> form, x = form_of("f", np.array([2.0, 3.0], np.float32))
    >>> known, _ = derivative(Subject(f, f, form, 0, *traced(f, form)), x)
    >>> assert known.exact.tolist() == [6.0, 3.0, 2.0] and (known.rounding < 1e-5).all()
    """
    form = subject.form
    if subject.traced is None:
        return None, subject.reason
    draws = 1 + _DRAWS + 2 * _TRIALS
    heavy = np.arange(draws) <= _DRAWS
    level = np.where(heavy, _LEVEL, form.unit)
    level[0] = 0.0
    flush = np.where(heavy, 0.0, np.repeat(_FLUSH, [draws - _TRIALS, _TRIALS]))
    salts = subject.random.integers(0, 2**32, draws, dtype=np.uint32)
    try:
        with wide():
            errors = _Errors(*map(jnp.asarray, (salts, level, flush, heavy)))
            out = _with_errors(subject.traced, form.built(x, np.float64), errors)
            leaves = [np.reshape(leaf, (draws, -1)) for leaf in jax.tree.leaves(out)]
    except _Narrow as error:
        return None, str(error)
    except Exception as error:  # whatever a stranger's code may raise when it is differentiated
        return None, f"JAX cannot differentiate f: {first_line(error)}"
    found = np.concatenate(leaves, axis=1).astype(np.float64)
    exact = found[0]
    with np.errstate(invalid="ignore"):
        off = abs(found[1:] - exact)
    off = np.where(np.isnan(off), np.inf, off)
    cauchy, small, tiny = np.split(off, [_DRAWS, _DRAWS + _TRIALS])
    # Both evaluations that are compared are rounded, one in the dtype, one in float64.
    unit = form.unit + _U
    worst = np.sort(cauchy, axis=0)[_LEAST - 1] * (unit / _LEVEL)
    # What only flushing to zero changes is no kink: it changes less if less is flushed.
    jump = np.minimum(small.max(axis=0), tiny.max(axis=0))
    jump = np.where(jump > 2 * worst + _FLUSH[0], jump, 0.0)
    rounding = np.maximum(worst, _own_error(subject, x, exact)) + unit * abs(exact)
    return Derivative(exact, rounding, jump), ""


def _own_error(subject, x, exact):
    """Return how far the derivative of f is off when it is evaluated in the dtype itself."""
    form = subject.form
    if set(form.dtypes) == {np.dtype(np.float64)}:
        return 0.0
    try:
        value, gradient = _differentiated(passed(subject.f), form.built(x))
        off = abs(np.append(float(value), flat(gradient)) - exact)
    except Exception:  # it may demand what the point is not; what counts is float64
        return 0.0
    return np.where(np.isfinite(off), off, 0.0)


@jax.jit
def _differentiated(f, x):
    return jax.value_and_grad(f)(x)


# -- a computation with errors ---------------------------------------------------------------------


class _Errors(NamedTuple):
    """Errors to be put into a computation: of a Cauchy distribution, or of a uniform one."""

    salt: Any
    level: Any
    flush: Any
    heavy: Any

    def into(self, x, size, k):
        """Return x with the k-th error, of the order of `level` times the size, plus `flush`."""
        uniform = _uniform(_mixed(self.salt + jnp.uint32(2 * k + 1)), x.shape)
        drawn = jnp.where(self.heavy, _cauchy(uniform), 2 * uniform)
        return x + drawn * (self.level * size + self.flush)

    def below(self, k):
        """Return other errors of the same kind, for the inside of the k-th operation."""
        return self._replace(salt=_mixed(~self.salt + jnp.asarray(2 * k + 1).astype(jnp.uint32)))


def _mixed(bits):
    """Return other bits, by the finalizer of MurmurHash3; `jax.random` takes long to compile."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def _smooth(square):
    """Return ``tan(pi x) (1/4 - x^2) / x`` for the square of x: tan without its poles at 1/2."""
    x = np.sqrt(square)
    return np.tan(math.pi * x) * (0.25 - square) / x


_SMOOTH = np.polynomial.Chebyshev.interpolate(_smooth, 10, domain=[0, 0.25])
_COEFFICIENTS = _SMOOTH.convert(kind=np.polynomial.Polynomial).coef[::-1]


def _cauchy(uniform):
    """Return ``tan(pi uniform)``; XLA's own tan is no vector operation, and five times slower."""
    smooth = functools.reduce(lambda y, c: y * uniform**2 + c, _COEFFICIENTS, 0.0)
    return uniform * smooth / ((0.5 - uniform) * (0.5 + uniform))


def _uniform(salt, shape):
    """Return numbers in (-1/2, 1/2)."""
    count = jax.lax.iota(jnp.uint32, math.prod(shape)) * jnp.uint32(0x9E3779B1)
    bits = _mixed(_mixed(count + salt) ^ salt)
    return ((bits.astype(jnp.float64) + 0.5) * 2.0**-32 - 0.5).reshape(shape)


@jax.jit
def _with_errors(f, x, errors):
    """Return value and gradient of f, once for every row of the errors."""
    closed, form = jax.make_jaxpr(jax.value_and_grad(f), return_shape=True)(x)

    def once(errors):
        given = [errors.into(leaf, abs(leaf), k) for k, leaf in enumerate(jax.tree.leaves(x))]
        return _run(closed, given, errors.below(0))

    return jax.tree.unflatten(jax.tree.structure(form), jax.lax.map(once, errors))


def _run(closed, args, errors):
    """Evaluate a jaxpr with an error in the result of every operation that rounds."""
    jaxpr = closed.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args], strict=True))

    def read(atom):
        return np.asarray(atom.val) if isinstance(atom, jex.Literal) else known[atom]

    for k, eqn in enumerate(jaxpr.eqns):
        given = [read(atom) for atom in eqn.invars]
        known.update(zip(eqn.outvars, _operation(eqn, given, errors, k), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


# What these return is what they were given, or decides between numbers that were given.
_EXACT = {
    *("abs", "broadcast_in_dim", "ceil", "clamp", "concatenate", "copy", "copy_p", "cummax"),
    *("cummin", "device_put", "dynamic_slice", "dynamic_update_slice", "empty", "empty2"),
    *("expand_dims", "floor", "gather", "iota", "max", "min", "neg", "optimization_barrier", "pad"),
    *("reduce_max", "reduce_min", "reshape", "rev", "round", "scatter", "select_n", "sign"),
    *("slice", "sort", "split", "squeeze", "stop_gradient", "top_k", "transpose", "zeros_like"),
}
_ONCE = {
    *("add", "add_any", "convert_element_type", "div", "dot_general", "mul", "reduce_sum", "sqrt"),
    *("square", "sub"),
}
_FUNCTION = 8  # units of roundoff; 4 units in the last place
_CALLS = {
    *("checkpoint", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"),
    *("custom_vjp_call_jaxpr", "jit", "pjit", "remat", "remat2"),
}


def _operation(eqn, given, errors, k):
    """Return the results of the k-th operation, with their errors."""
    name, params, inside = eqn.primitive.name, eqn.params, errors.below(k)
    if name in _CALLS:
        called = (params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params)
        return _run(_closed(next(called)), given, inside)
    if name == "scan":
        return _scan(eqn, given, inside)
    if name == "cond":
        branches = [functools.partial(_branch, branch, inside) for branch in params["branches"]]
        return jax.lax.switch(given[0], branches, *given[1:])
    out = _bound(eqn, given)
    if any(map(_wide, given)) and any(_floating(y) and not _wide(y) for y in out):
        dtype = next(y.dtype for y in out if not _wide(y))
        raise _Narrow(f"f computes in {dtype}, whatever it is given: JAX cannot refine it")
    terms = _terms(eqn)
    if terms > 1:
        sizes = _bound(eqn, [abs(x) if _floating(x) else x for x in given])
        sizes = [terms * size for size in sizes]
    elif name in _EXACT or (name == "convert_element_type" and _wide(given[0])):
        return out
    else:
        factor = abs(params["y"]) if name == "integer_pow" else 1 if name in _ONCE else _FUNCTION
        sizes = [factor * abs(y) for y in out]
    pairs = zip(out, sizes, strict=True)
    return [errors.into(y, size, k) if _wide(y) else y for y, size in pairs]


def _bound(eqn, given):
    out = eqn.primitive.bind(*given, **eqn.primitive.get_bind_params(eqn.params))
    return out if eqn.primitive.multiple_results else [out]


def _floating(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def _wide(x):
    return x.dtype == jnp.float64


def _terms(eqn):
    """Return how many terms an operation adds up, or multiplies, for one number of its result."""
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


def _closed(jaxpr):
    return jaxpr if hasattr(jaxpr, "jaxpr") else jex.ClosedJaxpr(jaxpr, ())


def _branch(closed, errors, *args):
    return _run(_closed(closed), args, errors)


def _scan(eqn, given, errors):
    # What is carried is told by the shapes: the releases of JAX give it different names.
    closed = _closed(eqn.params["jaxpr"])
    results = zip(eqn.outvars, closed.jaxpr.outvars, strict=True)
    carried = sum(_rank(whole) == _rank(row) for whole, row in results)
    arguments = zip(eqn.invars, closed.jaxpr.invars, strict=True)
    fixed = sum(_rank(whole) == _rank(row) for whole, row in arguments) - carried
    constants, carry = given[:fixed], given[fixed : fixed + carried]

    def body(carry, row):
        k, row = row
        out = _run(closed, [*constants, *carry, *row], errors.below(k))
        return out[:carried], out[carried:]

    rows = jnp.arange(eqn.params["length"], dtype=jnp.uint32), given[fixed + carried :]
    carry, out = jax.lax.scan(body, carry, rows, reverse=eqn.params["reverse"])
    return [*carry, *out]


def _rank(atom):
    return len(atom.aval.shape)
