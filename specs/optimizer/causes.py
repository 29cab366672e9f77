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
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from .. import rounding
from ..instances import Instance
from ..rows import QUIET
from .claims import see
from .hypotheses import HYPOTHESES, text


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
    # A run that overflows in its first step says nothing.
    seen = [run for k, one in enumerate(runs) if len((run := see(k, *one, model)).x) > 1]
    if any(run.wrong.any() for run in seen):
        yield from filter(None, (_explain(hypothesis, seen) for hypothesis in HYPOTHESES))


# -- explaining ------------------------------------------------------------------------------------


@QUIET
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
        "c": text(inner[0]),
        "minus": text(-inner[0]),
        "span": " to ".join(dict.fromkeys([text(min(inner)), text(max(inner))])),
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
