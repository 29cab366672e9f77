"""Points at which the facts of an objective are most likely to fail.

The ends of the curvature are found by Rayleigh's quotients in a Krylov space, and climbed over the
point; low values by descent. Nothing here decides anything: what is found are points.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import gdpure as gd

from ..gradient.functions import Function, wide

_AXES = 32  # of a Hessian of up to so many rows, the spectrum is found entirely
_CLIMB = 0.7 ** np.arange(12)  # the steps of an ascent, in units of the scale of its start
_DESCENT = 100
_BEST, _ENDS, _SIMPLE = 3, 8, 4


class Starts(NamedTuple):
    """Where attacks begin, (s, d), and on which scales, (s,)."""

    points: np.ndarray
    lengths: np.ndarray


class Curved(NamedTuple):
    """Points (p, d) where f curves most and least, and how much it does there."""

    points: np.ndarray
    least: float
    most: float


def starts(function: Function, first, at, instances: int) -> Starts:
    """Return points around two given ones, which come first, on scales from 2^-8 to 2^8.

    Examples
    --------
    >>> from ..gradient.functions import form_of, traced
    >>> f = lambda x: x[0] ** 2 - 3 * x[1] ** 2
    >>> form, x = form_of("f", np.zeros(2))
    >>> function = Function(f, f, form, 0, *traced(f, form))
    >>> around = starts(function, x, x + 1, 4)
    >>> found = curved(function, around)
    >>> assert abs(found.most - 2) < 1e-9 and abs(found.least + 6) < 1e-9
    """
    d, unit = len(first), max(1.0, float(abs(first).max()))
    scales = unit * 2.0 ** np.linspace(-8, 8, instances)
    around = first + scales[:, None] * function.random.normal(size=(instances, d))
    # As many whatever d is: what compares points then need not be compiled anew.
    simple = np.concatenate([np.zeros((1, d)), np.ones((1, d)), np.eye(d)[np.arange(_SIMPLE) % d]])
    points = np.concatenate([first[None], at[None], simple, first + simple, around])
    return Starts(points, np.append(np.full(len(points) - instances, unit), scales))


def low(function: Function, around: Starts) -> np.ndarray:
    """Return where descents from every other start end, (s / 2, d)."""
    with wide():
        like = function.form.built(around.points[0], np.float64)
        return np.asarray(_descend(function.traced, like, around.points[::2]))


def curved(function: Function, around: Starts) -> Curved:
    """Return pairs of points along the ends of the curvature, and the axes at the first start."""
    first, d = around.points[0], around.points.shape[1]
    noise = function.random.normal(size=(min(d, _AXES), d))
    with wide():
        like = function.form.built(first, np.float64)
        found = _climb(function.traced, like, *around, noise)
        axes, ends = jax.tree.map(np.asarray, found)
    k = np.arange(_ENDS) % len(axes)
    along = np.concatenate([axes[k], axes[-1 - k]])
    points = [first + around.lengths[0] * step * along for step in (1.0, 2.0**-6)]
    for sign, (curvature, x, v) in zip((-1, 1), ends, strict=True):
        value = sign * curvature
        best = np.argsort(-np.where(np.isfinite(value), value, -np.inf))[:_BEST]
        for step in (1.0, 2.0**-4, 2.0**-8):
            move = (step * around.lengths[best])[:, None] * v[best]
            points += [x[best] - move, x[best] + move]
    least, most = (end[0][np.isfinite(end[0])] for end in ends)
    return Curved(np.concatenate(points), least.min(initial=np.inf), most.max(initial=-np.inf))


def _flat(f, like):
    """Return f as a function of one vector."""
    _, built = ravel_pytree(like)
    return lambda x: f(built(x))


def _spectrum(f, x, noise):
    """Return Ritz values and vectors of the Hessian, by Lanczos with full orthogonalization.

    The space goes on in a random direction where it is exhausted, so that of a small Hessian all
    is found, repeated eigenvalues, too.
    """

    def times(v):
        return jax.jvp(jax.grad(f), (x,), (v,))[1]

    def grow(carry, row):
        basis, images, w = carry
        k, fresh = row

        def off(w):
            return w - basis.T @ (basis @ w)

        rest, fresh = off(off(w)), off(off(fresh))
        exhausted = jnp.linalg.norm(rest) <= 1e-8 * jnp.linalg.norm(w)
        q = jnp.where(exhausted, fresh, rest)
        q = q / jnp.linalg.norm(q)
        image = times(q)
        return (basis.at[k].set(q), images.at[k].set(image), image), None

    zero = jnp.zeros_like(noise)
    (basis, images, _), _ = jax.lax.scan(
        grow, (zero, zero, noise[0]), (jnp.arange(len(noise)), noise)
    )
    projected = basis @ images.T
    values, vectors = jnp.linalg.eigh((projected + projected.T) / 2)
    return values, vectors.T @ basis


@jax.jit
def _climb(f, like, starts, lengths, noise):
    """Return the axes at the first start, and of each ascent the ends of the curvature it saw.

    Every other ascent goes down, to the least curvature. An end is a curvature, the point where it
    is, and its direction; the least first.
    """
    f = _flat(f, like)

    def climb(sign, start, length):
        def step(carry, row):
            x, axes, (least, most) = carry
            factor, first = row
            values, vectors = _spectrum(f, x, noise)
            # A spectrum of its own for the first start would be compiled a second time.
            axes = jnp.where(first, vectors, axes)
            low, high = ((values[k], x, vectors[k]) for k in (0, -1))
            least = jax.tree.map(lambda *two: jnp.where(low[0] < least[0], *two), low, least)
            most = jax.tree.map(lambda *two: jnp.where(high[0] > most[0], *two), high, most)
            v = jnp.where(sign > 0, high[2], low[2])
            rise = jax.grad(lambda x: sign * jax.jvp(jax.grad(f), (x,), (v,))[1] @ v)(x)
            size = jnp.linalg.norm(rise)
            move = jnp.where(size > 0, rise / jnp.where(size > 0, size, 1), 0)
            return (x + factor * length * move, axes, (least, most)), None

        nothing = ((jnp.inf, start, noise[0]), (-jnp.inf, start, noise[0]))
        rows = jnp.asarray(_CLIMB), jnp.arange(len(_CLIMB)) == 0
        _, axes, ends = jax.lax.scan(step, (start, noise, nothing), rows)[0]
        return axes, ends

    signs = 1.0 - 2.0 * (jnp.arange(len(starts)) % 2)
    # One after the other compiles in two thirds of the time that all at once does.
    axes, ends = jax.lax.map(lambda row: climb(*row), (signs, starts, lengths))
    return axes[0], ends


@jax.jit
def _descend(f, like, starts):
    """Return where descents end."""
    f, rule = _flat(f, like), gd.Backtracking()

    def advanced(_, state):
        return gd.advance(f, state, rule)

    def end(start):
        return jax.lax.fori_loop(0, _DESCENT, advanced, gd.begin(f, start, rule)).point

    return jax.lax.map(end, starts)
