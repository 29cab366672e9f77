"""The lesson: the numbers of the notebook, the claims about them, and that it is pure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdpure as gd
from gdpure.lesson import lesson, quadratic, regression

ROUNDOFF = 2.0**-24  # float32: one operation is off by this factor at most


@pytest.fixture(scope="module")
def whole():
    return jax.device_get(lesson())


@pytest.fixture(scope="module")
def compiled():
    return jax.device_get(jax.jit(lesson)())


def close(got, wanted, operations):
    """Whether numbers agree but for as many roundings, and one more to write `wanted` down."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    return np.all(np.abs(got - wanted) <= (operations + 1) * ROUNDOFF * np.abs(wanted))


def test_simple_cost_and_its_gradient_at_the_start(whole):
    run = whole.quadratic.run.history
    assert run.value[0] == 5 and run.gradient[0].tolist() == [4, 2]


def test_one_step(whole):
    # 0.1, its product with 4 and the difference round once each; f squares: 2 x 3, and 2 more.
    run = whole.quadratic.run.history
    assert close(run.point[1], [1.6, 0.8], 3)
    assert close(run.value[1], 3.2, 8)


def test_ten_steps(whole):
    # theta_k = theta_0 0.8^k: the three roundings of a step, ten times; f as above.
    run = whole.quadratic.run.history
    assert len(run.value) == 11
    assert close(run.point[10], [0.21474834, 0.10737417], 30)
    assert close(run.value[10], 0.057646062, 62)
    k = np.arange(11)
    assert close(run.point, np.array([2.0, 1.0]) * 0.8 ** k[:, None], 30)


def test_each_step_multiplies_the_cost_by_the_promised_factor(whole):
    # Both values carry 2 roundings, the step between them 2 x 3, the quotient 1.
    part = whole.quadratic
    assert close(part.factors, 0.64, 2 * 2 + 2 * 3 + 1)
    assert close(part.promised, 0.64, 5)
    assert part.facts.smoothness == part.facts.strong_convexity == 2
    assert part.limit == 1 and part.facts.minimum == 0 and not part.facts.minimizer.any()


def test_the_simple_cost_claims_what_the_bowl_knows(whole):
    known = gd.facts(gd.landscapes.bowl)
    assert whole.quadratic.facts.smoothness == known.smoothness
    assert whole.quadratic.facts.growth == known.growth


def test_linear_regression_at_the_start(whole):
    # Residuals (3, 3.8, 5.2): three roundings each, and five to square, add and divide.
    part = whole.regression
    assert part.x.tolist() == [1, 2, 3] and close(part.y, [1, 2.2, 2.8], 0)
    assert close(part.value, 16.826666, 2 * 3 + 5)
    for gradient in (part.autodiff, part.by_hand):
        assert close(gradient, [8, 17.466667], 3 + 5)


# f is quadratic, so only rounding errors are left: of two values near 17 at a distance of 2 h.
DIFFERENCES = 2 * 11 * ROUNDOFF * 17.5 / (2 * 2 * np.cbrt(np.finfo(np.float32).eps))


def test_central_differences_agree_with_the_gradient(whole):
    assert np.all(np.abs(whole.regression.differences - whole.regression.by_hand) <= DIFFERENCES)
    assert np.all(np.abs(whole.quadratic.differences - [4, 2]) <= DIFFERENCES)


def test_exact_solution(whole):
    # Least squares by the SVD: condition number 6.8, times a few roundings of the three rows.
    X = np.array([[1, 1], [1, 2], [1, 3]], np.float64)
    bound = 10 * ROUNDOFF * np.linalg.cond(X) * np.linalg.norm([1, 2.2, 2.8])
    facts = whole.regression.facts
    assert np.all(np.abs(facts.minimizer - [0.2, 0.9]) <= bound)
    curvatures = np.linalg.eigvalsh(2 / 3 * X.T @ X)
    assert close(facts.strong_convexity, curvatures[0], 10 * np.linalg.cond(X))
    assert close(facts.smoothness, curvatures[1], 10)


def test_the_exact_solution_is_that_of_float64_also_where_the_lesson_is_compiled(whole, compiled):
    """A decomposition in float32 would be another on every platform: 0.199997 on one GPU."""
    x, y = (np.asarray(part, np.float64) for part in regression().data)
    exact = np.linalg.lstsq(np.stack([np.ones(3), x], 1), y, rcond=None)[0]
    for facts in (compiled.regression.facts, whole.regression.facts):
        assert close(facts.minimizer, exact, 1)


def test_the_descent_arrives_as_promised(whole):
    part = whole.regression
    assert part.final.status == gd.Status.CONVERGED
    assert np.abs(part.final.gradient).max() <= part.tolerance
    assert 100 < part.final.count <= part.promised_steps
    assert np.all(part.distances <= part.promised_distances * (1 + 300 * ROUNDOFF))
    assert part.final_distance <= part.promised_final_distance
    rho = 1 - part.facts.strong_convexity / part.facts.smoothness
    assert close(part.promised_factor, rho**2, 6)


def factor_error(part):
    values = np.asarray(part.run.history.value, np.float64)
    error = 2 * 11 * ROUNDOFF * values / (values - part.facts.minimum)
    return error[1:] + error[:-1]


def test_the_factors_of_the_gap_are_as_promised(whole):
    # A value is 0.02 or more and carries 11 roundings, its gap the same absolute error.
    part = whole.regression
    assert np.all(part.factors <= part.promised_factor * (1 + factor_error(part)))
    assert part.factors.max() >= part.promised_factor * (1 - 1e-3)  # the constant is attained


def test_the_first_step_crosses_the_valley_and_the_others_follow_its_floor(whole):
    moves = np.diff(whole.regression.run.history.point, axis=0)
    _, axes = np.linalg.eigh([[2, 4], [4, 28 / 3]])
    along, across = np.abs(moves @ axes).T
    assert across[0] > along[0] and np.all(along[1:] > 100 * across[1:])


def test_per_sample_costs_and_gradients(whole):
    part = whole.samples
    assert close(part.values, [9, 14.44, 27.04], 2 * 3 + 2)
    assert close(part.gradients, [[6, 6], [7.6, 15.2], [10.4, 31.2]], 3 + 3)


def test_the_mean_of_the_per_sample_gradients_is_the_gradient(whole):
    part = whole.samples
    assert close(part.mean_value, part.full_value, 2 * 11)
    assert close(part.mean_gradient, part.full_gradient, 2 * 8)
    assert np.array_equal(part.full_gradient, whole.regression.by_hand)


def test_the_minimizers_of_a_sample_are_a_line(whole):
    part, (x, y) = whole.samples, (whole.regression.x, whole.regression.y)
    # An SVD of one row and a sum of two: about ten roundings.
    wanted = np.array([[0.5, 0.5], [0.44, 0.88], [0.28, 0.84]])
    assert close(part.minimizer, wanted, 10)
    normals = np.stack([np.ones(3), x], 1).astype(np.float64)
    for t in (-1e3, 0.0, 1e3):
        points = part.minimizer + t * part.direction.astype(np.float64)
        residual = np.sum(normals * points, 1) - y
        assert np.all(np.abs(residual) <= 10 * ROUNDOFF * np.abs(normals * points).sum(1) + 1e-6)
    assert close(np.linalg.norm(part.direction, axis=1), 1, 10)
    assert np.all(np.abs(np.sum(part.minimizer * part.direction, 1)) <= 10 * ROUNDOFF)


def test_a_solver_stops_somewhere_on_the_line(whole):
    """From (0, 0) at the point of least norm, as in the original; from (2, 2) somewhere else."""
    part, x, y = whole.samples, whole.regression.x, whole.regression.y
    assert part.found.shape == (2, 3, 2) and part.remaining.shape == (2, 3)
    # BFGS stops where no entry of the gradient 2 r (1, x) exceeds 1e-5: |r| <= 5e-6.
    residuals = part.found[..., 0] + part.found[..., 1] * x - y
    allowed = 5e-6 + 4 * ROUNDOFF * (np.abs(part.found) @ [1, 3] + 3)
    assert np.all(np.abs(residuals) <= allowed) and np.all(part.remaining <= allowed**2)
    assert close(part.found[0], part.minimizer, 2**6)  # gradients there lie along (1, x)
    elsewhere = np.linalg.norm(part.found[1] - part.minimizer, axis=1)
    assert elsewhere[1] > 0.5 and elsewhere[2] > 0.5


def test_a_solver_finds_the_least_cost_of_the_bowl(whole):
    assert np.all(np.abs(whole.quadratic.found) <= 5e-6)  # BFGS: no entry of 2 theta above 1e-5


def test_the_cost_is_least_squares():
    f, g = regression(), gd.least_squares(gd.with_intercept([1.0, 2.0, 3.0]), [1.0, 2.2, 2.8])
    theta = jnp.array([0.5, -1.5])
    assert close(f(theta), g(theta), 2 * 11)
    assert close(gd.analytic(f)(theta)[1], gd.analytic(g)(theta)[1], 2 * 20)


def test_it_is_pure(whole):
    again = jax.device_get(lesson())
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, again))


def test_compiled_it_says_the_same(whole, compiled):
    assert jax.tree.structure(compiled) == jax.tree.structure(whole)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(compiled), jax.tree.leaves(whole), strict=True
    ):
        assert a.dtype == b.dtype and a.shape == b.shape
        # Fused products and sums round less. A step adds about six roundings of numbers below the
        # start, and the contraction adds up no more than L / mu = 46 of them.
        allowed = 6 * 46 * ROUNDOFF * np.maximum(np.abs(b), 1)
        name = jax.tree_util.keystr(path)
        if name.endswith("differences"):
            allowed = 2 * DIFFERENCES
        elif name == ".regression.factors":
            allowed = 2 * factor_error(whole.regression)
        elif ".regression.final" in name or "promised_final" in name or "promised_steps" in name:
            continue  # where the gradient is small enough may come a step sooner: see below
        assert np.all(np.abs(a - b) <= allowed), name
    for part in (compiled.regression, whole.regression):
        assert part.final.status == gd.Status.CONVERGED
        assert part.final_distance <= np.sqrt(2) * part.tolerance / part.facts.strong_convexity


def test_it_is_float32_whatever_the_switch_says():
    with jax.enable_x64(True):
        shapes = jax.eval_shape(lesson)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(shapes)}
    assert dtypes == {np.dtype("float32"), np.dtype("int32")}


def test_objectives_are_pure_values():
    assert quadratic()(jnp.array([3.0, 4.0])) == 25
    assert gd.per_sample(regression())(jnp.array([2.0, 2.0]))[0].shape == (3,)
