"""Functions of point and some of value, gradient, step_size that return the next point."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..rows import Run
from . import functions
from .subject import Asked, Code, Malformed, Subject

_STEP = frozenset({"point", "value", "gradient", "step_size"})


def recognized(asked: Asked) -> Subject | None:
    """Return a function that makes one step: it takes point."""
    if "point" not in asked.takes:
        return None
    functions.refuse_others(asked, _STEP)
    takes = asked.takes & _STEP
    run = partial(_repeated, asked.target, takes, asked.name)
    return functions.subject(asked, run, takes, partial(_reproduction, takes=takes))


def _repeated(function, takes, name, problem, steps):
    offered = functions.offer(problem, steps)
    asked = {key: offered[key] for key in takes - {"point"}}

    def step(point):
        start = np.array(point) if isinstance(point, np.ndarray) else point
        after = function(point=start, **asked)
        if isinstance(point, np.ndarray):
            if not np.array_equal(start, point, equal_nan=True):
                raise Malformed(f"{name} changes its input", f"point {point}", f"{start}")
            after = np.asarray(after)
        return functions.like(name, after, point)

    if isinstance(problem.start, np.ndarray):
        rows = [problem.start]
        for _ in range(steps):
            rows.append(step(rows[-1]))
        return Run(np.stack(rows))
    last, rows = jax.lax.scan(lambda x, _: (step(x), x), problem.start, length=steps)
    return Run(jnp.concatenate([rows, last[None]]))


def _reproduction(code: Code, takes):
    return [
        f"x = {code.arguments['start']}",
        f"for _ in range({code.arguments['steps']}): x = {code.call(takes)}",
        "returned = x",
    ]
