"""Balls hold the exact results of their operations, against fractions, and little more."""

import math
import operator
from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdpure.specs import balls
from gdpure.specs.balls import Ball, ball

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = 6, 4
EPS, TINY = 2.0**-52, 2.0**-1022

# Neighbours of 1, full mantissas, fractions without end, powers of two, scales apart.
_POOL = [0, 0, 1, -1, 1 + EPS, 1 - EPS / 2, 2 - EPS, 1 / 3, 0.1, 3, -(2.0**53 - 1), 2.0**52]
_POOL += [TINY, 1e-300, -1e-160, 1e-20, 1e20, -1e150, 7e152, 2.0**500, 2.0**-500]
_RADII = [0, 0, 0, EPS / 2, 1e-9, 0.3, 1, 1, 1.5, 1e3]

fractions = np.vectorize(lambda x: Fraction(float(x)), otypes=[object])


@partial(np.vectorize, otypes=[object])
def over(a, b):
    """The quotient; of the one by zero a ball claims nothing."""
    return a / b if b else Fraction(0)


@partial(np.vectorize, otypes=[object])
def root(q):
    """The square root of a fraction to a hundred digits, 0 of what is negative."""
    p, d = max(q, Fraction(0)).as_integer_ratio()
    return Fraction(math.isqrt((p * d) << 700), d << 350)


# On balls, and on fractions. Sums and their like go along the last axis but one.
OPERATIONS = {
    "plus": (operator.add, operator.add),
    "minus": (operator.sub, operator.sub),
    "times": (operator.mul, operator.mul),
    "over": (operator.truediv, over),
    "inner product": (balls.dot, lambda a, b: (a * b).sum(-2)),
    "negative": (operator.neg, operator.neg),
    "absolute value": (abs, abs),
    "power 0": (lambda a: a**0, lambda a: a**0),
    "square": (lambda a: a**2, lambda a: a**2),
    "powers": (lambda a: a ** jnp.array([[0.0, 1, 2, 5]]), lambda a: a ** np.array([0, 1, 2, 5])),
    "square root": (lambda a: a.sqrt(), root),
    "sum": (lambda a: a.sum(), lambda a: a.sum(-2)),
    "largest": (lambda a: a.max(), lambda a: a.max(-2)),
    "norm": (balls.norm, lambda a: root((a * a).sum(-2))),
}
EXACT = {"negative", "absolute value", "power 0", "largest"}
BINARY = {"plus", "minus", "times", "over", "inner product"}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


def draw(rng, like=None):
    """Balls of every size, around numbers that go wrong first; some of them `like` cancels."""
    plain = rng.normal(size=SHAPE) * 2.0 ** rng.integers(-9, 9, SHAPE)
    middle = np.where(rng.random(SHAPE) < 0.5, plain, rng.choice(_POOL, SHAPE))
    if like is not None:
        near = -like.middle * (1 + EPS * rng.integers(-2, 3, SHAPE))
        middle = np.where((rng.random(SHAPE) < 0.3) & (abs(near) >= TINY), near, middle)
    radius = abs(middle) * rng.choice(_RADII, SHAPE) + rng.choice([0, 0, 0, 1e-12, 1], SHAPE)
    return Ball(middle, np.where(radius >= TINY, radius, 0))


def operands(name, seed):
    rng = np.random.default_rng(seed)
    a = draw(rng)
    return (a, draw(rng, like=a)) if name in BINARY else (a,)


def check_contains(operation, exact, *operands):
    """Whatever is in the operands, the ball of the `operation` holds what is `exact` of it."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True), np.errstate(all="ignore"):
        found = operation(*operands)
    middle, radius = np.asarray(found.middle), np.asarray(found.radius)
    assert middle.dtype == radius.dtype == np.float64 and middle.shape == radius.shape
    # Of what has overflowed, or may be a quotient by zero, nothing is known.
    known = np.isfinite(radius)
    assert np.isfinite(middle[known]).all()
    for _ in range(4):
        corner = [
            fractions(b.middle) + rng.integers(-1, 2, b.middle.shape) * fractions(b.radius)
            for b in operands
        ]
        off = abs(exact(*corner)[known] - fractions(middle[known]))
        assert (off <= fractions(radius[known])).all()


@every_operation
@pytest.mark.parametrize("library", [lambda operation: operation, jax.jit], ids=["NumPy", "JAX"])
@given(seed=SEEDS)
def test_a_ball_holds_what_is_exact(name, library, seed):
    operation, exact = OPERATIONS[name]
    check_contains(library(operation), exact, *operands(name, seed))


@pytest.mark.parametrize("name", ["plus", "minus", "times", "over"])
@given(seed=SEEDS)
def test_numpy_on_the_left_leaves_the_operation_to_the_ball(name, seed):
    operation, exact = OPERATIONS[name]
    numbers, b = operands(name, seed)
    left = numbers.middle
    check_contains(lambda b: operation(left, b), lambda b: exact(fractions(left), b), b)
    check_contains(lambda b: operation(b, left), lambda b: exact(b, fractions(left)), b)
    check_contains(lambda b: operation(0.1, b), lambda b: exact(fractions(0.1), b), b)


@given(SEEDS)
def test_nothing_in_a_ball_exceeds_its_most(seed):
    [b] = operands("most", seed)
    with jax.enable_x64(True):
        most = balls.most(Ball(jnp.asarray(b.middle), jnp.asarray(b.radius)))
    assert (fractions(most) >= fractions(b.middle) + fractions(b.radius)).all()


# -- planted bugs ----------------------------------------------------------------------------------


def plain(name, seed=0):
    """Operands without an error of their own, so that all of the radius is rounding."""
    rng = np.random.default_rng(seed)
    count = 2 if name in BINARY else 1
    return [Ball(rng.normal(size=SHAPE), np.zeros(SHAPE)) for _ in range(count)]


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - EXACT))
def test_an_operation_that_forgets_its_own_rounding_is_seen(name, monkeypatch):
    operation, exact = OPERATIONS[name]
    check_contains(operation, exact, *plain(name))
    monkeypatch.setattr(balls, "_U", 0.0)
    with pytest.raises(AssertionError):
        check_contains(operation, exact, *plain(name))


@pytest.mark.parametrize(
    "name, bug",
    {
        "plus": lambda a, b: Ball((a + b).middle, (a + b.middle).radius),
        "times": lambda a, b: Ball((a * b).middle, (a * b.middle + a.middle * b).radius),
        "over": lambda a, b: a * Ball(1 / b.middle, b.radius / b.middle**2),
        "square root": lambda a: Ball(a.sqrt().middle, a.radius / 2 / a.sqrt().middle),
        "square": lambda a: Ball((a**2).middle, 2 * abs(a.middle) * a.radius),
    }.items(),
)
def test_an_operation_that_forgets_an_error_is_seen(name, bug):
    exact = OPERATIONS[name][1]
    for found, seen in ((OPERATIONS[name][0], False), (bug, True)):
        try:
            for seed in range(8):
                wide = [Ball(b.middle, abs(b.middle) / 2) for b in plain(name, seed)]
                positive = [Ball(abs(b.middle), b.radius) for b in wide]
                check_contains(found, exact, *positive)
        except AssertionError:
            assert seen
        else:
            assert not seen


# -- no larger than needed -------------------------------------------------------------------------

# First-order errors of the operands, and what is rounded: sums, of every term.
FIRST_ORDER = {
    "plus": lambda a, b, r, s: (r + s, abs(a + b)),
    "minus": lambda a, b, r, s: (r + s, abs(a - b)),
    "times": lambda a, b, r, s: (abs(a) * s + r * abs(b), abs(a * b)),
    "over": lambda a, b, r, s: (r / abs(b) + abs(a) * s / b**2, abs(a / b)),
    "inner product": lambda a, b, r, s: (
        (abs(a) * s + r * abs(b)).sum(-2),
        SHAPE[0] * abs(a * b).sum(-2),
    ),
    "negative": lambda a, r: (r, 0 * a),
    "absolute value": lambda a, r: (r, 0 * a),
    "power 0": lambda a, r: (0 * r, 0 * a + 2),
    "square": lambda a, r: (2 * abs(a) * r, 6 * a**2),
    "powers": lambda a, r: (
        np.array([0, 1, 2, 5]) * abs(a) ** np.array([0, 0, 1, 4]) * r,
        np.array([2, 4, 6, 12]) * abs(a) ** np.array([0, 1, 2, 5]),
    ),
    "square root": lambda a, r: (np.where(a > 0, r / abs(a) ** 0.5 / 2, r**0.5), abs(a) ** 0.5),
    "sum": lambda a, r: (r.sum(-2), SHAPE[0] * abs(a).sum(-2)),
    "largest": lambda a, r: (r.max(-2), 0 * a.max(-2)),
    "norm": lambda a, r: (
        (r**2).sum(-2) ** 0.5,
        (SHAPE[0] + 3) * (a**2).sum(-2) ** 0.5,
    ),
}


def check_sharp(operation, first_order, *operands, slack=2):
    """A radius is little more than its terms of first order, with 2 u for a rounding."""
    with jax.enable_x64(True):
        found = operation(*jax.tree.map(jnp.asarray, operands))
    middles, radii = ([getattr(b, part) for b in operands] for part in ("middle", "radius"))
    spread, rounded = first_order(*middles, *radii)
    assert (np.asarray(found.radius) <= slack * (spread + EPS * rounded) + 100 * TINY).all()


@every_operation
@pytest.mark.parametrize("wide", [0.0, EPS, 1e-3])
def test_a_radius_is_little_more_than_its_terms_of_first_order(name, wide):
    given = [Ball(b.middle, wide * abs(b.middle)) for b in plain(name)]
    operation, first_order = OPERATIONS[name][0], FIRST_ORDER[name]
    check_sharp(operation, first_order, *given)
    with pytest.raises(AssertionError):  # a ball that is a hundred times too large
        check_sharp(
            lambda *given: Ball(operation(*given).middle, 1e-15 + 100 * operation(*given).radius),
            first_order,
            *given,
        )


# -- the ends of the range -------------------------------------------------------------------------


def test_what_cannot_be_known_has_an_infinite_radius():
    with jax.enable_x64(True):
        quotient = np.ones(3) / Ball(jnp.array([0.0, 1.0, -1.0]), jnp.array([0.0, 1.0, 2.0]))
        assert np.isinf(quotient.radius).all() and np.isfinite(quotient.middle).all()
        # Zero times that is not zero, but no NaN, which every comparison would call broken.
        assert np.isinf((quotient * np.zeros(3)).radius).all()


def test_the_square_root_of_what_may_be_negative_is_that_of_its_positive_part():
    with jax.enable_x64(True):
        root = Ball(jnp.array([-1.0, -1.0, 0.0, 1.0]), jnp.array([0.5, 1.25, 4.0, 4.0])).sqrt()
        assert root.middle.tolist() == [0, 0, 0, 1]
        assert (root.middle + root.radius >= np.sqrt([0, 0.25, 4, 5])).all()


def test_a_ball_goes_through_jit_and_vmap_and_keeps_its_shape():
    with jax.enable_x64(True):
        x = Ball(jnp.ones((3, 2, 4)), jnp.zeros((3, 2, 4)))
        rows = jax.jit(jax.vmap(lambda row: balls.dot(row, row)))(x)
        assert rows.middle.tolist() == [[2.0] * 4] * 3 and rows.radius.shape == (3, 4)
        assert balls.stack([rows, rows]).radius.shape == (3, 2, 4)
        assert balls.concatenate([rows, rows]).radius.shape == (6, 4)
        assert ball(x) is x and x[1].middle.shape == (2, 4)
