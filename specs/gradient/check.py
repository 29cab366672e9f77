"""A gradient against the function it claims to differentiate: its form, autodiff, Taylor.

What is right is decided in float64, at the very numbers that the point stands for. How far a right
gradient may be from it is measured on f, in `autodiff`, where JAX can trace f; what f itself says,
whatever it is made of, is in `remainder`. No tolerance is chosen, and none grows with the number of
parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from gdpure import gradients, guards

from ..report import Counterexample, Report, Row, Verdict, versions
from ..subjects import name_of
from ..theorem import Sides
from .cases import counterexample
from .functions import Formless, Function, form_of, precision_of, scalar, traced
from .laws import AUTODIFF, TAYLOR, compare, look

FORM = "gradient-form"


def check_gradient(
    f: Callable[[Any], Any], gradient: Callable[[Any], Any], at: Any, *, seed: int = 0
) -> Report:
    """Check a gradient, written by hand or not, against the function it claims to differentiate.

    Three theorems: the gradient has the form of the parameters; where JAX can trace f, it is the
    derivative of f, coordinate by coordinate; and the Taylor remainder
    ``f(x + s d) - f(x) - s <g, d>`` is O(s^2), whatever f is made of. What rounding explains is
    measured on f.

    Parameters
    ----------
    f
        ``f(params) -> ()``, a function of JAX or NumPy, or a `gdpure.Objective`.
    gradient
        ``gradient(params)``, of the form of `params`, or a pair (value, gradient); or a way to
        differentiate f, such as `gdpure.reverse`.
    at
        The point, any tree of floating-point arrays. Their dtype is the one that is checked.
    seed
        Of the directions, and of the errors by which rounding is measured; at least 0.

    Returns
    -------
    Report
        True if nothing is violated and the numbers were really tested. A theorem is vacuous
        where rounding, or a kink of f, hides what it says.

    Raises
    ------
    TypeError, ValueError
        If f is not a real, scalar and finite function at the point, or the point is not made of
        finite floating-point numbers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> assert check_gradient(f, lambda x: x, jnp.array([1.0, 2.0]))
    >>> assert not check_gradient(f, lambda x: 2 * x, jnp.array([1.0, 2.0]))
    """
    guards.arguments("check_gradient", "f", f, (at,), "the parameters")
    guards.function("check_gradient", "gradient", gradient)
    seed = guards.whole("check_gradient", "seed", seed)
    form, x = form_of("check_gradient", at)
    of, by = name_of(f), name_of(gradient)
    if any(gradient is mode for mode in gradients.MODES):
        gradient, by = gradient(f), f"{by} of {of}"
    if form.double and not _takes(f, form, x) and _takes(f, form.narrow, x):
        form = form.narrow  # JAX passes no float64, unless it is told to
    with jax.default_matmul_precision("highest"), precision_of(form):
        scalar("check_gradient: f(at)", f(form.built(x)))
        rows = _rows(Function(f, gradient, form, seed, *traced(f, form)), x)
        platform = jax.default_backend()
    return Report(by, f"the derivative of {of}", platform, versions(), seed, tuple(rows))


def _takes(f, form, x):
    """Return whether f has a value at a point of a form."""
    with precision_of(form):
        try:
            f(form.built(x))
        except Exception:  # whatever a stranger's code may raise
            return False
    return True


def _rows(function, x):
    try:
        seen = look(function, x)
    except Formless as found:
        verdict = Verdict.ERROR if found.raised else Verdict.VIOLATED
        why = f"rests on {FORM}, which is {'not met' if found.raised else 'violated'}"
        blocked = [_row(function, law.name, Verdict.BLOCKED, why) for law in (AUTODIFF, TAYLOR)]
        return [_row(function, FORM, verdict, str(found), instances=1, violated=1), *blocked]
    why = "; ".join(filter(None, dict.fromkeys(seen.slopes.why)))
    by_values = _held(function, TAYLOR, seen, why)
    if seen.known is None:
        by_autodiff = _row(function, AUTODIFF.name, Verdict.NOT_APPLICABLE, seen.reason)
    else:
        by_autodiff = _held(function, AUTODIFF, seen, _hidden(function.form, seen))
    numbers = [by_autodiff, by_values]
    if any(row.verdict in (Verdict.HOLDS, Verdict.VIOLATED) for row in numbers):
        return [_row(function, FORM, Verdict.HOLDS, instances=1, informative=1), *numbers]
    # Else a report would be true of a gradient whose numbers were never tested.
    why = "of the right form, but nothing shows whether its numbers are right"
    return [_row(function, FORM, Verdict.VACUOUS, why, instances=1), *numbers]


def _row(function, theorem, verdict, why="", **counts):
    return Row(theorem, AUTODIFF.family, function.form.dtype, verdict, why, **counts)


def _held(function, theorem, seen, hidden):
    """Return the row of a theorem; `hidden` says why, should nothing be shown."""
    found = compare(theorem, seen)

    def again(x):
        return compare(theorem, look(function, x))

    row = _row(function, theorem.name, Verdict.VACUOUS, hidden)
    return judged(row, found.judged, lambda: counterexample(function, theorem, found, again))


def judged(row: Row, seen: Sides, case: Callable[[], Counterexample | None] = lambda: None) -> Row:
    """Return a row with what was found; its reason says why, where nothing is shown, or no case."""
    broken, shown = int(seen.broken.sum()), int(seen.informative.sum())
    found = case() if broken else None
    verdict = Verdict.VIOLATED if broken else Verdict.HOLDS if shown else Verdict.VACUOUS
    return replace(
        row,
        verdict=verdict,
        reason="" if found or verdict is Verdict.HOLDS else row.reason,
        instances=seen.off.size,
        informative=shown,
        violated=broken,
        excess=float(seen.excess.max(initial=0.0)),
        counterexample=found,
    )


def _hidden(form, seen):
    """Return why autodiff shows nothing, should it be so."""
    first = 0 if seen.came.value is not None else 1
    for j in np.flatnonzero(~np.isfinite(seen.known.exact[first:]))[:1] + first:
        return f"autodiff gives {seen.known.exact[j]} for {form.number(j)}"
    for j in np.flatnonzero(seen.known.jump[first:])[:1] + first:
        far = f"{seen.known.jump[j]:.2g} within rounding of the point"
        return f"{form.number(j)} changes by {far}: f has a kink here, or is stationary"
    return (
        "rounding explains as much as the gradient is: f is stationary here, cancels, or has a kink"
    )
