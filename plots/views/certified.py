"""Certified: descent in two arithmetics beside what is proven of it, and who attains that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards

from ...specs import bounds, instances, rounding
from ...specs.run.recorded import read, truth
from .convergence import (
    Bound,
    cast,
    distance_to_minimizers,
    gaps,
    in_float64,
    points_recorded,
    proven,
    quadratic_form,
    the_step_size,
)

_CIRCLES = 13  # rows of a run in which the worst case is shown


class Worst(NamedTuple):
    """Runs that come as close to a bound as any: gaps (n,) in rows `k` (n,), and what ran."""

    k: Any
    gap: Any
    what: str


class Judged(NamedTuple):
    """A run beside what is proven about it.

    Attributes
    ----------
    gap
        ``f(x_k) - f*``, shape (steps + 1,).
    bounds
        By name, the weakest assumption first; each is a `Bound` in real numbers.
    tightest
        The name of the bound that is least in the last row.
    rounded
        That bound with what rounding may add to it, shape (steps + 1,): with D_k for how far the
        run may have drifted, ``sqrt(gap_k) <= sqrt(bound_k) + sqrt(L/2) D_k``.
    leaves
        The row from which on the gap is above the bound in real numbers, or None where it ends
        within 1 % of it or below.
    dtype
        The arithmetic of the run, such as "float32".
    """

    gap: Any
    bounds: dict[str, Bound]
    tightest: str
    rounded: Any
    leaves: int | None
    dtype: str

    @property
    def bound(self) -> Any:
        """The tightest bound, (steps + 1,)."""
        return self.bounds[self.tightest].values


class Certificate(NamedTuple):
    """One descent in float64 and in a narrower arithmetic, judged, and a start that is worst."""

    wide: Judged
    narrow: Judged
    worst: Worst | None
    step_size: float


def certificate(f: Callable, run: Any, step_size: Any = None) -> Certificate:
    """Return a descent in float64 and in a narrower arithmetic, and what is proven about both.

    One of the two is the run that is given, the other is made from its start: float32 beside
    float64, or float64 beside whatever is given. Each is judged on the function that its own data
    stand for.

    Parameters
    ----------
    f
        An objective with facts.
    run
        What `gd.descend` returned, or points (steps + 1, d).
    step_size
        eta; by default the one that the rows show.

    Raises
    ------
    TypeError, ValueError
        If the run is none, its step size is not one number, or too little is known of f.

    Examples
    --------
    >>> f = gd.quadratic(jnp.diag(jnp.array([1.0, 4.0])), jnp.zeros(2))
    >>> shown = certificate(f, gd.descend(f, jnp.array([2.0, 1.0]), 0.25, steps=5))
    >>> assert (shown.wide.gap <= shown.wide.bound * (1 + 1e-12)).all()
    """
    guards.function("certificate", "the objective", f)
    if not isinstance(f, gd.Objective):
        function = f
        f = gd.Objective(lambda x, _: function(x))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        known = gd.facts(in_float64(f))
        _demand("certificate", known, known.minimum)  # before anything is evaluated
        rows, true = _read(f, run)
        eta = the_step_size("certificate", rows, step_size, true)
        if eta is None or not eta > 0:
            raise ValueError(
                "certificate: the run must be descent with one step size > 0, given as step_size= "
                f"or shown by all of its rows, got {'none' if step_size is None else step_size}"
            )
        start, steps = rows.point[0].reshape(np.shape(rows.one)), len(rows.point) - 1
        own = _judged("certificate", f, rows, true, eta)
        if not own.gap[0] > 0:
            raise ValueError("certificate: the run must begin above the minimum, its gap is 0")
        given_wide = rows.dtype == np.float64
        other = np.dtype(np.float32 if given_wide else np.float64)
        g, size = cast(f, other), float(np.asarray(eta, other))
        twin = gd.descend(g, jnp.asarray(start, other), np.asarray(eta, other), steps=steps)
        made = _judged("certificate", g, *_read(g, twin), size)
        wide, narrow = (own, made) if given_wide else (made, own)
        return Certificate(wide, narrow, _worst(in_float64(f), wide, start, eta), eta)


def _read(f, run):
    """Return the rows of a run and what is true at them."""
    if isinstance(run, gd.Descent) and points_recorded(run) is None:
        raise TypeError(
            "certificate: run must record its points as one array, as gd.descend does by default"
        )
    try:
        rows = read(run)
        return rows, truth(f, rows)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("certify:", "certificate:")) from error


def _demand(caller, known, least):
    """Say what an objective must know, if it does not."""
    missing = "smoothness" if known.smoothness is None else "minimum" if least is None else ""
    if missing:
        raise ValueError(
            f"{caller}: the objective must know its {missing}, as gd.least_squares does; for your "
            f"own give gd.Objective(value, facts=gd.Facts({missing}=...))"
        )


def _judged(caller, f, rows, truth, step_size):
    """Return a run beside what is proven about it, in real numbers and in its own arithmetic.

    Every step is off by some ``|e_k| <= E_k`` (`specs.rounding.step`), errors of points shrink by
    the `factor` q of the bound, and the root of the gap has slopes of at most ``sqrt(L/2)``:
    ``sqrt(gap_k) <= sqrt(bound_k) + sqrt(L/2) D_k``, with ``D_{k+1} = q D_k + E_k``.
    """
    points, steps = rows.point, len(rows.point) - 1
    shaped = points.reshape(-1, *np.shape(rows.one))  # as f takes them
    with jax.enable_x64(True):
        wide = in_float64(f)
        known, form = gd.facts(wide), quadratic_form(wide)
        gap = gaps(f, shaped)
        distance = distance_to_minimizers(known, points[0])
    _demand(caller, known, gap)
    assert gap is not None and known.smoothness is not None
    found = proven(known, float(gap[0]), distance, step_size, steps, quadratic=form is not None)
    L = float(known.smoothness)
    if not found:
        raise ValueError(
            f"{caller}: the step size must be in (0, 2/L), there is no theorem for others; got "
            f"{step_size:g}, and 2/L = {2 / L:g}"
        )
    tightest = min(reversed(found), key=lambda name: found[name].values[-1])
    bound = found[tightest].values
    evaluated = rounding.Evaluation(
        truth.value, truth.gradient, truth.value_error, truth.gradient_error
    )
    strays = rounding.step(evaluated, points, step_size, rows.dtype)[:-1]
    errors = np.linalg.norm(strays.astype(np.float64), axis=1)
    drift = rounding.drift(np.float64(found[tightest].factor), errors)
    rounded = (np.sqrt(bound) + np.sqrt(L / 2) * np.asarray(drift, np.float64)) ** 2
    under = np.flatnonzero(gap <= bound)
    # A run that attains its bound is above it by rounding: it has not left it.
    left = gap[-1] > 1.01 * bound[-1]
    leaves = (int(under[-1]) + 1 if len(under) else 0) if left else None
    return Judged(gap, found, tightest, rounded, leaves, rows.dtype.name)


# -- the worst case --------------------------------------------------------------------------------


def _worst(f, shown, start, eta):
    """Return runs that attain the tightest bound of a run, if any are known."""
    known, steps = gd.facts(f), len(shown.gap) - 1
    k = np.unique(np.linspace(0, steps, _CIRCLES).round().astype(int))
    L, mu = float(known.smoothness), float(known.strong_convexity or 0)
    if shown.tightest == "convex":
        return Worst(k, *_slowest_convex(L, distance_to_minimizers(known, start), eta, k))
    if shown.tightest not in ("strongly convex", "quadratic"):
        return None
    form, what, least = quadratic_form(f), "the worst start", float(known.growth or mu) / 2
    if form is None:  # a parabola of one parameter belongs to the same class of functions
        slow, least = abs(1 - eta * mu) >= abs(1 - eta * L), 0.0
        what = r"$\mu x^2/2$" if slow else r"$Lx^2/2$"
        f = gd.quadratic(jnp.array([[mu if slow else L]]), jnp.zeros(1))
        form = f.data[:2]
    curvatures, axes = np.linalg.eigh(np.asarray(form[0]))
    curvatures = np.where(curvatures > least, curvatures, np.nan)
    which = np.nanargmax(abs(1 - eta * curvatures))
    far = np.sqrt(2 * shown.gap[0] / curvatures[which])
    run = gd.descend(f, jnp.asarray(form[1] + far * axes[:, which]), eta, steps=steps)
    return Worst(k, np.asarray(gaps(f, run.history.point))[k], what)


def _slowest_convex(L, distance, eta, k):
    """Return the gaps after k steps (n,), each of the convex function that is slowest for them."""
    rate = bounds.bend(L, 0.0, eta, k.astype(float))
    bent = rate >= (1 - eta * L) ** (2 * k)
    bend = np.where(bent, np.sqrt(L) * distance * rate, np.inf)
    last = _last_gaps(L, float(distance), eta, jnp.asarray(bend), jnp.asarray(k), int(k[-1]))
    return np.asarray(last), "Huber's function" if bent[-1] else r"$Lx^2/2$"


@partial(jax.jit, static_argnames="steps")
def _last_gaps(L, distance, eta, bend, k, steps):
    def last(bend, k):
        zero = jnp.zeros(())
        data = (jnp.sqrt(jnp.full((1, 1), L)), jnp.zeros(1), bend, zero, zero)
        f = gd.Objective(instances.value, data, instances.gradient)
        return gd.descend(f, jnp.full(1, distance), eta, steps=steps).history.value[k]

    return jax.vmap(last)(bend, k)
