"""Bugs of Adam's bias correction, in gradient descent whose step sizes are corrected as Adam's are.

`corrected` is right, a schedule: eta sqrt(1 - 0.999^k) / (1 - 0.9^k) at step k = 1, 2, ...
"""

import jax.numpy as jnp
import numpy as np
import optax

from planted.catalogue import bugs
from planted.descents import walk

FIRST, SECOND = 0.9, 0.999


def corrected(n):
    """The corrections of the first n steps, as they multiply a step size."""
    k = np.arange(1, n + 1)
    return np.sqrt(1 - SECOND**k) / (1 - FIRST**k)


bug = bugs("corrected", corrected)


# -- right -----------------------------------------------------------------------------------------


def along(sizes, gradient, start, step_size):
    """Gradient descent with steps of these sizes, in units of one."""
    lengths = (step_size * sizes).tolist()
    return walk(lambda x, rows: x - lengths[len(rows) - 1] * gradient(x), start, len(lengths))


def corrected_by_hand(gradient, start, step_size, steps):
    """The loop that follows the schedule."""
    return along(corrected(steps), gradient, start, step_size)


def counted(step_size, count_of):
    """Two parameters, the first coordinate and the rest; ``count_of(count, i)`` is that of each."""
    known = jnp.asarray(corrected(64))  # no run is longer than 32 steps

    def update(updates, count, params=None):
        leaves = [leaf for leaf in (updates[:1], updates[1:]) if leaf.size]
        moves = [
            -step_size * known[count_of(count, i)].astype(leaf.dtype) * leaf
            for i, leaf in enumerate(leaves)
        ]
        return jnp.concatenate(moves), count_of(count, len(leaves) - 1) + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def one_count(step_size):
    """The step is counted once, whatever the number of parameters is."""
    return counted(step_size, lambda count, i: count)


# -- wrong -----------------------------------------------------------------------------------------


@bug
def counted_by_parameter(step_size):
    """The counter of steps advances with every parameter, not with every step; flashlight#143."""
    return counted(step_size, lambda count, i: count + i)


@bug
def multiplied_by_the_correction(gradient, start, step_size, steps):
    """The mean is multiplied by its bias correction, not divided by it; convnetjs#70."""
    k = np.arange(1, steps + 1)
    return along(np.sqrt(1 - SECOND**k) * (1 - FIRST**k), gradient, start, step_size)


@bug
def one_minus_twice(gradient, start, step_size, steps):
    """The correction is subtracted from one twice, which leaves 0.9^k; pytorch_optimizer#308."""
    k = np.arange(1, steps + 1)
    return along(np.sqrt(1 - SECOND**k) / (1 - (1 - FIRST**k)), gradient, start, step_size)
