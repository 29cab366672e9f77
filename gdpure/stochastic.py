"""Stochastic descent: mini-batches by random reshuffling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax

from gdpure import adapters, gradients, guards, loop
from gdpure.gradients import Gradient
from gdpure.loop import Descent, State, history
from gdpure.objectives import number_of_examples, restrict


def minibatches(key: Any, n: int, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Return the indices of one epoch: every example once, in random order.

    Parameters
    ----------
    key
        A `jax.random.key`.
    n, batch_size
        How many examples there are, and how many go in a full batch.

    Returns
    -------
    tuple
        The full batches (n // batch_size, batch_size) and the rest (n % batch_size,).

    Examples
    --------
    >>> import gdpure as gd, jax
    >>> full, rest = gd.stochastic.minibatches(jax.random.key(0), 5, 2)
    >>> assert full.shape == (2, 2) and rest.shape == (1,)
    >>> assert sorted([*full.ravel().tolist(), *rest.tolist()]) == [0, 1, 2, 3, 4]
    """
    order = jax.random.permutation(key, n)
    cut = n - n % batch_size
    return order[:cut].reshape(-1, batch_size), order[cut:]


def stochastic_descend(
    f: Callable,
    start: Any,
    rule: Any,
    *,
    batch_size: int = 32,
    epochs: int = 10,
    key: Any,
    gradient: Gradient = gradients.default,
    record: Callable[[State], Any] | None = history,
) -> Descent:
    """Run stochastic gradient descent: one step a mini-batch, every example once an epoch.

    Each epoch takes the examples in a new random order. If `batch_size` does not divide n, the last
    step of an epoch is on the rest, smaller; nothing is dropped and nothing counted twice. With
    ``batch_size=n`` this is gradient descent, to the order of the sum.

    A row is an epoch: its value and gradient are those of all examples, ``count`` counts epochs. A
    rule sees mini-batches: what `observe` reports are their values, step by step.
    Passing the last state back with the same key goes on as if there had been no break.

    Parameters
    ----------
    f
        A finite sum of n examples: `least_squares`, `logistic`, `empirical_risk`.
    start, gradient, record
        As for `descend`; ``record=None`` spares the evaluation on all examples after each epoch.
    rule
        As for `descend`, stepping on mini-batches; an array holds one step size an epoch.
    batch_size
        How many examples a step sees, from 1 to n; static.
    epochs
        How many times all examples are seen, at least 0; static.
    key
        A `jax.random.key`; the same key gives the same run.

    Returns
    -------
    Descent
        ``final``, and ``history`` with leaves (epochs + 1, ...).

    Examples
    --------
    >>> import gdpure as gd, jax, jax.numpy as jnp
    >>> f = gd.least_squares(jnp.ones((5, 1)), jnp.ones(5))
    >>> run = gd.stochastic_descend(f, jnp.zeros(1), 0.25, batch_size=2, epochs=3,
    ...                             key=jax.random.key(0))
    >>> assert run.history.value.shape == (4,) and abs(run.final.point - 1) < 1e-2
    """
    f, start, rule, structure = loop.boundary("stochastic_descend", f, start, rule)
    n = number_of_examples("stochastic_descend", f)
    batch_size = guards.whole("stochastic_descend", "batch_size", batch_size, 1, n)
    epochs = guards.whole("stochastic_descend", "epochs", epochs)
    guards.key("stochastic_descend", key)
    guards.same_devices("stochastic_descend", objective=f, key=key)
    return _descend(
        f,
        start,
        rule,
        key,
        structure=structure,
        batch_size=batch_size,
        epochs=epochs,
        gradient=gradient,
        record=record,
    )


@partial(jax.jit, static_argnames=("structure", "batch_size", "epochs", "gradient", "record"))
def _descend(f, start, rule, key, *, structure, batch_size, epochs, gradient, record):
    n = number_of_examples("stochastic_descend", f)
    start = loop.first("stochastic_descend", f, start, rule, gradient)
    end = start.count + epochs

    def move(f, rule, state, step_size):
        def stay():
            return state.point, state.memory

        # After the last row there is no epoch to discard, as there is a step in `descend`.
        return lax.cond(state.count < end, lambda: epoch(f, rule, state, step_size), stay)

    def epoch(f, rule, state, step_size):
        full, rest = minibatches(jax.random.fold_in(key, state.count), n, batch_size)

        def step(carry, rows):
            (point, memory), batch = carry, restrict(f, rows)
            on_batch = loop.look(batch, gradient, point, memory, state.count)
            return loop.move(batch, rule, on_batch, step_size), None

        carry, _ = lax.scan(step, (state.point, state.memory), full)
        return step(carry, rest)[0] if rest.size else carry

    return loop.scan(
        f,
        rule,
        start,
        adapters.each_step("stochastic_descend", rule, epochs),
        steps=epochs,
        gradient=gradient,
        record=record,
        move=move,
    )
