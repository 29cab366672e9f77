"""A gradient against its function: right ones hold, wrong ones are named, and nothing is tuned."""

import functools
import json
import os
import subprocess
import sys
import textwrap

import chex
import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import ad, batching, mlir
from jax.scipy.special import logsumexp
from jax.test_util import check_grads
from sklearn.datasets import load_diabetes

import gdpure as gd
from gdpure.specs.gradient.autodiff import Errors, derivative
from gdpure.specs.gradient.check import FORM, check_gradient
from gdpure.specs.gradient.functions import Function, form_of, traced
from gdpure.specs.gradient.laws import AUTODIFF as BY_AUTODIFF
from gdpure.specs.gradient.laws import TAYLOR as BY_TAYLOR
from gdpure.specs.report import Verdict

AUTODIFF, TAYLOR = BY_AUTODIFF.name, BY_TAYLOR.name
HOLDS, VIOLATED = Verdict.HOLDS, Verdict.VIOLATED
DTYPES = (np.float32, np.float64)


def verdicts(report):
    return {row.theorem: row.verdict for row in report.rows}


def row(report, theorem):
    return next(row for row in report.rows if row.theorem == theorem)


def cause(report, theorem=AUTODIFF):
    return row(report, theorem).counterexample.cause


def both(verdict):
    return {FORM: HOLDS, AUTODIFF: verdict, TAYLOR: verdict}


def numpy_only(verdict):
    return {FORM: HOLDS, AUTODIFF: Verdict.NOT_APPLICABLE, TAYLOR: verdict}


def half_square(x):
    return 0.5 * jnp.sum(x**2)


def times(factor):
    """The gradient of `half_square` times a factor."""
    return lambda x: x * np.asarray(factor, x.dtype)


def first_times(factor):
    return lambda x: x.at[0].multiply(factor)


def near_one(n, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.5, 2, n), jnp.float32)


# -- what other checkers miss, and where they raise false alarms -----------------------------------


def claiming(factor):
    """`half_square` with a derivative of its own that is wrong by a factor."""

    @jax.custom_jvp
    def f(x):
        return 0.5 * jnp.sum(x**2)

    @f.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), jnp.sum(x * jnp.asarray(factor, x.dtype) * t)

    return f


def test_check_grads_misses_a_tenth_of_one_coordinate():
    x = 0.01 * near_one(1000)
    first = np.ones(1000)
    first[0] = 1.1
    check_grads(claiming(first), (x,), order=1, modes=("rev",))
    assert verdicts(check_gradient(half_square, times(first), x)) == both(VIOLATED)


def test_chex_misses_the_wrong_sign():
    x = jnp.full(500, 0.1)
    chex.assert_numerical_grads(claiming(-1.0), (x,), order=1)
    assert verdicts(check_gradient(half_square, times(-1.0), x)) == both(VIOLATED)


@pytest.mark.parametrize("n", [1, 10, 300, 1000])
def test_a_factor_is_seen_in_any_number_of_coordinates(n):
    """chex.assert_numerical_grads misses it, the more coordinates there are."""
    for x in (near_one(n), jnp.full(n, 0.1)):
        assert verdicts(check_gradient(half_square, times(1.0), x)) == both(HOLDS)
        for factor in (1.05, 10.0, -1.0, 0.0):
            assert verdicts(check_gradient(half_square, times(factor), x)) == both(VIOLATED)
    assert verdicts(check_gradient(half_square, times(1.00001), near_one(n)))[AUTODIFF] == VIOLATED


@pytest.mark.parametrize(("n", "factor"), [(3, 1.001), (10, 1.01), (1000, 1.001)])
def test_one_wrong_coordinate_is_seen_among_any_number(n, factor):
    report = check_gradient(half_square, first_times(factor), near_one(n))
    assert not report and row(report, AUTODIFF).violated == 1
    assert "only gradient[0] is wrong" in cause(report)


def waves(x, scale):
    return scale * jnp.sum(jnp.sin(x / scale))


def waves_numpy(scale):
    return lambda x: float(scale * np.sum(np.sin(np.asarray(x) / x.dtype.type(scale))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e6])
def test_no_scale_of_the_function_matters(scale, dtype):
    """check_grads raises false alarms for 1e-6, 1e-4 and from 1e2 on."""
    x = np.array([0.3, 1.0, 1.7], dtype)
    f = gd.Objective(waves, data=np.asarray(scale, dtype))

    def gradient(x, factor=1.0):
        return np.cos(np.asarray(x) / dtype(scale)) * dtype(factor)

    def wrong(x):
        return gradient(x, 1.01)

    assert verdicts(check_gradient(f, gradient, x)) == both(HOLDS)
    assert verdicts(check_gradient(f, wrong, x)) == both(VIOLATED)
    assert verdicts(check_gradient(waves_numpy(scale), gradient, x)) == numpy_only(HOLDS)
    assert verdicts(check_gradient(waves_numpy(scale), wrong, x)) == numpy_only(VIOLATED)


def test_check_grads_raises_a_false_alarm():
    x = jnp.array([0.3, 1.0, 1.7])
    with pytest.raises(AssertionError):
        check_grads(lambda x: waves(x, jnp.float32(1e-4)), (x,), order=1)


# -- right gradients hold --------------------------------------------------------------------------

DIABETES = load_diabetes(scaled=False)
RAW, TARGET = DIABETES.data, DIABETES.target.astype(np.float32)
STANDARD = (RAW - RAW.mean(0)) / RAW.std(0)


def with_ones(X):
    return np.concatenate([np.ones((len(X), 1)), X], axis=1).astype(np.float32)


@pytest.mark.parametrize("X", [RAW, STANDARD], ids=["raw", "standardized"])
def test_least_squares_on_real_data(X):
    X = with_ones(X)
    f = gd.least_squares(X, TARGET)
    moments = X.T @ X / np.float32(len(X)), X.T @ TARGET / np.float32(len(X))

    def by_normal_equations(theta):
        return 2 * (moments[0] @ np.asarray(theta) - moments[1])

    def one_by_one(theta):
        total = np.zeros(X.shape[1], np.float32)
        for x, y in zip(X, TARGET, strict=True):
            total += x * (x @ np.asarray(theta) - y)
        return total * np.float32(2 / len(X))

    def close(theta):
        return gd.analytic(f)(theta)[1] * jnp.float32(1.001)

    best = gd.facts(f).minimizer
    for theta in (jnp.zeros(11), jnp.ones(11), jnp.asarray(best / 2, jnp.float32)):
        for gradient in (gd.analytic, gd.reverse, gd.forward, by_normal_equations, one_by_one):
            assert verdicts(check_gradient(f, gradient, theta)) == both(HOLDS)
        assert verdicts(check_gradient(f, close, theta)) == both(VIOLATED)
    at_best = check_gradient(f, by_normal_equations, jnp.asarray(best, jnp.float32))
    assert verdicts(at_best)[AUTODIFF] == Verdict.VACUOUS
    assert "stationary" in row(at_best, AUTODIFF).reason


@pytest.mark.parametrize("dtype", DTYPES)
def test_least_squares_in_numpy(dtype):
    """Rounding that was made before anybody asked, in products of matrices, is no mistake."""
    X, y = with_ones(STANDARD).astype(dtype), TARGET.astype(dtype)
    squares, products = np.zeros((11, 11), dtype), np.zeros(11, dtype)
    for features, target in zip(X, y, strict=True):
        squares += np.outer(features, features)
        products += features * target

    def f(theta):
        return float(np.mean((np.dot(X, theta) - y) ** 2))

    def direct(theta):
        return np.dot(X.T, np.dot(X, theta) - y) * theta.dtype.type(2 / len(X))

    def by_normal_equations(theta):
        return (np.dot(squares, theta) - products) * theta.dtype.type(2 / len(X))

    def wrong(theta):
        return direct(theta) * theta.dtype.type(1.001)

    for theta in (np.zeros(11, dtype), np.ones(11, dtype)):
        assert verdicts(check_gradient(f, direct, theta)) == numpy_only(HOLDS)
        assert verdicts(check_gradient(f, by_normal_equations, theta)) == numpy_only(HOLDS)
        assert verdicts(check_gradient(f, wrong, theta)) == numpy_only(VIOLATED)


def test_logistic_regression():
    f = gd.logistic(with_ones(STANDARD), (TARGET > 140).astype(np.float32), ridge=0.1)
    for gradient in (gd.analytic, gd.reverse):
        assert verdicts(check_gradient(f, gradient, jnp.full(11, 0.1))) == both(HOLDS)


def huber(x):
    return jnp.sum(jnp.where(abs(x) <= 1, x**2 / 2, abs(x) - 0.5))


def powers(x):
    return jnp.sum(jnp.abs(x) ** 1.5)


def line(params):
    t = jnp.arange(5, dtype=params["slope"].dtype)
    return jnp.mean((params["slope"] * t + params["shift"][0, 1] - 1) ** 2)


def line_gradient(params):
    t = jnp.arange(5, dtype=params["slope"].dtype)
    e = params["slope"] * t + params["shift"][0, 1] - 1
    return {
        "slope": jnp.mean(2 * e * t),
        "shift": jnp.zeros_like(params["shift"]).at[0, 1].set(jnp.mean(2 * e)),
    }


def program(x):
    """Loops, branches and calls that a function may have inside."""

    def body(total, t):
        return jax.lax.cond(t > 0, jnp.sin, jnp.cos, total + t), None

    total, _ = jax.lax.scan(body, jnp.zeros((), x.dtype), x)
    return total + jax.lax.fori_loop(0, 3, lambda _, s: s * 0.5 + jnp.tanh(s), total)


RIGHT = {
    "rosenbrock": (gd.landscapes.rosenbrock, gd.analytic, np.array([-1.2, 1.0])),
    "log-sum-exp": (logsumexp, jax.nn.softmax, np.array([1.0, 20.0, -3.0])),
    "huber": (huber, lambda x: jnp.clip(x, -1, 1), np.array([0.5, 1.0, -1.0, 2.0])),
    "powers": (
        powers,
        lambda x: 1.5 * jnp.sign(x) * jnp.sqrt(jnp.abs(x)),
        np.array([1.0, -1e-3, 3.0]),
    ),
    "norm": (jnp.linalg.norm, lambda x: x / jnp.linalg.norm(x), np.array([3.0, 4.0, 1e-3])),
    "a tree": (line, line_gradient, {"slope": np.array(0.7), "shift": np.array([[1.0, 2.0]])}),
    "one number": (jnp.sin, jnp.cos, np.array(1.0)),
    "a program": (program, jax.grad(program), np.array([0.5, -1.0, 2.0])),
    "linear": (
        lambda x: 2 * x[0] - x[1],
        lambda x: x * 0 + np.array([2, -1], x.dtype),
        np.array([3.0, 0.0]),
    ),
    "constant": (lambda x: x[0] * 0 + 3, lambda x: x * 0, np.array([1.0, 2.0])),
    "an offset": (lambda x: 1e6 + jnp.sum(x**2), lambda x: 2 * x, np.array([0.1, 0.2])),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_hold(name):
    f, gradient, at = RIGHT[name]
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), at)
    for point in (single, at):
        report = check_gradient(f, gradient, point)
        assert report and verdicts(report)[AUTODIFF] == HOLDS
        assert verdicts(report)[TAYLOR] == (Verdict.VACUOUS if name == "constant" else HOLDS)
        assert row(report, AUTODIFF).excess < 1 and row(report, TAYLOR).excess < 1
        assert row(report, FORM).dtype == jax.tree.leaves(point)[0].dtype.name


NUMPY = {
    "huber": (
        lambda x: float(np.sum(np.where(abs(x) <= 1, x**2 / 2, abs(x) - 0.5))),
        lambda x: np.clip(x, -1, 1),
        [0.5, 1.0, -1.0],
    ),
    "exponentials": (lambda x: float(np.sum(np.exp(x) - x)), np.expm1, [0.1, -3.0]),
    "norm": (lambda x: float(np.linalg.norm(x)), lambda x: x / np.linalg.norm(x), [3.0, 4.0]),
    "linear": (
        lambda x: float(np.dot([1, 2, 3], x)),
        lambda x: np.array([1, 2, 3], x.dtype),
        [0.0, 0.0, 0.0],
    ),
    "in float32": (
        lambda x: float(np.sum(np.sin(np.asarray(x, np.float32)))),
        np.cos,
        [0.5, 1.0, 2.0],
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NUMPY)
def test_right_gradients_hold_in_numpy(name, dtype):
    f, gradient, at = NUMPY[name]
    at = np.array(at, dtype)
    assert verdicts(check_gradient(f, gradient, at)) == numpy_only(HOLDS)
    off = check_gradient(f, lambda x: gradient(x) * x.dtype.type(1.01), at)
    assert verdicts(off) == numpy_only(VIOLATED)


def test_bfloat16():
    x = jnp.array([1.0, 2.0, 3.0], jnp.bfloat16)
    assert verdicts(check_gradient(half_square, times(1.0), x)) == both(HOLDS)
    assert verdicts(check_gradient(half_square, times(1.1), x)) == both(VIOLATED)


def test_the_dtypes_of_a_tree_may_differ():
    def f(params):
        return jnp.sum(params["a"].astype(params["b"].dtype) ** 2) * params["b"]

    at = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.array(2.0)}
    report = check_gradient(f, jax.grad(f), at)
    assert verdicts(report) == both(HOLDS) and report.rows[0].dtype == "bfloat16, float32"


def test_values_come_with_gradients():
    at = jnp.array([1.0, 2.0])
    assert check_gradient(half_square, jax.value_and_grad(half_square), at)
    report = check_gradient(half_square, lambda x: (2 * half_square(x), x), at)
    assert verdicts(report) == {FORM: HOLDS, AUTODIFF: VIOLATED, TAYLOR: HOLDS}
    assert cause(report) == "the value that comes with the gradient is not f(x)"

    def f(x):
        return float(np.sum(np.sin(x)))

    assert check_gradient(f, lambda x: (f(x), np.cos(x)), np.ones(2, np.float32))
    report = check_gradient(f, lambda x: (f(x) * 1.01, np.cos(x)), np.ones(2, np.float32))
    assert verdicts(report) == numpy_only(VIOLATED)
    assert "not f(x)" in cause(report, TAYLOR)


@pytest.mark.parametrize(("off", "verdict"), [(1, HOLDS), (8, VIOLATED)])
def test_a_value_in_numpy_may_be_off_by_its_own_rounding_alone(off, verdict):
    """Within a unit of the point f changes by 2.2 u, and what is rounded twice is |f| = 1.7."""

    def f(x):
        return float(np.sum(np.sin(x)))

    factor = 1 + off * 2.0**-24
    report = check_gradient(f, lambda x: (f(x) * factor, np.cos(x)), np.ones(2, np.float32))
    assert verdicts(report) == numpy_only(verdict)


def test_a_pair_of_parameters_is_no_value_and_gradient():
    at = (jnp.array(1.0), jnp.array(2.0))
    assert check_gradient(lambda p: p[0] * p[1], lambda p: (p[1], p[0]), at)


# -- what cannot be told is not held against anybody -----------------------------------------------


def tent(x):
    return jnp.abs(x[0]) + x[1] ** 2


def test_a_kink_accuses_no_subgradient():
    at = np.array([0.0, 1.0], np.float32)
    for slope in (-1.0, 0.0, 0.3, 1.0):
        for f in (tent, lambda x: float(np.fabs(x[0]) + x[1] ** 2)):
            report = check_gradient(f, lambda x, s=slope: np.array([s, 2 * x[1]], x.dtype), at)
            assert VIOLATED not in verdicts(report).values()
            told = row(report, TAYLOR)
            assert told.verdict == HOLDS and 0 < told.informative < told.instances


def test_a_kink_accuses_what_is_no_subgradient():
    at = np.array([0.0, 1.0], np.float32)
    report = check_gradient(tent, lambda x: np.array([5, 2 * x[1]], x.dtype), at)
    assert verdicts(report) == both(VIOLATED)
    assert "only gradient[0] is wrong" in cause(report)


def test_a_kink_within_rounding_is_one():
    """The square of 0.1 in float32 is not 0.01: the first point lies beside the kink."""

    def beside(x):
        return abs(x**2 - 0.01)

    def on(x):
        return abs(x - 0.1)

    for f, slope in [
        (beside, -0.2),
        (beside, 0.0),
        (beside, 0.2),
        (on, -1.0),
        (on, 0.0),
        (on, 1.0),
    ]:
        report = check_gradient(f, lambda x, s=slope: x * 0 + s, jnp.array(0.1))
        told = row(report, AUTODIFF)
        assert told.verdict == Verdict.VACUOUS and "kink" in told.reason
        assert verdicts(report)[TAYLOR] == Verdict.VACUOUS and not report


def test_nothing_is_shown_where_rounding_hides_everything():
    def f(x):  # in float32 whatever it is given: its last digit is 0.06
        return float(np.float32(1e6) + np.float32(np.dot(x, x)))

    at = np.array([0.1, 0.2], np.float32)
    for factor in (2, 4):
        report = check_gradient(f, lambda x, c=factor: np.float32(c) * x, at)
        assert verdicts(report)[TAYLOR] == Verdict.VACUOUS
        assert verdicts(report)[FORM] == Verdict.VACUOUS and not report
    assert check_gradient(f, lambda x: 2 * x, 1000 * at)
    assert not check_gradient(f, lambda x: np.float32(2.1) * x, 1000 * at)


def test_autodiff_that_is_not_finite_accuses_nobody():
    report = check_gradient(jnp.linalg.norm, lambda x: x * 0, jnp.zeros(2))
    assert verdicts(report)[AUTODIFF] == Verdict.VACUOUS and not report
    assert row(report, AUTODIFF).reason == "autodiff gives nan for gradient[0]"


# -- f is what it computes in its own dtypes -------------------------------------------------------


def in_coarse(dtype):
    """A sum of sines that are computed in a dtype, whatever it is given."""
    return lambda x: jnp.sum(jnp.sin(x.astype(dtype))).astype(x.dtype)


@pytest.mark.parametrize(("inside", "at"), [("float32", np.float64), ("bfloat16", np.float32)])
def test_rounding_is_that_of_the_dtypes_inside(inside, at):
    at, unit = np.array([0.5, 1.0], at), float(jnp.finfo(inside).eps) / 2

    def gradient(x, factor=1.0):
        return np.cos(x) * x.dtype.type(factor)

    f = in_coarse(inside)
    assert verdicts(check_gradient(f, gradient, at)) == both(HOLDS)
    assert verdicts(check_gradient(f, jax.grad(f), at))[AUTODIFF] == HOLDS
    # What is off by less than the rounding inside is explained, and by much more is not.
    report = check_gradient(f, lambda x: gradient(x, 1 + unit), at)
    assert verdicts(report)[AUTODIFF] == HOLDS
    report = check_gradient(f, lambda x: gradient(x, 1 + 256 * unit), at)
    assert verdicts(report)[AUTODIFF] == VIOLATED


def noisy(x):
    """A function with a fixed key inside: under ``enable_x64`` it draws other numbers."""
    return jnp.mean((x + jax.random.normal(jax.random.key(0), (3,))) ** 2)


def noisy_gradient(x, factor=1.0):
    noise = jax.random.normal(jax.random.key(0), (3,))
    return (x + noise) * jnp.asarray(2 * factor / 3, x.dtype)


@pytest.mark.parametrize("double", [False, True])
def test_random_numbers_inside_are_those_that_are_drawn(double):
    with jax.enable_x64(double):
        at = jnp.array([0.3, -0.7, 1.1])
        for gradient in (gd.reverse, jax.grad(noisy), noisy_gradient):
            assert verdicts(check_gradient(noisy, gradient, at)) == both(HOLDS)
        report = check_gradient(noisy, functools.partial(noisy_gradient, factor=1.001), at)
        assert verdicts(report) == both(VIOLATED)


def test_random_numbers_that_jax_does_not_trace():
    at = jnp.array([0.3, -0.7, 1.1])
    for factor, verdict in [(1.0, HOLDS), (2.0, VIOLATED)]:
        gradient = functools.partial(noisy_gradient, factor=factor)
        report = check_gradient(lambda x: float(noisy(x)), gradient, at)
        assert verdicts(report) == numpy_only(verdict)


# -- operations that mix entries -------------------------------------------------------------------


def symmetric(x):
    return x + x.T


WAVE = np.sin(2 * np.pi * np.arange(64) / 64) + 0.1
MATRIX = np.random.default_rng(3).normal(size=(4, 4))
MIXING = {
    "rfft": (
        lambda x: jnp.sum(jnp.abs(jnp.fft.fft(x)) ** 2),  # Parseval: n |x|^2
        lambda x: 2 * x.size * jnp.fft.irfft(jnp.fft.rfft(x), x.size),
        WAVE,
    ),
    "svd": (  # the sum of singular values
        lambda x: jnp.sum(jnp.linalg.svd(x, compute_uv=False)),
        lambda x: jnp.matmul(*jnp.linalg.svd(x)[::2]),
        MATRIX,
    ),
    "eigh": (  # the largest eigenvalue
        lambda x: jnp.linalg.eigvalsh(symmetric(x))[-1],
        lambda x: 2 * jnp.outer(*[jnp.linalg.eigh(symmetric(x))[1][:, -1]] * 2),
        MATRIX,
    ),
    "solve": (
        lambda x: jnp.sum(jnp.linalg.solve(x, x[0] * 0 + 1)),
        lambda x: (
            -jnp.outer(jnp.linalg.solve(x.T, x[0] * 0 + 1), jnp.linalg.solve(x, x[0] * 0 + 1))
        ),
        MATRIX,
    ),
    "qr": (  # the determinant, up to its sign
        lambda x: jnp.prod(jnp.abs(jnp.diag(jnp.linalg.qr(x)[1]))),
        lambda x: jnp.abs(jnp.linalg.det(x)) * jnp.linalg.inv(x).T,
        MATRIX,
    ),
}


@pytest.mark.parametrize("name", MIXING)
def test_operations_that_mix_entries(name):
    """What they are off by is of the norm of the whole, not of each entry."""
    f, gradient, at = MIXING[name]
    at = jnp.asarray(at, jnp.float32)
    assert verdicts(check_gradient(f, gradient, at)) == both(HOLDS)
    report = check_gradient(f, lambda x: gradient(x) * np.float32(1.01), at)
    assert verdicts(report) == both(VIOLATED)


def test_an_operation_that_is_not_known_mixes_all_entries():
    """Its results may be off by the norm of what it is given, and of what it returns."""
    unknown = jex.Primitive("backwards")
    unknown.def_impl(lambda x: x[..., ::-1])
    unknown.def_abstract_eval(lambda x: x)
    mlir.register_lowering(unknown, mlir.lower_fun(lambda x: x[..., ::-1], multiple_results=False))
    ad.deflinear2(unknown, lambda t, _: [unknown.bind(t)])
    batching.defvectorized(unknown)

    def f(x):
        return jnp.sum(unknown.bind(x) * jnp.array([1000, 1, 1, 1], x.dtype))

    at = jnp.ones(4)
    form, x = form_of("f", at)
    known, _ = derivative(Function(f, f, form, 0, *traced(f, form)), x)
    assert known.exact.tolist() == [1003.0, 1.0, 1.0, 1.0, 1000.0]
    assert (known.rounding[1:] > 8 * 2.0**-24 * 1000).all()  # and not of the entries, which are 1
    assert verdicts(check_gradient(f, jax.grad(f), at)) == both(HOLDS)


def test_an_error_of_the_whole_is_of_its_norm():
    """Of a linear form of it the scale of the draws is the length of the form, times the norm."""
    runs, form, x = 4000, np.array([1.0, -2.0, 2.0]), np.array([3.0, 0.0, 4.0])
    with jax.enable_x64(True):
        salts = jnp.arange(runs, dtype=jnp.uint32)
        errors = Errors(salts, *(jnp.full(runs, y) for y in (1.0, 0.0, True)))
        drawn = jax.vmap(lambda errors: errors.normwise(x, 1.0, 0, 1) - x)(errors)
        bounded = errors._replace(heavy=jnp.zeros(runs, bool))
        near = jax.vmap(lambda errors: errors.normwise(x, 1.0, 0, 1) - x)(bounded)
    # Half of a Cauchy distribution is below its scale; so many draws tell it to 6 %.
    assert abs(np.median(abs(np.asarray(drawn) @ form)) / (3 * 5) - 1) < 4 * 0.5 * np.pi / 63
    assert (np.linalg.norm(near, axis=1) <= 5 * (1 + 1e-12)).all()


# -- planted bugs ----------------------------------------------------------------------------------

RANDOM = np.random.default_rng(1)
X, Y = RANDOM.normal(size=(12, 3)).astype(np.float32), RANDOM.normal(size=12).astype(np.float32)
THETA = jnp.array([0.5, -1.0, 2.0])
SQUARES = gd.least_squares(X, Y)


def right(theta):
    return gd.analytic(SQUARES)(theta)[1]


def of_column(theta):
    """The residuals X theta - y as a table, as where y is a column."""
    table = (X @ theta)[:, None] - np.broadcast_to(Y, (12, 12))
    return jnp.mean(2 * table, axis=1) @ X / 12


BUGS = {
    "sign": (lambda t: -right(t), "every coordinate is of the wrong sign"),
    "the 2 forgotten": (lambda t: right(t) / 2, "every coordinate is 1/2 times"),
    "doubled": (
        lambda t: right(t) * 2,
        "every coordinate is 2 times what it must be, as of a",
    ),
    "a sum": (lambda t: right(t) * 12, "12 is the length of the data, so a sum instead of a mean"),
    "averaged twice": (lambda t: right(t) / 12, "1/12 times"),
    "d for n": (
        lambda t: right(t) * 4,
        "divided by 3, the number of parameters, instead of 12, the length of the data",
    ),
    "a column": (of_column, ""),
    "stopped": (lambda t: t * 0, "every coordinate is zero, as under stop_gradient"),
    "reversed": (lambda t: right(t)[::-1], "in reverse order: gradient["),
    "permuted": (lambda t: jnp.roll(right(t), 1), "permuted: gradient["),
    "a penalty": (lambda t: right(t) + 0.1 * t, "off by 0.1 x, as of a penalty"),
    "one coordinate": (
        lambda t: right(t).at[1].multiply(1.01),
        "only gradient[1] is wrong, 1.01 times what it must be; the other 2 agree",
    ),
    "an intercept": (
        lambda t: right(t).at[0].multiply(12),
        "only gradient[0] is 12 times what it must be: 12 is the length of the data, so a sum",
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_bugs_are_named(name):
    gradient, expected = BUGS[name]
    report = check_gradient(SQUARES, gradient, THETA)
    assert verdicts(report) == both(VIOLATED) and not report
    for theorem in (AUTODIFF, TAYLOR):
        case = row(report, theorem).counterexample
        assert expected in case.cause and bool(case.cause) == bool(expected)
        assert case.off_by > case.explained > 0


def test_an_intercept_that_is_not_averaged():
    def f(p):
        return float(np.mean((np.dot(X, p["w"]) + p["b"] - Y) ** 2))

    def gradient(p):
        e = np.dot(X, p["w"]) + p["b"] - Y
        return {"w": 2 * np.dot(X.T, e) / p["w"].dtype.type(12), "b": np.asarray(2 * e.sum())}

    at = {"w": np.ones(3, np.float32), "b": np.array(0.5, np.float32)}
    report = check_gradient(f, gradient, at)
    assert verdicts(report) == numpy_only(VIOLATED)
    assert cause(report, TAYLOR) == (
        "only gradient['b'] is 12 times what it must be: 12 is the length of the data, so a sum "
        "instead of a mean; the other 3 agree"
    )


def test_a_transposed_matrix():
    A = RANDOM.normal(size=(3, 3)).astype(np.float32)

    def f(W):
        return jnp.sum(jnp.sin(W * A))

    report = check_gradient(f, lambda W: jax.grad(f)(W).T, jnp.ones((3, 3)))
    assert verdicts(report) == both(VIOLATED)
    assert "the right numbers, transposed: gradient[" in cause(report)


def test_half_of_a_product_under_stop_gradient():
    def stopped(x):
        return jnp.sum(x * jax.lax.stop_gradient(x)) / 2

    report = check_gradient(half_square, jax.grad(stopped), near_one(3))
    assert verdicts(report) == both(VIOLATED) and "half under stop_gradient" in cause(report)


def test_a_formula_that_cancels():
    def f(x):
        return 2 * jnp.sin(x / 2) ** 2 / x

    def naive(x):
        return (x * jnp.sin(x) - (1 - jnp.cos(x))) / x**2

    report = check_gradient(f, naive, jnp.array(1e-3))
    assert verdicts(report) == both(VIOLATED)
    assert cause(report).startswith("rounding: the same formula is right in float64")


def test_float64_that_is_float32():
    def f(x):
        return float(np.sum(np.sin(x)))

    def coarse(x):
        return np.cos(x.astype(np.float32)).astype(np.float64)

    report = check_gradient(f, coarse, np.array([0.1, 0.7, 1.3]))
    assert verdicts(report) == numpy_only(VIOLATED)
    assert cause(report, TAYLOR).startswith("right to float32")


def test_a_wrong_derivative_rule_of_f_is_not_blamed_on_the_gradient():
    report = check_gradient(claiming(0.5), times(1.0), jnp.array([1.0, 2.0]))
    assert verdicts(report) == {FORM: HOLDS, AUTODIFF: VIOLATED, TAYLOR: HOLDS}
    assert cause(report).startswith("f itself agrees with the gradient, and autodiff does not")


def test_one_of_many_coordinates_of_a_function_in_numpy():
    def f(x):
        return float(np.dot(np.sin(x), x))

    def wrong(x):
        g = np.cos(x) * x + np.sin(x)
        g[17] *= 1.001
        return g

    report = check_gradient(f, wrong, np.linspace(0.1, 2, 300))
    assert verdicts(report) == numpy_only(VIOLATED)
    assert cause(report, TAYLOR) == (
        "only gradient[17] is wrong, 1.001 times what it must be; the other 299 agree"
    )


def test_very_many_coordinates():
    report = check_gradient(
        lambda x: float(np.dot(x, x)), lambda x: 4 * x, np.linspace(0.1, 2, 1100)
    )
    assert cause(report, TAYLOR) == (
        "along every direction it is 2 times what it must be, as of a missing 1/2"
    )


# -- form ------------------------------------------------------------------------------------------


def mutating(x):
    x *= 2
    return x


def forgetful(x, calls=[]):  # noqa: B006
    calls.append(1)
    return x * x.dtype.type(len(calls))


FORMLESS = {
    "shape": (
        lambda x: x[:, None],
        "gradient must be float32[3] like the parameters, got float32[3,1]",
    ),
    "dtype": (
        lambda x: x.astype(np.float64),
        "gradient must be float32[3] like the parameters, got float64[3]",
    ),
    "nan": (lambda x: x * np.float32(np.nan), "gradient[0] must be finite where f is, got nan"),
    "none": (
        lambda x: None,
        "the gradient must be one array like the parameters, got NoneType None",
    ),
    "list": (
        lambda x: x.tolist(),
        "the gradient must be one array like the parameters, got list [1.0, 2.0, 3.0]; a list is a "
        "tree of its entries, np.array makes it one array",
    ),
    "mutates": (
        mutating,
        "the gradient must not change its argument: at[0] was 1, and is 2 afterwards",
    ),
    "varies": (
        forgetful,
        "gradient[0] must be the same when it is asked for twice, got 1, then 2",
    ),
    "value": (
        lambda x: ("f", x),
        "the value of (value, gradient) must be one real number, shape (), got str 'f'",
    ),
}


@pytest.mark.parametrize("name", FORMLESS)
def test_the_form_of_a_gradient(name):
    gradient, sentence = FORMLESS[name]
    at = np.array([1.0, 2.0, 3.0], np.float32)
    report = check_gradient(lambda x: float(np.dot(x, x)), gradient, at)
    blocked = Verdict.BLOCKED
    assert verdicts(report) == {FORM: VIOLATED, AUTODIFF: blocked, TAYLOR: blocked} and not report
    assert row(report, FORM).reason == sentence
    assert at.tolist() == [1, 2, 3]


def test_the_form_of_a_tree():
    at = {"w": np.ones(3, np.float32), "b": np.array(0.5, np.float32)}

    def f(p):
        return float(np.sum(p["w"]) * p["b"])

    report = check_gradient(f, lambda p: {"w": p["w"][:, None], "b": p["b"]}, at)
    wanted = "must be float32[3] like the parameters, got float32[3,1]"
    assert row(report, FORM).reason == f"gradient['w'] {wanted}"
    report = check_gradient(f, lambda p: {"w": p["w"]}, at)
    assert row(report, FORM).reason.startswith("the gradient must be the structure PyTreeDef({'b'")


def test_a_gradient_that_raises():
    report = check_gradient(lambda x: float(np.dot(x, x)), lambda x: 1 / 0, np.ones(2))
    assert verdicts(report)[FORM] == Verdict.ERROR and not report
    assert row(report, FORM).reason == "the gradient raised ZeroDivisionError: division by zero"


def test_a_gradient_that_is_not_finite_where_f_is():
    report = check_gradient(jnp.linalg.norm, jax.grad(jnp.linalg.norm), jnp.zeros(2))
    assert row(report, FORM).reason == "gradient[0] must be finite where f is, got nan"


# -- reports ---------------------------------------------------------------------------------------


def test_a_report_can_be_checked_on_paper():
    report = check_gradient(half_square, times(2.0), near_one(3))
    text = str(report)
    assert "held to the derivative of test_gradient_check:half_square" in text
    case = row(report, AUTODIFF).counterexample
    assert (case.smallest, case.must_be) == ("x = (1, 0, 0)", "(1, 0, 0)")
    assert case.returned == "(2, 0, 0)" and case.off_by == 1 and case.explained < 1e-6
    assert "= -1, -1, -1\n" in text and "it must fall like s^2" in text
    assert json.loads(report.to_json())["holds"] is False
    assert all(len(line) <= 100 for line in text.splitlines())


HOMEWORK = """
import numpy as np

def cost(p):
    return float(np.sum(p["w"] ** 2) / 2 + np.exp(p["b"]))

def slope(p):
    return {"w": 2 * p["w"], "b": np.exp(p["b"])}
"""


def test_reproductions_run_without_gdpure(tmp_path, monkeypatch):
    (tmp_path / "gradient_homework.py").write_text(textwrap.dedent(HOMEWORK))
    monkeypatch.syspath_prepend(tmp_path)
    import gradient_homework as homework

    at = {"w": np.array([0.3, 0.7]), "b": np.array(0.1)}
    report = check_gradient(homework.cost, homework.slope, at)
    assert report.subject == "gradient_homework:slope"
    python = row(report, TAYLOR).counterexample.reproduction
    assert "gdpure" not in python and "from gradient_homework import slope" in python
    done = subprocess.run(
        [sys.executable, "-c", python],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    came, slope = done.stdout.splitlines()[-1].split(" while f has the slope ")
    assert float(came) == 2 and abs(float(slope) - 1) < 1e-9


def test_a_seed_decides_everything():
    reports = [check_gradient(half_square, times(1.0 + 1e-5), near_one(10), seed=3) for _ in "ab"]
    assert str(reports[0]) == str(reports[1])


def test_the_same_function_compiles_once(compilations):
    check_gradient(SQUARES, gd.analytic, THETA)
    other, at = gd.least_squares(X + 1, Y), THETA + 1
    with compilations() as compiled:
        check_gradient(other, gd.analytic, at)
        assert compiled() == 0


# -- arguments -------------------------------------------------------------------------------------


def dot(x):
    return float(np.dot(x, x))


TWO = np.ones(2)
ARGUMENTS = {
    "f": ((3, dot, TWO), TypeError, "f must be callable, got int 3"),
    "data": ((lambda x, y: 0.0, dot, TWO), TypeError, "f must take 1 argument, the parameters"),
    "gradient": ((dot, 3, TWO), TypeError, "gradient must be callable, got int 3"),
    "whole numbers": ((dot, dot, np.ones(2, int)), TypeError, "at must be floating point, got int"),
    "a whole number": ((dot, dot, 3), TypeError, "at must be floating point, got int 3"),
    "complex": ((dot, dot, np.ones(2, complex)), TypeError, "its real and imaginary parts"),
    "empty": ((dot, dot, np.ones(0)), ValueError, "at must not be empty"),
    "nothing": ((dot, dot, {}), ValueError, "at must hold at least one array"),
    "nan": ((dot, dot, {"w": np.array([1, np.nan])}), ValueError, "at['w'][1] must be finite"),
    "a vector": ((np.sin, dot, TWO), ValueError, "f(at) must be one real number, shape (), got fl"),
    "a tuple": ((lambda x: (1.0, 2.0), dot, TWO), TypeError, "shape (), got tuple (1.0, 2.0)"),
    "no float": (
        (lambda x: 1, dot, TWO),
        TypeError,
        "f(at) must be one real number, shape (), got",
    ),
    "infinite": ((lambda x: np.inf, dot, TWO), ValueError, "f(at) must be finite, got inf"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_refused_in_a_sentence(name):
    arguments, error, sentence = ARGUMENTS[name]
    with pytest.raises(error) as refused:
        check_gradient(*arguments)
    assert str(refused.value).startswith("check_gradient: ") and sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_seed_is_a_whole_number():
    with pytest.raises(ValueError, match="check_gradient: seed must be a whole number"):
        check_gradient(half_square, times(1.0), jnp.ones(2), seed=-1)
