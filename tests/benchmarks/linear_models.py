"""Linear models: one run, many rows, per-sample gradients, and closed forms."""

from functools import partial
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd

from . import by_hand, libraries, limits
from .by_hand import cost, log_loss, logistic_slope, squares, squares_slope
from .measuring import Ways, installed
from .rightness import Right, drift, linear_pull, rounded, stray, wide


def data(n, d):
    """Return X, y, labels: float32 arrays of NumPy, one row an example."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), np.float32)
    y = X.sum(1) + rng.standard_normal(n, np.float32)
    return X, y, (y > 0).astype(np.float32)


def reached(X, y, step_size, points, scale=2):
    """Return how far float32 may be from points of descent on least squares, (steps + 1, d)."""
    n, d = X.shape
    largest = abs(points).max(0)
    curvatures = scale * np.linalg.eigvalsh(X.T @ X / n)
    rate = max(abs(1 - step_size * curvatures))
    assert rate <= 1, "a step size beyond 2/L"
    pull = linear_pull(X, largest, y, scale)
    # Constants and minimizers that are computed take n d operations, the gradient n + d.
    off = stray(np.linalg.norm(largest), step_size, pull, n * d)
    return drift(off, len(points) - 1, rate)


def one_run(way="rows", *, n, d, steps):
    """Every point of one run of least squares: with rows, as a quadratic, or in closed form."""
    X, y, _ = data(n, d)
    f, start, eta = gd.least_squares(X, y), np.zeros(d, np.float32), np.float32(0.1)
    known, theta = (jnp.asarray(X), jnp.asarray(y)), jnp.zeros(d)
    q = gd.as_quadratic(f)
    ours = {
        "rows": lambda: gd.descend(f, theta, eta, steps=steps).history.point,
        "last": lambda: gd.descend(f, theta, eta, steps=steps, record=None).final.point,
        "quadratic": lambda: gd.descend(q, theta, eta, steps=steps).history.point,
        "closed form": lambda: gd.closed_form(q, theta, eta, steps).point,
    }
    rows = way != "last"
    peers, scan = {}, partial(by_hand.scan, squares, theta, known, eta, steps, rows)

    def value(theta):
        return cost(theta, known)

    def blas():
        from scipy.linalg.blas import sgemv

        def slope(x):
            return sgemv(2 / n, X.T, sgemv(1.0, X.T, x, -1.0, y, trans=1))

        return by_hand.numpy_rows(slope, start, eta, steps)

    if way == "rows":
        slopes = jax.value_and_grad(cost)
        optax = partial(by_hand.optax_scan, slopes, theta, known, eta, steps, True)
        steppers = {
            "optimistix": partial(libraries.optimistix_plain, value),
            "jaxopt": partial(libraries.jaxopt_plain, value, jax.grad(value)),
        }
        jitted = {
            name: partial(jax.jit(partial(peer, step_size=eta, steps=steps)), theta)
            for name, peer in steppers.items()
        }
        peers = installed(optax=lambda: optax()[0], scipy=blas, **jitted)
        peers["NumPy"] = partial(by_hand.numpy_rows, squares_slope(X, y), start, eta, steps)
        peers["the lesson's loop"] = lambda: by_hand.lesson(value, theta, eta, steps)[0]

    def right():
        A, b = wide(X, y)
        points = by_hand.numpy_rows(squares_slope(A, b), np.zeros(d), float(eta), steps)
        return Right(points if rows else points[-1], reached(A, b, float(eta), points))

    given = X.T, y, np.zeros(n), n, d, steps, float(eta)
    limit = limits.arithmetic("least_squares", (steps + 1, d), *given) if rows else {}
    return Ways(ours[way], lambda: scan()[0] if rows else scan(), peers, limit, right)


def many_rows(loss, *, n, d, steps):
    """The last point of a few steps on many rows, of least squares or of logistic regression."""
    X, y, labels = data(n, d)
    eta = np.float32(
        0.05 / (1 + np.sqrt(d / n)) ** 2
    )  # far below 1/L, by random matrices: on the way
    model, target, slopes, slope, scale = {
        "squares": (gd.least_squares, y, squares, squares_slope, 2),
        "logistic": (gd.logistic, labels, jax.value_and_grad(log_loss), logistic_slope, 1),
    }[loss]
    f, start, known = (
        model(X, target),
        np.zeros(d, np.float32),
        tuple(map(jnp.asarray, (X, target))),
    )
    theta = jnp.zeros(d)

    def right():
        A, b = wide(X, target)
        points = by_hand.numpy_rows(slope(A, b), np.zeros(d), float(eta), steps)
        # A slope of the log-loss is below 1, and moves by a quarter of what its argument does.
        weights = (A, b) if scale == 2 else (A, np.ones(n))
        pull = linear_pull(weights[0], abs(points).max(0), weights[1], scale)
        off = stray(np.linalg.norm(abs(points).max(0)), float(eta), pull, n + d)
        return Right(points[-1], drift(off, steps))

    return Ways(
        lambda: gd.descend(f, theta, eta, steps=steps, record=None).final.point,
        partial(by_hand.scan, slopes, theta, known, eta, steps),
        installed(optax=partial(by_hand.optax_scan, slopes, theta, known, eta, steps))
        | {"NumPy": partial(by_hand.numpy_last, slope(X, target), start, eta, steps)},
        limits.read(X, steps),
        right,
    )


def per_sample(*, n, d):
    """The gradient of every example, as called."""
    X, y, _ = data(n, d)
    theta, known = jnp.ones(d), (jnp.asarray(X), jnp.asarray(y))

    def one(theta, x, y):
        return (x @ theta - y) ** 2

    def torch():
        import torch

        slope = torch.func.vmap(torch.func.grad(one), (None, 0, 0))
        given = [torch.from_numpy(np.array(x)) for x in (theta, X, y)]
        return lambda: slope(*given).numpy()

    def right():
        A, b = wide(X, y)
        r, sizes = A.sum(1) - b, abs(A).sum(1) + abs(b)
        off = np.finfo(np.float32).tiny + rounded(d + 3) * 2 * sizes[:, None] * abs(A)
        return Right(2 * r[:, None] * A, off)

    ones = np.ones(d, np.float32)
    mapped = jax.jit(jax.vmap(jax.grad(one), (None, 0, 0)))
    ours = gd.per_sample(gd.least_squares(X, y))
    peers = {"NumPy": lambda: 2 * (X @ ones - y)[:, None] * X}
    if find_spec("torch"):
        peers["torch.func"] = torch()
    by_jax = partial(mapped, theta, *known)
    return Ways(lambda: ours(theta)[1], by_jax, peers, limits.copy(X), right)


def closed_forms(*, rates, steps):
    """The values of all steps of one problem, for many step sizes."""
    X, y, _ = data(442, 10)
    q, etas = (
        gd.as_quadratic(gd.least_squares(X, y)),
        np.linspace(0.01, 0.4, rates, dtype=np.float32),
    )
    start = np.zeros(10, np.float32)

    @jax.jit
    def values(q, etas):
        return gd.closed_form(q, start, etas, steps).value

    def powers(xp, hessian, minimizer, minimum, etas):
        curvatures, axes = xp.linalg.eigh(hessian)
        along, k = (start - minimizer) @ axes, xp.arange(steps + 1, dtype=hessian.dtype)
        shrunk = (1 - etas[:, None] * curvatures[None])[:, None] ** k[None, :, None]
        squares = (shrunk * along[None, None]) ** 2
        return minimum + xp.sum(curvatures[None, None] * squares, axis=2) / 2

    def right():
        A, b, etas64 = wide(X, y, etas)
        hessian = 2 * A.T @ A / len(b)
        minimizer = np.linalg.solve(hessian, 2 * A.T @ b / len(b))
        minimum = np.mean((A @ minimizer - b) ** 2)
        found = powers(np, hessian, minimizer, minimum, etas64)
        L, far = np.linalg.norm(hessian, 2), np.linalg.norm(minimizer)
        # Points are off by at most this, whatever the step size, for mu grows beside it.
        off = [
            reached(A, b, eta, np.stack([2 * abs(minimizer)] * (steps + 1)))
            for eta in etas64[[0, -1]]
        ]
        return Right(found, L * max(off) * (far + max(off)) + rounded(4420) * found.max())

    known = [np.asarray(x) for x in q.data]
    return Ways(
        partial(values, q, etas),
        partial(jax.jit(partial(powers, jnp)), *q.data, jnp.asarray(etas)),
        {"NumPy": partial(powers, np, *known, etas)},
        limits.write(rates, steps + 1),
        right,
    )
