"""Causes: which bug returns just the numbers that a subject returned.

A hypothesis predicts every row from those before it, as they were returned, up to constants: "every
move is c times -eta g". Each number then leaves an interval of c, as wide as the derived rounding,
and a hypothesis stands if all numbers of all runs leave a c in common, and if it is put to the test
by more numbers than it has constants. A number puts it to the test if gradient descent misses it by
more than the hypothesis could miss it. So nothing is searched for, and a constant comes out with
as many digits as the runs can tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .. import rounding
from ..instances import Instance


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


class Hypothesis(NamedTuple):
    """A bug, as data.

    Attributes
    ----------
    sentence
        Makes the sentence of what was found: `c`, the constant as text, and the other fields that
        `_fields` lists.
    claim
        What it says of a run.
    constant
        The constant, if it is known.
    """

    sentence: Callable[..., str]
    claim: Callable[[Seen], Claim]
    constant: float | None = None


def likely_cause(runs: Sequence[tuple[Instance, np.ndarray]], dtype) -> str:
    """Return the likeliest cause why runs are not gradient descent, with its evidence, or "".

    Parameters
    ----------
    runs
        Pairs (instance, points): a problem, its numbers in float64, and the points (steps + 1, d)
        that the subject returned. A cause must explain all of them; the first gives the example.
    dtype
        The dtype in which the subject ran.

    Returns
    -------
    str
        "cause: evidence" in one sentence, the simplest cause of those that are left; "" if none is,
        or if the runs are gradient descent.

    Examples
    --------
    >>> one, zero = np.ones(1), np.zeros(1)  # f(x) = x^2 / 2 from 1
    >>> problem = Instance(np.ones((1, 1)), zero, np.inf, 0, 0, one, 0.25, zero, 1, 1, 0)
    >>> halves = np.array([[1], [1 / 2], [1 / 4]])  # of which gradient descent makes 3/4
    >>> assert "2 times too long" in likely_cause([(problem, halves)], "float32")
    """
    return next(possible_causes(runs, dtype), "")


def possible_causes(runs: Sequence[tuple[Instance, np.ndarray]], dtype) -> Iterator[str]:
    """Return all causes that explain runs, the simplest first; arguments as of `likely_cause`.

    Examples
    --------
    >>> assert not list(possible_causes([], "float32"))
    """
    model = rounding.arithmetic(dtype)
    seen = [_see(k, *run, model) for k, run in enumerate(runs)]
    if any(run.wrong.any() for run in seen):
        yield from filter(None, (_explain(hypothesis, seen) for hypothesis in HYPOTHESES))


# -- a run, and what is to be explained ------------------------------------------------------------

# Where numbers overflow, and where 0 / 0 means that every constant will do.
_QUIET = np.errstate(all="ignore")


def _at(data, x, model):
    """Return the evaluation at points, any number of axes before the last."""
    features, center, bend, tail, minimum = (
        np.broadcast_to(leaf, (*x.shape[:-1], *np.shape(leaf))) for leaf in data
    )
    return rounding.huber(features, center, bend, tail, minimum, x, model)


@_QUIET
def _see(number, instance, points, model):
    x = np.asarray(points, np.longdouble)
    # From where a run overflows it has nothing more to tell; a NaN may never have been written.
    x = x[: next((k for k, row in enumerate(x) if np.isinf(row).any()), len(x))]
    now = _at(instance.data, x, model)
    eta, start = np.longdouble(instance.step_size), np.asarray(instance.start, np.longdouble)[None]
    spare = rounding.step(now, x, eta, model)
    plain = np.concatenate([start, x - eta * now.gradient])[: len(x)]
    spare = np.concatenate([0 * start, spare])[: len(x)]
    wrong = ~(abs(x - plain) <= spare)
    return Seen(number, instance, model, x, now.gradient, now.gradient_error, plain, spare, wrong)


@_QUIET
def _explain(hypothesis, seen):
    """Return the sentence of a hypothesis that explains all runs, or ""."""
    bounds, shown, tests, where = {}, set(), 0, None
    for run in seen:
        claim = hypothesis.claim(run)
        low, high, error, label = (np.broadcast_to(part, run.x.shape) for part in claim)
        for one in np.unique(label).tolist():
            least, most = bounds.get(one, (-np.inf, np.inf))
            least = np.maximum(least, low[label == one].max())
            most = np.minimum(most, high[label == one].min())
            if not (least <= most and least < np.inf and most > -np.inf):
                return ""
            bounds[one] = least, most
        # Twice: what both may miss together is no test.
        test = run.wrong & ~(abs(run.x - run.plain) <= 2 * error)
        tests, shown = tests + test.sum(), shown | set(label[test].tolist())
        if where is None and test.any():
            where = np.argwhere(test)[0].tolist()
    known = hypothesis.constant
    if known is not None and not all(low <= known <= high for low, high in bounds.values()):
        return ""
    fitted = known is None and any(np.isfinite(b).any() for b in bounds.values())
    if where is None or tests <= fitted * len(shown):
        return ""
    found = hypothesis.sentence(**_fields(bounds, sorted(shown), *where))
    runs = f"all {len(seen)} runs" if len(seen) > 1 else "this run"
    return found and f"{found}; fits {runs}, first in x[{where[0]}], coordinate {where[1]}"


def _fields(bounds, shown, row, coordinate):
    """Return what a sentence may be made of.

    As text: c, the constant; minus, the same with the other sign; span, the least and the greatest
    of several; before, the coordinates before the first that was put to the test. As numbers:
    constants, by their labels, that were put to the test; row and coordinate of the first test.
    """
    constants = {k: _simplest(*bounds[k]) for k in shown}
    inner = [c for c in constants.values() if c is not None] or [Fraction(0)]
    return {
        "constants": constants,
        "c": _text(inner[0]),
        "minus": _text(-inner[0]),
        "span": " to ".join(dict.fromkeys([_text(min(inner)), _text(max(inner))])),
        "row": row,
        "coordinate": coordinate,
        "before": f"coordinates 0 to {coordinate - 1}" if coordinate > 1 else "coordinate 0",
    }


def _simplest(low, high):
    """Return the number of fewest digits between two; 1 and 0 are simplest; None if all will do."""
    if not np.isfinite([low, high]).any():
        return None
    for simple in (1, 0):
        if low <= simple <= high:
            return Fraction(simple)
    # One side may be open; it is far enough away at twice the other.
    ends = np.where(np.isfinite([low, high]), [low, high], [2 * high, 2 * low])
    low, high = map(float, ends)
    first = math.floor(math.log10(max(abs(low), abs(high))))
    grids = [Fraction(10) ** k for k in range(first, first - 18, -1)]
    for grid in [*grids[:3], *(Fraction(1, q) for q in range(3, 33)), *grids[3:]]:
        number = math.ceil(Fraction(low) / grid) * grid
        if number <= high:
            return number
    return Fraction(low)


def _text(number):
    """Return a fraction as a decimal where it is a short one, otherwise as it is."""
    decimal = f"{float(number):.6g}"
    return decimal if Fraction(decimal) == number or number.denominator > 32 else str(number)


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


def _norm(rows):
    return (rows**2).sum(axis=-1, keepdims=True) ** 0.5


# -- the record ------------------------------------------------------------------------------------


def _last_row(run, row):
    """All is well but for the last row."""
    return _line(run, np.r_[run.plain[:-1], row + 0 * run.plain[-1:]], 2 * run.spare)


def _exact(run):
    """Return the run from the start as it should be, and how far rounding may take it, (N + 1,)."""
    rows, errors = [run.start], []
    for _ in run.k:
        there = _at(run.instance.data, rows[-1], run.model)
        errors.append(_norm(rounding.step(there, rows[-1], run.eta, run.model))[0])
        rows.append(rows[-1] - run.eta * there.gradient)
    growth = np.maximum(1, abs(1 - run.eta * run.L))
    return np.stack(rows), rounding.drift(growth, np.array(errors))[:, None]


def _one_array(run):
    rows, errors = _exact(run)
    last = np.r_[run.x[:-1] * 0 + run.x[-1:], rows[-1:]]
    return _line(run, last, np.r_[0 * errors[:-1], 2 * errors[-1:]])


def _backwards(run):
    turned = _again(run, run.x[::-1])
    return _line(run, turned.plain[::-1], 2 * turned.spare[::-1])


def _again(run, points):
    """Return a run as if other points had been returned."""
    return _see(run.number, run.instance, points, run.model)


def _without_start(run):
    """Row k is the point k + 1."""
    longer = _again(run, np.r_[run.start[None], run.x])
    return _line(run, longer.plain[1:], 2 * longer.spare[1:])


def _without_start_last_twice(run):
    still = _line(run, np.r_[run.x[:1], run.x[:-1]])
    last = np.arange(len(run.x))[:, None] == len(run.x) - 1
    return _with_rows(_without_start(run), still, last)


def _without_first_step(run):
    first = np.r_[run.plain[:1], run.plain[:1], run.plain[2:]]
    return _line(run, first, 2 * np.r_[run.spare[:1], run.spare[:1], run.spare[2:]])


def _two_steps(run):
    """Return what two steps make of every row but the last, and how far rounding may take it."""
    there = _at(run.instance.data, run.plain[1:], run.model)
    rounded = rounding.step(there, run.plain[1:], run.eta, run.model)
    spare = rounded + (1 + run.eta * run.L) * _norm(run.spare[1:])
    return run.plain[1:] - run.eta * there.gradient, spare


def _two_for_one(run):
    rows, spare = _two_steps(run)
    return _line(run, _onto(run.start, rows, run), _onto(0, 2 * spare, run))


def _every_second(run):
    """Row 2 k is two steps from row 2 k - 2, and row 2 k + 1 repeats it."""
    rows, spare = _two_steps(run)
    odd = np.arange(len(run.x))[:, None] % 2 == 1
    base = np.where(odd, np.roll(run.x, 1, axis=0), np.r_[run.plain[:1], run.plain[:1], rows[:-1]])
    return _line(run, base, np.where(odd, 0, 2 * np.r_[0 * spare[:1], 0 * spare[:1], spare[:-1]]))


def _means(run):
    """Row k is the mean of the points 0 to k, which are got back from two rows."""
    k = np.arange(len(run.x))[:, None]
    before = np.r_[0 * run.x[:1], run.x[:-1]]
    lost = 8 * (k + 1) * run.model.unit_roundoff * (abs(run.x) + abs(before))
    points = _again(run, (k + 1) * run.x - k * before)
    spare = points.spare[1:] + (1 + run.eta * run.L) * _norm(lost[:-1])
    base = ((k * before)[1:] + points.plain[1:]) / (k[1:] + 1)
    error = 2 * spare / (k[1:] + 1) + lost[1:] / (k[1:] + 1)
    return _line(run, _onto(run.start, base, run), _onto(0, error, run))


def _move_alone(run):
    move, u = -run.eta * run.g[:-1], run.model.unit_roundoff
    error = 2 * (run.eta * run.e[:-1] + 2 * u * abs(move) + run.model.least_normal)
    return _line(run, _onto(run.start, move, run), _onto(0, error, run))


# -- the length of the step ------------------------------------------------------------------------


def _scaled(run, unit=lambda run: 1, label=lambda run: 0):
    """Claim that moves are c times -eta g, times a unit."""
    by = unit(run) * run.eta
    return _moved(run, 0, 0, -by * run.g[:-1], by * run.e[:-1], label(run))


def _by_coordinate(run):
    return np.arange(run.x.shape[1])[None]


def _by_coordinate_from_last(run):
    return _by_coordinate(run)[:, ::-1]


def _geometric(run):
    """Step k is r^k as long, and r the constant."""
    claim, k = _scaled(run), np.arange(len(run.x))[:, None] - 1
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


def _of_rows(run, rows, used=True):
    """Claim that the gradients of other rows are used."""
    weight = run.eta * np.where(used, 1, 0)
    return _moved(run, -weight * run.g[rows], weight * run.e[rows])


def _stale(run):
    return _of_rows(run, np.maximum(run.k[:, 0] - 1, 0))


def _implicit(run):
    there = _at(run.instance.data, run.x[1:], run.model)
    # The equation is solved as well as its solution can be rounded.
    return _pulled(run, there, error=8 * run.model.unit_roundoff * _norm(run.x[1:]))


def _in_turn(run, order):
    """Coordinates see those that are updated before them."""
    before = np.tri(run.x.shape[1], k=-1, dtype=bool)[::order, ::order]
    points = np.where(before, run.x[1:, None], run.x[:-1, None])
    there = _at(run.instance.data, points, run.model)
    slopes, errors = (np.einsum("kii->ki", a) for a in (there.gradient, there.gradient_error))
    return _moved(run, -run.eta * slopes, run.eta * errors)


def _one_ahead(run):
    there = _at(run.instance.data, run.plain[1:], run.model)
    return _pulled(run, there, error=_norm(run.spare[1:]))


def _of_other_data(run, change):
    return _pulled(run, _at(change(*run.instance.data), run.x[:-1], run.model))


def _reversed_gradient(run):
    return _moved(run, -run.eta * run.g[:-1, ::-1], run.eta * run.e[:-1, ::-1])


def _reversed_points(run):
    turned = _again(run, run.x[:, ::-1])
    return _line(run, turned.plain[:, ::-1], 2 * turned.spare[:, ::-1])


def _sign(run):
    unsure = abs(run.g[:-1]) <= run.e[:-1]
    return _moved(run, -run.eta * np.sign(run.g[:-1]), np.where(unsure, run.eta, 0))


def _unit(run):
    """Return the gradient over its length, how far it may be off, the length, and its error."""
    g, e = run.g[:-1], run.e[:-1]
    size, off = _norm(g), _norm(e) + (g.shape[1] + 2) * run.model.unit_roundoff * _norm(g)
    length = np.where(size > 0, size, 1)
    return g / length, (e + abs(g) * off / length) / length, size, off


def _normalized(run):
    unit, error, *_ = _unit(run)
    return _moved(run, -run.eta * unit, run.eta * error)


# -- memory ----------------------------------------------------------------------------------------


def _plus(run, slope, slope_error: Any = 0.0, label: Any = 0):
    """Claim that moves are -eta g, plus c times something."""
    move, error = -run.eta * run.g[:-1], run.eta * run.e[:-1]
    return _moved(run, move, error, slope, slope_error, label)


def _loss(run):
    """Return how far rounding may take the difference of a point and the one before."""
    return run.model.unit_roundoff * (abs(run.x[:-1]) + abs(run.x[:-1] - run.last))


def _mean_gradient(run, first=0):
    """Claim that the gradient is averaged over the steps from the first on, with weights c^k."""
    slope, error = run.eta * run.g[:-1] + run.last, run.eta * run.e[:-1] + _loss(run)
    return _plus(run, np.where(run.k < first, 0, slope), np.where(run.k < first, 0, error))


def _nesterov(run, label=lambda run: 0):
    """Nesterov's method at the points where the gradients are taken."""
    slope = np.diff(run.x[:-1] - run.eta * run.g[:-1], axis=0, prepend=run.x[:1])
    error = run.eta * run.e[:-1] + _loss(run)
    return _plus(run, slope, error + np.r_[0 * error[:1], error[:-1]], label(run))


def _lookahead(run, momentum):
    """Nesterov's method at the other points, where no gradient is taken."""
    jump = np.array([[momentum(k)] for k in range(len(run.k))]) * run.last
    there = _at(run.instance.data, run.x[:-1] + jump, run.model)
    lost = _loss(run) + run.model.unit_roundoff * (abs(run.x[:-1]) + 3 * abs(jump))
    return _pulled(run, there, jump, 2 * _norm(lost))


def _fista(k):
    """Return the momentum of Beck and Teboulle."""
    t = [1.0]
    for _ in range(k):
        t.append((1 + (1 + 4 * t[-1] ** 2) ** 0.5) / 2)
    return (t[k - 1] - 1) / t[k] if k else 0.0


def _adaptive(run, keep_mean, keep_square, add_square, unbiased):
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


def _first_alone(run):
    """Claim nothing of the first step, and that all others are right."""
    rows = np.arange(len(run.x))[:, None]
    free = Claim(np.where(len(run.x) > 2, -np.inf, np.inf), np.inf, 0.0)
    return _with_rows(_line(run, run.plain, 2 * run.spare), free, rows == 1)


def _first_as_in_adam(run):
    """Claim that the first move is the step size in every coordinate, and nothing of others."""
    off = run.eta * np.minimum(2, (run.e[:-1] + 1e-6) / abs(run.g[:-1]))
    return _moved(run, -run.eta * np.sign(run.g[:-1]), np.where(run.k > 0, np.inf, off))


# -- limits ----------------------------------------------------------------------------------------


def _capped(run, claim, size, error=0.0):
    """Sizes above c are cut off to c, and what is claimed of the constant holds there."""
    most = np.minimum(claim.high, _onto(np.inf, size + error, run))
    return claim._replace(high=np.where(run.wrong, most, np.inf))


def _capped_length(run, by=lambda run: 1):
    """Claim that the length of the gradient is capped, in some unit."""
    unit, error, size, off = _unit(run)
    weight = run.eta / by(run)
    claim = _moved(run, 0, 0, -weight * unit, weight * error)
    return _capped(run, claim, by(run) * size, 2 * by(run) * off)


def _capped_entries(run):
    g, e = run.g[:-1], run.e[:-1]
    claim = _moved(run, 0, 0, -run.eta * np.sign(g), np.where(abs(g) <= e, run.eta, 0))
    return _capped(run, claim, abs(g), 2 * e)


def _capped_step_size(run):
    return _capped(run, _scaled(run, lambda run: 1 / run.eta), run.eta)


def _capped_points(run, slope, size):
    """Sizes of points are capped: beyond c points are c times the slope."""
    spare = 2 * _norm(run.spare[1:]) + 4 * run.model.unit_roundoff * abs(run.plain[1:])
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


def _short_gradient(run):
    *_, size, off = _unit(run)
    return _stands(run, size, off)


def _small_entries(run):
    return _stands(run, abs(run.g[:-1]).max(axis=1, keepdims=True), run.e[:-1].max())


def _short_move(run):
    *_, size, off = _unit(run)
    return _stands(run, run.eta * size, 2 * run.eta * off)


def _small_moves(run):
    return _stands(run, abs(run.eta * run.g[:-1]), 2 * run.eta * run.e[:-1])


def _no_increase(run):
    """Claim that steps are not made where they would raise f by more than -c."""
    here, there = (_at(run.instance.data, x, run.model) for x in (run.x[:-1], run.plain[1:]))
    spare = _norm(run.spare[1:])[:, 0]
    error = here.value_error + there.value_error + run.L * spare**2
    error = error + _norm(there.gradient)[:, 0] * spare
    return _stands(run, (here.value - there.value)[:, None], error[:, None])


def _no_crossing(run):
    """Coordinates stop at zero on their way to the other side."""
    plain, spare = run.plain[1:], 2 * run.spare[1:]
    base = np.where(plain * run.x[:-1] < 0, 0, plain)
    error = spare + np.where(abs(plain) <= spare, abs(plain), 0)
    return _line(run, _onto(run.start, base, run), _onto(0, error, run))


# -- fewer digits ----------------------------------------------------------------------------------


def _cast(kind, x):
    """Return numbers as they are after they were held in another dtype."""
    return x.astype(np.float64).astype(kind).astype(np.longdouble)


def _cast_points(run, kind):
    return _after_start(run, _between(run, run.plain, run.spare, partial(_cast, kind)))


def _cast_record(run, kind):
    return _between(run, *_exact(run), partial(_cast, kind))


def _cast_gradient(run, kind):
    low, high = (_cast(kind, run.g[:-1] + side * run.e[:-1]) for side in (-2, 2))
    return _moved(run, -run.eta * (low + high) / 2, run.eta * (high - low) / 2)


def _cast_move(run, kind):
    move, u = run.eta * run.g[:-1], run.model.unit_roundoff
    off = 2 * (run.eta * run.e[:-1] + u * abs(move))
    low, high = _cast(kind, move - off), _cast(kind, move + off)
    return _moved(run, -(low + high) / 2, (high - low) / 2)


def _cast_step_size(run, kind):
    eta = _cast(kind, run.eta)
    return _moved(run, -eta * run.g[:-1], eta * run.e[:-1])


def _decimals(run, places):
    spare = 4 * run.model.unit_roundoff * abs(run.x)
    change = partial(np.round, decimals=places)
    return _after_start(run, _between(run, run.plain, run.spare, change, spare))


def _whole(run, change):
    return _after_start(run, _between(run, run.plain, run.spare, change))


def _whole_from_whole(run):
    """Claim that a start without decimals makes a run without them."""
    return _whole(run, np.trunc if not (run.start % 1).any() else lambda x: x)


# -- sentences of more than one constant -----------------------------------------------------------


def _in_words(constants):
    return ", ".join(_text(c) for c in constants.values())


def _schedule_in_words(constants, **_):
    steps = [constants.get(k, Fraction(1)) for k in range(max(constants) + 1)]
    made = steps.index(0) if 0 in steps else len(steps)
    if 0 < made < len(steps) and not any(steps[made:]) and set(steps[:made]) == {1}:
        return f"the run stands still after {made} steps: x[{made}] is the last point that is new"
    shown = ", ".join(_text(step) for step in steps[:6]) + (", ..." if len(steps) > 6 else "")
    return f"the length of the step changes from step to step: it is {shown} times eta"


def _momentum_in_words(constants, **_):
    shown = ", ".join(_text(c) for c in list(constants.values())[:6])
    return (
        f"there is a momentum that changes (Nesterov's): it is {shown}, ... times the move before"
    )


def _coordinates_in_words(constants, name):
    which = " and ".join(name(k) for k in constants)
    if not any(constants.values()):
        verb = "never move" if len(constants) > 1 else "never moves"
        return f"{which} {verb}: -eta g is not added there"
    return f"coordinates have steps of their own: {which} moves {_in_words(constants)} times -eta g"


def _from_first_in_words(constants, **_):
    return _coordinates_in_words(constants, lambda k: f"coordinate {k}")


def _from_last_in_words(constants, **_):
    names = {0: "the last coordinate", 1: "the last coordinate but one"}
    return _coordinates_in_words(constants, lambda k: names.get(k, f"the last coordinate but {k}"))


def _own_length_in_words(constants, span, **_):
    halved = all(c > 0 and math.log2(c).is_integer() for c in constants.values())
    hint = "always a power of 2, as of backtracking" if halved else "as of a line search or a clip"
    return (
        "the steps have a length of their own: moves point along -g, and are "
        f"{span} times eta g, {hint}"
    )


# -- all of them, from the simplest and rarest to what explains most -------------------------------

_FORMATS = (("float16", np.float16), ("bfloat16", jnp.bfloat16), ("float32", np.float32))
_CAST = (
    ("the points pass through {}: every row is -eta g from the one before, rounded", _cast_points),
    ("the step size is rounded to {}: every move is that times -g", _cast_step_size),
    ("the gradient is rounded to {}: every move is -eta times that", _cast_gradient),
    ("the move is rounded to {}: every row is the one before, plus that", _cast_move),
    ("the points are recorded in {}: the run is right, its rows are rounded", _cast_record),
)


def _says(sentence, claim, constant=None, **options):
    """Return a hypothesis from a template of its sentence."""
    return Hypothesis(sentence.format, partial(claim, **options), constant)


HYPOTHESES: tuple[Hypothesis, ...] = (
    # The record.
    _says("the last row is never written: it is NaN, all others are right", _last_row, row=np.nan),
    _says("the last row is never written: it is 0, all others are right", _last_row, row=0.0),
    _says("all rows are one array, changed in place: each of them is the last point", _one_array),
    _says("the rows are in reverse order: the last is the start, row 0 the end", _backwards),
    _says("the start is missing, and a step is made too many: row k is x[k + 1]", _without_start),
    _says("the start is missing: row k is x[k + 1], and the last is there twice",
          _without_start_last_twice),
    _says("the last step is missing: the last row repeats the one before",
          lambda run: _last_row(run, run.x[-2:-1])),
    _says("the first step is missing: x[1] is the start, and the run goes on from there",
          _without_first_step),
    _says("every second point is left out: of two rows one repeats the other", _every_second),
    _says("two steps are made for one: every row is two steps from the one before", _two_for_one),
    _says("means are returned in place of points: row k is the mean of x[0] to x[k]", _means),
    _says("the move is returned in place of the point: every row is -eta g at the one before",
          _move_alone),
    # The length of the step.
    _says("nothing moves: every row is the start", _scaled, 0),
    _says("the steps go uphill: every move is +eta g, a sign is lost", _scaled, -1),
    _says("the step is 2 times too long: every move is 2 times -eta g, as of a missing 1/2",
          _scaled, 2),
    _says("the step is 2 times too short: every move is 1/2 times -eta g, as of a 1/2 too many",
          _scaled, 0.5),
    _says("the gradient is a sum instead of a mean: every move is n times -eta g, for n rows of "
          "data", _scaled, 1, unit=lambda run: len(run.instance.features)),
    _says("the mean over the data is taken twice: every move is -eta g / n, for n rows of data",
          _scaled, 1, unit=lambda run: 1 / np.longdouble(len(run.instance.features))),
    _says("the gradient is divided by the number of coordinates: every move is -eta g / d",
          _scaled, 1, unit=lambda run: 1 / np.longdouble(run.x.shape[1])),
    _says("the gradient is multiplied by the number of coordinates: every move is d times -eta g",
          _scaled, 1, unit=lambda run: run.x.shape[1]),
    _says("the step size is applied twice: every move is -eta^2 g", _scaled, 1,
          unit=lambda run: run.eta),
    _says("the step is {c} times as long as it should be: every move is {c} times -eta g",
          _scaled),
    _says("the step size is clipped: above {c} it is cut to {c}", _capped_step_size),
    _says("the step size is not applied: every move is -g", _scaled, 1,
          unit=lambda run: 1 / run.eta),
    # The gradient.
    _says("coordinates are updated one after the other: coordinate {coordinate} saw the new "
          "{before}", _in_turn, order=1),
    _says("coordinates are updated one after the other, from the last to the first: coordinate "
          "{coordinate} saw the new ones after it", _in_turn, order=-1),
    _says("the gradient is stale: every move is -eta g at the row before", _stale),
    _says("the gradient is stale: every move is -eta g at the row before, the first is zero",
          lambda run: _of_rows(run, np.maximum(run.k[:, 0] - 1, 0), run.k > 0)),
    _says("the gradient is never taken anew: every move is -eta g at the start",
          lambda run: _of_rows(run, 0 * run.k[:, 0])),
    _says("the gradient is taken after the step: every move is -eta g at the point that gradient "
          "descent would reach", _one_ahead),
    _says("the step is implicit: every move is -eta g at the row after",
          _implicit),
    _says("the gradient is in reverse order: coordinate {coordinate} moves as its mirror image "
          "should", _reversed_gradient),
    _says("the coordinates of the points are in reverse order: x[0] is the start, backwards",
          _reversed_points),
    _says("the gradient takes f for a quadratic: every move is -eta g without the bend",
          _of_other_data, change=lambda a, c, bend, tail, m: (a, c, np.inf, tail, m)),
    _says("the gradient takes f for straight beyond the bend: every move is -eta g without tail",
          _of_other_data, change=lambda a, c, bend, tail, m: (a, c, bend, 0 * tail, m)),
    _says("the offset of the data is lost: every move is -eta g as if the minimizer were 0",
          _of_other_data, change=lambda a, c, *rest: (a, 0 * c, *rest)),
    _says("the gradient is clipped: its length is cut to {c}", _capped_length),
    _says("the gradient is clipped: its entries are cut to +-{c}", _capped_entries),
    _says("the gradient is normalized: every move has the length of the step size", _normalized),
    _says("only the signs of the gradient are used: coordinates move by the step size", _sign),
    _says("coordinates stop at 0: each that would change its sign is set to 0", _no_crossing),
    # Memory.
    _says("gradients add up: every move is the one before plus -eta g, as of a forgotten "
          "zero_grad", lambda run: _plus(run, run.last, _loss(run)), 1),
    _says("there is a momentum of {c} (heavy ball): every move is -eta g plus {c} times the move "
          "before", lambda run: _plus(run, run.last, _loss(run))),
    _says("there is an averaged momentum of {c}: every move is -eta times a mean of gradients, "
          "{c} times the one before plus 1 - {c} times g", _mean_gradient),
    _says("there is an averaged momentum of {c}: every move is -eta times a mean of gradients, "
          "{c} times the one before plus 1 - {c} times g, but for the first", _mean_gradient,
          first=1),
    _says("there is a momentum of {c} (Nesterov's): every move is -eta g, and {c} times what that "
          "gains on the one before", _nesterov),
    *(_says(f"there is a momentum of {beta} (Nesterov's): every move is {beta} times the one "
            "before, and -eta g from there", _lookahead, momentum=lambda k, beta=beta: beta)
      for beta in (0.1, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)),
    _says("there is a momentum of (k - 1) / (k + 2) (Nesterov's): every move is that times the "
          "one before, and -eta g from there", _lookahead, momentum=lambda k: (k - 1) / (k + 2)),
    _says("there is a momentum of k / (k + 3) (Nesterov's): every move is that times the one "
          "before, and -eta g from there", _lookahead, momentum=lambda k: k / (k + 3)),
    _says("there is a momentum (FISTA's): every move goes on with the one before, and -eta g "
          "from there", _lookahead, momentum=_fista),
    # Decay.
    _says("there is a weight decay of {c}: every move is -eta (g + {c} x)",
          lambda run: _plus(run, -run.eta * run.x[:-1])),
    _says("there is a decoupled weight decay of {c}: every move is -eta g - {c} x",
          lambda run: _plus(run, -run.x[:-1])),
    # Step sizes that are not the one that was asked for.
    _says("the step size that is asked for is ignored: every move is {c} times -g", _scaled,
          unit=lambda run: 1 / run.eta),
    _says("the step size is divided by k + 1: move k is -eta g / (k + 1)", _scaled, 1,
          unit=lambda run: 1 / np.longdouble(run.k + 1)),
    _says("the step size is divided by the root of k + 1: move k is -eta g / sqrt(k + 1)", _scaled,
          1, unit=lambda run: 1 / np.sqrt(np.longdouble(run.k + 1))),
    _says("the step size decays: move k is {c}^k times -eta g", _geometric),
    # Limits.
    _says("the move is clipped: its length is cut to {c}", _capped_length, by=lambda run: run.eta),
    _says("the points are kept out of the negative: coordinates below 0 are set to 0",
          _capped_points, 0, slope=lambda x: 0 * x - 1, size=lambda x: -x),
    _says("the points are kept in a box: coordinates are cut to +-{c}", _capped_points,
          slope=np.sign, size=abs),
    _says("the points are kept below a bound: coordinates are cut to {c}", _capped_points,
          slope=lambda x: 0 * x + 1, size=lambda x: x),
    _says("the points are kept above a bound: coordinates are cut to {minus}", _capped_points,
          slope=lambda x: 0 * x - 1, size=lambda x: -x),
    _says("the points are kept in a ball: their length is cut to {c}", _capped_points,
          slope=lambda x: x / _norm(x), size=_norm),
    _says("steps that raise f are rejected: the row before is repeated where f would go up",
          _no_increase, 0),
    _says("the run stops early: it stands still where the length of g is below {c}",
          _short_gradient),
    _says("the run stops early: it stands still where no entry of g is above {c}", _small_entries),
    _says("the run stops early: it stands still where the move is shorter than {c}", _short_move),
    _says("small moves are dropped: coordinates that would move by less than {c} stand still",
          _small_moves),
    # As in Adam.
    _says("the gradient is scaled as in Adam: by means of g and g^2, with 0.9 and 0.999",
          _adaptive, keep_mean=0.9, keep_square=0.999, add_square=0.001, unbiased=True),
    *(_says(f"the gradient is scaled as in RMSProp: by the root of a mean of g^2, with {keep}",
            _adaptive, keep_mean=0.0, keep_square=keep, add_square=1 - keep, unbiased=unbiased)
      for keep in (0.9, 0.99, 0.999) for unbiased in (False, True)),
    _says("the gradient is scaled as in Adagrad: by the root of the sum of all g^2", _adaptive,
          keep_mean=0.0, keep_square=1.0, add_square=1.0, unbiased=False),
    # Fewer digits.
    *(_says(sentence.format(name), claim, kind=kind)
      for sentence, claim in _CAST for name, kind in _FORMATS),
    *(_says(f"the points are rounded to {places} decimals: in every row", _decimals, places=places)
      for places in range(1, 9)),
    _says("the points are whole numbers: every row is cut off at the decimal point", _whole,
          change=np.trunc),
    _says("the points are whole numbers: every row is rounded to them", _whole, change=np.rint),
    _says("the points are whole numbers: every row is rounded down to them", _whole,
          change=np.floor),
    _says("a start without decimals makes whole numbers of all rows: they are cut off at the "
          "decimal point", _whole_from_whole),
    # As many constants as there are coordinates, steps, runs; and what is half an explanation.
    Hypothesis(_from_first_in_words, partial(_scaled, label=_by_coordinate)),
    Hypothesis(_from_last_in_words, partial(_scaled, label=_by_coordinate_from_last)),
    Hypothesis(_momentum_in_words, partial(_nesterov, label=lambda run: run.k)),
    Hypothesis(_schedule_in_words, partial(_scaled, label=lambda run: run.k)),
    _says("the step size is wrong by another factor in every run: moves are {span} times "
          "-eta g, the same throughout a run", _scaled, label=lambda run: run.number),
    Hypothesis(_own_length_in_words,
               partial(_scaled, label=lambda run: 1000 * run.number + run.k)),
    _says("every coordinate has a step size of its own, as in Adam: the first move is the step "
          "size in each of them", _first_as_in_adam),
    _says("the first step alone is wrong: all rows after x[1] are right, as of a memory that "
          "outlives the run", _first_alone),
)  # fmt: skip
