"""What a theorem is: data, with a pure function from a recorded run to its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdpure import trees

from . import instances, rounding
from .balls import Ball, ball, most, norm
from .instances import Instance

FAMILIES = (
    "bookkeeping",
    "gradient agreement",
    "monotone descent",
    "convergence",
    "symmetries",
    "sampling",
)


class Run(NamedTuple):
    """What a subject returned: points (steps + 1, d), and what it recorded at them, or None.

    Attributes
    ----------
    point, value, gradient
        Shapes (steps + 1, d), (steps + 1,), (steps + 1, d).
    final
        The point of the final state, shape (d,), or None.
    converged
        Whether a method that stops says that it converged; its rows are the start and the point.
    limit
        How many steps such a method might have done, shape ().
    rows
        Values (steps + 1, n) and gradients (steps + 1, n, d) of the examples one by one, or None.
    batches
        Gradients (steps + 1, count, d) of all mini-batches, as `instances.minibatches` counts them,
        or None.
    """

    point: Any
    value: Any = None
    gradient: Any = None
    final: Any = None
    converged: Any = None
    limit: Any = None
    rows: Any = None
    batches: Any = None


@trees.pytree
class Trace:
    """A run as theorems see it: what was returned, beside what is true at the same points.

    Everything is float64; N is the number of steps, and row k belongs to the point x_k as it was
    returned, exactly.

    Attributes
    ----------
    instance
        The problem.
    run
        What the subject returned, in float64.
    f, g
        Balls around f(x_k) and its gradient, (N + 1,) and (N + 1, d).
    value_error, gradient_error
        How far an evaluation in the dtype of the run may be from them; same shapes.
    target
        ``x_k - eta g(x_k)``, balls (N, d).
    stray, strays
        How far a step in the dtype of the run may be from the target: its norm, (N,), and by
        coordinates, (N, d).
    model
        The arithmetic that the subject ran in.
    """

    instance: Instance
    run: Run
    f: Ball
    g: Ball
    value_error: Any
    gradient_error: Any
    target: Ball
    stray: Any
    strays: Any
    model: rounding.Arithmetic

    @property
    def x(self):
        """The points, exactly, (N + 1, d)."""
        return self.run.point

    @property
    def counts(self):
        """How many steps led to each row: 0, 1, ..., N."""
        return jnp.arange(len(self.x), dtype=jnp.float64)

    @property
    def eta(self):
        """The step size, exactly."""
        return self.instance.step_size

    @property
    def L(self):
        """The smoothness that is claimed."""
        return self.instance.smoothness

    @property
    def h(self):
        """The step size in units of 1/L, a ball."""
        return ball(self.eta) * self.L

    @property
    def offset(self):
        """``x_k - x*``, balls (N + 1, d)."""
        return ball(self.x) - self.instance.center[None]

    @property
    def move(self):
        """``x_{k+1} - x_k``, balls (N, d)."""
        return ball(self.x[1:]) - self.x[:-1]

    @property
    def gap(self):
        """``f(x_k) - f*``, balls (N + 1,)."""
        return self.f - self.instance.minimum

    @property
    def factors(self):
        """``|1 - eta L|`` and ``|1 - eta mu|``, a ball of shape (2,)."""
        curvatures = jnp.stack([self.L, self.instance.strong_convexity])
        return abs(1.0 - ball(curvatures) * self.eta)

    def drift(self, row=0):
        """Return how far the rows from one on may be from the exact run that begins there."""
        return self.drift_of(self.stray[row:])

    def drift_of(self, errors):
        """Return how far runs may be apart that differ by these errors of single steps, (N,)."""
        return rounding.drift(jnp.maximum(1.0, most(self.factors).max()), errors)

    def f_at(self, z):
        """Return f at any point, a ball."""
        there = rounding.huber(*self.instance.data, z, jnp.float64)
        return Ball(there.value, there.value_error)


class Evidence(NamedTuple):
    """What a theorem says about a run: one entry for every k, or more axes after that.

    Attributes
    ----------
    measured, bound
        Both sides of the theorem, balls.
    rounding
        What the arithmetic of the run may add; the radii of both sides come on top.
    informative
        Whether the claim is not drowned by rounding.
    """

    measured: Ball
    bound: Ball
    rounding: Any
    informative: Any


def inequality(measured: Ball, bound: Ball, allowed, promise: Ball | None = None) -> Evidence:
    """Return evidence that is informative where the promise is not drowned by rounding."""
    promise = bound if promise is None else promise
    drowned = allowed + measured.radius + bound.radius
    return Evidence(measured, bound, allowed, abs(promise.middle) > drowned)


@dataclass(frozen=True, eq=False)
class Theorem:
    """A theorem about descent, as data.

    It holds where ``measured <= bound + rounding``, an equality where ``|measured - bound| <=
    rounding``.

    Attributes
    ----------
    name, family, statement, source
        Text; the statement is one line.
    evidence
        ``evidence(trace) -> Evidence``; with a `twin`, ``evidence(trace, trace of the twin)``.
        Pure, compiled, mapped over instances.
    assumes
        Names in `ASSUMPTIONS`, all of which must be true of an instance.
    needs
        Names in `NEEDS`: what the subject must bring.
    methods
        Of which methods it holds: "any", "descent", "gradient descent".
    equality
        Whether both sides are equal.
    extremal
        Functions ``(key, steps) -> Instance`` of one row and one parameter, on which the
        bound is attained in the last row: the subject has to hit it.
    hard
        Such functions of instances on which it is broken first, and that are rare by chance.
    twin
        ``twin(trace) -> Instance``: a second run that the theorem compares with the first.
    order
        In which order of the batch the twins run: ``order(indices) -> indices``.
    """

    name: str
    family: str
    statement: str
    source: str
    evidence: Callable[..., Evidence]
    assumes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    methods: str = "gradient descent"
    equality: bool = False
    extremal: tuple[Callable[..., Instance], ...] = ()
    hard: tuple[Callable[..., Instance], ...] = ()
    twin: Callable[[Trace], Instance] | None = None
    order: Callable[[Any], Any] = lambda rows: rows


# -- what theorems assume --------------------------------------------------------------------------

ASSUMPTIONS: dict[str, Callable[[Trace], Any]] = {
    "f convex": lambda t: True,
    "f L-smooth": lambda t: True,
    "f quadratic": lambda t: jnp.isinf(t.instance.bend),
    "f of one parameter": lambda t: t.x.shape[-1] == 1,
    "f mu-strongly convex": lambda t: t.instance.strong_convexity > 0,
    "fewer examples than parameters": lambda t: (
        t.instance.features.shape[0] < t.instance.features.shape[1]
    ),
    "eta > 0": lambda t: t.eta > 0,
    "eta <= 1/L": lambda t: t.h.middle <= 1,
    "eta <= 1.618/L": lambda t: t.h.middle <= 1.618,  # (1 + sqrt 5) / 2
    "eta < 2/L": lambda t: t.h.middle < 2,
    "eta <= 2/L": lambda t: t.h.middle <= 2,
    "eta > 2/L": lambda t: t.h.middle > 2,
}

NEEDS = {
    "step size": "the step size must be known: pass a function step_size -> optimizer",
    "free step size": "the subject has a step size of its own: pass a function of step_size",
    "values and gradients": "the subject records no values and gradients of its own",
    "final state": "the subject returns no final state beside its iterates",
    "restart": "the subject does not step",
    "stopping": "the subject does not stop by itself: it takes no tolerance",
    "examples": "the subject does not see the examples: it is no function of objective",
    "rows": "the subject has no gradients of single examples",
    "mini-batches": "the subject has no gradients of mini-batches: it is no function of batch",
}


# -- judging ---------------------------------------------------------------------------------------


def observe(instance: Instance, run: Run, model: rounding.Arithmetic) -> Trace:
    """Return the trace of one run, in float64; `model` is the arithmetic that it ran in."""
    own = rounding.arithmetic(jnp.float64)
    known, allowed = (evaluations(instance, run.point, m) for m in (own, model))
    f, g = Ball(known.value, known.value_error), Ball(known.gradient, known.gradient_error)
    target = ball(run.point[:-1]) - g[:-1] * instance.step_size
    strays = step_errors(instance, run.point[:-1], model) + _carried(instance, run, model)
    return Trace(
        instance,
        run,
        f,
        g,
        allowed.value_error,
        allowed.gradient_error,
        target,
        most(norm(strays + target.radius)),
        strays,
        model,
    )


def _carried(instance, run, model):
    """Return what a subject may carry from row to row that the rows do not show, (N, d).

    A master copy in float64, or a compensated sum, is rounded to be returned, and what is compiled
    may round a row and the point that it goes on with apart: the next step begins a unit in the
    last place of the row elsewhere, and where the gradient is taken there, too, L times as far. The
    row that it ends in is so far from where it ended.
    """
    off = rounding.spacing(run.point, model).at[0].set(0.0)
    spread = instance.step_size * instance.smoothness * jnp.linalg.norm(off[:-1], axis=1)
    return off[1:] + off[:-1] + spread[:, None]


def evaluations(instance: Instance, points, model) -> rounding.Evaluation:
    """Return exact values and gradients at points (k, d), and the errors that a model allows."""
    return jax.vmap(lambda x: rounding.huber(*instance.data, x, model))(points)


def step_errors(instance: Instance, points, model):
    """Return how far steps from points (k, d) may be from the exact ones, by coordinates."""

    def error(x):
        evaluation = rounding.huber(*instance.data, x, model)
        return rounding.step(evaluation, x, instance.step_size, model)

    return jax.vmap(error)(points)


def exact_run(instance: Instance, start, steps):
    """Return the points of gradient descent, computed in float64: (steps + 1, d)."""

    def step(x, _):
        return x - instance.step_size * instances.gradient(x, instance.data), x

    last, points = jax.lax.scan(step, start, length=steps)
    return jnp.concatenate([points, last[None]])


class Finding(NamedTuple):
    """What one theorem found in one run.

    Attributes
    ----------
    applies, violated
        Whether all that it assumes is true of the instance, and whether it is broken there.
    excess
        The largest ``(measured - bound) / rounding``, absolute for equalities; above 1 where
        violated, NaN counts as infinite.
    row
        The first row k of the run at which it is broken.
    informative
        Whether any k is informative.
    finite
        Whether everything returned is finite: the kind of a violation.
    measured, bound, allowed
        Both sides in that row, and by how much they may be apart; shapes as in the evidence.
    """

    applies: Any
    violated: Any
    excess: Any
    row: Any
    informative: Any
    finite: Any
    measured: Any
    bound: Any
    allowed: Any


def find(theorem: Theorem, trace: Trace, twin: Trace | None = None, *, attained=False) -> Finding:
    """Return what a theorem finds in one run; `attained` demands equality, in the last row."""
    found = theorem.evidence(trace) if twin is None else theorem.evidence(trace, twin)
    measured, bound = found.measured.middle, found.bound.middle
    allowed = found.measured.radius + found.bound.radius + found.rounding
    measured, bound, allowed, informative = jnp.broadcast_arrays(
        measured, bound, allowed, found.informative
    )
    rows = jnp.arange(len(measured)).reshape(-1, *[1] * (measured.ndim - 1))
    counts = jnp.logical_not(attained) | (rows == len(measured) - 1)
    off = measured - bound
    off = jnp.where(theorem.equality | jnp.asarray(attained), abs(off), off)
    broken = ~(off <= allowed) & counts
    ratio = jnp.where(off <= 0, 0, off / jnp.where(allowed > 0, allowed, 1e-300))
    by_row = broken.reshape(len(broken), -1).any(axis=1)
    row = jnp.where(jnp.asarray(attained), len(by_row) - 1, jnp.argmax(by_row))
    applies = jnp.asarray(True)
    for name in theorem.assumes:
        applies &= ASSUMPTIONS[name](trace)
    return Finding(
        applies,
        applies & broken.any(),
        jnp.where(counts, jnp.where(jnp.isnan(ratio), jnp.inf, ratio), 0).max(),
        row + max(len(trace.x) - len(by_row), 0),
        jnp.any(informative & counts),
        jnp.isfinite(trace.x).all(),
        measured[row],
        bound[row],
        allowed[row],
    )
