"""Problems for anybody's @given: they are what they claim, and shrink to numbers for paper."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from planted import descents
from test_instances import check_claims

import gdpure as gd
from gdpure import specs
from gdpure.specs import instances
from gdpure.specs.optimizer import search
from gdpure.specs.subjects import as_subject

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
paper = settings(max_examples=1000, derandomize=True, database=None)


def simplest(broken=lambda problem: True, **options):
    return find(specs.problems(**options), broken, settings=paper)


# -- what is drawn ---------------------------------------------------------------------------------


@given(...)
def test_the_type_is_enough(p: specs.Problem):
    assert p.dtype == np.float32
    check_claims(p.instance, p.dtype, np.random.default_rng(0))


@every_dtype
@given(st.data())
def test_a_problem_is_what_it_claims(dtype, data):
    p = data.draw(specs.problems(dtype=dtype))
    check_claims(p.instance, dtype, np.random.default_rng(0))
    assert 0 < Fraction(float(p.step_size)) * Fraction(p.smoothness) <= 2
    # The names of a problem are the numbers of its instance, none of them rounded.
    known = {"start": "start", "step_size": "step_size", "minimizer": "center"}
    known |= {"minimum": "minimum", "smoothness": "smoothness"}
    known |= {"strong_convexity": "strong_convexity"}
    for name, leaf in known.items():
        assert (np.float64(getattr(p, name)) == getattr(p.instance, leaf)).all()
    for x in (p.start, p.step_size, p.minimizer, p.minimum, *p.f.data):
        assert x.dtype == jnp.dtype(dtype)
    assert p.f(p.minimizer) == p.minimum and not p.gradient(p.minimizer).any()


@given(specs.problems(dimension=3, examples=5, quadratic=False, step_fraction=(2.25, 4)))
def test_options_are_kept(p):
    assert p.f.data[0].shape == (5, 3) and p.start.shape == (3,)
    fraction = Fraction(float(p.step_size)) * Fraction(p.smoothness)
    assert Fraction(9, 4) <= fraction <= 4
    # Only where all examples are flat between the minimizer and the start there is no bend.
    reach = p.instance.features @ (p.instance.start - p.instance.center)
    assert np.isfinite(p.instance.bend) == reach.any()


@given(specs.problems(quadratic=True, step_fraction=(1, 1)))
def test_a_quadratic_has_no_bend_and_a_fraction_may_be_one_number(p):
    assert np.isinf(p.instance.bend) and p.instance.tail == 0
    np.testing.assert_allclose(p.step_size * p.smoothness, 1, rtol=1e-6)


@settings(max_examples=10)
@given(specs.problems(dimension=2, examples=3))
def test_the_function_is_an_objective_of_gdpure(p):
    value, slope = jax.device_get(gd.reverse(p.f)(jnp.asarray(p.start)))
    bounds = specs.rounding.huber(*p.instance.data, p.instance.start, "float32")
    assert abs(value - bounds.value) <= bounds.value_error
    for computed in (slope, p.gradient(p.start)):
        assert (abs(computed - bounds.gradient) <= bounds.gradient_error).all()


def test_problems_of_a_shape_compile_one_program(compilations):
    run = jax.jit(lambda f, start, eta: gd.descend(f, start, eta, steps=1).final.value)
    seen = []

    @settings(max_examples=10)
    @given(specs.problems(dimension=1, examples=1))
    def descends(p):
        run(p.f, jnp.asarray(p.start), jnp.asarray(p.step_size))
        seen.append(compiled())

    with compilations() as compiled:
        descends()
    assert seen[-1] == seen[0]


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"dimension": 0}, ValueError, "dimension must be a whole number, at least 1"),
        ({"examples": 1.5}, TypeError, "examples must be a whole number"),
        ({"quadratic": "yes"}, TypeError, "quadratic must be None, True or False"),
        ({"step_fraction": 0.5}, TypeError, "step_fraction must be two numbers"),
        ({"step_fraction": (0, 9)}, ValueError, "step_fraction must be"),
        ({"step_fraction": (1, 0.5)}, ValueError, "in this order"),
        ({"step_fraction": (0, 0)}, ValueError, "not both 0"),
        ({"dtype": int}, TypeError, "dtype must be one of floating point"),
        ({"dtype": "many"}, TypeError, "dtype must be one of floating point"),
    ],
)
def test_what_is_no_option_is_refused_at_once(options, error, message):
    with pytest.raises(error, match=f"problems: .*{message}"):
        specs.problems(**options)


# -- shrinking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, broken, text",
    [
        ({}, lambda p: True, "f(x) = x^2 / 2 from (0), step 1"),
        ({}, lambda p: (p.start != p.minimizer).any(), "f(x) = x^2 / 2 from (1), step 1"),
        ({}, lambda p: p.minimizer.any(), "f(x) = (x - 1)^2 / 2 from (1), step 1"),
        ({}, lambda p: p.step_size * p.smoothness > 1, "f(x) = x^2 / 2 from (0), step 2"),
        ({"dimension": 2}, lambda p: True, "f(a, b) = b^2 / 2 from (0, 0), step 1"),
        (
            {},
            lambda p: np.isfinite(p.instance.bend),
            "f(x) = phi(x),  phi(t) = t^2 / 2 up to |t| = 1, then straight from (1), step 1",
        ),
    ],
)
def test_a_problem_shrinks_to_one_for_paper_and_says_so(options, broken, text):
    assert repr(simplest(broken, **options)) == f"Problem({text}, float32)"


def test_a_failing_test_shows_the_problem_on_paper():
    @settings(derandomize=True, database=None)
    @given(specs.problems())
    def fails(p):
        assert p.f(p.start) == p.minimum

    with pytest.raises(AssertionError) as failure:
        fails()
    assert "p=Problem(f(x) = x^2 / 2 from (1), step 1, float32)" in failure.value.__notes__[0]


def digits(x):
    """How many significant decimal digits a float32 number has, written as short as it can be."""
    text = np.format_float_scientific(np.float32(x), trim="-").split("e")[0]
    return len(text.replace("-", "").replace(".", "").strip("0"))


def numbers(problem):
    """All numbers of a problem on paper, where examples are summed up and not averaged."""
    features, center, bend, tail, minimum = problem.instance.data
    unit = np.sqrt(len(features))
    bends = [bend / unit] if np.isfinite(bend) else []
    return [*(features / unit).ravel(), *problem.start, problem.step_size, *center, tail, *bends]


# All of the planted descents were counted: 49 of 51 end at two digits at most.
BUGS = [
    descents.gauss_seidel,
    descents.weight_decay,
    descents.clipping,
    descents.normalized_gradient,
    descents.box_of_ten,
    descents.one_step_less,
]
LAW = [theorem for theorem in specs.THEOREMS if theorem.name == "step-identity"]


def is_broken(subject, problem):
    batch = instances.as_batch([problem.instance])
    shape = instances.Shape(*problem.instance.features.shape, steps=8)
    [found] = search.judge(subject, LAW, batch, shape, problem.dtype)
    return bool(found.violated.any())


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_shrinks_to_two_digits(bug):
    subject = as_subject(bug)
    found = simplest(lambda p: is_broken(subject, p), step_fraction=(0, 2.5))
    assert max(map(digits, numbers(found))) <= 2
    assert np.count_nonzero(found.instance.features) <= 2


@settings(max_examples=20)
@given(specs.problems(step_fraction=(0, 2.5)))
def test_a_right_descent_is_not_broken(problem):
    assert not is_broken(as_subject(descents.descend), problem)
