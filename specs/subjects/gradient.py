"""Gradients: functions objective -> (x -> (value, gradient)), of the whole or of each example."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

import gdpure as gd
from gdpure import gradients

from .. import instances
from ..rows import Run
from .subject import Asked, Code, Subject


def recognized(asked: Asked) -> Subject | None:
    """Return a mode of differentiation: gdpure's, or a function of objective alone."""
    ours = any(asked.target is mode for mode in (*gradients.MODES, gd.per_sample))
    if not ours and ("objective" not in asked.takes or "batch" in asked.takes):
        return None
    rows = ["rows"] if _has_rows(asked.target) else []
    brings = frozenset(["values and gradients", "examples", *rows])
    run = partial(_evaluate, mode=asked.target)
    return Subject(asked.name, run, brings, "gradient", _reproduction)


def _has_rows(mode):
    """Return whether a mode of differentiation gives gradients of single examples."""
    problems = jax.tree.map(lambda leaf: leaf[None], instances.example())
    try:
        return jax.eval_shape(lambda p: _evaluate(p, 2, mode=mode), problems).rows is not None
    except Exception:
        return False  # what is wrong is said where it is run


def way(problem, steps):
    """Return points on the way from the start to the probe, and the minimizer."""
    way = jnp.linspace(0, 1, steps, dtype=problem.start.dtype)[:, None]
    points = problem.start[None] + way * (problem.probe - problem.start)[None]
    return jnp.concatenate([points, problem.center[None]])


@partial(jax.jit, static_argnames=("steps", "mode"))
def _evaluate(problems, steps, *, mode):
    """Evaluate on the way from the start to the probe, and at the minimizer."""

    def one(problem):
        points, f = way(problem, steps), instances.objective(problem, problem.start.dtype)
        values, slopes = jax.vmap(mode(f))(points)
        rows = None
        if values.ndim == 2:
            rows, values, slopes = (values, slopes), values.mean(axis=1), slopes.mean(axis=1)
        return Run(points, values, slopes, rows=rows)

    return jax.vmap(one)(problems)


def _reproduction(code: Code):
    bend, tail, minimum = (
        code.array(x) for x in (code.instance.bend, code.instance.tail, code.instance.minimum)
    )
    return [
        "class objective:",
        f"    data = X * np.sqrt(len(X)).astype(X.dtype), c, {bend}, {tail}, {minimum}",
        "    def __call__(self, x): return value(x)",
        f"x = {code.arguments['start']}",
        f"returned = {code.subject}(objective())(x)",
    ]
