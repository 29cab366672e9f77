"""Gradient agreement: every mode against exact arithmetic, not only against one another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import problems

import gdpure as gd
from gdpure.specs import rounding

MODES = [gd.reverse, gd.forward, gd.analytic, gd.central]
EXACT_MODES = MODES[:3]
# With h = eps^(1/3) max(1, |x|), u |f| / h and h^2 / 6 of the third derivative stay below 4e-4 for
# values up to 15, and the gradients below are 1 and more.
CENTRAL = 1e-3


@jax.jit
def _all_modes(X, y, theta):
    f = gd.least_squares(X, y)
    values, gradients = gd.per_sample(f)(theta)
    per_sample = jnp.mean(values), jnp.mean(gradients, axis=0)
    return {mode.__name__: mode(f)(theta) for mode in EXACT_MODES} | {"per_sample": per_sample}


def _disagreement(problem, evaluations, dtype=np.float32):
    """Modes whose value or gradient is farther from the exact one than rounding explains."""
    exact = rounding.least_squares(*problem, dtype)
    return [
        mode
        for mode, (value, gradient) in evaluations.items()
        if abs(np.longdouble(value) - exact.value) > exact.value_error
        or np.any(abs(np.asarray(gradient, np.longdouble) - exact.gradient) > exact.gradient_error)
    ]


@given(problems())
def test_every_mode_agrees_with_exact_arithmetic_in_float32(device, problem):
    assert _disagreement(problem, _all_modes(*problem)) == []


@given(problems())
def test_every_mode_agrees_with_exact_arithmetic_in_float64(device, problem):
    with jax.enable_x64(True):
        problem = problem._replace(
            **{name: value.astype(np.float64) for name, value in problem._asdict().items()}
        )
        assert _disagreement(problem, _all_modes(*problem), np.float64) == []


@given(problems([(7, 3)]), st.sampled_from([1.001, 0.5, -1.0]))
def test_the_agreement_sees_a_gradient_that_is_off_by_a_factor(problem, factor):
    exact = rounding.least_squares(*problem, np.float32)
    value, gradient = gd.reverse(gd.least_squares(problem.X, problem.y))(problem.start)
    visible = np.any(abs(1 - factor) * abs(exact.gradient) > 2 * exact.gradient_error)
    assert bool(_disagreement(problem, {"planted": (value, factor * gradient)})) >= visible


def test_the_agreement_sees_a_sum_in_place_of_a_mean():
    X, y, theta = np.eye(3, 2, dtype=np.float32), np.ones(3, np.float32), np.ones(2, np.float32)
    value, gradient = gd.reverse(gd.least_squares(X, y))(theta)
    planted = {"sum": (3 * value, 3 * gradient), "right": (value, gradient)}
    assert _disagreement((X, y, theta), planted) == ["sum"]


@given(problems())
def test_central_differences_are_secants_of_the_exact_function(problem):
    X, y, theta = problem
    _, gradient = gd.central(gd.least_squares(X, y))(jnp.asarray(theta))
    h = (np.cbrt(np.finfo(np.float32).eps) * np.maximum(1, abs(theta))).astype(np.float32)
    u = rounding.unit_roundoff(np.float32)
    for i in range(theta.size):
        ends = [theta.copy(), theta.copy()]
        ends[0][i] += h[i]
        ends[1][i] -= h[i]
        above, below = (rounding.least_squares(X, y, end, np.float32) for end in ends)
        width = np.longdouble(ends[0][i]) - np.longdouble(ends[1][i])
        secant = (above.value - below.value) / width
        # The two values are rounded, then a difference, a width and a quotient are. The step may
        # be rounded otherwise by an ulp: a quadratic's secant moves by its curvature times that.
        noise = (above.value_error + below.value_error) / width + 4 * u * abs(secant)
        noise += 4 * u * (abs(theta[i]) + h[i]) * 2 * np.mean(X[:, i].astype(float) ** 2)
        assert abs(np.longdouble(gradient[i]) - secant) <= noise


@pytest.mark.parametrize("mode", EXACT_MODES)
@given(st.integers(-8, 8), st.integers(-8, 8))
def test_polynomials_with_small_integers_are_differentiated_exactly(mode, a, b):
    value, gradient = mode(gd.landscapes.himmelblau)(jnp.array([a, b], jnp.float32))
    p, q = a**2 + b - 11, a + b**2 - 7
    assert value == p**2 + q**2
    assert gradient.tolist() == [4 * a * p + 2 * q, 2 * p + 4 * b * q]


@pytest.mark.parametrize("mode", [gd.reverse, gd.forward, gd.central])
def test_gradients_have_the_form_of_the_parameters(mode):
    params = {"w": jnp.ones((2, 3)), "b": (jnp.array(2.0), None)}
    value, gradient = mode(lambda p: jnp.sum(p["w"] ** 2) + p["b"][0] ** 3)(params)
    assert value == 14
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    np.testing.assert_allclose(gradient["w"], 2 * np.ones((2, 3)), rtol=CENTRAL)
    np.testing.assert_allclose(gradient["b"][0], 12, rtol=CENTRAL)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("mode", [gd.reverse, gd.forward, gd.analytic, gd.central])
def test_dtypes_are_kept_even_under_x64(mode, dtype, demand_of_xla):
    with jax.enable_x64(True):
        demand_of_xla(dtype)
        value, gradient = mode(gd.landscapes.bowl)(jnp.array([2, 1], dtype))
    assert value.dtype == gradient.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_step_of_central_differences_comes_from_the_dtype(dtype):
    with jax.enable_x64(dtype == np.float64):
        _, gradient = gd.central(lambda x: jnp.exp(x[0]))(jnp.zeros(1, dtype))
    # h = eps^(1/3): truncation h^2/6 and rounding u/h, together below 2 eps^(2/3).
    assert abs(float(gradient[0]) - 1) < 2 * np.finfo(dtype).eps ** (2 / 3)


def test_central_differences_need_no_differentiable_function():
    def through_the_host(x):
        form = jax.ShapeDtypeStruct((), x.dtype)
        return jax.pure_callback(lambda t: np.float32(t @ t), form, x, vmap_method="sequential")

    _, gradient = gd.central(through_the_host)(jnp.array([2.0, 1.0]))
    np.testing.assert_allclose(gradient, [4, 2], rtol=CENTRAL)


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_interchangeable_in_a_descent(mode):
    run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.25, steps=2, gradient=mode)
    np.testing.assert_allclose(run.history.value, [5, 1.25, 0.3125], rtol=CENTRAL)


def test_the_default_is_the_hand_derived_gradient_where_there_is_one():
    wrong_on_purpose = gd.Objective(
        lambda x, _: jnp.sum(x**2), gradient=lambda x, _: jnp.full_like(x, 7.0)
    )
    by_default = gd.begin(wrong_on_purpose, jnp.ones(2), 0.1)
    reverse = gd.begin(wrong_on_purpose, jnp.ones(2), 0.1, gradient=gd.reverse)
    assert by_default.gradient.tolist() == [7, 7] and reverse.gradient.tolist() == [2, 2]


@pytest.mark.parametrize("mode", MODES)
def test_gradients_go_through_jit_vmap_and_eval_shape(mode):
    points = jnp.array([[2.0, 1.0], [0.5, -1.0]])
    run = mode(gd.landscapes.bowl)
    values, gradients = jax.jit(jax.vmap(run))(points)
    np.testing.assert_allclose(gradients, 2 * points, rtol=CENTRAL)
    assert values.shape == (2,)
    shapes = jax.eval_shape(run, jax.ShapeDtypeStruct((2,), jnp.float32))
    assert (shapes[0].shape, shapes[1].shape) == ((), (2,))


@pytest.mark.parametrize("outer", [jax.jacrev, jax.jacfwd])
def test_the_hessian_is_a_derivative_of_any_mode(outer):
    hessian = outer(lambda x: gd.reverse(gd.landscapes.rosenbrock)(x)[1])(jnp.ones(2))
    assert hessian.tolist() == [[802, -400], [-400, 200]]
