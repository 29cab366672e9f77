"""Bugs of methods that stop: what they call converged, where they stop, and what they return.

`minimize` is right: it returns the first point whose gradient has no entry beyond the tolerance.
"""

import numpy as np

from planted.catalogue import bugs

bug = bugs("stopping")


def until(done, move, start, steps):
    """The first point that is done, and whether there is one among the first steps + 1."""
    x = start
    for _ in range(steps):
        if done(x):
            return x, True
        x = move(x)
    return x, bool(done(x))


def largest(x):
    """The largest entry, by its size."""
    return abs(x).max()


def descend_until(done, gradient, start, step_size, steps):
    """Gradient descent up to the first point that is done."""
    return until(done, lambda x: x - step_size * gradient(x), start, steps)


def minimize(gradient, start, step_size, steps, tolerance):
    """Gradient descent that stops where no entry of the gradient exceeds the tolerance."""

    def done(x):
        return largest(gradient(x)) <= tolerance

    return descend_until(done, gradient, start, step_size, steps)


@bug
def stops_on_the_value(value, gradient, start, step_size, steps, tolerance):
    """The value is compared with the tolerance, not the gradient; m33."""
    return descend_until(lambda x: value(x) <= tolerance, gradient, start, step_size, steps)


@bug
def nan_is_converged(gradient, start, step_size, steps, tolerance):
    """Not larger than the tolerance is no test: NaN passes; m34, Optim.jl#948, optimistix#213."""
    return descend_until(
        lambda x: not largest(gradient(x)) > tolerance, gradient, start, step_size, steps
    )


@bug
def point_before_the_last(gradient, start, step_size, steps, tolerance):
    """The point before the one that converged is returned; m35, scipy#6162, #12120."""
    before = here = start
    for _ in range(steps):
        if largest(gradient(here)) <= tolerance:
            return before, True
        before, here = here, here - step_size * gradient(here)
    return before, bool(largest(gradient(here)) <= tolerance)


@bug
def small_change_of_the_value(value, gradient, start, step_size, steps, tolerance):
    """It stops where the value hardly changes; m36."""

    def move(x):
        return x - step_size * gradient(x)

    return until(
        lambda x: abs(value(move(x)) - value(x)) <= tolerance * abs(value(x)), move, start, steps
    )


@bug
def small_move(gradient, start, step_size, steps, tolerance):
    """It stops where the step is short, which a short step size will do; m36, optimistix."""
    return descend_until(
        lambda x: largest(step_size * gradient(x)) <= tolerance, gradient, start, step_size, steps
    )


@bug
def tolerance_twice(gradient, start, step_size, steps, tolerance):
    """The gradient may be twice as large as the tolerance; jaxopt's error is half of it."""
    return minimize(gradient, start, step_size, steps, 2 * tolerance)


@bug
def squared_norm(gradient, start, step_size, steps, tolerance):
    """The square of the norm is compared with the tolerance."""
    return descend_until(
        lambda x: (gradient(x) ** 2).sum() <= tolerance, gradient, start, step_size, steps
    )


@bug
def relative_to_the_start(gradient, start, step_size, steps, tolerance):
    """The tolerance is taken relative to the gradient of the start."""
    return minimize(gradient, start, step_size, steps, tolerance * float(largest(gradient(start))))


@bug
def success_when_the_steps_run_out(gradient, start, step_size, steps, tolerance):
    """The end of the loop counts as success; scipy#507, glum#248."""
    x, _ = minimize(gradient, start, step_size, steps, tolerance)
    return x, True


@bug
def never_converged(gradient, start, step_size, steps, tolerance):
    """The flag is set inside the loop and lost on the way out."""
    x, _ = minimize(gradient, start, step_size, steps, tolerance)
    return x, False


@bug
def one_more_step(gradient, start, step_size, steps, tolerance):
    """A step is made after the test has passed, so the point is not the one that was tested."""
    x, converged = minimize(gradient, start, step_size, steps, tolerance)
    return (x - step_size * gradient(x) if converged else x), converged


@bug
def one_step_more_than_allowed(gradient, start, step_size, steps, tolerance):
    """It may make steps + 1 steps; m16, DESC#311."""
    return minimize(gradient, start, step_size, steps + 1, tolerance)


@bug
def both_or_neither(gradient, start, step_size, steps, tolerance):
    """It goes on while either says so, `|` for `&`: past its end as well; optimistix#213."""
    x, k = start, 0
    while (k < steps or largest(gradient(x)) > tolerance) and k < 2 * steps:
        x, k = x - step_size * gradient(x), k + 1
    return x, bool(largest(gradient(x)) <= tolerance)


@bug
def decay_in_the_gradient_itself(gradient, start, step_size, steps, tolerance):
    """The step adds a decay to its caller's gradient, which is then tested; mlx#4426."""

    def step(x, g):
        g += 1e-3 * x
        return x - step_size * g

    x = start
    for _ in range(steps):
        g = gradient(x)
        moved = step(x, g)
        if largest(g) <= tolerance:
            return x, True
        x = moved
    return x, bool(largest(gradient(x)) <= tolerance)


@bug
def last_point_untested(gradient, start, step_size, steps, tolerance):
    """The point after the last step is never tested: converged, it says it is not."""
    x, converged = minimize(gradient, start, step_size, max(steps - 1, 0), tolerance)
    return (x, True) if converged else (x - step_size * gradient(x) if steps else x, False)


@bug
def never_at_the_start(gradient, start, step_size, steps, tolerance):
    """A gradient of zero is not below the tolerance: it runs on; OptimKit.jl#16, optimagic#538."""
    return descend_until(
        lambda x: 0 < largest(gradient(x)) <= tolerance, gradient, start, step_size, steps
    )


@bug
def first_coordinate_alone(gradient, start, step_size, steps, tolerance):
    """The first entry of the gradient decides for all of them."""
    return descend_until(
        lambda x: abs(gradient(x)[0]) <= tolerance, gradient, start, step_size, steps
    )


@bug
def tested_without_absolute_value(gradient, start, step_size, steps, tolerance):
    """The largest entry, not by its size: negative gradients have converged."""
    return descend_until(
        lambda x: np.max(gradient(x)) <= tolerance, gradient, start, step_size, steps
    )
