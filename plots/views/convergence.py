"""Convergence: what was measured of a run, and what is proven about it, row by row.

Gaps are taken in float64 at the very points that were recorded, whatever arithmetic they come from.
On quadratics nothing cancels in them: ``f(x) - f* = 1/2 <x - x*, H (x - x*)>``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards

from ...specs import bounds
from ...specs.report import Verdict
from ...specs.run.recorded import Record, read, truth
from ...specs.run.steps import steps_of
from .fields import as_argument, values_along

if TYPE_CHECKING:
    from jaxtyping import ArrayLike


class Bound(NamedTuple):
    """What is proven of the gaps of a run.

    `values` (steps + 1,) in real numbers, `formula` in symbols, and `factor`, by which one step
    brings together what is compared: roots of gaps, or two points.
    """

    values: Any
    formula: str = ""
    factor: float = 1.0


# -- what was recorded -----------------------------------------------------------------------------


class Series(NamedTuple):
    """What a run went through: `values` of its rows, gaps or not, and after which it diverged.

    Rows after that one repeat it, and are left out: `rows` counts them all.
    """

    values: Any
    gap: bool
    rows: int
    diverged: int | None


def series(caller: str, run: Any, f: Callable | None = None, minimum: Any = None) -> Series:
    """Return the values of a run, or its gaps where the minimum is known, in float64.

    Parameters
    ----------
    caller
        Which function refuses what is no run.
    run
        What `gd.descend` returned, or values (steps + 1,).
    f
        The objective, whose facts may know the minimum; at points, gaps are those of `gaps`.
    minimum
        f*, shape ().

    Raises
    ------
    TypeError, ValueError
        If there are no values, one a row, or the minimum is no finite number.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([1.0, 1.0]), 0.5, steps=2)
    >>> assert series("convergence", run, minimum=-1.0).values.tolist() == [3.0, 1.0, 1.0]
    """
    held = run.history if isinstance(run, gd.Descent) else run
    held = getattr(held, "value", held)
    try:
        values = np.asarray(held, np.float64)
    except (TypeError, ValueError):
        values = np.zeros((0, 0))
    if values.ndim != 1 or not len(values):
        raise (ValueError if guards.is_number(held) else TypeError)(
            f"{caller}: run must be what gd.descend returned, or values of shape (steps + 1,), got "
            f"{guards.describe(held)}"
        )
    count, lost = len(values), None
    if isinstance(run, gd.Descent) and run.final.status == gd.Status.DIVERGED:
        lost = int(run.final.count)
        values = values[: lost + 1]
    least, found = minimum, None
    if minimum is not None:
        least = np.asarray(minimum, np.float64)
        if least.shape != () or not np.isfinite(least):
            raise ValueError(f"{caller}: minimum must be one finite number, got {minimum!r}")
    elif f is not None:
        points = points_recorded(run)
        found = None if points is None else gaps(f, points[: len(values)])
        known = gd.facts(f).minimum
        least = known if points is None and known is not None and np.isfinite(known) else None
    if least is not None:
        found = values - float(least)
    return Series(values if found is None else found, found is not None, count, lost)


def proven_of(f: Callable, run: Any, step_size: Any = None) -> dict[str, Bound]:
    """Return what is proven of the gaps of a run; nothing where too little is known.

    Parameters
    ----------
    f
        The objective.
    run
        What `gd.descend` returned.
    step_size
        eta, shape () or (steps,); by default the one that all rows show.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([1.0, 1.0]), 0.25, steps=2)
    >>> assert list(proven_of(gd.landscapes.bowl, run)) == ["convex", "strongly convex"]
    >>> assert proven_of(lambda p: p @ p, run) == {}
    """
    points = points_recorded(run)
    if points is None or points.ndim != 2 or len(points) < 2:
        return {}
    if run.final.status == gd.Status.DIVERGED:
        return {}
    eta = the_step_size("convergence", run, step_size)
    found = gaps(f, points)
    if eta is None or found is None:
        return {}
    with jax.enable_x64(True):
        wide = in_float64(f)
        known, quadratic = gd.facts(wide), quadratic_form(wide) is not None
        distance = distance_to_minimizers(known, points[0])
        return proven(known, float(found[0]), distance, eta, len(points) - 1,
                      quadratic=quadratic)  # fmt: skip


def points_recorded(run):
    """Return the points (steps + 1, ...) of a run that recorded them as one array, else None."""
    point = getattr(run.history, "point", None) if isinstance(run, gd.Descent) else None
    return np.asarray(point) if isinstance(point, jax.Array | np.ndarray) else None


def the_step_size(caller, run, given=None, known=None):
    """Return the step size of a run: as given, or the one that all its rows show, or None.

    The run brings gradients, or else it is a `Record` and `known` is what is true at them.
    """
    if given is not None:
        guards.in_range(caller, "step_size", given, guards.Range(0))
        sizes = np.unique(np.asarray(given, np.float64))
        return float(sizes[0]) if sizes.shape == (1,) else None
    rows = run if isinstance(run, Record) else read(run)
    with np.errstate(over="ignore", invalid="ignore"):  # the gradients of what runs away
        steps = steps_of(rows, truth(None, rows) if known is None else known, None)
    if steps.how != "inferred" or steps.finding.verdict is Verdict.VIOLATED:
        return None
    return float(steps.eta[0].astype(rows.dtype))  # what the run itself could hold


def step_size_seen(run: Any) -> float | None:
    """Return the step size that all rows of a run show, or None.

    Parameters
    ----------
    run
        What `gd.descend` returned, or what else stands for a path.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.25, steps=10)
    >>> assert step_size_seen(run) == 0.25
    >>> assert step_size_seen([[2.0, 1.0], [1.6, 0.8]]) is None
    """
    points = points_recorded(run)
    if points is None or points.ndim > 2 or len(points) < 2:
        return None
    if not isinstance(run.history, gd.History) or run.final.status == gd.Status.DIVERGED:
        return None
    return the_step_size("step_size_seen", run)


def steps_in_words(run: Any, count: int) -> str:
    """Return how many steps a run took, and how long they are where its rows show that.

    Examples
    --------
    >>> run = gd.descend(gd.landscapes.bowl, jnp.array([2.0, 1.0]), 0.1, steps=10)
    >>> assert steps_in_words(run, 10) == "10 steps of 0.1"
    >>> assert steps_in_words(None, 1) == "1 step"
    """
    said, eta = f"{count} step{'s' * (count != 1)}", step_size_seen(run)
    return said if eta is None else f"{said} of {eta:.3g}"


# -- gaps ------------------------------------------------------------------------------------------


def in_float64(f):
    """Return an objective with its numbers in float64, for use inside ``jax.enable_x64(True)``."""
    return cast(f, np.float64) if isinstance(f, gd.Objective) else as_argument(f)


def cast(f, dtype):
    """Return an objective with its data and its facts rounded to a dtype."""

    def leaf(x):
        return jnp.asarray(x, dtype) if jnp.issubdtype(jnp.result_type(x), jnp.floating) else x

    return jax.tree.map(leaf, f)


def quadratic_form(f):
    """Return H and x* of ``f* + 1/2 <x - x*, H (x - x*)>``, or None if f is no quadratic."""
    try:
        hessian, minimizer, _ = gd.as_quadratic(f).data
    except TypeError:
        return None
    return hessian, minimizer


def gaps(f: Callable, points: ArrayLike) -> np.ndarray | None:
    """Return ``f(x_k) - f*`` in float64 at points as they are, or None where f* is not known.

    f* is the minimum that ``gd.facts(f)`` knows, or else the value at the minimizer it knows.

    Parameters
    ----------
    f
        The objective.
    points
        Shape (n, d), or (n, ...) of whatever one array f takes.

    Examples
    --------
    >>> f = gd.quadratic(jnp.diag(jnp.array([2.0, 4.0])), jnp.ones(2), minimum=5.0)
    >>> assert gaps(f, jnp.array([[2.0, 1.0], [1.0, 1.0]])).tolist() == [1.0, 0.0]
    """
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        f, points = in_float64(f), jnp.asarray(np.asarray(points, np.float64))
        form, known = quadratic_form(f), gd.facts(f)
        if form is not None:
            H, offset = np.asarray(form[0]), _offset(known, points)
            return None if offset is None else np.einsum("ki,ij,kj->k", offset, H, offset) / 2
        least = known.minimum
        if least is None and known.minimizer is not None:
            least = f(known.minimizer)
        if least is None or not np.isfinite(least):
            return None
        return np.asarray(values_along(f, points)) - float(least)


def _offset(known, points):
    """Return the ways (..., d) from the nearest minimizers to points, or None if none is known."""
    if known.minimizer is None or not np.isfinite(known.minimizer).all():
        return None
    offset = np.asarray(points, np.float64) - np.ravel(known.minimizer).astype(np.float64)
    # What is flat is no part of it: large and of no effect, it would leave nothing but rounding.
    return offset if known.flat is None else offset - offset @ np.asarray(known.flat, np.float64)


def distance_to_minimizers(known, point):
    """Return how far a point is from the nearest minimizer, or None if none is known."""
    offset = _offset(known, np.ravel(point))
    return None if offset is None else float(np.linalg.norm(offset))


# -- what is proven --------------------------------------------------------------------------------


def proven(
    known: gd.Facts,
    first: float,
    distance: float | None,
    step_size: float,
    steps: int,
    *,
    quadratic: bool = False,
) -> dict[str, Bound]:
    """Return what is proven of the gaps of descent with one step size, by what is assumed.

    With L, mu and eta, g_0 the first gap and R the first distance from a minimizer:

    =================  =========================================  ==============================
    convex             ``L/2 R^2 max(1/(2 k eta L + 1), ...)``    `specs.bounds.value_rate`
    PL                 ``(1 - eta mu (2 - eta L))^k g_0``         mu: the growth constant
    strongly convex    ``max(|1 - eta L|, |1 - eta mu|)^2k g_0``  `specs.bounds.contraction`
    quadratic          the same, with the least curvature > 0     theorem "more-parameters"
    smooth             ``g_0``                                    where nothing else is known
    =================  =========================================  ==============================

    Parameters
    ----------
    known
        What is known of f.
    first, distance
        g_0, and R or None.
    step_size, steps
        eta and N.
    quadratic
        Whether f is one.

    Returns
    -------
    dict
        Nothing where L is not known or eta is not in (0, 2/L).

    References
    ----------
    Polyak, "Gradient methods for the minimisation of functionals", 1963; Karimi, Nutini and
    Schmidt, "Linear convergence of gradient and proximal-gradient methods", ECML 2016 (PL).

    Examples
    --------
    >>> known = gd.Facts(smoothness=2.0, strong_convexity=1.0)
    >>> assert proven(known, 4.0, None, 0.5, 1)["strongly convex"].values.tolist() == [4.0, 1.0]
    """
    L, mu, growth = (
        None if x is None or not np.isfinite(x) else float(x)
        for x in (known.smoothness, known.strong_convexity, known.growth)
    )
    if L is None or not 0 < step_size * L < 2:
        return {}
    k, h, found = np.arange(steps + 1.0), step_size * L, {}
    unit = abs(h - 1) < 1e-6  # the formula is that of eta = 1/L, as far as one can see
    if mu is not None and mu >= 0 and distance is not None:
        rate = bounds.value_rate(L, 0.0, step_size, k)
        bent = rate[-1] > L / 2 * abs(1 - h) ** (2 * steps)
        slow = r"$LR^2/(4k+2)$" if unit else r"$LR^2/(4\eta Lk+2)$"
        formula = slow if bent else r"$\frac{1}{2}LR^2(\eta L-1)^{2k}$"
        found["convex"] = Bound(
            rate * distance**2, formula, max(abs(1 - step_size * mu), abs(1 - h))
        )
    least = max(growth or 0.0, mu or 0.0)  # strongly convex functions grow at least as fast
    smallest = mu if mu is not None and mu > 0 else least if quadratic else 0.0
    slow, fast = abs(1 - step_size * smallest), abs(1 - h)
    decay = max(1 - step_size * least * (2 - h), 0.0)
    if least > 0 and decay > 1.0001 * max(slow, fast) ** 2 * (smallest > 0):
        formula = r"$(1-\mu/L)^k$" if unit else r"$(1-\eta\mu(2-\eta L))^k$"
        found["PL"] = Bound(first * decay**k, formula, decay**0.5)
    if smallest > 0:
        rate = bounds.contraction(L, smallest, step_size)
        formula = r"$(1-\mu/L)^{2k}$" if unit else r"$(1-\eta\mu)^{2k}$"
        name = "strongly convex" if mu is not None and mu > 0 else "quadratic"
        formula = formula if slow >= fast else r"$(\eta L-1)^{2k}$"
        found[name] = Bound(first * rate ** (2 * k), formula, float(rate))
    return found or {"smooth": Bound(np.full(steps + 1, float(first)), r"$f(x_0) - f^\ast$")}
