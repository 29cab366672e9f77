"""What the facts of an objective say, as inequalities between points, with their rounding.

A claim is a function of points and of one more point; its formula is written with balls, so that
it comes out with what rounding explains. Row 0 of the points is the minimizer that is claimed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .balls import Ball, ball, dot, norm
from .gradient_agreement import _NESTEROV


class Points(NamedTuple):
    """Points with exact values and gradients, each known up to rounding.

    Attributes
    ----------
    x, f, g
        An array (p, d), balls (p,) and (p, d); or without the leading axis.
    """

    x: Any
    f: Ball
    g: Ball


class Known(NamedTuple):
    """The numbers that are claimed, balls of shape (); 0 where there is no claim."""

    smoothness: Ball
    strong_convexity: Ball
    growth: Ball
    minimum: Ball


class Sides(NamedTuple):
    """Both sides of ``measured <= bound``, balls of shape (k,).

    `size` (k,) is what rounding must stay below for the comparison to say anything.
    """

    measured: Ball
    bound: Ball
    size: Any


# -- the formulas ----------------------------------------------------------------------------------


def _between(here, there):
    """Return the steps from a point to others, and the changes of the gradient."""
    return ball(here.x) - there.x[None], here.g - there.g[None]


def _smooth(known: Known, here: Points, there: Points) -> Sides:
    move, change = _between(here, there)
    bound = known.smoothness * norm(move)
    return Sides(norm(change), bound, bound.middle)


def _strongly_convex(known: Known, here: Points, there: Points) -> Sides:
    move, change = _between(here, there)
    bent = dot(change, move)
    return Sides(known.strong_convexity * dot(move, move), bent, abs(bent.middle))


def _convex(known: Known, here: Points, there: Points) -> Sides:
    move, _ = _between(here, there)
    rise, bent = here.f - there.f, known.strong_convexity / 2.0 * dot(move, move)
    return Sides(dot(move, there.g[None]) + bent, rise, abs(rise.middle))


def _interpolates(known: Known, here: Points, there: Points) -> Sides:
    """Compare with the condition that some function of the class has these two rows."""
    move, change = _between(here, there)
    L, mu = known.smoothness, known.strong_convexity
    # Any smaller mu is true as well, and far from L nothing is divided by 1 - mu / L = 0.
    mu = Ball(jnp.clip(mu.middle, -L.middle, L.middle / 2), mu.radius + L.radius)
    rest = move - change / L
    needed = dot(move, there.g[None]) + dot(change, change) / (2.0 * L)
    bound = here.f - there.f
    measured = needed + dot(rest, rest) * (mu / 2.0 / (1.0 - mu / L))
    return Sides(measured, bound, abs(bound.middle))


def _grows(known: Known, here: Points, there: Points) -> Sides:
    bound = dot(here.g, here.g) / 2.0
    return Sides(known.growth * (here.f - known.minimum), bound, bound.middle)


def _bounded(known: Known, here: Points, there: Points) -> Sides:
    return Sides(known.minimum + ball(0.0 * here.f.middle), here.f, abs(here.f.middle))


def _least(known: Known, here: Points, there: Points) -> Sides:
    return Sides(there.f + ball(0.0 * here.f.middle), here.f, abs(here.f.middle - there.f.middle))


def _stationary(known: Known, here: Points, there: Points) -> Sides:
    # Elsewhere the gradient must be seen to be something else than zero.
    return Sides(abs(there.g), ball(0.0 * there.g.middle), jnp.nanmax(abs(here.g.middle), axis=0))


def _attained(known: Known, here: Points, there: Points) -> Sides:
    gap = abs(there.f - known.minimum)
    typical = jnp.nanmedian(abs(here.f.middle - there.f.middle))
    return Sides(_one(gap), ball(jnp.zeros(1)), typical[None])


def _one(x):
    return Ball(x.middle[None], x.radius[None])


def _flat(known: Known, here: Points, there: Points) -> Sides:
    """Compare with what a step of the same length may change across the flat directions."""
    move, _ = _between(here, there)
    change, steep = abs(here.f - there.f), known.smoothness / 2.0 * dot(move, move)
    return Sides(change, ball(0.0 * change.middle), steep.middle)


# -- the claims ------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """An inequality that a fact of an objective says.

    Attributes
    ----------
    name, family, statement, source
        As of a theorem.
    facts
        The names of the facts that it needs; the first is the wrong one where it fails.
    evidence
        ``(known, points, one point) -> Sides``.
    compared
        Both sides in words.
    wrong
        What a violation shows, with the number that is `claimed`, and the one that is `implied`.
    shown
        An expression of x, y, their values and gradients fx, fy, gx, gy, and the claimed `minimum`,
        for what is implied, or for how far it is from zero.
    points
        What it is about: all pairs ("x", "y"), all points ("x",), the minimizer ("x*",), or all
        points beside the minimizer ("x", "x*").
    """

    name: str
    family: str
    statement: str
    source: str
    facts: tuple[str, ...]
    evidence: Callable[[Known, Points, Points], Sides]
    compared: tuple[str, str]
    wrong: str
    shown: str
    points: tuple[str, ...] = ("x",)


CLAIMS = (
    Claim(
        "smoothness",
        "curvature",
        "|g(x) - g(y)| <= L |x - y|",
        "definition",
        ("smoothness",),
        _smooth,
        ("|g(x) - g(y)|", "L |x - y|"),
        "smoothness is {implied} at least, not {claimed}",
        "norm(gx - gy) / norm(x - y)",
        points=("x", "y"),
    ),
    Claim(
        "strong-convexity",
        "curvature",
        "mu |x - y|^2 <= <g(x) - g(y), x - y>",
        f"{_NESTEROV}, Theorem 2.1.9",
        ("strong_convexity",),
        _strongly_convex,
        ("mu |x - y|^2", "<g(x) - g(y), x - y>"),
        "strong_convexity is {implied} at most, not {claimed}",
        "(gx - gy) @ (x - y) / norm(x - y) ** 2",
        points=("x", "y"),
    ),
    Claim(
        "convexity",
        "curvature",
        "f(y) + <g(y), x - y> + mu/2 |x - y|^2 <= f(x), with mu >= 0",
        f"{_NESTEROV}, Definition 2.1.3",
        ("strong_convexity",),
        _convex,
        ("<g(y), x - y> + mu/2 |x - y|^2", "f(x) - f(y)"),
        "strong_convexity is {implied} at most, not {claimed}",
        "2 * (fx - fy - gy @ (x - y)) / norm(x - y) ** 2",
        points=("x", "y"),
    ),
    Claim(
        "interpolation",
        "curvature",
        "an L-smooth mu-strongly convex f has (x, g(x), f(x)) and (y, g(y), f(y))",
        "Taylor, Hendrickx and Glineur, Math. Program. 161, 2017, Theorem 4",
        ("smoothness",),
        _interpolates,
        ("what L and mu demand of f(x) - f(y)", "f(x) - f(y)"),
        "no function with this smoothness and this strong_convexity has these values and gradients",
        "fx - fy",
        points=("x", "y"),
    ),
    Claim(
        "growth",
        "growth",
        "growth (f(x) - f*) <= |g(x)|^2 / 2",
        "Polyak 1963; Lojasiewicz 1963",
        ("growth",),
        _grows,
        ("growth (f(x) - f*)", "|g(x)|^2 / 2"),
        "growth is {implied} at most, not {claimed}",
        "norm(gx) ** 2 / (2 * (fx - minimum))",
    ),
    Claim(
        "minimum",
        "minimum",
        "f* <= f(x)",
        "definition",
        ("minimum",),
        _bounded,
        ("f*", "f(x)"),
        "minimum is {implied} at most, not {claimed}",
        "fx",
    ),
    Claim(
        "attained",
        "minimum",
        "f(x*) = f*",
        "definition",
        ("minimum", "minimizer"),
        _attained,
        ("|f(x*) - f*|", "0"),
        "minimum is not {claimed}, or the minimizer is another: there f is {implied}",
        "fy",
        points=("x*",),
    ),
    Claim(
        "minimizer",
        "minimum",
        "f(x*) <= f(x)",
        "definition",
        ("minimizer",),
        _least,
        ("f(x*)", "f(x)"),
        "minimizer is another point: f(x) is lower by {implied}",
        "fy - fx",
        points=("x", "x*"),
    ),
    Claim(
        "stationary",
        "minimum",
        "g(x*) = 0",
        "Fermat's theorem",
        ("minimizer",),
        _stationary,
        ("|g(x*)|", "0"),
        "minimizer is another point: the gradient at the one that is claimed is {implied} long",
        "norm(gy)",
        points=("x*",),
    ),
)

FLAT = Claim(
    "flat-directions",
    "flat directions",
    "f(x* + flat v) = f(x*)",
    "definition",
    ("flat", "minimizer"),
    _flat,
    ("|f(x) - f(x*)|", "0"),
    "flat is wrong: f changes along it, by {implied}",
    "fx - fy",
    points=("x", "x*"),
)


# -- judging ---------------------------------------------------------------------------------------


class Cases(NamedTuple):
    """A claim at many points, all arrays (rows, k).

    Row j is about the j-th point beside all others, or about the first alone.
    """

    measured: Any
    bound: Any
    gap: Any
    radius: Any
    informative: Any

    @property
    def wrong(self):
        """Where the claim is violated."""
        return self.gap > self.radius

    @property
    def share(self):
        """How much of both sides the gap is, where the claim is violated."""
        sizes = abs(self.measured) + abs(self.bound)
        return np.where(self.wrong, self.gap / np.where(sizes > 0, sizes, 1), 0)


def judged(claim: Claim, known: Known, points: Points) -> Cases:
    """Compare both sides of a claim at points, in float64.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0]])
    >>> with jax.enable_x64(True):
    ...     points = Points(x, ball(x[:, 0] ** 2), ball(2 * x))
    ...     known = Known(ball(1.0), ball(1.0), ball(1.0), ball(0.0))
    ...     assert judged(CLAIMS[0], known, points).wrong.sum() == 2
    ...     assert judged(CLAIMS[1], known, points).wrong.sum() == 0
    """
    return jax.tree.map(np.asarray, _compared(claim, known, points))


@functools.partial(jax.jit, static_argnames="claim")
def _compared(claim, known, points):
    def against(there):
        measured, bound, size = claim.evidence(known, points, there)
        gap = measured - bound
        return Cases(measured.middle, bound.middle, gap.middle, gap.radius, size > gap.radius)

    pairs = claim.points == ("x", "y")
    return jax.lax.map(against, points if pairs else jax.tree.map(lambda x: x[:1], points))
