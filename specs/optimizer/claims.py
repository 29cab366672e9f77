"""Claims: what bugs make of a run, each as the constants that every number of it allows.

A claim predicts every row from those before it, as they were returned, up to a constant.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import rounding
from ..instances import Instance
from ..rows import QUIET


class Seen(NamedTuple):
    """A run as hypotheses see it, in extended precision; N is the number of steps.

    Attributes
    ----------
    number, instance, model
        Which of the runs it is, its problem, the arithmetic it ran in.
    x
        The points as they were returned, (N + 1, d).
    g, e
        The gradient at each of them, and how far an evaluation may be from it.
    plain, spare
        What gradient descent makes of the row before, and how far rounding may take it from there;
        the start in the first row.
    wrong
        Which numbers gradient descent does not explain.
    """

    number: int
    instance: Instance
    model: rounding.Arithmetic
    x: Any
    g: Any
    e: Any
    plain: Any
    spare: Any
    wrong: Any

    @property
    def eta(self):
        """The step size."""
        return np.longdouble(self.instance.step_size)

    @property
    def L(self):
        """The smoothness of f, times which errors of a point are errors of its gradient."""
        return np.longdouble(self.instance.smoothness)

    @property
    def start(self):
        """The start, which should be row 0."""
        return np.asarray(self.instance.start, np.longdouble)

    @property
    def k(self):
        """The number of each step, (N, 1)."""
        return np.arange(len(self.x) - 1)[:, None]

    @property
    def last(self):
        """The move that led to each point, none to the start, (N, d)."""
        return np.diff(self.x[:-1], axis=0, prepend=self.x[:1])


class Claim(NamedTuple):
    """What a hypothesis says of a run: which constants every number allows, (N + 1, d) each.

    Attributes
    ----------
    low, high
        The least and the greatest constant; the least above the greatest where none will do.
    error
        How far the hypothesis may miss the number.
    label
        Which of its constants it is.
    """

    low: Any
    high: Any
    error: Any = 0.0
    label: Any = 0


def evaluate(data, x, model):
    """Return the evaluation at points, any number of axes before the last."""
    return rounding.huber(*data, x=x, dtype=model)


@QUIET
def see(number, instance, points, model) -> Seen:
    """Return a run as hypotheses see it."""
    x = np.asarray(points, np.longdouble)
    # From where a run overflows it has nothing more to tell; a NaN may never have been written.
    x = x[: next((k for k, row in enumerate(x) if np.isinf(row).any()), len(x))]
    now = evaluate(instance.data, x, model)
    eta, start = np.longdouble(instance.step_size), np.asarray(instance.start, np.longdouble)[None]
    spare = rounding.step(now, x, eta, model)
    plain = np.concatenate([start, x - eta * now.gradient])[: len(x)]
    spare = np.concatenate([0 * start, spare])[: len(x)]
    wrong = ~(abs(x - plain) <= spare)
    return Seen(number, instance, model, x, now.gradient, now.gradient_error, plain, spare, wrong)


# -- claims ----------------------------------------------------------------------------------------


def _line(run, base, error: Any = 0.0, slope: Any = 0.0, slope_error: Any = 0.0, label: Any = 0):
    """Claim that rows are ``base + c slope``, to within ``error + |c| slope_error``."""
    slope, slope_error = np.longdouble(slope), np.longdouble(slope_error)
    off, steep = run.x - base, abs(slope)
    off = np.where(slope < 0, -off, off)
    # Where NaN is predicted NaN is right.
    off = np.where(np.isnan(base) & np.isnan(run.x), 0, off)

    def greatest(room):
        up = np.where(steep > slope_error, room / (steep - slope_error), np.inf)
        return np.where(room >= 0, up, room / (steep + slope_error))

    low, high = -greatest(error - off), greatest(error + off)
    missed = error + abs(off) * np.where(steep > 0, np.minimum(slope_error / steep, 1), 0)
    return Claim(low, high, missed, label)


def _onto(first, rows, run):
    """Return rows of steps with another one above them."""
    n, d = run.x.shape
    return np.concatenate([np.broadcast_to(first, (1, d)), np.broadcast_to(rows, (n - 1, d))])


def _moved(
    run,
    move: Any = 0.0,
    error: Any = 0.0,
    slope: Any = 0.0,
    slope_error: Any = 0.0,
    label: Any = 0,
):
    """Claim that rows are the one before, plus a move, plus c times a slope; all of them (N, d)."""
    u, tiny, x = run.model.unit_roundoff, run.model.least_normal, run.x
    base = x[:-1] + move
    # Twice, as sums may be taken in any order, and the judge's own numbers are rounded, too.
    room = 2 * (error + u * (3 * abs(move) + abs(base) + abs(x[1:])) + 4 * tiny)
    blur = 2 * (slope_error + 4 * u * abs(slope))
    return _line(
        run,
        _onto(run.start, base, run),
        _onto(0, room, run),
        _onto(0, slope, run),
        _onto(0, blur, run),
        _onto(0, label, run).astype(int),
    )


def _between(run, base, error, change, spare=0.0):
    """Claim that rows are numbers near the base, sent through a function that keeps their order."""
    low, high = change(base - 2 * error) - spare, change(base + 2 * error) + spare
    there = (low <= run.x) & (run.x <= high)
    return Claim(np.where(there, -np.inf, np.inf), np.where(there, np.inf, -np.inf), high - low)


def _after_start(run, claim):
    """Claim the same of all rows but the first, which is the start."""
    return _with_rows(claim, _line(run, run.plain), np.arange(len(run.x))[:, None] == 0)


def _with_rows(claim, other, rows):
    """Return a claim with some rows of another; both have one constant, or none."""
    parts = zip(claim[:3], other[:3], strict=True)
    return Claim(*(np.where(rows, b, a) for a, b in parts))


def norm(rows):
    return (rows**2).sum(axis=-1, keepdims=True) ** 0.5


# -- the record ------------------------------------------------------------------------------------


def last_row(run, row):
    """All is well but for the last row."""
    return _line(run, np.r_[run.plain[:-1], row + 0 * run.plain[-1:]], 2 * run.spare)


def _exact(run):
    """Return the run from the start as it should be, and how far rounding may take it, (N + 1,)."""
    rows, errors = [run.start], []
    for _ in run.k:
        there = evaluate(run.instance.data, rows[-1], run.model)
        errors.append(norm(rounding.step(there, rows[-1], run.eta, run.model))[0])
        rows.append(rows[-1] - run.eta * there.gradient)
    growth = np.maximum(1, abs(1 - run.eta * run.L))
    return np.stack(rows), rounding.drift(growth, np.array(errors))[:, None]


def one_array(run):
    rows, errors = _exact(run)
    last = np.r_[run.x[:-1] * 0 + run.x[-1:], rows[-1:]]
    return _line(run, last, np.r_[0 * errors[:-1], 2 * errors[-1:]])


def backwards(run):
    turned = _again(run, run.x[::-1])
    return _line(run, turned.plain[::-1], 2 * turned.spare[::-1])


def _again(run, points):
    """Return a run as if other points had been returned."""
    return see(run.number, run.instance, points, run.model)


def without_start(run):
    """Row k is the point k + 1."""
    longer = _again(run, np.r_[run.start[None], run.x])
    return _line(run, longer.plain[1:], 2 * longer.spare[1:])


def without_start_last_twice(run):
    still = _line(run, np.r_[run.x[:1], run.x[:-1]])
    last = np.arange(len(run.x))[:, None] == len(run.x) - 1
    return _with_rows(without_start(run), still, last)


def without_first_step(run):
    first = np.r_[run.plain[:1], run.plain[:1], run.plain[2:]]
    return _line(run, first, 2 * np.r_[run.spare[:1], run.spare[:1], run.spare[2:]])


def _two_steps(run):
    """Return what two steps make of every row but the last, and how far rounding may take it."""
    there = evaluate(run.instance.data, run.plain[1:], run.model)
    rounded = rounding.step(there, run.plain[1:], run.eta, run.model)
    spare = rounded + (1 + run.eta * run.L) * norm(run.spare[1:])
    return run.plain[1:] - run.eta * there.gradient, spare


def two_for_one(run):
    rows, spare = _two_steps(run)
    return _line(run, _onto(run.start, rows, run), _onto(0, 2 * spare, run))


def every_second(run):
    """Row 2 k is two steps from row 2 k - 2, and row 2 k + 1 repeats it."""
    rows, spare = _two_steps(run)
    odd = np.arange(len(run.x))[:, None] % 2 == 1
    base = np.where(odd, np.roll(run.x, 1, axis=0), np.r_[run.plain[:1], run.plain[:1], rows[:-1]])
    return _line(run, base, np.where(odd, 0, 2 * np.r_[0 * spare[:1], 0 * spare[:1], spare[:-1]]))


def means(run):
    """Row k is the mean of the points 0 to k, which are got back from two rows."""
    k = np.arange(len(run.x))[:, None]
    before = np.r_[0 * run.x[:1], run.x[:-1]]
    lost = 8 * (k + 1) * run.model.unit_roundoff * (abs(run.x) + abs(before))
    points = _again(run, (k + 1) * run.x - k * before)
    spare = points.spare[1:] + (1 + run.eta * run.L) * norm(lost[:-1])
    base = ((k * before)[1:] + points.plain[1:]) / (k[1:] + 1)
    error = 2 * spare / (k[1:] + 1) + lost[1:] / (k[1:] + 1)
    return _line(run, _onto(run.start, base, run), _onto(0, error, run))


def move_alone(run):
    move, u = -run.eta * run.g[:-1], run.model.unit_roundoff
    error = 2 * (run.eta * run.e[:-1] + 2 * u * abs(move) + run.model.least_normal)
    return _line(run, _onto(run.start, move, run), _onto(0, error, run))


# -- the length of the step ------------------------------------------------------------------------


def scaled(run, unit=lambda run: 1, label=lambda run: 0):
    """Claim that moves are c times -eta g, times a unit."""
    by = unit(run) * run.eta
    return _moved(run, 0, 0, -by * run.g[:-1], by * run.e[:-1], label(run))


def by_coordinate(run):
    return np.arange(run.x.shape[1])[None]


def by_coordinate_from_last(run):
    return by_coordinate(run)[:, ::-1]


def geometric(run):
    """Step k is r^k as long, and r the constant."""
    claim, k = scaled(run), np.arange(len(run.x))[:, None] - 1
    root = 1 / np.maximum(k, 1)
    low, high = np.maximum(claim.low, 0) ** root, np.maximum(claim.high, 0) ** root
    there = (claim.low <= 1) & (claim.high >= 1) | (k > 0) & (claim.high >= 0)
    low, high = np.where(k > 0, low, -np.inf), np.where(k > 0, high, np.inf)
    return claim._replace(low=np.where(there, low, np.inf), high=high)


# -- the gradient ----------------------------------------------------------------------------------


def _pulled(run, there, jump=0.0, error=0.0):
    """Claim that moves are a jump and -eta times a gradient of points that are off by an error."""
    move = jump - run.eta * there.gradient
    return _moved(run, move, run.eta * (there.gradient_error + run.L * error))


def of_rows(run, rows, used=True):
    """Claim that the gradients of other rows are used."""
    weight = run.eta * np.where(used, 1, 0)
    return _moved(run, -weight * run.g[rows], weight * run.e[rows])


def stale(run):
    return of_rows(run, np.maximum(run.k[:, 0] - 1, 0))


def implicit(run):
    there = evaluate(run.instance.data, run.x[1:], run.model)
    # The equation is solved as well as its solution can be rounded.
    return _pulled(run, there, error=8 * run.model.unit_roundoff * norm(run.x[1:]))


def in_turn(run, order):
    """Coordinates see those that are updated before them."""
    before = np.tri(run.x.shape[1], k=-1, dtype=bool)[::order, ::order]
    points = np.where(before, run.x[1:, None], run.x[:-1, None])
    there = evaluate(run.instance.data, points, run.model)
    slopes, errors = (np.einsum("kii->ki", a) for a in (there.gradient, there.gradient_error))
    return _moved(run, -run.eta * slopes, run.eta * errors)


def one_ahead(run):
    there = evaluate(run.instance.data, run.plain[1:], run.model)
    return _pulled(run, there, error=norm(run.spare[1:]))


def of_other_data(run, change):
    return _pulled(run, evaluate(change(*run.instance.data), run.x[:-1], run.model))


def reversed_gradient(run):
    return _moved(run, -run.eta * run.g[:-1, ::-1], run.eta * run.e[:-1, ::-1])


def reversed_points(run):
    turned = _again(run, run.x[:, ::-1])
    return _line(run, turned.plain[:, ::-1], 2 * turned.spare[:, ::-1])


def sign(run):
    unsure = abs(run.g[:-1]) <= run.e[:-1]
    return _moved(run, -run.eta * np.sign(run.g[:-1]), np.where(unsure, run.eta, 0))


def _unit(run):
    """Return the gradient over its length, how far it may be off, the length, and its error."""
    g, e = run.g[:-1], run.e[:-1]
    size, off = norm(g), norm(e) + (g.shape[1] + 2) * run.model.unit_roundoff * norm(g)
    length = np.where(size > 0, size, 1)
    return g / length, (e + abs(g) * off / length) / length, size, off


def normalized(run):
    unit, error, *_ = _unit(run)
    return _moved(run, -run.eta * unit, run.eta * error)


# -- memory ----------------------------------------------------------------------------------------


def plus(run, slope, slope_error: Any = 0.0, label: Any = 0):
    """Claim that moves are -eta g, plus c times something."""
    move, error = -run.eta * run.g[:-1], run.eta * run.e[:-1]
    return _moved(run, move, error, slope, slope_error, label)


def loss(run):
    """Return how far rounding may take the difference of a point and the one before."""
    return run.model.unit_roundoff * (abs(run.x[:-1]) + abs(run.x[:-1] - run.last))


def mean_gradient(run, first=0):
    """Claim that the gradient is averaged over the steps from the first on, with weights c^k."""
    slope, error = run.eta * run.g[:-1] + run.last, run.eta * run.e[:-1] + loss(run)
    return plus(run, np.where(run.k < first, 0, slope), np.where(run.k < first, 0, error))


def nesterov(run, label=lambda run: 0):
    """Nesterov's method at the points where the gradients are taken."""
    slope = np.diff(run.x[:-1] - run.eta * run.g[:-1], axis=0, prepend=run.x[:1])
    error = run.eta * run.e[:-1] + loss(run)
    return plus(run, slope, error + np.r_[0 * error[:1], error[:-1]], label(run))


def lookahead(run, momentum):
    """Nesterov's method at the other points, where no gradient is taken."""
    jump = np.array([[momentum(k)] for k in range(len(run.k))]) * run.last
    there = evaluate(run.instance.data, run.x[:-1] + jump, run.model)
    lost = loss(run) + run.model.unit_roundoff * (abs(run.x[:-1]) + 3 * abs(jump))
    return _pulled(run, there, jump, 2 * norm(lost))


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
    moves, errors = [], []
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
        moves.append(-run.eta * mean / whole / under)
        errors.append(run.eta * (lost + abs(mean) * off / under) / whole / least)
    return _moved(run, np.array(moves).reshape(-1, d), np.array(errors).reshape(-1, d))


def first_alone(run):
    """Claim nothing of the first step, and that all others are right."""
    rows = np.arange(len(run.x))[:, None]
    free = Claim(np.where(len(run.x) > 2, -np.inf, np.inf), np.inf, 0.0)
    return _with_rows(_line(run, run.plain, 2 * run.spare), free, rows == 1)


def first_as_in_adam(run):
    """Claim that the first move is the step size in every coordinate, and nothing of others."""
    off = run.eta * np.minimum(2, (run.e[:-1] + 1e-6) / abs(run.g[:-1]))
    return _moved(run, -run.eta * np.sign(run.g[:-1]), np.where(run.k > 0, np.inf, off))


# -- limits ----------------------------------------------------------------------------------------


def _capped(run, claim, size, error=0.0):
    """Sizes above c are cut off to c, and what is claimed of the constant holds there."""
    most = np.minimum(claim.high, _onto(np.inf, size + error, run))
    return claim._replace(high=np.where(run.wrong, most, np.inf))


def capped_length(run, by=lambda run: 1):
    """Claim that the length of the gradient is capped, in some unit."""
    unit, error, size, off = _unit(run)
    weight = run.eta / by(run)
    claim = _moved(run, 0, 0, -weight * unit, weight * error)
    return _capped(run, claim, by(run) * size, 2 * by(run) * off)


def capped_entries(run):
    g, e = run.g[:-1], run.e[:-1]
    claim = _moved(run, 0, 0, -run.eta * np.sign(g), np.where(abs(g) <= e, run.eta, 0))
    return _capped(run, claim, abs(g), 2 * e)


def capped_step_size(run):
    return _capped(run, scaled(run, lambda run: 1 / run.eta), run.eta)


def capped_points(run, slope, size):
    """Sizes of points are capped: beyond c points are c times the slope."""
    spare = 2 * norm(run.spare[1:]) + 4 * run.model.unit_roundoff * abs(run.plain[1:])
    base, slope = _onto(run.start, 0, run), _onto(0, slope(run.plain[1:]), run)
    return _capped(run, _line(run, base, _onto(0, spare, run), slope), size(run.plain[1:]), spare)


def _stands(run, size, error=0.0):
    """Rows or numbers stand still where a size is below c."""
    still = run.x[1:] == run.x[:-1]
    noticed = abs(run.plain[1:] - run.x[:-1]) > run.spare[1:]
    wrong = run.wrong[1:]
    low = np.where(wrong, np.where(still, size - error, np.inf), -np.inf)
    high = np.where(~wrong & noticed, size + error, np.inf)
    first = np.where(run.wrong[:1], np.inf, -np.inf)
    return Claim(_onto(first, low, run), _onto(np.inf, high, run))


def short_gradient(run):
    *_, size, off = _unit(run)
    return _stands(run, size, off)


def small_entries(run):
    return _stands(run, abs(run.g[:-1]).max(axis=1, keepdims=True), run.e[:-1].max())


def short_move(run):
    *_, size, off = _unit(run)
    return _stands(run, run.eta * size, 2 * run.eta * off)


def small_moves(run):
    return _stands(run, abs(run.eta * run.g[:-1]), 2 * run.eta * run.e[:-1])


def no_increase(run):
    """Claim that steps are not made where they would raise f by more than -c."""
    here, there = (evaluate(run.instance.data, x, run.model) for x in (run.x[:-1], run.plain[1:]))
    spare = norm(run.spare[1:])[:, 0]
    error = here.value_error + there.value_error + run.L * spare**2
    error = error + norm(there.gradient)[:, 0] * spare
    return _stands(run, (here.value - there.value)[:, None], error[:, None])


def no_crossing(run):
    """Coordinates stop at zero on their way to the other side."""
    plain, spare = run.plain[1:], 2 * run.spare[1:]
    base = np.where(plain * run.x[:-1] < 0, 0, plain)
    error = spare + np.where(abs(plain) <= spare, abs(plain), 0)
    return _line(run, _onto(run.start, base, run), _onto(0, error, run))


# -- fewer digits ----------------------------------------------------------------------------------


def _cast(kind, x):
    """Return numbers as they are after they were held in another dtype."""
    return x.astype(np.float64).astype(kind).astype(np.longdouble)


def cast_points(run, kind):
    return _after_start(run, _between(run, run.plain, run.spare, partial(_cast, kind)))


def cast_record(run, kind):
    return _between(run, *_exact(run), partial(_cast, kind))


def cast_gradient(run, kind):
    low, high = (_cast(kind, run.g[:-1] + side * run.e[:-1]) for side in (-2, 2))
    return _moved(run, -run.eta * (low + high) / 2, run.eta * (high - low) / 2)


def cast_move(run, kind):
    move, u = run.eta * run.g[:-1], run.model.unit_roundoff
    off = 2 * (run.eta * run.e[:-1] + u * abs(move))
    low, high = _cast(kind, move - off), _cast(kind, move + off)
    return _moved(run, -(low + high) / 2, (high - low) / 2)


def cast_step_size(run, kind):
    eta = _cast(kind, run.eta)
    return _moved(run, -eta * run.g[:-1], eta * run.e[:-1])


def decimals(run, places):
    spare = 4 * run.model.unit_roundoff * abs(run.x)
    change = partial(np.round, decimals=places)
    return _after_start(run, _between(run, run.plain, run.spare, change, spare))


def whole(run, change):
    return _after_start(run, _between(run, run.plain, run.spare, change))


def whole_from_whole(run):
    """Claim that a start without decimals makes a run without them."""
    return whole(run, np.trunc if not (run.start % 1).any() else lambda x: x)
