"""A gradient that is wrong, in words: both sides, the likeliest cause, a reproduction."""

from __future__ import annotations

import contextlib
import functools
import math
import re
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ..report import Counterexample
from ..subjects import name_of
from ..theorem import Theorem
from ..words import digits_of
from .causes import likely_cause
from .functions import Form, Function
from .laws import Comparison
from .remainder import EVERY

_FEW = 6  # so many numbers are shown one by one


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
    name, seen, worst = _shown(form, found)
    every = found.wrong.any() and d <= _FEW
    which = range(1, 1 + d) if every else [worst]
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
        f"must be    {must}\nreturned   {came}\noff by     {off:.3g} in {name}; rounding "
        f"explains at most {explained:.2g}"
    )
    lines = (
        ("theorem", f"{theorem.statement}\n{theorem.source}"),
        ("assumes", f"{', '.join(theorem.assumes)}\nwhat rounding explains is measured on f"),
        ("smallest", point),
        ("gradient" if every else name, sides),
        *_remainders(form, found, worst - 1),
    )
    python = _reproduction(function, found, worst - 1, must)
    return Counterexample(lines, point, must, came, off, explained, cause.text, python)


def _kind(found):
    """Return what kinds of numbers are wrong: coordinates, the value."""
    return bool(found.wrong.any()), bool(found.numbers.broken[0])


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
    """Return a number that is wrong: its name, both sides of all of its kind, and its place."""
    seen = found.numbers
    if not seen.broken.any():
        return "<g, d>", found.along, int(np.argmax(found.along.excess))
    worst = 1 + int(np.argmax(seen.excess[1:])) if found.wrong.any() else 0
    return form.number(worst), seen, worst


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
        must = must if len(x) <= _FEW else f"{must} in {entry}"
        shown = [f"print(returned, 'must be', {must!r})", *_slope(function, found, worst, f, entry)]
    elif found.numbers.broken[0]:
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


# -- points and functions, to be read and as Python ------------------------------------------------


def _numbers(part):
    if part.ndim == 0:
        return f"{part:.9g}"
    if part.size > _FEW:
        first = ", ".join(f"{x:.9g}" for x in part.ravel()[:3])
        return f"({first}, ..., {part.ravel()[-1]:.9g}), {part.size} numbers"
    rows = part.reshape(len(part), -1) if part.ndim > 1 else [part]
    return f"({'; '.join(', '.join(f'{x:.9g}' for x in row) for row in rows)})"


def text_of(form: Form, x) -> str:
    """Return a point, shape (d,), as one reads it."""
    parts = zip(form.paths, form.parts(x), strict=True)
    return ", ".join(f"{path}{': ' if path else ''}{_numbers(part)}" for path, part in parts)


class _Source(str):
    """Text that shows itself as it is: a tree of them shows itself as Python."""

    __repr__ = str.__str__


def source_of(form: Form, x) -> str:
    """Return the Python that makes parameters."""
    leaves = []
    for part, dtype, module in zip(form.parts(x), form.dtypes, form.modules, strict=True):
        name = "np" if module is np and dtype != jnp.bfloat16 else "jnp"
        leaves.append(_Source(f'{name}.array({part.tolist()}, "{dtype.name}")'))
    return repr(jax.tree.unflatten(form.structure, leaves))


def import_of(target: Callable, role: str) -> tuple[str, list[str]]:
    """Return what a function is called in Python, and the lines that make it known."""
    name = name_of(target)
    module, _, attribute = name.partition(":")
    if attribute and module != "__main__" and module in sys.modules:
        parts = attribute.split(".")
        place = functools.reduce(
            lambda at, part: getattr(at, part, None), parts, sys.modules[module]
        )
        if place is target:
            return attribute, [f"from {module} import {parts[0]}"]
    return role, [f"# {name} has no name to import it by: put it here as `{role}`"]


_IMPORTS = {
    "jax": "import jax",
    "jnp": "import jax.numpy as jnp",
    "np": "import numpy as np",
    "ravel_pytree": "from jax.flatten_util import ravel_pytree",
}


def program(form: Form, lines: list[str]) -> str:
    """Return Python that imports what its lines use, and computes in the precision of a point."""
    if form.double and any(re.search(r"\bj(ax|np)\.", line) for line in lines):
        lines = ['jax.config.update("jax_enable_x64", True)', *lines]
    text = "\n".join(lines)
    used = [line for name, line in _IMPORTS.items() if re.search(rf"\b{name}[.(]", text)]
    return "\n".join([*used, text])
