"""Step rules: where to go from a point, given its value and gradient.

A rule is a frozen dataclass whose fields are array leaves, and it speaks optax's protocol,
``init(params) -> memory`` and ``update(updates, memory, params, *, value, grad, value_fn) ->
(updates, memory)``. `updates` comes in as the gradient and leaves as what is added to the
parameters. Every optax transformation steps here, and a rule steps inside optax:
``optax.chain(optax.clip(1.0), gd.Constant(0.1))``, or, for a rule that asks for values, which optax
hands to its own kind only, as ``optax.GradientTransformationExtraArgs(rule.init, rule.update)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gdpure import guards, trees


def _within(*bounds, **options):
    return {"range": guards.Range(*bounds, **options)}


# -- rules of gradient descent ---------------------------------------------------------------------


@trees.pytree
class Constant:
    """The same step size at every step: ``x+ = x - eta g``.

    Parameters
    ----------
    step_size
        eta, at least 0. Gradient descent on an L-smooth function descends for eta < 2/L.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), gd.Constant(0.25), steps=1)
    >>> assert run.final.point.tolist() == [1.0, 0.5]
    """

    step_size: Any = field(metadata=_within(0))

    def init(self, params):
        """Return no memory."""
        return ()

    def update(self, updates, state, params=None, **_):
        """Return ``-eta g``."""
        move = trees.scaled(trees.number(self.step_size, updates), updates)
        return jax.tree.map(jnp.negative, move), state  # -eta would be a copy of eta at each step


@trees.pytree
class ExactLineSearch:
    """The step to the lowest point of the line along the negative gradient, for quadratics.

    ``eta = <g, g> / <g, H g>``, with one Hessian-vector product. On other objectives it is the step
    to the minimum of the second-order model. Along a direction without positive curvature a
    quadratic has no lowest point: the step is infinite and the run ends as DIVERGED.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), gd.ExactLineSearch(), steps=1)
    >>> assert run.final.value == 0
    """

    def init(self, params):
        """Return the step size taken last, 0 before the first."""
        return StepMemory(jnp.zeros((), trees.precision(params)))

    def update(self, updates, state, params=None, *, grad, value_fn, **_):
        """Return the exact step along ``-updates``."""
        direction, size = trees.unit(updates)
        slope, steepness = trees.unit(grad)
        tangent = jax.tree.map(lambda d, x: d.astype(x.dtype), direction, params)
        _, bent = jax.jvp(jax.grad(value_fn), (params,), (tangent,))
        # No product of two numbers of the size of g, which may leave the range where g does not.
        shared = trees.dot(slope, direction) * trees.ratio(steepness, size, 0)
        step = trees.ratio(shared, trees.dot(direction, bent), jnp.inf)
        step = jnp.where(size > 0, step, 0)
        return trees.scaled(-step, updates), StepMemory(step)


class StepMemory(NamedTuple):
    """What rules remember that choose their step size: the one they took last, shape ()."""

    step_size: Any


@trees.pytree
class Backtracking:
    """Armijo's rule: the first of ``eta = t, t beta, t beta^2, ...`` that descends enough.

    Enough is ``f(x - eta g) <= f(x) - c eta |g|^2``, at a point that is not rounded to x. If none
    of them does, the budget is exhausted: the step is 0, the memory says so, ``accepted`` is False,
    and the run is STALLED, for the next step will be no other.

    Parameters
    ----------
    step_size
        t, tried first at every step.
    decrease
        c, in (0, 1): the share of the decrease promised by the gradient that has to be reached.
    shrink
        beta, in (0, 1).
    max_backtracks
        How often a step is shrunk at most; static.

    References
    ----------
    Armijo, "Minimization of functions having Lipschitz continuous first partial derivatives",
    Pacific J. Math. 16, 1966.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), gd.Backtracking(), steps=1)
    >>> assert run.final.memory.step_size == 0.5 and run.final.memory.accepted
    """

    step_size: Any = field(default=1.0, metadata=_within(0, open=True))
    decrease: Any = field(default=1e-4, metadata=_within(0, 1, open=True))
    shrink: Any = field(default=0.5, metadata=_within(0, 1, open=True))
    max_backtracks: int = trees.static(default=30)

    def init(self, params):
        """Return the memory before the first step."""
        zero = jnp.zeros((), trees.precision(params))
        return BacktrackingMemory(zero, jnp.zeros((), jnp.int32), jnp.ones((), bool))

    def update(self, updates, state, params=None, *, value, grad, value_fn, **_):
        """Return the first step along ``-updates`` that descends enough."""
        budget = guards.whole("Backtracking", "max_backtracks", self.max_backtracks)
        first, decrease, shrink = (
            trees.number(x, params) for x in (self.step_size, self.decrease, self.shrink)
        )
        direction, size = trees.unit(updates)
        slope = trees.dot(grad, direction)

        def step(backtracks):
            return first * shrink ** backtracks.astype(first.dtype)

        def enough(backtracks):
            eta = step(backtracks)
            trial = trees.plus(params, trees.scaled(-eta, updates))
            entries = zip(trees.packed(trial), trees.packed(params), strict=True)
            moved = jnp.stack([(x != y).any() for x, y in entries]).any() | (size == 0)
            reached = trees.number(value_fn(trial), params)
            promise = trees.number(value, params) - decrease * eta * size * slope
            return moved & (reached <= promise)

        # The number of backtracks is piecewise constant: the loop needs no derivative.
        zero = 0 * state.backtracks
        backtracks = lax.while_loop(
            lambda k: (k <= budget) & ~lax.stop_gradient(enough(k)), lambda k: k + 1, zero
        )
        accepted = backtracks <= budget
        eta = jnp.where(accepted, step(backtracks), 0)
        memory = BacktrackingMemory(eta, jnp.minimum(backtracks, budget), accepted)
        return trees.scaled(-eta, updates), memory


class BacktrackingMemory(NamedTuple):
    """The step taken last, how often it was shrunk, and whether it descends enough."""

    step_size: Any
    backtracks: Any
    accepted: Any


def long_step(move, change):
    """Barzilai and Borwein's first quotient, ``<s, s> / <s, y>``."""
    return trees.dot(move, move), trees.dot(move, change)


def short_step(move, change):
    """Barzilai and Borwein's second quotient, ``<s, y> / <y, y>``."""
    return trees.dot(move, change), trees.dot(change, change)


@trees.pytree
class BarzilaiBorwein:
    """The step size that fits the last move: s = x - x_last, y = g - g_last.

    ``eta = <s, s> / <s, y>`` (`rules.long_step`) or ``eta = <s, y> / <y, y>`` (`rules.short_step`).
    Values are not monotone: quadratics converge, other functions may end in a cycle, there is no
    safeguard. Where ``<s, y>`` is not positive the last step size is kept.

    Parameters
    ----------
    step_size
        The step size where there is no last move: of the first step, and after a move of zero.
    quotient
        `rules.long_step` or `rules.short_step`; static.

    References
    ----------
    Barzilai and Borwein, "Two-point step size gradient methods", IMA J. Numer. Anal. 8, 1988.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> rule = gd.BarzilaiBorwein(0.1)
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), rule, steps=2)
    >>> assert abs(run.final.value) < 1e-12
    """

    step_size: Any = field(metadata=_within(0, open=True))
    quotient: Callable = trees.static(default=long_step)

    def init(self, params):
        """Return a memory without a last move."""
        start = jax.tree.map(jnp.asarray, params)
        zero = jnp.zeros((), trees.precision(params))
        return BarzilaiBorweinMemory(zero, start, jax.tree.map(jnp.zeros_like, start))

    def update(self, updates, state, params=None, **_):
        """Return ``-eta g`` with the step size that fits the last move."""
        move, moved = trees.unit(trees.minus(params, state.point))
        change, changed = trees.unit(trees.minus(updates, state.gradient))
        numerator, denominator = self.quotient(move, change)
        bent = trees.dot(move, change) > 0
        quotient = trees.ratio(numerator, jnp.where(bent, denominator, 0), 0) * trees.ratio(
            moved, changed, 0
        )
        kept = jnp.where(moved > 0, state.step_size, trees.number(self.step_size, params))
        step = jnp.where(quotient > 0, quotient, kept)
        return trees.scaled(-step, updates), BarzilaiBorweinMemory(step, params, updates)


class BarzilaiBorweinMemory(NamedTuple):
    """The step size taken last, 0 before the first, and the point and gradient it began at."""

    step_size: Any
    point: Any
    gradient: Any


@trees.pytree
class Polyak:
    """Polyak's step: ``eta = relaxation (f(x) - f*) / |g|^2``, for a known minimum.

    Parameters
    ----------
    minimum
        f*, such as ``gd.facts(f).minimum``. A value below it makes the step 0.
    relaxation
        1 for the step that descends in distance on every convex function, 2 for the longest one.

    References
    ----------
    Polyak, "Minimization of unsmooth functionals", USSR Comput. Math. Math. Phys. 9, 1969.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), gd.Polyak(0.0), steps=1)
    >>> assert run.final.point.tolist() == [1.0, 0.5]
    """

    minimum: Any = field(metadata=_within())
    relaxation: Any = field(default=1.0, metadata=_within(0))

    def init(self, params):
        """Return the step size taken last, 0 before the first."""
        return StepMemory(jnp.zeros((), trees.precision(params)))

    def update(self, updates, state, params=None, *, value, **_):
        """Return ``-eta g`` with Polyak's eta."""
        gap = jnp.maximum(trees.number(value, updates) - trees.number(self.minimum, updates), 0)
        direction, size = trees.unit(updates)
        step = trees.number(self.relaxation, updates) * trees.ratio(
            gap, trees.dot(direction, direction), 0
        )
        step = trees.ratio(trees.ratio(step, size, 0), size, 0)
        return trees.scaled(-step, updates), StepMemory(step)


# -- momentum --------------------------------------------------------------------------------------


class MomentumMemory(NamedTuple):
    """The move made last, of the form of the parameters."""

    move: Any


@trees.pytree
class HeavyBall:
    """Polyak's heavy ball: ``x+ = x - eta g + beta (x - x_last)``.

    Parameters
    ----------
    step_size
        eta, at least 0.
    momentum
        beta; converges for beta in [0, 1) and eta < 2 (1 + beta) / L on quadratics.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Comput. Math.
    Math. Phys. 4, 1964.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> rule = gd.HeavyBall(step_size=0.25, momentum=0.5)
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), rule, steps=2)
    >>> assert run.history.point[:, 0].tolist() == [2.0, 1.0, 0.0]
    """

    step_size: Any = field(metadata=_within(0))
    momentum: Any = field(metadata=_within())

    def init(self, params):
        """Return the memory of no move."""
        return MomentumMemory(jax.tree.map(jnp.zeros_like, params))

    def update(self, updates, state, params=None, **_):
        """Return ``beta move - eta g``, which is the next move."""
        kept = trees.scaled(trees.number(self.momentum, updates), state.move)
        move = trees.minus(kept, trees.scaled(trees.number(self.step_size, updates), updates))
        return move, MomentumMemory(move)


@trees.pytree
class Nesterov:
    """Nesterov's method: ``x+ = y - eta g(y)``, ``y+ = x+ + beta (x+ - x)``, from x = y.

    The points of the run are the y, where the gradients are taken; the last ``x+ - x`` is in the
    memory.

    Parameters
    ----------
    step_size
        eta, at least 0; 1/L in theory.
    momentum
        beta; (1 - sqrt(mu/L)) / (1 + sqrt(mu/L)) for strongly convex functions.

    References
    ----------
    Nesterov, "Lectures on Convex Optimization", 2nd ed., Springer, 2018, section 2.2.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> rule = gd.Nesterov(step_size=0.25, momentum=0.5)
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), rule, steps=1)
    >>> assert run.final.point.tolist() == [0.5, 0.25]
    """

    step_size: Any = field(metadata=_within(0))
    momentum: Any = field(metadata=_within())

    def init(self, params):
        """Return the memory of no move."""
        return MomentumMemory(jax.tree.map(jnp.zeros_like, params))

    def update(self, updates, state, params=None, **_):
        """Return ``beta move+ - eta g`` with the next move ``move+ = beta move - eta g``."""
        momentum = trees.number(self.momentum, updates)
        step = trees.scaled(trees.number(self.step_size, updates), updates)
        move = trees.minus(trees.scaled(momentum, state.move), step)
        return trees.minus(trees.scaled(momentum, move), step), MomentumMemory(move)


ALL = (Constant, ExactLineSearch, Backtracking, BarzilaiBorwein, Polyak, HeavyBall, Nesterov)
