"""Comparisons: one method on several problems, several methods on one problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards

from ...specs import bounds
from .fields import Field, as_argument, field, of_two_parameters, precision

if TYPE_CHECKING:
    from jaxtyping import ArrayLike

_READABLE = 0.01  # a step size is read from two rows to this, relatively, or not at all


class Conditioned(NamedTuple):
    """Descent on one problem of a comparison, with step ``2/(L + mu)``.

    `axes` (2, 2) are the eigenvectors of the Hessian at the minimizer, one a row, `reach` (2,) how
    far the level set of the `height` reaches along them, ``sqrt(2 height / lambda)``. `field` holds
    the gap over `window`; `points` (steps + 1, 2) begin between the axes, `gap` and `rate`
    (steps + 1,) are measured and proven.
    """

    smoothness: Any
    strong_convexity: Any
    step_size: Any
    minimizer: Any
    axes: Any
    reach: Any
    window: Any
    field: Field
    points: Any
    gap: Any
    rate: Any
    floor: Any


class Stepped(NamedTuple):
    """One rule on a problem: `points` (steps + 1, 2), `values` (steps + 1,), and the step sizes.

    `step_sizes` (steps,) are ``|x_{k+1} - x_k| / |g_k|``, nan where rounding leaves no number.
    `status` and `count` say how the run ended.
    """

    points: Any
    values: Any
    step_sizes: Any
    status: Any
    count: Any


def scalings(x: ArrayLike, y: ArrayLike) -> dict[str, gd.Objective]:
    """Return the fit of a line to the same data in three scalings of its feature.

    "raw" is a + b x, "centered" a + b (x - mean), "standardized" a + b (x - mean) / deviation.

    Parameters
    ----------
    x, y
        The data, shapes (n,).

    Raises
    ------
    ValueError
        If all x are the same.

    Examples
    --------
    >>> problems = scalings([1.0, 2.0, 3.0], [1.0, 2.2, 2.8])
    >>> assert list(problems) == ["raw", "centered", "standardized"]
    """
    x = guards.real("scalings", "x", x)
    guards.shape("scalings", "x", x, ("n",))
    centered = x - x.mean()
    deviation = jnp.sqrt((centered**2).mean())
    if not float(deviation) > 0:
        raise ValueError("scalings: x must hold two different numbers, or there is no slope")
    features = {"raw": x, "centered": centered, "standardized": centered / deviation}
    return {k: gd.least_squares(gd.with_intercept(v), y) for k, v in features.items()}


def conditioned(f: Callable, steps: int = 25, height: float | None = None) -> Conditioned:
    """Return descent with step ``2/(L + mu)`` on a problem that knows L, mu > 0 and its minimizer.

    ``gap_k <= ((L - mu)/(L + mu))^(2k) gap_0``, an equality on quadratics. The start is half-way
    between the axes of the level sets: on a quadratic both have the same share in the gap.

    Parameters
    ----------
    f
        The objective, of params (2,).
    steps
        How many.
    height
        The gap at the start, were f a quadratic; by default `drop` of f.

    Raises
    ------
    ValueError
        If L, mu, the minimizer or the minimum is not known, or mu is 0.

    Examples
    --------
    >>> f = gd.quadratic(jnp.diag(jnp.array([1.0, 3.0])), jnp.zeros(2))
    >>> shown = conditioned(f, steps=1, height=1.0)
    >>> assert np.allclose(shown.gap, [1, 1 / 4]) and np.allclose(shown.rate, [1, 1 / 4])
    """
    L, mu, minimizer, minimum = _constants(f)
    height = drop(f) if height is None else height
    dtype = precision(f)
    curvatures, axes = _axes(np.asarray(_hessian(as_argument(f), minimizer), np.float64))
    reach = np.sqrt(2 * height / curvatures)
    start = np.asarray(minimizer, np.float64) + (reach / np.sqrt(2)) @ axes
    step_size = bounds.optimal_step_size_for_distance(L, mu)
    run = gd.descend(f, jnp.asarray(start, dtype), step_size, steps=steps)
    gap = np.asarray(run.history.value) - np.asarray(minimum)
    contraction = bounds.contraction(L, mu, step_size)
    half = 1.12 * reach.max()
    middle = np.asarray(minimizer, np.float64)
    window = jnp.asarray(np.stack([middle - half, middle + half], 1), dtype)
    x, y, z = field(f, window, (81, 81))  # of a small panel
    return Conditioned(
        L,
        mu,
        step_size,
        minimizer,
        axes,
        reach,
        window,
        Field(x, y, np.asarray(z) - np.asarray(minimum, z.dtype)),
        np.asarray(run.history.point),
        gap,
        contraction ** (2 * np.arange(steps + 1)) * gap[0],
        float(jnp.finfo(dtype).eps) * abs(float(run.history.value[0])),
    )


def drop(f: Callable) -> float:
    """Return a gap to start from: that at the origin, where a fit says nothing, or 1 if it is 0.

    Examples
    --------
    >>> assert drop(gd.landscapes.bowl) == 1.0
    """
    least, dtype = float(_constants(f)[3]), precision(f)
    there = float(f(jnp.zeros(2, dtype)))
    size = abs(there) + abs(least)
    if not 0 < size < np.inf:
        return 1.0
    seen = there - least > float(jnp.finfo(dtype).eps) ** 0.5 * size
    return there - least if seen else size


def _constants(f):
    of_two_parameters("conditioning", f, precision(f))
    known = gd.facts(f)
    values = known.smoothness, known.strong_convexity, known.minimizer, known.minimum
    missing = [
        name
        for name, value in zip(
            ("smoothness", "strong_convexity", "minimizer", "minimum"), values, strict=True
        )
        if value is None or not np.isfinite(value).all()
    ]
    if missing:
        raise ValueError(
            f"conditioning: every problem must know its {', '.join(missing)}: "
            "gd.Objective(value, facts=gd.Facts(...)) says so"
        )
    if not float(values[1]) > 0:
        raise ValueError(
            f"conditioning: strong_convexity must be positive, got {float(values[1]):g}: without "
            "it there is no condition number"
        )
    return float(values[0]), float(values[1]), values[2], values[3]


@jax.jit
def _hessian(f, at):
    return jax.hessian(f)(at)


def _axes(hessian):
    """Return the curvatures, rising, and their directions: where they repeat, any will do."""
    curvatures, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    if not curvatures[0] > 0:
        raise ValueError(
            f"conditioning: the curvature at the minimizer must be positive, got {curvatures[0]:g}"
        )
    if np.ptp(curvatures) <= 1e-6 * curvatures[1]:
        return curvatures, np.eye(2) * [[-1], [1]]
    # The flat axis points to the left, the steep one upwards.
    signs = [-np.sign(vectors[0, 0]) or 1, np.sign(vectors[1, 1]) or 1]
    return curvatures, vectors.T * np.array(signs)[:, None]


# -- rules -----------------------------------------------------------------------------------------


def rules_for(f: Callable, start: ArrayLike) -> dict[str, Any]:
    """Return the rules that can be tried with what is known about an objective, at most six.

    Where L is not known, the constant steps are 1/M and a quarter of it, M the largest curvature
    that descent by backtracking meets.

    Parameters
    ----------
    f
        The objective, of params (2,).
    start
        Where the runs begin, shape (2,).

    Examples
    --------
    >>> found = rules_for(gd.least_squares(gd.with_intercept([1.0, 2.0]), [3.0, 5.0]), jnp.zeros(2))
    >>> assert "exact line search" in found and len(found) == 6
    """
    known = gd.facts(f)
    L, mu = (None if x is None else float(x) for x in (known.smoothness, known.strong_convexity))
    rules: dict[str, Any] = {}
    if L is None or not L > 0:
        tried = gd.descend(f, start, gd.Backtracking(), steps=25).history.point
        met = float(jnp.abs(jnp.linalg.eigvalsh(_hessians(as_argument(f), tried))).max())
        step = float(f"{1 / met:.1g}") if met > 0 and np.isfinite(met) else 1.0
        rules |= {f"constant {step:g}": step, f"constant {step / 4:g}": step / 4}
        longest = 1.0
    else:
        step, longest = 1 / L, 3 / L
        rules |= {"constant $1/L$": step}
    if L and mu and mu > 0:
        rules["constant $2/(L + \\mu)$"] = bounds.optimal_step_size_for_distance(L, mu)
        rules["exact line search"] = gd.ExactLineSearch()
    rules["backtracking from " + ("1" if longest == 1.0 else "$3/L$")] = gd.Backtracking(longest)
    rules["Barzilai\N{EN DASH}Borwein"] = gd.BarzilaiBorwein(step)
    if known.minimum is not None and np.isfinite(float(known.minimum)):
        rules["Polyak"] = gd.Polyak(known.minimum)
    return rules


@jax.jit
def _hessians(f, points):
    return jax.vmap(jax.hessian(f))(points)


def checked_rules(rules: Any) -> dict[str, Any]:
    """Return a mapping of one to six rules as it is, or say what is wrong with it.

    Examples
    --------
    >>> assert checked_rules({"short": 0.1}) == {"short": 0.1}
    """
    if not isinstance(rules, Mapping):
        raise TypeError(
            "step_rules: rules must be a mapping from names to numbers, gdpure rules, schedules or "
            f"optax transformations, got {guards.describe(rules)}"
        )
    if not 1 <= len(rules) <= 6:
        raise ValueError(f"step_rules: rules must be one to six, got {len(rules)}")
    for name in rules:
        if not isinstance(name, str):
            raise TypeError(f"step_rules: rules must have names, got {guards.describe(name)}")
    return dict(rules)


def stepped(f: Callable, start: ArrayLike, rule: Any, steps: int) -> Stepped:
    """Return one run of a rule, and the step sizes that its rows show.

    Parameters
    ----------
    f, start, rule, steps
        As for `gd.descend`, of params (2,).

    Examples
    --------
    >>> shown = stepped(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.25, 3)
    >>> assert shown.step_sizes.tolist() == [0.25] * 3
    """
    run = gd.descend(f, start, rule, steps=steps)
    points, values, gradients = (np.asarray(leaf) for leaf in run.history)
    wide = points.astype(np.float64)
    moves = np.linalg.norm(np.diff(wide, axis=0), axis=1)
    slopes = np.linalg.norm(gradients.astype(np.float64), axis=1)[:-1]
    rounding = np.finfo(points.dtype).eps * np.abs(wide).max(1)[1:]
    readable = (slopes > 0) & (rounding <= _READABLE * moves)
    sizes = np.where(readable, moves / np.where(slopes > 0, slopes, 1), np.nan)
    return Stepped(points, values, sizes, gd.Status(run.final.status), int(run.final.count))
