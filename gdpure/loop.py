"""The loop: look at a point, move on, hold on to what is finite, and the scan of that.

`descent` and `stochastic` are the public faces of these functions; they differ in the move alone.
"""

from __future__ import annotations

import operator
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial

from gdpure import adapters, evaluations, gradients, guards, programs, rules, trees


class Status(int, Enum):
    """How a run ended; `message` says what to do about it.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> assert run.final.status == gd.Status.RUNNING
    """

    RUNNING = 0
    CONVERGED = 1
    DIVERGED = 2

    @property
    def message(self) -> str:
        """The sentence that says what the status means and what to do next."""
        return _MESSAGES[self]

    @classmethod
    def _missing_(cls, value: Any):
        """Take the number as it stands in a state: an integer array of shape ()."""
        return None if isinstance(value, int) else cls(operator.index(value))


_MESSAGES = {
    Status.RUNNING: "The steps ran out: pass the state back as the start to go on. If nothing "
    "moves any more, the dtype sees no smaller gradient: raise the tolerance, or use float64.",
    Status.CONVERGED: "The largest entry of the gradient is within the tolerance.",
    Status.DIVERGED: "The step after `count` led to a number that is not finite; the state is the "
    "last one that is, or the start as given. Take smaller steps, or look at the objective there.",
}


class State(NamedTuple):
    """A point of a run with all that is known there; value and gradient are those of `point`.

    Attributes
    ----------
    point
        The parameters.
    value
        f(point), shape ().
    gradient
        The gradient at `point`, of the form of the parameters.
    memory
        What the rule remembers.
    count
        How many steps led here, int32.
    status
        A `Status`, int32.
    """

    point: Any
    value: Any
    gradient: Any
    memory: Any
    count: Any
    status: Any


class History(NamedTuple):
    """The rows of a run: row k holds the k-th point, its value and its gradient."""

    point: Any
    value: Any
    gradient: Any


class Descent(NamedTuple):
    """A run: its last state, and the records of all its states, stacked."""

    final: State
    history: Any


def history(state: State) -> History:
    """Record of a state what `descend` keeps by default."""
    return History(state.point, state.value, state.gradient)


# -- the boundary ----------------------------------------------------------------------------------


def boundary(caller, f, start, rule, gradient):
    """Return the arguments as compiled code takes them: evaluation, start and rule, checked."""
    if isinstance(start, Descent):
        raise TypeError(
            f"{caller}: start must be a point or a State, got a Descent; pass run.final"
        )
    if not isinstance(start, State):
        start = guards.parameters(caller, "start", start)
    resumed = isinstance(start, State)
    point = jax.tree.map(_strong, start.point if resumed else start)
    start = start._replace(point=point) if resumed else point  # what is traced is what is run
    rule = adapters.as_rule(caller, rule, point)
    evaluate = gradients.evaluation(caller, f, gradient, point)
    guards.same_devices(caller, objective=evaluate, start=start, rule=rule)
    return evaluate, start, rule


def recorder(caller, record, evaluate, start, rule):
    """Return what to keep of each state as a tree that is called; None for None."""
    if record is None:
        return None
    guards.function(caller, "record", record)
    if known := programs.closed(record):
        return Partial(known)
    return programs.traced(record, jax.eval_shape(partial(first, caller), evaluate, start, rule))


def first(caller, evaluate, start, rule):
    """Return the state to begin or go on from; value and gradient are those of f, whatever came."""
    if not isinstance(rule, adapters.Schedule):
        guards.scalar_hyperparameters(caller, rule)
    resumed = isinstance(start, State)
    point = jax.tree.map(_strong, start.point if resumed else start)
    memory = jax.tree.map(_strong, rule.init(point))
    if resumed:
        guards.memory(caller, start.memory, memory)
        return look(evaluate, point, start.memory, start.count)
    return look(evaluate, point, memory)


# -- one step --------------------------------------------------------------------------------------


def look(evaluate, point, memory, count=None):
    """Return the state at a point, DIVERGED if not all of it is finite."""
    value, slope = jax.tree.map(_strong, evaluate(point))
    finite = [jnp.isfinite(x).all() for x in trees.packed((point, value, slope))]
    status = jnp.where(jnp.stack(finite).all(), *_codes(Status.RUNNING, Status.DIVERGED))
    # A literal 0 would not vary over a mesh as the data may, which `jax.shard_map` demands.
    return State(point, value, slope, memory, 0 * status if count is None else count, status)


def move(evaluate, rule, state, step_size):
    """Return the next point and memory: one update of the rule, or one step of a schedule."""
    rule = rules.Constant(step_size) if isinstance(rule, adapters.Schedule) else rule
    updates, memory = rule.update(
        state.gradient,
        state.memory,
        state.point,
        value=state.value,
        grad=state.gradient,
        value_fn=partial(evaluations.value_of, evaluate),
    )
    guards.update(updates, state.point, memory, state.memory)
    point = jax.tree.map(lambda x, u: x + u.astype(x.dtype), state.point, updates)
    return point, jax.tree.map(lambda new, old: _as(new, old.dtype), memory, state.memory)


def hold(new, old):
    """Return the new state if all of it is finite, otherwise the old one, marked DIVERGED."""
    (diverged,) = _codes(Status.DIVERGED)
    return _where(_going(new), new, old._replace(status=diverged))


# -- many steps ------------------------------------------------------------------------------------


def scan(evaluate, rule, start, step_sizes, record, *, steps, move=move):
    """Return the run of `steps` moves from a state."""
    if step_sizes is not None:
        step_sizes = jnp.concatenate([step_sizes, jnp.zeros_like(step_sizes, shape=(1,))])
    if record is None:
        return Descent(_scan_lean(evaluate, rule, start, step_sizes, steps, move), None)

    # One body more than moves: its last move is discarded, which is cheaper than to append a row.
    def body(carry, turn):
        kept, point, memory = carry
        count, step_size = turn
        new = look(evaluate, point, memory, count)
        kept = hold(new, kept)
        point, memory = move(evaluate, rule, new, step_size)
        point = jax.tree.map(lambda x: jnp.where(_going(new), x, jnp.nan), point)  # no way back
        return (kept, point, memory), record(kept)

    counts = start.count + jnp.arange(steps + 1, dtype=start.count.dtype)
    carry = start, start.point, start.memory
    (final, _, _), rows = lax.scan(body, carry, (counts, step_sizes))
    return Descent(final, rows)


def _scan_lean(evaluate, rule, start, step_sizes, steps, move):
    """Return the last state alone, judged at both ends, replayed with care if it ended badly.

    A test of every state would cost three to seven times the loop.
    """

    def body(carry, turn):
        (point, memory), (count, step_size) = carry, turn
        return move(evaluate, rule, look(evaluate, point, memory, count), step_size), None

    counts = start.count + jnp.arange(steps, dtype=start.count.dtype)
    turns = counts, None if step_sizes is None else step_sizes[:-1]
    (point, memory), _ = lax.scan(body, (start.point, start.memory), turns)
    end = start.count + steps
    last = look(evaluate, point, memory, end)
    good = _going(start) & _going(last)

    # The replay needs no derivative, and `while_loop` has none in reverse mode.
    evaluate, rule, start, step_sizes = lax.stop_gradient((evaluate, rule, start, step_sizes))

    def going(state):
        return ~good & _going(state) & (state.count < end)

    def replay(state):
        step_size = None if step_sizes is None else step_sizes[state.count - start.count]
        point, memory = move(evaluate, rule, state, step_size)
        return hold(look(evaluate, point, memory, state.count + 1), state)

    replayed = lax.while_loop(going, replay, _where(good, lax.stop_gradient(last), start))
    return jax.tree.map(_value_of, replayed, last)


@jax.custom_jvp
def _value_of(value, derivative):
    """Return the value of one array with the derivative of another."""
    return value


_value_of.defjvp(lambda primals, tangents: (primals[0], tangents[1]))


# -- small parts -----------------------------------------------------------------------------------


def _going(state):
    return state.status == Status.RUNNING


def _codes(*statuses):
    return [jnp.asarray(status.value, jnp.int32) for status in statuses]


def _where(flag, tree, other):
    return jax.tree.map(lambda x, y: jnp.where(flag, x, y), tree, other)


def _strong(x):
    """Return an array whose type is a fixed point of the loop: no weak types."""
    x = x if hasattr(x, "dtype") else jnp.asarray(x)
    weak = getattr(x, "weak_type", False)  # keys of `jax.random` have none
    return lax.convert_element_type(x, x.dtype) if weak else x


def _as(x, dtype):
    x = jnp.asarray(x)
    return x if x.dtype == dtype else x.astype(dtype)
