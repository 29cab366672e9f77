"""Operations of a program: which of them round, which mix entries, and by how much they may be off.

What is not known to work entry by entry counts as mixing all entries.
"""

from __future__ import annotations

import math
from typing import Any

import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from ..rounding import unit_roundoff

# What these return is what they were given, or decides between numbers that were given.
_EXACT = {
    *("broadcast_in_dim", "ceil", "clamp", "complex", "concatenate", "conj", "copy", "copy_p"),
    *("copysign", "cummax", "cummin", "device_put", "dynamic_slice", "dynamic_update_slice"),
    *("empty", "empty2", "expand_dims", "floor", "gather", "imag", "iota", "max", "min", "neg"),
    *("optimization_barrier", "pad", "pvary", "real", "reduce_max", "reduce_min", "rem", "reshape"),
    *("reshard", "rev", "round", "scatter", "scatter_max", "scatter_min", "select_and_gather_add"),
    *("reduce_window_max", "reduce_window_min", "select_n", "sharding_constraint", "slice", "sort"),
    *("split", "squeeze", "stop_gradient", "top_k", "transpose", "zeros_like"),
}
_ONCE = {
    *("add", "add_any", "convert_element_type", "div", "dot_general", "mul", "reduce_precision"),
    *("reduce_sum", "sqrt", "square", "sub"),
}
# Elementary functions, entry by entry; 4 units in the last place, in units of roundoff.
_FUNCTION = 8
_FUNCTIONS = {
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e"),
    *("bessel_i1e", "cbrt", "cos", "cosh", "digamma", "erf", "erf_inv", "erfc", "exp", "exp2"),
    *("expm1", "igamma", "igamma_grad_a", "igammac", "integer_pow", "lgamma", "log", "log1p"),
    *("logistic", "polygamma", "pow", "random_gamma_grad", "regularized_incomplete_beta", "rsqrt"),
    *("sign", "sin", "sinh", "tan", "tanh", "zeta"),
}
# Sums, and products, of as many terms as `terms_of` says.
SUMS = {
    *("conv_general_dilated", "cumlogsumexp", "cumprod", "cumsum", "dot_general", "reduce_prod"),
    *("reduce_sum", "reduce_window_sum", "scatter-add", "scatter_add", "scatter_mul"),
    *("select_and_scatter_add",),
}
ENTRYWISE = _EXACT | _ONCE | _FUNCTIONS | SUMS | {"while"}
# All else mixes entries: these in the last two axes, a transform of Fourier in those that it
# transforms, and what is not known in all.
_MATRICES = {
    *("cholesky", "eig", "eigh", "geqp3", "geqrf", "hessenberg", "householder_product", "lu"),
    *("qr", "schur", "svd", "symmetric_product", "triangular_solve", "tridiagonal"),
    *("tridiagonal_solve",),
}
# These look at bits, or draw them, so that in another dtype they are other functions.
BITS = {"bitcast_convert_type", "nextafter", "random_gamma", "rng_uniform"}
CALLS = {
    *("checkpoint", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"),
    *("custom_vjp_call_jaxpr", "jit", "pjit", "remat", "remat2"),
}


def extent(closed: Any) -> tuple[float, int]:
    """Return the coarsest unit roundoff of a program, and the most numbers that it rounds at once.

    Examples
    --------
    >>> import jax
    >>> closed = jax.make_jaxpr(lambda x: jnp.sum(x * x))(jnp.ones(3, jnp.float32))
    >>> assert extent(closed) == (2.0**-24, 3)
    """
    jaxpr = getattr(closed, "jaxpr", closed)
    avals = [var.aval for var in jaxpr.invars]
    sizes = [1]
    units = []
    for eqn in jaxpr.eqns:
        avals += [var.aval for var in eqn.outvars]
        if eqn.primitive.name not in _EXACT:
            sizes += [math.prod(getattr(var.aval, "shape", ())) for var in eqn.outvars]
        for inner in _inside(eqn):
            unit, size = extent(inner)
            units, sizes = [*units, unit], [*sizes, size]
    units += [unit_roundoff(a.dtype) for a in avals if inexact(a)]
    return max(units, default=0.0), max(sizes)


def _inside(eqn):
    for known in eqn.params.values():
        for part in known if isinstance(known, tuple | list) else (known,):
            if isinstance(part, jex.Jaxpr | jex.ClosedJaxpr):
                yield part


def inexact(x: Any) -> bool:
    """Return whether something is made of real or complex floating-point numbers."""
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact)


def exact(eqn: Any) -> bool:
    """Return whether an operation rounds nothing."""
    name, [first, *_] = eqn.primitive.name, [*eqn.invars, *eqn.outvars]
    of_complex = jnp.issubdtype(getattr(first.aval, "dtype", bool), jnp.complexfloating)
    if name in ("abs", "sign"):
        return not of_complex
    if name == "convert_element_type":
        return _finer(eqn.outvars[0].aval.dtype, first.aval.dtype)
    return name in _EXACT


def _finer(dtype, than):
    """Return whether a dtype has all numbers of another one."""
    if than == np.bool_ or not jnp.issubdtype(dtype, jnp.inexact):
        return True
    return jnp.issubdtype(than, jnp.inexact) and unit_roundoff(dtype) <= unit_roundoff(than)


def factor_of(eqn: Any, of_complex: bool) -> float:
    """Return the error of a result that is rounded entry by entry, in units of roundoff."""
    name, params = eqn.primitive.name, eqn.params
    if name == "integer_pow":
        return abs(params["y"])
    if name == "reduce_precision":
        return 2.0 ** -(1 + params["mantissa_bits"]) / unit_roundoff(eqn.outvars[0].aval.dtype)
    if name in _ONCE or name in SUMS:
        # A complex quotient is off by sqrt(2) gamma(4), Higham, Lemma 3.5.
        return 6 if of_complex else 1
    return _FUNCTION


def terms_of(eqn: Any) -> int:
    """Return how many terms an operation adds up, or multiplies, for one number of its result."""
    name, params = eqn.primitive.name, eqn.params
    if name not in SUMS:
        return 1
    shapes = [atom.aval.shape for atom in eqn.invars]
    if name == "dot_general":
        (left, _), _ = params["dimension_numbers"]
        return math.prod(shapes[0][axis] for axis in left)
    if name in ("reduce_sum", "reduce_prod"):
        return math.prod(shapes[0][axis] for axis in params["axes"])
    if name in ("cumsum", "cumprod", "cumlogsumexp"):
        return shapes[0][params["axis"]]
    if name in ("reduce_window_sum", "select_and_scatter_add"):
        return math.prod(params["window_dimensions"])
    if name == "conv_general_dilated":
        return math.prod(shapes[1]) // shapes[1][params["dimension_numbers"].rhs_spec[0]]
    return math.prod(shapes[2])  # scattered numbers, all into one


def norm_of(eqn: Any) -> tuple[float, int]:
    """Return the error of what mixes entries, relative to its norm, and how many axes it does not.

    Those are its first axes. A transform of Fourier is off by 8 log2(n) u (Higham, section 24.1).
    What decomposes a matrix is exact for a matrix that is off by n u, and is then off by as much
    again, where p(n), which "grows modestly" (LAPACK Users' Guide, chapter 4), is n; and so is
    whatever is not known, in all of its axes.
    """
    name = eqn.primitive.name
    shape = max((getattr(atom.aval, "shape", ()) for atom in eqn.invars), key=len)
    if name == "fft":
        lengths = eqn.params["fft_lengths"]
        return _FUNCTION * math.log2(2 * math.prod(lengths)), len(shape) - len(lengths)
    axes = 2 if name in _MATRICES else len(shape)
    return _FUNCTION + max(shape[len(shape) - axes :], default=1), len(shape) - axes
