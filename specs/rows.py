"""What a law sees: rows of runs beside what is true there, with all doubt as radii of balls.

All doubt enters here: the evaluation in the dtype of a run, the rounding of its steps, facts that
are known to their dtype. A batch of runs is the last axis of all arrays.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gdpure import trees

from . import rounding
from .balls import Ball, ball, concatenate, dot, library, most, norm, widened
from .instances import Instance

# What overflows is judged, not warned of; for functions, as a `with` enters it but once.
QUIET = np.errstate(all="ignore")


class Run(NamedTuple):
    """What a subject returned: points (N + 1, d, B), and what it recorded at them, or None.

    Attributes
    ----------
    point, value, gradient
        Shapes (N + 1, d, B), (N + 1, B), (N + 1, d, B).
    final
        The point of the final state, shape (d, B), or None.
    converged
        Whether a method that stops says that it converged; its rows are the start and the point.
    limit
        How many steps such a method might have done, shape (B,).
    rows
        Values (N + 1, n, B) and gradients (N + 1, n, d, B) of the examples one by one, or None.
    batches
        Gradients (N + 1, count, d, B) of all mini-batches, as `instances.minibatches` counts them,
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


# -- rows ------------------------------------------------------------------------------------------


@trees.pytree
class Rows:
    """Rows of runs, as balls around what is exact: points (K, d, B), values (K, B), gradients."""

    x: Ball
    f: Ball
    g: Ball

    def __getitem__(self, rows):
        """Return some of the rows."""
        return Rows(self.x[rows], self.f[rows], self.g[rows])

    def beside(self, others):
        """Return these rows and, after them, others."""
        return Rows(
            concatenate([self.x, others.x]),
            concatenate([self.f, others.f]),
            concatenate([self.g, others.g]),
        )

    def strayed(self, far, smoothness, by_coordinate=None):
        """Return the same rows anywhere within a distance (K, B) of where they are."""
        steep = most(norm(self.g))
        return Rows(
            widened(self.x, far[:, None] if by_coordinate is None else by_coordinate),
            widened(self.f, (steep + smoothness / 2 * far) * far),
            widened(self.g, (smoothness * far)[:, None]),
        )


@trees.pytree
class Pairs:
    """All pairs of rows: first axis x, with f and g, second y, balls (K, K, B).

    Attributes
    ----------
    apart, change, bent
        ``|x - y|^2``, ``|g(x) - g(y)|^2``, ``<g(x) - g(y), x - y>``.
    along, rise
        ``<g(y), x - y>`` and ``f(x) - f(y)``.
    """

    apart: Ball
    change: Ball
    bent: Ball
    along: Ball
    rise: Ball


_AT_ONCE = 2**21  # so many numbers of pairs are in memory at a time


@QUIET
def pairs(rows: Rows) -> Pairs:
    """Return all pairs of rows.

    Examples
    --------
    >>> x = ball(np.array([1.0, 3.0])[:, None, None])
    >>> found = pairs(Rows(x, x[:, 0], x * 2.0))
    >>> assert found.bent.middle[..., 0].tolist() == [[0, 8], [8, 0]]
    """
    count = len(rows.x.middle)
    some = max(1, _AT_ONCE // rows.x.middle.size)
    parts = [_from(rows, rows[k : k + some]) for k in range(0, count, some)]
    return Pairs(*(concatenate(part, 1) for part in zip(*parts, strict=True)))


def _from(these, those):
    move, change = these.x[:, None] - those.x[None], these.g[:, None] - those.g[None]
    return (
        dot(move, move),
        dot(change, change),
        dot(change, move),
        dot(move, those.g[None]),
        these.f[:, None] - those.f[None],
    )


@trees.pytree
class Points:
    """Points at which a function is known, and what is claimed of it: what laws of facts see.

    Attributes
    ----------
    noted
        Points, values and gradients, one run of them.
    L, mu, growth, minimum
        What is claimed, balls of shape (), or what can be said where nothing is.
    """

    noted: Rows
    L: Ball
    mu: Ball
    growth: Any = None
    minimum: Any = None

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs of points."""
        return pairs(self.noted)


@trees.pytree
class Trace:
    """Runs as laws see them: what was returned, beside what is true at the same points.

    Everything is float64; N is the number of steps, and row k belongs to the point x_k.

    Attributes
    ----------
    instance, run
        The problems, and what the subject returned.
    rows
        The points as they were returned, exactly, and f and its gradient there.
    value_error, gradient_error
        How far an evaluation in the dtype of the run may be from them; (N + 1, B), (N + 1, d, B).
    strays
        How far a step in the dtype of the run may be from the exact one, (N, d, B).
    model
        The arithmetic that the subject ran in.
    center_error
        How far the minimizer may be from the one that is known.
    """

    instance: Instance
    run: Run
    rows: Rows
    value_error: Any
    gradient_error: Any
    strays: Any
    model: rounding.Arithmetic
    center_error: Any = 0.0

    @property
    def x(self):
        """The points as they were returned, (N + 1, d, B)."""
        return self.run.point

    @cached_property
    def now(self) -> Rows:
        """Where each step begins: rows 0 to N - 1, exactly."""
        return self.rows[:-1]

    @cached_property
    def after(self) -> Rows:
        """Where the exact step from there ends: rows 1 to N, each widened by one stray."""
        return self.rows[1:].strayed(self.stray, self.L, self.strays + self.target.radius)

    @cached_property
    def exact(self) -> Rows:
        """The exact run from the start: all rows, widened by the drift."""
        return self.rows.strayed(self.drift(), self.L)

    @cached_property
    def noted(self) -> Rows:
        """The values and gradients that the subject recorded, as balls that hold the exact ones."""
        run = self.run
        return Rows(
            self.rows.x,
            widened(run.value, self.value_error),
            widened(run.gradient, self.gradient_error),
        )

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs of what was noted."""
        return pairs(self.noted)

    @cached_property
    def target(self) -> Ball:
        """``x_k - eta g(x_k)``, balls (N, d, B)."""
        return self.now.x - self.now.g * self.eta

    @cached_property
    def stray(self):
        """How far a step may be from the exact one, its norm, (N, B)."""
        return most(norm(self.strays + self.target.radius))

    @property
    def counts(self):
        """How many steps led to each row: 0, 1, ..., N; shape (N + 1, 1)."""
        return np.arange(len(self.x), dtype=np.float64)[:, None]

    @property
    def eta(self):
        """The step size, exactly, (B,)."""
        return self.instance.step_size

    @property
    def L(self):
        """The smoothness that is claimed, (B,)."""
        return self.instance.smoothness

    @property
    def mu(self):
        """The strong convexity that is claimed, (B,)."""
        return self.instance.strong_convexity

    @property
    def h(self):
        """The step size in units of 1/L, a ball (B,)."""
        return ball(self.eta) * self.L

    @property
    def center(self):
        """The minimizer x*, (d, B)."""
        return self.instance.center

    @property
    def minimum(self):
        """The minimum f*, (B,)."""
        return self.instance.minimum

    @cached_property
    def contraction(self):
        """``max(|1 - eta L|, |1 - eta mu|)``, a ball (B,)."""
        curvatures = library(self.L).stack([self.L, self.mu])
        return abs(1.0 - ball(curvatures) * self.eta).max(axis=0)

    def distance(self, rows: Rows) -> Ball:
        """Return how far rows are from the minimizer, (K, B)."""
        return widened(norm(rows.x - self.center), self.center_error)

    def drift(self, row=0):
        """Return how far the rows from one on may be from the exact run that begins there."""
        return self.drift_of(self.stray[row:])

    def drift_of(self, errors):
        """Return how far runs may be apart that differ by these errors of single steps, (N, B)."""
        widest = library(errors).maximum(1.0, most(self.contraction))
        return rounding.drift_as_given(widest, errors)

    def f_at(self, z):
        """Return f at any point of each problem, (d, B): a ball (B,)."""
        there = evaluations(self.instance, z, rounding.arithmetic(np.float64))
        return Ball(there.value, there.value_error)


# -- runs ------------------------------------------------------------------------------------------


@QUIET
def observe(instance: Instance, run: Run, model: rounding.Arithmetic) -> Trace:
    """Return the trace of a batch of runs, in float64; `model` is the arithmetic they ran in."""
    own = rounding.arithmetic(np.float64)
    known, allowed = (evaluations(instance, run.point, m) for m in (own, model))
    f, g = Ball(known.value, known.value_error), Ball(known.gradient, known.gradient_error)
    strays = step_errors(instance, run.point[:-1], model) + _carried(instance, run, model)
    rows = Rows(ball(run.point), f, g)
    return Trace(instance, run, rows, allowed.value_error, allowed.gradient_error, strays, model)


def _carried(instance, run, model):
    """Return what a subject may carry from row to row that the rows do not show, (N, d, B).

    A master copy in float64, or a compensated sum, is rounded to be returned, and what is compiled
    may round a row and the point that it goes on with apart: the next step begins a unit in the
    last place of the row elsewhere, and where the gradient is taken there, too, L times as far. The
    row that it ends in is so far from where it ended.
    """
    off = shown(run.point, model)
    spread = instance.step_size * instance.smoothness * (off[:-1] ** 2).sum(axis=1) ** 0.5
    return off[1:] + off[:-1] + spread[:, None]


def shown(points, model):
    """Return how far the subject may be from points (N + 1, d, B): a unit, but at the start."""
    later = np.arange(len(points))[:, None, None] > 0
    return rounding.spacing(points, model) * later


def evaluations(instance: Instance, points, model) -> rounding.Evaluation:
    """Return exact values and gradients at points (..., d, B), and the errors of a model."""
    return rounding.huber_as_given(*instance.data, points, model)


def step_errors(instance: Instance, points, model):
    """Return how far steps from points (k, d, B) may be from the exact ones, by coordinates."""
    evaluation = evaluations(instance, points, model)
    return rounding.step_as_given(evaluation, points, instance.step_size, model)


def exact_run(instance: Instance, start, steps):
    """Return the points of gradient descent, computed in float64: (steps + 1, d, B)."""
    points = [start]
    for _ in range(steps):
        slope = evaluations(instance, points[-1], rounding.arithmetic(np.float64)).gradient
        points.append(points[-1] - instance.step_size * slope)
    return library(start).stack(points)
