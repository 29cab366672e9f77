"""Bookkeeping: what every recorded run must be, whatever the method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..balls import ball, widened
from ..instances import Instance
from ..rows import Trace
from ..theorem import Theorem

_ALWAYS = np.inf  # what no rounding drowns


def _form(t: Trace):
    """State what a run has to be to be traced at all; `subjects.Malformed` is its violation."""
    return ball(0 * t.eta)[None], ball(0 * t.eta)[None], _ALWAYS


def _starts(t: Trace):
    return ball(t.x[:1]), ball(t.instance.start[None]), _ALWAYS


def _finite(t: Trace):
    """Count the numbers that are not finite; the instances overflow nowhere."""
    return ball(~np.isfinite(t.x)), ball(0 * t.instance.start[None]), _ALWAYS


def _ends(t: Trace):
    return ball(t.run.final[None]), ball(t.x[-1:]), _ALWAYS


def _repeats(t: Trace, again: Trace):
    same = (again.x == t.x) | (np.isnan(again.x) & np.isnan(t.x))
    return ball(~same), ball(0 * t.instance.start[None]), _ALWAYS


def _stands_still(t: Trace, still: Trace):
    return ball(still.x), ball(t.x[:1]), _ALWAYS


def _apart(t: Trace, other: Trace):
    """Compare two runs that begin at the same point, alone and among others."""
    return other.exact.x, t.exact.x, _ALWAYS


def _restarted(t: Trace) -> Instance:
    return replace(t.instance, start=t.x[len(t.x) // 2])


def _goes_on(t: Trace, onward: Trace):
    half = len(t.x) // 2
    here = widened(t.x[half:], t.drift(half)[:, None])
    return onward.exact.x[: len(t.x) - half], here, _ALWAYS


THEOREMS = tuple(
    Theorem(family="bookkeeping", equality=True, source="definition of a run", **known)
    for known in (
        {
            "name": "form",
            "statement": "steps + 1 rows of the shape and dtype of the start; no input is changed",
            "law": _form,
            "methods": "any",
        },
        {
            "name": "starts",
            "statement": "row 0 is the start",
            "law": _starts,
            "needs": ("restart",),
            "methods": "any",
        },
        {
            "name": "finite",
            "statement": "every number of a run is finite",
            "law": _finite,
            "needs": ("restart",),
            "assumes": ("eta <= 2/L",),
            "methods": "descent",
        },
        {
            "name": "ends",
            "statement": "the last row is the final state",
            "law": _ends,
            "needs": ("final state",),
            "methods": "any",
        },
        {
            "name": "repeats",
            "statement": "the same problem gives the same bits",
            "law": _repeats,
            "needs": ("restart",),
            "methods": "any",
            "twin": lambda trace: trace.instance,
        },
        {
            "name": "rows-independent",
            "statement": "a run does not depend on the runs before it or beside it",
            "law": _apart,
            "needs": ("restart", "step size"),
            "twin": lambda trace: trace.instance,
            "order": lambda runs: runs[::-1],
        },
        {
            "name": "composition",
            "statement": "n + m steps are m steps from where n steps end",
            "law": _goes_on,
            "needs": ("restart", "step size"),
            "twin": _restarted,
        },
        {
            "name": "zero-step-size",
            "statement": "a step size of 0 stands still",
            "law": _stands_still,
            "needs": ("restart", "free step size"),
            "twin": lambda trace: replace(trace.instance, step_size=np.zeros_like(trace.eta)),
        },
    )
)
