"""Functions with a tolerance, which stop by themselves: (point, whether it converged)."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np

from ..rows import Run
from . import functions
from .functions import RUN
from .subject import Asked, Code, Malformed, Subject, held_to


def recognized(asked: Asked) -> Subject | None:
    """Return a function that stops: it takes tolerance, and value, gradient or start."""
    if "tolerance" not in asked.takes or not asked.takes & {"value", "gradient", "start"}:
        return None
    known = RUN | {"tolerance"}
    functions.refuse_others(asked, known)
    takes = asked.takes & known
    run = partial(_stopped, asked.target, takes, asked.name)
    traced = functions.is_traced(run)
    return Subject(
        asked.name,
        None,
        frozenset({"step size", "stopping"} if "step_size" in takes else {"stopping"}),
        held_to(asked.method),
        partial(_reproduction, takes=takes),
        stop=partial(functions.mapped if traced else functions.by_row, run=run),
        compiled=traced,
    )


def _stopped(function, takes, name, problem, steps):
    """Return where it began and where it stopped."""
    offered = functions.offer(problem, steps)
    out = function(**{key: offered[key] for key in takes})
    if not isinstance(out, tuple) or len(out) != 2:
        raise Malformed(
            f"{name} must return (point, whether it converged)", "a pair", type(out).__name__
        )
    point, converged = out
    if isinstance(problem.start, np.ndarray):
        functions.unchanged(name, problem, offered)
        rows = np.stack([problem.start, functions.like(name, np.asarray(point), problem.start)])
        return Run(rows, converged=np.bool_(converged), limit=np.float64(steps))
    rows = jnp.stack([problem.start, functions.like(name, point, problem.start)])
    return Run(rows, converged=jnp.asarray(converged), limit=jnp.asarray(float(steps)))


def _reproduction(code: Code, takes):
    return [f"returned = {code.call(takes)}"]
