"""The derivative of a function by autodiff in float64, and what rounding makes of it.

How far any evaluation in a coarser dtype may be off is measured on the derivative itself, one
coordinate at a time: there is no tolerance to choose, and none that grows with the number of
parameters. The program of the derivative is run in float64 (`refined`) again and again with errors
put into it: into the point, and into the result of every operation, up to u times its size, where u
is that of the dtype in which it is computed; into a sum of n terms up to n u times the sum of their
sizes, so that any order of summation is allowed for (Higham, "Accuracy and Stability of Numerical
Algorithms", 2nd ed., section 3.1); into an elementary function up to 4 units in the last place, as
NumPy and XLA promise; into a transform or a decomposition, which mixes all entries, in its norm.

What the worst of such errors do to coordinate j is, to first order, the sum of ``|a_jv|`` over all
operations v, and nobody can write down all the a_jv. But if the errors xi_v are drawn from a Cauchy
distribution, ``sum_v a_jv xi_v`` has a Cauchy distribution of just that scale, however many
operations there are, and a few draws show the scale in all coordinates at once (Kreinovich and
Ferson, "A new Cauchy-based black-box technique for uncertainty in risk analysis", Reliability
Engineering and System Safety 85, 2004). Errors of a given norm are drawn from the spherical one,
which any a_j makes a Cauchy distribution of the scale ``|a_j|``. The third quartile of 63 draws is
2.4 times the scale, and below the scale with probability 2e-5.

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
import jax.numpy as jnp
import numpy as np

from ..rounding import unit_roundoff
from .functions import Function, first_line, passed, wide
from .operations import extent
from .refined import Refined, Unrefined, run

_U = unit_roundoff(jnp.float64)
# The first run is without errors; all together they are a number that many others divide.
_DRAWS, _LEAST, _TRIALS = 63, 48, 16
_RUNS = 1 + _DRAWS + 2 * _TRIALS
_LEVEL = 2.0**-43  # well above the rounding of float64, and small enough to be linear
_FLUSH = (2.0**-126, 2.0**-252)  # smaller numbers may be flushed to zero
_SIDE_BY_SIDE = 2**22  # so many numbers at once, and so many rows, as memory allows for
_ROWS = 1024


class Derivative(NamedTuple):
    """Value and gradient of f in float64; all shapes (1 + d,), the value comes first.

    Attributes
    ----------
    exact
        The numbers.
    rounding
        How far any evaluation in the dtypes of f may be from them.
    jump
        By how much more they change within rounding, where f has a kink.
    """

    exact: np.ndarray
    rounding: np.ndarray
    jump: np.ndarray


def derivative(function: Function, x) -> tuple[Derivative | None, str]:
    """Return the derivative of f at x, shape (d,); or None, and why there is none.

    Examples
    --------
    >>> from gdpure.specs.gradient.functions import form_of, traced
    >>> f = lambda x: x[0] * x[1]
    >>> form, x = form_of("f", np.array([2.0, 3.0], np.float32))
    >>> known, _ = derivative(Function(f, f, form, 0, *traced(f, form)), x)
    >>> assert known.exact.tolist() == [6.0, 3.0, 2.0] and (known.rounding < 1e-5).all()
    """
    known, why = derivatives(function, x[None])
    return None if known is None else Derivative(*(part[0] for part in known)), why


def derivatives(function: Function, points) -> tuple[Derivative | None, str]:
    """Return the derivatives at points, shape (p, d): parts of shape (p, 1 + d)."""
    if function.traced is None:
        return None, function.reason
    form, random = function.form, function.random
    salts = random.integers(0, 2**32, _RUNS, dtype=np.uint32)
    found = []
    rows = int(np.clip(_SIDE_BY_SIDE // (4 * (points.shape[1] + 1)), 1, _ROWS))
    try:
        for k in range(0, len(points), rows):
            part = points[k : k + rows]
            # Always of the same shape: what a row costs is only paid for those there are.
            x = np.concatenate([part, np.zeros((rows - len(part), points.shape[1]))])
            with wide():
                measured = _measured(function.traced, jnp.asarray(x), len(part), salts)
            exact, worst, jump = (np.asarray(part_)[: len(part)] for part_ in measured)
            own = _own_error(function, x, exact)
            found.append((exact, np.maximum(worst, own) + (form.unit + _U) * abs(exact), jump))
    except Unrefined as error:
        return None, f"{error}: JAX cannot refine it"
    except Exception as error:  # whatever a stranger's code may raise when it is differentiated
        return None, f"JAX cannot differentiate f: {first_line(error)}"
    return Derivative(*map(np.concatenate, zip(*found, strict=True))), ""


def _own_error(function, x, exact):
    """Return how far the derivatives of f are off when they are evaluated in the dtypes of f."""
    form = function.form
    if set(form.dtypes) == {np.dtype(np.float64)}:
        return 0.0
    try:
        with jax.enable_x64(function.traced.x64):
            out = _differentiated(passed(function.f), form.built(x), len(exact))
        out = [np.asarray(leaf, np.float64).reshape(len(x), -1) for leaf in jax.tree.leaves(out)]
        off = abs(np.concatenate(out, axis=1)[: len(exact)] - exact)
    except Exception:  # it may demand what the point is not; what counts is float64
        return 0.0
    return np.where(np.isfinite(off), off, 0.0)


@jax.jit
def _differentiated(f, rows, count):
    return _row_by_row(jax.value_and_grad(f), rows, count)


def _row_by_row(function, rows, count):
    """Return what a function makes of the first rows; how many there are compiles nothing anew."""
    like = jax.eval_shape(lambda rows: jax.lax.map(function, rows), rows)
    out = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    def body(k, out):
        found = function(jax.tree.map(lambda leaf: leaf[k], rows))
        return jax.tree.map(lambda leaf, row: leaf.at[k].set(row), out, found)

    return jax.lax.fori_loop(0, count, body, out)


# -- a computation with errors ---------------------------------------------------------------------


class Errors(NamedTuple):
    """Errors to be put into a computation: of a Cauchy distribution, or of a uniform one."""

    salt: Any
    level: Any
    flush: Any
    heavy: Any

    def into(self, x, size, k):
        """Return x with the k-th error, of the order of `level` times the size, plus `flush`."""
        drawn = [jnp.where(self.heavy, _cauchy(y), 2 * y) for y in self._uniform(x, k)]
        return x + _complex(drawn) * (self.level * size + self.flush)

    def normwise(self, x, factor, k, axes):
        """Return x with the k-th error, of `level` times the factor times the norm of x.

        The norm of the last so many axes; the direction is of a spherical distribution.
        """
        last = tuple(range(x.ndim - axes, x.ndim))
        normal = _complex([jax.lax.erf_inv(2 * y) for y in self._uniform(x, k)])
        length, size = (jnp.sqrt(jnp.sum(abs(y) ** 2, last, keepdims=True)) for y in (normal, x))
        one = _uniform(self._bits(k, 2), length.shape)
        far = jnp.where(self.heavy, length / abs(jax.lax.erf_inv(2 * one)), 2 * one)
        return x + far * (normal / length) * (self.level * factor * size)

    def below(self, k):
        """Return other errors of the same kind, for the inside of the k-th operation."""
        return self._replace(salt=_mixed(~self.salt + jnp.asarray(2 * k + 1).astype(jnp.uint32)))

    def _uniform(self, x, k):
        """Return the k-th numbers for an array, for each of its parts if it is complex."""
        parts = range(2 if jnp.iscomplexobj(x) else 1)
        return [_uniform(self._bits(k, part), x.shape) for part in parts]

    def _bits(self, k, part):
        bits = _mixed(self.salt + jnp.uint32(2 * k + 1))
        return _mixed(bits + jnp.uint32(part)) if part else bits


def _complex(parts):
    return jax.lax.complex(*parts) if len(parts) == 2 else parts[0]


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
def _measured(refined: Refined, rows, count, salts):
    """Return value and gradient of f, the worst of rounding, and jumps, in the first rows."""
    closed = refined.program(jax.value_and_grad)
    coarsest, numbers = extent(closed)
    heavy = np.arange(_RUNS) <= _DRAWS
    # An error is `level` times the unit roundoff of its own operation.
    level = np.where(heavy, _LEVEL / coarsest, 1.0)
    level[0] = 0.0
    flush = np.where(heavy, 0.0, np.repeat(_FLUSH, [_RUNS - _TRIALS, _TRIALS]))
    errors = Errors(salts, *map(jnp.asarray, (level, flush, heavy)))
    room = max(_SIDE_BY_SIDE // numbers, 1)
    size = max(k for k in range(1, _RUNS + 1) if _RUNS % k == 0 and k <= room)

    def at(x):
        leaves = refined.form.parts(x)
        units = map(unit_roundoff, refined.form.dtypes)
        sizes = [abs(leaf) * unit for leaf, unit in zip(leaves, units, strict=True)]

        def once(errors):
            pairs = zip(leaves, sizes, strict=True)
            moved = [errors.into(leaf, size, k) for k, (leaf, size) in enumerate(pairs)]
            out = run(closed, [*refined.data, *moved], errors.below(0))
            return jnp.concatenate([jnp.ravel(leaf) for leaf in out])

        # Side by side, products of a matrix and a vector are one of two matrices.
        out = jax.lax.map(once, errors, batch_size=size)
        return _scales(out, coarsest)

    return _row_by_row(at, rows, count)


def _scales(out, coarsest):
    """Return exact numbers, the worst of rounding, and by how much more they jump; of all runs."""
    exact, off = out[0], abs(out[1:] - out[:1])
    cauchy, small, tiny = jnp.split(
        jnp.where(jnp.isnan(off), jnp.inf, off), [_DRAWS, _DRAWS + _TRIALS]
    )
    # Both evaluations that are compared are rounded, one in the dtype, one in float64.
    worst = jnp.sort(cauchy, axis=0)[_LEAST - 1] * ((coarsest + _U) / _LEVEL)
    # What only flushing to zero changes is no kink: it changes less if less is flushed.
    jump = jnp.minimum(small.max(axis=0), tiny.max(axis=0))
    return exact, worst, jnp.where(jump > 2 * worst + _FLUSH[0], jump, 0.0)
