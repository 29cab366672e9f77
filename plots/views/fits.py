"""Fits: the lines that a run passes through, and its gap split by curvature."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards, lesson, spectra

from .fields import points_of, precision, values_along

_CHOSEN = 8  # iterates, where nobody chooses them


class Fits(NamedTuple):
    """Iterates as lines: number `k` (m,), ``points`` (m, 2) = (intercept, slope), f there (m,).

    `x`, `y` (n,) are the data and `fitted` (m, n) the lines there; `ends` (2,) is where the lines
    begin and end, `heights` (m, 2) how high they are there.
    """

    k: Any
    points: Any
    values: Any
    x: Any
    y: Any
    fitted: Any
    ends: Any
    heights: Any


class Modes(NamedTuple):
    """The gap of a run on a quadratic, split into its m curvatures other than 0, in falling order.

    `measured` and `theory` are (m, steps + 1), `gap` (steps + 1,) is measured as a whole. Below
    `floor` () there is nothing but the rounding of the parameters.
    """

    curvatures: Any
    step_size: Any
    measured: Any
    theory: Any
    gap: Any
    floor: Any


def line_data(caller: str, f: Any, at: Any = ((1.0, -0.5), (0.25, 2.0))) -> tuple[Any, Any]:
    """Return the data x, y (n,) of an objective that is the mean squared error of a line a + b x.

    Any `gd.Objective` with data (x, y), or with data (X, y) where X is ``gd.with_intercept(x)``,
    that has the values of ``mean((a + b x - y)^2)`` at some points.

    Parameters
    ----------
    caller
        Who asks, for the error.
    f
        The objective.
    at
        Where the values are compared, shape (m, 2).

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0]), [3.0, 5.0])
    >>> assert line_data("fits", f)[0].tolist() == [1.0, 2.0]
    """
    refused = TypeError(
        f"{caller}: the objective must be the mean squared error of a line a + b x, such as "
        "gd.least_squares(gd.with_intercept(x), y) of one feature x, got "
        f"{guards.describe(getattr(f, 'data', f))}"
    )
    data = getattr(f, "data", None)
    if not isinstance(f, gd.Objective) or not isinstance(data, tuple) or len(data) != 2:
        raise refused
    x, y = (np.asarray(part) for part in data)
    if x.ndim == 2 and x.shape[1] == 2 and (x[:, 0] == 1).all():
        x = x[:, 1]
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise refused
    a, b = np.asarray(at, np.float64).T[..., None]
    values = np.asarray(values_along(f, jnp.asarray(np.asarray(at), x.dtype)), np.float64)
    residuals, sizes = a + b * x - y, abs(a) + abs(b * x) + abs(y)
    # n + 8 roundings of what is added: the line takes 2 and a square 1 of each residual.
    rounding = (x.size + 8) * float(jnp.finfo(x.dtype).eps) * (sizes**2).mean(1)
    if not (abs(values - (residuals**2).mean(1)) <= rounding).all():
        raise refused
    return x, y


def log_spaced(steps: int, n: int = _CHOSEN) -> np.ndarray:
    """Return at most n iterations from 0 to `steps`, evenly spaced on a logarithmic scale.

    Examples
    --------
    >>> assert log_spaced(100).tolist() == [0, 1, 2, 5, 10, 22, 46, 100]
    """
    return np.unique(np.append(0, np.round(np.geomspace(1, max(steps, 1), n - 1)))).astype(int)[
        : steps + 1
    ]


def fitted(f: Any, run: Any, ks: Any = None) -> Fits:
    """Return the lines ``a + b x`` that some iterates of a run stand for, and how well they fit.

    Parameters
    ----------
    f
        The mean squared error of a line, as for `line_data`.
    run
        What `gd.descend` returned, or points (steps + 1, 2).
    ks
        Which iterates, whole numbers; by default eight, evenly spaced on a logarithmic scale.

    Raises
    ------
    TypeError, ValueError
        If f is something else, the run none of two parameters, or an iterate is not in it.

    Examples
    --------
    >>> f = gd.least_squares(gd.with_intercept([1.0, 2.0]), [3.0, 5.0])
    >>> shown = fitted(f, jnp.array([[0.0, 1.0], [1.0, 2.0]]))
    >>> assert shown.values.tolist() == [6.5, 0.0] and np.allclose(shown.heights[1], [2.7, 5.3])
    """
    points = points_of("fit_and_parameters", run)
    steps = len(points) - 1
    if ks is None:
        chosen = log_spaced(steps)
    else:
        given = np.atleast_1d(np.asarray(ks, object)).ravel()
        chosen = np.unique(
            [guards.whole("fit_and_parameters", "ks", k, 0, steps) for k in given]
        ).astype(int)
        if not len(chosen):
            raise ValueError("fit_and_parameters: ks must name at least one iterate, got none")
    if not np.isfinite(points[chosen]).all():
        raise ValueError("fit_and_parameters: an iterate that is to be a line is not finite")
    x, y = line_data("fit_and_parameters", f, points[chosen])
    values = values_along(f, jnp.asarray(points[chosen], precision(f)))
    width = np.ptp(x) or x.dtype.type(2)
    middle = (x.min() + x.max()) / 2
    ends = middle + np.array([-0.65, 0.65], x.dtype) * width
    a, b = points[chosen].T[..., None]
    lines = points[chosen], np.asarray(values), x, y, a + b * x
    return Fits(chosen, *lines, ends, a + b * ends)


# -- modes -----------------------------------------------------------------------------------------


def modes(f: Any, run: Any) -> Modes:
    """Return the gap of descent on a quadratic, split by the eigenvalues of the Hessian.

    ``f(x_k) - f* = sum_i 1/2 lambda_i c_i^2 (1 - eta lambda_i)^(2k)``, with c_i the part of
    ``x_0 - x*`` along the i-th eigenvector. `measured` projects the recorded points on the
    eigenvectors, `theory` those of `gd.closed_form` for the step size that the rows show.

    Parameters
    ----------
    f
        `gd.quadratic`, `gd.least_squares`, or the mean squared error of a line; of any d.
    run
        What `gd.descend` returned for a constant step size; at least one step.

    Raises
    ------
    TypeError, ValueError
        If f is no quadratic with a minimizer, or the run is none of a constant step size on it.

    Examples
    --------
    >>> f = gd.quadratic(jnp.diag(jnp.array([4.0, 1.0])), jnp.zeros(2))
    >>> split = modes(f, gd.descend(f, jnp.array([1.0, 2.0]), 0.125, steps=2))
    >>> assert split.measured.tolist() == [[2.0, 0.5, 0.125], [2.0, 1.53125, 1.17236328125]]
    """
    f = _as_known("modes", f)
    points, gradients = _rows("modes", f, run)
    axes, curvatures, along, gap, minimizer = _split(f, points)
    known = np.flatnonzero(np.asarray(curvatures) > 0)[::-1]
    if (np.asarray(curvatures) < 0).any():
        raise ValueError("modes: a negative curvature has no minimum to measure a gap from")
    if not float(gap[0]) > 0:
        raise ValueError("modes: the run starts at the minimizer: there is no gap to split")
    step_size = _step_size("modes", np.asarray(points), np.asarray(gradients))
    exact = gd.closed_form(f, points[0], step_size, len(points) - 1)
    # The gradient is a sum of the modes, too, and no difference of large numbers.
    slopes = np.asarray(exact.gradient @ axes.T).T[known]
    curved = np.asarray(curvatures)[known]
    size = np.abs(np.stack([points[0], minimizer])).max()
    eps = float(jnp.finfo(points.dtype).eps)
    return Modes(
        curved,
        step_size,
        curved[:, None] * np.asarray(along).T[known] ** 2 / 2,
        slopes**2 / (2 * curved[:, None]),
        np.asarray(gap),
        curved.max() * (eps * size) ** 2 / 2,
    )


def _as_known(caller, f):
    """Return a quadratic whose data the closed forms know: the lesson's own cost, too."""
    if isinstance(f, gd.Objective) and f.value == lesson.regression().value:
        x, y = line_data(caller, f)
        return gd.least_squares(gd.with_intercept(x), y)
    try:
        gd.as_quadratic(f)
    except TypeError as error:
        raise TypeError(
            f"{caller}: only a quadratic splits into modes: the objective must be gd.quadratic, "
            f"gd.least_squares or the lesson's cost, got {guards.describe(f)}"
        ) from error
    return f


def _rows(caller, f, run):
    d = f.data[0].shape[1]
    rows = getattr(run, "history", None)
    if not isinstance(run, gd.Descent) or not isinstance(rows, gd.History):
        raise TypeError(
            f"{caller}: run must be what gd.descend returned, got {guards.describe(run)}"
        )
    if rows.point.ndim != 2 or rows.point.shape[1] != d:
        raise ValueError(
            f"{caller}: the run must be one of {d} parameters, as many as the objective has, got "
            f"points {guards.describe(rows.point)}"
        )
    if gd.Status(run.final.status) == gd.Status.DIVERGED:
        raise ValueError(
            f"{caller}: the run diverged after {int(run.final.count)} steps: its later rows are no "
            "descent; take fewer steps"
        )
    if len(rows.point) < 2:
        raise ValueError(f"{caller}: the run must have at least one step, got none")
    return jnp.asarray(rows.point, f.data[0].dtype), jnp.asarray(rows.gradient, f.data[0].dtype)


def _split(f, points):
    split = _of_least_squares if len(f.data) == 2 else _of_quadratic
    return split(*f.data, points)


@spectra.precisely
def _of_least_squares(X, y, points, dtype):
    found = spectra.of_least_squares(X, y, dtype)
    error = points - found.minimizer[None]
    gap = jnp.mean((error @ X.T) ** 2, axis=1)
    order = jnp.argsort(found.curvatures)
    axes = found.axes[order]
    return axes, found.curvatures[order], error @ axes.T, gap, found.minimizer


@spectra.precisely
def _of_quadratic(hessian, minimizer, minimum, points, dtype):
    found = spectra.of_quadratic(hessian, minimizer, minimum, dtype)
    error = points - found.minimizer[None]
    gap = jnp.sum(error * (error @ hessian), axis=1) / 2
    return found.axes, found.curvatures, error @ found.axes.T, gap, found.minimizer


def _step_size(caller, points, gradients):
    """Return eta of the rows, ``x_{k+1} = x_k - eta g_k``, or say that there is no such number."""
    size = np.abs(gradients).max()  # squares must not overflow
    moves, before = points[:-1] - points[1:], gradients[:-1]
    step_size = (moves / size * (before / size)).sum() / ((before / size) ** 2).sum()
    # Both points and the product are rounded, and the quotient is as far off as the first of them.
    eps = np.finfo(points.dtype).eps
    allowed = 4 * eps * (np.abs(points).max() + step_size * np.abs(gradients).max())
    off = np.abs(moves - step_size * before).max(1)
    if not step_size > 0 or not (off <= allowed).all():
        raise ValueError(
            f"{caller}: the run must be descent with one step size, x+ = x - eta g: step "
            f"{int(off.argmax()) + 1} is off by {off.max():.2g} from eta = {step_size:.6g}"
        )
    return step_size
