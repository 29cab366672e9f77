"""A gradient that is wrong, in words: both sides, the likeliest cause, a reproduction."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np

from ..report import Counterexample
from ..theorem import Theorem
from .causes import likely_cause
from .functions import Function
from .laws import Comparison
from .remainder import EVERY
from .text import FEW, digits_of, import_of, program, source_of, text_of


def counterexample(
    function: Function,
    theorem: Theorem,
    found: Comparison,
    again: Callable[[np.ndarray], Comparison],
) -> Counterexample:
    """Return a violation in words, at the simplest point that shows it in the same way.

    Parameters
    ----------
    function, theorem, found
        What was checked, and what came.
    again
        What comes at another point.
    """
    cause = likely_cause(function, found)
    for x in _simpler(found.seen.x):
        # The gradient may have no form there, f no derivative, and a stranger's code may raise.
        with contextlib.suppress(Exception):
            other = again(x)
            if _kind(other) == _kind(found) and other.judged.broken.any():
                same = likely_cause(function, other)
                if same.pattern == cause.pattern:
                    found, cause = other, same
                    break
    form, d = function.form, len(found.seen.x)
    names, seen, worst = _shown(form, found)
    which = range(d) if found.wrong.any() and d <= FEW else [worst]
    must, came = (
        f"({', '.join(side)})" if len(side) > 1 else side[0]
        for side in (
            [digits_of(seen.bound[j], seen.allowed[j]) for j in which],
            [f"{seen.measured[j]:.9g}" for j in which],
        )
    )
    off, explained = float(seen.off[worst]), float(seen.allowed[worst])
    point = f"x = {text_of(form, found.seen.x)}"
    sides = (
        f"must be    {must}\nreturned   {came}\noff by     {off:.3g} in {names[worst]}; rounding "
        f"explains at most {explained:.2g}"
    )
    lines = (
        ("theorem", f"{theorem.statement}\n{theorem.source}"),
        ("assumes", f"{', '.join(theorem.assumes)}\nwhat rounding explains is measured on f"),
        ("smallest", point),
        ("gradient" if found.wrong.any() and d <= FEW else names[worst], sides),
        *_remainders(form, found, worst),
    )
    python = _reproduction(function, found, worst, must)
    return Counterexample(lines, point, must, came, off, explained, cause.text, python)


def _kind(found):
    """Return what kinds of numbers are wrong: coordinates, the value."""
    return bool(found.wrong.any()), bool(found.value.broken.any())


def _simpler(x):
    """Return points that read more easily, the simplest first."""
    d = len(x)
    if d > EVERY:
        return []
    points = [np.zeros(d), np.eye(1, d)[0], np.ones(d), 0.5 * np.ones(d), np.arange(1.0, d + 1)]
    points += [(-1.0) ** np.arange(d), (-0.5) ** np.arange(d)]
    known = [k for k, point in enumerate(points) if (point == x).all()]
    return points[: known[0] if known else None]


def _shown(form, found):
    """Return the names of numbers of which one is wrong, both sides, and which is worst."""
    if found.wrong.any():
        names, seen = [form.label("gradient", j) for j in range(len(found.wrong))], found.gradient
    elif found.value.broken.any():
        names, seen = ["the value"], found.value
    else:
        names, seen = ["<g, d>"] * found.along.off.size, found.along
    return names, seen, int(np.argmax(seen.excess))


def _remainders(form, found, worst):
    """Return the line that shows how the remainder falls along the worst direction."""
    slopes, wrong = found.seen.slopes, found.along.broken
    if not wrong.any():
        return []
    there = wrong & (slopes.coordinate == worst) if found.wrong.any() else wrong
    k = int(np.argmax(np.where(there if there.any() else wrong, found.along.excess, 0)))
    along, length = "a random direction", slopes.length[k]
    if slopes.coordinate[k] >= 0:
        along = form.label("x", slopes.coordinate[k])
    numbers = ", ".join(f"{part:.6g}" for part in slopes.remainders[k] / length)
    steps = ", ".join(map(_power, slopes.steps[k] * length))
    text = f"(f(x + s d) - f(x - s d)) / 2s - <g, d> = {numbers}"
    return [("remainder", f"{text}\nat s = {steps} along {along}; it must fall like s^2")]


def _power(step):
    exponent = math.log2(step)
    return f"{step:g}" if -4 <= exponent <= 10 else f"2^{exponent:g}"


# -- a reproduction --------------------------------------------------------------------------------


def _reproduction(function, found, worst, must):
    """Return Python that shows the violation; it leaves what came in `returned`."""
    form, x = function.form, found.seen.x
    point = source_of(form, x) if len(x) <= EVERY else f"...  # a point of {len(x)} numbers"
    f, imported = import_of(function.f, "f")
    gradient, others = import_of(function.gradient, "gradient")
    came = f"{gradient}(x)" if found.seen.came.value is None else f"{gradient}(x)[1]"
    shown = ["print(returned)"]
    if found.wrong.any():
        entry = form.label("returned", worst)
        must = must if len(x) <= FEW else f"{must} in {entry}"
        shown = [f"print(returned, 'must be', {must!r})", *_slope(function, found, worst, f, entry)]
    elif found.value.broken.any():
        came, shown = f"{gradient}(x)[0]", [f"print(returned, 'must be', {f}(x))"]
    return program(form, [*imported, *others, f"x = {point}", f"returned = {came}", *shown])


def _slope(function, found, j, f, entry):
    """Return lines that show f to be on a side by a plain difference quotient, if one does."""
    form, x, move = function.form, found.seen.x, np.eye(1, len(found.wrong), j)[0]
    sides = np.array([found.gradient.bound[j], found.gradient.measured[j]])
    for step in map(float, 2.0 ** -np.arange(12) if len(x) <= EVERY else ()):
        with np.errstate(all="ignore"), contextlib.suppress(Exception):
            points = [x + sign * step * move for sign in (1, -1)]
            above, below = (float(function.f(form.built(point))) for point in points)
            if min(abs((above - below) / (2 * step) - sides)) <= found.gradient.off[j] / 4:
                return [
                    f"above = {source_of(form, points[0])}",
                    f"below = {source_of(form, points[1])}",
                    f"slope = ({f}(above) - {f}(below)) / {2 * step!r}",
                    f"print({entry}, 'while f has the slope', slope)",
                ]
    return []
