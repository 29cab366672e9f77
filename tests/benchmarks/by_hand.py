"""By hand: the loops that people write themselves, in JAX, in NumPy, and with optax.

`scan` is the one that gdpure is held to: jitted, and no more than asked for. Slopes are functions
``(x, data) -> (value, gradient)``, pure functions of both.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# -- what is descended on --------------------------------------------------------------------------


def squares(theta, data):
    X, y = data
    r = X @ theta - y
    return jnp.mean(r**2), r @ X * (2 / y.size)


def cost(theta, data):
    X, y = data
    return jnp.mean((X @ theta - y) ** 2)


def log_loss(theta, data):
    X, labels = data
    return jnp.mean(jax.nn.softplus((1 - 2 * labels) * (X @ theta)))


def bowl(x, _):
    return x[0] ** 2 + x[1] ** 2


def columns(x, hessian):
    slope = hessian[:, 0] * x[0] + hessian[:, 1] * x[1]
    return jnp.sum(x * slope) / 2, slope


def squares_slope(X, y):
    return lambda theta: 2 / len(y) * (X.T @ (X @ theta - y))


def logistic_slope(X, labels):
    return lambda theta: X.T @ (1 / (1 + np.exp(-X @ theta)) - labels) / len(labels)


# -- loops -----------------------------------------------------------------------------------------


def loop(slopes, start, data, step_size, steps, rows=False, unroll=1):
    """Return rows (point, value, gradient) of steps + 1 points, or the last point alone."""

    def body(x, _):
        value, gradient = slopes(x, data)
        return x - step_size * gradient, (x, value, gradient) if rows else None

    x, kept = lax.scan(body, start, length=steps + rows, unroll=unroll)
    return kept if rows else x


def optax_loop(slopes, start, data, step_size, steps, rows=False):
    """Return what `loop` does, by `optax.sgd`."""
    import optax

    rule = optax.sgd(step_size)

    def body(carry, _):
        x, memory = carry
        value, gradient = slopes(x, data)
        updates, memory = rule.update(gradient, memory)
        return (optax.apply_updates(x, updates), memory), (x, value, gradient) if rows else None

    (x, _), kept = lax.scan(body, (start, rule.init(start)), length=steps + rows)
    return kept if rows else x


scan = jax.jit(loop, static_argnums=(0, 4, 5, 6))
optax_scan = jax.jit(optax_loop, static_argnums=(0, 4, 5))


@partial(jax.jit, static_argnums=0)
def sweep(run, starts, data, step_sizes):
    """Run ``run(start, data, step_size)`` for every step size from every start."""
    one = jax.vmap(run, (0, None, None))
    return jax.vmap(one, (None, None, 0))(starts, data, step_sizes)


@partial(jax.jit, static_argnums=(0, 2))
def until(slopes, start, most, data, step_size, tolerance):
    """Return the first point whose gradient is within the tolerance, or the last of so many."""

    def going(carry):
        _, gradient, k = carry
        return (jnp.abs(gradient).max() > tolerance) & (k < most)

    def body(carry):
        x, gradient, k = carry
        x = x - step_size * gradient
        return x, slopes(x, data)[1], k + 1

    return lax.while_loop(going, body, (start, slopes(start, data)[1], 0))[0]


def numpy_rows(gradient, start, step_size, steps):
    """Return steps + 1 points, in the dtype of the start."""
    x, points = start, []
    for _ in range(steps):
        points.append(x)
        x = x - step_size * gradient(x)
    return np.stack([*points, x])


def numpy_last(gradient, start, step_size, steps):
    """Return the last point; what diverges may overflow."""
    x = start
    with np.errstate(all="ignore"):
        for _ in range(steps):
            x = x - step_size * gradient(x)
    return x


def lesson(value, start, step_size, steps):
    """Return steps + 1 points and values by the lesson's loop: a list, and `jax.grad` as it is."""
    theta, theta_vals, f_vals = start, [start], [value(start)]
    for _ in range(steps):
        theta = theta - step_size * jax.grad(value)(theta)
        theta_vals.append(theta)
        f_vals.append(value(theta))
    return jnp.array(theta_vals), jnp.array(f_vals)
