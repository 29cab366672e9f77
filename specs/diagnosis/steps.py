"""Bugs of steps: their length, their gradient, their memory and their limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import rounding
from .fits import Fit, in_rows, later, moved, onto
from .seen import length

# -- the length of the step ------------------------------------------------------------------------


def scaled(run, unit=lambda run: 1, label=lambda run: 0):
    """Moves are c times -eta g, times a unit."""
    by = unit(run) * run.eta
    return moved(run, 0, 0, -by * run.g[:-1], by * run.e[:-1], label(run))


def by_coordinate(run):
    return np.arange(run.x.shape[1])[None]


def by_coordinate_from_last(run):
    return by_coordinate(run)[:, ::-1]


def geometric(run):
    """Step k is r^k as long, and r the constant."""
    fit, k = scaled(run), np.arange(len(run.x))[:, None] - 1
    root = 1 / np.maximum(k, 1)
    low, high = np.maximum(fit.low, 0) ** root, np.maximum(fit.high, 0) ** root
    there = (fit.low <= 1) & (fit.high >= 1) | (k > 0) & (fit.high >= 0)
    low, high = np.where(k > 0, low, -np.inf), np.where(k > 0, high, np.inf)
    return Fit(np.where(there, low, np.inf), high, fit.error)


# -- the gradient ----------------------------------------------------------------------------------


def _pulled(run, there, jump=0.0):
    """Moves are a jump and -eta times a gradient from elsewhere."""
    return moved(run, jump - run.eta * there.gradient, run.eta * there.gradient_error)


def of_rows(run, rows, used=True):
    """The gradients of other rows are used."""
    weight = run.eta * np.where(used, 1, 0)
    return moved(run, -weight * run.g[rows], weight * run.e[rows])


def stale(run):
    return of_rows(run, np.maximum(run.k[:, 0] - 1, 0))


def implicit(run):
    # The equation is solved as well as its solution can be rounded.
    error = run.e[1:] + run.L * length(8 * run.model.unit_roundoff * run.x[1:])
    return moved(run, -run.eta * run.g[1:], run.eta * error)


def in_turn(run, order):
    """Coordinates see those that are updated before them."""
    before = np.tri(run.x.shape[1], k=-1, dtype=bool)[::order, ::order]
    points = np.where(before, run.x[1:, None], run.x[:-1, None])
    there = run.at(points, length(run.blur[1:] + run.blur[:-1])[:, None])
    slopes, errors = (np.einsum("kii->ki", a) for a in (there.gradient, there.gradient_error))
    return moved(run, -run.eta * slopes, run.eta * errors)


def one_ahead(run):
    return _pulled(run, run.at(run.plain[1:], length(run.spare[1:])))


def of_other_data(run, change):
    there = rounding.huber(*change(*run.problem.data), x=run.x[:-1], dtype=run.model)
    return _pulled(run, there)


def reversed_gradient(run):
    return moved(run, -run.eta * run.g[:-1, ::-1], run.eta * run.e[:-1, ::-1])


def sign(run):
    return moved(run, -run.eta * np.sign(run.g[:-1]), run.eta * _unsure(run))


def _unsure(run):
    """Return how far signs of the gradient may be off."""
    return np.where(abs(run.g[:-1]) <= run.e[:-1], 1, run.unsure)


def _unit(run):
    """Return the gradient over its length, how far it may be off, the length, and its error."""
    g, e = run.g[:-1], run.e[:-1]
    size, off = length(g), length(e) + (g.shape[1] + 2) * run.model.unit_roundoff * length(g)
    some = np.where(size > 0, size, 1)
    return g / some, (e + abs(g) * off / some) / some, size, off


def normalized(run):
    unit, error, *_ = _unit(run)
    return moved(run, -run.eta * unit, run.eta * error)


# -- memory ----------------------------------------------------------------------------------------


def plus(run, slope, slope_error: Any = 0.0, label: Any = 0):
    """Moves are -eta g, plus c times something."""
    move, error = -run.eta * run.g[:-1], run.eta * run.e[:-1]
    return moved(run, move, error, slope, slope_error, label)


def heavy_ball(run):
    return plus(run, run.last, _lost(run))


def _lost(run):
    """Return how far the difference of a point and the one before may be off."""
    x, off = run.x[:-1], run.blur[:-1]
    return run.model.unit_roundoff * (abs(x) + abs(x - run.last)) + off + np.r_[off[:1], off[:-1]]


def mean_gradient(run, first=0):
    """The gradient is averaged over the steps from the first on, with weights c^k."""
    slope, error = run.eta * run.g[:-1] + run.last, run.eta * run.e[:-1] + _lost(run)
    return plus(run, *(np.where(run.k < first, 0, part) for part in (slope, error)))


def nesterov(run, first=0, label=lambda run: 0):
    """Nesterov's method from the first step on, at the points where the gradients are taken."""
    slope = np.diff(run.x[:-1] - run.eta * run.g[:-1], axis=0, prepend=run.x[:1])
    error = run.eta * run.e[:-1]
    error = error + _lost(run) + np.r_[0 * run.x[:1], error[:-1]]
    slope, error = (np.where(run.k < first, 0, part) for part in (slope, error))
    return plus(run, slope, error, label(run))


def lookahead(run, momentum):
    """Nesterov's method at the other points, where no gradient is taken."""
    jump = np.array([[momentum(k)] for k in range(len(run.k))]) * run.last
    lost = _lost(run) + run.model.unit_roundoff * (abs(run.x[:-1]) + 3 * abs(jump))
    return _pulled(run, run.at(run.x[:-1] + jump, length(2 * lost)), jump)


def decay(run, unit=lambda run: 1):
    """Moves are -eta g, minus c x, times a unit."""
    return plus(run, -unit(run) * run.x[:-1], unit(run) * run.blur[:-1])


def fista(k):
    """Return the momentum of Beck and Teboulle."""
    t = [1.0]
    for _ in range(k):
        t.append((1 + (1 + 4 * t[-1] ** 2) ** 0.5) / 2)
    return (t[k - 1] - 1) / t[k] if k else 0.0


def adaptive(run, keep_mean, keep_square, add_square, unbiased):
    """Gradients are divided by the root of their running square, as in Adam and its kin."""
    u, d = run.model.unit_roundoff, run.x.shape[1]
    mean = blur = size = square = blur_square = np.zeros(d, np.longdouble)
    slopes, errors = [], []
    for k, (g, e) in enumerate(zip(run.g[:-1], run.e[:-1], strict=True)):
        mean, blur, size = (
            keep_mean * old + (1 - keep_mean) * new
            for old, new in ((mean, g), (blur, e), (size, abs(g)))
        )
        square = keep_square * square + add_square * g**2
        blur_square = keep_square * blur_square + add_square * e**2
        whole = 1 - keep_mean ** (k + 1) if unbiased else 1
        root = (1 - keep_square ** (k + 1)) ** 0.5 if unbiased else 1
        # Nobody agrees on the epsilon below 1e-6, and in float32 1 - 0.999 is off by 500 u already.
        under = square**0.5 / root + 1e-8
        off = blur_square**0.5 / root + (k + 4 + 4 / add_square) * u * under + 1e-6
        least = np.maximum(under - off, 1e-8)
        lost = blur + (k + 4 + 1 / (1 - keep_mean)) * u * size
        slopes.append(mean / whole / under)
        errors.append((lost + abs(mean) * off / under) / whole / least)
    slopes, errors = (np.array(rows).reshape(-1, d) for rows in (slopes, errors))
    return moved(run, -run.eta * slopes, run.eta * errors)


def first_alone(run):
    """Nothing is said of the first step, and all others are right."""
    rows = np.arange(len(run.x))[:, None]
    return in_rows(rows == 1, Fit(np.where(len(run.x) > 2, -np.inf, np.inf), np.inf), run)


def first_as_in_adam(run):
    """The first move is the step size in every coordinate, and nothing is said of others."""
    off = run.eta * np.minimum(2, run.unsure + (run.e[:-1] + 1e-6) / abs(run.g[:-1]))
    return moved(run, -run.eta * np.sign(run.g[:-1]), np.where(run.k > 0, np.inf, off))


# -- limits ----------------------------------------------------------------------------------------


def _capped(run, fit, size, error=0.0):
    """Sizes above c are cut off to c, and what fits the constant fits it there."""
    most = np.minimum(fit.high, onto(np.inf, size + error, run))
    return Fit(fit.low, np.where(run.wrong, most, np.inf), fit.error)


def capped_length(run, by=lambda run: 1):
    """The length of the gradient is capped, in some unit."""
    unit, error, size, off = _unit(run)
    weight = run.eta / by(run)
    fit = moved(run, 0, 0, -weight * unit, weight * error)
    return _capped(run, fit, by(run) * size, 2 * by(run) * off)


def capped_entries(run):
    slope = -run.eta * np.sign(run.g[:-1])
    fit = moved(run, 0, 0, slope, run.eta * _unsure(run))
    return _capped(run, fit, abs(run.g[:-1]), 2 * run.e[:-1])


def capped_step_size(run):
    return _capped(run, scaled(run, lambda run: 1 / run.eta), run.eta)


def capped_points(run, slope, size):
    """Sizes of points are capped: beyond c points are c times the slope."""
    spare = 2 * length(run.spare[1:]) + 4 * run.model.unit_roundoff * abs(run.plain[1:])
    fit = later(run, 0, spare, slope(run.plain[1:]))
    return _capped(run, fit, size(run.plain[1:]), spare)


def _stands(run, size, error=0.0):
    """Rows or numbers stand still where a size is below c."""
    still = run.x[1:] == run.x[:-1]
    noticed = abs(run.plain[1:] - run.x[:-1]) > run.spare[1:]
    wrong = run.wrong[1:]
    low = np.where(wrong, np.where(still, size - error, np.inf), -np.inf)
    high = np.where(~wrong & noticed, size + error, np.inf)
    first = np.where(run.wrong[:1], np.inf, -np.inf)
    return Fit(onto(first, low, run), onto(np.inf, high, run))


def stands_after(run):
    """All is well for -c steps, and from there on nothing moves."""
    fit = _stands(run, -run.k)
    return Fit(fit.low, np.minimum(fit.high, 0))


def short_gradient(run):
    *_, size, off = _unit(run)
    return _stands(run, size, off)


def small_entries(run):
    sizes = (rows[:-1].max(axis=1, keepdims=True) for rows in (abs(run.g), run.e))
    return _stands(run, *sizes)


def short_move(run):
    *_, size, off = _unit(run)
    return _stands(run, run.eta * size, 2 * run.eta * off)


def small_moves(run):
    return _stands(run, abs(run.eta * run.g[:-1]), 2 * run.eta * run.e[:-1])


def no_increase(run):
    """Steps are not made where they would raise f by more than -c."""
    here, there = run.at(run.x[:-1]), run.at(run.plain[1:])
    error = here.value_error + there.value_error
    for evaluation, off in ((here, length(run.blur[:-1])), (there, length(run.spare[1:]))):
        error = error + (length(evaluation.gradient) * off + run.L * off**2)[:, 0]
    return _stands(run, (here.value - there.value)[:, None], error[:, None])


def no_crossing(run):
    """Coordinates stop at zero on their way to the other side."""
    plain, spare = run.plain[1:], 2 * run.spare[1:]
    base = np.where(plain * run.x[:-1] < 0, 0, plain)
    error = spare + np.where(abs(plain) <= spare, abs(plain), 0)
    return later(run, base, error)
