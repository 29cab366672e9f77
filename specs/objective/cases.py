"""A claim that fails, in words: the simplest points that show it, and what the fact would be."""

from __future__ import annotations

import math

import numpy as np

from ..gradient.causes import lengths_of
from ..gradient.functions import Function
from ..gradient.text import digits_of, import_of, program, source_of, text_of
from ..report import Counterexample
from ..rows import Points
from ..theorem import Sides
from ..words import number
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
        here, there = _places(claim, np.unravel_index(np.argmax(share), share.shape))
        tried.append(judged(_simpler(points.noted.x.middle[..., 0], here, there)))
    found = [
        _Case(function, claim, some, seen, place)
        for some, seen in tried
        for place in np.argwhere(_share(seen).T >= _NEARLY * share.max())[:_MANY, ::-1]
    ]
    return min(found, key=_length).told()


def _share(seen):
    """Return how much of both sides they are apart, where the claim is violated."""
    sizes = abs(seen.measured) + abs(seen.bound)
    there = seen.broken & (sizes > 0)
    return np.divide(seen.off, sizes, out=np.zeros_like(sizes), where=there)


def _places(claim, place):
    """Return at which points a claim is violated: x, and y, or else the minimizer."""
    here = 0 if claim.points == ("x*",) else place[0]
    return here, place[1] if claim.points == ("x", "y") else 0


def _length(case):
    return len(case.text), np.count_nonzero(case.x) + np.count_nonzero(case.y)


def _simpler(x, here, there):
    """Return points, the first and those of a case, rounded to a few digits."""
    gap = abs(x[here] - x[there]).max()
    digits = -math.floor(math.log10(gap)) if gap > 0 else 0
    rounded = [np.round(x[k], digits + more) for more in range(4) for k in (here, there)]
    return np.array([x[0], *rounded])


class _Case:
    """One violation of a claim."""

    def __init__(self, function, claim, points, seen, place):
        self.function, self.claim, self.known = function, claim, points
        self.must_be, self.returned, self.off_by, self.explained = (
            float(part[tuple(place)])
            for part in (seen.bound, seen.measured, seen.off, seen.allowed)
        )
        here, there = _places(claim, place)
        x, f, g = (part.middle[..., 0] for part in (points.noted.x, points.noted.f, points.noted.g))
        self.x, self.y = x[here], x[there]
        self.scope = {
            **{"x": self.x, "fx": f[here], "gx": g[here]},
            **{"y": self.y, "fy": f[there], "gy": g[there]},
            **{"norm": np.linalg.norm, "minimum": float(points.minimum.middle)},
        }
        named = {"x": self.x, "y": self.y, "x*": self.y}
        self.text = ", ".join(
            f"{name} = {text_of(function.form, named[name])}" for name in claim.points
        )

    def told(self) -> Counterexample:
        claim = self.claim
        cause, implied = self._cause()
        left, right = claim.compared
        bound, returned = (digits_of(x, self.explained) for x in (self.must_be, self.returned))
        if claim.name == "smoothness":  # the bound is exact, and what came is rounded
            bound = number(self.must_be, 6)
        must_be, beside = ("0", "") if right == "0" else (f"at most {bound}", f" = {right}")
        sides = (
            f"must be    {must_be}{beside}\nis         {returned}\n"
            f"off by     {self.off_by:.3g}; rounding explains at most {self.explained:.2g}"
        )
        lines = (
            ("theorem", f"{claim.theorem.statement}\n{claim.theorem.source}"),
            ("smallest", self.text),
            (left, sides),
        )
        return Counterexample(
            lines,
            self.text,
            f"{left} = 0" if right == "0" else f"{left} {must_be}",
            returned,
            self.off_by,
            self.explained,
            cause,
            self._python(implied),
        )

    def _cause(self):
        """Return what is wrong, and what the claimed number would be."""
        # The number in the report is the value of the expression that its reader gets.
        implied = float(eval(self.claim.expression, {}, self.scope))
        fact = self.claim.facts[0]
        if "{claimed}" not in self.claim.wrong:
            return self.claim.wrong.format(implied=number(implied, 6)), number(implied, 6)
        name = "L" if fact == "smoothness" else "mu" if fact == "strong_convexity" else fact
        claimed = float(getattr(self.known, name).middle)
        small = abs(self.must_be) <= self.explained and self.claim.compared[1] != "0"
        if small and fact != "smoothness":
            implied = 0.0  # as far as rounding lets see
        digits = next((n for n in range(4, 17) if f"{implied:.{n}g}" != f"{claimed:.{n}g}"), 17)
        texts = {"implied": f"{implied:.{digits}g}", "claimed": f"{claimed:.{max(digits, 6)}g}"}
        return self.claim.wrong.format(**texts) + self._meaning(implied, claimed), texts["implied"]

    def _meaning(self, implied, claimed):
        """Return what a factor between two numbers may come from."""
        if not claimed or not implied or self.claim.name in ("minimum", "attained"):
            return ""
        known = {2.0: "a missing factor 2", 0.5: "a factor 2 too many"}
        for n, whose in lengths_of(self.function).items():
            known.setdefault(float(n), f"{whose}: a sum is no mean")
            known.setdefault(1 / n, f"one over {whose}: a mean is no sum")
        for factor, meaning in known.items():
            if abs(implied / claimed - factor) <= (1 - _NEARLY) * factor:
                return f"; {factor:g} times what is claimed, as of {meaning}"
        return ""

    def _python(self, implied):
        """Return Python that shows the violation."""
        form, (f, imported) = self.function.form, import_of(self.function.f, "f")
        lines = [
            *imported,
            f"x = {source_of(form, self.x)}",
            f"y = {source_of(form, self.y)}",
            f"(fx, gx), (fy, gy) = (jax.value_and_grad({f})(at) for at in (x, y))",
            "x, y, gx, gy = (ravel_pytree(tree)[0] for tree in (x, y, gx, gy))",
        ]
        if "norm" in self.claim.expression:
            lines.append("norm = jnp.linalg.norm")
        if "minimum" in self.claim.expression:
            lines.append(f"minimum = {self.scope['minimum']!r}")
        return program(form, [*lines, f"print({self.claim.expression})  # {implied}"])
