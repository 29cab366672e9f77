"""Bugs of a single step, from a point to the next one; `step` is right."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from planted.catalogue import bugs

bug = bugs("step")


def step(point, gradient, step_size):
    """One step of gradient descent."""
    return point - step_size * gradient(point)


@bug
def gradient_of_the_next_point(point, gradient, step_size):
    """The gradient is taken after the update, as in the implicit method."""
    return point - step_size * gradient(step(point, gradient, step_size))


@bug
def the_move_alone(point, gradient, step_size):
    """The update is returned instead of the point it leads to."""
    return -step_size * gradient(point)


@bug
def entries_in_turn(point, gradient, step_size):
    """Coordinates are updated one after the other, in a compiled loop; m07."""

    def move(i, x):
        return x.at[i].add(-step_size * gradient(x)[i])

    return lax.fori_loop(0, point.size, move, jnp.asarray(point))


@bug
def decoupled_weight_decay(point, gradient, step_size):
    """The point shrinks by the step size, as in AdamW; m12, Optimisers.jl#182, apex#1849."""
    return point * (1 - step_size * 1e-3) - step_size * gradient(point)


@bug
def gradient_in_bfloat16(point, gradient, step_size):
    """The gradient is reduced in half precision; optax#1414."""
    # A cast there and back XLA may leave out, as it does on a GPU.
    return point - step_size * lax.reduce_precision(gradient(point), 8, 7)


@bug
def ball_of_a_hundred(point, gradient, step_size):
    """A point longer than 100 is drawn back to the sphere: a max-norm constraint left on."""
    moved = step(point, gradient, step_size)
    length = (moved * moved).sum() ** 0.5
    return moved * jnp.where(length > 100, 100 / jnp.maximum(length, 1), 1)


@bug
def half_a_step_at_kinks(point, gradient, step_size):
    """Where a coordinate changes its sign it is set to zero, as a penalty would do."""
    moved = step(point, gradient, step_size)
    return jnp.where(moved * point < 0, 0, moved)


@bug
def tiny_moves_are_dropped(point, gradient, step_size):
    """Moves below 0.00001 are set to zero, to save work."""
    move = step_size * gradient(point)
    return point - np.where(abs(move) < 1e-5, 0, move).astype(move.dtype)


@bug
def step_through_values(point, value, gradient, step_size):
    """Polyak's step for a minimum of zero takes over where it is the shorter one."""
    g = gradient(point)
    square = (g * g).sum()
    polyak = value(point) / jnp.where(square > 0, square, 1)
    return point - jnp.minimum(step_size, jnp.maximum(polyak, 0)) * g
