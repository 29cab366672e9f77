"""Bugs of objectives: what they claim about themselves, and which claim fails.

`BUGS` lists pairs: a function that makes the objective, its bug in one line, and the claim of
`check_objective` that must be found violated. Least squares are `right`, of two parameters, or
`deficient`, whose second column is twice the first.
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import landscapes

BUGS = []

X = np.array([[1, 2], [3, -1], [0, 1], [2, 2], [-1, 0], [1, 1], [0, -2], [1, -1]], np.float32)
Y = np.array([1, 2, 0, -1, 3, 1, 0, 2], np.float32)


def breaks(claim):
    """Register a function that makes an objective under the claim that it breaks."""

    def register(make):
        BUGS.append((make, claim))
        return make

    return register


def right():
    """Least squares with true facts."""
    return gd.least_squares(X, Y)


def deficient():
    """Least squares with a flat direction, and true facts."""
    return gd.least_squares(X[:, :1] * np.array([[1, 2]], np.float32), Y)


def claiming(f, **facts):
    """Return an objective that claims other facts."""
    return replace(f, facts=replace(gd.facts(f), **facts))


def times(f, fact, factor):
    """Return an objective that claims a multiple of a true fact."""
    return claiming(f, **{fact: getattr(gd.facts(f), fact) * factor})


def _unsquared(x, _):
    return (1 - x[0]) + 100 * (x[1] - x[0] ** 2)


# -- smoothness and convexity ----------------------------------------------------------------------


@breaks("smoothness")
def half_of_smoothness():
    """L too small by a factor 2."""
    return times(right(), "smoothness", np.float32(0.5))


@breaks("smoothness")
def one_percent_of_smoothness():
    """L too small by 1 %."""
    return times(right(), "smoothness", np.float32(0.99))


@breaks("smoothness")
def smoothness_of_the_mean():
    """L of the mean of squares, claimed for their sum."""
    f = right()
    # The mean over n examples that are sqrt(n) times as large is their sum.
    root = np.float32(np.sqrt(len(Y)))
    return replace(f, data=(root * f.data[0], root * f.data[1]), facts=gd.facts(f))


@breaks("smoothness")
def smoothness_in_one_place():
    """L of logistic regression, from the Hessian at one point only."""
    f = gd.logistic(X, Y > 0)
    sigmoid = 1 / (1 + np.exp(-X @ np.ones(2)))
    hessian = (X.T * sigmoid * (1 - sigmoid)) @ X / len(X)
    return replace(f, facts=gd.Facts(smoothness=np.linalg.norm(hessian, 2)))


@breaks("strong-convexity")
def twice_the_convexity():
    """The constant of strong convexity without its factor 1/2."""
    return times(right(), "strong_convexity", np.float32(2))


@breaks("strong-convexity")
def strongly_convex_without_rank():
    """Strong convexity from the smallest non-zero eigenvalue, though X is rank-deficient."""
    f = deficient()
    return claiming(f, strong_convexity=gd.facts(f).growth)


@breaks("convexity")
def convex_double_well():
    """A function with two minimizers that claims to be convex."""
    return claiming(landscapes.double_well, strong_convexity=0.0)


@breaks("strong-convexity")
def convex_saddle():
    """A saddle, of which the size of the curvature is claimed, without its sign."""
    return claiming(landscapes.saddle, strong_convexity=2.0)


# -- growth ----------------------------------------------------------------------------------------


@breaks("growth")
def twice_the_growth():
    """Growth too large by a factor 2."""
    return times(right(), "growth", np.float32(2))


@breaks("growth")
def growing_double_well():
    """Growth claimed for a function with a stationary point that is no minimizer."""
    return claiming(landscapes.double_well, growth=1e-3)


# -- minimizer and minimum -------------------------------------------------------------------------


@breaks("stationary")
def minimizer_of_a_ridge():
    """The minimizer of the function with a penalty."""
    hessian = X.T @ X + 0.1 * np.eye(2, dtype=np.float32)
    return claiming(right(), minimizer=jnp.asarray(np.linalg.solve(hessian, X.T @ Y)))


@breaks("minimizer")
def top_of_a_double_well():
    """A stationary point between two minimizers."""
    return claiming(landscapes.double_well, minimizer=np.zeros(2), minimum=None)


@breaks("stationary")
def swapped_root():
    """A root of Himmelblau's function with its coordinates exchanged."""
    return claiming(landscapes.himmelblau, minimizer=np.array([2.0, 3.0]))


@breaks("attained")
def residuals_forgotten():
    """The minimum of data that a line fits, 0, though these it does not."""
    return claiming(right(), minimum=np.float32(0))


@breaks("minimum")
def minimum_of_the_sum():
    """The minimum of the sum of squares, claimed for their mean."""
    return times(right(), "minimum", np.float32(len(Y)))


@breaks("minimum")
def bounded_line():
    """A Rosenbrock function whose squares were forgotten."""
    return replace(landscapes.rosenbrock, value=_unsquared, gradient=None)


# -- flat directions -------------------------------------------------------------------------------


@breaks("flat-directions")
def complement():
    """The projector on the row space of X, not on its null space."""
    f = deficient()
    return claiming(f, flat=jnp.eye(2) - gd.facts(f).flat)


@breaks("flat-projector")
def no_projector():
    """The vectors of the null space, without the division by their squared length."""
    return times(deficient(), "flat", np.float32(5))


# -- gradients -------------------------------------------------------------------------------------


@breaks("gradient-matches-autodiff")
def twice_the_gradient():
    """A gradient that is too large by a factor 2."""
    f = right()
    return replace(f, gradient=lambda theta, data: 2 * f.gradient(theta, data))


@breaks("gradient-matches-autodiff")
def gradient_of_another():
    """A Rosenbrock function without its squares, which kept the gradient."""
    return replace(landscapes.rosenbrock, value=_unsquared)
