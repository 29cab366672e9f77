"""Calls: what was checked for arguments of a form is not checked again for others of that form.

Each refusal depends on the functions, on the shapes, dtypes and places of the arrays, and on the
numbers of a rule. Where only values differ from a call that went through, the numbers are judged
and compiled code is asked at once. No array is kept, and no function that reads what may change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gdpure import guards, programs
from gdpure.objectives import Objective

LARGE = 2**28  # bytes; to ask for the memory that is free costs more than to make a small record
_MOST = 64
_SETTINGS = "jax_enable_x64", "jax_default_device"
_NUMBERS = (float, int, np.float32, np.float64)
_known: dict[Any, tuple] = {}


def made(
    prepare: Callable[[], partial], caller: str, f: Any, given: Any, rule: Any, *options: Any
) -> Any:
    """Return what comes of a call, which is prepared if no other of its form has been.

    Parameters
    ----------
    prepare
        Returns the call, checked: ``partial(function, evaluation, start, rule, ..., **static)``.
    caller
        The public function.
    f, given, rule, options
        All that `prepare` reads: the objective, trees of arrays, a rule, and constants.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> asked = []
    >>> def half(f, x):
    ...     asked.append(x)
    ...     return partial(lambda x: x / 2, x)
    >>> f, x = Objective(lambda x, _: jnp.sum(x)), jnp.ones(3)
    >>> for x in (x, 2 * x):
    ...     y = made(lambda: half(f, x), "half", f, x, None)
    >>> assert len(asked) == 1 and y.tolist() == [1.0, 1.0, 1.0]
    """
    if type(f) is not Objective:
        run, taken = programs.jitted(prepare())
        return run(*taken)
    leaves, structure = jax.tree.flatten((f.data, given, rule))
    forms = [*map(_form, leaves)]
    constants = f.value, f.gradient, *options
    # Functions of equal code are one if they are closed, which is asked where it may change.
    codes = [(x.__code__, id(x.__globals__)) if type(x) is FunctionType else x for x in constants]
    settings = [getattr(jax.config, name, None) for name in _SETTINGS]
    form = (caller, structure, *forms, *codes, *map(type, options), f.axes, *settings)
    try:
        known = _known.get(form)
    except TypeError:  # a constant that has no hash
        form = known = None
    if known:
        run, places, numbers, functions = known
        if all([programs.closed(constants[k]) == x for k, x in functions]):
            for k, name, allowed, dtype in numbers:
                guards.in_range(caller, name, leaves[k], allowed, dtype)
                leaves[k] = np.asarray(leaves[k], dtype)
            try:
                return run(*map(leaves.__getitem__, places))
            except ValueError:
                prepare()  # which says it better where one of them was put elsewhere on purpose
                raise
    call = prepare()
    run, taken = programs.jitted(call)
    out = run(*taken)
    functions = [(k, programs.closed(x)) for k, x in enumerate(constants) if callable(x)]
    certain = form and None not in forms and all(x is not None for _, x in functions)
    found = certain and _sources(caller, call, taken, leaves, len(jax.tree.leaves(rule)))
    if found and _bytes(out) < LARGE:
        if len(_known) >= _MOST:
            _known.pop(next(iter([*_known])), None)
        _known[form] = run, *found, [x for x in functions if not programs.lasts(x[1])]
    return out


def _form(x):
    """Return all that an array can be refused for but its numbers; None if it is not known."""
    kind = type(x)
    if kind in _NUMBERS:
        return kind
    if kind is np.ndarray:
        return x.shape, x.dtype
    if kind is FunctionType:
        return x
    if isinstance(x, Tracer) or not isinstance(x, jax.Array):
        return None
    return x.aval, x.sharding


def _sources(caller, call, taken, leaves, n):
    """Return which leaf each of those is that compiled code took, and how numbers are judged.

    None where it is not certain.
    """
    ranges = {id(x): (name, allowed) for name, x, allowed in guards.ranged(*call.args[2:3])}
    told, first = jax.tree.leaves(call.args[2:3]), len(jax.tree.leaves(call.args[:2]))
    places, numbers = [], []
    for place, y in enumerate(taken):
        found = [k for k, x in enumerate(leaves) if x is y]
        if id(y) in ranges and not isinstance(y, jax.Array):
            found = [len(leaves) - n + place - first] if len(told) == n else []
            if not found or np.shape(leaves[found[0]]) != y.shape:
                return None
            numbers.append((found[0], *ranges[id(y)], y.dtype))
        if len(found) != 1:
            return None
        places += found
    return places, numbers


def _bytes(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
