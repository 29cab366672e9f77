"""Bugs of keeping rows: they are missing, twice, in another order, of fewer digits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from .. import rounding
from .fits import between, in_rows, later, line, moved
from .seen import length

# -- the record ------------------------------------------------------------------------------------


def still(run):
    return line(run, run.plain[:1] + 0 * run.plain)


def last_row(run, row):
    """All is well but for the last row."""
    return line(run, np.r_[run.plain[:-1], row + 0 * run.plain[-1:]], 2 * run.spare)


def _exact(run):
    """Return the run from the start as it should be, and how far rounding may take it, (N + 1,)."""
    rows, errors = [run.start], []
    for _ in run.k:
        there = run.evaluation(rows[-1])
        errors.append(length(rounding.step(there, rows[-1], run.eta, run.model))[0])
        rows.append(rows[-1] - run.eta * there.gradient)
    growth = np.maximum(1, abs(1 - run.eta * run.L))
    return np.stack(rows), rounding.drift(growth, np.array(errors))[:, None]


def one_array(run):
    rows, errors = _exact(run)
    last = np.r_[run.x[:-1] * 0 + run.x[-1:], rows[-1:]]
    return line(run, last, np.r_[0 * errors[:-1], 2 * errors[-1:]])


def backwards(run):
    names = ("x", "blur", "g", "error")
    turned = replace(run, **{name: getattr(run, name)[::-1] for name in names})
    return line(run, turned.plain[::-1], 2 * turned.spare[::-1])


def _again(run, points, blur):
    """Return a run as if other points had been returned, each a blur from the one in use."""
    there = run.at(points, length(blur))
    return replace(run, x=points, blur=blur, g=there.gradient, error=there.gradient_error)


def reversed_points(run):
    turned = _again(run, run.x[:, ::-1], run.blur[:, ::-1])
    return line(run, turned.plain[:, ::-1], 2 * turned.spare[:, ::-1])


def without_start(run):
    """Row k is the point k + 1."""
    first = run.evaluation(run.start[None])
    x, blur = np.r_[run.start[None], run.x], np.r_[run.blur[:1], run.blur]
    g, error = np.r_[first.gradient, run.g], np.r_[first.gradient_error, run.error]
    longer = replace(run, x=x, blur=blur, g=g, error=error)
    return line(run, longer.plain[1:], 2 * longer.spare[1:])


def without_start_last_twice(run):
    last = np.arange(len(run.x))[:, None] == len(run.x) - 1
    return in_rows(last, line(run, np.r_[run.x[:1], run.x[:-1]]), run, without_start(run))


def without_first_step(run):
    first = np.r_[run.plain[:1], run.plain[:1], run.plain[2:]]
    return line(run, first, 2 * np.r_[np.zeros_like(run.x[:2]), run.spare[2:]])


def _two_steps(run):
    """Return what two steps make of every row but the last, and how far rounding may take it."""
    off = length(run.spare[1:])
    there = run.at(run.plain[1:], off)
    spare = off + rounding.step(there, run.plain[1:], run.eta, run.model)
    return run.plain[1:] - run.eta * there.gradient, spare


def two_for_one(run):
    rows, spare = _two_steps(run)
    return later(run, rows, 2 * spare)


def every_second(run):
    """Row 2 k is two steps from row 2 k - 2, and row 2 k + 1 repeats it."""
    rows, spare = _two_steps(run)
    odd = np.arange(len(run.x))[:, None] % 2 == 1
    base = np.where(odd, np.roll(run.x, 1, axis=0), np.r_[run.plain[:1], run.plain[:1], rows[:-1]])
    return line(run, base, np.where(odd, 0, 2 * np.r_[0 * spare[:1], 0 * spare[:1], spare[:-1]]))


def _in_wrong_rows(run, fit):
    return in_rows(run.wrong.any(axis=1, keepdims=True), fit, run)


def rows_missing(run):
    return _in_wrong_rows(run, two_for_one(run))


def rows_twice(run):
    return _in_wrong_rows(run, later(run, run.x[:-1], 0))


def means(run):
    """Row k is the mean of the points 0 to k, which are got back from two rows."""
    k = np.arange(len(run.x))[:, None]
    before, off = (np.r_[0 * rows[:1], rows[:-1]] for rows in (run.x, run.blur))
    lost = 8 * (k + 1) * run.model.unit_roundoff * (abs(run.x) + abs(before))
    points = _again(run, (k + 1) * run.x - k * before, lost + (k + 1) * run.blur + k * off)
    base = ((k * before)[1:] + points.plain[1:]) / (k[1:] + 1)
    error = 2 * points.spare[1:] / (k[1:] + 1)
    return later(run, base, error)


def move_alone(run):
    move, u = -run.eta * run.g[:-1], run.model.unit_roundoff
    error = 2 * (run.eta * run.e[:-1] + 2 * u * abs(move) + run.model.least_normal + run.blur[1:])
    return later(run, move, error)


# -- fewer digits ----------------------------------------------------------------------------------


def _cast(kind, x):
    """Return numbers as they are after they were held in another dtype."""
    return x.astype(np.float64).astype(kind).astype(np.longdouble)


def _rows_between(run, change, spare=0.0):
    """All rows but the first are those of gradient descent, sent through a function."""
    rows = np.arange(len(run.x))[:, None]
    return in_rows(rows > 0, between(run, run.plain, run.spare, change, spare), run)


def cast_points(run, kind):
    return _rows_between(run, partial(_cast, kind))


def cast_record(run, kind):
    return between(run, *_exact(run), partial(_cast, kind))


def cast_gradient(run, kind):
    low, high = (_cast(kind, run.g[:-1] + side * run.e[:-1]) for side in (-2, 2))
    return moved(run, -run.eta * (low + high) / 2, run.eta * (high - low) / 2)


def cast_move(run, kind):
    move, u = run.eta * run.g[:-1], run.model.unit_roundoff
    off = 2 * (run.eta * run.e[:-1] + u * abs(move))
    low, high = _cast(kind, move - off), _cast(kind, move + off)
    return moved(run, -(low + high) / 2, (high - low) / 2)


def cast_step_size(run, kind):
    eta = _cast(kind, run.eta)
    return moved(run, -eta * run.g[:-1], eta * run.e[:-1])


def decimals(run, places):
    spare = 4 * run.model.unit_roundoff * abs(run.x)
    return _rows_between(run, partial(np.round, decimals=places), spare)


def whole(run, change):
    return _rows_between(run, change)


def whole_from_whole(run):
    """A start without decimals makes a run without them."""
    return _rows_between(run, np.trunc if not (run.plain[0] % 1).any() else lambda x: x)
