"""Landscapes: their numbers, their minimizers, their gradients and what is claimed about them."""

import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gdpure as gd

NAMES = sorted(gd.landscapes.MINIMIZERS)
EVERY_MINIMIZER = [(name, x) for name in NAMES for x in gd.landscapes.MINIMIZERS[name]]
u = 2.0**-53

# Values from the literature, at points where they can be checked on paper.
KNOWN = [
    ("bowl", (2, 1), 5),
    ("saddle", (1, 2), -3),
    ("double_well", (0, 0), 1),
    ("double_well", (2, 3), 18),
    ("rosenbrock", (-1.25, 1), 2.25**2 + 100 * 0.5625**2),
    ("himmelblau", (0, 0), 170),
    ("himmelblau", (-1, 2), 80),
    ("beale", (0, 0), 1.5**2 + 2.25**2 + 2.625**2),
    ("beale", (1, 2), 2.5**2 + 5.25**2 + 9.625**2),
    ("camel", (1, -2), 2 - 1.05 + 1 / 6 - 2 + 4),
    ("rastrigin", (0.5, 1.5), 0.25 + 2.25 + 40),
]


def landscape(name):
    return getattr(gd.landscapes, name)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(("name", "x", "value"), KNOWN)
def test_values_are_those_of_the_textbook(float64, name, x, value):
    # At most sixty roundings, each of a number of at most 200 here.
    assert abs(landscape(name)(np.array(x, float)) - value) <= 60 * 200 * u


@pytest.mark.parametrize("name", NAMES)
def test_every_landscape_has_a_known_value_and_is_an_objective_of_a_float32_pair(name):
    assert name in {known for known, _, _ in KNOWN}
    f = landscape(name)
    assert isinstance(f, gd.Objective) and f(jnp.ones(2)).dtype == jnp.float32
    with pytest.raises(ValueError, match=f"landscapes.{name}"):
        f(jnp.ones(3))


# -- minimizers ------------------------------------------------------------------------------------


def hessians(name, points):
    return np.asarray(jax.jit(jax.vmap(jax.hessian(landscape(name))))(points))


def check_minimizer(name, x, points):
    """The gradient vanishes, the value is the minimum, and no sampled point lies lower.

    A minimizer is given to the last digit: it is off by u |x|, so its gradient is below the
    curvature there times that, and f - f* below half of curvature times the square, beside the
    rounding of values of the size of the terms, a few hundred.
    """
    f, x = landscape(name), np.array(x)
    value, gradient = gd.reverse(f)(x)
    curvature = np.linalg.norm(hessians(name, x[None])[0], 2)
    assert np.linalg.norm(gradient) <= 8 * u * curvature * max(1, np.linalg.norm(x))
    lowest = float(np.min(jax.jit(jax.vmap(f))(points)))
    assert abs(float(value) - gd.facts(f).minimum) <= 100 * u
    assert value <= lowest + 100 * u


def samples(n=100_000):
    return np.random.default_rng(0).uniform(-5, 5, (n, 2))


@pytest.mark.parametrize(("name", "x"), EVERY_MINIMIZER)
def test_every_minimizer_is_flat_and_lowest(float64, name, x):
    check_minimizer(name, x, samples())


@pytest.mark.parametrize(
    ("name", "x"), [("camel", (1.7475523, -0.8737761)), ("himmelblau", (3.58, -1.85))]
)
def test_the_check_of_minimizers_sees_local_minima_and_missing_digits(float64, name, x):
    with pytest.raises(AssertionError):
        check_minimizer(name, x, samples(1000))


def test_the_minimizers_of_a_landscape_are_different_points():
    for found in gd.landscapes.MINIMIZERS.values():
        assert len(set(found)) == len(found)


def test_the_saddle_has_no_minimizer_and_falls_without_end():
    known = gd.facts(gd.landscapes.saddle)
    assert known.minimizer is None and known.minimum == -np.inf
    assert gd.landscapes.saddle(jnp.array([0.0, 1e6])) == -1e12


# -- facts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_minimizer_among_the_facts_is_the_first_of_all(name):
    first = gd.landscapes.MINIMIZERS[name][:1]
    minimizer = gd.facts(landscape(name)).minimizer
    assert (minimizer is None) if not first else tuple(minimizer) == first[0]


def check_curvature(known, found):
    """All sampled curvatures lie between the claimed constants, and some attain them."""
    least, most = found.min(), np.abs(found).max()
    spare = 1e3 * u * known.smoothness  # a Hessian by differentiation: dozens of roundings
    assert known.strong_convexity - spare <= least <= known.strong_convexity + spare
    assert known.smoothness - spare <= most <= known.smoothness + spare


@pytest.mark.parametrize("name", ["bowl", "saddle", "rastrigin"])
def test_claimed_curvature_is_attained_and_never_exceeded(float64, name):
    halves = np.mgrid[-4:5, -4:5].reshape(2, -1).T / 2  # where the cosines are 1 and -1
    points = np.concatenate([samples(10_000), halves])
    found, known = np.linalg.eigvalsh(hessians(name, points)), gd.facts(landscape(name))
    check_curvature(known, found)
    for bug in ({"smoothness": 0.99}, {"strong_convexity": 0.99}, {"smoothness": 1.01}):
        claim, factor = next(iter(bug.items()))
        with pytest.raises(AssertionError):
            check_curvature(replace(known, **{claim: factor * getattr(known, claim)}), found)


@pytest.mark.parametrize("name", ["double_well", "rosenbrock", "himmelblau", "beale", "camel"])
def test_curvature_without_a_bound_is_claimed_to_be_unknown(float64, name):
    far = np.linalg.norm(hessians(name, np.array([[1e3, 1e3]]))[0], 2)
    known = gd.facts(landscape(name))
    assert far > 1e6 and known.smoothness is known.strong_convexity is known.growth is None


def test_the_bowl_grows_as_it_claims():
    known, x = gd.facts(gd.landscapes.bowl), jnp.array([3.0, -4.0])
    value, gradient = gd.analytic(gd.landscapes.bowl)(x)
    assert known.growth == 2 and jnp.sum(gradient**2) == 2 * known.growth * value


# -- gradients -------------------------------------------------------------------------------------

# The sum of the sizes of all terms of a partial derivative: its roundings are relative to that.
SIZES = {
    "bowl": lambda a, b: (2 * a, 2 * b),
    "rosenbrock": lambda a, b: (400 * a * (b + a**2) + 2 * (1 + a), 200 * (b + a**2)),
    "himmelblau": lambda a, b: (
        4 * a * (a**2 + b + 11) + 2 * (a + b**2 + 7),
        2 * (a**2 + b + 11) + 4 * b * (a + b**2 + 7),
    ),
}
COORDINATES = st.tuples(*[st.integers(-500, 500).map(lambda k: k / 100)] * 2)


def check_hand_gradient(f, name, x):
    """The gradient by hand and that of reverse mode: at most twelve roundings each."""
    by_hand, by_machine = gd.analytic(f)(x)[1], gd.reverse(f)(x)[1]
    sizes = np.array(SIZES[name](*np.abs(x)))
    assert (np.abs(by_hand - by_machine) <= 24 * u * sizes).all()


def test_all_hand_derived_gradients_are_checked():
    assert {name for name in NAMES if landscape(name).gradient} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
@given(x=COORDINATES)
def test_hand_derived_gradients_are_those_of_reverse_mode(name, x):
    with jax.enable_x64(True):
        check_hand_gradient(landscape(name), name, np.array(x))


@pytest.mark.parametrize("name", SIZES)
def test_the_check_of_gradients_sees_one_that_is_a_millionth_off(float64, name):
    f = landscape(name)
    bug = replace(f, gradient=lambda x, data: f.gradient(x, data) * (1 + 1e-6))
    with pytest.raises(AssertionError):
        check_hand_gradient(bug, name, np.array([1.5, -0.5]))


@pytest.mark.parametrize("name", NAMES)
def test_landscapes_go_to_another_process(name):
    f = getattr(gd.landscapes, name)
    came, x = pickle.loads(pickle.dumps(f)), jnp.array([0.5, 0.25])
    assert came(x) == f(x) and came.gradient is f.gradient
    assert jax.tree.structure(came) == jax.tree.structure(f)  # so that nothing is compiled anew
