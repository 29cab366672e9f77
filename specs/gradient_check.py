"""A hand-written gradient against the function it claims to differentiate.

Nothing here has a fixed step or a tolerance that was chosen. What rounding may explain is measured:
how far f's own derivative, and the gradient that is checked, move between the dtype of the point
and float64, at the point and at its nearest neighbours. The Taylor remainder needs no derivative:
central differences are taken on a ladder of steps over seventeen decades, each of which knows its
own truncation, by what it changes from step to step, and its own rounding, by the noise of f; the
surest one that agrees with all shorter ones decides. Every coordinate is judged for itself, so that
no sum over many hides one that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import gradients

from . import rounding
from .report import Counterexample, Report, Row, Verdict, versions
from .subjects import name_of

# A noise is measured at seven points; a right gradient is within sixteen times the largest.
_NOISE = 16.0
_U64 = rounding.unit_roundoff(np.float64)
_COORDINATES = 64  # up to so many are stepped along one by one, at once
_DIRECTIONS = 6

_STATEMENTS = {
    "gradient-form": "the gradient has the form of the parameters, and is finite where f is",
    "gradient-matches-autodiff": "every coordinate is the derivative that JAX finds, in float64",
    "taylor-remainder": "f(x + s d) - f(x - s d) = 2 s <g, d> + O(s^3)",
}


def check_gradient(f: Callable, gradient: Callable, at: Any, *, seed: int = 0) -> Report:
    """Check a gradient against the function it claims to differentiate, at one point.

    Parameters
    ----------
    f
        ``f(params) -> ()``, of JAX or of NumPy; a `gdpure.Objective` is one.
    gradient
        ``gradient(params)`` of the form of the parameters, or a pair (value, gradient), as
        ``gd.reverse(f)`` returns it; or a mode such as ``gd.reverse`` itself.
    at
        The point: a tree of real floating-point arrays. Its dtype is that in which both are called.
    seed
        Of the directions.

    Returns
    -------
    Report
        Of gradient-form, gradient-matches-autodiff and taylor-remainder; INCONCLUSIVE where f has a
        kink, or too much noise, to say anything.

    Raises
    ------
    TypeError, ValueError
        If `f` or `gradient` is no function, `at` no point, or f no real number there.

    Examples
    --------
    >>> import numpy as np
    >>> def f(x):
    ...     return (x**2).sum()
    >>> assert check_gradient(f, lambda x: 2 * x, at=np.array([1.0, 2.0]))
    >>> assert not check_gradient(f, lambda x: 2.001 * x, at=np.array([1.0, 2.0]))
    """
    for argument, function in (("f", f), ("gradient", gradient)):
        if not callable(function):
            raise TypeError(
                f"check_gradient: {argument} must be a function of the parameters, got "
                f"{type(function).__name__}"
            )
    point, subject = _point(at), name_of(gradient)
    if gradient in gradients.MODES:
        gradient = _Of(gradient, f)
    pair = _Pair(f, gradient, point, seed)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        _demand_number(pair)
        trouble = _form(pair)
        if trouble:
            blocked = "rests on gradient-form, which is violated"
            rows = [_row(pair, "gradient-form", Verdict.VIOLATED, trouble)] + [
                _row(pair, name, Verdict.BLOCKED, blocked) for name in list(_STATEMENTS)[1:]
            ]
        else:
            rows = [_row(pair, "gradient-form", Verdict.HOLDS), _autodiff(pair), _remainder(pair)]
    method = f"the gradient of {name_of(f)}"
    return Report(subject, method, jax.default_backend(), versions(), seed, tuple(rows))


# -- the point, and calls at it --------------------------------------------------------------------


class _Point(NamedTuple):
    """A tree of parameters as one vector of float64, and the way back."""

    x: np.ndarray
    names: list[str]  # of the coordinates of the gradient
    tree: Callable[..., Any]
    dtype: np.dtype
    host: bool


class _Pair(NamedTuple):
    """What is checked, and where."""

    f: Callable
    gradient: Callable
    point: _Point
    seed: int

    @property
    def unit_roundoff(self):
        return rounding.unit_roundoff(self.point.dtype)

    def rng(self):
        return np.random.default_rng(self.seed)


class _Of(NamedTuple):
    """A gradient that a mode makes of f: of f in another dtype, if need be."""

    mode: Callable
    f: Callable

    def __call__(self, params):
        return self.mode(self.f)(params)


def _point(at) -> _Point:
    leaves, structure = jax.tree.flatten(at)
    if not leaves:
        raise ValueError("check_gradient: at has no parameters")
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(at)]
    for path, leaf in zip(paths, leaves, strict=True):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"check_gradient: at{path} must be an array of real floating-point numbers, got "
                f"{dtype or type(leaf).__name__}"
            )
        if np.size(leaf) == 0:
            raise ValueError(f"check_gradient: at{path} is empty")
        if not np.isfinite(np.asarray(leaf, np.float64)).all():
            raise ValueError(f"check_gradient: at{path} must be finite, got {leaf}")
    host = not any(isinstance(leaf, jax.Array) for leaf in leaves)
    shapes, own = [np.shape(leaf) for leaf in leaves], [leaf.dtype for leaf in leaves]
    ends = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]

    def tree(x, dtype=None):
        made = [
            part.reshape(shape).astype(dtype or kept)
            for part, shape, kept in zip(np.split(x, ends), shapes, own, strict=True)
        ]
        return jax.tree.unflatten(structure, made if host else [jnp.asarray(part) for part in made])

    names = [
        f"gradient{path}[{', '.join(map(str, index))}]" if shape else f"gradient{path}"
        for path, shape in zip(paths, shapes, strict=True)
        for index in np.ndindex(*shape)
    ]
    return _Point(_vector(at), names, tree, jnp.dtype(own[0]), host)


def _vector(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def _in(function, dtype):
    """Return a function whose own data are in a dtype, where it says what its data are."""
    if isinstance(function, _Of):
        return _Of(function.mode, _in(function.f, dtype))
    if isinstance(function, gd.Objective) and dtype is not None:
        return replace(function, data=jax.tree.map(lambda x: _cast(x, dtype), function.data))
    return function


def _cast(x, dtype):
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _call(function, point, x, dtype=None):
    """Call a function at a vector in a dtype, by default in that of the point."""
    with jax.enable_x64(jnp.dtype(dtype or point.dtype) == jnp.float64), np.errstate(all="ignore"):
        return jax.device_get(_in(function, dtype)(point.tree(x, dtype)))


def _slope(gradient, point, x, dtype=None):
    return _vector(_second(_call(gradient, point, x, dtype)))


def _second(out):
    """Return the gradient of a pair (value, gradient)."""
    pair = isinstance(out, tuple) and len(out) == 2 and np.ndim(out[0]) == 0
    return out[1] if pair else out


def _demand_number(pair):
    found = np.asarray(_call(pair.f, pair.point, pair.point.x))
    if found.ndim or not jnp.issubdtype(found.dtype, jnp.floating):
        raise TypeError(
            f"check_gradient: f must return one real number, got {found.dtype} of shape "
            f"{found.shape}"
        )


def _form(pair) -> str:
    """Return what is wrong with the gradient as an object, or nothing."""
    point, wide = pair.point, pair.point.dtype == jnp.float64
    with jax.enable_x64(wide), np.errstate(all="ignore"):
        given, fresh = point.tree(point.x), point.tree(point.x)
        try:
            found, again = _second(pair.gradient(given)), _second(pair.gradient(given))
        except Exception as error:  # whatever a stranger's code may raise
            return f"the gradient raised {type(error).__name__}: {str(error).splitlines()[0]}"
    if not np.array_equal(_vector(given), point.x):
        return "the gradient changes its input: the parameters are not what they were"
    if jax.tree.structure(found) != jax.tree.structure(fresh):
        return (
            f"the gradient must have the form of the parameters, {jax.tree.structure(fresh)}, got "
            f"{jax.tree.structure(found)}"
        )
    wanted = jax.tree.leaves_with_path(fresh)
    for (path, leaf), came in zip(wanted, jax.tree.leaves(found), strict=True):
        name, came = f"gradient{jax.tree_util.keystr(path)}", np.asarray(came)
        if came.shape != np.shape(leaf):
            return f"{name} must have shape {np.shape(leaf)}, got {came.shape}"
        if came.dtype != leaf.dtype:
            return f"{name} must be {leaf.dtype}, as the parameters are, got {came.dtype}"
    bad = ~np.isfinite(_vector(found))
    if bad.any():
        return f"{point.names[int(np.argmax(bad))]} is {_vector(found)[bad][0]}, where f is finite"
    if not np.array_equal(_vector(found), _vector(again)):
        return "the gradient is another one when it is asked for again"
    return ""


# -- against autodiff ------------------------------------------------------------------------------


def _autodiff(pair) -> Row:
    name, point = "gradient-matches-autodiff", pair.point
    derivative = _Of(lambda f: jax.grad(lambda params: jnp.asarray(f(params))), pair.f)
    try:
        must = _slope(derivative, point, point.x, np.float64)
        noise = _noise(pair, derivative)
    except Exception as error:  # NumPy, most often
        reason = f"JAX cannot trace f: {type(error).__name__}"
        return _row(pair, name, Verdict.NOT_APPLICABLE, reason)
    if not np.isfinite(must).all():
        reason = "JAX's own derivative of f is not finite here"
        return _row(pair, name, Verdict.INCONCLUSIVE, reason)
    found = _slope(pair.gradient, point, point.x)
    allowed = _NOISE * (noise + pair.unit_roundoff * (abs(must) + abs(found)))
    return _judged(pair, name, point.names, must, found, allowed)


def _noise(pair, gradient):
    """Return how far a gradient in the dtype of the point is from itself in more digits.

    Of float64 it is what float32 loses, scaled down; and what one rounding of the point changes.
    """
    point, u = pair.point, pair.unit_roundoff
    short = np.float32 if point.dtype == np.float64 else point.dtype
    signs = pair.rng().choice([-1.0, 0.0, 1.0], (6, point.x.size))
    nearby = [point.x, *(point.x * (1 + 2 * u * signs))]
    wide = [_slope(gradient, point, x, np.float64) for x in nearby]
    less = [_slope(gradient, point, x, short) for x in nearby]
    lost = np.max([abs(a - b) for a, b in zip(wide, less, strict=True)], axis=0)
    moved = np.max([abs(a - wide[0]) for a in wide], axis=0)
    return u / rounding.unit_roundoff(short) * lost + moved


# -- against Taylor's theorem ----------------------------------------------------------------------


def _remainder(pair) -> Row:
    """Compare slopes along directions with central differences on a ladder of steps."""
    name, point = "taylor-remainder", pair.point
    found = _slope(pair.gradient, point, point.x)
    try:
        noise = _noise(pair, pair.gradient)
    except Exception:  # it may know one dtype only
        noise = np.zeros_like(found)
    own = _NOISE * (noise + pair.unit_roundoff * abs(found))
    value = _value_of(pair)
    directions, names = _directions(pair)
    must, doubt, kinks = _differences(value, point, directions)
    if kinks.any():
        where = names[int(np.argmax(kinks))].replace("gradient", "params", 1)
        reason = f"f has a kink here, along {where}: it has no derivative"
        return _row(pair, name, Verdict.INCONCLUSIVE, reason)
    slopes, allowed = directions @ found, doubt + abs(directions) @ own
    size = np.maximum(abs(must), abs(slopes))
    wrong = ~(abs(slopes - must) <= allowed)
    if not wrong.any() and size.any() and (doubt > size / 10).all():
        reason = "the noise of f drowns its differences: no step is both short and exact enough"
        return _row(pair, name, Verdict.INCONCLUSIVE, reason)
    if wrong.any() and point.host and len(found) > _COORDINATES:
        # Random directions say that something is wrong; now every coordinate says what.
        must, doubt, _ = _differences(value, point, np.eye(len(found)))
        return _judged(pair, name, point.names, must, found, doubt + own)
    return _judged(pair, name, names, must, slopes, allowed)


def _directions(pair):
    """Return unit vectors along coordinates, if they are few, and random ones; and names."""
    n, rng = pair.point.x.size, pair.rng()
    random = rng.choice([-1.0, 1.0], (_DIRECTIONS, n)) * rng.uniform(0.25, 1, (_DIRECTIONS, n))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    axes = np.eye(n) if n <= _COORDINATES else np.zeros((0, n))
    names = [*pair.point.names[: len(axes)], *["the slope along a random direction"] * _DIRECTIONS]
    return np.concatenate([axes, random]), names


class _Value(NamedTuple):
    """f at any vector, in the most digits it has, and how far it may be off."""

    at: Callable[[np.ndarray], float]
    noise: float


def _value_of(pair) -> _Value:
    point, dtype = pair.point, np.float64
    try:
        wide = np.asarray(_call(pair.f, point, point.x, dtype)).dtype == np.float64
    except Exception:  # it may know one dtype only
        wide = False
    dtype, u = (np.float64, _U64) if wide else (None, pair.unit_roundoff)

    def at(x):
        return float(np.asarray(_call(pair.f, point, x, dtype)))

    signs = pair.rng().choice([-1.0, 1.0], (6, point.x.size))
    nearby = [at(point.x * (1 + 2 * u * s)) for s in signs]
    return _Value(at, max(u * abs(at(point.x)), float(np.ptp(nearby))))


def _differences(value, point, directions):
    """Return derivatives along directions, how far they may be off, and where f has a kink."""
    found = [_ladder(value, point.x, direction) for direction in directions]
    return tuple(np.array(column) for column in zip(*found, strict=True))


def _ladder(value, x, direction):
    """Return the derivative along one direction, how far it may be off, and whether f has a kink.

    A central difference at s is off by c s^2, a fifteenth of what it changes when s is quartered,
    and by the noise of f over s; a point that is rounded moves by as much as its last digit.
    """
    far = max(1.0, float(np.max(abs(x))))
    here, s = value.at(x), far * 4.0 ** -np.arange(-1, 29)
    above = np.array([value.at(x + step * direction) for step in s])
    below = np.array([value.at(x - step * direction) for step in s])
    with np.errstate(invalid="ignore", over="ignore"):
        slope, bend = (above - below) / (2 * s), (above - 2 * here + below) / s
        change = abs(np.diff(slope))
        truncation = 2 * np.maximum(change[1:], change[:-1] / 16) / 15
        rounded = 4 * (value.noise + _U64 * far * abs(slope)) / s
        doubt = truncation + rounded[2:]
    doubt = np.where(np.isfinite(doubt), doubt, np.inf)
    best = _surest(slope[2:], doubt)
    # A kink keeps the slopes to both sides apart, however short the step.
    clear = np.flatnonzero(np.isfinite(bend) & (abs(bend) > 16 * rounded))[-4:]
    tail = abs(bend[clear])
    kink = len(tail) == 4 and (tail[1:] > 0.7 * tail[:-1]).all()
    return slope[2:][best], doubt[best], bool(kink)


def _surest(slopes, doubt) -> int:
    """Return the surest step among those that agree with all shorter ones.

    Far beyond the scale of f its differences agree with each other as well, on nothing.
    """
    with np.errstate(invalid="ignore"):
        apart = ~(abs(slopes[:, None] - slopes[None]) > doubt[:, None] + doubt[None])
    shorter = np.triu(np.ones_like(apart), 1).astype(bool)
    agree = (apart | ~shorter).all(axis=1)
    return int(np.argmin(np.where(agree, doubt, np.inf)))


# -- verdicts --------------------------------------------------------------------------------------


def _row(pair, name, verdict, reason="", **known):
    return Row(name, "gradient agreement", pair.point.dtype.name, verdict, reason, **known)


def _judged(pair, name, names, must, found, allowed) -> Row:
    """Return the row of numbers that are judged one by one."""
    off = abs(found - must)
    excess = off / np.where(allowed > 0, allowed, 1e-300)
    wrong = np.flatnonzero(~(off <= allowed))
    counts = {
        "instances": len(must),
        "informative": len(must),
        "violated": len(wrong),
        "excess": float(np.nan_to_num(excess, nan=np.inf).max()),
    }
    if not len(wrong):
        return _row(pair, name, Verdict.HOLDS, **counts)
    shown = sorted(wrong, key=lambda i: -excess[i])[:4]
    worst = shown[0]
    listed = [f"{names[i]} must be {must[i]:.9g}, is {found[i]:.9g}" for i in shown]
    if len(wrong) > len(shown):
        listed.append(f"and {len(wrong) - len(shown)} more of {len(must)}")
    listed.append(f"off by {off[worst]:.3g}; rounding explains at most {allowed[worst]:.2g}")
    cause = _cause(pair.point.names, must, found, allowed, wrong)
    f, gradient = name_of(pair.f), name_of(getattr(pair.gradient, "mode", pair.gradient))
    where = ", ".join(f"{x:.6g}" for x in pair.point.x[:6])
    where += ", ..." if len(pair.point.x) > 6 else ""
    case = Counterexample(
        (
            ("theorem", _STATEMENTS[name]),
            ("at", f"({where})"),
            ("wrong", "\n".join(listed)),
        ),
        f"{gradient} at ({where}), {names[worst]}",
        f"{must[worst]:.9g}",
        f"{found[worst]:.9g}",
        float(off[worst]),
        float(allowed[worst]),
        cause,
        _reproduction(pair, f, gradient),
    )
    return _row(pair, name, Verdict.VIOLATED, **counts, counterexample=case)


def _cause(names, must, found, allowed, wrong):
    """Return the likeliest cause, from the pattern of what is wrong."""
    n = len(names)
    if len(must) < n:
        return ""
    must, found, slack = must[:n], found[:n], 4 * allowed[:n]
    wrong = wrong[wrong < n]
    if not found.any():
        return "every coordinate is 0: nothing of the parameters reaches the result"
    if len(wrong) == 1 and n > 1:
        return f"only {names[wrong[0]]} is wrong, of {n} coordinates"
    clear = abs(must) > slack
    if clear.any():
        factor = float(np.median(found[clear] / must[clear]))
        if np.all(abs(found - factor * must) <= slack * max(1, abs(factor))):
            hints = {2.0: ", as of a missing 1/2", 0.5: ", as of a 1/2 too many", -1.0: ", a sign"}
            near = min(hints, key=lambda c: abs(c - factor))
            close = abs(near - factor) <= 1e-4 * abs(factor)
            shown = f"{near:g}" if close else f"{factor:.6g}"
            return f"every coordinate is {shown} times what it must be{hints[near] * close}"
    for order, said in ((np.arange(n)[::-1], "reversed"), (np.roll(np.arange(n), 1), "shifted")):
        if n > 1 and np.all(abs(found - must[order]) <= slack + slack[order]):
            return f"the coordinates are {said}: each is that of another one"
    return ""


def _reproduction(pair, f, gradient):
    """Return Python that shows both at the point, and does not import gdpure."""
    lines = ["import numpy as np"]
    for name in dict.fromkeys((f, gradient)):
        module, _, attribute = name.partition(":")
        known = attribute and not module.startswith("gdpure")
        load = f"from {module} import {attribute.split('.')[0]}"
        lines.append(load if known else f"# {name} cannot be imported by its name: put it here")
    f, gradient = (name.partition(":")[2] or name for name in (f, gradient))
    if not all(name.startswith("gradient[") for name in pair.point.names):
        return "\n".join([*lines, f"# compare {gradient} with differences of {f}, at the point"])
    x = ", ".join(repr(float(y)) for y in pair.point.x)
    return "\n".join(
        [
            *lines,
            f"x = np.array([{x}])",
            f'returned = np.asarray({gradient}(x.astype("{pair.point.dtype.name}")))',
            f"wanted = [({f}(x + 1e-5 * e) - {f}(x - 1e-5 * e)) / 2e-5 for e in np.eye(x.size)]",
            "print(returned, 'must be', wanted)",
        ]
    )
