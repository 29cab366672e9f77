"""Certify: one recorded run, the laws it obeys, where it first broke one, and why.

Everything is float64 at the numbers that were recorded. What is not known is not judged: without L
there is no descent lemma, without a minimizer no rate. What the run itself shows of L is a lower
bound; it explains a divergence, and accuses nobody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import gdpure as gd
from gdpure import guards

from .. import rounding
from ..report import Verdict
from ..rows import QUIET
from .certificate import Certificate
from .laws import evidence, laws_of, least_smoothness
from .readings import readings
from .recorded import Record, facts_of, read
from .steps import lengths


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
    measured (whatever JAX can trace); without a function, half of the digits are. Losses out of a
    text are held to the digits that were printed.

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
    told = (
        (reading, _certificate(reading, step_size, known)) for reading in readings(objective, rows)
    )
    _, exact = next(told)
    best = exact
    while _broken(best) and (tried := next(told, None)):
        reading, found = tried
        fewer = len(_broken(best)) - len(_broken(found))
        # Decimals are few for certain; float32 is a guess, which has to explain something.
        if fewer > 0 or (fewer == 0 and reading.rows.dtype == rows.dtype):
            first = _broken(exact)[0]
            otherwise = f"; else {first.law} would be violated {first.where}"
            why = reading.why + ("" if _broken(found) else otherwise)
            best = replace(found, story=(*found.story, why))
    return _unacquitted(best, {finding.law for finding in _broken(exact)})


def _unacquitted(found, broken):
    """Return a certificate in which laws that are broken, and not judged any more, are blocked."""

    def kept(finding):
        open_still = finding.law in broken and finding.verdict is Verdict.NOT_APPLICABLE
        return replace(finding, verdict=Verdict.BLOCKED) if open_still else finding

    return replace(found, findings=tuple(map(kept, found.findings)))


def _broken(found):
    return [f for f in found.findings if f.verdict is Verdict.VIOLATED]


def _step_size(step_size, rows: Record):
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


# -- the story -------------------------------------------------------------------------------------


@QUIET
def _certificate(reading, step_size, facts) -> Certificate:
    rows = reading.rows
    of = evidence(reading.truth, rows, step_size, facts)
    findings = laws_of(of)
    story = [s for s in (*_accusation(of, findings), *_events(of)) if s]
    if not {Verdict.VIOLATED, Verdict.HOLDS} & {f.verdict for f in findings}:
        story.append("nothing could be tested, so nothing is shown")
    steps, d = len(rows.point) - 1, rows.point.shape[1]
    subject = f"{steps} step{'s' * (steps != 1)} of {d} parameter{'s' * (d != 1)}, {rows.dtype}"
    subject += f"; rounding is {of.truth.how}" + (
        f": half of the digits, for {of.truth.why}" if of.truth.how == "assumed" else ""
    )
    known = {"L": facts.smoothness, "mu": facts.strong_convexity, "f*": facts.minimum}
    known = {name: float(x) for name, x in known.items() if x is not None}
    return Certificate(subject, tuple(story), findings, known, _estimated(of))


def _accusation(of, findings):
    """Yield the headline of a run that breaks a law, the one that others rest on, and on what."""
    broken = {f.law: f for f in findings if f.verdict is Verdict.VIOLATED}
    unseen = of.truth.gradient is None
    order = ("value", "gradient", *(("interpolation", "step") if unseen else ("step",)))
    first = next((broken[law] for law in (*order, *broken) if law in broken), None)
    if first is None:
        return
    told = f"{first.law} violated {first.where}"
    if first.law == "value":
        yield f"the values do not belong to the points: {first.cause or told}"
    elif first.law == "gradient":
        yield f"the gradient does not belong to the values: {first.cause or told}"
    elif first.law == "step":
        apart = f"off by {first.off:.3g} where rounding allows {first.allowed:.2g}"
        yield f"not gradient descent {first.where}: {first.cause or apart}"
    elif first.law == "interpolation" and unseen:
        yield f"the gradient does not belong to the values: {told}"
        yield first.cause
    else:
        yield f"f is not what the facts say: {_fact(of) or told}"


def _fact(of):
    """Return which fact the gradients of f refute, or ""."""
    least = least_smoothness(of)
    if of.L is None or least is None or least <= of.L:
        return ""
    return f"L is {least:.4g} at least, not {of.L:.4g}"


def _events(of):
    """Yield what happened, in sentences: divergence, the floor, how far f fell."""
    rows, eta, F = of.rows, of.steps.eta, of.F
    over = _over(of)
    grew = of.G is not None and lengths(of.G[-1]) > lengths(of.G[0])
    if F is None:
        rose = grew and over is not None
    else:
        rose = not F[-1] <= F[0 if over is None else over[0]]  # what overflows, rises
    if rows.lost is not None or (rose and (over is not None or grew)):
        lost = "" if rows.lost is None else f"row {rows.lost} is not finite"
        yield f"diverged: {over[1] if over else lost or 'the values rise'}"
        if lost:
            yield f"{lost}: what follows is not judged"
        if F is not None:
            yield _fall(F)
        return
    floor = _floor(of)
    if floor:
        yield floor
    if F is not None:
        kept = _fall(F)
        if of.steps.finding.verdict is Verdict.HOLDS and of.steps.how != "inferred row by row":
            sizes = sorted(set(eta[eta != 0].tolist()))
            size = f"{sizes[0]:.4g}" if len(sizes) == 1 else f"{sizes[0]:.4g} to {sizes[-1]:.4g}"
            kept = f"gradient descent with step {size}: {kept}"
        yield kept
    if of.G is not None:
        yield f"|gradient| went from {lengths(of.G[0]):.3g} to {lengths(of.G[-1]):.3g}"
    if over is not None and F is not None:
        yield f"{over[1]}, and yet f falls: the run keeps clear of the steepest direction"


def _fall(F):
    if not np.isfinite(F[-1]):
        return f"f went from {F[0]:.4g} beyond all numbers"
    return f"f went from {F[0]:.4g} to {F[-1]:.4g} in {len(F) - 1} step{'s' * (len(F) > 2)}"


def _over(of):
    """Return the first iteration whose step exceeds 2/L, and a clause; None where there is none."""
    eta = of.steps.eta
    # What is said is certain: L is claimed within a unit, and eta may be rounded to the dtype.
    L = least_smoothness(of) if of.L is None else of.L * (1 - 2 * of.unit)
    if eta is None or not L or of.steps.finding.verdict is Verdict.VIOLATED:
        return None
    doubt = np.zeros_like(eta) if of.steps.doubt is None else of.steps.doubt
    beyond = (eta - doubt) * L * (1 - 2 * rounding.unit_roundoff(of.rows.dtype)) > 2
    if not beyond.any():
        return None
    k = int(np.argmax(beyond))
    last = len(eta) - 1 - int(np.argmax(beyond[::-1]))
    limit = f"2/L = {2 / L:.3g}" if of.L is not None else f"2/L, which is at most {2 / L:.3g}"
    if beyond.all():
        when = ""
    elif beyond[k:].all():
        when = f" from iteration {k} on"
    else:
        when = f" in iteration {k}" if last == k else f" between iterations {k} and {last}"
    return k, f"step {eta[k]:.4g} exceeds {limit}{when}"


def _floor(of):
    """Return where a step no longer shows in the dtype, or where the points stand still, or ""."""
    rows, eta, F = of.rows, of.steps.eta, of.F
    k = _from((np.diff(rows.point, axis=0) == 0).all(axis=1))
    if k is not None and np.any(rows.blur[0]):
        return f"the point stands still from k = {k} on, in the digits that it has"
    rests = "" if k is None else f"the point stands still from k = {k} on"
    if rests and of.G is not None and not of.G[-1].any():
        return f"{rests}: the gradient is 0 there"
    if of.steps.finding.verdict is not Verdict.HOLDS or not eta[-1] > 0:
        if rests and of.G is not None and of.steps.how == "given" and eta[-1] > 0:
            steps = abs(eta[k:, None] * of.G[k:-1])
            if (steps <= rounding.spacing(rows.point[k:-1], rows.dtype) / 2).all():
                return f"{rests}: a step there is shorter than half a unit in the last place"
        return rests  # nothing says that it is rounding which holds it
    floor = None
    if F is not None and of.G is not None:
        # A convex f falls by no more than that.
        most = eta * lengths(of.G[:-1]) ** 2
        floor = _from((most <= rounding.spacing(F[:-1], rows.dtype) / 2) & (F[:-1] != 0))
    if floor is not None:
        why = "from there on a step lowers f by less than half a unit in the last place"
        return f"{rows.dtype} floor reached at k = {floor}: {'; '.join(filter(None, [why, rests]))}"
    return f"{rows.dtype} floor reached at k = {k}: {rests}" if rests else ""


def _from(flags):
    """Return the first row from which on all flags are up, or None."""
    down = np.flatnonzero(~flags)
    k = int(down[-1]) + 1 if down.size else 0
    return k if k < len(flags) else None


def _estimated(of):
    found = {}
    obeyed = of.steps.finding.verdict is not Verdict.VIOLATED
    if of.steps.how != "given" and of.steps.eta is not None and obeyed:
        eta = of.steps.eta[of.steps.doubt < abs(of.steps.eta) / 2]
        least, most = eta.min(), eta.max()
        size = f"= {least:.5g}" if least == most else f"from {least:.4g} to {most:.4g}"
        found["eta"] = f"{size} ({of.steps.how})"
    L = least_smoothness(of)
    if L is not None and of.L is None:
        whose = "recorded gradients" if of.truth.gradient is None else "gradients of these rows"
        found["L"] = f">= {L:.4g} (from the {whose})"
    return found
