"""Step rules: where to go from a point, given its value and gradient.

A rule is a frozen dataclass whose fields are array leaves, and it speaks optax's protocol,
``init(params) -> memory`` and ``update(updates, memory, params, *, value, grad, value_fn) ->
(updates, memory)``. So it steps inside optax as it does here, and every optax transformation steps
here. `updates` comes in as the gradient and leaves as what is added to the parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import register_dataclass

from gdpure import guards

_STATIC = {"static": True}


def _within(*bounds, **options):
    return {"range": guards.Range(*bounds, **options)}


# -- arithmetic of trees ---------------------------------------------------------------------------


def _precision(tree):
    """The dtype in which steps are computed: the finest of the parameters, at least float32."""
    dtypes = [jax.dtypes.canonicalize_dtype(x.dtype) for x in jax.tree.leaves(tree)]
    return max([np.dtype(np.float32), *dtypes], key=lambda dtype: jnp.finfo(dtype).bits)


def _number(x, tree):
    return jnp.asarray(x).astype(_precision(tree))


def _scaled(factor, tree):
    """``factor * tree``, the product in the precision of the factor, the result in the leaf's."""
    return jax.tree.map(lambda x: (factor * x.astype(factor.dtype)).astype(x.dtype), tree)


def _plus(tree, other):
    return jax.tree.map(lambda x, y: x + y.astype(x.dtype), tree, other)


def _minus(tree, other):
    return jax.tree.map(lambda x, y: x - y.astype(x.dtype), tree, other)


def _dot(tree, other):
    dtype = _precision(tree)
    products = jax.tree.map(lambda x, y: jnp.sum(x.astype(dtype) * y.astype(dtype)), tree, other)
    return sum(jax.tree.leaves(products))


def _unit(tree):
    """A tree divided by its largest entry, and that entry: squares neither under- nor overflow."""
    dtype = _precision(tree)
    size = jnp.stack([jnp.max(jnp.abs(x)).astype(dtype) for x in jax.tree.leaves(tree)]).max()
    safe = jnp.where(size > 0, size, 1)
    return jax.tree.map(lambda x: x.astype(dtype) / safe, tree), size


def _ratio(numerator, denominator, otherwise):
    """``numerator / denominator``, or `otherwise` where the denominator is not positive."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1), otherwise)


# -- rules of gradient descent ---------------------------------------------------------------------


@register_dataclass
@dataclass(frozen=True, eq=False)
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
        return _scaled(-_number(self.step_size, updates), updates), state


@register_dataclass
@dataclass(frozen=True, eq=False)
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
        return StepMemory(jnp.zeros((), _precision(params)))

    def update(self, updates, state, params=None, *, grad, value_fn, **_):
        """Return the exact step along ``-updates``."""
        direction, size = _unit(updates)
        tangent = jax.tree.map(lambda d, x: d.astype(x.dtype), direction, params)
        _, bent = jax.jvp(jax.grad(value_fn), (params,), (tangent,))
        step = _ratio(_dot(grad, direction), _dot(direction, bent) * size, jnp.inf)
        step = jnp.where(size > 0, step, 0)
        return _scaled(-step, updates), StepMemory(step)


class StepMemory(NamedTuple):
    """What rules remember that choose their step size: the one they took last, shape ()."""

    step_size: Any


@register_dataclass
@dataclass(frozen=True, eq=False)
class Backtracking:
    """Armijo's rule: the first of ``eta = t, t beta, t beta^2, ...`` that descends enough.

    Enough is ``f(x - eta g) <= f(x) - c eta |g|^2``. If none of them does, the budget is exhausted:
    the step is 0, the run stands still, and the memory says so: ``accepted`` is False.

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
    max_backtracks: int = field(default=30, metadata=_STATIC)

    def init(self, params):
        """Return the memory before the first step."""
        zero = jnp.zeros((), _precision(params))
        return BacktrackingMemory(zero, jnp.zeros((), jnp.int32), jnp.ones((), bool))

    def update(self, updates, state, params=None, *, value, grad, value_fn, **_):
        """Return the first step along ``-updates`` that descends enough."""
        budget = guards.whole("Backtracking", "max_backtracks", self.max_backtracks)
        first, decrease, shrink = (
            _number(x, params) for x in (self.step_size, self.decrease, self.shrink)
        )
        direction, size = _unit(updates)
        slope = _dot(grad, direction)

        def step(backtracks):
            return first * shrink ** backtracks.astype(first.dtype)

        def enough(backtracks):
            eta = step(backtracks)
            reached = _number(value_fn(_plus(params, _scaled(-eta, updates))), params)
            return reached <= _number(value, params) - decrease * eta * size * slope

        # The number of backtracks is piecewise constant: the loop needs no derivative.
        zero = jnp.zeros((), jnp.int32)
        backtracks = lax.while_loop(
            lambda k: (k <= budget) & ~lax.stop_gradient(enough(k)), lambda k: k + 1, zero
        )
        accepted = backtracks <= budget
        eta = jnp.where(accepted, step(backtracks), 0)
        memory = BacktrackingMemory(eta, jnp.minimum(backtracks, budget), accepted)
        return _scaled(-eta, updates), memory


class BacktrackingMemory(NamedTuple):
    """The step taken last, how often it was shrunk, and whether it descends enough."""

    step_size: Any
    backtracks: Any
    accepted: Any


def long_step(move, change):
    """Barzilai and Borwein's first quotient, ``<s, s> / <s, y>``."""
    return _dot(move, move), _dot(move, change)


def short_step(move, change):
    """Barzilai and Borwein's second quotient, ``<s, y> / <y, y>``."""
    return _dot(move, change), _dot(change, change)


@register_dataclass
@dataclass(frozen=True, eq=False)
class BarzilaiBorwein:
    """The step size that fits the last move: s = x - x_last, y = g - g_last.

    ``eta = <s, s> / <s, y>`` (`rules.long_step`) or ``eta = <s, y> / <y, y>`` (`rules.short_step`).
    Values are not monotone. Where ``<s, y>`` is not positive the last step size is kept.

    Parameters
    ----------
    step_size
        The step size of the first step, which has no last move.
    quotient
        `rules.long_step` or `rules.short_step`; static.

    References
    ----------
    Barzilai and Borwein, "Two-point step size gradient methods", IMA J. Numer. Anal. 8, 1988.

    Examples
    --------
    >>> import gdpure as gd, jax.numpy as jnp
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), gd.BarzilaiBorwein(0.1), steps=2)
    >>> assert abs(run.final.value) < 1e-12
    """

    step_size: Any = field(metadata=_within(0, open=True))
    quotient: Callable = field(default=long_step, metadata=_STATIC)

    def init(self, params):
        """Return a memory without a last move."""
        start = jax.tree.map(jnp.asarray, params)
        return BarzilaiBorweinMemory(
            _number(self.step_size, params), start, jax.tree.map(jnp.zeros_like, start)
        )

    def update(self, updates, state, params=None, **_):
        """Return ``-eta g`` with the step size that fits the last move."""
        move, moved = _unit(_minus(params, state.point))
        change, changed = _unit(_minus(updates, state.gradient))
        numerator, denominator = self.quotient(move, change)
        bent = _dot(move, change) > 0
        quotient = _ratio(numerator, jnp.where(bent, denominator, 0), 0) * _ratio(moved, changed, 0)
        step = jnp.where(quotient > 0, quotient, state.step_size)
        return _scaled(-step, updates), BarzilaiBorweinMemory(step, params, updates)


class BarzilaiBorweinMemory(NamedTuple):
    """The step size taken last, and the point and the gradient it was taken from."""

    step_size: Any
    point: Any
    gradient: Any


@register_dataclass
@dataclass(frozen=True, eq=False)
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
        return StepMemory(jnp.zeros((), _precision(params)))

    def update(self, updates, state, params=None, *, value, **_):
        """Return ``-eta g`` with Polyak's eta."""
        gap = jnp.maximum(_number(value, updates) - _number(self.minimum, updates), 0)
        direction, size = _unit(updates)
        step = _number(self.relaxation, updates) * _ratio(gap, _dot(direction, direction), 0)
        step = _ratio(_ratio(step, size, 0), size, 0)
        return _scaled(-step, updates), StepMemory(step)


# -- momentum --------------------------------------------------------------------------------------


class MomentumMemory(NamedTuple):
    """The move made last, of the form of the parameters."""

    move: Any


@register_dataclass
@dataclass(frozen=True, eq=False)
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
        kept = _scaled(_number(self.momentum, updates), state.move)
        move = _plus(kept, _scaled(-_number(self.step_size, updates), updates))
        return move, MomentumMemory(move)


@register_dataclass
@dataclass(frozen=True, eq=False)
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
        momentum = _number(self.momentum, updates)
        step = _scaled(-_number(self.step_size, updates), updates)
        move = _plus(_scaled(momentum, state.move), step)
        return _plus(_scaled(momentum, move), step), MomentumMemory(move)


# -- adapters --------------------------------------------------------------------------------------


@register_dataclass
@dataclass(frozen=True, eq=False)
class Schedule:
    """One step size a step; `descend` scans over them beside the count of steps."""

    step_sizes: Any = field(metadata=_within(0))

    def init(self, params):
        """Return no memory."""
        return ()


@register_dataclass
@dataclass(frozen=True)
class _Borrowed:
    """A transformation whose hyperparameters are not leaves, optax's above all."""

    transformation: Any = field(metadata=_STATIC)

    def init(self, params):
        return self.transformation.init(params)

    def update(self, updates, state, params=None, **extra):
        accepted = inspect.signature(self.transformation.update).parameters
        if all(p.kind is not p.VAR_KEYWORD for p in accepted.values()):
            extra = {name: x for name, x in extra.items() if name in accepted}
        return self.transformation.update(updates, state, params, **extra)


@register_dataclass
@dataclass(frozen=True, eq=False)
class _Observed:
    rule: Any
    callback: Callable[[Any, Any], Any] = field(metadata=_STATIC)
    every: int = field(metadata=_STATIC)

    def init(self, params):
        return ObservedMemory(self.rule.init(params), jnp.zeros((), jnp.int32))

    def update(self, updates, state, params=None, **extra):
        count, value = state.count, extra.get("value")
        lax.cond(
            count % self.every == 0,
            lambda: jax.debug.callback(self.callback, count, value),
            lambda: None,
        )
        updates, memory = self.rule.update(updates, state.memory, params, **extra)
        return updates, ObservedMemory(memory, count + 1)


class ObservedMemory(NamedTuple):
    """The memory of the observed rule, and how many steps it made."""

    memory: Any
    count: Any


def observe(rule: Any, callback: Callable[[Any, Any], Any], every: int = 100) -> Any:
    """Return a rule that steps like `rule` and reports on the way.

    ``callback(count, value)`` is called from inside the compiled loop, once for every row whose
    count is a multiple of `every`, for logging, progress bars and early prints. It sees arrays.

    Parameters
    ----------
    rule
        What `descend` takes, but an array of step sizes: a number, a rule, an optax transformation.
    callback
        A function of two arrays of shape (); keep it, a fresh function compiles anew.
    every
        How many steps lie between two calls.

    Examples
    --------
    >>> import gdpure as gd, jax, jax.numpy as jnp
    >>> seen = []
    >>> rule = gd.observe(0.25, lambda count, value: seen.append(float(value)), every=2)
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 0.0]), rule, steps=4)
    >>> jax.effects_barrier()
    >>> assert seen == [4.0, 0.25, 0.015625]
    """
    guards.function("observe", "callback", callback)
    rule = as_rule("observe", rule)
    if isinstance(rule, Schedule):
        raise TypeError("observe: a schedule has no rule of its own to observe; use record= instead")
    return _Observed(rule, callback, guards.whole("observe", "every", every, 1))


def as_rule(caller: str, rule: Any, params: Any = None) -> Any:
    """Return what a user may call a rule as one: a tree of arrays with ``init`` and ``update``.

    Given parameters, numbers are normalized to the precision of the steps, so that a float, a NumPy
    and a JAX scalar share one compilation.
    """
    return _as_rule(caller, rule, params, "() or (steps,)", {0: Constant, 1: Schedule})


def as_rules(caller: str, rules: Any, params: Any) -> Any:
    """Return many rules as one, with a leading axis on some of its leaves."""
    kinds = {1: Constant, 2: Schedule}
    rule = _as_rule(caller, rules, params, "(rules,) or (rules, steps)", kinds)
    if isinstance(rule, _Borrowed):
        raise TypeError(
            f"{caller}: rules must hold their numbers as arrays, an optax transformation does not; "
            "jax.vmap a function of the numbers that makes the transformation and calls descend"
        )
    fields = jax.tree.map(lambda x: x if np.ndim(x) else None, rule)
    if not jax.tree.leaves(fields):
        raise ValueError(f"{caller}: rules must have a leading axis on some field, got one rule")
    guards.leading_axis(caller, "rules", fields)
    return rule


def _as_rule(caller, rule, params, shapes, kinds):
    if isinstance(rule, type):
        raise TypeError(f"{caller}: rule must be an instance, got the class {rule.__name__}")
    if type(rule) in (list, tuple) and rule and all(guards.is_number(x) for x in rule):
        rule = np.asarray(rule)
    if hasattr(rule, "init") and hasattr(rule, "update"):
        if any(callable(leaf) or leaf is rule for leaf in jax.tree.leaves(rule)):
            return _Borrowed(rule)
    elif guards.is_number(rule):
        if np.ndim(rule) not in kinds:
            raise ValueError(
                f"{caller}: step sizes must have shape {shapes}, got {guards.describe(rule)}"
            )
        rule = kinds[np.ndim(rule)](rule)
    else:
        hint = ""
        if callable(rule):
            hint = "; evaluate a schedule, jax.vmap(schedule)(jnp.arange(steps))"
        elif isinstance(rule, (list, tuple)):
            hint = "; many rules are one rule with a leading axis on its fields"
        raise TypeError(
            f"{caller}: rule must be a step size, an array (steps,) of step sizes, a gdpure rule or "
            f"an optax transformation, got {guards.describe(rule)}{hint}"
        )
    guards.hyperparameters(caller, rule)
    return rule if params is None else jax.tree.map(_normal(_precision(params)), rule)


def each_step(caller: str, rule: Any, steps: int) -> Any:
    """Return the step sizes of a schedule, one a step; None for any other rule."""
    if not isinstance(rule, Schedule):
        return None
    guards.shape(caller, "the array of step sizes", rule.step_sizes, (steps,), empty=True)
    return rule.step_sizes


def _normal(dtype):
    def normal(x):
        if isinstance(x, (int, float)) or jnp.issubdtype(x.dtype, jnp.floating):
            if not isinstance(x, jax.Array):
                return np.asarray(x, dtype)
            if x.dtype != dtype or x.weak_type:
                return lax.convert_element_type(x, dtype)
        return x

    return normal
