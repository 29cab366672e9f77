"""Uses: what is called anew each time, what runs until it is flat, and what begins cold."""

import math
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from . import by_hand, limits
from .by_hand import bowl, cost, log_loss, squares, squares_slope
from .linear_models import data, one_run
from .measuring import Ways, installed
from .rightness import Right, drift, linear_pull, rounded, stray, wide


def call(*, steps):
    """A call of very few steps of two parameters: what it costs to be called."""
    theta, eta, slopes = jnp.array([2.0, 1.0]), np.float32(0.1), jax.value_and_grad(bowl)

    def value(x, _=None):
        return bowl(x, None)

    def jaxopt():
        import jaxopt

        solver = jaxopt.GradientDescent(
            value, stepsize=0.1, maxiter=steps, tol=0.0, acceleration=False
        )
        return partial(jax.jit(lambda x: solver.run(x).params), theta)

    def optimistix():
        import optimistix

        solver = optimistix.GradientDescent(0.1, rtol=0.0, atol=0.0)
        # Of so many steps the first evaluates the start.
        return lambda: (
            optimistix.minimise(value, solver, theta, max_steps=steps + 1, throw=False).value
        )

    peers = {name: make() for name, make in installed(jaxopt=jaxopt, optimistix=optimistix).items()}
    peers["the lesson's loop"] = lambda: by_hand.lesson(value, theta, 0.1, steps)[0]

    def right():
        off = stray(np.sqrt(5), 0.1, 2 * np.sqrt(5), 2)
        return Right(0.8**steps * np.array([2, 1]), drift(off, steps))

    return Ways(
        lambda: gd.descend(gd.landscapes.bowl, theta, eta, steps=steps).history.point,
        lambda: by_hand.scan(slopes, theta, None, eta, steps, True)[0],
        peers,
        right=right,
        seen=lambda found: jnp.atleast_2d(found)[-1],
    )


def fresh(function, *, n, d, steps):
    """Every call with new data: of an objective of ours, or read by a function made on the spot."""
    X, y, _ = data(n, d)
    theta, eta = jnp.zeros(d), np.float32(0.1)

    def ours():
        A, b = X.copy(), y.copy()
        f = (lambda theta: cost(theta, (A, b))) if function else gd.least_squares(A, b)
        return gd.descend(f, theta, eta, steps=steps).history.point

    def theirs():
        A, b = X.copy(), y.copy()
        if not function:
            return by_hand.scan(squares, theta, (A, b), eta, steps, True)[0]

        def slopes(theta, _):
            return jax.value_and_grad(cost)(theta, (A, b))

        return by_hand.scan(slopes, theta, None, eta, steps, True)[0]

    def numpy():
        return by_hand.numpy_rows(
            squares_slope(X.copy(), y.copy()), np.zeros(d, np.float32), eta, steps
        )

    def lesson():
        A, b = X.copy(), y.copy()
        return by_hand.lesson(lambda theta: cost(theta, (A, b)), theta, eta, steps)[0]

    peers = {"NumPy": numpy} | ({"the lesson's loop": lesson} if function else {})
    return Ways(ours, theirs, peers, right=one_run(n=n, d=d, steps=steps).right)


def ridged(theta, data):
    return log_loss(theta, data[:2]) + data[2] / 2 * jnp.sum(theta**2)


def until_flat(rule, *, n, d):
    """The minimizer of logistic regression with a ridge, to 1e-4 in every entry of the gradient."""
    X, _, labels = data(n, d)
    ridge, tolerance, most = np.float32(0.1), np.float32(1e-4), 10_000
    L = np.linalg.eigvalsh(X.T @ X / n)[-1] / 4 + ridge
    f, start, eta = gd.logistic(X, labels, ridge=ridge), np.zeros(d, np.float32), np.float32(1 / L)
    known = jnp.asarray(X), jnp.asarray(labels), ridge
    slopes = jax.value_and_grad(ridged)
    scan = partial(by_hand.until, slopes, jnp.zeros(d), most, known, eta, tolerance)

    def scipy():
        from scipy.optimize import minimize

        jitted = jax.jit(slopes)

        def value_and_slope(theta):
            return [np.asarray(x, float) for x in jitted(theta.astype(np.float32), known)]

        options = {"gtol": float(tolerance), "ftol": 0.0}
        run = partial(minimize, value_and_slope, start, method="L-BFGS-B", jac=True)
        return lambda: run(options=options).x

    def sklearn():
        from sklearn.linear_model import LogisticRegression

        options = {"C": 1 / (n * float(ridge)), "tol": float(tolerance)}
        model = LogisticRegression(fit_intercept=False, **options)
        return lambda: model.fit(X, labels).coef_[0]

    def jaxopt():
        import jaxopt

        solver = jaxopt.LBFGS(ridged, tol=float(tolerance))
        return partial(jax.jit(lambda x, known: solver.run(x, known).params), start, known)

    solvers = installed(scipy=scipy, sklearn=sklearn, jaxopt=jaxopt)
    rule, peers = {
        "step size": (eta, {}),
        "Barzilai-Borwein": (gd.BarzilaiBorwein(eta), {who: new() for who, new in solvers.items()}),
    }[rule]

    def right():
        A, b = wide(X, labels)
        x = np.zeros(d)
        for _ in range(20):  # Newton's method
            s = 1 / (1 + np.exp(-A @ x))
            hessian = (A.T * (s * (1 - s))) @ A / n + ridge * np.eye(d)
            x = x - np.linalg.solve(hessian, A.T @ (s - b) / n + ridge * x)
        pull = linear_pull(A, abs(x), np.ones(n), 1) + ridge * np.linalg.norm(x)
        return Right(x, (np.sqrt(d) * tolerance + rounded(n + d) * pull) / ridge)

    return Ways(
        lambda: gd.minimize(f, start, rule, tolerance=tolerance, max_steps=most).point,
        scan,
        peers,
        right=right,
    )


def one_at_a_time(*, n, d):
    """One epoch of single examples in a random order, the same for all.

    JAX makes it in the job, by hand too; for NumPy, scikit-learn and C it is there.
    """
    X, y, _ = data(n, d)
    key, eta = jax.random.key(0), np.float32(0.5 / (X**2).sum(1).max())
    f, start = gd.least_squares(X, y), np.zeros(d, np.float32)
    order = np.asarray(gd.stochastic.minibatches(jax.random.fold_in(key, 0), n, 1)[0]).ravel()
    A, b = X[order], y[order]

    @jax.jit
    def scan(X, y, key):
        def body(theta, i):
            return theta - 2 * eta * (X[i] @ theta - y[i]) * X[i], None

        order = jax.random.permutation(jax.random.fold_in(key, 0), n)
        return jax.lax.scan(body, jnp.zeros(d), order)[0]

    def sklearn():
        from sklearn.linear_model import SGDRegressor

        options = {"penalty": None, "learning_rate": "constant", "eta0": 2 * float(eta)}
        options |= {"fit_intercept": False, "shuffle": False}
        return lambda: SGDRegressor(**options).partial_fit(A, b).coef_

    def epoch(A, b):
        theta = np.zeros(d, A.dtype)
        for x, y in zip(A, b, strict=True):
            theta = theta - 2 * eta.astype(A.dtype) * (x @ theta - y) * x
        return theta

    def right():
        theta = epoch(*wide(A, b))
        longest = np.linalg.norm(X, axis=1).max()
        reach = 2 * np.linalg.norm(theta)
        off = stray(reach, float(eta), 2 * longest * (longest * reach + abs(y).max()), 2 * d)
        # Each step sees another example: what they stray is independent, and adds up to a root.
        return Right(theta, math.sqrt(n) * off)

    return Ways(
        lambda: (
            gd.stochastic_descend(
                f, start, eta, batch_size=1, epochs=1, key=key, record=None
            ).final.point
        ),
        partial(scan, *f.data, key),
        {name: make() for name, make in installed(sklearn=sklearn).items()}
        | {"NumPy": partial(epoch, A, b)},
        limits.arithmetic("epoch", d, A, b, n, d, float(eta)),
        right,
    )


_BY_JAX = """
import jax, jax.numpy as jnp
def body(x, _):
    value, gradient = jax.value_and_grad(lambda x: x[0]**2 + x[1]**2)(x)
    return x - 0.1 * gradient, (x, value, gradient)
run = jax.jit(lambda x: jax.lax.scan(body, x, length={steps} + 1))
jax.block_until_ready(run(jnp.array([2.0, 1.0])))
"""
_BY_US = """
import gdpure as gd, jax, jax.numpy as jnp
f = lambda x: x[0]**2 + x[1]**2
jax.block_until_ready(gd.descend(f, jnp.array([2.0, 1.0]), 0.1, steps={steps}))
"""
_BY_OPTIMISTIX = """
import optimistix, jax, jax.numpy as jnp
f, solver = lambda x, _: x[0]**2 + x[1]**2, optimistix.GradientDescent(0.1, rtol=0.0, atol=0.0)
jax.block_until_ready(optimistix.minimise(f, solver, jnp.array([2.0, 1.0]), max_steps={steps} + 1,
                                          throw=False).value)
"""


def cold(*, steps):
    """A process that imports all it needs and makes a few steps."""

    def process(code):
        command = [sys.executable, "-c", code.format(steps=steps)]
        return lambda: subprocess.run(command, check=True) and None

    peers = {name: process(code) for name, code in installed(optimistix=_BY_OPTIMISTIX).items()}
    return Ways(process(_BY_US), process(_BY_JAX), peers)
