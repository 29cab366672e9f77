"""What somebody recorded of one run, beside what is true at the same points.

A run comes as ours or as bare rows. Everything is judged in float64 at the very numbers that were
recorded. How far an evaluation in the dtype of the run may be from the truth is derived for least
squares and quadratics, measured on f for whatever else JAX can trace, and otherwise assumed: half
of the digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards
from gdpure.descent import Descent, History, State
from gdpure.objectives import Objective

from .. import rounding
from ..gradient.autodiff import derivative, derivatives
from ..gradient.functions import Form, Function, first_line, flat, form_of, traced, wide

_U = rounding.unit_roundoff("float64")
# NumPy's extended precision, 32 times coarser: 1 + u has to be one of its numbers, and not be 1.
_EXTENDED_UNIT: Any = 16 * np.finfo(np.longdouble).eps
_EXTENDED = rounding.Arithmetic(_EXTENDED_UNIT, float(np.finfo(np.float64).tiny))


class Record(NamedTuple):
    """What was recorded, in float64; values and gradients None where there are none.

    Attributes
    ----------
    point, value, gradient
        Shapes (N + 1, d), (N + 1,), (N + 1, d).
    dtype
        The coarsest dtype that anything was recorded in.
    sure
        Whether that dtype was declared; numbers of Python and NumPy may come from a coarser one.
    lost
        The first row that is not finite, or a run that diverged would have had; it and what
        follows is cut off. None if there is none.
    count
        How many rows came.
    one
        Row 0 as the parameters that an objective takes.
    blur
        How far points, values and gradients may be from what was computed, for they are decimals
        of few digits; three arrays of their shapes, or zeros.
    """

    point: np.ndarray
    value: np.ndarray | None
    gradient: np.ndarray | None
    dtype: np.dtype
    sure: bool
    lost: int | None
    count: int
    one: Any
    blur: tuple[Any, Any, Any] = (0.0, 0.0, 0.0)


class Truth(NamedTuple):
    """Values and gradients at the recorded points, and how far evaluations may be from them.

    Attributes
    ----------
    value, gradient
        Shapes (N + 1,), (N + 1, d); None where nobody knows.
    value_doubt, gradient_doubt
        How far these numbers may be from the truth themselves; same shapes.
    value_error, gradient_error
        How far an evaluation in the dtype of the run may be from the truth, doubts included.
    how
        "derived", "measured" or "assumed": where these errors come from.
    why
        Why there is no truth, or "".
    at
        ``at(x) -> (value, gradient, gradient_error)`` anywhere, or None.
    """

    value: np.ndarray | None
    gradient: np.ndarray | None
    value_doubt: Any
    gradient_doubt: Any
    value_error: Any
    gradient_error: Any
    how: str
    why: str
    at: Callable | None


# -- reading ---------------------------------------------------------------------------------------


def read(run: Any, values: Any = None, gradients: Any = None) -> Record:
    """Return what was recorded as rows; refuse what is no run.

    Examples
    --------
    >>> rows = read([[2.0, 1.0], [1.0, 0.5]], values=[5.0, 1.25])
    >>> assert rows.point.shape == (2, 2) and rows.value.tolist() == [5.0, 1.25]
    """
    points, own_values, own_gradients, diverged = _parts(run)
    values = _once("values", own_values, values)
    gradients = _once("gradients", own_gradients, gradients)
    points = _tree("the points", points)
    leaves = jax.tree.leaves(points)
    if not leaves or not leaves[0].size:
        raise ValueError("certify: the points must not be empty, got no rows")
    if any(leaf.ndim == 0 for leaf in leaves) or len({len(leaf) for leaf in leaves}) > 1:
        raise ValueError(
            "certify: the points must have one leading axis, a row an iterate, got "
            f"{', '.join(map(guards.describe, leaves))}"
        )
    count = len(leaves[0])
    given = [*leaves]
    if values is not None:
        values = _tree("the values", values)
        if np.shape(values) != (count,):
            extra = "; a run of a sweep is jax.tree.map(lambda leaf: leaf[0, 0], runs)"
            raise ValueError(
                f"certify: the values must have shape ({count},), one a row of the points, got "
                f"{guards.describe(values)}{extra if np.ndim(values) > 1 else ''}"
            )
        given.append(values)
    if gradients is not None:
        gradients = _tree("the gradients", gradients)
        shapes = [leaf.shape for leaf in jax.tree.leaves(gradients)]
        if shapes != [leaf.shape for leaf in leaves]:
            raise ValueError(
                f"certify: the gradients must have the shape of the points, "
                f"{', '.join(map(guards.describe, leaves))}, got "
                f"{', '.join(map(guards.describe, jax.tree.leaves(gradients)))}"
            )
        given += jax.tree.leaves(gradients)
    if count < 2:
        raise ValueError("certify: the points must be at least two rows, one step, got 1")
    x = _matrix(points)
    v = None if values is None else np.asarray(values, np.float64)
    r = None if gradients is None else _matrix(gradients)
    lost = _lost(x, v, r, diverged)
    if lost is not None and lost < 2:
        raise ValueError(f"certify: row {lost} is not finite: there is no step to certify")
    x, v, r = x[:lost], *(None if part is None else part[:lost] for part in (v, r))
    dtype = max((leaf.dtype for leaf in given), key=rounding.unit_roundoff)
    declared = any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(run))
    if not declared and all(fits(part) for part in (x, v, r)):
        dtype = max(dtype, np.dtype(np.float32), key=rounding.unit_roundoff)
    one = jax.tree.map(lambda leaf: np.asarray(leaf[0]).astype(dtype), points)
    return Record(x, v, r, np.dtype(dtype), declared, lost, count, one)


def _once(name, own, given):
    if own is not None and given is not None:
        raise TypeError(f"certify: {name} came twice, with the run and as {name}=")
    return own if given is None else given


def _parts(run):
    if isinstance(run, State):
        raise TypeError("certify: run must hold rows, got a State; descend records them")
    if isinstance(run, Descent):
        if not isinstance(run.history, History):
            raise TypeError(
                "certify: the history of the run must be points, values and gradients, as descend "
                f"records them by default, got {guards.describe(run.history)}"
            )
        diverged = np.ndim(run.final.status) == 0 and run.final.status == gd.Status.DIVERGED
        return *run.history, bool(diverged)
    if isinstance(run, History):
        return *run, False
    if isinstance(run, tuple):
        if len(run) not in (2, 3):
            raise TypeError(
                "certify: a tuple must be (points, values) or (points, values, gradients), got "
                f"{guards.describe(run)}; a list is a list of points"
            )
        return *run, *[None] * (3 - len(run)), False
    return run, None, None, False


def _tree(name, rows):
    """Return a tree of arrays with a leading axis, of a tree or of a list of points."""
    if isinstance(rows, list) and rows and isinstance(rows[0], dict | tuple):
        if len({jax.tree.structure(row) for row in rows}) > 1:
            raise ValueError(f"certify: {name} must all have one form, got rows of several")
        if isinstance(rows[0], dict):
            rows = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
    return jax.tree.map(lambda x: _array(name, x), rows, is_leaf=lambda x: isinstance(x, list))


def _array(name, rows):
    try:
        array = np.asarray(rows)
    except (TypeError, ValueError):  # rows of different lengths
        array = None
    if array is None or array.dtype == object:
        raise ValueError(
            f"certify: {name} must be rows of one shape, got {guards.describe(rows)} of several"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        if array.size == 0:
            raise ValueError(f"certify: {name} must not be empty, got no rows")
        raise TypeError(
            f"certify: {name} must be real floating-point numbers, got {guards.describe(array)}"
        )
    return array


def _matrix(tree):
    leaves = [np.asarray(x, np.float64).reshape(len(x), -1) for x in jax.tree.leaves(tree)]
    return np.concatenate(leaves, axis=1)


def _lost(x, v, r, diverged):
    """Return the first row that is not finite, or that only repeats the last of a lost run."""
    parts = [part.reshape(len(x), -1) for part in (x, v, r) if part is not None]
    rows = np.concatenate(parts, axis=1)
    for k in np.flatnonzero(~np.isfinite(rows).all(axis=1))[:1]:
        return int(k)
    if not diverged:
        return None
    differ = np.flatnonzero((rows != rows[-1]).any(axis=1))
    return int(differ[-1]) + 2 if differ.size else 1


def fits(part: Any) -> bool:
    """Whether the numbers are numbers of float32, so that they may come from there."""
    with np.errstate(over="ignore"):
        return part is None or bool((part.astype(np.float32) == part).all())


# -- the truth -------------------------------------------------------------------------------------


def truth(objective: Any, rows: Record) -> Truth:
    """Return what is true at the recorded points, as far as an objective tells.

    Examples
    --------
    >>> f = gd.quadratic(np.array([[2.0]]), np.array([0.0]))
    >>> known = truth(f, read(np.array([[1.0], [0.5]])))
    >>> assert known.value.tolist() == [1.0, 0.25] and known.how == "derived"
    """
    if objective is None:
        return assumed(rows, None, "there is no objective")
    form, x, refined, why = _form(objective, rows)
    evaluate = _evaluation_of(objective)
    if evaluate is not None:
        at = _derived(evaluate, objective.data, rows.dtype)
        return _told(zip(*map(at, rows.point), strict=True), at, "derived")
    if refined is not None:
        function = Function(objective, objective, form, 0, refined, "")
        known, why = derivatives(function, rows.point)
        if known is not None:
            return _told(_parts_of(known, form), _measured(function), "measured")
    with _own_precision(form):
        values = [float(objective(form.built(x))) for x in rows.point]
    return assumed(rows, np.array(values), why)


def _form(objective, rows) -> tuple[Form, np.ndarray, Any, str]:
    """Return the form of the parameters that the objective takes, and f in float64, if it is there.

    One number may be a vector of one.
    """
    candidates = [rows.one]
    if rows.point.shape[1] == 1 and isinstance(rows.one, np.ndarray) and rows.one.ndim < 2:
        candidates.append(rows.one.reshape(() if rows.one.ndim else (1,)))
    errors = []
    for form, x in (form_of("certify", one) for one in candidates):
        for own in dict.fromkeys((form, form.narrow)):
            refined, why = traced(objective, own)
            try:
                with wide() if refined else _own_precision(own):
                    out = (refined or objective)(own.built(x, np.float64 if refined else None))
            except Exception as error:  # what a stranger's code makes of a point of another form
                errors.append(first_line(error))
                continue
            if np.shape(out) == ():
                return own, x, refined, why
            errors.append(f"it returned {guards.describe(out)}, not one number")
    raise ValueError(
        f"certify: the objective must take row 0 of the points, {guards.describe(rows.one)}, and "
        f"return its value, but {errors[0]}"
    )


def _own_precision(form):
    """Let JAX compute in the dtype of the parameters: in another a function may be another one."""
    return jax.enable_x64(form.double or jnp.result_type(float) == jnp.float64)


def _told(parts, at, how):
    numbers = zip(Truth._fields, parts, strict=False)
    return Truth(**{name: np.array(part) for name, part in numbers}, how=how, why="", at=at)


def assumed(rows: Record, value: Any, why: str) -> Truth:
    """Return what there is without a truth: recorded numbers, good for half of their digits.

    Half of those of the largest row, for what becomes small is the difference of what was large.
    """
    half = rounding.unit_roundoff(rows.dtype) ** 0.5
    value_error, slope_error = (
        None if x is None else np.broadcast_to(half * abs(x).max(axis=0), x.shape)
        for x in (rows.value if value is None else value, rows.gradient)
    )
    doubt = None if value is None else value_error
    return Truth(value, None, doubt, None, value_error, slope_error, "assumed", why, None)


def _evaluation_of(objective):
    """Return what derives the rounding of an objective, or None; it is known by its function."""
    one = np.ones(1)
    for ours, evaluate in (
        (gd.least_squares(one[None], one), rounding.least_squares),
        (gd.quadratic(one[None], one), rounding.quadratic),
    ):
        if getattr(objective, "value", None) is ours.value:
            return evaluate
    return None


def _derived(evaluate: Any, data, dtype):
    def at(x):
        own, model = (evaluate(*data, x, m) for m in (_EXTENDED, dtype))
        doubt = own.value_error + _U * abs(own.value)
        slope_doubt = own.gradient_error + _U * abs(own.gradient)
        errors = (model.value_error + doubt, model.gradient_error + slope_doubt)
        found = (own.value, own.gradient, doubt, slope_doubt, *errors)
        return tuple(np.asarray(part, np.float64) for part in found)

    return at


def _measured(function):
    def at(x):
        known: Any = derivative(function, x)[0]
        return _parts_of(known, function.form)

    return at


def _parts_of(known, form):
    """Return values and gradients, how far they may be off, and how far an evaluation may be."""
    error = known.rounding + known.jump + float(jnp.finfo(form.dtypes[0]).tiny)
    # The same errors, of the size that they have in float64.
    doubt = known.rounding * (_U / form.unit)
    pairs = ((part[..., 0], part[..., 1:]) for part in (known.exact, doubt, error))
    return tuple(part for pair in pairs for part in pair)


def facts_of(objective: Any, facts: Any, d: int) -> gd.Facts:
    """Return what is known about the objective, in float64; the width of a minimizer must fit."""
    if facts is None:
        facts = gd.facts(objective) if isinstance(objective, Objective) else gd.Facts()
    if not isinstance(facts, gd.Facts):
        raise TypeError(f"certify: facts must be gd.Facts, got {guards.describe(facts)}")
    if facts.minimizer is not None:
        width = flat(facts.minimizer).size
        if width != d:
            raise ValueError(
                f"certify: the points must have {width} parameters, as the minimizer has, got {d}"
            )
    return facts
