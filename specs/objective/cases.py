"""A claim that fails, in words: the simplest points that show it, and what the fact would be."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..balls import ball
from ..gradient.cases import import_of, program, source_of, text_of
from ..gradient.causes import lengths_of
from ..gradient.functions import Function
from ..report import Counterexample
from ..rows import Points
from ..theorem import Sides
from ..words import digits_of, number
from .claims import Claim

_NEARLY = 0.99  # a simple case must show so much of what the worst one shows
_MANY = 200


def counterexample(
    function: Function, claim: Claim, points: Points, seen: Sides, judged
) -> Counterexample:
    """Return the simplest case that shows nearly as much as the worst one.

    Parameters
    ----------
    function, claim
        What was checked.
    points, seen
        Where it was checked, and what came out.
    judged
        ``vectors -> (points, seen)`` of other points.
    """
    tried, share = [(points, seen)], _share(seen)
    if claim.points != ("x*",):
        pair = _places(claim, np.unravel_index(np.argmax(share), share.shape))
        tried.append(judged(_simpler(points.noted.x.middle[..., 0], *pair)))
    cases = [
        _case(function, claim, some, seen, tuple(place))
        for some, seen in tried
        for place in np.argwhere(_share(seen).T >= _NEARLY * share.max())[:_MANY, ::-1]
    ]
    return _told(function, claim, min(cases, key=_length))


def _share(seen):
    """Return how much of both sides they are apart, where the claim is violated."""
    sizes = abs(seen.measured) + abs(seen.bound)
    there = seen.broken & (sizes > 0)
    return np.divide(seen.off, sizes, out=np.zeros_like(sizes), where=there)


def _places(claim, place):
    """Return at which points a claim is violated: x, and y, or else the minimizer."""
    here = 0 if claim.points == ("x*",) else place[0]
    return here, place[1] if claim.points == ("x", "y") else 0


def _simpler(x, here, there):
    """Return points, the first and those of a case, rounded to a few digits."""
    gap = abs(x[here] - x[there]).max()
    digits = -math.floor(math.log10(gap)) if gap > 0 else 0
    rounded = [np.round(x[k], digits + more) for more in range(4) for k in (here, there)]
    return np.array([x[0], *rounded])


class _Case(NamedTuple):
    """One violation of a claim: in words, both sides, and what its expression is made of."""

    text: str
    sides: Sides
    scope: dict[str, Any]
    claimed: float


def _case(function, claim, points, seen, place):
    noted, pair = points.noted, _places(claim, place)
    scope: dict[str, Any] = {"norm": np.linalg.norm, "minimum": float(points.minimum.middle)}
    for name, k in zip("xy", pair, strict=True):
        x, f, g = (part.middle[k, ..., 0] for part in (noted.x, noted.f, noted.g))
        scope |= {name: x, f"f{name}": f, f"g{name}": g}
    named = {"x": scope["x"], "y": scope["y"], "x*": scope["y"]}
    text = ", ".join(f"{name} = {text_of(function.form, named[name])}" for name in claim.points)
    fact: str = claim.facts[0]
    symbol = {"smoothness": "L", "strong_convexity": "mu"}.get(fact, fact)
    claimed = float(getattr(points, symbol, ball(0.0)).middle)
    return _Case(text, seen.each(lambda side: float(side[place])), scope, claimed)


def _length(case):
    return len(case.text), sum(np.count_nonzero(case.scope[name]) for name in "xy")


def _told(function, claim, case):
    seen, (left, right) = case.sides, claim.compared
    cause, implied = _cause(function, claim, case)
    bound, returned = (digits_of(x, seen.allowed) for x in (seen.bound, seen.measured))
    if claim.name == "smoothness":  # the bound is exact, and what came is rounded
        bound = number(seen.bound, 6)
    must_be, beside = ("0", "") if right == "0" else (f"at most {bound}", f" = {right}")
    sides = (
        f"must be    {must_be}{beside}\nis         {returned}\n"
        f"off by     {seen.off:.3g}; rounding explains at most {seen.allowed:.2g}"
    )
    theorem = f"{claim.theorem.statement}\n{claim.theorem.source}"
    return Counterexample(
        (("theorem", theorem), ("smallest", case.text), (left, sides)),
        case.text,
        f"{left} = 0" if right == "0" else f"{left} {must_be}",
        returned,
        seen.off,
        seen.allowed,
        cause,
        _python(function, claim, case, implied),
    )


def _cause(function, claim, case):
    """Return what is wrong, and what the claimed number would be."""
    # The number in the report is the value of the expression that its reader gets.
    implied, claimed, seen = float(eval(claim.expression, {}, case.scope)), case.claimed, case.sides
    if "{claimed}" not in claim.wrong:
        return claim.wrong.format(implied=number(implied, 6)), number(implied, 6)
    small = abs(seen.bound) <= seen.allowed and claim.compared[1] != "0"
    if small and claim.name != "smoothness":
        implied = 0.0  # as far as rounding lets see
    digits = next((n for n in range(4, 17) if f"{implied:.{n}g}" != f"{claimed:.{n}g}"), 17)
    texts = {"implied": f"{implied:.{digits}g}", "claimed": f"{claimed:.{max(digits, 6)}g}"}
    meaning = "" if "minimum" in claim.facts else _meaning(function, implied, claimed)
    return claim.wrong.format(**texts) + meaning, texts["implied"]


def _meaning(function, implied, claimed):
    """Return what a factor between two numbers may come from."""
    known = {2.0: "a missing factor 2", 0.5: "a factor 2 too many"}
    for n, whose in lengths_of(function).items():
        known.setdefault(float(n), f"{whose}: a sum is no mean")
        known.setdefault(1 / n, f"one over {whose}: a mean is no sum")
    for factor, meaning in known.items():
        if claimed and abs(implied / claimed - factor) <= (1 - _NEARLY) * factor:
            return f"; {factor:g} times what is claimed, as of {meaning}"
    return ""


def _python(function, claim, case, implied):
    """Return Python that shows the violation."""
    form, (f, imported) = function.form, import_of(function.f, "f")
    known = {"norm": "jnp.linalg.norm", "minimum": repr(case.scope["minimum"])}
    lines = [
        *imported,
        *(f"{name} = {source_of(form, case.scope[name])}" for name in "xy"),
        f"(fx, gx), (fy, gy) = (jax.value_and_grad({f})(at) for at in (x, y))",
        "x, y, gx, gy = (ravel_pytree(tree)[0] for tree in (x, y, gx, gy))",
        *(f"{name} = {text}" for name, text in known.items() if name in claim.expression),
        f"print({claim.expression})  # {implied}",
    ]
    return program(form, lines)
