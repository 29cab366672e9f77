"""The checks that people use: functions ``subject -> bool``, True where the subject passes.

They are fair: one well-conditioned problem, a step size that suits it, float32. What they are given
is a function that runs descent or makes one step; a line search and momentum are run as well.
"""

import functools
import inspect

import numpy as np

SLOPES = np.array([1.0, 0.5], np.float32)
CENTER = np.array([1.0, -1.0], np.float32)
START = np.array([3.0, 2.0], np.float32)
STEP_SIZE = 0.25


def value(x):
    """f(a, b) = 1/2 (a - 1)^2 + 1/4 (b + 1)^2."""
    return (SLOPES * (x - CENTER) ** 2).sum() / 2


def gradient(x):
    """The gradient of f."""
    return SLOPES * (x - CENTER)


@functools.cache
def iterates(subject, steps):
    """What a subject makes of the problem."""
    offered = {
        "value": value,
        "gradient": gradient,
        "step_size": STEP_SIZE,
        "start": START.copy(),
        "steps": steps,
    }
    wanted = set(inspect.signature(subject).parameters)
    if "point" not in wanted:
        return np.asarray(subject(**{name: offered[name] for name in wanted}))
    asked = {name: offered[name] for name in wanted - {"point"}}
    rows = [START]
    for _ in range(steps):
        rows.append(np.asarray(subject(point=rows[-1], **asked)))
    return np.stack(rows)


def can_be_asked(subject):
    """Whether a subject is a function that these checks can run."""
    wanted = set(inspect.signature(subject).parameters)
    return bool(wanted & {"start", "point"}) and "tolerance" not in wanted


def the_loss_goes_down(subject):
    """After 20 steps the loss is lower; PyTorch's test_forloop_goes_right_direction."""
    rows = iterates(subject, 20)
    return bool(value(rows[-1].reshape(-1)) < value(START))


def it_converges(subject):
    """After 50 steps the point is the minimizer, to two digits; the test of optax's aliases."""
    rows = iterates(subject, 50)
    return bool(np.allclose(rows[-1].reshape(-1), CENTER, rtol=3e-2, atol=3e-2))


def one_golden_step(subject):
    """The first step is the one that was computed by hand: (3, 2) - 1/4 (2, 3/2)."""
    rows = iterates(subject, 1)
    return bool(np.allclose(rows[-1].reshape(-1), [2.5, 1.625], rtol=1e-6))


def finite_and_in_shape(subject):
    """The rows are finite, and as many as there should be."""
    rows = iterates(subject, 20)
    return bool(np.isfinite(rows).all()) and rows.shape == (21, 2)


CHECKS = (the_loss_goes_down, it_converges, one_golden_step, finite_and_in_shape)
