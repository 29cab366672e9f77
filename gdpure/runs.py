"""Runs: many turns of the loop, the reports on the way, the end, and the derivative of it all."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.tree_util import Partial

from gdpure import adapters, loop, programs, rules, trees
from gdpure.states import Descent, Status

# -- many steps ------------------------------------------------------------------------------------


@trees.pytree
class Course:
    """What a run does at every turn. It moves by the first of `moves`, by the last without a word.

    Two of them are epochs, which report by themselves and are no two alike. Without rows a state
    of every `stride` steps is judged.
    """

    evaluate: Any
    rule: Any
    moves: Any
    step_sizes: Any
    record: Any
    steps: int = trees.static()
    stride: int = trees.static()
    unroll: Any = trees.static()


def scan(evaluate, rule, start, step_sizes, record, steps, unroll, moves=()):
    """Return the run of `steps` moves from a state."""
    moves = watched = moves or (Partial(loop.move),)
    if not isinstance(told := adapters.unobserved(rule), rules.ALL + (adapters.Schedule,)):
        # What somebody else's rule has in closures may be differentiated, too: it becomes leaves.
        moves = tuple(programs.traced(each, evaluate, told, start, None) for each in moves)
    reporting = any(map(_reports, jax.tree.leaves((rule, watched), is_leaf=_reports)))
    course = Course(evaluate, rule, moves, step_sizes, record, steps, 1, unroll)
    if record and unroll == "cpu":  # rows are written one by one, and slower by a longer program
        course = replace(course, unroll=1)
    elif isinstance(unroll, str):
        body, carry = partial(_passed, course, start.count), (start.point, start.memory)
        many = programs.repetitions(unroll, body, carry, (start.count, _at(step_sizes, 0)))
        course, reporting = replace(course, unroll=max(many, 1)), reporting or not many
    if record is None and not reporting:  # what reports is never run twice
        course = replace(course, stride=_stride(steps, course.unroll))
    return _run(course, loop.varying(start, course))


def _reports(x):
    return isinstance(x, adapters.Observed)


_JUDGED = 4  # a step that is judged takes as long as some that are not


def _stride(steps, unroll):
    """Return the stride, a root of the steps or a few, of the run that takes least."""
    # A run that has ended repeats a stride, and not unrolled; most runs do not.
    again = 1 if unroll > 1 else 1 / 4

    def cost(stride):
        passed = stride - 1
        longest = passed // max(n for n in range(1, unroll + 1) if passed % n == 0)
        judged = steps // stride + steps % stride + again * stride
        return steps // stride * longest + judged * _JUDGED

    root = max(math.isqrt(steps), 1)
    return min({*range(max(root - 10, 1), root + 11), *range(2 * root, 2 * root + 11)}, key=cost)


@jax.custom_jvp
def _run(course, start):
    if course.record is None:
        return Descent(_run_lean(course, start), None)

    # One body more than moves: its last move is discarded, which is cheaper than to append a row.
    def body(carry, turn):
        kept, point, memory = carry
        new = ahead(carry, turn)
        kept = loop.hold(new, kept)
        point, memory = _moved(course, new, turn[1])
        point = jax.tree.map(lambda x: jnp.where(loop.going(new), x, jnp.nan), point)  # no way back
        return (kept, point, memory), course.record(kept)

    def ahead(carry, turn):
        _, point, memory = carry
        return loop.look(course.evaluate, point, memory, loop.later(start.count, turn[0]))

    carry = start, start.point, start.memory
    turns = jnp.arange(course.steps + 1, dtype=jnp.int32), course.step_sizes
    carry, rows = repeated(
        body, carry, turns, course.rule, ahead, course.record(start), course.unroll
    )
    final, *following = carry
    return Descent(_ended(course, final, following), rows)


def _run_lean(course, start):
    """Return the last state alone, judged at every stride; after the last good one with care.

    A test of every state would cost three to seven times the loop.
    """

    def looked(k, point, memory):
        return loop.look(course.evaluate, point, memory, loop.later(start.count, k))

    def ahead(carry, turn):
        live, _, point, memory = carry
        state = looked(turn[0][0], point, memory)
        return state._replace(status=jnp.where(live, state.status, ended))  # no way back

    def stride(carry, turn):
        state, (k, step_sizes) = ahead(carry, turn), turn
        live = loop.going(state)
        kept = loop.where(live, (k[0], state.point, state.memory), carry[1])
        carry = _moved(course, state, _at(step_sizes, 0))
        if len(k) > 1:
            passed = partial(_passed, course, start.count)
            rest = jax.tree.map(lambda x: x[1:], turn)
            carry, _ = lax.scan(passed, carry, rest, unroll=course.unroll)
        return (live, kept, *carry), None

    def careful(turn):
        k, state = turn
        return k + 1, loop.hold(_next(course, state, _at(course.step_sizes, k)), state)

    def going(turn):
        k, state = turn
        return loop.going(state) & (k < course.steps)

    (ended,) = loop.codes(Status.DIVERGED)
    n = course.steps // course.stride
    k = jnp.arange(n * course.stride, dtype=jnp.int32)
    turns = k, jax.tree.map(lambda x: x[: len(k)], course.step_sizes)
    turns = jax.tree.map(lambda x: x.reshape(n, course.stride), turns)
    kept = 0 * start.count, start.point, start.memory
    carry = start.count == start.count, kept, start.point, start.memory
    unroll = course.unroll if course.stride == 1 else 1
    (live, kept, *end), _ = repeated(stride, carry, turns, course.rule, ahead, None, unroll)
    reached = jnp.asarray(n * course.stride, jnp.int32), *end
    kept = loop.where(live & loop.going(looked(*reached)), reached, kept)
    _, final = lax.while_loop(going, careful, (kept[0], looked(*kept)))
    return _ended(course, final)


def _passed(course, count, carry, turn):
    """Return the next point and memory; where they come from is not judged."""
    (point, memory), (k, step_size) = carry, turn
    state = loop.look(course.evaluate, point, memory, loop.later(count, k))
    return _moved(course, state, step_size), None


def _moved(course, state, step_size, which=0):
    return course.moves[which](course.evaluate, adapters.unobserved(course.rule), state, step_size)


def _next(course, state, step_size):
    """Return the state one move later, whatever it is, without a word."""
    point, memory = _moved(course, state, step_size, -1)
    return loop.look(course.evaluate, point, memory, loop.later(state.count, 1))


def _ended(course, state, following=None):
    """Return the last state of a run, STALLED if one more step changes nothing."""
    if len(course.moves) > 1 or course.step_sizes is not None:
        return state
    return loop.stalled(course.rule, state, state, *(following or _moved(course, state, None)))


def repeated(body, carry, turns, rule, ahead, row, unroll):
    """Return a `lax.scan` of a body; where the rule is observed, in stretches between reports.

    ``ahead(carry, turn)`` is the state before a body, `row` is of the form of its rows.
    """
    n = len(jax.tree.leaves(turns)[0])
    if n == 0 or not isinstance(rule, adapters.Observed):  # of no turns none can be shown ahead
        return lax.scan(body, carry, turns, unroll=unroll)

    def going(whole):
        return whole[0] < n

    def one(whole):
        k, carry, rows = whole
        carry, row = body(carry, _at(turns, k))
        return k + 1, carry, jax.tree.map(lambda rows, x: rows.at[k].set(x), rows, row)

    def state(whole):
        return ahead(whole[1], _at(turns, whole[0]))

    rows = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), row)
    begun = loop.varying(jnp.zeros((), jnp.int32), carry)
    return until(going, one, (begun, carry, rows), rule, state)[1:]


def until(going, one, turn, rule, ahead):
    """Return a `lax.while_loop` over (k, ...); where the rule is observed, in stretches.

    XLA makes one kernel of a small loop if there is no callback in it.
    """
    if not isinstance(rule, adapters.Observed):
        return lax.while_loop(going, one, turn)

    def stretch(turn):
        state = ahead(turn)
        rule.report(state.count, state.value, going(turn) & loop.going(state))
        left = turn[0] + (rule.every - state.count % rule.every)
        return lax.while_loop(lambda turn: going(turn) & (turn[0] < left), one, turn)

    return lax.while_loop(going, stretch, turn)


# -- derivatives -----------------------------------------------------------------------------------


@partial(_run.defjvp, symbolic_zeros=True)
def _run_derivative(primals, tangents):
    def reporting(x):
        return isinstance(x, adapters.Observed)

    if any(map(reporting, jax.tree.leaves(primals, is_leaf=reporting))):
        _run(*primals)  # for its reports
    return jax.jvp(*_varied(_differentiable, primals, tangents))


def _differentiable(course, start):
    """Return what `_run` returns, by steps whose derivative is that of the state that is kept."""

    def body(state, turn):
        k, step_size = turn
        new = _kept(course, state, step_size)
        # Rows are stacked as in `_run`, for JAX takes the axes of a `vmap` from there.
        return loop.where(k < course.steps, new, state), course.record and course.record(state)

    turns = jnp.arange(course.steps + 1, dtype=jnp.int32), course.step_sizes
    final, rows = lax.scan(body, start, turns)
    if course.record is None:  # then no value is differentiated but this one
        seen = loop.look(course.evaluate, final.point, final.memory, final.count)
        final = final._replace(value=seen.value, gradient=seen.gradient)
    return Descent(_ended(course, final), rows)


@jax.custom_jvp
def _kept(course, state, step_size):
    return _held(_next(course, state, step_size), state)


def _held(new, old):
    return loop.where(loop.going(old), loop.hold(new, old), old)


@partial(_kept.defjvp, symbolic_zeros=True)
def _kept_derivative(primals, tangents):
    one, given, slopes = _varied(_next, primals, tangents)
    new, derivative = jax.linearize(one, *given)
    _, old, _ = primals
    kept = loop.going(old) & loop.going(new)
    # What is thrown away has no part in it: 0 times what is not finite would not be 0.
    moved = derivative(*[jnp.where(kept, x, jnp.zeros_like(x)) for x in slopes])

    def chosen(x, moved, slope):
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return moved
        still = jnp.zeros_like(x) if isinstance(slope, SymbolicZero) else slope
        return jnp.where(kept, moved, still)

    return _held(new, old), jax.tree.map(chosen, old, moved, tangents[1])


def _varied(function, primals, tangents):
    """Return a function of the arguments that vary alone, these, and their tangents."""
    leaves, tree = jax.tree.flatten(primals)
    slopes = tree.flatten_up_to(tangents)
    places = [k for k, slope in enumerate(slopes) if not isinstance(slope, SymbolicZero)]

    def of_varied(*given):
        moved = dict(zip(places, given, strict=True))
        return function(*tree.unflatten([moved.get(k, x) for k, x in enumerate(leaves)]))

    return of_varied, [leaves[k] for k in places], [slopes[k] for k in places]


def _at(tree, k):
    return jax.tree.map(lambda x: x[k], tree)
