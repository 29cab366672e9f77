"""Jobs that people have: as gdpure does them, by hand, by other libraries, and the limit.

Every job is made for a size, 1 as people have it and less to try it. What it is compared with are
functions without arguments that return what gdpure returns, or what `same` takes of both; a limit
moves the bytes that the job has to move, and computes nothing.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import gdpure as gd

from . import libraries


class Job(NamedTuple):
    """What is done, by whom, what of it is the same, and what cannot be faster."""

    name: str
    ours: Callable[[], Any]
    others: dict[str, Callable[[], Any]]
    limit: Callable[[], Any] | None = None
    same: Callable[[Any], Any] | None = lambda found: found


# -- by hand ---------------------------------------------------------------------------------------


def loop(value_and_gradient, start, data, step_size, steps, rows=False, unroll=1):
    """Rows (point, value, gradient) of steps + 1 points, or the last point alone."""

    def body(x, _):
        value, gradient = value_and_gradient(x, data)
        return x - step_size * gradient, (x, value, gradient) if rows else None

    x, kept = lax.scan(body, start, length=steps + rows, unroll=unroll)
    return kept if rows else x


by_hand = jax.jit(loop, static_argnums=(0, 4, 5, 6))


@partial(jax.jit, static_argnums=(0, 4, 5, 6))
def sweep_by_hand(value_and_gradient, starts, data, step_sizes, steps, rows=False, unroll=1):
    def run(start, step_size):
        return loop(value_and_gradient, start, data, step_size, steps, rows, unroll)

    return jax.vmap(jax.vmap(run, (0, None)), (None, 0))(starts, step_sizes)


def squares(theta, data):
    X, y = data
    r = X @ theta - y
    return jnp.mean(r**2), r @ X * (2 / y.size)


def log_loss(theta, data):
    X, labels = data
    return jnp.mean(jax.nn.softplus((1 - 2 * labels) * (X @ theta)))


def bowl(x, _):
    return x[0] ** 2 + x[1] ** 2


def columns(x, hessian):
    slope = hessian[:, 0] * x[0] + hessian[:, 1] * x[1]
    return jnp.sum(x * slope) / 2, slope


copy = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree))
read = jax.jit(lambda tree: jax.tree.map(jnp.max, tree))


def data(n, d):
    X = jax.random.normal(jax.random.key(0), (n, d))
    return X, X @ jnp.ones(d) + jax.random.normal(jax.random.key(1), (n,))


# -- jobs ------------------------------------------------------------------------------------------


def sweeps(size):
    """Yield S1, S2, S4: many runs of two parameters, half of which diverge."""
    n, steps, healthy = max(2, int(2**9 * size)), 100, slice(None, None, 2)
    starts = jax.random.normal(jax.random.key(0), (n, 2))
    step_sizes = jnp.tile(jnp.array([0.1, 1.4]), max(1, n // 2))
    hessian = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    f, q = gd.Objective(bowl), gd.quadratic(hessian, jnp.zeros(2))
    both = {
        "S1 sweep of a bowl": (f, jax.value_and_grad(bowl), None),
        "S2 of a quadratic": (q, columns, hessian),
    }
    for name, (g, slopes, known) in both.items():
        others = {
            f"scan, unroll={k}": partial(
                sweep_by_hand, slopes, starts, known, step_sizes, steps, False, k
            )
            for k in (1, 10)
        }
        ours = partial(gd.sweep, g, starts, step_sizes, steps=steps, record=None)
        yield Job(
            f"{name}, {n}^2 runs, half diverging",
            ours,
            others,
            partial(copy, jnp.zeros((n, n, 2))),
            lambda found: getattr(found, "final", [found])[0][healthy],
        )
    few, step_sizes = starts[: max(2, n // 2)], jnp.linspace(0.01, 0.4, max(2, n // 4))
    shape = (len(step_sizes), len(few), steps + 1)
    yield Job(
        f"S4 with rows, {len(step_sizes)} x {len(few)} runs",
        lambda: gd.sweep(f, few, step_sizes, steps=steps).history,
        {
            "scan": partial(
                sweep_by_hand, jax.value_and_grad(bowl), few, None, step_sizes, steps, True
            )
        },
        partial(copy, (jnp.zeros((*shape, 2)), jnp.zeros(shape), jnp.zeros((*shape, 2)))),
    )


def runs(size):
    """Yield S5: one run on a table of 442 x 10."""
    steps = max(10, int(1000 * size))
    X, y = data(442, 10)
    f, start, eta = gd.least_squares(X, y), jnp.zeros(10), np.float32(0.1)

    def numpy_loop():
        A, b, theta, points = np.asarray(X), np.asarray(y), np.zeros(10, np.float32), []
        for _ in range(steps + 1):
            points.append(theta)
            theta = theta - eta * (2 / len(b)) * (A.T @ (A @ theta - b))
        return np.array(points)

    def value(theta):
        return jnp.mean((X @ theta - y) ** 2)

    @jax.jit
    def optax_loop(theta):
        rule = optax.sgd(eta)

        def body(carry, _):
            theta, memory = carry
            updates, memory = rule.update(jax.grad(value)(theta), memory)
            return (theta + updates, memory), theta

        return lax.scan(body, (theta, rule.init(theta)), length=steps + 1)[1]

    others = {"scan": lambda: by_hand(squares, start, (X, y), eta, steps, True)[0]}
    others["NumPy, a Python loop"] = numpy_loop
    if find_spec("optax"):
        import optax

        others["optax in a scan"] = partial(optax_loop, start)
    steppers = {
        "optimistix": partial(libraries.optimistix_plain, value),
        "jaxopt": partial(libraries.jaxopt_plain, value, jax.grad(value)),
    }
    for name, peer in steppers.items():
        if find_spec(name):
            jitted = jax.jit(partial(peer, step_size=eta, steps=steps))
            others[name] = partial(jitted, start)
    ways = {
        "every row": lambda: gd.descend(f, start, eta, steps=steps).history.point,
        "as_quadratic": partial(
            lambda q: gd.descend(q, start, eta, steps=steps).history.point, gd.as_quadratic(f)
        ),
        "closed_form": lambda: gd.closed_form(f, start, eta, steps).point,
    }
    for k, (name, ours) in enumerate(ways.items()):
        them = {name: other for name, other in others.items() if k == 0 or name == "scan"}
        yield Job(f"S5 442 x 10, {steps} steps, {name}", ours, them)


def passes(size):
    """Yield S6, S7: five steps on a million rows."""
    n, d, steps = max(64, int(2**20 * size)), 32, 5
    X, y = data(n, d)
    labels, start, eta = jnp.where(y > 0, 1.0, 0.0), jnp.zeros(d), np.float32(0.01)
    sums = {
        "S6 least squares": (gd.least_squares(X, y), squares, (X, y)),
        "S7 logistic": (gd.logistic(X, labels), jax.value_and_grad(log_loss), (X, labels)),
    }
    for name, (f, slopes, known) in sums.items():
        yield Job(
            f"{name}, {n} x {d}, {steps} steps",
            lambda f=f: gd.descend(f, start, eta, steps=steps, record=None).final.point,
            {"scan": partial(by_hand, slopes, start, known, eta, steps)},
            partial(lambda known: [read(known) for _ in range(steps + 1)], known),
        )


def samples(size):
    """Yield S8: per-sample gradients as called."""
    n, d = max(8, int(100_000 * size)), 256 if size == 1 else 8
    X, y = data(n, d)
    theta = jnp.ones(d)

    @jax.jit
    def mapped(theta, X, y):
        return jax.vmap(jax.grad(lambda t, x, y: (x @ t - y) ** 2), (None, 0, 0))(theta, X, y)

    others = {"vmap of grad, jitted": partial(mapped, theta, X, y)}
    if find_spec("torch"):
        import torch

        A, b, t = (torch.from_numpy(np.array(x)) for x in (X, y, theta))
        slope = torch.func.vmap(
            torch.func.grad(lambda t, x, y: (x @ t - y) ** 2), in_dims=(None, 0, 0)
        )
        others["torch.func"] = lambda: slope(t, A, b).numpy()
    ours = gd.per_sample(gd.least_squares(X, y))
    yield Job(f"S8 per-sample {n} x {d}", lambda: ours(theta)[1], others, partial(copy, X))


def calls(size):
    """Yield S9 and what else a call costs: three steps, one evaluation, a fresh function."""
    x, eta = jnp.array([2.0, 1.0]), np.float32(0.1)
    slopes = jax.value_and_grad(bowl)
    jitted = jax.jit(lambda x: slopes(x, None))
    yield Job(
        "S9 a call of 3 steps",
        lambda: gd.descend(gd.landscapes.bowl, x, eta, steps=3).history,
        {"scan, jitted": partial(by_hand, slopes, x, None, eta, 3, True)},
    )
    ours = gd.reverse(gd.Objective(bowl))
    yield Job("reverse, as called", partial(ours, x), {"jitted": partial(jitted, x)})
    plain = gd.reverse(lambda x: bowl(x, None))

    def traced():
        jax.make_jaxpr(lambda x: jax.value_and_grad(bowl)(x, None))(x)
        return jitted(x)

    yield Job("reverse of a plain function", partial(plain, x), {"a trace and a call": traced})


def closed_forms(size):
    """Yield S10: a thousand values of each of many step sizes."""
    n, steps = max(2, int(2000 * size)), max(3, int(1000 * size))
    X, y = data(442, 10)
    start, etas = jnp.zeros(10), jnp.linspace(0.01, 0.4, n)
    q = gd.as_quadratic(gd.least_squares(X, y))

    @jax.jit
    def powers(hessian, minimizer, minimum, etas):
        curvatures, axes = jnp.linalg.eigh(hessian)
        along, k = (start - minimizer) @ axes, jnp.arange(steps + 1.0)
        rates = (1 - etas[:, None] * curvatures[None])[:, None] ** k[None, :, None]
        return (
            minimum + jnp.sum(curvatures[None, None] * (rates * along[None, None]) ** 2, axis=2) / 2
        )

    values = jax.jit(lambda q, etas: gd.closed_form(q, start, etas, steps).value)
    yield Job(
        f"S10 closed_form, {n} x {steps + 1} values",
        partial(values, q, etas),
        {"powers": partial(powers, *q.data, etas)},
        partial(copy, jnp.zeros((n, steps + 1))),
    )


_COLD = """
import jax, jax.numpy as jnp
def body(x, _):
    value, gradient = jax.value_and_grad(lambda x: x[0]**2 + x[1]**2)(x)
    return x - 0.1 * gradient, (x, value, gradient)
run = jax.jit(lambda x: jax.lax.scan(body, x, length=11))
jax.block_until_ready(run(jnp.array([2.0, 1.0])))
"""
_OURS = """
import gdpure as gd, jax, jax.numpy as jnp
f = lambda x: x[0]**2 + x[1]**2
jax.block_until_ready(gd.descend(f, jnp.array([2.0, 1.0]), 0.1, steps=10))
"""


def cold(size):
    """Yield S11: a process that imports all it needs and makes ten steps."""
    if size == 1:
        ours, theirs = (
            partial(subprocess.run, [sys.executable, "-c", code], check=True)
            for code in (_OURS, _COLD)
        )
        yield Job("S11 cold start and ten steps", ours, {"jax by hand": theirs}, same=None)


KINDS = (sweeps, runs, passes, samples, calls, closed_forms, cold)
