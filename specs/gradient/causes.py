"""What is wrong with a gradient, as far as its numbers show it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..rounding import unit_roundoff
from ..theorem import Sides
from ..words import digits_of
from .functions import Function, data_of, flat, wide
from .laws import Comparison
from .remainder import TERMS


class Cause(NamedTuple):
    """The pattern of what is wrong, and a sentence with its evidence."""

    pattern: str
    text: str


def likely_cause(function: Function, found: Comparison) -> Cause:
    """Return what is wrong with a gradient.

    Parameters
    ----------
    function, found
        What was checked, and what came.

    Examples
    --------
    >>> from .functions import form_of
    >>> from .laws import TAYLOR, compare, look
    >>> form, x = form_of("f", np.array([1.0, 3.0]))
    >>> function = Function(lambda x: float(x @ x) / 2, np.negative, form, 0, None, "")
    >>> found = compare(TAYLOR, look(function, x))
    >>> assert likely_cause(function, found).text == "every coordinate is of the wrong sign"
    """
    if not found.wrong.any() and found.numbers.broken[0]:
        return Cause("value", "the value that comes with the gradient is not f(x)")
    patterns = _rule, _multiple, _moved, _penalty, _unstable, _coarse, _some
    if not found.wrong.any():
        patterns = (_multiple_along,)
    causes = (pattern(function, found, found.gradient) for pattern in patterns)
    return next(filter(None, causes), Cause("", ""))


def _fits(seen, candidate, spread):
    """Return where the gradient is the candidate, which may be off by the spread."""
    return abs(seen.measured - candidate) <= seen.allowed + spread


def _rule(function, found, seen):
    """Recognise an f whose derivative by autodiff is not that of its values."""
    slopes, along = found.seen.slopes, found.along
    wrong = np.flatnonzero(found.wrong)
    told = np.isin(slopes.coordinate, wrong) & np.isfinite(along.allowed)
    truth = seen.bound[slopes.coordinate[told]] * slopes.length[told]
    agree = abs(along.bound[told] - truth) <= along.allowed[told]
    if told.sum() < len(wrong) or along.broken[told].any() or agree.any():
        return None
    text = "f itself agrees with the gradient, and autodiff does not: f has a stop_gradient, or a"
    return Cause("rule", f"{text} derivative rule of its own that is wrong")


def _factor(seen: Sides, which):
    """Return what some numbers are multiplied by, as the surest of them shows it.

    The factor c and how far off it may be, and where it fits; or nothing, if none is sure.
    """
    sure = np.where(which, abs(seen.bound) / np.maximum(seen.allowed, 1e-300), 0.0)
    j = int(np.argmax(sure))
    if sure[j] <= 1:
        return None
    c = float(seen.measured[j] / seen.bound[j])
    error = (1 + abs(c)) * float(seen.allowed[j] / abs(seen.bound[j]))
    return c, error, _fits(seen, c * seen.bound, abs(c) * seen.allowed)


def _multiple(function, found, seen):
    """Recognise a multiple of the right gradient, in all or some of the coordinates."""
    wrong, factor = found.wrong, _factor(seen, found.wrong)
    if factor is None:
        return None
    c, error, fits = factor
    leaves = np.concatenate([np.full(p.size, p.any()) for p in function.form.parts(wrong)])
    which = next((w for w in (np.ones_like(wrong), leaves, wrong) if fits[w].all()), None)
    if which is None:
        return None
    where, be, it = "every coordinate", "is", "it"
    if not which.all():
        where, be, it = _named(function.form, which)
    known, times = _meaning(c, error, lengths_of(function), it)
    if not known and which.sum() == 1:
        return None  # anything is a multiple of one number
    agree = int((~which).sum())
    rest = f"; the other {agree} agree" if agree else ""
    return Cause(f"{known or 'some'} multiple, {where}", f"{where} {be} {times}{rest}")


def _multiple_along(function, found, _):
    """Recognise a multiple of the right gradient from directions that are no coordinates."""
    told = np.isfinite(found.along.allowed)
    factor = _factor(found.along, told) if told.sum() > 1 else None
    if factor is None or not factor[2].all():
        return None
    known, times = _meaning(*factor[:2], lengths_of(function), "it")
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
    found: dict[int, str] = {}
    data = [(len(x), "the length of the data") for x in data_of(function.f) if x.ndim]
    shapes = [(n, "the number of parameters") for shape in function.form.shapes for n in shape]
    for n, whose in data + shapes:
        if n > 1:
            found.setdefault(n, whose)
    return found


def _moved(function, found, seen):
    """Recognise the right numbers at the wrong places."""
    form = function.form
    if found.wrong.sum() < 2:
        return None
    parts = form.parts(np.arange(len(found.wrong)))
    turned = [part.T if part.ndim > 1 else part[::-1] for part in parts]
    flipped = "transposed" if any(part.ndim > 1 for part in parts) else "in reverse order"
    matched = np.empty_like(found.wrong, int)
    matched[np.argsort(seen.measured)] = np.argsort(seen.bound)
    orders = {flipped: np.concatenate([np.ravel(part) for part in turned]), "permuted": matched}
    for name, order in orders.items():
        if _fits(seen, seen.bound[order], seen.allowed[order]).all():
            j = int(np.argmax(seen.off))
            here, there = (form.label("gradient", place) for place in (j, order[j]))
            return Cause(name, f"the right numbers, {name}: {here} is what {there} must be")
    return None


def _penalty(function, found, seen):
    """Recognise a gradient that is off by a multiple of the point."""
    x, far = found.seen.x, seen.measured - seen.bound
    j = int(np.argmax(abs(x)))
    if np.count_nonzero(x) < 2 or found.wrong.sum() < 2 or not far[j]:
        return None
    c = far[j] / x[j]
    if not _fits(seen, seen.bound + c * x, abs(x / x[j]) * seen.allowed[j]).all():
        return None
    size = digits_of(c, seen.allowed[j] / abs(x[j]))
    return Cause("penalty", f"off by {size} x, as of a penalty |x|^2 in one of f and gradient only")


def _unstable(function, found, seen):
    """Recognise a formula that is right, but loses its digits in the dtype."""
    if function.form.double:
        return None
    try:
        with wide():
            out = flat(function.gradient(function.form.built(found.seen.x, np.float64)))
        right = abs(out[-len(found.wrong) :] - seen.bound) <= seen.allowed
    except Exception:  # a stranger's code, which may demand the dtype of the parameters
        return None
    text = f"rounding: the same formula is right in float64, and cancels in {function.form.dtype}"
    return Cause("unstable", text) if right.all() else None


def _coarse(function, found, seen):
    """Recognise float64 that is no more than float32."""
    wrong, size = found.wrong, abs(seen.bound).max()
    terms = TERMS + max(lengths_of(function), default=0)
    right = (seen.off[wrong] <= terms * unit_roundoff("float32") * size).all()
    if function.form.dtype != "float64" or not right or 2 * wrong.sum() <= len(wrong):
        return None
    text = "right to float32, and no further: something is rounded to it on the way"
    return Cause("coarse", text)


def _some(function, found, seen):
    """Say which coordinates are wrong, where not all are."""
    wrong = found.wrong
    agree = int((~wrong & np.isfinite(seen.allowed)).sum())
    if not agree:
        return None
    where, be, it = _named(function.form, wrong)
    text, factor = f"{where} {be} wrong", _factor(seen, wrong)
    if wrong.sum() == 1 and factor is not None:
        text += f", {digits_of(*factor[:2])} times what {it} must be"
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
