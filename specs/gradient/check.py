"""A gradient against the function it claims to differentiate: its form, autodiff, Taylor.

What is right is decided in float64, at the very numbers that the point stands for. How far a right
gradient may be from it is measured on f, in `autodiff`, where JAX can trace f; what f itself says,
whatever it is made of, is in `remainder`. No tolerance is chosen, and none grows with the number of
parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdpure import gradients, guards

from ..report import Report, Row, Verdict, versions
from ..subjects import name_of
from .autodiff import derivative
from .causes import Comparison, counterexample
from .functions import (
    Formless,
    Function,
    form_of,
    returned,
    scalar,
    traced,
)
from .remainder import slopes, value_rounding

FORM, AUTODIFF, TAYLOR = "gradient-form", "gradient-matches-autodiff", "taylor-remainder"


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
    single = jnp.result_type(float) != jnp.float64
    if single and form.double and not _takes(f, form, x) and _takes(f, form.narrow, x):
        form = form.narrow  # JAX passes no float64, unless it is told to
    with jax.default_matmul_precision("highest"), jax.enable_x64(form.double or not single):
        scalar("check_gradient", "f(at)", f(form.built(x)))
        rows = _rows(Function(f, gradient, form, seed, *traced(f, form)), x)
        platform = jax.default_backend()
    return Report(by, f"the derivative of {of}", platform, versions(), seed, tuple(rows))


def _takes(f, form, x):
    """Return whether f has a value at a point of a form."""
    with jax.enable_x64(form.double):
        try:
            f(form.built(x))
        except Exception:  # whatever a stranger's code may raise
            return False
    return True


def _rows(function, x):
    try:
        came = returned(function, x)
    except Formless as found:
        verdict = Verdict.ERROR if found.raised else Verdict.VIOLATED
        reason = f"rests on {FORM}, which is {'not met' if found.raised else 'violated'}"
        blocked = [_row(function, name, Verdict.BLOCKED, reason) for name in (AUTODIFF, TAYLOR)]
        return [_row(function, FORM, verdict, str(found), instances=1, violated=1), *blocked]
    known, reason = derivative(function, x)
    said = slopes(function, x, came, known)
    numbers = [_against_autodiff(function, x, came, known, reason, said)]
    numbers.append(_against_values(function, x, came, known, said))
    if any(row.verdict in (Verdict.HOLDS, Verdict.VIOLATED) for row in numbers):
        return [_row(function, FORM, Verdict.HOLDS, instances=1, informative=1), *numbers]
    # Else a report would be true of a gradient whose numbers were never tested.
    reason = "of the right form, but nothing shows whether its numbers are right"
    return [_row(function, FORM, Verdict.VACUOUS, reason, instances=1), *numbers]


def _row(function, theorem, verdict, reason="", **known):
    return Row(theorem, "gradient agreement", function.form.dtype, verdict, reason, **known)


# -- against autodiff ------------------------------------------------------------------------------


def _against_autodiff(function, x, came, known, reason, said):
    if known is None:
        return _row(function, AUTODIFF, Verdict.NOT_APPLICABLE, reason)
    found = _beside_autodiff(function, x, came, known, said)
    first = 1 if came.value is None else 0
    truth, jump, allowed = (
        known.exact[first:],
        known.jump[first:],
        _allowed(function, known)[first:],
    )
    off = abs(np.append(came.value or 0.0, came.gradient)[first:] - truth)
    clear = known.rounding[first:] + jump <= abs(truth) / 2
    counts = {
        "instances": len(truth),
        "informative": int(clear.sum()),
        "violated": int(found.wrong.sum()) + found.wrong_value,
        "excess": float(np.nanmax(off / allowed, initial=0.0)),
    }
    if counts["violated"]:
        lines = (
            ("theorem", "gradient(x)[i] = df(x) / dx[i]\nby autodiff, in float64"),
            ("assumes", "JAX can trace f\nwhat rounding explains is measured on f"),
        )

        def again(x):
            came, (known, _) = returned(function, x), derivative(function, x)
            if known is None:
                return None
            return _beside_autodiff(function, x, came, known, slopes(function, x, came, known))

        case = counterexample(function, found, again, lines)
        return _row(function, AUTODIFF, Verdict.VIOLATED, counterexample=case, **counts)
    if clear.any():
        return _row(function, AUTODIFF, Verdict.HOLDS, **counts)
    labels = ["the value"] * (1 - first)
    labels += [function.form.label("gradient", j) for j in range(len(x))]
    why = (
        "rounding explains as much as the gradient is: f is stationary here, cancels, or has a kink"
    )
    for j in np.flatnonzero(jump)[:1]:
        changed = f"{labels[j]} changes by {jump[j]:.2g} within rounding of the point"
        why = f"{changed}: f has a kink here, or is stationary"
    for j in np.flatnonzero(~np.isfinite(truth))[:1]:
        why = f"autodiff gives {truth[j]} for {labels[j]}"
    return _row(function, AUTODIFF, Verdict.VACUOUS, why, **counts)


def _allowed(function, known):
    least = max(float(jnp.finfo(dtype).tiny) for dtype in function.form.dtypes)
    return known.rounding + known.jump + least


def _beside_autodiff(function, x, came, known, said) -> Comparison:
    truth, allowed = known.exact, _allowed(function, known)
    value = None if came.value is None else (came.value, float(truth[0]), float(allowed[0]))
    return Comparison(x, came.gradient, truth[1:], allowed[1:], value, said)


# -- against the values of f -----------------------------------------------------------------------


def _against_values(function, x, came, known, said):
    told = [slope for slope in said if not slope.why]
    found = _beside_values(function, x, came, known, said)
    valued = known is None and came.value is not None
    counts = {
        "instances": len(said) + valued,
        "informative": len(told) + valued,
        "violated": len(found.wrong_slopes) + found.wrong_value,
        "excess": max((slope.excess for slope in told), default=0.0),
    }
    if counts["violated"]:
        lines = (
            ("theorem", "f(x + s d) - f(x) - s <g, d> = O(s^2)\nTaylor's theorem"),
            ("assumes", "f differentiable at x\nhow far f is rounded is measured"),
        )

        def again(x):
            came, (known, _) = returned(function, x), derivative(function, x)
            return _beside_values(function, x, came, known, slopes(function, x, came, known))

        case = counterexample(function, found, again, lines)
        return _row(function, TAYLOR, Verdict.VIOLATED, counterexample=case, **counts)
    if told:
        return _row(function, TAYLOR, Verdict.HOLDS, **counts)
    reasons = dict.fromkeys(slope.why for slope in said)
    return _row(function, TAYLOR, Verdict.VACUOUS, "; ".join(reasons), **counts)


def _beside_values(function, x, came, known, said) -> Comparison:
    """Return what came beside the slopes of f along coordinates, as far as they are known."""
    truth, allowed = np.full(len(x), np.nan), np.full(len(x), np.inf)
    for slope in said:
        if slope.coordinate is not None:
            truth[slope.coordinate] = slope.slope / slope.length
            if not slope.why:
                allowed[slope.coordinate] = (slope.bound + slope.rounding) / slope.length
    value = None
    if came.value is not None and known is None:
        value = (came.value, *value_rounding(function, x))
    elif came.value is not None:
        value = (came.value, came.value, 0.0)  # what is known of it is known to autodiff
    return Comparison(x, came.gradient, truth, allowed, value, said)
