"""Gradients by hand: wrong ones are seen at any size and scale, right ones never accused."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.datasets import load_diabetes

import gdpure as gd
from gdpure import specs
from gdpure.specs.report import Verdict


def verdict(report):
    return {row.theorem: row.verdict for row in report.rows}


def is_violated(report):
    assert not report
    return Verdict.VIOLATED in verdict(report).values()


def half_square(x):
    return (x**2).sum() / 2


def right(x):
    return x


def times(factor, n=None):
    """The gradient of half_square, wrong by a factor: in every coordinate, or the first n."""

    def wrong(x):
        factors = jnp.where(jnp.arange(len(x)) < (n or len(x)), factor, 1.0)
        return x * factors.astype(x.dtype)

    return wrong


def point(n, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=n), dtype)


# -- what other checkers miss ----------------------------------------------------------------------


@pytest.mark.parametrize("n", [10, 100, 300, 1000])
@pytest.mark.parametrize("factor", [1.001, 1.05, 1.5, 2.0, -1.0, 0.0, 10.0])
def test_a_wrong_factor_is_seen_at_any_size(n, factor):
    report = specs.check_gradient(half_square, times(factor), at=jnp.full(n, 0.1, jnp.float32))
    assert is_violated(report)
    assert f"{n} of {n}" in str(report) or "every coordinate" in str(report)


@pytest.mark.parametrize("n, factor", [(3, 1.001), (10, 1.01), (1000, 1.1), (1000, 1.0001)])
def test_one_wrong_coordinate_is_seen_and_named(n, factor):
    report = specs.check_gradient(half_square, times(factor, 1), at=point(n))
    assert is_violated(report) and "gradient[0]" in str(report)


def told(factors):
    """half_square, of whose gradient JAX was told a wrong one."""

    @jax.custom_jvp
    def f(x):
        return half_square(x)

    f.defjvp(lambda x, v: (half_square(x[0]), jnp.sum(factors * x[0] * v[0])))
    return f


def test_check_grads_and_chex_miss_what_is_seen_here():
    # One direction dilutes one coordinate; and chex multiplies its tolerance by the size.
    first = np.ones(1000, np.float32)
    first[0] = 1.1
    small, even = 0.01 * point(1000), jnp.full(500, 0.1)
    check_grads(told(first), (small,), order=1, modes=["rev"])
    chex.assert_numerical_grads(told(np.float32(2)), (even,), order=1)
    for factors, at in ((first, small), (np.float32(2), even)):
        f = told(factors)
        report = specs.check_gradient(f, jax.grad(f), at=at)
        assert verdict(report)["gradient-matches-autodiff"] is Verdict.HOLDS  # they agree
        assert is_violated(report)


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_scale_is_special(scale, dtype):
    def f(x):
        return scale * jnp.sin(x / scale).sum()

    def gradient(x):
        return jnp.cos(x / scale)

    with jax.enable_x64(dtype == np.float64):
        at = scale * point(3, dtype=dtype)
    assert specs.check_gradient(f, gradient, at=at)
    assert is_violated(specs.check_gradient(f, lambda x: 1.01 * gradient(x), at=at))


# -- no false alarms -------------------------------------------------------------------------------


def diabetes(standardized):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    if standardized:
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    return gd.with_intercept(X), y


def log_sum_exp(x):
    return jnp.log(jnp.exp(x).sum())


def huber(x):
    size = jnp.abs(x)
    return jnp.where(size <= 1, x**2 / 2, size - 0.5).sum()


@pytest.mark.parametrize(
    "f, gradient, at",
    [
        (half_square, right, point(5)),
        (half_square, right, jnp.zeros(3)),
        (log_sum_exp, jax.nn.softmax, point(50)),
        (huber, lambda x: jnp.clip(x, -1, 1), jnp.array([0.5, 3.0, -2.0, 0.0])),
        (lambda x: (abs(x) ** 1.5).sum(), lambda x: 1.5 * jnp.sign(x) * abs(x) ** 0.5, point(4)),
        (jnp.linalg.norm, lambda x: x / jnp.linalg.norm(x), point(4)),
        (gd.landscapes.rosenbrock, gd.reverse, jnp.array([-1.2, 1.0])),
        (lambda x: 1e6 + half_square(x), right, point(4)),
        (lambda x: (3 * x).sum(), lambda x: jnp.full_like(x, 3), point(4)),
        (lambda x: x**2, lambda x: 2 * x, jnp.array(3.0)),
    ],
    ids="square zero lse huber power norm rosenbrock offset linear scalar".split(),
)
def test_a_right_gradient_of_jax_is_accused_of_nothing(f, gradient, at):
    report = specs.check_gradient(f, gradient, at=at)
    assert report, str(report)


@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("mode", [gd.analytic, gd.reverse, gd.forward])
def test_least_squares_on_real_data_in_every_mode(mode, standardized):
    f = gd.least_squares(*diabetes(standardized))
    report = specs.check_gradient(f, mode, at=point(11, seed=3))
    assert report, str(report)
    wrong = specs.check_gradient(f, lambda t: mode(f)(t)[1] * 1.001, at=point(11, seed=3))
    assert is_violated(wrong)


def test_logistic_and_a_dict_of_parameters():
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    f = gd.logistic(X, (X[:, 0] > 0).astype(np.float32), ridge=0.1)
    assert specs.check_gradient(f, gd.analytic, at=point(3))

    def cost(params):
        return jnp.sum((params["w"] - 1) ** 2) + params["b"] ** 2

    def slopes(params):
        return {"w": 2 * (params["w"] - 1), "b": 2 * params["b"]}

    at = {"w": point(3), "b": jnp.array(0.5)}
    assert specs.check_gradient(cost, slopes, at=at)
    wrong = specs.check_gradient(cost, lambda p: {**slopes(p), "b": p["b"]}, at=at)
    assert is_violated(wrong) and "gradient['b']" in str(wrong)


def numpy_cost(x):
    return float(np.log(np.exp(x).sum()) + (x**4).sum())


def numpy_slope(x):
    return np.exp(x) / np.exp(x).sum() + 4 * x**3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_is_checked_by_taylor_alone(dtype):
    at = np.array([0.5, -1.0, 2.0], dtype)
    report = specs.check_gradient(numpy_cost, numpy_slope, at=at)
    assert report, str(report)
    assert verdict(report)["gradient-matches-autodiff"] is Verdict.NOT_APPLICABLE
    wrong = specs.check_gradient(numpy_cost, lambda x: numpy_slope(x) * 1.001, at=at)
    assert is_violated(wrong)


# -- planted ---------------------------------------------------------------------------------------

X = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
Y = np.random.default_rng(2).normal(size=6).astype(np.float32)


def mean_square(theta):
    return jnp.mean((X @ theta - Y) ** 2)


def by_hand(theta):
    return 2 / 6 * X.T @ (X @ theta - Y)


def stopped(theta):
    return jax.grad(lambda t: mean_square((t + jax.lax.stop_gradient(t)) / 2))(theta)


@pytest.mark.parametrize(
    "gradient, said",
    [
        (lambda t: -by_hand(t), "-1 times what it must be, a sign"),
        (lambda t: by_hand(t) / 2, "0.5 times what it must be, as of a 1/2 too many"),
        (lambda t: by_hand(t) * 2, "2 times what it must be, as of a missing 1/2"),
        (lambda t: by_hand(t) * 6 / 3, "2 times"),
        (lambda t: by_hand(t).at[0].multiply(6), "only gradient[0] is wrong"),
        (lambda t: by_hand(t)[::-1], "reversed"),
        (lambda t: by_hand(t) * 0, "every coordinate is 0"),
        (stopped, "0.5 times"),
        (lambda t: 2 / 6 * jnp.asarray(X.T) @ (X @ t - 0.9 * Y), ""),
    ],
    ids="sign half twice columns intercept reversed zero stopped target".split(),
)
def test_a_planted_bug_is_seen_and_its_pattern_named(gradient, said):
    assert specs.check_gradient(mean_square, by_hand, at=point(3))
    report = specs.check_gradient(mean_square, gradient, at=point(3))
    assert is_violated(report) and said in " ".join(report.details().split())


def test_a_derivative_that_jax_was_told_wrongly_is_seen_by_taylor():
    def lying(x):
        return half_square((x + jax.lax.stop_gradient(x)) / 2)

    report = specs.check_gradient(lying, jax.grad(lying), at=point(3))
    assert verdict(report)["gradient-matches-autodiff"] is Verdict.HOLDS
    assert verdict(report)["taylor-remainder"] is Verdict.VIOLATED


def test_a_kink_is_no_accusation():
    report = specs.check_gradient(lambda x: abs(x).sum(), np.sign, at=np.zeros(2, np.float32))
    assert verdict(report)["taylor-remainder"] is Verdict.INCONCLUSIVE
    assert "kink" in str(report)


def mutating(x):
    x *= 2
    return x / 2


@pytest.mark.parametrize(
    "gradient, sentence",
    [
        (lambda x: x[:, None], "must have shape (3,), got (3, 1)"),
        (lambda x: x.astype(np.float16), "must be float32, as the parameters are, got float16"),
        (lambda x: {"x": x}, "must have the form of the parameters"),
        (lambda x: x * np.nan, "is nan, where f is finite"),
        (lambda x: x + np.random.rand(3).astype(np.float32), "is another one when it is asked"),
        (mutating, "changes its input"),
        (lambda x: 1 // 0, "raised ZeroDivisionError"),
    ],
    ids="shape dtype tree nan random mutates raises".split(),
)
def test_what_is_no_gradient_gets_one_sentence(gradient, sentence):
    report = specs.check_gradient(half_square, gradient, at=np.ones(3, np.float32))
    assert is_violated(report) and sentence in " ".join(str(report).split())
    assert verdict(report)["taylor-remainder"] is Verdict.BLOCKED


@pytest.mark.parametrize(
    "f, gradient, at, sentence",
    [
        (3, right, np.ones(2), "f must be a function"),
        (half_square, np.ones(2), np.ones(2), "gradient must be a function"),
        (half_square, right, np.ones(2, int), "must be an array of real floating-point"),
        (half_square, right, np.ones(2, complex), "must be an array of real floating-point"),
        (half_square, right, np.zeros(0), "is empty"),
        (half_square, right, {}, "has no parameters"),
        (half_square, right, np.array([1.0, np.nan]), "must be finite"),
        (right, right, np.ones(2), "f must return one real number"),
    ],
    ids="f gradient ints complex empty nothing nan vector".split(),
)
def test_bad_arguments_are_refused_with_one_sentence(f, gradient, at, sentence):
    with pytest.raises((TypeError, ValueError), match=f"check_gradient: .*{sentence}"):
        specs.check_gradient(f, gradient, at=at)
