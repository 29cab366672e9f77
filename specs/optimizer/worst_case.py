"""The worst case of a theorem: instances climb from random restarts towards its bound.

A point of the climb is a vector of unconstrained numbers, and `expanded` makes an instance of it
whose claims are true by construction: the mean of four of Huber's functions of two parameters, with
tails, among them mixtures in one parameter and quadratics. Both sides of the theorem are
differentiated through the run of the subject, and climbed by Adam's rule.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import gdpure as gd
from gdpure import guards

from .. import instances, rounding
from ..instances import Instance
from ..rows import observe
from ..subjects import as_subject
from ..theorem import ASSUMPTIONS, NEEDS, Theorem, sides
from ..words import wrapped

# What a climb evaluates, from steps of 0.1 down to 1e-7. Ridges are followed slowly: few long
# climbs come closer than many short ones.
ASCENTS = 1600
_ROWS = 4
_NUMBERS = 2 * _ROWS + 6
# How far L and mu stand clear of the rounding of curvatures that are L and lambda L on paper.
_CLEAR = 128 * rounding.unit_roundoff(jnp.float64)


class WorstCase(NamedTuple):
    """How close a subject comes to the bound of a theorem.

    Attributes
    ----------
    ratio
        ``1 + (measured - bound) / |bound|``: measured / bound where the bound is positive. The
        largest of all that were evaluated, but for rounding.
    instance
        The `Instance` where it is attained: NumPy, float64, four rows, two parameters.
    rounding
        What rounding may have added to the ratio.
    random
        The largest ratio among random instances alone, as many as the climbs have evaluated.
    tried
        How many.
    theorem, subject, steps
        The theorem, the name of the subject, and N.
    """

    ratio: float
    instance: Instance
    rounding: float
    random: float
    tried: int
    theorem: Theorem
    subject: str
    steps: int

    @property
    def broken(self) -> bool:
        """Whether the instance is a counterexample: rounding does not explain the ratio."""
        return not self.ratio - self.rounding <= 1

    def __str__(self):
        """Return the theorem, both ratios, the function in words, and the verdict."""
        made = self.instance
        h, q = made.step_size * made.smoothness, made.strong_convexity / made.smoothness
        verdict = "broken: a counterexample" if self.broken else "holds"
        if self.ratio == self.rounding == 0:
            verdict = "vacuous: nothing but rounding in both sides, on all instances"
        return "\n".join(
            (
                *wrapped(f"{self.theorem.name}: {self.theorem.statement}", indent=2),
                f"  subject  {self.subject}, {self.steps} steps, eta L = {h:.6g}, mu/L = {q:.6g}",
                f"  ratio    {_around_one(self.ratio)}   (rounding {self.rounding:.1e}; "
                f"random search of {self.tried} instances: {self.random:.6f})",
                f"  on       {in_words(made)}",
                f"  verdict  {verdict}",
            )
        )


def worst_case(
    theorem: Theorem | str,
    subject: Any = gd.Constant,
    *,
    step_fraction: float = 1.0,
    condition: float = 0.0,
    steps: int = 10,
    restarts: int = 64,
    seed: int = 0,
) -> WorstCase:
    """Climb ``measured / bound`` of a theorem in the last row of a run, in float64.

    A tight bound is reached, ``ratio = 1``; a theorem that does not hold of the subject is passed.
    The program is compiled once for a theorem, a subject and a number of steps.

    Parameters
    ----------
    theorem
        An inequality of `gdpure.specs.THEOREMS`, or of the rule that the subject is or follows, by
        name; or any `Theorem`.
    subject
        What `check_optimizer` takes, but not NumPy: the climb differentiates through it.
    step_fraction, condition
        ``h = eta L`` and ``q = mu / L``.
    steps, restarts, seed
        N, how many climbs there are, and what they begin with.

    Returns
    -------
    WorstCase
        The ratio, the instance, and what random search of the same budget finds.

    Raises
    ------
    TypeError
        If the subject cannot be differentiated.
    ValueError
        If the theorem is an equality, asks for what the subject does not bring, or assumes what h
        and q do not give; if what the subject returns is never finite.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> found = worst_case("linear-value", step_fraction=0.5, condition=0.25, steps=3)
    >>> assert 1 - 1e-6 < found.ratio < 1 + 1e-12 and not found.broken
    """
    steps, restarts = (
        guards.whole("worst_case", name, number, 1)
        for name, number in (("steps", steps), ("restarts", restarts))
    )
    seed = guards.whole("worst_case", "seed", seed, 0, 2**63 - 1)
    h = _number("step_fraction", step_fraction, guards.Range(0, open=True))
    q = _number("condition", condition, guards.Range(0, 1))
    tried = _differentiable(subject)
    theorem = _inequality(theorem, tried)
    if missing := [NEEDS[need] for need in theorem.needs if need not in tried.brings]:
        raise ValueError(f"worst_case: {theorem.name} does not apply: {missing[0]}")
    # Normal numbers take a second to compile; the last are where the climbs begin.
    drawn = np.random.default_rng(seed).standard_normal((ASCENTS + 1, restarts, _NUMBERS))
    with (
        jax.enable_x64(True),
        jax.default_matmul_precision("highest"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        eta = h if tried.step_size is None else tried.step_size
        numbers = [np.float64(x) for x in (eta, h, q)]
        try:
            out = _climb(drawn, numbers, theorem=theorem, run=tried.run, steps=steps)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"worst_case: no derivative through {tried.name}; it must compute with traced JAX "
                f"arrays, and loop by scan ({type(error).__name__}); check_optimizer takes it as "
                "it is"
            ) from error
        instance, best, at_random = jax.device_get(out)
    if not np.isfinite(best.certain):
        raise ValueError(
            f"worst_case: {tried.name} returns no finite numbers on any instance; check_optimizer "
            "says where it begins"
        )
    best = best.found
    for name, holds in zip(theorem.assumes, best.assumed, strict=True):
        if not holds:
            raise ValueError(
                f"worst_case: {theorem.name} assumes {name}; got step_fraction={h:g}, "
                f"condition={q:g}"
            )
    return WorstCase(
        float(best.ratio),
        instance,
        float(best.rounding),
        float(at_random),
        restarts * ASCENTS,
        theorem,
        tried.name,
        steps,
    )


def _number(name, x, allowed):
    guards.in_range("worst_case", name, x, allowed)
    if np.ndim(x):
        raise ValueError(f"worst_case: {name} must be one number, got shape {np.shape(x)}")
    return float(x)


def _inequality(theorem, tried):
    known = {other.name: other for other in tried.theorems}
    if isinstance(theorem, str) and theorem not in known:
        climbed = (name for name, other in known.items() if not other.equality)
        raise ValueError(
            f"worst_case: no theorem {theorem!r} for {tried.name}; there are {', '.join(climbed)}"
        )
    found = known[theorem] if isinstance(theorem, str) else theorem
    if not isinstance(found, Theorem):
        raise TypeError(
            f"worst_case: theorem must be a Theorem or a name, got {guards.describe(theorem)}"
        )
    if found.equality or found.twin or "stopping" in found.needs:
        raise ValueError(
            f"worst_case: {found.name} is no inequality about the rows of one run; "
            "check_optimizer tries it"
        )
    return found


def _differentiable(subject):
    # An equal subject has the same run, and no program is compiled anew.
    made = _known if isinstance(subject, Hashable) else as_subject
    tried = made(subject, caller="worst_case")
    if tried.run is None or tried.method == "gradient":
        raise TypeError(f"worst_case: {tried.name} returns no iterates, it has no runs to climb")
    return tried


_known = lru_cache(maxsize=32, typed=True)(as_subject)


# -- from unconstrained numbers to an instance -----------------------------------------------------


def expanded(theta, eta, h, q, *, quadratic) -> Instance:
    """Return the instance that unconstrained numbers, shape (14,), stand for.

    The features are ``sqrt(n L) U diag(1, sqrt(lambda))``, where U has orthonormal columns and
    lambda is in [q, 1], and ``tail = q / lambda``: f is L-smooth and mu-strongly convex.

    Parameters
    ----------
    theta
        The columns of U, R = |x_0 - x*|, the bend, the direction of the start, lambda, the probe.
    eta, h, q
        The step size, eta L and mu / L, shape () each.
    quadratic
        Whether the bend is infinite; static.
    """
    first, second = theta[: 2 * _ROWS].reshape(2, _ROWS)
    distance, bend, turn, spread, *probe = theta[2 * _ROWS :]
    first = first / jnp.linalg.norm(first)
    second = second - first * (first * second).sum()
    second = second / jnp.linalg.norm(second)
    # The cosine reaches the ends of its interval, and flat: there a climb comes close to them.
    least = q + (1 - q) * (1 + jnp.cos(spread)) / 2
    L, distance = h / eta, jnp.exp(distance)
    columns = jnp.stack([first, jnp.sqrt(least) * second], axis=1)
    bend = jnp.sqrt(L) * distance * jnp.exp(4 * bend - 2)
    zero = jnp.zeros(())
    return Instance(
        features=jnp.sqrt(_ROWS * L) * (1 - _CLEAR) * columns,
        center=jnp.zeros(2),
        bend=jnp.full((), jnp.inf) if quadratic else bend,
        tail=q / jnp.where(least > 0, least, 1),
        minimum=zero,
        start=distance * jnp.stack([jnp.cos(turn), jnp.sin(turn)]),
        step_size=eta,
        probe=distance * jnp.stack(probe),
        smoothness=L,
        strong_convexity=(1 - 4 * _CLEAR) * q * L,
        tolerance=zero,
    )


# -- the climb -------------------------------------------------------------------------------------


class _Closeness(NamedTuple):
    """How close the last row comes to the bound, what rounding adds, what of `assumes` is true."""

    ratio: Any
    rounding: Any
    assumed: Any


def _closeness(theta, numbers, theorem, run, steps):
    instance = expanded(theta, *numbers, quadratic="f quadratic" in theorem.assumes)
    # A subject has the axis of runs first, the judge last.
    runs = run(jax.tree.map(lambda leaf: leaf[None], instance), steps)
    batch = jax.tree.map(lambda leaf: leaf[..., None], instance)
    rows = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), runs)
    trace = observe(batch, rows, rounding.arithmetic(np.float64))
    measured, bound, allowed = (jnp.ravel(x[-1]) for x in sides(theorem, trace)[:3])
    off, allowed = measured - bound, lax.stop_gradient(allowed)
    # 0 <= 0 within rounding is not close, it is nothing.
    nothing = (abs(bound) <= allowed) & (off <= allowed)
    size = jnp.where(nothing | (bound == 0), 1, abs(bound))
    ratio, spread = jnp.where(nothing, 0, 1 + off / size), jnp.where(nothing, 0, allowed / size)
    best = jnp.argmax(ratio - spread)
    assumed = [jnp.all(ASSUMPTIONS[name](trace)) for name in theorem.assumes]
    return _Closeness(ratio[best], spread[best], assumed)


class _Best(NamedTuple):
    """The best so far of many points, or of all: theta, how close it comes, and with certainty."""

    theta: Any
    found: _Closeness
    certain: Any

    def or_better(self, other):
        """Return the better of two; what is not a number is not better."""
        better = other.certain > self.certain
        return jax.tree.map(lambda new, old: jnp.where(better, new, old), other, self)


def _adam(k, slope, memory):
    """Return a step up; its size shrinks geometrically: kinks are approached as fast as peaks."""
    mean, square = memory
    mean, square = 0.9 * mean + 0.1 * slope, 0.95 * square + 0.05 * slope**2
    unbiased, size = mean / (1 - 0.9 ** (k + 1)), jnp.sqrt(square / (1 - 0.95 ** (k + 1)))
    rate = 10.0 ** (-1 - 6 * k / ASCENTS)
    # What the ratio does not depend on stays where it is, but for rounding.
    return rate * unbiased / (size + 1e-3 * size.max() + 1e-300), (mean, square)


@partial(jax.jit, static_argnames=("theorem", "run", "steps"))
def _climb(drawn, numbers, *, theorem, run, steps):
    """Return the worst instance of all, how close it comes, and the best ratio at random."""
    restarts = drawn.shape[1]

    def certain(theta):
        found = _closeness(theta, numbers, theorem, run, steps)
        return found.ratio - found.rounding, found

    # Climbers and random instances are evaluated by one program: it takes seconds to compile.
    evaluate = jax.vmap(jax.value_and_grad(certain, has_aux=True))

    def turn(carry, now):
        (theta, memory, bests), (k, others) = carry, now
        points = jnp.concatenate([theta, others])
        (sure, found), slopes = evaluate(points)
        new = _Best(points, found, sure)
        order = jnp.nan_to_num(sure.reshape(2, restarts), nan=-jnp.inf)
        top = jnp.argmax(order, axis=1) + jnp.array([0, restarts])
        bests = jax.vmap(_Best.or_better)(bests, jax.tree.map(lambda leaf: leaf[top], new))
        slope = jnp.nan_to_num(slopes[:restarts], posinf=0, neginf=0)
        move, memory = jax.vmap(_adam, (None, 0, 0))(k, slope, memory)
        return (theta + move, memory, bests), None

    theta = drawn[-1]
    _, found = jax.eval_shape(certain, theta[0])
    zeros = jax.tree.map(lambda leaf: jnp.zeros((2, *leaf.shape), leaf.dtype), found)
    bests = _Best(jnp.zeros((2, _NUMBERS)), zeros, jnp.full(2, -jnp.inf))
    memory = jnp.zeros_like(theta), jnp.zeros_like(theta)
    turns = jnp.arange(ASCENTS, dtype=jnp.float64), drawn[:-1]
    (_, _, bests), _ = lax.scan(turn, (theta, memory, bests), turns)
    climbed, at_random = (jax.tree.map(lambda leaf, i=i: leaf[i], bests) for i in (0, 1))
    # What is known to be worse is not thrown away.
    best = climbed.or_better(at_random)
    made = expanded(best.theta, *numbers, quadratic="f quadratic" in theorem.assumes)
    return made, best, at_random.found.ratio


# -- words -----------------------------------------------------------------------------------------


def in_words(instance: Instance) -> str:
    """Return what f is on the way from the minimizer to the start, to a few digits."""
    A, L = np.asarray(instance.features), float(instance.smoothness)
    offset = np.asarray(instance.start - instance.center)
    R = float(np.linalg.norm(offset))
    way = np.linspace(0.01, 1, 100)[:, None] * offset
    slopes = np.stack([instances.gradient(instance.center + x, instance.data) for x in way])
    across = slopes @ np.array([-offset[1], offset[0]]) / R
    if (abs(across) <= 1e-3 * np.linalg.norm(slopes, axis=1)).all():
        words = f"curvature {_on_a_line(A @ offset / R, instance, R)}, on a line"
    elif (abs(A @ offset) <= instance.bend).all():
        curvatures, axes = np.linalg.eigh(A.T @ A / len(A))
        place = ", ".join(f"{x:.4g}" for x in axes.T @ offset / R)
        words = f"curvatures {' and '.join(_of(c / L) for c in curvatures)}, from ({place}) R"
    else:
        words = "the mean of four of Huber's functions"
    return f"{words}; R = |x[0] - x*| = {R:.4g}"


def _on_a_line(stretches, instance, R):
    """Return the curvatures of f on a line, and how far out they change."""
    weights = stretches**2 / len(stretches) / float(instance.smoothness)
    order = np.argsort(-abs(stretches))
    order = order[weights[order] > 1e-3]
    bends, weights = float(instance.bend) / abs(stretches[order]) / R, weights[order]
    curvature = shown = weights.sum()
    words = _of(shown)
    for k, bend in enumerate(bends):
        curvature -= (1 - float(instance.tail)) * weights[k]
        together = k + 1 < len(bends) and bends[k + 1] <= 1.001 * bend
        if bend <= 1 and not together and shown - curvature > 1e-3:
            shown = curvature
            words += f" up to R/{1 / bend:.2f}, {_of(shown)} beyond"
    return words


def _of(curvature):
    rounded = f"{abs(curvature):.3f}".rstrip("0").rstrip(".")
    return {"1": "L", "0": "0"}.get(rounded, f"{rounded} L")


def _around_one(ratio):
    off = ratio - 1
    return f"1 {'-' if off <= 0 else '+'} {abs(off):.1e}" if abs(off) < 1e-4 else f"{ratio:.6f}"
