"""Spectra: the curvatures of quadratics and of least squares, from which all else is known.

Facts are asked for once, outside of loops, so they can afford float64: where the data are at hand
they are computed in it and then rounded to the dtype of the data. Inside a traced function they are
computed in JAX's default dtype: without x64, curvatures are then 0 below its noise, 4 sqrt(d) eps.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.sharding import Mesh

from gdpure import sharding
from gdpure.objectives import Facts

_FEW = 256  # rows of which a factor would save nothing


class Spectrum(NamedTuple):
    """A quadratic in its eigenbasis: ``f* + 1/2 sum_i curvature_i <axis_i, x - x*>^2``.

    Attributes
    ----------
    curvatures
        Shape (r,); exactly 0 where they cannot be told from it.
    axes
        Orthonormal rows, shape (r, d); what they do not span is flat, and a curvature of 0 is.
    minimizer, minimum
        x* (d,) and f* ().
    """

    curvatures: Any
    axes: Any
    minimizer: Any
    minimum: Any


def precisely(function: Callable) -> Callable:
    """Compile a function; it computes in float64 and rounds where its arguments are at hand."""

    @jax.jit
    @jax.default_matmul_precision("highest")
    def compiled(*data):
        narrow = jax.tree.leaves(data)[0].dtype
        wide = jnp.result_type(float)
        found = function(*jax.tree.map(lambda x: x.astype(wide), data), narrow)
        return jax.tree.map(lambda x: x.astype(narrow), found)

    @wraps(function)
    def computed(*data):
        leaves = jax.tree.leaves(data)
        if any(isinstance(x, Tracer) for x in leaves):
            return compiled(*data)
        # What is traced knows the mesh that is set, and not where its data will be.
        places = (getattr(getattr(x, "sharding", None), "mesh", None) for x in leaves)
        mesh = next((place for place in places if isinstance(place, Mesh)), None)
        with jax.enable_x64(True), jax.set_mesh(mesh) if mesh else contextlib.nullcontext():
            return compiled(*data)

    return computed


# -- least squares ---------------------------------------------------------------------------------


def of_least_squares(X, y, dtype) -> Spectrum:
    """Return the spectrum of ``mean((X theta - y)^2)``, for data that are known to `dtype`."""
    return of_rows(*condensed(X, y, dtype), len(y), dtype)


def of_rows(X, y, n, dtype) -> Spectrum:
    """Return the spectrum of ``|X theta - y|^2 / n`` from singular values of X.

    The rank is that of X with columns of length 1, for it does not depend on the units of the
    features. Rounding entries, each by at most u of its size, moves such a column by at most u and
    the matrix by at most sqrt(d) u, hence its singular values (Weyl), however many rows there are.
    """
    levels = jnp.linalg.svd(X / _lengths(X)[None], full_matrices=False, compute_uv=False)
    left, stretches, axes = jnp.linalg.svd(X, full_matrices=False)
    noise, rounded = _noise(X), math.sqrt(X.shape[1]) * _roundoff(dtype)
    rank = jnp.sum(levels > rounded + noise * levels[0])
    zero = (jnp.arange(len(stretches)) >= rank) | (stretches <= noise * stretches[0])
    along = jnp.where(zero, 0, y @ left)
    found = Spectrum(
        curvatures=jnp.where(zero, 0, 2 / n * stretches**2),
        axes=axes,
        minimizer=(along / jnp.where(zero, 1, stretches)) @ axes,
        minimum=jnp.sum((y - left @ along) ** 2) / n,
    )
    return jax.tree.map(lambda x: _known(x, X, y), found)


def norm(X, dtype):
    """Return the largest singular value of data that are known to `dtype`."""
    rows = _factor(dtype, X)
    return _known(jnp.linalg.svd(rows, full_matrices=False, compute_uv=False)[0], rows)


def condensed(X, y, dtype):
    """Return few rows of X and y with the same ``|X theta - y|`` for every theta."""
    rows = _factor(dtype, X, y[:, None])
    return rows[:, :-1], rows[:, -1]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _factor(dtype, *columns):
    """Return few rows R with ``R'R = A'A``, as good as those of a QR; A is the columns together.

    A root of A'A, which is a sum over the rows, knows singular values down to the root of the noise
    of that sum: float64 knows all that data in float32 say, or nearly. What they say beyond is in
    the same root of A R^-1, whose columns are nearly orthogonal.
    """
    n, p = len(columns[0]), sum(x.shape[1] for x in columns)
    if n <= max(p, _FEW):
        return jnp.concatenate([sharding.gathered(x) for x in columns], axis=1)
    unit, wide = _roundoff(dtype), columns[0].dtype
    # Of sqrt(n) sums of sqrt(n) products, whose roundings add up like steps of a random walk.
    noise = min(1 / 16, 4 * p * n**0.25 * _roundoff(wide))
    # A singular value s is off by noise / 2s; it is seen, time after time, down to sqrt(noise).
    enough, most = min(1 / 4, (noise / unit) ** 2), math.ceil(2 * math.log(unit, noise))

    largest = _largest(columns, dtype)
    gram = _gram(columns, dtype, lambda rows: rows / largest[None])
    units = largest * jnp.sqrt(jnp.diag(gram))  # 0 for columns of zeros, which so stay
    lengths = _or_one(units)
    least, first = _root(gram * jnp.outer(largest / lengths, largest / lengths))

    def again(carry):
        R, _, times = carry
        _, stretches, axes = jnp.linalg.svd(R)
        stretches = jnp.maximum(stretches, math.sqrt(noise) * stretches[0])[:, None]
        inverse = (axes / stretches).T
        least, root = _root(_gram(columns, dtype, lambda rows: rows / lengths[None] @ inverse))
        return root @ (axes * stretches), least, times + 1

    def blurred(carry):
        _, least, times = carry
        return (least < enough) & (times < most)

    R, *_ = lax.while_loop(blurred, again, (first, least, 1))
    return R * units[None]


@_factor.defjvp
def _factor_along(dtype, columns, tangents):
    # Q of A = Q R may stand still: turning it turns R, and nothing is asked but R'R.
    R = _factor(dtype, *columns)
    change = jnp.concatenate([sharding.gathered(x) for x in tangents], axis=1)
    if len(R) == len(change):
        return R, change
    return R, (jnp.concatenate(columns, axis=1) @ jnp.linalg.pinv(R)).T @ change


def _largest(columns, dtype):
    """Return numbers by which to divide columns lest their squares leave the range, or 1."""
    wide = columns[0].dtype
    if 2 * jnp.finfo(dtype).maxexp < jnp.finfo(wide).maxexp:
        return jnp.ones(sum(x.shape[1] for x in columns), wide)
    return jnp.concatenate([_or_one(jnp.max(abs(x), axis=0)) for x in columns])


def _gram(columns, dtype, changed):
    """Return B'B for the rows of B, which are changed rows of the columns, block by block.

    Every device has its own blocks, as it has its own rows where they are sharded.
    """
    n, wide = len(columns[0]), columns[0].dtype
    p, parts = sum(x.shape[1] for x in columns), sharding.cut(columns)
    rows = n // parts
    size = min(rows, max(_FEW, math.isqrt(n)))

    def of_part(columns):
        def add(k, total):
            begin = jnp.minimum(k * size, rows - size)  # the last block begins before its turn,
            fresh = begin + jnp.arange(size) >= k * size  # and these of its rows are new
            block = [lax.dynamic_slice_in_dim(x, begin, size) for x in columns]
            block = changed(jnp.concatenate(block, axis=1).astype(wide))
            block = jnp.where(fresh[:, None], block, 0)
            return total + block.T @ block

        return lax.fori_loop(0, -(-rows // size), add, jnp.zeros((p, p), wide))

    # In the dtype they came in: of float64 there is no more than a block at a time.
    own = [x.astype(dtype) for x in columns]
    return sharding.each_part(of_part, own, parts).sum(axis=0)


def _root(gram):
    """Return the least eigenvalue of a Gram matrix, and some R with R'R equal to it."""
    squares, axes = jnp.linalg.eigh(gram)
    root = jnp.sqrt(jnp.maximum(squares, 0))[:, None] * axes.T
    return _known(squares[0], gram), _known(root, gram)


def _lengths(X):
    """Return the lengths of columns, and 1 for columns of zeros; their squares may be too large."""
    largest = _largest([X], X.dtype)
    return largest * _or_one(jnp.linalg.norm(X / largest[None], axis=0))


def _or_one(x):
    return jnp.where(x > 0, x, 1)


# -- quadratics ------------------------------------------------------------------------------------


def of_quadratic(hessian, minimizer, minimum, dtype) -> Spectrum:
    """Return the spectrum of ``f* + 1/2 <x - x*, H (x - x*)>``, for H that is known to `dtype`.

    If every entry is off by u of its size, a curvature with axis v moves by no more than u
    ``|v|' |H| |v|``: a small one that stands apart is not 0. Entries that are sums of products are
    off by more, by about sqrt(m) u after m of them, but each in its own way: of the zeros that were
    tried, for up to 10^4 products and 2 to 300 parameters, none moved by more than 8 times as much.
    """
    curvatures, axes = jnp.linalg.eigh(hessian)
    sizes, entries = jnp.abs(curvatures), jnp.abs(axes)
    moved = 8 * _roundoff(dtype) * jnp.sum(entries * (jnp.abs(hessian) @ entries), axis=0)
    zero = (sizes <= moved) | (sizes <= _noise(hessian) * jnp.max(sizes))
    # Of several minimizers the one of least norm, and of a single one every digit.
    least = axes @ jnp.where(zero, 0, minimizer @ axes)
    minimizer = jnp.where(zero.any(), least, minimizer)
    found = Spectrum(jnp.where(zero, 0, curvatures), axes.T, minimizer, minimum)
    return jax.tree.map(lambda x: _known(x, hessian), found)


# -- both ------------------------------------------------------------------------------------------


def facts_of(spectrum: Spectrum) -> Facts:
    """Return what a spectrum says; a negative curvature means that there is no minimizer."""
    curvatures, axes, minimizer, minimum = spectrum
    d, known = axes.shape[1], curvatures != 0
    full, convex = known.sum() == d, ~(jnp.min(curvatures) < 0)
    least = jnp.min(jnp.where(known, curvatures, jnp.inf))
    spanned = axes.T @ jnp.where(known[:, None], axes, 0)
    return Facts(
        smoothness=jnp.max(jnp.abs(curvatures)),
        strong_convexity=jnp.where(full | ~convex, jnp.min(curvatures), 0),
        growth=jnp.where(convex & known.any(), least, 0),
        minimizer=jnp.where(convex, minimizer, jnp.nan),
        minimum=jnp.where(convex, minimum, -jnp.inf),
        flat=jnp.where(full, 0 * spanned, jnp.eye(d, dtype=axes.dtype) - spanned),
    )


def _known(x, *data):
    """Return x, or nan where the data hold nan: a decomposition may lose it, as on a GPU."""
    return jnp.where(jnp.array([jnp.isfinite(part).all() for part in data]).all(), x, jnp.nan)


def _roundoff(dtype):
    return float(jnp.finfo(dtype).eps) / 2


def _noise(matrix):
    """Return how far off singular values and eigenvalues are computed, as a share of the largest.

    Errors of a backward stable algorithm add up like steps of a random walk.
    """
    return 4 * math.sqrt(max(matrix.shape)) * float(jnp.finfo(matrix.dtype).eps)
