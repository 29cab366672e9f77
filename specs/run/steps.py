"""The steps of a recorded run: the law ``x[k+1] = x[k] - eta g``, and what was done instead.

A law may be broken in one row or in all of them. What was done instead is a hypothesis with numbers
that are fitted to all rows; it is named only if it explains every row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .. import rounding
from ..report import Verdict
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
    """The gradients that the steps may follow, (N, d), how far off they may be, and whose."""

    g: np.ndarray
    error: np.ndarray
    whose: str


def norm(x):
    """Return Euclidean norms along the last axis."""
    return np.sqrt((x * x).sum(-1))


def above(x):
    """Return Euclidean norms along the last axis, rounded up: a sum of d squares, and its root."""
    return norm(x) * (1 + (x.shape[-1] + 4) * _U)


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
        candidates.append(_Slopes(known.gradient[:-1], known.gradient_error[:-1], "of f"))
    if rows.gradient is not None:
        trusted = known.gradient is not None
        own = np.broadcast_to(rows.blur[2], rows.gradient.shape)
        error = (known.gradient_error if trusted else own)[:-1]
        candidates.append(_Slopes(rows.gradient[:-1], error, "as recorded"))
    if not candidates:
        why = f"there are no gradients: {known.why}"
        return Steps(step_size, None, "given", Finding(*_LAW, Verdict.NOT_APPLICABLE, why))
    judge = _given if step_size is not None else _inferred
    tried = [judge(rows, slopes, step_size) for slopes in candidates]
    firsts = [steps.finding.first for steps in tried]
    best = tried[int(np.argmax([np.inf if k is None else k for k in firsts]))]
    finding = best.finding
    if finding.verdict is Verdict.VIOLATED:
        slopes = candidates[[steps is best for steps in tried].index(True)]
        cause = _cause(rows, known, slopes, best)
        best = best._replace(finding=replace(finding, cause=cause))
    elif best is not tried[0]:
        note = "by the recorded gradients, not those of f"
        best = best._replace(finding=replace(finding, sentence=note))
    return best


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
    moves, slope = np.diff(rows.point, axis=0), norm(slopes.g)
    squares = np.where(slope > 0, slope, 1) ** 2
    each = -(moves * slopes.g).sum(1) / squares
    doubt = norm(allowed_step(rows, slopes, abs(each))) / np.sqrt(squares)
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
    one = _follows(rows, slopes, eta, unsure)
    alike = Steps(eta, unsure, "inferred", one)
    if one.verdict is not Verdict.VIOLATED:
        return alike
    # Else a step size a row; but to stand still is no step, and uphill there is none.
    each = np.where(moves.any(axis=1), each, eta)
    own = _follows(rows, slopes, np.maximum(each, 0), doubt)
    apart = Steps(each, doubt, "inferred row by row", own)
    several = rows.point.shape[1] > 1
    if several and own.verdict is not Verdict.VIOLATED:
        return apart
    if several or (abs(each - eta) <= doubt + unsure)[clear].mean() > 0.5:
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


# The thresholds below choose words for steps that are wrong already; they accuse nobody.
_FITS = 4  # times what rounding allows: coefficients are fitted to rows that are rounded, too
_ALIKE = 1.001


def _cause(rows, known, slopes, steps):
    """Return what the steps were instead, in a clause, or ""."""
    x, moves, g = rows.point[:-1], np.diff(rows.point, axis=0), slopes.g
    eta = steps.eta
    allowed = allowed_step(rows, slopes, abs(eta)) + steps.doubt[:, None] * abs(g)
    broken = (abs(moves + eta[:, None] * g) > allowed).any(axis=1)
    size = norm(allowed)
    once = _one_by_one(rows, known, eta, broken, size)
    if once:
        return once
    # Of one known step size the multiple is told, of a schedule the factor.
    constant = len(set(eta.tolist())) == 1
    pull = -g if constant else -eta[:, None] * g
    named = "" if constant else " times what it was to be"

    def fitted(first, *parts):
        """Return the coefficients by which these moves explain all rows from one on, or None."""
        if moves[first:].size <= 2 * len(parts):
            return None
        weights = 1 / size[first:, None]
        design = np.stack([(part * weights).ravel() for part in parts], axis=1)
        found, *_ = np.linalg.lstsq(design, (moves[first:] * weights).ravel(), rcond=None)
        rest = moves[first:] - sum(a * part for a, part in zip(found, parts, strict=True))
        return found if (norm(rest) <= _FITS * size[first:]).all() else None

    if (a := fitted(0, pull)) is not None:
        told = f", not {eta[0]:.5g}" if constant and steps.how == "given" else ""
        return f"the step size is {a[0]:.5g}{named}{told}"
    if (a := fitted(1, pull[:-1])) is not None:
        return "each step follows the gradient of the row before: it is stale"
    if (a := fitted(0, pull, -x)) is not None:
        decay = f"{a[1]:.3g} x is taken away in each step"
        return f"weight decay: {decay}, beside a step size of {a[0]:.4g}{named}"
    if (a := fitted(1, pull[1:], moves[:-1])) is not None:
        return f"momentum {a[1]:.4g}, beside a step size of {a[0]:.4g}{named}"
    if (a := fitted(1, pull[1:], moves[:-1], pull[:-1])) is not None:
        return f"momentum {a[1]:.4g} with a look ahead, as Nesterov's"
    start, slope = abs(moves[0]), abs(g[0])
    uneven = slope.max() > _ALIKE * slope.min()
    if len(start) > 1 and uneven and 0 < start.max() < _ALIKE * start.min():
        together = f"in the first step every coordinate moves by {start[0]:.4g}"
        return f"{together}, whatever its gradient, as with Adam or signs of gradients"
    length, along = norm(moves), -(moves * g).sum(1)
    straight = along >= length * norm(g) * (1 - 1e-6)
    cut = length[broken]
    if len(cut) > 1 and straight[broken].all() and cut.max() < _ALIKE * cut.min():
        return f"the steps are clipped to length {cut[0]:.4g}"
    return ""


def _one_by_one(rows, known, eta, broken, size):
    """Return what the broken rows are, if they are all of one simple kind."""
    at, x = np.flatnonzero(broken), rows.point
    if not (x[at + 1] != x[at]).any():
        which = f"row {at[0] + 1} repeats row {at[0]}"
        return which if len(at) == 1 else f"{which}, and {len(at) - 1} more rows do"
    if known.at is None or len(at) > 3:
        return ""
    for k in at:
        middle = x[k] - eta[k] * known.gradient[k]
        _, slope, _, _, _, error = known.at(middle)
        # Two steps, each of them rounded; the error of the first enters the gradient of the second.
        far = abs(middle - eta[k] * slope - x[k + 1])
        if norm(far) > _FITS * (size[k] + eta[k] * norm(error)):
            return ""
    return f"a row is missing between rows {at[0]} and {at[0] + 1}: they are two steps apart"
