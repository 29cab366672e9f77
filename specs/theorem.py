"""What a theorem is: data, with a law, a pure formula over the rows of a run; and the one judge.

All doubt enters where rows are made, as radii of balls. A law is written as on the blackboard: it
has no tolerance and no shapes, and belongs to no library: NumPy judges at once what JAX climbs.
A batch of runs is the last axis of all arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gdpure import trees

from . import rounding
from .balls import Ball, ball, library, most, norm, widened
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


# -- what a law sees -------------------------------------------------------------------------------


@trees.pytree
class Rows:
    """Rows of runs, as balls around what is exact: points (K, d, B), values (K, B), gradients."""

    x: Ball
    f: Ball
    g: Ball

    def __getitem__(self, rows):
        """Return some of the rows."""
        return Rows(self.x[rows], self.f[rows], self.g[rows])

    def strayed(self, far, smoothness, by_coordinate=None):
        """Return the same rows anywhere within a distance (K, B) of where they are."""
        steep = most(norm(self.g))
        return Rows(
            widened(self.x, far[:, None] if by_coordinate is None else by_coordinate),
            widened(self.f, (steep + smoothness / 2 * far) * far),
            widened(self.g, (smoothness * far)[:, None]),
        )


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
    """

    instance: Instance
    run: Run
    rows: Rows
    value_error: Any
    gradient_error: Any
    strays: Any
    model: rounding.Arithmetic

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


@dataclass(frozen=True, eq=False)
class Theorem:
    """A theorem about descent, as data.

    It holds where ``measured <= bound`` up to the radii of both sides, an equality where ``measured
    = bound``.

    Attributes
    ----------
    name, family, statement, source
        Text; the statement is one line.
    law
        ``law(trace) -> (measured, bound)``, two balls with an axis of rows first and one of runs
        last; with a `twin`, ``law(trace, trace of the twin)``. A third number, the claim, says what
        has to stick out of the rounding, where it is not one of the sides. Pure.
    assumes
        Names in `ASSUMPTIONS`, all of which must be true of an instance.
    needs
        Names in `NEEDS`: what the subject must bring.
    methods
        Of which methods it holds: "any", "descent", "gradient descent".
    equality
        Whether both sides are equal.
    extremal
        Functions ``(rng, count, steps) -> Instance``, batches of one example and one parameter, on
        which the bound is attained in the last row: the subject has to hit it.
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
    law: Callable[..., Any]
    assumes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    methods: str = "gradient descent"
    equality: bool = False
    extremal: tuple[Callable[..., Instance], ...] = ()
    hard: tuple[Callable[..., Instance], ...] = ()
    twin: Callable[[Trace], Instance] | None = None
    order: Callable[[Any], Any] = lambda runs: runs


# -- what theorems assume --------------------------------------------------------------------------

ASSUMPTIONS: dict[str, Callable[[Trace], Any]] = {
    "f convex": lambda t: np.True_,
    "f L-smooth": lambda t: t.L > 0,  # no step is measured by 1/L where f is constant
    "f quadratic": lambda t: library(t.L).isinf(t.instance.bend),
    "f of one parameter": lambda t: np.bool_(t.x.shape[1] == 1),
    "f mu-strongly convex": lambda t: t.mu > 0,
    "fewer examples than parameters": lambda t: np.bool_(
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

# What overflows is judged, not warned of; for functions, as a `with` enters it but once.
QUIET = np.errstate(all="ignore")


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


class Finding(NamedTuple):
    """What one theorem found in a batch of runs; all leaves have the axis of runs last.

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
        Both sides in that row, and by how much they may be apart; shapes as those of the law.
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


def sides(theorem: Theorem, *traces: Trace):
    """Return both sides of a law, by how much they may be apart, and what it claims; of one shape.

    The claim is drowned where it is no larger than that.
    """
    measured, bound, *claim = theorem.law(*traces)
    measured, bound = ball(measured), ball(bound)
    xp = library(measured.middle, bound.middle)
    allowed = measured.radius + bound.radius
    claim = abs(claim[0]) if claim else xp.maximum(abs(measured.middle), abs(bound.middle))
    return xp.broadcast_arrays(measured.middle, bound.middle, allowed, claim)


@QUIET
def find(theorem: Theorem, *traces: Trace, attained=False) -> Finding:
    """Return what a theorem finds in a batch of runs, and in that of its twins.

    `attained` demands equality, in the last row.
    """
    trace = traces[0]
    measured, bound, allowed, claim = sides(theorem, *traces)
    between = tuple(range(1, measured.ndim - 1))
    rows = np.arange(len(measured)).reshape(-1, *[1] * (measured.ndim - 1))
    counts = rows == len(measured) - 1 if attained else rows >= 0
    off = measured - bound
    off = abs(off) if theorem.equality or attained else off
    broken = ~(off <= allowed) & counts
    ratio = np.where(off <= 0, 0, off / np.where(allowed > 0, allowed, 1e-300))
    by_row = np.asarray(broken.any(axis=between))
    row = np.full(by_row.shape[1:], len(by_row) - 1) if attained else by_row.argmax(axis=0)
    applies = np.ones(row.shape, bool)
    for name in theorem.assumes:
        applies = applies & ASSUMPTIONS[name](trace)

    def there(x):
        return np.take_along_axis(x, row.reshape(1, *[1] * (x.ndim - 2), -1), axis=0)[0]

    return Finding(
        applies,
        applies & by_row.any(axis=0),
        np.where(counts, np.where(np.isnan(ratio), np.inf, ratio), 0).max(axis=(0, *between)),
        row + max(len(trace.x) - len(by_row), 0),
        ((claim > allowed) & counts).any(axis=(0, *between)),
        np.isfinite(trace.x).all(axis=(0, 1)),
        there(measured),
        there(bound),
        there(allowed),
    )
