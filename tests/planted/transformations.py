"""Bugs of optimizers that are records of functions: optax transformations and gdpure rules."""

import jax
import jax.numpy as jnp
import optax

import gdpure as gd
from gdpure import trees
from planted.catalogue import bugs
from planted.momentum import BETA, ball

bug = bugs("transformation")


@bug
def sgd_behind_a_clip(step_size):
    """A global clip at norm 10 is part of the chain; m13."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(step_size))


@bug
def sgd_with_a_schedule(step_size):
    """The step size decays by one percent a step; m38."""
    return optax.sgd(optax.exponential_decay(step_size, transition_steps=1, decay_rate=0.99))


@bug
def sgd_with_warmup(step_size):
    """A warm-up that starts at zero: the first step has no effect; torchtitan#1261."""
    return optax.sgd(lambda count: jnp.where(count == 0, 0, step_size))


@bug
def sgd_every_other_step(step_size):
    """Updates are gathered and applied every other step: two gradients at one point."""
    return optax.chain(optax.sgd(step_size), optax.apply_every(2))


@bug
def sgd_in_bfloat16(step_size):
    """Updates are cast to bfloat16; optax's mutant O08."""

    def update(updates, state, params=None):
        # A cast there and back XLA may leave out, as it does on a GPU.
        return jax.tree.map(lambda g: jax.lax.reduce_precision(g, 8, 7), updates), state

    return optax.chain(
        optax.GradientTransformation(lambda params: optax.EmptyState(), update),
        optax.sgd(step_size),
    )


@bug
def sgd_scaled_twice(step_size):
    """The chain scales by the step size, and so does sgd; m08."""
    return optax.chain(optax.scale(step_size), optax.sgd(step_size))


@trees.pytree
class Forgetful(gd.HeavyBall):
    """A heavy ball without memory."""

    def update(self, updates, state, params=None, **_):
        """Return the first move, at every step."""
        return gd.HeavyBall.update(self, updates, self.init(updates))


@ball
def forgetful_rule(step_size):
    """The memory is built anew at every step: plain gradient descent; optax's mutant O12."""
    return Forgetful(step_size, BETA)
