"""A function as the program that JAX makes of it in its own dtypes, run in float64.

In float64 a function need not be the same: `jax.random` draws other numbers for the same key, and
data, constants and casts have dtypes of their own. It is therefore traced as whoever calls it has
it traced, and the numbers of that program are float64: the function that it evaluates but for
rounding. What rounds, and to which dtype, is read off the program as well, so that errors can be
put into it, operation by operation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdpure import trees

from ..rounding import unit_roundoff
from .operations import BITS, CALLS, ENTRYWISE, exact, factor_of, inexact, norm_of, terms_of


class Unrefined(Exception):
    """A program that no float64 can be put into, in a sentence."""


@trees.pytree
class Refined:
    """A function of parameters in float64: what f computes, without the rounding of its dtypes.

    Attributes
    ----------
    data
        The data of f, rounded as f has them, in float64.
    f
        The function without its data: its structure as a tree, and what its leaves look like.
    form
        The form of the parameters, in the dtypes that f is traced for.
    x64
        Whether it is traced under ``jax.enable_x64``.
    """

    data: Any
    f: Any = trees.static()
    form: Any = trees.static()
    x64: bool = trees.static()

    def program(self, way: Callable) -> Any:
        """Return the program of ``way(f)``, such as ``jax.value_and_grad(f)``: a jaxpr."""
        structure, like = self.f
        with jax.enable_x64(self.x64), jax.numpy_dtype_promotion("standard"):
            arrays = zip(self.form.shapes, self.form.dtypes, strict=True)
            x = [jax.ShapeDtypeStruct(shape, _canonical(dtype)) for shape, dtype in arrays]
            x = jax.tree.unflatten(self.form.structure, x)
            return jax.make_jaxpr(lambda f, x: way(f)(x))(jax.tree.unflatten(structure, like), x)

    def value_and_grad(self, x: Any) -> tuple:
        """Return the value and the gradient, a tree, by the rules that f has for derivatives."""
        leaves = [*self.data, *jax.tree.leaves(x)]
        value, *slope = run(self.program(jax.value_and_grad), leaves)
        return value, jax.tree.unflatten(self.form.structure, slope)

    def __call__(self, x: Any) -> Any:
        """Return the value; it is differentiated by the rules that f has for derivatives."""

        @jax.custom_jvp
        def value(x):
            return run(self.program(lambda f: f), [*self.data, *jax.tree.leaves(x)])[0]

        @value.defjvp
        def _(primals, tangents):
            value, slope = self.value_and_grad(*primals)
            pairs = zip(jax.tree.leaves(slope), jax.tree.leaves(tangents), strict=True)
            return value, sum(jnp.sum(g * t) for g, t in pairs)

        return value(x)


def refined(f: Any, form: Any, x64: bool) -> Refined:
    """Return f in float64, given as JAX passes it to a compiled function."""
    leaves, structure = jax.tree.flatten(f)
    with jax.enable_x64(x64):
        like = tuple(map(_like, leaves))
        data = [_rounded(leaf, known.dtype) for leaf, known in zip(leaves, like, strict=True)]
    with jax.enable_x64(True):
        return Refined(list(map(jnp.asarray, data)), (structure, like), form, x64)


def _canonical(dtype):
    return jax.dtypes.canonicalize_dtype(dtype, allow_extended_dtype=True)


def _like(leaf):
    known = jax.typeof(leaf)
    return jax.ShapeDtypeStruct(known.shape, _canonical(known.dtype), weak_type=known.weak_type)


def _rounded(leaf, dtype):
    """Return an array as JAX passes it, its numbers in float64."""
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return leaf
    return widened(np.asarray(leaf).astype(dtype))


def widened(x: Any) -> Any:
    """Return numbers of any precision in float64, or complex128; whatever else as it is."""
    if not jnp.issubdtype(x.dtype, jnp.inexact) or x.dtype == _double(x.dtype):
        return x
    # What is there already is converted once, and not in every run.
    known = jnp.asarray(x) if isinstance(x, Tracer) else np.asarray(x)
    return known.astype(_double(x.dtype))


def _double(dtype):
    return np.dtype(np.complex128 if jnp.issubdtype(dtype, jnp.complexfloating) else np.float64)


# -- running ---------------------------------------------------------------------------------------


def run(closed: Any, args: list, errors: Any = None) -> list:
    """Return what a program makes of arguments in float64, with errors wherever it rounds.

    Parameters
    ----------
    closed
        The jaxpr.
    args
        Its arguments, `widened`.
    errors
        None, or what puts them in, `autodiff.Errors`.

    Examples
    --------
    >>> closed = jax.make_jaxpr(lambda x: x / 3)(jnp.float32(1.0))
    >>> with jax.enable_x64(True):
    ...     [third] = run(closed, [np.float64(1.0)])
    >>> assert float(third) == 1 / 3
    """
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, map(widened, closed.consts), strict=True))
    known.update(zip(jaxpr.invars, args, strict=True))

    def read(atom):
        if isinstance(atom, jex.Literal):
            aval: Any = atom.aval
            return widened(np.asarray(atom.val, aval.dtype))
        return known[atom]

    for k, eqn in enumerate(jaxpr.eqns):
        given = [read(atom) for atom in eqn.invars]
        known.update(zip(eqn.outvars, _operation(eqn, given, errors, k), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _operation(eqn, given, errors, k):
    """Return the results of the k-th operation, with their errors."""
    name, params = eqn.primitive.name, eqn.params
    inside = None if errors is None else errors.below(k)
    if name == "custom_jvp_call" and errors is None:
        return _by_own_rule(eqn, given)
    if name in CALLS:
        called = (params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params)
        return run(_closed(next(called)), given, inside)
    if name == "scan":
        return _scan(eqn, given, inside)
    if name == "cond":
        branches = [functools.partial(_branch, branch, inside) for branch in params["branches"]]
        return jax.lax.switch(given[0], branches, *given[1:])
    if name == "custom_linear_solve":
        first, count = sum(params["const_lengths"][:2]), params["const_lengths"].solve
        right = given[sum(params["const_lengths"]) :]
        return run(_closed(params["jaxprs"].solve), [*given[first : first + count], *right], inside)
    if name in BITS:
        own = [_narrowed(x, atom.aval) for x, atom in zip(given, eqn.invars, strict=True)]
        return [widened(y) for y in _bound(eqn, own, params)]
    units = [unit_roundoff(v.aval.dtype) if inexact(v.aval) else 0.0 for v in eqn.outvars]
    mixes = inside is not None and name not in ENTRYWISE and any(map(inexact, given))
    if mixes and name != "fft":
        given = _off(eqn, given, [max(units)] * len(given), inside)
    out = _while(eqn, given) if name == "while" else _results(eqn, given)
    if errors is None or not any(units) or exact(eqn):
        return out
    if inside is not None and mixes:
        return _off(eqn, out, units, inside.below(k))
    triples = zip(out, _sizes(eqn, given, out), units, strict=True)
    return [errors.into(y, size * unit, k) if unit else y for y, size, unit in triples]


def _by_own_rule(eqn, given):
    """Return the results of a function that brings a rule for its derivative, which stays its own.

    Without it, what it is made of is differentiated, on both sides of a tie or of a kink.
    """
    which = [j for j, atom in enumerate(eqn.invars) if inexact(atom.aval)]

    def put(x):
        return [x[which.index(j)] if j in which else given[j] for j in range(len(given))]

    @jax.custom_jvp
    def called(x):
        return run(_closed(eqn.params["call_jaxpr"]), put(x))

    @called.defjvp
    def _(primals, tangents):
        def moved(args, x, v):
            def own(x):
                return _bound(eqn, [x.get(j, arg) for j, arg in enumerate(args)], eqn.params)

            return jax.jvp(
                own, [dict(zip(which, x, strict=True))], [dict(zip(which, v, strict=True))]
            )

        like = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in eqn.invars]
        some = [like[j] for j in which]
        program = jax.make_jaxpr(moved)(like, some, some)
        [x], [v] = primals, tangents
        out = run(program, [*put(x), *x, *v])
        return out[: len(out) // 2], out[len(out) // 2 :]

    return called([given[j] for j in which])


def _results(eqn, given):
    """Return the results of an operation in float64."""
    name = eqn.primitive.name
    if name == "reduce_precision":
        return given
    try:
        out = _bound(eqn, given, _wide_params(eqn))
    except Exception as error:  # whatever is made for some dtypes alone
        raise Unrefined(f"f contains {name}, which takes no float64") from error
    for y, var in zip(out, eqn.outvars, strict=True):
        if inexact(y) and y.dtype != _double(y.dtype):
            raise Unrefined(f"f contains {name}, which computes in {var.aval.dtype} alone")
    return out


def _wide_params(eqn):
    return {key: _wide_param(key, part) for key, part in eqn.params.items()}


def _wide_param(key, part):
    if key in ("new_dtype", "preferred_element_type", "dtype", "out_dtype") and part is not None:
        return _double(part) if jnp.issubdtype(part, jnp.inexact) else part
    if isinstance(part, jex.ClosedJaxpr):
        return _wide_program(part)
    if isinstance(part, jex.Jaxpr):
        return _wide_program(_closed(part)).jaxpr
    if isinstance(part, tuple | list) and any(isinstance(p, jex.ClosedJaxpr) for p in part):
        return type(part)(_wide_param(key, p) for p in part)
    return part


def _wide_program(closed):
    def like(aval):
        dtype = _double(aval.dtype) if inexact(aval) else aval.dtype
        return jax.ShapeDtypeStruct(aval.shape, dtype)

    return jax.make_jaxpr(lambda *args: run(closed, list(args)))(*map(like, closed.in_avals))


def _bound(eqn, given, params):
    out = eqn.primitive.bind(*given, **eqn.primitive.get_bind_params(params))
    return out if eqn.primitive.multiple_results else [out]


def _narrowed(x, aval):
    return jax.lax.convert_element_type(x, aval.dtype) if inexact(aval) else x


def _sizes(eqn, given, out):
    """Return the errors of results that are rounded entry by entry, in units of roundoff."""
    of_complex = any(map(jnp.iscomplexobj, [*given, *out]))
    terms = terms_of(eqn)
    if terms == 1:
        return [factor_of(eqn, of_complex) * abs(y) for y in out]
    # The complex product adds up two, and multiplies the error by no more than 2.
    terms = 2 * (terms + 2) if of_complex else terms
    real = {key: _real(part) for key, part in _wide_params(eqn).items()}
    return [terms * y for y in _bound(eqn, [abs(x) if inexact(x) else x for x in given], real)]


def _real(part):
    return np.dtype(np.float64) if part == np.dtype(np.complex128) else part


def _off(eqn, arrays, units, errors):
    """Return what mixes entries is given, or returns, with errors of the norm of the whole."""
    factor, before = norm_of(eqn)
    return [
        errors.normwise(x, factor * unit, j, max(np.ndim(x) - before, 0))
        if unit and inexact(x) else x
        for j, (x, unit) in enumerate(zip(arrays, units, strict=True))
    ]  # fmt: skip


# -- loops and branches ----------------------------------------------------------------------------


def _closed(jaxpr):
    return jaxpr if hasattr(jaxpr, "jaxpr") else jex.ClosedJaxpr(jaxpr, ())


def _branch(closed, errors, *args):
    return run(_closed(closed), list(args), errors)


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
        inside = None if errors is None else errors.below(k)
        out = run(closed, [*constants, *carry, *row], inside)
        return out[:carried], out[carried:]

    rows = jnp.arange(eqn.params["length"], dtype=jnp.uint32), given[fixed + carried :]
    carry, out = jax.lax.scan(body, carry, rows, reverse=eqn.params["reverse"])
    return [*carry, *out]


def _rank(atom):
    return len(atom.aval.shape)


def _while(eqn, given):
    # With errors inside it might never end.
    params = eqn.params
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    return jax.lax.while_loop(
        lambda carry: run(condition, [*given[:first], *carry])[0],
        lambda carry: run(body, [*given[first:second], *carry]),
        given[second:],
    )
