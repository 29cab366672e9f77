"""What the facts of an objective say, in words: of each theorem, what a violation of it shows."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..theorem import Theorem
from ..theorems.facts import FACTS


class Claim(NamedTuple):
    """An inequality that a fact of an objective says.

    Attributes
    ----------
    facts
        The names of the facts that it needs; the first is the wrong one where it fails.
    compared
        Both sides in words.
    wrong
        What a violation shows, with the number that is `claimed`, and the one that is `implied`.
    expression
        Of Python, of x, y, their values and gradients fx, fy, gx, gy, and the claimed `minimum`,
        for what is implied, or for how far it is from zero.
    points
        What it is about: all pairs ("x", "y"), all points ("x",), the minimizer ("x*",), or all
        points beside the minimizer ("x", "x*").
    theorem
        What is tried.
    """

    facts: tuple[str, ...]
    compared: tuple[str, str]
    wrong: str
    expression: str
    points: tuple[str, ...]
    theorem: Any = None

    @property
    def name(self):
        """The name of the theorem."""
        return self.theorem.name


_WORDS = {
    "smoothness": Claim(
        ("smoothness",),
        ("|g(x) - g(y)|", "L |x - y|"),
        "smoothness is {implied} at least, not {claimed}",
        "norm(gx - gy) / norm(x - y)",
        ("x", "y"),
    ),
    "strong-convexity": Claim(
        ("strong_convexity",),
        ("mu |x - y|^2", "<g(x) - g(y), x - y>"),
        "strong_convexity is {implied} at most, not {claimed}",
        "(gx - gy) @ (x - y) / norm(x - y) ** 2",
        ("x", "y"),
    ),
    "convexity": Claim(
        ("strong_convexity",),
        ("<g(y), x - y> + mu/2 |x - y|^2", "f(x) - f(y)"),
        "strong_convexity is {implied} at most, not {claimed}",
        "2 * (fx - fy - gy @ (x - y)) / norm(x - y) ** 2",
        ("x", "y"),
    ),
    "interpolation": Claim(
        ("smoothness",),
        ("what L and mu demand of f(x) - f(y)", "f(x) - f(y)"),
        "no function with this smoothness and this strong_convexity has these values and gradients",
        "fx - fy",
        ("x", "y"),
    ),
    "minimum": Claim(
        ("minimum",),
        ("f*", "f(x)"),
        "minimum is {implied} at most, not {claimed}",
        "fx",
        ("x",),
    ),
    "minimizer": Claim(
        ("minimizer",),
        ("f(x*)", "f(x)"),
        "minimizer is another point: f is lower elsewhere, by {implied}",
        "fy - fx",
        ("x", "x*"),
    ),
    "stationary": Claim(
        ("minimizer",),
        ("|g(x*)|", "0"),
        "minimizer is another point: at the claimed one the gradient has length {implied}",
        "norm(gy)",
        ("x*",),
    ),
    "attained": Claim(
        ("minimum", "minimizer"),
        ("|f(x*) - f*|", "0"),
        "minimum is not {claimed}: f is {implied} at the claimed minimizer",
        "fy",
        ("x*",),
    ),
    "growth": Claim(
        ("growth",),
        ("growth (f(x) - f*)", "|g(x)|^2 / 2"),
        "growth is {implied} at most, not {claimed}",
        "norm(gx) ** 2 / (2 * (fx - minimum))",
        ("x",),
    ),
    "flat-directions": Claim(
        ("flat", "minimizer"),
        ("|f(x) - f(x*)|", "0"),
        "flat is wrong: f changes along it, by {implied}",
        "fx - fy",
        ("x", "x*"),
    ),
}


def _said(theorem: Theorem) -> Claim:
    return _WORDS[theorem.name]._replace(theorem=theorem)


*CLAIMS, FLAT = map(_said, FACTS)
