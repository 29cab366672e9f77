"""The laws that one recorded run is held to, as far as what is known of f allows.

They are those of `theorems`, over what is true at the recorded points, or, where nobody knows that,
over what was recorded. A law of a step sees a batch of runs of one step each, for every step may
have a size of its own; a rate sees one run. Facts are good to their dtype, and a minimizer to the
gradient there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import gdpure as gd

from .. import rounding
from ..balls import Ball, ball
from ..gradient.functions import flat
from ..report import Verdict
from ..rows import Points, Rows, Run, Trace
from ..theorem import Sides, sides
from ..theorems import convergence, gradient_agreement, monotone_descent
from ..theorems.facts import FACTS
from ..words import listed
from .certificate import Finding
from .readings import blurred
from .recorded import Record, Truth
from .steps import Steps, above, compared, lengths, steps_of

_U = rounding.unit_roundoff("float64")
# Rows that are held against each other, evenly spaced, and so many numbers of all pairs of them.
_PAIRED, _NUMBERS = 256, 2**26
_FAMILIES = (gradient_agreement, monotone_descent, convergence)
_THEOREMS = {theorem.name: theorem for family in _FAMILIES for theorem in family.THEOREMS}
_FACTS = {theorem.name: theorem for theorem in FACTS}


# -- what is known ---------------------------------------------------------------------------------


class Evidence(NamedTuple):
    """A run with all that is known about it; F, G and their doubts are the truth, or the record."""

    rows: Record
    truth: Truth
    steps: Steps
    F: Any
    dF: Any
    G: Any
    dG: Any
    L: Any
    mu: Any
    minimizer: Any
    minimum: Any
    strayed: Any
    unit: float

    @property
    def convex(self):
        """What is known of mu, if that makes f convex."""
        return self.mu if self.mu is not None and self.mu >= 0 else None


def evidence(known: Truth, rows: Record, step_size: Any, facts: gd.Facts) -> Evidence:
    """Return a run beside what is known of the objective."""
    L, mu, growth, unit = _curvatures(facts, rows.point.shape[1])
    known = blurred(known, rows, L)
    F, dF, G, dG = known.value, known.value_doubt, known.gradient, known.gradient_doubt
    if F is None:
        F, dF = rows.value, known.value_error
    if G is None:
        G, dG = rows.gradient, known.gradient_error
    minimizer, minimum, strayed = _minimizer(known, facts, growth)
    steps = steps_of(rows, known, step_size)
    return Evidence(rows, known, steps, F, dF, G, dG, L, mu, minimizer, minimum, strayed, unit)


def _curvatures(facts, d):
    """Return an L that is not too small, a mu and a growth that are not too large, and a unit.

    The unit is how far they may be off, relative to L. Eigenvalues and singular values come out
    within p(d) u of the largest one, where p grows modestly (LAPACK Users' Guide, 4.7 and 4.9): we
    let it be d. Of a square that is 2 d u; products and the dtype add less than 6 u. What is
    allowed too much makes L larger, and accuses less.
    """
    given = (facts.smoothness, facts.strong_convexity, facts.growth)
    unit = 8 * d * max(map(_unit_of, given))
    L, mu, growth = (None if x is None or not np.isfinite(x) else float(x) for x in given)
    steep = unit * max((abs(x) for x in (L, mu) if x is not None), default=0.0)
    growth = mu if growth is None else growth
    growth = None if growth is None or growth <= steep else growth - steep
    if mu is not None:
        mu = max(mu - steep, 0.0) if mu >= 0 else mu - steep
    return None if L is None else L + steep, mu, growth, unit


def _unit_of(fact):
    narrow = fact is not None and getattr(fact, "dtype", None) == np.float32
    return rounding.unit_roundoff("float32") if narrow else _U


def _minimizer(known: Truth, facts: gd.Facts, growth: float | None):
    """Return x*, f* and how far the nearest true minimizer may be from x*; None for unknown."""
    if facts.minimizer is None or not np.isfinite(flat(facts.minimizer)).all():
        return None, None, None
    x = flat(facts.minimizer)
    if known.at is None:
        minimum = None if facts.minimum is None else float(facts.minimum)
        # A claim, which is rounded to its dtype; what this line rounds is less than as much again.
        return x, minimum, 2 * _unit_of(facts.minimizer) * float(lengths(x))
    value, slope, _, doubt, _, _ = known.at(x)
    if growth is None:
        return x, float(value), None if np.any(slope) else 0.0
    return x, float(value), float(above(abs(slope) + doubt) / growth) * (1 + 4 * _U)


# -- what the laws see -----------------------------------------------------------------------------


class _Problem(NamedTuple):
    """What is known of f, as laws ask an instance for it; the axis of runs comes last."""

    step_size: Any
    smoothness: Any
    strong_convexity: Any
    center: Any
    minimum: Any


def _trace(of: Evidence, batched: Callable, step_size) -> Trace:
    """Return the record as laws see it, with steps as far off as they were seen to be.

    `batched` makes rows first and runs last of what has rows first.
    """
    L, mu = (np.array([0.0 if x is None else x]) for x in (of.L, of.mu))
    x, d = of.rows.point, of.rows.point.shape[1]
    center = np.full(d, np.nan) if of.minimizer is None else of.minimizer
    minimum = np.nan if of.minimum is None else of.minimum
    # A minimum that is claimed is rounded to its dtype.
    u = 0.0 if of.truth.at is not None else rounding.unit_roundoff(of.rows.dtype)
    minimum = Ball(np.array([minimum]), np.array([(u + _U) * abs(minimum)]))
    problem = _Problem(step_size, L, np.minimum(mu, L), center[:, None], minimum)
    f = (0 * x[:, 0], np.inf) if of.F is None else (of.F, of.dF)
    f, g = (Ball(*map(batched, np.broadcast_arrays(*known))) for known in (f, (of.G, of.dG)))
    rows = Rows(ball(batched(x)), f, g)
    moves = rows.x[1:] - rows.x[:-1] + ball(rows.g.middle[:-1]) * step_size
    strays = abs(moves.middle) + moves.radius
    off = 0.0 if of.strayed is None else of.strayed
    run, model = Run(batched(x)), rounding.arithmetic(of.rows.dtype)
    return Trace(problem, run, rows, 0.0, 0.0, strays, model, off)  # pyright: ignore


def _whole(x):
    """Return rows as one run."""
    return x[..., None]


def _steps(x):
    """Return rows as a batch of runs of one step."""
    return np.moveaxis(np.stack([x[:-1], x[1:]]), 1, -1)


def _by_row(of):
    return of[..., 0]


def _by_step(of):
    return np.moveaxis(of[0], -1, 0)


def _points(x, f, df, g, dg) -> Points:
    """Return rows as laws of pairs see them, of which nothing is claimed yet."""
    x, f, df, g, dg = map(_whole, (x, f, df, g, dg))
    return Points(Rows(ball(x), Ball(f, df), Ball(g, dg)), ball(0.0), ball(0.0))


# -- the laws --------------------------------------------------------------------------------------


def _missing(**needed):
    """Return why a law says nothing, or ""."""
    names = {"L": "L", "mu": "the convexity of f", "eta": "the step size", "F": "the values"}
    names |= {"G": "the gradients", "minimizer": "a minimizer"}
    absent = [names[name] for name, value in needed.items() if value is None]
    verb = "is" if len(absent) == 1 and absent[0] not in ("the values", "the gradients") else "are"
    return f"{listed(absent)} {verb} not known" if absent else ""


def _not_judged(law: tuple[str, str], why: str):
    return Finding(*law, Verdict.NOT_APPLICABLE, why)


def laws_of(of: Evidence) -> tuple[Finding, ...]:
    """Return what each law says; what rests on the step says nothing where that is broken."""
    blocked = of.steps.finding.verdict is Verdict.VIOLATED
    ours = []
    for judge in (_descent, _contraction, _value_rate):
        found = judge(of)
        if blocked and found.verdict is not Verdict.NOT_APPLICABLE:
            found = replace(found, verdict=Verdict.BLOCKED, sentence="rests on step", cause="")
        ours.append(found)
    return _values(of), _gradients(of), of.steps.finding, _interpolation(of), *ours


def _values(of):
    law = ("value", "the value of row k is f(x[k])")
    known = (of.rows.value, of.truth.value, of.truth.value_error)
    came, exact, error = (None if x is None else x[:, None] for x in known)
    return _recorded(law, came, exact, error, of.truth.why, "the value", "f")


def _gradients(of):
    law = ("gradient", "the gradient of row k is grad f(x[k])")
    known = (of.rows.gradient, of.truth.gradient, of.truth.gradient_error)
    return _recorded(law, *known, of.truth.why, "the gradient", "that of f")


def _recorded(law: tuple[str, str], came, exact, error, why, name, whose):
    """Judge what was recorded, and tell what it is instead, if something simple explains it."""
    if came is None:
        return _not_judged(law, f"no {name.removeprefix('the ')}s were recorded")
    if exact is None:
        return _not_judged(law, why)
    found = compared(*law, Sides(came, exact, error, abs(exact), equality=True))
    if found.verdict is not Verdict.VIOLATED:
        return found
    bad = np.flatnonzero((abs(came - exact) > error).any(axis=1))
    for shift, when in ((1, "late"), (-1, "early")):
        other = np.roll(exact, shift, axis=0)
        inner = slice(1, None) if shift == 1 else slice(None, -1)
        moved = np.roll(error, shift, axis=0)
        if len(bad) > 1 and (abs(came - other) <= moved)[inner].all():
            return replace(found, cause=f"{name} is recorded one row {when}")
    a, b = came[bad].ravel(), exact[bad].ravel()
    weights = 1 / np.maximum(error[bad].ravel(), 5e-324)
    factor = ((a * weights) @ (b * weights)) / max((b * weights) @ (b * weights), 5e-324)
    if (abs(a - factor * b) <= 4 * (1 + abs(factor)) * error[bad].ravel()).all():
        return replace(found, cause=f"{found.where} {name} is {factor:.4g} times {whose}")
    offset = np.median(a - b)
    if came.shape[1] == 1 and (abs(a - b - offset) <= 4 * error[bad].ravel()).all():
        return replace(found, cause=f"{found.where} {name} is {whose} plus {offset:.4g}")
    return found


def _interpolation(of):
    """Hold all pairs of rows against each other: some function of the class has both of them."""
    law = ("interpolation", "f[i] >= f[j] + <g[j], x[i] - x[j]> + ...")
    rows, known = of.rows, of.truth
    f, df = (of.F, of.dF) if rows.value is None else (rows.value, known.value_error)
    g, dg = (of.G, of.dG) if rows.gradient is None else (rows.gradient, known.gradient_error)
    if f is None or g is None:
        return _not_judged(law, _missing(F=f, G=g))
    if of.L is None and np.any(rows.blur[0]):
        return _not_judged(law, known.why)
    if of.L is None and of.convex is None:
        return _not_judged(law, _missing(L=None, mu=None if of.mu is None else 0.0))
    chosen = _some(rows.point)
    points = _points(*(part[chosen] for part in (rows.point, f, df, g, dg)))
    points = replace(points, mu=ball(0.0 if of.mu is None else of.mu))
    convex = seen = sides(_FACTS["convexity"], points).each(_by_row)
    if of.L is not None:
        least = points.mu if of.mu is not None else ball(-of.L)
        points = replace(points, L=ball(of.L), mu=least)
        seen = sides(_FACTS["interpolation"], points).each(_by_row)
    bad = seen.broken
    if not bad.any():
        few = f"{len(chosen)} of {len(rows.point)} rows" if len(chosen) < len(rows.point) else ""
        return compared(*law, seen, sentence=few)
    # The pair that rounding explains least; or the one row without which all others agree.
    ratio = np.where(bad, seen.excess, -1)
    i, j = np.unravel_index(np.argmax(ratio), bad.shape)
    pair = sorted((int(chosen[i]), int(chosen[j])))
    far, most = float(seen.off[i, j]), float(seen.allowed[i, j])
    where = f"between rows {pair[0]} and {pair[1]}"
    against = (bad | bad.T).sum(axis=1)
    odd = [row for row in (i, j) if against[row] > 1 and against[row] == (bad | bad.T).sum() / 2]
    if odd:
        where = f"between row {chosen[odd[0]]} and {against[odd[0]]} others"
    sentence = f"{where}, by {far:.3g} where rounding allows {most:.2g}"
    later = np.maximum(chosen[:, None], chosen[None])
    used, first = float(ratio.max()), int(later[bad].min())
    if of.mu is None or not (bad & convex.broken).any():
        cause = f"this rests on L = {of.L:.4g}: a larger one would explain these rows"
    else:
        bent = f"mu is {of.mu:.4g} or more" if of.mu else "f is convex"
        cause = f"no L explains it, as long as {bent}"
    return Finding(*law, Verdict.VIOLATED, sentence, first, far, most, used, cause, where)


def _some(points):
    """Return rows to be held against each other."""
    count, d = points.shape
    most = max(2, min(count, _PAIRED, int((_NUMBERS / d) ** 0.5)))
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def _descent(of):
    law = ("descent lemma", "f(x+) <= f(x) - eta (1 - eta L/2) |g|^2")
    why = _missing(L=of.L, eta=of.steps.eta, F=of.F, G=of.G)
    return _of_steps(of, law, "descent-lemma", why, counted=True)


def _contraction(of):
    law = ("contraction", "|x+ - x*| <= rho |x - x*|")
    why = _missing(L=of.L, mu=of.convex, eta=of.steps.eta, G=of.G, minimizer=of.minimizer)
    why = why or ("" if of.strayed is not None else "nobody knows how exact the minimizer is")
    return _of_steps(of, law, "contraction", why)


def _of_steps(of, law: tuple[str, str], theorem, why, counted=False):
    if why:
        return _not_judged(law, why)
    seen = sides(_THEOREMS[theorem], _trace(of, _steps, of.steps.eta)).each(_by_step)
    clear, count = seen.informative.sum(), len(seen.off)
    few = f"{clear} of {count} steps clear of rounding" if counted and clear < count else ""
    return compared(*law, seen, shift=1, sentence=few)


def _value_rate(of: Evidence):
    law = ("value rate", "f(x[k]) - f* <= c[k] |x[0] - x*|^2")
    eta = of.steps.eta
    minimizer = None if of.minimum is None or of.strayed is None else of.minimizer
    why = _missing(L=of.L, mu=of.convex, eta=eta, F=of.F, G=of.G, minimizer=minimizer)
    if not why and of.L == 0:
        why = "f is linear, for L is 0"
    if not why and (len(set(eta.tolist())) > 1 or not 0 < eta[0] * of.L < 2):
        why = "the step size is not one number in (0, 2/L)"
    if why:
        return _not_judged(law, why)
    seen = sides(_THEOREMS["value-rate"], _trace(of, _whole, eta[:1])).each(_by_row)
    return compared(*law, seen)


# -- what the run itself shows ---------------------------------------------------------------------


def least_smoothness(of: Evidence) -> float | None:
    """Return what the run shows of L, a lower bound: ``max |g_i - g_j| / |x_i - x_j|``."""
    if of.G is None:
        return None
    chosen = _some(of.rows.point)
    x, g, dg = (part[chosen] for part in (of.rows.point, of.G, of.dG))
    found = _points(x, x[:, 0], x[:, 0], g, dg).pairs  # of values nothing is asked
    apart, change = found.apart.sqrt(), found.change.sqrt()
    least, most = change.middle - change.radius, apart.middle + apart.radius
    clear = apart.middle > apart.radius
    return float((least[clear] / most[clear]).max(initial=0.0)) or None
