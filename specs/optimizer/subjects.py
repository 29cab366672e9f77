"""Subjects: what can be checked, and what it brings.

A subject is a gdpure rule, an optax transformation, a factory step_size -> either of them, or a
function, told by the names of its parameters:

===========================================================  =====================================
some of value, gradient, start, step_size, steps             iterates (steps + 1, d)
some of point, value, gradient, step_size, with point        the next point
n                                                            n step sizes, in units of 1/L
the first kind, with tolerance                               (point, whether it converged)
objective                                                    params -> (value, gradient)
objective and batch, the indices of some examples            the same, of their mean
===========================================================  =====================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import gradients, rules

from ..rows import Run
from ..theorems import methods, schedules
from ..theorems.recurrences import Always
from . import running

_WHOLE = {"value", "gradient", "start", "step_size", "steps"}
_STEP = {"point", "value", "gradient", "step_size"}
_STOPS = _WHOLE | {"tolerance"}


@dataclass(frozen=True, eq=False)
class Subject:
    """Something that can be run on instances.

    Attributes
    ----------
    name
        ``module:attribute`` where it has one.
    run, stop
        ``run(problems, steps) -> Run``, both with a leading batch axis; the problems are instances
        whose numbers are in the dtype of the run already. `stop` runs until the tolerance is met,
        and returns the start and the last point. None is what it cannot do.
    brings
        Names in `theorem.NEEDS`.
    method
        "gradient descent", "descent", "any", a function step_size -> gdpure rule whose recurrence
        it should follow, or a schedule: a function n -> n step sizes, in units of eta.
    step_size
        eta, if it has one of its own.
    compiled
        Whether many instances are run by one compiled program.
    call
        How it is called: "iterates", "next point", "stopping", "transformation", "schedule",
        "gradient" or "mini-batches".
    takes
        The names of the parameters that a function takes.
    """

    name: str
    run: Callable[[Any, int], Run] | None
    stop: Callable[[Any, int], Run] | None
    brings: frozenset
    method: Any
    step_size: float | None
    compiled: bool
    call: str
    takes: frozenset
    notes: tuple[str, ...] = ()


# -- what is it ------------------------------------------------------------------------------------


def as_subject(target, method=None, name=None, caller="check_optimizer") -> Subject:
    """Return what can be run; refuse what cannot with one sentence.

    Parameters
    ----------
    target
        A rule, a transformation, a factory or a function, as above.
    method
        What to hold it to: None, "descent", "any", a gdpure rule, a function step_size -> rule, or
        a schedule.
    name
        What to call it, by default module:attribute.
    caller
        Which function refuses what cannot be run.
    """
    if method is not None and not _is_method(method):
        raise TypeError(
            f'{caller}: method must be None, "descent", "any", or a gdpure rule such as '
            f"gd.HeavyBall(0.1, 0.9), got {method!r}"
        )
    if callable(method) and methods.is_schedule(method):
        schedules.refuse_what_is_none(caller, name_of(method), method)
    name = name or name_of(target)
    if isinstance(target, (int, float)) and not isinstance(target, bool):
        target = gd.Constant(float(target))
    if _steps(target):
        return _of_transformation(name, target, method)
    if not callable(target):
        raise TypeError(
            f"{caller}: the subject must be a rule, an optax transformation, a function "
            f"step_size -> either, or a function of value, gradient, start, step_size, steps; got "
            f"{type(target).__name__}"
        )
    if target in gradients.MODES or target is gd.per_sample:
        return _of_gradient(name, target)
    wanted, required = _parameters(name, target, caller)
    if {"objective", "batch"} <= wanted:
        return _of_minibatches(name, target)
    if "objective" in wanted:
        return _of_gradient(name, target)
    if "n" in required:
        return _of_schedule(name, target, method, caller)
    if not wanted & {"value", "gradient", "start", "point"}:
        return _of_factory(name, target, method, caller)
    known = _STEP if "point" in wanted else _STOPS
    unknown = sorted(required - known)
    if unknown:
        raise TypeError(
            f"{caller}: {name} has a parameter {unknown[0]!r}; a function that runs descent "
            f"takes some of {', '.join(sorted(_WHOLE))}, or point and some of value, gradient, "
            "step_size, by these names"
        )
    if "tolerance" in wanted:
        return _of_stopping(name, target, wanted & known, method)
    return _of_black_box(name, target, wanted & known, method)


def name_of(target) -> str:
    """Return module:attribute where a thing has one, else how it shows itself."""
    if isinstance(target, partial):
        fixed = [f"{x!r}" for x in target.args]
        fixed += [f"{key}={x!r}" for key, x in target.keywords.items()]
        return f"{name_of(target.func)}({', '.join(fixed)})"
    module, attribute = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if module and attribute and "<" not in attribute and not _steps(target):
        return f"{module.removesuffix('._src.alias')}:{attribute}"
    if _steps(target) and type(target).__module__ == rules.__name__:
        fields = (f"{key}={shown}" for key, shown in _fields(target))
        return f"gd.{type(target).__name__}({', '.join(fields)})"
    return attribute or type(target).__name__


def _fields(rule):
    for key, x in vars(rule).items():
        yield key, x.__name__ if callable(x) else f"{x:g}" if np.ndim(x) == 0 else repr(x)


def _steps(target):
    return hasattr(target, "init") and hasattr(target, "update") and not isinstance(target, type)


def _is_method(method):
    return method in ("gradient descent", "descent", "any") or _steps(method) or callable(method)


def _parameters(name, function, caller):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise TypeError(f"{caller}: the parameters of {name} cannot be read") from error
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = {p.name for p in named if p.default is p.empty}
    return {p.name for p in named}, required


# -- rules and transformations ---------------------------------------------------------------------

_LOOP = frozenset({"step size", "values and gradients", "final state", "restart", "stopping"})
_FREE = frozenset({"free step size"})


def _of_factory(name, factory, method, caller):
    try:
        made = factory(0.125)
    except Exception as error:
        raise TypeError(
            f"{caller}: {name}(0.125) raised {type(error).__name__}: {error}; a factory is "
            "called with a step size, and a function that runs descent takes gradient= and start="
        ) from error
    if not _steps(made):
        raise TypeError(
            f"{caller}: {name}(0.125) must return a rule or an optax transformation, with "
            f"init and update, got {type(made).__name__}"
        )
    if method is None and _recurrence(made):
        method = factory
    fixed = _own_step(method)
    return Subject(
        name,
        partial(running.descend, make=factory),
        partial(running.minimize, make=factory),
        _LOOP | (_FREE if fixed is None else set()),
        _held_to(method),
        fixed,
        True,
        "transformation",
        frozenset(),
    )


def _of_transformation(name, rule, method):
    notes = ()
    if method is None and _recurrence(rule):
        method = rule
    if isinstance(rule, gd.Constant) or _recurrence(rule):
        step_size = getattr(rule, "step_size", None)
    else:
        step_size = _first_step(rule)
        notes = (
            f"step size {step_size:g}, inferred from one step; a function step_size -> optimizer "
            "is checked with every step size",
        )
    return Subject(
        name,
        partial(running.descend, make=Always(rule)),
        partial(running.minimize, make=Always(rule)),
        _LOOP,
        _held_to(method),
        None if step_size is None else float(step_size),
        True,
        "transformation",
        frozenset(),
        notes,
    )


def _of_schedule(name, schedule, method, caller):
    schedules.refuse_what_is_none(caller, name, schedule)
    return Subject(
        name,
        partial(running.descend_along, schedule=schedule),
        None,
        _LOOP - {"stopping"} | _FREE,
        schedule if method is None else _held_to(method),
        None,
        True,
        "schedule",
        frozenset(),
    )


def _recurrence(rule):
    """Return whether it is a gdpure rule that is not gradient descent with a constant step."""
    return type(rule).__module__ == rules.__name__ and not isinstance(rule, gd.Constant)


def _held_to(method):
    if method is None:
        return "gradient descent"
    return Always(method) if _steps(method) else method


def _own_step(method):
    """Return the step size of a rule that a subject is held to, or None."""
    step_size = getattr(method, "step_size", None)
    return None if step_size is None or isinstance(method, type) else float(step_size)


def _first_step(transformation):
    """Return the length of the step from x = 0 where the gradient is 1."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        run = gd.descend(jnp.sum, jnp.zeros(1, jnp.float64), transformation, steps=1)
        return abs(float(run.history.point[1, 0])) or 1.0


# -- functions -------------------------------------------------------------------------------------


def _of_black_box(name, function, wanted, method):
    call = running.next_points if "point" in wanted else running.iterates
    run = partial(call, function, wanted, name)
    traced = running.traced(run)
    brings, fixed = {"restart"}, _own_step(method)
    if fixed is not None:
        brings.add("step size")
    elif "step_size" in wanted:
        brings |= {"step size", "free step size"}
    return Subject(
        name,
        partial(running.mapped, run=run) if traced else partial(running.by_row, run=run),
        None,
        frozenset(brings),
        _held_to(method),
        fixed,
        traced,
        "next point" if "point" in wanted else "iterates",
        frozenset(wanted),
    )


def _of_stopping(name, function, wanted, method):
    run = partial(running.stopped, function, wanted, name)
    traced = running.traced(run)
    return Subject(
        name,
        None,
        partial(running.mapped if traced else running.by_row, run=run),
        frozenset({"step size", "stopping"} if "step_size" in wanted else {"stopping"}),
        _held_to(method),
        None,
        traced,
        "stopping",
        frozenset(wanted),
    )


# -- gradients -------------------------------------------------------------------------------------


def _of_gradient(name, mode):
    brings = {"values and gradients", "examples"}
    return Subject(
        name,
        partial(running.evaluate, mode=mode),
        None,
        frozenset(brings | ({"rows"} if running.has_rows(mode) else set())),
        "gradient",
        None,
        True,
        "gradient",
        frozenset(),
    )


def _of_minibatches(name, mode):
    return Subject(
        name,
        partial(running.evaluate_batches, mode=mode),
        None,
        frozenset({"examples", "mini-batches"}),
        "gradient",
        None,
        True,
        "mini-batches",
        frozenset(),
    )
