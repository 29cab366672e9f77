"""Real data: what descent finds is what scikit-learn finds, and a small network learns digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import exact, spectrum
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression

import gdpure as gd
from gdpure.specs import bounds, rounding

dtypes = pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float64)], ids=str)


def standardized(X):
    return (X - X.mean(0)) / X.std(0)


# -- diabetes: least squares -----------------------------------------------------------------------


def diabetes(dtype):
    X, y = load_diabetes(return_X_y=True)
    X = np.column_stack([np.ones(len(y)), standardized(X)])
    return X.astype(dtype), y.astype(dtype)


def check_linear_regression(point, X, y, step_size, steps, dtype):
    """A point after so many steps from 0 is the minimizer, to the accuracy that rounding allows.

    Steps contract by rho and are off by e, so the distance is at most rho^N |x*| + e / (1 - rho),
    where e is bounded near the fixed point by twice its bound at the minimizer (it is continuous;
    the residuals there are far from 0). scikit-learn is as far off as its gradient / mu.
    """
    theta = LinearRegression(fit_intercept=False).fit(X.astype(float), y.astype(float)).coef_
    L, mu = spectrum(X)
    rho = bounds.contraction(L, mu, float(step_size))
    now = rounding.least_squares(X, y, theta, dtype)
    error = 2 * np.linalg.norm(rounding.step(now, theta, step_size, dtype).astype(float))
    theirs = np.linalg.norm(now.gradient.astype(float)) / mu
    allowed = rho**steps * np.linalg.norm(theta) + error / (1 - rho) + theirs
    assert np.linalg.norm((exact(point) - theta).astype(float)) <= allowed
    return allowed / np.linalg.norm(theta)


@dtypes
def test_descent_on_diabetes_finds_the_linear_regression(dtype):
    X, y = diabetes(dtype)
    with jax.enable_x64(True):
        f, steps = gd.least_squares(X, y), 20_000
        step_size = np.asarray(1 / gd.facts(f).smoothness)
        run = gd.descend(f, np.zeros(11, dtype), step_size, steps=steps, record=None)
    assert run.final.point.dtype == dtype
    known = check_linear_regression(run.final.point, X, y, step_size, steps, dtype)
    assert known < 1e6 * rounding.unit_roundoff(dtype)  # the check knows all but six digits
    with pytest.raises(AssertionError):  # an intercept of another model, or a ridge, would show
        bug = np.linalg.solve(X.T @ X + np.eye(11, dtype=dtype) * 30, X.T @ y)
        check_linear_regression(bug, X, y, step_size, steps, dtype)


# -- breast cancer: logistic regression ------------------------------------------------------------


def cancer(intercept):
    X, labels = load_breast_cancer(return_X_y=True)
    X = standardized(X)
    return np.column_stack([np.ones(len(X)), X]) if intercept else X, labels.astype(float)


def check_logistic_regression(point, X, labels, ridge, gradient_norm):
    """f is ridge-strongly convex: a point with gradient g is within |g| / ridge of the minimizer.

    C n ridge = 1 makes scikit-learn's objective, sum of losses times C plus |w|^2 / 2, ours times a
    constant; without an intercept of its own, which it would not penalize. Its gradient is computed
    here from the definition, beside 1e3 roundings of numbers that are below 1.
    """
    model = LogisticRegression(
        C=1 / (ridge * len(X)), fit_intercept=False, tol=1e-12, max_iter=5000
    )
    theta = model.fit(X, labels).coef_[0]
    margins = (2 * labels - 1) * (X @ theta)
    theirs = -X.T @ ((2 * labels - 1) / (1 + np.exp(margins))) / len(X) + ridge * theta
    assert np.linalg.norm(theirs) < 1e-5  # it converged
    allowed = (gradient_norm + np.linalg.norm(theirs) + 1e3 * 2**-53) / ridge
    assert np.linalg.norm(point - theta) <= allowed


@pytest.mark.parametrize("intercept", [False, True])
def test_descent_on_breast_cancer_finds_the_logistic_regression(intercept):
    (X, labels), ridge, tolerance = cancer(intercept), 0.05, 1e-9
    with jax.enable_x64(True):
        f = gd.logistic(X, labels, ridge)
        step_size = 1 / gd.facts(f).smoothness
        state = gd.minimize(f, np.zeros(X.shape[1]), step_size, tolerance=tolerance)
    assert state.status == gd.Status.CONVERGED
    point, norm = np.asarray(state.point), tolerance * np.sqrt(X.shape[1])
    check_logistic_regression(point, X, labels, ridge, norm)
    with pytest.raises(AssertionError):
        check_logistic_regression(point, X, labels, 1.01 * ridge, norm)


# -- digits: a multilayer perceptron ---------------------------------------------------------------


def logits(params, x):
    hidden = jnp.tanh(x @ params["in"]["w"] + params["in"]["b"])
    return hidden @ params["out"]["w"] + params["out"]["b"]


def cross_entropy(params, example):
    x, digit = example
    return -jax.nn.log_softmax(logits(params, x))[digit]


def layer(rng, fan_in, fan_out):
    weights = rng.normal(size=(fan_in, fan_out)) / np.sqrt(fan_in)
    return {"w": weights.astype(np.float32), "b": np.zeros(fan_out, np.float32)}


def test_a_multilayer_perceptron_learns_digits():
    X, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order, cut = rng.permutation(len(X)), 1400
    X, digits = (X[order] / 16).astype(np.float32), digits[order].astype(np.int32)
    start = {"in": layer(rng, 64, 32), "out": layer(rng, 32, 10)}
    run = gd.stochastic_descend(
        gd.empirical_risk(cross_entropy, (X[:cut], digits[:cut])),
        start,
        gd.HeavyBall(0.05, 0.9),
        batch_size=64,
        epochs=10,
        key=jax.random.key(0),
        record=lambda state: state.value,
    )
    assert jax.tree.structure(run.final.point) == jax.tree.structure(start)
    assert np.isfinite(run.history).all()
    # From a guess among ten, about log 10 = 2.3 (its weights are random), to a tenth of that.
    assert run.history[0] > 2 and run.history[-1] < run.history[0] / 10
    # Chance is 10 %, with 397 digits held out +- 1.5 %; a linear classifier reaches 95 %.
    right = (
        jnp.argmax(jax.vmap(logits, (None, 0))(run.final.point, X[cut:]), axis=1) == digits[cut:]
    )
    assert np.mean(right) > 0.9
