"""What may stand for a rule: a number, an array of step sizes, an optax transformation, a watch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gdpure import guards, trees
from gdpure.rules import Constant


@trees.pytree
class Schedule:
    """One step size a step; `descend` scans over them beside the count of steps."""

    step_sizes: Any = field(metadata={"range": guards.Range(0)})

    def init(self, params):
        """Return no memory."""
        return ()


@trees.pytree
class _Borrowed:
    """A transformation whose hyperparameters are not leaves, optax's above all."""

    transformation: Any = trees.static()

    def init(self, params):
        return self.transformation.init(params)

    def update(self, updates, state, params=None, **extra):
        accepted = inspect.signature(self.transformation.update).parameters
        if all(p.kind is not p.VAR_KEYWORD for p in accepted.values()):
            extra = {name: x for name, x in extra.items() if name in accepted}
        return self.transformation.update(updates, state, params, **extra)


@trees.pytree
class Observed:
    """A rule that reports; the loops of this library step by `unobserved` and report themselves."""

    rule: Any
    callback: Callable[[Any, Any], Any] = trees.static()
    every: int = trees.static()

    def init(self, params):
        """Return what a loop of somebody else's needs to know: how many steps it made, too."""
        return ObservedMemory(self.rule.init(params), jnp.zeros((), jnp.int32))

    def update(self, updates, state, params=None, **extra):
        """Return what the rule returns, after the report."""
        self.report(state.count, extra.get("value"), True)
        updates, memory = self.rule.update(updates, state.memory, params, **extra)
        return updates, ObservedMemory(memory, state.count + 1)

    def report(self, count, value, going):
        """Call back if the count is one to report and the run still goes on."""
        callback, due = self.callback, (count % self.every == 0) & going

        def told(count, value, due):
            if due:  # asked again, for under `jax.vmap` both branches are taken
                callback(count, value)

        lax.cond(due, lambda: jax.debug.callback(told, count, value, due), lambda: None)


class ObservedMemory(NamedTuple):
    """The memory of the observed rule, and how many steps it made."""

    memory: Any
    count: Any


def unobserved(rule: Any) -> Any:
    """Return a rule without its watch."""
    return rule.rule if isinstance(rule, Observed) else rule


def observe(rule: Any, callback: Callable[[Any, Any], Any], every: int = 100) -> Any:
    """Return a rule that steps like `rule` and reports on the way.

    ``callback(count, value)`` is called from inside the compiled loop, before each step whose count
    is a multiple of `every`, and at the last row where rows are kept: for logging, progress bars
    and early prints. It sees arrays. Many runs at once, under `jax.vmap`, report one by one, each
    until it ends. A report costs 0.1 ms or more, as much as thousands of steps of a tiny objective;
    in between, no step waits for one.

    Parameters
    ----------
    rule
        What `descend` takes, but an array of step sizes: a number, a rule, an optax transformation.
    callback
        A function of two arrays of shape (); keep it, a fresh function compiles anew.
    every
        How many steps lie between two calls, from 1 to 2^31 - 1.

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
    if isinstance(rule, Observed):
        raise TypeError("observe: rule is observed already; let one callback do what both shall do")
    if isinstance(rule, Schedule):
        raise TypeError(
            "observe: a schedule has no rule of its own to observe; use record= instead"
        )
    return Observed(rule, callback, min(guards.whole("observe", "every", every, 1), 2**31 - 1))


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
    rule = guards.array(caller, "rule", rule)
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
            hint = "; call what makes a rule, optax.adam(0.1), or evaluate a schedule, "
            hint += "jax.vmap(schedule)(jnp.arange(steps))"
        elif isinstance(rule, (list, tuple)):
            hint = "; many rules are one rule with a leading axis on its fields"
        raise TypeError(
            f"{caller}: rule must be a step size, an array (steps,) of step sizes, a gdpure rule "
            f"or an optax transformation, got {guards.describe(rule)}{hint}"
        )
    dtype = None if params is None else trees.precision(params)
    guards.hyperparameters(caller, rule, dtype)
    return rule if params is None else jax.tree.map(_normal(dtype), rule)


def each_step(caller: str, rule: Any, steps: int) -> Any:
    """Return the step sizes of a schedule, one a step and a 0 that ends them; else None."""
    if not isinstance(rule, Schedule):
        return None
    guards.shape(caller, "the array of step sizes", rule.step_sizes, (steps,), empty=True)
    return jnp.concatenate([rule.step_sizes, jnp.zeros_like(rule.step_sizes, shape=(1,))])


def _normal(dtype):
    def normal(x):
        if isinstance(x, (int, float)) or jnp.issubdtype(x.dtype, jnp.floating):
            if not isinstance(x, jax.Array):
                return np.asarray(x, dtype)
            if x.dtype != dtype or x.weak_type:
                return lax.convert_element_type(x, dtype)
        return x

    return normal
