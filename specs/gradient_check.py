"""A gradient against the function it claims to differentiate: its form, autodiff, Taylor.

What is right is decided in float64, at the very numbers that the point stands for. How far a right
gradient may be from it is measured on f itself, coordinate by coordinate; there is no tolerance to
choose, and none that grows with the number of parameters.

**Autodiff.** The derivative of f is traced in float64 and run again and again with errors put into
it: at the point and after every operation, each up to the u of the dtype times the size of the
result, a sum of n terms up to n u times the sum of their sizes, as for any order of summation
(Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1). To first order
the worst of these errors in coordinate j is ``sum_v |a_jv|``, a sum over all operations v that
nobody could write down. But if every error is drawn from a Cauchy distribution, ``sum_v a_jv xi_v``
is a Cauchy variable of exactly that scale, whatever the number of operations is, and the scale can
be read off a few draws of all coordinates at once (Kreinovich and Ferson, "A new Cauchy-based
black-box technique for uncertainty in risk analysis", Reliability Engineering and System Safety
85, 2004). The third quartile of `_DRAWS` draws is less than the scale with probability 4e-5, and
2.4 times the scale on average. This explains a gradient of another formula, too, as long as its
numbers are no larger than those of f; where it cancels what f does not cancel, it is the formula
that is wrong, and the report says so. How far f's own gradient, evaluated in the dtype, is from
float64 is the least that is allowed: it stands for what cannot be entered, such as the body of
another compiler's kernel.

The same errors, none of them larger than rounding is, tell where f has a kink: there the
derivative jumps by more than the worst case to first order. What jumps is not held against anybody.

**Taylor.** Along a direction d, with steps s that are quartered from the size of x downwards,

    (f(x + s d) - f(x - s d)) / 2s - <g, d>  =  w + O(s^2),      w = <grad f - g, d>
    (f(x + s d) + f(x - s d) - 2 f(x)) / 2s  =  k + O(s),        k = 0 unless f has a kink

so that the remainder falls like s^2 for the right gradient and like s for a wrong one. Both are
extrapolated to s -> 0 from two steps; how far the next two steps disagree, the kink k and the
rounding of f over s bound how far off w may be. The best of these bounds counts, unless finer steps
contradict it, for an f that varies faster than s. The rounding of f is measured: how much it
changes within one unit in the last place of the point, at least u |f|, and at least the least
change that it ever shows, which is coarse if f computes in float32 whatever it is given.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial, keystr

from gdpure import gradients, guards
from gdpure.objectives import Objective
from gdpure.specs.checks import versions
from gdpure.specs.report import Counterexample, Report, Row, Verdict
from gdpure.specs.rounding import unit_roundoff
from gdpure.specs.subjects import name_of

FAMILY = "gradient agreement"
FORM, AUTODIFF, TAYLOR = "gradient-form", "gradient-matches-autodiff", "taylor-remainder"

_U = unit_roundoff(jnp.float64)
_EVERY = 64  # so many coordinates are directions of their own
_RANDOM = 8
_STEPS = 4.0 ** -np.arange(26)


def check_gradient(
    f: Callable[[Any], Any], gradient: Callable[[Any], Any], at: Any, *, seed: int = 0
) -> Report:
    """Check a gradient, written by hand or not, against the function it claims to differentiate.

    Three theorems: the gradient has the form of the parameters; it is the derivative of f, coordinate
    by coordinate, where JAX can trace f; and the remainder ``f(x + s d) - f(x) - s <g, d>`` falls
    like ``s^2``, whatever f is written in. Rounding is measured on f, as the module says.

    Parameters
    ----------
    f
        ``f(params) -> ()``, a function of JAX or NumPy, or a `gdpure.Objective`.
    gradient
        ``gradient(params)``, of the form of `params`, or a pair (value, gradient), of JAX or NumPy;
        or a way to differentiate f, such as `gdpure.reverse`.
    at
        The point: any tree of floating-point arrays. Their dtypes are those of the check.
    seed
        Of the directions and of the errors.

    Returns
    -------
    Report
        True if nothing is violated and something was really tested. A theorem is inconclusive where
        rounding or a kink of f hides what it says.

    Raises
    ------
    TypeError, ValueError
        If f is no real scalar function, or the point is not made of finite floating-point numbers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> assert check_gradient(f, lambda x: x, jnp.array([1.0, 2.0]))
    >>> assert not check_gradient(f, lambda x: 2 * x, jnp.array([1.0, 2.0]))
    """
    guards.function("check_gradient", "f", f)
    guards.function("check_gradient", "gradient", gradient)
    form = _form_of(at)
    mode = any(gradient is known for known in gradients.MODES)
    with _arithmetic(form.dtypes):
        subject = _subject(f, gradient(f) if mode else gradient, form, seed)
        rows, notes = _rows(subject)
        platform = jax.default_backend()
    names = [name_of(gradient), name_of(f)]
    return Report(
        f"{names[0]} of {names[1]}" if mode else names[0],
        f"the derivative of {names[1]}",
        platform,
        versions(),
        seed,
        tuple(rows),
        tuple(notes),
    )


def _rows(subject):
    """Return the three rows, and notes."""
    came, form_row = _came(subject)
    if came is None:
        reason = f"rests on {FORM}, which is not met"
        blocked = [_row(subject, name, Verdict.BLOCKED, reason) for name in (AUTODIFF, TAYLOR)]
        return [form_row, *blocked], []
    against, note = _against_autodiff(subject, came)
    remainders = _remainders(subject, came, against)
    return [form_row, _autodiff_row(subject, came, against, remainders, note)] + [
        _taylor_row(subject, came, remainders, against)
    ], _notes(subject, against, came)
