"""Rightness: what a job must find, in float64, and how far float32 may be from it.

A sum of m terms whose roundings are independent is off by at most 8 sqrt(m) u times the sum of the
absolute terms, but for one time in 10^13 (Higham and Mary, "A new approach to probabilistic
rounding error analysis", SIAM J. Sci. Comput. 41, 2019). A step of at most 2/L brings no two points
farther apart, and nearer by the factor rho where f is strongly convex: what N steps stray adds up
to at most ``min(N, 1 / (1 - rho))`` times one.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

UNIT = np.finfo(np.float32).eps / 2
_SURE = 8


class Right(NamedTuple):
    """What is right, and how far from it an answer may be.

    A tolerance with as many axes as what is wanted belongs to its entries; one with fewer to the
    norms along the last axis, those of points.
    """

    wanted: Any
    tolerance: Any


def differing(right, found):
    """Return by how many times its tolerance an answer is off, at most."""
    wanted, structure = jax.tree.flatten(right.wanted)
    tolerances = structure.flatten_up_to(right.tolerance)
    found = [np.asarray(x, float) for x in jax.tree.leaves(found)]
    if [x.shape for x in found] != [np.shape(x) for x in wanted]:
        return np.inf
    worst = []
    for x, y, tolerance in zip(found, wanted, tolerances, strict=True):
        off = abs(x - y)
        off = off if np.ndim(tolerance) == off.ndim else np.linalg.norm(off, axis=-1)
        worst.append(np.max(off / tolerance))
    return np.max(worst)  # a NaN stays one


def rounded(terms):
    """Return the relative error of a sum of so many terms."""
    return _SURE * np.sqrt(terms) * UNIT


def stray(reach, step_size, pull, terms):
    """Return how far one step may be off.

    Parameters
    ----------
    reach
        The norm of the largest point.
    pull
        The norm of the gradient, every term in it taken by its size.
    terms
        How many are added up for an entry of it.
    """
    return rounded(2) * reach + step_size * rounded(terms) * pull


def drift(stray, steps, contraction=1.0):
    """Return how far points may be off after so many steps."""
    return stray * min(steps, 1 / max(1 - contraction, 1 / steps))


def linear_pull(X, reach, y, scale):
    """Return ``scale / n |X|' (|X| reach + |y|)`` in norm, reach of every coordinate."""
    X = abs(X)
    return scale / len(X) * np.linalg.norm(X.T @ (X @ reach + abs(y)))


def wide(*arrays):
    """Return arrays in float64."""
    return [np.asarray(x, float) for x in arrays]
