"""What a theorem is: data, with a law, a pure formula over the rows of a run; and the one judge.

All doubt enters where rows are made, as radii of balls. A law is written as on the blackboard: it
has no tolerance and no shapes, and belongs to no library: NumPy judges at once what JAX climbs.
A batch of runs is the last axis of all arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .balls import ball, library
from .instances import Instance
from .rows import QUIET, Trace

FAMILIES = (
    "bookkeeping",
    "gradient agreement",
    "monotone descent",
    "convergence",
    "symmetries",
    "sampling",
)


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


class Sides(NamedTuple):
    """Both sides of a law, of one shape: rows first, runs last.

    Attributes
    ----------
    measured, bound, allowed
        Both sides, and by how much they may be apart.
    claim
        What must stick out of that, or nothing is said.
    equality
        Whether both are equal, or else the first is at most the second.
    """

    measured: Any
    bound: Any
    allowed: Any
    claim: Any
    equality: bool

    @property
    def off(self):
        """How far the first side is above the other, of an equality how far they are apart."""
        off = self.measured - self.bound
        return abs(off) if self.equality else off

    @property
    def broken(self):
        """Where the law is broken; what is not a number breaks it."""
        return ~(self.off <= self.allowed)

    @property
    def excess(self):
        """``off / allowed``, not below 0; infinite for what is not a number."""
        off = self.off
        ratio = np.where(off <= 0, 0, off / np.where(self.allowed > 0, self.allowed, 1e-300))
        return np.where(np.isnan(ratio), np.inf, ratio)

    @property
    def informative(self):
        """Where rounding does not drown what is claimed."""
        return self.claim > self.allowed

    def each(self, change):
        """Return the same sides with all arrays changed alike."""
        arrays = map(change, (self.measured, self.bound, self.allowed, self.claim))
        return self._make([*arrays, self.equality])


def sides(theorem: Theorem, *traces: Any) -> Sides:
    """Return both sides of a theorem at what its law sees: a trace, and that of a twin."""
    measured, bound, *claim = theorem.law(*traces)
    measured, bound = ball(measured), ball(bound)
    xp = library(measured.middle, bound.middle)
    allowed = measured.radius + bound.radius
    claim = abs(claim[0]) if claim else xp.maximum(abs(measured.middle), abs(bound.middle))
    arrays = xp.broadcast_arrays(measured.middle, bound.middle, allowed, claim)
    return Sides._make([*arrays, theorem.equality])


class Judgment(NamedTuple):
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


@QUIET
def find(theorem: Theorem, *traces: Trace, attained=False) -> Judgment:
    """Return what a theorem finds in a batch of runs, and in that of its twins.

    `attained` demands equality, in the last row.
    """
    trace, seen = traces[0], sides(theorem, *traces)
    seen = seen._replace(equality=theorem.equality or attained)
    count, *between = seen.off.shape[:-1]
    between = tuple(range(1, 1 + len(between)))
    counts = np.arange(count).reshape(-1, *[1] * (len(between) + 1)) >= (count - 1) * attained
    by_row = (seen.broken & counts).any(axis=between)
    row = np.full(by_row.shape[1:], count - 1) if attained else by_row.argmax(axis=0)
    applies = np.ones(row.shape, bool)
    for name in theorem.assumes:
        applies = applies & ASSUMPTIONS[name](trace)

    def there(x):
        return np.take_along_axis(x, row.reshape(1, *[1] * (x.ndim - 2), -1), axis=0)[0]

    return Judgment(
        applies,
        applies & by_row.any(axis=0),
        np.where(counts, seen.excess, 0).max(axis=(0, *between)),
        row + max(len(trace.x) - count, 0),
        (seen.informative & counts).any(axis=(0, *between)),
        np.isfinite(trace.x).all(axis=(0, 1)),
        there(seen.measured),
        there(seen.bound),
        there(seen.allowed),
    )
