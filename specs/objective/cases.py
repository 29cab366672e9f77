"""A claim that fails, in words: the simplest points that show it, and what the fact would be."""

from __future__ import annotations

import math

import numpy as np

from ..gradient.causes import digits_of, import_of, lengths_of, source_of, text_of
from ..gradient.subjects import Subject
from ..report import Counterexample
from .claims import Cases, Claim, Known, Points, judged, products

_NEARLY = 0.99  # a simple case must show so much of what the worst one shows
_MANY = 200


def counterexample(
    subject: Subject, claim: Claim, known: Known, points: Points, cases: Cases, evaluated
) -> Counterexample:
    """Return the simplest case that shows nearly as much as the worst one.

    Parameters
    ----------
    subject, claim, known
        What was checked, and what is claimed.
    points, cases
        Where it was checked, and what came out.
    evaluated
        ``(subject, vectors) -> Points``.
    """
    tried, share = [(points, cases)], cases.share
    there, here = np.unravel_index(np.argmax(share), share.shape)
    if claim.points != ("x*",):
        simple = evaluated(subject, _simpler(points.x, here, there))
        tried.append((simple, judged(claim, known, products(simple))))
    found = [
        _Case(subject, claim, known, some, cases, here, there)
        for some, cases in tried
        for there, here in np.argwhere(cases.share >= _NEARLY * share.max())[:_MANY]
    ]
    return min(found, key=_length).told()


def _length(case):
    return len(case.text), np.count_nonzero(case.x) + np.count_nonzero(case.y)


def _simpler(x, here, there):
    """Return as many points, among them those of a case, rounded to a few digits."""
    gap = abs(x[here] - x[there]).max()
    digits = -math.floor(math.log10(gap)) if gap > 0 else 0
    rounded = [np.round(x[k], digits + more) for more in range(4) for k in (here, there)]
    simple = np.array([x[0], *rounded])
    return np.concatenate([simple, np.repeat(x[:1], max(0, len(x) - len(simple)), axis=0)])


class _Case:
    """One violation of a claim."""

    def __init__(self, subject, claim, known, points, cases, here, there):
        self.subject, self.claim, self.known = subject, claim, known
        self.must_be, self.returned, self.off_by, self.explained = (
            float(part[there, here]) for part in (cases.bound, cases.measured, *cases[2:4])
        )
        there, here = (0, 0) if claim.points == ("x*",) else (there, here)
        self.x, self.y = points.x[here], points.x[there]
        self.scope = {
            **{"x": self.x, "fx": points.f.middle[here], "gx": points.g.middle[here]},
            **{"y": self.y, "fy": points.f.middle[there], "gy": points.g.middle[there]},
            **{"norm": np.linalg.norm, "minimum": float(known.minimum.middle)},
        }
        named = {"x": self.x, "y": self.y, "x*": self.y}
        self.text = ", ".join(
            f"{name} = {text_of(subject.form, named[name])}" for name in claim.points
        )

    def told(self) -> Counterexample:
        claim = self.claim
        cause, implied = self._cause()
        left, right = claim.compared
        bound, returned = (digits_of(x, self.explained) for x in (self.must_be, self.returned))
        if claim.name == "smoothness":  # the bound is exact, and what came is rounded
            bound = shown(self.must_be)
        must_be, beside = ("0", "") if right == "0" else (f"at most {bound}", f" = {right}")
        sides = (
            f"must be    {must_be}{beside}\nis         {returned}\n"
            f"off by     {self.off_by:.3g}; rounding explains at most {self.explained:.2g}"
        )
        lines = (
            ("theorem", f"{claim.statement}\t{claim.source}"),
            ("smallest", self.text),
            (left, sides),
        )
        return Counterexample(
            lines,
            self.text,
            f"{left} {must_be}",
            returned,
            self.off_by,
            self.explained,
            cause,
            self._python(implied),
        )

    def _cause(self):
        """Return what is wrong, and what the claimed number would be."""
        # The number in the report is the value of the expression that its reader gets.
        implied = float(eval(self.claim.shown, {}, self.scope))
        fact = self.claim.facts[0]
        if "{claimed}" not in self.claim.wrong:
            return self.claim.wrong.format(implied=shown(implied)), shown(implied)
        claimed = float(getattr(self.known, fact).middle)
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
        for n, whose in lengths_of(self.subject).items():
            known.setdefault(float(n), f"{whose}: a sum is no mean")
            known.setdefault(1 / n, f"one over {whose}: a mean is no sum")
        for factor, meaning in known.items():
            if abs(implied / claimed - factor) <= (1 - _NEARLY) * factor:
                return f"; {factor:g} times what is claimed, as of {meaning}"
        return ""

    def _python(self, implied):
        """Return Python that shows the violation."""
        form, (f, imported) = self.subject.form, import_of(self.subject.f, "f")
        double = ['jax.config.update("jax_enable_x64", True)'] if form.double else []
        claim = self.claim
        lines = [
            "import jax",
            *double,
            "import jax.numpy as jnp",
            "import numpy as np",
            "from jax.flatten_util import ravel_pytree",
            *imported,
            f"x = {source_of(form, self.x)}",
            f"y = {source_of(form, self.y)}",
            f"(fx, gx), (fy, gy) = (jax.value_and_grad({f})(at) for at in (x, y))",
            "x, y, gx, gy = (ravel_pytree(tree)[0] for tree in (x, y, gx, gy))",
        ]
        if "norm" in claim.shown:
            lines.append("norm = jnp.linalg.norm")
        if "minimum" in claim.shown:
            lines.append(f"minimum = {self.scope['minimum']!r}")
        return "\n".join([*lines, f"print({claim.shown})  # {implied}"])


def shown(x) -> str:
    """Return a number with up to six digits."""
    return f"{float(x):.6g}"
