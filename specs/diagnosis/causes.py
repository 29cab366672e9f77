"""Causes: which bug returns just the numbers that a run returned.

A hypothesis predicts every row from those before it, as they were returned, up to constants: "every
move is c times -eta g". Each number then leaves an interval of c, as wide as the derived rounding,
and a hypothesis stands if all numbers of all runs leave a c in common, and if it is put to the test
by more numbers than it has constants. A number puts it to the test if gradient descent misses it by
more than the hypothesis could miss it. So nothing is searched for, and a constant comes out with
as many digits as the runs can tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..instances import Instance
from ..rows import QUIET
from .fits import Fit
from .hypotheses import HYPOTHESES, Hypothesis, text
from .seen import Seen, Unknown, of_instance

_ROWS = 16  # from the first wrong one on, which a hypothesis must explain before it sees all


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
    # A run that overflows in its first step says nothing.
    seen = [run for k, one in enumerate(runs) if len((run := of_instance(k, *one, dtype)).x) > 1]
    if any(run.wrong.any() for run in seen):
        fits = f"all {len(seen)} runs" if len(seen) > 1 else "this run"
        for found, row, coordinate in _explained(seen):
            yield f"{found}; fits {fits}, first in x[{row}], coordinate {coordinate}"


def cause_of_record(run: Seen, given: bool) -> str:
    """Return the likeliest cause why a recorded run is not gradient descent, or "".

    What explains it may go with another step size than the one that was `given`, or inferred; and
    rows may have been made before the first that was recorded, so that its move is unlike others.

    Examples
    --------
    >>> from .seen import of_record
    >>> x, eta = np.array([[8.0], [4.0], [2.0]]), np.array([0.25, 0.25])
    >>> run = of_record(x, 0 * x, x[:-1], 0 * x[:-1], eta, 0 * eta, "float64", None)
    >>> assert "every move is 2 times -eta g" in cause_of_record(run, given=True)
    """
    later = replace(run, error=np.concatenate([np.full_like(run.x[:1], np.inf), run.error[1:]]))
    first = int(np.argmax(run.wrong.any(axis=1)))
    for seen, but in ((run, ""), (later, ", but for the first step"))[: 2 if first == 1 else 1]:
        # Most hypotheses are refuted by few rows.
        head = seen.head(first + _ROWS)
        for hypothesis in HYPOTHESES:
            if _bounds(hypothesis, [head]) and (told := _explain(hypothesis, [seen])):
                found = told[0] + but
                inferred = not given and "eta" in found
                return found + (f", where eta is {_step_size(run, run)}" if inferred else "")
        # A step that is right with this step size leaves no room for another.
        for hypothesis in () if run.right.any() else HYPOTHESES:
            if told := _explain_with_own_step_size(hypothesis, head, seen):
                found, own = told
                beside = given and len(np.unique(run.eta)) == 1
                apart = f", not {run.eta.flat[0]:.5g}" if beside else ""
                return f"{found}{but}, where eta is {_step_size(own, run)}{apart}"
    return ""


# -- explaining ------------------------------------------------------------------------------------


def _explained(seen):
    return filter(None, (_explain(hypothesis, seen) for hypothesis in HYPOTHESES))


@QUIET
def _explain(hypothesis: Hypothesis, seen: Sequence[Seen], constants: int = 0):
    """Return the sentence of a hypothesis that explains all runs and its first test, or None.

    `constants` were fitted before.
    """
    if not (bounds := _bounds(hypothesis, seen)):
        return None
    shown, tests, where, more = set(), 0, None, 0
    for run, fit in zip(seen, bounds.fits, strict=True):
        error, label = (np.broadcast_to(part, run.x.shape) for part in (fit.error, fit.label))
        # Twice: what both may miss together is no test.
        test = run.wrong & ~(abs(run.x - run.plain) <= 2 * error)
        tests, shown = tests + test.sum(), shown | set(label[test].tolist())
        if where is None and test.any():
            where, more = np.argwhere(test)[0].tolist(), int(test.any(axis=1).sum()) - 1
    fitted = hypothesis.constant is None and any(np.isfinite(b).any() for b in bounds.of.values())
    if where is None or tests <= fitted * len(shown) + constants:
        return None
    found = hypothesis.sentence(**_fields(seen, bounds.of, sorted(shown), where, more))
    return found and (found, *where)


class _Bounds(NamedTuple):
    """What a hypothesis makes of runs, and the bounds of its constants by their labels."""

    fits: list[Fit]
    of: dict[int, tuple[Any, Any]]


@QUIET
def _bounds(hypothesis: Hypothesis, seen: Sequence[Seen]) -> _Bounds | None:
    """Return the bounds that runs leave the constants of a hypothesis; None if they refute it."""
    fits, bounds, sizes = [], {}, {}
    for run in seen:
        try:
            fit = hypothesis.fit(run)
        except Unknown:
            return None
        fits.append(fit)
        low, high, _, size, label = (np.broadcast_to(p, run.x.shape) for p in fit[:5])
        for one in np.unique(label).tolist():
            least, most = bounds.get(one, (-np.inf, np.inf))
            least = np.maximum(least, low[label == one].max())
            most = np.minimum(most, high[label == one].min())
            if not (least <= most and least < np.inf and most > -np.inf):
                return None
            bounds[one] = least, most
            sizes[one] = np.maximum(sizes.get(one, 0.0), size[label == one].max())
    known = hypothesis.constant
    if known is not None and not all(low <= known <= high for low, high in bounds.values()):
        return None
    if not all(sizes[one] <= max(-least, most) for one, (least, most) in bounds.items()):
        return None
    return _Bounds(fits, bounds)


def _fields(seen, bounds, shown, where, more) -> dict[str, Any]:
    """Return what a sentence may be made of.

    As text: c, the constant; minus, the same with the other sign; span, the least and the greatest
    of several; sizes, the step size that c makes of the one that all runs should have; before, the
    coordinates before the first that was put to the test; more, how many rows are like it. As
    numbers: constants, by their labels, that were put to the test; row and coordinate of the first
    test, and the row before it.
    """
    row, coordinate = where
    constants = {k: _simplest(*bounds[k]) for k in shown}
    inner = [c for c in constants.values() if c is not None] or [Fraction(0)]
    sizes = np.unique(np.concatenate([np.ravel(run.eta) for run in seen]))
    eta, c = float(sizes[0]), inner[0]
    return {
        "constants": constants,
        "c": text(c),
        "minus": text(-c),
        "span": " to ".join(dict.fromkeys([text(min(inner)), text(max(inner))])),
        "sizes": f" (eta {float(c) * eta:.5g}, not {eta:.5g})" if len(sizes) == 1 else "",
        "row": row,
        "before_it": row - 1,
        "coordinate": coordinate,
        "before": f"coordinates 0 to {coordinate - 1}" if coordinate > 1 else "coordinate 0",
        "more": f", and so in {more} more place{'s' * (more > 1)}" if more else "",
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


# -- step sizes ------------------------------------------------------------------------------------


def _explain_with_own_step_size(hypothesis, head, run):
    """Return the sentence of a hypothesis, and the run with the step size that explains it."""
    first = _with_own_step_size(hypothesis, head)
    if first is None or not _bounds(hypothesis, [first]):
        return None
    # Once more, with the rounding that goes with this step size.
    times = (first.eta / head.eta).flat[0]
    own = _with_own_step_size(hypothesis, replace(run, eta=times * run.eta))
    if own is None or not (told := _explain(hypothesis, [own], constants=1)):
        return None
    return told[0], own


@QUIET
def _with_own_step_size(hypothesis: Hypothesis, run: Seen) -> Seen | None:
    """Return a run with the step size with which a hypothesis fits it best, or None.

    What the hypothesis says is ``base + c slope``, and both are straight in the step size: rows are
    linear in t, in c and in c t, if it is t times as long. So t comes from least squares, weighted
    by what rows may be off, and it is off by no more than the sum of what each row makes of it.
    """
    try:
        one, two = (hypothesis.fit(replace(run, eta=t * run.eta)) for t in (1, 2))
    except Unknown:
        return None
    if one.base is None or np.any(one.label):
        return None
    slope, steeper = (np.broadcast_to(fit.slope, run.x.shape) for fit in (one, two))
    columns = np.stack([two.base - one.base, 2 * slope - steeper, steeper - slope])
    weights = np.nan_to_num(1 / np.broadcast_to(one.error, run.x.shape)[1:])
    columns = (columns[:, 1:] * weights).reshape(3, -1)
    rows = ((run.x - (2 * one.base - two.base))[1:] * weights).ravel()
    size = np.sqrt((columns**2).sum(axis=1))
    columns = columns[size > 0] / size[size > 0, None]
    if not size[0] > 0 or not np.isfinite([*columns, rows]).all():
        return None
    if np.linalg.matrix_rank(columns.astype(float)) < len(columns):
        return None
    by_row = np.linalg.pinv(columns.T.astype(float))
    fitted = by_row @ rows
    fitted += by_row @ (rows - fitted @ columns)  # what the first one rounds is lost
    times, doubt = fitted[0] / size[0], abs(by_row[0]).sum() / size[0]
    if not 0 < times < np.inf:
        return None
    # What rows may be off grows with the step size at most.
    unsure = run.unsure + doubt * max(times, 1) / times
    return replace(run, eta=times * run.eta, unsure=unsure)


def _step_size(own: Seen, run: Seen) -> str:
    """Return a step size in words, of several the multiple that is used of them."""
    times, sizes = (own.eta / run.eta).flat[0], np.unique(run.eta)
    apart, several = own.unsure - run.unsure, len(sizes) > 1
    by = 1.0 if several else float(sizes[0])
    size = _simplest(*(times * by * (1 + side * apart) for side in (-1, 1)))
    return f"{float(size or times * by):.5g}" + " times what it was to be" * several
