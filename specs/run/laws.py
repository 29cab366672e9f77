"""The laws that one recorded run is held to, as far as what is known of f allows.

They are written in float64, over what is true at the recorded points, or, where nobody knows that,
over what was recorded. Facts are good to their dtype, and a minimizer to the gradient there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import gdpure as gd

from .. import bounds, rounding
from ..gradient.subjects import flat
from ..report import Verdict
from ..words import listed
from .certificate import Finding
from .readings import blurred
from .recorded import Rows, Truth
from .steps import Steps, above, compared, norm, steps_of

_U = rounding.unit_roundoff("float64")
_PAIRS = 256  # rows that are held against each other; of a longer run, as many, evenly spaced


# -- what is known ---------------------------------------------------------------------------------


class Case(NamedTuple):
    """A run with all that is known about it; F, G and their doubts are the truth, or the record."""

    rows: Rows
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


def case_of(known: Truth, rows: Rows, step_size: Any, facts: gd.Facts) -> Case:
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
    return Case(rows, known, steps, F, dF, G, dG, L, mu, minimizer, minimum, strayed, unit)


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
    return L + steep if L else None, mu, growth, unit


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
        return x, minimum, 2 * _unit_of(facts.minimizer) * float(norm(x))
    value, slope, _, doubt, _, _ = known.at(x)
    if growth is None:
        return x, float(value), None if np.any(slope) else 0.0
    return x, float(value), float(above(abs(slope) + doubt) / growth) * (1 + 4 * _U)


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


def laws_of(case: Case) -> tuple[Finding, ...]:
    """Return what each law says; what rests on the step says nothing where that is broken."""
    blocked = case.steps.finding.verdict is Verdict.VIOLATED
    ours = []
    for judge in (_descent, _contraction, _value_rate):
        found = judge(case)
        if blocked and found.verdict is not Verdict.NOT_APPLICABLE:
            found = replace(found, verdict=Verdict.BLOCKED, sentence="rests on step", cause="")
        ours.append(found)
    return _values(case), _gradients(case), case.steps.finding, _interpolation(case), *ours


def _values(case):
    law = ("value", "the value of row k is f(x[k])")
    v, f, error = case.rows.value, case.truth.value, case.truth.value_error
    if v is None:
        return _not_judged(law, "no values were recorded")
    if f is None:
        return _not_judged(law, case.truth.why)
    found = compared(*law, abs(v - f), error, abs(f) > error)
    return _with_cause(found, v[:, None], f[:, None], error[:, None], "the value", "f")


def _gradients(case):
    law = ("gradient", "the gradient of row k is grad f(x[k])")
    r, g, error = case.rows.gradient, case.truth.gradient, case.truth.gradient_error
    if r is None:
        return _not_judged(law, "no gradients were recorded")
    if g is None:
        return _not_judged(law, case.truth.why)
    found = compared(*law, abs(r - g), error, abs(g) > error)
    return _with_cause(found, r, g, error, "the gradient", "that of f")


def _with_cause(found, came, exact, error, name, whose):
    """Return a finding with what was recorded instead, if something simple explains all rows."""
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


def _interpolation(case):
    """Hold all pairs of rows against each other: some function of the class has both of them."""
    law = ("interpolation", "f[i] >= f[j] + <g[j], x[i] - x[j]> + ...")
    rows, known = case.rows, case.truth
    f, df = (case.F, case.dF) if rows.value is None else (rows.value, known.value_error)
    g, dg = (case.G, case.dG) if rows.gradient is None else (rows.gradient, known.gradient_error)
    if f is None or g is None:
        return _not_judged(law, _missing(F=f, G=g))
    if case.L is None and np.any(rows.blur[0]):
        return _not_judged(law, known.why)
    if case.L is None and (case.mu is None or case.mu < 0):
        return _not_judged(law, _missing(L=None, mu=None if case.mu is None else 0.0))
    chosen = _some(len(f))
    x, f, df, g, dg = (part[chosen] for part in (rows.point, f, df, g, dg))
    slack = f[:, None] - f[None]
    off, steep = np.zeros_like(slack), np.zeros_like(slack)
    allowed = df[:, None] + df[None] + 8 * _U * (abs(f)[:, None] + abs(f)[None])
    own = (x.shape[1] + 16) * _U  # of sums of d products, and of the few operations on them
    for i in range(len(f)):
        move, change = x[i] - x, g[i] - g
        lost = own * (abs(x[i]) + abs(x))
        need, room = (g * move).sum(1), (abs(move) * dg + abs(g) * lost).sum(1)
        if case.L is not None:
            L = case.L
            # Any smaller mu is true as well, and far from L nothing is divided by 0.
            mu = -L if case.mu is None else min(max(case.mu, -L), L / 2)
            e = norm(dg[i] + dg)
            w = norm(move - change / L)
            m = mu / (1 - mu / L)
            need = need + (change**2).sum(1) / (2 * L) + m / 2 * w**2
            room = room + (norm(change) * e + e**2 / 2) / L
            room += abs(m) * (w * (e / L + norm(lost)) + (e / L + norm(lost)) ** 2 / 2)
            room += own * ((change**2).sum(1) / (2 * L) + abs(m) / 2 * w**2)
        off[i], allowed[i] = need - slack[i], allowed[i] + room
        # What is left of it whatever L is.
        bent = 0.0 if case.mu is None else case.mu / 2 * (move**2).sum(1)
        steep[i] = (g * move).sum(1) + bent - slack[i]
    np.fill_diagonal(off, 0.0)
    bad, later = off > allowed, np.maximum(chosen[:, None], chosen[None])
    if not bad.any():
        few = f"{len(chosen)} of {len(rows.point)} rows" if len(chosen) < len(rows.point) else ""
        clear = (abs(slack) > allowed).any()
        return compared(*law, off, allowed, clear, sentence=few)
    # The pair that rounding explains least; or the one row without which all others agree.
    ratio = np.where(bad, off / np.maximum(allowed, 5e-324), -1)
    i, j = np.unravel_index(np.argmax(ratio), off.shape)
    pair = sorted((int(chosen[i]), int(chosen[j])))
    far, most = float(off[i, j]), float(allowed[i, j])
    where = f"between rows {pair[0]} and {pair[1]}"
    against = (bad | bad.T).sum(axis=1)
    odd = [row for row in (i, j) if against[row] > 1 and against[row] == (bad | bad.T).sum() / 2]
    if odd:
        where = f"between row {chosen[odd[0]]} and {against[odd[0]]} others"
    sentence = f"{where}, by {far:.3g} where rounding allows {most:.2g}"
    used, first = float(ratio.max()), int(later[bad].min())
    if case.mu is None or not (bad & (steep > allowed)).any():
        cause = f"this rests on L = {case.L:.4g}: a larger one would explain these rows"
    else:
        bent = f"mu is {case.mu:.4g} or more" if case.mu else "f is convex"
        cause = f"no L explains it, as long as {bent}"
    return Finding(*law, Verdict.VIOLATED, sentence, first, far, most, used, cause, where)


def _some(count):
    return np.unique(np.linspace(0, count - 1, min(count, _PAIRS)).round().astype(int))


def _strays(case):
    """Return how far each step is from the exact one, (N,), by the truth as far as it is known."""
    moves, eta = np.diff(case.rows.point, axis=0), case.steps.eta[:, None]
    pull, doubt = eta * case.G[:-1], abs(eta) * case.dG[:-1]
    return above(abs(moves + pull) + doubt + 4 * _U * (abs(moves) + abs(pull)))


def _descent(case):
    law = ("descent lemma", "f(x+) <= f(x) - eta (1 - eta L/2) |g|^2")
    eta = case.steps.eta
    why = _missing(L=case.L, eta=eta, F=case.F, G=case.G)
    if why:
        return _not_judged(law, why)
    slope, e, h = norm(case.G[:-1]), _strays(case), eta * case.L
    unsure = norm(case.dG[:-1])
    promised = eta * (1 - h / 2) * slope**2
    off = np.diff(case.F) + promised
    allowed = case.dF[1:] + case.dF[:-1] + abs(1 - h) * (slope + unsure) * e + case.L * e**2 / 2
    allowed += 2 * abs(eta * (1 - h / 2)) * unsure * (slope + unsure)
    # A square of d terms; that 1 - eta L/2 cancels is less than L is larger than what is claimed.
    own = (case.G.shape[1] + 16) * _U
    allowed += own * (abs(case.F[:-1]) + abs(case.F[1:]) + abs(promised))
    clear = abs(promised) > allowed
    sentence = f"{int(clear.sum())} of {len(clear)} steps clear of rounding"
    return compared(*law, off, allowed, clear, shift=1, sentence="" if clear.all() else sentence)


def _contraction(case):
    law = ("contraction", "|x+ - x*| <= rho |x - x*|")
    eta = case.steps.eta
    convex = case.mu if case.mu is not None and case.mu >= 0 else None
    why = _missing(L=case.L, mu=convex, eta=eta, G=case.G, minimizer=case.minimizer)
    why = why or ("" if case.strayed is not None else "nobody knows how exact the minimizer is")
    if why:
        return _not_judged(law, why)
    offset = case.rows.point - case.minimizer
    far = norm(offset)
    rho = np.maximum(abs(1 - eta * case.L), abs(1 - eta * convex))
    own = (offset.shape[1] + 4) * _U * norm(abs(case.rows.point) + abs(case.minimizer))
    allowed = _strays(case) + (1 + rho) * (case.strayed + own[1:] + own[:-1])
    off = far[1:] - rho * far[:-1]
    return compared(*law, off, allowed, far[:-1] > allowed, shift=1)


def _value_rate(case: Case):
    law = ("value rate", "f(x[k]) - f* <= c[k] |x[0] - x*|^2")
    eta, minimum = case.steps.eta, case.minimum
    convex = case.mu if case.mu is not None and case.mu >= 0 else None
    minimizer = None if minimum is None or case.strayed is None else case.minimizer
    why = _missing(L=case.L, mu=convex, eta=eta, F=case.F, G=case.G, minimizer=minimizer)
    if not why and (len(set(eta.tolist())) > 1 or not 0 < eta[0] * case.L < 2):
        why = "the step size is not one number in (0, 2/L)"
    if why:
        return _not_judged(law, why)
    k, mu = np.arange(len(case.F)), min(case.mu, case.L)
    offset = case.rows.point[0] - case.minimizer
    far = above(abs(offset) + 2 * _U * (abs(case.rows.point[0]) + abs(case.minimizer)))
    far += case.strayed
    rate = bounds.value_rate(case.L, mu, eta[0], k)
    # A power of k, by way of its logarithm, which is off by few units relative to itself.
    fallen = np.log(rate[0] / np.maximum(rate, np.finfo(float).tiny))
    rate = rate * (1 + 16 * _U * (k + 1 + fallen))
    bound, drift = rate * far**2, np.concatenate([[0.0], np.cumsum(_strays(case))])
    allowed = np.sqrt(2 * case.L * bound) * drift + case.L / 2 * drift**2 + case.dF
    if case.truth.at is None:
        allowed += rounding.unit_roundoff(case.rows.dtype) * abs(case.minimum)
    allowed += 4 * _U * (abs(case.F) + abs(case.minimum))
    return compared(*law, case.F - case.minimum - bound, allowed, bound > allowed)


# -- what the run itself shows ---------------------------------------------------------------------


def least_smoothness(case: Case) -> float | None:
    """Return what the run shows of L, a lower bound: ``max |g_i - g_j| / |x_i - x_j|``."""
    if case.G is None:
        return None
    chosen, best = _some(len(case.G)), 0.0
    x, g, dg = (part[chosen] for part in (case.rows.point, case.G, case.dG))
    for i in range(1, len(g)):
        apart = norm(x[i] - x[:i])
        rise = norm(g[i] - g[:i]) - norm(dg[i] + dg[:i])
        best = max(best, float((rise[apart > 0] / apart[apart > 0]).max(initial=0.0)))
    return best or None
