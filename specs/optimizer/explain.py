"""From a case in numbers to one that reads: the function, the run, both sides, a reproduction."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..instances import Instance
from ..report import Counterexample
from ..subjects import Code, Subject
from ..targets import as_target, importing
from ..theorem import Sides, Theorem
from .search import Case

_LETTERS = "abcdefgh"


def explain(
    subject: Subject, theorem: Theorem, case: Case, points, cause: str, dtype
) -> Counterexample:
    """Return a counterexample in words.

    Parameters
    ----------
    subject, theorem, case
        What was checked, what it violates, and the case to show.
    points
        What the subject returned in that case, (steps + 1, d).
    cause
        The likeliest cause, or "".
    dtype
        Of the run.
    """
    instance, found, row = case.instance, case.finding, int(case.finding.row)
    equal = theorem.equality or case.attained
    seen = Sides(found.measured, found.bound, found.allowed, found.bound, equal)
    worst = np.unravel_index(int(np.argmax(seen.excess)), np.shape(seen.excess))
    # Of a gradient there is no run: what is wrong is wrong at the point of that row alone.
    alone = subject.method == "gradient"
    if alone:
        instance = replace(instance, start=points[row])
    off, explained = float(seen.off[worst]), float(seen.allowed[worst])
    whole = np.shape(seen.measured) == np.shape(instance.start)

    def text(side):
        if whole:
            return _point(side, dtype)
        return "0" if abs(side[worst]) <= explained else f"{side[worst]:.9g}"

    returned, must = text(seen.measured), ("" if equal else "at most ") + text(seen.bound)
    coordinate = f" in coordinate {worst[-1]}" if whole and len(instance.start) > 1 else ""
    where, begin = ("at x", "x") if alone else (f"row {row}", "x[0]")
    rounding = f"{explained:.2g}" if np.isfinite(explained) else "nothing"
    start = f"{begin} = {_point(instance.start, dtype)}"
    lines = [
        ("theorem", f"{theorem.statement}\n{theorem.source}"),
        ("assumes", _assumed(theorem, instance, dtype)),
        ("smallest", f"{function_text(instance, dtype)}\n{start}"),
        (
            where,
            f"must be    {must}\nreturned   {returned}\noff by     {off:.3g}{coordinate}; rounding "
            f"explains at most {rounding}",
        ),
    ]
    if row > 1 and not alone:
        run = (f"x[{k}] = {_point(x, dtype)}" for k, x in enumerate(points[: row + 1]))
        lines.append(("run", "\n".join(run)))
    if cause:
        lines.append(("cause", f"likely: {cause}"))
    return Counterexample(
        tuple(lines),
        in_short(instance, dtype),
        must,
        returned,
        off,
        explained,
        cause,
        reproduction(subject, instance, max(row, 1), dtype),
    )


def _assumed(theorem: Theorem, instance: Instance, dtype):
    L, eta = float(instance.smoothness), float(instance.step_size)
    values = f"eta = {_number(eta, dtype)}, L = {L:.6g}"
    if L > 0:
        values += f", eta L = {eta * L:.6g}"
    if any("mu" in name for name in theorem.assumes):
        values += f", mu = {float(instance.strong_convexity):.6g}"
    return f"{', '.join(theorem.assumes or ('nothing about f',))}\nhere {values}"


# -- numbers and functions -------------------------------------------------------------------------


def _number(x, dtype) -> str:
    """Return the shortest text that stands for a number in the dtype."""
    x = float(x)
    if not np.isfinite(x):
        return str(x)
    rounded: Any = np.asarray(x).astype(dtype)[()]
    text = np.format_float_positional(rounded, trim="-")
    short = np.format_float_scientific(rounded, trim="-", exp_digits=1)
    return text if len(text) <= max(8, len(short)) else short


def _point(numbers, dtype) -> str:
    return f"({', '.join(_number(x, dtype) for x in numbers)})"


def _names(instance):
    d = len(instance.start)
    return ["x"] if d == 1 else list(_LETTERS[:d])


def _linear(row, shift, names, dtype):
    """Return ``2 a - b + 1`` for one row of the features."""
    text = ""
    for x, name in zip([*row, shift], [*names, ""], strict=True):
        if x:
            size = "" if abs(x) == 1 and name else _number(abs(x), dtype)
            text += f" {'-' if x < 0 else '+'} {f'{size} {name}'.strip()}"
    return text[3:] if text.startswith(" +") else f"-{text[3:]}"


def function_text(instance: Instance, dtype) -> str:
    """Return the function of an instance as one writes it on paper.

    Examples
    --------
    >>> from gdpure.specs import instances
    >>> function_text(instances.example(instances.Shape(1, 1, 1)), "float32")
    'f(x) = x^2 / 2'
    """
    names, unit = _names(instance), np.sqrt(len(instance.features))
    bent = bool(np.isfinite(instance.bend))
    terms = []
    for row in instance.features / unit:
        if np.any(row):
            text = _linear(row, -float(row @ instance.center), names, dtype)
            if bent:
                terms.append(f"phi({text})")
            else:
                terms.append(f"{text}^2" if text in names else f"({text})^2")
    body = " + ".join(terms) or "0"
    if terms and not bent:
        body = f"{body} / 2" if len(terms) == 1 else f"({body}) / 2"
    minimum = float(instance.minimum)
    if minimum:
        body += f" {'+' if minimum > 0 else '-'} {_number(abs(minimum), dtype)}"
    text = f"f({', '.join(names)}) = {body}"
    if bent:
        bend = _number(float(instance.bend) / unit, dtype)
        text += f",  phi(t) = t^2 / 2 up to |t| = {bend}, then straight"
        if instance.tail:
            text += f" but for a curvature of {_number(instance.tail, dtype)}"
    return text


def in_short(instance: Instance, dtype) -> str:
    """Return the function, the start and the step size, in one line."""
    start, step_size = _point(instance.start, dtype), _number(instance.step_size, dtype)
    return f"{function_text(instance, dtype)} from {start}, step {step_size}"


# -- a reproduction --------------------------------------------------------------------------------


def _array(numbers, dtype):
    def texts(x):
        return [texts(y) for y in x] if np.ndim(x) else _number(x, dtype)

    return str(texts(np.asarray(numbers))).replace("'", "").replace("inf", "np.inf")


def reproduction(subject: Subject, instance: Instance, steps: int, dtype) -> str:
    """Return Python that runs the subject on an instance.

    It defines the function in NumPy, calls the subject, and leaves what came in `returned`; where
    that is a point of gradient descent, what it must be is in `wanted`. It imports gdpure only for
    a subject that takes its objectives: a gradient of mini-batches.
    """
    name, array = np.dtype(dtype).name, partial(_array, dtype=dtype)
    if target := as_target(subject.name):
        load, attribute = importing(target), target.attribute
    else:
        load = [f"# {subject.name} has no name to import it by: put it here as `subject`"]
        attribute = "subject"
    start, eta = f'np.array({array(instance.start)}, "{name}")', array(instance.step_size)
    arguments = {
        "point": "x",
        "value": "value",
        "gradient": "gradient",
        "start": start,
        "step_size": eta,
        "steps": str(steps),
        "tolerance": array(instance.tolerance),
    }
    code = Code(attribute, arguments, array, instance, name)
    lines = [*_functions(instance, name, dtype), *load, *subject.reproduction(code)]
    if subject.method == "gradient descent" and subject.run is not None:
        lines += [
            f"wanted = {start}",
            f"for _ in range({steps}): wanted = wanted - {eta} * gradient(wanted)",
            "print(returned, 'must be', wanted)",
        ]
    else:
        lines.append("print(returned)")
    return "\n".join(lines)


def _functions(instance, name, dtype):
    """Return the lines that define the value and the gradient of an instance."""
    unit = np.sqrt(len(instance.features))
    kept = np.any(instance.features != 0, axis=1)
    kept[0] |= not kept.any()
    raised = f" + {_number(instance.minimum, dtype)}" if instance.minimum else ""
    lines = [
        "import numpy as np",
        f'X = np.array({_array(instance.features[kept] / unit, dtype)}, "{name}")',
        f'c = np.array({_array(instance.center, dtype)}, "{name}")',
    ]
    if np.isinf(instance.bend):
        return [
            *lines,
            f"def value(x): return ((X @ (x - c)) ** 2).sum() / 2{raised}",
            "def gradient(x): return (X @ (x - c)) @ X",
        ]
    bend, tail = _number(float(instance.bend) / unit, dtype), _number(instance.tail, dtype)
    return [
        *lines,
        f"def phi(t): k = t.clip(-{bend}, {bend}); "
        f"return k * (t - k / 2) + {tail} * (t - k) ** 2 / 2",
        f"def slope(t): k = t.clip(-{bend}, {bend}); return k + {tail} * (t - k)",
        f"def value(x): return phi(X @ (x - c)).sum(){raised}",
        "def gradient(x): return slope(X @ (x - c)) @ X",
    ]
