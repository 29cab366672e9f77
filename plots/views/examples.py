"""Examples: those of a finite sum of two parameters, one by one, and arrows that fit a map."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure.objectives import number_of_examples, restrict

from .fields import Field, Minimizers, field, minimizers

if TYPE_CHECKING:
    from jaxtyping import Array, ArrayLike, Float

_ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


class Samples(NamedTuple):
    """The examples of a finite sum, one by one.

    `field` has ``z`` of shape (n, rows, columns), `gradients` are those at the points that were
    asked for (..., n, 2), and `minimizers` have leaves with a leading axis n.
    """

    field: Field
    gradients: Any
    minimizers: Minimizers


def samples(
    f: gd.Objective, at: ArrayLike, window: ArrayLike, n: tuple[int, int] = (81, 81)
) -> Samples:
    """Return each example of a finite sum alone: its field, its gradient, its minimizers.

    Parameters
    ----------
    f
        A finite sum of two parameters, such as `gd.least_squares`.
    at
        Where the gradients are taken, shape (..., 2).
    window, n
        As for `field`.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0]), [1.0, 2.2])
    >>> shown = samples(f, jnp.array([2.0, 2.0]), jnp.array([[0.0, 2.0], [0.0, 2.0]]), n=(3, 3))
    >>> assert shown.field.z.shape == (2, 3, 3) and shown.gradients[0].tolist() == [6.0, 6.0]
    """
    # An objective whose data is the objective: what is compiled is kept for other data.
    alone = field(gd.Objective(_values, f), window, n)
    return Samples(alone, gradients(f, at), minimizers_of_each(f))


def gradients(f: gd.Objective, at: ArrayLike) -> Float[Array, "... n 2"]:
    """Return the gradient of each example at points (..., 2).

    Examples
    --------
    >>> f = gd.least_squares(jnp.eye(2), jnp.ones(2))
    >>> assert gradients(f, jnp.zeros((5, 2))).shape == (5, 2, 2)
    """
    at = jnp.asarray(at)
    found = _gradients(f, at.reshape(-1, 2))
    return found.reshape(*at.shape[:-1], *found.shape[1:])


@jax.jit
def _gradients(f, points):
    return jax.vmap(lambda point: gd.per_sample(f)(point)[1])(points)


def _values(point, f):
    return gd.per_sample(f)(point)[0]


@jax.jit
def minimizers_of_each(f: gd.Objective) -> Minimizers:
    """Return the minimizers of every example alone, leaves (n, ...).

    Examples
    --------
    >>> assert minimizers_of_each(gd.least_squares(jnp.eye(2), jnp.ones(2))).flat.shape == (2, 2, 2)
    """
    n = number_of_examples("per_sample", f)
    return jax.vmap(lambda i: minimizers(restrict(f, i[None])))(jnp.arange(n))


@partial(jax.jit, static_argnums=1)
def fact_of_each(f: gd.Objective, name: str) -> Any:
    """Return what is known by that name, such as "smoothness", of every example alone, (n, ...).

    Examples
    --------
    >>> f = gd.least_squares(jnp.eye(2), jnp.ones(2))
    >>> assert fact_of_each(f, "smoothness").tolist() == [2.0, 2.0]
    """
    n = number_of_examples("per_sample", f)
    return jax.vmap(lambda i: getattr(gd.facts(restrict(f, i[None])), name))(jnp.arange(n))


def probes(window: ArrayLike) -> Float[Array, "3 2"]:
    """Return three points of a window that are far from each other, and in no special position.

    Examples
    --------
    >>> assert probes(jnp.array([[-1.0, 1.0], [-1.0, 1.0]])).shape == (3, 2)
    """
    window = jnp.asarray(window)
    low, high = window[:, 0], window[:, 1]
    shares = jnp.array([[0.15, 0.33], [0.89, 0.85], [0.75, 0.12]], window.dtype)
    return low[None] + shares * (high - low)[None]


def arrow_scale(
    at: ArrayLike, gradients: ArrayLike, window: ArrayLike, share: float = 0.5
) -> float:
    """Return the scale s of arrows ``-s g``, a round number, that suits a window.

    The longest arrow takes at most a share of the window, and all end in it, if that makes them no
    shorter than two fifths of that.

    Parameters
    ----------
    at
        Where the arrows start, shape (m, 2).
    gradients
        Shape (m, n, 2).
    window
        [[left, right], [bottom, top]], shape (2, 2).
    share
        Of the width of the window, for the longest arrow.

    Examples
    --------
    >>> window = [[0.0, 10.0], [0.0, 10.0]]
    >>> assert arrow_scale(np.array([[2.0, 5.0]]), np.array([[[-3.0, 0.0]]]), window) == 1.5
    """
    at, g, window = (np.asarray(a, np.float64) for a in (at, gradients, window))
    width, longest = np.diff(window).min(), np.linalg.norm(g, axis=-1).max()
    if not 0 < longest < np.inf:
        return 1.0
    room = np.where(g > 0, at[:, None] - window[:, 0], at[:, None] - window[:, 1])
    ends = np.min(0.95 * room[g != 0] / g[g != 0])
    s = min(share * width / longest, max(ends, 0.4 * share * width / longest))
    digit = 10.0 ** np.floor(np.log10(s))
    first = max(d for d in _ROUND if d <= s / digit * (1 + 1e-9))
    return float(f"{first * digit:.1e}")
