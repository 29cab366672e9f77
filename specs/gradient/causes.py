"""What is wrong with a gradient, in words: both sides, the likeliest cause, a reproduction."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..report import Counterexample
from ..rounding import unit_roundoff
from ..subjects import name_of
from .functions import Form, Function, data_of, flat, wide
from .remainder import EVERY, TERMS, Slope

_FEW = 6  # so many numbers are shown one by one


class Comparison(NamedTuple):
    """What came from a gradient at one point, beside what must be.

    Attributes
    ----------
    x
        The point, shape (d,).
    returned, truth, allowed
        Shape (d,); what is allowed is infinite where the truth is not known.
    value
        The same three of the value that came with the gradient, or None.
    slopes
        What f itself says, or nothing.
    """

    x: np.ndarray
    returned: np.ndarray
    truth: np.ndarray
    allowed: np.ndarray
    value: tuple[float, float, float] | None
    slopes: list[Slope]

    @property
    def off(self):
        """How far both sides are apart, shape (d,)."""
        return abs(self.returned - self.truth)

    @property
    def wrong(self):
        """Which coordinates nothing explains."""
        return self.off > self.allowed

    @property
    def wrong_value(self):
        """Whether the value is wrong."""
        return self.value is not None and abs(self.value[0] - self.value[1]) > self.value[2]

    @property
    def wrong_slopes(self):
        """The slopes along which the gradient is wrong."""
        return [slope for slope in self.slopes if slope.wrong]


# -- the likeliest cause ---------------------------------------------------------------------------


class Cause(NamedTuple):
    """The pattern of what is wrong, and a sentence with its evidence."""

    pattern: str
    text: str


def likely_cause(function: Function, found: Comparison) -> Cause:
    """Return what is wrong with a gradient, as far as the numbers show it.

    Parameters
    ----------
    function, found
        What was checked, and what came.

    Examples
    --------
    >>> from .functions import form_of
    >>> form, x = form_of("f", np.array([1.0, 3.0]))
    >>> function = Function(np.sum, np.negative, form, 0, None, "")
    >>> found = Comparison(x, -x, x, 1e-15 * x, None, [])
    >>> assert likely_cause(function, found).text == "every coordinate is of the wrong sign"
    """
    if not found.wrong.any() and found.wrong_value:
        return Cause("value", "the value that comes with the gradient is not f(x)")
    if not found.wrong.any():
        return _multiple_along(function, found) or Cause("", "")
    patterns = (_rule, _multiple, _moved, _penalty, _unstable, _coarse, _some)
    causes = (pattern(function, found, found.wrong) for pattern in patterns)
    return next(filter(None, causes), Cause("", ""))


def _fits(found, candidate, spread):
    """Return where the gradient is the candidate, which may be off by the spread."""
    return abs(found.returned - candidate) <= found.allowed + spread


def _rule(function, found, wrong):
    """Recognise an f whose derivative by autodiff is not that of its values."""
    told = {slope.coordinate: slope for slope in found.slopes if not slope.why}
    for j in np.flatnonzero(wrong):
        slope = told.get(j)
        if slope is None or slope.wrong:
            return None
        if abs(slope.slope - found.truth[j] * slope.length) <= slope.bound + slope.rounding:
            return None
    text = "f itself agrees with the gradient, and autodiff does not: f has a stop_gradient, or a"
    return Cause("rule", f"{text} derivative rule of its own that is wrong")


def _multiple(function, found, wrong):
    """Recognise a multiple of the right gradient, in all or some of the coordinates."""
    large = np.where(wrong & (abs(found.truth) > found.allowed), abs(found.truth), 0.0)
    if not large.any():
        return None
    j = int(np.argmax(large))
    c = float(found.returned[j] / found.truth[j])
    fits = _fits(found, c * found.truth, abs(c) * found.allowed)
    leaves = np.concatenate([np.full(p.size, p.any()) for p in function.form.parts(wrong)])
    which = next((w for w in (np.ones_like(wrong), leaves, wrong) if fits[w].all()), None)
    if which is None:
        return None
    error = (1 + abs(c)) * float(found.allowed[j] / abs(found.truth[j]))
    if which.all():
        where, be, it = "every coordinate", "is", "it"
    else:
        where, be, it = _named(function.form, which)
    known, times = _meaning(c, error, lengths_of(function), it)
    if not known and which.sum() == 1:
        return None  # anything is a multiple of one number
    agree = int((~which).sum())
    rest = f"; the other {agree} agree" if agree else ""
    return Cause(f"{known or 'some'} multiple, {where}", f"{where} {be} {times}{rest}")


def _multiple_along(function, found):
    """Recognise a multiple of the right gradient from directions that are no coordinates."""
    told = [slope for slope in found.slopes if not slope.why]
    worst = max(told, key=lambda slope: abs(slope.slope) / (slope.bound + slope.rounding))
    if len(told) < 2 or not worst.slope:
        return None
    c = worst.returned / worst.slope
    for slope in told:
        explained = (1 + abs(c)) * (slope.bound + slope.rounding)
        if abs(slope.returned - c * slope.slope) > explained:
            return None
    error = (1 + abs(c)) * (worst.bound + worst.rounding) / abs(worst.slope)
    known, times = _meaning(c, error, lengths_of(function), "it")
    return Cause(f"{known or 'some'} multiple", f"along every direction it is {times}")


def _meaning(c, error, lengths, it):
    """Return the number that c stands for, if that is one of a known meaning, and words for it."""
    must = f"times what {it} must be"
    known = {
        0.0: "zero, as under stop_gradient",
        -1.0: "of the wrong sign",
        2.0: f"2 {must}, as of a missing 1/2",
        0.5: f"1/2 {must}, as of a square whose 2 was forgotten, or is half under stop_gradient",
    }
    for n, whose in lengths.items():
        known.setdefault(float(n), f"{n} {must}: {n} is {whose}, so a sum instead of a mean")
        known.setdefault(1 / n, f"1/{n} {must}: {n} is {whose}, so one division by it too many")
    for n, whose in lengths.items():
        for m, other in lengths.items():
            text = f"{n}/{m} {must}: divided by {m}, {other}, instead of {n}, {whose}"
            known.setdefault(n / m, text)
    known.pop(1.0, None)
    near = min(known, key=lambda value: abs(c - value))
    if abs(c - near) <= error:
        return f"{near:.6g}", known[near]
    return "", f"{digits_of(c, error)} {must}"


def lengths_of(function: Function) -> dict[int, str]:
    """Return the lengths of the data of f, and of the parameters, and whose they are."""
    found = {}
    for x in data_of(function.f):
        if x.ndim and len(x) > 1:
            found.setdefault(len(x), "the length of the data")
    for shape in function.form.shapes:
        for n in shape:
            if n > 1:
                found.setdefault(n, "the number of parameters")
    return found


def _moved(function, found, wrong):
    """Recognise the right numbers at the wrong places."""
    form, places = function.form, np.arange(len(wrong))
    if wrong.sum() < 2:
        return None
    parts = form.parts(places)
    turned = [part.T.reshape(part.shape) if part.ndim > 1 else part[::-1] for part in parts]
    for name, order in (
        ("transposed" if any(part.ndim > 1 for part in parts) else "in reverse order", turned),
        ("permuted", [_matched(found)]),
    ):
        order = np.concatenate([np.ravel(part) for part in order])
        if _fits(found, found.truth[order], found.allowed[order]).all():
            j = int(np.argmax(found.off))
            holds = (
                f"{form.label('gradient', j)} is what {form.label('gradient', order[j])} must be"
            )
            return Cause(name, f"the right numbers, {name}: {holds}")
    return None


def _matched(found):
    """Return the order in which what must be is sorted like what came."""
    order = np.empty(len(found.x), int)
    order[np.argsort(found.returned)] = np.argsort(found.truth)
    return order


def _penalty(function, found, wrong):
    """Recognise a gradient that is off by a multiple of the point."""
    x, far = found.x, found.returned - found.truth
    j = int(np.argmax(abs(x)))
    if np.count_nonzero(x) < 2 or wrong.sum() < 2 or not far[j]:
        return None
    c = far[j] / x[j]
    if not _fits(found, found.truth + c * x, abs(x / x[j]) * found.allowed[j]).all():
        return None
    size = digits_of(c, found.allowed[j] / abs(x[j]))
    return Cause("penalty", f"off by {size} x, as of a penalty |x|^2 in one of f and gradient only")


def _coarse(function, found, wrong):
    """Recognise float64 that is no more than float32."""
    size = abs(found.truth[np.isfinite(found.allowed)]).max(initial=0.0)
    terms = TERMS + max(lengths_of(function), default=0)
    right = (found.off[wrong] <= terms * unit_roundoff("float32") * size).all()
    if function.form.dtype != "float64" or not right or 2 * wrong.sum() <= len(wrong):
        return None
    return Cause(
        "coarse", "right to float32, and no further: something is rounded to it on the way"
    )


def _unstable(function, found, wrong):
    """Recognise a formula that is right, but loses its digits in the dtype."""
    if function.form.double:
        return None
    try:
        with wide():
            out = function.gradient(function.form.built(found.x, np.float64))
            out = flat(out if found.value is None and len(flat(out)) == len(wrong) else out[1])
    except Exception:  # a stranger's code, which may demand the dtype of the parameters
        return None
    if len(out) != len(wrong) or not (abs(out - found.truth) <= found.allowed).all():
        return None
    text = f"rounding: the same formula is right in float64, and cancels in {function.form.dtype}"
    return Cause("unstable", text)


def _some(function, found, wrong):
    """Say which coordinates are wrong, where not all are."""
    agree = int((~wrong & np.isfinite(found.allowed)).sum())
    if not agree:
        return None
    where, be, it = _named(function.form, wrong)
    text, j = f"{where} {be} wrong", int(np.argmax(wrong))
    if wrong.sum() == 1 and abs(found.truth[j]) > found.allowed[j]:
        c = found.returned[j] / found.truth[j]
        error = (1 + abs(c)) * found.allowed[j] / abs(found.truth[j])
        text += f", {digits_of(c, error)} times what {it} must be"
    return Cause("some", f"{text}; the other {agree} agree")


def _named(form, which):
    """Return how some coordinates are called, and the verb and the pronoun for them."""
    parts = form.parts(which)
    if len(parts) > 1 and all(part.all() or not part.any() for part in parts):
        names = [f"gradient{path}" for path, p in zip(form.paths, parts, strict=True) if p.any()]
    else:
        names = [form.label("gradient", j) for j in np.flatnonzero(which)[:4]]
    if len(names) > 3:
        return f"{which.sum()} of {len(which)} coordinates", "are", "they"
    one = which.sum() == 1
    return f"only {' and '.join(names)}", "is" if one else "are", "it" if one else "they"


# -- a counterexample ------------------------------------------------------------------------------


def counterexample(
    function: Function,
    found: Comparison,
    again: Callable[[np.ndarray], Comparison | None],
    theorem: tuple[tuple[str, str], ...],
) -> Counterexample:
    """Return a violation in words, at the simplest point that shows it in the same way.

    Parameters
    ----------
    function, found
        What was checked, and what came.
    again
        What comes at another point.
    theorem
        The first lines: what is violated.
    """
    cause = likely_cause(function, found)
    for x in _simpler(found.x):
        try:
            other = again(x)
        except Exception:  # the gradient has no form there, or a stranger's code raises
            continue
        if other is not None and _shows(other, found):
            same = likely_cause(function, other)
            if same.pattern == cause.pattern:
                found, cause = other, same
                break
    where, must, came, off, explained = _sides(function, found)
    name = where if len(found.x) > _FEW or where[0] != "g" else "gradient"
    point = f"x = {text_of(function.form, found.x)}"
    sides = (
        f"must be    {must}\nreturned   {came}\noff by     {off:.3g} in {where}; rounding explains "
        f"at most {explained:.2g}"
    )
    lines = [*theorem, ("smallest", point), (name, sides), *_remainders(function, found)]
    python = _reproduction(function, found, must)
    return Counterexample(tuple(lines), point, must, came, off, explained, cause.text, python)


def _shows(other, found):
    """Whether the same kind of thing is wrong at another point."""
    return (
        other.wrong.any() == found.wrong.any()
        and other.wrong_value == found.wrong_value
        and (found.wrong.any() or found.wrong_value or bool(other.wrong_slopes))
    )


def _simpler(x):
    """Return points that read more easily, the simplest first."""
    d = len(x)
    if d > EVERY:
        return []
    points = [np.zeros(d), np.eye(1, d)[0], np.ones(d), 0.5 * np.ones(d), np.arange(1.0, d + 1)]
    points += [(-1.0) ** np.arange(d), (-0.5) ** np.arange(d)]
    known = [k for k, point in enumerate(points) if (point == x).all()]
    return points[: known[0] if known else None]


def _worst(found):
    """Return the coordinate that is furthest out, or None if none is wrong."""
    if not found.wrong.any():
        return None
    return int(np.argmax(np.where(found.wrong, found.off / np.maximum(found.allowed, 1e-300), 0)))


def _sides(function, found):
    """Return what is wrong, both sides, how far apart they are, and how far rounding explains."""
    worst = _worst(found)
    if worst is None and found.wrong_value:
        came, must, allowed = found.value
        return "the value", digits_of(must, allowed), f"{came:.9g}", abs(came - must), allowed
    if worst is None:
        slope = max(found.wrong_slopes, key=lambda slope: slope.excess)
        explained = slope.bound + slope.rounding
        both = digits_of(slope.slope, explained), f"{slope.returned:.9g}"
        return "<g, d>", *both, abs(slope.returned - slope.slope), explained
    which = range(len(found.x)) if len(found.x) <= _FEW else [worst]
    must = [digits_of(found.truth[j], found.allowed[j]) for j in which]
    came = [f"{found.returned[j]:.9g}" for j in which]
    both = [f"({', '.join(side)})" if len(side) > 1 else side[0] for side in (must, came)]
    label = function.form.label("gradient", worst)
    return label, *both, float(found.off[worst]), float(found.allowed[worst])


def _remainders(function, found):
    """Return the line that shows how the remainder falls."""
    worst = _worst(found)
    slopes = [slope for slope in found.wrong_slopes if worst in (None, slope.coordinate)]
    slopes = slopes or found.wrong_slopes
    if not slopes:
        return []
    slope = max(slopes, key=lambda slope: slope.excess)
    along = "a random direction"
    if slope.coordinate is not None:
        along = function.form.label("x", slope.coordinate)
    numbers = ", ".join(f"{part / slope.length:.6g}" for part in slope.remainders)
    steps = ", ".join(_power(step * slope.length) for step in slope.steps)
    text = f"(f(x + s d) - f(x - s d)) / 2s - <g, d> = {numbers}"
    return [("remainder", f"{text}\nat s = {steps} along {along}; it must fall like s^2")]


# -- numbers ---------------------------------------------------------------------------------------


def digits_of(x: float, error: float) -> str:
    """Return a number with the digits that are known of it, nine at most."""
    if not math.isfinite(error) or abs(x) <= error:
        return "0" if math.isfinite(error) else "?"
    known = math.floor(math.log10(abs(x) / error)) + 1 if error else 9
    return f"{x:.{min(known, 9)}g}"


def _power(step):
    exponent = math.log2(step)
    return f"{step:g}" if -4 <= exponent <= 10 else f"2^{exponent:g}"


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


# -- a reproduction --------------------------------------------------------------------------------


class _Source:
    """Text that shows itself as it is: a tree of them shows itself as Python."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def source_of(form: Form, x) -> str:
    """Return the Python that makes parameters."""
    leaves = []
    for part, dtype, module in zip(form.parts(x), form.dtypes, form.modules, strict=True):
        name = "np" if module is np and dtype != jnp.bfloat16 else "jnp"
        leaves.append(_Source(f'{name}.array({part.tolist()}, "{dtype.name}")'))
    return repr(jax.tree.unflatten(form.structure, leaves))


def _reproduction(function, found, must):
    """Return Python that shows the violation; it leaves what came in `returned`."""
    form, x = function.form, found.x
    point = source_of(form, x) if len(x) <= EVERY else f"...  # a point of {len(x)} numbers"
    lines = ["import numpy as np"] if "np.array" in point.replace("jnp.", "") else []
    if "jnp." in point:
        lines.append("import jax.numpy as jnp")
        if form.double:
            lines = ["import jax", 'jax.config.update("jax_enable_x64", True)', *lines]
    f, imported = import_of(function.f, "f")
    gradient, others = import_of(function.gradient, "gradient")
    pair = "[1]" if found.value is not None else ""
    lines += [*imported, *others, f"x = {point}"]
    worst = _worst(found)
    if worst is None and found.wrong_value:
        lines += [f"returned = {gradient}(x)[0]", f"print(returned, 'must be', {f}(x))"]
        return "\n".join(lines)
    lines.append(f"returned = {gradient}(x){pair}")
    if worst is None:
        return "\n".join([*lines, "print(returned)"])
    entry = form.label("returned", worst)
    if len(x) > _FEW:
        must = f"{must} in {entry}"
    lines.append(f"print(returned, 'must be', {must!r})")
    step = _plain_step(function, found, worst) if len(x) <= EVERY else None
    if step:
        move = step * np.eye(1, len(x), worst)[0]
        lines += [
            f"above = {source_of(form, x + move)}",
            f"below = {source_of(form, x - move)}",
            f"slope = ({f}(above) - {f}(below)) / {2 * step!r}",
            f"print({entry}, 'while f has the slope', slope)",
        ]
    return "\n".join(lines)


def _plain_step(function, found, j):
    """Return a step for which a plain difference quotient shows which side is right, or None."""
    form, move = function.form, np.eye(1, len(found.x), j)[0]
    for step in 2.0 ** -np.arange(12):
        with np.errstate(all="ignore"), contextlib.suppress(Exception):
            points = [form.built(found.x + sign * step * move) for sign in (1, -1)]
            above, below = (float(function.f(point)) for point in points)
            sides = np.array([found.truth[j], found.returned[j]])
            if min(abs((above - below) / (2 * step) - sides)) <= found.off[j] / 4:
                return float(step)
    return None


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
