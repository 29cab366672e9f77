"""Functions: what all kinds of them are offered, and how many instances are run by one.

What JAX can trace runs all of them at once, anything else one by one. What a function returns is
looked at before it counts as a run.
"""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from .. import instances
from .subject import Asked, Malformed, Subject, held_to, own_step

RUN = frozenset({"value", "gradient", "start", "step_size", "steps"})


def subject(asked: Asked, run, takes, reproduction) -> Subject:
    """Return a function that shows its points as a subject; ``run(problem, steps) -> Run``."""
    traced = is_traced(run)
    brings, fixed = {"restart"}, own_step(asked.method)
    if fixed is not None:
        brings.add("step size")
    elif "step_size" in takes:
        brings |= {"step size", "free step size"}
    return Subject(
        asked.name,
        partial(mapped if traced else by_row, run=run),
        frozenset(brings),
        held_to(asked.method),
        reproduction,
        step_size=fixed,
        compiled=traced,
        first=(0, 1),
    )


def refuse_others(asked: Asked, known):
    """Refuse a function that cannot do without a parameter that is not known."""
    unknown = sorted(asked.requires - known)
    if unknown:
        raise TypeError(
            f"{asked.caller}: {asked.name} has a parameter {unknown[0]!r}; a function that runs "
            f"descent takes some of {', '.join(sorted(RUN))}, or point and some of value, "
            "gradient, step_size, by these names"
        )


def offer(problem, steps):
    """Return what a function may ask for; value and gradient answer in kind.

    What ``gradient(x)`` returns is made anew at every call and belongs to the caller: a loop may
    write its step into it, and nothing that it does there reaches another call. So that array is
    not looked at again, as the start is, which is the same one before and after a run. Where JAX
    traces, as in the update of a transformation, no array can be changed at all.
    """
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


# -- what they return ------------------------------------------------------------------------------


def unchanged(name, problem, offered):
    """Refuse a run in which the start is not what it was."""
    if not np.array_equal(offered["start"], problem.start, equal_nan=True):
        raise Malformed(
            f"{name} changes its input: start is not what it was",
            str(problem.start.tolist()),
            str(offered["start"].tolist()),
        )


def like(name, after, point):
    """Return a point that is of the shape and the dtype of another."""
    if getattr(after, "shape", None) != point.shape:
        raise Malformed(
            f"{name} returned a point of shape {getattr(after, 'shape', type(after).__name__)}, "
            f"wanted is {point.shape}",
            f"shape {point.shape}",
            f"shape {getattr(after, 'shape', None)}",
        )
    return typed(name, after, point)


def typed(name, rows, start):
    """Return rows that are in the dtype of the start."""
    if rows.dtype != start.dtype:
        raise Malformed(
            f"{name} changes the dtype: it started in {start.dtype} and returned {rows.dtype}",
            str(start.dtype),
            str(rows.dtype),
        )
    return rows


# -- many at once ----------------------------------------------------------------------------------


def is_traced(run):
    """Return whether a function of JAX arrays can be traced, so that batches can be mapped."""
    try:
        jax.eval_shape(lambda problem: run(problem, 2), instances.example())
    except Malformed:
        return False  # the sentence comes from the numbers that are returned
    except Exception:
        return False
    return True


@partial(jax.jit, static_argnames=("steps", "run"))
def mapped(problems, steps, *, run):
    """Run many problems at once, in one compiled program."""
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
