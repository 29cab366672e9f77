"""A run as hypotheses see it, made of an instance or of a record, in extended precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .. import rounding
from ..instances import Instance
from ..rows import QUIET

_POINTS = 64  # at which f is asked for beside the rows, the wrong ones first


class Unknown(Exception):
    """A hypothesis needs what nobody knows of a run: it is not asked."""


@dataclass(frozen=True)
class Seen:
    """A run of N steps, and what is known about it.

    Attributes
    ----------
    number
        Which of the runs it is.
    model
        The arithmetic it ran in.
    x, blur
        The points as they were returned, (N + 1, d), and how far each may be from the one in use.
    g, error
        The gradient at each of them, and how far an evaluation may be from it.
    eta, unsure
        The step size, () or (N, 1), and how far it may be off, relative to it.
    evaluation
        ``evaluation(points) -> rounding.Evaluation``, of shapes (..., d), if f is known.
    instance
        The problem, or None.
    """

    number: int
    model: rounding.Arithmetic
    x: Any
    blur: Any
    g: Any
    error: Any
    eta: Any
    unsure: Any
    evaluation: Callable[[Any], rounding.Evaluation]
    instance: Instance | None

    @property
    def problem(self) -> Instance:
        """The instance."""
        if self.instance is None:
            raise Unknown
        return self.instance

    @property
    def start(self):
        """The start, which should be row 0."""
        return np.asarray(self.problem.start, np.longdouble)

    @cached_property
    def L(self):
        """The smoothness of f, times which errors of a point are errors of its gradient.

        Of a record it is what its gradients show.
        """
        if self.instance is not None:
            return np.longdouble(self.instance.smoothness)
        apart, rise = (length(np.diff(rows[:-1], axis=0)) for rows in (self.x, self.g))
        return (rise[apart > 0] / apart[apart > 0]).max(initial=0.0)

    @cached_property
    def e(self):
        """How far gradients in use may be off; what the step size is off by counts as theirs."""
        return self.error + self.unsure * abs(self.g)

    @cached_property
    def plain(self):
        """What gradient descent makes of the row before; in the first row the start.

        Of a record nobody knows another start than the first row.
        """
        start = self.x[0] if self.instance is None else self.start
        return np.concatenate([start[None], self.x[:-1] - self.eta * self.g[:-1]])

    @cached_property
    def spare(self):
        """How far rounding may take rows from those of gradient descent.

        A start that nobody knows may be anywhere.
        """
        now = rounding.Evaluation(None, self.g[:-1], None, self.e[:-1])
        spare = rounding.step(now, self.x[:-1], self.eta, self.model)
        spare = spare + self.blur[:-1] + self.blur[1:]
        first = np.full_like(self.x[:1], np.inf if self.instance is None else 0)
        return np.concatenate([first, spare])

    @cached_property
    @QUIET
    def wrong(self):
        """Which numbers gradient descent does not explain."""
        return ~(abs(self.x - self.plain) <= self.spare)

    @property
    def k(self):
        """The number of each step, (N, 1)."""
        return np.arange(len(self.x) - 1)[:, None]

    @cached_property
    def last(self):
        """The move that led to each point, none to the start, (N, d)."""
        return np.diff(self.x[:-1], axis=0, prepend=self.x[:1])

    @property
    @QUIET
    def right(self):
        """Which steps are those of gradient descent, and longer than rounding, (N,)."""
        moves = abs(self.plain[1:] - self.x[:-1]) > self.spare[1:]
        return moves.any(axis=1) & ~self.wrong[1:].any(axis=1)

    def head(self, steps: int) -> Seen:
        """Return the first steps of a record."""
        names = ("x", "blur", "g", "error")
        rows = {name: getattr(self, name)[: steps + 1] for name in names}
        return replace(self, eta=self.eta[:steps], **rows)

    def at(self, points, off: Any = 0.0) -> rounding.Evaluation:
        """Return f at points beside the rows, (N, ..., d), each `off` from the one in use.

        Where f is not asked for, it may be anything.
        """
        wrong = self.wrong.any(axis=1)[-len(points) :]
        asked = np.argsort(~wrong, kind="stable")[: _POINTS // max(points[0, ..., 0].size, 1)]
        value, slope = np.zeros(points.shape[:-1], np.longdouble), np.zeros_like(points)
        value_error, error = np.full_like(value, np.inf), np.full_like(points, np.inf)
        if len(asked):
            there = self.evaluation(points[asked])
            value[asked], value_error[asked] = there.value, there.value_error
            slope[asked], error[asked] = there.gradient, there.gradient_error
        error = error + self.L * off + self.unsure * abs(slope)
        return rounding.Evaluation(value, slope, value_error, error)


def length(rows):
    """Return Euclidean norms along the last axis, which is kept."""
    return (rows**2).sum(axis=-1, keepdims=True) ** 0.5


@QUIET
def of_instance(number: int, instance: Instance, points, dtype) -> Seen:
    """Return a run on an instance, as a subject returned it."""
    model = rounding.arithmetic(dtype)
    x = np.asarray(points, np.longdouble)
    # From where a run overflows it has nothing more to tell; a NaN may never have been written.
    x = x[: next((k for k, row in enumerate(x) if np.isinf(row).any()), len(x))]

    def evaluation(points):
        return rounding.huber(*instance.data, x=points, dtype=model)

    now, eta = evaluation(x), np.longdouble(instance.step_size)
    slopes = now.gradient, now.gradient_error
    return Seen(number, model, x, np.zeros_like(x), *slopes, eta, 0.0, evaluation, instance)


@QUIET
def of_record(points, blur, gradients, errors, step_sizes, doubts, dtype, at) -> Seen:
    """Return a run that was recorded.

    Parameters
    ----------
    points, blur
        Shapes (N + 1, d): rows, and how far they may be from the points in use.
    gradients, errors
        Shapes (N, d): the gradients that the steps should follow, and how far they may be off.
    step_sizes, doubts
        Shapes (N,).
    at
        ``at(x) -> (value, gradient, value_error, gradient_error)``, or None.

    Examples
    --------
    >>> x, eta = np.array([[1.0], [0.5], [0.25]]), np.array([0.25, 0.25])
    >>> run = of_record(x, 0 * x, x[:-1], 0 * x[:-1], eta, 0 * eta, "float64", None)
    >>> assert run.wrong.tolist() == [[False], [True], [True]]
    """
    model = rounding.arithmetic(dtype)
    x, blur, g, errors, eta, doubts = rounding.exact(
        points, blur, gradients, errors, step_sizes, doubts
    )
    # The step size may be rounded to the dtype.
    unsure = model.unit_roundoff + np.where(eta > 0, doubts / eta, 0).max()
    g = np.concatenate([g, 0 * x[-1:]])  # of the last row nobody asks it
    errors = np.concatenate([errors, np.full_like(x[-1:], np.inf)])

    @functools.cache
    def told(row):
        if at is None:
            raise Unknown
        return at(np.frombuffer(row))

    def evaluation(points):
        rows = np.asarray(points, np.float64).reshape(-1, points.shape[-1])
        parts = zip(*(told(row.tobytes()) for row in rows), strict=True)
        value, slope, value_error, error = (np.array(part, np.longdouble) for part in parts)
        lead = points.shape[:-1]
        shapes = (lead, points.shape, lead, points.shape)
        parts = zip((value, slope, value_error, error), shapes, strict=True)
        return rounding.Evaluation(*(part.reshape(shape) for part, shape in parts))

    return Seen(0, model, x, blur, g, errors, eta[:, None], unsure, evaluation, None)
