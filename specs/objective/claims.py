"""What the facts of an objective say, in words: of each theorem, what a violation of it shows."""

from __future__ import annotations

from typing import NamedTuple

from ..theorem import Theorem
from ..theorems.facts import FACTS


class Claim(NamedTuple):
    """An inequality that a fact of an objective says.

    Attributes
    ----------
    theorem
        What is tried.
    facts
        The names of the facts that it needs; the first is the wrong one where it fails.
    points
        What it is about: all pairs ("x", "y"), all points ("x",), the minimizer ("x*",), or all
        points beside the minimizer ("x", "x*").
    expression
        Of Python, of x, y, their values and gradients fx, fy, gx, gy, and the claimed `minimum`,
        for what is implied, or for how far it is from zero.
    wrong
        What a violation shows, with the number that is `claimed`, and the one that is `implied`.
    sides
        Both sides in words, where they are not those of the statement.
    """

    theorem: Theorem
    facts: tuple[str, ...]
    points: tuple[str, ...]
    expression: str
    wrong: str
    sides: tuple[str, ...] = ()

    @property
    def name(self):
        """The name of the theorem."""
        return self.theorem.name

    @property
    def compared(self):
        """Both sides in words."""
        return self.sides or tuple(self.theorem.statement.split(" <= "))


_MU = "strong_convexity is {implied} at most, not {claimed}"
_WORDS: dict[str, tuple] = {
    "smoothness": (
        ("smoothness",),
        ("x", "y"),
        "norm(gx - gy) / norm(x - y)",
        "smoothness is {implied} at least, not {claimed}",
    ),
    "strong-convexity": (
        ("strong_convexity",),
        ("x", "y"),
        "(gx - gy) @ (x - y) / norm(x - y) ** 2",
        _MU,
    ),
    "convexity": (
        ("strong_convexity",),
        ("x", "y"),
        "2 * (fx - fy - gy @ (x - y)) / norm(x - y) ** 2",
        _MU,
        ("<g(y), x - y> + mu/2 |x - y|^2", "f(x) - f(y)"),
    ),
    "interpolation": (
        ("smoothness",),
        ("x", "y"),
        "fx - fy",
        "no function with this smoothness and this strong_convexity has these values and gradients",
        ("what L and mu demand of f(x) - f(y)", "f(x) - f(y)"),
    ),
    "minimum": (("minimum",), ("x",), "fx", "minimum is {implied} at most, not {claimed}"),
    "minimizer": (
        ("minimizer",),
        ("x", "x*"),
        "fy - fx",
        "minimizer is another point: f is lower elsewhere, by {implied}",
    ),
    "stationary": (
        ("minimizer",),
        ("x*",),
        "norm(gy)",
        "minimizer is another point: at the claimed one the gradient has length {implied}",
        ("|g(x*)|", "0"),
    ),
    "attained": (
        ("minimum", "minimizer"),
        ("x*",),
        "fy",
        "minimum is not {claimed}: f is {implied} at the claimed minimizer",
        ("|f(x*) - f*|", "0"),
    ),
    "growth": (
        ("growth",),
        ("x",),
        "norm(gx) ** 2 / (2 * (fx - minimum))",
        "growth is {implied} at most, not {claimed}",
    ),
    "flat-directions": (
        ("flat", "minimizer"),
        ("x", "x*"),
        "fx - fy",
        "flat is wrong: f changes along it, by {implied}",
        ("|f(x) - f(x*)|", "0"),
    ),
}
*CLAIMS, FLAT = (Claim(theorem, *_WORDS[theorem.name]) for theorem in FACTS)
