"""Spectra: the curvatures of quadratics and of least squares, from which all else is known.

Facts are asked for once, outside of loops, so they can afford float64: where the data are at hand
they are computed in it and then rounded to the dtype of the data. Inside a traced function they are
computed in that dtype, which sees curvatures down to about eps^2 L of least squares and eps L of a
Hessian.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gdpure.objectives import Facts


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
        traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(data))
        with contextlib.nullcontext() if traced else jax.enable_x64(True):
            return compiled(*data)

    return computed


def of_least_squares(X, y, dtype) -> Spectrum:
    """Return the spectrum of ``mean((X theta - y)^2)``, for data that are known to `dtype`.

    From singular values of X: eigenvalues of X'X would lose half of the digits. The rank is that of
    X with columns of one scale, for it does not depend on the units of the features.
    """
    n = len(y)
    scales = jnp.max(jnp.abs(X), axis=0)
    scaled = X / jnp.where(scales > 0, scales, 1)[None]
    levels = jnp.linalg.svd(scaled, compute_uv=False)
    rank = jnp.sum(~(levels <= _noise(X, dtype) * levels[0]))  # nan is not 0: it stays nan
    left, stretches, axes = jnp.linalg.svd(X, full_matrices=False)
    zero = (jnp.arange(len(stretches)) >= rank) | (stretches <= _noise(X, X.dtype) * stretches[0])
    along = jnp.where(zero, 0, y @ left)
    return Spectrum(
        curvatures=jnp.where(zero, 0, 2 / n * stretches**2),
        axes=axes,
        minimizer=(along / jnp.where(zero, 1, stretches)) @ axes,
        minimum=jnp.mean((y - left @ along) ** 2),
    )


def of_quadratic(hessian, minimizer, minimum, dtype) -> Spectrum:
    """Return the spectrum of ``f* + 1/2 <x - x*, H (x - x*)>``, for H that is known to `dtype`.

    Entries that are sums of d products are off by ``d eps`` of their size, and a curvature with
    axis v moves by no more than that of ``|v|' |H| |v|``: a small one that stands apart is not 0.
    """
    curvatures, axes = jnp.linalg.eigh(hessian)
    sizes, entries = jnp.abs(curvatures), jnp.abs(axes)
    moved = (
        len(hessian)
        * float(jnp.finfo(dtype).eps)
        * jnp.sum(entries * (jnp.abs(hessian) @ entries), axis=0)
    )
    zero = (sizes <= moved) | (sizes <= _noise(hessian, hessian.dtype) * jnp.max(sizes))
    # Of several minimizers the one of least norm, and of a single one every digit.
    least = axes @ jnp.where(zero, 0, minimizer @ axes)
    minimizer = jnp.where(zero.any(), least, minimizer)
    return Spectrum(jnp.where(zero, 0, curvatures), axes.T, minimizer, minimum)


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
        flat=jnp.where(full, 0, jnp.eye(d, dtype=axes.dtype) - spanned),
    )


def _noise(matrix, dtype):
    """Return the relative size up to which a rounded matrix may show what is 0 in truth.

    Twice what is customary: singular matrices were seen to reach max(n, d) eps itself.
    """
    return 2 * max(matrix.shape) * float(jnp.finfo(dtype).eps)
