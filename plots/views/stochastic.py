"""Race: stochastic descent beside descent by full gradients, at equal cost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards, trees
from gdpure.objectives import number_of_examples

from .examples import fact_of_each
from .fields import values_along

if TYPE_CHECKING:
    from jaxtyping import ArrayLike


ORDERS = 20  # of the examples, that stochastic descent is run with


class Pace(NamedTuple):
    """A run against its cost: `point` (k, d) after `epoch` (k,) gradient evaluations / n."""

    point: Any
    epoch: Any
    gap: Any


class Spread(NamedTuple):
    """Gaps of one kind of run after each epoch, (epochs + 1,): of many orders of the examples.

    `median`, and the tenth (`low`) and the ninetieth (`high`) of a hundred.
    """

    median: Any
    low: Any
    high: Any


class Race(NamedTuple):
    """Runs of equal cost: by full gradients, by one example a step, and so with shrinking steps.

    `single` is one run, step by step; `constant` and `shrinking` are many, epoch by epoch.

    `sizes` are the first step sizes of `full` and of `single`; those of `shrinking` are
    ``size / (1 + k / halved)`` at step k. The `gap` of each run is to `minimum`, which is known up
    to `uncertain`; where nothing is known of it, `minimum` is None and the gap is the value itself.
    """

    full: Pace
    single: Pace
    constant: Spread
    shrinking: Spread
    sizes: tuple[float, ...]
    halved: int
    minimum: Any
    minimizer: Any
    uncertain: float


@trees.pytree
class _Recorded:
    """Gradient steps of given sizes that remember where each of them began."""

    step_sizes: Any

    def init(self, params):
        nowhere = jnp.full((len(self.step_sizes) + 1, *params.shape), jnp.nan, params.dtype)
        return _Trace(nowhere, jnp.zeros((), jnp.int32))

    def update(self, updates, state, params=None, **_):
        step = -self.step_sizes[state.count] * updates
        return step, _Trace(state.point.at[state.count].set(params), state.count + 1)


class _Trace(NamedTuple):
    point: Any
    count: Any


def race(f: gd.Objective, start: ArrayLike, step_size: Any, epochs: int, key: Any) -> Race:
    """Return stochastic descent, one example a step, beside descent of as many evaluations.

    Parameters
    ----------
    f
        A finite sum of n examples.
    start
        Shape (d,).
    step_size
        Of full and of single steps; None is half of 1/L for the full ones, with L of the mean, and
        half of 1/L for the single ones, with the largest L of an example.
    epochs
        How many full gradients; n times as many steps see one example.
    key
        A `jax.random.key`.

    Raises
    ------
    TypeError, ValueError
        If f is no finite sum, or `step_size` is not given and f does not know its smoothness.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([-1.0, 0.0, 1.0]), [1.0, 2.2, 2.8])
    >>> shown = race(f, jnp.zeros(2), 0.1, 4, jax.random.key(0))
    >>> assert len(shown.full.point) == 5 and len(shown.single.point) == 13
    """
    n = number_of_examples("gd_vs_sgd", f)
    start = jnp.asarray(guards.parameters("gd_vs_sgd", "start", start))
    if step_size is None:
        smoothness = gd.facts(f).smoothness, fact_of_each(f, "smoothness")
        if any(known is None for known in smoothness):
            raise ValueError(
                "gd_vs_sgd: step_size must be given where the smoothness of the examples is not "
                "known; gd.Objective(..., facts=) tells it by a function data -> gd.Facts"
            )
        sizes = tuple(float(f"{0.5 / np.max(known):.3g}") for known in smoothness)
    else:
        single = guards.is_number(step_size) and np.ndim(step_size) == 0
        if not (single and 0 < step_size < np.inf):
            got = guards.describe(step_size)
            raise ValueError(f"gd_vs_sgd: step_size must be one positive number, got {got}")
        sizes = (float(step_size),) * 2
    whole = gd.descend(f, start, sizes[0], steps=epochs)
    after = np.arange(epochs + 1) > int(whole.final.count)
    full = jnp.where(jnp.asarray(after)[:, None], jnp.nan, whole.history.point)
    minimum, minimizer, uncertain = _minimum(f, start)
    shrunk = 1 + np.arange(n * epochs) / (4 * n)
    constant, shrinking = (
        _spread(
            _orders(f, start, jnp.asarray(sizes[1] / divided, start.dtype), epochs, key), minimum
        )
        for divided in (np.ones_like(shrunk), shrunk)
    )

    def pace(points, steps):
        gap = np.asarray(values_along(f, points), np.float64) - (minimum or 0)
        return Pace(np.asarray(points, np.float64), np.arange(len(points)) / steps, gap)

    single = start[None]  # of other than two parameters there is no map
    if start.size == 2:
        rule = _Recorded(jnp.full(n * epochs, sizes[1], start.dtype))
        options = {"batch_size": 1, "epochs": epochs, "key": key, "record": None}
        final = gd.stochastic_descend(f, start, rule, **options).final
        single = final.memory.point.at[final.memory.count].set(final.point)
    known = sizes, 4 * n, minimum, minimizer, uncertain
    return Race(pace(full, 1), pace(single, n), constant, shrinking, *known)


class _Scheduled(NamedTuple):
    """Gradient steps of given sizes, one for each step of a run."""

    step_sizes: Any

    def init(self, params):
        return jnp.zeros((), jnp.int32)

    def update(self, updates, state, params=None, **_):
        return -self.step_sizes[state] * updates, state + 1


@partial(jax.jit, static_argnames="epochs")
def _orders(f, start, step_sizes, epochs, key):
    """Return the values of runs in orders of the examples, the first that of the key, by epoch."""

    def one(key):
        options = {"batch_size": 1, "epochs": epochs, "key": key, "record": lambda s: s.value}
        run = gd.stochastic_descend(f, start, _Scheduled(step_sizes), **options)
        after = jnp.arange(epochs + 1, dtype=run.final.count.dtype) > run.final.count
        return jnp.where(after, jnp.nan, run.history)

    return jax.vmap(one)(jnp.concatenate([key[None], jax.random.split(key, ORDERS - 1)]))


def _spread(values, minimum):
    """Return what gaps are, of the runs that are not lost."""
    gaps = np.asarray(values, np.float64) - (minimum or 0)
    lost = np.isnan(gaps).all(0)
    with np.errstate(invalid="ignore"):  # between infinities
        shown = np.nanquantile(np.where(lost, np.inf, gaps), [0.5, 0.1, 0.9], axis=0)
    return Spread(*np.where(lost, np.nan, shown))


def _minimum(f, start):
    """Return f*, a minimizer, and how far f* may be off; (None, None, 0) where nothing is known.

    Where there is no closed form, strong convexity says ``f(x) - |g|^2 / (2 mu) <= f* <= f(x)``.
    """
    known, unit = gd.facts(f), float(jnp.finfo(start.dtype).eps) / 2
    if known.minimum is not None and known.minimizer is not None:
        return float(known.minimum), known.minimizer, 0.0
    if known.smoothness is None or not (known.strong_convexity or 0) > 0:
        return None, None, 0.0
    step_size = 1 / known.smoothness
    final = gd.minimize(f, start, step_size, tolerance=32 * unit, max_steps=100_000)
    off = jnp.sum(final.gradient**2) / (2 * known.strong_convexity)
    return float(final.value), final.point, float(off) + 2 * unit * abs(float(final.value))
