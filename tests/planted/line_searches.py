"""Bugs of line searches that claim to be Armijo's; `backtracking` is right."""

import numpy as np

import gdpure as gd
from planted.catalogue import bugs
from planted.descents import walk

FIRST, DECREASE, SHRINK, BUDGET = 1.0, 0.5, 0.5, 1
METHOD = gd.Backtracking(FIRST, DECREASE, SHRINK, BUDGET)

bug = bugs("line search", METHOD)


def armijo(value, x, g, eta):
    """Whether a step descends enough."""
    return value(x - eta * g) <= value(x) - DECREASE * eta * (g * g).sum()


def search(enough, first=FIRST, budget=BUDGET):
    """The first step size that is enough, or 0."""
    eta = first
    for _ in range(budget + 1):
        if enough(eta):
            return eta
        eta = eta * SHRINK
    return 0.0


def walk_with(step_of, gradient, start, steps):
    """Gradient descent with the step sizes ``step_of(x, g)``."""

    def move(x, _):
        g = gradient(x)
        return x - step_of(x, g) * g

    return walk(move, start, steps)


def backtracking(value, gradient, start, steps):
    """Gradient descent with Armijo's rule."""

    def step_of(x, g):
        return search(lambda eta: armijo(value, x, g, eta))

    return walk_with(step_of, gradient, start, steps)


# -- the test --------------------------------------------------------------------------------------


@bug
def plus_sign(value, gradient, start, steps):
    """The test allows an increase where it should demand a decrease; m29."""

    def step_of(x, g):
        return search(lambda eta: value(x - eta * g) <= value(x) + DECREASE * eta * (g * g).sum())

    return walk_with(step_of, gradient, start, steps)


@bug
def slack_of_one(value, gradient, start, steps):
    """The test is softened by 1, which is much where values are small; m30, jaxopt."""

    def step_of(x, g):
        return search(
            lambda eta: value(x - eta * g) <= value(x) - DECREASE * eta * (g * g).sum() + 1
        )

    return walk_with(step_of, gradient, start, steps)


@bug
def any_decrease(value, gradient, start, steps):
    """Any decrease is enough."""

    def step_of(x, g):
        return search(lambda eta: value(x - eta * g) <= value(x))

    return walk_with(step_of, gradient, start, steps)


@bug
def norm_without_square(value, gradient, start, steps):
    """The norm of the gradient is not squared in the test."""

    def step_of(x, g):
        return search(
            lambda eta: value(x - eta * g) <= value(x) - DECREASE * eta * np.sqrt((g * g).sum())
        )

    return walk_with(step_of, gradient, start, steps)


@bug
def test_without_the_step(value, gradient, start, steps):
    """The test demands c |g|^2, whatever the step size is that it tests."""

    def step_of(x, g):
        return search(lambda eta: value(x - eta * g) <= value(x) - DECREASE * (g * g).sum())

    return walk_with(step_of, gradient, start, steps)


@bug
def compared_with_the_start(value, gradient, start, steps):
    """The trial is compared with the start of the run, not with the point it comes from."""

    def step_of(x, g):
        return search(
            lambda eta: value(x - eta * g) <= value(start) - DECREASE * eta * (g * g).sum()
        )

    return walk_with(step_of, gradient, start, steps)


# -- the search ------------------------------------------------------------------------------------


@bug
def accepted_when_exhausted(value, gradient, start, steps):
    """When the budget is spent, the last trial is taken all the same; m31, jaxopt#535."""

    def step_of(x, g):
        return search(lambda eta: armijo(value, x, g, eta)) or FIRST * SHRINK**BUDGET

    return walk_with(step_of, gradient, start, steps)


@bug
def next_trial(value, gradient, start, steps):
    """The step size is shrunk once more after it was accepted; m32, jaxopt's error."""

    def step_of(x, g):
        return search(lambda eta: armijo(value, x, g, eta)) * SHRINK

    return walk_with(step_of, gradient, start, steps)


@bug
def first_trial_skipped(value, gradient, start, steps):
    """The first step size is shrunk before it is tried; scipy#12157."""

    def step_of(x, g):
        return search(lambda eta: armijo(value, x, g, eta), FIRST * SHRINK, BUDGET - 1)

    return walk_with(step_of, gradient, start, steps)


@bug
def one_trial_less(value, gradient, start, steps):
    """The budget is spent one trial early."""

    def step_of(x, g):
        return search(lambda eta: armijo(value, x, g, eta), budget=BUDGET - 1)

    return walk_with(step_of, gradient, start, steps)


@bug
def never_longer_again(value, gradient, start, steps):
    """Every search begins where the last one ended."""
    eta = FIRST

    def step_of(x, g):
        nonlocal eta
        found = search(lambda eta: armijo(value, x, g, eta), eta)
        eta = found or eta
        return found

    return walk_with(step_of, gradient, start, steps)


@bug
def longer_every_time(value, gradient, start, steps):
    """Every search begins with twice the step of the last one; jaxopt's increase_factor."""
    eta = FIRST / 2

    def step_of(x, g):
        nonlocal eta
        found = search(lambda eta: armijo(value, x, g, eta), 2 * eta)
        eta = found or eta
        return found

    return walk_with(step_of, gradient, start, steps)


@bug
def searched_once(value, gradient, start, steps):
    """The step size is searched at the start and kept for the whole run."""
    g = gradient(start)
    eta = search(lambda eta: armijo(value, start, g, eta))
    return walk_with(lambda *_: eta, gradient, start, steps)
