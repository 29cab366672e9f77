"""Bugs of momentum, for methods that claim a recurrence; `heavy_ball` and `nesterov` are right."""

import numpy as np

import gdpure as gd
from planted.catalogue import bugs
from planted.descents import descend, walk

BETA = 0.9


def heavy_ball_rule(step_size):
    """The method that heavy balls are held to."""
    return gd.HeavyBall(step_size, BETA)


def nesterov_rule(step_size):
    """The method that Nesterov's are held to."""
    return gd.Nesterov(step_size, BETA)


ball = bugs("heavy ball", heavy_ball_rule)
fast = bugs("nesterov", nesterov_rule)


def heavy_ball(gradient, start, step_size, steps):
    """Polyak's heavy ball: ``x+ = x - eta g + beta (x - x_last)``."""

    def move(x, rows):
        return x - step_size * gradient(x) + BETA * (x - rows[-2:][0])

    return walk(move, start, steps)


def with_velocity(move, start, steps):
    """All points of a walk with a memory: ``x+, v+ = move(x, v)``, from v = 0."""
    v = np.zeros_like(start)

    def moved(x, _):
        nonlocal v
        x, v = move(x, v)
        return x

    return walk(moved, start, steps)


def descend_with(gradient, start, step_size, steps, weight_decay, momentum):
    """Gradient descent with a weight decay and a momentum."""

    def move(x, v):
        v = momentum * v + (gradient(x) + weight_decay * x)
        return x - step_size * v, v

    return with_velocity(move, start, steps)


def nesterov(gradient, start, step_size, steps):
    """Nesterov's method at the points where gradients are taken, as PyTorch and optax write it."""

    def move(y, v):
        g = gradient(y)
        v = BETA * v + g
        return y - step_size * (g + BETA * v), v

    return with_velocity(move, start, steps)


# -- heavy ball ------------------------------------------------------------------------------------


@ball
def momentum_of_the_move_before(gradient, start, step_size, steps):
    """The move before the last is kept up: off by one; m39."""

    def move(x, rows):
        last = rows[-3:]
        before = last[1] - last[0] if len(last) == 3 else 0 * x
        return x - step_size * gradient(x) + BETA * before

    return walk(move, start, steps)


@ball
def dampened(gradient, start, step_size, steps):
    """The velocity is an average of gradients, ten times too short; m45, mlx#440."""

    def move(x, v):
        v = BETA * v + (1 - BETA) * gradient(x)
        return x - step_size * v, v

    return with_velocity(move, start, steps)


@ball
def dampened_but_for_the_first_step(gradient, start, step_size, steps):
    """The dampening begins with the second step; pytorch#152833."""

    def move(x, v):
        v = BETA * v + (1 - BETA) * gradient(x) if v.any() else gradient(x)
        return x - step_size * v, v

    return with_velocity(move, start, steps)


@ball
def momentum_taken_for_decay(gradient, start, step_size, steps):
    """Momentum and weight decay are handed over in the wrong order; NVIDIA/warp#1143."""
    return descend_with(gradient, start, step_size, steps, BETA, 0.0)


@ball
def no_momentum(gradient, start, step_size, steps):
    """The velocity is never kept: plain gradient descent; optax's mutant O12."""
    return descend(gradient, start, step_size, steps)


@ball
def momentum_against_the_move(gradient, start, step_size, steps):
    """The sign of the last move is wrong."""

    def move(x, rows):
        return x - step_size * gradient(x) - BETA * (x - rows[-2:][0])

    return walk(move, start, steps)


@ball
def gradient_at_the_lookahead(gradient, start, step_size, steps):
    """The gradient is taken ahead of the point: Nesterov's method instead of the heavy ball."""

    def move(x, rows):
        ahead = x + BETA * (x - rows[-2:][0])
        return ahead - step_size * gradient(ahead)

    return walk(move, start, steps)


@ball
def extrapolated_point(gradient, start, step_size, steps):
    """The points are right inside, but each is returned with its momentum added; m46."""
    rows = heavy_ball(gradient, start, step_size, steps)
    ahead = rows.copy()
    ahead[1:] += BETA * (rows[1:] - rows[:-1])
    return ahead


@ball
def step_size_in_the_momentum(gradient, start, step_size, steps):
    """The last move is multiplied by the step size once more; m37."""

    def move(x, rows):
        return x - step_size * (gradient(x) - BETA * (x - rows[-2:][0]))

    return walk(move, start, steps)


# -- Nesterov --------------------------------------------------------------------------------------


@fast
def nesterov_with_the_old_velocity(gradient, start, step_size, steps):
    """The velocity from before its update is used: a heavy ball; m44, optax#900, mxnet#15543."""

    def move(y, v):
        g = gradient(y)
        return y - step_size * (g + BETA * v), BETA * v + g

    return with_velocity(move, start, steps)


@fast
def points_without_extrapolation(gradient, start, step_size, steps):
    """The points are those of the other sequence, where no gradient is taken; m46."""

    def move(x, rows):
        ahead = x + BETA * (x - rows[-2:][0])
        return ahead - step_size * gradient(ahead)

    return walk(move, start, steps)


@fast
def interim_move_added_twice(gradient, start, step_size, steps):
    """The interim point has part of the velocity already, and gets all of it; simd_neuralnet#17."""

    def move(y, v):
        v = BETA * v - step_size * gradient(y)
        return y + v + BETA * v, v

    return with_velocity(move, start, steps)


@fast
def momentum_that_grows(gradient, start, step_size, steps):
    """The momentum is k / (k + 3), not the one that was asked for."""
    last = start

    def move(y, rows):
        nonlocal last
        x, k = y - step_size * gradient(y), len(rows)
        y, last = x + k / (k + 3) * (x - last), x
        return y

    return walk(move, start, steps)


@fast
def nesterov_flag_ignored(gradient, start, step_size, steps):
    """The flag is accepted and ignored: a heavy ball; optax's mutant O14."""
    return heavy_ball(gradient, start, step_size, steps)
