"""Bookkeeping: what every recorded run must be, whatever the method."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp

from ..balls import ball
from ..theorem import Evidence, Theorem, Trace


def _same(measured, bound) -> Evidence:
    """Return the evidence that two arrays are the same numbers."""
    zero = jnp.zeros_like(measured)
    return Evidence(ball(measured), ball(bound), zero, jnp.ones(measured.shape, bool))


def _near(measured, bound, allowed) -> Evidence:
    moved = jnp.broadcast_to(jnp.ones((), bool), measured.shape)
    return Evidence(ball(measured), ball(bound), jnp.broadcast_to(allowed, measured.shape), moved)


def _form(trace: Trace) -> Evidence:
    """State what a run has to be to be traced at all; `running.Malformed` is its violation."""
    return _same(jnp.ones((1,)), jnp.ones((1,)))


def _starts(trace: Trace) -> Evidence:
    return _same(trace.x[:1], trace.instance.start[None])


def _finite(trace: Trace) -> Evidence:
    """Count the numbers that are not finite; the instances overflow nowhere."""
    return _same((~jnp.isfinite(trace.x)).astype(trace.x.dtype), jnp.zeros_like(trace.x))


def _ends(trace: Trace) -> Evidence:
    return _same(trace.run.final[None], trace.x[-1:])


def _repeats(trace: Trace, again: Trace) -> Evidence:
    same = (again.x == trace.x) | (jnp.isnan(again.x) & jnp.isnan(trace.x))
    return _same((~same).astype(trace.x.dtype), jnp.zeros_like(trace.x))


def _stands_still(trace: Trace, still: Trace) -> Evidence:
    return _same(still.x, jnp.broadcast_to(trace.x[:1], still.x.shape))


def _apart(trace: Trace, other: Trace) -> Evidence:
    """Compare two runs that begin at the same point, alone and among others."""
    allowed = trace.drift() + other.drift()
    return _near(other.x, trace.x, allowed[:, None])


def _restarted(trace: Trace) -> object:
    return replace(trace.instance, start=trace.x[len(trace.x) // 2])


def _goes_on(trace: Trace, onward: Trace) -> Evidence:
    half = len(trace.x) // 2
    rest = len(trace.x) - half
    allowed = trace.drift(half) + onward.drift()[:rest]
    return _near(onward.x[:rest], trace.x[half:], allowed[:, None])


THEOREMS = tuple(
    Theorem(family="bookkeeping", equality=True, source="definition of a run", **known)
    for known in (
        {
            "name": "form",
            "statement": "steps + 1 rows of the shape and dtype of the start; no input is changed",
            "evidence": _form,
            "methods": "any",
        },
        {
            "name": "starts",
            "statement": "row 0 is the start",
            "evidence": _starts,
            "needs": ("restart",),
            "methods": "any",
        },
        {
            "name": "finite",
            "statement": "every number of a run is finite",
            "evidence": _finite,
            "needs": ("restart",),
            "assumes": ("eta <= 2/L",),
            "methods": "descent",
        },
        {
            "name": "ends",
            "statement": "the last row is the final state",
            "evidence": _ends,
            "needs": ("final state",),
            "methods": "any",
        },
        {
            "name": "repeats",
            "statement": "the same problem gives the same bits",
            "evidence": _repeats,
            "needs": ("restart",),
            "methods": "any",
            "twin": lambda trace: trace.instance,
        },
        {
            "name": "rows-independent",
            "statement": "a run does not depend on the runs before it or beside it",
            "evidence": _apart,
            "needs": ("restart", "step size"),
            "twin": lambda trace: trace.instance,
            "order": lambda rows: rows[::-1],
        },
        {
            "name": "composition",
            "statement": "n + m steps are m steps from where n steps end",
            "evidence": _goes_on,
            "needs": ("restart", "step size"),
            "twin": _restarted,
        },
        {
            "name": "zero-step-size",
            "statement": "a step size of 0 stands still",
            "evidence": _stands_still,
            "needs": ("restart", "free step size"),
            "twin": lambda trace: replace(trace.instance, step_size=jnp.zeros_like(trace.eta)),
        },
    )
)
