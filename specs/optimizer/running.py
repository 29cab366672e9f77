"""Running: how every kind of subject is run on a batch of instances.

What JAX can trace runs all of them at once, anything else one by one. What a function returns is
looked at before it counts as a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from .. import instances
from ..rows import Run


class Malformed(Exception):
    """What a subject returned is no run: a sentence, what was wanted, what came."""

    def __init__(self, sentence, must_be, returned):
        super().__init__(sentence)
        self.must_be, self.returned = must_be, returned


# -- rules and schedules ---------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("steps", "make"))
def descend(problems, steps, *, make):
    """Run a rule, or a transformation, as `gdpure.descend` does."""

    def one(problem):
        dtype = problem.start.dtype
        f, rule = instances.objective(problem, dtype), make(problem.step_size)
        run = gd.descend(f, problem.start, rule, steps=steps)
        rows = run.history
        return Run(rows.point, rows.value, rows.gradient, run.final.point)

    return jax.vmap(one)(problems)


@partial(jax.jit, static_argnames=("steps", "make"))
def minimize(problems, steps, *, make):
    """Return where `gd.minimize` stops, as runs of two rows."""

    def one(problem):
        f = instances.objective(problem, problem.start.dtype)
        state = gd.minimize(
            f,
            problem.start,
            make(problem.step_size),
            tolerance=problem.tolerance,
            max_steps=steps,
        )
        converged = state.status == gd.Status.CONVERGED
        rows = jnp.stack([problem.start, state.point])
        return Run(rows, converged=converged, limit=jnp.asarray(float(steps)))

    return jax.vmap(one)(problems)


@dataclass(frozen=True)
class Scaled:
    """A function step_size -> n step sizes: those of a schedule, times the step size."""

    schedule: Any
    n: int

    def __call__(self, step_size):
        """Return the step sizes."""
        with jax.ensure_compile_time_eval():  # it may well be NumPy's
            steps = np.asarray(self.schedule(self.n))
        return step_size * steps.astype(step_size.dtype)


def descend_along(problems, steps, *, schedule):
    """Run the step sizes of a schedule."""
    return descend(problems, steps, make=Scaled(schedule, steps))


# -- functions -------------------------------------------------------------------------------------


def _offer(problem, steps):
    """Return what a function may ask for; value and gradient answer in kind."""
    data = problem.data

    def answering(function):
        def answer(x):
            return function(x if isinstance(x, jax.Array) else np.asarray(x), data)

        return answer

    on_host = isinstance(problem.start, np.ndarray)
    return {
        "value": answering(instances.value),
        "gradient": answering(instances.gradient),
        "start": problem.start.copy() if on_host else problem.start,
        "step_size": float(problem.step_size) if on_host else problem.step_size,
        "tolerance": float(problem.tolerance) if on_host else problem.tolerance,
        "steps": steps,
    }


def iterates(function, wanted, name, problem, steps):
    """Run a function that returns all points."""
    offered = _offer(problem, steps)
    rows = function(**{key: offered[key] for key in wanted})
    if isinstance(rows, list | tuple):
        sizes = {np.shape(row) for row in rows}
        if len(sizes) > 1:
            raise Malformed(f"{name} returned rows of different shapes", "one shape", str(sizes))
        stack = jnp.stack if any(isinstance(row, jax.Array) for row in rows) else np.stack
        rows = stack(rows) if rows else np.zeros((0,))
    if isinstance(problem.start, np.ndarray):
        _unchanged(name, problem, offered)
        rows = np.asarray(rows) if hasattr(rows, "shape") else rows
    return Run(_well_formed(name, rows, problem.start, steps))


def next_points(function, wanted, name, problem, steps):
    """Run a function that returns the next point."""
    offered = _offer(problem, steps)
    asked = {key: offered[key] for key in wanted - {"point"}}

    def step(point):
        start = np.array(point) if isinstance(point, np.ndarray) else point
        after = function(point=start, **asked)
        if isinstance(point, np.ndarray):
            if not np.array_equal(start, point, equal_nan=True):
                raise Malformed(f"{name} changes its input", f"point {point}", f"{start}")
            after = np.asarray(after)
        return _like(name, after, point)

    if isinstance(problem.start, np.ndarray):
        rows = [problem.start]
        for _ in range(steps):
            rows.append(step(rows[-1]))
        return Run(np.stack(rows))
    last, rows = jax.lax.scan(lambda x, _: (step(x), x), problem.start, length=steps)
    return Run(jnp.concatenate([rows, last[None]]))


def stopped(function, wanted, name, problem, steps):
    """Run a function that stops by itself; return where it began and where it stopped."""
    offered = _offer(problem, steps)
    out = function(**{key: offered[key] for key in wanted})
    if not isinstance(out, tuple) or len(out) != 2:
        raise Malformed(
            f"{name} must return (point, whether it converged)", "a pair", type(out).__name__
        )
    point, converged = out
    if isinstance(problem.start, np.ndarray):
        _unchanged(name, problem, offered)
        rows = np.stack([problem.start, _like(name, np.asarray(point), problem.start)])
        return Run(rows, converged=np.bool_(converged), limit=np.float64(steps))
    rows = jnp.stack([problem.start, _like(name, point, problem.start)])
    return Run(rows, converged=jnp.asarray(converged), limit=jnp.asarray(float(steps)))


# -- what they return ------------------------------------------------------------------------------


def _unchanged(name, problem, offered):
    if not np.array_equal(offered["start"], problem.start, equal_nan=True):
        raise Malformed(
            f"{name} changes its input: start is not what it was",
            str(problem.start.tolist()),
            str(offered["start"].tolist()),
        )


def _well_formed(name, rows, start, steps):
    wanted = (steps + 1, *start.shape)
    if not hasattr(rows, "shape") or rows.shape != wanted:
        came = getattr(rows, "shape", type(rows).__name__)
        few = f"{came[0]} rows" if isinstance(came, tuple) and came[1:] == wanted[1:] else str(came)
        raise Malformed(
            f"{name} returned {few} for {steps} steps; wanted are the start and one row a step, "
            f"shape {wanted}",
            f"shape {wanted}",
            f"shape {came}",
        )
    return _typed(name, rows, start)


def _like(name, after, point):
    if getattr(after, "shape", None) != point.shape:
        raise Malformed(
            f"{name} returned a point of shape {getattr(after, 'shape', type(after).__name__)}, "
            f"wanted is {point.shape}",
            f"shape {point.shape}",
            f"shape {getattr(after, 'shape', None)}",
        )
    return _typed(name, after, point)


def _typed(name, rows, start):
    if rows.dtype != start.dtype:
        raise Malformed(
            f"{name} changes the dtype: it started in {start.dtype} and returned {rows.dtype}",
            str(start.dtype),
            str(rows.dtype),
        )
    return rows


# -- many at once ----------------------------------------------------------------------------------


def traced(run):
    """Return whether a function of JAX arrays can be traced, so that batches can be mapped."""
    problem = jax.tree.map(jnp.asarray, example(instances.SHAPES[0]))
    try:
        jax.eval_shape(lambda problem: run(problem, 2), problem)
    except Malformed:
        return False  # the sentence comes from the numbers that are returned
    except Exception:
        return False
    return True


def example(shape):
    """Return any problem of a shape, NumPy, float32."""
    n, d, _ = shape
    f32 = np.float32
    return instances.Instance(
        np.ones((n, d), f32),
        np.zeros(d, f32),
        f32(np.inf),
        f32(0),
        f32(0),
        np.ones(d, f32),
        f32(0.125),
        np.zeros(d, f32),
        f32(d),
        f32(0),
        f32(1),
    )


def mapped(problems, steps, *, run):
    """Run many problems at once, in one compiled program."""
    return _jitted(problems, steps, run=run)


@partial(jax.jit, static_argnames=("steps", "run"))
def _jitted(problems, steps, *, run):
    return jax.vmap(lambda problem: run(problem, steps))(problems)


def by_row(problems, steps, *, run):
    """Run many problems one by one, on NumPy arrays."""
    problems = jax.device_get(problems)
    # What overflows is judged, not warned of.
    with np.errstate(all="ignore"):
        rows = [
            run(jax.tree.map(lambda leaf, i=i: leaf[i], problems), steps)
            for i in range(len(problems.start))
        ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


# -- gradients -------------------------------------------------------------------------------------


def has_rows(mode):
    """Return whether a mode of differentiation gives gradients of single examples."""
    problems = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], example(instances.SHAPES[0]))
    try:
        return jax.eval_shape(lambda p: evaluate(p, 2, mode=mode), problems).rows is not None
    except Exception:
        return False  # what is wrong is said where it is run


def _way(problem, steps):
    """Return points on the way from the start to the probe, and the minimizer."""
    way = jnp.linspace(0, 1, steps, dtype=problem.start.dtype)[:, None]
    points = problem.start[None] + way * (problem.probe - problem.start)[None]
    return jnp.concatenate([points, problem.center[None]])


@partial(jax.jit, static_argnames=("steps", "mode"))
def evaluate(problems, steps, *, mode):
    """Evaluate on the way from the start to the probe, and at the minimizer."""

    def one(problem):
        points, f = _way(problem, steps), instances.objective(problem, problem.start.dtype)
        values, slopes = jax.vmap(mode(f))(points)
        rows = None
        if values.ndim == 2:
            rows, values, slopes = (values, slopes), values.mean(axis=1), slopes.mean(axis=1)
        return Run(points, values, slopes, rows=rows)

    return jax.vmap(one)(problems)


@partial(jax.jit, static_argnames=("steps", "mode"))
def evaluate_batches(problems, steps, *, mode):
    """Evaluate the gradients of all mini-batches, at the same points."""

    def one(problem):
        points, f = _way(problem, steps), instances.objective(problem, problem.start.dtype)
        some = jnp.asarray(instances.minibatches(len(problem.features)))
        slopes = [jax.vmap(mode(f, batch))(points)[1] for batch in some]
        return Run(points, batches=jnp.stack(slopes, axis=1))

    return jax.vmap(one)(problems)
