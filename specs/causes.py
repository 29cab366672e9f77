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
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gdpure.specs import rounding
from gdpure.specs.instances import Instance


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
        The constant, if it is known; a function of the label if there are several.
    """

    sentence: Callable[..., str]
    claim: Callable[[Seen], Claim]
    constant: float | Callable[[int], float] | None = None


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
    >>> problem = Instance(*np.eye(1, 11)[0] * 0)
    >>> line = {"features": np.eye(2), "center": np.zeros(2), "bend": np.inf, "smoothness": 0.5}
    >>> problem = Instance(**{**vars(problem), **line, "start": np.ones(2), "step_size": 0.5})
    >>> points = np.array([[1, 1], [0.5, 0.5], [0.25, 0.25]])  # and gradient descent makes 3/4 of 1
    >>> assert likely_cause([(problem, points)], "float32").startswith("the step is 2 times too long")
    """
    model = rounding.arithmetic(dtype)
    with np.errstate(all="ignore"):
        seen = [_see(k, *run, model) for k, run in enumerate(runs)]
        if not any(run.wrong.any() for run in seen):
            return ""
        return next(filter(None, (_explain(hypothesis, seen) for hypothesis in HYPOTHESES)), "")


# -- a run, and what is to be explained ------------------------------------------------------------


def _at(data, x, model):
    """Return the evaluation at points, any number of axes before the last."""
    leaves = (np.asarray(leaf) for leaf in data)
    return rounding.huber(
        *(np.broadcast_to(leaf, (*x.shape[:-1], *leaf.shape)) for leaf in leaves), x, model
    )


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


def _explain(hypothesis, seen):
    """Return the sentence of a hypothesis that explains all runs, or ""."""
    bounds, shown, tests, where = {}, set(), 0, None
    for run in seen:
        claim = hypothesis.claim(run)
        low, high, error, label = (np.broadcast_to(part, run.x.shape) for part in claim)
        for one in np.unique(label).tolist():
            least, most = bounds.get(one, (-np.inf, np.inf))
            least, most = max(least, low[label == one].max()), min(most, high[label == one].min())
            if not least <= most:
                return ""
            bounds[one] = least, most
        # Twice: what both may miss together is no test.
        test = run.wrong & ~(abs(run.x - run.plain) <= 2 * error)
        tests, shown = tests + test.sum(), shown | set(label[test].tolist())
        if where is None and test.any():
            where = np.argwhere(test)[0].tolist()
    wanted = hypothesis.constant
    if wanted is not None:
        known = {k: wanted(k) if callable(wanted) else wanted for k in bounds}
        if not all(low <= known[k] <= high for k, (low, high) in bounds.items()):
            return ""
    fitted = wanted is None and any(np.isfinite(b).any() for b in bounds.values())
    if where is None or tests <= fitted * len(shown):
        return ""
    found = hypothesis.sentence(**_fields(bounds, sorted(shown), *where))
    runs = f"all {len(seen)} runs" if len(seen) > 1 else "this run"
    return found and f"{found}; fits {runs}, first in x[{where[0]}], coordinate {where[1]}"


def _fields(bounds, shown, row, coordinate):
    """Return what a sentence may be made of.

    c, the constant; low and high, the least and the greatest of several; all of them as text.
    constants, as numbers by their labels: those that were put to the test. The row and the
    coordinate of the first test; before, the coordinates before that one.
    """
    constants = {k: _simplest(*bounds[k]) for k in shown}
    inner = [c for c in constants.values() if c is not None] or [Fraction(0)]
    return {
        "constants": constants,
        "c": _text(inner[0]),
        "low": _text(min(inner)),
        "high": _text(max(inner)),
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
    # One side may be open, but not both.
    low, high = (float(end if np.isfinite(end) else 2 * other) for end, other in
                 ((low, high), (high, low)))  # fmt: skip
    first = math.floor(math.log10(max(abs(low), abs(high))))
    grids = [Fraction(10) ** k for k in range(first, first - 18, -1)]
    for grid in [*grids[:3], *(Fraction(1, q) for q in range(3, 33)), *grids[3:]]:
        number = math.ceil(Fraction(low) / grid) * grid
        if number <= high:
            return number
    return Fraction(low)


def _text(number):
    """Return a fraction as a decimal where it is a short one, otherwise as it is."""
    decimal = f"{float(number):.9g}"
    return decimal if Fraction(decimal) == number or number.denominator > 32 else str(number)


# -- claims ----------------------------------------------------------------------------------------


def _below(first, rows, like):
    """Return rows with one above them, of the shape of the run."""
    n, d = like.shape
    return np.concatenate([np.broadcast_to(first, (1, d)), np.broadcast_to(rows, (n - 1, d))])


def _line(x, base, error, slope=0.0, slope_error=0.0, label=0):
    """Claim that numbers are ``base + c slope``, to within ``error + |c| slope_error``."""
    away, steep = x - base, abs(slope)
    away = np.where(slope < 0, -away, away)
    # NaN is what is predicted where nothing was ever written.
    away = np.where(np.isnan(x) & np.isnan(base), 0, away)
    room = np.where(np.isnan(base), 0, error)

    def greatest(most):
        down = np.where(steep > slope_error, most / (steep - slope_error), np.inf)
        return np.where(most >= 0, down, np.where(np.isnan(most), -np.inf, most / (steep + slope_error)))

    missed = room + abs(away) * np.minimum(np.where(steep > 0, slope_error / steep, 0), 1)
    return Claim(-greatest(room - away), greatest(room + away), missed, label)


def _moved(run, move=0.0, error=0.0, slope=0.0, slope_error=0.0, label=0):
    """Claim that rows are the one before, plus a move, plus c times a slope; all (N, d)."""
    u, tiny, x = run.model.unit_roundoff, run.model.least_normal, run.x
    base = x[:-1] + move
    # Twice, as sums may be taken in any order, and the judge's own numbers are rounded, too.
    room = 2 * (error + u * (3 * abs(move) + abs(base) + abs(x[1:])) + 4 * tiny)
    steep = 2 * (slope_error + 4 * u * abs(slope))
    return _line(
        x,
        _below(run.start, base, x),
        _below(0, room, x),
        _below(0, slope, x),
        _below(0, steep, x),
        _below(0, label, x).astype(int),
    )


def _just(run, base, error=0.0):
    """Claim what the rows are, no constant left."""
    return _line(run.x, base, error)


def _between(run, base, error, change):
    """Claim that rows are a number near the base, changed by a function that keeps their order."""
    low, high = change(base - 2 * error), change(base + 2 * error)
    low, high = _below(run.start, low[1:], run.x), _below(run.start, high[1:], run.x)
    there = (low <= run.x) & (run.x <= high)
    return Claim(np.where(there, -np.inf, np.inf), np.where(there, np.inf, -np.inf), high - low)


# -- lengths of the step ---------------------------------------------------------------------------


def _one(run):
    return 1


def _scaled(run, unit=_one, label=lambda run: 0):
    """Moves are c times -eta g times a unit."""
    by = unit(run) * run.eta
    return _moved(run, 0, 0, -by * run.g[:-1], by * run.e[:-1], label(run))


def _rows(run):
    return run.k


def _coordinates(run):
    return np.arange(run.x.shape[1])[None]


def _from_the_last(run):
    return _coordinates(run)[:, ::-1]


def _geometric(run):
    """The step k is r^k eta, and r the constant."""
    claim = _scaled(run)
    k = _below(0, run.k, run.x)
    first = (claim.low <= 1) & (claim.high >= 1)
    low = np.where(k > 0, np.maximum(claim.low, 0) ** (1 / np.maximum(k, 1)), -np.inf)
    high = np.where(k > 0, np.maximum(claim.high, -1) ** (1 / np.maximum(k, 1)), np.inf)
    low = np.where((k == 0) & ~first | (claim.high < 0), np.inf, low)
    return claim._replace(low=low, high=high)


# -- directions ------------------------------------------------------------------------------------


def _pulled(run, there, from_=None, error=0.0):
    """Moves are -eta times a gradient that was taken elsewhere, at points off by an error."""
    move = -run.eta * there.gradient if from_ is None else from_ - run.eta * there.gradient
    return _moved(run, move, run.eta * (there.gradient_error + run.L * error))


def _from_rows(run, rows):
    """The gradient of other rows is used."""
    return _moved(run, -run.eta * run.g[rows], run.eta * run.e[rows])


def _stale(run):
    return _from_rows(run, np.maximum(run.k[:, 0] - 1, 0))


def _stale_from_zero(run):
    claim = _stale(run)
    still = _moved(run)
    return Claim(*(np.concatenate([b[:2], a[2:]]) for a, b in zip(claim[:3], still[:3], strict=True)))


def _in_turn(run, order):
    """Coordinates see those that are updated before them."""
    d = run.x.shape[1]
    before = np.tri(d, k=-1, dtype=bool)[::order, ::order]
    there = _at(run.instance.data, np.where(before, run.x[1:, None], run.x[:-1, None]), run.model)
    here = there._replace(
        gradient=np.einsum("kii->ki", there.gradient),
        gradient_error=np.einsum("kii->ki", there.gradient_error),
    )
    return _pulled(run, here)


def _ahead(run):
    """Return the evaluation one step ahead of every row but the last, and the error of the point."""
    return _at(run.instance.data, run.plain[1:], run.model), _norm(run.spare[1:])


def _next_gradient(run):
    return _pulled(run, *_twist(_ahead(run)))


def _twist(ahead):
    there, error = ahead
    return there, None, error


def _implicit(run):
    return _from_rows(run, run.k[:, 0] + 1)


def _reversed_gradient(run):
    return _moved(run, -run.eta * run.g[:-1, ::-1], run.eta * run.e[:-1, ::-1])


def _reversed_points(run):
    turned = _see(0, run.instance, run.x[:, ::-1], run.model)
    return _just(run, turned.plain[:, ::-1], 2 * turned.spare[:, ::-1])


def _of_other_data(run, change):
    return _pulled(run, _at(change(*run.instance.data), run.x[:-1], run.model))


def _sign(run):
    sure = abs(run.g[:-1]) > run.e[:-1]
    return _moved(run, -run.eta * np.sign(run.g[:-1]), np.where(sure, 0, run.eta))


def _norm(rows):
    return (rows**2).sum(axis=-1, keepdims=True) ** 0.5


def _unit(run):
    """Return the direction of the gradient, how far it may be off, its length, and its error."""
    g, size, error = run.g[:-1], _norm(run.g[:-1]), _norm(run.e[:-1])
    long = np.where(size > 0, size, 1)
    lost = error + (run.x.shape[1] + 2) * run.model.unit_roundoff * size
    return g / long, (run.e[:-1] + abs(g) * lost / long) / long, size, lost


def _normalized(run):
    unit, error, *_ = _unit(run)
    return _moved(run, 0, 0, -run.eta * unit, run.eta * error)


def _without_crossing(run):
    crossed = np.where(run.plain[1:] * run.x[:-1] < 0, 0, run.plain[1:])
    sure = abs(run.plain[1:]) > run.spare[1:]
    error = 2 * run.spare[1:] + np.where(sure, 0, abs(run.plain[1:]))
    return _just(run, _below(run.start, crossed, run.x), _below(0, error, run.x))


# -- memory ----------------------------------------------------------------------------------------


def _plus(run, slope, slope_error=0.0, label=0):
    """Moves are -eta g plus c times something."""
    return _moved(
        run, -run.eta * run.g[:-1], run.eta * run.e[:-1], slope, slope_error, label
    )


def _spread(run):
    """Return how far rounding may take the move that led to a point."""
    u = run.model.unit_roundoff
    return u * (abs(run.x[:-1]) + abs(np.concatenate([run.x[:1], run.x[:-2]])))


def _heavy_ball(run):
    return _plus(run, run.last, _spread(run))


def _averaged_gradient(run, dampened_first=True):
    slope = run.eta * run.g[:-1] + run.last
    first = (run.k > 0) | dampened_first
    return _plus(run, np.where(first, slope, 0), np.where(first, run.eta * run.e[:-1] + _spread(run), 0))


def _nesterov(run, label=lambda run: 0):
    steps = run.x[:-1] - run.eta * run.g[:-1]
    slope = np.diff(steps, axis=0, prepend=run.x[:1])
    error = run.eta * run.e[:-1] + _spread(run)
    error = error + np.concatenate([0 * error[:1], error[:-1]])
    return _plus(run, slope, error, label(run))


def _lookahead(run, momentum):
    """Nesterov's method at the other points, where no gradient is taken."""
    jump = np.array([[momentum(k)] for k in range(len(run.k))]) * run.last
    there = _at(run.instance.data, run.x[:-1] + jump, run.model)
    far = abs(run.x[:-1]) + 2 * abs(jump) + 2 * _spread(run)
    return _pulled(run, there, jump, _norm(run.model.unit_roundoff * 2 * far))


def _fista(k):
    t = 1.0
    for _ in range(k - 1):
        t = (1 + (1 + 4 * t * t) ** 0.5) / 2
    return (t - 1) / ((1 + (1 + 4 * t * t) ** 0.5) / 2)


def _adaptive(run, keep_mean, keep_square, add_square, unbiased):
    """Gradients are divided by the root of their running square, as in Adam and its kin."""
    g, e, u = run.g[:-1], run.e[:-1], run.model.unit_roundoff
    mean = blur = size = square = blur_square = 0 * g[0]
    moves, errors = [], []
    for k in range(len(g)):
        mean, blur, size = (
            keep_mean * a + (1 - keep_mean) * b
            for a, b in ((mean, g[k]), (blur, e[k]), (size, abs(g[k])))
        )
        square = keep_square * square + add_square * g[k] ** 2
        blur_square = keep_square * blur_square + add_square * e[k] ** 2
        whole = 1 - keep_mean ** (k + 1) if unbiased else 1
        root = (1 - keep_square ** (k + 1)) ** 0.5 if unbiased else 1
        under, off = square**0.5 / root, blur_square**0.5 / root
        # 1 - 0.999 is off by 500 u already. Nobody agrees on the epsilon, below 1e-6.
        off = off + (4 + k + 4 / add_square) * u * under + 1e-6
        least = np.maximum(under - off, 1e-12)
        moves.append(-run.eta * mean / whole / (under + 1e-8))
        lost = (blur + (4 + k) * u * size / (1 - keep_mean)) / whole
        errors.append(run.eta * (lost + abs(mean) / whole * off / least) / least)
    return _moved(run, np.stack(moves), np.stack(errors))


def _first_as_in_adam(run):
    claim = _sign(run)
    blind = np.where(_below(0, run.k, run.x) > 0, np.inf, 0)
    g = _below(1, run.g[:-1], run.x)
    e = np.where(abs(g) > 0, 2e-6 / abs(g), np.inf)
    x = run.x
    base = _below(run.start, x[:-1] - run.eta * np.sign(run.g[:-1]), x)
    del claim
    room = np.where(np.arange(len(x))[:, None] > 1, np.inf, blind * 0)
    error = _below(0, 4 * run.model.unit_roundoff * abs(x[:-1]), x) + run.eta * np.minimum(e, 2)
    error = np.where(np.arange(len(x))[:, None] == 0, 0, error) + room
    return _just(run, base, error)


# -- limits ----------------------------------------------------------------------------------------
