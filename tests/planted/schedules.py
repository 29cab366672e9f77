"""Bugs of schedules, in step sizes as functions n -> (n,) and in loops that follow them."""

from functools import partial

import numpy as np

import gdpure as gd
from planted.catalogue import bugs
from planted.descents import walk

CHEBYSHEV = partial(gd.schedules.chebyshev, mu=1 / 64, L=1.0)
SILVER = 1 + 2**0.5

silver = bugs("silver", gd.schedules.silver)
chebyshev = bugs("chebyshev", CHEBYSHEV)


# -- right -----------------------------------------------------------------------------------------


def silver_by_hand(gradient, start, step_size, steps):
    """The schedule in a loop, each block twice with a long step between."""
    schedule = [2**0.5]
    while len(schedule) < steps:
        schedule += [1 + SILVER ** ((len(schedule) + 1).bit_length() - 2), *schedule]
    return walk(lambda x, rows: x - step_size * schedule[len(rows) - 1] * gradient(x), start, steps)


def nodes(n, numerator, denominator):
    """Chebyshev's steps for curvatures from 1/64 to 1, in order, by their nodes."""
    cosines = np.cos(numerator(np.arange(1, n + 1)) * np.pi / denominator(n))
    return 2 / ((1 + 1 / 64) - (1 - 1 / 64) * cosines)


def chebyshev_by_hand(n):
    """The schedule from its longest step to its shortest: rounding grows on the way, as it may."""
    return nodes(n, lambda k: 2 * k - 1, lambda n: 2 * n)


# -- silver ----------------------------------------------------------------------------------------


@silver
def silver_from_zero(n):
    """Steps are counted from zero: the first, of index 0, is as long as if it were the longest."""
    i = np.arange(n)
    return 1 + SILVER ** (np.log2(np.where(i, i & -i, 1)) - 1)


@silver
def silver_with_the_power_off_by_one(n):
    """``1 + r^v`` for ``1 + r^(v - 1)``: every step is too long."""
    i = np.arange(1, n + 1)
    return 1 + SILVER ** np.log2(i & -i)


@silver
def golden(n):
    """The golden ratio for the silver one."""
    i = np.arange(1, n + 1)
    return 1 + ((1 + 5**0.5) / 2) ** (np.log2(i & -i) - 1)


@silver
def never_long(n):
    """The step size stays where the schedule begins."""
    return np.full(n, 2**0.5)


@silver
def one_over_L(n):
    """No schedule at all: every step is 1/L."""
    return np.ones(n)


@silver
def sorted_by_length(n):
    """All short steps first: the same numbers, another schedule."""
    return np.sort(np.asarray(gd.schedules.silver(n)))


# -- Chebyshev's -----------------------------------------------------------------------------------


@chebyshev
def nodes_of_the_second_kind(n):
    """The zeros of U_n for those of T_n."""
    return nodes(n, lambda k: k, lambda n: n + 1)


@chebyshev
def half_of_the_nodes(n):
    """The angles run over half of their range: the steps for small curvatures are missing."""
    return nodes(n, lambda k: 2 * k - 1, lambda n: 4 * n)[::-1]


@chebyshev
def one_node_too_many(n):
    """The nodes are those of n + 1 steps, and the last is never taken."""
    return nodes(n + 1, lambda k: 2 * k - 1, lambda n: 2 * n)[:n]


@chebyshev
def inverse_forgotten(n):
    """The nodes themselves, which are curvatures, are taken for step sizes."""
    return 1 / chebyshev_by_hand(n)


@chebyshev
def harmonic_mean(n):
    """Every step is the best constant one, 2/(L + mu)."""
    return np.full(n, 2 / (1 + 1 / 64))
