"""What the facts of an objective say, as inequalities between points, with their rounding.

A claim is a function of points, or of all pairs of them; its formula is written with balls, so that
it comes out with what rounding explains. The first of the points is the minimizer that is claimed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..balls import Ball, ball, dot
from ..theorems.gradient_agreement import NESTEROV


class Points(NamedTuple):
    """Points, an array (p, d), and values and gradients there, balls (p,) and (p, d)."""

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
    """Both sides of ``measured <= bound``, balls (rows, k).

    `size` is what rounding must stay below for the comparison to say anything.
    """

    measured: Ball
    bound: Ball
    size: Any


class Products(NamedTuple):
    """The numbers that claims are made of, whatever the number of parameters.

    Balls (p, p) of all pairs, where row j is about y and column i about x: ``|x - y|^2``,
    ``|g(x) - g(y)|^2``, ``<g(x) - g(y), x - y>``, ``<g(y), x - y>``; balls (p,) of all points:
    f(x) and ``|g(x)|^2``; and the largest size of an entry of g, shape ().
    """

    move: Ball
    change: Ball
    bent: Ball
    along: Ball
    value: Ball
    slope: Ball
    steepest: Any

    @property
    def rise(self):
        """All differences f(x) - f(y), a ball (p, p)."""
        return self.value[None] - self.value[:, None]


@jax.jit
def products(points: Points) -> Products:
    """Return what claims need to know of points."""

    def beside(there):
        move, change = ball(points.x) - there.x[None], points.g - there.g[None]
        pairs = (move, move), (change, change), (change, move), (move, there.g[None])
        return [dot(*pair, axis=-1) for pair in pairs]

    move, change, bent, along = jax.lax.map(beside, points)
    slope, steepest = dot(points.g, points.g, axis=-1), abs(points.g.middle).max()
    return Products(move, change, bent, along, points.f, slope, steepest)


# -- the formulas ----------------------------------------------------------------------------------


def _smooth(known: Known, of: Products) -> Sides:
    bound = known.smoothness * of.move.sqrt()
    return Sides(of.change.sqrt(), bound, bound.middle)


def _strongly_convex(known: Known, of: Products) -> Sides:
    return Sides(known.strong_convexity * of.move, of.bent, abs(of.bent.middle))


def _convex(known: Known, of: Products) -> Sides:
    least = of.along + known.strong_convexity / 2 * of.move
    return Sides(least, of.rise, abs(of.rise.middle))


def _interpolates(known: Known, of: Products) -> Sides:
    """Compare with the condition that some function of the class has two such rows."""
    L, mu = known.smoothness, known.strong_convexity
    # Any smaller mu is true as well, and far from L nothing is divided by 1 - mu / L = 0.
    mu = Ball(jnp.clip(mu.middle, -L.middle, L.middle / 2), mu.radius + L.radius)
    bent = of.change / L + mu * (of.move - 2 * of.bent / L)
    return Sides(of.along + bent / (2 * (1 - mu / L)), of.rise, abs(of.rise.middle))


def _grows(known: Known, of: Products) -> Sides:
    bound = of.slope / 2
    return _one(Sides(known.growth * (of.value - known.minimum), bound, bound.middle))


def _bounded(known: Known, of: Products) -> Sides:
    size = abs(of.value.middle - known.minimum.middle)
    return _one(Sides(known.minimum + 0 * of.value, of.value, size))


def _least(known: Known, of: Products) -> Sides:
    return _one(Sides(of.value[0] + 0 * of.value, of.value, abs(of.rise.middle[0])))


def _attained(known: Known, of: Products) -> Sides:
    # Elsewhere, values must be seen to be others.
    size = abs(of.rise.middle[0]).max()
    return _one(Sides(abs(of.value[:1] - known.minimum), ball(jnp.zeros(1)), size))


def _stationary(known: Known, of: Products) -> Sides:
    # Of a minimizer that is computed no more is known than how long the gradient may be there.
    return _one(Sides(of.slope[0].sqrt(), ball(0.0), of.steepest))


def _flat(known: Known, of: Products) -> Sides:
    """Compare with what a step of the same length may change across the flat directions."""
    across = known.smoothness / 2 * of.move[0]
    return _one(Sides(abs(of.rise[0]), ball(jnp.zeros_like(across.middle)), across.middle))


def _one(sides):
    return jax.tree.map(lambda x: jnp.atleast_1d(x)[None], sides)


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
        ``(known, products) -> Sides``.
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
    evidence: Callable[[Known, Products], Sides]
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
        f"{NESTEROV}, Theorem 2.1.9",
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
        f"{NESTEROV}, Definition 2.1.3",
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
        "minimizer",
        "minimum",
        "f(x*) <= f(x)",
        "definition",
        ("minimizer",),
        _least,
        ("f(x*)", "f(x)"),
        "minimizer is another point: f is lower elsewhere, by {implied}",
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
        "minimizer is another point: at the claimed one the gradient has length {implied}",
        "norm(gy)",
        points=("x*",),
    ),
    Claim(
        "attained",
        "minimum",
        "f(x*) = f*",
        "definition",
        ("minimum", "minimizer"),
        _attained,
        ("|f(x*) - f*|", "0"),
        "minimum is not {claimed}: f is {implied} at the claimed minimizer",
        "fy",
        points=("x*",),
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
        return np.divide(self.gap, sizes, out=np.zeros_like(sizes), where=self.wrong & (sizes > 0))


def judged(claim: Claim, known: Known, of: Products) -> Cases:
    """Compare both sides of a claim at points, of which it knows the products, in float64.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0]])
    >>> with jax.enable_x64(True):
    ...     points = Points(x, ball(x[:, 0] ** 2), ball(2 * x))
    ...     known = Known(ball(1.0), ball(1.0), ball(1.0), ball(0.0))
    ...     assert judged(CLAIMS[0], known, products(points)).wrong.sum() == 2
    ...     assert judged(CLAIMS[1], known, products(points)).wrong.sum() == 0
    """
    # Where squares overflow, nothing is said, and NumPy would warn.
    known = jax.tree.map(jnp.asarray, known)
    return jax.tree.map(np.asarray, _cases(claim.evidence, known, of))


@functools.partial(jax.jit, static_argnums=0)
def _cases(evidence, known, of):
    measured, bound, size = evidence(known, of)
    gap = measured - bound
    return Cases(measured.middle, bound.middle, gap.middle, gap.radius, size > gap.radius)
