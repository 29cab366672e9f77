"""Correct subjects, which must never be accused, and other methods, which must never pass.

`HONEST` holds them by the kinds of the catalogue; `OTHERS` are optimizers that are right, but are
not the gradient descent that they are held to.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import gdpure as gd
from planted import corrections, descents, gradients, line_searches, momentum, steps, stopping
from planted.momentum import BETA

# -- gradient descent, in as many ways -------------------------------------------------------------


def list_of_rows(gradient, start, step_size, steps):
    """A list of points, as it was appended to."""
    x, rows = start, [start]
    for _ in range(steps):
        x = x - step_size * gradient(x)
        rows.append(x)
    return rows


def rows_allocated_first(gradient, start, step_size, steps):
    """Rows are written into an array."""
    rows = np.empty((steps + 1, start.size), start.dtype)
    rows[0] = start
    for k in range(steps):
        rows[k + 1] = rows[k] - step_size * gradient(rows[k])
    return rows


def in_place(gradient, start, step_size, steps):
    """A copy of the start is changed in place, and copied for the record."""
    x = start.copy()
    rows = [x.copy()]
    for _ in range(steps):
        x += -(step_size * gradient(x))
        rows.append(x.copy())
    return np.stack(rows)


def gradient_in_place(gradient, start, step_size, steps):
    """The array of the gradient, which is the caller's own, becomes the move."""

    def move(x, _):
        g = gradient(x)
        g *= step_size
        return x - g

    return descents.walk(move, start, steps)


def entry_by_entry(gradient, start, step_size, steps):
    """Coordinates one after the other, all with the same gradient."""

    def move(x, _):
        g, moved = gradient(x), x.copy()
        for i in range(x.size):
            moved[i] -= step_size * g[i]
        return moved

    return descents.walk(move, start, steps)


def compensated(gradient, start, step_size, steps):
    """What rounding takes from a step is added to the next one, as Kahan does."""
    lost = np.zeros_like(start)

    def move(x, _):
        nonlocal lost
        step = -(step_size * gradient(x)) - lost
        moved = x + step
        lost = (moved - x) - step
        return moved

    return descents.walk(move, start, steps)


def master_in_float64(gradient, start, step_size, steps):
    """The points are kept in float64, and rounded for the gradient and for the record."""
    master = np.asarray(start, np.float64)

    def move(x, _):
        nonlocal master
        master = master - step_size * np.asarray(gradient(x), np.float64)
        return master.astype(x.dtype)

    return descents.walk(move, start, steps)


def in_float64_inside(gradient, start, step_size, steps):
    """Every step is computed in float64 and rounded once."""

    def move(x, _):
        g = np.asarray(gradient(x), np.float64)
        return (np.asarray(x, np.float64) - step_size * g).astype(x.dtype)

    return descents.walk(move, start, steps)


def rows_one_unit_off(gradient, start, step_size, steps):
    """Rows that are a unit in the last place from the points that the next steps start from."""
    x, rows = start, [start]
    for _ in range(steps):
        last, x = x, x - step_size * gradient(x)
        rows.append(np.where(x == last, x, np.nextafter(x, np.zeros_like(x))))
    return np.stack(rows)


def rows_compiled_apart(gradient, start, step_size, steps):
    """Rows of a second copy of the step, which the compiler rounds in its own way.

    As XLA did on a GPU, where the gradient is added up in another order; but not where it is run
    operation by operation.
    """
    off = 0 if jax.config.jax_disable_jit else 4 * jnp.finfo(start.dtype).eps
    x, rows = start, [start]
    for _ in range(steps):
        move = step_size * gradient(x)
        rows.append(x - (1 + off) * move)
        x = x - move
    return jnp.stack(rows)


def unrolled(gradient, start, step_size, steps):
    """A Python loop over JAX arrays, unrolled where it is traced."""
    rows = [jnp.asarray(start)]
    for _ in range(steps):
        rows.append(rows[-1] - step_size * gradient(rows[-1]))
    return jnp.stack(rows)


def while_loop(gradient, start, step_size, steps):
    """Rows are written inside a compiled while loop."""

    def body(carry):
        k, rows = carry
        return k + 1, rows.at[k + 1].set(rows[k] - step_size * gradient(rows[k]))

    rows = jnp.zeros((steps + 1, *start.shape), start.dtype).at[0].set(start)
    return lax.while_loop(lambda carry: carry[0] < steps, body, (0, rows))[1]


def step_in_jax(point, gradient, step_size):
    """One step, compiled."""
    return jnp.add(point, jnp.multiply(-step_size, gradient(point)))


def step_in_place(point, gradient, step_size):
    """One step of a copy."""
    point = np.array(point)
    point -= step_size * gradient(point)
    return point


def sgd_of_torch(gradient, start, step_size, steps):
    """The loop of PyTorch: zero_grad, backward (here: the gradient as it is), step."""
    import torch

    x = torch.tensor(start)
    optimizer = torch.optim.SGD([x], lr=step_size)
    rows = [start]
    for _ in range(steps):
        optimizer.zero_grad()
        x.grad = torch.tensor(gradient(x.numpy()))
        optimizer.step()
        rows.append(x.numpy().copy())
    return np.stack(rows)


def descend_of_gdpure(value, gradient, start, step_size, steps):
    """`gd.descend`, from outside."""
    f = gd.Objective(lambda x, _: value(x), gradient=lambda x, _: gradient(x))
    return gd.descend(f, start, step_size, steps=steps).history.point


# -- gradients -------------------------------------------------------------------------------------


def samples_backwards(objective):
    """The mean over the samples, from the last to the first."""

    def of(features, terms, slopes, minimum):
        return gradients.mean(features[::-1], terms[::-1], slopes[::-1], minimum)

    return gradients.formula(of)(objective)


def reverse_mode(objective):
    """The derivative of the value, by JAX."""
    return jax.value_and_grad(lambda x: gradients.value_of(x, objective.data))


def rows_by_vmap(objective):
    """The gradients of the samples, by JAX."""
    features, *rest = objective.data

    def at(x):
        def of_one(row):
            return jax.value_and_grad(gradients.value_of)(x, (row[None], *rest))

        return jax.vmap(of_one)(features)

    return at


# -- stopping, line searches, momentum -------------------------------------------------------------


def minimize_compiled(gradient, start, step_size, steps, tolerance):
    """The compiled loop that stops where no entry of the gradient exceeds the tolerance."""

    def done(x):
        return abs(gradient(x)).max() <= tolerance

    _, x = lax.while_loop(
        lambda carry: (carry[0] < steps) & ~done(carry[1]),
        lambda carry: (carry[0] + 1, carry[1] - step_size * gradient(carry[1])),
        (0, jnp.asarray(start)),
    )
    return x, done(x)


def backtracking_compiled(value, gradient, start, steps):
    """Armijo's rule, with all trials side by side."""
    etas = line_searches.FIRST * line_searches.SHRINK ** np.arange(line_searches.BUDGET + 1)

    def move(x, _):
        g = gradient(x)
        enough = [line_searches.armijo(value, x, g, float(eta)) for eta in etas]
        found = jnp.select(enough, [jnp.asarray(eta, x.dtype) for eta in etas], 0)
        return x - found * g

    return descents.scan(move, start, steps)


def heavy_ball_with_velocity(gradient, start, step_size, steps):
    """The heavy ball as PyTorch writes it: the velocity is a sum of gradients."""

    def move(x, v):
        v = BETA * v + gradient(x)
        return x - step_size * v, v

    return momentum.with_velocity(move, start, steps)


def no_decay(gradient, start, step_size, steps):
    """A heavy ball whose weight decay is 0."""
    return momentum.descend_with(gradient, start, step_size, steps, 0.0, BETA)


def nesterov_in_two_sequences(gradient, start, step_size, steps):
    """Nesterov's method as he writes it: x+ = y - eta g(y), y+ = x+ + beta (x+ - x)."""
    last = start

    def move(y, _):
        nonlocal last
        x = y - step_size * gradient(y)
        y, last = x + BETA * (x - last), x
        return y

    return descents.walk(move, start, steps)


def nesterov_by_interim_points(gradient, start, step_size, steps):
    """Nesterov's method as Sutskever writes it: an interim point, the velocity, the point."""
    x, v = start, np.zeros_like(start)
    rows = [start]
    for _ in range(steps):
        v = BETA * v - step_size * gradient(rows[-1])
        x = x + v
        rows.append(x + BETA * v)
    return np.stack(rows)


def heavy_ball_of_optax(step_size):
    """SGD with momentum, of optax."""
    return optax.sgd(step_size, momentum=BETA)


def nesterov_of_optax(step_size):
    """SGD with Nesterov's momentum, of optax."""
    return optax.sgd(step_size, momentum=BETA, nesterov=True)


HONEST = {
    "descent": (
        descents.descend,
        descents.descend_compiled,
        list_of_rows,
        rows_allocated_first,
        in_place,
        gradient_in_place,
        entry_by_entry,
        compensated,
        master_in_float64,
        in_float64_inside,
        rows_one_unit_off,
        rows_compiled_apart,
        unrolled,
        while_loop,
        sgd_of_torch,
        descend_of_gdpure,
    ),
    "step": (steps.step, step_in_jax, step_in_place),
    "transformation": (optax.sgd, gd.Constant),
    "gradient": (
        gradients.by_hand,
        gradients.by_sample,
        samples_backwards,
        reverse_mode,
        rows_by_vmap,
    ),
    "stopping": (stopping.minimize, minimize_compiled),
    "line search": (line_searches.backtracking, backtracking_compiled),
    "heavy ball": (momentum.heavy_ball, heavy_ball_with_velocity, heavy_ball_of_optax, no_decay),
    "nesterov": (
        momentum.nesterov,
        nesterov_in_two_sequences,
        nesterov_by_interim_points,
        nesterov_of_optax,
    ),
    "corrected": (corrections.corrected, corrections.corrected_by_hand, corrections.one_count),
}


# -- other methods ---------------------------------------------------------------------------------


def weight_decay(step_size):
    """SGD with a weight decay of 0.01, of optax."""
    return optax.chain(optax.add_decayed_weights(1e-2), optax.sgd(step_size))


def clipping(step_size):
    """SGD behind a clip at norm 1, of optax."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(step_size))


def noisy(step_size):
    """SGD with the annealed noise of optax."""
    return optax.chain(optax.add_noise(1e-2, 0.55, jax.random.key(0)), optax.sgd(step_size))


OTHERS = (
    heavy_ball_of_optax,
    nesterov_of_optax,
    optax.adam,
    optax.sign_sgd,
    weight_decay,
    clipping,
    noisy,
)
