"""Functions of some of value, gradient, start, step_size, steps that return all points."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..rows import Run
from . import functions
from .functions import RUN
from .subject import Asked, Code, Malformed, Subject


def recognized(asked: Asked) -> Subject | None:
    """Return a function that runs descent: it takes value, gradient or start."""
    if not asked.takes & {"value", "gradient", "start"}:
        return None
    functions.refuse_others(asked, RUN)
    takes = asked.takes & RUN
    run = partial(_iterates, asked.target, takes, asked.name)
    return functions.subject(asked, run, takes, partial(_reproduction, takes=takes))


def _iterates(function, takes, name, problem, steps):
    offered = functions.offer(problem, steps)
    rows = function(**{key: offered[key] for key in takes})
    if isinstance(rows, list | tuple):
        sizes = {np.shape(row) for row in rows}
        if len(sizes) > 1:
            raise Malformed(f"{name} returned rows of different shapes", "one shape", str(sizes))
        stack = jnp.stack if any(isinstance(row, jax.Array) for row in rows) else np.stack
        rows = stack(rows) if rows else np.zeros((0,))
    if isinstance(problem.start, np.ndarray):
        functions.unchanged(name, problem, offered)
        rows = np.asarray(rows) if hasattr(rows, "shape") else rows
    return Run(_well_formed(name, rows, problem.start, steps))


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
    return functions.typed(name, rows, start)


def _reproduction(code: Code, takes):
    return [f"returned = {code.call(takes)}[{code.arguments['steps']}]"]
