"""Fits: what a hypothesis makes of a run, as the constants that every number of it allows.

A hypothesis predicts every row from those before it, as they were returned, up to a constant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .seen import Seen


class Fit(NamedTuple):
    """Which constants every number of a run allows, (N + 1, d) each.

    Attributes
    ----------
    low, high
        The least and the greatest constant; the least above the greatest where none will do.
    error
        How far the hypothesis may miss the number.
    size
        What the constant is at least, be it positive or negative.
    label
        Which of its constants it is.
    base, slope
        Rows are ``base + c slope``, if that is what the hypothesis says, or None.
    """

    low: Any
    high: Any
    error: Any = 0.0
    size: Any = 0.0
    label: Any = 0
    base: Any = None
    slope: Any = None


def line(
    run: Seen,
    base: Any,
    error: Any = 0.0,
    slope: Any = 0.0,
    slope_error: Any = 0.0,
    label: Any = 0,
) -> Fit:
    """Fit ``base + c slope`` to rows, to within ``error + |c| slope_error``."""
    slope, slope_error = np.longdouble(slope), np.longdouble(slope_error)
    off, steep = run.x - base, abs(slope)
    off = np.where(slope < 0, -off, off)
    # Where NaN is predicted NaN is right.
    off = np.where(np.isnan(base) & np.isnan(run.x), 0, off)
    clear = slope_error < steep

    vague = (slope_error > 0) & ~clear  # so that a constant may be of either sign

    def greatest(room):
        up = np.where(clear, room / (steep - slope_error), np.inf)
        down = np.where(vague, np.inf, room / (steep + slope_error))
        return np.where(room >= 0, up, down)

    low, high = -greatest(error - off), greatest(error + off)
    missed = error + abs(off) * np.where(clear, slope_error / steep, vague)
    size = np.where(vague, np.maximum(abs(off) - error, 0) / (steep + slope_error), 0)
    return Fit(low, high, missed, size, label, base, slope)


def onto(first, rows, run: Seen):
    """Return rows of steps with another one above them."""
    n, d = run.x.shape
    return np.concatenate([np.broadcast_to(first, (1, d)), np.broadcast_to(rows, (n - 1, d))])


def later(run: Seen, base, error, slope: Any = 0.0, slope_error: Any = 0.0, label: Any = 0) -> Fit:
    """Fit a line to all rows but the first, which is that of gradient descent; (N, d) each."""
    base, label = onto(run.plain[0], base, run), onto(0, label, run).astype(int)
    error, slope, slope_error = (onto(0, part, run) for part in (error, slope, slope_error))
    return line(run, base, error, slope, slope_error, label)


def moved(
    run: Seen,
    move: Any = 0.0,
    error: Any = 0.0,
    slope: Any = 0.0,
    slope_error: Any = 0.0,
    label: Any = 0,
) -> Fit:
    """Fit rows by the one before, plus a move, plus c times a slope; all of them (N, d)."""
    u, tiny, x = run.model.unit_roundoff, run.model.least_normal, run.x
    base = x[:-1] + move
    # Twice, as sums may be taken in any order, and the judge's own numbers are rounded, too.
    room = 2 * (error + u * (3 * abs(move) + abs(base) + abs(x[1:])) + 4 * tiny)
    room = room + run.blur[:-1] + run.blur[1:]
    blur = 2 * (slope_error + 4 * u * abs(slope))
    return later(run, base, room, slope, blur, label)


def between(run: Seen, base, error, change, spare: Any = 0.0) -> Fit:
    """Fit rows by numbers near the base, sent through a function that keeps their order."""
    low, high = change(base - 2 * error) - spare, change(base + 2 * error) + spare
    there = (low <= run.x) & (run.x <= high)
    return Fit(np.where(there, -np.inf, np.inf), np.where(there, np.inf, -np.inf), high - low)


def in_rows(rows, fit: Fit, run: Seen, other: Fit | None = None) -> Fit:
    """Return a fit of some rows, and another of all others: by default gradient descent.

    Both have one constant, or none.
    """
    other = line(run, run.plain, 2 * run.spare) if other is None else other
    return Fit(*(np.where(rows, a, b) for a, b in zip(fit[:4], other[:4], strict=True)))
