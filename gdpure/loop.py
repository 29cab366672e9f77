"""The loop, one turn of it: look at a point, move on, hold on to what is finite.

`runs` repeats it; `descent` and `stochastic` are the public faces, and differ in the move alone.
"""

from __future__ import annotations

from functools import partial, reduce
from operator import and_, or_
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.tree_util import Partial

from gdpure import adapters, calls, evaluations, gradients, guards, programs, rules, sharding, trees
from gdpure.states import Descent, State, Status, history

MOST = 2**31 - 1  # what an int32 counts

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


def countable(caller, name, steps):
    """Return a number of steps, at least 0 and no more than a state can count."""
    steps = guards.whole(caller, name, steps)
    if steps > MOST:
        raise ValueError(
            f"{caller}: {name} must be at most {MOST}, got {steps}; a state that is passed back "
            "goes on"
        )
    return steps


def unrolled(caller, unroll, given):
    """Return how many steps make one program, or where that is to be decided: a platform."""
    if unroll is not None:
        return guards.whole(caller, "unroll", unroll, 1)
    for x in jax.tree.leaves(given):
        if isinstance(x, jax.Array) and not isinstance(x, Tracer):
            return min(device.platform for device in x.devices())
    device = getattr(jax.config, "jax_default_device", None) or jax.devices()[0]
    return getattr(device, "platform", device)


def recorder(caller, record, evaluate, start, rule):
    """Return what to keep of each state as a tree that is called; None for None."""
    if record is None:
        return None
    guards.function(caller, "record", record)
    if known := programs.closed(record):
        return Partial(known)
    return programs.traced(record, jax.eval_shape(partial(first, caller), evaluate, start, rule))


def fits(caller, record, shapes, rows, given):
    """Refuse a record that is larger than all the memory that is free where it would lie.

    `shapes` are those of evaluation, start and rule of one run, `given` all arrays of the call.
    """
    if record is None:
        return
    start = jax.tree.leaves(shapes[1])
    largest = sum(x.size * x.dtype.itemsize for x in start)
    if getattr(record, "func", None) is not history:  # somebody may keep a Hessian of each state
        largest *= sum(x.size for x in start)
    if rows * largest < calls.LARGE:
        return
    arrays = [x for x in jax.tree.leaves((given, jnp.zeros(()))) if isinstance(x, jax.Array)]
    if any(isinstance(x, Tracer) for x in arrays):  # perhaps no row will be asked for
        return
    kept = jax.eval_shape(lambda *shapes: record(first(caller, *shapes)), *shapes)
    needed = rows * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(kept))
    devices = {device for x in arrays for device in x.devices()}
    here = [device for device in devices if device.process_index == jax.process_index()]
    free = _free(here)
    if free is not None and needed * len(here) / len(devices) > free:
        raise ValueError(
            f"{caller}: the record must fit into memory, it would take {needed / 1e9:.1f} GB where "
            f"{free / 1e9:.1f} GB are free; keep less of each state, record=lambda state: "
            "state.value, or no rows at all, record=None"
        )


def _free(devices):
    """Return the bytes that are free on all devices together; None where nobody knows."""
    known = [device.memory_stats() for device in devices]
    if all(known):
        return sum(stats["bytes_limit"] - stats["bytes_in_use"] for stats in known)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = {name: int(size) for name, size, *_ in map(str.split, lines)}
    return 1024 * (sizes["MemAvailable:"] + sizes["SwapFree:"])


def first(caller, evaluate, start, rule):
    """Return the state to begin or go on from; value and gradient are those of f, whatever came."""
    if not isinstance(rule, adapters.Schedule):
        guards.scalar_hyperparameters(caller, rule)
    resumed = isinstance(start, State)
    point = jax.tree.map(_strong, start.point if resumed else start)
    memory, count = jax.tree.map(_strong, adapters.unobserved(rule).init(point)), 0
    if resumed:
        guards.memory(caller, start.memory, memory)
        memory, count = start.memory, start.count
    count = jnp.asarray(count, jnp.int32)
    return sharding.varying(look(evaluate, point, memory, count), (evaluate, rule))


# -- one step --------------------------------------------------------------------------------------


def look(evaluate, point, memory, count):
    """Return the state at a point, DIVERGED if not all of it is finite."""
    value, slope = jax.tree.map(_strong, evaluate(point))
    finite = [jnp.isfinite(x).all() for x in trees.packed((point, value, slope))]
    status = jnp.where(reduce(and_, finite), *codes(Status.RUNNING, Status.DIVERGED))
    return State(point, value, slope, memory, count, status)


def move(evaluate, rule, state, step_size):
    """Return the next point and memory: one update of the rule, or one step of a schedule."""
    rule = adapters.unobserved(rule)
    rule = rules.Constant(step_size) if isinstance(rule, adapters.Schedule) else rule
    updates, memory = rule.update(
        state.gradient,
        state.memory,
        state.point,
        value=state.value,
        grad=state.gradient,
        value_fn=partial(_value, evaluate, state.point),
    )
    guards.update(updates, state.point, memory, state.memory)
    point = jax.tree.map(lambda x, u: x + u.astype(x.dtype), state.point, updates)
    memory = jax.tree.map(lambda new, old: _as(new, old.dtype), memory, state.memory)
    return sharding.varying((point, memory), state)


def _value(evaluate, like, params):
    """Return f at a point that a rule tries; some of optax try in a precision of their own."""
    params = jax.tree.map(lambda x, y: _as(x, y.dtype), params, like)
    return evaluations.value_of(evaluate, params)


def hold(new, old):
    """Return the new state if all of it is finite, otherwise the old one, marked DIVERGED."""
    (diverged,) = codes(Status.DIVERGED)
    return where(going(new), new, old._replace(status=diverged))


def step(evaluate, rule, state, step_size):
    """Return the state one step later, held; STALLED if the step changed nothing."""
    point, memory = move(evaluate, rule, state, step_size)
    new = look(evaluate, point, memory, later(state.count, 1))
    return stalled(rule, hold(new, state), state, point, memory)


def stalled(rule, state, old, point, memory):
    """Return a state, STALLED if it is RUNNING and a step led from the old one to no other.

    A step of a schedule may be 0 and the next one not; where the gradient is 0, a run has arrived.
    """
    if isinstance(rule, adapters.Schedule):
        return state
    pairs = zip(trees.packed((point, memory)), trees.packed((old.point, old.memory)), strict=True)
    same = reduce(and_, [(_bits(x) == _bits(y)).all() for x, y in pairs])
    steep = reduce(or_, [(g != 0).any() for g in trees.packed(old.gradient)])
    (stalled,) = codes(Status.STALLED)
    return state._replace(status=jnp.where(going(state) & same & steep, stalled, state.status))


# -- small parts -----------------------------------------------------------------------------------


def later(count, steps):
    """Return a count some steps later; it ends at the largest that there is."""
    return count + jnp.minimum(jnp.asarray(steps, jnp.int32), MOST - count)


def going(state):
    """Whether a run goes on from a state."""
    return state.status == Status.RUNNING


def codes(*statuses):
    """Return statuses as they stand in a state."""
    return [jnp.asarray(status.value, jnp.int32) for status in statuses]


def where(flag, tree, other):
    """Return one of two trees."""
    return jax.tree.map(lambda x, y: jnp.where(flag, x, y), tree, other)


@jax.custom_batching.custom_vmap
def some(flag):
    """Whether a flag is set, in any run of many: a loop goes on for all of them alike."""
    return flag


@some.def_vmap
def _some(_, batched, flag):
    return some(flag.any(0) if batched[0] else flag), False


def _bits(x):
    """Return an array that is equal where x is the same to the bit: nan is nan, -0 is not 0."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(x)
    if jnp.issubdtype(x.dtype, jnp.floating):
        return lax.bitcast_convert_type(x, f"uint{jnp.finfo(x.dtype).bits}")
    return x


def _strong(x):
    """Return an array whose type is a fixed point of the loop: no weak types."""
    x = x if hasattr(x, "dtype") else jnp.asarray(x)
    weak = getattr(x, "weak_type", False)  # keys of `jax.random` have none
    return lax.convert_element_type(x, x.dtype) if weak else x


def _as(x, dtype):
    x = jnp.asarray(x)
    return x if x.dtype == dtype else x.astype(dtype)
