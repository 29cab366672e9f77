"""Problems for anybody's ``@given``: functions with known constants, which shrink to whole numbers.

Each is an `Instance` as the theorems have it, its function an `Objective` of gdpure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

import gdpure as gd
from gdpure import guards

from . import instances
from .instances import Instance
from .optimizer.explain import in_short

# Powers of two in the order in which they are simple: short ones, with few digits times 3, first.
_POWERS = (1.0, 2.0, 0.5, 4.0, 0.25, 8.0, 16.0, 2.0**-3, 2.0**-4, 2.0**-6)


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """A convex function with known constants, and where and how descent on it begins.

    ``hypothesis.strategies.from_type(Problem)``, and so an argument with this type under a bare
    ``@given(...)``, is `problems` without arguments.

    Attributes
    ----------
    instance
        All numbers, in float64 and representable in the dtype, as `theorem.observe` takes them.
    dtype
        Of the data of `f`, the start, the step size, the minimizer and the minimum.
    """

    instance: Instance
    dtype: np.dtype

    @cached_property
    def f(self) -> gd.Objective:
        """The function, a finite sum: ``f(x)`` is its value."""
        return instances.objective(self.instance, self.dtype)

    def gradient(self, x):
        """Return the gradient of `f`, shape (d,); a NumPy array of NumPy arrays."""
        return instances.gradient(x, self.f.data)

    @property
    def start(self):
        """Where to begin, shape (d,)."""
        return self.instance.start.astype(self.dtype)

    @property
    def step_size(self):
        """eta, a number."""
        return self.instance.step_size.astype(self.dtype)

    @property
    def smoothness(self) -> float:
        """L, an upper bound of all curvatures, in float64."""
        return float(self.instance.smoothness)

    @property
    def strong_convexity(self) -> float:
        """mu, a lower bound of all curvatures, 0 or more, in float64."""
        return float(self.instance.strong_convexity)

    @property
    def minimizer(self):
        """A point where f is least, exactly, shape (d,)."""
        return self.instance.center.astype(self.dtype)

    @property
    def minimum(self):
        """The least value of f, exactly, a number."""
        return self.instance.minimum.astype(self.dtype)

    def __repr__(self):
        """Return the problem as one writes it on paper."""
        return f"Problem({in_short(self.instance, self.dtype)}, {self.dtype.name})"

    def _repr_pretty_(self, printer, _):
        # Hypothesis and IPython would else show the fields of a dataclass.
        printer.text(repr(self))


def problems(
    *,
    dimension: int | None = None,
    examples: int | None = None,
    quadratic: bool | None = None,
    step_fraction: tuple[float, float] = (0.0, 2.0),
    dtype: Any = "float32",
) -> st.SearchStrategy[Problem]:
    """Return the Hypothesis strategy of problems with known constants.

    They are least squares and means of Huber's functions, with and without a unique minimizer, and
    shrink to ``x^2 / 2`` from 0 with the step 1. Their numbers are small whole ones times powers of
    two; the step size has two digits where one of two digits is in the range.

    Parameters
    ----------
    dimension, examples
        d and n; by default 1, 2 or 3 parameters, and 1 or 4 examples.
    quadratic
        Whether f is quadratic; by default some are.
    step_fraction
        The least and the greatest step size, in units of 1/L, within [0, 4]. It is positive.
    dtype
        Of all that is drawn. JAX has float64 where `jax.enable_x64` is on, NumPy always.

    Returns
    -------
    SearchStrategy
        Of `Problem`: f, start, step_size, smoothness, strong_convexity, minimizer, minimum.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these; at once, not when a problem is drawn.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(problems(step_fraction=(0, 1), dtype="float64"))
    ... def no_step_leads_away(p):
    ...     moved = p.start - p.step_size * p.gradient(p.start)
    ...     assert np.linalg.norm(moved - p.minimizer) <= np.linalg.norm(p.start - p.minimizer)
    >>> no_step_leads_away()
    """
    d, n = (
        None if number is None else guards.whole("problems", name, number, 1)
        for name, number in (("dimension", dimension), ("examples", examples))
    )
    if quadratic not in (None, True, False):
        raise TypeError(
            f"problems: quadratic must be None, True or False, got {guards.describe(quadratic)}"
        )
    low, high = _range(step_fraction)
    return _drawn(d, n, quadratic, low, high, _floating(dtype))


def _range(step_fraction):
    try:
        low, high = step_fraction
    except (TypeError, ValueError):
        raise TypeError(
            "problems: step_fraction must be two numbers, the least and the greatest, got "
            f"{guards.describe(step_fraction)}"
        ) from None
    for x in (low, high):
        guards.in_range("problems", "step_fraction", x, guards.Range(0, 4))
    if not low <= high or not high:
        raise ValueError(
            "problems: step_fraction must be the least and the greatest, in this order and not "
            f"both 0, got ({low:g}, {high:g})"
        )
    return float(low), float(high)


def _floating(dtype):
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise TypeError(f"problems: dtype must be one of floating point, got {dtype!r}")
    return found


@st.composite
def _drawn(draw, d, n, quadratic, low, high, dtype):
    d = draw(st.sampled_from((1, 2, 3))) if d is None else d
    n = draw(st.sampled_from((1, 4))) if n is None else n
    whole, power = st.integers(-4, 4), st.sampled_from(_POWERS)

    def row(size):
        return st.lists(whole, min_size=size, max_size=size)

    # The root, so that n examples of whole numbers are so on paper, without their mean.
    scale = math.isqrt(n) * draw(power)
    features = np.reshape(draw(row(n * d).filter(any)), (n, d)) * scale
    offset, far = np.array(draw(row(d))), draw(power)
    reach = abs(features @ offset).max() * far
    bent = reach > 0 and (draw(st.booleans()) if quadratic is None else not quadratic)
    recipe = instances.Recipe(
        features,
        np.array(draw(row(d))),
        reach * draw(st.sampled_from((1.0, 0.5, 0.25, 2.0**-4, 2.0**-6))) if bent else np.inf,
        draw(st.sampled_from((0.0, 0.5, 0.25))) if bent else 0.0,
        draw(whole),
        offset * far,
        np.array(draw(row(d))) * far,
        draw(st.sampled_from(_fractions(low, high))),
    )
    made = instances.instance(recipe, dtype)
    return Problem(replace(made, step_size=_short(recipe.fraction, made, low, high, dtype)), dtype)


def _fractions(low, high):
    """Return the sixteenths of a range, those near 1 of few digits first, or its ends."""
    found = [k / 16 for k in range(1, 65) if low <= k / 16 <= high]
    found.sort(key=lambda h: (Fraction(h).denominator, abs(h - 1)))
    return found or [h for h in (high, low) if h]


def _short(h, made, low, high, dtype):
    """Return a step size near h / L, within the range, of two digits if there is one."""
    unit = 10.0 ** (math.floor(math.log10(h / made.smoothness)) - 1)
    near = round(h / made.smoothness / unit)
    for digits in (near, near - 1, near + 1):
        step_size = instances.rounded(float(f"{digits * unit:.1e}"), dtype)
        if low <= Fraction(float(step_size)) * Fraction(float(made.smoothness)) <= high:
            return step_size
    return made.step_size


# Whoever has the type has imported this, so that no entry point need import JAX for everybody.
st.register_type_strategy(Problem, problems())
