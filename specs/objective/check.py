"""The facts that an objective claims, points: by samples, by ascent, by descent.

Points are looked for where a claim is most likely to fail: where the curvature that ascent finds is
largest and least, along the axes of the Hessian at the minimizer, where descents end, and at random
on many scales. All of them are then judged in float64 by the laws of `theorems.facts`. What
rounding explains is measured on f in `autodiff`, for the dtype in which the facts are claimed: that
of a coarser dtype allows for data, and for a minimizer, that are rounded to it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdpure as gd
from gdpure import guards
from gdpure.objectives import Objective

from ..balls import Ball, ball, concatenate, dot, widened
from ..gradient.autodiff import derivative, derivatives
from ..gradient.check import check_gradient, judged
from ..gradient.functions import Function, flat, form_of, passed, precision_of, scalar, traced
from ..gradient.laws import AUTODIFF
from ..report import Report, Row, Verdict, versions
from ..rounding import unit_roundoff
from ..rows import QUIET, Points, Rows
from ..subjects import name_of
from ..theorem import Sides, Theorem, sides
from ..words import number
from .attack import Curved, curved, low, starts
from .cases import counterexample
from .claims import CLAIMS, FLAT, Claim

_NUMBERS = ("smoothness", "strong_convexity", "growth", "minimum")
_CURVATURE = ("smoothness", "strong_convexity", "growth", "flat")
_PROBES = 8


def check_objective(
    objective: Callable[[Any], Any],
    at: Any = None,
    *,
    facts: gd.Facts | None = None,
    seed: int = 0,
    instances: int = 32,
    name: str | None = None,
) -> Report:
    """Check every fact that an objective claims about itself.

    Smoothness and strong convexity are held against the gradients of all pairs of points, and both
    together against the interpolation inequality; growth, minimum and minimizer against values and
    gradients; a gradient that is derived by hand against `check_gradient`. What is not claimed is
    not applicable.

    Parameters
    ----------
    objective
        A `gdpure.Objective`, or another function ``f(params) -> ()`` of JAX, of which nothing is
        claimed but `facts`.
    at
        A point, any tree of floating-point arrays, which says what the parameters look like; by
        default the minimizer that is claimed, or else a vector as the data ask for.
    facts
        What is claimed; by default ``gdpure.facts(objective)``.
    seed
        Of the points; at least 0.
    instances
        How many points the attacks begin from.
    name
        What the objective is called in the report.

    Returns
    -------
    Report
        True if no claim is violated and one was really tested. Its first line says which fact is
        wrong, and by how much.

    Raises
    ------
    TypeError, ValueError
        If the objective is not a real, scalar and finite function at the point, or the facts are
        not of the form of the parameters.

    Examples
    --------
    >>> f = lambda x: x[0] ** 2 + x[1] ** 2
    >>> x = jnp.array([1.0, 2.0])
    >>> assert check_objective(f, x, facts=gd.Facts(smoothness=2.0))
    >>> report = check_objective(f, x, facts=gd.Facts(smoothness=1.0), name="f")
    >>> assert "smoothness is 2 at least, not 1" in str(report).splitlines()[0]
    """
    _demand_functions(objective)
    seed = guards.whole("check_objective", "seed", seed)
    instances = guards.whole("check_objective", "instances", instances, 1)
    facts = gd.facts(objective) if facts is None else facts
    if not isinstance(facts, gd.Facts):
        raise TypeError(
            f"check_objective: facts must be gd.Facts(...), got {guards.describe(facts)}"
        )
    form, x = form_of("check_objective", _point_of(objective, facts) if at is None else at)
    with jax.default_matmul_precision("highest"), precision_of(form):
        scalar("check_objective: f(at)", objective(form.built(x)))
        claimed = _claimed(form, facts)
        f = passed(objective) if isinstance(objective, Objective) else objective
        function = Function(f, f, form, seed, *traced(f, form))
        rows, notes = _rows(function, x, claimed, instances)
        rows = [*_gradient_rows(function, objective, x), *rows]
        platform = jax.default_backend()
    if not claimed and getattr(objective, "gradient", None) is None:
        notes = ["it claims nothing: gd.Objective(value, facts=gd.Facts(smoothness=...)) does"]
    wrong = [_headline(row) for row in rows if row.verdict is Verdict.VIOLATED]
    held_to = ": ".join(["its claims", *wrong[:1]])
    called = _name(objective) if name is None else name
    return Report(called, held_to, platform, versions(), seed, tuple(rows), tuple(notes))


# -- what is claimed -------------------------------------------------------------------------------


def _demand_functions(objective):
    """Demand functions that take what they are given."""
    wanted = [("objective", objective, ["the parameters"])]
    if isinstance(objective, Objective):
        both = ["the parameters", "the data"]
        parts = ("value", both), ("gradient", both), ("facts", both[1:])
        known = [(f"objective.{name}", getattr(objective, name), of) for name, of in parts]
        wanted = [row for row in known if row[1] is not None and not isinstance(row[1], gd.Facts)]
    for name, f, given in wanted:
        guards.arguments("check_objective", name, f, tuple(given), " and ".join(given))


def _headline(row):
    """Return in a few words what is wrong."""
    found = row.counterexample.cause.split(";")[0] if row.counterexample else row.reason
    if row.family != "gradient agreement":
        return found
    return f"gradient, {found.split(',')[0] or 'not the derivative of f'}"


def _name(objective):
    value = objective.value if isinstance(objective, Objective) else objective
    name = getattr(value, "name", None) or name_of(value)
    return name.rpartition(":")[2].rpartition(".")[2].lstrip("_")


def _point_of(objective, facts):
    """Return parameters as the claimed minimizer or the data say that they look."""
    if facts.minimizer is not None:
        like = guards.parameters("check_objective", "facts.minimizer", facts.minimizer)
        return jax.tree.map(_finite, like)
    leaves = jax.tree.leaves(getattr(objective, "data", None))
    dtype = next(
        (x.dtype for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)), jnp.result_type(float)
    )
    widths = [x.shape[-1] for x in leaves if x.ndim == 2]
    for d in [*widths, 2]:
        with contextlib.suppress(Exception):  # whatever f says of a vector that it does not take
            jax.eval_shape(objective, jax.ShapeDtypeStruct((d,), dtype))
            return jnp.zeros(d, dtype)
    raise TypeError(
        "check_objective: at must be a point, for the objective claims no minimizer, whose form "
        "the parameters would have"
    )


def _finite(x):
    return (jnp if isinstance(x, jax.Array) else np).nan_to_num(x, posinf=0.0, neginf=0.0)


def _claimed(form, facts) -> dict[str, Any]:
    """Return what is claimed: numbers as balls, a minimizer (d,), a projector as a ball (d, d)."""
    found: dict[str, Any] = {}
    for name in _NUMBERS:
        fact = getattr(facts, name)
        if fact is None:
            continue
        real = guards.is_number(fact) and not jnp.iscomplexobj(fact)
        if not real or np.shape(fact) != () or np.isnan(float(fact)):
            what = f"facts.{name} must be one real number, got {guards.describe(fact)}"
            raise (ValueError if real else TypeError)(f"check_objective: {what}")
        if np.isfinite(float(fact)) and (name != "growth" or float(fact) > 0):
            found[name] = _rounded(fact)
    if facts.minimizer is not None:
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(facts.minimizer))
        if jax.tree.structure(facts.minimizer) != form.structure or shapes != form.shapes:
            wanted, got = (" and ".join(map(str, known)) for known in (form.shapes, shapes))
            raise ValueError(
                "check_objective: facts.minimizer must have the form of the parameters, "
                f"{wanted}, got {got}"
            )
        minimizer = flat(facts.minimizer)
        if np.isfinite(minimizer).all():
            found["minimizer"] = minimizer
    if facts.flat is not None:
        d = sum(form.sizes)
        guards.shape("check_objective", "facts.flat", facts.flat, (d, d))
        # Its entries are sums of d products of numbers up to 1.
        radius = np.full((d, d), (d + 2) * _unit(facts.flat))
        found["flat"] = Ball(_rounded(facts.flat).middle, radius)
    return found


def _rounded(fact):
    """Return a fact as a ball: in its dtype, it is rounded once."""
    middle = np.asarray(fact).astype(np.float64)
    return Ball(middle, _unit(fact) * abs(middle))


def _unit(fact):
    dtype = getattr(fact, "dtype", np.dtype(np.float64))
    return unit_roundoff(dtype if jnp.issubdtype(dtype, jnp.floating) else np.float64)


# -- rows ------------------------------------------------------------------------------------------


def _row(form, theorem, verdict, why=""):
    return Row(theorem.name, theorem.family, form.dtype, verdict, why)


def _gradient_rows(function, objective, x):
    """Return what `check_gradient` says of a gradient that is derived by hand."""
    form, by_hand = function.form, getattr(objective, "gradient", None)
    if not isinstance(objective, Objective) or by_hand is None:
        why = "brings no gradient that is derived by hand"
        return [_row(form, AUTODIFF, Verdict.NOT_APPLICABLE, why)]
    # At a minimizer rounding explains as much as the gradient is.
    far = form.built(x + (1 + abs(x)) * function.random.normal(size=x.shape))
    if not np.isfinite(float(function.f(far))):
        far = form.built(x)

    @functools.wraps(by_hand)
    def gradient(params):
        return by_hand(params, objective.data)

    return check_gradient(function.f, gradient, far, seed=function.seed).rows


def _rows(function, x, claimed, instances):
    form, first = function.form, claimed.get("minimizer", x)
    known, why = derivative(function, first)
    if known is None:
        return [_row(form, claim.theorem, Verdict.VACUOUS, why) for claim in (*CLAIMS, FLAT)], []
    scalar("check_objective: f at the claimed minimizer", function.f(form.built(first)))
    around = starts(function, first, x, instances)
    found = Curved(around.points[:0], np.inf, -np.inf)
    if any(fact in claimed for fact in _CURVATURE):
        found = curved(function, around)
    vectors = np.concatenate([around.points, low(function, around), found.points])
    points = _known(function, claimed, _evaluated(function, vectors), found)
    rows = []
    for claim in CLAIMS:
        why = _missing(claim, claimed)
        if why:
            rows.append(_row(form, claim.theorem, Verdict.NOT_APPLICABLE, why))
        elif claim.name == "interpolation" and any(r.verdict is Verdict.VIOLATED for r in rows):
            why = "rests on smoothness and strong-convexity, of which one is violated"
            rows.append(_row(form, claim.theorem, Verdict.BLOCKED, why))
        else:
            rows.append(_judged(function, claim, points))
    rows += _flat_rows(function, claimed, points, first)
    return rows, _notes(claimed, found)


def _missing(claim, claimed):
    """Return why a claim is not made, or ""."""
    missing = [fact for fact in claim.facts if fact not in claimed]
    if missing:
        return f"claims no {' and no '.join(missing)}"
    if claim.name == "convexity" and claimed["strong_convexity"].middle < 0:
        return "claims no convexity: strong_convexity is negative"
    return ""


@QUIET
def _known(function, claimed, noted, found) -> Points:
    """Return points beside what is claimed, or what can be said where nothing is."""
    # Facts are computed by backward stable algorithms, as a vector or a matrix is, in float64.
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(getattr(function.f, "data", None))]
    longest = max(sum(function.form.sizes), *itertools.chain((1,), *shapes))
    error = longest * unit_roundoff("float64")
    smoothness = claimed.get("smoothness", ball(max(found.most, -found.least)))
    lowest = noted.f[int(np.argmin(noted.f.middle)), 0]
    # What is L-smooth is -L-strongly convex.
    convexity, growth = claimed.get("strong_convexity", -smoothness), claimed.get("growth", ball(0))
    # Eigenvalues are off by as much as their matrix is, by Weyl.
    steepest = float(smoothness.middle)
    L, mu, growth = (
        widened(fact, error * abs(steepest)) for fact in (smoothness, convexity, growth)
    )
    if "minimizer" in claimed:
        # The gradient may be off in one coordinate as in another, the point is as it is.
        off = np.full((1, 1), error * np.linalg.norm(claimed["minimizer"]))
        first = noted[:1].strayed(off, steepest if np.isfinite(steepest) else 0.0)
        noted = Rows(noted.x[:1], first.f, first.g).beside(noted[1:])
    return Points(noted, L, mu, growth, claimed.get("minimum", lowest))


def _notes(claimed, found):
    """Return what was seen of curvature: an L that is too large is true, but loose."""
    facts = {fact: claimed[fact].middle for fact in _NUMBERS[:2] if fact in claimed}
    if not facts or not np.isfinite(found.most):
        return []
    said = " and ".join(f"{fact} {number(float(x), 6)}" for fact, x in facts.items())
    least, most = (number(float(x), 6) for x in (found.least, found.most))
    return [f"curvatures from {least} to {most} were found; claimed is {said}"]


def _evaluated(function, vectors):
    """Return points with values and gradients.

    Where f is not finite, or nothing is known of its rounding, there is the first point instead.
    """
    x = np.array(vectors)
    largest = min(float(jnp.finfo(dtype).max) for dtype in function.form.dtypes)
    x[~(abs(x) < largest).all(1)] = x[0]
    different, which = np.unique(x, axis=0, return_inverse=True)
    known, why = derivatives(function, different)
    assert known is not None, why  # it is known at the first point
    exact, radius = known.exact[which], (known.rounding + known.jump)[which]
    lost = ~(np.isfinite(exact).all(1) & np.isfinite(radius).all(1))
    for array in (exact, radius, x):
        array[lost] = array[0]
    balls = Ball(exact[..., None], radius[..., None])
    return Rows(ball(x[..., None]), balls[:, 0], balls[:, 1:])


# -- judging ---------------------------------------------------------------------------------------


@QUIET
def _sides(claim: Claim, points: Points) -> Sides:
    """Return both sides at all points, or pairs of them."""
    seen = sides(claim.theorem, points).each(lambda x: x[..., 0])
    # Where squares overflow, nothing is said.
    lost = ~np.isfinite(seen.off)
    measured, bound = (np.where(lost, 0.0, side) for side in seen[:2])
    return seen._replace(measured=measured, bound=bound, allowed=np.where(lost, np.inf, seen[2]))


def _judged(function, claim, points):
    seen = _sides(claim, points)

    def again(vectors):
        there = replace(points, noted=_evaluated(function, vectors))
        return there, _sides(claim, there)

    why = "rounding explains as much as is claimed"
    row = _row(function.form, claim.theorem, Verdict.VACUOUS, why)
    return judged(row, seen, lambda: counterexample(function, claim, points, seen, again))


# -- flat directions -------------------------------------------------------------------------------


def _projects(flat, draws):
    moved = _projected(flat, draws)
    turned = Ball(flat.middle.T, flat.radius.T)
    return concatenate([_projected(flat, moved) - moved, flat - turned]), ball(0.0), np.inf


def _projected(flat, draws):
    return dot(ball(draws)[:, None], flat[None], axis=-1)


PROJECTOR = Theorem(
    "flat-projector",
    "flat directions",
    "flat is its own transpose, and its own square",
    "definition",
    _projects,
    equality=True,
)


@QUIET
def _flat_rows(function, claimed, points, first):
    """Judge the flat directions: their projector, and f along them."""
    form, why = function.form, _missing(FLAT, claimed)
    if not why and not claimed["flat"].middle.any():
        why = "claims no flat direction"
    if why:
        both = PROJECTOR, FLAT.theorem
        return [_row(form, theorem, Verdict.NOT_APPLICABLE, why) for theorem in both]
    flat, draws = claimed["flat"], function.random.normal(size=(_PROBES, len(first)))
    why = "flat is no projector: it is not its own transpose, or square"
    row = judged(_row(form, PROJECTOR, Verdict.VACUOUS, why), sides(PROJECTOR, flat, draws))
    moves = _projected(flat, draws)
    lengths = 2.0 ** np.linspace(-4, 4, _PROBES)[:, None] * max(1.0, abs(first).max())
    noted = _evaluated(function, [first, *(first + lengths * moves.middle)])
    # What is rounded in the projector leads astray, by so much.
    astray = np.append(0.0, lengths[:, 0] * np.linalg.norm(moves.radius, axis=1))[:, None]
    noted = Rows(noted.x, noted.strayed(astray, float(points.L.middle)).f, noted.g)
    return [row, _judged(function, FLAT, replace(points, noted=noted))]
