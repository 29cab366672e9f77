"""The steps of a recorded run: the law ``x[k+1] = x[k] - eta g``, and what was done instead.

A law may be broken in one row or in all of them. What was done instead is named only if it explains
every row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .. import rounding
from ..diagnosis.causes import cause_of_record
from ..diagnosis.seen import of_record
from ..report import Verdict
from ..rows import QUIET
from ..theorem import Sides
from .certificate import Finding
from .recorded import Record, Truth

_U = rounding.unit_roundoff("float64")
_LAW = ("step", "x[k+1] = x[k] - eta g(x[k])")


class Steps(NamedTuple):
    """The step sizes of a run, and what the law of the step says.

    Attributes
    ----------
    eta
        Step sizes, shape (N,), or None where nothing tells them.
    doubt
        How far an inferred step size may be off, shape (N,).
    how
        "given", "inferred", or "inferred row by row".
    finding
        The verdict on the law.
    """

    eta: Any
    doubt: Any
    how: str
    finding: Finding


class _Slopes(NamedTuple):
    """The gradients that the steps may follow, (N, d), and how far off they may be."""

    g: np.ndarray
    error: np.ndarray


def lengths(x):
    """Return Euclidean norms along the last axis."""
    return np.sqrt((x * x).sum(-1))


def above(x):
    """Return Euclidean norms along the last axis, rounded up: a sum of d squares, and its root."""
    return lengths(x) * (1 + (x.shape[-1] + 4) * _U)


@QUIET
def steps_of(rows: Record, known: Truth, step_size) -> Steps:
    """Return the steps of a run, by the gradients of f or the recorded ones, whichever they follow.

    Examples
    --------
    >>> from .recorded import read, truth
    >>> rows = read([2.0, 1.0, 0.5], gradients=[2.0, 1.0, 0.5])
    >>> steps = steps_of(rows, truth(None, rows), None)
    >>> assert steps.eta.tolist() == [0.5, 0.5] and steps.finding.verdict is Verdict.HOLDS
    """
    candidates = []
    if known.gradient is not None:
        candidates.append(_Slopes(known.gradient[:-1], known.gradient_error[:-1]))
    if rows.gradient is not None:
        trusted = known.gradient is not None
        own = np.broadcast_to(rows.blur[2], rows.gradient.shape)
        error = (known.gradient_error if trusted else own)[:-1]
        candidates.append(_Slopes(rows.gradient[:-1], error))
    if not candidates:
        why = f"there are no gradients: {known.why}"
        return Steps(step_size, None, "given", Finding(*_LAW, Verdict.NOT_APPLICABLE, why))
    judge = _given if step_size is not None else _inferred
    tried = [judge(rows, slopes, step_size) for slopes in candidates]
    firsts = [steps.finding.first for steps in tried]
    k = int(np.argmax([np.inf if first is None else first for first in firsts]))
    best, said = tried[k], {}
    if best.finding.verdict is Verdict.VIOLATED:
        said = {"cause": _cause(rows, known, candidates[k], best)}
    elif k:
        said = {"sentence": "by the recorded gradients, not those of f"}
    return best._replace(finding=replace(best.finding, **said))


def allowed_step(rows: Record, slopes, eta):
    """Return how far steps in the dtype of the run may be from the exact ones, (N, d).

    To what `rounding.step` allows come a step size that was rounded itself, what a row may not show
    of the point in use, a unit in the last place, what a print leaves out, and differences of
    float64.
    """
    x, after, u = rows.point[:-1], rows.point[1:], rounding.unit_roundoff(rows.dtype)
    evaluation = rounding.Evaluation(None, slopes.g, None, slopes.error)
    moved = rounding.step_as_given(evaluation, x, eta[:, None], rows.dtype)
    unseen = np.broadcast_to(rows.blur[0], rows.point.shape)
    unseen = unseen + rounding.spacing(rows.point, rows.dtype)
    rest = u * (1 + u) * eta[:, None] * abs(slopes.g) + unseen[:-1] + unseen[1:]
    return moved + (1 + u) * rest + 4 * _U * (abs(x) + abs(after))


# -- the law ---------------------------------------------------------------------------------------


def _given(rows, slopes, eta):
    return Steps(eta, 0 * eta, "given", _follows(rows, slopes, eta, 0 * eta))


def _follows(rows, slopes, eta, doubt):
    """Return the verdict on steps of known sizes."""
    moves = np.diff(rows.point, axis=0)
    allowed = allowed_step(rows, slopes, eta) + doubt[:, None] * abs(slopes.g)
    pull = -eta[:, None] * slopes.g
    return compared(*_LAW, Sides(moves, pull, allowed, abs(pull), equality=True), shift=1)


def _inferred(rows, slopes, _):
    """Infer one step size, or else one a row, and judge the steps by them."""
    moves, slope = np.diff(rows.point, axis=0), lengths(slopes.g)
    squares = np.where(slope > 0, slope, 1) ** 2
    each = -(moves * slopes.g).sum(1) / squares
    doubt = lengths(allowed_step(rows, slopes, abs(each))) / np.sqrt(squares)
    clear = (slope > 0) & (doubt < abs(each) / 2)
    if not clear.any():
        why = "no step is larger than rounding"
        if not moves.any():
            why = "the points stand still"
        return Steps(None, None, "", Finding(*_LAW, Verdict.VACUOUS, why))
    # The median of the sharper half of the rows: a few bad rows do not move it.
    relative = np.where(clear, doubt / np.where(clear, abs(each), 1), np.inf)
    sharp = np.flatnonzero(relative <= np.median(relative[clear]))
    middle = sharp[np.argsort(each[sharp])[len(sharp) // 2]]
    eta, unsure = np.full(len(each), each[middle]), np.full(len(each), doubt[middle])
    # A line search that finds no step any more makes none, and so does Polyak's at the minimum:
    # of where nothing moves, to the end, nobody knows the step size.
    rests = np.arange(len(moves)) > np.flatnonzero(moves.any(axis=1))[-1]
    for unknown in (False, rests):
        each, doubt, eta, unsure = (
            np.where(unknown, 0, part) for part in (each, doubt, eta, unsure)
        )
        alike = Steps(eta, unsure, "inferred", _follows(rows, slopes, eta, unsure))
        if alike.finding.verdict is not Verdict.VIOLATED:
            return alike
    # Else a step size a row; but to stand still on the way is no step, and uphill there is none.
    each = np.where(moves.any(axis=1), each, eta)
    own = _follows(rows, slopes, np.maximum(each, 0), doubt)
    apart = Steps(each, doubt, "inferred row by row", own)
    several = rows.point.shape[1] > 1
    if several and own.verdict is not Verdict.VIOLATED:
        return apart
    if several or own.verdict is Verdict.VIOLATED:
        return alike
    why = "of one parameter, every move is a multiple of the gradient, and no step size is known"
    return apart._replace(finding=Finding(*_LAW, Verdict.VACUOUS, why))


def compared(law, statement, seen: Sides, *, shift=0, sentence="") -> Finding:
    """Return the verdict on both sides of a law, row by row; `shift` tells rows from steps."""
    bad, ratio = seen.broken, seen.excess
    used = float(ratio.max(initial=0.0))
    broken = bad.reshape(len(bad), -1).any(axis=1)
    if broken.any():
        k = int(np.argmax(broken))
        j = np.unravel_index(np.argmax(np.where(bad[k], ratio[k], -1)), np.shape(ratio[k]))
        far, most = float(seen.off[k][j]), float(seen.allowed[k][j])
        k += shift
        where = named(np.flatnonzero(broken) + shift, len(bad) + shift)
        sentence = f"{where}, by {far:.3g} at k = {k}, where rounding allows {most:.2g}"
        return Finding(law, statement, Verdict.VIOLATED, sentence, k, far, most, used, where=where)
    if not seen.informative.any():
        why = "rounding hides what it says"
        return Finding(law, statement, Verdict.VACUOUS, why, used=used)
    return Finding(law, statement, Verdict.HOLDS, sentence, used=used)


def named(which: Any, count: int) -> str:
    """Return which of so many rows these are: ``in row 5``, ``from row 3 on``."""
    which = [int(k) for k in which]
    first, last, some = which[0], which[-1], len(which)
    if some == count:
        return "in every row"
    if some == 1:
        return f"in row {first}"
    if last - first + 1 == some:
        return f"from row {first} on" if last == count - 1 else f"in rows {first} to {last}"
    return f"in {some} rows, the first of them {first}"


# -- what was done instead -------------------------------------------------------------------------


def _cause(rows, known, slopes, steps):
    """Return what the steps were instead, in a clause, or ""."""

    def at(x):
        value, slope, _, _, value_error, slope_error = known.at(x)
        return value, slope, value_error, slope_error

    # What a row may not show of the point in use, and what the differences of float64 lose.
    blur = rounding.spacing(rows.point, rows.dtype) + 4 * _U * abs(rows.point) + rows.blur[0]
    model = rounding.arithmetic(rows.dtype)
    count = len(np.trim_zeros(steps.eta, "b")) if steps.how != "given" else len(steps.eta)
    run = of_record(
        rows.point[: count + 1],
        blur[: count + 1],
        slopes.g[:count],
        slopes.error[:count],
        abs(steps.eta)[:count],
        steps.doubt[:count],
        model,
        known.at and at,
    )
    return cause_of_record(run, given=steps.how == "given")
