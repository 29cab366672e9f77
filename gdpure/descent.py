"""Descent: one step, many steps, steps until it is flat, and sweeps of whole runs.

`advance` is the definition, `descend` its repetition in one compiled loop, and resuming a run its
associativity; all of them are built from the same three functions of `loop`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gdpure import adapters, calls, gradients, guards, loop, runs, sharding, trees
from gdpure.gradients import Gradient
from gdpure.states import Descent, History, State, Status, history

__all__ = [
    "Descent",
    "History",
    "State",
    "Status",
    "advance",
    "begin",
    "descend",
    "history",
    "minimize",
    "sweep",
]


def begin(f: Callable, start: Any, rule: Any, *, gradient: Gradient = gradients.default) -> State:
    """Return the state at a point, before the first step.

    Parameters
    ----------
    f
        The objective, ``f(params) -> ()``.
    start
        The parameters to start from, a tree of floating-point arrays.
    rule
        A step size, a gdpure rule, or an optax transformation.
    gradient
        How to differentiate: `reverse`, `forward`, `analytic`, `central`; by default the
        objective's hand-derived gradient, or reverse mode.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> state = gd.begin(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1)
    >>> assert state.value == 5.0 and state.count == 0
    """
    if isinstance(start, State):
        raise TypeError("begin: start must be a point, got a State; advance or descend goes on")

    def call():
        return partial(_begin, *loop.boundary("begin", f, start, rule, gradient))

    return calls.made(call, "begin", f, start, rule, gradient)


def advance(
    f: Callable, state: State, rule: Any, *, gradient: Gradient = gradients.default
) -> State:
    """Return the state one step later: ``x+ = x + update(g)``, g the gradient of f at x.

    Value and gradient at the point of the state are computed anew, for f may be another objective
    than before, another mini-batch say, and the point may have been moved. If anything at the new
    point is not finite, the old state comes back with status DIVERGED; if the step changed neither
    point nor memory, the status is STALLED.

    Parameters
    ----------
    f, rule, gradient
        As for `begin`.
    state
        What `begin`, `advance` or a run returned.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> state = gd.begin(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.25)
    >>> assert gd.advance(gd.landscapes.bowl, state, 0.25).point.tolist() == [1.0, 0.5]
    """
    if not isinstance(state, State):
        raise TypeError(
            f"advance: state must be a State, as begin returns it, got {guards.describe(state)}"
        )

    def call():
        begun = loop.boundary("advance", f, state, rule, gradient)
        if isinstance(begun[-1], adapters.Schedule):
            raise TypeError(
                "advance: rule must be one step size for one step, got an array of them"
            )
        return partial(_advance, *begun)

    return calls.made(call, "advance", f, state, rule, gradient)


def descend(
    f: Callable,
    start: Any,
    rule: Any,
    *,
    steps: int,
    gradient: Gradient = gradients.default,
    record: Callable[[State], Any] | None = history,
    unroll: int | None = None,
) -> Descent:
    """Run gradient descent for a number of steps, as one compiled scan.

    Row 0 of the history is the start, row k the point after k steps with its own value and
    gradient. A run that meets a number that is not finite ends as DIVERGED at the last finite
    state, which the later rows repeat; if the step after the last would change nothing, it is
    STALLED. With ``record=None`` no rows are kept, and the loop is lean: point, value and gradient
    are judged at the start, after every 32 steps, and at the end. A run that has left the finite
    numbers by then ends at the last state before it did, as with rows; one that leaves them and is
    back in between is not seen.
    An observed run is judged at every step. Derivatives are those of what is returned.

    Parameters
    ----------
    f
        The objective, ``f(params) -> ()``, as it is now: arrays that a plain function reads may
        change between calls, and new ones of the same shapes compile nothing anew.
    start
        The parameters to start from, a tree of floating-point arrays; or a `State`, to go on.
    rule
        A step size, an array (steps,) of step sizes, a gdpure rule, or an optax transformation.
        Numbers and rules compile nothing anew; an optax transformation keeps its numbers in its
        functions, so make it once: a fresh one is a new program.
    steps
        How many steps, at least 0; static.
    gradient
        How to differentiate, as for `begin`; static.
    record
        What to keep of each state, by default a `History` row; static. A record that is larger than
        the memory that is free is refused.
    unroll
        How many steps make one program of XLA's, at least 1; static. By default it is decided by
        what a step does: up to 8 where it is arithmetic alone, and off the CPU where there is no
        loop and no callback in it; else 1. Results are the same, to rounding.

    Returns
    -------
    Descent
        ``final``, and ``history`` with leaves (steps + 1, ...).

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(lambda x: x[0] ** 2 + x[1] ** 2, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> assert run.history.point.shape == (11, 2) and run.history.value[0] == 5.0
    >>> onward = gd.descend(lambda x: x[0] ** 2 + x[1] ** 2, run.final, 0.1, steps=5)
    >>> assert onward.final.count == 15
    """

    def call():
        n = loop.countable("descend", "steps", steps)
        begun = loop.boundary("descend", f, start, rule, gradient)
        kept = loop.recorder("descend", record, *begun)
        loop.fits("descend", kept, begun, n + 1, begun)
        repetitions = loop.unrolled("descend", unroll, begun)
        return partial(_descend, *begun, kept, steps=n, unroll=repetitions)

    return calls.made(call, "descend", f, start, rule, gradient, record, steps, unroll)


def minimize(
    f: Callable,
    start: Any,
    rule: Any,
    *,
    tolerance: Any = 1e-6,
    max_steps: int = 10_000,
    gradient: Gradient = gradients.default,
) -> State:
    """Run gradient descent until no entry of the gradient exceeds the tolerance.

    A `lax.while_loop`: it stops by itself, keeps no rows (for the curve, `descend` as many steps as
    ``state.count`` says) and can be differentiated in forward mode only.

    Parameters
    ----------
    f, start, rule, gradient
        As for `descend`; an array of step sizes has the shape (max_steps,).
    tolerance
        The largest ``|gradient|`` that counts as zero, in units of f per unit of the parameter.
        Rounding hides gradients below about ``eps L |x|``: float32 may stall above 1e-6.
    max_steps
        How many steps at most; static.

    Returns
    -------
    State
        CONVERGED within the tolerance, DIVERGED at the last finite state, STALLED where a step
        changes neither point nor memory, or RUNNING after `max_steps`; a NaN is never taken for
        convergence. A rule that counts its steps in its memory, as Adam does, is never STALLED.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> state = gd.minimize(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.25, tolerance=1e-3)
    >>> assert state.status == gd.Status.CONVERGED and jnp.abs(state.gradient).max() <= 1e-3
    """
    guards.in_range("minimize", "tolerance", tolerance, guards.Range(0))

    def call():
        n = loop.countable("minimize", "max_steps", max_steps)
        begun = loop.boundary("minimize", f, start, rule, gradient)
        return partial(_minimize, *begun, tolerance, max_steps=n)

    return calls.made(call, "minimize", f, (start, tolerance), rule, gradient, max_steps)


def sweep(
    f: Callable,
    starts: Any,
    rules: Any,
    *,
    steps: int,
    gradient: Gradient = gradients.default,
    record: Callable[[State], Any] | None = history,
    unroll: int | None = None,
) -> Descent:
    """Run every rule from every start, all at once.

    Parameters
    ----------
    f, steps, gradient, record, unroll
        As for `descend`.
    starts
        Parameters with a leading axis on every leaf, one start a row.
    rules
        Numbers (r,), schedules (r, steps), or one gdpure rule with a leading axis on some of its
        fields; a field without it is shared. An optax transformation keeps its numbers to itself:
        `jax.vmap` a function of them that calls `descend`.

    Returns
    -------
    Descent
        With leaves (rules, starts, ...), the history (rules, starts, steps + 1, ...).

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> starts = jnp.array([[2.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> runs = gd.sweep(gd.landscapes.bowl, starts, jnp.array([0.1, 0.25]), steps=10)
    >>> assert runs.history.value.shape == (2, 3, 11)
    """

    def call():
        n_steps = loop.countable("sweep", "steps", steps)
        repetitions = loop.unrolled("sweep", unroll, starts)
        if isinstance(starts, State):
            raise TypeError("sweep: starts must be points, got a State; begin anew from its point")
        points = guards.parameters("sweep", "starts", starts)
        n = guards.leading_axis("sweep", "starts", points)
        all_rules = adapters.as_rules("sweep", rules, points)
        start, rule = jax.eval_shape(partial(jax.tree.map, _first_of), (points, all_rules))
        with _said_of_rows(points):
            evaluate = gradients.evaluation("sweep", f, gradient, start)
            guards.same_devices("sweep", objective=evaluate, starts=points, rules=all_rules)
            kept = loop.recorder("sweep", record, evaluate, start, rule)
        given = evaluate, points, all_rules
        rows = n * max(len(x) for x in jax.tree.leaves(all_rules) if x.ndim) * (n_steps + 1)
        loop.fits("sweep", kept, (evaluate, start, rule), rows, given)
        return partial(_sweep, *given, kept, steps=n_steps, unroll=repetitions)

    return calls.made(call, "sweep", f, starts, rules, gradient, record, steps, unroll)


@contextmanager
def _said_of_rows(starts):
    """Say of what a start is refused for where it comes from."""
    try:
        yield
    except (TypeError, ValueError, IndexError) as error:
        if all(x.ndim < 2 for x in jax.tree.leaves(starts)):
            error.add_note("sweep: each row of starts is a start; is the leading axis there?")
        raise


def _first_of(x):
    return sharding.gathered(x)[0] if x.ndim else x


# -- compiled --------------------------------------------------------------------------------------


def _begin(evaluate, start, rule):
    return loop.first("begin", evaluate, start, rule)


def _advance(evaluate, state, rule):
    state = loop.first("advance", evaluate, state, rule)
    return loop.step(evaluate, rule, state, None)


def _descend(evaluate, start, rule, record, *, steps, unroll):
    start = loop.first("descend", evaluate, start, rule)
    step_sizes = adapters.each_step("descend", rule, steps)
    return runs.scan(evaluate, rule, start, step_sizes, record, steps, unroll)


def _minimize(evaluate, start, rule, tolerance, *, max_steps):
    start = loop.first("minimize", evaluate, start, rule)
    step_sizes = adapters.each_step("minimize", rule, max_steps)

    def judged(state):
        within = [(jnp.abs(g) <= tolerance).all() for g in trees.packed(state.gradient)]
        met = jnp.stack(within).all() & (state.status == Status.RUNNING)
        return state._replace(status=jnp.where(met, Status.CONVERGED.value, state.status))

    def going(turn):
        k, state = turn
        return (state.status == Status.RUNNING) & (k < max_steps)

    def one(turn):
        k, state = turn
        step_size = None if step_sizes is None else step_sizes[k]
        return k + 1, judged(loop.step(evaluate, rule, state, step_size))

    return runs.until(going, one, (0 * start.count, judged(start)), rule, lambda turn: turn[1])[1]


def _sweep(evaluate, starts, all_rules, record, *, steps, unroll):
    def run(start, rule):
        start = loop.first("sweep", evaluate, start, rule)
        step_sizes = adapters.each_step("sweep", rule, steps)
        return runs.scan(evaluate, rule, start, step_sizes, record, steps, unroll)

    axes = jax.tree.map(lambda x: 0 if x.ndim else None, all_rules)
    with _said_of_rows(starts):
        return jax.vmap(jax.vmap(run, (0, None)), (None, axes))(starts, all_rules)
