"""Runs: many turns of the loop, the reports on the way, the end, and the derivative of it all."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.tree_util import Partial

from gdpure import adapters, coordinates, loop, programs, rules, sharding, trees
from gdpure.states import Descent, Status

# -- many steps ------------------------------------------------------------------------------------


@trees.pytree
class Course:
    """What a run does at every turn. It moves by the first of `moves`, by the last without a word.

    Two of them are epochs, which report by themselves and are no two alike.
    """

    evaluate: Any
    rule: Any
    moves: Any
    step_sizes: Any
    record: Any
    steps: int = trees.static()
    unroll: Any = trees.static()


def scan(evaluate, rule, start, step_sizes, record, steps, unroll, moves=()):
    """Return the run of `steps` moves from a state."""
    moves = moves or (Partial(loop.move),)
    if not isinstance(told := adapters.unobserved(rule), rules.ALL + (adapters.Schedule,)):
        # What somebody else's rule has in closures may be differentiated, too: it becomes leaves.
        moves = tuple(programs.traced(each, evaluate, told, start, None) for each in moves)
    course = Course(evaluate, rule, moves, step_sizes, record, steps, unroll)
    return _run(course, sharding.varying(start, course))


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
    unroll = course.unroll
    if unroll == "cpu":  # rows are written one by one, and slower by a longer program
        unroll = 1
    elif isinstance(unroll, str):
        unroll = max(1, programs.repetitions(unroll, body, carry, _at(turns, 0)))
    carry, rows = repeated(body, carry, turns, course.rule, ahead, course.record(start), unroll)
    final, *following = carry
    return Descent(_ended(course, final, following), rows)


_STRIDE = 32  # a power of 2


def _run_lean(course, start):
    """Return the last state alone, judged at every stride.

    A test of every state would cost three to seven times the loop. From the last good state on,
    each half of a stride is tried once.
    """

    def leave(state, step_size):
        count = loop.later(start.count, state.count)
        return _moved(course, state._replace(count=count), step_size)

    def step(carry, turn):
        (point, memory), (k, step_size) = carry, turn
        return leave(arrive(point, memory, k), step_size)  # nobody looks where it comes from

    arrive, ended = partial(loop.look, course.evaluate), partial(_ended, course)
    kept = start._replace(count=0 * start.count)
    step_sizes, carry = sharding.varying(course.step_sizes, start), (kept.point, kept.memory)
    limit, step_size = jnp.where(loop.going(start), course.steps, 0), _at(step_sizes, 0)
    known = coordinates.of((leave, kept, step_size), (arrive, *carry, kept.count), (ended, kept))
    if few := known is not None:
        (leave, arrive, ended), kept = known, coordinates.split(kept)
        carry = kept.point, kept.memory
    many = programs.repetitions(course.unroll, step, carry, (kept.count, step_size))
    unroll = max(many, 1) if isinstance(course.unroll, str) else course.unroll

    def bare(state):  # few numbers are computed again, which costs less than to keep them
        return state._replace(value=None, gradient=None, status=None) if few else state

    def seen(kept, k):
        state = arrive(kept.point, kept.memory, kept.count) if few else kept
        (diverged,) = loop.codes(Status.DIVERGED)
        status = jnp.where(kept.count < k, diverged, state.status)
        return state._replace(count=loop.later(start.count, kept.count), status=status)

    def along(carry, k, n):
        """Return where n steps lead that begin with the k-th."""

        def one(i, carry):
            return step(carry, (k + i, _at(step_sizes, k + i)))

        if isinstance(n, int):
            return lax.fori_loop(0, np.int32(n), one, carry, unroll=min(unroll, n) or None)
        if not few:
            return lax.fori_loop(0, n, one, carry)
        carry = lax.fori_loop(
            0, n // unroll, lambda i, carry: along(carry, k + unroll * i, unroll), carry
        )
        return lax.fori_loop(n - n % unroll, n, one, carry)

    def tried(kept, k, n):
        """Return the state n steps after k if it is good, and no later than the run ends."""
        carry, left = (kept.point, kept.memory), n
        if not few:
            carry, left = leave(kept, _at(step_sizes, k)), n - 1
        new = arrive(*along(carry, k + n - left, left), k + n)
        good = loop.going(new) & (kept.count == k) & (k + n <= limit)
        return loop.where(good, bare(new), kept)

    # What has effects is never run twice.
    n, kept = 1 if not many or _reporting(course) else _STRIDE, bare(kept)
    if course.steps >= n:
        kept, _ = repeated(
            lambda kept, k: (tried(kept, k, n), None),
            *(kept, n * jnp.arange(course.steps // n, dtype=jnp.int32), course.rule),
            *(seen, None, unroll if n == 1 else 1),
        )

    def fitting(n, kept):
        """Return the longest stride, n or halves of it, that does not lead beyond every end."""
        return lax.while_loop(
            lambda n: (n > 0) & ~loop.some(kept.count + n <= limit), lambda n: n // 2, n
        )

    def halved(turn):
        n, kept = turn
        kept = tried(kept, kept.count, n)
        return fitting(n // 2, kept), kept

    if n > 1:
        short = loop.some(kept.count < limit)
        turn = fitting(jnp.where(short, jnp.int32(n // 2), 0), kept), kept
        _, kept = lax.while_loop(lambda turn: turn[0] > 0, halved, turn)
    final = ended(seen(kept, course.steps))
    return coordinates.joined(final, start) if few else final


def _reporting(tree):
    def reports(x):
        return isinstance(x, adapters.Observed)

    return any(map(reports, jax.tree.leaves(tree, is_leaf=reports)))


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
    begun = sharding.varying(jnp.zeros((), jnp.int32), carry)
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
    if _reporting(primals):
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
