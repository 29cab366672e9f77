"""The checks: anybody's optimizer, against every theorem that applies to it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..diagnosis.causes import likely_cause
from ..instances import SHAPES, as_batch, one_of
from ..report import DEFINITIONS, Report, Row, Verdict, versions
from ..subjects import Malformed, Subject, as_subject, name_of
from ..theorem import NEEDS, Theorem
from ..theorems import THEOREMS, methods
from ..words import near
from . import search
from .explain import explain
from .shrinking import rewritten, shrink

_DTYPES = (jnp.float32, jnp.float64)
# What JAX cannot trace is run one by one.
_INSTANCES, _ONE_BY_ONE = 6_144, 384
# Rounds, each to a simpler case, until none is: the planted bugs need 3 to 22 of them.
_SHRINKING = 64
METHODS = ("any", "descent", "gradient descent")
_FORM = [theorem for theorem in THEOREMS if theorem.name == "form"]


def check_optimizer(
    subject: Any,
    *,
    method: Any = None,
    instances: int | None = None,
    only: Iterable[str | Theorem] | str | Theorem | None = None,
    expected_failures: Mapping[str, str] | None = None,
    seed: int = 0,
    platform: str | None = None,
    name: str | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Report:
    """Try every theorem that applies on anybody's optimizer, and report.

    Parameters
    ----------
    subject
        A gdpure rule, an optax transformation, a function step_size -> either of them (stronger:
        every step size is tried), or a black box: a function of some of ``value, gradient, start,
        step_size, steps`` that returns iterates (steps + 1, d), or of ``point`` and some of
        ``value, gradient, step_size`` that returns the next point. With ``tolerance`` it stops by
        itself and returns (point, whether it converged). A function of ``objective`` is a gradient,
        ``params -> (value, gradient)``, that of ``objective`` and ``batch``, the indices of some
        examples, the gradient of their mean. A function of ``n`` alone is a schedule: n step sizes
        in units of 1/L.
    method
        What it is held to: a gdpure rule, or a function step_size -> rule, whose recurrence it
        should follow; a schedule; "descent"; "any". By default gradient descent, or what a gdpure
        rule or a schedule says of itself.
    instances
        How many to try in each dtype, of three shapes, rounded up to a multiple of three. By
        default 6,144, or 384 for a function that JAX cannot trace. What the first 64 of a shape
        violate is tried on no more.
    only
        Names of theorems or families, or theorems of your own; all that are known by default.
    expected_failures
        Names of theorems and the reason why each may be broken.
    seed
        Of all that is random.
    platform
        "cpu" or "gpu"; by default JAX's own.
    name
        What the subject is called in the report, by default module:attribute.
    progress
        Called with the fraction done, in 0..1, and what is being done.

    Returns
    -------
    Report
        True if nothing is violated, nothing failed, and something was really tested.

    Raises
    ------
    TypeError
        If the subject cannot be run at all.
    ValueError
        If a name in `only` or `expected_failures` is none of a theorem.

    Examples
    --------
    >>> def uphill(point, gradient, step_size):
    ...     return point + step_size * gradient(point)
    >>> report = check_optimizer(uphill, instances=96, only=["step-identity"])
    >>> assert not report
    """
    held = as_subject(subject, method, name)
    expected = dict(expected_failures or {})
    chosen = asked_for(held, only, expected)
    tell = progress or (lambda fraction, text: None)
    rows: list[Row] = []
    small: list[search.Case] = []
    with jax.default_device(jax.devices(platform)[0] if platform else None):
        for k, dtype in enumerate(_DTYPES):
            title = f"{held.name} in {jnp.dtype(dtype).name}"

            def share(fraction, violated, k=k, title=title):
                tell((k + fraction) / len(_DTYPES), title + _so_far(violated))

            share(0.0, [])
            rows += _check(held, chosen, dtype, instances, expected, seed, share, small)
        where = platform or jax.default_backend()
    return Report(held.name, _method_text(held), where, versions(), seed, tuple(rows), held.notes)


def _so_far(violated):
    """Return what is known to be violated, in a few words."""
    if not violated:
        return ""
    first = min(violated, key=lambda theorem: theorem.name not in DEFINITIONS)
    others = f" and {len(violated) - 1} more" if len(violated) > 1 else ""
    return f": {first.name}{others} violated"


def _method_text(subject: Subject) -> str:
    if isinstance(subject.method, str):
        return subject.method
    if methods.is_schedule(subject.method):
        return f"the steps of {name_of(subject.method)}"
    return f"the recurrence of gd.{type(subject.method(0.125)).__name__}"


def asked_for(
    subject: Subject,
    only: Iterable[str | Theorem] | str | Theorem | None,
    expected: Mapping[str, str],
) -> tuple[Theorem, ...]:
    """Return the theorems that are asked for, of all that are known; refuse names of none.

    Examples
    --------
    >>> [theorem] = asked_for(as_subject(lambda point, gradient: point), "fejer", {})
    >>> assert theorem.name == "fejer"
    """
    chosen = _chosen(subject.theorems, only)
    known = [theorem.name for theorem in (*subject.theorems, *chosen)]
    _names("expected_failures", expected, known)
    return chosen


def _chosen(theorems, only):
    if only is None:
        return theorems
    wanted = [only] if isinstance(only, str | Theorem) else list(only)
    own = tuple(asked for asked in wanted if isinstance(asked, Theorem))
    names = [asked for asked in wanted if asked not in own]
    _names("only", names, [name for t in theorems for name in (t.name, t.family)])
    return tuple(t for t in theorems if t.name in names or t.family in names) + own


def _names(argument, names, known):
    for name in names:
        if name not in known:
            hint = near(name, known)
            raise ValueError(f"{argument}: no theorem or family is called {name!r}{hint}")


# -- one dtype -------------------------------------------------------------------------------------


def _check(subject, theorems, dtype, instances, expected, seed, progress, small):
    """Return the rows of one dtype; cases that are small enough for paper are added to `small`."""
    refused = {t: _refusal(t, subject) for t in theorems}
    tried = [t for t in theorems if not refused[t]]
    count = instances or (_INSTANCES if subject.compiled else _ONE_BY_ONE)
    rows = {t: _row(t, dtype, Verdict.NOT_APPLICABLE, reason=refused[t]) for t in theorems}
    try:
        few = search.draw(subject, np.random.default_rng(seed), 4, SHAPES[0], dtype)
        search.begin(subject, few, SHAPES[0], dtype)
        tallies = search.survey(subject, tried, dtype, count=count, seed=seed, progress=progress)
    except Malformed as found:
        rows |= _malformed(tried or _FORM, dtype, found, expected)
    except Exception as error:  # whatever a stranger's code may raise
        rows |= _failed(tried or _FORM, dtype, error)
    else:
        shown = _counterexamples(subject, tallies, dtype, expected, small)
        rows |= {t.theorem: _verdict(t, dtype, expected, shown.get(t.theorem)) for t in tallies}
    # What is no run is said, whatever was asked for.
    return [rows[theorem] for theorem in dict.fromkeys((*theorems, *rows))]


def _counterexamples(subject, tallies, dtype, expected, small):
    """Shrink and explain the violations; what is small for one often is for another.

    That they are violations is known: a case is run operation by operation when it is small, and if
    it is excused there, so is every step on the way to another one.
    """
    violated = [t for t in tallies if t.violated and t.theorem.name not in expected]
    violated.sort(key=lambda tally: tally.theorem.name not in DEFINITIONS)
    shown = {}
    for tally in violated:
        theorem, begin = tally.theorem, tally.simplest()

        def judged(tried, known=(theorem,), shape=begin.shape, attained=begin.attained, of=theorem):
            batch = as_batch(tried)
            [found] = search.judge(subject, [of], batch, shape, dtype, known=known)
            return [
                search.Case(one, shape, attained, one_of(found, k)) for k, one in enumerate(tried)
            ]

        known = [rewritten(case.instance, dtype) for case in small if case.shape == begin.shape]
        again = [case for case in judged(known) if case.finding.violated] if known else []
        case = again[0] if again else begin
        if not (begin.attained or again):
            fixed = subject.step_size is not None
            smallest = functools.partial(
                shrink, begin, dtype=dtype, fixed_step_size=fixed, rounds=_SHRINKING
            )
            case = smallest(judged)
            [alone] = judged([case.instance], ())
            if not alone.finding.violated:
                case = smallest(functools.partial(judged, known=()))
            small.append(case)
        pairs = [(c.instance, _points(subject, c, dtype)) for c in (case, *tally.cases[:8])]
        steps = subject.method == "gradient descent" and subject.run is not None
        cause = likely_cause(pairs, dtype) if steps else ""
        shown[theorem] = explain(subject, theorem, case, pairs[0][1], cause, dtype)
    return shown


def _points(subject, case, dtype):
    """Return what the subject returns in a case."""
    batch, stopping = as_batch([case.instance]), subject.run is None
    return search.run(subject, batch, case.shape, dtype, stopping=stopping).point[..., 0]


def _refusal(theorem, subject):
    """Return why a theorem does not apply to a subject, or nothing."""
    if subject.run is None and theorem.needs and "stopping" not in theorem.needs:
        return NEEDS["restart"]  # it shows no steps, whatever else it brings
    for need in theorem.needs:
        if need not in subject.brings:
            return NEEDS[need]
    level = METHODS.index(subject.method) if subject.method in METHODS else 0
    if METHODS.index(theorem.methods) > level:
        return f"a theorem of {theorem.methods}; this is held to {_method_text(subject)}"
    return ""


def _row(theorem, dtype, verdict, **known):
    return Row(theorem.name, theorem.family, jnp.dtype(dtype).name, verdict, **known)


def _malformed(theorems, dtype, found, expected):
    form = next((t for t in theorems if t.name == "form"), theorems[0])
    verdict = Verdict.EXPECTED_FAILURE if form.name in expected else Verdict.VIOLATED
    reason, once = expected.get(form.name, str(found)), {"instances": 1, "violated": 1}
    blocked = f"rests on {form.name}, which is violated"
    rows = {t: _row(t, dtype, Verdict.BLOCKED, reason=blocked) for t in theorems}
    return rows | {form: _row(form, dtype, verdict, reason=reason, **once)}


def _failed(theorems, dtype, error):
    message = (str(error) or "without a message").splitlines()[0]
    sentence = f"the subject raised {type(error).__name__}: {message}"
    if isinstance(error, jax.errors.UnexpectedTracerError):
        sentence = (
            "the subject keeps state from one call to the next, as in self.v, which JAX cannot "
            "trace: return all iterates, from a function of gradient, start, step_size, steps, or "
            "make it an optax transformation, which is handed its state"
        )
    rows = {t: _row(t, dtype, Verdict.BLOCKED, reason=sentence) for t in theorems}
    return rows | {theorems[0]: _row(theorems[0], dtype, Verdict.ERROR, reason=sentence)}


def _verdict(tally, dtype, expected, counterexample):
    theorem = tally.theorem
    reason, first = expected.get(theorem.name, ""), None
    if tally.violated:
        verdict = Verdict.EXPECTED_FAILURE if theorem.name in expected else Verdict.VIOLATED
        if verdict is Verdict.VIOLATED:
            first = min(int(case.finding.row) for case in tally.cases)
    elif not tally.informative:
        verdict, reason = Verdict.VACUOUS, "in every instance rounding drowns what it claims"
        if not tally.instances:
            reason = f"no instance met what it assumes: {', '.join(theorem.assumes)}"
    else:
        verdict = Verdict.HOLDS
    return _row(
        theorem,
        dtype,
        verdict,
        reason=reason,
        instances=tally.instances,
        informative=tally.informative,
        violated=tally.violated,
        excess=tally.excess,
        first=first,
        counterexample=counterexample,
    )
