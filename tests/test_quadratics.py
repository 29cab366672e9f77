"""Quadratics: sufficient statistics, and trajectories without a loop."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from oracles import check_evaluation, check_run, drifts, exact, exact_run, solution, spectrum
from strategies import fractions, problems

import gdpure as gd
from gdpure import quadratics
from gdpure.specs import rounding

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def near(found, wanted, allowed):
    """Rows of two arrays are apart, in norm, by no more than is allowed; NaN is near nothing."""
    found, wanted = exact(found), exact(wanted)
    assert found.shape == wanted.shape
    off = np.linalg.norm((found - wanted).astype(float).reshape(*np.shape(allowed), -1), axis=-1)
    assert (off <= allowed).all()


# -- closed form -----------------------------------------------------------------------------------


def check_closed_form(rows, hessian, minimizer, start, step_size, dtype):
    """The rows are gradient descent, against a loop in extended precision.

    A decomposition is exact for a Hessian off by eps |H|, eps = 4 d u, so factors 1 - eta lambda
    are off by a = eta eps L and k-fold products of factors of at most rho by k a (rho + a)^(k - 1),
    beside two roundings of each factor, as many of its power (exp2 and log2 of XLA's pow are off by
    8 ulps of an exponent of at most k log2 rho, hence another 16 k u) and 4 d u for the rotations.
    The gradient is the error times H, and the value half the product of both.
    """
    d, u = len(start), rounding.unit_roundoff(dtype)
    H, center, x, eta = exact(hessian, minimizer, start, step_size)
    L, k = np.linalg.norm(H.astype(float), 2), np.arange(len(rows.value))
    rho = np.abs(1 - float(eta) * np.linalg.eigvalsh(H.astype(float))).max()
    gap, bent = float(np.linalg.norm(x - center)), 4 * d * u * L * float(eta)
    off = k * bent * (rho + bent) ** np.maximum(k - 1, 0) + (18 * k + 4 * d) * u * rho**k
    points = [x]
    for _ in k[1:]:
        points.append(points[-1] - eta * H @ (points[-1] - center))
    errors = np.array(points) - center
    slopes = errors @ H
    near(
        rows.point, points, gap * off + 2 * u * np.linalg.norm(exact(points).astype(float), axis=1)
    )
    slope_off = L * gap * (off + 8 * d * u * rho**k)
    near(rows.gradient, slopes, slope_off)
    size = gap * (rho**k + off)
    value_off = (L * size * gap * off + size * slope_off) / 2 + (d + 2) * u * L * size**2
    near(rows.value, (errors * slopes).sum(1) / 2, value_off)


HESSIAN = np.array([[3, 1, 0], [1, 2, 0], [0, 0, 0.25]])
MINIMIZER, START = np.array([1.0, -2, 0.5]), np.array([4.0, 4, 4])
STEP_SIZES = np.array([0, 0.125, 0.5, 0.55, 0.75])  # L = 3.62, so the last diverges


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
@pytest.mark.parametrize("step_size", STEP_SIZES)
def test_closed_form_is_descent_by_definition(dtype, step_size):
    data = [a.astype(dtype) for a in (HESSIAN, MINIMIZER, START)]
    step_size = dtype.type(step_size)
    with jax.enable_x64(True):
        rows = gd.closed_form(gd.quadratic(*data[:2]), data[2], step_size, 40)
        bug = gd.closed_form(gd.quadratic(*data[:2]), data[2], step_size * dtype.type(1.001), 40)
    assert {leaf.dtype for leaf in rows} == {dtype}
    check_closed_form(rows, *data, step_size, dtype)
    if step_size:
        with pytest.raises(AssertionError):
            check_closed_form(bug, *data, step_size, dtype)


@pytest.mark.parametrize("at_a_time", [10, 3, 0])
def test_many_step_sizes_at_once_give_the_rows_of_each(at_a_time, monkeypatch):
    steps = 33 + at_a_time  # in each case of another shape, which is compiled anew
    monkeypatch.setattr(quadratics, "_BLOCK", at_a_time * (steps + 1) * 3 * 8)
    data = [a.astype(FLOAT32) for a in (HESSIAN, MINIMIZER, START)]
    sizes = np.stack([STEP_SIZES, STEP_SIZES[::-1]]).astype(FLOAT32)
    rows = gd.closed_form(gd.quadratic(*data[:2]), data[2], sizes, steps)
    shape = 2, 5, steps + 1
    assert [leaf.shape for leaf in rows] == [(*shape, 3), shape, (*shape, 3)]
    for i in np.ndindex(2, 5):
        check_closed_form(jax.tree.map(lambda leaf, i=i: leaf[i], rows), *data, sizes[i], FLOAT32)


def test_no_steps_and_steps_of_length_zero_stay_at_the_start():
    f = gd.quadratic(HESSIAN.astype(FLOAT32), MINIMIZER.astype(FLOAT32))
    for step_size, steps in ((0.5, 0), (0.0, 3)):
        rows = gd.closed_form(f, START.astype(FLOAT32), step_size, steps)
        data = HESSIAN, MINIMIZER, START, step_size
        check_closed_form(rows, *(np.asarray(a, FLOAT32) for a in data), FLOAT32)
        assert len(rows.value) == steps + 1


@pytest.mark.parametrize("start", [(0, 0), (1, 0), (1, 1), (0, 1)])
def test_what_is_at_rest_stays_there_whatever_overflows(start):
    """Factors are 0.9 and -9: after 400 steps one coordinate is 5e-19, the other out of range."""
    f = gd.quadratic(np.diag(np.float32([1, 100])), np.zeros(2, np.float32))
    rows = gd.closed_form(f, np.float32(start), 0.1, 400)
    still, fast = start
    decayed = still * 0.9 ** np.arange(401)
    # eta = 0.1 is rounded, hence factors by u eta L, their powers by k as much.
    allowed = (400 * 0.1 / 0.9 + 2) * rounding.unit_roundoff(FLOAT32) * decayed
    assert (abs(rows.point[:, 0] - decayed) <= allowed + 2.0**-126).all()
    assert (abs(rows.gradient[:, 0] - decayed) <= allowed + 2.0**-126).all()
    assert rows.point[-1, 1] == (np.inf if fast else 0) == rows.gradient[-1, 1]
    assert not np.isnan(rows.value).any() and np.isinf(rows.value[-1]) == bool(fast)
    turn = np.float32([[0.6, -0.8], [0.8, 0.6]])
    g = gd.quadratic(turn * np.float32([90, 100]) @ turn.T, np.zeros(2, np.float32))
    turned = gd.closed_form(g, np.float32(start), 0.1, 400)
    assert not any(np.isnan(leaf).any() for leaf in turned)


def test_the_rows_can_be_chosen(compilations):
    f = gd.quadratic(HESSIAN.astype(FLOAT32), MINIMIZER.astype(FLOAT32))
    sizes = STEP_SIZES.astype(FLOAT32)
    every = gd.closed_form(f, START.astype(FLOAT32), sizes, 12)
    for k in ([12, 0, 3], (5, 5, 5), np.uint8([1, 2, 12]), jnp.array([7, 8, 9])):
        rows = gd.closed_form(f, START.astype(FLOAT32), sizes, k)
        for chosen, leaf in zip(rows, every, strict=True):
            wanted = leaf[:, np.asarray(k)]  # in float64 they agree to far more than 1e-12
            np.testing.assert_allclose(chosen, wanted, rtol=2.0**-23, atol=1e-12)
    with compilations() as count:
        gd.closed_form(f, START.astype(FLOAT32), sizes, [10**6, 10**9, 4])
    assert count() == 0


@pytest.mark.parametrize(
    "steps, error, sentence",
    [
        ([1.0, 2.0], TypeError, "or an array (m,) of them, at least 0, got float64[2]"),
        ([True], TypeError, "or an array (m,) of them, at least 0, got bool[1]"),
        ([0, -1], ValueError, "or an array (m,) of them, at least 0, got -1"),
        (jnp.array([3, -7]), ValueError, "or an array (m,) of them, at least 0, got -7"),
        ([[1]], ValueError, "steps must have shape (m,), got int64[1,1]"),
        (np.zeros(0, int), ValueError, "steps must not be empty"),
        ([1, [2]], TypeError, "or an array (m,) of them, at least 0, got list [1, [2]]"),
        (2.5, TypeError, "steps must be a whole number, at least 0, got float 2.5"),
        (True, TypeError, "steps must be a whole number, at least 0, got bool True"),
    ],
)
def test_steps_that_are_none_are_refused(steps, error, sentence):
    f = gd.quadratic(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    with pytest.raises(error, match=f"^closed_form: .*{re.escape(sentence)}"):
        gd.closed_form(f, np.ones(2, np.float32), 0.1, steps)


@given(problem=problems(), h=fractions(1.75))
def test_descend_follows_the_closed_form_of_least_squares(problem, h):
    X, y, start = problem
    L, _ = spectrum(X)
    step_size = np.float32(h / L)
    run = gd.descend(gd.least_squares(X, y), start, step_size, steps=12)
    check_run(X, y, run.history.point, step_size, FLOAT32)
    with jax.enable_x64(True):  # in float64 the closed form is the exact trajectory
        f = gd.least_squares(X.astype(FLOAT64), y.astype(FLOAT64))
        points = gd.closed_form(f, start.astype(FLOAT64), FLOAT64.type(step_size), 12).point
    drift = drifts(X, y, run.history.point, step_size, FLOAT32)
    true = solution(X, y, FLOAT64)
    far = np.linalg.norm(start - true.minimizer) + true.minimizer_error
    # H is off by 2 eps |H|, hence 12-fold products by 24 eps h; points move with the minimizer.
    spare = 2 * true.minimizer_error + 24 * true.eps * far + 2 * true.eps * np.linalg.norm(start)
    near(run.history.point, points, drift + spare)


# -- sufficient statistics -------------------------------------------------------------------------

# Orthogonal columns of small integers, so that H, theta* and f* are known exactly; theta* has 13
# bits, so that y is exact in float32, its squares are not.
SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]]).T
THETA = np.array([3, -2, 1]) + np.array([5, 3, 7]) * 2.0**-11
RESIDUAL = np.array([1, -1, -1, 1])


def statistics(noise):
    """Least squares with minimizer THETA and minimum noise^2, its X and y in float32."""
    X = (SIGNS * [4, 2, 1]).astype(FLOAT32)
    return X, (X @ THETA + noise * RESIDUAL).astype(FLOAT32)


def gap_error(noise, delta):
    """How far from f - f* = sum_j 2/n |column j|^2 delta_j^2 / 2 a centred quadratic may be.

    The minimizer is off by at most e = 8 eps kappa (|theta*| + 2 |r| / s_1), as the singular
    vectors are (Wedin); a gap then by |H delta| e + L e^2 / 2, and by the roundings of a sum of 10
    terms; the value itself is rounded once, which is what the last term says.
    """
    u, H = rounding.unit_roundoff(FLOAT32), 2 * np.array([16.0, 4, 1])
    e = 16 * u * 4 * (np.linalg.norm(THETA) + 2 * 2 * noise / 8)
    gap = H @ delta**2 / 2
    return gap, np.linalg.norm(H * delta) * e + H[0] * e**2 / 2 + 20 * u * gap + 8 * u * (
        noise**2 + gap
    )


def check_gaps(value, minimum, noise):
    """Gaps near the minimum have the digits that the derivation promises."""
    for k in range(2, 9):
        delta = np.array([1.0, -1, 1]) * 2.0**-k
        gap, allowed = gap_error(noise, delta)
        found = float(value((THETA + delta).astype(FLOAT32))) - float(minimum)
        assert abs(found - gap) <= allowed


def uncentred(X, y):
    """The same function, in the form in which gaps lose their digits."""
    H, b, c = X.T @ X / len(X), X.T @ y / len(X), np.float32(y @ y / len(X))
    return lambda theta: theta @ (H @ theta) - 2 * b @ theta + c


@pytest.mark.parametrize("noise", [0, 1, 2.0**-6])
def test_gaps_near_the_minimum_keep_their_digits(noise):
    q = gd.as_quadratic(gd.least_squares(*statistics(noise)))
    check_gaps(q, gd.facts(q).minimum, noise)


def test_the_check_of_gaps_sees_a_form_that_is_not_centred():
    with pytest.raises(AssertionError):  # off by u |y|^2 / n, whatever the gap is
        check_gaps(uncentred(*statistics(0)), 0.0, 0)


@given(problem=problems(shapes=((7, 3),)))
def test_as_quadratic_is_the_same_function(problem):
    X, y, theta = problem
    f = gd.least_squares(X, y)
    q, original = gd.as_quadratic(f), rounding.least_squares(X, y, theta, FLOAT32)
    own = rounding.quadratic(*q.data, theta, FLOAT32)
    check_evaluation(gd.analytic(q)(theta), own)
    # Its statistics are those of a decomposition: H is off by eps |H|, the rest as `solution` says.
    true = solution(X, y, FLOAT32)
    L, far = spectrum(X)[0], np.linalg.norm(theta - true.minimizer)
    slope = L * (true.minimizer_error + true.eps * (far + true.minimizer_error))
    assert np.linalg.norm((own.gradient - original.gradient).astype(float)) <= slope
    spare = (far + true.minimizer_error) * slope + true.minimum_error
    assert abs(own.value - original.value) <= spare


def test_as_quadratic_carries_the_facts_of_the_original_and_leaves_quadratics_alone():
    f = gd.least_squares(*statistics(1))
    q = gd.as_quadratic(f)
    for name, fact in vars(gd.facts(f)).items():
        assert np.array_equal(getattr(gd.facts(q), name), fact)
    assert gd.as_quadratic(q) is q
    assert q.data[0].shape == (3, 3)
    with pytest.raises(TypeError, match="as_quadratic"):
        gd.as_quadratic(gd.landscapes.bowl)


def test_new_data_and_step_sizes_compile_nothing(compilations):
    X, y = statistics(1)
    start = np.zeros(3, FLOAT32)
    gd.closed_form(gd.least_squares(X, y), start, 0.01, 5)
    with compilations() as count:
        gd.closed_form(gd.least_squares(X + 1, 2 * y), start + 1, 0.02, 5)
    assert count() == 0


def test_closed_form_goes_through_jit_and_grad():
    f = gd.quadratic(jnp.array([[2.0]]), jnp.array([0.0]))

    def last(step_size):
        return gd.closed_form(f, jnp.array([1.0]), step_size, 3).value[-1]

    # f(x_3) = (1 - 2 eta)^6, with derivative -12 (1 - 2 eta)^5.
    value, slope = jax.jit(jax.value_and_grad(last))(0.25)
    assert value == 2.0**-6 and slope == -12 * 2.0**-5


def test_wide_quadratics_are_quadratics_too():
    rng = np.random.default_rng(0)
    H, x = rng.integers(-4, 5, (12, 12)), rng.integers(-4, 5, 12)
    f = gd.quadratic(np.float32(H + H.T), np.zeros(12, np.float32))
    for way in (gd.analytic, gd.reverse):
        value, gradient = way(f)(np.float32(x))
        assert value.item() == x @ H @ x and gradient.tolist() == ((H + H.T) @ x).tolist()


def test_the_closed_form_knows_the_minimum():
    f = gd.quadratic(jnp.array([[2.0]]), jnp.array([0.0]), 0.5)
    rows = gd.closed_form(f, jnp.array([1.0]), 0.25, 2)
    assert rows.value.tolist() == [1.5, 0.75, 0.5625]


def test_the_closed_form_is_exact_on_data_as_they_come():
    """Raw features of unlike scales, a nearly dependent column, and more features than rows."""
    years = np.arange(1990, 2024, dtype=np.float32)
    features = np.column_stack([np.ones(34), years, years**2 / 1000]).astype(np.float32)
    for rows in (34, 2):
        X, y = features[:rows], years[:rows] % 7
        f = gd.least_squares(X, y)
        step_size = np.float32(1 / gd.facts(f).smoothness)
        found = gd.closed_form(f, np.ones(3, np.float32), step_size, 1000)
        wanted = exact_run(X, y, np.ones(3), step_size, 1000)[-1].astype(float)
        np.testing.assert_allclose(found.point[-1], wanted, rtol=2**-23)
        value = np.mean((X.astype(float) @ wanted - y) ** 2)
        np.testing.assert_allclose(found.value[-1], value, rtol=2**-22, atol=1e-9)
