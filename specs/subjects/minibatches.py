"""Gradients of mini-batches: functions (objective, batch) -> (x -> (value, gradient))."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from .. import instances
from ..rows import Run
from .gradient import way
from .subject import Asked, Code, Subject


def recognized(asked: Asked) -> Subject | None:
    """Return a gradient of mini-batches: a function of objective and batch."""
    if not {"objective", "batch"} <= asked.takes:
        return None
    run, brings = partial(_evaluate, mode=asked.target), frozenset({"examples", "mini-batches"})
    return Subject(asked.name, run, brings, "gradient", _reproduction)


@partial(jax.jit, static_argnames=("steps", "mode"))
def _evaluate(problems, steps, *, mode):
    """Evaluate the gradients of all mini-batches, where those of the whole are."""

    def one(problem):
        points, f = way(problem, steps), instances.objective(problem, problem.start.dtype)
        some = jnp.asarray(instances.minibatches(len(problem.features)))
        slopes = [jax.vmap(mode(f, batch))(points)[1] for batch in some]
        return Run(points, batches=jnp.stack(slopes, axis=1))

    return jax.vmap(one)(problems)


def _reproduction(code: Code):
    numbers = (code.instance.bend, code.instance.tail, code.instance.minimum)
    rest = ", ".join(f"np.{code.dtype}({float(x)!r})" for x in numbers)
    features = f'np.array({code.array(code.instance.features)}, "{code.dtype}")'
    return [
        "import gdpure as gd  # the subject takes its objectives",
        "from gdpure.specs.instances import gradient, minibatches, value",
        f"data = {features}, c, {rest.replace('(inf', '(np.inf')}",
        "objective = gd.Objective(value, data, gradient, axes=(0, None, None, None, None))",
        f"batches = minibatches({len(code.instance.features)})",
        f"x = {code.arguments['start']}",
        f"returned = [{code.subject}(objective, batch)(x)[1] for batch in batches]",
    ]
