"""Rules: gdpure's, optax's transformations, and factories step_size -> either of them."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import rules

from .. import instances
from ..rows import Run
from ..theorems.recurrences import Always
from .subject import Asked, Code, Subject, held_to, is_rule, own_step

LOOP = frozenset({"step size", "values and gradients", "final state", "restart", "stopping"})
FREE = frozenset({"free step size"})


def recognized(asked: Asked) -> Subject:
    """Return a rule, a transformation or a factory; refuse what is nothing of the kind."""
    target, name, method, caller = asked[:4]
    if isinstance(target, (int, float)) and not isinstance(target, bool):
        target = gd.Constant(float(target))
    if is_rule(target):
        return _of_rule(name, target, method)
    if not callable(target):
        raise TypeError(
            f"{caller}: the subject must be a rule, an optax transformation, a function "
            f"step_size -> either, or a function of value, gradient, start, step_size, steps; got "
            f"{type(target).__name__}"
        )
    return _of_factory(name, target, method, caller)


def _of_rule(name, rule, method):
    notes = ()
    if method is None and _has_recurrence(rule):
        method = rule
    if isinstance(rule, gd.Constant) or _has_recurrence(rule):
        step_size = getattr(rule, "step_size", None)
    else:
        step_size = _first_step(rule)
        notes = (
            f"step size {step_size:g}, inferred from one step; a function step_size -> optimizer "
            "is checked with every step size",
        )
    own = None if step_size is None else float(step_size)
    return _stepping(name, Always(rule), LOOP, method, partial(_loop, rule), own, notes)


def _of_factory(name, factory, method, caller):
    try:
        made = factory(0.125)
    except Exception as error:
        raise TypeError(
            f"{caller}: {name}(0.125) raised {type(error).__name__}: {error}; a factory is "
            "called with a step size, and a function that runs descent takes gradient= and start="
        ) from error
    if not is_rule(made):
        raise TypeError(
            f"{caller}: {name}(0.125) must return a rule or an optax transformation, with "
            f"init and update, got {type(made).__name__}"
        )
    if method is None and _has_recurrence(made):
        method = factory
    fixed = own_step(method)
    brings = LOOP | (FREE if fixed is None else set())
    return _stepping(name, factory, brings, method, partial(_loop, made, made=True), fixed)


def _stepping(name, make, brings, method, reproduction, step_size, notes=()):
    return Subject(
        name,
        partial(descend, make=make),
        brings,
        held_to(method),
        reproduction,
        stop=partial(minimize, make=make),
        step_size=step_size,
        notes=notes,
    )


def _has_recurrence(rule):
    """Return whether it is a gdpure rule that is not gradient descent with a constant step."""
    return type(rule).__module__ == rules.__name__ and not isinstance(rule, gd.Constant)


def _first_step(transformation):
    """Return the length of the step from x = 0 where the gradient is 1."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        run = gd.descend(jnp.sum, jnp.zeros(1, jnp.float64), transformation, steps=1)
        return abs(float(run.history.point[1, 0])) or 1.0


# -- how it is run ---------------------------------------------------------------------------------


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


# -- how its reproduction reads --------------------------------------------------------------------


def _loop(rule, code: Code, made=False):
    called = f"({code.arguments['step_size']})" if made else ""
    return [
        "import jax.numpy as jnp",
        f"optimizer, x = {code.subject}{called}, jnp.asarray({code.arguments['start']})",
        "memory = optimizer.init(x)",
        f"for _ in range({code.arguments['steps']}):",
        "    g = jnp.asarray(gradient(np.asarray(x)))",
        f"    move, memory = optimizer.update(g, memory, x{_more(rule)})",
        "    x = x + move",
        "returned = x",
    ]


def _more(rule):
    """Return the arguments, as text, that an update needs beside the gradient and the point."""
    try:
        jax.eval_shape(lambda x: rule.update(x, rule.init(x), x), np.zeros(1, np.float32))
    except TypeError:
        return ", value=value(x), grad=g, value_fn=value"
    except Exception:  # what is wrong is said where it is run
        return ""
    return ""
