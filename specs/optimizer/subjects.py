"""Subjects: what can be checked, and how it is run on a batch of instances.

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

from .. import instances
from ..theorem import Run
from ..theorems.recurrences import Always

_WHOLE = {"value", "gradient", "start", "step_size", "steps"}
_STEP = {"point", "value", "gradient", "step_size"}
_STOPS = _WHOLE | {"tolerance"}
MANY, FEW = 2048, 64  # the two sizes of a batch


class Malformed(Exception):
    """What a subject returned is no run: a sentence, what was wanted, what came."""

    def __init__(self, sentence, must_be, returned):
        super().__init__(sentence)
        self.must_be, self.returned = must_be, returned


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
    batch
        How many instances to run at once.
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
    batch: int
    call: str
    takes: frozenset
    notes: tuple[str, ...] = ()


# -- what is it ------------------------------------------------------------------------------------


def as_subject(target, method=None, name=None) -> Subject:
    """Return what can be run; refuse what cannot with one sentence.

    Parameters
    ----------
    target
        A rule, a transformation, a factory or a function, as above.
    method
        What to hold it to: None, "descent", "any", a gdpure rule, or a function step_size -> rule.
    name
        What to call it, by default module:attribute.
    """
    if method is not None and not _is_method(method):
        raise TypeError(
            'check_optimizer: method must be None, "descent", "any", or a gdpure rule such as '
            f"gd.HeavyBall(0.1, 0.9), got {method!r}"
        )
    name = name or name_of(target)
    if isinstance(target, (int, float)) and not isinstance(target, bool):
        target = gd.Constant(float(target))
    if _steps(target):
        return _of_transformation(name, target, method)
    if not callable(target):
        raise TypeError(
            f"check_optimizer: the subject must be a rule, an optax transformation, a function "
            f"step_size -> either, or a function of value, gradient, start, step_size, steps; got "
            f"{type(target).__name__}"
        )
    if target in gradients.MODES or target is gd.per_sample:
        return _of_gradient(name, target)
    wanted, required = _parameters(name, target)
    if {"objective", "batch"} <= wanted:
        return _of_minibatches(name, target)
    if "objective" in wanted:
        return _of_gradient(name, target)
    if "n" in required:
        return _of_schedule(name, target, method)
    if not wanted & {"value", "gradient", "start", "point"}:
        return _of_factory(name, target, method)
    known = _STEP if "point" in wanted else _STOPS
    unknown = sorted(required - known)
    if unknown:
        raise TypeError(
            f"check_optimizer: {name} has a parameter {unknown[0]!r}; a function that runs descent "
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


def _parameters(name, function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise TypeError(f"check_optimizer: the parameters of {name} cannot be read") from error
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = {p.name for p in named if p.default is p.empty}
    return {p.name for p in named}, required


# -- rules and transformations ---------------------------------------------------------------------

_LOOP = frozenset({"step size", "values and gradients", "final state", "restart", "stopping"})
_FREE = frozenset({"free step size"})


@dataclass(frozen=True)
class Scaled:
    """A function step_size -> n step sizes: those of a schedule, times the step size."""

    schedule: Any
    n: int

    def __call__(self, step_size):
        """Return the step sizes."""
        return step_size * self.schedule(self.n).astype(step_size.dtype)


def _of_factory(name, factory, method):
    try:
        made = factory(0.125)
    except Exception as error:
        raise TypeError(
            f"check_optimizer: {name}(0.125) raised {type(error).__name__}: {error}; a factory is "
            "called with a step size, and a function that runs descent takes gradient= and start="
        ) from error
    if not _steps(made):
        raise TypeError(
            f"check_optimizer: {name}(0.125) must return a rule or an optax transformation, with "
            f"init and update, got {type(made).__name__}"
        )
    if method is None and _recurrence(made):
        method = factory
    fixed = _own_step(method)
    return Subject(
        name,
        partial(_descend, make=factory),
        partial(_minimize, make=factory),
        _LOOP | (_FREE if fixed is None else set()),
        _held_to(method),
        fixed,
        MANY,
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
        partial(_descend, make=Always(rule)),
        partial(_minimize, make=Always(rule)),
        _LOOP,
        _held_to(method),
        None if step_size is None else float(step_size),
        MANY,
        "transformation",
        frozenset(),
        notes,
    )


def _of_schedule(name, schedule, method):
    try:
        steps = np.shape(schedule(3))
    except Exception as error:
        raise TypeError(
            f"check_optimizer: {name}(3) raised {type(error).__name__}: {error}; a schedule is a "
            "function n -> n step sizes, and nothing else"
        ) from error
    if steps != (3,):
        raise TypeError(f"check_optimizer: {name}(3) must return 3 step sizes, got shape {steps}")
    return Subject(
        name,
        partial(_descend_along, schedule=schedule),
        None,
        _LOOP - {"stopping"} | _FREE,
        schedule if method is None else _held_to(method),
        None,
        MANY,
        "schedule",
        frozenset(),
    )


def _descend_along(problems, steps, *, schedule):
    return _descend(problems, steps, make=Scaled(schedule, steps))


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


@partial(jax.jit, static_argnames=("steps", "make"))
def _descend(problems, steps, *, make):
    def one(problem):
        dtype = problem.start.dtype
        f, rule = instances.objective(problem, dtype), make(problem.step_size)
        run = gd.descend(f, problem.start, rule, steps=steps)
        rows = run.history
        return Run(rows.point, rows.value, rows.gradient, run.final.point)

    return jax.vmap(one)(problems)


@partial(jax.jit, static_argnames=("steps", "make"))
def _minimize(problems, steps, *, make):
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


def _of_black_box(name, function, wanted, method):
    call = _next_points if "point" in wanted else _iterates
    run = partial(call, function, wanted, name)
    traced = _traced(run)
    brings, fixed = {"restart"}, _own_step(method)
    if fixed is not None:
        brings.add("step size")
    elif "step_size" in wanted:
        brings |= {"step size", "free step size"}
    return Subject(
        name,
        partial(_mapped, run=run) if traced else partial(_by_row, run=run),
        None,
        frozenset(brings),
        _held_to(method),
        fixed,
        MANY if traced else FEW,
        "next point" if "point" in wanted else "iterates",
        frozenset(wanted),
    )


def _of_stopping(name, function, wanted, method):
    run = partial(_stopped, function, wanted, name)
    return Subject(
        name,
        None,
        partial(_mapped if _traced(run) else _by_row, run=run),
        frozenset({"step size", "stopping"} if "step_size" in wanted else {"stopping"}),
        _held_to(method),
        None,
        MANY if _traced(run) else FEW,
        "stopping",
        frozenset(wanted),
    )


def _iterates(function, wanted, name, problem, steps):
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


def _next_points(function, wanted, name, problem, steps):
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


def _stopped(function, wanted, name, problem, steps):
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


def _traced(run):
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


def _mapped(problems, steps, *, run):
    return _jitted(problems, steps, run=run)


@partial(jax.jit, static_argnames=("steps", "run"))
def _jitted(problems, steps, *, run):
    return jax.vmap(lambda problem: run(problem, steps))(problems)


def _by_row(problems, steps, *, run):
    problems = jax.device_get(problems)
    # What overflows is judged, not warned of.
    with np.errstate(all="ignore"):
        rows = [
            run(jax.tree.map(lambda leaf, i=i: leaf[i], problems), steps)
            for i in range(len(problems.start))
        ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


# -- gradients -------------------------------------------------------------------------------------


def _of_gradient(name, mode):
    run = partial(_evaluate, mode=mode)
    problems = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], example(instances.SHAPES[0]))
    try:
        has_rows = jax.eval_shape(lambda problems: run(problems, 2), problems).rows is not None
    except Exception:
        has_rows = False  # what is wrong is said where it is run
    return Subject(
        name,
        run,
        None,
        frozenset({"values and gradients", "examples"} | ({"rows"} if has_rows else set())),
        "gradient",
        None,
        MANY,
        "gradient",
        frozenset(),
    )


def _of_minibatches(name, mode):
    return Subject(
        name,
        partial(_evaluate_batches, mode=mode),
        None,
        frozenset({"examples", "mini-batches"}),
        "gradient",
        None,
        MANY,
        "mini-batches",
        frozenset(),
    )


def _way(problem, steps):
    """Return points on the way from the start to the probe, and the minimizer."""
    way = jnp.linspace(0, 1, steps, dtype=problem.start.dtype)[:, None]
    points = problem.start[None] + way * (problem.probe - problem.start)[None]
    return jnp.concatenate([points, problem.center[None]])


@partial(jax.jit, static_argnames=("steps", "mode"))
def _evaluate_batches(problems, steps, *, mode):
    def one(problem):
        points, f = _way(problem, steps), instances.objective(problem, problem.start.dtype)
        some = jnp.asarray(instances.minibatches(len(problem.features)))
        slopes = [jax.vmap(mode(f, batch))(points)[1] for batch in some]
        return Run(points, batches=jnp.stack(slopes, axis=1))

    return jax.vmap(one)(problems)


@partial(jax.jit, static_argnames=("steps", "mode"))
def _evaluate(problems, steps, *, mode):
    def one(problem):
        points, f = _way(problem, steps), instances.objective(problem, problem.start.dtype)
        values, slopes = jax.vmap(mode(f))(points)
        rows = None
        if values.ndim == 2:
            rows, values, slopes = (values, slopes), values.mean(axis=1), slopes.mean(axis=1)
        return Run(points, values, slopes, rows=rows)

    return jax.vmap(one)(problems)
