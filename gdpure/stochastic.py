"""Stochastic descent: mini-batches by random reshuffling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gdpure import adapters, calls, evaluations, gradients, guards, loop, programs, runs, trees
from gdpure.gradients import Gradient
from gdpure.objectives import number_of_examples
from gdpure.states import Descent, State, history


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
    unroll: int | None = None,
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
        As for `descend`; ``record=None`` spares the evaluation on all examples after most epochs.
    rule
        As for `descend`, stepping on mini-batches; an array holds one step size an epoch.
    batch_size
        How many examples a step sees, at least 1; more than n are all n. Static.
    epochs
        How many times all examples are seen, at least 0; static.
    key
        A `jax.random.key`; the same key gives the same run.
    unroll
        How many mini-batches make one program, as for `descend`; static.

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

    def call():
        n = number_of_examples("stochastic_descend", f)
        size = min(guards.whole("stochastic_descend", "batch_size", batch_size, 1), n)
        many = loop.countable("stochastic_descend", "epochs", epochs)
        guards.key("stochastic_descend", key)
        begun = loop.boundary("stochastic_descend", f, start, rule, gradient)
        guards.same_devices("stochastic_descend", objective=begun[0], key=key)
        kept = loop.recorder("stochastic_descend", record, *begun)
        loop.fits("stochastic_descend", kept, begun, many + 1, begun[:2])
        point = begun[1].point if isinstance(begun[1], State) else begun[1]
        full, rest = jax.eval_shape(lambda: minibatches(key, n, size))
        on_full, on_rest = (
            gradients.evaluation("stochastic_descend", f, gradient, point, rows)
            for rows in (jax.ShapeDtypeStruct((size,), full.dtype), rest)
        )
        repetitions = loop.unrolled("stochastic_descend", unroll, begun[:2])
        return partial(
            *(_descend, *begun, kept, on_full, on_rest, key),
            **{"n": n, "batch_size": size, "epochs": many, "unroll": repetitions},
        )

    constants = gradient, record, batch_size, epochs, unroll
    return calls.made(call, "stochastic_descend", f, (start, key), rule, *constants)


def _descend(
    evaluate, start, rule, record, on_full, on_rest, key, *, n, batch_size, epochs, unroll
):
    start = loop.first("stochastic_descend", evaluate, start, rule)
    step_sizes = adapters.each_step("stochastic_descend", rule, epochs)
    told, end = adapters.unobserved(rule), loop.later(start.count, epochs)
    watches = (rule, told)
    moves = [_Epoch(on_full, on_rest, key, end, each, unroll, n, batch_size) for each in watches]
    return runs.scan(evaluate, told, start, step_sizes, record, epochs, 1, moves)


@trees.pytree
class _Epoch:
    """One step on each mini-batch of a new order; none where no more epochs are to come."""

    on_full: Any
    on_rest: Any
    key: Any
    end: Any
    watched: Any
    unroll: Any = trees.static()
    n: int = trees.static()
    batch_size: int = trees.static()

    def __call__(self, _, rule, state, step_size):
        def stay():
            return state.point, state.memory

        # After the last row there is no epoch to discard, as there is a step in `descend`.
        return lax.cond(state.count < self.end, lambda: self._made(rule, state, step_size), stay)

    def _made(self, rule, state, step_size):
        full, rest = minibatches(jax.random.fold_in(self.key, state.count), self.n, self.batch_size)
        # Reports count mini-batches, of which there may be more than an int32 holds.
        batches = len(full) + bool(rest.size)
        begun = batches * jnp.minimum(state.count, loop.MOST // batches - 1)

        def ahead(carry, turn):
            (point, memory), (k, rows) = carry, turn
            return loop.look(evaluations.OnRows(self.on_full, rows), point, memory, begun + k)

        def body(carry, turn):
            on_batch = evaluations.OnRows(self.on_full, turn[1])
            return loop.move(on_batch, rule, ahead(carry, turn), step_size), None

        turns = jnp.arange(len(full), dtype=jnp.int32), full
        carry = state.point, state.memory
        if isinstance(unroll := self.unroll, str):
            unroll = max(1, programs.repetitions(unroll, body, carry, (begun, full[0])))
        (point, memory), _ = runs.repeated(body, carry, turns, self.watched, ahead, None, unroll)
        if not rest.size:
            return point, memory
        on_batch = evaluations.OnRows(self.on_rest, rest)
        last = loop.look(on_batch, point, memory, begun + len(full))
        if isinstance(self.watched, adapters.Observed):
            self.watched.report(last.count, last.value, True)
        return loop.move(on_batch, rule, last, step_size)
