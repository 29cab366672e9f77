"""Certify: one recorded run, the laws it obeys, where it first broke one, and why.

Everything is float64 at the numbers that were recorded. What is not known is not judged: without L
there is no descent lemma, without a minimizer no rate. What the run itself shows of L is a lower
bound; it explains a divergence, and accuses nobody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import gdpure as gd
from gdpure import guards

from . import bounds, rounding
from .certificate import Certificate, Finding
from .gradient_subjects import flat
from .recorded import Rows, Truth, facts_of, read, truth
from .report import Verdict
from .steps import Steps, compared, norm, steps_of

_U = rounding.unit_roundoff("float64")
_PAIRS = 256  # rows that are held against each other; of a longer run, as many, evenly spaced


def certify(
    objective: Any,
    run: Any,
    *,
    step_size: Any = None,
    values: Any = None,
    gradients: Any = None,
    facts: gd.Facts | None = None,
) -> Certificate:
    """Say of one recorded run which laws it obeys, where it first broke one, and why.

    The laws are those of gradient descent, ``x[k+1] = x[k] - eta grad f(x[k])``, of L-smooth and
    of convex functions. Rounding is allowed for as it is derived (least squares, quadratics) or
    measured (whatever JAX can trace); without a function, half of the digits are.

    Parameters
    ----------
    objective
        ``f(params) -> ()``, a `gdpure.Objective`, or None: then only what needs no function.
    run
        What `gdpure.descend` returned; or points: a list, an array (N + 1, d), (N + 1,) of one
        parameter, a tree with a leading axis; or a tuple (points, values).
    step_size
        eta, shape () or (N,); None infers it from the rows.
    values, gradients
        What was recorded at the points, shapes (N + 1,) and of the points.
    facts
        What is known of f, by default ``gdpure.facts(objective)``.

    Returns
    -------
    Certificate
        True if no law is broken and some law was tested.

    Raises
    ------
    TypeError, ValueError
        If the run is none, if shapes do not fit, or the objective does not take the points.

    References
    ----------
    Taylor, Hendrickx and Glineur, "Smooth strongly convex interpolation and exact worst-case
    performance of first-order methods", Math. Program. 161, 2017, Theorem 4 (interpolation);
    the other laws as in `gdpure.specs.THEOREMS`.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 1.5, steps=10)
    >>> print(certify(gd.landscapes.bowl, run, step_size=1.5).story[0])
    diverged: step 1.5 exceeds 2/L = 1
    """
    if objective is not None:
        guards.function("certify", "the objective", objective)
    rows = read(run, values, gradients)
    step_size = _step_size(step_size, rows)
    known = facts_of(objective, facts, rows.point.shape[1])
    found = _certificate(objective, rows, step_size, known)
    coarse = rows._replace(dtype=np.dtype(np.float32))
    if rows.sure or found or rows.dtype != np.float64:
        return found
    # Numbers of Python and NumPy hold what JAX, left to itself, computed in float32.
    again = _certificate(objective, coarse, step_size, known)
    why = "The rows are float64, but good to float32 only: somewhere f or its gradient is float32."
    return replace(again, story=(*again.story, why)) if again else found


def _step_size(step_size, rows: Rows):
    """Return the step sizes, one a step that is judged, or None."""
    if step_size is None:
        return None
    guards.in_range("certify", "step_size", step_size, guards.Range(0))
    step_size = np.asarray(step_size, np.float64)
    if not np.isfinite(step_size).all() or (step_size < 0).any():
        raise ValueError(f"certify: step_size must be finite and >= 0, got {step_size}")
    if step_size.shape not in ((), (rows.count - 1,)):
        raise ValueError(
            f"certify: step_size must have shape () or ({rows.count - 1},), one a step, got "
            f"{guards.describe(step_size)}"
        )
    steps = np.broadcast_to(step_size, (rows.count - 1,))
    return steps[: len(rows.point) - 1]


# -- what is known ---------------------------------------------------------------------------------


class _Case(NamedTuple):
    """A run with all that is known about it; F, G and their doubts are the truth, or the record."""

    rows: Rows
    truth: Truth
    steps: Steps
    F: np.ndarray | None
    dF: np.ndarray | None
    G: np.ndarray | None
    dG: np.ndarray | None
    L: float | None
    mu: float | None
    minimizer: np.ndarray | None
    minimum: float | None
    strayed: float | None


def _case(objective, rows, step_size, facts):
    known = truth(objective, rows)
    F, dF, G, dG = known.value, known.value_doubt, known.gradient, known.gradient_doubt
    if F is None:
        F, dF = rows.value, known.value_error
    if G is None:
        G, dG = rows.gradient, known.gradient_error
    L, mu = _curvatures(facts, rows.point.shape[1])
    minimizer, minimum, strayed = _minimizer(known, facts, mu)
    steps = steps_of(rows, known, step_size)
    return _Case(rows, known, steps, F, dF, G, dG, L, mu, minimizer, minimum, strayed)


def _curvatures(facts, d):
    """Return an L that is not too small, and a mu that is not too large.

    Facts are good to their dtype, relative to L, as eigenvalues are.
    """
    L, mu = facts.smoothness, facts.strong_convexity
    slack = 8 * d * max(_unit_of(L), _unit_of(mu))
    L, mu = (None if x is None or not np.isfinite(x) else float(x) for x in (L, mu))
    steep = slack * max(abs(x) for x in (L, mu, 0.0) if x is not None)
    if mu is not None:
        mu = max(mu - steep, 0.0) if mu >= 0 else mu - steep
    return None if L is None else L + steep, mu


def _unit_of(fact):
    narrow = fact is not None and getattr(fact, "dtype", None) == np.float32
    return rounding.unit_roundoff("float32") if narrow else _U


def _minimizer(known, facts, mu):
    """Return x*, f* and how far the nearest true minimizer may be from x*; None for unknown."""
    if facts.minimizer is None or not np.isfinite(flat(facts.minimizer)).all():
        return None, None, None
    x = flat(facts.minimizer)
    if known.at is None:
        minimum = None if facts.minimum is None else float(facts.minimum)
        return x, minimum, 2 * _unit_of(facts.minimizer) * float(norm(x))
    value, slope, _, doubt, _, _ = known.at(x)
    growth = float(facts.growth) if facts.growth is not None else mu
    steepest = norm(abs(slope) + doubt)
    if growth:
        return x, float(value), float(steepest / growth) * (1 + 1e-6)
    return x, float(value), 0.0 if not np.any(slope) else None


# -- the laws --------------------------------------------------------------------------------------


def _missing(**needed):
    """Return why a law says nothing, or ""."""
    names = {"L": "L", "mu": "the convexity of f", "eta": "the step size", "F": "the values"}
    names |= {"G": "the gradients", "minimizer": "a minimizer"}
    absent = [names[name] for name, value in needed.items() if value is None]
    verb = "is" if len(absent) == 1 and absent[0] not in ("the values", "the gradients") else "are"
    return f"{' and '.join(absent)} {verb} not known" if absent else ""


def _not_judged(law, why, verdict=Verdict.NOT_APPLICABLE):
    return Finding(*law, verdict, why)


def _laws(case: _Case) -> tuple[Finding, ...]:
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
    span = f"in rows {bad[0]} to {bad[-1]}" if len(bad) > 1 else f"in row {bad[0]}"
    span = "in every row" if len(bad) == len(came) else span
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
        return replace(found, cause=f"{span} {name} is {factor:.4g} times {whose}")
    offset = np.median(a - b)
    if came.shape[1] == 1 and (abs(a - b - offset) <= 4 * error[bad].ravel()).all():
        return replace(found, cause=f"{span} {name} is {whose} plus {offset:.4g}")
    return replace(found, cause=span)


def _interpolation(case):
    """Hold all pairs of rows against each other: some function of the class has both of them."""
    law = ("interpolation", "f[i] >= f[j] + <g[j], x[i] - x[j]> + ...")
    rows, known = case.rows, case.truth
    f, df = (case.F, case.dF) if rows.value is None else (rows.value, known.value_error)
    g, dg = (case.G, case.dG) if rows.gradient is None else (rows.gradient, known.gradient_error)
    if f is None or g is None:
        return _not_judged(law, _missing(F=f, G=g))
    if case.L is None and (case.mu is None or case.mu < 0):
        return _not_judged(law, _missing(L=None, mu=None if case.mu is None else 0.0))
    chosen = _some(len(f))
    x, f, df, g, dg = (part[chosen] for part in (rows.point, f, df, g, dg))
    slack = f[:, None] - f[None]
    off = np.zeros_like(slack)
    allowed = df[:, None] + df[None] + 8 * _U * (abs(f)[:, None] + abs(f)[None])
    for i in range(len(f)):
        move, change = x[i] - x, g[i] - g
        lost = 2 * _U * (abs(x[i]) + abs(x))
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
        off[i], allowed[i] = need - slack[i], allowed[i] + room + 16 * _U * abs(need)
    np.fill_diagonal(off, 0.0)
    bad, later = off > allowed, np.maximum(chosen[:, None], chosen[None])
    if not bad.any():
        few = f"{len(chosen)} of {len(rows.point)} rows" if len(chosen) < len(rows.point) else ""
        clear = (abs(slack) > allowed).any()
        return compared(*law, off, allowed, clear, sentence=few)
    # The first row that does not fit those before it, and of those the one it fits least.
    first = int(later[bad].min())
    ratio = np.where(bad & (later == first), off / np.maximum(allowed, 5e-324), -1)
    i, j = np.unravel_index(np.argmax(ratio), off.shape)
    pair = sorted((int(chosen[i]), int(chosen[j])))
    far, most = float(off[i, j]), float(allowed[i, j])
    where = f"between rows {pair[0]} and {pair[1]}: off by {far:.3g}, rounding allows {most:.2g}"
    used = float(ratio.max())
    return Finding(*law, Verdict.VIOLATED, where, first, far, most, used, f"{pair[0]} and {pair[1]}")


def _some(count):
    return np.unique(np.linspace(0, count - 1, min(count, _PAIRS)).round().astype(int))


def _strays(case):
    """Return how far each step is from the exact one, (N,), by the truth as far as it is known."""
    moves, eta = np.diff(case.rows.point, axis=0), case.steps.eta[:, None]
    pull, doubt = eta * case.G[:-1], abs(eta) * case.dG[:-1]
    return norm(abs(moves + pull) + doubt + 4 * _U * (abs(moves) + abs(pull))) * (1 + 1e-12)


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
    allowed += 16 * _U * (abs(case.F[:-1]) + abs(case.F[1:]) + abs(promised))
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
    own = 4 * _U * norm(abs(case.rows.point) + abs(case.minimizer))
    allowed = _strays(case) + (1 + rho) * (case.strayed + own[1:] + own[:-1])
    off = far[1:] - rho * far[:-1]
    return compared(*law, off, allowed, far[:-1] > allowed, shift=1)


def _value_rate(case):
    law = ("value rate", "f(x[k]) - f* <= c[k] |x[0] - x*|^2")
    eta, minimum = case.steps.eta, case.minimum
    convex = case.mu if case.mu is not None and case.mu >= 0 else None
    minimizer = None if minimum is None or case.strayed is None else case.minimizer
    why = _missing(L=case.L, mu=convex, eta=eta, F=case.F, G=case.G, minimizer=minimizer)
    if not why and (len(set(eta.tolist())) > 1 or not 0 < eta[0] * case.L < 2):
        why = "the step size is not one number in (0, 2/L)"
    if why:
        return _not_judged(law, why)
    k = np.arange(len(case.F))
    far = norm(case.rows.point[0] - case.minimizer) * (1 + 8 * _U) + case.strayed
    bound = bounds.value_rate(case.L, min(convex, case.L), eta[0], k) * far**2 * (1 + 64 * _U * (k + 1))
    drift = np.concatenate([[0.0], np.cumsum(_strays(case))])
    allowed = np.sqrt(2 * case.L * bound) * drift + case.L / 2 * drift**2 + case.dF
    allowed += rounding.unit_roundoff(case.rows.dtype) * abs(minimum) if case.truth.at is None else 0
    allowed += 4 * _U * (abs(case.F) + abs(minimum))
    return compared(*law, case.F - minimum - bound, allowed, bound > allowed)


# -- the story -------------------------------------------------------------------------------------


def _certificate(objective, rows, step_size, facts) -> Certificate:
    case = _case(objective, rows, step_size, facts)
    findings = _laws(case)
    story = [s for s in (_accusation(case, findings), *_events(case)) if s]
    broken = any(f.verdict is Verdict.VIOLATED for f in findings)
    if not broken and not any(f.verdict is Verdict.HOLDS for f in findings):
        story.append("nothing could be tested, so nothing is shown")
    steps, d = len(rows.point) - 1, rows.point.shape[1]
    subject = f"{steps} step{'s' * (steps != 1)} of {d} parameter{'s' * (d != 1)}, {rows.dtype}"
    subject += f"; rounding is {case.truth.how}" + (
        f": half of the digits, for {case.truth.why}" if case.truth.how == "assumed" else ""
    )
    known = {"L": facts.smoothness, "mu": facts.strong_convexity, "f*": facts.minimum}
    known = {name: float(x) for name, x in known.items() if x is not None}
    return Certificate(subject, tuple(story), findings, known, _estimated(case))


def _accusation(case, findings):
    """Return the headline of a run that breaks a law: the first of them."""
    broken = {f.law: f for f in findings if f.verdict is Verdict.VIOLATED}
    if not broken:
        return ""
    first = next(iter(broken.values()))
    if first.law == "value":
        return f"the values do not belong to the points: {first.cause or first.sentence}"
    if first.law == "gradient":
        return f"the gradient does not belong to the values: {first.cause or first.sentence}"
    if first.law == "step":
        why = first.cause or f"the steps are off by {first.off:.3g} where rounding allows {first.allowed:.2g}"
        return f"not gradient descent from row {first.first} on: {why}"
    if first.law == "interpolation" and case.truth.gradient is None:
        return f"the gradient does not belong to the values: interpolation violated between rows {first.cause}"
    where = f"between rows {first.cause}" if first.law == "interpolation" else f"at k = {first.first}"
    return f"f is not what the facts say: {first.law} violated {where}"


def _events(case):
    """Yield what happened, in sentences: divergence, the floor, how far f fell."""
    rows, eta, F = case.rows, case.steps.eta, case.F
    over = _over(case)
    rose = F is not None and F[-1] > F[0 if over is None else over[0]]
    grew = case.G is not None and norm(case.G[-1]) > norm(case.G[0])
    if rows.lost is not None or (rose and (over is not None or grew)):
        why = over[1] if over else "the values rise" if rose else "row by row"
        yield f"diverged: {why}"
        if rows.lost is not None:
            yield f"row {rows.lost} is not finite: what follows is not judged"
        if F is not None:
            yield f"f went from {F[0]:.4g} to {F[-1]:.4g} in {len(F) - 1} steps"
        return
    floor = _floor(case)
    if floor:
        yield floor
    if F is not None:
        kept = f"f went from {F[0]:.4g} to {F[-1]:.4g} in {len(F) - 1} steps"
        if case.steps.finding.verdict is Verdict.HOLDS and case.steps.how != "inferred row by row":
            sizes = sorted(set(eta.tolist()))
            size = f"{sizes[0]:.4g}" if len(sizes) == 1 else f"{sizes[0]:.4g} to {sizes[-1]:.4g}"
            kept = f"gradient descent with step {size}: {kept}"
        yield kept
    if case.G is not None:
        yield f"|gradient| went from {norm(case.G[0]):.3g} to {norm(case.G[-1]):.3g}"

    if over is not None:
        yield f"{over[1]}, and yet f falls: the run keeps clear of the steepest direction"

def _over(case):
    """Return the first iteration whose step exceeds 2/L, and a clause; None where there is none."""
    eta = case.steps.eta
    L = case.L if case.L is not None else _least_smoothness(case)
    if eta is None or not L or case.steps.finding.verdict is Verdict.VIOLATED:
        return None
    doubt = np.zeros_like(eta) if case.steps.doubt is None else case.steps.doubt
    beyond = (eta - doubt) * L > 2 * (1 + 1e-6)
    if not beyond.any():
        return None
    k = int(np.argmax(beyond))
    last = len(eta) - 1 - int(np.argmax(beyond[::-1]))
    limit = f"2/L = {2 / L:.3g}" if case.L is not None else f"2/L, which is at most {2 / L:.3g}"
    if beyond.all():
        when = ""
    elif beyond[k:].all():
        when = f" from iteration {k} on"
    else:
        when = f" in iteration {k}" if last == k else f" between iterations {k} and {last}"
    return k, f"step {eta[k]:.4g} exceeds {limit}{when}"


def _least_smoothness(case):
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


def _floor(case):
    """Return where a step no longer shows in the dtype, or ""."""
    rows, eta, F = case.rows, case.steps.eta, case.F
    still = (np.diff(rows.point, axis=0) == 0).all(axis=1)
    k = _from(still)
    rests = "" if k is None else f"; the point stands still from k = {k} on"
    if eta is None or F is None or case.G is None:
        return f"{rows.dtype} floor reached at k = {k}: the point stands still" if rests else ""
    h = 1.0 if case.L is None else eta * case.L
    promised = eta * abs(1 - h / 2) * norm(case.G[:-1]) ** 2
    floor = _from(promised <= rounding.unit_roundoff(rows.dtype) * abs(F[:-1]))
    if floor is None:
        return f"{rows.dtype} floor reached at k = {k}: the point stands still" if rests else ""
    why = "from there on a step lowers f by less than half a unit in the last place"
    return f"{rows.dtype} floor reached at k = {floor}: {why}{rests}"


def _from(flags):
    """Return the first row from which on all flags are up, or None."""
    down = np.flatnonzero(~flags)
    k = int(down[-1]) + 1 if down.size else 0
    return k if k < len(flags) else None


def _estimated(case):
    found = {}
    obeyed = case.steps.finding.verdict is not Verdict.VIOLATED
    if case.steps.how != "given" and case.steps.eta is not None and obeyed:
        eta = case.steps.eta[case.steps.doubt < abs(case.steps.eta) / 2]
        least, most = eta.min(), eta.max()
        size = f"= {least:.5g}" if least == most else f"from {least:.4g} to {most:.4g}"
        found["eta"] = f"{size} ({case.steps.how})"
    L = _least_smoothness(case)
    if L is not None and case.L is None:
        whose = "recorded gradients" if case.truth.gradient is None else "gradients of these rows"
        found["L"] = f">= {L:.4g} (from the {whose})"
    return found
